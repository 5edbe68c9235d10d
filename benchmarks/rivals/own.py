"""nbchat's server in a process of its own, as the others are started: says where it is, ends with its input.

    python own.py [--history FILE] [--process] [--tls] [--beside idle|python|c]

The limits of rate and number are opened; all that it does with a message stays as it is. With --beside, the
main thread is a notebook's: from the first line of input on it computes. For each line it says how often it
got round its loop in a second since the line before.
"""

import argparse
import json
import sys
import threading
import time

import psutil

import nbchat
from nbchat.core.limits import NO_RATES
from nbchat.server import interfaces

NETWORK = "127.0.0.2"
"""To the server this is a network's address like any other, so it encrypts what goes there."""
LIMITS = nbchat.Limits(
    **NO_RATES, connections=4096, members=4096, unnamed=4096, rooms=4096, ping=1e4, dead=1e5
)


class Cell:
    """What the notebook's cell does, and how fast."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._ends: list[float] = []
        self._begun, self._ended = threading.Event(), threading.Event()
        threading.Thread(target=self._listen, daemon=True).start()

    def run(self) -> None:
        """Compute until the input ends."""
        self._begun.wait()
        if self._kind == "idle":
            self._ended.wait()
        while not self._ended.is_set():
            if self._kind == "c":
                sum(range(10**8))  # holds the interpreter from the beginning to the end
            else:
                total = 0
                for number in range(10_000):
                    total += number * number
            self._ends.append(time.perf_counter())

    def _listen(self) -> None:
        for _ in sys.stdin:
            ends, self._ends = self._ends, []
            rate = (len(ends) - 1) / (ends[-1] - ends[0]) if len(ends) > 1 else None
            print(json.dumps(rate), flush=True)
            self._begun.set()
        self._ended.set()
        self._begun.set()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--history")
    parser.add_argument("--process", action="store_true")
    parser.add_argument("--beside", default="idle", choices=["idle", "python", "c"])
    parser.add_argument("--tls", action="store_true")
    arguments = parser.parse_args()
    options = {"process": arguments.process}
    if arguments.tls:
        interfaces.lan_address = lambda: NETWORK
        options["lan"] = True
    with nbchat.serve(port=0, history=arguments.history, limits=LIMITS, **options) as server:
        pids = [child.pid for child in psutil.Process().children()] if arguments.process else []
        print(json.dumps({"port": server.port, "invite": server.invite(), "pids": pids}), flush=True)
        Cell(arguments.beside).run()


if __name__ == "__main__":
    main()
