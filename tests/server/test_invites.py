"""Invitations: for a name, for one use, for a host; made void; as a picture; and who guesses."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pyte
import pytest
import zxingcpp
from PIL import Image

import nbchat
from nbchat.core.errors import BadName, Refused, UsageError
from nbchat.net import discovery
from nbchat.net.link import parse
from nbchat.server.qr import Invitation
from nbchat.server.runner.process import ServerProcess
from tests.net.helpers import PATIENCE, Raw

pytestmark = pytest.mark.own_ports


@pytest.fixture(params=[False, True], ids=["thread", "process"])
def class_room(request: pytest.FixtureRequest) -> Iterator[nbchat.Server]:
    with nbchat.serve("class", process=request.param) as server:
        yield server


def refused(link: str, **join: Any) -> dict[str, Any]:
    """What a client that goes on whatever the server's proof is gets in the end."""
    raw = Raw(link, join.pop("name", "eve"), **join)
    raw.close()
    return raw.welcome


def kill(server: nbchat.Server) -> None:
    """End a server's process, and wait until that is known here."""
    assert isinstance(server._runner, ServerProcess)
    assert server._runner._child is not None
    assert server._runner._reader is not None
    server._runner._child.kill()
    server._runner._reader.join(PATIENCE)


# ── for whom ────────────────────────────────────────────────────────────────────────────────────


def test_for_one_name(class_room: nbchat.Server) -> None:
    link = class_room.invite(name="ada")
    with pytest.raises(Refused, match="This link is for 'ada'") as caught:
        nbchat.connect(link, name="boss")
    assert (caught.value.code, caught.value.suggestion) == ("other_name", "ada")
    with nbchat.connect(link) as ada, nbchat.connect(link) as again:
        assert (ada.name, again.name) == ("ada", "ada2")


def test_for_one_name_that_is_typed_in_another_spelling(server: nbchat.Server) -> None:
    with nbchat.connect(server.invite(name="Ada"), name="ada") as ada:
        assert ada.name == "Ada"
        again = Raw(server.invite(name="ada"), "ada", exact=True)
        assert again.welcome["code"] == "name_in_use"


def test_for_a_host(class_room: nbchat.Server) -> None:
    link = class_room.invite(host=True)
    with nbchat.connect(link, name="ada") as ada, nbchat.connect(class_room.invite(), name="bob") as bob:
        assert (ada.role, bob.role) == ("host", "member")


def test_an_invited_host_is_not_taken_for_the_servers_own(class_room: nbchat.Server) -> None:
    own = class_room._running.key
    class_room.invite(host=True)
    again = nbchat.serve("class", limits=nbchat.Limits(text=100))
    assert again._running.key == own


def test_for_one_use(class_room: nbchat.Server) -> None:
    link = class_room.invite(once=True)
    first = Raw(link, "ada")
    session = first.welcome["session"]
    assert refused(link)["code"] == "link_ended"
    assert refused(link, session="0" * 32)["code"] == "link_ended"
    back = Raw(link, "ada", session=session)
    assert back.welcome["session"] == session
    for each in (first, back):
        each.close()


def test_who_was_refused_has_not_used_it_up(server: nbchat.Server) -> None:
    link = server.invite(once=True)
    with nbchat.connect(server, name="ada"):
        assert refused(link, name="ada")["code"] == "name_in_use"
        with nbchat.connect(link, name="bob") as bob:
            assert bob.status == "connected"


@pytest.mark.parametrize("process", [False, True])
def test_what_is_used_up_stays_so_after_a_restart_and_its_user_comes_back(process: bool) -> None:
    with nbchat.serve("class", port=0, process=process) as server:
        link, port = server.invite(once=True), server.port
        first = Raw(link, "ada")
    with nbchat.serve("class", port=port):
        assert refused(link)["code"] == "link_ended"
        back = Raw(link, "ada", session=first.welcome["session"])
        assert back.welcome["type"] == "welcome"
        first.close()
        back.close()


