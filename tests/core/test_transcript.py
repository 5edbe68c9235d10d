"""Events in, rows out: numbered without gaps, whatever comes twice."""

import pickle
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbchat.core.frames import Changed, Joined, Left, MemberInfo, Said, Unknown, Welcomed
from nbchat.core.limits import PRESENCE
from nbchat.core.transcript import Member, Message, Transcript


def said(seq, text="hi", by="ada"):
    return Said(seq, 1_790_000_000_000, f"id{seq}", by, text)


def welcome(*names, log_id="log", head=0):
    members = [MemberInfo(name=name) for name in names]
    return Welcomed("s", "ada", "member", "lobby", log_id, head, members, {})


def shown(transcript):
    return [(row.kind, row.message.text if row.message else row.name) for row in transcript.rows]


def test_messages_and_members_become_rows():
    transcript = Transcript()
    transcript.welcome(welcome("ada"))
    transcript.apply(said(41, "one"))
    transcript.apply(Joined(MemberInfo(name="bob", role="host")))
    message = transcript.apply(said(42, "two", "bob"))
    transcript.apply(Left("bob"))
    transcript.notice("connection lost")
    assert shown(transcript) == [
        ("said", "one"), ("joined", "bob"), ("said", "two"), ("left", "bob"), ("notice", "system"),
    ]  # fmt: skip
    assert [row.n for row in transcript.rows] == [1, 2, 3, 4, 5]
    assert message == Message(42, "bob", "two", 1_790_000_000_000, "id42")
    assert str(message) == "bob: two"
    assert message.at == datetime(2026, 9, 21, 14, 13, 20, tzinfo=UTC)
    assert list(transcript.members) == ["ada"]


def test_what_was_seen_before_changes_nothing():
    transcript = Transcript()
    first = transcript.apply(said(1))
    assert first is not None
    assert transcript.apply(said(1)) is None
    assert transcript.apply(said(2)) is not None
    assert transcript.apply(said(1, "other")) is None
    for _ in range(2):
        transcript.apply(Joined(MemberInfo(name="bob")))
    for _ in range(2):
        transcript.apply(Left("bob"))
    assert [kind for kind, _ in shown(transcript)] == ["said", "said", "joined", "left"]


def test_a_gap_is_an_error_and_changes_nothing():
    transcript = Transcript()
    transcript.apply(said(5))
    with pytest.raises(ValueError, match="7 came after message 5"):
        transcript.apply(said(7))
    assert transcript.seq == 5
    assert transcript.apply(said(6)) is not None


def test_an_unknown_event_keeps_its_place_and_is_not_shown():
    transcript = Transcript()
    transcript.apply(said(1))
    assert transcript.apply(Unknown(2, b"{}")) is None
    assert transcript.apply(Unknown(None, b"{}")) is None
    assert transcript.apply(said(3)) is not None
    with pytest.raises(ValueError, match="5 came after message 3"):
        transcript.apply(Unknown(5, b"{}"))
    assert [row.message.seq for row in transcript.rows] == [1, 3]


def test_another_log_starts_anew():
    transcript = Transcript()
    assert not transcript.welcome(welcome("ada"))
    transcript.apply(said(9))
    assert not transcript.welcome(welcome("ada", head=9))
    assert transcript.seq == 9
    assert transcript.welcome(welcome("ada", log_id="other"))
    assert (transcript.seq, list(transcript.messages)) == (None, [])
    assert transcript.apply(said(1)) is not None
    assert [(row.n, row.kind) for row in transcript.rows] == [(1, "said"), (2, "reset"), (3, "said")]


def test_after_an_outage_only_who_came_or_went_makes_a_row():
    transcript = Transcript()
    transcript.welcome(welcome("ada", "bob", "cid", "dan"))
    transcript.welcome(welcome("ada", "eve", "dan", "fay"), fresh=False)
    assert shown(transcript) == [("joined", "eve"), ("joined", "fay")]
    assert list(transcript.members) == ["ada", "eve", "dan", "fay"]
    transcript.part()
    transcript.part()
    assert shown(transcript)[2:] == [("left", "bob"), ("left", "cid")]


def test_who_comes_back_after_an_outage_has_not_left():
    transcript = Transcript()
    transcript.welcome(welcome("ada", "bob", "cid", "dan", "eve"))
    transcript.welcome(welcome("ada", "bob"), fresh=False)  # the server started anew, and they are first
    transcript.apply(Joined(MemberInfo(name="cid")))
    transcript.apply(Joined(MemberInfo(name="fay")))
    transcript.welcome(welcome("ada", "dan", "gil"), fresh=False)  # it happens again before all are back
    transcript.apply(Joined(MemberInfo(name="bob"), quiet=True))  # muted
    transcript.apply(Left("bob"))
    transcript.part()
    assert shown(transcript) == [
        ("joined", "fay"), ("joined", "gil"),
        ("left", "bob"), ("left", "eve"), ("left", "cid"), ("left", "fay"),
    ]  # fmt: skip
    transcript.apply(Joined(MemberInfo(name="eve")))
    assert shown(transcript)[-1] == ("joined", "eve")


