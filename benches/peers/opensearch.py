"""OpenSearch as a peer, started by the scripts of `tests/real`: percolate, and bulk."""
import http.client
import json
import os
import subprocess
import time

from cluster import call, make
from service import free_port, side_by_side

REAL = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests", "real")
HEAP = "2g"
INDEX = "compare"
# Lines that are percolated with one request, and documents of one bulk request.
TOGETHER, BULK = 500, 5000


class OpenSearch:
    """One node of its own."""

    def __init__(self, work):
        port = free_port()
        self.run = os.path.join(work, "opensearch")
        self.env = {**os.environ, "OPENSEARCH_PORT": str(port), "OPENSEARCH_HEAP": HEAP, "PARTS_RUN": self.run}
        self.port, self.url = port, f"http://127.0.0.1:{port}"

    def start(self):
        """False where it cannot be had: no Java, no Maven."""
        ran = subprocess.run([os.path.join(REAL, "start-opensearch.sh")], env=self.env, capture_output=True, check=False)
        return ran.returncode == 0

    def stop(self):
        subprocess.run([os.path.join(REAL, "stop.sh")], env=self.env, capture_output=True, check=False)

    def register(self, phrases):
        """Keeps a query for each phrase."""
        call(self.url, "PUT", f"/{INDEX}-queries", {"mappings": {"properties": {
            "query": {"type": "percolator"}, "message": {"type": "text"}}}})
        lines = [json.dumps({"index": {}}) + "\n" + json.dumps({"query": {"match_phrase": {"message": phrase}}}) + "\n"
                 for phrase in phrases]
        answer = call(self.url, "POST", f"/{INDEX}-queries/_bulk?refresh", "".join(lines).encode(), "application/x-ndjson")
        assert not answer["errors"], str(answer)[:2000]

    def percolate(self, path, size):
        """Million bytes a second of the first lines of a file against what is registered."""
        with open(path, "rb") as file:
            text = file.read(size).rpartition(b"\n")[0] + b"\n"
        lines = text.decode("utf-8", "replace").split("\n")[:-1]
        begun = time.monotonic()
        for at in range(0, len(lines), TOGETHER):
            documents = [{"message": line} for line in lines[at:at + TOGETHER]]
            call(self.url, "POST", f"/{INDEX}-queries/_search", {
                "size": 1000, "_source": False, "query": {"percolate": {"field": "query", "documents": documents}}})
        return len(text) / (time.monotonic() - begun) / 1e6

    def bulk(self, builds):
        """Documents a second that two clients send and that can be searched; bytes on disk."""
        make(self.url, INDEX, 1)
        turns = [[bulk_body(events[at:at + BULK]) for events in builds[client::2] for at in range(0, len(events), BULK)]
                 for client in (0, 1)]
        documents = sum(map(len, builds))
        begun = time.monotonic()
        side_by_side(self.send, turns)
        call(self.url, "POST", f"/{INDEX}/_refresh")
        took = time.monotonic() - begun
        counted = call(self.url, "GET", f"/{INDEX}/_count")["count"]
        assert counted == documents, f"{counted} of {documents} documents"
        call(self.url, "POST", f"/{INDEX}/_flush")
        stored = call(self.url, "GET", f"/{INDEX}/_stats/store")["_all"]["primaries"]["store"]["size_in_bytes"]
        call(self.url, "DELETE", f"/{INDEX}")
        return documents / took, stored

    def send(self, bodies):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        for body in bodies:
            connection.request("POST", f"/{INDEX}/_bulk", body, {"Content-Type": "application/x-ndjson"})
            answer = connection.getresponse()
            text = answer.read()
            assert answer.status == 200 and b'"errors":false' in text[:200], text[:2000]


def bulk_body(events):
    return "".join('{"index":{}}\n' + json.dumps(event) + "\n" for event in events).encode()
