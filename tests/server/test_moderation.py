"""The host's hand, end to end: by the server (on a thread, in a process) and by a host's client."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from functools import partial

import pytest

import nbchat
from nbchat.core.errors import ChatError, NoSuchMember, NotHost, Refused, StoreFull, Unreachable, UsageError
from nbchat.core.frames import Moderated
from nbchat.net.discovery import Target
from nbchat.server.engine.shell import Shell
from tests.net.helpers import PATIENCE, Raw, saw, until

pytestmark = pytest.mark.own_ports


@pytest.fixture(params=[False, True], ids=["thread", "process"])
def chat(request: pytest.FixtureRequest) -> Iterator[nbchat.Server]:
    """A chat in memory, wherever it runs."""
    with nbchat.serve(port=0, history=None, process=request.param) as server:
        yield server


def lines(client: nbchat.Client) -> list[str]:
    """What hosts did, as a client's face shows it."""
    with client._state.changed:
        return [row.text for row in client._state.transcript.rows if row.kind == "moderated"]


def shows(client: nbchat.Client, line: str) -> None:
    until(client, lambda: line in lines(client))


def member(server: nbchat.Server, name: str) -> nbchat.Client:
    client = nbchat.connect(server.invite(), name=name)
    assert client.role == "member"
    return client


# ── by the server ───────────────────────────────────────────────────────────────────────────────


def test_kick(chat: nbchat.Server) -> None:
    ada, bob = nbchat.connect(chat, name="ada"), member(chat, "bob")
    chat.kick("bob")
    until(bob, lambda: bob.status == "closed")
    assert bob.reason == "The host removed you from this room."
    saw(ada, "ada")
    shows(ada, "The host removed bob from the room")
    with member(chat, "bob") as again:  # by hand
        assert again.send("back").wait().seq == 2


def test_who_was_removed_a_moment_ago_is_a_newcomer(chat: nbchat.Server) -> None:
    """Its thread may still be there; what it was is over."""
    bob, goes = member(chat, "bob"), threading.Event()
    bob._receiver._questions.close = lambda: goes.wait(PATIENCE)  # type: ignore[method-assign,assignment]
    chat.kick("bob")
    until(bob, lambda: bob.status == "closed")
    try:
        assert bob._receiver.thread.is_alive()
        with member(chat, "bob") as again:
            assert again.send("back").wait().seq
    finally:
        goes.set()


def test_ban(chat: nbchat.Server) -> None:
    bob = member(chat, "bob")
    chat.ban("bob", minutes=60)
    until(bob, lambda: bob.status == "closed")
    assert bob.reason == "The host banned you from this room for 60 minutes."
    for name in ("bob", "BOB"):
        with pytest.raises(Refused, match="You are banned from this room for another 60 minutes"):
            nbchat.connect(chat.invite(), name=name)
    (end,) = chat.rules().bans.values()
    assert end is not None
    assert 3500 < end.timestamp() - time.time() < 3700
    chat.unban("bob")
    member(chat, "bob").close()
    assert chat.rules().bans == {}


def test_mute(chat: nbchat.Server) -> None:
    ada, bob = nbchat.connect(chat, name="ada"), member(chat, "bob")
    chat.mute("bob", 10)
    shows(bob, "The host muted bob for 10 minutes")
    with pytest.raises(Refused, match="A host has muted you for another 10 minutes") as refused:
        bob.send("let me speak").wait(PATIENCE)
    assert refused.value.code == "muted"
    assert bob.pending == []
    assert [message.text for message in bob._state.refused] == ["let me speak"]
    chat.unmute("bob")
    assert bob.send("thanks").wait().seq == 3
    assert ada.wait_for(lambda message: True).text == "thanks"


def test_slow_and_announce_only(chat: nbchat.Server) -> None:
    ada, bob = nbchat.connect(chat, name="ada"), member(chat, "bob")
    chat.slow(300)
    bob.send("one").wait()
    with pytest.raises(Refused, match="5 minutes between two messages"):
        bob.send("two").wait(PATIENCE)
    chat.slow(0)
    bob.send("two").wait()
    chat.announce_only()
    with pytest.raises(Refused, match="Only hosts may speak"):
        bob.send("three").wait(PATIENCE)
    ada.send("the answer is 42").wait()
    chat.announce_only(False)
    bob.send("three").wait()
    until(ada, lambda: ada.transcript() == ["bob: one", "bob: two", "ada: the answer is 42", "bob: three"])
    assert lines(ada)[-1] == "The host lets everybody speak again"


