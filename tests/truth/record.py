#!/usr/bin/env python3
"""Asks a real OpenSearch every query of queries.jsonl over events.jsonl.

Writes answers.jsonl beside them, one line per query in the order of the queries:
{"id", "hits": [event numbers]} or {"id", "error": "type: first line of the reason"}.
Only the standard library is needed. OPENSEARCH_URL names the server
(default http://127.0.0.1:9200).
"""

import json
import os
import pathlib
import sys
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
URL = os.environ.get("OPENSEARCH_URL", "http://127.0.0.1:9200").rstrip("/")
INDEX = "whorl-own-truth"

SETTINGS = {
    "settings": {"number_of_shards": 1, "number_of_replicas": 0},
    "mappings": {
        "date_detection": False,
        "dynamic_templates": [
            {"strings": {"match_mapping_type": "string", "mapping": {"type": "keyword"}}}
        ],
        "properties": {
            "message": {"type": "text", "analyzer": "standard"},
            "@timestamp": {"type": "date"},
            "voting": {"type": "integer"},
        },
    },
}


def call(method, path, body=None, kind="application/json"):
    """One request; returns the status and the decoded answer."""
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body).encode()
    request = urllib.request.Request(
        URL + path, data=body, method=method, headers={"Content-Type": kind}
    )
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refusal:
        return refusal.code, json.load(refusal)


def must(answer):
    """The decoded answer of a call that has to succeed."""
    status, body = answer
    if status >= 300:
        sys.exit(f"refused with {status}: {json.dumps(body)[:2000]}")
    return body


def lines(name):
    """The objects of one JSON Lines file."""
    with open(HERE / name, encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.strip()]


def load(events):
    """Makes the index anew and fills it, one document after the other in order."""
    call("DELETE", f"/{INDEX}")
    must(call("PUT", f"/{INDEX}", SETTINGS))
    bulk = []
    for number, event in enumerate(events):
        if event["id"] != number:
            sys.exit(f"event {number} carries the id {event['id']}")
        bulk.append(json.dumps({"index": {"_id": str(number)}}))
        bulk.append(json.dumps(event))
    body = ("\n".join(bulk) + "\n").encode()
    answer = must(call("POST", f"/{INDEX}/_bulk?refresh=true", body, "application/x-ndjson"))
    for item in answer["items"]:
        if "error" in item["index"]:
            sys.exit(f"event refused: {item}")


def search(query):
    """The body of the search for one query."""
    return {
        "size": 10000,
        "_source": False,
        "track_total_hits": True,
        "sort": ["id"],
        "query": {
            "query_string": {
                "query": query,
                "default_field": "message",
                "default_operator": "OR",
                "allow_leading_wildcard": True,
                "time_zone": "UTC",
                # The default of 50 would make the answer for one event depend on all others.
                "fuzzy_max_expansions": 1000,
            }
        },
    }


def refusal(body):
    """The root cause of a refusal as one line."""
    error = body["error"]
    cause = (error.get("root_cause") or [error])[0]
    reason = (cause.get("reason") or "").split("\n")[0]
    return f"{cause['type']}: {reason}"


def ask(query):
    """The answer to one query, without its id."""
    status, body = call("POST", f"/{INDEX}/_search", search(query))
    if status >= 300:
        return {"error": refusal(body)}
    hits = sorted(int(hit["_id"]) for hit in body["hits"]["hits"])
    if len(hits) != body["hits"]["total"]["value"]:
        sys.exit(f"not all hits came back: {query}")
    return {"hits": hits}


def main():
    """Records every answer and prints the counts."""
    version = must(call("GET", "/"))["version"]
    print(f"{version.get('distribution', 'elasticsearch')} {version['number']} at {URL}")
    events, queries = lines("events.jsonl"), lines("queries.jsonl")
    names = [query["id"] for query in queries]
    if len(set(names)) != len(names):
        sys.exit("two queries carry the same id")
    load(events)
    hits = refused = empty = 0
    with open(HERE / "answers.jsonl", "w", encoding="utf-8") as file:
        for query in queries:
            answer = ask(query["query"])
            refused += "error" in answer
            hits += len(answer.get("hits", []))
            empty += answer.get("hits") == []
            file.write(json.dumps({"id": query["id"], **answer}) + "\n")
    call("DELETE", f"/{INDEX}") if os.environ.get("DROP_INDEX") else None
    print(
        f"{len(events)} events, {len(queries)} queries: {hits} hits, "
        f"{empty} without a hit, {refused} refused"
    )


if __name__ == "__main__":
    main()
