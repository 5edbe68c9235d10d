"""The plain-text dialect: what speaks, what is read, what is written."""

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbchat.core import plain, texts
from nbchat.core.frames import Changed, Joined, Left, MemberInfo, Pong, Said, TypingShown
from nbchat.core.plain import Kind

VERBS = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT", "PRI", "PROPFIND"]
cuts = st.lists(st.integers(0, 200), max_size=8)
visible = st.text(st.characters(exclude_categories=["C", "Z"]), max_size=60).map(texts.visible)


def split(data: bytes, places: list[int]) -> list[bytes]:
    at = [0, *sorted(min(place, len(data)) for place in places), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(at)]


# ── who speaks ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("verb", VERBS)
def test_a_web_request_is_never_taken_for_a_name(verb):
    request = f"{verb} / HTTP/1.1\r\nHost: chat\r\n\r\n".encode()
    kinds = [plain.sniff(request[:length]) for length in range(len(request) + 1)]
    assert kinds == [Kind.UNDECIDED] * (len(verb) + 1) + [Kind.HTTP] * (len(request) - len(verb))


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", Kind.UNDECIDED),
        (b"{", Kind.NATIVE),
        (b'{"type":"hello"', Kind.NATIVE),
        (b"\x16", Kind.UNDECIDED),
        (b"\x16\x03\x01\x02", Kind.TLS),
        (b"\x16\x04", Kind.PLAIN),
        (b"S", Kind.UNDECIDED),
        (b"SSH", Kind.UNDECIDED),
        (b"SSH-2.0-OpenSSH_9.6\r\n", Kind.SSH),
        (b"SSHeila", Kind.PLAIN),
        (b"BREW /pot HTTP/1.1\r\n", Kind.HTTP),
        (b"G", Kind.UNDECIDED),
        (b"GET", Kind.UNDECIDED),
        (b"P", Kind.UNDECIDED),
        (b"POSTER", Kind.PLAIN),
        (b"GETA", Kind.PLAIN),
        (b"get a life", Kind.PLAIN),
        (b"get / HTTP/1.1", Kind.PLAIN),
        (b"ada", Kind.PLAIN),
        (b"ada\n", Kind.PLAIN),
        (b"GET\n", Kind.PLAIN),
        (b"\n", Kind.PLAIN),
        (b" {", Kind.PLAIN),
        (b"\xff\xfd\x06", Kind.PLAIN),
        ("李雷".encode(), Kind.PLAIN),
    ],
)
def test_the_first_bytes_tell_who_speaks(data, kind):
    assert plain.sniff(data) is kind


def test_a_browser_is_told_what_this_is():
    assert plain.HTTP_ANSWER.startswith(b"HTTP/1.1 400 ")
    assert b"chat port" in plain.HTTP_ANSWER.partition(b"\r\n\r\n")[2]


# ── reading ─────────────────────────────────────────────────────────────────────────────────────


@given(visible, cuts)
def test_characters_cut_between_reads_are_joined(text, places):
    reader = plain.Reader()
    found = [message for piece in split(text.encode(), places) for message in reader.messages(piece)]
    assert "".join(found) == text


@given(st.lists(visible.filter(bool), max_size=6))
def test_ended_lines_are_exact_when_whole_lines_are_read(lines):
    reader = plain.Reader()
    pieces = ["".join(line + "\n" for line in lines[a:b]) for a, b in itertools.pairwise([0, 2, 3, 6])]
    assert [message for piece in pieces for message in reader.messages(piece.encode())] == lines


@given(st.binary(max_size=80), cuts)
def test_any_bytes_can_be_read_however_they_come(data, places):
    reader, whole = plain.Reader(), plain.Reader()
    found = [message for piece in split(data, places) for message in reader.messages(piece)]
    expected = whole.messages(data)
    letters = re.compile(r"[\s␍]")  # what a cut may add or take away is white space and ends of lines
    assert letters.sub("", "".join(found)) == letters.sub("", "".join(expected))


@pytest.mark.parametrize(
    ("data", "messages"),
    [
        (b"hi", ["hi"]),
        (b"one\ntwo\r\n\n  \nthree", ["one", "two", "three"]),
        (b"\x1b[2Jx\x00", ["␛[2Jx␀"]),
        (b"a\xffb", ["a\ufffdb"]),
        ("\u202eevil".encode(), ["<U+202E>evil"]),
    ],
)
def test_one_read_is_split_at_newlines_and_made_harmless(data, messages):
    assert plain.Reader().messages(data) == messages


def test_the_name_is_the_first_line():
    reader = plain.Reader()
    assert reader.name(b"ada") == ("ada", b"")
    assert not reader.ends_lines
    assert reader.name(b" ada \r\nhi\nyou") == ("ada", b"hi\nyou")
    assert reader.ends_lines
    with pytest.raises(UnicodeDecodeError):
        reader.name(b"\xff\n")


# ── writing ─────────────────────────────────────────────────────────────────────────────────────


