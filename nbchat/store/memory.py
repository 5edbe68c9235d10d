"""A store in this process's memory: lists and dictionaries, on the loop's own thread.

Nothing waits for a disk, so there is no thread to hand work to, and beside a busy cell nothing waits for the
interpreter. What is appended in one tick of the loop becomes part of the logs at the tick's end, all at once.
"""

from __future__ import annotations

import asyncio
import math
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing
from itertools import islice, takewhile

from msgspec import Struct

from nbchat.core.errors import StoreDown
from nbchat.store.pieces import bounded
from nbchat.store.promise import Deliver, Event, Receipt
from nbchat.store.subscribers import Queue
from nbchat.store.trim import MARK_AGE, MARKS

_READ = 500
_EACH = 600
"""Bytes that an event takes beside its body: its object, its marks, its places in lists and dictionaries."""
_REDACTED = b'{"type":"redacted"}'


class _Append(Struct, frozen=True):
    room: str
    session: str
    id: str
    body: bytes
    future: asyncio.Future[Receipt]


class _Log:
    """One room: its events from ``trimmed`` + 1 on, and where each author's ids are."""

    __slots__ = ("events", "ids", "queue", "size", "trimmed")

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.ids: dict[str, dict[str, Receipt]] = {}
        """session → id → its place, oldest first; also those of the newest events that were trimmed."""
        self.trimmed = 0
        self.size = 0
        """Of the events, in bytes."""
        self.queue = Queue()

    @property
    def head(self) -> int:
        return self.trimmed + len(self.events)

    def add(self, session: str, id: str, body: bytes, at: int) -> Receipt:
        ids = self.ids.setdefault(session, {})
        if (known := ids.get(id)) is not None:
            return Receipt(known.seq, known.at, duplicate=True)
        receipt = ids[id] = Receipt(self.head + 1, at)
        self.events.append(Event(receipt.seq, at, session, id, body))
        self.size += _EACH + len(body)
        return receipt

    def after(self, seq: int, limit: int) -> list[Event]:
        start = max(0, seq - self.trimmed)
        return self.events[start : start + limit]

    def before(self, seq: int | None, limit: int) -> list[Event]:
        end = len(self.events) if seq is None else max(0, min(seq - 1, self.head) - self.trimmed)
        return self.events[max(0, end - limit) : end]

    def trim(self, number: int | None, before: int | None, upto: float = math.inf) -> bool:
        """Take the oldest events away; whether there were any."""
        too_many = len(self.events) - number if number is not None else 0
        old = takewhile(lambda each: each.at < (before or 0) and each.seq <= upto, self.events)
        too_old = sum(1 for _ in old) if before else 0
        count = max(too_many, too_old)
        if count > 0:
            self.size -= sum(_EACH + len(each.body) for each in islice(self.events, count))
            del self.events[:count]
            self.trimmed += count
        return count > 0

    def shrink(self, bytes_too_many: int) -> int:
        """Take so many bytes of the oldest events away, and no fewer; returns how many they were."""
        before, left, count = self.size, bytes_too_many, 0
        for event in self.events:
            if left <= 0:
                break
            left -= _EACH + len(event.body)
            count += 1
        self.trim(len(self.events) - count, None)
        return before - self.size

    def forget(self, marks_from: int) -> None:
        """Of what was trimmed, know no more than the newest ids of each session, and none for ever."""
        for session, ids in list(self.ids.items()):
            gone = [id for id, place in takewhile(lambda each: each[1].seq <= self.trimmed, ids.items())]
            old = sum(1 for id in gone if ids[id].at < marks_from)
            for id in islice(gone, max(old, len(gone) - MARKS)):
                del ids[id]
            if not ids:
                del self.ids[session]


