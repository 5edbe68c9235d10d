"""A room's newest lines in the plain encoding, each with its author's session.

A plain client is an offset into them, as a native one is in fanout.py.
"""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import Protocol

from nbchat.core import plain

_LEFT_OUT = plain.notice("you were too slow; some messages were left out")


class Reader(Protocol):
    """A plain member."""

    def __hash__(self) -> int: ...

    def wake(self) -> None:
        """There may be something to write."""


class PlainRing:
    """The newest lines of a room for its plain members. Loop thread only."""

    def __init__(self) -> None:
        self._lines: deque[tuple[str, str]] = deque(maxlen=plain.MOST_LINES)
        self._end = 0
        self._readers: dict[Reader, None] = {}

    @property
    def is_empty(self) -> bool:
        return not self._readers

    def publish(self, line: str, author: str) -> None:
        """Give every reader but its author one line."""
        self._lines.append((author, line))
        self._end += 1
        for reader in self._readers:
            reader.wake()

    def enter(self, reader: Reader) -> int:
        self._readers[reader] = None
        return self._end

    def leave(self, reader: Reader) -> None:
        self._readers.pop(reader, None)

    def since(self, offset: int, session: str, most: int) -> tuple[list[str], int]:
        """The lines from an offset on that are not this session's own, about ``most`` bytes of them and
        one at least, and the offset after them."""
        first = self._end - len(self._lines)
        lines = [_LEFT_OUT] if offset < first else []
        offset = max(offset, first)
        size = 0
        for author, line in islice(self._lines, offset - first, None):
            size += len(line.encode()) + 1
            if lines and size > most:
                break
            offset += 1
            if author != session:
                lines.append(line)
        return lines, offset
