"""The one clock of all servers of a process: steady, and set right where the machine's own clock was."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

_OFF = 1.0
"""Seconds that the machine's clock has to be off until it is followed: less is no more than its own drift."""


def _passed() -> Callable[[], float]:
    """A clock that nobody sets and that counts while the machine sleeps, too, where the system has one."""
    for name in ("CLOCK_BOOTTIME", "CLOCK_MONOTONIC"):  # Linux; macOS, whose time.monotonic stands still then
        if (id := getattr(time, name, None)) is not None:
            return lambda: time.clock_gettime(id)
    return time.monotonic


class Clock:
    """Called, it gives the seconds since 1970.

    Between two calls of :meth:`set_right` it is as steady as ``passed``. A machine may start with a clock
    that is years off, and be told the time a minute later. Then this clock jumps as well, and ``moved`` says
    how far in all: who has noted times of before moves them by what was added. Any thread may call it.
    """

    def __init__(
        self, wall: Callable[[], float] | None = None, passed: Callable[[], float] | None = None
    ) -> None:
        self._wall = wall or (lambda: time.time())
        self.passed = passed or _passed()
        """Seconds that have passed, since any moment: for ages."""
        self._start = self._wall() - self.passed()
        self.moved = 0.0
        self._setting = threading.Lock()

    def __call__(self) -> float:
        return self._start + self.passed()

    def set_right(self) -> None:
        """Follow the machine's clock if somebody has set it."""
        with self._setting:
            off = self._wall() - self()
            if abs(off) > _OFF:
                self._start += off
                self.moved += off


now = Clock()
"""This process's."""
