"""When a client tries again."""

from __future__ import annotations

import random

import nbchat
from nbchat.client.backoff import Backoff
from tests.net.helpers import until
from tests.net.hostile import HostileServer


def longest(backoff: Backoff) -> float:
    return max(backoff.delay(2) for _ in range(300))


def test_an_outage_is_tried_soon_and_then_every_three_seconds() -> None:
    backoff = Backoff(random.Random(1))
    backoff.ended(60.0)
    assert longest(backoff) <= 0.5
    for _ in range(20):
        backoff.ended(None)
    assert 2 < longest(backoff) <= 3
    backoff.ended(0.1)  # in again
    assert longest(backoff) <= 0.5


def test_who_lets_us_in_and_hangs_up_is_tried_ever_less() -> None:
    backoff = Backoff(random.Random(1))
    found = []
    for _ in range(20):
        backoff.ended(0.01)
        found.append(longest(backoff))
        if len(found) % 3 == 0:  # a hint changes little in that
            backoff.hint = 0.0
            backoff.delay(2)
    assert found[:5] == sorted(found[:5], key=lambda delay: delay > 0.5)
    assert max(found[:5]) <= 0.5
    assert found[-1] > 20
    backoff.ended(5.0)
    assert longest(backoff) <= 0.5
    backoff.hint = 1e308
    assert backoff.delay(2) <= 90


def test_a_server_that_did_its_work_is_tried_soon_however_often_it_is_killed() -> None:
    backoff = Backoff(random.Random(1))
    for _ in range(50):
        backoff.ended(None)  # it starts
        backoff.ended(0.1, of_use=True)
    assert longest(backoff) <= 0.5


def test_a_client_takes_a_confirmation_and_a_message_for_use(server: nbchat.Server) -> None:
    with nbchat.connect(server, name="ada") as ada, nbchat.connect(server, name="bob") as bob:
        receivers = [ada._receiver, bob._receiver]
        assert [each._was_of_use for each in receivers] == [False, False]
        message = ada.send("hello")
        bob.wait_for(lambda each: each.text == "hello")
        message.wait()
        assert [each._was_of_use for each in receivers] == [True, True]


def test_a_server_that_hangs_up_after_each_welcome_is_noticed() -> None:
    with HostileServer() as server, nbchat.connect(server.link, name="ada") as ada:
        backoff = ada._receiver._backoff
        backoff._chance.uniform = lambda least, most: 0.0  # type: ignore[method-assign,assignment]
        for number in range(1, 9):
            until(ada, lambda: ada.status == "connected")
            server.say({"type": "closing", "reason": "again"})
            until(ada, lambda number=number: backoff.short >= number)  # type: ignore[misc]
        assert backoff.failed == 0
