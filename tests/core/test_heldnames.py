"""Held names: for whom, until when, who releases them; and names that invitations are for."""

import pytest

from nbchat.core import names
from nbchat.core.arrivals import SHORT, Arrivals
from nbchat.core.digests import digest
from nbchat.core.effects import Admit, Announce, Drop, Record, Tell
from nbchat.core.errors import BadName
from nbchat.core.frames import Bye, Closing, Deed, Join, Moderate
from nbchat.core.heldnames import HOUR, HeldNames, Hold
from nbchat.core.hub import Hub
from nbchat.core.keyring import Keyring
from nbchat.core.keys import Key
from nbchat.core.limits import Limits
from nbchat.core.moderation import Moderation

PROOF = "0" * 64
NOW = 1_800_000_000.0


class Chat:
    """A chat with a name, whose time is turned by hand; a connection is a name."""

    def __init__(self, kept="{}", rules="{}", *, holds=True, now=NOW, keys=()):
        numbers = iter(range(1, 100_000))
        self.now = now
        self.held = HeldNames(kept, holds=holds, now=now)
        self.keys = Keyring(keys, b"")
        self.hub = Hub(
            Limits(),
            "log",
            lambda: f"{next(numbers):032x}",
            Moderation(rules),
            held=self.held,
            promised=self.keys.promised,
        )

    def join(
        self, name, conn=None, *, role="member", session=None, key=None, address=None, exact=True, serves=None
    ):
        request = Join(name=name, proof=PROOF, session=session, exact=exact)
        conn = conn or name
        return self.hub.join(conn, request, role, self.now, address, key_id=key, serves=serves)

    def name(self, *arguments, **more):
        """The name that somebody gets, or the code with which it is refused."""
        effects = self.join(*arguments, **more)
        if isinstance(effects[-1], Admit):
            return self.hub.welcome(effects[-1].conn, 0).name
        return effects[-2].frame.code

    def why(self, *arguments, **more):
        return self.join(*arguments, **more)[-2].frame

    def bye(self, conn):
        return self.hub.handle(conn, Bye(), self.now)

    def order(self, by, do, name=None, seconds=None):
        return self.hub.handle(by, Moderate("m1", do, name, seconds), self.now)

    def pass_time(self, seconds):
        self.now += seconds
        return self.hub.expire(self.now - NOW, self.now)

    def restart(self):
        return Chat(self.held.kept, self.hub.rules.kept, now=self.now)


@pytest.fixture
def chat():
    return Chat()


# ── a member's ──────────────────────────────────────────────────────────────────────────────────


def test_a_members_name_is_held_for_its_session_for_an_hour(chat):
    chat.join("bob", session="b" * 32)
    chat.bye("bob")
    chat.pass_time(900)
    refused = chat.why("bob", "eve")
    assert (refused.code, refused.suggestion) == ("name_in_use", "bob2")
    assert (
        refused.text
        == "The name 'bob' is held for its member who left, for another 45 minutes. 'bob2' is free."
    )
    assert chat.name("B.O.B", "eve2") == "name_in_use", "nor one that looks like it"
    assert chat.name("bob", "eve3", exact=False) == "bob2"
    with_session = chat.name("bob", "back", session="b" * 32)
    assert with_session == "bob"
    chat.bye("back")
    chat.pass_time(HOUR - 1)
    assert chat.name("bob", "eve4") == "name_in_use", "from when it left last"
    chat.pass_time(2)
    assert chat.name("bob", "eve5") == "bob"


def test_a_plain_client_does_not_get_a_held_name_and_has_none_held(chat):
    chat.join("bob")
    chat.bye("bob")
    assert chat.hub.join_plain("p1", "bob", now=chat.now)[0] == "bob2"
    assert chat.hub.join_plain("p2", "pete", now=chat.now)[0] == "pete"
    chat.hub.lost("p2", 0.0)
    assert chat.name("pete") == "pete"


def test_an_outage_counts_as_leaving_when_it_is_told(chat):
    chat.join("bob")
    chat.hub.lost("bob", 0.0)
    chat.pass_time(Limits().grace + 1)
    assert chat.hub.members() == []
    assert chat.name("bob", "eve") == "name_in_use"
    chat.pass_time(HOUR + 1)
    assert chat.name("bob", "eve") == "bob"


