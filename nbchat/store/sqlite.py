"""A store in SQLite: a file, or this process's memory.

One writer thread owns the writing connection. It takes all that was appended while the last commit ran
and makes it the next one, so that a disk's sync is paid once for many messages. Pages and searches of a
file read through a second connection on a thread of its own and never wait for a commit. The event
loop's thread only hands work over and takes results back, one call for a whole commit.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import sqlite3
from collections import deque
from collections.abc import AsyncIterator, Callable
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import filelock

from nbchat.core.errors import AlreadyServing, StoreDown, StoreFull
from nbchat.store import Event, Receipt
from nbchat.store.writer import HEAD, Append, Worker, Writer, is_full, unwritable

T = TypeVar("T")

SCHEMA = 1
RECENT = 1024
"""Events of a room kept at hand for its readers, more than one commit brings; older ones are read."""
READ = 500
"""Events in one read of the database."""

_TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE room (name TEXT PRIMARY KEY, head INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE log (
    room TEXT NOT NULL, seq INTEGER NOT NULL, at INTEGER NOT NULL,
    session TEXT NOT NULL, id TEXT NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (room, seq)
) WITHOUT ROWID;
CREATE UNIQUE INDEX log_once ON log (room, session, id);
"""
_AFTER = "SELECT seq, at, session, id, body FROM log WHERE room = ? AND seq > ? ORDER BY seq LIMIT ?"
_BEFORE = "SELECT seq, at, session, id, body FROM log WHERE room = ? AND seq < ? ORDER BY seq DESC LIMIT ?"
_REDACT = "UPDATE log SET body = ? WHERE room = ? AND seq = ?"
_REDACTED = b'{"type":"redacted"}'


class SQLiteStore:
    """Keeps the :class:`RoomStore` promise. ``where`` None: in memory. Loop thread only."""

    def __init__(self, where: str | Path | None, clock: Callable[[], float]) -> None:
        self.path = Path(where).expanduser().absolute() if where is not None else None
        self.log_id = ""
        self._meta: dict[str, str] = {}
        self._clock = clock
        self._rooms: dict[str, _Recent] = {}
        self._lock: filelock.BaseFileLock | None = None
        self._writer: Writer | None = None
        self._reader: Worker | None = None

    @property
    def meta(self) -> dict[str, str]:
        return self._meta

    async def open(self) -> None:
        if self._writer is not None:
            return
        if self.path is not None:
            self._lock = _own(self.path)
        try:
            writer = Writer(self._connect, self._clock)
            try:
                self._meta = await writer.call(_prepare)
            except BaseException:
                await writer.end()
                raise
        except sqlite3.Error as error:
            self._release()
            raise StoreDown(
                f"The history in {self.path} cannot be opened: {error}. Give another file with history=…, "
                "or history=None for a chat that keeps nothing."
            ) from error
        except BaseException:
            self._release()
            raise
        self.log_id = self._meta["log_id"]
        self._writer = writer
        self._reader = Worker(self._connect) if self.path is not None else None

    async def close(self) -> None:
        writer, reader = self._writer, self._reader
        if writer is None:
            return
        self._writer = self._reader = None
        rooms, self._rooms = self._rooms, {}
        for recent in rooms.values():
            recent.wake()
        if reader is not None:
            await reader.end()
        await writer.end()
        self._release()

    def append(self, room: str, session: str, id: str, body: bytes) -> asyncio.Future[Receipt]:
        writer = self._working()
        future: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        writer.jobs.put(Append(room, session, id, body, future, self._committed))
        return future

    async def tail(self, room: str, after: int) -> AsyncIterator[list[Event]]:
        recent = self._rooms.setdefault(room, _Recent())
        recent.readers += 1
        try:
            while True:
                seen = recent.commits
                events = recent.after(after)
                if events is None:
                    events = await self._read(_AFTER, room, after, READ)
                if events:
                    after = events[-1].seq
                    yield events
                elif self._rooms.get(room) is not recent:
                    raise StoreDown("The history is closed.")
                elif seen == recent.commits:
                    await recent.wait()
        finally:
            recent.readers -= 1
            if not recent.readers and self._rooms.get(room) is recent:
                del self._rooms[room]

    async def history(self, room: str, *, before: int | None = None, limit: int = 50) -> list[Event]:
        events = await self._read(_BEFORE, room, 2**62 if before is None else before, limit)
        return events[::-1]

    async def head(self, rooms: list[str]) -> dict[str, int]:
        def read(db: sqlite3.Connection) -> dict[str, int]:
            return {room: (db.execute(HEAD, (room,)).fetchone() or (0,))[0] for room in rooms}

        return await self._call(self._working(), read)

    async def redact(self, room: str, seq: int) -> None:
        def write(db: sqlite3.Connection) -> None:
            db.execute(_REDACT, (_REDACTED, room, seq))

        await self._call(self._working(), write)
        if recent := self._rooms.get(room):
            recent.events.clear()

    async def remember(self, key: str, value: str) -> None:
        def write(db: sqlite3.Connection) -> None:
            db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

        await self._call(self._working(), write)
        self._meta[key] = value

    # ── inside ──

    def _working(self) -> Writer:
        if self._writer is None:
            raise StoreDown("The history is closed.")
        return self._writer

    async def _read(self, query: str, *arguments: Any) -> list[Event]:
        def read(db: sqlite3.Connection) -> list[Event]:
            return [Event(*row) for row in db.execute(query, arguments)]

        return await self._call(self._reader or self._working(), read)

    @staticmethod
    async def _call(worker: Worker, function: Callable[[sqlite3.Connection], T]) -> T:
        try:
            return await worker.call(function)
        except sqlite3.Error as error:
            if is_full(error):
                raise StoreFull(
                    f"The history could not be written ({error}); nothing of it was kept."
                ) from error
            raise StoreDown(f"The history could not be read or written ({error}).") from error

    def _committed(self, events: dict[str, list[Event]]) -> None:
        for room, new in events.items():
            if recent := self._rooms.get(room):
                recent.add(new)

    def _connect(self) -> sqlite3.Connection:
        if self.path is None:
            return sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        db = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=5)
        try:
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=FULL")
            db.execute("PRAGMA secure_delete=ON")  # what is redacted goes from the file, too
        except sqlite3.Error:
            db.close()
            raise
        return db

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None


