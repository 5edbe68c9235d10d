"""Servers that lie, and what they leave in a client's memory."""

from __future__ import annotations

import gc
import tracemalloc

import pytest

import nbchat
from nbchat.core import frames, sanitize
from nbchat.core.errors import UsageError
from nbchat.core.limits import EVENT_LINE, KEPT_BYTES, KNOWN
from nbchat.core.transcript import Transcript
from tests.net.helpers import until
from tests.net.hostile import HostileServer

LIMITS = frames.RoomLimits(text=16384, line=65536, page=500, ping=20)
MIB = 2**20


def said(seq: int, text: str, **more: str) -> frames.Said:
    return frames.Said(**{"seq": seq, "at": 0, "id": "a", "by": "eve", "text": text, **more})  # type: ignore[arg-type]


def welcome(**more: object) -> frames.Welcomed:
    fields = {
        "session": "s", "name": "ada", "role": "member", "room": "lobby", "log_id": "x", "head": 0,
        "members": [frames.MemberInfo(name="ada")], "limits": LIMITS,
    }  # fmt: skip
    return frames.Welcomed(**{**fields, **more})  # type: ignore[arg-type]


def test_what_is_remembered_of_names_is_short() -> None:
    """60 names of 10 MB were kept as they came, each as the key of what it was made to."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number in range(60):
            event = frames.TypingShown(name=f"{number}{'n' * MIB}")
            assert len(sanitize.harmless(event).name) < 100  # type: ignore[union-attr]
            del event
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < MIB


def test_a_welcome_is_cut() -> None:
    many = [frames.MemberInfo(name=f"m{number}") for number in range(KNOWN + 5000)]
    made = sanitize.harmless(welcome(session="s" * MIB, log_id="l" * MIB, members=many))
    assert isinstance(made, frames.Welcomed)
    assert (len(made.session), len(made.log_id), len(made.members)) == (128, 128, KNOWN)
    assert sanitize.harmless(frames.Slow(seconds=-1e308)).seconds == 0  # type: ignore[union-attr]


def test_members_without_end_are_not_all_known() -> None:
    transcript = Transcript()
    transcript.welcome(welcome())
    for number in range(KNOWN + 100):
        transcript.apply(frames.Joined(member=frames.MemberInfo(name=f"n{number}")))
    assert len(transcript.members) == KNOWN
    assert "ada" in transcript.members
    transcript.apply(frames.Left(name="n0"))
    transcript.apply(frames.Joined(member=frames.MemberInfo(name="late")))
    assert "late" in transcript.members


def test_texts_are_cut_and_kept_up_to_a_size() -> None:
    transcript = Transcript()
    transcript.welcome(welcome())
    for seq in range(1, 1200):
        event = sanitize.harmless(said(seq, "\U0001f600" * MIB if seq < 20 else "ä" * 30_000, id="i" * 999))
        transcript.apply(event)  # type: ignore[arg-type]
    kept = list(transcript.messages)
    assert sum(map(len, (message.text for message in kept))) <= KEPT_BYTES
    assert kept[-1].seq == 1199
    assert (transcript.lost, transcript.rows[0].message) == (kept[0].seq - 1, kept[0])
    assert len(kept[-1].id) == 128
    # A server of ours may have had another limit once: what is not absurd is whole.
    assert len(sanitize.harmless(said(1, "a" * 60_000), 100).text) == 60_000  # type: ignore[union-attr]
    assert len(sanitize.harmless(said(1, "a" * 70_000), 100).text) == 65_537  # type: ignore[union-attr]
    assert len(sanitize.harmless(said(1, "a" * 70_000), 80_000).text) == 70_000  # type: ignore[union-attr]


def test_a_line_of_more_than_two_megabytes_ends_the_connection() -> None:
    with HostileServer() as server, nbchat.connect(server.link, name="ada") as ada:
        server.say({"type": "typing", "name": "n" * (EVENT_LINE - 100)})
        server.say({"type": "said", "text": "still here"})
        until(ada, lambda: len(ada.messages) == 1)
        server.say({"type": "typing", "name": "n" * EVENT_LINE})
        until(ada, lambda: ada.status == "reconnecting" or ada._receiver._backoff.short == 1)


def test_no_server_of_ours_says_what_clients_do_not_read() -> None:
    with pytest.raises(UsageError, match="clients read lines of 2097152 bytes at the most"):
        nbchat.Limits(line=EVENT_LINE + 1)
    with pytest.raises(UsageError, match="clients know 10000 members"):
        nbchat.Limits(members=KNOWN + 1)
    text = 600_000
    limits = nbchat.Limits(text=text, line=EVENT_LINE, ring=2**24, rate=1e6, burst=10**6)
    with (
        nbchat.serve(port=0, history=None, limits=limits) as server,
        nbchat.connect(server, name="ada") as ada,
    ):
        for number in range(8):
            ada.send(str(number) + "\n" * (text - 2) + str(number)).wait(60)
        assert [message.seq for message in ada.history(limit=8)] == list(range(1, 9))
