"""Strangers in a real terminal: the command under a pseudo-terminal, its output in an emulator."""

from __future__ import annotations

import re
import subprocess

import pytest

import nbchat
from tests.net.hostile import HostileServer
from tests.ui.attacks import FOREIGN, OURS
from tests.ui.emulator import Emulator, sequences
from tests.ui.processes import PATIENCE, Terminal, nbchat_command, terminal
from tests.ui.test_faces import shows

OWN_LINE = re.compile(
    r"(?:eve|end)(?: \((?:host|unverified)\))?: |    |bob>|lobby: |\* (?:eve|end) |\* You are |\* ␛|$"
)
"""How a line may begin: with an author, with the program's own marks, or indented."""


def raw(program: Terminal) -> str:
    return program._raw.decode()


@pytest.fixture(scope="module")
def harmless() -> tuple[set[str], Emulator]:
    """What the program itself does to a terminal, where nobody means harm."""
    with (
        nbchat.serve(port=0, history=None) as server,
        nbchat.connect(server, name="eve") as eve,
        terminal(*nbchat_command("join", server.invite(), "--name", "bob")) as bob,
    ):
        bob.expect("bob>")
        for text in ("hello", "long " * 100, "two\nlines"):
            eve.send(text)
        bob.expect("lines")
        bob.expect("bob>")
        with nbchat.connect(server, name="end"):
            bob.expect("* end joined")
        bob.expect("* end left")
        bob.expect("bob>")
        bob.type("half")
        bob.expect("half")
        bob.type("\x15quit\r")
        bob.rest()
    return sequences(raw(bob)), Emulator().show(raw(bob))


def check(bob: Terminal, harmless: tuple[set[str], Emulator]) -> Emulator:
    """The terminal is as it is after a harmless talk, and no line passes for another's."""
    allowed, calm = harmless
    assert sequences(raw(bob)) - allowed == set()
    screen = Emulator().show(raw(bob))
    assert screen.manners == calm.manners
    assert screen.bells == 0
    assert screen.strange == calm.strange[: len(screen.strange)]
    assert all(re.fullmatch(r"\x1b\[\d+;\d+R", answer) for answer in screen.answers)  # its own questions
    assert [row for row in screen.rows if not OWN_LINE.match(row)] == []
    return screen


def test_what_a_member_can_say(harmless: tuple[set[str], Emulator]) -> None:
    limits = nbchat.Limits(rate=1e6, burst=10**6)
    with (
        nbchat.serve(port=0, history=None, limits=limits) as server,
        nbchat.connect(server, name="eve") as eve,
        terminal(*nbchat_command("join", server.invite(), "--name", "bob")) as bob,
    ):
        bob.expect("bob>")
        for text in OURS.values():
            eve.send(text)
        eve.send("that was all")
        bob.expect("that was all")
        bob.expect("bob>")  # before, the terminal itself would echo what is typed
        bob.type("quit\r")
        bob.rest()
        assert bob.process.wait(PATIENCE) == 0
    screen = check(bob, harmless)
    read = "".join(row.removeprefix("    ") for row in screen.rows)
    for text in OURS.values():
        shows(read, text)


def test_what_a_server_can_say(harmless: tuple[set[str], Emulator]) -> None:
    with (
        HostileServer() as server,
        terminal(*nbchat_command("join", server.link, "--name", "bob")) as bob,
    ):
        bob.expect("bob>")
        bob.type("mine\r")
        id = server.heard("say")["id"]
        for text in FOREIGN.values():
            server.say(
                {"type": "said", "text": text},
                {"type": "said", "text": "hi", "by": f"eve: {text}"},
                {"type": "joined", "member": {"name": f"eve {text}"}},
                {"type": "typing", "name": f"eve {text}"},
                {"type": "left", "name": f"eve {text}"},
            )
        server.say({"type": "refused", "code": "x", "text": FOREIGN["title"], "fatal": False, "id": id})
        server.say({"type": "said", "text": "that was all", "by": "end"})
        bob.expect("that was all")
        bob.expect("bob>")  # before, the terminal itself would echo what is typed
        bob.type("\x15quit\r")  # what was refused is in the line again
        bob.rest()
        assert bob.process.wait(PATIENCE) == 0
    screen = check(bob, harmless)
    read = "".join(row.removeprefix("    ") for row in screen.rows)
    for text in FOREIGN.values():
        shows(read, text)
    assert "* ␛]0;owned␇" in read


def test_the_prompt_and_the_end(harmless: tuple[set[str], Emulator]) -> None:
    """One's own name as the server gives it stands in the prompt; its reason ends the program."""
    for text in (
        FOREIGN["title"],
        FOREIGN["clipboard"],
        FOREIGN["title C1"],
        FOREIGN["place"],
        OURS["RLO"],
    ):
        with (
            HostileServer(name=f"bob> {text}", room=f"lobby: {text}") as server,
            terminal(*nbchat_command("join", server.link, "--name", "bob")) as bob,
        ):
            bob.expect("leaves.")
            server.say({"type": "closing", "reason": text, "final": True})
            bob.expect("the chat has ended")
            bob.rest()
            assert bob.process.wait(PATIENCE) == 1
        assert sequences(raw(bob)) - harmless[0] == set()
        screen = Emulator().show(raw(bob))
        assert (screen.manners, screen.bells) == (harmless[1].manners, 0)


def test_a_pipe_gets_text_and_nothing_else() -> None:
    with HostileServer() as server:
        command = nbchat_command("join", server.link, "--name", "bob")
        program = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        try:
            for text in {**FOREIGN, **OURS}.values():
                server.say(
                    {"type": "said", "text": text}, {"type": "joined", "member": {"name": f"eve {text}"}}
                )
            server.say({"type": "closing", "reason": FOREIGN["title"], "final": True})
            assert program.stdout is not None
            assert program.stderr is not None
            out, err = program.stdout.read(), program.stderr.read()  # with its input still open
        finally:
            program.kill()
            program.communicate()
    assert sequences(out) | sequences(err) == set()
    assert "the chat has ended: ␛]0;owned␇" in err
    assert [
        line
        for line in (out + err).split("\n")
        if not re.match(r"eve( \(\w+\))?: |    |\* eve |nbchat: the|$", line)
    ] == []


def test_standard_input_from_a_file_and_output_to_a_terminal(harmless: tuple[set[str], Emulator]) -> None:
    """Then the lines are folded as well."""
    with (
        HostileServer() as server,
        terminal(
            "sh", "-c", 'exec "$@" </dev/null', "sh", *nbchat_command("join", server.link, "--name", "bob")
        ) as bob,
    ):
        server.say(*({"type": "said", "text": text} for text in {**FOREIGN, **OURS}.values()))
        bob.rest()
    assert sequences(raw(bob)) == set()
    screen = Emulator().show(raw(bob))
    assert screen.is_untouched
    assert [row for row in screen.rows if not re.match(r"eve( \(\w+\))?: |    |$", row)] == []
