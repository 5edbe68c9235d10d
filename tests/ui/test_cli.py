"""The nbchat command's doors: --lan, invitations, links that nobody else sees."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import nbchat
from nbchat.net import discovery
from nbchat.net.link import parse
from nbchat.server import interfaces
from nbchat.ui import cli
from tests.ui.processes import terminal

NETWORK = "127.0.0.2"

pytestmark = pytest.mark.skipif(sys.platform == "darwin", reason="127.0.0.2 is not there by itself")


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """``nbchat serve`` in a network, stopped as soon as it has said what it says."""
    monkeypatch.setattr(interfaces, "lan_address", lambda: NETWORK)
    monkeypatch.setattr(cli, "signal", SimpleNamespace(SIGINT=2, SIGTERM=15, signal=lambda *_: None))

    class Stopped(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            return True

    monkeypatch.setattr(cli, "threading", SimpleNamespace(Event=Stopped))


@pytest.mark.parametrize("option", ["--invite", "--qr", None])
def test_serving_the_network(at_once: None, option: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["serve", "--lan", "--port", "0", *([option] if option else [])]) == 0
    shown = capsys.readouterr().out
    assert f"on nbchat://{NETWORK}:" in shown
    links = [word for word in shown.split() if "#k=" in word]
    if option is None:
        assert links == []
        assert "--invite prints a link" in shown
    else:
        assert parse(links[0]).pin
        assert ("█" in shown) is (option == "--qr")


@pytest.mark.parametrize("arguments", [["--qr"], ["--invite"], ["--lan", "--qr"]])
def test_a_qr_code_for_this_machine_only_is_no_use(
    at_once: None, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["serve", "--port", "0", *arguments]) == 0
    assert ("This link leads to this machine only" in capsys.readouterr().err) is (arguments == ["--qr"])


def test_a_qr_code_that_does_not_fit(
    at_once: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nbchat.render.wrap.columns", lambda: 40)
    assert cli.main(["serve", "--port", "0", "--lan", "--qr"]) == 0
    shown = capsys.readouterr()
    assert "█" not in shown.out
    assert "columns, and this terminal has 40: make it wider." in shown.err


def test_the_link_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interfaces, "lan_address", lambda: NETWORK)
    with nbchat.serve(port=0, lan=True) as server, pytest.MonkeyPatch.context() as elsewhere:
        monkeypatch.setenv("NBCHAT_URL", server.invite("room 1", name="ada"))
        elsewhere.setattr(discovery, "here", {})  # as in another process
        with nbchat.connect() as ada:
            assert (ada.name, ada.room) == ("ada", "room 1")
            assert ada._receiver._where.pin


def test_a_link_that_is_typed_is_not_seen(server: nbchat.Server) -> None:
    link = server.invite(name="ada")
    with terminal(sys.executable, "-m", "nbchat", "join", "-") as person:
        person.expect("Link: ")
        person.type(link + "\n")
        shown = person.expect("ada>")
        assert parse(link).secret not in shown
        person.type("quit\n")
        assert parse(link).secret not in person.rest()


def test_a_link_in_a_file_leaves_the_lines_after_it(
    server: nbchat.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "lines"
    file.write_text("nbchat://x\nrest\n")
    with file.open() as stream:
        monkeypatch.setattr(sys, "stdin", stream)
        assert cli._typed_link() == "nbchat://x"
        assert os.read(stream.fileno(), 100) == b"rest\n"


def test_without_a_command_it_says_which_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "start a chat on this machine" in said.err
    assert "join a chat" in said.err


def test_errors_say_what_is_typed_here() -> None:
    assert cli._as_commands("Start it with nbchat.serve('two words').") == (
        "Start it with nbchat serve 'two words'."
    )
    assert "pathlib" not in cli._as_commands(discovery.Target()._nobody())
    assert "nbchat join -, which asks for the link" in cli._as_commands(discovery.Target()._nobody())
    assert cli._as_commands("nbchat.serve() or nbchat.serve(process=False)") == (
        "nbchat serve or nbchat.serve(process=False)"
    )
    assert cli._as_commands("type this first: import os; os.environ['NBCHAT_FORWARDERS'] = 'www'") == (
        "type this first: export NBCHAT_FORWARDERS=www"
    )


def test_help_says_where_a_link_can_be(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["join", "--help"])
    told: Any = " ".join(capsys.readouterr().out.split())
    assert "NBCHAT_URL" in told
    assert "standard input" in told
