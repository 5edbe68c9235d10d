"""One connection from a client to a server, in either dialect.

Both kinds are asyncio protocols on the client's receive thread. They translate bytes to events for the
receiver and messages to bytes, and know nothing of reconnecting.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from abc import ABC, abstractmethod
from collections import deque
from typing import Protocol, cast

import msgspec

from nbchat.client.state import Outgoing
from nbchat.core import frames, keys, plain, wire
from nbchat.core.errors import CertificateChanged, NotTheServer, PeerError, ProtocolError, Unreachable
from nbchat.core.escape import one_line
from nbchat.core.frames import (
    VERSION,
    Away,
    Bye,
    Challenge,
    Closing,
    Event,
    Hello,
    Join,
    Joined,
    Left,
    MemberInfo,
    Moderate,
    Page,
    Ping,
    Rules,
    Said,
    Say,
    Typing,
    Unknown,
    Welcomed,
)
from nbchat.core.limits import EVENT_LINE, Limits
from nbchat.net import owners, tls
from nbchat.net.link import Address, is_loopback, place

_LIMITS = Limits()
_ROOM_LIMITS = frames.RoomLimits(text=_LIMITS.text, line=_LIMITS.line, page=_LIMITS.page, ping=_LIMITS.ping)
_PACE = 0.05
"""Between two writes to a first-generation server. It passes each on at once, but its system holds back and
joins what comes before the last one was acknowledged, for which a client's system may take 40 ms."""


class Events(Protocol):
    """Whoever the events of a connection are for."""

    def received(self, events: list[Event | Unknown]) -> None: ...


