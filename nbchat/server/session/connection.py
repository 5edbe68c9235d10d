"""One connection as the server sees it.

A connection first finds out who speaks, then hands its bytes to a native session (native.py) or to a plain
one (plain.py). All of it runs on the server's loop thread.
"""

from __future__ import annotations

import asyncio
import socket
import time
from typing import cast

from nbchat.core import plain, wire
from nbchat.core.frames import Closing, Frame, Refused
from nbchat.net.link import is_loopback
from nbchat.net.owners import is_own_user
from nbchat.server.engine.shell import Shell
from nbchat.server.interfaces import origin
from nbchat.server.session.native import NativeSession
from nbchat.server.session.plain import PlainSession

_NO_PLAIN = b"This chat takes no plain-text clients. In a notebook: import nbchat; nbchat.join()\n"


class Connection(asyncio.Protocol):
    """A socket, and who speaks there. The hub knows a member's connection by this object."""

    def __init__(self, shell: Shell, *, is_secured: bool = False) -> None:
        self._shell = shell
        self._is_secured = is_secured
        self._transport: asyncio.Transport | None = None
        self._first = b""
        self._greeted = False
        self._is_own: bool | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._drained: asyncio.Future[None] | None = None
        self._session: NativeSession | PlainSession | None = None
        self._here: tuple[str, int] | None = None
        self.peer: tuple[str, int] | None = None
        self.host = "an unknown address"
        self.made = time.monotonic()
        self.word: str | None = None
        """Its session's own word, which only its client keeps."""
        self.is_full = False
        """True while the socket takes no more; then only what had been begun is written."""
        self.is_open = False
        self.has_ended = False
        self.under_way = 0
        """Its messages that the store has not answered yet."""
        self.is_asking = False
        """A page of history is being fetched for it; the next request waits."""
        self.waits_for_store = False
        """A plain client's messages could not be kept and are tried again."""
        self.since = self.heard = shell.loop.time()
        """When it came, and when the last byte came from it."""

    @property
    def is_plain(self) -> bool:
        return isinstance(self._session, PlainSession)

    @property
    def key_id(self) -> str | None:
        """The id of the key that a native member came in with."""
        return self._session.key_id if isinstance(self._session, NativeSession) else None

    @property
    def address(self) -> str | None:
        """Where it comes from; None for this machine, where that tells nobody apart."""
        return None if self.peer is None or is_loopback(self.peer[0]) else self.host

    @property
    def fileno(self) -> int:
        sock = self._transport.get_extra_info("socket") if self._transport is not None else None
        return sock.fileno() if sock is not None else -1

    # ── asyncio calls these ──

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.is_open = True
        self._here = transport.get_extra_info("sockname")
        self.peer = transport.get_extra_info("peername")
        if self.peer:
            self.host = origin(self.peer[0])
        self._transport.set_write_buffer_limits(high=0)
        sock: socket.socket = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self._shell.limits.send_buffer)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._shell.came(self)
        if self.is_open:
            self._timer = self._shell.loop.call_later(self._shell.limits.greeting, self._quiet)

    def data_received(self, data: bytes) -> None:
        self.heard = self._shell.loop.time()
        if self._session is not None:
            self._session.received(data)
        elif self.is_open:
            self._first += data
            self._decide()

    def pause_writing(self) -> None:
        self.is_full = True

    def resume_writing(self) -> None:
        self.is_full = False
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        if isinstance(self._session, PlainSession):
            self._session.wake()
        elif self._session is not None:
            self._session.drained()

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False
        self.has_ended = True
        self._stop_timer()
        if self._drained is not None:
            self._drained.cancel()
        if self._session is not None:
            self._session.lost()
        self._shell.went(self)

    # ── the server calls these ──

    def write(self, data: bytes) -> bool:
        """Hand bytes to the socket; False when it takes no more for now."""
        if self.is_open:
            self._transport.write(data)  # type: ignore[union-attr]
        return not self.is_full

    def tell(self, frame: Frame) -> None:
        """Send a frame to this connection alone."""
        if isinstance(frame, Refused):
            self.note(f"refused, {frame.code}")
        if isinstance(self._session, PlainSession):
            self._session.tell(frame)
        elif self._session is None and self._greeted and isinstance(frame, Closing):
            self.write(plain.notice(frame.reason).encode() + b"\n")
        else:
            self.write(wire.encode(frame))

    def drop(self) -> None:
        """End the connection after what was written; a peer that does not read gets two seconds."""
        if self._transport is not None and self.is_open:
            self.is_open = False
            self._transport.close()
            self._shell.loop.call_later(self._shell.limits.flush, self._transport.abort)

    def close_with(self, reason: str) -> None:
        """Tell it, whatever it speaks, that it ends, and end it."""
        self.tell(Closing(reason=reason))
        self.drop()

    def go_on(self) -> None:
        """What the session had asked for has been answered."""
        if isinstance(self._session, NativeSession):
            self._session.go_on()

    def charge(self, more: float) -> None:
        """A request has cost so many requests more than the one as which it was counted; none, if it is below
        zero."""
        if isinstance(self._session, NativeSession) and more > 0:
            self._session.charge(more)

    async def may_read(self, after: int) -> None:
        """Return when the history after a seq may be read for it."""
        rate = self._session.rate if isinstance(self._session, NativeSession) else None
        while rate is not None and self.is_open:
            wait = rate.history(after, self._shell.loop.time(), is_host=self._shell.hub.is_host(self))
            if not wait:
                return
            await asyncio.sleep(min(wait, 1))  # it may have ended by then

    def has_read(self, after: int, upto: int, cost: float) -> None:
        """It was sent so much of the history, which cost so many requests."""
        if isinstance(self._session, NativeSession) and (rate := self._session.rate) is not None:
            rate.read(after, upto, cost, is_host=self._shell.hub.is_host(self))

    def note(self, what: str) -> None:
        """Write down that something of it was refused; ``what`` is a word of ours, never the peer's."""
        self._shell.refusals.note(self.host, what)

    def turn_away(self, what: str, answer: bytes = b"") -> None:
        """End the connection of somebody who does not belong here."""
        self.note(what)
        self.write(answer)
        self.drop()

    def abort(self) -> None:
        """End the connection now."""
        if self._transport is not None:
            self.is_open = False
            self._transport.abort()

    async def writable(self) -> None:
        """Return when the socket takes more; cancelled when the connection ends."""
        while self.is_full and self.is_open:
            if self._drained is None or self._drained.done():  # others may wait as well
                self._drained = self._shell.loop.create_future()
            await self._drained

    def pause_reading(self) -> None:
        if self.is_open:
            self._transport.pause_reading()  # type: ignore[union-attr]

    def resume_reading(self) -> None:
        self.heard = self._shell.loop.time()
        if self.is_open:
            self._transport.resume_reading()  # type: ignore[union-attr]

    # ── who speaks? ──

    def _quiet(self) -> None:
        """Nothing, or nothing clear, for a moment: plain clients wait to be greeted."""
        if self._first and self._greeted:
            self._become_plain()
        elif self._first:
            self._greet()
            self._become_plain()
        elif self._may_be_plain():
            self._greet()

    def _decide(self) -> None:
        limit = self._shell.limits.first_line
        match plain.sniff(self._first):
            case plain.Kind.NATIVE:
                self._become(NativeSession(self._shell, self))
            case plain.Kind.HTTP:
                self.turn_away("an HTTP request at the chat port", plain.HTTP_ANSWER)
            case plain.Kind.TLS:
                self.turn_away("a TLS hello at a port without TLS")
            case plain.Kind.SSH:
                self.turn_away("an SSH client at the chat port")
            case plain.Kind.OTHER:
                self.turn_away("another protocol at the chat port", plain.OTHER_ANSWER)
            case plain.Kind.PLAIN if len(self._first.partition(b"\n")[0]) <= limit:
                if not self._greeted:
                    self._greet()
                self._become_plain()
            case plain.Kind.PLAIN:
                self.turn_away("a first line that is too long")
            case plain.Kind.UNDECIDED if self._greeted:
                self._stop_timer()
                self._timer = self._shell.loop.call_later(self._shell.limits.greeting, self._quiet)

    def _greet(self) -> None:
        self._greeted = True
        if self._may_be_plain():
            self.write(plain.GREETING)

    def _may_be_plain(self) -> bool:
        if self._is_own is None:
            may_be = self._shell.allows_plain and not self._is_secured
            self._is_own = may_be and is_own_user(self.peer, self._here, self.made)
        return self._is_own

    def _become_plain(self) -> None:
        if self._may_be_plain():
            self._become(PlainSession(self._shell, self))
        else:
            self.turn_away("a plain-text client, which is not allowed here", _NO_PLAIN)

    def _become(self, session: NativeSession | PlainSession) -> None:
        self._stop_timer()
        self._session = session
        first, self._first = self._first, b""
        session.received(first)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
