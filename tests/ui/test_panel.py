"""The panel's side in the kernel, without a page: what it sends is caught where it leaves."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any

import pytest

import nbchat
from nbchat.ui.panel import ChatPanel

PATIENCE = 20


class Page:
    """A page that shows what it gets, by the rules of panel.js."""

    def __init__(self) -> None:
        self.inbox: queue.Queue[dict[str, Any]] = queue.Queue()
        self.rows: list[dict[str, Any]] = []
        self.state: dict[str, Any] = {}
        self.refused: list[dict[str, Any]] = []
        self.gaps = 0

    def until(self, ready: Callable[[], bool]) -> None:
        while not ready():
            self.take(self.inbox.get(timeout=PATIENCE))

    def take(self, message: dict[str, Any]) -> None:
        last = self.rows[-1]["n"] if self.rows else 0
        if message["type"] == "rows" and message["after"] > last:
            self.gaps += 1
        elif message["type"] == "rows":
            self.rows += [row for row in message["rows"] if row["n"] > last]
        elif message["type"] == "state":
            self.state = message
        elif message["type"] == "refused":
            self.refused.append(message)

    @property
    def texts(self) -> list[str]:
        return [row["text"] for row in self.rows if row["kind"] == "said"]


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> Page:
    page = Page()
    monkeypatch.setattr(ChatPanel, "send", lambda self, content, buffers=None: page.inbox.put(content))
    return page


def ask(panel: ChatPanel, content: dict[str, Any]) -> None:
    """As the page does."""
    panel._handle_custom_msg(content, [])


def test_the_page_gets_every_row_once_in_order(server: nbchat.Server, page: Page) -> None:
    with nbchat.connect(server, name="bob") as bob:
        bob.send("before").wait()
        panel = nbchat.join(server, name="ada")
        page.until(lambda: page.texts == ["before"])
        for number in range(30):
            bob.send(str(number))
        page.until(lambda: len(page.texts) == 31)
        assert page.texts == ["before", *map(str, range(30))]
        assert [row["n"] for row in page.rows] == list(range(1, len(page.rows) + 1))
        page.until(lambda: [each["name"] for each in page.state["members"]] == ["bob", "ada"])
        assert (page.state["status"], page.state["name"], page.gaps) == ("connected", "ada", 0)
    page.until(lambda: page.rows[-1]["kind"] == "left")
    panel.close()


def test_a_page_that_comes_later_asks_for_the_rest(server: nbchat.Server, page: Page) -> None:
    panel = nbchat.join(server, name="ada")
    for number in range(500):  # more than one message to the page carries
        panel.client._state.transcript.notice(str(number))
    panel.client._state.set()
    page.until(lambda: len(page.rows) == 500)
    late = Page()
    late.inbox = page.inbox
    ask(panel, {"type": "sync", "after": 0})
    late.until(lambda: len(late.rows) == 500)
    assert late.rows == page.rows
    later = Page()
    later.inbox, later.rows = page.inbox, page.rows[:450]
    ask(panel, {"type": "sync", "after": 450})
    later.until(lambda: len(later.rows) == 500)
    assert later.rows == page.rows
    assert later.gaps == 0
    panel.close()


def test_what_the_page_says(server: nbchat.Server, page: Page) -> None:
    panel = nbchat.join(server, name="ada")
    ask(panel, {"type": "say", "text": "from the box\nin two lines"})
    page.until(lambda: page.texts == ["from the box\nin two lines"])
    ask(panel, {"type": "say", "text": "x" * 20_000})
    page.until(lambda: len(page.refused) == 1)
    assert page.refused[0]["text"] == "x" * 20_000
    assert "16384 bytes" in page.refused[0]["why"]
    for nonsense in (
        None,
        [],
        {"type": "say"},
        {"type": "say", "text": 3},
        {"type": "sync", "after": "x"},
        "x",
    ):
        ask(panel, nonsense)  # type: ignore[arg-type]
    ask(panel, {"type": "say", "text": "still alive"})
    page.until(lambda: page.texts[-1] == "still alive")
    panel.close()


def test_the_page_is_told_of_outages(server: nbchat.Server, page: Page) -> None:
    panel = nbchat.join(server, name="ada")
    page.until(lambda: page.state.get("status") == "connected")
    server.stop()
    page.until(lambda: page.state.get("status") == "reconnecting")
    assert page.state["reason"]
    panel.client.close()
    page.until(lambda: page.state.get("status") == "closed")
    panel.close()


def test_running_the_cell_again_replaces_the_panel(server: nbchat.Server, page: Page) -> None:
    panels = [nbchat.join(server, name="ada") for _ in range(5)]
    assert [panel.client.status for panel in panels] == ["closed"] * 4 + ["connected"]
    assert server.members == ["ada"]
    other = nbchat.join(server, name="bob")  # another name is another panel
    assert server.members == ["ada", "bob"]
    for panel in (*panels, other):
        panel.close()
        panel.close()
    assert server.members == []
    for thread in threading.enumerate():
        if thread.name.startswith(("nbchat panel", "nbchat client")):
            thread.join(PATIENCE)
            assert not thread.is_alive()


def test_its_text_is_the_same_in_every_run(server: nbchat.Server, page: Page) -> None:
    panel = nbchat.join(server, name="ada")
    data = panel._repr_mimebundle_()
    data = data[0] if isinstance(data, tuple) else data
    assert data["text/plain"] == "ChatPanel()"
    assert "application/vnd.jupyter.widget-view+json" in data
    assert "ada" in repr(panel)
    panel.close()
