"""The panel's side in the kernel, without a page: what it sends is caught where it leaves."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Callable
from typing import Any

import pytest

import nbchat
from nbchat.core.frames import Said, Welcomed
from nbchat.core.limits import KEPT
from nbchat.core.transcript import Message
from nbchat.ui import feed, saved
from nbchat.ui import panel as panels
from nbchat.ui.panel import ChatPanel
from tests.net.helpers import saw

pytestmark = pytest.mark.own_ports

PATIENCE = 20
HISTORY = 2**52


def is_plain(value: object) -> bool:
    """Whether there is nothing in it but what JSON has, of no class of our own: hosts encode those as they
    like."""
    if type(value) in (list, tuple):
        return all(map(is_plain, value))  # type: ignore[call-overload]
    if type(value) is dict:
        return all(map(is_plain, value)) and all(map(is_plain, value.values()))
    return type(value) in (str, int, float, bool, type(None))


class Page:
    """A page that shows what it gets, by the rules of page/rows.js."""

    def __init__(self) -> None:
        self.inbox: queue.Queue[dict[str, Any]] = queue.Queue()
        self.rows: dict[int, list[Any]] = {}
        self.last: int | None = None
        self.facts: dict[str, Any] = {"state": {}, "members": [], "pending": []}
        self.told = 0
        self.refused: list[dict[str, Any]] = []
        self.recalled: list[str] = []
        self.typing: list[str] = []
        self.gaps: list[int] = []
        self.count = 0

    def until(self, ready: Callable[[], bool]) -> None:
        while not ready():
            self.take(self.inbox.get(timeout=PATIENCE))

    def take(self, news: dict[str, Any]) -> None:
        assert news["type"] == "news"
        assert is_plain(news)
        self.count += 1
        parts = self.facts.keys() & news.keys()
        if len(parts) < 3 and news["facts"] != self.told + bool(parts):
            self.gaps.append(news["facts"])
        self.told = news["facts"]
        self.facts.update({part: news[part] for part in parts})
        if rows := news.get("rows"):
            self.take_rows(**rows)
        if older := news.get("older"):
            for index, row in enumerate(older["rows"]):
                key = row[4] - HISTORY if "n" not in older else older["n"] + index
                assert key not in self.rows
                self.rows[key] = row
            self.older = older
        if refused := news.get("refused"):
            self.refused.append(refused)
        if "recalled" in news:
            self.recalled.append(news["recalled"])
        self.typing += news.get("typing", [])
        if self.last is not None and news["newest"] > self.last:
            self.gaps.append(news["newest"])

    def take_rows(
        self,
        after: int,
        n: int,
        first: bool,
        ms: int,
        rows: list[list[Any]],
        at: list[list[int]] | None = None,
    ) -> None:
        self.times = {n + place: ms + time for place, time in at or []}
        if self.last is None:
            if not first:
                return
            self.last = n - 1
        if after > self.last:
            self.gaps.append(after)
            return
        if n > self.last + 1:
            self.rows.clear()
        for index, row in enumerate(rows):
            if n + index > self.last:
                self.rows[n + index] = row
        self.last = max(self.last, n + len(rows) - 1)

    @property
    def said(self) -> list[list[Any]]:
        return [row for _, row in sorted(self.rows.items()) if row[0] == "s"]

    @property
    def texts(self) -> list[str]:
        return [row[2] for row in self.said]

    @property
    def seqs(self) -> list[int]:
        return [row[4] for row in self.said]

    @property
    def state(self) -> dict[str, Any]:
        return self.facts["state"]

    @property
    def names(self) -> list[str]:
        return [name for name, *_ in self.facts["members"]]


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> Page:
    page = Page()
    monkeypatch.setattr(ChatPanel, "send", lambda self, content, buffers=None: page.inbox.put(content))
    return page


def ask(panel: ChatPanel, content: dict[str, Any]) -> None:
    """As the page does."""
    panel._handle_custom_msg(content, [])


def opened(panel: ChatPanel, page: Page) -> ChatPanel:
    ask(panel, {"type": "sync", "after": None})
    page.until(lambda: page.last is not None)
    return panel


def test_the_page_gets_every_row_once_in_order(server: nbchat.Server, page: Page) -> None:
    with nbchat.connect(server, name="bob") as bob:
        bob.send("before").wait()
        panel = opened(nbchat.join(server, name="ada"), page)
        page.until(lambda: page.texts == ["before"])
        for number in range(30):
            bob.send(str(number))
        page.until(lambda: len(page.texts) == 31)
        assert page.texts == ["before", *map(str, range(30))]
        assert list(page.rows) == list(range(1, len(page.rows) + 1))
        assert [row[1] for row in page.said] == ["bob"] * 31
        page.until(lambda: page.names == ["bob", "ada"])
        assert (page.state["status"], page.state["name"], page.gaps) == ("connected", "ada", [])
        times = [message.ms for message in panel.client.messages]
        assert page.said[0][3] == 0
        assert times == sorted(times)
    page.until(lambda: page.rows[max(page.rows)][0] == "l")
    panel.close()


def test_a_page_that_comes_later_asks_for_the_rest(server: nbchat.Server, page: Page) -> None:
    panel = opened(nbchat.join(server, name="ada"), page)
    with panel.client._state.changed:
        for number in range(500):  # more than one message to the page carries
            panel.client._state.transcript.notice(str(number))
        panel.client._state.touch()
    page.until(lambda: len(page.rows) == 500)
    assert page.gaps == []
    late = Page()
    late.inbox = page.inbox
    ask(panel, {"type": "sync", "after": None})
    late.until(lambda: len(late.rows) == 100)  # a screen, not all
    assert late.rows == {n: row for n, row in page.rows.items() if n > 400}
    assert late.state["name"] == "ada"
    while min(late.rows) > 1:
        first = min(late.rows)
        ask(panel, {"type": "older", "before": first, "seq": None})
        late.until(lambda first=first: min(late.rows) < first)  # type: ignore[misc]
    assert late.rows == page.rows
    later = Page()
    later.inbox, later.last, later.told = page.inbox, 450, page.told
    later.rows = {n: row for n, row in page.rows.items() if n <= 450}
    ask(panel, {"type": "sync", "after": 450})
    later.until(lambda: len(later.rows) == 500)
    assert later.rows == page.rows
    assert later.gaps == []
    panel.close()


def test_scrolling_up_goes_to_the_first_message_of_the_room(page: Page) -> None:
    with nbchat.serve(port=0, history=None, limits=nbchat.Limits(burst=10_000)) as server:
        with nbchat.connect(server, name="bob") as bob:
            for message in [bob.send(str(number)) for number in range(260)]:
                message.wait(PATIENCE)
        panel = opened(nbchat.join(server, name="ada"), page)
        page.until(lambda: len(page.texts) == 50)
        page.older = {"more": True}
        while page.older["more"]:
            before = min(page.rows)
            ask(panel, {"type": "older", "before": before, "seq": page.seqs[0]})
            page.until(lambda before=before: page.older.get("before") == before)  # type: ignore[misc]
        assert page.texts == [str(number) for number in range(260)]
        assert page.seqs == list(range(1, 261))
        assert page.gaps == []
        panel.close()


def test_older_rows_of_a_log_that_is_gone_are_not_looked_for_in_the_new_one(
    server: nbchat.Server, page: Page
) -> None:
    panel = opened(nbchat.join(server, name="ada"), page)
    transcript = panel.client._state.transcript
    other = Welcomed("", "ada", "member", "lobby", "another", 70, [], None)  # type: ignore[arg-type]
    with panel.client._state.changed:
        transcript.apply(Said(40, 1, "x", "bob", "of the old log"))
        transcript.welcome(other)
        transcript.apply(Said(70, 1, "y", "bob", "of the new one"))
        panel.client._state.touch()
    page.until(lambda: len(page.texts) == 2)
    ask(panel, {"type": "older", "before": min(page.rows), "seq": 40})
    page.until(lambda: hasattr(page, "older"))
    assert page.older["rows"] == []
    assert page.older["more"] is False
    panel.close()


def test_a_page_that_was_asleep_too_long_begins_again(server: nbchat.Server, page: Page) -> None:
    panel = opened(nbchat.join(server, name="ada"), page)
    with panel.client._state.changed:
        for number in range(KEPT + 100):
            panel.client._state.transcript.notice(str(number))
        panel.client._state.touch()
    sleeper = Page()
    sleeper.inbox, sleeper.last, sleeper.told = page.inbox, 20, page.told
    sleeper.rows = {n: ["n", str(n)] for n in range(1, 21)}
    ask(panel, {"type": "sync", "after": 20})
    sleeper.until(lambda: sleeper.last == KEPT + 100)
    assert list(sleeper.rows) == list(range(101, KEPT + 101))  # no hole between what it has
    assert sleeper.gaps == []
    panel.close()


def test_what_the_page_says(server: nbchat.Server, page: Page) -> None:
    panel = opened(nbchat.join(server, name="ada"), page)
    mark = "0123456789abcdef"
    ask(panel, {"type": "say", "mark": mark, "text": "from the box\nin two lines"})
    page.until(lambda: len(page.texts) == 1)
    assert page.said[0][5:] == [0, mark, "host"]  # by which the page knows its own
    ask(panel, {"type": "say", "mark": "f" * 16, "text": "x" * 20_000})
    page.until(lambda: len(page.refused) == 1)
    assert (page.refused[0]["text"], page.refused[0]["mark"]) == ("x" * 20_000, "f" * 16)
    assert "16384 bytes" in page.refused[0]["why"]
    for nonsense in (
        None,
        [],
        {"type": "say"},
        {"type": "say", "mark": mark, "text": 3},
        {"type": "say", "mark": "no mark", "text": "never"},
        {"type": "sync", "after": "x"},
        {"type": "older", "before": None},
        "x",
    ):
        ask(panel, nonsense)  # type: ignore[arg-type]
    ask(panel, {"type": "say", "mark": "1" * 16, "text": "still alive"})
    page.until(lambda: page.texts[-1] == "still alive")
    ask(panel, {"type": "recall"})
    page.until(lambda: page.recalled == ["still alive"])
    assert len(page.texts) == 2
    panel.close()


def test_a_mention_is_marked_for_all_and_the_row_for_one(server: nbchat.Server, page: Page) -> None:
    panel = opened(nbchat.join(server, name="ada"), page)
    texts = ("hi @ada", "hi @bob b", "`@ada`", "https://x.org/@ada", "@ada看", "@carol", "x@ada")
    with nbchat.connect(server, name="bob b") as bob, nbchat.connect(server, name="eve"):
        for text in texts:
            bob.send(text).wait()
        page.until(lambda: len(page.texts) == len(texts))
        with nbchat.connect(server, name="carol") as carol:
            carol.send("here").wait()
        bob.send("@carol").wait()  # she has left, and is known
        page.until(lambda: len(page.texts) == len(texts) + 2)
    panel.close()
    assert [bool(row[5:] and row[5]) for row in page.said] == [True, *[False] * 3, True, *[False] * 4]
    called = ['class="mention"' in html for html in page.texts]
    assert called == [True, True, False, False, True, False, False, False, True]
    assert page.texts[1] == 'hi <span class="mention">@bob b</span>'


def test_a_mention_stands_out(server: nbchat.Server, page: Page) -> None:
    panel = opened(nbchat.join(server, name="ada"), page)
    with nbchat.connect(server, name="bob") as bob:
        for text in (
            "hi @ada!",
            "@everyone",
            "@ada2 and x@ada or ada@example.org",
            "@Ada",
            "ada",
            "@ada-lee",
            "@ada.",
        ):
            bob.send(text).wait()
        ask(panel, {"type": "say", "mark": "0" * 16, "text": "it is me, @ada"})
        page.until(lambda: len(page.texts) == 8)
    assert [bool(row[5:] and row[5]) for row in page.said] == [
        True,
        True,
        False,
        True,
        False,
        False,
        True,
        False,
    ]
    panel.close()


def test_pending_messages_are_told_until_they_are_in_the_chat(server: nbchat.Server, page: Page) -> None:
    panel = opened(nbchat.join(server, name="ada"), page)
    server.stop()
    page.until(lambda: page.state.get("status") == "reconnecting")
    assert page.state["note"] == ("Reconnecting: the chat does not answer.", False)
    assert page.state["retry_in"] >= 0
    ask(panel, {"type": "say", "mark": "0" * 16, "text": "while nobody listens"})
    page.until(lambda: page.facts["pending"] == [["0" * 16, "while nobody listens"]])
    with pytest.raises(nbchat.errors.NotConfirmed, match="while nobody listens"):
        panel.client.close()
    page.until(lambda: page.state.get("status") == "closed")
    panel.close()


def test_what_a_replaced_panel_could_not_send_is_named_in_the_new_one(page: Page) -> None:
    with nbchat.serve("class", history=None) as server:
        nbchat.join("class", name="ada")
        page.until(lambda: server.members == ["ada"])
        server.stop()
        old = next(iter(panels._panels.values()))
        old.client.send("said in vain")
        with nbchat.serve(port=0, history=None) as other:
            # The old one's server stays away: another answers when the cell runs again.
            place = ("ada", "lobby", None)
            panels._panels[(other.port, *place)] = panels._panels.pop(("class", *place))
            panel = nbchat.join(other, name="ada")
            (notice,) = [row.text for row in panel.client._state.transcript.rows if row.kind == "notice"]
            assert "'said in vain'" in notice
            panel.close()


def test_typing_and_away_are_told(server: nbchat.Server, page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    with nbchat.connect(server, name="bob") as bob:
        panel = opened(nbchat.join(server, name="ada"), page)
        bob.typing()
        page.until(lambda: page.typing == ["bob"])
        ask(panel, {"type": "typing"})
        bob._state.wait(lambda: "ada" in bob._state.typing, PATIENCE)
        assert bob.typists == ["ada"]
        bob.away = True
        page.until(
            lambda: page.facts["members"] == [["bob", "host", False, True], ["ada", "host", False, False]]
        )
        monkeypatch.setattr(feed, "_AWAY", -1.0)  # as if nobody had used the page for long
        panel._feed._wake()
        page.until(lambda: page.facts["members"][1][3])
        monkeypatch.setattr(feed, "_AWAY", 300.0)
        ask(panel, {"type": "here"})
        page.until(lambda: not page.facts["members"][1][3])
        panel.close()


def test_a_handler_that_fails_is_shown_once(server: nbchat.Server, page: Page) -> None:
    panel = opened(nbchat.join(server, name="ada"), page)

    @panel.client.on_message
    def answer(message: Message) -> None:
        raise ZeroDivisionError("division by zero")

    with nbchat.connect(server, name="bob") as bob:
        for text in ("one", "two", "three"):
            bob.send(text).wait()
        page.until(lambda: any(row[0] == "n" for row in page.rows.values()))
        panel.client._state.wait(lambda: len(panel.client._state.errors) == 3, PATIENCE)
        bob.send("the end").wait()
        page.until(lambda: "the end" in page.texts)
    notices = [row[1] for row in page.rows.values() if row[0] == "n"]
    assert notices == [
        "Your function answer() failed: ZeroDivisionError: division by zero (client.errors has the details.)"
    ]
    panel.close()


def test_a_burst_is_few_messages_and_little_more_than_itself(page: Page) -> None:
    with nbchat.serve(port=0, history=None, limits=nbchat.Limits(rate=1e6, burst=10**6)) as server:
        panel = opened(nbchat.join(server, name="ada"), page)
        text = "a line as people write them in a chat, with more words so that it has a hundred characters"
        with nbchat.connect(server, name="bob") as bob:
            before = page.count
            for _ in range(1000):
                bob.send(text)
            size = 0

            def is_whole() -> bool:
                return len(page.texts) == 1000

            while not is_whole():
                news = page.inbox.get(timeout=PATIENCE)
                size += len(json.dumps(news))
                page.take(news)
        assert page.count - before <= 200
        assert size <= 1.5 * 1000 * len(text)
        assert page.gaps == []
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


def test_nobody_sees_that_a_cell_ran_again(server: nbchat.Server, page: Page) -> None:
    with nbchat.connect(server, name="bob") as bob:
        link = server.invite()
        for number in range(3):
            panel = nbchat.join(link, name="ada")
            panel.client.send(f"run {number}")  # is said before the next takes its place
        bob.wait_for(lambda message: message.text == "run 2", PATIENCE)
        panel.close()
        saw(bob, "bob")
        rows = [f"{row.kind} {row.name}" for row in bob._state.transcript.rows]
        assert rows == ["joined ada", *["said ada"] * 3, "left ada"]


def test_a_visitors_cell_that_ran_again_keeps_its_name(server: nbchat.Server, page: Page) -> None:
    """Nothing is kept of a visitor's session: who leaves says goodbye, or the name would be taken."""
    for _ in range(3):
        panel = nbchat.join(server, name="ada", host=False)
        assert panel.client.name == "ada"
    panel.close()


