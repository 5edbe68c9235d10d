"""Proofs are what docs/wire.md says, and secrets stay where they are."""

import hashlib
import hmac
import pprint

import msgspec

from nbchat.core import keys
from nbchat.core.keys import Key

SECRET, HERS, ITS = "geheim-é", "a" * 32, "b" * 32


def hmac_sha256(key: bytes, message: bytes) -> str:
    """HMAC as RFC 2104 writes it down, for a key of at most 64 bytes."""
    key = key.ljust(64, b"\0")
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in key) + message).digest()
    return hashlib.sha256(bytes(byte ^ 0x5C for byte in key) + inner).hexdigest()


def test_proofs_are_hmacs_of_both_nonces():
    server = hmac_sha256(b"geheim-\xc3\xa9", b"nbchat 1 server\n" + b"a" * 32 + b"\n" + b"b" * 32)
    client = hmac_sha256(b"geheim-\xc3\xa9", b"nbchat 1 client\n" + b"a" * 32 + b"\n" + b"b" * 32)
    assert keys.server_proof(SECRET, HERS, ITS) == server
    assert keys.client_proof(SECRET, HERS, ITS) == client
    assert server != client


def test_a_proof_holds_for_its_nonces_and_its_secret_only():
    proof = keys.client_proof(SECRET, HERS, ITS)
    assert proof != keys.client_proof(SECRET, ITS, HERS)
    assert proof != keys.client_proof(SECRET, HERS, "c" * 32)
    assert proof != keys.client_proof(SECRET + "x", HERS, ITS)


def test_is_same_compares_any_two_texts():
    proof = keys.client_proof(SECRET, HERS, ITS)
    assert keys.is_same(proof, str(proof.encode(), "ascii"))
    assert not keys.is_same(proof, proof[:-1])
    assert not keys.is_same(proof, proof.upper())
    assert not keys.is_same(proof, "")
    assert not keys.is_same("é", "è")  # compare_digest refuses such texts, so they are compared as bytes


def test_a_decoy_is_stable_and_looks_like_a_secret():
    decoy = keys.decoy(b"seed", "k1")
    assert decoy == keys.decoy(b"seed", "k1") == hmac.new(b"seed", b"k1", "sha256").hexdigest()[:32]
    assert decoy != keys.decoy(b"seed", "k2")
    assert decoy != keys.decoy(b"other", "k1")


def test_a_key_does_not_show_its_secret():
    key = Key("k1", SECRET, "host", 5.0)
    for shown in (repr(key), str(key), f"{key}", pprint.pformat([key]), repr([*key.__rich_repr__()])):
        assert "k1" in shown
        assert SECRET not in shown


def test_a_key_ends_when_it_says():
    assert Key("k", "s").is_valid(1e12)
    assert Key("k", "s", ends=10.0).is_valid(9.9)
    assert not Key("k", "s", ends=10.0).is_valid(10.0)


def test_a_key_can_be_kept():
    for key in (Key("k", "s"), Key("k", "s", "host", 5.0)):
        assert msgspec.json.decode(msgspec.json.encode(key), type=Key) == key
