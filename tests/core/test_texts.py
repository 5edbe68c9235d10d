"""What may be said, and what a stranger's text looks like on a plain screen."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbchat.core import texts
from nbchat.core.errors import BadText


@pytest.mark.parametrize("text", ["a", " a ", "a\nb\tc", "é" * 50, "😀" * 25, "\u202e", "\u200b", "x" * 100])
def test_a_good_text_is_given_back(text):
    assert texts.check(text, 100) == text


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "empty_text"),
        (" \n\t\u2003", "empty_text"),
        ("x" * 101, "text_too_long"),
        ("é" * 51, "text_too_long"),
        ("😀" * 26, "text_too_long"),
        ("\x00" * 101, "text_too_long"),
        (" " * 101, "text_too_long"),
        ("a\x00b", "bad_text"),
        ("a\rb", "bad_text"),
        ("\x1b[2J", "bad_text"),
        ("a\x7f", "bad_text"),
        ("a\x85b", "bad_text"),
        ("a\x9bb", "bad_text"),
        ("a\ud800", "bad_text"),
        ("\udfffa", "bad_text"),
    ],
)
def test_a_bad_text_is_refused_with_its_code(text, code):
    with pytest.raises(BadText) as caught:
        texts.check(text, 100)
    assert caught.value.code == code
    str(caught.value).encode()


@given(st.text(), st.integers(1, 20))
def test_what_passes_can_be_sent_and_is_as_short_as_said(text, limit):
    try:
        texts.check(text, limit)
    except BadText:
        return
    assert 0 < len(text.encode()) <= limit


def test_line_ends_become_one_newline_each():
    assert texts.tidy("a\r\nb\rc\nd\n\r\ne\r") == "a\nb\nc\nd\n\ne\n"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("\x1b[31mTraceback\x1b[0m (most\x1b[1;38;5;12m recent\x1b[K", "Traceback (most recent"),
        ("\x1b[0;31m---> 1\x1b[0m\x1b[0;36m/\x1b[0m", "---> 1/"),
        ("\x1b]8;;https://x.org\x1b\\words\x1b]8;;\x07", "words"),
        ("\x1b]0;a title\x07$ ls", "$ ls"),
        ("\x1b(B\x1b[m reset", " reset"),
        ("\x1b[31", "\x1b[31"),
        ("\x1b]0;not ended", "\x1b]0;not ended"),
        ("a\x1bb", "a\x1bb"),
        ("\x1b]0;a\nb\x07", "\x1b]0;a\nb\x07"),
        ("\x9b31m\x00\x07", "\x9b31m\x00\x07"),
    ],
)
def test_coloured_text_loses_its_colours_and_nothing_else(text, left):
    assert texts.tidy(text) == left
    if left != text and "\x1b" not in left:
        assert texts.check(texts.tidy(text), 1000) == left


def test_what_is_no_whole_sequence_is_refused_as_ever():
    for text in ("\x1b[31", "a\x1bb", "\x1b]0;x"):
        with pytest.raises(BadText, match=r"has the character U\+001B in it, which is no text"):
            texts.check(texts.tidy(text), 1000)


@given(st.text("a\r\n"))
def test_a_tidy_text_stays_as_it_is(text):
    assert "\r" not in texts.tidy(text)
    assert texts.tidy(texts.tidy(text)) == texts.tidy(text)


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("plain, é, 李, 😀\n\tx", "plain, é, 李, 😀\n\tx"),
        ("\x1b[2J", "␛[2J"),
        ("a\x00\x07\x7f", "a␀␇␡"),
        ("a\rb", "a␍b"),
        ("\x9b31m", "<U+009B>31m"),
        ("\u202egnp", "<U+202E>gnp"),
        ("a\u2066b\u2069", "a<U+2066>b<U+2069>"),
        ("a\u200bb\u200db\ufeff", "a<U+200B>b<U+200D>b<U+FEFF>"),
        ("\u2028", "<U+2028>"),
        ("\U000e0041", "<U+E0041>"),
    ],
)
def test_what_cannot_be_seen_is_shown(text, seen):
    assert texts.visible(text) == seen


@given(st.text(st.characters(categories=["Cc", "Cf", "Zl", "Zp", "Ll"])))
def test_no_control_or_format_character_gets_to_a_screen(text):
    left = {char for char in texts.visible(text) if unicodedata.category(char) in ("Cc", "Zl", "Zp")}
    assert left <= {"\n", "\t"}
    assert not any(unicodedata.bidirectional(char) in BIDI for char in texts.visible(text))


BIDI = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
