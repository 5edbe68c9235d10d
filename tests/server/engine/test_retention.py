"""serve(keep=…): what the host does not want to keep goes, and everybody is told."""

from __future__ import annotations

import random
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import nbchat
from nbchat.client.state import Outgoing
from nbchat.core.errors import UsageError
from nbchat.core.frames import Trimmed
from nbchat.ui.cli import _parser
from tests.chaos.proxy import Proxy
from tests.net.helpers import PATIENCE, Raw, until


def trim(server: nbchat.Server) -> None:
    """Look for what is too old, as the server does every minute."""

    async def look() -> None:
        assert server._runner.shell is not None
        await server._runner.shell.trim()

    server._runner.do(look())


def wait_for(server: nbchat.Server, seconds: float) -> None:
    """Let time pass for a server: by both its clocks."""
    pass_by(server, "_clock", seconds)
    pass_by(server, "passed", seconds)


def pass_by(server: nbchat.Server, clock: str, seconds: float) -> None:
    """Turn one of a server's clocks: ``_clock``, the machine's, or ``passed``, which nobody sets."""

    def turn(shell: Any) -> None:
        owner = shell if clock == "_clock" else shell.keeper
        old = getattr(owner, clock)
        setattr(owner, clock, lambda: old() + seconds)

    server._runner.ask(turn)


def test_a_clock_that_was_set_takes_nothing_away(data_folder: Path) -> None:
    """However wrong it was when something was said, or is now: an hour has not passed."""
    with nbchat.serve("class", port=0, keep=timedelta(hours=1)) as server, nbchat.connect(server) as ada:
        ada.send("today").wait()
        trim(server)
        pass_by(server, "passed", 60)
        for years in (10, -60, 100):
            pass_by(server, "_clock", years * 365 * 86400)
            trim(server)
        assert [message.text for message in ada.history()] == ["today"]
        pass_by(server, "passed", 3600)
        trim(server)
        until(ada, lambda: ada.messages == [])


def test_what_was_said_before_goes_by_its_stamp(data_folder: Path) -> None:
    with nbchat.serve("class", port=0) as server, nbchat.connect(server, name="ada") as ada:
        ada.send("old").wait()
    with (
        nbchat.serve("class", port=0, keep=timedelta(hours=1)) as server,
        nbchat.connect(server, name="ada") as ada,
    ):
        ada.send("new").wait()
        pass_by(server, "_clock", 3601)
        trim(server)
        until(ada, lambda: ada.transcript() == ["ada: new"])


def test_by_number_it_is_trimmed_whatever_the_clock(data_folder: Path) -> None:
    with nbchat.serve("class", port=0, keep=1) as server, nbchat.connect(server, name="ada") as ada:
        for text in ("one", "two"):
            ada.send(text).wait()
        trim(server)
        until(ada, lambda: ada.transcript() == ["ada: two"])


def test_a_number_of_messages_is_kept() -> None:
    with (
        nbchat.serve(port=0, keep=10) as server,
        nbchat.connect(server, name="ada") as ada,
        nbchat.connect(server, name="bob", room="side") as bob,
    ):
        for client, count in ((ada, 30), (bob, 8)):
            for message in [client.send(str(number)) for number in range(count)]:
                message.wait()
        trim(server)
        until(ada, lambda: len(ada.messages) == 10)
        assert [message.text for message in ada.messages] == [str(number) for number in range(20, 30)]
        assert [message.seq for message in ada.history(limit=50)] == list(range(21, 31))
        assert ada.send("on").wait().seq == 31
        assert len(bob.messages) == len(bob.history()) == 8
        with nbchat.connect(server, name="cid") as cid:
            assert cid.transcript() == [f"ada: {number}" for number in range(20, 30)] + ["ada: on"]
            assert [row.kind for row in cid._state.transcript.rows] == ["said"] * 11


def test_an_age_is_kept() -> None:
    with nbchat.serve(port=0, keep=timedelta(hours=1)) as server, nbchat.connect(server, name="ada") as ada:
        ada.send("old").wait()
        trim(server)
        assert ada.transcript() == ["ada: old"]
        wait_for(server, 60)
        trim(server)
        wait_for(server, 3600)
        trim(server)
        until(ada, lambda: ada.messages == [])
        assert ada.history() == []
        assert ada.send("new").wait().seq == 2
        assert ada.transcript() == ["ada: new"]


