#!/usr/bin/env python3
"""How long it takes from "logs complete" to the note at the review server.

    benches/notes.py LOGS FINGERPRINTS [--whorl target/release/whorl] [--rate 50] [--seconds 30]
                     [--stall none|review|hook|logs] [--megabytes 1]

Starts `whorl serve` with 1,000 fingerprints made of those given, and a review server (as much of Gerrit as
a note needs) that answers after 20 ms. Sends RATE builds a second, each of 1 MB in 5 files cut out of real
LOGS, as a CI does: facts, five logs, complete. Prints how long after "complete" was sent the note arrived,
and how long the verdict took of it; exits with 1 when a note is missing or p99 is a second or more.

With --stall something else hangs all the time: a second review server (GitLab) that takes and never
answers, a webhook that does so, or 500 builds whose logs are on a host that does. All run on this machine,
the sender and the servers on the same cores as whorl.
"""
import argparse
import glob
import http.client
import http.server
import json
import os
import random
import re
import socket
import sys
import tempfile
import threading
import time

from service import Service

FILES, ANSWER = 5, 0.02


class Review(http.server.BaseHTTPRequestHandler):
    """A change of Gerrit, whatever its number, with one patchset and no message."""

    protocol_version = "HTTP/1.1"
    arrived, lock = {}, threading.Lock()

    def answer(self, body):
        time.sleep(ANSWER)
        text = b")]}'\n" + json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json; charset=UTF-8")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_GET(self):
        if "/accounts/self" in self.path:
            return self.answer({"_account_id": 7})
        self.answer({"id": "x", "status": "NEW", "current_revision": "c" * 40, "messages": [],
                     "revisions": {"c" * 40: {"_number": 1}}})

    def do_POST(self):
        handed = time.monotonic()
        self.rfile.read(int(self.headers["Content-Length"]))
        change = re.search(r"~(\d+)/revisions", self.path.replace("%7E", "~"))
        with self.lock:
            self.arrived.setdefault(int(change[1]), []).append(handed)
        self.answer({"labels": {}})

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads, request_queue_size = True, 256


