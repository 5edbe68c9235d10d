"""Where handlers' prints go: to a program's own standard output, but in a notebook to no cell.

What a thread prints in a notebook lands in whatever cell happens to run. So there, while a handler runs, a
stand-in for sys.stdout and sys.stderr takes what that handler writes, and passes on everything else.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from typing import Any


class Printed(io.StringIO):
    """What one call of a handler prints. What its tasks print after it has ended is told at once."""

    late: Callable[[str], None] | None = None

    def write(self, text: str) -> int:
        if self.late is None:
            return super().write(text)
        if text.strip():
            self.late(text)
        return len(text)


_taken: ContextVar[Printed | None] = ContextVar("nbchat_prints", default=None)
"""Where the handler that runs in this context prints to; its own coroutines' context has it, too."""


def is_kernel() -> bool:
    """Whether this is a notebook's kernel."""
    module = sys.modules.get("ipykernel.kernelapp")
    return module is not None and bool(module.IPKernelApp.initialized())


class _Routed:
    """Stands in for a standard stream. But for what handlers write it is that stream, in every way: its
    encoding, its descriptor, its class."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.users = 0

    @property  # type: ignore[misc]
    def __class__(self) -> type:  # so that isinstance() finds what it found before
        return type(self.stream)

    def write(self, text: str) -> int:
        buffer = _taken.get()
        return int((self.stream if buffer is None else buffer).write(text))

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        if _taken.get() is None:
            self.stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.stream)

    def __enter__(self) -> _Routed:
        self.stream.__enter__()
        return self

    def __exit__(self, *error: Any) -> Any:
        return self.stream.__exit__(*error)


_routing = threading.Lock()


@contextlib.contextmanager
def taken(buffer: Printed) -> Iterator[None]:
    """Take what this context prints, and nobody else's prints, into a buffer."""
    routed: list[tuple[str, _Routed]] = []
    with _routing:
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if type(stream) is not _Routed:
                stream = _Routed(stream)
                setattr(sys, name, stream)
            stream.users += 1
            routed.append((name, stream))
    token = _taken.set(buffer)
    try:
        yield
    finally:
        _taken.reset(token)
        with _routing:
            for name, stream in routed:
                stream.users -= 1
                if not stream.users and getattr(sys, name) is stream:
                    setattr(sys, name, stream.stream)


def tell(text: str) -> None:
    """A program's standard error is told; where it has none any more, nobody is."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stderr.write(text)
        sys.stderr.flush()


def _after_fork() -> None:
    """A forked child has no handlers, and prints where it would without them."""
    global _routing
    _routing = threading.Lock()
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if type(stream) is _Routed:
            setattr(sys, name, stream.stream)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
