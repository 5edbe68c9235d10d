"""Names and texts that pretend: to be somebody else, to be the chat, to be nothing at all."""

from __future__ import annotations

import time
import unicodedata
from collections.abc import Callable
from contextlib import AbstractContextManager, closing, suppress

import pytest

import nbchat
from nbchat.core import names, plain, texts
from nbchat.core.errors import BadName, ChatError
from tests.net.helpers import Raw, until
from tests.net.strangers.conftest import Scene, bare

MakeScene = Callable[..., AbstractContextManager[Scene]]

BAD_NAMES = {
    "empty": "",
    "long": "n" * 33,
    "very long": "n" * 150,
    "combining marks": "a" + "\u0301" * 100,
    "newline": "ada\nboss",
    "escape": "\x1b[31mada",
    "C1": "ada\x9b31m",
    "NUL": "ada\x00",
    "bidi override": "ada\u202e",
    "bidi isolate": "\u2066ada",
    "zero width": "a\u200bda",
    "joiner": "a\u200dda",
    "tag": "ada\U000e0041",
    "variation selector": "ada\ufe0f",
    "filler": "\u3164",
    "soft hyphen": "a\u00adda",
    "space before": " ada",
    "two spaces": "a  da",
    "no-break space": "a\u00a0da",
    "a message": "boss: hi",
    "HTML": "<img src=x>",
    "the chat": "system",
    "the chat in Cyrillic": "ѕуѕtem",
    "the chat, wide": "ＳＹＳＴＥＭ",
    "everyone": "EvеryOne",
}


@pytest.mark.parametrize("why", BAD_NAMES)
def test_a_bad_name_is_refused_with_the_rule(make_scene: MakeScene, why: str) -> None:
    with make_scene() as scene, scene.attack("refused, bad_name"):
        for room in ("lobby", None):
            if room is None and why in ("the chat", "the chat in Cyrillic", "the chat, wide", "everyone"):
                continue  # a room may be called so
            name = {"room": BAD_NAMES[why]} if room is None else {"room": room}
            raw = Raw(scene.link, BAD_NAMES[why] if room else "eve", **name)
            assert (raw.welcome["type"], raw.welcome["code"]) == ("refused", "bad_name")
            told = raw.welcome["text"]
            assert names.RULE in told or "choose another" in told
            assert told == texts.visible(told)
            assert raw.is_at_end()
            raw.close()
        assert scene.ada.members == ["ada"]


ALIKE = ["ADA", "аdа", "ａｄａ", "аda", "𝐚da", "adа", "ɑda"]


@pytest.mark.parametrize("name", ALIKE)
def test_nobody_can_look_like_a_member(scene: Scene, name: str) -> None:
    with scene.attack("refused, name_in_use"):
        raw = Raw(scene.link, name)
        assert (raw.welcome["code"], raw.welcome["suggestion"]) == (
            "name_in_use",
            unicodedata.normalize("NFC", name) + "2",
        )
        assert raw.is_at_end()
        raw.close()


def test_whoever_does_not_insist_gets_a_number(scene: Scene) -> None:
    with scene.attack():
        raw = Raw(scene.link, "аdа", exact=False)
        assert raw.welcome["name"] == "аdа2"
        raw.send({"type": "bye"})
        assert raw.is_at_end()
        raw.close()


def test_a_plain_client_cannot_look_like_a_member_either(make_scene: MakeScene) -> None:
    with make_scene(greeting=0.02) as scene, scene.attack(), closing(bare(scene.server)) as sock:
        sock.sendall("аdа\n".encode())
        with sock.makefile("r", encoding="utf-8") as lines:
            assert lines.readline() == "USERNAMEsystem: you are аdа2 here\n"


# ── texts ───────────────────────────────────────────────────────────────────────────────────────

PRETENDING = [
    "\nboss: hi",
    "hi\nboss: hi",
    "hi\r\nboss: hi",
    "hi\rboss: hi",
    "boss joined the chat!",
    "hi\nboss joined the chat!",
    "hi\nboss left the chat",
    "hi\nsystem: the chat ends now",
    "hi\n\nsystem: the chat ends now",
    "hi\u2028boss: hi",
    "hi\u2029boss: hi",
    "hi\x0bboss: hi",
    "hi\x0cboss: hi",
    "hi\x85boss: hi",
    "hi\x1b[2K\x1b[1Gboss: hi",
    "hi\x08\x08\x08\x08\x08boss: hi",
    "x" * 1100 + "\nboss: hi",
    "x" * 1017 + " boss: hi",
    "USERNAME",
    "\u202eih :ssob",
]


@pytest.mark.parametrize("text", PRETENDING)
def test_a_plain_screen_shows_no_line_of_somebody_else(text: str) -> None:
    """Whatever a member's text is, every line of it is hers or is indented, wherever it is cut."""
    frame = plain.Said(seq=1, at=0, id="1", by="eve", text=text)
    line = plain.line(frame)
    assert line is not None
    for limit in (64, 1024):
        shown = [
            each for write in plain.writes([line], limit, end="\n") for each in write.split(b"\n") if each
        ]
        assert shown[0].startswith(b"eve: ")
        for each in shown:
            part = each.decode()
            assert part == texts.visible(part)
            assert not part.startswith(("boss: ", "boss joined", "boss left", "system: ", " boss:")), part


