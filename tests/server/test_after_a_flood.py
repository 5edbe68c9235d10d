"""After a flood, end to end: what is taken away, links by number, rates over connections, memory."""

from __future__ import annotations

import socket
import sqlite3
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

import nbchat
from nbchat.core.errors import Refused, UsageError
from nbchat.core.limits import Limits
from nbchat.server.engine import authors
from nbchat.server.engine.memory import Memory
from nbchat.store.memory import MemoryStore
from tests.net.helpers import PATIENCE, Raw, saw, until


@pytest.fixture(params=[False, True], ids=["thread", "process"])
def chat(request: pytest.FixtureRequest) -> Iterator[nbchat.Server]:
    with nbchat.serve(port=0, history=None, process=request.param) as server:
        yield server


def texts(client: nbchat.Client) -> list[str]:
    return [message.text for message in client.messages]


def deeds(client: nbchat.Client) -> list[str]:
    with client._state.changed:
        return [row.text for row in client._state.transcript.rows if row.kind == "moderated"]


def talk(server: nbchat.Server) -> tuple[nbchat.Client, nbchat.Client]:
    """ada (who serves) and bob, who says five things with two of ada's between."""
    ada = nbchat.connect(server, name="ada")
    bob = nbchat.connect(server.invite(), name="bob")
    for by, text in zip([bob, bob, ada, bob, ada, bob, bob], "bbababb", strict=True):
        by.send(f"{text} {by.name}").wait()
    until(ada, lambda: len(texts(ada)) == 7)
    return ada, bob


# ── a member's messages ──


def test_delete_takes_what_a_member_said_lately_in_one_deed(chat: nbchat.Server) -> None:
    ada, bob = talk(chat)
    chat.delete("BOB", timedelta(minutes=10))
    for client in (ada, bob):
        until(client, lambda client=client: len(deeds(client)) == 1)  # type: ignore[misc]
        assert texts(client) == ["a ada"] * 0 + [text for text in texts(client) if text.endswith("ada")]
        assert deeds(client) == ["The host took 5 messages of bob away"]
    assert [message.text for message in ada.history()] == texts(ada)
    with pytest.raises(Refused, match="has said nothing in that time"):
        chat.delete("nobody")
    late = nbchat.connect(chat, name="cid")
    assert texts(late) == texts(ada)
    assert ada.send("on").wait().seq == 9


def test_ban_with_delete_is_one_deed_too_and_also_of_who_has_left(chat: nbchat.Server) -> None:
    ada, bob = talk(chat)
    bob.close()
    saw(ada, "ada")
    ada.ban("bob", 60, delete=True)
    until(ada, lambda: len(deeds(ada)) == 1)
    assert deeds(ada) == ["ada banned bob for 60 minutes and took 5 messages of bob away"]
    assert all(text.endswith("ada") for text in texts(ada))
    ada.send("one more").wait()
    assert ada.messages[-1].seq == 9


def test_what_is_asked_for_wrongly_is_refused(chat: nbchat.Server) -> None:
    for minutes in (0, -1, True, "10", 1441, timedelta(days=2), float("nan")):
        with pytest.raises(UsageError, match="for how many minutes"):
            chat.delete("bob", minutes)  # type: ignore[arg-type]


def test_nothing_of_it_is_left_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "chat.sqlite"
    with nbchat.serve(port=0, history=file) as server:
        bob = nbchat.connect(server.invite(), name="bob")
        for number in range(40):
            bob.send(f"SECRET-{number}").wait()
        server.delete("bob")
        assert b"SECRET-" not in b"".join(path.read_bytes() for path in tmp_path.glob("chat.sqlite*"))
    with sqlite3.connect(file) as db:
        assert db.execute("SELECT count(*) FROM log").fetchone() == (41,)