@pytest.mark.parametrize("is_killed", [False, True])
def test_what_is_used_up_stays_so_when_a_child_in_memory_is_followed_by_another(is_killed: bool) -> None:
    server = nbchat.serve("class", history=None, process=True)
    link, other = server.invite(once=True), server.invite()
    first = Raw(link, "ada")
    if is_killed:
        kill(server)
    nbchat.serve("class", history=None, process=True, limits=nbchat.Limits(text=100))
    # Whether it was used a killed child cannot tell any more: then nothing is known of it.
    assert refused(link)["code"] == ("bad_key" if is_killed else "link_ended")
    assert refused(other)["type"] == "welcome"
    first.close()


def test_what_an_invitation_may_be(server: nbchat.Server) -> None:
    for wrong in ({"once": 1}, {"host": "yes"}, {"qr": None}, {"hours": True}):
        with pytest.raises(UsageError):
            server.invite(**wrong)  # type: ignore[call-overload]
    for name in ("system", "", "a/b"):
        with pytest.raises(BadName):
            server.invite(name=name)
    with pytest.raises(BadName):
        server.invite("a/b")


# ── made void ───────────────────────────────────────────────────────────────────────────────────


def test_revoked_links_are_useless_but_who_is_inside_stays_and_can_come_back(
    class_room: nbchat.Server,
) -> None:
    link, other = class_room.invite(), class_room.invite(host=True)
    inside = Raw(link, "ada")
    class_room.revoke_invites()
    for each in (link, other):
        assert refused(each)["code"] == "link_ended"
        with pytest.raises(Refused, match="The host has made this link void"):
            nbchat.connect(each, name="eve")
    inside.send({"type": "say", "id": "1", "text": "still here"})
    assert inside.receive("said")["text"] == "still here"
    back = Raw(link, "ada", session=inside.welcome["session"])
    assert back.welcome["type"] == "welcome"
    with nbchat.connect(class_room, name="tom") as tom:  # the host's own way in
        assert tom.role == "host"
    with nbchat.connect(class_room.invite(), name="bob"):
        pass
    inside.close()
    back.close()


def test_void_links_stay_void_after_a_restart() -> None:
    with nbchat.serve("class", port=0) as server:
        link, port = server.invite(), server.port
        server.revoke_invites()
        later = server.invite()
    with nbchat.serve("class", port=port):
        assert refused(link)["code"] == "link_ended"
        assert Raw(later, "ada").welcome["type"] == "welcome"


def test_void_links_stay_void_when_a_killed_child_is_followed_by_another() -> None:
    server = nbchat.serve("class", history=None, process=True)
    link, port = server.invite(), server.port
    server.revoke_invites()
    kill(server)
    again = nbchat.serve("class", history=None, process=True)
    assert again.port == port
    assert refused(link)["code"] == "link_ended"


# ── who guesses ─────────────────────────────────────────────────────────────────────────────────


def test_every_failure_has_the_same_words(server: nbchat.Server) -> None:
    """For who does not have the secret: that of an ended, used or void link is told what became of it."""

    def guessed(link: str) -> str:
        return link[:-1] + ("A" if link[-1] != "A" else "B")

    ended, used, void, good = (server.invite(hours=1e-9), server.invite(once=True), server.invite(),
                               server.invite())  # fmt: skip
    first = Raw(used, "ada")
    unknown = good.replace(parse(good).key_id, "ffffffff")
    said = [refused(each) for each in (guessed(ended), guessed(used), unknown, guessed(good))]
    server.revoke_invites()
    said.append(refused(guessed(void)))
    assert all(each == said[0] for each in said)
    assert said[0]["code"] == "bad_key"
    first.close()


def test_who_guesses_waits_and_who_knows_does_not(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "nbchat")
    with nbchat.serve(port=0, limits=nbchat.Limits(hello=4 * PATIENCE)) as server:
        link = server.invite()
        wrong = link[:-1] + ("A" if link[-1] != "A" else "B")
        clock = [0.0]

        def failed(shell: Any) -> None:
            guesses = shell.door._guesses
            shell._failed, shell._guessed = guesses.failed, 0

            def counted(where: str, now: float) -> float:
                shell._guessed += 1
                return shell._failed(where, clock[0])  # type: ignore[no-any-return]

            guesses.failed = counted

        server._runner.ask(failed)
        assert [refused(wrong)["code"] for _ in range(5)] == ["bad_key"] * 5
        waiting = Raw(wrong)
        waiting.send({"type": "hello", "v": 1, "key": parse(wrong).key_id, "nonce": "0" * 32})
        waiting.receive("challenge")
        waiting.send({"type": "join", "name": "eve", "proof": "0" * 64})
        while server._runner.ask(lambda shell: shell._guessed) < 6:  # type: ignore[attr-defined]
            pass
        with nbchat.connect(link, name="ada") as ada:  # from the same address
            assert ada.send("in").wait().seq == 1
        waiting.socket.setblocking(False)
        with pytest.raises(BlockingIOError):
            waiting.socket.recv(1)
        waiting.close()
        clock[0] = 61.0
        assert refused(wrong)["code"] == "bad_key"
    told = [record.getMessage() for record in caplog.records]
    assert told == [
        "5 wrong proofs came from 127.0.0.1 within a minute; more are answered slowly for a minute"
    ]


