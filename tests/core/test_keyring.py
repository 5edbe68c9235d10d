"""Which keys open: ends, one use, void ones; and who guesses is slowed, never who knows."""

import msgspec

from nbchat.core import keys
from nbchat.core.keyring import Guesses, Keyring
from nbchat.core.keys import Key

HOST = Key("h", "its secret", "host")
NOW = 1e9
MONTH = 30 * 86400.0


def ring(*known: Key) -> Keyring:
    return Keyring([HOST, *known], b"seed")


def test_a_key_opens_until_it_ends():
    keyring = ring(Key("a", "s", ends=NOW + 1))
    assert keyring.opens("a", "one", NOW) == keyring.find("a", NOW)
    assert keyring.opens("a", "one", NOW + 1) is None
    assert keyring.why("a", NOW + 1) == "This link has ended."
    assert keyring.valid(NOW + 1)[1:] == [keyring.find("a", NOW + MONTH)]  # known, and opens nothing
    assert keyring.valid(NOW + 1 + MONTH) == [HOST]
    assert keyring.opens("a", "one", NOW) is None  # forgotten


def test_keys_that_have_ended_are_bounded():
    keyring = ring(*(Key(str(number), "s", ends=NOW - number) for number in range(3000)))
    assert keyring.valid(NOW) == [HOST, *(keyring.find(str(number), NOW) for number in range(1000))]


def test_for_an_id_that_is_not_known_there_is_the_same_decoy_each_time():
    keyring = ring(Key("a", "s", ends=NOW))
    for id, now in (("unknown", NOW), ("a", NOW + MONTH)):
        decoy = keyring.find(id, now)
        assert decoy == keyring.find(id, now)
        assert decoy.secret != "s"
        assert len(decoy.secret) == len(keys.decoy(b"x", "y"))
        assert keyring.opens(id, None, now) is None
    assert keyring.find("unknown", NOW).secret != ring().find("other", NOW).secret


def test_a_key_for_one_use_is_the_first_sessions():
    keyring = ring(Key("a", "s", ends=NOW + 1, once=True), Key("b", "s", ends=NOW + 1))
    assert keyring.opens("a", None, NOW)
    assert keyring.used("a", "one")
    assert keyring.opens("a", "one", NOW)
    assert keyring.opens("a", "two", NOW) is None
    assert keyring.opens("a", None, NOW) is None
    assert not keyring.used("a", "one")  # nothing new to keep
    assert not keyring.used("b", "one")
    assert keyring.opens("b", "two", NOW)


def test_revoked_keys_are_for_who_is_inside():
    known = [Key(id, "s", ends=NOW + 1) for id in "abc"]
    used = Key("d", "s", ends=NOW + 1, once=True, sessions=("one",))
    inside = {"a": {"two": "lobby", "one": "lobby"}, "d": {"somebody else": "lobby"}}
    keyring = Keyring([HOST, *known, used], b"seed", lambda id: inside.get(id, {}))
    assert keyring.revoke() == ["a", "b", "c", "d"]
    left = Key("a", "s", ends=NOW + 1, sessions=("one", "two"), uses=0, rooms=inside["a"])
    assert keyring.valid(NOW)[:2] == [HOST, left]
    for id in "abcd":
        assert keyring.opens(id, "somebody new", NOW) is None
        assert keyring.why(id, NOW) == "The host has made this link void."
    assert keyring.opens("a", "one", NOW)
    assert keyring.opens("a", "three", NOW) is None
    assert keyring.opens("a", "one", NOW, "other room") is None
    inside.clear()
    keyring.revoke()
    assert keyring.opens("a", "one", NOW) is None
    assert keyring.opens("h", "one", NOW)


def test_a_key_for_so_many_uses_is_for_the_first_ones_each_in_one_room():
    keyring = ring(Key("a", "s", ends=NOW + 1, uses=2))
    for session, room in (("one", "lobby"), ("two", "side")):
        assert keyring.opens("a", session, NOW, room)
        assert keyring.used("a", session, room)
    assert not keyring.used("a", "two", "side"), "nothing new to keep"
    assert keyring.opens("a", "two", NOW, "side")
    assert keyring.opens("a", "two", NOW, "lobby") is None, "a used place opens no other room"
    assert keyring.opens("a", "three", NOW) is None
    kept = msgspec.json.decode(msgspec.json.encode(keyring.valid(NOW)), type=list[Key])
    assert Keyring(kept, b"").opens("a", "three", NOW) is None
    assert Keyring(kept, b"").opens("a", "one", NOW)


