"""connect(): finding a server, sending, listening, coming back."""

from __future__ import annotations

import os
import random
import re
import socket
import subprocess
import sys
import threading
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future

import pytest

import nbchat
from nbchat.client.backoff import Backoff
from nbchat.client.connection import NativeConnection
from nbchat.client.thread import Answer, Receiver
from nbchat.core import frames, wire
from nbchat.core.errors import (
    BadLink,
    BadName,
    BadText,
    Closed,
    NameTaken,
    NoServerFound,
    NotConfirmed,
    NothingCame,
    NotTheServer,
    ProtocolError,
    Refused,
    SeveralServers,
    Unreachable,
    UsageError,
)
from tests.chaos.proxy import End, Fate, Proxy, Way, untouched
from tests.net.helpers import PATIENCE, Heard, Raw, saw, until

pytestmark = pytest.mark.own_ports


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE)


# ── finding a server ────────────────────────────────────────────────────────────────────────────


def test_every_way_to_name_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    with nbchat.serve("class", port=0, history=None) as server:
        for url in (server, server.url, server.invite(), "class", "CLASS", None):
            with nbchat.connect(url, name="ada") as ada:
                assert (ada.name, ada.room) == ("ada", "lobby")
        with nbchat.connect(server.invite("room 1"), name="ada") as ada:
            assert ada.room == "room 1"
        link = server.invite()
        code = "import nbchat; c = nbchat.connect({}); print(c.role); c.close()"
        assert python(code.format("name='bob'")).stdout == "host\n"  # by the runtime file
        monkeypatch.setenv("NBCHAT_URL", link)
        assert python(code.format("name='bob'")).stdout == "member\n"  # by the link


def test_none_or_several() -> None:
    with pytest.raises(NoServerFound, match=r"nbchat.serve\(\)"):
        nbchat.connect()
    with nbchat.serve("one", port=0, history=None), nbchat.serve("two", port=0, history=None):
        with pytest.raises(SeveralServers, match=r"one, two.*nbchat.join\('one'\)") as caught:
            nbchat.connect()
        assert caught.value.names == ["one", "two"]
        with pytest.raises(NoServerFound, match="These run: one, two"):
            nbchat.connect("three")
    with nbchat.serve("one", port=0, history=None), nbchat.serve(port=0) as nameless:
        ways = re.escape(f"Say which one: nbchat.join('one') or nbchat.join({nameless.url!r})")
        with pytest.raises(SeveralServers, match=ways):
            nbchat.connect()
        with nbchat.connect(nameless.url, name="ada") as ada:
            saw(ada, "ada")


def test_links_and_names_that_cannot_be(server: nbchat.Server) -> None:
    link = server.invite()
    for bad in ("http://127.0.0.1", "nbchat://", f"{server.url}#k=abc", "nbchat://a:b", "nbchat://x:1/a%2Fb"):
        with pytest.raises(BadLink):
            nbchat.connect(bad, name="ada")
    with pytest.raises(BadLink, match=r"has no key in it\. Ask for the whole link"):
        nbchat.connect("nbchat://127.0.0.1:9", name="ada")
    with pytest.raises(BadLink, match=r"A bytes is no link\. Give a link or a chat's name as text") as caught:
        nbchat.connect(link.encode(), name="ada")
    assert link.partition("#")[2] not in str(caught.value)  # what was given may hold a secret
    with pytest.raises(NotTheServer, match="Ask for a new link"):
        nbchat.connect(link[:-1] + ("a" if link[-1] != "a" else "b"), name="ada")
    with pytest.raises(Unreachable, match=r"Nobody answers at 127\.0\.0\.1:9\..*ask its host"):
        nbchat.connect("nbchat://127.0.0.1:9/#k=a.b", name="ada")
    for name in ("", "a\nb", "x" * 33, "System"):
        with pytest.raises(BadName):
            nbchat.connect(link, name=name)
    with pytest.raises(UsageError):
        nbchat.connect(link, name=5)  # type: ignore[arg-type]
    assert server.members == []


