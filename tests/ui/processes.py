"""Real processes for tests: a kernel, a terminal."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Sequence
from typing import Any

from jupyter_client import KernelManager

_ESCAPES = re.compile(r"\x1b(?:\[[0-9;?]*[A-Za-z]|\][^\x07]*\x07|[=>()][AB0]?)")
PATIENCE = 30.0
"""Seconds after which something that was waited for counts as missing."""


class Kernel:
    """A notebook's kernel, driven as a notebook drives it."""

    def __init__(self) -> None:
        self._manager = KernelManager(kernel_name="python3")
        self._manager.start_kernel()
        self._client = self._manager.client()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=PATIENCE)

    def run(self, code: str) -> Any:
        """Run a cell; returns its value, which has to be a literal. What it prints fails the test."""
        outputs: list[dict[str, Any]] = []
        reply = self._client.execute_interactive(
            code,
            timeout=PATIENCE + 5,
            output_hook=lambda message: outputs.append(message),
            store_history=True,
        )
        assert reply["content"]["status"] == "ok", "\n".join(reply["content"]["traceback"])
        assert [each["content"] for each in outputs if each["msg_type"] == "stream"] == []
        values = [
            each["content"]["data"]["text/plain"] for each in outputs if each["msg_type"] == "execute_result"
        ]
        return eval(values[0], {}) if values else None

    def wait_for(self, expression: str) -> None:
        """Wait, inside the kernel, until an expression about ``client`` is true."""
        self.run(f"assert client._state.wait(lambda: {expression}, {PATIENCE}), {expression!r}")

    def kill(self) -> None:
        """As kill -9 does."""
        self._manager.signal_kernel(signal.SIGKILL)
        self._manager.provisioner.process.wait(PATIENCE)

    def begin(self, code: str) -> None:
        """Run a cell and do not wait for its end."""
        self._client.execute(code)

    def restart(self, *, now: bool = True) -> None:
        """``now`` False: in order, as a notebook's button does it."""
        self._client.stop_channels()
        self._manager.restart_kernel(now=now)
        self._client = self._manager.client()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=PATIENCE)

    def close(self) -> None:
        self._client.stop_channels()
        self._manager.shutdown_kernel(now=True)


@contextlib.contextmanager
def kernels(count: int) -> Iterator[list[Kernel]]:
    with contextlib.ExitStack() as stack:
        started = []
        for _ in range(count):
            started.append(Kernel())
            stack.callback(started[-1].close)
        yield started


def _take_terminal() -> None:
    """In the child: standard input is its terminal, so that Ctrl-C there is a signal."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


class Terminal:
    """A program under a pseudo-terminal."""

    def __init__(self, command: Sequence[str], **environment: str) -> None:
        self._master, slave = pty.openpty()
        termios.tcsetwinsize(slave, (24, 100))
        self.process = subprocess.Popen(
            command,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=_take_terminal,
            env={**os.environ, "TERM": "xterm", "PYTHONUNBUFFERED": "1", **environment},
        )
        os.close(slave)
        self._raw = b""
        self._used = 0
        self.seen = ""
        """What came and was not expected yet, without the sequences that move the cursor and colour."""

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def expect(self, text: str) -> str:
        """Read until a text has appeared after what was expected before; returns what came until then."""
        end = time.monotonic() + PATIENCE
        while text not in self.seen:
            assert self._read(end - time.monotonic()), (
                f"{text!r} did not appear; the screen has:\n{self.seen}"
            )
        before, found, self.seen = self.seen.partition(text)
        self._used += len(before) + len(found)
        return before

    def rest(self) -> str:
        """Everything until the program ends."""
        end = time.monotonic() + PATIENCE
        while self._read(end - time.monotonic()):
            pass
        return self.seen

    def _read(self, timeout: float) -> bool:
        ready, _, _ = select.select([self._master], [], [], max(0, timeout))
        if not ready:
            return False
        try:
            data = os.read(self._master, 65536)
        except OSError:  # the program has ended
            return False
        if b"\x1b[6n" in data:  # a program asks where its cursor is, and a terminal answers
            os.write(self._master, b"\x1b[1;1R")
        self._raw += data
        self.seen = self._taken(_ESCAPES.sub("", self._raw.decode(errors="replace")))
        return bool(data)

    def _taken(self, text: str) -> str:
        """What comes after what was expected before."""
        return text[self._used :]

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(PATIENCE)
        with contextlib.suppress(OSError):
            os.close(self._master)


@contextlib.contextmanager
def terminal(*command: str, **environment: str) -> Iterator[Terminal]:
    started = Terminal(command, **environment)
    try:
        yield started
    finally:
        started.close()


def nbchat_command(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "nbchat", *arguments)
