"""Messages as people look at them: short in a terminal, a harmless table on a page, and a list."""

from __future__ import annotations

import pytest

import nbchat
from nbchat.core.listing import Messages
from nbchat.core.transcript import Message


def messages(*texts: str, by: str = "ada") -> Messages:
    return Messages(Message(seq, by, text, 1_700_000_000_000) for seq, text in enumerate(texts, 1))


def test_it_is_a_list() -> None:
    some = messages("a", "b", "c")
    assert some == list(some)
    assert isinstance(some, list)
    assert (some[0].text, some[-1].text) == ("a", "c")
    assert type(some[-2:]) is Messages
    assert [message.text for message in some[::-1]] == ["c", "b", "a"]
    assert [*some, *some] == list(some) * 2 == some + list(some)


def test_a_terminal_shows_a_line_for_each() -> None:
    assert repr(messages()) == "<0 messages>"
    assert repr(messages("hi")) == "<1 message>\n     1  ada: hi"
    assert repr(messages("hi", "two\nlines")) == "<2 messages>\n     1  ada: hi\n     2  ada: two…"
    many = repr(messages(*(str(number) for number in range(5000))))
    assert many.splitlines()[:2] == ["<5000 messages, the newest 20>", "  4981  ada: 4980"]
    assert len(many.splitlines()) == 21
    assert len(repr(messages("x" * 16000))) < 150
    assert "\u202e" not in repr(messages("a\u202eb"))
    assert "\x1b" not in repr(messages("a", by="\x1b[31m"))


def test_a_page_shows_a_table_that_does_nothing() -> None:
    page = messages("<script>alert(1)</script>", "a\u202eb", "x" * 16000, by="<b>ada</b>")._repr_html_()
    assert "<script" not in page
    assert "<b>ada" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "&lt;U+202E&gt;" in page
    assert "3 messages" in page
    assert len(page) < 4000


def test_ipython_shows_it_that_way() -> None:
    formatter = pytest.importorskip("IPython.core.formatters").PlainTextFormatter()
    assert formatter(messages("hi")) == "<1 message>\n     1  ada: hi"


def test_what_a_client_gives_is_one(server: nbchat.Server) -> None:
    with nbchat.connect(server, name="ada") as client:
        client.send("hi").wait()
        assert repr(client.messages) == repr(client.history()) == "<1 message>\n     1  ada (host): hi"
