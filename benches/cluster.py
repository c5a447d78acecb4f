#!/usr/bin/env python3
"""What failed builds and reports cost on a cluster: requests, bytes, seconds.

    benches/cluster.py EVENTS.jsonl[.gz] FINGERPRINTS [--log FILE…] [--url http://127.0.0.1:9200]
                       [--shards N] [--sizes 1000,2000…] [--whorl target/release/whorl]
                       [--only builds|report]

EVENTS has one event a line, a JSON object with `message` and other fields: those of known bugs. LOG is
a real log of a CI, line by line.

Builds: fills an index with 5 builds of each size of these events, over and over, and with 5 of 30,000
lines of the logs, into which 60 of the events are mixed. Looks at them with `whorl classify --build …
--stats`: all events pulled and matched here, counted by the cluster, and as it is served. Each build
is looked at once with empty caches, as a failed build is.

Report: fills ten daily indexes with 400,000 events in 200 failed builds (with LOG its lines, and four
of the EVENTS in each build; without, only EVENTS, so that each build has nearly all bugs), starts `whorl serve` on them
and asks for three reports, with the fingerprints as they are and with 1,000 made of them.

Prints medians, and the processor time that the servers took on average, which says more than seconds
do on a machine with other work. Start a server first: tests/real/start-opensearch.sh, or
start-opensearch-nodes.sh and `--shards 3`.
"""
import argparse
import datetime
import glob
import gzip
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

INDEX, DAILY = "whorl-bench-builds", "whorl-bench-report"
SIZES, BUILDS, REAL, MIXED = "1000,2000,4000,8000,16000,30000", 5, 30_000, 60
PULL, COUNT, OURS = "pulled", "counted", "as served"
REPORTED, OF_EACH, DAYS, MANY = 200, 2000, 10, 1000


def call(url, method, path, body=None, kind="application/json"):
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    request = urllib.request.Request(url + path, data, {"Content-Type": kind}, method=method)
    with urllib.request.urlopen(request) as answer:
        text = answer.read()
    return json.loads(text) if text[:1] in (b"{", b"[") else text.decode()


def make(url, index, shards):
    """Exact strings, an analysed message, numbers as numbers."""
    exact = {"match_mapping_type": "string", "mapping": {"type": "keyword"}}
    call(url, "PUT", f"/{index}", {
        "settings": {"number_of_shards": shards, "number_of_replicas": 0},
        "mappings": {
            "date_detection": False,
            "dynamic_templates": [{"exact": exact}],
            "properties": {
                "message": {"type": "text"}, "@timestamp": {"type": "date"},
                "voting": {"type": "integer"}, "line": {"type": "long"},
            },
        },
    })


class Sender:
    """Sends documents in bulk."""

    def __init__(self, url):
        self.url, self.lines = url, []

    def add(self, index, event):
        self.lines.append(json.dumps({"index": {"_index": index}}) + "\n" + json.dumps(event) + "\n")
        if len(self.lines) == 5000:
            self.flush()

    def flush(self):
        body = "".join(self.lines).encode()
        self.lines = []
        if body and call(self.url, "POST", "/_bulk", body, "application/x-ndjson")["errors"]:
            sys.exit("the index refused events")


