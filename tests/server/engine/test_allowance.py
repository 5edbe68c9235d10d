"""What a member may ask for in how much time; all times are given."""

from __future__ import annotations

import pytest

from nbchat.core.limits import Limits
from nbchat.server.engine.allowance import Allowance, Allowances

LIMITS = Limits(rate=10, burst=5, steady_rate=1, steady_burst=20, crowd_rate=20, crowd_burst=50)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def said(allowance: Allowance, clock: Clock, seconds: float, *, is_host: bool = False) -> int:
    """How many messages are let through in so many seconds, of somebody who says as many as can be."""
    end, count = clock.now + seconds, 0
    while True:
        wait = allowance.wait(clock.now, is_host=is_host)
        if clock.now + wait > end + 1e-3:
            return count
        clock.now += max(wait, 1e-6) if wait else 0
        if not wait:
            allowance.take(is_message=True)
            count += 1


def test_a_script_runs_and_a_flood_of_minutes_does_not() -> None:
    clock = Clock()
    rates = Allowances(LIMITS, clock)
    ada = rates.of("ada", "link")
    assert said(ada, clock, 60) <= 20 + 62
    assert said(ada, clock, 600) <= 602
    clock.now += 100  # a rest, and a script runs again
    assert said(ada, clock, 2) >= 20


def test_history_that_was_sent_before_waits_for_the_sessions_own_bucket() -> None:
    clock = Clock()
    ada = Allowances(LIMITS, clock).of("ada", "link")

    def pieces(*afters: int) -> int:
        """How many of them are sent at once."""
        for number, after in enumerate(afters):
            if ada.history(after, clock.now, is_host=False):
                return number
            ada.read(after, after + 10, 2, is_host=False)
        return len(afters)

    assert pieces(*range(0, 200, 10)) == 20, "what is new"
    assert pieces(*range(0, 200, 10)) == 3, "what is not"
    clock.now += 2
    assert pieces(*range(200, 900, 10)) == 23, "of a link's own bucket all is taken"


def test_to_come_back_is_a_request() -> None:
    clock = Clock()
    rates = Allowances(LIMITS, clock)
    assert rates.came("ada", is_host=False) == 0, "nobody knows it"
    rates.of("ada", "link")
    waits = [rates.came("ada", is_host=False) for _ in range(10)]
    assert waits[:5] == [0] * 5
    assert waits[5:] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])
    assert rates.came(None, is_host=False) == 0


def test_hosts_have_only_the_quick_one() -> None:
    clock = Clock()
    ada = Allowances(LIMITS, clock).of("ada", "link")
    assert 600 <= said(ada, clock, 60, is_host=True) <= 607


def test_what_is_no_message_counts_quickly_only() -> None:
    clock = Clock()
    ada = Allowances(Limits(crowd_rate=100), clock).of("ada", "link")
    for _ in range(1000):
        while wait := ada.wait(clock.now, is_host=False):
            clock.now += wait + 1e-6
        ada.take()
    assert clock.now < 1000 + 100


def test_what_costs_more_is_waited_for_by_all_of_an_origin_but_hosts() -> None:
    clock = Clock()
    rates = Allowances(LIMITS, clock)
    ada, bob, host = (rates.of(name, "link") for name in ("ada", "bob", "host"))
    assert ada.wait(clock.now, is_host=False) == 0
    ada.take()
    ada.charge(8, is_host=False)  # of five, and ten a second
    assert round(ada.wait(clock.now, is_host=False), 3) == 0.5
    host.take()
    host.charge(1000, is_host=True)
    assert bob.wait(clock.now, is_host=False) == 0, "it is the host's alone"
    bob.take()
    bob.charge(60, is_host=False)
    assert rates.of("eve", "link").wait(clock.now, is_host=False) > 0
    assert rates.of("zoe", "another").wait(clock.now, is_host=False) == 0


def test_a_session_that_comes_again_has_what_it_had_left() -> None:
    clock = Clock()
    rates, count = Allowances(LIMITS, clock), 0
    for _ in range(100):  # a connection after the other
        ada = rates.of("ada", "link")
        count += said(ada, clock, 0)
        ada.users -= 1
        rates.tick()
    assert count == 5
    clock.now += 1000
    rates.tick()
    assert rates._sessions == {}, "who has used up nothing is forgotten"
    assert rates._crowds == {}


def test_new_sessions_of_an_origin_share_its_bucket_and_others_have_theirs() -> None:
    clock = Clock()
    rates, count = Allowances(LIMITS, clock), 0
    for number in range(100):
        one = rates.of(number, ("key", "10.0.0.1"))
        count += said(one, clock, 0)
        one.users -= 1
    assert count == 50
    assert said(rates.of("other", ("key", "10.0.0.2")), clock, 0) == 5
    assert said(rates.of("host", ("key", "10.0.0.1")), clock, 0, is_host=True) == 5


def test_who_waits_for_the_origins_bucket_has_a_turn() -> None:
    clock = Clock()
    rates = Allowances(LIMITS, clock)
    for number in range(10):
        said(rates.of(number, "o"), clock, 0)
    late = [rates.of(f"late {number}", "o") for number in range(10)]
    waits = [each.wait(clock.now, is_host=False) for each in late]
    assert waits == sorted(waits)
    assert waits[0] > 0
    clock.now += waits[3] + 1e-6
    assert [each.wait(clock.now, is_host=False) == 0 for each in late] == [True] * 4 + [False] * 6


def test_slowed_is_told_once_with_how_long() -> None:
    clock = Clock()
    ada = Allowances(LIMITS, clock).of("ada", "link")
    said(ada, clock, 0)
    assert not ada.is_slowed
    assert ada.wait(clock.now, is_host=False) > 0
    assert ada.slowed(30, clock.now, is_host=False) == 3.0
    assert ada.is_slowed
    said(ada, clock, 30)  # the steady one is empty now
    ada.is_slowed = False
    assert ada.slowed(30, clock.now, is_host=False) == 30.0
    assert ada.slowed(30, clock.now, is_host=True) == 3.0
    clock.now += 5
    ada.wait(clock.now, is_host=False)
    assert ada.is_slowed
    clock.now += 20
    ada.wait(clock.now, is_host=False)
    assert not ada.is_slowed


def test_limits_that_were_raised_raise_the_new_ones() -> None:
    clock = Clock()
    ada = Allowances(Limits(rate=1e6, burst=10**4), clock).of("ada", "link")
    assert said(ada, clock, 0) == 10**4
