"""Rooms and members: each rule alone, then thousands of small chats."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nbchat.core import wire
from nbchat.core.effects import Admit, Announce, Append, Drop, Fetch, Shut, Tell
from nbchat.core.errors import BadName, ProtocolError
from nbchat.core.frames import (
    Away,
    Body,
    Bye,
    Changed,
    Closing,
    Hello,
    Join,
    Joined,
    Left,
    MemberInfo,
    Page,
    Ping,
    Pong,
    Refused,
    RoomLimits,
    Say,
    Typing,
    TypingShown,
)
from nbchat.core.hub import Hub
from nbchat.core.limits import Limits
from tests.core.shell import PROOF, Client, Shell, check, check_end

GRACE = Limits().grace


def make(**limits) -> Hub:
    """A hub whose sessions are called 1, 2, 3 …"""
    numbers = iter(range(1, 1000))
    return Hub(Limits(**limits), "log", lambda: str(next(numbers)))


def join(hub, conn, name="ada", room="lobby", role="member", **more):
    return hub.join(conn, Join(name=name, room=room, proof=PROOF, **more), role)


def joined(name, role="member"):
    return Joined(MemberInfo(name=name, role=role))


def changed(name, role="member", *, away=False):
    return Changed(MemberInfo(name=name, role=role, away=away))


# ── coming ──────────────────────────────────────────────────────────────────────────────────────


def test_a_newcomer_is_announced_and_then_admitted():
    hub = make()
    assert join(hub, "c1", role="host") == [
        Announce("lobby", joined("ada", "host"), "1"),
        Admit("c1", "lobby", None),
    ]
    welcome = hub.welcome("c1", 41)
    assert (welcome.session, welcome.name, welcome.role, welcome.room) == ("1", "ada", "host", "lobby")
    assert (welcome.head, welcome.log_id) == (41, "log")
    assert welcome.members == hub.members() == [MemberInfo(name="ada", role="host")]
    assert welcome.limits == RoomLimits(text=16384, line=65536, page=500, ping=20.0)
    assert hub.session_of("c1") == "1"


@pytest.mark.parametrize("name", ["ada", "ADA", "ａｄａ"])
def test_a_taken_name_is_refused_with_one_that_is_free(name):
    hub = make()
    join(hub, "c1")
    tell, drop = join(hub, "c2", name)
    assert (tell.frame.code, tell.frame.fatal) == ("name_in_use", True)
    assert tell.frame.suggestion == f"{name}2"
    assert drop == Drop("c2")
    assert hub.session_of("c2") is None
    assert len(hub.members()) == 1


def test_who_does_not_insist_gets_the_free_name():
    hub = make()
    join(hub, "c1")
    assert join(hub, "c2", exact=False)[0].frame == joined("ada2")
    assert join(hub, "c3", exact=False)[0].frame == joined("ada3")


def test_a_name_belongs_to_one_room_only():
    hub = make()
    join(hub, "c1", room="Side")
    assert join(hub, "c2", room="lobby")[-1] == Admit("c2", "lobby", None)
    assert join(hub, "c3", "bob", room="ｓｉｄｅ")[-1] == Admit("c3", "side", None)
    assert hub.welcome("c3", 0).room == "Side"
    assert [member.name for member in hub.members("SIDE")] == ["ada", "bob"]
    assert hub.members("nowhere") == []


@pytest.mark.parametrize(("name", "room"), [("", "lobby"), ("system", "lobby"), ("ada", ""), ("ada", "a\nb")])
def test_a_name_that_is_none_is_an_error_and_leaves_nothing(name, room):
    hub = make()
    with pytest.raises(BadName):
        join(hub, "c1", name, room)
    assert hub.members() == []


def test_rooms_and_members_are_bounded():
    hub = make(rooms=1, members=1)
    join(hub, "c1")
    assert [effect.frame.code for effect in join(hub, "c2", room="side")[:1]] == ["too_many_rooms"]
    assert [effect.frame.code for effect in join(hub, "c3", "bob")[:1]] == ["room_full"]
    with pytest.raises(BadName, match="full"):
        hub.join_plain("c4", "cid")
    hub.handle("c1", Bye())
    assert join(hub, "c5", room="side")[-1] == Admit("c5", "side", None)


def test_a_place_held_for_somebody_gone_is_given_up():
    """When there is no other: whoever has been gone longest, and never who is there."""
    hub = make(members=3)
    for conn, name in (("c1", "ada"), ("c2", "bob"), ("c3", "cid")):
        join(hub, conn, name)
    hub.lost("c2", 1.0)
    hub.lost("c1", 2.0)
    assert join(hub, "c4", "dan")[:2] == [
        Announce("lobby", Left("bob"), "2"),
        Announce("lobby", joined("dan"), "4"),
    ]
    assert hub.join_plain("c5", "eve")[1][0] == Announce("lobby", Left("ada"), "1")
    assert [effect.frame.code for effect in join(hub, "c6", "fay")[:1]] == ["room_full"]
    # The same for a room that only somebody gone keeps open.
    hub = make(rooms=2, members=1)
    join(hub, "c1", room="one")
    join(hub, "c2", room="two")
    hub.lost("c2", 1.0)
    assert join(hub, "c3", room="three")[:2] == [Announce("two", Left("ada"), "2"), Shut("two")]
    assert [effect.frame.code for effect in join(hub, "c4", room="four")[:1]] == ["too_many_rooms"]
    # And for the very room that is wanted.
    hub = make(members=1)
    join(hub, "c1")
    hub.lost("c1", 1.0)
    assert join(hub, "c2", "bob")[:3] == [
        Announce("lobby", Left("ada"), "1"),
        Shut("lobby"),
        Announce("lobby", joined("bob"), "2"),
    ]
    assert [member.name for member in hub.members("lobby")] == ["bob"]


def test_a_name_is_free_again_when_its_member_has_left():
    hub = make()
    join(hub, "c1", "Tom")
    join(hub, "c0", "who keeps the room open")
    assert join(hub, "c2", "Тom")[0].frame.suggestion == "Тom2"
    hub.handle("c1", Bye())
    assert join(hub, "c3", "Тom")[0].frame == joined("Тom")


# ── coming back ─────────────────────────────────────────────────────────────────────────────────


def test_who_comes_back_in_time_was_never_away():
    hub = make()
    join(hub, "c1")
    assert hub.lost("c1", 100.0) == []
    assert hub.expire(100.0 + GRACE - 0.1) == []
    assert [member.name for member in hub.members()] == ["ada"]
    assert join(hub, "c2", "other", session="1", after=7) == [Admit("c2", "lobby", 7)]
    assert hub.welcome("c2", 9).name == "ada"
    assert hub.expire(1000.0) == []


def test_who_does_not_come_back_has_left():
    hub = make()
    join(hub, "c1")
    join(hub, "c2", "bob")
    hub.lost("c1", 100.0)
    hub.lost("c2", 101.0)
    assert hub.expire(100.0 + GRACE) == [Announce("lobby", Left("ada"), "1")]
    assert hub.expire(101.0 + GRACE) == [Announce("lobby", Left("bob"), "2"), Shut("lobby")]
    assert hub.expire(1000.0) == []
    # Its session is taken as it is, so that what it sends again is recognised.
    assert join(hub, "c3", session="1", after=3)[-1] == Admit("c3", "lobby", 3)
    assert hub.session_of("c3") == "1"


def test_a_second_connection_of_a_session_ends_the_first():
    hub = make()
    join(hub, "c1")
    tell, drop, admit = join(hub, "c2", session="1")
    assert (tell.conn, tell.frame.final, isinstance(tell.frame, Closing)) == ("c1", True, True)
    assert (drop, admit) == (Drop("c1"), Admit("c2", "lobby", None))
    assert hub.lost("c1", 0.0) == []
    assert hub.welcome("c1", 0) is None
    assert hub.session_of("c2") == "1"


def test_a_session_of_another_room_is_not_shared():
    hub = make()
    join(hub, "c1")
    join(hub, "c2", "bob", room="side", session="1")
    assert (hub.session_of("c1"), hub.session_of("c2")) == ("1", "2")


@pytest.mark.parametrize(("log_id", "after"), [(None, 7), ("log", 7), ("other", None)])
def test_what_was_read_of_another_log_does_not_count(log_id, after):
    hub = make()
    assert join(hub, "c1", session="s", after=7, log_id=log_id)[-1] == Admit("c1", "lobby", after)
    assert join(hub, "c2", session="s", after=7, log_id=log_id)[-1] == Admit("c2", "lobby", after)


def test_a_role_belongs_to_the_key_that_was_used_last_and_the_others_hear_of_it():
    hub = make()
    join(hub, "c1", role="host")
    hub.lost("c1", 0.0)
    assert join(hub, "c2", session="1", role="member") == [
        Announce("lobby", changed("ada", "member"), "1"),
        Admit("c2", "lobby", None),
    ]
    assert hub.members() == [MemberInfo(name="ada", role="member")]


def test_who_was_away_and_comes_back_in_time_still_is():
    hub = make()
    join(hub, "c1")
    hub.handle("c1", Away())
    hub.lost("c1", 0.0)
    assert hub.members() == [MemberInfo(name="ada", away=True)]
    assert join(hub, "c2", session="1", role="host") == [
        Announce("lobby", changed("ada", "host", away=True), "1"),
        Admit("c2", "lobby", None),
    ]
    assert hub.welcome("c2", 0).members == [MemberInfo(name="ada", role="host", away=True)]
    hub.handle("c2", Bye())
    join(hub, "c3", session="1")
    assert hub.members() == [MemberInfo(name="ada", away=False)]


# ── being there ─────────────────────────────────────────────────────────────────────────────────


def test_a_message_goes_to_the_store_under_the_name_the_hub_knows():
    hub = make()
    join(hub, "c1")
    assert hub.handle("c1", Say("a1", "hi", auto=True)) == [
        Append("c1", "lobby", "1", "a1", wire.encode_body(Body(id="a1", by="ada", text="hi", auto=True)))
    ]


@pytest.mark.parametrize(
    ("text", "code"), [("", "empty_text"), ("a\x00", "bad_text"), ("x" * 101, "text_too_long")]
)
def test_a_bad_text_is_refused_by_its_id(text, code):
    hub = make(text=100)
    join(hub, "c1")
    (tell,) = hub.handle("c1", Say("a1", text))
    assert (tell.frame.code, tell.frame.id, tell.frame.fatal) == (code, "a1", False)


def test_other_requests():
    hub = make(page=10)
    join(hub, "c1")
    assert hub.handle("c1", Page(41, 5)) == [Fetch("c1", "lobby", 41, 5)]
    assert hub.handle("c1", Page(None, 5000)) == [Fetch("c1", "lobby", None, 10)]
    assert hub.handle("c1", Typing()) == [Announce("lobby", TypingShown("ada"), "1")]
    assert hub.handle("c1", Ping()) == [Tell("c1", Pong())]
    for request in (Hello(1, "k", "0" * 32), Join(name="bob", proof=PROOF)):
        (tell,) = hub.handle("c1", request)
        assert (tell.frame.code, tell.frame.fatal) == ("already_joined", False)


def test_that_somebody_is_away_is_told_when_it_changes():
    hub = make()
    join(hub, "c1")
    join(hub, "c2", "bob")
    assert hub.handle("c1", Away(False)) == []
    assert hub.handle("c1", Away()) == [Announce("lobby", changed("ada", away=True), "1")]
    assert hub.handle("c1", Away()) == []
    assert [(member.name, member.away) for member in hub.members()] == [("ada", True), ("bob", False)]
    assert hub.handle("c1", Away(False)) == [Announce("lobby", changed("ada", away=False), "1")]
    assert hub.members() == [MemberInfo(name="ada"), MemberInfo(name="bob")]


def test_a_bad_line_is_refused_and_ends_the_connection_only_if_fatal():
    hub = make()
    join(hub, "c1")
    join(hub, "c2", "bob")
    assert hub.refuse("c1", ProtocolError("bad_json", "no", id="a1")) == [
        Tell("c1", Refused("bad_json", "no", False, "a1"))
    ]
    assert hub.refuse("c1", ProtocolError("line_too_long", "no", fatal=True)) == [
        Tell("c1", Refused("line_too_long", "no", True)),
        Announce("lobby", Left("ada"), "1"),
        Drop("c1"),
    ]
    assert hub.refuse("stranger", ProtocolError("bad_json", "no", fatal=True))[-1] == Drop("stranger")


# ── going ───────────────────────────────────────────────────────────────────────────────────────


def test_who_says_bye_has_left_at_once():
    hub = make()
    join(hub, "c1")
    left = Announce("lobby", Left("ada"), "1")
    assert hub.handle("c1", Bye()) == [left, Shut("lobby"), Drop("c1")]
    assert hub.lost("c1", 0.0) == hub.lost_for_good("c1") == []
    assert hub.expire(1000.0) == []


def test_a_plain_member_cannot_come_back_so_it_leaves_at_once():
    hub = make()
    join(hub, "c1")
    name, effects = hub.join_plain("c2", "Ada")
    assert name == "Ada2"
    assert effects == [Announce("lobby", Joined(MemberInfo(name="Ada2", plain=True)), "2")]
    assert hub.lost("c2", 0.0) == [Announce("lobby", Left("Ada2"), "2")]
    with pytest.raises(BadName):
        hub.join_plain("c3", "system")


# ── small chats ─────────────────────────────────────────────────────────────────────────────────

WHO = [("ada", "lobby"), ("Ada", "lobby"), ("ａｄａ", "Lobby"), ("bob", "lobby"), ("ada", "side")]
OFTEN = ["join", "say", "commit", "drop", "come back"]
SOMETIMES = ["repeat", "bye", "wait", "hold", "go on", "take over", "typing", "away", "page", "plain"]
steps = st.lists(
    st.tuples(
        st.sampled_from([*OFTEN, *OFTEN, *SOMETIMES]),
        st.integers(0, len(WHO) - 1),
        st.integers(0, 9),
    ),
    min_size=10,
    max_size=60,
)


def play(chat: list[tuple[str, int, int]]) -> tuple[Shell, list[Client]]:
    """Carry out a chat's steps as far as they make sense, and check after each of them."""
    shell = Shell()
    clients = [Client(shell, f"c{who}-", name, room) for who, (name, room) in enumerate(WHO)]
    plain: list[object] = []
    for client in clients:
        client.join(exact=False)
    for action, who, number in chat:
        client = clients[who]
        match action:
            case "wait":
                shell.now += 3.0 * number
                shell.act(shell.hub.expire(shell.now))
            case "commit":
                shell.commit(number)
            case "plain" if plain:
                shell.lost(plain.pop())
            case "plain":
                plain.append(object())
                shell.act(shell.hub.join_plain(plain[0], "bob")[1])
            case "join" if client.conn is None:
                client.join("host" if number > 6 else "member", exact=number % 2 == 0)
            case _ if client.conn is None:
                pass
            case "say":
                client.say()
            case "repeat":
                client.repeat(number)
            case "drop":
                client.drop(100 * number)
            case "come back":
                client.drop(100 * number)
                client.join("host" if number > 6 else "member")
            case "take over":
                client.read(100 * number)
                if client.conn is not None:
                    client.join()
            case "bye":
                client.ask(Bye())
                client.is_reading = True
            case "hold":
                client.is_reading = False
            case "go on":
                client.is_reading = True
            case "typing":
                client.ask(Typing())
            case "away":
                client.ask(Away(number > 4))
            case "page":
                client.ask(Page(number, number + 1))
        check(shell, clients)
    check_end(shell, clients)
    return shell, clients


@settings(max_examples=500)
@given(steps)
@example(
    [("come back", 0, 7), ("come back", 0, 0), ("drop", 1, 0), ("join", 1, 7)]
)  # a host has its name back
def test_small_chats_have_one_order_no_gap_and_no_double(chat):
    play(chat)


def test_a_chat_as_people_have_it():
    ada, bob = 0, 3
    _, clients = play(
        [
            ("say", ada, 0), ("commit", 0, 1),
            ("hold", bob, 0), ("say", ada, 0), ("say", bob, 0), ("commit", 0, 9), ("drop", bob, 1),
            ("say", ada, 0), ("commit", 0, 9), ("wait", 0, 3), ("join", bob, 0), ("commit", 0, 9),
            ("bye", ada, 0),
        ]
    )  # fmt: skip
    assert [said.id for said in clients[bob].seen] == ["c0-1", "c0-2", "c3-1", "c0-3"]
    assert clients[ada].seen == clients[bob].seen
    assert list(clients[bob].members) == ["Ada2", "ａｄａ3", "bob"]
    assert not clients[bob].pending
