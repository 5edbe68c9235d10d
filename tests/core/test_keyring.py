"""Which keys open: ends, one use, void ones; and who guesses is slowed, never who knows."""

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
    keyring = ring(*known, used)
    keyring.revoke({"a": {"two", "one"}, "d": {"somebody else"}})
    assert keyring.opens("a", "one", NOW)
    assert keyring.opens("a", "two", NOW)
    for id in "abcd":
        assert keyring.opens(id, "three", NOW) is None
        assert keyring.why(id, NOW) == "The host has made this link void."
    assert keyring.opens("d", "one", NOW) is None
    keyring.revoke({})
    assert keyring.opens("a", "one", NOW) is None
    assert keyring.opens("h", "one", NOW)


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
