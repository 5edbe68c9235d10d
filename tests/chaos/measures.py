"""Figures of coming back and of lagging behind: python -m tests.chaos.measures

A restart on an idle machine, a class that comes back, and a reader that is stopped while others talk.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import sys
import tempfile
import time
from bisect import bisect_left
from pathlib import Path

import psutil

import nbchat
from nbchat.net.link import parse
from tests.chaos.machine import Child
from tests.chaos.proxy import Proxy

_PATIENCE = 60.0


def serve(folder: Path, port: int = 0) -> tuple[Child, str, int]:
    """A server in a process of its own: it, its link, its port."""
    child = Child(folder, "server", str(folder / "chat.sqlite"), str(port))
    link = child.line(0)
    return child, link, parse(link).port


def restarts(folder: Path, count: int) -> list[float]:
    """Seconds from the start of the server's process to the first confirmation, for each of so many kills."""
    server, link, port = serve(folder)
    times = []
    try:
        with nbchat.connect(link, "ada") as ada:
            ada.send("before").wait()
            for number in range(count):
                server.kill()
                message = ada.send(f"after the kill {number}")
                server = Child(folder, "server", str(folder / "chat.sqlite"), str(port))
                message.wait(_PATIENCE)
                times.append(time.monotonic() - server.started)
                server.line(0)
    finally:
        server.kill()
    return times


def class_comes_back(folder: Path, size: int, away: float) -> tuple[float, float, int]:
    """A class whose server is killed and ``away`` seconds later started: seconds from the start of its
    process and from its readiness until all are back, and the most connections made in any 100 ms."""
    server, link, port = serve(folder)
    with Proxy(port) as proxy:
        clients = [nbchat.connect(proxy.link(link), f"student {n}") for n in range(size)]
        try:
            # All have to be known to all, since the room's size is what spreads them.
            for client in clients:
                client._state.wait(
                    lambda client=client: len(client._state.transcript.members) == size,
                    _PATIENCE,  # type: ignore[misc]
                )
            before = len(proxy.came)
            server.kill()
            time.sleep(away)
            server = Child(folder, "server", str(folder / "chat.sqlite"), str(port))
            for client in clients:
                client.send("back").wait(_PATIENCE)
            done = time.monotonic()
            server.line(0)
            came = proxy.came[before:]
            most = max(bisect_left(came, moment + 0.1) - place for place, moment in enumerate(came))
            return done - server.started, done - server.ready, most
        finally:
            for client in clients:
                client._receiver.close()
            server.kill()


def stopped_reader(folder: Path, messages: int, seconds: float, *, stops: bool) -> dict[str, float]:
    """One sender, four readers, and a fifth that is stopped from before the first message until after the
    last (or, without ``stops``, is like the others): the others' p99, and how the server's memory grew."""
    server, link, _ = serve(folder)
    readers = [Child(folder, "reader", link, f"reader {n}", str(messages)) for n in range(5)]
    process = psutil.Process(server.process.pid)
    try:
        for reader in readers:
            reader.line(0)
        with nbchat.connect(link, "sender") as sender:
            before = process.memory_full_info().uss
            if stops:
                readers[4].process.send_signal(signal.SIGSTOP)
            begun = time.monotonic()
            most = before
            for number in range(1, messages + 1):
                message = sender.send(f"{number} {time.monotonic():.6f} ".ljust(100, "."))
                ahead = number * seconds / messages - (time.monotonic() - begun)
                if ahead > 0.005:
                    time.sleep(ahead)
                if number % 1000 == 0:
                    most = max(most, process.memory_full_info().uss)
            message.wait(_PATIENCE)
            took = time.monotonic() - begun
            if stops:
                readers[4].process.send_signal(signal.SIGCONT)
            found = [json.loads(reader.line(1, 120)) for reader in readers]
    finally:
        for reader in readers:
            reader.kill()
        server.kill()
    assert all(each["whole"] for each in found), found
    ages = [each["p99"] for each in found[:4]]
    return {"p99": statistics.median(ages), "grew": most - before, "took": took, "whole": found[4]["count"]}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.measures", description=__doc__)
    parser.add_argument("--restarts", type=int, default=30)
    parser.add_argument("--size", type=int, default=100)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=60)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="nbchat-measures-") as name:
        folder = Path(name)
        os.environ["JUPYTER_RUNTIME_DIR"] = str(folder / "runtime")

        def new(word: str) -> Path:
            (folder / word).mkdir()
            return folder / word

        times = restarts(new("restarts"), chosen.restarts)
        print(
            f"restart, idle machine, {len(times)} kills: start of the process to first confirmation: "
            f"median {statistics.median(times):.3f} s, longest {max(times):.3f} s",
            flush=True,
        )
        for away in (0.0, 10.0):
            whole, ready, most = class_comes_back(new(f"class{away}"), chosen.size, away)
            print(
                f"a class of {chosen.size}, server away for {away:.0f} s: all confirmed again {ready:.2f} s "
                f"after the server was ready ({whole:.2f} s after its start); most connections in 100 ms: "
                f"{most}",
                flush=True,
            )
        for stops in (False, True):
            found = stopped_reader(new(f"stopped{stops}"), chosen.messages, chosen.seconds, stops=stops)
            print(
                f"{chosen.messages:,} messages in {found['took']:.0f} s, {'one' if stops else 'none'} of "
                f"five readers stopped: the others' p99 {found['p99']:.1f} ms; the server grew by at "
                f"most {found['grew'] / 2**20:.2f} MiB; the fifth reader has {found['whole']:,}",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
