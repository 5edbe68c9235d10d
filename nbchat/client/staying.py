"""``client.run()``: a program that stays until it is told to end."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

from nbchat.client.state import State

_LOOK = 0.5 if sys.platform == "win32" else None
"""Seconds between two looks: on Windows a wait without an end does not hear Ctrl-C."""


def stay(state: State, end: Callable[[], None]) -> None:
    """Return when the client is closed. Ctrl-C and SIGTERM call ``end``, which closes it; a second one ends
    the program as usual. Only in the main thread, and where the program has no way of its own with them."""
    with _on_signals(end):
        while not state.wait(lambda: state.status == "closed", _LOOK):
            pass


@contextlib.contextmanager
def _on_signals(end: Callable[[], None]) -> Iterator[None]:
    before: dict[int, Any] = {}

    def stop(number: int, frame: object) -> None:
        restore()
        end()

    def restore() -> None:
        for number, handler in before.items():
            if signal.getsignal(number) is stop:
                signal.signal(number, handler)

    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
                before[number] = signal.signal(number, stop)
    try:
        yield
    finally:
        restore()