def test_a_session_has_one_name(chat):
    chat.join("bob", session="b" * 32)
    chat.bye("bob")
    assert chat.name("robert", session="b" * 32) == "robert"
    chat.bye("robert")
    assert chat.name("bob", "eve") == "bob", "what it had before is free"
    assert chat.name("robert", "eve2") == "name_in_use"


def test_without_a_chats_name_nothing_is_held():
    chat = Chat(holds=False)
    chat.join("bob")
    chat.bye("bob")
    chat.join("ada", role="host")
    chat.bye("ada")
    assert (chat.name("bob"), chat.name("ada")) == ("bob", "ada")
    assert chat.held.kept == "{}"


def test_it_is_held_over_a_restart_also_for_who_was_there(chat):
    chat.join("bob", session=digest("b" * 32))  # as a connection does
    chat.join("ann", session="a" * 32)
    chat.join("Prof", role="host", serves=True)
    chat.bye("bob")
    chat.pass_time(600)
    again = chat.restart()
    assert "b" * 32 not in chat.held.kept, "who reads it cannot come back as bob"
    for name in ("bob", "ann", "Prof"):
        assert again.name(name, "eve") == "name_in_use"
    assert again.name("ann", session="a" * 32) == "ann"
    again.pass_time(HOUR - 600)
    assert again.name("bob", "eve2") == "bob", "its hour went on"
    assert again.name("Prof", "eve3") == "name_in_use"
    assert again.name("Prof", role="host", serves=True) == "Prof"


def test_who_is_kicked_or_banned_has_nothing_held(chat):
    chat.join("ada", role="host", serves=True)
    for name, do in (("bob", "kick"), ("cid", "ban")):
        chat.join(name)
        chat.order("ada", do, name)
    chat.join("dan")
    chat.bye("dan")
    chat.order("ada", "ban", "dan")
    assert chat.name("bob", "b2") == "bob", "by hand, as ever"
    for name in ("cid", "dan"):
        chat.order("ada", "unban", name)
        assert chat.name(name, f"{name}2") == name


# ── a host's ────────────────────────────────────────────────────────────────────────────────────


def test_a_hosts_name_is_held_until_it_is_released(chat):
    chat.join("Prof. Åsa Löfgren", "h", role="host", serves=True)
    chat.bye("h")
    chat.pass_time(100 * 86400)
    refused = chat.why("Prof. Asa Löfgren", "eve")
    assert refused.code == "name_in_use"
    assert "is held for a host, until a host releases it (/release Prof. Åsa Löfgren)" in refused.text
    # With the host's key it is there again, from whatever machine and session.
    assert (
        chat.name("Prof. Åsa Löfgren", "h2", role="host", serves=True, session="9" * 32)
        == "Prof. Åsa Löfgren"
    )
    chat.bye("h2")
    chat.join("ada", role="host", serves=True)
    (record,) = chat.order("ada", "release", "prof. åsa löfgren")
    assert record == Record("ada", "lobby", Deed(id="m1", by="ada", did="release", name="Prof. Åsa Löfgren"))
    assert chat.name("Prof. Asa Löfgren", "eve") == "Prof. Asa Löfgren"


def test_an_invited_hosts_name_is_for_its_link_and_a_named_hosts_for_its_session(chat):
    chat.join("ada", role="host", serves=True)
    chat.join("eva", role="host", serves=False, key="k1")
    chat.join("bob", session="b" * 32)
    chat.order("ada", "host", "bob")
    chat.bye("eva")
    chat.bye("bob")
    chat.pass_time(10 * HOUR)
    assert chat.name("eva", "x", role="host", serves=False, key="k2") == "name_in_use"
    assert chat.name("bob", "y") == "name_in_use"
    assert chat.name("eva", "e2", role="host", serves=False, key="k1") == "eva"
    assert chat.name("bob", "b2", session="b" * 32) == "bob"


def test_who_is_host_no_longer_has_its_name_held_as_a_members(chat):
    chat.join("ada", role="host", serves=True)
    chat.join("bob")
    chat.order("ada", "host", "bob")
    chat.order("ada", "unhost", "bob")
    chat.bye("bob")
    assert chat.name("bob", "eve") == "name_in_use"
    chat.pass_time(HOUR + 1)
    assert chat.name("bob", "eve") == "bob"


