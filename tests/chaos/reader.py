"""A process with one reader: python -m tests.chaos.reader LINK NAME UNTIL

It says ``in`` when it is in the room, reads until the seq UNTIL, and then prints, as JSON, how many messages
it was given, whether they were 1, 2, 3 … without a gap, and how old each was (the text's second word is when
it was sent, by time.monotonic()): the median and the 99th percentile in milliseconds.
"""

from __future__ import annotations

import json
import sys
import time

import nbchat


def main() -> None:
    link, name, until = sys.argv[1:]
    seqs: list[int] = []
    ages: list[float] = []
    with nbchat.connect(link, name) as client:
        print("in", flush=True)
        for message in client.listen(timeout=120):
            seqs.append(message.seq)
            ages.append(time.monotonic() - float(message.text.split()[1]))
            if message.seq >= int(until):
                break
    ages.sort()
    whole = seqs == list(range(1, int(until) + 1))
    p50, p99 = (1000 * ages[int(len(ages) * part)] for part in (0.5, 0.99))
    print(json.dumps({"count": len(seqs), "whole": whole, "p50": p50, "p99": p99}), flush=True)


if __name__ == "__main__":
    main()
