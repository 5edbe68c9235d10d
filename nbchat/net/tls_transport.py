"""TLS between a socket and a connection of the server (of a client: client/tls.py).

asyncio and uvloop have such a layer, too. This one is here for what the design promises of every
connection: it is known (and counted, and ended when its time is up) from its first moment and not only
after TLS's handshake; nothing is queued for it but the one write that its socket did not take; and what
is not TLS is answered in words.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import Callable
from typing import Any, cast

from nbchat.core import plain, wire
from nbchat.core.frames import Closing
from nbchat.core.limits import SHAKING_HANDS, THIN, Limits
from nbchat.net.records import Records

_RECORD = 16 * 1024
"""The most that one record of TLS holds."""
_HEADER = 5
_LONGEST = _HEADER + _RECORD + 256
"""A record on its way (RFC 8446, 5.2)."""
HANDSHAKE = 22
_KINDS = range(20, 24)
_MAJOR = 3
"""What every record begins with: one of four kinds, and half of a version that has not changed since 1996."""
_AT_ONCE = 32
"""Records in one turn of the loop: a millisecond, if each renews the keys."""
_SLICE = 64 * 1024
"""Bytes that are encrypted in one go."""
_FAILED = "a TLS handshake that failed"
_NOT_TLS = (
    "This port is encrypted (TLS). Join with the whole link, as the host gets it from server.invite(): it "
    "has ?pin= in it."
)


class Secured(asyncio.Protocol):
    """What asyncio calls: raw bytes in, a connection's own bytes out. ``inner`` is told of the connection
    before TLS's handshake; what it writes until then is dropped. ``note`` writes down who was turned away,
    ``is_member`` tells whether the peer has proved a key, ``limits`` how many requests it may make.

    Records are taken up one by one: so each can be counted by what it gave (:mod:`~nbchat.net.records`), and
    after some of them the loop has a turn, whatever the peer sends.
    """

    def __init__(
        self,
        context: ssl.SSLContext,
        inner: asyncio.Protocol,
        note: Callable[[str], None] = lambda what: None,
        *,
        is_member: Callable[[], bool] = lambda: False,
        limits: Limits = Limits(),  # noqa: B008  # frozen
        clock: Callable[[], float] = time.monotonic,
        is_server: bool = True,
    ) -> None:
        self._inner = inner
        self._note = note
        self._is_member = is_member
        self._clock = clock
        self._records = Records(limits, clock())
        self._waiting = bytearray()
        """What came and was not taken up: the beginning of a record, or what waits for its turn."""
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=is_server)
        self._raw: asyncio.Transport | None = None
        self._is_first = True
        self._shaken = 0
        """Bytes of the handshake so far."""
        self._stands = False
        self._is_paused = False
        """The inner connection wants nothing more for now."""
        self._turn: asyncio.Handle | None = None
        """The next turn, while what came waits for it; until then nothing more is read."""

    # ── asyncio calls these ──

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._raw = cast(asyncio.Transport, transport)
        self._inner.connection_made(Transport(self, self._raw))

    def data_received(self, data: bytes) -> None:
        raw = self._raw
        if raw is None or raw.is_closing():
            return
        if self._is_first:
            self._is_first = False
            if self._is_no_tls(raw, data):
                return
        self._waiting += data
        if self._turn is None and not self._is_paused:
            self._work(raw)

    def eof_received(self) -> None:
        """The peer hung up; asyncio closes the socket."""

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._turn is not None:
            self._turn.cancel()
        self._waiting.clear()
        self._inner.connection_lost(exc)

    def _is_no_tls(self, raw: asyncio.Transport, data: bytes) -> bool:
        """Whether what came first is no TLS record of a handshake, and was turned away."""
        if data[0] == HANDSHAKE:
            return False
        self._note("no TLS at a port with TLS")
        raw.write(_in_words(data))
        raw.close()
        return True

    def _stood(self, raw: asyncio.Transport) -> None:
        """The handshake is done."""

    # ── one record after the other ──

    def _work(self, raw: asyncio.Transport) -> None:
        """Take up the records that are complete, as many as are due now."""
        waiting, left = self._waiting, _AT_ONCE
        while len(waiting) >= _HEADER and not self._is_paused and not raw.is_closing():
            size = _HEADER + (waiting[3] << 8 | waiting[4])
            if waiting[0] not in _KINDS or waiting[1] != _MAJOR or size > _LONGEST:
                self._end(raw, bytes(waiting[:_LONGEST]))
                return
            if len(waiting) < size:
                return
            if not left:
                self._rest(raw, 0)
                return
            left -= 1
            record = waiting[:size]
            del waiting[:size]
            if wait := self._take(raw, record):
                self._rest(raw, wait)
                return

    def _take(self, raw: asyncio.Transport, record: bytearray) -> float:
        """Take up one record; returns the seconds to wait before the next."""
        self._incoming.write(record)
        try:
            if not self._stands:
                self._shaken += len(record)
                self._tls.do_handshake()
                self._stands = True
                self._send()
                self._stood(raw)
                return 0
            clear = self._tls.read(_RECORD)  # all that is in it: no record holds more
        except ssl.SSLWantReadError:
            self._send()
            if self._stands:
                now, is_member = self._clock(), self._is_member()
                if not self._records.silent(len(record), now, is_member=is_member):
                    self._turn_away(raw, "TLS records with nothing in them")
            elif self._shaken > SHAKING_HANDS:
                self._turn_away(raw, _FAILED)
            return 0
        except ssl.SSLError:  # an alert, if there is something to say
            if not self._stands:
                self._note(_FAILED)
            self._send()
            raw.close()
            return 0
        if not clear:
            self.close()  # the peer has said that nothing more comes
            return 0
        self._inner.data_received(clear)
        return self._records.thin(self._clock()) if len(clear) < THIN else 0

    def _end(self, raw: asyncio.Transport, nonsense: bytes) -> None:
        """What came is no record: answer with TLS's alert, and end it."""
        self._take(raw, bytearray(nonsense))
        if not raw.is_closing():
            self._turn_away(raw, _FAILED)

    def _turn_away(self, raw: asyncio.Transport, what: str) -> None:
        self._note(what)
        raw.abort()  # not close(): perhaps it does not read what was answered

    def _rest(self, raw: asyncio.Transport, seconds: float) -> None:
        """Let the others have a turn, and read nothing until then."""
        if raw.is_closing():
            return
        raw.pause_reading()
        loop = asyncio.get_running_loop()
        self._turn = loop.call_later(seconds, self._go_on) if seconds else loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        self._turn = None
        raw = self._raw
        assert raw is not None
        self._work(raw)
        if self._turn is None and not self._is_paused and not raw.is_closing():
            raw.resume_reading()

    # ── the transport calls these ──

    def write(self, data: bytes) -> None:
        if not self._stands or self._raw is None or self._raw.is_closing():
            return
        try:
            if len(data) <= _SLICE:
                self._tls.write(data)
                self._raw.write(self._outgoing.read())
                return
            view = memoryview(data)  # in slices: the buffer keeps the largest size that it ever had
            for start in range(0, len(data), _SLICE):
                self._tls.write(view[start : start + _SLICE])
                self._raw.write(self._outgoing.read())
        except ssl.SSLError:  # one connection's trouble is not the others'
            self._raw.abort()

    def close(self) -> None:
        if self._raw is not None and not self._raw.is_closing():
            if self._stands:
                with contextlib.suppress(ssl.SSLError):  # it wants to read the peer's goodbye, as well
                    self._tls.unwrap()
                self._send()
            self._raw.close()

    def pause_reading(self) -> None:
        self._is_paused = True
        if self._raw is not None and not self._raw.is_closing():
            self._raw.pause_reading()

    def resume_reading(self) -> None:
        self._is_paused = False
        if self._raw is None or self._raw.is_closing() or self._turn is not None:
            return
        if self._waiting:  # not at once: this may be called out of what is being taken up
            self._turn = asyncio.get_running_loop().call_soon(self._go_on)
        else:
            self._raw.resume_reading()

    def _send(self) -> None:
        if self._raw is not None and self._outgoing.pending:
            self._raw.write(self._outgoing.read())


class Transport(asyncio.Transport):
    """The inner connection's way to its socket."""

    def __init__(self, secured: Secured, raw: asyncio.Transport) -> None:
        super().__init__()
        self._raw = raw
        self.write = secured.write  # type: ignore[assignment]  # one call less for each of many writes
        self.close = secured.close  # type: ignore[method-assign]
        self.abort = raw.abort  # type: ignore[method-assign]
        self.is_closing = raw.is_closing  # type: ignore[method-assign]
        self.pause_reading = secured.pause_reading  # type: ignore[method-assign]
        self.resume_reading = secured.resume_reading  # type: ignore[method-assign]
        self.set_write_buffer_limits = raw.set_write_buffer_limits  # type: ignore[method-assign]
        self.get_write_buffer_size = raw.get_write_buffer_size  # type: ignore[method-assign]

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._raw.get_extra_info(name, default)


def _in_words(data: bytes) -> bytes:
    """What to say to somebody who does not speak TLS."""
    match plain.sniff(data):
        case plain.Kind.HTTP:
            return plain.HTTP_ANSWER
        case plain.Kind.NATIVE:
            return wire.encode(Closing(reason=_NOT_TLS))
        case _:
            return _NOT_TLS.encode() + b"\n"