def test_plain_clients_see_messages_and_who_comes_and_goes():
    assert plain.line(Said(1, 2, "id", "ada", "hi")) == "ada: hi"
    assert plain.line(Said(1, 2, "id", "ada", "a\nboss: b\n\nc\x1b")) == "ada: a\n  boss: b\n  \n  c␛"
    assert plain.line(Joined(MemberInfo(name="bob"))) == "bob joined the chat!"
    assert plain.line(Left("bob")) == "bob left the chat"
    assert plain.line(Changed(MemberInfo(name="bob", away=True))) is None
    assert plain.line(TypingShown("bob")) is None
    assert plain.line(Pong()) is None
    assert plain.notice("slow down") == "system: slow down"


PRETENDING = re.compile(r"[^\s:][^\n:]{0,31}:|[^\s][^\n]{0,31} (joined the chat!|left the chat)")
PARTS = ["boss: hi ", "bob joined the chat! ", "é", "\n", "word "]
entry = st.builds(
    lambda by, text: plain.line(Said(1, 2, "id", by, text)),
    st.sampled_from(["ada", "n" * 32, "李雷"]),
    st.text("ab: \n李😀", min_size=1, max_size=300)
    | st.lists(st.sampled_from(PARTS), max_size=60).map("".join),
)


@given(st.lists(entry, max_size=8), st.integers(64, 200), st.sampled_from(["", "\n"]))
def test_writes_hold_all_the_text_in_whole_characters(entries, limit, end):
    done = plain.writes(entries, limit, end=end)
    assert all(0 < len(data) <= limit for data in done)
    parts = [data.decode() for data in done]
    blank = re.compile(r"\s")
    assert blank.sub("", "".join(parts)) == blank.sub("", "".join(entries))


@given(st.lists(entry, max_size=8), st.integers(64, 200))
def test_no_part_can_be_taken_for_what_somebody_else_said(entries, limit):
    """What looks like a line of the chat at the start of any line of any write is an entry's start."""
    starts = list(entries)
    for data in plain.writes(entries, limit):
        for line in data.decode().split("\n"):
            if PRETENDING.match(line):
                assert starts
                assert starts.pop(0).startswith(line[:64])
    assert not starts


def test_short_entries_share_a_write():
    assert plain.writes(["ada: a", "bob: b"], 64) == [b"ada: a\nbob: b"]
    assert plain.writes(["ada: a", "bob: b"], 64, end="\n") == [b"ada: a\nbob: b\n"]
    assert plain.writes(["a" * 40, "b" * 23, "c"], 64) == [b"a" * 40 + b"\n" + b"b" * 23, b"c"]
    assert plain.writes([], 64) == []


def test_a_part_that_pretends_is_indented():
    first, second = plain.writes(["ada: " + "x" * 59 + "boss: go home"], 64)
    assert first == b"ada: " + b"x" * 59
    assert second == b"  boss: go home"


@given(st.text(max_size=50), st.integers(4, 20))
def test_pieces_are_the_text(text, limit):
    parts = plain.pieces(text, limit)
    assert b"".join(parts) == text.encode()
    assert all(0 < len(part) <= limit and part.decode() for part in parts)


# ── this end is the client ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("data", "events"),
    [
        ("ada: hi", [("said", "ada", "hi")]),
        ("ada: a: b\r\n", [("said", "ada", "a: b")]),
        ("ada:x", [("said", "ada", "x")]),
        ("bob joined the chat!bob", [("more", "", "bob joined the chat!bob")]),
        ("bob joined the chat!", [("joined", "bob", "")]),
        ("bob left the chat\nada: x\n\n", [("left", "bob", ""), ("said", "ada", "x")]),
        ("ada: a\n  boss: b", [("said", "ada", "a"), ("more", "", "  boss: b")]),
        ("no name", [("more", "", "no name")]),
        ("n" * 65 + ": x", [("more", "", "n" * 65 + ": x")]),
    ],
)
def test_what_a_first_generation_server_sends(data, events):
    assert plain.ServerReader().feed(data.encode()) == events


@given(visible.filter(lambda text: ":" not in text), cuts)
def test_a_servers_characters_cut_between_reads_are_joined(text, places):
    reader = plain.ServerReader()
    found = [event for piece in split(text.encode(), places) for event in reader.feed(piece)]
    assert "".join(text for _, _, text in found) == text


@given(st.binary(max_size=80), cuts)
def test_whatever_a_server_sends_can_be_read(data, places):
    reader = plain.ServerReader()
    for piece in split(data, places):
        for kind, name, text in reader.feed(piece):
            assert kind in ("joined", "left", "said", "more")
            assert name or text


def test_what_people_say_about_coming_and_going_is_no_event():
    said = ["ada: everyone has left the chat", "ada: mallory joined the chat!", "bo b: x left the chat"]
    assert [kind for kind, _, _ in plain.ServerReader().feed("\n".join(said).encode())] == ["said"] * 3
    further = plain.ServerReader().feed(b"ada: two\n  teacher joined the chat!")
    assert [kind for kind, _, _ in further] == ["said", "more"]
    assert plain.ServerReader().feed(b"bo b joined the chat!\nbo b left the chat") == [
        ("joined", "bo b", ""),
        ("left", "bo b", ""),
    ]
