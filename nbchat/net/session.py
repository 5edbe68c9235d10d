"""One connection as the server sees it.

A connection first finds out who speaks (:class:`Connection`), then hands its bytes to a native
session here or to a plain one (plain.py). All of it runs on the server's loop thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
import time
from collections import deque
from typing import TYPE_CHECKING, cast

import msgspec

from nbchat.core import keys, names, plain, wire
from nbchat.core.digests import digest
from nbchat.core.errors import BadName, ProtocolError
from nbchat.core.frames import VERSION, Bye, Challenge, Closing, Frame, Hello, Join, Ping, Refused, Say, Slow
from nbchat.net.allowance import Allowance
from nbchat.net.link import is_loopback
from nbchat.net.networks import origin
from nbchat.net.plain import PlainSession, is_own_user

if TYPE_CHECKING:
    from nbchat.net.shell import Shell

_UNDER_WAY = 1024
"""Messages of one member that the store has not answered yet; then reading from it pauses."""
_SHORT = 256
"""Bytes of a line that may be a goodbye."""
_PING = 0.1
"""What a ping counts against the rate: little, since it is no more than a sign of life."""
_NO_PLAIN = b"This chat takes no plain-text clients. In a notebook: import nbchat; nbchat.join()\n"
_BAD_KEY = (
    "This link is not valid here: it was mistyped, or ended long ago. Ask for a new one "
    "(the host gets it from server.invite())."
)


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


class NativeSession:
    """The native language on one connection: hello, join, then requests at a bounded rate."""

    def __init__(self, shell: Shell, conn: Connection) -> None:
        self._shell = shell
        self._conn = conn
        self._lines = wire.Lines(shell.limits.first_line)
        self._waiting: deque[bytes] = deque()
        self._is_paused = False
        self._key: keys.Key | None = None
        """The hello's, or a decoy."""
        self._nonces: tuple[str, str] | None = None
        self._is_member = False
        self._is_counted = False
        """Its join was counted as a request of the session that it comes back to."""
        self._rate: Allowance | None = None
        """Its session's, from its join on."""
        self._timer: asyncio.TimerHandle | None = None

    def received(self, data: bytes) -> None:
        self._waiting.extend(self._lines.feed(data))
        self._work()

    def drained(self) -> None:
        self._shell.drained(self._conn)
        self.go_on()

    def go_on(self) -> None:
        """What this session had to wait for may have come."""
        if self._is_paused and self._timer is None:
            self._work()

    def lost(self) -> None:
        """The connection has ended. Who said goodbye has left, also if that was still to be looked at."""
        if self._timer is not None:
            self._timer.cancel()
        last = self._waiting[-1] if self._waiting else b""
        self._waiting.clear()
        is_there = self._is_member and self._shell.hub.session_of(self._conn) is not None
        if is_there and len(last) < _SHORT:
            with contextlib.suppress(ProtocolError):
                if isinstance(bye := wire.decode_request(last), Bye):
                    self._shell.handle(self._conn, bye)
        if self._rate is not None:
            self._rate.users -= 1

    @property
    def key_id(self) -> str | None:
        return self._key.id if self._key is not None and self._is_member else None

    # ── one line after the other ──

    def _work(self) -> None:
        """Answer the waiting lines, as far as this member's rate and its socket allow."""
        conn = self._conn
        if self._timer is not None:  # until then nothing is read, also what had come already
            return
        while self._waiting and conn.is_open:
            if conn.is_full or conn.is_asking or conn.under_way >= _UNDER_WAY:
                self._pause()  # until go_on()
                return
            if self._rate is None:
                self._handshake(self._waiting.popleft())
                continue
            now, is_host = self._shell.loop.time(), self._shell.hub.is_host(conn)
            if (wait := self._rate.wait(now, is_host=is_host)) > 0:
                self._slow_down(self._rate, wait, is_host=is_host)
                return
            self._request(self._waiting.popleft(), self._rate)
        if self._lines.overflow and conn.is_open:
            self._overflow()
        elif self._is_paused and self._timer is None and conn.is_open:
            self._is_paused = False
            conn.resume_reading()

    def _request(self, line: bytes, rate: Allowance) -> None:
        shell = self._shell
        try:
            request = wire.decode_request(line)
        except ProtocolError as error:
            rate.take()
            shell.act(shell.hub.refuse(self._conn, error))
            return
        rate.take(_PING if isinstance(request, Ping) else 1, is_message=isinstance(request, Say))
        shell.handle(self._conn, request)

    @property
    def rate(self) -> Allowance | None:
        return self._rate

    def charge(self, more: float) -> None:
        """See :meth:`Connection.charge`."""
        if self._rate is not None:
            self._rate.charge(more, is_host=self._shell.hub.is_host(self._conn))

    def _overflow(self) -> None:
        error = ProtocolError("line_too_long", f"A line has at most {self._lines.limit} bytes.", fatal=True)
        if self._is_member:
            self._shell.act(self._shell.hub.refuse(self._conn, error))
        else:
            self._refuse(error.code, str(error))

    def _pause(self) -> None:
        if not self._is_paused:
            self._is_paused = True
            self._conn.pause_reading()

    def _go_on(self) -> None:
        self._timer = None
        self._conn.heard = self._shell.loop.time()
        self._work()

    def _slow_down(self, rate: Allowance, wait: float, *, is_host: bool) -> None:
        """Read nothing from this member for so many seconds, and tell it once."""
        if not rate.is_slowed:
            seconds = rate.slowed(len(self._waiting), self._shell.loop.time(), is_host=is_host)
            self._conn.tell(Slow(seconds=round(seconds, 1)))
        self._pause()
        if self._timer is None:
            self._timer = self._shell.loop.call_later(wait, self._go_on)

    # ── hello and join ──

    def _handshake(self, line: bytes) -> None:
        try:
            match wire.decode_request(line):
                case Hello() as hello if self._nonces is None:
                    self._hello(hello)
                case Join() as join if self._nonces is not None:
                    self._conn.word, join = join.session, _by_digest(join)
                    self._join(join, self._nonces)
                case _:
                    self._refuse("join_first", "Say hello and join first (see docs/wire.md).")
        except ProtocolError as error:
            self._refuse(error.code, str(error))
        except BadName as error:
            self._refuse("bad_name", str(error))

    def _hello(self, hello: Hello) -> None:
        if hello.v != VERSION:
            self._refuse("version", f"This server speaks version {VERSION}. Update nbchat.")
            return
        self._key = self._shell.door.find(hello.key)
        nonce = secrets.token_hex(16)
        self._nonces = (hello.nonce, nonce)
        proof = keys.server_proof(self._key.secret, hello.nonce, nonce)
        self._conn.tell(Challenge(v=VERSION, nonce=nonce, proof=proof))

    def _join(self, join: Join, nonces: tuple[str, str]) -> None:
        assert self._key is not None
        is_right = keys.is_same(keys.client_proof(self._key.secret, *nonces), join.proof)
        room = names.skeleton(join.room)
        key = self._shell.door.opens(self._key, join.session, room)
        if not is_right:
            self._wrong()
            return
        if key is None:  # only who has its secret learns what became of it
            self._refuse("link_ended", self._shell.door.why(self._key))
            return
        if key.name is not None:
            if join.exact and names.skeleton(join.name) != names.skeleton(key.name):
                self._refuse("other_name", f"This link is for {key.name!r}. Join by that name.", key.name)
                return
            join = msgspec.structs.replace(join, name=key.name)
        if self._waits_its_turn(join, nonces, key):
            return
        self._is_member = True
        self._lines.limit = self._shell.limits.line
        self._shell.named(self._conn)
        shell, conn = self._shell, self._conn
        role, serves = (key.role, key.ends is None) if not join.as_member else ("member", False)
        shell.act(shell.hub.join(conn, join, role, shell.now, conn.address, serves=serves, key_id=key.id))
        session = shell.hub.session_of(conn)
        if session is not None:
            shell.given(conn, session)
            self._rate = shell.allowances.of(session, (key.id, conn.address))
            shell.used(session, key, room)
        if self._is_paused and conn.is_open:
            self._is_paused = False
            conn.resume_reading()

    def _waits_its_turn(self, join: Join, nonces: tuple[str, str], key: keys.Key) -> bool:
        """Whether too many came and went from there, or this session came back too often, so that this one
        has to wait a moment and is asked again. Who would have to wait long is told so by the hub."""
        shell, conn, is_host = self._shell, self._conn, key.role == "host"
        now, patience = shell.loop.time(), shell.limits.hello / 2
        wait = 0.0 if is_host else shell.hub.wait(join, key.id, conn.address, shell.now)
        if now + wait > conn.since + patience:
            wait = 0.0
        if not self._is_counted:
            self._is_counted = True
            wait = max(wait, min(shell.allowances.came(join.session, is_host=is_host), patience))
        if not wait:
            return False
        self._waiting.clear()
        self._pause()
        self._timer = shell.loop.call_later(wait + 0.02, self._turn, join, nonces)
        return True

    def _turn(self, join: Join, nonces: tuple[str, str]) -> None:
        self._timer = None
        if self._conn.is_open:
            try:
                self._join(join, nonces)
            except BadName as error:
                self._refuse("bad_name", str(error))

    def _wrong(self) -> None:
        """Nothing here tells what was wrong. Who has failed often waits, and is not heard meanwhile."""
        address = self._conn.host if self._conn.peer else ""
        wait = min(self._shell.door.failed(address), self._shell.limits.hello / 2)
        if not wait:
            self._refuse("bad_key", _BAD_KEY)
            return
        self._waiting.clear()
        self._conn.pause_reading()
        self._timer = self._shell.loop.call_later(wait, self._refuse, "bad_key", _BAD_KEY)

    def _refuse(self, code: str, text: str, suggestion: str | None = None) -> None:
        self._conn.tell(Refused(code=code, text=text, fatal=True, suggestion=suggestion))
        self._conn.drop()


def _by_digest(join: Join) -> Join:
    """From here on a session is known by its digest."""
    return msgspec.structs.replace(join, session=digest(join.session)) if join.session is not None else join


def farewell(conn: Connection, reason: str) -> None:
    """Tell a connection, whatever it speaks, that it ends."""
    conn.tell(Closing(reason=reason))
    conn.drop()
