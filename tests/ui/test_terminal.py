"""The chat in a terminal, and in a pipe."""

from __future__ import annotations

import gc
import io
import re
import shlex
import subprocess
import weakref
from pathlib import Path

import pytest

import nbchat
from nbchat.client.state import Outgoing
from nbchat.core.transcript import Message, Row
from nbchat.ui.completion import completions
from nbchat.ui.terminal import _pipe, words
from tests.net.helpers import saw
from tests.ui.processes import PATIENCE, nbchat_command, terminal


@pytest.mark.parametrize("leave", ["quit\r", "\x04", "\x03"], ids=["quit", "Ctrl-D", "Ctrl-C"])
def test_a_person(server: nbchat.Server, leave: str) -> None:
    """What arrives is printed above the line being typed; three ways to leave, all with status 0."""
    link = server.invite()
    with (
        nbchat.connect(server, name="ada") as ada,
        terminal(*nbchat_command("join", link, "--name", "bob")) as bob,
    ):
        bob.expect("bob>")
        bob.type("half a li")
        bob.expect("half a li")
        ada.send("in between")
        bob.expect("ada (host): in between")
        bob.expect("half a li")  # the line being typed is drawn again below
        bob.type("ne\r")
        assert ada.wait_for(lambda message: message.by == "bob").text == "half a line"
        bob.expect("bob: half a line")
        bob.expect("bob>")
        bob.type("no, not this\x03")  # Ctrl-C takes it back
        bob.type("this\r")
        assert ada.wait_for(lambda message: message.by == "bob").text == "this"
        bob.expect("bob: this")
        bob.expect("bob>")
        bob.type(leave)
        assert "Traceback" not in bob.rest()
        assert bob.process.wait(PATIENCE) == 0
        assert link.partition("#k=")[2] not in bob._raw.decode()


def test_ctrl_z_goes_back_to_the_shell_and_fg_to_the_chat(server: nbchat.Server) -> None:
    command = shlex.join(nbchat_command("join", server.invite(), "--name", "bob"))
    with (
        nbchat.connect(server, name="ada") as ada,
        terminal("bash", "--norc", "--noediting", "-i", PS1="shell$ ") as shell,
    ):
        shell.expect("shell$ ")
        shell.type(f"{command}\n")
        shell.expect("bob>")
        shell.type("half")
        shell.expect("half")
        shell.type("\x1a")
        shell.expect("Stopped")
        shell.type("echo $((6 * 7))\n")
        shell.expect("42")
        ada.send("meanwhile").wait()
        shell.type("fg\n")
        shell.expect("ada (host): meanwhile")
        shell.expect("half")
        shell.type(" a line\r")
        assert ada.wait_for(lambda message: message.by == "bob").text == "half a line"
        shell.expect("bob: half a line")  # while a line is printed the system has the keys
        shell.expect("bob>")
        shell.type("\x04")
        shell.expect("shell$ ")
        shell.type("exit\n")
        shell.rest()


def test_tab_completes_names_and_commands(server: nbchat.Server) -> None:
    with (
        nbchat.connect(server, name="ada lovelace") as ada,
        terminal(*nbchat_command("join", server.invite(), "--name", "bob")) as bob,
    ):
        bob.expect("bob>")
        bob.type("hi @ad\t!\r")
        assert ada.wait_for(lambda message: message.by == "bob").text == "hi @ada lovelace !"
        bob.expect("bob>")
        bob.type("/ho\t\r")
        bob.expect("* Hosts here: ada lovelace.")
        bob.type("quit\r")
        bob.rest()


def test_what_can_be_completed(server: nbchat.Server) -> None:
    with (
        nbchat.connect(server, name="ada lovelace") as ada,
        nbchat.connect(server.invite(), name="José") as jose,
        nbchat.connect(server.invite(), name="bob"),
    ):
        saw(ada, "ada lovelace", "José", "bob")
        saw(jose, "ada lovelace", "José", "bob")

        def offered(client: nbchat.Client, before: str) -> list[str]:
            return [before[: len(before) - len(typed)] + text for typed, text in completions(client, before)]

        assert offered(ada, "hi @") == ["hi @bob ", "hi @José ", "hi @ada lovelace "]
        assert offered(ada, "@JOSE") == ["@José "]
        assert offered(ada, "(@bo") == ["(@bob "]
        assert offered(jose, "@love") == ["@ada lovelace "]
        assert offered(jose, "@ada lov") == ["@ada lovelace "]
        assert offered(ada, "/mute b") == ["/mute bob "]
        assert offered(ada, "/mute @b") == ["/mute @bob "]
        assert offered(ada, "/announce o") == ["/announce on", "/announce off"]
        assert offered(ada, "/UNB") == ["/unban "]
        assert offered(ada, "/lo") == ["/lock"]
        assert offered(jose, "/lo") == []  # for hosts
        for nothing in ("", "bo", "x@bo", "hi @bob how", "//lo", "/lock b", "/nothing b", "@zzz"):
            assert offered(ada, nothing) == []


