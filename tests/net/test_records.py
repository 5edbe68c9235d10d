"""TLS's records at the server's layer: those that say nothing are few, and none holds the loop."""

from __future__ import annotations

import asyncio
import itertools
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nbchat.core.limits import SHAKING_HANDS, SILENT_MEMBER, SILENT_STRANGER, THIN, Limits
from nbchat.net import tls
from nbchat.net.records import Records
from nbchat.net.tls_transport import Secured
from tests.net import sealing
from tests.net.sealing import Sealer
from tests.net.test_tls_transport import Inner, Wire


class Socket(Wire):
    """Instead of a socket: whether it is read from, too."""

    is_read = True

    def pause_reading(self) -> None:
        self.is_read = False

    def resume_reading(self) -> None:
        self.is_read = True


class Peer:
    """A client whose handshake with the layer is done, and its records."""

    def __init__(self, folder: Path, *, is_member: bool = False, limits: Limits | None = None) -> None:
        self.now = 1000.0
        self.noted: list[str] = []
        self.inner, self.wire = Inner(), Socket()
        self.layer = Secured(
            tls.server_context()[0],
            self.inner,
            self.noted.append,
            is_member=lambda: is_member,
            limits=limits or Limits(),
            clock=lambda: self.now,
        )
        self.layer.connection_made(self.wire)
        into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
        end = sealing.client_context(folder).wrap_bio(into, out)
        for _ in range(2):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                self.layer.data_received(out.read())
                into.write(bytes(self.wire.written))
        self.layer.data_received(out.read())
        self.wire.written.clear()
        self.sealer = Sealer.of(end, folder)

    def send(self, record: bytes) -> bool:
        """Whether it is let go on."""
        self.layer.data_received(record)
        return not self.wire.is_closed

    def count(self, make: Callable[[], bytes]) -> int:
        """How many bytes of such records are taken up before it is ended."""
        total = 0
        while self.send(record := make()):
            total += len(record)
            assert total < 1 << 20, "there is no end to it"
        return total


def _in_turn(sealer: Sealer) -> Callable[[], bytes]:
    """New keys, a byte for each kilobyte at a time: a line that never ends."""
    rounds: Iterator[int] = itertools.count()
    return lambda: sealer.say(b"x") if next(rounds) % 40 == 0 else sealer.key_update()


def _in_bytes(sealer: Sealer) -> Callable[[], bytes]:
    """New keys as a message of 64 KiB, of which each record brings one byte."""
    message = iter(b"\x18\x00\xff\xff" + bytes(1 << 16))
    return lambda: sealer.seal(sealing.HANDSHAKE, bytes([next(message)]))


SILENT: dict[str, Callable[[Sealer], Callable[[], bytes]]] = {
    "new keys": lambda sealer: sealer.key_update,
    "empty records": lambda sealer: lambda: sealer.seal(sealing.CLEAR, b""),
    "nothing but padding": lambda sealer: lambda: sealer.seal(sealing.CLEAR, b"", padding=500),
    "a message in bytes": _in_bytes,
    "warnings": lambda sealer: lambda: sealer.seal(sealing.ALERT, b"\x01\x5a"),
    "changes of a cipher": lambda sealer: lambda: sealing.header(20, 1) + b"\x01",
    "tickets": lambda sealer: lambda: sealer.seal(sealing.HANDSHAKE, b"\x04\x00\x00\x00"),
    "a handshake again": lambda sealer: lambda: sealer.seal(sealing.HANDSHAKE, b"\x01\x00\x00\x00"),
    "new keys and a byte now and then": _in_turn,
}


@pytest.mark.parametrize("kind", SILENT)
@pytest.mark.parametrize(
    ("is_member", "most"), [(False, SILENT_STRANGER), (True, SILENT_MEMBER)], ids=["stranger", "member"]
)
def test_records_that_say_nothing_are_few(tmp_path: Path, kind: str, is_member: bool, most: int) -> None:
    peer = Peer(tmp_path, is_member=is_member)
    answered = peer.count(SILENT[kind](peer.sealer))
    assert answered <= most * 1.1
    assert len(peer.wire.written) <= most * 1.1, "nor is more answered"
    assert peer.noted in ([], ["TLS records with nothing in them"]), "[] where TLS itself ends it"
    peer.layer.data_received(peer.sealer.key_update())
    assert len(peer.wire.written) <= most * 1.1


def test_new_keys_now_and_then_are_nobodys_harm(tmp_path: Path) -> None:
    """Ten an hour, in a connection of many days: what it says is read all the while."""
    peer = Peer(tmp_path, is_member=True)
    for number in range(2000):
        peer.now += 360
        assert peer.send(peer.sealer.key_update() + peer.sealer.say(b"x"))
        assert len(peer.inner.heard) == number + 1


