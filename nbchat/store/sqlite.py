"""A store in a file of SQLite's.

One writer thread owns the writing connection. It takes all that was appended while the last commit ran
and makes it the next one, so that a disk's sync is paid once for many messages. Pages and searches
read through a second connection on a thread of its own and never wait for a commit. The event
loop's thread only hands work over and takes results back, one call for a whole commit.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing, closing
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import TypeVar

from nbchat.core.errors import StoreDown, StoreError
from nbchat.store import corruption, keyfile, upgrade
from nbchat.store.corruption import Damaged
from nbchat.store.ownership import File
from nbchat.store.pieces import bounded
from nbchat.store.promise import Deliver, Event, Receipt
from nbchat.store.schema import identify, transaction
from nbchat.store.scrub import InUse, scrub
from nbchat.store.sqlite_errors import gone, named, unopened
from nbchat.store.subscribers import Queue
from nbchat.store.trim import Trim
from nbchat.store.writer import GROUP, Append, Worker, Writer

T = TypeVar("T")
log = logging.getLogger("nbchat")

RECENT = 1024
"""Events of a room kept at hand for its readers, more than one commit brings; older ones are read."""
READ = 500
"""Events in one read of the database."""
READ_SIZE = 1024 * 1024
"""Bytes in one."""
BUSY = 2.0
"""Seconds to wait for a program that has the file locked. Longer than it takes to look into a file or to
copy it, and short enough that a sender is told while it still looks; meanwhile all appends wait."""
SCRUBS = 5
"""How often, each for BUSY, to wait for those who read a text that is to be taken out of the file."""

# One statement, so that what is left and what was trimmed are of one moment.
_AFTER = """SELECT trimmed, seq, at, session, id, body
    FROM room LEFT JOIN log ON log.room = room.name AND log.seq > ?
    WHERE room.name = ? ORDER BY log.seq LIMIT ?"""
_BEFORE = "SELECT seq, at, session, id, body FROM log WHERE room = ? AND seq < ? ORDER BY seq DESC LIMIT ?"
_SINCE = "SELECT seq, at, session, id, body FROM log WHERE room = ? AND seq > ? ORDER BY seq LIMIT ?"
_HEAD = "SELECT head FROM room WHERE name = ?"
_HEADS = "SELECT name, head FROM room WHERE head > 0"
_TRIMMED = "SELECT trimmed FROM room WHERE name = ?"
_REDACT = "UPDATE log SET body = ? WHERE room = ? AND seq = ?"
_REDACTED = b'{"type":"redacted"}'


class SQLiteStore:
    """Keeps the :class:`RoomStore` promise in the file ``where``. Loop thread only."""

    def __init__(self, where: str | Path, clock: Callable[[], float], *, is_own_place: bool = False) -> None:
        self.path = Path(where).expanduser().absolute()
        self.log_id = ""
        self.is_file = True
        self.damage: str | None = None
        self.keys = ""
        self._meta: dict[str, str] = {}
        self._clock = clock
        self._is_own_place = is_own_place
        self._rooms: dict[str, _Recent] = {}
        self._file = File(self.path)
        self._writer: Writer | None = None
        self._reader: Worker | None = None
        self._is_scrubbed = True
        self._is_gone = False
        self._new: list[Append] = []
        """What was appended in this tick."""

    @property
    def meta(self) -> dict[str, str]:
        return self._meta

    async def open(self) -> None:
        if self._writer is not None:
            return
        self._file.own()
        try:
            self.damage = None
            if self._file.has_lost_its_main_part:
                self.damage = self._file.move_aside("its main part is empty", self._clock())
            try:
                await self._begin()
            except (sqlite3.Error, Damaged) as error:
                is_ours = self._file.may_be_moved(is_own_place=self._is_own_place)
                if not corruption.is_damage(error) or not is_ours:
                    raise
                self.damage = self._file.move_aside(str(error), self._clock())
                await self._begin()
        except (sqlite3.Error, Damaged) as error:
            self._file.release()
            raise unopened(error, self.path) from error
        except BaseException:
            self._file.release()
            raise

    async def _begin(self) -> None:
        """Connect, and see that all is in order."""
        file = self._file
        is_suspect = corruption.is_suspect(file.path)
        is_doubtful = is_suspect or (file.was_abandoned and file.is_small)

        def start(db: sqlite3.Connection) -> tuple[dict[str, str], str]:
            meta = corruption.begin(db)
            if is_doubtful:
                corruption.look_through(db, with_indexes=is_suspect)
            return meta, upgrade.keys(db, meta, file.path)

        writer = Writer(self._connect, self._clock, self.path, self._see)
        reader = Worker(self._connect)
        try:
            meta, self.keys = await writer.call(start)
            await reader.call(identify)  # at once: later there may be no right or no room to open it
            file.is_whole()
        except BaseException:
            await reader.end()
            await writer.end()
            raise
        corruption.clear(file.path)
        self._writer, self._reader = writer, reader
        self._meta, self.log_id = meta, meta["log_id"]
        if upgrade.UNSCRUBBED in meta:
            await self._scrub_older()

    async def close(self) -> None:
        writer, reader = self._writer, self._reader
        if writer is None:
            return
        self._hand_over()
        self._writer = self._reader = None
        rooms, self._rooms = self._rooms, {}
        for recent in rooms.values():
            recent.queue.wake()
        with contextlib.suppress(StoreDown, sqlite3.Error):
            await writer.call(self._look)
        if reader is not None:
            await reader.end()
        await writer.end()
        self._file.release()

    def forked(self) -> None:
        self._writer = self._reader = None
        self._file.forked()

    def append(self, room: str, session: str, id: str, body: bytes) -> asyncio.Future[Receipt]:
        self._working()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Receipt] = loop.create_future()
        if not self._new:
            loop.call_soon(self._hand_over)
        self._new.append(Append(room, session, id, body, future, self._committed))
        return future

    def _hand_over(self) -> None:
        """Give the writer all that was appended in this tick: what came together is committed together,
        and so goes out to everybody in one write."""
        new, self._new = self._new, []
        if new:
            self._working().jobs.put(new)

    def tail(self, room: str, after: int) -> AsyncIterator[list[Event]]:
        return self._read_on(room, after, None)

    async def follow(self, room: str, after: int, deliver: Deliver) -> None:
        async with aclosing(self._read_on(room, after, deliver)) as reading:
            async for events in reading:
                deliver(events)

    async def _read_on(
        self, room: str, after: int, deliver: Deliver | None
    ) -> AsyncGenerator[list[Event], None]:
        """All that comes after ``after``; with ``deliver`` only what was not handed to that."""
        recent = self._rooms.setdefault(room, _Recent())
        recent.readers += 1
        try:
            while True:
                seen = recent.commits
                events = recent.after(after)
                if events is None:
                    events, trimmed = await self._read_after(room, after)
                    if not events and after < trimmed:
                        after = trimmed
                        yield []
                        continue
                if events:
                    after = events[-1].seq
                    yield events
                elif self._rooms.get(room) is not recent:
                    raise StoreDown("The history is closed.")
                elif seen == recent.commits:
                    after = await recent.queue.wait(after, deliver)
        finally:
            recent.readers -= 1
            if not recent.readers and self._rooms.get(room) is recent:
                del self._rooms[room]

    async def history(
        self, room: str, *, before: int | None = None, limit: int = 50, size: int | None = None
    ) -> list[Event]:
        arguments = (room, 2**62 if before is None else before, limit)
        return (await self._piece(_BEFORE, arguments, size))[::-1]

    async def since(self, room: str, after: int, *, limit: int, size: int) -> list[Event]:
        recent = self._rooms.get(room)
        if recent is not None and (found := recent.after(after)):
            return list(bounded(islice(found, limit), size))
        events = await self._piece(_SINCE, (room, after, limit), size)
        self._check_new()
        return events

    async def head(self, rooms: list[str]) -> dict[str, int]:
        return await self._numbers(_HEAD, rooms)

    async def trimmed(self, rooms: list[str]) -> dict[str, int]:
        return await self._numbers(_TRIMMED, rooms)

    async def redact(self, room: str, *seqs: int) -> None:
        def write(db: sqlite3.Connection, part: tuple[int, ...]) -> None:
            with transaction(db):
                db.executemany(_REDACT, [(_REDACTED, room, seq) for seq in part])

        try:
            for start in range(0, len(seqs), GROUP):
                await self._change(partial(write, part=seqs[start : start + GROUP]))
        finally:
            self._is_scrubbed = False  # now: until the text went, somebody else's scrub may have ended
        if recent := self._rooms.get(room):
            recent.events.clear()
        await self._scrub()

    @property
    def size(self) -> int:
        size = 0
        for path in (self.path, self.path.with_name(self.path.name + "-wal")):
            with contextlib.suppress(OSError):
                size += path.stat().st_size
        return size

    async def shrink(self, size: int) -> dict[str, int]:
        return {}

    async def heads(self) -> dict[str, int]:
        def read(db: sqlite3.Connection) -> dict[str, int]:
            return dict(db.execute(_HEADS).fetchall())

        return await self._call(self._working(), read)

    async def trim(
        self, *, number: int | None = None, before: int | None = None, upto: Mapping[str, int] | None = None
    ) -> dict[str, int]:
        trim = Trim(number, before, int(self._clock() * 1000), upto=upto)
        await self._call(self._reading(), trim.find)
        return await self._trim(trim)

    async def clear(self, room: str, upto: int) -> None:
        trim = Trim(None, None, int(self._clock() * 1000), cleared=(room, upto))
        await self._call(self._working(), trim.find)  # it sees what is being committed, too
        await self._trim(trim)

    async def give_up(self, room: str, session: str, id: str) -> Receipt | None:
        writer = self._working()  # what it does belongs to that one
        return await self._change(partial(writer.give_up, room=room, session=session, id=id))

    async def keep_keys(self, keys: str) -> None:
        await self._change(lambda db: keyfile.write(self.path, keys))
        self.keys = keys

    async def look(self) -> None:
        await self._call(self._working(), self._look)

    async def _trim(self, trim: Trim) -> dict[str, int]:
        gone: dict[str, int] = {}
        while not trim.is_done:
            writer = self._working()
            try:
                part = await self._change(partial(writer.take, trim=trim))
            except BaseException:
                self._is_scrubbed = False
                raise
            self._is_scrubbed = self._is_scrubbed and not part
            for room, seq in part.items():
                if recent := self._rooms.get(room):
                    recent.trim(seq)
            gone |= part
        await self._scrub()
        return gone

    async def remember(self, key: str, value: str) -> None:
        def write(db: sqlite3.Connection) -> None:
            db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

        await self._change(write)
        self._meta[key] = value

    # ── inside ──

    def _working(self) -> Writer:
        if self._writer is None:
            raise StoreDown("The history is closed.")
        return self._writer

    def _reading(self) -> Worker:
        if self._reader is None:
            raise StoreDown("The history is closed.")
        return self._reader

    def _see(self) -> None:
        """See whether the file is still where it was. The writer's thread."""
        missing = self._file.missing()
        self._is_gone = missing is not None
        if missing is not None:
            raise gone(self.path, missing)

    def _look(self, db: sqlite3.Connection) -> None:
        try:
            self._see()
        except StoreDown:
            # What the log has belongs to that file: in another one of its name it would be damage.
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            raise

    async def _change(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Have the writer do something; done only if it went into the file that has the name still."""

        def change(db: sqlite3.Connection) -> T:
            self._see()
            result = function(db)
            self._see()
            return result

        return await self._call(self._working(), change)

    async def _numbers(self, query: str, rooms: list[str]) -> dict[str, int]:
        def read(db: sqlite3.Connection) -> dict[str, int]:
            return {room: (db.execute(query, (room,)).fetchone() or (0,))[0] for room in rooms}

        return await self._call(self._working(), read)

    async def _read_after(self, room: str, after: int) -> tuple[list[Event], int]:
        """Some of the room's events after ``after``, and the last seq of it that was trimmed."""

        def read(db: sqlite3.Connection) -> tuple[list[Event], int]:
            with closing(db.execute(_AFTER, (after, room, READ))) as rows:
                first = rows.fetchone()
                if first is None or first[1] is None:  # no such room, or nothing is left after that
                    return [], first[0] if first else 0
                events = (Event(*row[1:]) for row in chain([first], rows))
                return list(bounded(events, READ_SIZE)), first[0]

        found = await self._call(self._reading(), read)
        self._check_new()
        return found

    async def _piece(self, query: str, arguments: tuple[object, ...], size: int | None) -> list[Event]:
        def read(db: sqlite3.Connection) -> list[Event]:
            # A row is read from the file when it is asked for.
            with closing(db.execute(query, arguments)) as rows:
                return list(bounded((Event(*row) for row in rows), size))

        return await self._call(self._reading(), read)

    def _check_new(self) -> None:
        """What is given out as new is a receipt: of a file that is gone there is none."""
        if self._is_gone:
            raise StoreDown("The file of the history is gone.")

    async def _scrub(self) -> None:
        """Take what was deleted out of the file, too."""
        file = self._file
        assert file.raw is not None
        work, tries = partial(scrub, file=file.raw, path=file.path), SCRUBS
        while not self._is_scrubbed:
            try:
                self._is_scrubbed = await self._change(work)
            except InUse:
                tries -= 1
                if not tries:
                    raise StoreDown(
                        "The text is no longer in the history, but still in its file, since another program "
                        f"uses it: {file.path}. End that program, and take the text away again."
                    ) from None

    async def _scrub_older(self) -> None:
        """Take the keys and sessions that stood in an older file out of its bytes."""

        assert self._file.raw is not None
        try:
            await self._change(partial(upgrade.scrub_all, file=self._file.raw, path=self.path))
            del self._meta[upgrade.UNSCRUBBED]
        except (InUse, StoreError) as error:
            why = "another program uses it" if isinstance(error, InUse) else str(error)
            log.warning(
                "keys and sessions that older versions kept in %s are perhaps still in its bytes, and are "
                "taken out when it is opened next: %s",
                self.path,
                why,
            )

    async def _call(self, worker: Worker, function: Callable[[sqlite3.Connection], T]) -> T:
        if worker is self._writer:
            self._hand_over()  # what was appended before comes before
        try:
            return await worker.call(function)
        except sqlite3.Error as error:
            raise named(error, self.path) from error

    def _committed(self, events: dict[str, list[Event]]) -> None:
        for room, new in events.items():
            if recent := self._rooms.get(room):
                recent.add(new)

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=BUSY)
        try:
            identify(db)
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=FULL")
            db.execute("PRAGMA secure_delete=ON")  # what is redacted goes from the file, too
        except sqlite3.Error:
            db.close()
            raise
        return db


class _Recent:
    """The newest events of one room, for those who read its end. Loop thread only."""

    def __init__(self) -> None:
        self.events: deque[Event] = deque(maxlen=RECENT)
        self.readers = 0
        self.commits = 0
        self.queue = Queue()

    def add(self, events: list[Event]) -> None:
        """What one commit brought; nothing when it is not known, and the database has to be asked."""
        self.commits += 1
        if not events or (self.events and self.events[-1].seq + 1 != events[0].seq):
            self.events.clear()
        self.events.extend(events)
        self.queue.hand(events)

    def trim(self, seq: int) -> None:
        """Forget what is gone up to ``seq``."""
        while self.events and self.events[0].seq <= seq:
            self.events.popleft()

    def after(self, seq: int) -> list[Event] | None:
        """What comes after ``seq``; None when the database has to be asked."""
        if not self.events or self.events[0].seq > seq + 1:
            return None
        return list(islice(self.events, seq + 1 - self.events[0].seq, None))
