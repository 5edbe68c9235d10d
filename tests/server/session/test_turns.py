"""Who has to wait before it comes in: it is one member all the same, it is refused as others are, and it is
not heard meanwhile. And what it costs to come back and to ask for the whole history again and again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from nbchat.core import keys, wire
from nbchat.core.frames import Body
from nbchat.core.keys import Key
from nbchat.core.limits import Limits
from nbchat.server.engine.shell import Shell
from nbchat.server.session.connection import Connection
from nbchat.store.open import open_store
from tests.fuzz.memory import Wire
from tests.net.helpers import PATIENCE

KEY = Key("key", "secret", "member", None)
COMINGS = 5000
"""A hundred a second: who comes too often waits for hundredths."""


class Peer:
    """One connection, by hand."""

    def __init__(self, shell: Shell) -> None:
        self.conn = Connection(shell)
        self.wire = Wire(self.conn)

    def send(self, *frames: dict[str, Any]) -> None:
        self.wire.feed(b"".join(json.dumps(frame).encode() + b"\n" for frame in frames))

    @property
    def heard(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.wire.lines]

    def joins(self, *names: str, **more: Any) -> None:
        """Say hello, and then join under each of these names, as fast as can be."""
        nonce = "0" * 32
        self.send({"type": "hello", "v": 1, "key": "key", "nonce": nonce})
        proof = keys.client_proof("secret", nonce, self.heard[-1]["nonce"])
        for name in names:
            self.send({"type": "join", "name": name, "proof": proof, "exact": False, **more})

    async def until(self, kind: str) -> dict[str, Any]:
        async with asyncio.timeout(PATIENCE):
            while True:
                for each in self.heard:
                    if each["type"] == kind:
                        return each
                await asyncio.sleep(0.001)


def play(test: Callable[[Shell], Awaitable[None]], limits: Limits, *, said: int = 0) -> None:
    async def run() -> None:
        store = open_store(None, lambda: 1.8e9)
        await store.open()
        for number in range(said):
            body = Body(id=f"m{number}", by="ada", text="x" * 500)
            await store.append("lobby", "0" * 32, f"m{number}", wire.encode_body(body))
        shell = Shell(store, replace(limits, flush=0.01), [KEY], allows_plain=False)
        try:
            await test(shell)
        finally:
            await shell.close("It is over.")
            await store.close()

    asyncio.run(run())


def crowded(shell: Shell) -> None:
    """More came and went from there just now than may."""
    now = shell.now
    for number in range(COMINGS + 20):
        shell.hub._arrivals.went(("key", None), f"s{number}", 0, now)


def test_who_waits_and_joins_again_is_one_member_and_leaves_nobody_behind() -> None:
    async def test(shell: Shell) -> None:
        crowded(shell)
        eve = Peer(shell)
        eve.joins("eve", "eva", "evi")
        assert [each["type"] for each in eve.heard] == ["challenge"], "it waits"
        assert (await eve.until("welcome"))["name"] == "eve"
        for _ in range(5):
            await asyncio.sleep(0)
        assert [each.name for each in shell.hub.members()] == ["eve"]
        eve.send({"type": "bye"})
        assert shell.hub.members() == []
        assert shell.hub._places._taken == 0

    play(test, Limits(comings=COMINGS))


def test_who_waits_is_not_read() -> None:
    async def test(shell: Shell) -> None:
        crowded(shell)
        eve = Peer(shell)
        eve.joins("eve")
        assert not eve.wire.is_reading
        await eve.until("welcome")
        assert eve.wire.is_reading

    play(test, Limits(comings=COMINGS))


@pytest.mark.parametrize("join", [{"room": "<room>"}, {"name": "\u202e"}, {"name": ""}])
def test_who_has_waited_is_refused_as_others_are(join: dict[str, str]) -> None:
    async def test(shell: Shell) -> None:
        crowded(shell)
        eve = Peer(shell)
        eve.joins("eve", **join)
        assert (await eve.until("refused"))["code"] == "bad_name"
        assert not eve.conn.is_open
        assert not shell._unnamed.of(eve.conn.host)

    play(test, Limits(comings=COMINGS))


# ── to come back, and to be sent all of it again ────────────────────────────────────────────────


def test_a_session_that_comes_back_again_and_again_waits_for_its_turn() -> None:
    async def test(shell: Shell) -> None:
        first = Peer(shell)
        first.joins("eve")
        session = (await first.until("welcome"))["session"]
        peers = [Peer(shell) for _ in range(8)]
        for peer in peers:
            peer.joins("eve", session=session)
        waiting = [peer for peer in peers if not peer.wire.is_reading]
        assert len(waiting) == 3, "five requests may be made at once"
        await waiting[-1].until("welcome")
        assert [each.name for each in shell.hub.members()] == ["eve"]

    play(test, Limits(burst=5, rate=100))


def test_what_a_session_was_sent_before_costs_as_pages_do() -> None:
    """The largest page counts as two requests, and so does as much history, but for the first time."""

    async def test(shell: Shell) -> None:
        session = "1" * 32
        costs: list[float] = []
        for _ in range(3):
            eve = Peer(shell)
            eve.joins("eve", session=session, after=0)
            before = shell.allowances.of(shell.hub.session_of(eve.conn), ("key", None))._quick.left
            async with asyncio.timeout(PATIENCE):
                while not eve.heard or eve.heard[-1].get("seq") != 100:
                    await asyncio.sleep(0)
            costs.append(
                before - shell.allowances.of(shell.hub.session_of(eve.conn), ("key", None))._quick.left
            )
        assert costs[0] == pytest.approx(0, abs=0.1)
        assert costs[1] == pytest.approx(2 * 100 / 10, abs=1)
        assert costs[2] == pytest.approx(2 * 100 / 10, abs=1)

    play(test, Limits(burst=1000, rate=0.001, page=10, hello=1e6), said=100)


def test_new_sessions_win_nothing() -> None:
    """All who ask for everything by one key from one address share a bucket."""

    async def test(shell: Shell) -> None:
        eves = [Peer(shell) for _ in range(3)]
        for eve in eves:
            eve.joins("eve", after=0)
        async with asyncio.timeout(PATIENCE):
            while any(eve.heard[-1].get("seq") != 100 for eve in eves):
                await asyncio.sleep(0)
        crowd = shell.allowances._crowds["key", None]
        assert crowd._left == pytest.approx(1000 - 3 * 20, abs=3)

    play(test, Limits(page=10, crowd_burst=1000, crowd_rate=0.01, rate=0.001, hello=1e6), said=100)
