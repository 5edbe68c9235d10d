"""Strangers who come and go: places, what is remembered of them, slow rooms, and who has lost a key."""

import pytest

from nbchat.core.effects import Admit, Append, Decline, Drop, Record, Tell, Void
from nbchat.core.errors import ProtocolError
from nbchat.core.frames import Bye, Join, Moderate, Say
from nbchat.core.held import Held
from nbchat.core.hub import Hub
from nbchat.core.limits import Limits
from nbchat.core.moderation import Ban, Moderation, RoomRules
from nbchat.core.places import Places
from nbchat.core.seen import ALL, EACH, Seen
from nbchat.server.engine.authors import Author

PROOF = "0" * 64
NOW = 1_800_000_000.0


class Chat:
    """A hub with numbered sessions; a connection is a name."""

    def __init__(self, **limits: int) -> None:
        numbers = iter(range(1, 100_000))
        self.hub = Hub(Limits(**limits), "log", lambda: f"{next(numbers):032x}")
        self.now = NOW
        self.come("host", role="host", key="own", serves=True)

    def come(
        self, name, *, room="lobby", role="member", key="link", address=None, session=None, serves=False
    ):
        """The code of the refusal, None if it is in."""
        request = Join(name=name, room=room, proof=PROOF, session=session, exact=False)
        effects = self.hub.join(name, request, role, self.now, address, serves=serves, key_id=key)
        return None if isinstance(effects[-1], Admit) else effects[-2].frame.code

    def say(self, name):
        (effect,) = self.hub.handle(name, Say("s", "hi"), self.now)
        assert isinstance(effect, Append | Decline)
        return effect.code if isinstance(effect, Decline) else None

    def order(self, by, do, name=None, **more):
        return self.hub.handle(by, Moderate("m", do, name, **more), self.now)


# ── places ──


def test_one_link_leaves_places_to_others_and_who_serves_always_comes_in():
    chat = Chat(connections=40, members=40, reserved=10, spare=2)
    codes = [chat.come(f"m{number}") for number in range(40)]
    assert codes.count(None) == 30
    assert set(codes[30:]) == {"link_full"}
    assert chat.come("elsewhere", address="10.0.0.1") is None, "the same link, from elsewhere"
    for number in range(30):
        chat.come(f"o{number}", key="other link")
    assert chat.come("one more", key="third") == "server_full"
    assert chat.come("me again", role="host", key="own", serves=True) is None
    assert chat.come("ada", room="side", key="third") == "server_full"
    assert "side" not in {room.name for room in chat.hub._rooms.values()}


def test_a_full_room_takes_who_serves():
    chat = Chat(members=2)
    assert chat.come("ada") is None
    assert chat.come("bob") == "room_full"
    assert chat.come("my phone", role="host", key="own", serves=True) is None


def test_who_was_there_finds_a_place_kept_though_a_flood_took_its_own():
    chat = Chat(connections=8, reserved=2, spare=2, members=8)
    assert chat.come("ada", key="link") is None
    session = chat.hub.session_of("ada")
    chat.hub.lost("ada", 0.0)
    flood = [chat.come(f"m{number}", key="link") for number in range(20)]
    assert flood.count(None) == 6
    assert "ada" not in [each.name for each in chat.hub.members()], "her place was given up"
    assert chat.come("ada", key="link", session=session) is None


def test_a_flood_that_drops_gives_up_its_own_places_first():
    chat = Chat(connections=16, reserved=4, spare=1, members=16)
    chat.come("ada", key="other", address="10.0.0.9")
    chat.hub.lost("ada", 0.0)
    for number in range(100):
        assert chat.come(f"m{number}") is None
        chat.hub.lost(f"m{number}", 1.0 + number)
    assert "ada" in [each.name for each in chat.hub.members()]


def test_places_come_back():
    places = Places(Limits(connections=4, reserved=1))
    for _ in range(3):
        places.take("lobby", ("k", None))
    assert places.bar("lobby", 3, ("k", None)).code == "link_full"
    places.leave("lobby", ("k", None))
    assert places.bar("lobby", 2, ("k", None)) is None
    for _ in range(2):
        places.leave("lobby", ("k", None))
    assert places._by == {}


def test_all_who_came_with_a_link_can_be_ended():
    chat = Chat()
    for name, key in (("ada", "a"), ("bob", "b"), ("cid", "a")):
        chat.come(name, key=key)
    assert chat.hub.inside("a") == {chat.hub.session_of(name): "lobby" for name in ("ada", "cid")}
    effects = chat.hub.empty(["a", "own"], "Over.")
    assert [each.conn for each in effects if isinstance(each, Drop)] == ["ada", "cid"]
    assert all(each.frame.final for each in effects if isinstance(each, Tell))
    assert [each.name for each in chat.hub.members()] == ["host", "bob"]


# ── who was there ──


def test_a_flood_of_joins_erases_nobody_who_spoke():
    chat = Chat()
    chat.come("mallory", address="10.0.0.1")
    chat.say("mallory")
    chat.hub.handle("mallory", Bye())
    for number in range(EACH + 100):
        chat.come(f"x{number}", address=f"10.1.0.{number}")
        chat.hub.handle(f"x{number}", Bye())
    effects = chat.order("host", "ban", "mallory")
    assert isinstance(effects[-1], Record)
    (ban,) = chat.hub.rules._of("lobby").bans
    assert ban.session is not None
    assert ban.address is None, "who else came from there is not known any more"
    assert len(chat.hub.rules.seen.sessions("lobby")) <= 2 * EACH