class Connection(asyncio.Protocol, ABC):
    """What both kinds have in common: a transport, a last sign of life, and an end."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self._transport: asyncio.Transport | None = None
        self.heard = self.spoke = time.monotonic()
        """When the last byte came, and when the last one went."""
        self.ended: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        """Done when the connection has ended, with the reason if the peer gave one."""
        self._reason: Exception | None = None
        self._is_aborted = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if self._is_aborted:  # closed while the connection was still being made
            self.abort()
            return
        if transport.get_extra_info("sockname") == transport.get_extra_info("peername"):
            # A port of the system's own range that nobody listens on can be answered by oneself.
            self.fail(Unreachable("Nobody answers there."))
            return
        self.begin()

    def data_received(self, data: bytes) -> None:
        self.heard = time.monotonic()
        try:
            self.took(data)
        except PeerError as error:
            self.fail(error)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_result(self._reason)

    def begin(self) -> None:
        """The connection stands."""

    @abstractmethod
    def took(self, data: bytes) -> None:
        """Bytes came. May raise PeerError, which ends the connection."""

    def fail(self, reason: Exception) -> None:
        """End the connection for a reason."""
        self._reason = self._reason or reason
        self.abort()

    def abort(self) -> None:
        self._is_aborted = True
        if self._transport is not None:
            self._transport.abort()

    def write(self, data: bytes) -> None:
        self.spoke = time.monotonic()
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    @property
    def fileno(self) -> int:
        sock = self._transport.get_extra_info("socket") if self._transport else None
        return sock.fileno() if sock is not None else -1


class NativeConnection(Connection):
    """The native language: proves the key, joins, and then passes events on."""

    def __init__(self, events: Events, address: Address, join: Join) -> None:
        super().__init__(events)
        self._address = address
        self._join = join
        self._nonce = secrets.token_hex(16)
        self._lines = wire.Lines(_LIMITS.line)
        self._is_proved = False
        """Whether the server has shown that it knows the secret; until then it is believed nothing."""

    def begin(self) -> None:
        if self._address.pin:
            encrypted = self._transport.get_extra_info("ssl_object")  # type: ignore[union-attr]
            shown = tls.pin_of(encrypted.getpeercert(binary_form=True))
            if shown != self._address.pin:  # not a byte of ours is for somebody else
                self.fail(CertificateChanged(self._changed(shown), self._address.pin, shown))
                return
        self.write(wire.encode(Hello(v=VERSION, key=self._address.key_id, nonce=self._nonce)))

    def took(self, data: bytes) -> None:
        events: list[Event | Unknown] = []
        for line in self._lines.feed(data):
            if line.startswith(plain.GREETING):  # a slow start: the server took us for a plain client
                line = line.removeprefix(plain.GREETING)
            event = wire.decode_event(line)
            if isinstance(event, Challenge) and not self._is_proved:
                self._prove(event)
            elif self._is_proved:
                events.append(event)
            elif isinstance(event, frames.Refused):
                raise Unreachable(f"The server refused the connection: {one_line(event.text)}")
            elif isinstance(event, Closing):
                raise Unreachable(f"The server hung up: {one_line(event.reason)}")
            else:
                raise NotTheServer(self._stranger())
        if self._lines.overflow:
            raise ProtocolError("bad_line", "The server sent a line without end.")
        if events:
            self._events.received(events)

    def _prove(self, challenge: Challenge) -> None:
        nonces = (self._nonce, challenge.nonce)
        if not keys.is_same(keys.server_proof(self._address.secret, *nonces), challenge.proof):
            raise NotTheServer(self._stranger())
        if not self._is_held_as_it_should():
            return
        self._is_proved = True
        self._lines.limit = EVENT_LINE
        proof = keys.client_proof(self._address.secret, *nonces)
        self.write(wire.encode(msgspec.structs.replace(self._join, proof=proof)))

    def _is_held_as_it_should(self) -> bool:
        """Now that it was answered, the other end belongs to whoever has taken the connection. If nobody has
        it any more, the connection broke."""
        assert self._transport is not None
        there, here = (self._transport.get_extra_info(name) for name in ("peername", "sockname"))
        if there is None or self._address.pin or not is_loopback(there[0]):
            return True
        why = owners.stranger(self._address.uid, there, here)
        if why:
            raise NotTheServer(why)
        if why is None:
            self.abort()
        return why is not None

    @property
    def _place(self) -> str:
        return place(self._address.host, self._address.port)

    def _changed(self, shown: str) -> str:
        return (
            f"The server at {self._place} is not the one this link was made for: its certificate is "
            "another. Nothing was sent to it.\n"
            f"  the link says:    {tls.readable(self._address.pin)}\n"
            f"  the server shows: {tls.readable(shown)}\n"
            "Ask the host for a new link (server.invite()). If the host knows of no change, somebody else "
            "answers there: do not join."
        )

    def _stranger(self) -> str:
        return (
            f"The server at {self._place} does not know this link's key: the link is cut or mistyped, its "
            "chat has moved to another port, or another program answers there. Ask for a new link."
        )

    def say(self, message: Outgoing) -> None:
        self.write(wire.encode(Say(id=message.id, text=message.text, auto=message.auto)))

    def page(self, before: int | None, limit: int) -> None:
        self.write(wire.encode(Page(before=before, limit=limit)))

    def ask(self, request: Moderate | Rules) -> None:
        self.write(wire.encode(request))

    def typing(self) -> None:
        self.write(wire.encode(Typing()))

    def away(self, away: bool) -> None:
        self.write(wire.encode(Away(away=away)))

    def ping(self) -> None:
        self.write(wire.encode(Ping()))

    def leave(self) -> None:
        """Say goodbye. The server ends the connection then; until it does it is read from, since what comes
        to a socket that is closed already resets the connection, and the goodbye with it."""
        self.write(wire.encode(Bye()))


class PlainConnection(Connection):
    """The first generation's language, as events with numbers of our own.

    Nothing confirms a message there, so it counts as said when it was written. Writes are at most 1,024
    bytes and 50 ms apart: the first server reads that much at a time and dies of half a character.
    """

    def __init__(self, events: Events, name: str, seq: int) -> None:
        super().__init__(events)
        self._name = name
        self._seq = seq
        self._greeting = b""
        self._is_in = False
        self._reader = plain.ServerReader()
        self._parts: deque[tuple[bytes, Outgoing | None]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._is_leaving = False

    def took(self, data: bytes) -> None:
        if not self._is_in:
            self._greeting += data
            if len(self._greeting) < len(plain.GREETING) and plain.GREETING.startswith(self._greeting):
                return
            if not self._greeting.startswith(plain.GREETING):
                raise ProtocolError("no_greeting", "What answers there is no first-generation chat server.")
            self._is_in = True
            data = self._greeting[len(plain.GREETING) :]
            self.write(self._name.encode())
            me = MemberInfo(name=self._name, plain=True)
            self._events.received([
                Welcomed(session="", name=self._name, role="member", room="lobby", log_id="plain",
                         head=self._seq, members=[me], limits=_ROOM_LIMITS)
            ])  # fmt: skip
        events: list[Event | Unknown] = []
        for kind, name, text in self._reader.feed(data):
            if kind == "joined":
                events.append(Joined(member=MemberInfo(name=name, plain=True)))
            elif kind == "left":
                events.append(Left(name=name))
            else:
                events.append(self._said(name or "?", text))
        if events:
            self._events.received(events)

    def _said(self, name: str, text: str, id: str = "") -> Said:
        self._seq += 1
        return Said(seq=self._seq, at=int(time.time() * 1000), id=id, by=name, text=text)

    def say(self, message: Outgoing) -> None:
        # The server puts our name before each part, and its clients read so many bytes at a time.
        room = _LIMITS.plain_write - len(f"{self._name}: ".encode())
        parts = plain.pieces(message.text, room)
        self._parts.extend((part, None) for part in parts[:-1])
        self._parts.append((parts[-1], message))
        if self._timer is None:
            # Not at once: the name, or the message before, has to be read by itself.
            self._timer = asyncio.get_running_loop().call_later(_PACE, self._write_part)

    def _write_part(self) -> None:
        self._timer = None
        if self._parts:
            part, message = self._parts.popleft()
            self.write(part)
            if message is not None:
                self._events.received([self._said(self._name, message.text, message.id)])
            self._timer = asyncio.get_running_loop().call_later(_PACE, self._write_part)
        elif self._is_leaving and self._transport is not None:
            self._transport.close()

    def typing(self) -> None:
        """There is no word for it that would not be taken for a message."""

    def away(self, away: bool) -> None:
        """Nor for this."""

    def ping(self) -> None:
        """Nothing that a first-generation server would not take for a message."""
        self.heard = time.monotonic()

    def leave(self) -> None:
        self._is_leaving = True
        if self._timer is None:
            self._write_part()
