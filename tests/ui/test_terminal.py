"""The chat in a terminal, and in a pipe."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import nbchat
from nbchat.core.transcript import Message, Row
from nbchat.ui.terminal import words
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
        bob.type(leave)
        assert "Traceback" not in bob.rest()
        assert bob.process.wait(PATIENCE) == 0
        assert link.partition("#k=")[2] not in bob._raw.decode()


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


def test_errors_are_one_line(server: nbchat.Server) -> None:
    with nbchat.connect(server, name="ada"):
        taken = pipe(server.invite(), "--name", "Ada", lines="")
    assert (taken.returncode, taken.stdout) == (1, "")
    assert taken.stderr == "nbchat: The name 'Ada' is taken in this room. 'Ada2' is free.\n"
    nowhere = pipe("nowhere", lines="")
    assert nowhere.returncode == 1
    assert nowhere.stderr.startswith("nbchat: No chat named 'nowhere' runs on this machine.")
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
        assert "Traceback" not in serving.rest()
        assert serving.process.wait(PATIENCE) == 0
