"""Bombs of JSON, and what only looks like it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress

import pytest

from nbchat.core import frames, wire
from nbchat.core.errors import ProtocolError
from nbchat.core.limits import DEPTH, Limits
from tests.net.helpers import Raw
from tests.net.strangers.conftest import Scene
from tests.net.strangers.documents import JSON, NOT_JSON, NOT_TEXT

MakeScene = Callable[..., AbstractContextManager[Scene]]
FAST = {"rate": 1e6, "burst": 10**6}


def inside(document: str | bytes) -> bytes:
    """A document as a field of a ping that nobody knows."""
    data = document.encode() if isinstance(document, str) else document
    return b'{"type":"ping","x":%b}' % data


def code(line: bytes) -> str:
    with pytest.raises(ProtocolError) as caught:
        wire.decode_request(line)
    return caught.value.code


@pytest.mark.parametrize("document", NOT_JSON)
def test_what_is_not_json_is_refused_as_a_line_and_in_one(document: str) -> None:
    assert code(inside(document)) == "bad_json"
    # A line that does not begin as an object is refused before its end is seen.
    assert code(document.encode()) in {"bad_json", "bad_request"}
    with pytest.raises(ProtocolError):
        wire.decode_event(document.encode())


@pytest.mark.parametrize("document", NOT_TEXT)
def test_what_is_not_text_is_refused(document: bytes) -> None:
    assert code(document) == code(inside(document)) == "bad_utf8"


@pytest.mark.parametrize("document", JSON)
def test_what_is_json_and_not_ours_is_overlooked(document: str) -> None:
    assert wire.decode_request(inside(document)) == frames.Ping()


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp037", "utf-8-sig"])
def test_json_in_another_encoding_is_refused(codec: str) -> None:
    line = '{"type":"say","id":"1","text":"é"}'.encode(codec)
    assert code(line) in {"bad_utf8", "bad_json"}


@pytest.mark.parametrize("twice", ["type", "id", "text"])
def test_of_a_key_that_comes_twice_one_value_counts_and_is_checked(twice: str) -> None:
    """Whatever another reader would take, here one value is checked and goes on: the last one."""
    first = {"type": "ping", "id": "first", "text": "first"}[twice]
    line = f'{{"{twice}":"{first}","type":"say","id":"last","text":"last"}}'.encode()
    if twice == "type":
        assert code(line) == "bad_request"
    else:
        assert wire.decode_request(line) == frames.Say(id="last", text="last")


BOMBS = {
    "a million [": b"[" * 1_000_000,
    "deep lists": inside("[" * 20_000 + "]" * 20_000),
    "deep objects": inside('{"a":' * 9_000 + "1" + "}" * 9_000),
    "just too deep": inside("[" * DEPTH + "]" * DEPTH),
    "depth hidden by strings": inside("[" * DEPTH + '"]]]]]]]]]]]"' + "]" * DEPTH),
    "an open string full of [": b'{"type":"ping","x":"' + b"[" * 60_000,
}


@pytest.mark.parametrize("kind", BOMBS)
def test_a_deep_line_is_refused(kind: str) -> None:
    assert code(BOMBS[kind]) in {"too_deep", "bad_json"}


@pytest.mark.parametrize(
    "document",
    [
        "{" + ",".join(f'"key{number}":{number}' for number in range(7_000)) + "}",
        "{" + ",".join('"a":1' for _ in range(10_000)) + "}",
        "[" + ",".join("{}" for _ in range(20_000)) + "]",
        "9" * 60_000,
        "1e" + "9" * 60_000,
        "-0." + "0" * 60_000,
        '"' + "\\u00e9" * 10_000 + '"',
        '"' + '\\"' * 30_000 + '"',
    ],
    ids=["7000 keys", "one key", "objects", "digits", "exponent", "zeros", "escapes", "quotes"],
)  # fmt: skip
def test_a_large_line_is_read_in_its_length(document: str) -> None:
    """What is skipped makes nothing grow, and ten times of it takes some ten times as long."""
    assert wire.decode_request(inside(document)) == frames.Ping()


def test_reading_is_linear() -> None:
    """Of each kind a short and a long line in one run: the price of a byte stays the same."""
    for make in (
        lambda count: inside("[" * 10 + '"[",' * count + "1" + "]" * 10),
        lambda count: inside("[" * count),
        lambda count: inside('"' + '\\"[' * count + '"'),
        lambda count: inside('"' + "\\ud800" * count + '"'),
        lambda count: inside("{" + ",".join(f'"{number}":[]' for number in range(count)) + "}"),
    ):
        prices = []
        for count in (1_000, 16_000):
            line, best = make(count), float("inf")
            for _ in range(5):
                start = time.perf_counter()
                with suppress(ProtocolError):
                    wire.decode_request(line)
                best = min(best, time.perf_counter() - start)
            prices.append(best / len(line))
        assert prices[1] < 5 * prices[0], prices


def test_a_long_line_in_small_pieces_takes_linear_time() -> None:
    prices = []
    for size in (200_000, 3_200_000):
        best = float("inf")
        for _ in range(3):
            lines = wire.Lines(size + 1)
            start = time.perf_counter()
            for _ in range(size // 1000):
                assert lines.feed(b"x" * 1000) == []
            best = min(best, time.perf_counter() - start)
            assert lines.feed(b"\n") == [b"x" * size]
        prices.append(best / size)
    assert prices[1] < 5 * prices[0], prices


def test_a_member_who_sends_all_of_it_is_told_each_time_and_stays(make_scene: MakeScene) -> None:
    lines = [
        *(line.encode() for line in NOT_JSON if "\r" not in line), *NOT_TEXT, inside("[" * 20 + "]" * 20),
        b'{"type":"say","id":"a","text":"\\ud800"}', b'{"type":"say","id":"a"}', b'{"type":"said"}', b"5",
    ]  # fmt: skip
    with make_scene(**FAST) as scene:
        kinds = ["bad_json", "bad_utf8", "too_deep", "bad_text", "bad_request", "unknown_type"]
        with scene.attack(*(f"refused, {kind}" for kind in kinds)):
            eve = Raw(scene.link, "eve")
            eve.socket.sendall(b"".join(line + b"\n" for line in lines) + b'{"type":"ping"}\n')
            codes = []
            while (event := eve.receive())["type"] != "pong":
                if event["type"] == "refused":
                    assert event["text"].endswith((".", ".)")), event
                    assert not event["fatal"]
                    codes.append(event["code"])
            assert len(codes) == len(lines)
            assert set(codes) == set(kinds)
            eve.send({"type": "bye"})
            assert eve.is_at_end()
            eve.close()


def test_a_stranger_is_told_once_and_that_was_all(make_scene: MakeScene) -> None:
    with make_scene() as scene, scene.attack("refused, bad_json", "refused, bad_utf8", "refused, too_deep"):
        for line in (b"{,}", b'{"\xff":1}', b'{"a":' * 20 + b"1" + b"}" * 20, b"{}}", b"{nope}"):
            raw = Raw(scene.link)
            raw.socket.sendall(line + b'\n{"type":"ping"}\n')
            answer = raw.receive()
            assert (answer["type"], answer["fatal"]) == ("refused", True)
            assert raw.is_at_end()
            raw.close()


def test_the_longest_line_is_bounded_by_what_a_stranger_and_a_member_may_send(make_scene: MakeScene) -> None:
    limits = Limits()
    with make_scene(**FAST) as scene, scene.attack("refused, line_too_long"):
        for member, longest in ((False, limits.first_line), (True, limits.line)):
            for size in (longest, longest + 1):
                raw = Raw(scene.link, "eve" if member else None)
                line = json.dumps({"type": "ping", "x": ""}).encode()
                raw.socket.sendall(line[:-2] + b"x" * (size - len(line)) + line[-2:] + b"\n")
                answer = raw.receive("pong" if member and size == longest else "refused")
                expected = {(True, longest): None, (False, longest): "join_first"}
                assert answer.get("code") == expected.get((member, size), "line_too_long")
                raw.send({"type": "bye"}) if member and size == longest else None
                assert raw.is_at_end()
                raw.close()