def test_a_hosts_key_wins_its_name_back_and_the_other_comes_back_by_itself():
    chat = Chat(holds=False)  # where names are not held, somebody can have it meanwhile
    chat.join("Prof", "h", role="host", serves=True)
    chat.bye("h")
    assert chat.name("prof", "eve", session="e" * 32) == "prof"
    effects = chat.join("Prof", "h2", role="host", serves=True)
    tell = effects[0]
    assert isinstance(tell, Tell)
    assert isinstance(tell.frame, Closing)
    assert (tell.conn, tell.frame.final) == ("eve", False)
    assert (
        tell.frame.reason
        == "'Prof' is a host's name, and that host is back. You can come back under another name."
    )
    assert Drop("eve") in effects
    assert isinstance(effects[-1], Admit)
    assert chat.name("prof", "eve2", session="e" * 32, exact=False) == "prof2"
    assert [info.name for info in chat.hub.members()] == ["Prof", "prof2"]


def test_a_host_wins_only_what_it_had_and_from_no_host():
    chat = Chat(holds=False)
    chat.join("bob")
    assert chat.name("bob", "h", role="host", serves=True) == "name_in_use", "never had it"
    assert chat.name("ada", "h", role="host", serves=True) == "ada"
    assert chat.name("ada", "h2", role="host", serves=True) == "name_in_use", "another panel of the host's"
    chat.bye("h")
    chat.join("ada", "x")
    assert chat.name("ada", "y") == "name_in_use", "a member wins nothing"
    assert chat.name("ada", "z", role="host", serves=False, key="k1") == "name_in_use", "nor another host"


def test_what_cannot_be_released_is_answered_in_words(chat):
    chat.join("ada", role="host", serves=True)
    chat.join("eva", role="host", serves=False, key="k1")
    chat.join("bob")
    assert chat.order("bob", "release", "ada")[0].frame.code == "not_host"
    assert chat.order("ada", "release", "bob")[0].frame.text == "bob is here and has that name."
    chat.bye("bob")
    chat.bye("ada")
    refused = chat.order("eva", "release", "cid")[0].frame
    assert refused.code == "no_such_member"
    assert refused.text == "The name 'cid' is not held. Names held now: ada, bob."
    assert chat.order("eva", "release", "ada")[0].frame.code == "not_possible", "of who serves"
    assert isinstance(chat.order("eva", "release", "bob")[0], Record)
    assert chat.hub.moderate("lobby", Moderate("m2", "release", "ada"), chat.now)


# ── bounds ──────────────────────────────────────────────────────────────────────────────────────


def test_held_names_are_bounded_and_members_push_out_no_host():
    held = HeldNames(holds=True)
    held.came("lobby", "Prof", "s", "serves", is_host=True)
    held.left("lobby", "Prof", NOW)
    held.came("lobby", "here", "there", None, is_host=False)
    for number in range(5000):
        held.came("lobby", f"x{number}", f"s{number}", None, is_host=False)
        held.left("lobby", f"x{number}", NOW)
    again = HeldNames(held.kept, holds=True, now=NOW)
    assert len(again._members.holds) == 2048
    for name, is_held in (("Prof", True), ("here", True), ("x10", False), ("x4999", True)):
        assert (again.against("lobby", names.marks(name), None, None, NOW) is not None) == is_held
    held.expire(NOW + HOUR + 1)
    assert len(held._members.holds) == 1
    assert len(held._members._alike) <= 3
    assert len(held._members._of_session) == 1


def test_a_hold_shows_no_session():
    assert repr(Hold("bob", "secret")) == "Hold('bob')"


# ── invitations for one name ────────────────────────────────────────────────────────────────────


def test_the_name_of_a_valid_link_is_kept_for_it():
    chat = Chat(keys=[Key("k1", "s", name="bob", ends=NOW + 600), Key("k2", "s")], holds=False)
    refused = chat.why("b o b", "eve", key="k2")
    assert refused.text == "The name 'bob' is kept for whom the host has invited by it. 'b o b2' is free."
    assert chat.name("bob", "eve", key="k2", exact=False) == "bob2"
    assert chat.name("bob", "h", role="host", serves=True) == "name_in_use"
    assert chat.hub.join_plain("p", "bob", now=chat.now)[0] == "bob3"
    assert chat.name("bob", key="k1") == "bob"
    chat.bye("bob")
    chat.pass_time(601)
    assert chat.name("bob", "eve2", key="k2") == "bob", "the link has ended"


