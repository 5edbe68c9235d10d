"""Compiles the load generator and lets it loose on a server's members."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from servers import Competitor, Running, settle

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Result:
    """What one run has found. Times in seconds."""

    seconds: float
    messages: int
    deliveries: int
    cpu: float
    """The server's processor time."""
    own_cpu: float
    """The load's, to see that it was not the load that was measured."""
    p50: float
    p99: float
    most: float
    missing: int
    """Deliveries that did not come even after the wait; they count as long as that."""
    whole: bool
    """Every member got every message, once."""
    next: int

    @property
    def rate(self) -> float:
        return self.deliveries / self.seconds

    @property
    def cost(self) -> float:
        """Processor seconds for a million deliveries."""
        return self.cpu / max(1, self.deliveries) * 1e6


def compiler() -> str | None:
    return shutil.which(os.environ.get("CC", "cc"))


@functools.cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory()


@functools.cache
def compiled(name: str) -> Path:
    """The program from a C file beside this one."""
    place = Path(_folder().name) / name
    cc = compiler()
    if cc is None:
        raise RuntimeError("The load is a C program: it needs a compiler (cc).")
    subprocess.run([cc, "-O2", "-o", place, HERE / f"{name}.c"], check=True)
    return place


def run_load(
    competitor: Competitor,
    running: Running,
    load: str,
    *,
    core: int | None = None,
    time: float = 3.0,
    warm: float = 0.5,
    drain: float = 20.0,
    base: int = 0,
) -> Result:
    """One load (``"flight 10"`` or ``"pace 50"``) on all who have joined."""
    rooms = list(dict.fromkeys(room for _, room in running.sockets))
    lines = [load, f"time {time}", f"warm {warm}", f"drain {drain}", f"base {base}"]
    lines += [f"echo {competitor.echo:d}", f"quick {competitor.quick:d}"]
    lines += [f"pid {pid}" for pid in running.pids]
    lines += [f"room {competitor.say(room).hex()}" for room in rooms]
    lines += [f"member {sock.fileno()} {rooms.index(room)}" for sock, room in running.sockets]
    found = subprocess.run(
        [compiled("load")], input="\n".join([*lines, "go", ""]), stdout=subprocess.PIPE, text=True,
        pass_fds=[sock.fileno() for sock, _ in running.sockets],
        preexec_fn=functools.partial(settle, core), timeout=time + warm + 3 * drain + 30,
    )  # fmt: skip
    answer = json.loads(found.stdout)
    if "error" in answer:
        raise RuntimeError(f"{competitor.title}, {load}: {answer['error']}")
    return Result(**answer)