def test_what_a_minute_ago_said_nothing_is_forgotten(tmp_path: Path) -> None:
    peer = Peer(tmp_path, is_member=True)
    for _ in range(5):
        for _ in range(SILENT_MEMBER // 40):
            assert peer.send(peer.sealer.key_update())
        peer.now += 60
    assert peer.count(peer.sealer.key_update) <= SILENT_MEMBER


def test_a_handshake_in_bytes_is_done(tmp_path: Path) -> None:
    """The first message may come in records of a byte each, as small as TLS allows."""
    wire, layer = Socket(), Secured(tls.server_context()[0], Inner())
    layer.connection_made(wire)
    into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
    end = tls.client_context().wrap_bio(into, out)
    with pytest.raises(ssl.SSLWantReadError):
        end.do_handshake()
    hello = out.read()[5:]

    async def send() -> None:
        for at in range(len(hello)):
            layer.data_received(sealing.header(sealing.HANDSHAKE, 1) + hello[at : at + 1])

    asyncio.run(send())
    into.write(bytes(wire.written))
    end.do_handshake()
    layer.data_received(out.read())
    assert layer._stands


@pytest.mark.parametrize("size", [1, 100, 10_000])
def test_a_handshake_without_end_ends(size: int) -> None:
    wire, noted = Socket(), list[str]()
    layer = Secured(tls.server_context()[0], Inner(), noted.append)
    layer.connection_made(wire)
    message = iter(b"\x01\x01\xff\xff" + bytes(1 << 20))
    sent = 0
    while not wire.is_closed:
        part = bytes(itertools.islice(message, size))
        layer.data_received(sealing.header(sealing.HANDSHAKE, size) + part)
        sent += 5 + size
        assert sent <= SHAKING_HANDS + 2 * size + 10
    assert noted == ["a TLS handshake that failed"]


# ── turns ───────────────────────────────────────────────────────────────────────────────────────


def test_the_loop_has_a_turn_between_some_records(tmp_path: Path) -> None:
    """What one read brings, be it thousands of records, is taken up in pieces; nothing is read meanwhile."""
    peer = Peer(tmp_path)
    said = bytes(range(256))

    async def play() -> list[int]:
        heard: list[int] = []
        peer.layer.data_received(peer.sealer.say(said, 1) + peer.sealer.say(b"end", 3))
        assert not peer.wire.is_read
        while not peer.wire.is_read:
            heard.append(len(peer.inner.heard))
            await asyncio.sleep(0)
        return heard

    heard = asyncio.run(play())
    assert peer.inner.heard == said + b"end"
    assert len(heard) >= 8
    assert max(later - before for before, later in itertools.pairwise([0, *heard])) <= 32


def test_new_keys_do_not_hold_the_loop(tmp_path: Path) -> None:
    peer = Peer(tmp_path, is_member=True)

    async def play() -> int:
        turns = 0
        peer.layer.data_received(b"".join(peer.sealer.key_update() for _ in range(5000)))
        while not peer.wire.is_closed:
            turns += 1
            await asyncio.sleep(0)
        return turns

    assert asyncio.run(play()) >= SILENT_MEMBER // 27 // 32


def test_who_wants_nothing_now_is_handed_nothing(tmp_path: Path) -> None:
    """A connection that is held to its rate is not given what came with the last read."""
    peer = Peer(tmp_path)

    def heard_enough(data: bytes) -> None:
        peer.inner.heard += data
        peer.inner.transport.pause_reading()

    peer.inner.data_received = heard_enough  # type: ignore[method-assign]

    async def play() -> None:
        peer.layer.data_received(peer.sealer.say(b"abc", 1))
        for number in (1, 2, 3):
            for _ in range(3):
                await asyncio.sleep(0)
            assert len(peer.inner.heard) == number
            assert not peer.wire.is_read
            peer.inner.transport.resume_reading()
        await asyncio.sleep(0)
        assert peer.wire.is_read

    asyncio.run(play())


def test_an_end_in_the_middle_of_it_leaves_nothing(tmp_path: Path) -> None:
    peer = Peer(tmp_path)

    async def play() -> None:
        peer.layer.data_received(peer.sealer.say(bytes(100), 1))
        assert len(peer.inner.heard) == 32
        peer.wire.is_closed = True
        peer.layer.connection_lost(None)
        for _ in range(10):
            await asyncio.sleep(0)

    asyncio.run(play())
    assert len(peer.inner.heard) == 32


# ── thin records ────────────────────────────────────────────────────────────────────────────────


def taken(records: Records, now: float, seconds: float) -> int:
    """How many thin records are taken up in so many seconds, of somebody who sends them without end."""
    end, count = now + seconds, 0
    while now <= end:
        now += records.thin(now)
        count += 1
    return count


def test_thin_records_are_as_many_as_requests_may_be() -> None:
    limits = Limits()
    burst = 512 + 2 * limits.burst
    assert burst <= taken(Records(limits, 1000.0), 1000.0, 10) <= burst + 40 * 10 + 2
    quick = Limits(rate=1e4, burst=10**4)  # a host who lets members say more
    assert taken(Records(quick, 0.0), 0.0, 0.1) >= 2 * 10**4 + 0.1 * 4e4


def test_thin_records_wait_and_full_ones_do_not(tmp_path: Path) -> None:
    peer = Peer(tmp_path, is_member=True, limits=Limits(burst=1, rate=1))
    waits: list[float] = []

    async def play() -> None:
        loop = asyncio.get_running_loop()

        def later(seconds: float, function: Callable[[], Any]) -> asyncio.Handle:
            waits.append(seconds)
            peer.now += seconds
            return loop.call_soon(function)

        loop.call_later = later  # type: ignore[assignment, method-assign]
        peer.layer.data_received(peer.sealer.say(bytes(2000 * THIN), THIN))
        while not peer.wire.is_read:
            await asyncio.sleep(0)
        assert not waits
        peer.layer.data_received(peer.sealer.say(bytes(600), 1))
        while not peer.wire.is_read:
            await asyncio.sleep(0)

    asyncio.run(play())
    assert len(peer.inner.heard) == 2000 * THIN + 600, "and nothing is lost"
    assert sum(waits) == pytest.approx((600 - 514) / 4)