def test_lock(chat: nbchat.Server) -> None:
    bob, link = member(chat, "bob"), chat.invite()
    chat.lock()
    with pytest.raises(Refused, match="locked"):
        nbchat.connect(link, name="new")
    with nbchat.connect(chat, name="ada") as ada:
        assert ada.role == "host"
    bob._receiver._loop.call_soon_threadsafe(bob._receiver._conn.abort)  # type: ignore[union-attr]
    until(bob, lambda: bob.status == "reconnecting")
    until(bob, lambda: bob.status == "connected")
    chat.unlock()
    nbchat.connect(link, name="new").close()


def test_clear(chat: nbchat.Server) -> None:
    ada, bob = nbchat.connect(chat, name="ada"), member(chat, "bob")
    for number in range(3):
        bob.send(f"message {number}").wait()
    until(ada, lambda: len(ada.messages) == 3)
    chat.clear()
    for client in (ada, bob):
        shows(client, "The host cleared the room")
        assert client.messages == []
    assert bob.send("anew").wait().seq == 5, "numbers go on"
    assert [message.text for message in ada.history()] == ["anew"]
    with nbchat.connect(chat, name="eve") as eve:
        assert eve.transcript() == ["bob: anew"]
        assert lines(eve) == ["The host cleared the room"]


def test_redact(chat: nbchat.Server) -> None:
    ada, bob = nbchat.connect(chat, name="ada"), member(chat, "bob")
    seqs = [bob.send(text).wait().seq for text in ("fine", "rude", "sorry")]
    until(ada, lambda: len(ada.messages) == 3)
    chat.redact(ada.messages[1])
    for client in (ada, bob):
        shows(client, "The host took a message of bob away")
        assert client.transcript() == ["bob: fine", "bob: sorry"]
    assert [message.seq for message in ada.history()] == [seqs[0], seqs[2]]
    with nbchat.connect(chat, name="eve") as eve:
        assert eve.transcript() == ["bob: fine", "bob: sorry"]
    for seq in (seqs[1], 4, 99):  # gone already, no message, not there
        with pytest.raises(Refused, match=f"There is no message {seq} in this room"):
            chat.redact(seq)


def test_errors_say_what_to_type(chat: nbchat.Server) -> None:
    ada, bob = nbchat.connect(chat, name="ada"), member(chat, "bob")
    with pytest.raises(NoSuchMember, match=r"There is no 'bib' here\. Members: ada, bob\."):
        chat.kick("bib")
    with pytest.raises(NoSuchMember, match="Members: nobody"):
        chat.mute("bob", room="empty")
    with pytest.raises(Refused, match="ada serves this chat; nobody can ban who serves"):
        chat.ban("ada")
    for wrong in (
        lambda: chat.mute("bob", -1),
        lambda: chat.slow(-1),
        lambda: chat.redact("x"),  # type: ignore[arg-type]
        lambda: chat.kick(ada),  # type: ignore[arg-type]
    ):
        with pytest.raises(UsageError):
            wrong()
    assert lines(bob) == []
    chat.stop()
    with pytest.raises(ChatError, match="has stopped"):
        chat.kick("bob")


def test_who_is_kicked_while_it_is_away_does_not_come_back_by_itself(server: nbchat.Server) -> None:
    bob = member(server, "bob")
    target, bob._receiver._target = bob._receiver._target, Target("nbchat://127.0.0.1:1#k=a.b")
    bob._receiver._loop.call_soon_threadsafe(bob._receiver._conn.abort)  # type: ignore[union-attr]
    until(bob, lambda: bob.status == "reconnecting")
    server.kick("bob")
    bob._receiver._target = target
    until(bob, lambda: bob.status == "closed")
    assert "A host removed you from this room" in bob.reason


# ── by a host's client ──────────────────────────────────────────────────────────────────────────


