"""How many requests a member may make."""

from __future__ import annotations

from nbchat.core.limits import Limits
from nbchat.net.ratelimit import Rate


def test_a_burst_and_then_so_many_a_second() -> None:
    rate = Rate(Limits(rate=10, burst=3), now=100.0)
    for _ in range(3):
        assert rate.wait(100.0) == 0
        rate.take()
    assert rate.wait(100.0) == 0.1
    assert rate.wait(100.25) == 0  # two and a half have come back
    rate.take()
    assert rate.wait(100.25) == 0
    rate.take()
    assert rate.wait(100.25) > 0
    assert rate.wait(1000.0) == 0
    for _ in range(3):  # never more than a burst, however long one was silent
        assert rate.wait(1000.0) == 0
        rate.take()
    assert rate.wait(1000.0) > 0


def test_pings_count_little_but_do_count() -> None:
    rate = Rate(Limits(rate=10, burst=3), now=0.0)
    pings = 0
    while rate.wait(0.0) == 0:
        rate.take(0.1)
        pings += 1
    assert 15 < pings < 35


def test_slowed_lasts_until_half_of_the_burst_is_back() -> None:
    rate = Rate(Limits(rate=10, burst=10), now=0.0)
    for _ in range(10):
        rate.take()
    assert rate.wait(0.0) > 0
    rate.is_slowed = True
    assert rate.wait(0.2) == 0
    assert rate.is_slowed
    assert rate.wait(0.6) == 0
    assert not rate.is_slowed