def test_a_mention_rings_once_and_is_bold(server: nbchat.Server) -> None:
    with nbchat.connect(server, name="ada") as ada:
        ada.send("@bob before you came").wait()
        with terminal(*nbchat_command("join", server.invite(), "--name", "bob")) as bob:
            bob.expect("bob>")
            ada.send("`@bob` is code, and @bobby another")
            bob.expect("another")
            ada.send("@Bob: two\nlines")
            bob.expect("lines")
            bob.type("I am @bob\r")
            bob.expect("bob: I am @bob")  # the echo of the typing may come with it
            bob.type("quit\r")
            bob.rest()
        assert bob._raw.count(b"\a") == 1
        assert b"\x1b[1mada (host): @Bob: two\x1b[0m" in bob._raw
        assert b"\x1b[1m    lines\x1b[0m\x07" in bob._raw
        assert b"\x1b[36mada\x1b[0m (host): `@bob`" in bob._raw
        assert b"\x1b[32mbob\x1b[0m: I am" in bob._raw
        assert b"\x1b[1mada (host): @bob before" not in bob._raw


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=["NO_COLOR", "dumb"])
def test_no_colours(server: nbchat.Server, environment: dict[str, str]) -> None:
    with (
        nbchat.connect(server, name="ada") as ada,
        terminal(*nbchat_command("join", server.invite(), "--name", "bob"), **environment) as bob,
    ):
        bob.expect("bob>")
        ada.send("@bob hi").wait()
        bob.expect("ada (host): @bob hi")
        bob.type("quit\r")
        bob.rest()
        assert bob.process.wait(PATIENCE) == 0
    assert re.findall(rb"\x1b\[(?:[1-9]|3\d)m", bob._raw) == []


def test_strangers_control_characters_are_made_visible(server: nbchat.Server) -> None:
    row = Row(1, "said", "eve", Message(1, "eve", "a\x1b]0;title\x07b\u202ec\nboss: hi", 0))
    assert words(row) == "eve: a␛]0;title␇b<U+202E>c\n    boss: hi"
    with (
        nbchat.connect(f"plain://127.0.0.1:{server.port}", name="eve") as eve,
        terminal(*nbchat_command("join", server.invite(), "--name", "bob")) as bob,
    ):
        bob.expect("bob>")
        eve._receiver._loop.call_soon_threadsafe(
            eve._receiver._conn.write, b"red \x1b[31m title \x1b]0;x\x07 end"
        )
        bob.expect("eve (unverified): red ␛[31m title ␛]0;x␇ end")
        assert b"\x1b]0;" not in bob._raw


def test_what_is_typed_without_a_server_is_shown_as_waiting() -> None:
    server = nbchat.serve("class", port=0, history=None)
    with terminal(*nbchat_command("join", "class", "--name", "bob")) as bob:
        bob.expect("bob>")
        server.stop()
        bob.expect("* reconnecting: ")
        bob.type("into the void\r")
        bob.expect("* is sent when the chat is back: into the void")
        bob.type("quit\r")
        assert "nbchat: The client was closed before the server confirmed 'into the void'." in bob.rest()
        assert bob.process.wait(PATIENCE) == 1


def pipe(*arguments: str, lines: str) -> subprocess.CompletedProcess[str]:
    command = nbchat_command("join", *arguments)
    return subprocess.run(command, input=lines, capture_output=True, text=True, timeout=PATIENCE)


def test_a_pipe_sends_every_line_and_waits_for_the_receipts(server: nbchat.Server) -> None:
    with nbchat.connect(server, name="ada") as ada:
        done = pipe(server.invite(), "--name", "bob", lines="one\n\ntwo\nlast without its newline")
        assert (done.returncode, done.stderr) == (0, "")
        said = ["bob: one", "bob: two", "bob: last without its newline"]
        assert done.stdout.splitlines() == said
        assert ada.wait_for(lambda message: message.text.startswith("last")).seq == 3
        assert ada.transcript() == said


def test_a_pipe_says_what_it_could_not_send(server: nbchat.Server) -> None:
    done = pipe(server.invite(), "--name", "bob", lines="fine\nbell \x07\nfine again\n")
    assert done.returncode == 1
    assert "line 2 was not sent" in done.stderr
    assert done.stdout.splitlines() == ["bob: fine", "bob: fine again"]


