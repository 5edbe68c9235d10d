"""Who is who, end to end: names that are held, won back and promised; marks of hosts and of plain clients."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

import nbchat
from nbchat.core.errors import NameTaken, NoSuchMember, NotHost, Refused
from nbchat.net import discovery
from tests.net.helpers import PATIENCE, Raw, saw, until


@pytest.fixture(params=[False, True], ids=["thread", "process"])
def class_room(request: pytest.FixtureRequest) -> Iterator[nbchat.Server]:
    """A chat with a name, which keeps its history."""
    with nbchat.serve("class", port=0, process=request.param) as server:
        yield server


def forget_sessions() -> None:
    """As on another machine: nothing is there of clients that were closed."""
    for path in discovery._folder().glob("nbchat-session-*.json"):
        path.unlink()


def test_a_name_is_held_and_its_own_client_has_it_again(class_room: nbchat.Server) -> None:
    link = class_room.invite()
    with nbchat.connect(class_room, name="ada") as ada:
        nbchat.connect(link, name="bob").close()
        saw(ada, "ada")
        eve = Raw(link, "BOB")
        assert eve.welcome["code"] == "name_in_use"
        assert "is held for its member who left, for another 60 minutes" in eve.welcome["text"]
        with nbchat.connect(link, name="bob") as bob:  # the cell again
            assert bob.name == "bob"
        forget_sessions()
        with pytest.raises(NameTaken, match="bob2"):
            nbchat.connect(link, name="bob")


_STUDENT = """
import os, sys, nbchat
client = nbchat.connect(sys.argv[1], name="bob")
client.send(f"I am {client.name}").wait()
print(client.name, flush=True)
if sys.argv[2] == "killed":
    os._exit(0)
