"""TLS as a client has it, both ends in memory: any split, a server that asks for new keys without end."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nbchat.client.connection import Connection
from nbchat.client.tls import Sealed
from nbchat.core.errors import Unreachable
from nbchat.core.limits import SHAKING_HANDS, SILENT_MEMBER
from nbchat.net import tls
from tests.net import sealing
from tests.net.sealing import Sealer
from tests.net.test_records import SILENT, Socket


class Way(Socket):
    """Instead of a socket, with two ends."""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"sockname": ("127.0.0.2", 1), "peername": ("127.0.0.2", 2)}.get(name, default)


class Inner(Connection):
    """A client's connection: what it heard, and why it ended."""

    certificate: bytes | None = None

    def __init__(self) -> None:
        super().__init__(events=None)  # type: ignore[arg-type]
        self.got = bytearray()

    def begin(self) -> None:
        assert self._transport is not None
        self.certificate = self._transport.get_extra_info("ssl_object").getpeercert(binary_form=True)
        self.write(b"hello\n")

    def took(self, data: bytes) -> None:
        self.got += data


class Server:
    """One whose handshake with the layer is done, and its records."""

    def __init__(self, folder: Path, step: int = 1 << 20) -> None:
        self.inner, self.wire = Inner(), Way()
        self.layer = Sealed(tls.client_context(), self.inner)
        self.layer.connection_made(self.wire)
        into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.context, self.pin = tls.server_context()
        self.context.keylog_filename = str(folder / "keys")
        self.end, self.into = self.context.wrap_bio(into, out, server_side=True), into
        while self.end.version() is None or not self.layer.stands.done():
            self.take()
            with contextlib.suppress(ssl.SSLWantReadError):
                self.end.do_handshake()
            data = out.read()
            for at in range(0, len(data), step):
                self.layer.data_received(data[at : at + step])
        self.take()
        self.end.do_handshake()
        self.sealer = Sealer.of(self.end, folder, "SERVER")

    def take(self) -> None:
        """What the client has written."""
        self.into.write(bytes(self.wire.written))
        self.wire.written.clear()

    def count(self, make: Callable[[], bytes]) -> int:
        """How many bytes of such records are taken up before the client hangs up."""
        total = 0
        while True:
            self.layer.data_received(record := make())
            if self.wire.is_closed:
                return total
            total += len(record)
            assert total < 1 << 20, "there is no end to it"


def played(play: Callable[[], object]) -> None:
    async def run() -> None:
        play()

    asyncio.run(run())


@pytest.mark.parametrize("step", [1, 3, 100, 1 << 20])
def test_any_split_of_the_bytes_says_the_same(tmp_path: Path, step: int) -> None:
    def play() -> None:
        server = Server(tmp_path, step)
        assert tls.pin_of(server.inner.certificate or b"") == server.pin
        assert server.end.read(100) == b"hello\n"
        data = server.sealer.say(b"x" * 40_000)
        for at in range(0, len(data), max(step, 100)):
            server.layer.data_received(data[at : at + max(step, 100)])
        assert server.inner.got == b"x" * 40_000
        server.inner.write(b"y" * 100_000)
        server.take()
        assert b"".join(server.end.read(1 << 14) for _ in range(7)) == b"y" * 100_000

    played(play)


@pytest.mark.parametrize("kind", SILENT)
def test_records_of_a_server_that_say_nothing_are_few(tmp_path: Path, kind: str) -> None:
    def play() -> None:
        server = Server(tmp_path)
        assert server.count(SILENT[kind](server.sealer)) <= SILENT_MEMBER * 1.1
        assert len(server.wire.written) <= SILENT_MEMBER * 1.1, "nor is more answered"
        server.layer.connection_lost(None)
        assert server.inner.ended.done()
        reason = server.inner.ended.result()
        assert reason is None or isinstance(reason, Unreachable), "None where TLS itself ends it"

    played(play)


def test_the_loop_has_a_turn_between_some_records(tmp_path: Path) -> None:
    async def play() -> int:
        server = Server(tmp_path)
        turns = 0
        server.layer.data_received(b"".join(server.sealer.key_update() for _ in range(5000)))
        while not server.wire.is_closed:
            turns += 1
            await asyncio.sleep(0)
        return turns

    assert asyncio.run(play()) >= SILENT_MEMBER // 27 // 32


def test_a_busy_room_in_records_of_a_line_each_is_read_at_once(tmp_path: Path) -> None:
    """A server writes a line when it has one: to a client thin records are as usual as full ones."""
    line = b'{"type":"said","text":"hi"}\n'

    async def play() -> None:
        server = Server(tmp_path)
        server.layer.data_received(b"".join(server.sealer.say(line) for _ in range(5000)))
        while not server.wire.is_read:
            turn = server.layer._turn
            assert not isinstance(turn, asyncio.TimerHandle), "it waits for no time"
            await asyncio.sleep(0)
        assert server.inner.got == line * 5000

    asyncio.run(play())


@pytest.mark.parametrize("size", [1, 100, 10_000])
def test_a_handshake_without_end_ends(size: int) -> None:
    async def play() -> None:
        wire = Socket()
        layer = Sealed(tls.client_context(), Inner())
        layer.connection_made(wire)
        message: Iterator[int] = iter(b"\x02\x01\xff\xff" + bytes(1 << 20))
        sent = 0
        while not wire.is_closed:
            layer.data_received(
                sealing.header(sealing.HANDSHAKE, size) + bytes(itertools.islice(message, size))
            )
            sent += 5 + size
            assert sent <= SHAKING_HANDS + 2 * size + 10
        with pytest.raises(ssl.SSLError):
            await layer.stands

    asyncio.run(play())


@pytest.mark.parametrize("said", [b"USERNAME", b'{"type":"closing"}\n', b"HTTP/1.1 400\r\n\r\n"])
def test_what_is_no_tls_is_told_nothing(said: bytes) -> None:
    async def play() -> None:
        wire, inner = Socket(), Inner()
        layer = Sealed(tls.client_context(), inner)
        layer.connection_made(wire)
        wire.written.clear()
        layer.data_received(said)
        assert wire.is_closed
        assert not wire.written
        with pytest.raises(ssl.SSLError):
            await layer.stands
        assert inner._transport is None

    asyncio.run(play())


def test_who_hangs_up_in_the_handshake_is_told_from_who_speaks_no_tls() -> None:
    async def play() -> None:
        layer = Sealed(tls.client_context(), Inner())
        layer.connection_made(Socket())
        layer.connection_lost(None)
        with pytest.raises(ConnectionResetError):
            await layer.stands
        given_up, wire = Sealed(tls.client_context(), Inner()), Socket()
        given_up.connection_made(wire)
        given_up.abort()
        assert wire.is_closed

    asyncio.run(play())


def test_noise_ends_it_and_nothing_else(tmp_path: Path) -> None:
    def play() -> None:
        chance = random.Random(1)
        for _ in range(200):
            server = Server(tmp_path)
            server.layer.data_received(chance.randbytes(chance.randrange(1, 400)))
            server.layer.connection_lost(None)
            assert server.inner.ended.done()
            assert not server.inner.got

    played(play)