def test_a_link_that_is_made_or_void_counts_at_once():
    chat = Chat(holds=False)
    assert chat.name("bob") == "bob"
    chat.bye("bob")
    chat.keys.add(Key("k1", "s", name="bob", ends=NOW + 600))
    assert chat.name("bob") == "name_in_use"
    chat.keys.revoke()
    assert chat.name("bob") == "bob"


# ── bans and mutes by number, and who is taken for whom ─────────────────────────────────────────


def test_no_banned_or_muted_name_is_given_by_numbering():
    chat = Chat(holds=False)
    chat.join("ada", role="host", serves=True)
    for conn in ("j1", "j2", "j3", "j4"):
        chat.join("jovyan", conn, exact=False)
    chat.order("ada", "ban", "jovyan2")
    chat.order("ada", "mute", "jovyan3")
    chat.bye("j3")
    assert chat.name("jovyan", "j5", exact=False) == "jovyan5"
    assert chat.hub.rules.silences("lobby", chat.hub._by_conn["j5"], chat.now) is None
    assert chat.name("jovyan2", "j6", exact=False) == "banned"


def test_who_asks_for_a_muted_name_that_nobody_has_now_is_muted(chat):
    chat.join("ada", role="host", serves=True)
    chat.join("bob")
    chat.order("ada", "mute", "bob")
    chat.bye("bob")
    assert chat.name("bob", "b2", exact=False) == "bob2"
    no = chat.hub.rules.silences("lobby", chat.hub._by_conn["b2"], chat.now)
    assert no is not None
    assert "If that is not you, ask the host" in str(no)
    assert chat.name("Bób", "b3", exact=False) == "Bób3"
    assert chat.hub.rules.silences("lobby", chat.hub._by_conn["b3"], chat.now) is not None
    chat.order("ada", "unmute", "bob")
    assert chat.hub.rules.silences("lobby", chat.hub._by_conn["b2"], chat.now) is None


def test_who_asks_for_a_muted_name_beside_the_muted_one_is_somebody_else(chat):
    chat.join("ada", role="host", serves=True)
    chat.join("jovyan", "j1")
    chat.order("ada", "mute", "jovyan")
    assert chat.name("jovyan", "j2", exact=False) == "jovyan2"
    assert chat.hub.rules.silences("lobby", chat.hub._by_conn["j2"], chat.now) is None


def test_a_mute_is_on_the_address_where_nobody_else_came_from_it(chat):
    chat.join("ada", role="host", serves=True)
    chat.join("kim", address="10.0.0.1")
    chat.bye("kim")
    chat.join("dan", session="d" * 32, address="10.0.0.9")
    chat.order("ada", "mute", "dan", 600)
    chat.bye("dan")

    def is_muted(name, conn, **more):
        chat.join(name, conn, **more)
        return chat.hub.rules.silences("lobby", chat.hub._by_conn[conn], chat.now) is not None

    assert is_muted("other", "d2", address="10.0.0.9")
    chat.bye("d2")
    assert is_muted("third", "d3", address="10.0.0.9"), "another session, another name"
    assert not is_muted("fay", "f", address="10.0.0.2")
    assert not is_muted("gil", "g")
    chat.pass_time(601)
    assert chat.hub.rules.silences("lobby", chat.hub._by_conn["d3"], chat.now) is None
    # Where it tells nobody apart it is not looked at.
    for name in ("eve", "hal"):
        chat.join(name, address="10.0.0.7")
    chat.order("ada", "mute", "eve")
    assert not is_muted("ida", "i", address="10.0.0.7")


# ── names for hosts ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["host", "H0st", "admin", "The Teacher", "ada left the chat"])
def test_a_name_that_says_host_is_for_hosts(chat, name):
    with pytest.raises(BadName, match="only a host can have"):
        chat.join(name)
    with pytest.raises(BadName, match="only a host can have"):
        chat.hub.join_plain("p", name)
    assert chat.hub.members() == []
    assert chat.name(name, exact=False) == "guest", "a login name that nobody typed"
    assert chat.name(name, "h", role="host", serves=True) == name


# ── coming and going ────────────────────────────────────────────────────────────────────────────


