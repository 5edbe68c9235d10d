"""Compiles the load generator and lets it loose on a server's members."""

from __future__ import annotations

import ctypes
import functools
import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from servers import Competitor, Running

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
def compiled(name: str, *more: str) -> Path:
    """The program from a C file beside this one."""
    place = Path(_folder().name) / "-".join((name, *more))
    cc = compiler()
    if cc is None:
        raise RuntimeError("The load is a C program: it needs a compiler (cc).")
    libraries = [each for each in more if each.startswith("-l")]
    options = [each for each in more if each not in libraries]
    subprocess.run([cc, "-O2", *options, "-o", place, HERE / f"{name}.c", *libraries], check=True)
    return place


@functools.cache
def has_tls() -> bool:
    """Whether the load can speak TLS: that needs OpenSSL's headers (libssl-dev)."""
    try:
        compiled("load", *TLS)
    except (RuntimeError, subprocess.CalledProcessError):
        return False
    return True


TLS = ("-DTLS", "-lssl", "-lcrypto")


def settle(core: int | None) -> None:
    """In the new process: its core, and that it ends with the benchmark however that ends."""
    if core is not None:
        os.sched_setaffinity(0, {core})
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


class Load:
    """A load that runs. With TLS it holds its members' connections itself."""

    def __init__(self, core: int | None, sockets: Sequence[int] = (), *, tls: bool = False) -> None:
        self._process = subprocess.Popen(
            [compiled("load", *TLS) if tls else compiled("load")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, pass_fds=sockets,
            preexec_fn=functools.partial(settle, core),
        )  # fmt: skip

    def say(self, *lines: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.writelines(f"{line}\n" for line in lines)
        self._process.stdin.flush()

    def hear(self, seconds: float = 30) -> str:
        """Its next line. Raises RuntimeError with its reason if there is none."""
        assert self._process.stdout is not None
        watch = threading.Timer(seconds, self._process.kill)
        watch.start()
        try:
            line = self._process.stdout.readline().strip()
        finally:
            watch.cancel()
        if not line or line.startswith('{"error"'):
            raise RuntimeError(json.loads(line)["error"] if line else "the load has ended")
        return line

    def end(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
        self._process.kill()
        self._process.wait()


class Secured:
    """A member's connection that the load holds: what is asked of a socket while it joins."""

    def __init__(self, load: Load, host: str, port: int, *, has_greeting: bool) -> None:
        self._load = load
        load.say(f"dial {host} {port} {has_greeting:d}")
        self._number = int(load.hear())

    def fileno(self) -> int:
        return self._number

    def sendall(self, data: bytes) -> None:
        self._load.say(f"say {self._number} {data.hex()}")

    def recv(self, _: int) -> bytes:
        self._load.say(f"hear {self._number}")
        return bytes.fromhex(self._load.hear())

    def close(self) -> None:
        """It ends with the load."""


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
    worker = running.load or Load(core, [sock.fileno() for sock, _ in running.sockets])
    try:
        worker.say(*lines, "go")
        return Result(**json.loads(worker.hear(time + warm + 3 * drain + 30)))
    except RuntimeError as error:
        raise RuntimeError(f"{competitor.title}, {load}: {error}") from None
    finally:
        if worker is not running.load:
            worker.end()