def test_who_waits_is_told_in_the_end_in_the_same_words() -> None:
    with nbchat.serve(port=0, limits=nbchat.Limits(hello=0.2, guesses=1)) as server:
        link = server.invite()
        wrong = link[:-1] + ("A" if link[-1] != "A" else "B")
        assert refused(wrong) == refused(wrong)


# ── as a picture ────────────────────────────────────────────────────────────────────────────────


def decoded(rows: list[list[bool]]) -> str:
    """What a reader sees in a picture of dark (True) and light modules."""
    scale = 4
    picture = Image.new("L", (len(rows[0]) * scale, len(rows) * scale), 255)
    for y, row in enumerate(rows):
        for x, is_dark in enumerate(row):
            if is_dark:
                picture.paste(0, (x * scale, y * scale, (x + 1) * scale, (y + 1) * scale))
    (found,) = zxingcpp.read_barcodes(picture)
    return str(found.text)


@pytest.fixture
def invitation(server: nbchat.Server) -> Invitation:
    return server.invite(qr=True)


def test_a_phone_reads_the_picture_in_the_notebook(invitation: Invitation) -> None:
    shown = invitation._repr_html_()
    size = int(re.findall(r'viewBox="0 0 (\d+) \1"', shown)[0])
    (path,) = re.findall(r'stroke="#000" d="([^"]+)"', shown)
    rows = [[False] * size for _ in range(size)]
    x, y = 0, 0.0
    for kind, numbers in re.findall(r"([MmHh])([-\d. ]+)", path):
        values = [float(each) for each in re.findall(r"-?[\d.]+", numbers)]
        if kind == "M":
            x, y = int(values[0]), values[1]
        elif kind == "m":
            x, y = x + int(values[0]), y + values[1]
        else:
            assert kind == "h"
            for n in range(int(values[0])):
                rows[int(y)][x + n] = True
            x += int(values[0])
    assert decoded(rows) == invitation.link
    assert 'role="img"' in shown
    assert "aria-label=" in shown
    assert f'import nbchat\nnbchat.join("{invitation.link}")</code>' in shown
    assert "white-space:pre;" in shown  # no line of it is broken
    assert ">Copy</button>" in shown
    assert invitation.ends is not None
    assert f"Ends {datetime.fromtimestamp(invitation.ends).astimezone():%A, %d %B, %H:%M}." in shown
    assert "leads to this machine only" in shown
    nbchat.connect(invitation.link, name="ada").close()


def test_a_phone_reads_the_picture_in_a_terminal(invitation: Invitation) -> None:
    screen = pyte.Screen(200, 60)
    pyte.Stream(screen).feed(str(invitation).replace("\n", "\r\n"))
    assert screen.display[0].strip() == invitation.link
    rows: list[list[bool]] = []
    for line in range(2, 60):
        cells = [screen.buffer[line][x] for x in range(200)]
        drawn = [cell for cell in cells if cell.bg == "brightwhite"]
        if drawn:
            assert {cell.fg for cell in drawn} == {"black"}
            rows.append([cell.data in "▀█" for cell in drawn])
            rows.append([cell.data in "▄█" for cell in drawn])
    assert decoded(rows) == invitation.link


def test_its_repr_tells_no_secret(invitation: Invitation) -> None:
    secret = parse(invitation.link).secret
    assert secret not in repr(invitation)
    assert secret not in repr([invitation])
    assert discovery.running()[0].address.link in repr(invitation)