def test_a_refusal_is_said_when_it_happens(server: nbchat.Server) -> None:
    """Not at the end, which a log that grows has not; and the pipe goes on."""
    with (
        nbchat.connect(server, name="ada") as ada,
        subprocess.Popen(
            nbchat_command("join", server.invite(), "--name", "bob"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            bufsize=1,
        ) as bob,
    ):
        assert bob.stdin is not None
        assert bob.stdout is not None
        assert bob.stderr is not None
        saw(ada, "ada", "bob")
        server.announce_only(True)
        bob.stdin.write("one\n")
        assert bob.stderr.readline() == "nbchat: 'one' was not sent: Only hosts may speak in this room now.\n"
        bob.stdin.write("bell \x07\n")
        assert bob.stderr.readline().startswith("nbchat: line 2 was not sent: ")
        server.announce_only(False)
        bob.stdin.write("three\n")
        assert ada.wait_for(lambda message: message.by == "bob").text == "three"
        bob.stdin.close()
        assert bob.wait(PATIENCE) == 1


def test_a_pipe_keeps_nothing_of_what_was_said(
    server: nbchat.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long it runs: of each message no more stays than of anybody's."""
    kept: weakref.WeakSet[Outgoing] = weakref.WeakSet()
    with nbchat.serve(port=0, limits=nbchat.Limits(rate=1e6, burst=10**6)) as quick:
        client = nbchat.connect(quick, name="bob")
        send = client.send

        def counted(text: str) -> Outgoing:
            message = send(text)
            kept.add(message)
            return message

        monkeypatch.setattr(client, "send", counted)
        monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{number}\n" for number in range(3000))))
        assert _pipe(client) == 0
        assert client.messages[-1].text == "2999"
        gc.collect()
        assert len(kept) <= 1
        client.close()


def test_a_line_without_end(server: nbchat.Server) -> None:
    done = pipe(server.invite(), "--name", "bob", lines=f"one\n{'x' * (2**20 + 7)}\nthree\n")
    assert (done.returncode, done.stdout) == (1, "bob: one\nbob: three\n")
    assert done.stderr == "nbchat: line 2 was not sent: it is longer than 1,048,576 characters.\n"


def test_what_is_to_be_copied_is_quoted() -> None:
    with terminal(*nbchat_command("serve", "two words", "--port", "0", "--invite")) as serving:
        serving.expect("nbchat join 'two words'")
        serving.expect("nbchat join 'nbchat://127.0.0.1:")
        serving.expect("'\r\n")
        serving.expect('nbchat.join("nbchat://127.0.0.1:')
        serving.expect("Ctrl-C stops it.")
        serving.type("\x03")
        serving.rest()


def test_errors_are_one_line(server: nbchat.Server) -> None:
    with nbchat.connect(server, name="ada"):
        taken = pipe(server.invite(), "--name", "Ada", lines="")
    assert (taken.returncode, taken.stdout) == (1, "")
    assert taken.stderr == "nbchat: The name 'Ada' is taken in this room. 'Ada2' is free.\n"
    nowhere = pipe("nowhere", lines="")
    assert nowhere.returncode == 1
    assert nowhere.stderr.startswith("nbchat: No chat named 'nowhere' runs on this machine.")
    assert nowhere.stderr.endswith("Start it with nbchat serve nowhere.\n")  # as it is typed here
    assert nowhere.stderr.count("\n") == 1


def test_a_damaged_history_is_a_line_too(data_folder: Path) -> None:
    data_folder.mkdir(parents=True)
    (data_folder / "class.sqlite").write_bytes(b"noise" * 1000)
    with terminal(*nbchat_command("serve", "class", "--port", "0")) as serving:
        serving.expect("nbchat: The history in ")
        serving.expect("was damaged (file is not a database). Nothing of it was deleted")
        assert "Warning" not in serving.expect("Ctrl-C stops it.")
        serving.type("\x03")
        serving.rest()


def test_serve_from_the_command_line() -> None:
    with terminal(*nbchat_command("serve", "class", "--port", "0", "--invite")) as serving:
        serving.expect("Invitation, good for 12 hours:  ")
        link = serving.expect("\r\n")
        serving.expect("Ctrl-C stops it.")
        with nbchat.connect(link, name="ada") as by_link, nbchat.connect("class", name="bob") as by_name:
            assert (by_link.role, by_name.role) == ("member", "host")
            by_link.send("hello").wait()
            assert by_name.wait_for(lambda message: True).text == "hello"
        serving.type("\x03")
        serving.expect("The chat has stopped.")
        assert "Traceback" not in serving.rest()
        assert serving.process.wait(PATIENCE) == 0
