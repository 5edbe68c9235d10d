"""The server's TLS layer, with both ends in memory: any split, any noise, no socket."""

from __future__ import annotations

import asyncio
import random
import ssl
from typing import Any

import pytest

from nbchat.net import tls
from nbchat.net.tls_transport import Secured


class Wire(asyncio.Transport):
    """Instead of a socket: what was written, and how it ended."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.is_closed = False

    def write(self, data: Any) -> None:
        self.written += data

    def close(self) -> None:
        self.is_closed = True

    abort = close

    def is_closing(self) -> bool:
        return self.is_closed

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...


class Inner(asyncio.Protocol):
    """The connection inside."""

    def __init__(self) -> None:
        self.transport: Any = None
        self.heard = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.heard += data


class Pair:
    """A client of Python's own, and the layer; bytes go over when ``move`` is called."""

    def __init__(self, step: int = 1 << 20) -> None:
        self._step = step
        self.inner, self.wire = Inner(), Wire()
        self.secured = Secured(tls.server_context()[0], self.inner)
        self.secured.connection_made(self.wire)
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.client = tls.client_context().wrap_bio(self._in, self._out)

    def move(self) -> None:
        """Everything that is on its way, there and back, in pieces of so many bytes."""
        while self._out.pending or self.wire.written:
            while data := self._out.read(self._step):
                self.secured.data_received(data)
            self._in.write(bytes(self.wire.written))
            self.wire.written.clear()

    def shake_hands(self) -> None:
        for _ in range(3):
            try:
                self.client.do_handshake()
            except ssl.SSLWantReadError:
                self.move()
            else:
                self.move()
                return

    def read(self) -> bytes:
        """What has come to the client."""
        found = b""
        try:
            while data := self.client.read(1 << 20):
                found += data
        except ssl.SSLWantReadError:
            pass
        return found


@pytest.mark.parametrize("step", [1, 2, 3, 5, 16, 100, 1 << 20])
def test_any_split_of_the_bytes_says_the_same(step: int) -> None:
    pair = Pair(step)
    pair.shake_hands()
    said = b"x" * 20_000 + b"{}\n"
    pair.client.write(said)
    pair.client.write(b"more")
    pair.move()
    assert bytes(pair.inner.heard) == said + b"more"
    pair.inner.transport.write(b"y" * 300_000)
    pair.move()
    assert pair.read() == b"y" * 300_000
    pair.inner.transport.write(b"bye")
    pair.inner.transport.close()
    pair.move()
    assert pair.wire.is_closed
    assert pair.read() == b"bye"


def test_what_is_written_before_the_handshake_goes_nowhere() -> None:
    pair = Pair()
    pair.inner.transport.write(b"secret")
    assert pair.wire.written == b""
    pair.inner.transport.close()
    assert (pair.wire.written, pair.wire.is_closed) == (b"", True)


def test_what_comes_with_the_end_of_the_handshake_is_heard() -> None:
    pair = Pair()
    with pytest.raises(ssl.SSLWantReadError):
        pair.client.do_handshake()
    pair.move()
    pair.client.do_handshake()
    pair.client.write(b"at once")  # in one piece with the handshake's last words
    pair.move()
    assert pair.inner.heard == b"at once"


def test_the_peers_goodbye_ends_it() -> None:
    pair = Pair()
    pair.shake_hands()
    pair.client.write(b"last")
    with pytest.raises(ssl.SSLWantReadError):
        pair.client.unwrap()
    pair.move()
    assert (bytes(pair.inner.heard), pair.wire.is_closed) == (b"last", True)
    pair.inner.transport.write(b"into the void")  # no error
    pair.inner.transport.close()


@pytest.mark.parametrize("after", [False, True], ids=["in the handshake", "after it"])
@pytest.mark.parametrize("seed", range(30))
def test_noise_ends_the_connection_and_raises_nothing(seed: int, after: bool) -> None:
    chance = random.Random(seed)
    pair = Pair()
    if after:
        pair.shake_hands()
    noise = b"\x16\x03\x01" * (not after) + chance.randbytes(chance.randrange(40_000, 80_000))
    pair.secured.data_received(noise)
    assert pair.wire.is_closed
    assert pair.inner.heard == b""
    pair.secured.data_received(b"more of it")
    pair.inner.transport.write(b"into the void")


def test_a_changed_byte_is_noticed() -> None:
    pair = Pair()
    pair.shake_hands()
    pair.client.write(b"pay 10")
    record = bytearray(pair._out.read())
    record[-1] ^= 1
    pair.secured.data_received(bytes(record))
    assert pair.inner.heard == b""
    assert pair.wire.is_closed


def test_nothing_is_kept_of_what_was_written() -> None:
    """Neither side's bytes wait in the layer: what the socket does not take is the socket's to hold."""
    pair = Pair()
    pair.shake_hands()
    for _ in range(50):
        pair.inner.transport.write(b"z" * 100_000)
        assert pair.secured._outgoing.pending == 0
    assert len(pair.wire.written) > 5_000_000


def test_the_socket_is_asked_and_told_directly() -> None:
    pair = Pair()
    told: list[str] = []
    pair.inner.pause_writing = lambda: told.append("pause")  # type: ignore[method-assign]
    pair.inner.resume_writing = lambda: told.append("resume")  # type: ignore[method-assign]
    pair.secured.pause_writing()
    pair.secured.resume_writing()
    assert told == ["pause", "resume"]
    assert pair.inner.transport.get_write_buffer_size() == 0