def test_a_client_of_last_month_sees_a_message_go_and_no_gap(server: nbchat.Server) -> None:
    link = server.invite()
    bob, old = Raw(link, "bob"), Raw(link, "old")
    for number in range(3):
        bob.send({"type": "say", "id": f"{number}", "text": "flood"})
    assert [old.receive("said")["seq"] for _ in range(3)] == [1, 2, 3]
    server.delete("bob")
    event = old.receive("moderated")
    assert (event["seq"], event["did"], event["name"], event["target"]) == (4, "delete", "bob", 3)
    assert event["gone"] == [1, 3]
    for each in (bob, old):
        each.close()


def test_runs() -> None:
    assert authors.in_runs([9, 5, 4, 3, 1]) == (1, 1, 3, 5, 9, 9)
    assert authors.in_runs([]) == ()


def test_an_author_is_found_in_the_log_when_nobody_remembers(chat: nbchat.Server) -> None:
    ada, bob = talk(chat)
    bob.close()
    saw(ada, "ada")
    if (shell := getattr(chat._runner, "shell", None)) is not None:
        chat._runner.ask(lambda shell: shell.hub.rules.__init__())  # type: ignore[union-attr, misc]
        assert shell.hub.rules.seen.named("lobby", "bob") is None
    chat.mute("bob")
    ada.ban("Bob", 5)
    until(ada, lambda: len(deeds(ada)) == 2)
    again = Raw(chat.invite())
    again.join(chat.invite(), "bobby", session=bob._receiver._session)
    assert again.welcome["code"] == "banned"
    again.close()
    with pytest.raises(nbchat.errors.NoSuchMember):
        chat.ban("never there")


# ── links ──


def test_a_link_for_so_many(chat: nbchat.Server) -> None:
    link = chat.invite(uses=2)
    inside = [Raw(link, "ada"), Raw(link, "bob")]
    assert [each.welcome["type"] for each in inside] == ["welcome"] * 2
    late = Raw(link, "cid")
    assert late.welcome["code"] == "link_ended"
    session = inside[0].welcome["session"]
    inside[0].close(reset=True)
    inside[0] = Raw(link, "ada", session=session)
    assert inside[0].welcome["type"] == "welcome"
    other = Raw(link, "ada", session=session, room="other")
    assert other.welcome["code"] == "link_ended"
    for each in (*inside, late, other):
        each.close()


def test_a_used_up_link_stays_so_with_a_named_chat() -> None:
    with nbchat.serve("class", port=0) as server:
        link = server.invite(uses=1)
        port = server.port
        Raw(link, "ada").close()
        assert Raw(link, "bob").welcome["code"] == "link_ended"
    with nbchat.serve("class", port=port):
        assert Raw(link, "bob").welcome["code"] == "link_ended"


@pytest.mark.parametrize("uses", [0, -1, 1.5, "40", True])
def test_uses_is_a_number(server: nbchat.Server, uses: object) -> None:
    with pytest.raises(UsageError, match="how many may come"):
        server.invite(uses=uses)  # type: ignore[call-overload]
    with pytest.raises(UsageError, match="once=True is uses=1"):
        server.invite(uses=2, once=True)


def test_revoke_with_kick_ends_who_came_with_a_link(chat: nbchat.Server) -> None:
    ada = nbchat.connect(chat, name="ada")
    link = chat.invite()
    bob = nbchat.connect(link, name="bob")
    chat.revoke_invites(kick=True)
    until(bob, lambda: bob.status == "closed")
    assert bob.reason == "The host has ended all links, and who came with one."
    saw(ada, "ada")
    back = Raw(link, "bob", session=bob._receiver._session)
    assert back.welcome["code"] == "link_ended"
    back.close()
    with pytest.raises(UsageError):
        chat.revoke_invites(kick=1)  # type: ignore[arg-type]


