"""`whorl serve` in a folder of its own, for the scripts beside."""
import http.client
import os
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor


class Client:
    """One connection, made again when it has ended."""

    def __init__(self, port):
        self.port, self.connection = port, None

    def call(self, method, path, body=None):
        for attempt in range(2):
            try:
                if self.connection is None:
                    self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
                    self.connection.connect()
                    self.connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.connection.request(method, path, body)
                answer = self.connection.getresponse()
                return answer.status, answer.read()
            except (OSError, http.client.HTTPException):
                self.connection = None
                if attempt:
                    raise
        return 0, b""


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


def side_by_side(work, shares):
    """Works on each share in a thread of its own; what fails in one fails here."""
    with ThreadPoolExecutor(len(shares)) as threads:
        list(threads.map(work, shares))


class Service:
    """The service, ready; its data and its log are in the folder. `more` is what else is configured."""

    def __init__(self, program, folder, fingerprints, more="log: {level: warn}"):
        self.port, self.data = free_port(), os.path.join(folder, "data")
        config = os.path.join(folder, "whorl.yaml")
        with open(config, "w", encoding="utf-8") as file:
            file.write(f"listen: 127.0.0.1:{self.port}\ndata-dir: {self.data}\nfingerprints: [{fingerprints}]\n"
                       f"{more}\n")
        self.log = os.path.join(folder, "whorl.log")
        with open(self.log, "w", encoding="utf-8") as log:
            self.process = subprocess.Popen([program, "serve", "--config", config], stdout=log, stderr=log)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                if Client(self.port).call("GET", "/readyz")[0] == 200:
                    return
            except (OSError, http.client.HTTPException):
                time.sleep(0.1)
        self.stop()
        sys.exit("whorl does not start: " + self.said())

    def said(self):
        with open(self.log, encoding="utf-8") as log:
            return log.read()[-2000:]

    def stop(self):
        self.process.terminate()
        self.process.wait(120)