"""


@pytest.mark.parametrize("end", ["killed", "closed"])
def test_who_starts_a_new_kernel_has_her_name_again(class_room: nbchat.Server, end: str) -> None:
    link = class_room.invite()
    with nbchat.connect(class_room, name="ada") as ada:
        for _ in range(3):
            done = subprocess.run(
                [sys.executable, "-c", _STUDENT, link, end],
                capture_output=True,
                text=True,
                timeout=60,
                check=True,
            )
            assert (done.stdout, done.stderr) == ("bob\n", "")
        until(ada, lambda: len(ada._state.transcript.messages) == 3)
        assert {str(message.by) for message in ada.messages} == {"bob"}


def test_the_hosts_name_is_held_until_it_is_released(class_room: nbchat.Server) -> None:
    link = class_room.invite()
    nbchat.connect(class_room, name="Prof. Åsa").close()
    forget_sessions()
    for name in ("Prof. Åsa", "prof asa"):
        assert "held for a host" in Raw(link, name).welcome["text"]
    with nbchat.connect(class_room, name="Prof. Åsa") as again:  # another machine with the host's key
        assert again.name == "Prof. Åsa"
        with pytest.raises(Refused, match="is here and has that name"):
            again.release("Prof. Åsa")
    with pytest.raises(NoSuchMember, match=r"Names held now: Prof\. Åsa"):
        class_room.release("bob")
    class_room.release("prof. åsa")
    forget_sessions()
    assert Raw(link, "Prof. Asa").welcome["type"] == "welcome"


def test_a_hosts_client_releases_a_name_and_a_members_does_not(class_room: nbchat.Server) -> None:
    link = class_room.invite()
    nbchat.connect(link, name="bob").close()
    forget_sessions()
    with nbchat.connect(class_room, name="ada") as ada, nbchat.connect(link, name="eve") as eve:
        with pytest.raises(NotHost):
            eve.release("bob")
        ada.release("bob")
        lines = [row.text for row in ada._state.transcript.rows if row.kind == "moderated"]
        assert lines == ["ada released the name bob"]
        with nbchat.connect(link, name="bob") as bob:
            assert bob.name == "bob"


def test_names_are_held_over_a_restart(class_room: nbchat.Server) -> None:
    link = class_room.invite()
    nbchat.connect(link, name="bob").close()
    nbchat.connect(class_room, name="Prof").close()
    process = class_room._options.process
    with nbchat.connect(link, name="ann") as ann:
        class_room.stop()
        with nbchat.serve("class", port=class_room.port, process=process) as again:
            until(ann, lambda: ann.status == "connected")
            assert ann.name == "ann"
            link = again.invite()
            for name in ("bob", "Prof", "ann"):
                assert Raw(link, name).welcome["code"] == "name_in_use"
            again.release("bob")
            assert Raw(link, "bob").welcome["type"] == "welcome"


def test_names_are_held_after_the_server_was_killed() -> None:
    with nbchat.serve("class", port=0, process=True) as server:
        nbchat.connect(server, name="Prof").close()
        forget_sessions()
        runner = server._runner
        with nbchat.connect(server, name="ada"):
            server.release("Prof")  # who is there is written down with it, as once a second
            assert runner._child is not None  # type: ignore[union-attr]
            runner._child.kill()  # type: ignore[union-attr]
            runner._reader.join(PATIENCE)  # type: ignore[union-attr]
        with nbchat.serve("class", port=0, process=True) as again:
            link = again.invite()
            assert Raw(link, "Prof").welcome["type"] == "welcome"
            assert Raw(link, "ada").welcome["code"] == "name_in_use"


def test_without_a_name_of_the_chat_nothing_is_held(server: nbchat.Server) -> None:
    link = server.invite()
    nbchat.connect(link, name="bob").close()
    forget_sessions()
    with nbchat.connect(link, name="bob") as bob:
        assert bob.name == "bob"


def test_a_host_wins_its_name_back_and_the_others_messages_are_not_lost(server: nbchat.Server) -> None:
    nbchat.connect(server, name="Prof").close()
    forget_sessions()
    with nbchat.connect(server.invite(), name="Prof") as eve:
        eve._state.is_shown = True  # as in another program: here the same call again would take her place
        eve.send("I am the professor").wait()
        with nbchat.connect(server, name="Prof") as prof:
            assert (prof.name, prof.role) == ("Prof", "host")
            late = eve.send("so what")
            late.wait()
            until(eve, lambda: eve.name == "Prof2")
            until(prof, lambda: len(prof._state.transcript.messages) == 2)
            saw(prof, "Prof", "Prof2")
            assert [(str(each.by), each.by.role) for each in prof.messages] == [
                ("Prof", "member"),
                (prof.messages[1].by, "member"),
            ]


def test_a_session_file_of_a_closed_client_is_only_for_the_same_wish(server: nbchat.Server) -> None:
    link = server.invite()
    with nbchat.connect(link, name="bob") as bob:
        session = bob._receiver._session
    assert discovery.take_over(server.host, server.port, "lobby", "eve") is None
    with nbchat.connect(link, name="bob") as again:
        assert again._receiver._session == session
    with nbchat.connect(link, name="bob") as kicked:
        server.kick("bob")
        until(kicked, lambda: kicked.status == "closed")
    assert discovery.take_over(server.host, server.port, "lobby", "bob") is None


# ── invitations by name ─────────────────────────────────────────────────────────────────────────


def test_the_name_of_a_valid_link_is_kept_for_it(class_room: nbchat.Server) -> None:
    personal, everybodys = class_room.invite(name="bob"), class_room.invite()
    with pytest.raises(NameTaken, match="kept for whom the host has invited by it"):
        nbchat.connect(everybodys, name="B.ob")
    with nbchat.connect(personal) as bob:
        assert bob.name == "bob"
    class_room.revoke_invites()
    class_room.release("bob")
    with nbchat.connect(class_room.invite(), name="bob") as other:
        assert other.name == "bob"


def test_a_host_may_be_invited_as_host_and_nobody_else(server: nbchat.Server) -> None:
    with pytest.raises(nbchat.ChatError, match="only a host can have"):
        server.invite(name="Teacher")
    with nbchat.connect(server.invite(name="Teacher", host=True)) as teacher:
        assert (teacher.name, teacher.role) == ("Teacher", "host")


# ── marks ───────────────────────────────────────────────────────────────────────────────────────


def test_hosts_and_plain_clients_messages_carry_a_mark(class_room: nbchat.Server) -> None:
    link = class_room.invite()
    with nbchat.connect(class_room, name="ada") as ada, nbchat.connect(link, name="bob") as bob:
        raw = Raw(link, "raw")
        ada.send("from a host").wait()
        bob.send("from a member").wait()
        class_room.make_host("bob")
        bob.send("from a named host").wait()
        class_room.unmake_host("bob")
        bob.send("from a member again").wait()
        with socket.create_connection((class_room.host, class_room.port), PATIENCE) as pete:
            assert pete.recv(100) == b"USERNAME"
            pete.sendall(b"pete\n")
            until(ada, lambda: "pete" in ada._state.transcript.members)
            pete.sendall(b"from anybody\n")
            until(ada, lambda: len(ada._state.transcript.messages) == 5)
        wanted = [("ada", "host", False), ("bob", "member", False), ("bob", "host", False)]
        wanted += [("bob", "member", False), ("pete", "member", True)]
        for client in (ada, bob):
            until(client, lambda: len(client._state.transcript.messages) == 5)  # noqa: B023
            assert [(m.by, m.by.role, m.by.plain) for m in client.messages] == wanted
        assert [(m.by, m.by.role, m.by.plain) for m in ada.history()] == wanted
        said = [raw.receive("said") for _ in range(5)]
        assert [(each.get("role"), each.get("plain")) for each in said] == [
            ("host", None), (None, None), ("host", None), (None, None), (None, True),
        ]  # fmt: skip
        raw.close()


def test_a_client_cannot_mark_itself(server: nbchat.Server) -> None:
    eve = Raw(server.invite(), "eve")
    eve.send({"type": "say", "id": "1", "text": "hi", "role": "host"})
    assert "role" not in eve.receive("said")
    eve.close()


# ── coming and going ────────────────────────────────────────────────────────────────────────────


def test_nobody_speaks_by_joining_where_only_hosts_may(server: nbchat.Server) -> None:
    link = server.invite()
    with nbchat.connect(server, name="ada") as ada:
        server.announce_only()
        eve = Raw(link, "The exam is cancelled")
        saw(ada, "ada", "The exam is cancelled")
        eve.send({"type": "bye"})
        saw(ada, "ada")
        server.announce_only(False)
        Raw(link, "bob")
        saw(ada, "ada", "bob")
        until(ada, lambda: any(row.kind == "joined" for row in ada._state.transcript.rows))
        shown = [row.name for row in ada._state.transcript.rows if row.kind in ("joined", "left")]
        assert shown == ["bob"]


def come_and_go(link: str, count: int) -> list[str | None]:
    """Join and say goodbye so many times; the codes with which it was refused."""
    codes = []
    for number in range(count):
        raw = Raw(link, f"insult {number}")
        codes.append(raw.welcome.get("code"))
        if codes[-1] is None:
            raw.send({"type": "bye"})
            raw.is_at_end()
        raw.close()
    return codes


def test_joins_without_end_are_stopped_and_a_host_comes_in() -> None:
    with nbchat.serve(port=0, history=None, limits=nbchat.Limits(comings=5)) as server:
        codes = come_and_go(server.invite(), 10)
        assert codes[:6] == [None] * 6
        assert codes[-1] == "too_often"
        with nbchat.connect(server, name="ada") as ada:
            assert ada.members == ["ada"]


def test_who_comes_after_a_flood_waits_a_moment_and_is_let_in(server: nbchat.Server) -> None:
    link = server.invite()
    assert come_and_go(link, 103) == [None] * 103
    with nbchat.connect(link, name="bob") as bob:
        assert bob.send("hi").wait().seq == 1


def test_a_runtime_folder_that_is_gone_does_no_harm(server: nbchat.Server) -> None:
    with nbchat.connect(server.invite(), name="bob"):
        shutil.rmtree(discovery._folder())
