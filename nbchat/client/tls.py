"""TLS as a client has it: the server's layer (net/tls_transport.py) from the other end.

A server that lies can ask for new keys without end, too, and a client's thread shares its interpreter with a
notebook. So here as well records are taken up one by one, those that say nothing are few, and the loop has a
turn between some of them. Records with little in them are few only beyond what a busy room brings: a server
writes a line as soon as it has one.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from typing import Any, cast

from nbchat.client.connection import Connection
from nbchat.core.errors import Unreachable
from nbchat.core.limits import Limits
from nbchat.net.tls_transport import HANDSHAKE, Secured, Transport

_BUSY = Limits(burst=10_000, rate=10_000)
"""What bounds thin records of a server: some 20,000 at once and then 40,000 a second."""
_ALERT = 21


class Sealed(Secured):
    """Between a socket and a client's connection, which is told of it when TLS's handshake is done."""

    def __init__(self, context: ssl.SSLContext, conn: Connection) -> None:
        super().__init__(context, conn, self._failed, is_member=lambda: True, limits=_BUSY, is_server=False)
        self._conn = conn
        self.stands: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the handshake is; or it fails: SSLError, ConnectionResetError."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._raw = cast(asyncio.Transport, transport)
        with contextlib.suppress(ssl.SSLWantReadError):
            self._tls.do_handshake()
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._stands:
            super().connection_lost(exc)
            return
        self._waiting.clear()
        if self._turn is not None:
            self._turn.cancel()
        if not self.stands.done():
            self.stands.set_exception(ConnectionResetError("it hung up in TLS's handshake"))

    def abort(self) -> None:
        """End it, also before the handshake is done."""
        self.stands.cancel()
        if self._raw is not None:
            self._raw.abort()

    def _is_no_tls(self, raw: asyncio.Transport, data: bytes) -> bool:
        if data[0] in (HANDSHAKE, _ALERT):
            return False
        self._failed("no TLS")
        raw.abort()
        return True

    def _stood(self, raw: asyncio.Transport) -> None:
        if self.stands.done():  # nobody waits for it any more
            raw.abort()
            return
        self.stands.set_result(None)
        self._conn.connection_made(_Transport(self, raw, self._tls))

    def _failed(self, what: str) -> None:
        if self._stands:
            self._conn.fail(Unreachable(f"The server sent {what}."))
        elif not self.stands.done():
            self.stands.set_exception(ssl.SSLError(what))


class _Transport(Transport):
    """The connection's way to its socket; it looks at the certificate."""

    def __init__(self, sealed: Sealed, raw: asyncio.Transport, tls: ssl.SSLObject) -> None:
        super().__init__(sealed, raw)
        self._tls = tls

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._tls if name == "ssl_object" else super().get_extra_info(name, default)
