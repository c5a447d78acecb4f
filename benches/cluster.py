#!/usr/bin/env python3
"""What one failed build costs on a cluster: requests, bytes, seconds, for both ways of looking.

    benches/cluster.py EVENTS.jsonl[.gz] FINGERPRINTS [--url http://127.0.0.1:9200] [--shards N]
                       [--whorl target/release/whorl]

EVENTS has one event a line, a JSON object with `message` and other fields. Fills an index with
427,000 events (those of the file, over and over) in 7 builds of each size, then looks at them with
`whorl classify --build … --stats`: all events pulled and matched here, and counted by the cluster.
Prints medians, and the processor time that the servers took on average, which says more than seconds
do on a machine with other work. Each build is looked at once with empty caches, as a failed build is. Start a server
first: tests/real/start-opensearch.sh, or start-opensearch-nodes.sh and `--shards 3`.
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
SIZES, BUILDS = (1000, 2000, 4000, 8000, 16_000, 30_000), 7
PULL, COUNT, OURS = "pulled", "counted", "as served"


def call(url, method, path, body=None, kind="application/json"):
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    request = urllib.request.Request(url + path, data, {"Content-Type": kind}, method=method)
    with urllib.request.urlopen(request) as answer:
        return json.loads(answer.read())


def fill(url, events, shards):
    """Exact strings, an analysed message, numbers as numbers."""
    exact = {"match_mapping_type": "string", "mapping": {"type": "keyword"}}
    call(url, "PUT", f"/{INDEX}", {
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
    lines, number = [], 0
    for build in range(BUILDS):
        for size in SIZES:
            for line in range(size):
                event = dict(events[number % len(events)], build_uuid=f"b{size}-{build}", line=line)
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


def measure(whorl, config, fingerprints, build, way):
    """Requests, bytes and seconds of one build, as the program says them."""
    command = [whorl, "classify", "--build", build, "--config", config, "--queries", fingerprints,
               "--format", "json", "--stats"]
    command += {PULL: ["--pull-up-to", "1000000"], COUNT: ["--pull-up-to", "0"], OURS: []}[way]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    said = re.search(r"(\d+) requests, (\d+) bytes sent, (\d+) bytes received, ([\d.]+) s", ran.stderr)
    if not said:
        sys.exit(f"{build}: {ran.stderr}")
    requests, sent, received = map(int, said.groups()[:3])
    # One request asks what the kinds of the fields are: a service knows it. It asks how many events a
    # build has where this program asks what the build is.
    return requests - 1, sent + received, float(said.group(4))


def processor(url):
    """Seconds of processor time that the nodes have taken so far."""
    nodes = call(url, "GET", "/_nodes/stats/process")["nodes"].values()
    return sum(node["process"]["cpu"]["total_in_millis"] for node in nodes) / 1e3


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("events")
    parser.add_argument("fingerprints")
    parser.add_argument("--url", default="http://127.0.0.1:9200")
    parser.add_argument("--shards", type=int, default=1)
    parser.add_argument("--whorl", default="target/release/whorl")
    args = parser.parse_args()
    opened = gzip.open if args.events.endswith(".gz") else open
    with opened(args.events, "rt", encoding="utf-8") as file:
        events = [json.loads(line) for line in file]
    fill(args.url, events, args.shards)
    try:
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as config:
            config.write(
                f"fingerprints: [{args.fingerprints}]\nstore:\n  kind: elasticsearch\n"
                f"  elasticsearch:\n    urls: ['{args.url}']\n"
                f"    layout: {{indexes: ['{INDEX}'], order: [line]}}\n")
            config.flush()
            # The server's compiler wants to see it a few times first.
            for way in (PULL, COUNT) * 4:
                measure(args.whorl, config.name, args.fingerprints, "b2000-0", way)
            print("| one failed build | way | requests | bytes | seconds | servers' |\n"
                  "| --- | --- | --- | --- | --- | --- |")
            for size in SIZES:
                for way in (PULL, COUNT, OURS):
                    call(args.url, "POST", f"/{INDEX}/_cache/clear")
                    before = processor(args.url)
                    rows = [measure(args.whorl, config.name, args.fingerprints, f"b{size}-{n}", way)
                            for n in range(1, BUILDS)]
                    taken = (processor(args.url) - before) / len(rows)
                    middle = [statistics.median(column) for column in zip(*rows)]
                    print(f"| {size:,} events | {way} | {middle[0]:.0f} | {middle[1] / 1e6:.1f} MB "
                          f"| {middle[2]:.3f} | {taken:.3f} |", flush=True)
    finally:
        call(args.url, "DELETE", f"/{INDEX}")


if __name__ == "__main__":
    main()
