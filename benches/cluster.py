#!/usr/bin/env python3
"""What one failed build costs on a cluster: requests, bytes, seconds.

    benches/cluster.py EVENTS.jsonl[.gz] FINGERPRINTS [--url http://127.0.0.1:9200] [--whorl target/release/whorl]

Fills an index with 400,000 events (those of the file, over and over) in 200 builds of 2,000 and one
of 30,000, then classifies builds with `whorl classify --build … --stats` and prints a table of
medians. Start a server first: tests/real/start-opensearch.sh.
"""
import argparse
import gzip
import json
import re
import statistics
import subprocess
import sys
import tempfile
import urllib.request

INDEX = "whorl-bench-2026.01.01"
BUILDS, EVENTS, LARGE = 200, 2000, 30_000


def call(url, method, path, body=None, kind="application/json"):
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    request = urllib.request.Request(url + path, data, {"Content-Type": kind}, method=method)
    with urllib.request.urlopen(request) as answer:
        return json.loads(answer.read())


def fill(url, events):
    """Exact strings, an analysed message, numbers as numbers."""
    exact = {"match_mapping_type": "string", "mapping": {"type": "keyword"}}
    call(url, "PUT", f"/{INDEX}", {
        "settings": {"number_of_shards": 1, "number_of_replicas": 0},
        "mappings": {
            "date_detection": False,
            "dynamic_templates": [{"exact": exact}],
            "properties": {
                "message": {"type": "text"}, "@timestamp": {"type": "date"},
                "voting": {"type": "integer"}, "line": {"type": "long"},
            },
        },
    })
    sizes = [EVENTS] * BUILDS + [LARGE]
    lines, number = [], 0
    for build, size in enumerate(sizes):
        for line in range(size):
            event = dict(events[number % len(events)], build_uuid=f"b{build:03}", line=line)
            number += 7
            lines.append('{"index":{}}\n' + json.dumps(event) + "\n")
            if len(lines) == 5000:
                send(url, lines)
                lines = []
    send(url, lines)
    call(url, "POST", f"/{INDEX}/_refresh")


def send(url, lines):
    if lines:
        body = "".join(lines).encode()
        answer = call(url, "POST", f"/{INDEX}/_bulk", body, "application/x-ndjson")
        if answer["errors"]:
            sys.exit("the index refused events")


def measure(whorl, config, fingerprints, build):
    """Requests, bytes and seconds of one build, as the program says them."""
    command = [whorl, "classify", "--build", build, "--config", config, "--queries", fingerprints,
               "--format", "json", "--stats"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    said = re.search(r"(\d+) events, (\d+) requests, (\d+) bytes sent, (\d+) bytes received, ([\d.]+) s",
                     ran.stderr)
    if not said:
        sys.exit(f"{build}: {ran.stderr}")
    events, requests, sent, received = map(int, said.groups()[:4])
    # One request asks what the kinds of the fields are, one what the build is: a service knows both.
    return events, requests - 2, sent + received, float(said.group(5))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("events")
    parser.add_argument("fingerprints")
    parser.add_argument("--url", default="http://127.0.0.1:9200")
    parser.add_argument("--whorl", default="target/release/whorl")
    args = parser.parse_args()
    opened = gzip.open if args.events.endswith(".gz") else open
    with opened(args.events, "rt", encoding="utf-8") as file:
        events = [json.loads(line) for line in file]
    fill(args.url, events)
    try:
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as config:
            config.write(
                f"fingerprints: [{args.fingerprints}]\nstore:\n  kind: elasticsearch\n"
                f"  elasticsearch:\n    urls: ['{args.url}']\n"
                f"    layout: {{indexes: ['{INDEX}'], order: [line]}}\n")
            config.flush()
            measure(args.whorl, config.name, args.fingerprints, "b000")
            print("| build | requests | bytes | seconds |\n| --- | --- | --- | --- |")
            for name, builds in [("small", [f"b{n:03}" for n in range(1, 21)]), ("large", [f"b{BUILDS}"] * 5)]:
                rows = [measure(args.whorl, config.name, args.fingerprints, b) for b in builds]
                middle = [statistics.median(column) for column in zip(*rows)]
                print(f"| {middle[0]:,.0f} events | {middle[1]:.0f} | {middle[2] / 1e6:.1f} MB | {middle[3]:.3f} |")
    finally:
        call(args.url, "DELETE", f"/{INDEX}")


if __name__ == "__main__":
    main()