def test_a_hosts_client_does_the_same(chat: nbchat.Server) -> None:
    ada, bob, cid = nbchat.connect(chat, name="ada"), member(chat, "bob"), member(chat, "cid")
    ada.mute("bob", 5)
    shows(cid, "ada muted bob for 5 minutes")
    ada.unmute("bob")
    with pytest.raises(NotHost, match="Only a host"):
        bob.kick("cid")
    with pytest.raises(Refused, match="You cannot kick yourself"):
        ada.kick("ada")
    ada.make_host("bob")
    until(bob, lambda: bob.role == "host")
    assert [(name, name.role) for name in ada.members][1] == ("bob", "host")
    bob.kick("cid")
    until(cid, lambda: cid.status == "closed")
    assert cid.reason == "bob removed you from this room."
    with pytest.raises(Refused, match="ada serves this chat"):
        bob.ban("ada")
    assert bob.rules().locked is False
    ada.unmake_host("bob")
    until(bob, lambda: bob.role == "member")
    with pytest.raises(NotHost):
        bob.clear()
    with pytest.raises(UsageError, match="This client is in 'lobby'"):
        ada.lock(room="side")
    assert lines(ada) == [
        "ada muted bob for 5 minutes",
        "ada lets bob speak again",
        "ada made bob a host",
        "bob removed cid from the room",
        "ada took bob's being host back",
    ]


def test_another_room_is_another_room(server: nbchat.Server) -> None:
    link = server.invite("side")
    with member(server, "bob") as bob, nbchat.connect(link, name="bob") as other:
        server.mute("bob", room="Side")
        with pytest.raises(Refused):
            other.send("here").wait(PATIENCE)
        bob.send("and there").wait()


def test_without_a_connection_a_host_is_told_so() -> None:
    server = nbchat.serve("class", history=None)
    ada = nbchat.connect("class", name="ada")
    server.stop()
    until(ada, lambda: ada.status == "reconnecting")
    with pytest.raises(Unreachable, match="There is no connection now"):
        ada.lock()
    ada.close()
    with pytest.raises(ChatError, match="closed"):
        ada.lock()


# ── what must hold in spite of it ───────────────────────────────────────────────────────────────


def test_a_message_that_is_in_the_log_is_confirmed_also_to_the_muted(server: nbchat.Server) -> None:
    """Its receipt may have been lost: it must not be taken for refused."""
    bob = Raw(server.invite(), "bob")
    bob.send({"type": "say", "id": "b1", "text": "hi"})
    assert bob.receive("said")["seq"] == 1
    server.mute("bob")
    bob.receive("moderated")
    bob.send({"type": "say", "id": "b1", "text": "hi"}, {"type": "say", "id": "b2", "text": "more"})
    assert bob.receive("stored") == {"type": "stored", "id": "b1", "seq": 1}
    assert bob.receive("refused")["id"] == "b2"


def test_all_of_it_survives_a_restart() -> None:
    """Also a restart by kill -9, and a history that was trimmed."""
    serve = partial(nbchat.serve, "class", process=True, keep=1)
    server = serve()
    ann, bob = member(server, "ann"), member(server, "bob")
    cid = member(server, "cid")
    server.make_host("ann")
    server.mute("bob", 60)
    server.ban("cid", 60)
    server.slow(300)
    server.announce_only()
    server.lock()
    until(cid, lambda: cid.status == "closed")
    server._runner._child.kill()  # type: ignore[union-attr]
    server._runner._reader.join(PATIENCE)  # type: ignore[union-attr]
    until(bob, lambda: bob.status == "reconnecting")
    server = serve()
    link = server.invite()
    for client in (ann, bob):
        until(client, lambda client=client: client.status == "connected")  # type: ignore[misc]
    assert (ann.role, bob.role) == ("host", "member")
    with pytest.raises(Refused, match="muted"):
        bob.send("hi").wait(PATIENCE)
    with pytest.raises(Refused, match="banned"):
        nbchat.connect(link, name="cid")
    with pytest.raises(Refused, match="locked"):
        nbchat.connect(link, name="dan")
    rules = ann.rules()
    assert (rules.announce_only, rules.locked, rules.slow, *rules.mutes) == (True, True, 300, "bob")
    ann.unlock()
    nbchat.connect(link, name="dan").close()


def test_a_restart_in_this_process_keeps_it_too() -> None:
    server = nbchat.serve("class", history=None)
    server.lock()
    server = nbchat.serve("class", history=None, keep=100)
    with pytest.raises(Refused, match="locked"):
        nbchat.connect(server.invite(), name="new")


