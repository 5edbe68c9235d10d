"""How fast nbchat's server is beside other chat servers, in one run on one machine.

    python benchmarks/chat.py [--quick] [--write] [--only own,ngircd] [--shape 300x1] [--load "flight 10"]

Each server in turn, on a core of its own; the members and the load on another one. Repeated, and the servers
take turns in each repetition. Needs Linux and a C compiler; ngircd, nats-server and the package websockets
take part where they are installed.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import sys
import tempfile
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path

import page
import plots
from load import Result, run_load
from servers import COMPETITORS, Competitor, competitors, find

SHAPES = ("30x1", "300x1", "1000x1", "300x10", "300x1tls")
"""Members in all, the rooms they are spread over evenly, and whether over TLS."""
LOADS = ("flight 10", "flight 256", "pace 50", "pace 2000")


def parts(shape: str) -> tuple[int, int]:
    """How many members, and over how many rooms."""
    members, rooms = map(int, shape.removesuffix("tls").split("x"))
    return members, rooms


class Findings:
    """All results: by shape, competitor and load; and the memory of an idle member."""

    def __init__(self) -> None:
        self.results: dict[tuple[str, str, str], list[Result]] = defaultdict(list)
        self.memory: dict[tuple[str, str], list[float]] = defaultdict(list)
        self.troubles: list[str] = []

    def median(self, shape: str, key: str, load: str, what: str) -> float | None:
        found = self.values(shape, key, load, what)
        return statistics.median(found) if found else None

    def values(self, shape: str, key: str, load: str, what: str) -> list[float]:
        return [getattr(each, what) for each in self.results[shape, key, load]]

    def ratio(self, shape: str, load: str, what: str, rival: str, own: str = "own") -> float | None:
        """nbchat's value by a rival's."""
        mine, theirs = self.median(shape, own, load, what), self.median(shape, rival, load, what)
        return mine / theirs if mine is not None and theirs else None


def measure(
    found: Findings, competitor: Competitor, shape: str, loads: list[str], time: float, folder: Path
) -> None:
    """One server, one shape, all loads."""
    members, rooms = parts(shape)
    cores = sorted(os.sched_getaffinity(0))
    server_core, load_core = (cores[0], cores[-1]) if len(cores) > 1 else (None, None)
    with competitor.running(folder, server_core, load_core=load_core) as running:
        competitor.join(running, rooms, rooms)
        before = running.memory()
        competitor.join(running, members - rooms, rooms)
        found.memory[shape, competitor.key].append((running.memory() - before) / (members - rooms))
        base = 0
        for each in loads:
            length = time if each.startswith("flight") else time * 1.5
            result = run_load(
                competitor, running, each, core=load_core, time=length, warm=min(0.5, time), base=base
            )
            base = result.next
            found.results[shape, competitor.key, each].append(result)
            print(
                f"{shape:7s} {each:11s} {competitor.title:32s} {page.short(result.rate):>7s}/s  "
                f"{page.short(result.cost):>5s} s/M  p50 {page.short(result.p50 * 1e3)} ms, "
                f"p99 {page.short(result.p99 * 1e3)} ms  load {result.own_cpu / result.seconds:.0%}"
                f"{'' if result.whole else '  NOT WHOLE'}",
                file=sys.stderr, flush=True,
            )  # fmt: skip
            if not result.whole:
                found.troubles.append(
                    f"{competitor.title}, {shape}, {each}: {result.missing:,} had not come 20 s later"
                )
                return


def run(arguments: argparse.Namespace) -> Findings:
    found = Findings()
    only = arguments.only.split(",") if arguments.only else list(COMPETITORS)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        for repeat in range(arguments.repeats):
            for shape in arguments.shape or SHAPES:
                for competitor in competitors(shape).values():
                    if competitor.key not in only:
                        continue
                    place = Path(folder) / f"{competitor.key}-{shape}-{repeat}"
                    try:
                        measure(found, competitor, shape, arguments.load or LOADS, arguments.time, place)
                    except (RuntimeError, OSError) as error:
                        found.troubles.append(f"{competitor.title}, {shape}: {error}")
                        print(found.troubles[-1], file=sys.stderr)
    return found


# ── tables ──


def tables(found: Findings, shapes: list[str]) -> str:
    text = []
    for shape in shapes:
        members, rooms = parts(shape)
        where = "in one room" if rooms == 1 else f"over {rooms} rooms"
        where += ", encrypted" if shape.endswith("tls") else ""
        text.append(f"### {members:,} members {where}")
        here = [key for key in COMPETITORS if any(found.results[shape, key, load] for load in LOADS)]
        for number in ("10", "256"):
            load = f"flight {number}"
            rows = [_flight(found, shape, key, load) for key in here if found.results[shape, key, load]]
            if rows:
                head = (
                    f"{number} in flight",
                    "deliveries/s",
                    "nbchat's by it",
                    "CPU s per million",
                    "p50 ms",
                    "p99 ms",
                )
                text.append(page.table(head, rows))
        for number in ("50", "2000"):
            load = f"pace {number}"
            rows = [_paced(found, shape, key, load) for key in here if found.results[shape, key, load]]
            if rows:
                head = (
                    f"{int(number):,} messages/s",
                    "p50 ms",
                    "p99 ms",
                    "nbchat's by it",
                    "CPU s per million",
                    "late",
                )
                text.append(page.table(head, rows))
        rows = [_memory(found, shape, key) for key in here if found.memory[shape, key]]
        text.append(page.table(("memory of an idle member", "KiB", "nbchat's by it"), rows))
    return "\n\n".join(text)


def _flight(found: Findings, shape: str, key: str, load: str) -> tuple[str, ...]:
    values = lambda what, scale=1.0: page.spread(found.values(shape, key, load, what), scale)  # noqa: E731
    return (
        COMPETITORS[key].title, values("rate"), _times(found.ratio(shape, load, "rate", key)), values("cost"),
        values("p50", 1e3), values("p99", 1e3),
    )  # fmt: skip


def _paced(found: Findings, shape: str, key: str, load: str) -> tuple[str, ...]:
    values = lambda what, scale=1.0: page.spread(found.values(shape, key, load, what), scale)  # noqa: E731
    late = statistics.median(
        max(0.0, 1 - each.rate / (_expected(shape, key) * float(load.split()[1])))
        for each in found.results[shape, key, load]
    )
    return (
        COMPETITORS[key].title, values("p50", 1e3), values("p99", 1e3),
        _times(found.ratio(shape, load, "p99", key)), values("cost"), f"{late:.0%}" if late > 0.02 else "",
    )  # fmt: skip


def _expected(shape: str, key: str) -> int:
    members, rooms = parts(shape)
    return members // rooms - (not COMPETITORS[key].echo)


def _memory(found: Findings, shape: str, key: str) -> tuple[str, ...]:
    mine, theirs = (statistics.median(found.memory[shape, each] or [0]) for each in ("own", key))
    return (
        COMPETITORS[key].title,
        page.spread(found.memory[shape, key], 1 / 1024),
        _times(mine / theirs if theirs else None),
    )


def _times(ratio: float | None) -> str:
    return f"{ratio:.2g}" if ratio is not None and ratio < 10 else f"{ratio:.0f}" if ratio is not None else ""


GOALS = (
    ("10 in flight: rate by a thread's for each client", "flight 10", "rate", "own", "threads", ">=", 3),
    ("10 in flight: rate by ngircd's", "flight 10", "rate", "own", "ngircd", ">=", 2),
    ("10 in flight: with a file by in memory", "flight 10", "rate", "durable", "own", ">=", 0.7),
    ("256 in flight: rate by ngircd's", "flight 256", "rate", "own", "ngircd", ">=", 6),
    ("256 in flight: rate by nats-server's", "flight 256", "rate", "own", "nats", ">=", 7),
    ("256 in flight: rate by asyncio's, a write for each", "flight 256", "rate", "own", "streams", ">=", 80),
    ("256 in flight: CPU per delivery by ngircd's", "flight 256", "cost", "own", "ngircd", "<=", 0.2),
    ("2,000 messages/s: p99 by ngircd's", "pace 2000", "p99", "own", "ngircd", "<=", 0.25),
    (
        "2,000 messages/s: p99 by a thread's for each client",
        "pace 2000",
        "p99",
        "own",
        "threads",
        "<=",
        0.125,
    ),
)
"""What, the load, the value, whose, by whose, and the ratio wanted."""


def goals(found: Findings) -> str:
    """The goals that this program can tell."""
    rows = []
    for shape in ("300x1", "1000x1"):
        who = f"{int(shape[:-2]):,} members"
        for what, load, value, mine, theirs, sign, goal in GOALS:
            ratio = found.ratio(shape, load, value, theirs, mine)
            if ratio is not None:
                rows.append((f"{who}, {what}", ratio, sign, goal, " ×"))
        mine, theirs = (found.memory[shape, key] for key in ("own", "threads"))
        if mine and theirs:
            ratio = statistics.median(mine) / statistics.median(theirs)
            rows.append(
                (f"{who}: memory of an idle one by a thread's for each client", ratio, "<=", 0.25, " ×")
            )
    return page.goals(rows)


def near_the_limit(found: Findings) -> str:
    rows = []
    for shape in SHAPES:
        cells = [found.ratio(shape, load, "rate", "limit") for load in LOADS[:2]]
        cells.append(found.ratio(shape, "pace 2000", "p99", "limit"))
        if all(cell is not None for cell in cells):
            rows.append((shape.replace("x", " over "), *(f"{cell:.2f}" for cell in cells)))
    return page.table(
        ("members over rooms", "10 in flight: rate", "256 in flight: rate", "2,000/s: p99"), rows
    )


def text(found: Findings, arguments: argparse.Namespace) -> str:
    ran = [shape for shape in SHAPES if any(key[0] == shape for key in found.results)]
    versions = [
        page.version_of(find(name), "--version").split("-IDENT")[0]
        for name in ("ngircd", "nats-server")
        if find(name)
    ]
    note = ", ".join((page.machine("uvloop", "msgspec", "websockets"), *versions))
    note += f"; median of {arguments.repeats} (least–most)."
    blocks = [note, goals(found), tables(found, ran), "### How near to the limit", near_the_limit(found)]
    if found.troubles:
        blocks += ["### What went wrong", "\n".join(f"* {each}" for each in found.troubles)]
    return "\n\n".join(blocks)


def main() -> None:
    parser = argparse.ArgumentParser(description="How fast nbchat's server is beside others.")
    parser.add_argument(
        "--quick", action="store_true", help="one short repetition of 300 members in one room"
    )
    parser.add_argument("--write", action="store_true", help="write tables and plots into docs/")
    parser.add_argument("--json", action="store_true", help="print the results as JSON instead of tables")
    parser.add_argument("--only", help=f"of {', '.join(COMPETITORS)}")
    parser.add_argument("--shape", action="append", help=f"of {', '.join(SHAPES)} (may be given again)")
    parser.add_argument("--load", action="append", help=f"of {', '.join(LOADS)} (may be given again)")
    parser.add_argument("--time", type=float, default=2.0, help="seconds of each run in flight")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", help="where the histories are kept meanwhile; on a real disk")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.shape, arguments.repeats, arguments.time = arguments.shape or ["300x1"], 1, 1.0
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(8192, hard) if hard > 0 else 8192, hard))
    found = run(arguments)
    if arguments.json:
        rows = [
            {"shape": shape, "server": key, "load": load, **asdict(each), "rate": each.rate}
            for (shape, key, load), results in found.results.items()
            for each in results
        ]
        print(json.dumps(rows))
        return
    result = text(found, arguments)
    print(page.plain(result))
    if arguments.write:
        page.write("chat", result)
        plots.chat(found)


if __name__ == "__main__":
    main()