def test_what_is_remembered_is_bounded_for_each_room_and_in_all():
    seen = Seen()
    seen.add("quiet", Author("ada", "ada"))
    for number in range(ALL + 500):
        seen.add(f"room {number % 20}", Author(f"s{number}", f"n{number}", "10.0.0.1"))
    assert seen.has("quiet", "ada"), "one room's flood is its own"
    assert sum(len(room) for room in seen._rooms.values()) == seen._count == ALL
    for room in list(seen._rooms):
        for session in seen.sessions(room):
            seen.forget(room, session)
    assert seen._count == 0
    assert all(not room.by_name for room in seen._rooms.values())


def test_a_room_is_remembered_by_session_and_by_the_last_of_a_name():
    seen = Seen()
    seen.add("lobby", Author("one", "Bob"))
    seen.add("lobby", Author("two", "bob"))
    assert seen.named("lobby", "BOB")[0] == "two"
    assert seen.named("other", "bob") is None
    seen.spoke("lobby", Author("one", "Bob"), 5.0)
    assert seen.said_at("lobby", "one", "x") == 5.0
    assert seen.is_alone("lobby", "one", "10.0.0.1")


# ── slow, mutes, keys ──


@pytest.mark.parametrize("keeps", ["session", "name"])
def test_leaving_does_not_end_the_pause_of_a_slow_room(keeps):
    chat = Chat()
    chat.come("mallory")
    session = chat.hub.session_of("mallory")
    chat.order("host", "slow", seconds=60.0)
    assert chat.say("mallory") is None
    chat.hub.handle("mallory", Bye())
    name = "mallory" if keeps == "name" else "molly"
    chat.come(name, session=session if keeps == "session" else None)
    assert chat.say(name) == "too_soon"
    chat.now += 60
    assert chat.say(name) is None


def test_a_thousand_mutes_are_not_looked_at_one_by_one():
    looked: list[str] = []

    class Counted(Ban, frozen=True):
        def is_about(self, session: str | None, name: str) -> bool:
            looked.append(name)
            return super().is_about(session, name)

    chat = Chat()
    mutes: list[Ban] = [Counted(f"m{number}", f"a{number:031x}") for number in range(1000)]
    chat.hub.rules._rooms["lobby"] = RoomRules(mutes=mutes)
    chat.come("ada")
    assert chat.say("ada") is None
    assert looked == []
    chat.come("M7")
    assert chat.say("M7") == "muted"
    assert chat.come("bob", session=f"a{8:031x}") is None
    assert chat.say("bob") == "muted"


def test_held_finds_by_session_name_and_address():
    held = Held([Ban("bob", "s", "10.0.0.1"), Ban("ann")])
    assert [each.name for each in held.about("s", "x")] == ["bob"]
    assert {each.name for each in held.about(None, "ΒΟΒ")} == {"bob"}, "by look, in Greek letters"
    assert [each.name for each in held.at("10.0.0.1")] == ["bob"]
    assert list(held.at(None)) == []
    assert list(held.about(None, "cid")) == []


def test_rules_for_no_room_are_not_kept_for_each_name_of_a_room():
    rules = Moderation()
    for number in range(100):
        assert rules.bars(f"r{number}", None, "ada", None, NOW) is None
    assert rules._held == {}


@pytest.mark.parametrize("what", ["kick", "ban"])
def test_who_is_shut_out_by_who_serves_comes_into_no_room_with_that_session(what):
    chat = Chat()
    chat.come("guest", role="host", key="guest's")
    session = chat.hub.session_of("guest")
    effects = chat.order("host", what, "guest")
    assert Void(session, "guest's", what == "ban") in effects
    assert chat.come("guest", room="other", role="host", key="guest's", session=session) == "kicked"
    if what == "ban":
        chat.order("host", "unban", "guest")
        assert chat.come("guest", session=session) is None


def test_who_is_shut_out_by_a_named_host_loses_that_room_only():
    chat = Chat()
    for name in ("ann", "bob"):
        chat.come(name)
    chat.order("host", "host", "ann")
    session = chat.hub.session_of("bob")
    effects = chat.order("ann", "kick", "bob")
    assert not any(isinstance(each, Void) for each in effects)
    assert chat.come("bob", room="other", session=session) is None


# ── a member's messages ──


def test_a_flood_is_taken_away_by_name_and_time():
    chat = Chat()
    chat.come("bob")
    (record,) = chat.order("host", "delete", "bob", back=600.0)
    assert (record.deed.did, record.deed.name, record.since) == ("delete", "bob", int((NOW - 600) * 1000))
    (record,) = chat.order("host", "delete", "gone long ago", back=600.0)
    assert record.deed.name == "gone long ago", "whether there is anything the log knows"
    *_, record = chat.order("host", "ban", "bob", seconds=3600.0, back=60.0)
    assert (record.deed.did, record.since) == ("ban", int((NOW - 60) * 1000))
    (record,) = chat.order("host", "delete", seq=4)
    assert record.since is None


@pytest.mark.parametrize(
    ("do", "name", "back"), [("kick", "bob", 5.0), ("delete", None, 5.0), ("delete", "bob", 86401.0)]
)
def test_what_cannot_be_taken_away_is_refused(do, name, back):
    chat = Chat()
    chat.come("bob")
    (effect,) = chat.order("host", do, name, back=back)
    assert isinstance(effect, Tell)
    assert effect.frame.code in ("not_possible", "no_such_member")


def test_a_named_host_takes_nothing_of_who_serves_away_but_its_own():
    chat = Chat()
    chat.come("ann")
    chat.order("host", "host", "ann")
    (effect,) = chat.order("ann", "delete", "host", back=60.0)
    assert effect.frame.code == "not_possible"
    (effect,) = chat.order("ann", "delete", "ann", back=60.0)
    assert isinstance(effect, Record)
    with pytest.raises(ProtocolError):
        chat.hub.moderate("lobby", Moderate("m", "delete", back=5.0), NOW)