@pytest.mark.parametrize("text", PRETENDING)
def test_a_client_of_a_plain_server_takes_a_text_for_a_text(text: str) -> None:
    """What the server of today sends to plain clients is read there as eve's."""
    line = plain.line(plain.Said(seq=1, at=0, id="1", by="eve", text=text))
    assert line is not None
    events = [
        event for write in plain.writes([line], 1024, end="\n") for event in plain.ServerReader().feed(write)
    ]
    assert {(kind, name) for kind, name, _ in events} <= {("said", "eve"), ("more", "")}


def test_the_author_is_set_by_the_server(make_scene: MakeScene) -> None:
    """Fields that would say who it was, when or where are overlooked."""
    with make_scene(rate=1e6, burst=1000) as scene, scene.attack(stores=1):
        eve = Raw(scene.link, "eve")
        eve.send(
            {
                "type": "say",
                "id": "1",
                "text": "hi",
                "by": "ada",
                "role": "host",
                "seq": 9,
                "at": 1,
                "room": "x",
            }
        )
        said = eve.receive("said")
        assert (said["by"], said["seq"]) == ("eve", 1)
        assert said["at"] > 1
        eve.send({"type": "joined", "member": {"name": "boss", "role": "host"}}, {"type": "bye"})
        assert eve.is_at_end()
        eve.close()


@pytest.mark.parametrize(
    "text",
    ["a\x00b", "\x1b]0;title\x07", "a\x9bb", "a\x7fb", "", " \n", "x" * 16_385, "é" * 8_193],
    ids=["NUL", "escape", "C1", "delete", "empty", "blank", "too long", "too long in bytes"],
)
def test_what_is_no_text_is_refused_by_name(make_scene: MakeScene, text: str) -> None:
    with make_scene(rate=1e6, burst=1000) as scene:
        code = "text_too_long" if len(text) > 99 else "bad_text" if text.strip() else "empty_text"
        with scene.attack(f"refused, {code}"):
            eve = Raw(scene.link, "eve")
            for number in range(3):
                eve.send({"type": "say", "id": str(number), "text": text})
                answer = eve.receive("refused")
                assert (answer["code"], answer["id"]) == (code, str(number))
            eve.send({"type": "bye"})
            assert eve.is_at_end()
            eve.close()


# ── much Unicode ────────────────────────────────────────────────────────────────────────────────


def price(work: Callable[[str], object], count: int) -> float:
    """The best of some runs, for each character: two marks in turns are the worst case of normalising."""
    text, best = "a" + "\u0300\u0316" * (count // 2), float("inf")
    for _ in range(5):
        start = time.perf_counter()
        with suppress(ChatError):
            work(text)
        best = min(best, time.perf_counter() - start)
    return best / count


@pytest.mark.parametrize(
    "work",
    [
        names.check,
        names.fit,
        lambda text: texts.check(text, 10**6),
        texts.visible,
        plain.indented,
        lambda text: plain.Reader().messages(text.encode()),
        lambda text: plain.writes([text], 1024),
        lambda text: plain.ServerReader().feed(text.encode()),
    ],
    ids=["name", "login name", "text", "seen text", "plain line", "read", "written", "from a server"],
)
def test_30000_combining_marks_take_no_more_than_their_length(work: Callable[[str], object]) -> None:
    few, many = price(work, 1_000), price(work, 30_000)
    assert many < 6 * few


def test_a_tower_of_marks_is_said_as_any_text(make_scene: MakeScene) -> None:
    """It is ugly and no more: where it is shown, its place is bounded."""
    with make_scene() as scene, scene.attack("refused, bad_name", "refused, text_too_long", stores=1):
        raw = Raw(scene.link, "a" + "\u0300\u0316" * 50)
        assert raw.welcome["code"] == "bad_name"
        assert raw.is_at_end()
        raw.close()
        with nbchat.connect(scene.link, name="eve") as eve:
            with pytest.raises(ChatError):
                eve.send("a" + "\u0300\u0316" * 15_000).wait()
            tower = "a" + "\u0300\u0316" * 4_000
            assert eve.send(tower).wait().seq == 1
            until(scene.ada, lambda: scene.ada._state.transcript.seq == 1)
            assert scene.ada.messages[-1].text == tower
        raw = Raw(scene.link, "bob")
        raw.send({"type": "say", "id": "1", "text": "a" + "\u0300\u0316" * 5_000}, {"type": "bye"})
        assert raw.receive("refused")["code"] == "text_too_long"
        assert raw.is_at_end()
        raw.close()


def test_a_bad_name_is_told_in_few_words() -> None:
    with pytest.raises(BadName) as caught:
        names.check("n" * 10**6)
    assert len(str(caught.value)) < 200
