"""A host's hand in a panel (without a page, and once with one), in a terminal, and after %chat."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from playwright.sync_api import expect
from traitlets.config import Config

import nbchat
from nbchat.client.state import Outgoing
from nbchat.core.errors import UsageError
from nbchat.ui import saved
from nbchat.ui.panel import ChatPanel
from tests.net.helpers import until
from tests.ui import lab
from tests.ui.processes import nbchat_command, terminal
from tests.ui.test_panel import Page, ask, opened, page

__all__ = ["page"]
MARK = "a" * 16


@pytest.fixture
def bob(server: nbchat.Server) -> Iterator[nbchat.Client]:
    with nbchat.connect(server.invite(), name="bob") as bob:
        yield bob


@pytest.fixture
def host(server: nbchat.Server, bob: nbchat.Client, page: Page) -> Iterator[ChatPanel]:
    panel = opened(nbchat.join(server, name="ada"), page)
    yield panel
    panel.close()


def say(panel: ChatPanel, text: str, mark: str = MARK) -> None:
    ask(panel, {"type": "say", "mark": mark, "text": text})


def of(page: Page, kind: str) -> list[list[Any]]:
    return [row[1:] for _, row in sorted(page.rows.items()) if row[0] == kind]


def until_news(page: Page, part: str) -> Any:
    """The next message that has a part."""
    while True:
        news = page.inbox.get(timeout=20)
        page.take(news)
        if part in news:
            return news[part]


# ── a panel ─────────────────────────────────────────────────────────────────────────────────────


def test_a_command_is_done_and_is_no_message(host: ChatPanel, bob: nbchat.Client, page: Page) -> None:
    say(host, "/mute bob 10")
    assert until_news(page, "done") == MARK
    page.until(lambda: of(page, "m") == [["ada muted bob for 10 minutes"]])
    assert page.said == []
    say(host, "/help")
    assert until_news(page, "done") == MARK
    page.until(lambda: any("/kick bob" in text for (text,) in of(page, "n")))
    say(host, "//help is a command")
    page.until(lambda: len(page.said) == 1)
    assert "/help is a command" in page.texts[0]
    assert bob.wait_for(lambda message: True).text == "/help is a command"


def test_what_is_no_command_comes_back_into_the_box(host: ChatPanel, bob: nbchat.Client, page: Page) -> None:
    say(host, "/mtue bob")
    page.until(lambda: len(page.refused) == 1)
    assert (page.refused[0]["mark"], page.refused[0]["text"]) == (MARK, "/mtue bob")
    assert "/mtue is no command, and was not sent" in page.refused[0]["why"]
    assert bob.messages == []


def test_what_a_muted_member_wrote_comes_back_into_the_box(server: nbchat.Server, page: Page) -> None:
    panel = opened(nbchat.join(server.invite(), name="eve"), page)
    say(panel, "/clear")
    page.until(lambda: len(page.refused) == 1)
    assert "Only a host can do that" in page.refused[0]["why"]
    server.mute("eve", 10)
    say(panel, "//let me", "b" * 16)
    told: list[str] = []
    while len(page.refused) < 2:
        news = page.inbox.get(timeout=20)
        page.take(news)
        told += [part for part in ("pending", "refused") if part in news]
    assert page.refused[1]["mark"] == "b" * 16
    assert page.refused[1]["text"] == "//let me", "as it was typed"
    assert page.refused[1]["why"] == "A host has muted you for another 10 minutes."
    page.until(lambda: page.facts["pending"] == [])
    assert of(page, "n") == [], "it stands at the box"
    panel.close()


def test_a_page_is_told_of_a_refusal_before_it_lets_go_of_the_message(host: ChatPanel, page: Page) -> None:
    state, message = host.client._state, Outgoing(MARK, "let me")
    with state.changed:
        state.pending[MARK] = message
        state.touch()
    page.until(lambda: page.facts["pending"] == [[MARK, "let me"]])
    with state.changed:
        del state.pending[MARK]
        message.settle(error=UsageError("No."))
        state.refused.append(message)
        state.touch()
    assert until_news(page, "refused") == {"mark": MARK, "text": "let me", "why": "No."}
    assert page.facts["pending"] == [[MARK, "let me"]], "not yet"
    page.until(lambda: page.facts["pending"] == [])


def test_what_was_taken_away_goes_from_the_page(
    host: ChatPanel, server: nbchat.Server, bob: nbchat.Client, page: Page
) -> None:
    for text in ("one", "two", "three"):
        bob.send(text).wait()
    page.until(lambda: len(page.said) == 3)
    say(host, "/delete 2")
    page.until(lambda: of(page, "m") == [["ada took a message of bob away", 2, 2]])
    # A new page is given the row without its text.
    page.last, page.rows = None, {}
    ask(host, {"type": "sync", "after": None})
    page.until(lambda: len(page.said) == 3)
    assert page.texts == ["one", "", "three"]
    assert "two" not in saved.copy(host.client.messages)
    ask(host, {"type": "recall"})
    changes = host.client._state.transcript.changes
    say(host, "/clear")
    page.until(lambda: of(page, "m")[-1] == ["ada cleared the room", 0, 4])
    assert host.client._state.transcript.changes == changes + 1, "the saved copy is made anew"
    page.last, page.rows = None, {}
    ask(host, {"type": "sync", "after": None})
    page.until(lambda: len(of(page, "m")) > 0)
    assert page.said == []
    assert list(page.rows) == list(range(min(page.rows), min(page.rows) + len(page.rows)))
    server.stop()


# ── a page ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.browser
@pytest.mark.timeout(120)
def test_in_a_browser(ada: lab.Notebook, chat: nbchat.Server) -> None:
    """Here bob is the host, from a cell, and then ada from her panel."""
    with nbchat.connect(chat, name="boss") as boss:
        texts = [boss.send(text).wait() for text in ("one", "two", "three")]
        expect(ada.texts).to_have_text(["one", "two", "three"])
        boss.redact(texts[1].seq or 0)
        expect(ada.texts).to_have_text(["one", "A host took this message away.", "three"])
        assert "message 3" in (ada.texts.nth(2).get_attribute("title") or "")
        ada.box.fill("let me speak")
        boss.mute("ada", 10)
        expect(ada.log).to_contain_text("boss muted ada for 10 minutes")
        expect(ada.box).to_be_disabled()
        expect(ada.box).to_have_attribute("placeholder", re.compile("A host has muted you until ..:.."))
        expect(ada.panel.locator("[role=alert]")).to_contain_text("A host has muted you until")
        expect(ada.box).to_have_value("let me speak")
        boss.clear()
        expect(ada.log).to_contain_text("boss cleared the room")
        expect(ada.texts).to_have_count(0)
        boss.unmute("ada")
        expect(ada.box).to_be_enabled()
        expect(ada.panel.locator("[role=alert]")).to_have_text("")
        boss.make_host("ada")
        expect(ada.members.filter(has_text="ada")).to_contain_text("host")
        ada.say("/help")
        expect(ada.log).to_contain_text("Only you see this.")
        ada.say("/announce on")
        expect(ada.log).to_contain_text("ada lets only hosts speak now")
        expect(ada.log.locator(".nbchat-pale")).to_have_count(0)
        ada.say("said")
        expect(ada.texts).to_have_text(["said"])
        assert boss.wait_for(lambda message: message.by == "ada").text == "said"
        corners = [
            ada.panel.locator(part).evaluate("node => getComputedStyle(node).borderRadius")
            for part in (".nbchat-box", ".nbchat-send")
        ]
        assert corners == ["6px", "6px"], "JupyterLab has rules for buttons of its own"
        chat.kick("ada")
        expect(ada.status).to_have_text(
            "You are no longer in this chat: The host removed you from this room."
        )
        ada.panel.get_by_role("button", name="Join again").click()
        expect(ada.status).to_have_text("Connected as ada")
        expect(ada.box).to_have_attribute("placeholder", "Only hosts may write now")  # she is none any more
        chat.announce_only(False)
        ada.say("back")
        expect(ada.texts).to_have_text(["said", "back"])


# ── a terminal ──────────────────────────────────────────────────────────────────────────────────


def test_in_a_terminal(server: nbchat.Server) -> None:
    with (
        nbchat.connect(server, name="ada") as ada,
        terminal(*nbchat_command("join", server.invite(), "--name", "bob")) as bob,
    ):
        bob.expect("bob>")
        bob.type("/lock\r")
        bob.expect("* Only a host can do that (/lock). Nothing was sent.")
        bob.type("/help\r")
        bob.expect("/hosts  shows who is host")
        ada.mute("bob", 10)
        bob.expect("* ada muted bob for 10 minutes")
        bob.type("let me speak\r")
        bob.expect("* A host has muted you for another 10 minutes.")
        bob.expect("bob> let me speak")  # back in the line
        ada.unmute("bob")
        bob.expect("* ada lets bob speak again")
        bob.type("\r")
        assert ada.wait_for(lambda message: True).text == "let me speak"
        ada.make_host("bob")
        bob.expect("* ada made bob a host")
        until(ada, lambda: ada._state.transcript.members["bob"].role == "host")
        bob.type("/slow 5\r")
        bob.expect("* bob made the room slow: 5 s between two messages of one member")
        bob.type("/kick nobody\r")
        bob.expect("* There is no 'nobody' here. Members: ada, bob.")
        bob.type("//slow is a word\r")
        assert ada.wait_for(lambda message: True).text == "/slow is a word"
        server.kick("bob")
        assert "nbchat: the chat has ended: The host removed you from this room." in bob.rest()
        assert bob.process.wait(20) == 1


# ── %chat ───────────────────────────────────────────────────────────────────────────────────────


def test_after_the_magic() -> None:
    shell = InteractiveShell(config=Config(HistoryManager={"enabled": False}))
    nbchat.load_ipython_extension(shell)
    with nbchat.serve("class", port=0, history=None) as server, nbchat.connect(server, name="bob") as bob:
        shell.run_line_magic("chat", "/lock")
        until(bob, lambda: any(row.kind == "moderated" for row in bob._state.transcript.rows))
        with pytest.raises(UsageError, match="/lcok is no command"):
            shell.find_line_magic("chat")("/lcok")
        shell.run_cell_magic("chat", "", "/lock is a command")
        assert bob.wait_for(lambda message: True).text == "/lock is a command"
        client = shell.find_line_magic("chat").__self__._client
        client.close()
