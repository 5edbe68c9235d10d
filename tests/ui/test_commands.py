"""Lines that begin with a slash: what is said, what is asked for, what a person is told."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from typing import get_args

import pytest

import nbchat
from nbchat.core.errors import UsageError
from nbchat.core.escape import indented
from nbchat.core.frames import Deeds, Moderate, Rules
from nbchat.render import wrap
from nbchat.ui import commands
from tests.net.helpers import saw, until


@pytest.fixture
def ada(server: nbchat.Server) -> Iterator[nbchat.Client]:
    """A host, in a room with bob and "mary ann"."""
    with (
        nbchat.connect(server, name="ada") as ada,
        nbchat.connect(server.invite(), name="bob"),
        nbchat.connect(server.invite(), name="bob 2"),
        nbchat.connect(server.invite(), name="mary ann"),
    ):
        saw(ada, "ada", "bob", "bob 2", "mary ann")
        yield ada


def asked(client: nbchat.Client, line: str, monkeypatch: pytest.MonkeyPatch) -> Moderate | Rules:
    """What a command asks of the server, without asking."""
    found: list[Moderate | Rules] = []

    def ask(request: Moderate | Rules) -> Future[object]:
        found.append(request)
        return Future()

    monkeypatch.setattr(client._receiver, "ask", ask)
    assert commands.obey(client, line) is None
    return found[0]


def told(client: nbchat.Client) -> str:
    """The last notice."""
    return [row.text for row in client._state.transcript.rows if row.kind == "notice"][-1]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("hello", "hello"), ("a /kick bob", "a /kick bob"), (" /kick bob", " /kick bob"),
        ("//etc/passwd", "/etc/passwd"),
        ("///x", "//x"), ("/ 2", "/ 2"), ("/", "/"), ("/* a comment */", "/* a comment */"), ("//", "//"),
        ("// note", "// note"), ("/2", "/2"), ("", ""), ("//kick bob\nline two", "/kick bob\nline two"),
    ],
)  # fmt: skip
def test_what_is_no_command_is_said(ada: nbchat.Client, line: str, said: str) -> None:
    assert commands.obey(ada, line) == said
    assert commands.obey(ada, commands.typed(said)) == said


@pytest.mark.parametrize(
    ("line", "do", "name", "seconds", "seq"),
    [
        ("/kick bob", "kick", "bob", None, None),
        ("/KICK @bob ", "kick", "bob", None, None),
        ('/kick "mary ann"', "kick", "mary ann", None, None),
        ("/ban bob", "ban", "bob", None, None),
        ("/ban bob 60", "ban", "bob", 3600, None),
        ("/ban mary ann 1.5", "ban", "mary ann", 90, None),
        ("/mute bob", "mute", "bob", 600, None),
        ("/mute bob 10 minutes", "mute", "bob", 600, None),
        ("/mute bob 2", "mute", "bob 2", 600, None),  # somebody is called so
        ("/mute bob 2 3", "mute", "bob 2", 180, None),
        ("/unban bob", "unban", "bob", None, None),
        ("/unmute bob", "unmute", "bob", None, None),
        ("/slow 5", "slow", None, 5, None),
        ("/slow 2.5s", "slow", None, 2.5, None),
        ("/slow 0", "slow", None, 0, None),
        ("/announce on", "announce", None, None, None),
        ("/announce", "announce", None, None, None),
        ("/announce OFF", "unannounce", None, None, None),
        ("/lock", "lock", None, None, None),
        ("/unlock ", "unlock", None, None, None),
        ("/clear", "clear", None, None, None),
        ("/delete 42", "delete", None, None, 42),
        ("/delete #42", "delete", None, None, 42),
        ("/host bob", "host", "bob", None, None),
        ("/unhost bob", "unhost", "bob", None, None),
    ],
)
def test_commands(
    ada: nbchat.Client,
    monkeypatch: pytest.MonkeyPatch,
    line: str,
    do: str,
    name: str | None,
    seconds: float | None,
    seq: int | None,
) -> None:
    order = asked(ada, line, monkeypatch)
    assert isinstance(order, Moderate)
    assert (order.do, order.name, order.seconds, order.seq) == (do, name, seconds, seq)


def test_every_deed_has_a_command(ada: nbchat.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [each.usage for word, each in commands.COMMANDS.items() if each.for_hosts and word != "bans"]
    done = {asked(ada, line, monkeypatch).do for line in [*lines, "/announce off"]}  # type: ignore[union-attr]
    assert done == set(get_args(Deeds))


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("/kcik bob", "/kcik is no command, and was not sent. /help lists the commands."),
        ("/usr/bin/python", "begin it with two: //usr/bin/python"),
        ("/kick", "Whom\\? /kick bob"),
        ("/mute", "Whom\\? /mute bob 10"),
        ("/mute bob 0", "For how many minutes\\? /mute bob 10"),
        ("/mute ada soon", "'soon' is no time. Nothing was done. /mute bob 10 .*: /mute \"ada soon\""),
        ("/ban @ada 1h delte", "'1h delte' is no time. Nothing was done. /ban bob 60"),
        ("/slow", "How many seconds\\? /slow 5"),
        ("/slow fast", "How many seconds"),
        ("/slow nan", "How many seconds"),
        ("/announce maybe", "On or off"),
        ("/clear all", "/clear stands alone"),
        ("/delete nobody", "No message of 'nobody'"),
        ("/delete", "Whom"),
    ],
)
def test_what_is_written_wrongly_is_not_sent(ada: nbchat.Client, line: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        commands.obey(ada, line)
    assert ada.messages == []


def test_a_persons_newest_message_is_deleted_by_name(server: nbchat.Server, ada: nbchat.Client) -> None:
    with nbchat.connect(server.invite(), name="eve") as eve:
        for text in ("fine", "rude"):
            eve.send(text).wait()
        ada.wait_for(lambda message: message.text == "rude")
        assert commands.obey(ada, "/delete EVE") is None
        until(eve, lambda: eve.transcript() == ["eve: fine"])


def test_a_member_is_told_that_only_a_host_can(server: nbchat.Server) -> None:
    with nbchat.connect(server.invite(), name="bob") as bob:
        for word, command in commands.COMMANDS.items():
            if command.for_hosts:
                with pytest.raises(
                    UsageError, match=rf"Only a host can do that \(/{word}\). Nothing was sent"
                ):
                    commands.obey(bob, command.usage)
        commands.obey(bob, "/help")
        assert told(bob).splitlines()[1:] == [
            "/hosts  shows who is host",
            "/help  shows this",
            "//word  says a text that begins with a slash",
        ]
        commands.obey(bob, "/hosts")
        assert told(bob) == "Hosts here: none now."


def test_help_shows_a_host_everything(ada: nbchat.Client) -> None:
    commands.obey(ada, "/help")
    assert all(command.usage in told(ada) for command in commands.COMMANDS.values())
    commands.obey(ada, "/hosts")
    assert told(ada) == "Hosts here: ada."


def test_help_fits_into_a_terminal_of_24_rows(ada: nbchat.Client) -> None:
    commands.obey(ada, "/help")
    for columns in (80, 60):
        rows = wrap.folded(f"* {indented(told(ada))}", columns).split("\n")
        assert len(rows) < 24, (columns, rows)


def test_answers_are_for_this_person_alone(server: nbchat.Server, ada: nbchat.Client) -> None:
    commands.obey(ada, "/mute nobody")
    until(ada, lambda: any("There is no 'nobody' here" in row.text for row in ada._state.transcript.rows))
    server.mute("bob", 10)
    server.ban("mary ann")
    server.slow(5)
    server.announce_only()
    server.lock()
    commands.obey(ada, "/bans")
    until(ada, lambda: "Banned" in told(ada))
    first, banned, muted, *rest = told(ada).splitlines()
    assert (first, banned) == ("Only you see this.", "Banned: mary ann (until further notice)")
    assert muted.startswith("Muted: bob (until ")
    assert rest == [
        "Slow: 5 s between two messages of each member",
        "Only hosts may speak",
        "Locked: no newcomers",
    ]
    assert ada.messages == []


def test_a_plain_server_knows_no_hosts(server: nbchat.Server) -> None:
    with nbchat.connect(f"plain://127.0.0.1:{server.port}", name="pete") as pete:
        with pytest.raises(UsageError, match="Only a host"):
            commands.obey(pete, "/lock")
        with pytest.raises(nbchat.errors.Refused, match="knows no hosts"):
            pete.lock()


@pytest.mark.parametrize(
    ("line", "way"),
    [
        ("/nick bobby", "nbchat.join"), ("/me waves", "in words of your own"),
        ("/msg bob hi", "Nothing is private"),
        ("/w bob hi", "@name"), ("/who", "beside the messages"), ("/QUIT", "close the notebook"),
        ("/op bob", "/host bob"), ("/timeout bob 5", "/mute bob 10"), ("/join #cs101", "room="),
        ("/invite bob", "server.invite"),
    ],
)  # fmt: skip
def test_what_other_chats_have_is_refused_by_the_way_that_exists_here(
    ada: nbchat.Client, line: str, way: str
) -> None:
    with pytest.raises(UsageError, match=f"There is no {line.split()[0].lower()} here") as refused:
        commands.obey(ada, line)
    assert way in str(refused.value)
    assert ada.messages == []


def test_a_page_offers_every_command() -> None:
    listed = {str(each["word"]): each for each in commands.listed()}
    assert listed.keys() == commands.COMMANDS.keys()
    assert not listed["help"]["forHosts"]
    assert listed["kick"]["forHosts"]
    assert listed["mute"]["usage"] == "/mute bob 10"