class MemoryStore:
    """Keeps the :class:`RoomStore` promise until it is closed. Loop thread only."""

    is_file = False
    damage: str | None = None

    def __init__(self, clock: Callable[[], float]) -> None:
        self.log_id = ""
        self._clock = clock
        self._meta: dict[str, str] = {}
        self._rooms: dict[str, _Log] = {}
        self._new: list[_Append] = []
        self._is_open = False
        self.keys = ""

    @property
    def meta(self) -> dict[str, str]:
        return self._meta

    async def open(self) -> None:
        self.log_id = self.log_id or secrets.token_hex(16)
        self._loop = asyncio.get_running_loop()
        self._is_open = True

    async def close(self) -> None:
        self._keep()
        self._is_open = False
        for log in self._rooms.values():
            log.queue.wake()

    def forked(self) -> None:
        self._is_open = False

    def append(self, room: str, session: str, id: str, body: bytes) -> asyncio.Future[Receipt]:
        self._check()
        loop = self._loop
        if not self._new:
            loop.call_soon(self._keep)
        future: asyncio.Future[Receipt] = loop.create_future()
        self._new.append(_Append(room, session, id, body, future))
        return future

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
        self._check()
        log = self._rooms.setdefault(room, _Log())
        while self._is_open:
            if after < log.trimmed and not log.events:
                after = log.trimmed
                yield []
            elif events := log.after(after, _READ):
                after = events[-1].seq
                yield events
            else:
                after = await self._news(room, log, after, deliver)
        raise StoreDown("The history is closed.")

    async def history(
        self, room: str, *, before: int | None = None, limit: int = 50, size: int | None = None
    ) -> list[Event]:
        self._check()
        found = self._log(room).before(before, limit)
        return list(bounded(reversed(found), size))[::-1]

    async def since(self, room: str, after: int, *, limit: int, size: int) -> list[Event]:
        self._check()
        return list(bounded(self._log(room).after(after, limit), size))

    async def head(self, rooms: list[str]) -> dict[str, int]:
        self._check()
        return {room: self._log(room).head for room in rooms}

    async def trimmed(self, rooms: list[str]) -> dict[str, int]:
        self._check()
        return {room: self._log(room).trimmed for room in rooms}

    async def redact(self, room: str, *seqs: int) -> None:
        self._check()
        log = self._log(room)
        for seq in seqs:
            if log.trimmed < seq <= log.head:
                old = log.events[seq - log.trimmed - 1]
                log.events[seq - log.trimmed - 1] = Event(old.seq, old.at, old.session, old.id, _REDACTED)
                log.size -= len(old.body) - len(_REDACTED)

    @property
    def size(self) -> int:
        return sum(log.size for log in self._rooms.values())

    async def shrink(self, size: int) -> dict[str, int]:
        self._check()
        self._keep()
        await asyncio.sleep(0)
        gone: dict[str, int] = {}
        marks_from = int(self._clock() * 1000) - MARK_AGE
        too_many = self.size - size
        while too_many > 0:
            room, log = max(self._rooms.items(), key=lambda each: each[1].size)
            others = [each.size for each in self._rooms.values() if each is not log]
            # No further than the next room's size, so that of equal rooms all give.
            part = min(too_many, max(log.size - max(others, default=0), log.size // 8, 1))
            went = log.shrink(part)
            if not went:
                break
            log.forget(marks_from)
            gone[room] = log.trimmed
            too_many -= went
        return gone

    async def heads(self) -> dict[str, int]:
        self._check()
        return {room: log.head for room, log in self._rooms.items() if log.head}

    async def trim(
        self, *, number: int | None = None, before: int | None = None, upto: Mapping[str, int] | None = None
    ) -> dict[str, int]:
        self._check()
        # What was appended before is kept, and those who wait for it have it, before something goes.
        self._keep()
        await asyncio.sleep(0)
        gone = {
            room: log.trimmed
            for room, log in self._rooms.items()
            if log.trim(number, before, math.inf if upto is None else upto.get(room, 0))
        }
        marks_from = int(self._clock() * 1000) - MARK_AGE
        for log in self._rooms.values():
            if log.trimmed:
                log.forget(marks_from)
        return gone

    async def clear(self, room: str, upto: int) -> None:
        self._check()
        self._keep()
        await asyncio.sleep(0)
        log = self._log(room)
        if log.trim(log.head - min(upto, log.head), None):
            log.forget(int(self._clock() * 1000) - MARK_AGE)

    async def give_up(self, room: str, session: str, id: str) -> Receipt | None:
        self._check()
        self._keep()
        known = self._log(room).ids.get(session, {}).get(id)
        return Receipt(known.seq, known.at, duplicate=True) if known is not None else None

    async def keep_keys(self, keys: str) -> None:
        self._check()
        self.keys = keys

    async def look(self) -> None:
        self._check()

    async def remember(self, key: str, value: str) -> None:
        self._check()
        self._meta[key] = value

    # ── inside ──

    async def _news(self, room: str, log: _Log, after: int, deliver: Deliver | None) -> int:
        """Wait at the end of a log. One that has nothing in it is forgotten with the last who waits."""
        try:
            return await log.queue.wait(after, deliver)
        finally:
            if not log.head and not log.queue and self._rooms.get(room) is log:
                del self._rooms[room]

    def _check(self) -> None:
        if not self._is_open:
            raise StoreDown("The history is closed.")

    def _log(self, room: str) -> _Log:
        return self._rooms.get(room) or _Log()

    def _keep(self) -> None:
        """Take in what was appended in this tick, wake the readers, then answer."""
        new, self._new = self._new, []
        at = int(self._clock() * 1000)
        answers = []
        grown: dict[str, int] = {}
        for each in new:
            log = self._rooms.get(each.room)
            if log is None:
                log = self._rooms[each.room] = _Log()
            grown.setdefault(each.room, log.head)
            answers.append(log.add(each.session, each.id, each.body, at))
        for room, before in grown.items():
            log = self._rooms[room]
            if log.head > before:
                log.queue.hand(log.events[before - log.trimmed :])
        for each, receipt in zip(new, answers, strict=True):
            if not each.future.done():
                each.future.set_result(receipt)
