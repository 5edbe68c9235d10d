"""What the room's rules mean for one member."""

from __future__ import annotations

import pytest

from nbchat.core import standing
from nbchat.core.frames import Held, Moderated, Standing


def did(what: str, name: str | None = None, **more: object) -> Moderated:
    return Moderated(1, 0, "m", "host", what, name, **more)  # type: ignore[arg-type]


def test_what_hosts_do_is_followed() -> None:
    held = Standing()
    for event, expected in (
        (did("announce"), Standing(announce=True)),
        (did("slow", seconds=5.0), Standing(True, 5.0)),
        (did("mute", "eve"), Standing(True, 5.0)),
        (did("mute", "ada", until=1000), Standing(True, 5.0, Held("ada", 1000))),
        (did("unmute", "eve"), Standing(True, 5.0, Held("ada", 1000))),
        (did("kick", "ada"), Standing(True, 5.0, Held("ada", 1000))),
        (did("host", "ada"), Standing(True, 5.0)),
        (did("unannounce"), Standing(False, 5.0)),
        (did("slow", seconds=0.0), Standing()),
        (did("something new", "ada"), Standing()),
    ):
        held = standing.after(held, event, "ada")
        assert held == expected, event


@pytest.mark.parametrize("name", ["ADA", "аda", "ada"])
def test_a_mute_on_a_name_that_looks_alike_holds(name: str) -> None:
    assert standing.after(Standing(), did("mute", name), "ada").muted == Held(name)


def test_the_end_of_a_mute_is_known_by_the_name_it_was_given_under() -> None:
    muted = Standing(muted=Held("ada"))  # this member is ada2 by now
    assert standing.after(muted, did("unmute", "Ada"), "ada2") == Standing()


def test_a_mute_ends_by_itself_and_hosts_may_speak() -> None:
    held = Standing(True, 5.0, Held("ada", 1000))
    assert standing.now(held, "member", 999) == held
    assert standing.now(held, "member", 1000) == Standing(True, 5.0)
    assert standing.now(held, "host", 999) == Standing(muted=Held("ada", 1000))
    forever = Standing(muted=Held("ada"))
    assert standing.now(forever, "member", 1e15) == forever


def test_a_refusal_tells_what_an_older_server_does_not() -> None:
    assert standing.refused(Standing(), "announce") == Standing(announce=True)
    for code in ("muted", "too_soon", "empty_text"):
        assert standing.refused(Standing(), code) == Standing(), "it would never be over"
