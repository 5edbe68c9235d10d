"""What may come over a wire: frames of ours, frames with something wrong in them, other protocols, noise."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
from hypothesis import strategies as st

from nbchat.core import frames
from tests.net.strangers.documents import JSON, NOT_JSON, NOT_TEXT

T = TypeVar("T")


def given_all(*strategies: st.SearchStrategy[Any]) -> Callable[[T], T]:
    """Like hypothesis' ``given``, but for later: the fuzzer runs a property many times, with many seeds."""

    def mark(checked: T) -> T:
        checked.strategies = strategies  # type: ignore[attr-defined]
        return checked

    return mark


odd = st.sampled_from(
    [None, True, False, 0, 1, -1, 2**53, 2**64, 1e300, -0.0, "", "a", "\n", "\x00", "\u202e", "\U0010ffff",
     "x" * 300, "a\u0301", [], {}, [[]], {"type": "said"}, "0" * 32, "0" * 64, "lobby", "ada", "system"]
)  # fmt: skip
text = st.text(max_size=40) | st.sampled_from(
    ["a" * 20_000, "\ud800", "**b** $x$ `c`", "boss: hi", "hi\nboss: hi"]
)
name = st.sampled_from(["ada", "bob", "аdа", "eve", "a b", "system", "", "\u202e", "n" * 33]) | st.text(
    max_size=10
)
number = st.integers(0, 60) | st.integers()
_FIELDS: dict[str, Any] = {
    "name": name, "by": name, "room": st.sampled_from(["lobby", "other", ""]), "text": text, "reason": text,
    "id": st.sampled_from(["1", "2", "a"]) | text, "seq": number, "head": number, "after": number,
    "before": number, "limit": number, "at": number, "log_id": st.sampled_from(["log", "other"]), "v": number,
    "nonce": st.just("0" * 32), "proof": st.just("0" * 64), "session": st.just("0" * 32) | text,
    "members": st.lists(st.fixed_dictionaries({"name": name, "role": name}), max_size=3),
    "member": st.fixed_dictionaries({"name": name, "role": name}), "more": st.booleans(), "fatal": st.booleans(),
    "code": st.sampled_from(["name_in_use", "storage_full", "bad_key", "unknown_type", "x"]), "for": st.floats(),
    "back_in": st.floats(), "limits": st.just({"text": 9, "line": 99, "page": 9, "ping": 20}),
    "events": st.lists(st.just({"type": "said", "seq": 1, "at": 1, "id": "1", "by": "a", "text": "b"}) | odd),
}  # fmt: skip


def some(union: Any) -> st.SearchStrategy[dict[str, Any]]:
    """Frames of a union as dictionaries, mostly right."""

    def one(kind: type[msgspec.Struct]) -> st.SearchStrategy[dict[str, Any]]:
        fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
        likely = {name: _FIELDS.get(name, odd) for name in fields}
        must = {name: likely[name] for name, field in fields.items() if field.required}
        may = {name: likely[name] for name, field in fields.items() if not field.required}
        right = st.fixed_dictionaries(must, optional=may)
        wrong = st.fixed_dictionaries(
            {}, optional={**{name: odd | likely[name] for name in fields}, "more": odd}
        )
        tag = kind.__struct_config__.tag
        return (right | right | right | wrong).map(lambda found: {"type": tag, **found})

    return st.one_of([one(kind) for kind in union.__args__])


def line(frame: dict[str, Any]) -> bytes:
    try:
        return json.dumps(frame, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return json.dumps(frame).encode()


requests = some(frames.Request).map(line)
events = some(frames.Event).map(line)
foreign = st.sampled_from(
    [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01", b"SSH-2.0-x\r\n", b"PROXY TCP4 1 2\r\n", b"pat\n", b"USERNAME",
     b"EHLO x\r\n", b"{", b"}", b"\n", b"\r\n", b"\x00", b"x" * 5000, b"{" * 5000, b'{"type":"ping"}']
)  # fmt: skip
documents = st.sampled_from([*(each.encode() for each in (*NOT_JSON, *JSON)), *NOT_TEXT])
noise = st.binary(max_size=60) | foreign | documents


@st.composite
def damaged(draw: st.DrawFn, lines: st.SearchStrategy[bytes]) -> bytes:
    """A line with some bytes taken out, put in or changed."""
    data = bytearray(draw(lines))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data)))
        match draw(st.integers(0, 2)):
            case 0:
                del data[at : at + draw(st.integers(1, 9))]
            case 1:
                data[at:at] = draw(noise)
            case _:
                data[at : at + 1] = draw(st.binary(min_size=1, max_size=1))
    return bytes(data)


def stream(lines: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """What one read may bring."""
    ended = lines.map(lambda data: data + b"\n")
    return ended | ended | damaged(lines).map(lambda data: data + b"\n") | damaged(lines) | noise
