"""The threads that hold SQLite's connections: one that writes, in groups, and one that reads.

Results go back to the event loop's thread in one call for a whole commit.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from nbchat.core.errors import StoreDown, StoreError, StoreFull
from nbchat.store import forks  # noqa: F401  what a fork beside our threads says
from nbchat.store.promise import Event, Receipt
from nbchat.store.sqlite_errors import named, unwritable
from nbchat.store.trim import Trim

T = TypeVar("T")

GROUP = 1000
"""Messages in one commit at the most: about 10 ms of work."""

_INSERT = "INSERT INTO log VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (room, session, id) DO NOTHING"
_FIND = "SELECT seq, at FROM log WHERE room = ? AND session = ? AND id = ?"
_FIND_MARK = "SELECT seq, at FROM mark WHERE room = ? AND session = ? AND id = ?"
_ROOM = "SELECT head, trimmed FROM room WHERE name = ?"
_SET_HEAD = """INSERT INTO room (name, head) VALUES (?, ?)
    ON CONFLICT (name) DO UPDATE SET head = excluded.head"""


class Append:
    __slots__ = ("body", "committed", "future", "id", "room", "session")

    def __init__(
        self,
        room: str,
        session: str,
        id: str,
        body: bytes,
        future: asyncio.Future[Receipt],
        committed: Callable[[dict[str, list[Event]]], None],
    ) -> None:
        self.room, self.session, self.id, self.body = room, session, id, body
        self.future, self.committed = future, committed


class Call:
    __slots__ = ("function", "future")

    def __init__(self, function: Callable[[sqlite3.Connection], Any], future: asyncio.Future[Any]) -> None:
        self.function, self.future = function, future


class Worker:
    """A daemon thread with a connection of its own, which does its jobs in order."""

    _name = "nbchat store"

    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        self.jobs: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._connect = connect
        self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        self._thread.start()

    async def call(self, function: Callable[[sqlite3.Connection], T]) -> T:
        future = asyncio.get_running_loop().create_future()
        self.jobs.put(Call(function, future))
        return await future  # type: ignore[no-any-return]

    async def end(self) -> None:
        future = asyncio.get_running_loop().create_future()
        self.jobs.put(Call(sqlite3.Connection.close, future))
        self.jobs.put(None)
        with contextlib.suppress(sqlite3.Error):
            await future
        self._thread.join(2)

    def _run(self) -> None:
        db: sqlite3.Connection | None = None
        while (job := self.jobs.get()) is not None:
            if db is None and isinstance(job, Call) and job.function is sqlite3.Connection.close:
                _post(job.future)  # never connected
                continue
            try:
                db = db or self._connect()
            except (sqlite3.Error, StoreError, OSError) as error:
                _post(job.future, error=unwritable(error) if isinstance(error, OSError) else error)
                continue
            self._do(db, job)

    def _do(self, db: sqlite3.Connection, job: Any) -> None:
        try:
            result = job.function(db)
        except Exception as error:  # whoever asked has to hear of it, and the thread goes on
            _post(job.future, error=error)
        else:
            _post(job.future, result)


class Writer(Worker):
    """Owns the writing connection: groups appends into commits and gives the numbers."""

    _name = "nbchat store writer"

    def __init__(
        self,
        connect: Callable[[], sqlite3.Connection],
        clock: Callable[[], float],
        path: Path | None,
        see: Callable[[], None],
    ) -> None:
        self._clock = clock
        self._see = see
        """Raises StoreDown if the file is not where it was; two of the system's calls, a few microseconds."""
        self._path = path
        self._heads: dict[str, int] = {}
        self._trimmed: set[str] = set()
        """Rooms that perhaps lost something: only there a message may be known by its mark."""
        self._refused: dict[tuple[str, str], str] = {}
        """(room, session) → the id that has to come again before any other of that session."""
        super().__init__(connect)

    def take(self, db: sqlite3.Connection, trim: Trim) -> dict[str, int]:
        """Take one chunk of a trimming away, between two commits."""
        try:
            gone = trim.take(db)
        except BaseException:
            self._heads.clear()  # it may be done all the same: what was trimmed is read again with the heads
            raise
        self._trimmed.update(gone)
        return gone

    def give_up(self, db: sqlite3.Connection, room: str, session: str, id: str) -> Receipt | None:
        """What became of an event that is not to be appended any more; nothing waits for it then."""
        if self._refused.get((room, session)) == id:
            del self._refused[room, session]
        once = (room, session, id)
        found = db.execute(_FIND, once).fetchone() or db.execute(_FIND_MARK, once).fetchone()
        return Receipt(found[0], found[1], duplicate=True) if found else None

    def _do(self, db: sqlite3.Connection, job: Any) -> None:
        if not isinstance(job, list):
            super()._do(db, job)
            return
        group, other = job, None
        while len(group) < GROUP and not self.jobs.empty():
            following = self.jobs.get()
            if not isinstance(following, list):
                other = following
                break
            group = group + following
        for start in range(0, len(group), GROUP):
            self._commit(db, group[start : start + GROUP])
        if other is not None:
            super()._do(db, other)

    def _commit(self, db: sqlite3.Connection, group: list[Append]) -> None:
        at = int(self._clock() * 1000)
        heads: dict[str, int] = {}
        events: dict[str, list[Event]] = {}
        answers: list[tuple[Append, Receipt | StoreError]] = []
        came: set[tuple[str, str]] = set()
        failed: StoreError | None = None
        try:
            db.execute("BEGIN IMMEDIATE")
            for job in group:
                answers.append((job, self._insert(db, job, at, heads, events, came)))
            if heads:
                db.executemany(_SET_HEAD, heads.items())
            self._see()
        except StoreDown as error:
            failed = error
        except Exception as error:
            failed = named(error, self._path, before_commit=True)
        if failed is None:
            try:
                db.execute("COMMIT")
                self._see()  # it may have gone meanwhile
            except StoreDown as error:
                failed = error
            except sqlite3.Error as error:
                failed = named(error, self._path)
        if failed is not None:
            with contextlib.suppress(sqlite3.Error):
                if db.in_transaction:
                    db.execute("ROLLBACK")
            self._heads.clear()
            events = {job.room: [] for job in group} if isinstance(failed, StoreDown) else {}
            answers = [(job, failed) for job in group]
        else:
            self._heads.update(heads)
        for job, answer in answers:
            key = (job.room, job.session)
            if isinstance(answer, StoreError):
                self._refused.setdefault(key, job.id)
            elif self._refused.get(key) == job.id:
                del self._refused[key]
        _deliver(answers, events)

    def _insert(
        self,
        db: sqlite3.Connection,
        job: Append,
        at: int,
        heads: dict[str, int],
        events: dict[str, list[Event]],
        came: set[tuple[str, str]],
    ) -> Receipt | StoreError:
        key = (job.room, job.session)
        if key in self._refused and key not in came:
            if self._refused[key] != job.id:
                return StoreFull("An earlier message has to be sent again first.")
            came.add(key)
        head = heads.get(job.room) or self._heads.get(job.room)
        if head is None:
            head, trimmed = db.execute(_ROOM, (job.room,)).fetchone() or (0, 0)
            if trimmed:
                self._trimmed.add(job.room)
        once = (job.room, job.session, job.id)
        if job.room in self._trimmed and (mark := db.execute(_FIND_MARK, once).fetchone()):
            seq, then = mark
            return Receipt(seq, then, duplicate=True)
        row = (job.room, head + 1, at, job.session, job.id, job.body)
        if db.execute(_INSERT, row).rowcount == 0:
            seq, then = db.execute(_FIND, once).fetchone()
            return Receipt(seq, then, duplicate=True)
        heads[job.room] = head + 1
        events.setdefault(job.room, []).append(Event(*row[1:]))
        return Receipt(head + 1, at)


def _deliver(answers: list[tuple[Append, Receipt | StoreError]], events: dict[str, list[Event]]) -> None:
    """Take one commit's results to the loop's thread: the events first, then the receipts."""
    first = answers[0][0]

    def arrive() -> None:
        if events:
            first.committed(events)
        for job, answer in answers:
            if job.future.done():
                continue
            if isinstance(answer, Receipt):
                job.future.set_result(answer)
            else:
                job.future.set_exception(answer)

    with contextlib.suppress(RuntimeError):  # the loop has ended; nobody waits for this any more
        first.future.get_loop().call_soon_threadsafe(arrive)


def _post(future: asyncio.Future[Any], result: Any = None, *, error: Exception | None = None) -> None:
    def arrive() -> None:
        if not future.done():
            future.set_exception(error) if error is not None else future.set_result(result)

    with contextlib.suppress(RuntimeError):
        future.get_loop().call_soon_threadsafe(arrive)
