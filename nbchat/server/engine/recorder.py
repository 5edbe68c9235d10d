"""What hosts do, carried out: the rules are kept, texts taken away, and the deed put into the log.

One after the other, in this order: whoever sees a deed in the log can count on its having been kept. What
the store cannot do is tried again until it can. It holds meanwhile: that needs no disk.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import deque
from collections.abc import Callable
from functools import partial

from msgspec import structs

from nbchat.core import wire
from nbchat.core.effects import Decline, Record
from nbchat.core.errors import ChatError, ProtocolError, StoreDown, StoreError, StoreFull
from nbchat.core.frames import Deed, Refused, Said, Stored, Trimmed
from nbchat.core.hub import Hub
from nbchat.server.engine import authors
from nbchat.server.engine.peer import Peer
from nbchat.store.promise import RoomStore

log = logging.getLogger("nbchat")
KEY = "moderation"
"""Under which the store keeps the rules."""
HELD = "held"
"""And the names that are held."""
_RETRY = 1.0
"""Seconds before the store is asked again."""


class _Entry:
    def __init__(self, effect: Record, done: asyncio.Future[None]) -> None:
        self.room, self.deed, self.since, self.done = effect.room, effect.deed, effect.since, done


class Recorder:
    """Writes down what hosts of one server do. Loop thread only.

    ``publish`` gives a line to all who read a room, where somebody does.
    """

    def __init__(self, store: RoomStore, hub: Hub, publish: Callable[[str, bytes], None]) -> None:
        self._store = store
        self._hub = hub
        self._publish = publish
        self._kept = store.meta.get(KEY, "{}")
        self._names_kept = hub.held.version
        self._is_keeping = False
        self._waiting: deque[_Entry] = deque()
        self._task: asyncio.Task[None] | None = None

    def record(self, effect: Record) -> asyncio.Future[None]:
        """Write a deed down. The result is done when it is, and fails when it cannot be done (ProtocolError)
        or for now not be written (StoreError); a member's connection is told of that."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        if effect.conn is not None:
            done.add_done_callback(partial(_tell, effect))
        self._waiting.append(_Entry(effect, done))
        if self._task is None or self._task.done():
            self._task = loop.create_task(self._work())
        return done

    async def decline(self, effect: Decline) -> None:
        """Refuse a message, unless it is in the log."""
        conn: Peer = effect.conn  # type: ignore[assignment]
        try:
            receipt = await self._store.give_up(effect.room, effect.session, effect.id)
        except StoreError as error:
            conn.tell(Refused(code="storage_down", text=str(error), fatal=False, id=effect.id))
            return
        if receipt is not None:
            conn.tell(Stored(id=effect.id, seq=receipt.seq))
        else:
            conn.tell(Refused(code=effect.code, text=effect.text, fatal=False, id=effect.id))

    async def keep(self) -> None:
        """Keep the rules as they are now, where no deed brings that with it."""
        try:
            await self._keep()
        except StoreError as error:  # the next deed does it
            log.warning("what holds in the rooms could not be kept: %s", error)

    async def _keep(self) -> None:
        if (kept := self._hub.rules.kept) != self._kept:
            await self._store.remember(KEY, kept)
            self._kept = kept

    @property
    def has_news_of_names(self) -> bool:
        """Whether other names are held than the store knows of, and nobody is telling it."""
        return self._hub.held.version != self._names_kept and not self._is_keeping

    async def keep_names(self) -> None:
        """Have the store keep which names are held, if that has changed. Where it cannot, it is asked
        again."""
        if self._hub.held.version == self._names_kept:
            return
        self._is_keeping = True
        try:
            await self._keep_names()
        except StoreError as error:
            log.debug("which names are held could not be kept: %s", error)
        finally:
            self._is_keeping = False

    async def _keep_names(self) -> None:
        version = self._hub.held.version
        await self._store.remember(HELD, self._hub.held.kept)
        self._names_kept = version

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        for entry in self._waiting:
            _fail(entry, StoreDown("The server was stopped before this was written down."))

    async def _work(self) -> None:
        while self._waiting:
            entry = self._waiting[0]
            try:
                await self._write(entry)
            except StoreError as error:
                for each in self._waiting:
                    _fail(each, error)
                await asyncio.sleep(_RETRY)
                continue
            except ProtocolError as error:
                _fail(entry, error)
            if not entry.done.done():
                entry.done.set_result(None)
            self._waiting.popleft()

    async def _write(self, entry: _Entry) -> None:
        store, room = self._store, entry.room
        await self._keep()
        if entry.deed.did == "release":
            await self._keep_names()
        # What was found out stays in the entry: a second try would not find it any more.
        if entry.since is not None:
            if not entry.deed.gone:
                entry.deed = await self._flood(room, entry.deed, entry.since)
            runs = zip(entry.deed.gone[::2], entry.deed.gone[1::2], strict=True)
            await store.redact(room, *(seq for first, last in runs for seq in range(first, last + 1)))
        elif entry.deed.did == "delete":
            if entry.deed.name is None:
                entry.deed = structs.replace(
                    entry.deed, name=await self._author(room, entry.deed.target or 0)
                )
            await store.redact(room, entry.deed.target or 0)
        elif entry.deed.did == "clear":
            if entry.deed.target is None:
                entry.deed = structs.replace(entry.deed, target=(await store.head([room]))[room])
            upto = entry.deed.target or 0
            await store.clear(room, upto)
            self._publish(room, wire.encode(Trimmed(head=upto)))
        # A session of its own: should the store refuse it, nobody's messages wait for it.
        await store.append(room, f"deed {secrets.token_hex(8)}", "deed", wire.encode_body(entry.deed))

    async def _flood(self, room: str, deed: Deed, since: int) -> Deed:
        """The deed with all messages that somebody has said since then."""
        name, seqs = await authors.flood(self._store, room, deed.name or "", since)
        if not seqs and deed.did == "delete":
            raise ProtocolError("no_such_message", f"{deed.name!r} has said nothing in that time.")
        newest = seqs[0] if seqs else None
        if deed.did == "delete":
            deed = structs.replace(deed, name=name)
        return structs.replace(deed, target=newest, gone=authors.in_runs(seqs))

    async def _author(self, room: str, seq: int) -> str:
        """Who said a message."""
        for found in await self._store.history(room, before=seq + 1, limit=1):
            event = wire.decode_event(wire.logged(found.body, found.seq, found.at))
            if isinstance(event, Said) and event.seq == seq:
                return event.by
        raise ProtocolError("no_such_message", f"There is no message {seq} in this room.")


def _fail(entry: _Entry, error: ChatError) -> None:
    if not entry.done.done():
        entry.done.set_exception(error)


def _tell(effect: Record, done: asyncio.Future[None]) -> None:
    conn: Peer = effect.conn  # type: ignore[assignment]
    error, id = done.exception(), effect.deed.id
    if isinstance(error, ProtocolError):
        conn.tell(Refused(code=error.code, text=str(error), fatal=False, id=id))
    elif isinstance(error, StoreError):
        code = "storage_full" if isinstance(error, StoreFull) else "storage_down"
        text = f"{error} What you asked for holds, and is written down as soon as it can be."
        conn.tell(Refused(code=code, text=text, fatal=False, id=id))
