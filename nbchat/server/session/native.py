"""The native language on one connection. All of it runs on the server's loop thread."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections import deque

import msgspec

from nbchat.core import keys, names, wire
from nbchat.core.digests import digest
from nbchat.core.errors import BadName, ProtocolError
from nbchat.core.frames import VERSION, Bye, Challenge, Hello, Join, Ping, Refused, Say, Slow
from nbchat.server.engine.allowance import Allowance
from nbchat.server.engine.peer import Peer
from nbchat.server.engine.shell import Shell

_UNDER_WAY = 1024
"""Messages of one member that the store has not answered yet; then reading from it pauses."""
_SHORT = 256
"""Bytes of a line that may be a goodbye."""
_PING = 0.1
"""What a ping counts against the rate: little, since it is no more than a sign of life."""
_BAD_KEY = (
    "This link is not valid here: it was mistyped, or ended long ago. Ask for a new one "
    "(the host gets it from server.invite())."
)


class NativeSession:
    """The native language on one connection: hello, join, then requests at a bounded rate."""

    def __init__(self, shell: Shell, conn: Peer) -> None:
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
        """See :meth:`Peer.charge`."""
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
