"""The host's hand: each rule alone, with a clock as an argument, then random commands by random members."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbchat.core import deeds, wire
from nbchat.core.effects import Admit, Announce, Append, Decline, Drop, Record, Tell
from nbchat.core.errors import BadName, ProtocolError
from nbchat.core.frames import (
    Changed,
    Deed,
    Held,
    Join,
    Left,
    MemberInfo,
    Moderate,
    Moderated,
    Refused,
    Rules,
    Say,
    Typing,
)
from nbchat.core.hub import Hub
from nbchat.core.limits import Limits
from nbchat.core.members import Member
from nbchat.core.members import Room as HubRoom
from nbchat.core.moderation import Moderation, RoomRules

PROOF = "0" * 64
ROOM = HubRoom("lobby", "lobby")
NOW = 1_800_000_000.0
MINUTE = 60.0


class Room:
    """A lobby with ``host`` (who serves), and ``ann``, ``bob``, ``cid``; a connection is a name."""

    def __init__(self, kept: str = "{}") -> None:
        numbers = iter(range(1, 10_000))
        self.hub = Hub(Limits(), "log", lambda: f"{next(numbers):032x}", Moderation(kept))
        self.now = NOW
        self.sessions: dict[str, str] = {}
        for name in ("host", "ann", "bob", "cid"):
            self.join(name, role="host" if name == "host" else "member")

    def join(self, name, *, conn=None, role="member", session=None, address=None, room="lobby"):
        conn = conn or name
        request = Join(name=name, room=room, proof=PROOF, session=session, exact=False)
        effects = self.hub.join(conn, request, role, self.now, address)
        if (found := self.hub.session_of(conn)) is not None:
            self.sessions[conn] = found
        return effects

    def order(self, by, do, name=None, minutes=None, *, seconds=None, seq=None):
        seconds = minutes * MINUTE if minutes is not None else seconds
        return self.hub.handle(by, Moderate("m1", do, name, seconds, seq), self.now)

    def say(self, by):
        """None, or the code with which it is refused."""
        (effect,) = self.hub.handle(by, Say("s1", "hi"), self.now)
        assert isinstance(effect, Append | Decline)
        return effect.code if isinstance(effect, Decline) else None

    def restart(self):
        """The same rules after a restart of the server; nobody is there."""
        again = Room.__new__(Room)
        again.hub = Hub(Limits(), "log", lambda: "f" * 32, Moderation(self.hub.rules.kept))
        again.now, again.sessions = self.now, {}
        return again

    @property
    def names(self):
        return [info.name for info in self.hub.members()]


def code(effects):
    """The code of a refusal, None if there is none."""
    return next(
        (each.frame.code for each in effects if isinstance(each, Tell) and isinstance(each.frame, Refused)),
        None,
    )


def text(effects):
    return next(each.frame.text for each in effects if isinstance(each, Tell))


def deed(effects):
    assert isinstance(effects[-1], Record), effects
    return effects[-1].deed


# ── one by one ──────────────────────────────────────────────────────────────────────────────────


def test_kick_ends_the_connection_with_words_and_is_recorded():
    room = Room()
    tell, left, drop, record = room.order("host", "kick", "BOB")
    assert (tell.conn, tell.frame.reason, tell.frame.final) == (
        "bob",
        "host removed you from this room.",
        True,
    )
    assert left == Announce("lobby", Left("bob"), room.sessions["bob"])
    assert drop == Drop("bob")
    assert record == Record("host", "lobby", Deed(id="m1", by="host", did="kick", name="bob"))
    assert room.names == ["host", "ann", "cid"]
    assert code(room.join("bob", conn="b2", session=room.sessions["bob"])) == "kicked", "not by itself"
    assert isinstance(room.join("bob", conn="b3")[-1], Admit), "but by hand"


def test_somebody_whose_connection_is_broken_can_be_kicked():
    room = Room()
    room.hub.lost("bob", 0)
    left, record = room.order("host", "kick", "bob")
    assert isinstance(left, Announce)
    assert code(room.join("bob", conn="b2", session=room.sessions["bob"])) == "kicked"
    assert isinstance(record, Record)


def test_a_ban_is_on_the_session_and_the_name_and_ends():
    room = Room()
    tell, _, _, record = room.order("host", "ban", "bob", 60)
    assert tell.frame.reason == "host banned you from this room for 60 minutes."
    assert record.deed.until == (NOW + 3600) * 1000
    room.now += 600
    for name, session in (("Ｂob", None), ("robert", room.sessions["bob"])):
        again = room.join(name, conn="again", session=session)
        assert code(again) == "banned"
        assert text(again) == "You are banned from this room for another 50 minutes."
    with pytest.raises(BadName, match="banned from this room for another 50 minutes"):
        room.hub.join_plain("p", "bob", now=room.now)
    assert isinstance(room.join("bob", conn="side", room="side")[-1], Admit), "one room's ban"
    room.now = NOW + 3601
    assert isinstance(room.join("bob", conn="again")[-1], Admit)


def test_a_ban_without_an_end_lasts_until_it_is_taken_back():
    room = Room()
    room.order("host", "ban", "bob")
    room.now += 400 * 86400
    refused = room.join("bob", conn="again")
    assert text(refused) == "You are banned from this room until further notice."
    assert deed(room.order("host", "unban", "bob")).name == "bob"
    assert isinstance(room.join("bob", conn="again")[-1], Admit)
    assert code(room.order("host", "unban", "bob")) == "no_such_member"


def test_who_has_just_left_can_be_banned():
    room = Room()
    room.hub.lost_for_good("bob")
    assert deed(room.order("host", "ban", "bob")).name == "bob"
    assert code(room.join("bobby", conn="again", session=room.sessions["bob"])) == "banned"


def test_an_address_is_banned_only_where_nobody_else_came_from_it():
    room = Room()
    room.join("dan", address="10.0.0.1")
    room.join("eve", address="10.0.0.2")
    room.join("fay", address="10.0.0.2")
    room.order("host", "ban", "dan", 5)
    room.order("host", "ban", "eve", 5)
    refused = room.join("other", conn="1", address="10.0.0.1")
    assert code(refused) == "banned"
    assert "came from where you come from" in text(refused)
    assert code(room.join("other", conn="2", address="10.0.0.2")) is None
    assert code(room.join("local", conn="3", address=None)) is None
    # Who was there before, from elsewhere, is not the one who was banned.
    room.join("kim", address="10.0.0.9")
    room.hub.lost_for_good("kim")
    assert code(room.join("kim", conn="k2", session=room.sessions["kim"], address="10.0.0.1")) is None
    # Shared with somebody who has left, too.
    room.join("gil", address="10.0.0.3")
    room.hub.lost_for_good("gil")
    room.join("hal", address="10.0.0.3")
    room.order("host", "ban", "hal")
    assert code(room.join("gil", address="10.0.0.3")) is None


def test_a_muted_member_is_refused_with_how_long_and_others_are_not():
    room = Room()
    assert deed(room.order("host", "mute", "bob", 10)).until == (NOW + 600) * 1000
    (declined,) = room.hub.handle("bob", Say("s1", "hi"), NOW + 60)
    assert declined.text == "A host has muted you for another 9 minutes."
    assert (declined.id, declined.session) == ("s1", room.sessions["bob"])
    assert room.hub.handle("bob", Typing(), NOW + 60) == []
    assert room.say("ann") is None
    room.now += 601
    assert room.say("bob") is None
    assert room.hub.handle("bob", Typing(), room.now)
    room.order("host", "mute", "bob")
    assert room.say("bob") == "muted"
    room.order("host", "unmute", "bob")
    assert room.say("bob") is None


def test_leaving_does_not_end_a_mute():
    room = Room()
    room.order("host", "mute", "bob", 10)
    room.hub.lost_for_good("bob")
    room.join("bob", conn="b2")
    assert room.say("b2") == "muted"
    room.hub.lost_for_good("b2")
    room.join("robert", conn="b3", session=room.sessions["bob"])
    assert room.say("b3") == "muted"


def test_a_slow_room_asks_each_member_for_a_pause():
    room = Room()
    assert deed(room.order("host", "slow", seconds=5)).seconds == 5
    assert room.say("bob") is None
    assert room.say("ann") is None
    room.now += 3
    (declined,) = room.hub.handle("bob", Say("s2", "hi"), room.now)
    assert declined.code == "too_soon"
    assert declined.text == "This room is slow: 5 s between two messages. You can send this one in 2 s."
    assert room.hub.handle("bob", Typing(), room.now), "who waits may type"
    assert room.say("host") is None
    assert room.say("host") is None
    room.now += 2
    assert room.say("bob") is None
    room.order("host", "slow", seconds=0)
    assert room.say("bob") is None
    assert code(room.order("host", "slow")) == "not_possible"


def test_only_hosts_speak_when_only_hosts_may():
    room = Room()
    room.order("host", "host", "ann")
    room.order("host", "announce")
    assert [room.say(name) for name in ("host", "ann", "bob")] == [None, None, "announce"]
    room.order("ann", "unannounce")
    assert room.say("bob") is None


def test_a_locked_room_lets_those_back_who_were_there():
    room = Room()
    room.hub.lost_for_good("cid")
    room.order("host", "lock")
    refused = room.join("new")
    assert code(refused) == "locked"
    assert "locked" in text(refused)
    assert code(room.join("cid", conn="c2")) == "locked", "a name is not enough"
    assert code(room.join("cid", conn="c3", session=room.sessions["cid"])) is None
    room.hub.lost("bob", 0)
    assert code(room.join("bob", conn="b2", session=room.sessions["bob"])) is None
    assert code(room.join("boss", conn="h2", role="host")) is None, "who serves comes in always"
    with pytest.raises(BadName, match="locked"):
        room.hub.join_plain("p", "pete")
    room.order("host", "kick", "ann")
    assert code(room.join("ann", conn="a2", session=room.sessions["ann"])) is not None
    room.order("host", "unlock")
    assert code(room.join("new")) is None


def test_who_serves_comes_and_speaks_under_any_name():
    room = Room()
    room.order("host", "mute", "bob")
    room.order("host", "ban", "cid")
    room.hub.lost_for_good("bob")
    for name in ("bob", "cid"):
        assert isinstance(room.join(name, conn=f"{name}2", role="host")[-1], Admit)
        assert room.say(f"{name}2") is None


def test_a_named_host_can_do_it_all_but_to_hosts():
    room = Room()
    changed, record = room.order("host", "host", "ann")
    assert changed.frame == Changed(MemberInfo(name="ann", role="host"))
    assert record.deed == Deed(id="m1", by="host", did="host", name="ann")
    assert deed(room.order("ann", "mute", "bob", 1)).by == "ann"
    room.order("ann", "host", "cid")
    for what, whom in (
        ("kick", "host"),
        ("ban", "cid"),
        ("mute", "host"),
        ("unhost", "cid"),
        ("mute", "cid"),
    ):
        assert code(room.order("ann", what, whom)) == "not_possible", (what, whom)
    changed, _ = room.order("host", "unhost", "ann")
    assert changed.frame.member.role == "member"
    assert code(room.order("ann", "clear")) == "not_host"
    assert code(room.order("host", "host", "cid")) == "not_possible", "is one already"
    assert code(room.order("host", "unhost", "bob")) == "not_possible"
    room.hub.join_plain("p", "pete")
    assert code(room.order("host", "host", "pete")) == "not_possible"


def test_being_host_belongs_to_the_session_not_to_the_name():
    room = Room()
    room.order("host", "host", "ann")
    room.hub.lost_for_good("ann")
    room.join("ann", conn="other")
    assert code(room.order("other", "clear")) == "not_host"
    room.hub.lost_for_good("other")
    room.join("ann", conn="ann", session=room.sessions["ann"])
    assert deed(room.order("ann", "clear")).did == "clear"


def test_who_came_with_a_hosts_link_is_below_who_serves():
    room = Room()
    request = Join(name="dan", proof=PROOF)
    room.hub.join("dan", request, "host", room.now, serves=False)
    assert deed(room.order("dan", "mute", "bob")).by == "dan"
    assert code(room.order("dan", "kick", "host")) == "not_possible"
    refused = room.order("host", "unhost", "dan")
    assert code(refused) == "not_possible"
    assert "kick it, and make the links void" in text(refused)
    room.order("host", "lock")
    room.hub.lost_for_good("dan")
    assert isinstance(room.hub.join("d2", request, "host", room.now, serves=False)[-1], Admit)
    assert deed(room.order("host", "ban", "dan")).did == "ban"
    assert code(room.hub.join("d3", request, "host", room.now, serves=False)) == "banned"


def test_an_invited_host_who_is_not_there_is_no_lower():
    room = Room()
    for name, serves in (("dan", False), ("eva", False), ("fay", True)):
        room.hub.join(name, Join(name=name, proof=PROOF), "host", room.now, serves=serves)
    room.hub.lost_for_good("eva")
    room.hub.lost_for_good("fay")
    for what in ("ban", "mute"):
        for whom in ("eva", "fay"):
            refused = room.order("dan", what, whom, 5)
            assert code(refused) == "not_possible"
            assert f"{whom} is a host: only who serves this chat can {what} a host." in text(refused)
    assert deed(room.order("host", "ban", "eva", 5)).did == "ban"


def test_being_host_is_taken_back_also_from_one_who_is_not_there():
    room = Room()
    room.order("host", "host", "ann")
    room.order("host", "host", "bob")
    room.hub.lost_for_good("ann")
    assert code(room.order("bob", "unhost", "ann")) == "not_possible"
    assert deed(room.order("host", "unhost", "ANN")).name == "ann"
    room.join("ann", session=room.sessions["ann"])
    assert code(room.order("ann", "clear")) == "not_host"
    assert code(room.order("host", "unhost", "nobody")) == "no_such_member"


@pytest.mark.parametrize("what", ["kick", "ban", "mute", "unhost", "host"])
def test_nobody_can_turn_it_on_himself_or_on_who_serves(what):
    room = Room()
    room.join("boss", role="host")
    for whom in ("host", "boss"):
        refused = room.order("host", what, whom)
        assert code(refused) == "not_possible"
        assert ("yourself" in text(refused)) == (whom == "host")
    with pytest.raises(ProtocolError, match="serves this chat"):
        room.hub.moderate("lobby", Moderate("m", what, "boss"), NOW)


@pytest.mark.parametrize(
    "what",
    ["kick", "ban", "unban", "mute", "unmute", "slow", "announce", "unannounce", "lock", "unlock", "clear",
     "delete", "host", "unhost"],
)  # fmt: skip
def test_a_member_can_do_none_of_it(what):
    room = Room()
    before = room.hub.rules.kept
    (refused,) = room.order("bob", what, "ann", 5, seq=1)
    assert (refused.frame.code, refused.frame.id, refused.frame.fatal) == ("not_host", "m1", False)
    assert room.hub.rules.kept == before
    assert room.names == ["host", "ann", "bob", "cid"]


def test_who_is_not_there_is_answered_with_who_is():
    room = Room()
    for what in ("kick", "ban", "mute", "host", "unhost"):
        refused = room.order("host", what, "dan")
        assert code(refused) == "no_such_member"
        assert text(refused) == "There is no 'dan' here. Members: host, ann, bob, cid."
        assert code(room.order("host", what)) == "no_such_member"
    assert code(room.order("host", "ban", "bob", 0)) == "not_possible"
    assert code(room.order("host", "delete")) == "not_possible"


def test_the_server_itself_moderates_a_room():
    room = Room()
    effects = room.hub.moderate("LOBBY", Moderate("m", "ban", "bob"), NOW)
    assert effects[0].frame.reason == "The host banned you from this room until further notice."
    assert effects[-1] == Record(None, "lobby", Deed(id="m", by="server", did="ban", name="bob"))
    assert room.hub.moderate("empty", Moderate("m", "lock"), NOW)
    assert code(room.join("x", conn="x", room="Empty")) == "locked"


def test_all_of_it_survives_a_restart():
    room = Room()
    room.order("host", "host", "ann")
    room.order("host", "ban", "bob", 60)
    room.order("host", "mute", "cid", 60)
    room.order("host", "slow", seconds=5)
    room.order("host", "announce")
    room.order("host", "lock")
    again = room.restart()
    assert code(again.join("bob")) == "banned"
    assert code(again.join("new")) == "locked"
    again.join("cid", session=room.sessions["cid"])
    assert again.say("cid") == "muted"
    again.join("ann", session=room.sessions["ann"])
    assert again.say("ann") is None
    again.order("ann", "unmute", "cid")
    assert again.say("cid") == "announce"
    again.order("ann", "unannounce")
    assert [again.say("cid"), again.say("cid")] == [None, "too_soon"]
    assert deed(again.order("ann", "unlock")).did == "unlock"
    assert room.hub.rules.told("lobby", "r", NOW, is_host=True).locked


def test_what_is_over_or_ended_is_not_kept():
    room = Room()
    room.order("host", "ban", "bob", 1)
    room.order("host", "announce")
    room.now += 61
    room.order("host", "unannounce")
    assert room.hub.rules.kept == "{}"


def test_what_holds_can_be_asked_and_who_is_banned_is_for_hosts():
    room = Room()
    room.order("host", "mute", "bob", 1)
    room.order("host", "ban", "cid")
    room.order("host", "slow", seconds=2)
    (told,) = room.hub.handle("host", Rules("r1"), NOW)
    assert (told.frame.id, told.frame.slow, told.frame.announce, told.frame.locked) == ("r1", 2, False, False)
    assert told.frame.mutes == [Held("bob", int((NOW + 60) * 1000))]
    assert told.frame.bans == [Held("cid")]
    (told,) = room.hub.handle("ann", Rules("r2"), NOW)
    assert (told.frame.slow, told.frame.bans, told.frame.mutes) == (2, [], [])


# ── words ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.1, "1 s"), (45, "45 s"), (99, "99 s"), (100, "2 minutes"), (600.02, "10 minutes"),
     (604, "11 minutes"), (3600, "60 minutes"), (7200, "2 hours"), (86400 * 3, "3 days")],
)  # fmt: skip
def test_durations(seconds, said):
    assert deeds.duration(seconds) == said


def test_every_deed_has_words_of_its_own():
    from typing import get_args

    from nbchat.core.frames import Deeds

    said = {deeds.words(Moderated(1, 0, "m", "ada", what, "bob", seconds=5)) for what in get_args(Deeds)}
    assert len(said) == len(get_args(Deeds))
    assert not any("does not know" in each for each in said)
    assert "does not know yet (dance)" in deeds.words(Moderated(1, 0, "m", "ada", "dance"))
    assert (
        deeds.words(Moderated(1, 1000, "m", "server", "mute", "bob", 601_000))
        == "The host muted bob for 10 minutes"
    )


def test_a_deed_is_kept_without_its_place():
    line = wire.logged(wire.encode_body(Deed(id="m", by="ada", did="slow", seconds=2.0)), 7, 99)
    assert wire.decode_event(line) == Moderated(7, 99, "m", "ada", "slow", seconds=2.0)


# ── random commands by random members ───────────────────────────────────────────────────────────

people = st.sampled_from(["host", "ann", "bob", "cid"])
orders = st.builds(
    Moderate,
    st.just("m1"),
    st.sampled_from(["kick", "ban", "unban", "mute", "unmute", "slow", "announce", "unannounce", "lock",
                     "unlock", "clear", "delete", "host", "unhost"]),
    people | st.none(),
    st.none() | st.floats(0, 1000),
    st.integers(0, 9) | st.none(),
)  # fmt: skip
steps = st.one_of(
    st.tuples(st.just("order"), people, orders),
    st.tuples(st.just("serve"), orders),
    st.tuples(st.just("lose"), people),
    st.tuples(st.just("come"), people, st.booleans()),
    st.tuples(st.just("wait"), st.floats(0, 2000)),
)


@settings(max_examples=300)
@given(st.lists(steps, max_size=40))
def test_no_member_does_a_hosts_thing_and_who_serves_is_never_shut_out(play):
    room = Room()
    for step in play:
        match step:
            case ("order", by, order) if room.hub.session_of(by):
                role = next(info.role for info in room.hub.members() if info.name == by)
                before = room.hub.rules.kept
                effects = room.hub.handle(by, order, room.now)
                if role != "host":
                    assert code(effects) == "not_host"
                    assert room.hub.rules.kept == before
                refused = code(effects) is not None
                assert refused == (not isinstance(effects[-1], Record))
            case ("serve", order):
                with contextlib.suppress(ProtocolError):
                    assert isinstance(room.hub.moderate("lobby", order, room.now)[-1], Record)
            case ("lose", name) if name != "host":
                room.hub.lost_for_good(name)
            case ("come", name, knows) if room.hub.session_of(name) is None:
                room.join(name, session=room.sessions[name] if knows else None)
            case ("wait", seconds):
                room.now += seconds
        assert room.hub.session_of("host")
        assert room.say("host") is None
        # Whatever holds, it is the same after a restart, and who serves gets in.
        again = room.restart()
        assert code(again.join("host", role="host")) is None
        assert again.say("host") is None


def test_the_rules_of_a_room_are_bounded():
    rules = Moderation()
    for number in range(3000):
        rules.seen.add("lobby", Member(str(number), f"n{number}", "member", ROOM, False, None))
        rules.judge("lobby", Moderate("m", "ban", f"n{number}"), None, {}, NOW)
    assert len(rules._of("lobby").bans) == 1000
    assert rules._of("nowhere") == RoomRules()
