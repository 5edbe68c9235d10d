"""The loop thread's side of a server: it owns hub, rooms and connections, and carries out effects.

Every effect the hub returns is done here, in exactly the order given; nothing else acts.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Callable, Coroutine
from datetime import timedelta
from functools import partial
from typing import Any

import msgspec
from msgspec import structs

from nbchat.core import names, plain, wire
from nbchat.core.digests import digest
from nbchat.core.effects import (
    Admit,
    Announce,
    Append,
    Decline,
    Drop,
    Effect,
    Fetch,
    Record,
    Shut,
    Tell,
    Void,
)
from nbchat.core.errors import StoreError, StoreFull
from nbchat.core.frames import Moderate, Moderated, Paged, Refused, Request, Ruled, Said, Stored, Trimmed
from nbchat.core.heldnames import HeldNames
from nbchat.core.hub import Hub
from nbchat.core.keys import Key
from nbchat.core.limits import EVENT_LINE, KiB, Limits
from nbchat.core.moderation import Moderation
from nbchat.server.engine import plain_ring
from nbchat.server.engine.admission import Refusals, Unnamed
from nbchat.server.engine.allowance import Allowances
from nbchat.server.engine.authenticator import Door
from nbchat.server.engine.authors import SEARCH_COST, Authors
from nbchat.server.engine.clock import now
from nbchat.server.engine.fanout import Fanout, Reader
from nbchat.server.engine.memory import Memory
from nbchat.server.engine.peer import Peer
from nbchat.server.engine.plain_ring import PlainRing
from nbchat.server.engine.recorder import HELD, KEY, Recorder
from nbchat.server.engine.retention import Keeper
from nbchat.store.promise import Event, Receipt, RoomStore

log = logging.getLogger("nbchat")
_TRIM = 60.0
"""Seconds between two looks for messages that are older than the host wants to keep: after each that finds
some the whole file is gone through, so that nothing is left of their texts."""
_PAGE_COST = 2.0
"""What the largest page counts against the rate, in requests; a small one counts as one."""
_RETRY = 1.0
"""Seconds before a store that could not be read is asked again."""


class OpenRoom:
    """One open room: its fanout (once the store has said where it stands) and its plain members."""

    def __init__(self) -> None:
        self.fanout: Fanout | None = None
        self.plain: PlainRing | None = None
        self.task: asyncio.Task[None] | None = None
        self._early: list[Callable[[Fanout], None]] = []

    def do(self, action: Callable[[Fanout], None]) -> None:
        """Do something with the fanout, in order, as soon as there is one."""
        if self.fanout is not None:
            action(self.fanout)
        else:
            self._early.append(action)

    def ready(self, fanout: Fanout) -> None:
        self.fanout = fanout
        early, self._early = self._early, []
        for action in early:
            action(fanout)


class Shell:
    """The living parts of one server. Loop thread only."""

    def __init__(
        self,
        store: RoomStore,
        limits: Limits,
        known_keys: list[Key],
        *,
        allows_plain: bool,
        chat: str | None = None,
        keep: int | timedelta | None = None,
        clock: Callable[[], float] | None = None,
        holds_names: bool = False,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.limits = limits
        self.allows_plain = allows_plain
        self._store = store
        self._clock = clock or now
        self._moved = now.moved
        self.keeper = Keeper(store, keep, lambda: self._clock(), now.passed)
        self.door = Door(
            store,
            known_keys,
            limits.guesses,
            clock=lambda: self._clock(),
            timer=self.loop.time,
            inside=lambda key: self.hub.inside(key),
        )
        rules = Moderation(store.meta.get(KEY, "{}"))
        held = HeldNames(store.meta.get(HELD, "{}"), holds=holds_names, now=self.now)
        self.hub = Hub(
            limits,
            store.log_id,
            self._new_session,
            rules,
            chat,
            held=held,
            promised=self.door.promised,
        )
        self.allowances = Allowances(limits, self.loop.time)
        self._memory = Memory(store, limits)
        self._authors = Authors(store, self.hub)
        self._recorder = Recorder(store, self.hub, self._publish)
        self._rooms: dict[str, OpenRoom] = {}
        self._room_of: dict[Reader, str] = {}
        self._connections: dict[Peer, None] = {}
        self._unnamed = Unnamed()
        self.refusals = Refusals(self.loop.time)
        self._tasks: set[asyncio.Task[None]] = set()
        self._words: dict[str, str] = {}
        """The words of sessions that were made here just now, by digest."""
        self._feeding: set[Peer] = set()
        """Who is being brought up to the ring out of the store, and reads nothing from the ring yet."""
        self.counted: Callable[[int], None] | None = None
        """Told how many members there are, when that has changed."""
        self._count = 0
        self._tick_handle = self.loop.call_later(1, self._tick)
        if keep is not None:
            self._spawn(self._trim_for_ever())

    # ── effects ──

    def act(self, effects: list[Effect]) -> None:
        """Do what the hub asks for, in its order."""
        for effect in effects:
            match effect:
                case Append(conn=conn):
                    conn.under_way += 1  # type: ignore[attr-defined]
                    self._append(effect)
                case Tell(conn=conn, frame=frame):
                    conn.tell(frame)  # type: ignore[attr-defined]
                case Announce():
                    self._announce(effect)
                case Admit(conn=conn, room=room, after=after):
                    self._admit(conn, room, after)  # type: ignore[arg-type]
                case Decline():
                    self._spawn(self._recorder.decline(effect))
                case Record():
                    self._recorder.record(effect)
                case Void(session=session, key_id=key_id, is_personal=is_personal):
                    if self.door.shut_out(session, key_id, is_personal=is_personal):
                        self._spawn(self.door.keep_used())
                case Fetch(conn=conn):
                    conn.is_asking = True  # type: ignore[attr-defined]
                    self._spawn(self._fetch(effect))
                case Drop(conn=conn):
                    conn.drop()  # type: ignore[attr-defined]
                case Shut(room=room):
                    self._shut(room)
        if self.counted is not None and self.hub.count != self._count:
            self._count = self.hub.count
            self.counted(self._count)

    @property
    def now(self) -> float:
        """Seconds since 1970, by the server's clock (clock.py)."""
        return self._clock()

    def handle(self, conn: Peer, request: Request) -> None:
        """Do what a member asks for."""
        if isinstance(request, Moderate) and self.hub.is_host(conn):
            room = self.hub.room_of(conn)
            is_needed = room is not None and self._authors.are_needed(room, request)
            if is_needed or request.back is not None:
                conn.charge(SEARCH_COST)
            if room is not None and is_needed:
                self._spawn(self._after_recall(conn, room, request))
                return
        self.act(self.hub.handle(conn, request, self.now))

    async def moderate(self, room: str, request: Moderate) -> None:
        """Moderate a room by the server itself; returns when it is written down. Raises ProtocolError and
        StoreError."""
        if self._authors.are_needed(key := names.skeleton(room), request):
            await self._authors.recall(key, request)
        *others, record = self.hub.moderate(room, request, self.now)
        assert isinstance(record, Record)
        self.act(others)
        await self._recorder.record(record)

    async def _after_recall(self, conn: Peer, room: str, request: Moderate) -> None:
        await self._authors.recall(room, request)
        if self.hub.room_of(conn) == room:
            self.act(self.hub.handle(conn, request, self.now))

    def ruled(self, room: str) -> Ruled:
        """What holds in a room."""
        return self.hub.rules.told(names.skeleton(room), "", self.now, is_host=True)

    def _append(self, effect: Append) -> None:
        future = self._store.append(effect.room, effect.session, effect.id, effect.body)
        future.add_done_callback(partial(self._appended, effect))

    def _appended(self, effect: Append, done: asyncio.Future[Receipt]) -> None:
        conn: Peer = effect.conn  # type: ignore[assignment]
        id = effect.id
        error = done.exception()
        if isinstance(error, StoreError) and conn.is_plain and conn.is_open:
            # A plain client cannot send again, so this is done for it.
            if not conn.waits_for_store:
                conn.waits_for_store = True
                conn.tell(Refused(code="storage_full", text=f"{error} It is tried again.", fatal=False))
            self.loop.call_later(_RETRY, self._append, effect)
            return
        conn.under_way -= 1
        conn.waits_for_store = conn.waits_for_store and conn.under_way > 0
        if isinstance(error, StoreError):
            code = "storage_full" if isinstance(error, StoreFull) else "storage_down"
            conn.tell(Refused(code=code, text=str(error), fatal=False, id=id))
        elif error is None and done.result().duplicate:
            conn.tell(Stored(id=id, seq=done.result().seq))
        if conn.under_way == 0:
            conn.go_on()
        # Otherwise the message comes back through the room, which is the receipt.
        if conn.has_ended and not conn.under_way:
            self._lost(conn)

    def _announce(self, effect: Announce) -> None:
        opened = self._open(effect.room)
        line = wire.encode(effect.frame)
        opened.do(lambda fanout: fanout.publish(line))
        if opened.plain is not None and (text := plain.line(effect.frame)) is not None:
            opened.plain.publish(text, effect.session)

    def _admit(self, conn: Peer, room: str, after: int | None) -> None:
        self._room_of[conn] = room

        def begin(head: int) -> bool:
            welcome = self.hub.welcome(conn, head, self._clock())
            if welcome is None or not conn.is_open:
                return False
            self.given(conn, welcome.session)
            conn.tell(structs.replace(welcome, session=conn.word or ""))
            self._feeding.add(conn)
            # Who has seen more than there is knows another log (one that was put back from a copy).
            start = after if after is not None and after <= head else None
            self._spawn(self._feed(conn, room, start, head))
            return True

        self._open(room).do(lambda fanout: fanout.admit(conn, begin))

    async def _fetch(self, effect: Fetch) -> None:
        conn: Peer = effect.conn  # type: ignore[assignment]
        try:
            await conn.writable()
            page, part = await self._page(effect)
        except StoreError as error:
            conn.tell(Refused(code="storage_down", text=str(error), fatal=False))
        else:
            conn.charge(_PAGE_COST * part - 1)
            conn.tell(page)
        finally:
            conn.is_asking = False
        conn.go_on()

    async def _page(self, effect: Fetch) -> tuple[Paged, float]:
        """A page, and which part of the largest it is, in bytes or in messages, whichever is more. No more
        than asked for, and no more bytes than one write has (but one event), since the page of a peer that
        does not read is held in memory; nor more than a client reads in one line."""
        store, room, limit = self._store, effect.room, effect.limit
        most = min(self.limits.write, EVENT_LINE - KiB)
        events = await store.history(room, before=effect.before, limit=limit + 1, size=most)
        more = len(events) > limit
        if events and not more and events[0].seq > 1:  # the end of the log, or of what fits
            more = bool(await store.history(room, before=events[0].seq, limit=1))
        lines = [_line(event) for event in events[-limit:]]
        return Paged(events=[msgspec.Raw(line) for line in lines], more=more), self._part(lines, most)

    def _part(self, lines: list[bytes], most: int) -> float:
        """Which part of the largest page so many lines are."""
        return max(sum(map(len, lines)) / most, len(lines) / self.limits.page)

    # ── rooms ──

    def _open(self, room: str) -> OpenRoom:
        opened = self._rooms.get(room)
        if opened is None:
            opened = self._rooms[room] = OpenRoom()
            opened.task = self._spawn(self._deliver(room, opened))
        return opened

    async def _deliver(self, room: str, opened: OpenRoom) -> None:
        """Give a room's readers all that becomes durable in it; the only source of messages."""
        while opened.fanout is None:
            with contextlib.suppress(StoreError):
                head = (await self._store.head([room]))[room]
                opened.ready(
                    Fanout(
                        head,
                        ring=self.limits.ring,
                        write=self.limits.write,
                        soon=self.loop.call_soon,
                        later=self.loop.call_later,
                        clock=time.perf_counter,
                        fallen=lambda reader, seq: self._admit(reader, room, seq),  # type: ignore[arg-type]
                    )
                )
                break
            await asyncio.sleep(_RETRY)
        assert opened.fanout is not None
        fanout, last = opened.fanout, opened.fanout.seq

        def deliver(events: list[Event]) -> None:
            nonlocal last
            if events and events[0].seq != last + 1:  # trimmed before it could be given out
                fanout.publish(wire.encode(Trimmed(head=events[0].seq - 1)))
            for event in events:
                line = _line(event)
                fanout.publish(line + b"\n", event.seq)
                if opened.plain is not None:
                    self._publish_plain(opened.plain, line, event.session)
                last = event.seq

        while True:
            with contextlib.suppress(StoreError):
                await self._store.follow(room, last, deliver)
            await asyncio.sleep(_RETRY)

    @staticmethod
    def _publish_plain(room: PlainRing, line: bytes, author: str) -> None:
        event = wire.decode_event(line)
        if isinstance(event, Said | Moderated) and (text := plain.line(event)) is not None:
            room.publish(text, author)

    async def _feed(self, conn: Peer, room: str, after: int | None, head: int) -> None:
        """Bring a newcomer from where it was up to ``head`` out of the store; the ring goes on there. What a
        peer that does not read costs is one piece: the next is read when its socket has taken the last."""
        is_resumed = after is not None
        last = after if after is not None else max(0, head - self.limits.backlog)
        try:
            while last < head and conn.is_open:
                await conn.may_read(last)
                last = await self._send_piece(conn, room, last, head, tells_of_gaps=is_resumed)
                await conn.writable()
                await asyncio.sleep(0)  # others have a turn, however fast this one reads
            await conn.writable()
        except StoreError as error:
            conn.close_with(f"The history cannot be read: {error}")
            return
        finally:
            self._feeding.discard(conn)
        self.drained(conn)

    async def _send_piece(self, conn: Peer, room: str, after: int, head: int, *, tells_of_gaps: bool) -> int:
        """Send some of what comes after a seq; returns the last one that was sent or is gone."""
        await conn.writable()
        events = await self._store.since(room, after, limit=head - after, size=self.limits.write)
        first = events[0].seq if events else head + 1  # none: all of them were trimmed
        if tells_of_gaps and first > after + 1:
            conn.tell(Trimmed(head=min(first - 1, head)))
        lines = [_line(event) for event in events if event.seq <= head]
        if lines:
            conn.write(b"\n".join([*lines, b""]))
            conn.has_read(after, events[-1].seq, _PAGE_COST * self._part(lines, self.limits.write))
        return events[-1].seq if events else head

    async def _trim_for_ever(self) -> None:
        while True:
            with contextlib.suppress(StoreError):
                await self.trim()
            await asyncio.sleep(_TRIM)

    async def trim(self) -> None:
        """Take away what is older than the host wants to keep, and tell the rooms that are open."""
        before = await self._store.trimmed(list(self._rooms))
        try:
            await self.keeper.trim()
        finally:  # a trimming that failed on its way has taken something, too
            for room, head in (await self._store.trimmed(list(before))).items():
                if head > before[room] and room in self._rooms:
                    self._publish(room, wire.encode(Trimmed(head=head)))

    async def _shrink(self) -> None:
        """Have a memory that is too large let its oldest messages go, and tell the rooms that are open."""
        for room, head in (await self._memory.shrink()).items():
            self._publish(room, wire.encode(Trimmed(head=head)))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a part of the server broke", exc_info=error)

    def _publish(self, room: str, line: bytes) -> None:
        """Give a line to all who read a room, if it is open."""
        if room in self._rooms:
            self._rooms[room].do(lambda fanout: fanout.publish(line))

    def _shut(self, room: str) -> None:
        opened = self._rooms.pop(room, None)
        if opened is not None and opened.task is not None:
            opened.task.cancel()

    # ── connections ──

    def came(self, conn: Peer) -> None:
        """A connection was made; others may have to give way to it."""
        self._connections[conn] = None
        unnamed, limits = self._unnamed, self.limits
        unnamed.add(conn)
        is_crowd = unnamed.of(conn.host) > limits.unnamed_each
        named = len(self._connections) - len(unnamed)
        # Beyond the last place there are some to spare: to say that one serves, or was there.
        if len(unnamed) > max(limits.spare, limits.connections + limits.spare - named):
            # Who fills the server makes room for its own.
            oldest = unnamed.oldest(conn.host if is_crowd else None)
            if oldest is conn:
                self.refusals.note(conn.host, "the chat is full")
                conn.close_with("This chat is full. Try again later.")
            else:
                self._give_way(oldest)
        elif is_crowd or len(unnamed) > limits.unnamed:
            # A whole class that comes at once, perhaps from one address, has not had the time to speak;
            # only those who kept silent for a while give way.
            oldest = unnamed.oldest(conn.host if is_crowd else None)
            if self.loop.time() - oldest.since > 4 * limits.greeting:
                self._give_way(oldest)

    def _give_way(self, conn: Peer) -> None:
        self._unnamed.discard(conn)
        self.refusals.note(conn.host, "too many connections that did not say who they are")
        conn.abort()

    def named(self, conn: Peer) -> None:
        self._unnamed.discard(conn)

    def went(self, conn: Peer) -> None:
        """A connection has ended."""
        self._connections.pop(conn, None)
        self._unnamed.discard(conn)
        room = self._room_of.pop(conn, None)
        if room is not None and room in self._rooms:
            self._rooms[room].do(lambda fanout: fanout.leave(conn))
        # What it said last is said before it has left.
        if not conn.under_way:
            self._lost(conn)

    def _lost(self, conn: Peer) -> None:
        self.act(self.hub.lost(conn, self.loop.time()))

    def drained(self, conn: Peer) -> None:
        """A connection's socket has room again."""
        room = self._room_of.get(conn)
        opened = self._rooms.get(room) if room is not None else None
        if opened is not None and opened.fanout is not None and conn not in self._feeding:
            opened.fanout.drained(conn)

    def enter_plain(self, conn: Peer, session: plain_ring.Reader) -> PlainRing:
        """A plain member reads its room from here on."""
        self.given(conn, self.hub.session_of(conn) or "")
        opened = self._open("lobby")
        if opened.plain is None:
            opened.plain = PlainRing()
        return opened.plain

    def filenos(self) -> list[int]:
        """The sockets of all connections, for a forked child to close."""
        return [conn.fileno for conn in self._connections]

    # ── sessions and keys ──

    def _new_session(self) -> str:
        word = secrets.token_hex(16)
        self._words[session := digest(word)] = word
        return session

    def given(self, conn: Peer, session: str) -> None:
        """A connection has this session: its word is to be told if it was made here."""
        conn.word = self._words.pop(session, conn.word)

    def used(self, session: str, key: Key, room: str) -> None:
        """A session came into a room with a key."""
        if self.door.used(key, session, room):
            self._spawn(self.door.keep_used())

    def revoke(self, *, kick: bool = False) -> None:
        """Make all invitations void: but for who is inside, or with ``kick`` also for these."""
        void = self.door.revoke()
        if kick:
            self.act(self.hub.empty(void, "The host has ended all links, and who came with one."))
            self.door.revoke()

    def let_go(self) -> None:
        """End all who came with a key from before :meth:`Door.renew`. Who came with the host's own comes back
        by itself: where the new one is found has been said."""
        invited, own = self.door.renewed
        self.act(self.hub.empty(invited, "The host has made new keys for this chat: all links have ended."))
        for conn in [each for each in self._connections if each.key_id in own and each.is_open]:
            conn.close_with("The host has made new keys for this chat.")

    # ── time ──

    def _tick(self) -> None:
        self._tick_handle = self.loop.call_later(1, self._tick)
        self._set_clock_right()
        moment = self.loop.time()
        self.act(self.hub.expire(moment, self.now))
        if self._recorder.has_news_of_names:
            self._spawn(self._recorder.keep_names())
        self.refusals.tick()
        self.allowances.tick()
        if self.door.tick():
            self._spawn(self.door.keep_used())
        if self._memory.tick(moment):
            self._spawn(self._shrink())
        if self._store.is_file:
            self._spawn(self._memory.look())
        for conn in self._unnamed:
            if moment - conn.since < self.limits.hello:
                break
            self.refusals.note(conn.host, "did not say who it is in time")
            conn.close_with("You did not say who you are in time.")
            self._unnamed.discard(conn)
        for conn in list(self._connections):
            if moment - conn.heard > self.limits.dead and not conn.is_plain:
                conn.abort()

    def _set_clock_right(self) -> None:
        """Follow the machine's clock; what holds for a time from now on holds for as long as it was meant."""
        now.set_right()
        seconds, self._moved = now.moved - self._moved, now.moved
        if seconds:
            log.warning("the machine's clock was set, by %+.0f s", seconds)
            self.hub.move(seconds)
            self._spawn(self._recorder.keep())
            if self.door.move(seconds):
                self._spawn(self.door.keep_used())

    # ── the end ──

    async def close(self, reason: str) -> None:
        """Say goodbye to all, and end what runs."""
        self._tick_handle.cancel()
        connections = list(self._connections)
        for conn in connections:
            conn.close_with(reason)
        deadline = self.loop.time() + self.limits.flush
        while self._connections and self.loop.time() < deadline:
            await asyncio.sleep(0.005)
        for conn in list(self._connections):
            conn.abort()
        await self._recorder.keep_names()
        await self._recorder.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)


def _line(event: Event) -> bytes:
    """A stored event as it travels, without its newline."""
    return wire.logged(event.body, event.seq, event.at)
