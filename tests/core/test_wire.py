"""Bytes in, frames out: however the bytes are cut, strictly, and every frame comes back as it was."""

import contextlib
import itertools
import json
import timeit
from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbchat.core import frames, wire
from nbchat.core.errors import ProtocolError
from nbchat.core.limits import DEPTH, SAFE_INTEGER

NONCE = "0123456789abcdef" * 2
PROOF = NONCE * 2

cuts = st.lists(st.integers(0, 200), max_size=12)
seqs = st.integers(0, SAFE_INTEGER)
bounds = st.integers(1, SAFE_INTEGER)
moments = st.integers(0, 253_402_300_000_000)
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
ids = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=64)
hexes = st.text("0123456789abcdef", min_size=32, max_size=32)
times = st.floats(0, 1e9)
infos = st.builds(frames.MemberInfo, name=words, role=words, plain=st.booleans(), away=st.booleans())


def maybe(kind):
    return st.none() | kind


held = st.builds(frames.Held, words, maybe(moments))


REQUESTS = {
    frames.Hello: st.builds(frames.Hello, seqs, words, hexes),
    frames.Join: st.builds(
        frames.Join,
        name=words,
        room=words,
        proof=st.text("0123456789abcdef", min_size=64, max_size=64),
        session=maybe(hexes),
        after=maybe(seqs),
        log_id=maybe(words),
        exact=st.booleans(),
    ),
    frames.Say: st.builds(frames.Say, ids, words, st.booleans()),
    frames.Page: st.builds(frames.Page, maybe(seqs), st.integers(1, SAFE_INTEGER)),
    frames.Typing: st.builds(frames.Typing),
    frames.Away: st.builds(frames.Away, st.booleans()),
    frames.Moderate: st.builds(
        frames.Moderate,
        ids,
        st.sampled_from(get_args(frames.Deeds)),
        maybe(words),
        maybe(st.floats(0, 366 * 86400)),
        maybe(seqs),
    ),
    frames.Rules: st.builds(frames.Rules, ids),
    frames.Ping: st.builds(frames.Ping),
    frames.Bye: st.builds(frames.Bye),
}
EVENTS = {
    frames.Challenge: st.builds(frames.Challenge, seqs, hexes, st.just(PROOF)),
    frames.Welcomed: st.builds(
        frames.Welcomed,
        *[words] * 5,
        seqs,
        st.lists(infos, max_size=3),
        st.builds(frames.RoomLimits, text=bounds, line=bounds, page=bounds, ping=st.floats(0.1, 60)),
    ),
    frames.Said: st.builds(frames.Said, seqs, moments, ids, words, words, st.booleans()),
    frames.Moderated: st.builds(
        frames.Moderated,
        seqs,
        moments,
        ids,
        words,
        words,
        maybe(words),
        maybe(moments),
        maybe(times),
        maybe(seqs),
    ),
    frames.Ruled: st.builds(
        frames.Ruled, ids, st.booleans(), st.booleans(), times, st.lists(held, max_size=2), st.lists(held)
    ),
    frames.Joined: st.builds(frames.Joined, infos),
    frames.Changed: st.builds(frames.Changed, infos),
    frames.Left: st.builds(frames.Left, words),
    frames.TypingShown: st.builds(frames.TypingShown, words),
    frames.Stored: st.builds(frames.Stored, ids, seqs),
    frames.Paged: st.builds(
        frames.Paged, st.lists(st.just(msgspec.Raw(b'{"a":1}')), max_size=3), st.booleans()
    ),
    frames.Trimmed: st.builds(frames.Trimmed, seqs),
    frames.Refused: st.builds(frames.Refused, words, words, st.booleans(), maybe(words), maybe(words)),
    frames.Closing: st.builds(frames.Closing, words, maybe(times), st.booleans()),
    frames.Slow: st.builds(frames.Slow, times),
    frames.Pong: st.builds(frames.Pong),
}


def split(data: bytes, places: list[int]) -> list[bytes]:
    """The data in pieces, cut at some places."""
    at = [0, *sorted(min(place, len(data)) for place in places), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(at)]


def outcome(line: bytes) -> object:
    """The request in a line, or the code it is refused with."""
    try:
        return wire.decode_request(line)
    except ProtocolError as error:
        return error.code


# ── lines ───────────────────────────────────────────────────────────────────────────────────────

some_line = st.binary(max_size=40).map(lambda data: data.replace(b"\n", b"")) | st.one_of(
    *REQUESTS.values()
).map(lambda frame: wire.encode(frame)[:-1])


@given(st.lists(some_line, max_size=5), st.binary(max_size=60), cuts, st.integers(5, 300))
def test_any_partition_gives_what_the_whole_gives(lines, rest, places, limit):
    data = b"\n".join([*lines, rest])
    whole, cut = wire.Lines(limit), wire.Lines(limit)
    expected = whole.feed(data)
    found = [line for piece in split(data, places) for line in cut.feed(piece)]
    assert [outcome(line) for line in found] == [outcome(line) for line in expected]
    assert found == expected
    assert cut.overflow == whole.overflow == any(len(line) > limit for line in data.split(b"\n"))


