"""Links as people paste them, links that lead nowhere, and links that have ended."""

from __future__ import annotations

from typing import Any

import pytest

import nbchat
from nbchat.core.errors import BadLink, NotTheServer, Refused, Unreachable
from nbchat.net import discovery
from nbchat.net.link import Address, is_loopback, parse, place
from tests.net.helpers import Raw

LINK = "nbchat://192.168.1.5:14900/room%201?pin=sha256:" + "ab" * 32 + "#k=0a1b.c-d_e--f"
HERE = "nbchat://127.0.0.1:14901#k=0a1b.c-d_e--f"


@pytest.mark.parametrize("link", [LINK, HERE], ids=["network", "here"])
@pytest.mark.parametrize(
    "shape",
    [
        "  {}\n",
        '"{}"',
        "'{}'",
        "\u201c{}\u201d",
        "\u201e{}\u201c",
        "\u00ab {} \u00bb",
        "`{}`",
        "<{}>",
        "{}.",
        'nbchat.join("{}")',
        "nbchat.join(\u201c{}\u201d)",
        "nbchat . join ( '{}' , name = 'ada' )",
        'import nbchat\n\nnbchat.join("{}", room="x")\n',
        'client = nbchat.connect(url="{}")',
        "join({})",
        "nbchat join '{}'",
        "$ nbchat join '{}' --name ada",
        "\ufeff{}\u200b",
    ],
)
def test_a_link_is_understood_however_it_was_pasted(shape: str, link: str) -> None:
    for text in (link, link.replace("--", "\u2013"), link[:30] + "\n   " + link[30:60] + "\r\n" + link[60:]):
        assert parse(shape.format(text)) == parse(link), shape.format(text)


@pytest.mark.parametrize(
    "shape", ["{}", '"{}"', 'nbchat.join("{}")', "//{}", "\u201c{}\u201d", "nbchat join {}"]
)
def test_a_link_without_its_beginning(shape: str) -> None:
    for link in (LINK, HERE):
        bare = shape.format(link.removeprefix("nbchat://"))
        target = discovery.Target(bare)
        assert target.is_given
        assert target._fixed == parse(link)


@pytest.mark.parametrize("shape", ["{}", ' "{}" ', "\u201c{}\u201d", 'nbchat.join("{}")', "nbchat join '{}'"])
def test_a_name_is_still_a_name(shape: str) -> None:
    for name in ("cs101", "ada's room", "two words"):
        target = discovery.Target(shape.format(name))
        assert not target.is_given
        assert target._name == name


def test_what_is_no_link_is_said_to_be_none() -> None:
    for text in ("http://example.com", "nbchat://", "://", "a/b", "nbchat.join()", "#k=a.b", LINK[:60]):
        with pytest.raises((BadLink, nbchat.errors.BadName)):
            discovery.Target(text)


@pytest.mark.parametrize("host", ["127.\u0660.0.1", "127.999.0.1", "127.1", "127.0.0.1.example.com"])
def test_what_only_looks_like_this_machine_is_another(host: str) -> None:
    """Such a name is looked up in the network, and whoever answers there would be spoken to without TLS."""
    assert not is_loopback(host)
    with pytest.raises(BadLink, match="leads to another machine"):
        parse(f"nbchat://{host}:14900/#k=a.b")


@pytest.mark.parametrize("key", ["\udcff.b", "a.\udcff", "a.\x7f", "a" * 600 + ".b"])
def test_a_key_that_cannot_be_sent_is_told_where_it_was_typed(key: str) -> None:
    with pytest.raises(BadLink, match="is cut or changed"):
        parse(f"nbchat://127.0.0.1:14900/#k={key}")
    assert parse("nbchat://127.0.0.1:14900/#k=é.ключ").secret == "ключ"