def test_who_may_come_back_is_bounded(monkeypatch):
    monkeypatch.setattr("nbchat.core.transcript.KNOWN", 2)
    transcript = Transcript()
    transcript.welcome(welcome("ada", "bob"))
    transcript.welcome(welcome("cid", "dan"), fresh=False)
    transcript.welcome(welcome("eve", "fay"), fresh=False)
    assert list(transcript.absent) == ["ada", "bob"]
    assert [row for row in shown(transcript) if row[0] == "left"] == [("left", "cid"), ("left", "dan")]
    transcript.welcome(welcome("ada"))
    transcript.part()
    assert not transcript.absent


def test_a_member_is_a_name_that_knows_more():
    transcript = Transcript()
    transcript.apply(Joined(MemberInfo(name="bob", role="host", plain=True)))
    bob = transcript.members["bob"]
    assert (bob, bob.name, bob.role, bob.plain) == ("bob", "bob", "host", True)
    assert type(bob.name) is str
    assert isinstance(bob, Member)
    transcript.apply(Joined(MemberInfo(name="bob", role="member")))
    assert transcript.members["bob"].role == "member"


def test_who_changes_stays_in_place_and_makes_no_row():
    transcript = Transcript()
    transcript.welcome(welcome("ada", "bob", "cid"))
    transcript.apply(Changed(MemberInfo(name="bob", role="host", away=True)))
    assert [(each, each.role, each.away) for each in transcript.members.values()] == [
        ("ada", "member", False), ("bob", "host", True), ("cid", "member", False),
    ]  # fmt: skip
    transcript.apply(Changed(MemberInfo(name="bob")))
    assert (transcript.members["bob"].role, transcript.members["bob"].away) == ("member", False)
    transcript.apply(Changed(MemberInfo(name="eve", away=True)))
    assert list(transcript.members) == ["ada", "bob", "cid"]
    assert shown(transcript) == []


@given(st.integers(1, 30), st.integers(1, 12), st.integers(0, 35))
def test_after_gives_what_is_kept_and_newer(count, kept, n):
    transcript = Transcript(kept)
    for seq in range(1, count + 1):
        transcript.apply(said(seq))
    expected = [number for number in range(max(1, count - kept + 1), count + 1) if number > n]
    assert [row.n for row in transcript.after(n)] == expected
    assert len(transcript.messages) == min(count, kept)


@given(st.lists(st.integers(1, 12), max_size=40), st.lists(st.sampled_from("abc"), max_size=20))
def test_rows_and_seqs_have_no_gap_whatever_comes(seqs, names):
    transcript = Transcript()
    for seq in seqs:
        try:
            transcript.apply(said(seq))
        except ValueError:
            transcript.notice("gap")
    for number, name in enumerate(names):
        transcript.apply(Joined(MemberInfo(name=name)) if number % 2 else Left(name))
    assert [row.n for row in transcript.rows] == list(range(1, transcript.n + 1))
    found = [message.seq for message in transcript.messages]
    assert found == list(range(found[0], found[-1] + 1)) if found else True


def test_an_author_is_a_name_that_knows_what_the_server_says_of_it():
    transcript = Transcript()
    host = transcript.apply(Said(seq=1, at=0, id="a", by="ada", text="hi", role="host"))
    old = transcript.apply(Said(seq=2, at=0, id="b", by="ada", text="hi"))
    nc = transcript.apply(Said(seq=3, at=0, id="c", by="pete", text="hi", plain=True))
    assert [(m.by, m.by.role, m.by.plain) for m in (host, old, nc)] == [
        ("ada", "host", False), ("ada", "member", False), ("pete", "member", True),
    ]  # fmt: skip
    assert isinstance(host.by, str)
    assert [m.marked for m in (host, old, nc)] == ["ada (host): hi", "ada: hi", "pete (unverified): hi"]
    assert str(host) == "ada: hi"
    assert pickle.loads(pickle.dumps(host)).by.role == "host"


def test_a_quiet_member_is_there_and_makes_no_row():
    transcript = Transcript()
    transcript.apply(Joined(MemberInfo(name="The exam is cancelled"), quiet=True))
    assert list(transcript.members) == ["The exam is cancelled"]
    transcript.apply(Left("The exam is cancelled", quiet=True))
    assert (list(transcript.members), shown(transcript)) == ([], [])


def test_who_comes_and_goes_pushes_out_no_message():
    transcript = Transcript(kept=50)
    for seq in range(1, 41):
        transcript.apply(said(seq))
    for number in range(3 * PRESENCE):
        transcript.apply(Joined(MemberInfo(name=f"x{number}")))
        transcript.apply(Left(f"x{number}"))
    assert sum(row.kind == "said" for row in transcript.rows) == 40
    assert PRESENCE <= sum(row.kind != "said" for row in transcript.rows) <= 1.25 * PRESENCE
    assert [row.n for row in transcript.after(transcript.n - 500)] == list(
        range(transcript.n - 499, transcript.n + 1)
    )
    numbers = [row.n for row in transcript.after(0)]
    assert numbers == sorted(numbers) == [row.n for row in transcript.rows]
    assert transcript.after(40)[0].n > 41
    for seq in range(41, 101):  # of messages the newest 50 stay, as ever
        transcript.apply(said(seq))
    assert [row.message.seq for row in transcript.rows if row.message] == list(range(51, 101))
    transcript.trim(100)
    assert sum(row.kind in ("joined", "left") for row in transcript.rows) == transcript._presence