def test_it_happens_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nbchat.server.engine.shell._TRIM", 0.01)
    with nbchat.serve(port=0, keep=1) as server, nbchat.connect(server, name="ada") as ada:
        for number in range(5):
            ada.send(str(number)).wait()
        until(ada, lambda: ada.transcript() == ["ada: 4"])


def test_who_was_away_is_told_what_is_gone_and_gets_the_rest() -> None:
    limits = nbchat.Limits(rate=1e6, burst=10**6)
    with nbchat.serve(port=0, keep=100, limits=limits) as server, nbchat.connect(server, name="ada") as ada:
        link = server.invite()
        first = Raw(link, "bob")
        ada.send("1").wait()
        assert first.receive("said")["seq"] == 1
        first.close()
        for message in [ada.send(str(number)) for number in range(2, 1501)]:
            message.wait(PATIENCE)
        trim(server)
        back = Raw(link, "bob", session=first.welcome["session"], after=1, log_id=first.welcome["log_id"])
        assert back.welcome["head"] == 1500
        assert back.receive() == {"type": "trimmed", "head": 1400}
        assert [back.receive("said")["seq"] for _ in range(100)] == list(range(1401, 1501))
        back.close()


def test_all_was_trimmed_while_somebody_was_away() -> None:
    with nbchat.serve(port=0, keep=timedelta(hours=1)) as server, nbchat.connect(server, name="ada") as ada:
        for number in range(5):
            ada.send(str(number)).wait()
        for seconds in (60, 3600):
            wait_for(server, seconds)
            trim(server)
        back = Raw(server.invite(), "bob", after=2)
        assert back.welcome["head"] == 5
        assert back.receive() == {"type": "trimmed", "head": 5}
        ada.send("new").wait()
        assert back.receive("said")["seq"] == 6
        back.close()


def test_a_client_that_missed_what_is_gone_goes_on_and_says_so() -> None:
    """Also of its own: what was stored and trimmed before its receipt came is confirmed all the same."""
    chance = random.Random(1)
    with (
        nbchat.serve(port=0, keep=1) as server,
        Proxy(server.port) as proxy,
        nbchat.connect(server, name="ada") as ada,
        nbchat.connect(proxy.link(server.invite()), name="bob") as bob,
    ):
        ada.send("one").wait()
        until(bob, lambda: bob._state.transcript.seq == 1)
        proxy.stall(chance, 600)
        mine = bob.send("two")
        until(ada, lambda: ada._state.transcript.seq == 2)
        for text in ("three", "four"):
            ada.send(text).wait()
        trim(server)
        assert mine.seq is None
        proxy.cut(chance, 1, "rst")
        assert mine.wait(PATIENCE).seq == 2
        until(bob, lambda: bob.transcript() == ["ada: four"])
        assert bob.send("five").wait().seq == 5
        (notice,) = [row.text for row in bob._state.transcript.rows if row.kind == "notice"]
        assert notice == "The 2 messages after 1 are no longer kept by this chat."


def test_a_receipt_that_was_trimmed_away_is_asked_for_again() -> None:
    """When so much is said at once that a message is trimmed before it was given out."""
    with nbchat.serve(port=0) as server, nbchat.connect(server, name="ada") as ada:
        said = ada.send("one").wait()
        waiting = Outgoing(said.id, said.text)
        waiting.is_sent = True
        with ada._state.changed:
            ada._state.pending[said.id] = waiting
        ada._receiver._call(ada._receiver.received, [Trimmed(head=5)])
        assert waiting.wait(PATIENCE).seq == 1


@pytest.mark.parametrize("keep", [0, -1, True, 2.5, "30d", timedelta(0), timedelta(days=-1)])
def test_what_cannot_be_kept_is_explained(keep: object) -> None:
    with pytest.raises(UsageError, match="timedelta"):
        nbchat.serve(port=0, keep=keep)  # type: ignore[arg-type]


def test_the_command_line_takes_numbers_and_times() -> None:
    for text, keep in (("10000", 10_000), ("12h", timedelta(hours=12)), ("30d", timedelta(days=30))):
        assert _parser().parse_args(["serve", "--keep", text]).keep == keep
    with pytest.raises(SystemExit):
        _parser().parse_args(["serve", "--keep", "much"])
