"""Trimming: the oldest events go, and a small mark of the newest of them stays.

A mark is an event's place without its text. By it a message that is sent again after it was trimmed is still
known. A client has at most 32 messages under way, so what it may send again is among its session's newest.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Mapping

from nbchat.store.schema import transaction

CHUNK = 5000
"""Events that go in one transaction: about 30 ms, for which appends have to wait."""
LONG = 1000
"""Bytes of a text for which it counts once more."""
MARKS = 64
"""Marks kept of each session in a room; twice what a client may have under way."""
MARK_AGE = 30 * 24 * 3600 * 1000
"""Milliseconds after which a mark goes: no client tries for a month to send one message."""

# The rooms of which something is to go. Of each, the log is asked only for its oldest event.
_DUE = """SELECT name FROM room WHERE head - trimmed > :number OR (
    head > trimmed
    AND (SELECT at FROM log WHERE log.room = name AND seq > trimmed ORDER BY seq LIMIT 1) < :before)"""
_ROOM = "SELECT head, trimmed FROM room WHERE name = ?"
_OLDEST = "SELECT seq, at, session, id, length(body) FROM log WHERE room = ? AND seq > ? ORDER BY seq"
_DELETE = "DELETE FROM log WHERE room = ? AND seq <= ?"
_TRIMMED = "UPDATE room SET trimmed = ? WHERE name = ?"
_MARK = "INSERT OR REPLACE INTO mark VALUES (?, ?, ?, ?, ?)"
_TOO_MANY = """DELETE FROM mark WHERE room = :room AND session = :session AND seq <= (
    SELECT seq FROM mark WHERE room = :room AND session = :session ORDER BY seq DESC LIMIT 1 OFFSET :marks)"""
_TOO_OLD = """DELETE FROM mark WHERE (room, session, id) IN
    (SELECT room, session, id FROM mark WHERE at < ? LIMIT ?)"""

Row = tuple[int, int, str, str]
"""seq, at, session, id"""


class Trim:
    """One trimming, done a chunk at a time. ``number`` newest events stay, ``before`` is an ``at``, which
    counts up to the seq of each room in ``upto``. ``cleared``: instead, all events of that room up to that
    seq."""

    def __init__(
        self,
        number: int | None,
        before: int | None,
        now: int,
        *,
        upto: Mapping[str, int] | None = None,
        cleared: tuple[str, int] | None = None,
    ) -> None:
        self._cleared = cleared
        self._upto = upto
        self._number = 2**62 if number is None else number
        self._before = -(2**62) if before is None else before
        self._marks_from = now - MARK_AGE
        self._rooms: deque[str] = deque()
        self.is_done = False

    def find(self, db: sqlite3.Connection) -> None:
        """Find the rooms it is about."""
        if self._cleared is not None:
            room = self._cleared[0]
            self._rooms.extend([room] if db.execute(_ROOM, (room,)).fetchone() else [])
            return
        self._rooms.extend(
            room for (room,) in db.execute(_DUE, {"number": self._number, "before": self._before})
        )

    def take(self, db: sqlite3.Connection) -> dict[str, int]:
        """Take one chunk away; returns the last seq that is gone, of each room that lost some."""
        gone: dict[str, int] = {}
        rooms, left = self._rooms.copy(), CHUNK
        with transaction(db):
            while rooms:
                went, left = self._oldest(db, rooms[0], left)
                if went:
                    gone[rooms[0]] = went[-1][0]
                    self._remove(db, rooms[0], went)
                if left <= 0:
                    break
                rooms.popleft()
            expired = db.execute(_TOO_OLD, (self._marks_from, CHUNK)).rowcount
        self._rooms = rooms
        self.is_done = not rooms and expired < CHUNK
        return gone

    def _oldest(self, db: sqlite3.Connection, room: str, left: int) -> tuple[list[Row], int]:
        """What goes of a room in this chunk, and how much of the chunk is left then."""
        head, trimmed = db.execute(_ROOM, (room,)).fetchone()
        went: list[Row] = []
        events = db.execute(_OLDEST, (room, trimmed))
        for seq, at, session, id, size in events:
            if left <= 0 or not self._goes(room, seq, at, head):
                break
            went.append((seq, at, session, id))
            left -= 1 + size // LONG
        events.close()
        return went, left

    def _goes(self, room: str, seq: int, at: int, head: int) -> bool:
        if self._cleared is not None:
            return seq <= self._cleared[1]
        may_be_old = self._upto is None or seq <= self._upto.get(room, 0)
        return seq <= head - self._number or (may_be_old and at < self._before)

    def _remove(self, db: sqlite3.Connection, room: str, went: list[Row]) -> None:
        db.execute(_DELETE, (room, went[-1][0]))
        db.execute(_TRIMMED, (went[-1][0], room))
        self._mark(db, room, went)

    def _mark(self, db: sqlite3.Connection, room: str, went: list[Row]) -> None:
        newest: dict[str, deque[tuple[str, str, str, int, int]]] = {}
        for seq, at, session, id in went:
            if at >= self._marks_from:
                newest.setdefault(session, deque(maxlen=MARKS)).append((room, session, id, seq, at))
        for session, marks in newest.items():
            db.executemany(_MARK, marks)
            db.execute(_TOO_MANY, {"room": room, "session": session, "marks": MARKS})