class _Recent:
    """The newest events of one room, for those who read its end. Loop thread only."""

    def __init__(self) -> None:
        self.events: deque[Event] = deque(maxlen=RECENT)
        self.readers = 0
        self.commits = 0
        self._waiting: list[asyncio.Future[None]] = []

    def add(self, events: list[Event]) -> None:
        """What one commit brought; nothing when it is not known, and the database has to be asked."""
        self.commits += 1
        if not events or (self.events and self.events[-1].seq + 1 != events[0].seq):
            self.events.clear()
        self.events.extend(events)
        self.wake()

    def wake(self) -> None:
        """Let every reader look again."""
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    def after(self, seq: int) -> list[Event] | None:
        """What comes after ``seq``; None when the database has to be asked."""
        if not self.events or self.events[0].seq > seq + 1:
            return None
        return list(islice(self.events, seq + 1 - self.events[0].seq, None))

    async def wait(self) -> None:
        future = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        await future


def _prepare(db: sqlite3.Connection) -> dict[str, str]:
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA:
        raise StoreDown(
            "This history was written by a newer nbchat. Update nbchat, or give another file with history=…"
        )
    if version == 0:
        if db.execute("SELECT 1 FROM sqlite_master").fetchone():
            raise StoreDown("This file is another program's database. Give another file with history=…")
        db.executescript(f"BEGIN; {_TABLES} PRAGMA user_version = {SCHEMA}; COMMIT;")
    db.execute("INSERT OR IGNORE INTO meta VALUES ('log_id', ?)", (secrets.token_hex(16),))
    return dict(db.execute("SELECT key, value FROM meta"))


def _own(path: Path) -> filelock.BaseFileLock:
    """Make this process the file's owner, or say who is."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        note = path.with_name(path.name + ".lock")
        lock = filelock.FileLock(note, timeout=0, mode=0o600)
        try:
            lock.acquire()
        except filelock.Timeout:
            pid = _owner(note)
            who = f"Process {pid}" if pid else "Another process"
            raise AlreadyServing(
                f"{who} already serves the history in {path}. To take part in that chat, type nbchat.join().",
                pid,
            ) from None
        try:
            note.write_text(f"{os.getpid()}\n")
            # Once, before SQLite opens it: closing another descriptor of an open database takes away its
            # locks, and the next program to look into the file would delete the log under our hands.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        except OSError:
            lock.release()
            raise
        return lock
    except OSError as error:
        raise unwritable(error) from error


def _owner(note: Path) -> int | None:
    try:
        return int(note.read_text())
    except (OSError, ValueError):
        return None
