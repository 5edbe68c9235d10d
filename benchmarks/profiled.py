"""Where the server's time goes: a profile of it at its limit, with 256 messages in flight to 300 members.

    python benchmarks/profiled.py [--write]

py-spy looks 400 times a second at what the server's thread does. A look counts for the innermost function
that has a place in STAGES.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import page
from load import Result, run_load
from servers import COMPETITORS

LOAD = "flight 256"
MEMBERS = 300
SECONDS = 5.0
STAGES = {
    "Connection.write": "writing to 300 sockets",
    "Fanout._send": "writing to 300 sockets",
    "Fanout": "joining lines, the ring, who is behind",
    "Shell._deliver": "an event's line, stamped",
    "logged": "an event's line, stamped",
    "decode_request": "decoding and checking a request",
    "texts": "decoding and checking a request",
    "check (": "decoding and checking a request",
    "Lines.feed": "cutting lines, rate and turns",
    "NativeSession": "cutting lines, rate and turns",
    "Rate": "cutting lines, rate and turns",
    "Connection.data_received": "cutting lines, rate and turns",
    "MemoryStore": "the store",
    "_Log": "the store",
    "Queue": "the store",
    "Waiting": "the store",
    "Shell._appended": "receipts",
    "encode_body": "the hub",
    "Hub": "the hub",
    "Shell": "carrying out what the hub wants",
    "run (": "reading sockets, and the loop itself (in uvloop)",
}


def stage(stack: str) -> str | None:
    """The stage of a stack, outermost frame first."""
    for frame in reversed(stack.split(";")):
        for mark, name in STAGES.items():
            if frame.startswith(mark) or f".{mark}" in frame:
                return name
    return None


def profile(folder: Path) -> tuple[Counter[str], Result]:
    """How many looks each stage got, and what the load has found."""
    cores = sorted(os.sched_getaffinity(0))
    competitor, raw = COMPETITORS["own"], folder / "raw"
    with competitor.running(folder / "server", cores[0], load_core=cores[-1]) as running:
        competitor.join(running, MEMBERS)
        spy = subprocess.Popen(
            ["py-spy", "record", "--pid", str(running.pids[0]), "--duration", f"{SECONDS - 1:.0f}",
             "--rate", "400", "--format", "raw", "--output", str(raw), "--nonblocking"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        result = run_load(competitor, running, LOAD, core=cores[-1], time=SECONDS)
        spy.wait(60)
    looks: Counter[str] = Counter()
    for line in raw.read_text().splitlines():
        stack, _, number = line.rpartition(" ")
        if (name := stage(stack)) is not None:
            looks[name] += int(number)
    return looks, result


def main() -> None:
    parser = argparse.ArgumentParser(description="Where the server's time goes.")
    parser.add_argument("--write", action="store_true", help="write the table into docs/")
    arguments = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(8192, hard) if hard > 0 else 8192, hard))
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with tempfile.TemporaryDirectory() as folder:
        looks, result = profile(Path(folder))
    cost = result.cost * MEMBERS  # seconds for a million deliveries: µs for each
    parts = {name: looks[name] / looks.total() for name in dict.fromkeys(STAGES.values())}
    rows = [(name, f"{part * cost:.1f}", f"{part:.0%}") for name, part in parts.items()]
    rows.append(("all", f"{cost:.1f}", ""))
    text = "\n\n".join(
        (f"{page.machine('uvloop', 'py-spy')}; one run.", page.table(("for each message", "µs", ""), rows))
    )
    print(page.plain(text))
    if arguments.write:
        page.write("profile", text)


if __name__ == "__main__":
    main()
