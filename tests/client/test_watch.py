"""Whether a connection still stands, with clocks that the test turns."""

from __future__ import annotations

import asyncio
import random
import time

import pytest

import nbchat
from nbchat.client.watch import Watch
from tests.chaos.proxy import Proxy
from tests.net.helpers import until


class Scene:
    """A client, its connection, and the machine's clocks: each sleep of the watch is a step of the clocks."""

    def __init__(self) -> None:
        self.now, self.off = 100.0, 1e9
        self.ping_every, self.is_welcome = 20.0, True
        self.did: list[tuple[float, str]] = []
        self.answers = True
        self.naps: dict[int, float] = {}
        """At which second of the steady clock the machine sleeps, and for how long."""

    def wall(self) -> float:
        return self.now + self.off


class Client:
    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self.wall = scene.wall
        self.ping = scene.ping_every

    @property
    def is_welcome(self) -> bool:
        return self._scene.is_welcome


class Connection:
    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self.heard = self.spoke = scene.now

    def ping(self) -> None:
        self._scene.did.append((round(self._scene.now - 100), "ping"))
        self.spoke = self._scene.now
        if self._scene.answers:
            self.heard = self._scene.now + 0.1

    def fail(self, reason: Exception) -> None:
        self._scene.did.append((round(self._scene.now - 100), "fail"))
        raise asyncio.CancelledError


def watch(scene: Scene, seconds: float) -> list[tuple[float, str]]:
    """What is done about a connection in so many seconds."""
    end = scene.now + seconds

    async def sleep(wanted: float) -> None:
        scene.now += wanted
        scene.off += scene.naps.pop(int(scene.now - 100), 0)
        if scene.now > end:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(Watch(Client(scene), Connection(scene), steady=lambda: scene.now, sleep=sleep).run())
    return scene.did


def test_a_quiet_connection_is_asked_now_and_then() -> None:
    assert watch(Scene(), 50) == [(16, "ping"), (32, "ping"), (48, "ping")]


def test_one_that_has_gone_silent_is_given_up() -> None:
    scene = Scene()
    scene.answers = False
    assert watch(scene, 100)[-1] == (51, "fail")


def test_after_a_sleep_it_is_asked_at_once() -> None:
    scene = Scene()
    scene.naps = {5: 3600}
    assert watch(scene, 20)[0] == (5, "ping")
    assert all(what == "ping" for _, what in scene.did)


@pytest.mark.parametrize("seconds", [3600, -3600, 3])
def test_and_given_up_soon_if_nothing_comes(seconds: float) -> None:
    scene = Scene()
    scene.answers, scene.naps = False, {5: seconds}
    assert watch(scene, 100) == [(5, "ping"), (11, "fail")]


def test_small_steps_of_the_clock_mean_nothing() -> None:
    scene = Scene()
    scene.naps = {5: 1.5, 7: -1.5}
    assert watch(scene, 10) == []


def test_where_the_steady_clock_goes_on_in_sleep() -> None:
    scene = Scene()
    scene.answers = False

    async def sleep(wanted: float) -> None:
        scene.now += 30 if not scene.did and scene.now > 105 else wanted
        if scene.now > 200:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(Watch(Client(scene), Connection(scene), steady=lambda: scene.now, sleep=sleep).run())
    assert [what for _, what in scene.did] == ["ping", "fail"]


def test_a_client_whose_machine_slept_comes_back(server: nbchat.Server) -> None:
    """Its connection leads nowhere any more, and nobody has told it."""
    with Proxy(server.port) as proxy, nbchat.connect(proxy.link(server.invite()), name="bob") as bob:
        proxy.stall(random.Random(1), 600)
        bob._receiver.wall = lambda: time.time() + 3600
        until(bob, lambda: bob.status == "reconnecting")
        assert "silent" in bob.reason