def test_who_is_inside_when_a_link_ends_comes_back_after_an_outage(server: nbchat.Server) -> None:
    link = server.invite(hours=1)
    ada = Raw(link, "ada")
    server._runner.ask(lambda shell: setattr(shell, "_clock", lambda: time.time() + 3601))  # type: ignore[union-attr]
    ada.close(reset=True)
    assert Raw(link, "bob").welcome["code"] == "link_ended"
    ada = Raw(link, "ada", session=ada.welcome["session"])
    assert ada.welcome["type"] == "welcome"
    ada.close()


def test_a_kicked_guest_host_is_host_nowhere(chat: nbchat.Server) -> None:
    link = chat.invite(host=True)
    guest = Raw(link, "guest")
    session = guest.welcome["session"]
    chat.revoke_invites()
    chat.kick("guest")
    for join in ({"session": session}, {"session": session, "room": "other"}, {"room": "third"}):
        again = Raw(link, "guest", **join)
        assert again.welcome["code"] == "link_ended"
        again.close()


def test_a_host_can_come_as_a_member(server: nbchat.Server) -> None:
    client = nbchat.connect(server, name="ada", host=False)
    assert client.role == "member"
    with pytest.raises(nbchat.errors.NotHost):
        client.lock()
    assert nbchat.connect(server, name="bob").role == "host"


# ── rates over connections ──


def test_a_session_that_reconnects_gets_no_new_burst() -> None:
    limits = Limits(rate=0.001, burst=5)
    with nbchat.serve(port=0, history=None, limits=limits) as server:
        link = server.invite()
        first = Raw(link, "mallory")
        for number in range(5):
            first.send({"type": "say", "id": f"a{number}", "text": "x"})
        for _ in range(5):
            first.receive("said")
        first.close(reset=True)
        again = Raw(link, "mallory", session=first.welcome["session"])
        again.send({"type": "say", "id": "b", "text": "x"})
        assert again.receive("slow")["for"] > 0
        again.close()


def test_a_plain_client_that_hangs_up_again_and_again_is_held_to_its_rate() -> None:
    limits = Limits(rate=0.001, burst=5)
    with nbchat.serve(port=0, history=None, limits=limits) as server:
        ada = nbchat.connect(server, name="ada")
        first = socket.create_connection(("127.0.0.1", server.port), PATIENCE)
        first.sendall(b"pete\n" + b"x\n" * 5)
        until(ada, lambda: len(ada.messages) == 5)
        first.close()
        saw(ada, "ada")
        with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as again:
            again.sendall(b"pete\n" + b"x\n" * 5)
            heard = b""
            while b"you are sending fast" not in heard:
                heard += again.recv(4096) or pytest.fail("it hung up")
            assert len(ada.messages) == 5


# ── memory ──


def test_a_chat_in_memory_has_a_bound_and_says_what_is_gone(caplog: pytest.LogCaptureFixture) -> None:
    limits = Limits(memory=40_000, rate=1e6, burst=10**6)
    with nbchat.serve(port=0, history=None, process=False, limits=limits) as server:
        ada = nbchat.connect(server, name="ada")
        quiet = nbchat.connect(server, name="ada", room="quiet")
        quiet.send("stays").wait()
        for number in range(100):
            ada.send(f"{number} " + "x" * 1000).wait()
        until(ada, lambda: bool(ada.messages) and ada.messages[0].seq > 1)
        assert ada.messages[-1].seq == 100
        assert [message.text for message in quiet.history()] == ["stays"], "another room's flood"
        size = server._runner.ask(lambda shell: shell._store.size)  # type: ignore[union-attr]
        assert size <= 40_000
    assert [record.message[:20] for record in caplog.records] == ["this chat keeps 0 MB"]


def test_a_file_that_grows_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    class File(MemoryStore):
        is_file = True
        size = 5_000  # type: ignore[assignment]

    memory = Memory(File(time.time), Limits(file=4_999))
    assert [memory.tick(now) for now in (0.0, 1.0, 61.0, 122.0)] == [False] * 4
    assert [record.message for record in caplog.records] == [
        "the history's file is larger than 0 MB. To bound it: nbchat.serve(…, keep=100_000)"
    ]
