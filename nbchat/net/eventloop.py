"""The event loops of server and client threads, and how such a thread fares beside a busy notebook cell.

uvloop where it exists, asyncio's own loop elsewhere: uvloop writes to a socket without letting the
interpreter go, which beside a busy cell is the difference between milliseconds and seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
from collections.abc import Iterator

TURN = 0.001
"""Seconds that a busy thread keeps the interpreter when another one wants it, while a server runs on a thread
here. Python's own 5 ms are waited for at each of the dozen turns that a message takes."""

_counting = threading.Lock()
_servers = 0
_before = 0.0


def hold_standard_streams() -> None:
    """Open nothing (os.devnull) where standard input, output or error is closed: a pipe of a loop that got
    its number would end the program, since libuv aborts when it is to close one of the first three."""
    for fileno in range(3):
        try:
            os.fstat(fileno)
        except OSError:
            with contextlib.suppress(OSError):
                os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free


def new_loop() -> asyncio.AbstractEventLoop:
    hold_standard_streams()
    try:
        import uvloop
    except ImportError:  # Windows
        return asyncio.SelectorEventLoop()
    return uvloop.new_event_loop()


@contextlib.contextmanager
def quick_turns() -> Iterator[None]:
    """Let threads of this process take turns at least every TURN seconds until the end of the block.

    What was set before is put back by the last such block, unless somebody else has set it meanwhile.
    """
    global _servers, _before
    with _counting:
        _servers += 1
        if _servers == 1:
            _before = sys.getswitchinterval()
            if _before > TURN:
                sys.setswitchinterval(TURN)
    try:
        yield
    finally:
        with _counting:
            _servers -= 1
            if not _servers and _before > TURN and abs(sys.getswitchinterval() - TURN) < TURN / 100:
                sys.setswitchinterval(_before)
