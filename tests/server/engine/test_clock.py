"""The one clock of a process's servers, and what is moved when somebody sets the machine's."""

from __future__ import annotations

from pathlib import Path

import pytest

import nbchat
from nbchat.server.engine import clock
from nbchat.server.engine.clock import Clock
from tests.net.helpers import until

YEARS = 56 * 365 * 86400.0


class Machine:
    """A machine's clocks."""

    def __init__(self, wall: float = 1000.0) -> None:
        self.wall, self.passed = wall, 5.0

    def wait(self, seconds: float) -> None:
        self.wall += seconds
        self.passed += seconds

    def clock(self) -> Clock:
        return Clock(lambda: self.wall, lambda: self.passed)


def test_it_is_steady_until_it_is_set_right() -> None:
    machine = Machine()
    now = machine.clock()
    machine.wait(10)
    assert now() == 1010
    machine.wall += YEARS
    assert (now(), now.moved) == (1010, 0)
    now.set_right()
    assert (now(), now.moved) == (1010 + YEARS, YEARS)
    machine.wall -= YEARS + 60
    now.set_right()
    assert (now(), now.moved) == (950, -60)


def test_a_drift_is_not_followed() -> None:
    machine = Machine()
    now = machine.clock()
    machine.wall += 0.9
    now.set_right()
    assert (now(), now.moved) == (1000, 0)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """The clock of this process's servers is this machine's, which starts in 1970."""
    machine = Machine()
    monkeypatch.setattr(clock.now, "_wall", lambda: machine.wall)
    monkeypatch.setattr(clock.now, "_start", clock.now._start)
    monkeypatch.setattr(clock.now, "passed", lambda: machine.passed)
    monkeypatch.setattr(clock.now, "moved", 0.0)
    monkeypatch.setattr(clock.now, "_start", machine.wall - machine.passed)
    return machine


def set_right(server: nbchat.Server) -> None:
    """As the server's tick does it each second."""
    server._runner.ask(lambda shell: shell._set_clock_right())  # type: ignore[union-attr]


def test_a_machine_that_starts_in_1970(machine: Machine, data_folder: Path) -> None:
    """Links and bans made there last as long as they were meant to, also after a restart; stamps are right as
    soon as the clock is."""
    with nbchat.serve("class", port=0) as server, nbchat.connect(server, name="ada") as ada:
        link, old = server.invite(hours=2), server.invite(hours=1)
        with nbchat.connect(link, name="bob"):
            server.ban("bob", 90)
        ada.send("in 1970").wait()
        machine.wait(1800)
        machine.wall += YEARS
        set_right(server)
        ada.send("today").wait()
        machine.wait(1801)  # an hour in all
        with pytest.raises(nbchat.errors.Refused, match="has ended"):
            nbchat.connect(old, name="eve")
        with pytest.raises(nbchat.errors.Refused, match="banned"):
            nbchat.connect(link, name="bob")
        nbchat.connect(link, name="dan").close()
        until(ada, lambda: len(ada.messages) == 2)
        first, second = ada.messages
        assert (first.ms // 1000, second.ms // 1000) == (1000, int(2800 + YEARS))
        port = server.port
    with nbchat.serve("class", port=port) as server:
        with pytest.raises(nbchat.errors.Refused, match="banned"):
            nbchat.connect(link, name="bob")
        machine.wait(1800)
        nbchat.connect(link, name="bob").close()


def test_a_slow_room_is_slow_for_as_long_as_it_was_meant(machine: Machine, server: nbchat.Server) -> None:
    with nbchat.connect(server.invite(), name="bob") as bob:
        server.slow(60)
        bob.send("one").wait()
        machine.wait(30)
        machine.wall -= 500
        set_right(server)
        with pytest.raises(nbchat.errors.Refused, match="in 30 s"):
            bob.send("two").wait()
        machine.wait(31)
        bob.send("three").wait()


def test_what_was_timed_by_an_earlier_server_stays(machine: Machine, data_folder: Path) -> None:
    """It was timed by the clock of then, which may have been right."""
    machine.wall += YEARS
    clock.now.set_right()
    with nbchat.serve("class", port=0) as server:
        link, port = server.invite(hours=2), server.port
        with nbchat.connect(link, name="bob"):
            server.ban("bob", 60)
    machine.wall -= YEARS  # the next start, without a net
    clock.now.set_right()
    with nbchat.serve("class", port=port) as server:
        machine.wall += YEARS + 1800
        set_right(server)
        (ban,) = server.rules().bans.items()
        assert ban[1].timestamp() == pytest.approx(1000 + YEARS + 3600)
        machine.wait(1801)
        nbchat.connect(link, name="bob").close()
