"""A connection without a network: bytes go in by ``data_received``, and come out as a list."""

from __future__ import annotations

import asyncio
from typing import Any


class _Sock:
    def setsockopt(self, *args: object) -> None:
        pass

    def fileno(self) -> int:
        return -1


class Wire(asyncio.Transport):
    """The transport of one connection. Its peer reads all, or (``is_full``) nothing."""

    def __init__(self, protocol: asyncio.Protocol, peer: str = "192.0.2.1") -> None:
        super().__init__({"socket": _Sock(), "peername": None, "sockname": (peer, 1)})
        self.protocol = protocol
        self.written = bytearray()
        self.is_reading = True
        self.is_full = False
        self._is_closing = False
        protocol.connection_made(self)

    @property
    def lines(self) -> list[bytes]:
        """What was written to it, as lines."""
        return bytes(self.written).splitlines()

    def feed(self, data: bytes) -> None:
        """The peer sent something."""
        if data and self.is_reading and not self._is_closing:
            self.protocol.data_received(data)

    def fill(self) -> None:
        if not self.is_full and not self._is_closing:
            self.is_full = True
            self.protocol.pause_writing()

    def drain(self) -> None:
        if self.is_full:
            self.is_full = False
            if not self._is_closing:
                self.protocol.resume_writing()

    def lose(self) -> None:
        """The connection breaks."""
        if not self._is_closing:
            self._is_closing = True
            self.protocol.connection_lost(None)

    # ── what a protocol may ask of it ──

    def write(self, data: Any) -> None:
        assert isinstance(data, bytes | bytearray | memoryview)
        if not self._is_closing:
            self.written += data

    def close(self) -> None:
        if not self._is_closing:
            self._is_closing = True
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)

    abort = close

    def is_closing(self) -> bool:
        return self._is_closing

    def pause_reading(self) -> None:
        self.is_reading = False

    def resume_reading(self) -> None:
        self.is_reading = True

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0
