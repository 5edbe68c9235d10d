"""TLS between a socket and a connection of the server.

asyncio and uvloop have such a layer, too. This one is here for what the design promises of every
connection: it is known (and counted, and ended when its time is up) from its first moment and not only
after TLS's handshake; nothing is queued for it but the one write that its socket did not take; and what
is not TLS is answered in words.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from typing import Any, cast

from nbchat.core import plain, wire
from nbchat.core.frames import Closing

_RECORD = 16 * 1024
"""The most that one record of TLS holds."""
_NOT_TLS = (
    "This port is encrypted (TLS). Join with the whole link, as the host gets it from server.invite(): it "
    "has ?pin= in it."
)


class Secured(asyncio.Protocol):
    """What asyncio calls: raw bytes in, a connection's own bytes out. ``inner`` is told of the connection
    before TLS's handshake; what it writes until then is dropped. ``note`` writes down who was turned away."""

    def __init__(
        self,
        context: ssl.SSLContext,
        inner: asyncio.Protocol,
        note: Callable[[str], None] = lambda what: None,
    ) -> None:
        self._inner = inner
        self._note = note
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._raw: asyncio.Transport | None = None
        self._is_first = True
        self._stands = False

    # ── asyncio calls these ──

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._raw = cast(asyncio.Transport, transport)
        self._inner.connection_made(_Transport(self, self._raw))

    def data_received(self, data: bytes) -> None:
        raw = self._raw
        if raw is None or raw.is_closing():
            return
        if self._is_first:
            self._is_first = False
            if data[0] != 0x16:  # no TLS record of a handshake begins like this
                self._note("no TLS at a port with TLS")
                raw.write(_in_words(data))
                raw.close()
                return
        self._incoming.write(data)
        try:
            if not self._stands:
                self._tls.do_handshake()
                self._stands = True
            while (clear := self._tls.read(_RECORD)) and not raw.is_closing():
                self._inner.data_received(clear)
            self.close()  # the peer has said that nothing more comes
        except ssl.SSLWantReadError:
            self._send()
        except ssl.SSLError:  # an alert, if there is something to say
            if not self._stands:
                self._note("a TLS handshake that failed")
            self._send()
            raw.close()

    def eof_received(self) -> None:
        """The peer hung up; asyncio closes the socket."""

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._inner.connection_lost(exc)

    # ── the transport calls these ──

    def write(self, data: bytes) -> None:
        if not self._stands or self._raw is None or self._raw.is_closing():
            return
        try:
            written = self._tls.write(data)
            while written < len(data):
                written += self._tls.write(memoryview(data)[written:])
        except ssl.SSLError:  # one connection's trouble is not the others'
            self._raw.abort()
        else:
            self._raw.write(self._outgoing.read())

    def close(self) -> None:
        if self._raw is not None and not self._raw.is_closing():
            if self._stands:
                with contextlib.suppress(ssl.SSLError):  # it wants to read the peer's goodbye, as well
                    self._tls.unwrap()
                self._send()
            self._raw.close()

    def _send(self) -> None:
        if self._raw is not None and self._outgoing.pending:
            self._raw.write(self._outgoing.read())


class _Transport(asyncio.Transport):
    """The inner connection's way to its socket."""

    def __init__(self, secured: Secured, raw: asyncio.Transport) -> None:
        super().__init__()
        self._raw = raw
        self.write = secured.write  # type: ignore[assignment]  # one call less for each of many writes
        self.close = secured.close  # type: ignore[method-assign]
        self.abort = raw.abort  # type: ignore[method-assign]
        self.is_closing = raw.is_closing  # type: ignore[method-assign]
        self.pause_reading = raw.pause_reading  # type: ignore[method-assign]
        self.resume_reading = raw.resume_reading  # type: ignore[method-assign]
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