def test_names(server: nbchat.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUPYTERHUB_USER", "ada@example.org")
    with nbchat.connect(server) as ada, nbchat.connect(server) as second:
        assert (ada.name, second.name) == ("ada", "ada2")
        with pytest.raises(NameTaken, match=r"'ADA' is taken in this room\. 'ADA3' is free") as caught:
            nbchat.connect(server, name="ADA")
        assert caught.value.suggestion == "ADA3"
        assert [(m.name, m.role, m.plain) for m in second.members] == [
            ("ada", "host", False),
            ("ada2", "host", False),
        ]


def test_in_a_jupyterhub_the_name_comes_from_the_hub(
    server: nbchat.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUPYTERHUB_USER", "ada@example.org")
    for name in ("bob", "adam", "ad", "bob ada", "ada2"):
        with pytest.raises(BadName, match="In this JupyterHub your name is 'ada'"):
            nbchat.connect(server, name=name)
    for name in ("ada", "Ada bot", "ada-2"):
        with nbchat.connect(server, name=name) as client:
            assert client.name == name
    assert server._options.plain  # it was made outside
    with nbchat.serve(port=0) as inside:
        assert not inside._options.plain


# ── talking ─────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def pair(server: nbchat.Server) -> Iterator[tuple[nbchat.Client, nbchat.Client]]:
    with nbchat.connect(server, name="ada") as ada, nbchat.connect(server, name="bob") as bob:
        yield ada, bob


Pair = tuple[nbchat.Client, nbchat.Client]


def test_a_message(pair: Pair) -> None:
    ada, bob = pair
    message = ada.send("hello\r\nbob")
    assert message.wait() is message
    got = bob.wait_for(lambda message: True)
    assert (got.seq, got.by, got.text) == (message.seq, "ada", "hello\nbob") == (1, "ada", "hello\nbob")
    assert abs(got.at.timestamp() - time.time()) < 3600
    assert ada.pending == []
    assert ada.transcript() == bob.transcript() == ["ada: hello\n    bob"]


def test_many_messages_keep_their_order(server: nbchat.Server) -> None:
    with nbchat.serve(port=0, limits=nbchat.Limits(rate=1e6, burst=10**6)) as server:
        clients = [nbchat.connect(server, name=f"c{number}") for number in range(5)]
        for number in range(200):
            for client in clients:
                client.send(f"{number}")
        for client in clients:
            until(client, lambda client=client: client._state.transcript.seq == 1000)  # type: ignore[misc]
            assert [message.seq for message in client.messages] == list(range(1, 1001))
            assert client.transcript() == clients[0].transcript()
            own = [message.text for message in client.messages if message.by == client.name]
            assert own == [str(number) for number in range(200)]


def test_texts_that_cannot_be_sent(pair: Pair) -> None:
    ada, _ = pair
    for text, code in (
        ("", "empty_text"),
        (" \n", "empty_text"),
        ("a\x00", "bad_text"),
        ("\ud800", "bad_text"),
    ):
        with pytest.raises(BadText) as caught:
            ada.send(text)
        assert caught.value.code == code
    with pytest.raises(BadText, match="17000 characters; the longest that can be sent has 16384 bytes"):
        ada.send("x" * 17000)
    with pytest.raises(UsageError, match=r"str\(…\)"):
        ada.send(5)  # type: ignore[arg-type]
    assert ada.pending == []


def test_waiting_and_listening_share_one_place(pair: Pair) -> None:
    ada, bob = pair
    for text in "abcdef":
        ada.send(text).wait()
    assert bob.wait_for(lambda message: message.text == "b").seq == 2
    heard = bob.listen(timeout=0.1)
    assert next(heard).text == "c"
    assert bob.wait_for(lambda message: message.text == "e").seq == 5
    assert [message.text for message in heard] == ["f"]
    with pytest.raises(NothingCame, match="No such message came within 0 s"):
        bob.wait_for(lambda message: True, timeout=0)
    assert issubclass(NothingCame, TimeoutError)


def test_what_was_there_before_is_no_news(server: nbchat.Server) -> None:
    with nbchat.connect(server, name="ada") as ada:
        for text in "abc":
            ada.send(text).wait()
        with nbchat.connect(server, name="bob") as bob:
            assert bob.transcript() == ["ada: a", "ada: b", "ada: c"]
            ada.send("d").wait()
            assert bob.wait_for(lambda message: True).text == "d"


def test_history_reaches_the_first_message(server: nbchat.Server) -> None:
    limits = nbchat.Limits(rate=1e6, burst=10**6, page=30, backlog=10)
    with nbchat.serve(port=0, limits=limits) as server, nbchat.connect(server, name="ada") as ada:
        for message in [ada.send(str(number)) for number in range(100)]:
            message.wait()
        with nbchat.connect(server, name="bob") as bob:
            assert [message.seq for message in bob.messages] == list(range(91, 101))
            assert [message.seq for message in bob.history(before=91, limit=5)] == [86, 87, 88, 89, 90]
            assert [message.seq for message in bob.history(limit=500)] == list(range(1, 101))
            assert bob.history(before=1) == []
            with pytest.raises(UsageError):
                bob.history(limit=0)


# ── handlers ────────────────────────────────────────────────────────────────────────────────────


def test_a_handler_answers(pair: Pair, capfd: pytest.CaptureFixture[str]) -> None:
    ada, bob = pair
    ada.send("old").wait()
    until(bob, lambda: bob._state.transcript.seq == 1)
    threads = []

    @bob.on_message
    def answer(message: object) -> str:
        threads.append(threading.current_thread())
        print("printed")
        return f"re: {message.text}"  # type: ignore[attr-defined]

    ada.send("new")
    assert ada.wait_for(lambda message: message.by == "bob").text == "re: new"
    assert ada.transcript() == ["ada: old", "ada: new", "bob: re: new"]  # no backlog, no own
    assert threads == [bob._handlers.thread]
    assert capfd.readouterr() == ("printed\n", "")
    assert bob.errors == []


def test_two_bots_do_not_talk_for_ever(pair: Pair) -> None:
    ada, bob = pair
    for client in pair:
        client.on_message(lambda message: f"re: {message.text}")
    heard = Heard()
    bob.on_message(answers=True, own=True)(heard)
    ada.send("a").wait()
    ada.wait_for(lambda message: message.text == "re: a")
    bob.send("b").wait()
    bob.wait_for(lambda message: message.text == "re: b")
    assert heard.wait(4) == ["a", "re: a", "b", "re: b"]
    until(ada, lambda: ada._state.transcript.seq == 4)
    assert ada.transcript() == ["ada: a", "bob: re: a", "bob: b", "ada: re: b"]


def test_a_handler_that_fails_is_noted(pair: Pair, capfd: pytest.CaptureFixture[str]) -> None:
    ada, bob = pair

    @bob.on_message
    def broken(message: nbchat.core.transcript.Message) -> None:
        if message.text == "c":
            raise KeyError("c")
        raise RuntimeError(f"no plan for {message.text}\x1b[31m")

    for text in "abc":
        ada.send(text).wait()
    until(bob, lambda: len(bob._state.errors) == 3)
    assert "RuntimeError: no plan for a" in bob.errors[0]
    assert bob.status == "connected"
    out, err = capfd.readouterr()
    assert (out, err.count("no plan for a␛[31m"), err.count("no plan for b"), err.count("KeyError: 'c'")) == (
        "", 1, 0, 1,
    )  # fmt: skip
    assert "handlers.py" not in err  # only the user's own lines
    assert "in broken" in err
    with pytest.raises(UsageError, match="above its def"):
        bob.on_message("no function")  # type: ignore[call-overload]


def test_a_handler_that_exits_ends_only_that_call(pair: Pair) -> None:
    ada, bob = pair
    bob.on_message(lambda message: sys.exit(3))
    ada.send("a").wait()
    ada.send("b").wait()
    until(bob, lambda: len(bob._state.errors) == 2)
    assert all("SystemExit: 3" in error for error in bob.errors)


def test_a_handler_can_ask_for_what_was_before(pair: Pair) -> None:
    ada, bob = pair
    ada.send("old").wait()
    until(bob, lambda: bob._state.transcript.seq == 1)
    heard = Heard()
    bob.on_message(backlog=True)(heard)
    ada.send("new").wait()
    assert heard.wait(2) == ["old", "new"]


# ── presence ────────────────────────────────────────────────────────────────────────────────────


class Clock:
    """Goes when it is told to."""

    def __init__(self, *clients: nbchat.Client) -> None:
        self.now = 1000.0
        for client in clients:
            client._state.clock = lambda: self.now


def seen_away(client: nbchat.Client, *names: str) -> None:
    """Wait until a client sees just these members as away."""
    until(client, lambda: {each for each in client.members if each.away} == set(names))


def test_that_somebody_is_away_is_seen_by_all(pair: Pair, server: nbchat.Server) -> None:
    ada, bob = pair
    assert ada.away is False
    ada.away = True
    seen_away(bob, "ada")
    seen_away(ada, "ada")
    assert ada.away is True
    assert [(member, member.away) for member in server.members] == [("ada", True), ("bob", False)]
    assert ada.members == bob.members == ["ada", "bob"]
    ada.away = False
    seen_away(bob)
    assert [row.kind for row in bob._state.transcript.rows] == []


def test_being_away_as_before_says_nothing() -> None:
    with nbchat.serve(port=0, limits=nbchat.Limits(burst=5, rate=0.01)) as server:
        ada = nbchat.connect(server, name="ada")
        for away in (False, True, True, True, True, True, True, False, False, False):
            ada.away = away
            seen_away(ada, *["ada"] * away)
        ada.send("in time").wait(PATIENCE)
        assert [row.kind for row in ada._state.transcript.rows] == ["said"]  # no word of being slow


def test_who_is_away_is_so_after_an_outage_too() -> None:
    server = nbchat.serve("class")
    ada, bob = nbchat.connect(server, name="ada"), nbchat.connect(server, name="bob")
    ada.away = True
    seen_away(bob, "ada")
    server.stop()
    until(ada, lambda: ada.status == "reconnecting")
    bob.away = True
    nbchat.serve("class")
    for client in (ada, bob):
        until(client, lambda client=client: client.status == "connected")  # type: ignore[misc]
        seen_away(client, "ada", "bob")


def test_what_the_server_still_takes_for_away_is_put_right(server: nbchat.Server) -> None:
    ada, bob = nbchat.connect(server, name="ada"), nbchat.connect(server, name="bob")
    ada.away = True
    seen_away(bob, "ada")
    ada._state.away = False  # as when the next process takes the session over
    ada._receiver._call(ada._receiver._conn.abort)  # type: ignore[union-attr]
    seen_away(bob)
    assert [row.kind for row in bob._state.transcript.rows] == []


def test_a_server_that_does_not_know_away_can_still_be_asked(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada, _ = pair
    decode = wire.decode_request

    def older(line: bytes) -> frames.Request:
        if b'"away"' in line:
            raise ProtocolError("unknown_type", "What is that?")
        return decode(line)

    monkeypatch.setattr(wire, "decode_request", older)
    page: Future[Answer] = Future()
    ada._state.away = True

    def ask() -> None:
        ada._receiver._flush()
        ada._receiver._questions.page(None, 5, page)

    ada._receiver._call(ask)
    assert page.result(PATIENCE) == ([], None)
    ada.send("and talked to").wait(PATIENCE)


def test_who_types_is_shown_until_the_message_comes(pair: Pair) -> None:
    ada, bob = pair
    clock = Clock(ada, bob)
    bob._receiver._call(bob._receiver.received, [frames.TypingShown("nobody")])  # is not there
    ada.typing()
    until(bob, lambda: bob.typists == ["ada"])
    bob.send("go on").wait(PATIENCE)
    until(ada, lambda: ada._state.transcript.seq == 1)
    assert (ada.typists, bob.typists) == ([], ["ada"])  # not for oneself, nor for another's message
    ada.send("there you are")
    until(bob, lambda: bob.typists == [])
    assert bob._state.transcript.seq == 2
    clock.now += 3
    ada.typing()
    until(bob, lambda: bob.typists == ["ada"])
    ada.close()
    until(bob, lambda: bob.typists == [])
    saw(bob, "bob")


def test_who_stops_typing_is_forgotten_after_a_while(pair: Pair) -> None:
    ada, bob = pair
    clock = Clock(ada, bob)
    ada.typing()
    until(bob, lambda: bob.typists == ["ada"])
    clock.now += 4.9
    assert bob.typists == ["ada"]
    ada.typing()
    until(bob, lambda: bob._state.typing == {"ada": clock.now})
    clock.now += 4.9
    assert bob.typists == ["ada"]
    clock.now += 0.2
    assert bob.typists == []
    ada.typing()
    until(bob, lambda: bob.typists == ["ada"])
    bob._receiver._call(bob._receiver._conn.abort)  # type: ignore[union-attr]
    until(bob, lambda: bob.typists == [])  # whoever typed then has had time to finish


def test_typing_is_told_at_most_every_three_seconds(server: nbchat.Server) -> None:
    with nbchat.connect(server, name="ada") as ada:
        clock = Clock(ada)
        raw = Raw(server.invite(), "raw")
        for kinds in (["typing", "said"], ["said"], ["said"], ["typing", "said"], ["said"]):
            for _ in range(50):
                ada.typing()
            ada.send("x").wait(PATIENCE)
            assert [raw.receive()["type"] for _ in kinds] == kinds
            clock.now += 1
        raw.close()


def test_that_somebody_types_is_never_told_after_what_was_typed(
    server: nbchat.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    for kind in ("typing", "say"):
        tell = getattr(NativeConnection, kind)
        monkeypatch.setattr(
            NativeConnection, kind, lambda *given, kind=kind, tell=tell: (told.append(kind), tell(*given))
        )
    with nbchat.connect(server, name="ada") as ada:
        go_on = threading.Event()
        ada._receiver._call(go_on.wait, PATIENCE)
        ada._receiver.flush()  # as after any receipt
        ada.typing()
        message = ada.send("x")
        go_on.set()
        message.wait(PATIENCE)
    assert told == ["typing", "say"]


def test_without_a_connection_nobody_is_told_of_typing() -> None:
    server = nbchat.serve("class", history=None)
    ada = nbchat.connect(server, name="ada")
    clock = Clock(ada)
    server.stop()
    until(ada, lambda: ada.status == "reconnecting")
    ada.typing()
    again = nbchat.serve("class", history=None)
    raw = Raw(again.invite(), "raw")
    if len(raw.welcome["members"]) == 1:  # before ada was back
        assert raw.receive()["type"] == "joined"
    until(ada, lambda: ada.status == "connected")
    ada.send("back").wait(PATIENCE)
    assert raw.receive()["type"] == "said"
    ada.typing()  # the call above does not count
    assert raw.receive() == {"type": "typing", "name": "ada"}
    ada.close()
    clock.now += 10
    ada.typing()
    ada.away = True
    raw.close()


# ── outages ─────────────────────────────────────────────────────────────────────────────────────


def test_said_while_nobody_served_arrives_once_in_order() -> None:
    server = nbchat.serve("class")
    ada, bob = nbchat.connect(server, name="ada"), nbchat.connect(server, name="bob")
    heard = Heard()
    bob.on_message(heard)
    ada.send("before").wait()
    server.stop()
    until(ada, lambda: ada.status == "reconnecting")
    assert ada.reason
    waiting = [ada.send(str(number)) for number in range(50)]
    assert [message.text for message in ada.pending] == [str(number) for number in range(50)]
    with pytest.raises(NotConfirmed, match="still pending"):
        waiting[0].wait(timeout=0)
    nbchat.serve("class")
    assert [message.wait(PATIENCE).seq for message in waiting] == list(range(2, 52))
    # What was missed in an outage is no backlog.
    assert heard.wait(51) == ["before", *map(str, range(50))]
    assert (ada.pending, ada.status, ada.reason) == ([], "connected", "")
    assert ada.transcript() == bob.transcript()


def test_when_a_server_starts_anew_only_who_stays_away_has_left() -> None:
    server = nbchat.serve("class")
    ada, bob, cid = (nbchat.connect(server, name=name) for name in ("ada", "bob", "cid"))
    for client in (ada, bob):
        saw(client, "ada", "bob", "cid")
    before = {client: client._state.transcript.n for client in (ada, bob)}
    server.stop()
    for client in before:
        until(client, lambda client=client: client.status == "reconnecting")  # type: ignore[misc]
    cid.close()
    nbchat.serve("class")
    for client, n in before.items():  # one of the two is back first, and alone
        saw(client, "ada", "bob")
        until(client, lambda client=client: client.status == "connected")  # type: ignore[misc]
        assert client._state.transcript.after(n) == []
        assert (timer := client._receiver._part) is not None
        assert not timer.cancelled()
        client._receiver._call(client._receiver._others_left)
        until(client, lambda client=client, n=n: client._state.transcript.n > n)  # type: ignore[misc]
        assert [(row.kind, row.name) for row in client._state.transcript.after(n)] == [("left", "cid")]
    for client in before:
        client.close()


@pytest.mark.parametrize("end", ["fin", "rst"])
@pytest.mark.parametrize("way", ["up", "down"])
def test_cut_connections_leave_no_gap_and_no_double(server: nbchat.Server, way: Way, end: End) -> None:
    fates = iter([Fate(way, size, end) for size in (1500, 500, 900, 420, 2500)])
    with (
        Proxy(server.port, lambda: next(fates, untouched())) as proxy,
        nbchat.connect(proxy.link(server.invite()), name="ada") as ada,
        nbchat.connect(server, name="bob") as bob,
    ):
        mine, theirs = [], []
        for number in range(40):
            mine.append(ada.send(f"a{number}"))
            theirs.append(bob.send(f"b{number}"))
        for message in mine + theirs:
            message.wait(PATIENCE)
        for client in (ada, bob):
            until(client, lambda client=client: client._state.transcript.seq == 80)  # type: ignore[misc]
            assert [message.seq for message in client.messages] == list(range(1, 81))
        assert ada.transcript() == bob.transcript()
        assert [m.text for m in bob.messages if m.by == "ada"] == [f"a{number}" for number in range(40)]
        assert proxy.cuts >= 2
        assert [row.kind for row in bob._state.transcript.rows].count("left") == 0


def test_a_connection_that_breaks_before_its_welcome_is_made_again(server: nbchat.Server) -> None:
    """The server may have taken the member in by then, so it comes back as the one it is."""
    for way, sizes in (("up", [0, 150]), ("up", [250, 300]), ("down", [0, 200]), ("down", [300, 400])):
        fates = iter([Fate(way, size, "rst") for size in sizes])  # type: ignore[arg-type]
        with (
            Proxy(server.port, lambda: next(fates, untouched())) as proxy,  # noqa: B023
            nbchat.connect(proxy.link(server.invite()), name="ada") as ada,
        ):
            assert ada.send("in").wait(PATIENCE).seq
            assert (ada.name, ada.members) == ("ada", ["ada"])
    with (
        Proxy(server.port, lambda: Fate("up", 50, "fin")) as proxy,
        pytest.raises(Unreachable, match="hung up"),
    ):
        nbchat.connect(proxy.link(server.invite()), name="ada")


@pytest.mark.parametrize("size", [1, 30, 100, 300])
def test_a_class_that_lost_its_server_is_no_stampede(size: int) -> None:
    """The attempts of all, each at its chance's time, as long as nobody answers."""
    rng = random.Random(size)
    attempts: list[float] = []
    for _ in range(size):
        at = 0.0
        backoff = Backoff(rng)
        for _ in range(12):
            delay = backoff.delay(size)
            assert 0.05 <= delay <= 3
            at += delay
            attempts.append(at)
            backoff.ended(None)
    attempts.sort()
    most = max(bisect_left(attempts, at + 0.1) - place for place, at in enumerate(attempts))
    assert most <= 50


def test_a_log_that_has_less_than_was_seen_is_another_one(server: nbchat.Server) -> None:
    """As after a history was put back from an old copy."""
    ada = nbchat.connect(server, name="ada")
    for text in ("one", "two", "three"):
        ada.send(text).wait()
    log_id = ada._state.transcript.log_id
    server.stop()
    with nbchat.serve(port=server.port, history=None) as second:
        second._runner.ask(lambda shell: setattr(shell.hub, "_log_id", log_id))
        assert ada.send("again").wait(PATIENCE).seq == 1
        until(ada, lambda: ada.transcript() == ["ada: again"])
        assert "reset" in [row.kind for row in ada._state.transcript.rows]
        ada.close()


def test_a_listener_far_behind_waits_for_what_it_missed(
    server: nbchat.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the transcript has let go of comes from the history; nothing is left out while that is away."""
    with nbchat.connect(server, name="ada") as ada, nbchat.connect(server, name="bob") as bob:
        bob._state.transcript.messages = deque(maxlen=5)
        heard: list[str] = []
        first, rest = threading.Event(), threading.Event()

        @bob.on_message
        def slow(message: nbchat.core.transcript.Message) -> None:
            heard.append(message.text)
            first.set()
            rest.wait(PATIENCE)

        ada.send("0").wait()
        assert first.wait(PATIENCE)
        page, failures = Receiver.page, [Unreachable("no"), Refused("storage_down", "no")]

        def failing(*arguments: object) -> Future[Answer]:
            if failures:
                failed: Future[Answer] = Future()
                failed.set_exception(failures.pop())
                return failed
            return page(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(Receiver, "page", failing)
        for number in range(1, 21):
            ada.send(str(number)).wait()
        until(bob, lambda: bob._state.transcript.seq == 21)
        assert list(bob.listen(timeout=0)) == []  # the first failure
        rest.set()
        ada.send("last").wait()
        bob.wait_for(lambda message: message.text == "last", PATIENCE)
        until(bob, lambda: len(heard) == 22)
        assert heard == [*map(str, range(21)), "last"]
        assert failures == []


def test_another_log_is_a_new_beginning(server: nbchat.Server) -> None:
    ada = nbchat.connect(server, name="ada")
    ada.send("in the first").wait()
    server.stop()
    with nbchat.serve(port=server.port, history=None):
        heard = Heard()
        ada.on_message(own=True)(heard)
        message = ada.send("in the second").wait(PATIENCE)
        assert heard.wait(1) == ["in the second"]
        assert [message.text for message in ada.listen(timeout=0)] == ["in the second"]
        assert (message.seq, ada.transcript()) == (1, ["ada: in the second"])
        assert [row.kind for row in ada._state.transcript.rows] == ["said", "reset", "said"]
        ada.close()


def test_a_killed_program_comes_back_under_its_name() -> None:
    code = "import nbchat; c = nbchat.connect('class', name='ada'); print('in', flush=True); input()"
    with nbchat.serve("class", history=None) as server, nbchat.connect(server, name="bob") as bob:
        for _ in range(2):
            program = subprocess.Popen(
                [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            assert program.stdout is not None
            assert program.stdout.readline() == "in\n"
            program.kill()
            program.communicate()
        saw(bob, "ada", "bob")
        assert [row.kind for row in bob._state.transcript.rows] == ["joined"]


# ── the end ─────────────────────────────────────────────────────────────────────────────────────


def test_closing_sends_what_is_pending_first(server: nbchat.Server) -> None:
    with nbchat.connect(server, name="bob") as bob:
        ada = nbchat.connect(server, name="ada")
        messages = [ada.send(str(number)) for number in range(35)]
        ada.close()
        ada.close()
        assert [message.seq for message in messages] == list(range(1, 36))
        saw(bob, "bob")
        assert (ada.status, ada.reason) == ("closed", "closed here")
        for ask in (lambda: ada.send("late"), lambda: ada.wait_for(lambda message: message.text == "never")):
            with pytest.raises(Closed):
                ask()
        assert "closed" in repr(ada)


def test_closing_without_a_server_keeps_what_was_not_confirmed(server: nbchat.Server) -> None:
    ada = nbchat.connect(server, name="ada")
    server.stop()
    message = ada.send("never")
    with pytest.raises(NotConfirmed, match="before the server confirmed 'never'") as caught:
        ada.close()
    assert caught.value.messages == [message]
    ada.close()
    assert [each.text for each in ada.pending] == ["never"]
    with pytest.raises(Closed, match="before this message was confirmed"):
        message.wait(0)


def test_leaving_a_with_block_says_what_was_not_confirmed() -> None:
    def leave(error: Exception | None) -> None:
        with nbchat.serve(port=0, history=None) as server, nbchat.connect(server, name="ada") as ada:
            server.stop()
            for number in range(7):
                ada.send(f"text {number}")
            if error is not None:
                raise error

    words = "confirmed 'text 0', 'text 1', 'text 2', 'text 3', 'text 4' and 2 more"
    with pytest.raises(NotConfirmed, match=words):
        leave(None)
    with pytest.raises(ZeroDivisionError) as caught:  # what went wrong first is not hidden
        leave(ZeroDivisionError())
    assert words in caught.value.__notes__[0]


def test_a_session_taken_over_is_over(server: nbchat.Server) -> None:
    ada = nbchat.connect(server, name="ada")
    other = Raw(server.invite(), "ada", session=ada._receiver._session)
    until(ada, lambda: ada.status == "closed")
    assert "another connection" in ada.reason
    other.close()


def test_a_member_refused_for_good_is_told_why(server: nbchat.Server) -> None:
    raw = Raw(server.invite(), "ada", proof="0" * 64)
    assert raw.welcome["code"] == "bad_key"
    assert issubclass(Refused, nbchat.ChatError)
    assert raw.is_at_end()
    raw.close()


def test_the_interpreter_ends_quickly_and_quietly() -> None:
    code = (
        "import nbchat\n"
        "servers = [nbchat.serve(port=0) for _ in range(3)]\n"
        "clients = [nbchat.connect(s, name='ada') for s in servers for _ in range(1)]\n"
        "clients[0].on_message(lambda m: print(m))\n"
        "clients[0].send('last words')\n"
    )
    done = python(code)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_has_no_chat() -> None:
    code = (
        "import os, nbchat\n"
        "server = nbchat.serve('class')\n"
        "ada = nbchat.connect(server, name='ada')\n"
        "ada.send('before').wait()\n"
        "if not (child := os.fork()):\n"
        "    print(server.is_running, ada.status, flush=True)\n"
        "    try: nbchat.connect(server)\n"
        "    except nbchat.ChatError: print('refused', flush=True)\n"
        "    os._exit(0)\n"
        "os.waitpid(child, 0)\n"
        "print(ada.send('after').wait(20).seq, server.is_running, ada.status)\n"
    )
    done = python(code)
    assert done.stderr == ""
    assert done.stdout.splitlines()[0] == "False closed"
    assert done.stdout.splitlines()[-1] == "2 True connected"


def test_who_closes_in_a_busy_room_has_left(server: nbchat.Server) -> None:
    """No ghost stays for 15 s: the goodbye is heard, however much is on its way to who says it."""
    with nbchat.connect(server, name="ada") as ada:
        threads = [threading.Thread(target=come_and_go, args=(server, number)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert server.members == ["ada"]
        saw(ada, "ada")


def come_and_go(server: nbchat.Server, number: int) -> None:
    for turn in range(25):
        client = nbchat.connect(server, name=f"j{number}x{turn}")
        client.send("hi")
        client.close()


def test_a_goodbye_that_waited_its_turn_counts(server: nbchat.Server) -> None:
    """Also of one who hung up right behind it, while more of its requests waited than its rate allows."""
    with nbchat.connect(server, name="ada") as ada:
        eve = Raw(server.invite(), "eve")
        saw(ada, "ada", "eve")
        eve.send(*({"type": "say", "id": str(number), "text": "x"} for number in range(100)), {"type": "bye"})
        eve.receive("slow")
        eve.socket.shutdown(socket.SHUT_WR)
        saw(ada, "ada")
        eve.close()
