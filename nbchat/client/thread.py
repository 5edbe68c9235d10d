"""A client's receive thread: it connects, receives, sends, and reconnects.

It owns the socket. Other threads put messages into the shared state (state.py) and wake it; it takes
them from there in order, keeps at most 32 under way, and sends again after an outage what was not
confirmed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import secrets
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from itertools import islice
from pathlib import Path

from nbchat.client.backoff import Backoff
from nbchat.client.connection import NativeConnection, PlainConnection
from nbchat.client.dial import dial
from nbchat.client.requests import Answer, Questions
from nbchat.client.state import State
from nbchat.client.watch import Watch
from nbchat.core import standing, wire
from nbchat.core.errors import (
    CertificateChanged,
    ChatError,
    Closed,
    PeerError,
    Refused,
    Unreachable,
    UsageError,
    refusal,
)
from nbchat.core.frames import (
    Changed,
    Closing,
    Event,
    Join,
    Joined,
    Left,
    Moderate,
    Moderated,
    Page,
    Paged,
    Ruled,
    Rules,
    Said,
    Slow,
    Standing,
    Stored,
    Trimmed,
    TypingShown,
    Unknown,
    Welcomed,
)
from nbchat.core.frames import Refused as RefusedFrame
from nbchat.core.limits import UNDER_WAY, Limits
from nbchat.core.sanitize import harmless
from nbchat.net import discovery
from nbchat.net.eventloop import new_loop
from nbchat.net.link import Address
from nbchat.net.log import log

_CLOSE = 2.0
"""Seconds for the last messages to be confirmed when a client is closed."""
_PLAIN_CLOSE = 0.3
"""Seconds for what was written to a first-generation server to leave; it has no word for goodbye."""
_AGAIN = 1.0
"""Seconds before a message that was refused for now is sent again."""
_FIRST_TRIES = 3
"""Connections that may break before the first welcome until the caller is told."""
_HOPELESS = ("bad_key", "link_ended", "other_name", "bad_name", "version", "banned", "kicked", "locked")
"""Refusals that trying again does not change."""


class Receiver:
    """The thread behind one client. Its public methods may be called from any thread."""

    def __init__(
        self,
        target: discovery.Target,
        state: State,
        wanted: str,
        *,
        exact: bool,
        as_member: bool = False,
        chance: random.Random | None = None,
    ) -> None:
        self._target = target
        self._state = state
        self._wanted = wanted
        self._exact = exact
        self._as_member = as_member
        self._backoff = Backoff(chance)
        self.ping = Limits().ping
        """Seconds between signs of life, as the server wants them."""
        # Made here, so that a first connection that broke before its welcome is gone on with, too.
        self._session: str | None = secrets.token_hex(16)
        self._follows = False
        self._kept: Path | None = None
        self._may_be_known = False
        """The server may know this session: it was one before, or the answer to its first hello was lost."""
        self._conn: NativeConnection | PlainConnection | None = None
        self._is_welcome = False
        self._was_welcome = False
        self._welcome_at = 0.0
        self._was_of_use = False
        """A message came on this connection, or was confirmed."""
        self._broke_off = False
        """The last connection stood and ended without a word before its welcome."""
        self.wall: Callable[[], float] = time.time
        """Seconds since 1970; an attribute so that a test can turn it."""
        self._is_told_away = False
        """What the server takes this member for: away or not."""
        self._final: str | None = None
        self._final_code = "closed"
        self._hold: asyncio.TimerHandle | None = None
        self._part: asyncio.TimerHandle | None = None
        """When it is said of others that they did not come back after an outage."""
        self._questions = Questions(self._welcoming)
        self._closing: asyncio.Event | None = None
        self.is_unwanted = False
        """True once it was asked to close."""
        self.gives_way = False
        """True: another client of this process takes this one's place, and what is pending."""
        self._may_come_back = False
        """True: hang up without a goodbye, and leave the session to whoever comes next."""
        self._has_successor = False
        """True: the same call joins again at once, with the session that is left in the file."""
        self._where: Address | None = None
        self._flushing = self._is_typing = False
        self._flush_lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self.first: Future[None] = Future()
        """Done when the client is in and has the room's newest messages; fails if it never got in."""
        self.thread = threading.Thread(target=self._run, name=f"nbchat client {wanted}", daemon=True)

    @property
    def is_welcome(self) -> bool:
        """Whether there is a connection that has welcomed this client. Its own thread only."""
        return self._is_welcome

    # ── for other threads ──

    @property
    def is_over(self) -> bool:
        """Whether it was ended for good, by the server or here."""
        return self._final is not None or self._state.status == "closed"

    def flush(self) -> None:
        """There is something to send."""
        with self._flush_lock:
            if self._flushing:
                return
            self._flushing = True
        self._call(self._flush)

    def typing(self) -> None:
        """Say that this member is typing, if there is a connection."""
        self._is_typing = True
        self._call(self._type)

    def page(self, before: int | None, limit: int) -> Future[Answer]:
        """Ask for a page of history."""
        wire.encode(Page(before, limit))  # what cannot be sent fails here, and leaves nothing behind
        future: Future[Answer] = Future()
        if not self._call(self._questions.page, before, limit, future):
            future.set_exception(Closed("This client is closed."))
        return future

    def ask(self, request: Moderate | Rules) -> Future[Moderated | Ruled]:
        """Ask for what a host may; done when it is in the log. It is not asked for again by itself: what a
        host wanted a minute ago may be wrong now."""
        wire.encode(request)  # as above
        future: Future[Moderated | Ruled] = Future()
        if not self._call(self._questions.order, request, future):
            future.set_exception(Closed("This client is closed."))
        return future

    def close(self, *, may_come_back: bool = False, has_successor: bool = False) -> None:
        """Begin to close: what is pending is sent first. With ``may_come_back`` nothing is said of leaving,
        and the session is left for the next process to take over; with ``has_successor`` neither, if this
        process can take it over at once."""
        self._may_come_back, self._has_successor = may_come_back, has_successor
        self.is_unwanted = True
        self._call(self._begin_close)

    def is_at(self, where: Address) -> bool:
        """Whether it is connected there, or was and will be."""
        mine = self._where
        return mine is not None and discovery.is_same_place(mine, where)

    def follow(self, old: Receiver) -> None:
        """Before it starts: take the place of another client of this process, whose thread leaves it."""
        old.gives_way = True
        self._follows = True
        self._session, self._kept = old._session, old._kept
        self._state.name = old._state.name

    def forked(self) -> None:
        """In a forked child: let go of the copied socket."""
        if self._conn is not None and (fileno := self._conn.fileno) >= 0:
            with contextlib.suppress(OSError):
                os.close(fileno)

    def _call(self, function: object, *arguments: object) -> bool:
        try:
            self._loop.call_soon_threadsafe(function, *arguments)  # type: ignore
        except (AttributeError, RuntimeError):  # not begun yet, or ended
            return False
        return True

    # ── the thread ──

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            with asyncio.Runner(loop_factory=new_loop) as runner:
                runner.run(self._main())
        except BaseException as caught:
            error = caught
            if not isinstance(caught, ChatError):
                log.exception("a client's thread ended")
        self._finish(error)

    def _finish(self, error: BaseException | None) -> None:
        reason = str(error) if error is not None else self._final or "closed here"
        # First its file: who sees that this one is closed, and joins again, must not find a session in it
        # that is over.
        if self._kept is not None and not self._may_come_back and not self.gives_way:
            is_welcome_back = (
                self._may_be_known
                and self._final is None
                and not self._state.pending
                and getattr(error, "code", None) not in ("banned", "kicked")
            )
            with contextlib.suppress(OSError):
                discovery.close(self._kept, is_welcome_back=is_welcome_back)
        with self._state.changed:
            self._state.status, self._state.reason = "closed", reason
            self._state.cause = _cause(error) if error is not None else self._final_code
            if not self.gives_way:
                self._state.give_up()
            self._state.touch()
        self._questions.close()
        if not self.first.done():
            self.first.set_exception(error or Closed("The client was closed."))

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(lambda loop, context: log.error("%s", context.get("message")))
        self._closing = asyncio.Event()
        backoff = self._backoff
        while True:
            if self.is_unwanted and not self._state.pending:
                return
            while self.gives_way and not self._closing.is_set():  # or two would fight for one session
                await asyncio.sleep(0.02)
            self._is_welcome = self._was_of_use = False
            reason = await self._attempt()
            stood = time.monotonic() - self._welcome_at if self._is_welcome else None
            backoff.ended(stood, of_use=self._was_of_use)
            self._is_welcome = False
            if self._closing.is_set() or self._final is not None:
                return
            is_hopeless = not self._broke_off or backoff.failed >= _FIRST_TRIES
            if not self._was_welcome and reason is not None and is_hopeless:
                raise reason
            if isinstance(reason, Refused) and reason.code in _HOPELESS:
                raise reason
            if isinstance(reason, CertificateChanged):
                raise reason
            delay = backoff.delay(len(self._state.transcript.members))
            self._state.set(
                status="reconnecting",
                reason=str(reason or "The connection broke."),
                cause=_cause(reason) if reason is not None else "Unreachable",
                retry_at=time.monotonic() + delay,
            )
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), delay)
            if self._closing.is_set():
                return

    # ── one connection ──

    async def _attempt(self) -> Exception | None:
        """Connect, and stay for as long as it lasts. Returns why it ended."""
        assert self._loop is not None
        self._broke_off = False
        try:
            where = self._target.find()
            conn = self._conn = self._prepare(where)
        except UsageError as error:
            return error
        if (failure := await dial(conn, where, is_given=self._target.is_given)) is not None:
            reason, self._broke_off = failure
            return reason
        watch = self._loop.create_task(Watch(self, conn).run())
        try:
            ended = await conn.ended
        finally:
            watch.cancel()
            self._questions.broke()
            if self._part is not None:
                self._part.cancel()
        self._broke_off = ended is None and not self._is_welcome
        self._may_be_known |= self._broke_off
        if self._broke_off:
            return Unreachable("The server hung up before it answered.")
        return ended

    def _prepare(self, where: Address) -> NativeConnection | PlainConnection:
        state = self._state
        if where.room and not self._was_welcome:
            state.set(room=where.room)
        self._where = where
        transcript = state.transcript
        if where.plain:
            state.is_plain = True
            return PlainConnection(self, state.name, transcript.seq or 0)
        # In an app each visitor is somebody else, whoever was there before under that name.
        if (
            not self._as_member
            and not self._was_welcome
            and not self._follows
            and (taken := discovery.take_over(where.host, where.port, state.room, self._wanted))
        ):
            kept, self._kept = taken
            self._session = kept.session
            self._may_be_known = True
            if not kept.closed:  # who was closed with a number behind its name may have lost the need for it
                state.name = kept.name
        # Now: the server may hold the name for this session, and its answer be lost.
        if self._kept is None:
            self._keep(state.room, state.name)
        return NativeConnection(
            self,
            where,
            Join(
                name=state.name,
                room=state.room,
                proof="",
                session=self._session,
                after=self._after(),
                log_id=transcript.log_id,
                exact=self._exact and not self._was_welcome,
                as_member=self._as_member,
            ),
        )

    def _after(self) -> int | None:
        """The seq after which this client goes on; None for a newcomer."""
        seq, start = self._state.transcript.seq, self._state.start
        if seq is None and start is not None:
            # It was in, and the connection broke before anything came: what it was promised then.
            return max(0, start - Limits().backlog)
        return seq

    # ── events ──

    def received(self, events: list[Event | Unknown]) -> None:
        state = self._state
        with state.changed:
            try:
                for event in events:
                    self._take(harmless(event, state.text_limit))
            except ValueError as error:  # a gap: what is missing comes with the next connection
                if self._conn is not None:
                    self._conn.fail(Unreachable(f"A message went missing ({error})."))
            state.touch()
        if self._is_welcome and not self.first.done() and (state.transcript.seq or 0) >= (state.start or 0):
            self.first.set_result(None)
        self._flush()

    def _take(self, event: Event | Unknown) -> None:
        state = self._state
        match event:
            case Said() | Unknown():
                state.transcript.apply(event)
                if isinstance(event, Said):
                    self._was_of_use = True
                    state.typing.pop(event.by, None)
                    if event.by == state.name:
                        self._settle(event.id, event.seq)
            case Moderated():
                state.transcript.apply(event)
                if event.seq > state.told_at:
                    state.standing = standing.after(state.standing, event, state.name)
                if event.by == state.name:
                    self._questions.answered(event)
            case Ruled():
                self._questions.answered(event)
            case Joined() | Changed():
                state.transcript.apply(event)
                if event.member.name == state.name:
                    state.role = event.member.role
            case Left(name=name):
                state.transcript.apply(event)
                state.typing.pop(name, None)
            case TypingShown(name=name):
                if name != state.name and name in state.transcript.members:
                    state.typing[name] = state.clock()
            case Stored(id=id, seq=seq):
                self._settle(id, seq)
            case Welcomed():
                self._welcomed(event)
            case Paged():
                self._questions.paged(event)
            case RefusedFrame():
                self._refused(event)
            case Trimmed(head=head):
                self._trimmed(head)
            case Closing(reason=reason, back_in=back_in, final=final):
                self._backoff.hint = back_in
                if final:
                    self._final, self._final_code = reason, event.code or "closing"
                if self._conn is not None:
                    self._conn.fail(PeerError(reason))
            case Slow(seconds=seconds):
                state.transcript.notice(
                    "You are sending faster than this chat takes; your messages go out over the next "
                    f"{seconds:.0f} s."
                )

    def _welcomed(self, event: Welcomed) -> None:
        state = self._state
        is_first = not self._is_welcome
        state.transcript.welcome(event, fresh=not self._was_welcome)
        if state.transcript.absent and self._loop is not None:
            if self._part is not None:
                self._part.cancel()
            self._part = self._loop.call_later(Limits().grace, self._others_left)
        state.typing.clear()
        self._is_told_away = any(info.away for info in event.members if info.name == event.name)
        state.name, state.role, state.room = event.name, event.role, event.room
        state.status, state.reason, state.cause = "connected", "", ""
        state.chat, state.standing, state.told_at = event.chat, event.rules or Standing(), event.head
        state.text_limit, state.page_limit = event.limits.text, event.limits.page
        self.ping, self._welcome_at = event.limits.ping, time.monotonic()
        if state.start is None:
            state.start = event.head
        self._session = event.session or None
        self._is_welcome = self._was_welcome = True
        if not is_first:
            return
        for message in state.pending.values():
            message.is_sent = False
        if isinstance(self._conn, NativeConnection):
            self._questions.again(self._conn)
        self._may_be_known = True
        self._keep(event.room, event.name)

    def _others_left(self) -> None:
        """Who was there before the outage has had as long to come back as a server would wait."""
        with self._state.changed:
            self._state.transcript.part()
            self._state.touch()

    def _trimmed(self, head: int) -> None:
        state = self._state
        if head > (state.transcript.seq or 0):
            # Receipts may be among what is gone: sent again, each message is answered with its number.
            for message in state.pending.values():
                message.is_sent = False
        state.transcript.trim(head)

    def _keep(self, room: str, name: str) -> None:
        if self._session is None or self._as_member:
            return
        where = self._where
        assert where is not None
        kept = discovery.Kept(os.getpid(), where.host, where.port, room, self._wanted, name, self._session)
        with contextlib.suppress(OSError):  # without the file a restart is a newcomer, no more
            self._kept = discovery.keep(self._kept, kept)

    def _settle(self, id: str, seq: int) -> None:
        self._was_of_use = True
        if (message := self._state.pending.pop(id, None)) is not None:
            message.settle(seq)

    def _refused(self, event: RefusedFrame) -> None:
        error = refusal(event.code, event.text, event.suggestion)
        if self._questions.refused(event.id, error):
            return
        message = self._state.pending.get(event.id) if event.id else None
        if message is not None and event.code in ("storage_full", "storage_down"):
            for each in self._state.pending.values():
                each.is_sent = False
            if self._hold is None and self._loop is not None:
                self._state.transcript.notice(f"{event.text} Your message is sent again by itself.")
                self._hold = self._loop.call_later(_AGAIN, self._release)
        elif message is not None:
            del self._state.pending[message.id]
            self._state.standing = standing.refused(self._state.standing, event.code)
            message.settle(error=error)
            if not message.auto:  # nobody typed that
                self._state.refused.append(message)
        elif event.code == "unknown_type":
            pass  # an older server does not know "away"; it knows a page
        elif not event.fatal:
            self._questions.refused_page(error)
        if event.fatal and self._conn is not None:
            self._conn.fail(error)

    # ── sending ──

    def _release(self) -> None:
        self._hold = None
        self._flush()

    def _flush(self) -> None:
        with self._flush_lock:
            self._flushing = False
        if not self._is_welcome or self._conn is None or self._hold is not None:
            return
        with self._state.changed:
            due = [each for each in islice(self._state.pending.values(), UNDER_WAY) if not each.is_sent]
            for message in due:
                message.is_sent = True
            away = self._state.away
        if due:  # or who was typing would seem to go on with it
            self._type()
        for message in due:
            self._conn.say(message)
        if away != self._is_told_away:
            self._is_told_away = away
            self._conn.away(away)

    def _type(self) -> None:
        if self._is_typing and self._is_welcome and self._conn is not None:
            self._conn.typing()
        self._is_typing = False

    def _welcoming(self) -> NativeConnection | PlainConnection | None:
        """The connection, once it has welcomed us; a plain one can be asked for nothing at any time."""
        conn = self._conn
        return conn if self._is_welcome or isinstance(conn, PlainConnection) else None

    # ── the end ──

    def _begin_close(self) -> None:
        assert self._loop is not None
        assert self._closing is not None
        if not self._closing.is_set():
            self._loop.create_task(self._leave())

    async def _leave(self) -> None:
        assert self._loop is not None
        assert self._closing is not None
        end = self._loop.time() + _CLOSE
        while self._is_welcome and self._state.pending and self._loop.time() < end:
            await asyncio.sleep(0.005)
        self._closing.set()
        if self._conn is not None:
            # A session that is not kept, or not left behind (_finish), would hold the name against its heir.
            is_left = self._has_successor and self._kept is not None and not self._state.pending
            if self._is_welcome and not (self._may_come_back or is_left):
                self._conn.leave()
                patience = _CLOSE if isinstance(self._conn, NativeConnection) else _PLAIN_CLOSE
                await asyncio.wait([self._conn.ended], timeout=patience)
            self._conn.abort()


def _cause(error: BaseException) -> str:
    """An error in one word, for programs: its code, or its class."""
    return str(getattr(error, "code", "") or type(error).__name__)