def test_its_text_is_the_same_in_every_run(server: nbchat.Server, page: Page) -> None:
    panel = nbchat.join(server, name="ada")
    panel.client.send("this is not in it").wait()
    data = panel._repr_mimebundle_()
    assert data["text/plain"] == "ChatPanel()"
    assert data["text/html"] == "<i>The chat in 'lobby'. Run the cell to join it.</i>"
    assert "application/vnd.jupyter.widget-view+json" in data
    assert "ada" in repr(panel)
    panel.close()


def test_what_is_saved_of_a_chat() -> None:
    said = [Message(number, "a<b", f"*{number}* <script>") for number in range(1, 101)]
    html = saved.copy(said)
    assert html.count("<dd dir=") == 50
    assert html.count(">a&lt;b</b>") == 1, "the name once in a group"
    assert "<em>100</em> &lt;script&gt;" in html
    assert "<em>50</em>" not in html
    long = saved.copy([Message(number, "ada", "x" * 16_000) for number in range(20)])
    assert 16_000 < len(long) < 120_000
    assert "ada" not in saved.copy([])
    lines = saved.copy([Message(1, "ada", "a\nb\n```\nc\nd\n```")])
    assert "a<br>b</p><pre style=" in lines
    assert ">c\nd\n</code></pre>" in lines