@given(cuts)
def test_nothing_comes_out_after_a_line_that_is_too_long(places):
    data = b"short\n" + b"x" * 11 + b"\nshort\nshort\n"
    lines = wire.Lines(10)
    assert [line for piece in split(data, places) for line in lines.feed(piece)] == [b"short"]
    assert lines.overflow
    assert lines.feed(b"short\n") == []


def test_a_line_may_be_as_long_as_the_limit_and_the_limit_may_grow():
    lines = wire.Lines(3)
    assert lines.feed(b"abc\nab") == [b"abc"]
    lines.limit = 6
    assert lines.feed(b"cdef\n") == [b"abcdef"]
    assert not lines.overflow


# ── frames ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", get_args(frames.Request))
def test_a_request_comes_back_as_it_was(kind):
    @given(REQUESTS[kind])
    def check(frame):
        line = wire.encode(frame)
        assert line.count(b"\n") == 1
        assert wire.decode_request(line[:-1]) == frame

    check()


@pytest.mark.parametrize("kind", get_args(frames.Event))
def test_an_event_comes_back_as_it_was(kind):
    @given(EVENTS[kind])
    def check(frame):
        line = wire.encode(frame)
        assert line.count(b"\n") == 1
        assert wire.decode_event(line[:-1]) == frame

    check()


@given(ids, words, words, st.booleans(), seqs, moments)
def test_a_stored_body_travels_as_a_said(id, by, text, auto, seq, at):
    body = wire.encode_body(frames.Body(id=id, by=by, text=text, auto=auto))
    assert wire.decode_event(wire.logged(body, seq, at)) == frames.Said(seq, at, id, by, text, auto)


# ── strictness ──────────────────────────────────────────────────────────────────────────────────


def say(id: str = '"a"', text: str = '"x"') -> str:
    return f'{{"type":"say","id":{id},"text":{text}}}'


def hello(v: str) -> str:
    return f'{{"type":"hello","v":{v},"key":"k","nonce":"{NONCE}"}}'


def nested(levels: int) -> str:
    return '{"type":"ping","x":' + "[" * (levels - 1) + "]" * (levels - 1) + "}"


BAD = [
    (b'{"type":"ping","x":"\xff"}', "bad_utf8"),
    (b'{"type":"ping","x":"\xed\xa0\x80"}', "bad_utf8"),
    (b'{"type":"ping","x":"\xc0\xaf"}', "bad_utf8"),
    ("", "bad_json"),
    (" ", "bad_json"),
    ("hello", "bad_json"),
    ("\ufeff" + '{"type":"ping"}', "bad_json"),
    ('{"type":"ping"', "bad_json"),
    ('{"type":"ping"}}', "bad_json"),
    ('{"type":"ping"} {"type":"ping"}', "bad_json"),
    ("{'type':'ping'}", "bad_json"),
    ('{"type":"ping",}', "bad_json"),
    ('{"type":"ping","x":NaN}', "bad_json"),
    ('{"type":"ping","x":-Infinity}', "bad_json"),
    ('{"type":"ping","x":01}', "bad_json"),
    ('{"type":"ping","x":"a\tb"}', "bad_json"),
    (say(text=r'"\ud800"'), "bad_text"),
    (say(text=r'"\uDC00\uD800"'), "bad_text"),
    (say(text=r'"\ud83dx\ude00"'), "bad_text"),
    (say(text=r'"\ud800')[:-1], "bad_json"),
    ('{"type":"ping","x":"\\ud800"}', "bad_text"),
    (nested(DEPTH + 1), "too_deep"),
    ("[" * 60_000, "too_deep"),
    ('{"a":' * 10_000 + "1" + "}" * 10_000, "too_deep"),
    ('{"type":"edit"}', "unknown_type"),
    ('{"type":""}', "unknown_type"),
    ('{"type":"said","seq":1,"at":1,"id":"a","by":"boss","text":"x"}', "unknown_type"),
    ('{"type":"edit","id":5,"seq":"x"}', "unknown_type"),
    ("null", "bad_request"),
    ("5", "bad_request"),
    ('"ping"', "bad_request"),
    ("[]", "bad_request"),
    ('["ping"]', "bad_request"),
    ("{}", "bad_request"),
    ('{"type":5}', "bad_request"),
    ('{"type":null}', "bad_request"),
    ('{"type":["ping"]}', "bad_request"),
    ('{"type":"say"}', "bad_request"),
    (say(id="5"), "bad_request"),
    (say(id="null"), "bad_request"),
    (say(id='""'), "bad_request"),
    (say(id=f'"{"a" * 65}"'), "bad_request"),
    (say(id=r'"a\n"'), "bad_request"),
    (say(id=r'"\u0000"'), "bad_request"),
    (say(id=r'"\u007f"'), "bad_request"),
    (say(id='"é"'), "bad_request"),
    (say(text="5"), "bad_request"),
    (say(text="null"), "bad_request"),
    (say(text='["x"]'), "bad_request"),
    ('{"type":"away","away":1}', "bad_request"),
    ('{"type":"away","away":null}', "bad_request"),
    ('{"type":"page","before":-1}', "bad_request"),
    ('{"type":"page","before":1.5}', "bad_request"),
    ('{"type":"page","before":1e3}', "bad_request"),
    ('{"type":"page","before":true}', "bad_request"),
    ('{"type":"page","before":"1"}', "bad_request"),
    (f'{{"type":"page","before":{2**53 + 1}}}', "bad_request"),
    (f'{{"type":"page","before":{10**400}}}', "bad_request"),
    ('{"type":"page","limit":0}', "bad_request"),
    (hello("1e999"), "bad_request"),
    (hello("-1"), "bad_request"),
    (hello(str(2**64)), "bad_request"),
    (hello("9" * 5000), "bad_request"),
    (hello("1").replace(NONCE, NONCE.upper()), "bad_request"),
    (hello("1").replace(NONCE, NONCE + "\\n"), "bad_request"),
    (hello("1").replace('"k"', f'"{"k" * 201}"'), "bad_request"),
]