def real(events, logs, at, often):
    """A line of a real log, and once in a while an event of a known bug."""
    if at % often == 0:
        return events[at * 7 // often % len(events)]
    return {"message": logs[at % len(logs)], "filename": "job-output.txt", "voting": 1,
            "tags": ["job-output.txt", "console"], "build_name": "unit", "build_status": "FAILURE"}


def fill_builds(url, events, logs, shards, sizes):
    make(url, INDEX, shards)
    sender, number = Sender(url), 0
    for build in range(BUILDS):
        for size in sizes:
            for line in range(size):
                event = dict(events[number % len(events)], build_uuid=f"b{size}-{build}", line=line)
                number += 7
                sender.add(INDEX, event)
        for line in range(REAL if logs else 0):
            event = real(events, logs, line + build * REAL, REAL // MIXED)
            sender.add(INDEX, dict(event, build_uuid=f"real-{build}", line=line))
    sender.flush()
    call(url, "POST", f"/{INDEX}/_refresh")


def measure(whorl, config, fingerprints, build, way):
    """Requests, bytes and seconds of one build, as the program says them."""
    command = [whorl, "classify", "--build", build, "--config", config, "--queries", fingerprints,
               "--format", "json", "--stats"]
    command += {PULL: ["--pull-up-to", "1000000"], COUNT: ["--pull-up-to", "0"], OURS: []}[way]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    said = re.search(r"(\d+) events, (\d+) requests, (\d+) bytes sent, (\d+) bytes received, ([\d.]+) s",
                     ran.stderr)
    if not said:
        sys.exit(f"{build}: {ran.stderr}")
    events, requests, sent, received = map(int, said.groups()[:4])
    found = len(json.loads(ran.stdout)["matches"])
    # One request asks what the kinds of the fields are: a service knows it. One asks what the build
    # is, in place of the service's question how many events it has; of a large build both are asked.
    more = {PULL: 1, COUNT: 2, OURS: 1 if events <= 6000 else 2}[way]
    return requests - more, sent + received, float(said.group(5)), found


def processor(url):
    """Seconds of processor time that the nodes have taken so far."""
    nodes = call(url, "GET", "/_nodes/stats/process")["nodes"].values()
    return sum(node["process"]["cpu"]["total_in_millis"] for node in nodes) / 1e3


def configured(folder, url, fingerprints, layout, more=""):
    path = os.path.join(folder, "whorl.yaml")
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"fingerprints: ['{fingerprints}']\ndata-dir: '{folder}/data'\n"
                   f"listen: 127.0.0.1:0\n{more}store:\n  kind: elasticsearch\n  elasticsearch:\n"
                   f"    urls: ['{url}']\n    layout: {layout}\n")
    return path


def builds(args, events, logs, folder):
    sizes = [int(size) for size in args.sizes.split(",")]
    fill_builds(args.url, events, logs, args.shards, sizes)
    layout = f"{{indexes: ['{INDEX}'], order: [line]}}"
    config = configured(folder, args.url, args.fingerprints, layout)
    # The server's compiler wants to see it a few times first.
    for way in (PULL, COUNT) * 4:
        measure(args.whorl, config, args.fingerprints, f"b{sizes[0]}-0", way)
    print("| one failed build | matches | way | requests | bytes | seconds | servers' |\n"
          "| --- | --- | --- | --- | --- | --- | --- |")
    named = [(f"{size:,} events", f"b{size}") for size in sizes]
    for name, build in named + ([(f"{REAL:,} lines of real logs", "real")] if logs else []):
        for way in (PULL, COUNT, OURS):
            call(args.url, "POST", f"/{INDEX}/_cache/clear")
            before = processor(args.url)
            rows = [measure(args.whorl, config, args.fingerprints, f"{build}-{n}", way)
                    for n in range(1, BUILDS)]
            taken = (processor(args.url) - before) / len(rows)
            middle = [statistics.median(column) for column in zip(*rows)]
            print(f"| {name} | {middle[3]:.0f} | {way} | {middle[0]:.0f} | {middle[1] / 1e6:.1f} MB "
                  f"| {middle[2]:.3f} | {taken:.3f} |", flush=True)


def fill_days(url, events, logs, now):
    """Failed builds over ten days, each within half an hour."""
    sender, number = Sender(url), 0
    for build in range(REPORTED):
        begun = now - datetime.timedelta(days=DAYS) * (build + 0.5) / REPORTED
        for line in range(OF_EACH):
            at = begun + datetime.timedelta(minutes=30) * line / OF_EACH
            index = f"{DAILY}-{at:%Y.%m.%d}"
            number += 7
            event = events[number % len(events)]
            if logs:
                event = real(events, logs, line + build * OF_EACH, OF_EACH // 4)
            sender.add(index, dict(event, build_uuid=f"r{build}", line=line, build_status="FAILURE",
                                   **{"@timestamp": f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03}Z"}))
    sender.flush()
    call(url, "POST", f"/{DAILY}-*/_refresh")


def grown(folder, fingerprints):
    """1,000 fingerprints: those at hand, over and over under other names."""
    files = sorted(glob.glob(os.path.join(fingerprints, "**", "*.yaml"), recursive=True))
    target = os.path.join(folder, "many")
    os.mkdir(target)
    for number in range(MANY):
        with open(files[number % len(files)], encoding="utf-8") as file:
            text = file.read()
        with open(os.path.join(target, f"f{number:04}.yaml"), "w", encoding="utf-8") as file:
            file.write(text)
    return target


def started(whorl, config, log):
    """The running service and its address."""
    program = subprocess.Popen([whorl, "serve", "--config", config], stdout=log, stderr=log)
    until = time.time() + 60
    while time.time() < until:
        with open(log.name, encoding="utf-8") as file:
            said = re.search(r"address=(127[\d.]+:\d+)", re.sub(r"\x1b\[[\d;]*m", "", file.read()))
        if said:
            return program, f"http://{said.group(1)}"
        time.sleep(0.1)
    program.kill()
    sys.exit("the service does not start")


def traffic(service):
    """Requests and bytes so far."""
    text = call(service, "GET", "/metrics")
    count = lambda name: sum(float(n) for n in re.findall(rf"^whorl_cluster_{name}_total\S* ([\d.e+]+)$",
                                                         text, re.M))
    return count("requests"), count("sent_bytes") + count("received_bytes")


def ready(service):
    until = time.time() + 60
    while time.time() < until:
        try:
            call(service, "GET", "/readyz")
            return
        except urllib.error.HTTPError:
            time.sleep(0.2)
    sys.exit("the service does not get ready")


def report(args, events, logs, folder):
    now = datetime.datetime.now(datetime.timezone.utc)
    for day in range(DAYS + 1):
        make(args.url, f"{DAILY}-{now - datetime.timedelta(days=day):%Y.%m.%d}", args.shards)
    fill_days(args.url, events, logs, now)
    layout = f"{{indexes: ['{DAILY}-%Y.%m.%d'], order: [line]}}"
    print("| report on ten days | requests | bytes | slowest request | seconds | servers' |\n"
          "| --- | --- | --- | --- | --- | --- |")
    for name, fingerprints in (("as given", args.fingerprints), (f"{MANY:,}", grown(folder, args.fingerprints))):
        with tempfile.TemporaryDirectory() as home, open(os.path.join(home, "log"), "w") as log:
            # No report of the schedule's comes between.
            config = configured(home, args.url, fingerprints, layout, "report: {schedule: '0 0 1 1 *'}\n")
            program, service = started(args.whorl, config, log)
            try:
                ready(service)
                for which in ("first", "next", "one more"):
                    before, begun, taken = traffic(service), time.time(), processor(args.url)
                    made = call(service, "POST", "/api/v1/report", {})
                    seconds, taken = time.time() - begun, processor(args.url) - taken
                    requests, moved = (b - a for a, b in zip(before, traffic(service)))
                    part = call(service, "GET", made["json"])["cluster"]
                    print(f"| {name} fingerprints, {which}: {part['10d']['failed']} failed builds, "
                          f"{len(part['fingerprints'])} found | {requests:.0f} | {moved / 1e6:.2f} MB "
                          f"| {part['cost']['slowest_ms'] / 1e3:.2f} s | {seconds:.2f} | {taken:.2f} |", flush=True)
                    if part["problems"]:
                        print(part["problems"])
            finally:
                program.terminate()
                program.wait()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("events")
    parser.add_argument("fingerprints")
    parser.add_argument("--log", action="append", default=[])
    parser.add_argument("--url", default="http://127.0.0.1:9200")
    parser.add_argument("--shards", type=int, default=1)
    parser.add_argument("--sizes", default=SIZES)
    parser.add_argument("--whorl", default="target/release/whorl")
    parser.add_argument("--only", choices=("builds", "report"))
    args = parser.parse_args()
    args.fingerprints = os.path.abspath(args.fingerprints)
    opened = gzip.open if args.events.endswith(".gz") else open
    with opened(args.events, "rt", encoding="utf-8") as file:
        events = [json.loads(line) for line in file]
    logs = []
    for name in args.log:
        with open(name, encoding="utf-8", errors="replace") as file:
            logs += [line.rstrip("\n") for line in file if line.strip()]
    try:
        with tempfile.TemporaryDirectory() as folder:
            if args.only != "report":
                builds(args, events, logs, folder)
            if args.only != "builds":
                report(args, events, logs, folder)
    finally:
        # By their names: some clusters refuse to delete by a pattern.
        for index in call(args.url, "GET", f"/{INDEX},{DAILY}-*/_settings?ignore_unavailable=true"):
            call(args.url, "DELETE", f"/{index}")
    print(f"load of the machine: {os.getloadavg()[0]:.1f}", file=sys.stderr)


if __name__ == "__main__":
    main()
