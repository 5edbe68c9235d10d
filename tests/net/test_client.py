"""connect(): finding a server, sending, listening, coming back."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

import nbchat
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
    Refused,
    SeveralServers,
    Unreachable,
    UsageError,
)
from tests.net.helpers import PATIENCE, CuttingProxy, Raw, saw, until


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


def test_links_and_names_that_cannot_be(server: nbchat.Server) -> None:
    link = server.invite()
    for bad in ("http://127.0.0.1", "nbchat://", f"{server.url}#k=abc", "nbchat://a:b", "nbchat://x:1/a%2Fb"):
        with pytest.raises(BadLink):
            nbchat.connect(bad, name="ada")
    with pytest.raises(BadLink, match=r"has no key in it\. Ask for the whole link"):
        nbchat.connect("nbchat://127.0.0.1:9", name="ada")
    with pytest.raises(BadLink, match="A bytes is no link") as caught:
        nbchat.connect(link.encode(), name="ada")
    assert link.partition("#")[2] not in str(caught.value)  # what was given may hold a secret
    with pytest.raises(NotTheServer, match="Ask for a new link"):
        nbchat.connect(link[:-1] + ("a" if link[-1] != "a" else "b"), name="ada")
    with pytest.raises(Unreachable, match="Is the server running"):
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
    assert ada.transcript() == bob.transcript() == ["ada: hello\nbob"]


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
    until(bob, lambda: len(bob._state.errors) == 1)
    assert bob.errors == ["printed"]
    assert ada.transcript() == ["ada: old", "ada: new", "bob: re: new"]  # no backlog, no own
    assert threads == [bob._handlers.thread]
    assert capfd.readouterr() == ("", "")


def test_two_bots_do_not_talk_for_ever(pair: Pair) -> None:
    ada, bob = pair
    for client in pair:
        client.on_message(lambda message: f"re: {message.text}")
    heard: list[str] = []
    bob.on_message(answers=True, own=True)(lambda message: heard.append(message.text) or print("."))
    ada.send("a").wait()
    ada.wait_for(lambda message: message.text == "re: a")
    bob.send("b").wait()
    bob.wait_for(lambda message: message.text == "re: b")
    until(bob, lambda: len(bob._state.errors) == 4)
    assert heard == ["a", "re: a", "b", "re: b"]
    until(ada, lambda: ada._state.transcript.seq == 4)
    assert ada.transcript() == ["ada: a", "bob: re: a", "bob: b", "ada: re: b"]


def test_a_handler_that_fails_is_noted(pair: Pair, capfd: pytest.CaptureFixture[str]) -> None:
    ada, bob = pair

    @bob.on_message
    def broken(message: object) -> None:
        raise RuntimeError("no plan")

    ada.send("a").wait()
    ada.send("b").wait()
    until(bob, lambda: len(bob._state.errors) == 2)
    assert "RuntimeError: no plan" in bob.errors[0]
    assert bob.status == "connected"
    assert capfd.readouterr() == ("", "")
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
    heard: list[str] = []
    bob.on_message(backlog=True)(lambda message: heard.append(message.text) or print("."))
    ada.send("new").wait()
    until(bob, lambda: len(bob._state.errors) == 2)
    assert heard == ["old", "new"]


# ── outages ─────────────────────────────────────────────────────────────────────────────────────


def test_said_while_nobody_served_arrives_once_in_order() -> None:
    server = nbchat.serve("class")
    ada, bob = nbchat.connect(server, name="ada"), nbchat.connect(server, name="bob")
    heard: list[str] = []
    bob.on_message(lambda message: heard.append(message.text) or print("."))
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
    until(bob, lambda: len(bob._state.errors) == 51)  # what was missed in an outage is no backlog
    assert heard == ["before", *map(str, range(50))]
    assert (ada.pending, ada.status, ada.reason) == ([], "connected", "")
    assert ada.transcript() == bob.transcript()


@pytest.mark.parametrize("by_reset", [False, True], ids=["FIN", "RST"])
@pytest.mark.parametrize("direction", ["up", "down"])
def test_cut_connections_leave_no_gap_and_no_double(
    server: nbchat.Server, direction: str, by_reset: bool
) -> None:
    proxy = CuttingProxy(server)
    proxy.cuts += [(direction, size, by_reset) for size in (1500, 500, 900, 420, 2500)]
    with (
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
        assert len(proxy.cuts) < 4
        assert [row.kind for row in bob._state.transcript.rows].count("left") == 0
    proxy.close()


def test_another_log_is_a_new_beginning(server: nbchat.Server) -> None:
    ada = nbchat.connect(server, name="ada")
    ada.send("in the first").wait()
    server.stop()
    with nbchat.serve(port=server.port, history=None):
        heard: list[str] = []
        ada.on_message(own=True)(lambda message: heard.append(message.text) or print("."))
        message = ada.send("in the second").wait(PATIENCE)
        until(ada, lambda: len(ada._state.errors) == 1)
        assert heard == ["in the second"]
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
    ada.close()
    assert [each.text for each in ada.pending] == ["never"]
    with pytest.raises(Closed, match="before this message was confirmed"):
        message.wait(0)


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
