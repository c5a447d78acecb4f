#!/usr/bin/env python3
"""How often words begin in logs of CI: the table that src/matcher/scan/frequency.txt is.

    benches/frequency.py LOGS… > src/matcher/scan/frequency.txt

LOGS are files or folders of real logs, gzip or plain. Of every ten blocks of 64 KiB one is counted. A
word is a run of letters, digits and `_` in lower case, and the first eight bytes of it count. Printed are
the most frequent ones with how often they come in a million words.
"""
import collections
import gzip
import os
import re
import sys

BLOCK, EVERY, KEPT = 64 * 1024, 10, 4096


def files(paths):
    for path in paths:
        if os.path.isfile(path):
            yield path
        for folder, _, names in os.walk(path):
            yield from (os.path.join(folder, name) for name in sorted(names))


def text(path):
    with open(path, "rb") as file:
        data = file.read()
    return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data


def main():
    counts, at = collections.Counter(), 0
    for path in files(sys.argv[1:]):
        data = text(path)
        for start in range(0, len(data), BLOCK):
            if at % EVERY == 0:
                words = re.findall(rb"[a-z0-9_]+", data[start:start + BLOCK].lower())
                counts.update(word[:8] for word in words)
            at += 1
    total = max(sum(counts.values()), 1)
    for word, count in sorted(counts.most_common(KEPT), key=lambda one: (-one[1], one[0])):
        print(word.decode(), max(count * 1_000_000 // total, 1))


if __name__ == "__main__":
    main()