def test_keys_of_last_month_are_read():
    old = (
        b'[{"id":"a","secret":"s","ends":2000000000.0,"once":true,"sessions":["one"]},'
        b'{"id":"b","secret":"s","once":true}]'
    )
    keyring = Keyring(msgspec.json.decode(old, type=list[Key]), b"")
    assert keyring.opens("a", "two", NOW) is None
    assert keyring.opens("a", "one", NOW, "where it was")
    assert keyring.used("a", "one", "where it was")
    assert keyring.opens("a", "one", NOW, "elsewhere") is None
    assert keyring.opens("b", "two", NOW)


def test_who_is_inside_when_a_key_ends_can_come_back_for_a_day():
    inside = {"one": "lobby"}
    keyring = Keyring([HOST, Key("a", "s", ends=NOW)], b"seed", lambda id: inside)
    assert keyring.find("a", NOW).secret == "s"
    assert keyring.opens("a", "one", NOW)
    assert keyring.opens("a", "two", NOW) is None
    assert keyring.opens("a", "one", NOW, "other") is None
    assert keyring.opens("a", "one", NOW + 86399)
    assert keyring.opens("a", "one", NOW + 86400) is None, "and not for ever"
    assert keyring.why("a", NOW + 86400) == "This link has ended."


def test_who_was_shut_out_has_lost_its_keys():
    inside = {"guest": "lobby", "other": "lobby"}
    known = [
        Key("guest host", "s", "host", NOW + 1),
        Key("class", "s", ends=NOW + 1),
        Key("bob's", "s", ends=NOW + 1, name="bob"),
        Key("void", "s", ends=NOW + 1, sessions=("guest", "other"), uses=0),
        Key("two", "s", ends=NOW + 1, sessions=("guest",), uses=2),
    ]
    keyring = Keyring(known, b"seed", lambda id: inside)
    inside.pop("guest")  # it has left
    assert keyring.shut_out("guest", "guest host", is_personal=False)
    assert keyring.opens("guest host", None, NOW) is None
    assert keyring.opens("guest host", "other", NOW), "another host who came with the same link stays"
    assert keyring.opens("void", "guest", NOW) is None
    assert keyring.opens("void", "other", NOW)
    assert keyring.used("two", "next")
    assert keyring.opens("two", "guest", NOW) is None, "its use does not come back"
    keyring.shut_out("guest", "class", is_personal=True)
    assert keyring.opens("class", "anybody", NOW), "a class's link stays"
    keyring.shut_out("guest", "bob's", is_personal=False)
    assert keyring.opens("bob's", "anybody", NOW)
    keyring.shut_out("guest", "bob's", is_personal=True)
    assert keyring.opens("bob's", "anybody", NOW) is None


def test_what_a_keys_sessions_are_is_in_no_repr():
    assert "word" not in repr(Key("a", "word", sessions=("word",)))


def test_five_wrong_proofs_are_answered_at_once_and_the_next_ones_after_a_minute():
    guesses = Guesses(5)
    assert [guesses.failed("x", now) for now in range(5)] == [0] * 5
    assert guesses.failed("x", 10) == 54  # a minute from the fifth
    assert guesses.failed("x", 30) == 34
    assert guesses.failed("y", 30) == 0
    assert guesses.failed("x", 64) == 0
    assert [guesses.failed("x", 64 + now) for now in range(4)] == [0] * 4
    assert guesses.failed("x", 70) > 0


def test_a_wrong_proof_now_and_then_is_answered_at_once():
    guesses = Guesses(5)
    assert [guesses.failed("x", 30 * number) for number in range(50)] == [0] * 50


def test_a_pause_is_told_once_and_addresses_are_bounded():
    guesses = Guesses(2)
    told = []
    for now in range(6):
        guesses.failed("x", now)
        told.append(guesses.has_begun("x"))
    assert told == [False, True, False, False, False, False]
    for number in range(5000):
        guesses.failed(str(number), 10)
    assert len(guesses._failures) == 1024


def test_what_is_done_for_an_id_does_not_tell_whether_there_is_such_a_key(monkeypatch):
    made = []
    decoy = keys.decoy
    monkeypatch.setattr(keys, "decoy", lambda seed, id: made.append(id) or decoy(seed, id))
    ring = Keyring([Key("known", "secret"), Key("ended", "secret", ends=1.0)], b"seed")
    for id in ("known", "ended", "unknown"):
        ring.find(id, 2.0)
    assert made == ["known", "ended", "unknown"]  # the same work each time


def test_a_key_that_nobody_was_given_is_taken_back():
    ring = Keyring([Key("known", "secret")], b"seed")
    ring.forget("known")
    ring.forget("unknown")
    assert ring.valid(0.0) == []
