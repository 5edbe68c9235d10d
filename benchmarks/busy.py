"""The server beside a cell that computes: how late messages come, and how much the cell is slowed.

    python benchmarks/busy.py [--write] [--repeats 3]

The server runs in a process whose main thread does what a notebook's cell does: nothing, a loop in Python,
or one call after the other that holds the interpreter in C. 300 members in another process, 50 messages a
second.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import page
import plots
from load import Result, has_tls, run_load
from servers import COMPETITORS, SECURE

CELLS = {
    "idle": "no cell runs",
    "python": "a loop in Python",
    "c": "`sum(range(10**8))` again and again",
}
SERVERS = {
    "own": (COMPETITORS["own"], "in a thread"),
    "durable": (COMPETITORS["durable"], "in a thread, history in a file"),
    "own tls": (SECURE["own"], "in a thread, encrypted"),
    "process": (COMPETITORS["process"], "in a child process"),
    "process tls": (SECURE["process"], "in a child process, encrypted"),
}
MEMBERS = 300
LOAD = "pace 50"


def ask(process: subprocess.Popen[str]) -> float | None:
    """How often the cell got round its loop in a second, since it was last asked."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    answer = process.stdout.readline().strip()
    return None if answer == "null" else float(answer)


def measure(kind: str, cell: str, folder: Path, length: float) -> tuple[Result, float | None, float | None]:
    """The load's result, and the cell's speed without and with the messages."""
    competitor = SERVERS[kind][0]
    core = max(os.sched_getaffinity(0))
    with competitor.running(folder, None, "--beside", cell, load_core=core) as running:
        competitor.join(running, MEMBERS)
        ask(running.process)  # the cell begins
        time.sleep(1)
        ask(running.process)
        time.sleep(length)
        without = ask(running.process)
        result = run_load(competitor, running, LOAD, core=core, time=length, warm=1, drain=20)
        return result, without, ask(running.process)


def run(repeats: int) -> dict[tuple[str, str], list[tuple[Result, float | None, float | None]]]:
    kinds = [kind for kind, (competitor, _) in SERVERS.items() if has_tls() or not competitor.is_secure]
    found: dict[tuple[str, str], list[tuple[Result, float | None, float | None]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for repeat in range(repeats):
            for kind in kinds:
                for cell in CELLS:
                    if cell == "c" and kind not in ("own", "process"):
                        continue  # what it does to a thread is the same for all
                    length = 12.0 if cell == "c" else 6.0
                    each = measure(kind, cell, Path(folder) / f"{kind}{cell}{repeat}", length)
                    found.setdefault((kind, cell), []).append(each)
                    result = each[0]
                    print(
                        f"{kind:11s} {cell:7s} p50 {result.p50 * 1e3:.1f} p99 {result.p99 * 1e3:.1f} "
                        f"most {result.most * 1e3:.0f} ms, cell {each[1]} → {each[2]}",
                        file=sys.stderr,
                    )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="The server beside a cell that computes.")
    parser.add_argument("--write", action="store_true", help="write table and plot into docs/")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    found = run(arguments.repeats)
    rows, bars = [], []
    for (kind, cell), several in found.items():
        where = SERVERS[kind][1]
        results = [each[0] for each in several]
        spreads = [
            page.spread([getattr(each, what) for each in results], 1e3) for what in ("p50", "p99", "most")
        ]
        kept = [with_it / without for _, without, with_it in several if with_it and without]
        slowed = f"{1 - statistics.median(kept):.0%}" if kept else ""
        missing = statistics.median(each.missing / (each.messages * MEMBERS) for each in results)
        late = f"{missing:.0%} had not come after 20 s" if missing else ""
        rows.append((f"{CELLS[cell]}; the server {where}", *spreads, late, slowed))
        medians = (
            statistics.median(getattr(each, what) for each in results) * 1e3
            for what in ("p50", "p99", "most")
        )
        bars.append((f"{cell}, {where}", *medians))
    p99 = {key: statistics.median(each[0].p99 for each in several) * 1e3 for key, several in found.items()}
    note = f"{MEMBERS} members, 50 messages/s, median of {arguments.repeats} (least–most)."
    wanted = [("a loop in Python, the server in a thread: p99", p99["own", "python"], "<=", 20.0, " ms")]
    if ("process", "python") in p99:
        idle = p99["process", "idle"]
        wanted += [
            (
                "a loop in Python, in a child process: p99 by idle",
                p99["process", "python"] / idle,
                "<=",
                3.0,
                " ×",
            ),
            ("held in C, in a child process: p99 by idle", p99["process", "c"] / idle, "<=", 3.0, " ×"),
        ]
    result = "\n\n".join(
        (
            f"{page.machine('uvloop')}; {note}",
            page.goals(wanted),
            page.table(("the cell", "p50 ms", "p99 ms", "longest ms", "", "the cell is slowed by"), rows),
        )
    )
    print(page.plain(result))
    if arguments.write:
        page.write("busy", result)
        plots.busy(bars)


if __name__ == "__main__":
    main()