def test_addresses_of_the_sixth_version() -> None:
    for host in ("::1", "2001:db8::5", "fe80::1%eth0"):
        where = Address(host, 14900, "lobby", "a", "b", pin="" if host == "::1" else "sha256:" + "0" * 64)
        assert f"//[{host}]:14900/" in where.link
        assert parse(where.whole_link) == where
    assert parse("[::1]:14901#k=a.b") == Address("::1", 14901, None, "a", "b")
    assert (place("::1", 1), place("10.0.0.1", 1)) == ("[::1]:1", "10.0.0.1:1")
    for host in ("::1", "0:0:0:0:0:0:0:1", "::ffff:127.0.0.1", "127.8.9.1", "localhost"):
        assert is_loopback(host)
    for host in ("::", "::2", "::ffff:10.0.0.1", "127.example.com", "fe80::1"):
        assert not is_loopback(host)


# ── nobody there ────────────────────────────────────────────────────────────────────────────────


def test_nobody_answers_on_a_link(server: nbchat.Server) -> None:
    """A student cannot start the host's server, and is not told to."""
    link = server.invite()
    server.stop()
    with pytest.raises(Unreachable, match="ask its host") as caught:
        nbchat.connect(link)
    assert "serve" not in str(caught.value)


def test_a_link_to_somebody_elses_port_says_so(server: nbchat.Server) -> None:
    with nbchat.serve(port=0) as other:
        moved = server.invite().replace(f":{server.port}", f":{other.port}")
        with pytest.raises(NotTheServer, match="moved to another port"):
            nbchat.connect(moved)


# ── links that have ended ───────────────────────────────────────────────────────────────────────


def after(server: nbchat.Server, seconds: float) -> None:
    server._runner.ask(  # type: ignore[union-attr]
        lambda shell: setattr(shell, "_clock", lambda now=shell._clock: now() + seconds)
    )


def test_a_link_that_has_ended_says_so(server: nbchat.Server) -> None:
    link = server.invite(hours=1)
    after(server, 3601)
    with pytest.raises(Refused, match=r"This link has ended\. Ask for a new one") as caught:
        nbchat.connect(link)
    assert caught.value.code == "link_ended"


def test_one_that_was_used_up_or_made_void_says_that(server: nbchat.Server) -> None:
    once, other = server.invite(once=True), server.invite()
    with (
        nbchat.connect(once, name="ada"),
        pytest.raises(Refused, match="for one use, and somebody has used it"),
    ):
        nbchat.connect(once, name="bob")
    server.revoke_invites()
    with pytest.raises(Refused, match="The host has made this link void"):
        nbchat.connect(other)


def test_it_still_says_so_after_a_restart() -> None:
    with nbchat.serve("class", port=0) as server:
        link, port = server.invite(hours=1e-9), server.port
    with nbchat.serve("class", port=port), pytest.raises(Refused, match="has ended") as caught:
        nbchat.connect(link)
    assert caught.value.code == "link_ended"


def test_long_after_its_end_it_is_as_if_it_had_never_been(server: nbchat.Server) -> None:
    link = server.invite(hours=1)
    after(server, 3600 + 31 * 86400)
    with pytest.raises(NotTheServer):
        nbchat.connect(link)


def told(link: str) -> list[dict[str, Any]]:
    """What somebody is told who knows a key's id and not its secret."""
    raw = Raw(link)
    raw.send({"type": "hello", "v": 1, "key": parse(link).key_id, "nonce": "0" * 32})
    challenge = raw.receive()
    raw.send({"type": "join", "name": "eve", "proof": "0" * 64})
    answer = raw.receive()
    raw.close()
    return [{**challenge, "nonce": "", "proof": len(challenge["proof"])}, answer]


def test_who_guesses_learns_nothing(server: nbchat.Server) -> None:
    """An id that has ended, one that was used up, one that is good and one that never was: the same words."""
    ended, once, good = server.invite(hours=1), server.invite(hours=9, once=True), server.invite(hours=9)
    with nbchat.connect(once):
        after(server, 3601)
        never = good.replace(parse(good).key_id, "0" * 8)
        answers = [told(link) for link in (ended, once, good, never)]
    assert all(answer == answers[0] for answer in answers)
    assert answers[0][1]["code"] == "bad_key"