def hang():
    """A server that takes connections and never says anything; its port."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    kept = []

    def take():
        while True:
            kept.append(listener.accept()[0])
    threading.Thread(target=take, daemon=True).start()
    return listener.getsockname()[1]


def fingerprints(source, folder, count):
    """`count` fingerprints: those of the folder, and the same with one word more."""
    texts = [open(path, encoding="utf-8").read() for path in sorted(glob.glob(os.path.join(source, "*.y*ml")))]
    os.makedirs(folder)
    for number in range(count):
        text = texts[number % len(texts)]
        if number >= len(texts):
            text = json.dumps({"query": f'message:"connection {number} was refused by peer {number * 7}"'})
        with open(os.path.join(folder, f"{number:05}.yaml"), "w", encoding="utf-8") as file:
            file.write(text)


def pieces(folder, size):
    """Stretches of real logs, whole lines of them."""
    data = b""
    for where, _, names in sorted(os.walk(folder)):
        for name in sorted(names):
            if name.endswith((".log", ".txt")):
                with open(os.path.join(where, name), "rb") as file:
                    data += file.read()
    found = [data[at:at + size].rsplit(b"\n", 1)[0] + b"\n" for at in range(0, len(data) - size, size)]
    return found or sys.exit(f"no logs in {folder}")


class Sender(threading.Thread):
    """Sends the builds that are due."""

    def __init__(self, port, due, logs, begun, done):
        super().__init__(daemon=True)
        self.port, self.due, self.logs, self.begun, self.done = port, due, logs, begun, done

    def run(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        chance = random.Random(1)

        def call(method, path, body, kind="application/json"):
            while True:
                connection.request(method, path, body, {"Content-Type": kind})
                answer = connection.getresponse()
                answer.read()
                if answer.status != 429:
                    break
                time.sleep(0.1)
            if answer.status >= 300:
                print(f"{method} {path}: {answer.status}", file=sys.stderr)

        while True:
            try:
                number, at = self.due.pop(0)
            except IndexError:
                return
            time.sleep(max(0, self.begun + at - time.monotonic()))
            base = f"/api/v1/builds/load-{number}"
            call("PUT", base, json.dumps({
                "uuid": f"load-{number}", "job": f"unit-{number % 40}", "project": "shop/api", "pipeline": "gate",
                "change": str(number), "patchset": "1", "branch": "main"}))
            for file in range(FILES):
                name = "job-output.txt" if file == 0 else f"logs/service-{file}.log"
                call("PUT", f"{base}/logs/{name}", chance.choice(self.logs), "application/octet-stream")
            self.done[number] = time.monotonic()
            call("POST", f"{base}/complete", json.dumps({"result": "FAILURE"}))


def quantile(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def configuration(args, review):
    """What else than its place is configured."""
    config = ["intake: {queue: 1024, workers: 2}", "notes:", "  review:",
              f"    gerrit: {{url: 'http://127.0.0.1:{review}', user: whorl, password: x, projects: ['shop/*']}}"]
    if args.stall == "review":
        config.append(f"    gitlab: {{url: 'http://127.0.0.1:{hang()}', token: x}}")
    if args.stall == "hook":
        config += ["  webhooks:", f"    - {{url: 'http://127.0.0.1:{hang()}/x', secret: {'s' * 32}}}"]
    if args.stall == "logs":
        config.append("download: {private-hosts: ['127.0.0.1:*']}")
    return "\n".join(config)


def wait_for_notes(count):
    """Until all notes are there, or none has come for ten seconds."""
    seen, since = 0, time.monotonic()
    while time.monotonic() - since < 10:
        with Review.lock:
            now = len(Review.arrived)
        if now == count:
            return
        if now > seen:
            seen, since = now, time.monotonic()
        time.sleep(0.05)


def metric(port, name):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    return {m[0]: float(m[1]) for m in re.findall(rf"^({name}[^ ]*) ([\d.e+-]+)$", text, re.M)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("logs")
    parser.add_argument("fingerprints")
    parser.add_argument("--whorl", default="target/release/whorl")
    parser.add_argument("--rate", type=float, default=50)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--megabytes", type=float, default=1)
    parser.add_argument("--stall", choices=["none", "review", "hook", "logs"], default="none")
    args = parser.parse_args()
    review = Server(("127.0.0.1", 0), Review)
    threading.Thread(target=review.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory(prefix="whorl-notes-") as folder:
        queries = os.path.join(folder, "queries")
        fingerprints(args.fingerprints, queries, 1000)
        service = Service(args.whorl, folder, queries, configuration(args, review.server_address[1]))
        try:
            sys.exit(measure(args, service.port))
        finally:
            service.stop()


def stall_logs(port):
    """Builds whose logs never come."""
    url = f"http://127.0.0.1:{hang()}/"
    connection = http.client.HTTPConnection("127.0.0.1", port)
    for number in range(500):
        body = json.dumps({"url": f"{url}{number}/", "result": "FAILURE"})
        connection.request("PUT", f"/api/v1/builds/stalled-{number}", "{}", {"Content-Type": "application/json"})
        connection.getresponse().read()
        connection.request("POST", f"/api/v1/builds/stalled-{number}/fetch", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        if answer.status >= 300:
            sys.exit(f"fetch: {answer.status}")


def measure(args, port):
    if args.stall == "logs":
        stall_logs(port)
    logs = pieces(args.logs, int(args.megabytes * 1_000_000) // FILES)
    count = int(args.rate * args.seconds)
    due, done = [(n, n / args.rate) for n in range(1, count + 1)], {}
    begun = time.monotonic() + 0.5
    senders = [Sender(port, due, logs, begun, done) for _ in range(16)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    sent = max(done.values()) - begun
    wait_for_notes(count)
    took = [Review.arrived[n][0] - done[n] for n in done if n in Review.arrived]
    missing, twice = count - len(took), sum(len(all_times) > 1 for all_times in Review.arrived.values())
    print(f"{count} builds of {args.megabytes:g} MB in {sent:.1f} s ({count / sent:.1f}/s), stalled: {args.stall}")
    print(f"complete to note: median {quantile(took, 0.5):.3f} s, p99 {quantile(took, 0.99):.3f} s, "
          f"longest {max(took):.3f} s; missing {missing}, twice {twice}")
    seconds = metric(port, "whorl_classification_seconds")
    for name, value in seconds.items():
        print(f"  {name} {value:g}")
    return 1 if missing or twice or quantile(took, 0.99) >= 1 else 0


if __name__ == "__main__":
    main()