def test_joins_are_no_speech_for_who_may_not_speak(chat):
    chat.join("ada", role="host", serves=True)

    def is_quiet(effects):
        return next(each.frame.quiet for each in effects if isinstance(each, Announce))

    assert not is_quiet(chat.join("bob"))
    chat.order("ada", "mute", "bob")
    session = chat.hub.session_of("bob")
    assert is_quiet(chat.bye("bob"))
    assert is_quiet(chat.join("bob", "b2", session=session))
    chat.order("ada", "announce")
    assert is_quiet(chat.join("The exam is cancelled", "x"))
    assert is_quiet(chat.bye("x"))
    assert not is_quiet(chat.join("eva", role="host", serves=True)), "hosts may speak"
    chat.order("ada", "unannounce")
    assert not is_quiet(chat.join("dan"))
    chat.order("ada", "slow", seconds=5)
    assert not is_quiet(chat.join("fay")), "who waits a little may speak"


def come_and_go(chat, count, *, session=None, key="k", stay=0.0, name="x{}"):
    """How many of so many joins, one after the other, were let in."""
    done = 0
    for number in range(count):
        if chat.name(name.format(number), "c", session=session, key=key, exact=False) == "too_often":
            return done
        chat.now += stay
        chat.bye("c")
        done += 1
    return done


def test_who_comes_and_goes_has_to_wait_and_others_do_not():
    chat = Chat(holds=False)
    assert come_and_go(chat, 500) == 101
    refused = chat.why("another", "c", key="k")
    assert refused.code == "too_often"
    assert refused.text == "Too many came and went from where you come from. Try again in 1 s."
    assert refused.fatal
    assert chat.name("eve", key="other") == "eve"
    assert chat.name("fay", key="k", address="10.0.0.1") == "fay", "the same link, another machine"
    assert chat.name("ada", role="host", serves=True, key="k") == "ada"
    chat.pass_time(30)
    assert come_and_go(chat, 500) == 60, "two a second"


def test_a_class_that_comes_at_once_or_after_an_hour_never_waits():
    chat = Chat(holds=False)
    for number in range(300):
        assert chat.name(f"x{number}", key="k") == f"x{number}"
    chat.pass_time(SHORT)
    for number in range(300):
        chat.bye(f"x{number}")
    for number in range(300):  # the cell is run again
        assert chat.name(f"x{number}", key="k") == f"x{number}"


def test_an_outage_is_no_coming_and_going():
    chat = Chat(holds=False)
    for _ in range(3):
        for number in range(200):
            chat.name(f"x{number}", key="k", session=f"{number:032x}")
        for number in range(200):
            chat.hub.lost(f"x{number}", chat.now - NOW + 1)
        chat.pass_time(20)
        assert chat.hub.members() == []


def test_who_comes_and_drops_has_to_wait_as_who_says_goodbye():
    """Else a name is said to everybody some hundred times a second."""
    chat = Chat(holds=False)
    come = 0
    for number in range(2000):
        if chat.name(f"x{number}", key="k", session=f"{number:032x}") == "too_often":
            break
        come += 1
        chat.hub.lost(f"x{number}", chat.now - NOW + 1)
        chat.now += 0.02
        chat.hub.expire(chat.now - NOW + 1, chat.now)
    assert come < 1000, "those who have a place, and a hundred"
    chat.pass_time(30)
    assert chat.name("x0", "back", key="k", session=f"{0:032x}") == "x0", "who was there is back at once"
    assert chat.name("eve", key="other") == "eve"


def test_a_session_that_is_back_has_a_bound_of_its_own():
    chat = Chat(holds=False)
    come_and_go(chat, 500)
    again = {"session": "5" * 32, "name": "bot"}
    chat.now += 100
    assert come_and_go(chat, 500, **again) == 21
    chat.now += 1
    assert come_and_go(chat, 500, stay=0.5, **again) > 400, "a script in a loop"


def test_arrivals_are_bounded():
    arrivals = Arrivals(100)
    for number in range(10_000):
        arrivals.went("here", f"s{number}", 0, NOW)
    assert len(arrivals._levels) <= 4096
    assert arrivals.wait("here", None, NOW, is_back=False) > 0


def test_a_plain_flood_waits_too():
    chat = Chat(holds=False)
    for number in range(101):
        chat.hub.join_plain("p", f"x{number}", now=chat.now)
        chat.hub.lost("p", 0.0)
    with pytest.raises(BadName, match="Try again in 1 s"):
        chat.hub.join_plain("p", "pete", now=chat.now)
    assert chat.name("ada") == "ada"
