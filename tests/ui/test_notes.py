"""The sentences that a page shows where it is not connected."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import nbchat
from nbchat.client.state import State
from nbchat.ui import notes
from tests.ui.test_panel import Page, ask, opened, page

__all__ = ["page"]
WORDS_OF_PYTHON = ("nbchat.", "serve(", "join(", "connect(", "closed here", "Closed:", "Error")


@pytest.mark.parametrize("status", ["closed", "reconnecting"])
@pytest.mark.parametrize("cause", [*notes._OVER, *notes._AWAY, "kicked", "banned", "closing", "PeerError"])
def test_it_is_one_sentence_for_a_student(status: str, cause: str) -> None:
    state = State("ada", "lobby")
    state.status, state.cause, state.reason = status, cause, "boss removed you from this room."
    said, can_come = notes.note(state)
    assert said.endswith(".")
    assert not any(word in said for word in WORDS_OF_PYTHON)
    assert not (can_come and status == "reconnecting"), "it comes back by itself"
    assert not (can_come and cause in ("banned", "bad_key", "link_ended"))


def test_a_servers_own_words_stand_behind_ours() -> None:
    state = State("ada", "lobby")
    state.status, state.cause, state.reason = "closed", "closing", "Connected as ada"
    assert notes.note(state)[0] == "You are no longer in this chat: Connected as ada"
    state.status, state.reason = "connected", ""
    assert notes.note(state) == ("", False)


def test_every_error_that_ends_a_client_has_its_sentence() -> None:
    tree = ast.parse((Path(nbchat.__file__).parent / "client" / "thread.py").read_text("utf-8"))
    (hopeless,) = [
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "_HOPELESS"
    ]
    own = {"bad_name", "version", "banned", "kicked"}  # the server's words say more
    assert set(hopeless) - own <= set(notes._OVER)


def test_a_page_is_told_of_its_state_and_joins_again(server: nbchat.Server, page: Page) -> None:
    server.announce_only()
    panel = opened(nbchat.join(server.invite(), name="eve"), page)
    page.until(lambda: page.state.get("rules", {}).get("announce") is True)
    assert (page.state["chat"], page.state["role"], page.state["note"]) == (None, "member", ("", False))
    server.announce_only(False)
    server.slow(5)
    server.mute("eve", 10)
    page.until(lambda: page.state["rules"]["muted"])
    assert (page.state["rules"]["announce"], page.state["rules"]["slow"]) == (False, 5)
    assert 590 < page.state["rules"]["left"] <= 600
    server.kick("eve")
    page.until(lambda: page.state["status"] == "closed")
    assert page.state["note"] == (
        "You are no longer in this chat: The host removed you from this room.",
        True,
    )
    ask(panel, {"type": "say", "mark": "a" * 16, "text": "hello?"})
    page.until(lambda: len(page.refused) == 1)
    assert page.refused[0]["why"] == "You are not in the chat now."
    ask(panel, {"type": "join"})
    page.until(lambda: page.state["status"] == "connected")
    assert server.members == ["eve"]
    assert page.state["rules"]["muted"], "who is muted stays it"
    panel.client.close()
    page.until(lambda: page.state["status"] == "closed")
    assert page.state["note"] == ("You left this chat.", True)
    panel.close()


def test_lines_of_who_came_have_their_time(server: nbchat.Server, page: Page) -> None:
    panel = opened(nbchat.join(server, name="ada"), page)
    clock = panel.client._state.transcript
    clock._clock = lambda: 1_000_000
    with nbchat.connect(server, name="bob"):
        page.until(lambda: any(row[0] == "j" for row in page.rows.values()))
    assert list(page.times.values()) == [1_000_000]
    panel.close()