def test_on_a_full_disk_it_holds_and_is_written_down_later(
    server: nbchat.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada, bob = nbchat.connect(server, name="ada"), member(server, "bob")
    store, is_full = server._store, True
    assert store is not None
    remember = store.remember

    async def refusing(key: str, value: str) -> None:
        if is_full:
            raise StoreFull("The disk is full.")
        await remember(key, value)

    monkeypatch.setattr(store, "remember", refusing)
    monkeypatch.setattr("nbchat.server.engine.recorder._RETRY", 0.01)
    with pytest.raises(Refused, match=r"The disk is full\. What you asked for holds"):
        ada.mute("bob")
    with pytest.raises(StoreFull):
        server.lock()
    with pytest.raises(Refused, match="muted"):
        bob.send("hi").wait(PATIENCE)
    assert lines(ada) == []
    is_full = False
    shows(ada, "The host locked the room: no newcomers")
    assert lines(ada)[0] == "ada muted bob for 10 minutes"


def test_a_deed_is_in_the_log_in_order_and_durable_with_its_state(server: nbchat.Server) -> None:
    ada = Raw(server.invite(), "ada")
    server.lock()
    assert ada.receive("moderated").items() >= {"seq": 1, "by": "server", "did": "lock"}.items()

    def kept(shell: Shell) -> str:
        return shell._store.meta["moderation"]

    assert '"locked"' in server._runner.ask(kept)  # type: ignore[union-attr]
    ada.send({"type": "page"})
    (event,) = ada.receive("paged")["events"]
    assert event["type"] == "moderated"


def test_what_an_old_client_does_not_know_keeps_its_place(server: nbchat.Server) -> None:
    """It decodes the event to Unknown; here: the same, by a word that nobody knows yet."""
    client = nbchat.connect(server, name="ada")
    server.unlock()
    assert client.send("next").wait().seq == 2
    with client._state.changed:
        assert client._state.transcript.apply(Moderated(3, 0, "", "eve", "dance")) is None
    assert "dance" in lines(client)[-1]


# ── plain clients ───────────────────────────────────────────────────────────────────────────────


class Plain:
    """Somebody with nc."""

    def __init__(self, server: nbchat.Server, name: str) -> None:
        self.socket = socket.create_connection((server.host, server.port), PATIENCE)
        self._file = self.socket.makefile("rb")
        assert self._file.read(8) == b"USERNAME"
        self.say(name)

    def say(self, text: str) -> None:
        self.socket.sendall(text.encode() + b"\n")

    def read(self) -> str:
        """The next line that is not empty; "" at the end."""
        for line in self._file:
            if line.strip():
                return line.decode().strip()
        return ""


def test_a_plain_client_is_told_in_words_and_can_be_shut_out(chat: nbchat.Server) -> None:
    pete = Plain(chat, "pete")
    ada = nbchat.connect(chat, name="ada")
    assert pete.read() == "ada joined the chat!"
    saw(ada, "pete", "ada")
    ada.mute("pete", 10)
    assert pete.read() == "system: ada muted pete for 10 minutes"
    pete.say("let me speak")
    assert pete.read() == "system: A host has muted you for another 10 minutes."
    with pytest.raises(Refused, match="plain-text client"):
        ada.make_host("pete")
    ada.ban("pete", 60)
    assert pete.read() == "system: ada banned you from this room for 60 minutes."
    assert pete.read() == ""
    again = Plain(chat, "pete")
    assert again.read() == "system: You are banned from this room for another 60 minutes."
    ada.lock()
    assert Plain(chat, "paul").read().startswith("system: This room is locked")
    assert ada.messages == []


def test_what_a_plain_client_had_sent_before_it_was_kicked_harms_nobody(
    server: nbchat.Server, caplog: pytest.LogCaptureFixture
) -> None:
    server.stop()
    with nbchat.serve(port=0, history=None, limits=nbchat.Limits(rate=0.5, burst=1)) as server:
        pete = Plain(server, "pete")
        ada = nbchat.connect(server, name="ada")
        assert pete.read() == "ada joined the chat!"
        for number in range(5):
            pete.say(f"{number}")
        assert "you are sending fast" in pete.read()
        server.kick("pete")
        assert "removed you" in pete.read()
        assert pete.read() == ""
        saw(ada, "ada")
        ada.send("fine").wait()
        for _ in range(500):
            if server._runner.ask(lambda shell: len(shell._connections)) == 1:  # type: ignore[union-attr]
                break
        else:
            pytest.fail("the connection is still there")
        assert {message.by for message in ada.messages[1:]} == {"ada"}
    assert caplog.records == []