@pytest.mark.parametrize(("line", "code"), BAD)
def test_a_bad_line_is_refused_with_its_code(line, code):
    data = line if isinstance(line, bytes) else line.encode()
    with pytest.raises(ProtocolError) as caught:
        wire.decode_request(data)
    assert caught.value.code == code
    assert not caught.value.fatal


@pytest.mark.parametrize(
    ("line", "frame"),
    [
        (say(id=f'"{"a" * 64}"'), frames.Say("a" * 64, "x")),
        (say(id=r'"\" ~\\"'), frames.Say('" ~\\', "x")),
        (say(text=r'"\ud83d\ude00"'), frames.Say("a", "😀")),
        ('{"id":"a","text":"x","type":"say"}', frames.Say("a", "x")),
        ('{"type":"ping","new":{"a":[1,2.5,null]},"more":"x"}', frames.Ping()),
        (' {"type" : "ping"}\r', frames.Ping()),
        (nested(DEPTH), frames.Ping()),
        ('{"type":"ping","x":"' + "[{" * 500 + '"}', frames.Ping()),
        ('{"type":"ping","x":"\\"' + "[{" * 500 + '"}', frames.Ping()),
        ('{"type":"away"}', frames.Away(True)),
        ('{"type":"away","away":false}', frames.Away(False)),
        (f'{{"type":"page","before":{2**53}}}', frames.Page(before=2**53)),
        (hello("2"), frames.Hello(2, "k", NONCE)),
    ],
)
def test_a_good_line_is_taken(line, frame):
    assert wire.decode_request(line.encode()) == frame


@given(st.binary(max_size=200) | st.recursive(words | st.floats(), st.lists).map(json.dumps).map(str.encode))
def test_any_bytes_give_a_frame_or_a_protocol_error(line):
    for decode in (wire.decode_request, wire.decode_event):
        with contextlib.suppress(ProtocolError):
            decode(line)


def test_an_error_names_the_message_it_is_about():
    for line, id in [
        (say(text="5"), "a"),
        (say(text=r'"\ud800"'), "a"),
        ('{"type":"edit","id":"e1"}', "e1"),
        (say(id='"\\n"'), None),
    ]:
        with pytest.raises(ProtocolError) as caught:
            wire.decode_request(line.encode())
        assert caught.value.id == id


def test_the_depth_of_a_hostile_line_takes_linear_time():
    def seconds(count):
        line = b"[" * (DEPTH + 1) + b'\\"' * count
        return min(timeit.repeat(lambda: outcome(line), number=1, repeat=5))

    assert outcome(b"[" * (DEPTH + 1) + b'\\"' * 1000) == "too_deep"
    assert seconds(8_000) < 30 * seconds(1_000)  # 8 times where it is linear, 64 where quadratic


# ── events ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("line", "seq"),
    [
        (b'{"type":"edited","seq":4,"text":"x"}', 4),
        (b'{"seq":4,"type":"edited","id":7}', 4),
        (b'{"type":"redacted","seq":9,"at":1}', 9),
        (b'{"type":"mood","of":"ada"}', None),
        (b'{"type":"mood","seq":"x"}', None),
        (b'{"type":"mood","seq":-1}', None),
    ],
)
def test_an_event_of_an_unknown_kind_keeps_its_place(line, seq):
    assert wire.decode_event(line) == frames.Unknown(seq, line)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"", "bad_json"),
        (b"USERNAME", "bad_json"),
        (b"[1]", "bad_event"),
        (b"{}", "bad_event"),
        (b'{"type":"said","seq":1}', "bad_event"),
        (b'{"type":"pong"', "bad_json"),
        (b'{"type":"pong","x":' + b"[" * 100_000, "bad_json"),
        (b'{"type":"mood","x":' + b"[" * 100_000, "bad_event"),
    ],
)
def test_a_bad_event_is_a_protocol_error(line, code):
    with pytest.raises(ProtocolError) as caught:
        wire.decode_event(line)
    assert caught.value.code == code
