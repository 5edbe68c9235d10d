"""The examples run, against a server on a free port."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import nbchat
from nbchat.net.link import parse
from nbchat.server import interfaces

pytestmark = pytest.mark.own_ports

EXAMPLES = Path(__file__).parent.parent / "examples"
PATIENCE = 30


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[nbchat.Server]:
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))
    with nbchat.serve(port=0) as server:
        yield server


class Program:
    """An example as a process; it is ended when it takes too long, so that no read waits for ever."""

    def __init__(self, name: str, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(EXAMPLES / name), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            env={**os.environ, "PYTHONUTF8": "1"},
        )
        self._patience = threading.Timer(PATIENCE, self._process.kill)
        self._patience.start()

    def line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def end(self) -> tuple[int, str]:
        """Its exit status and what it wrote to standard error, once it has ended by itself."""
        assert self._process.stderr is not None
        return self._process.wait(), self._process.stderr.read()

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *error: object) -> None:
        self._patience.cancel()
        self._process.kill()
        self._process.communicate()


def test_the_minimal_client_prints_old_and_new_messages(server: nbchat.Server) -> None:
    with nbchat.connect(server, name="ada") as ada:
        ada.send("before").wait()
        with Program("minimal_client.py", server.invite(), "printer") as printer:
            assert printer.line() == "ada: before\n"
            assert "printer" in server.members
            ada.send("two\nlines, schön").wait()
            assert printer.line() == "ada: two\n"
            assert printer.line() == "  lines, schön\n"
            server.stop()
            status, words = printer.end()
    assert (status, words.strip()) == (1, "The server was stopped.")


def test_the_minimal_client_goes_to_the_room_of_the_link(server: nbchat.Server) -> None:
    with nbchat.connect(server, name="ada", room="blue room") as ada:
        ada.send("hi").wait()
        with Program("minimal_client.py", server.invite("blue room"), "ada") as printer:
            assert printer.line() == "ada: hi\n"
            assert "ada2" in server.members


def test_the_minimal_client_does_not_talk_to_whoever_lacks_the_secret(server: nbchat.Server) -> None:
    wrong = f"{server.invite().rpartition('.')[0]}.wrong"
    with Program("minimal_client.py", wrong, "printer") as printer:
        status, words = printer.end()
    assert status == 1
    assert "does not know this link's secret" in words
    assert server.members == []


@pytest.mark.skipif(sys.platform == "darwin", reason="127.0.0.2 is not there by itself")
def test_the_minimal_client_goes_into_a_network_and_knows_the_certificate(
    server: nbchat.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interfaces, "lan_address", lambda: "127.0.0.2")
    with nbchat.serve(port=0, lan=True) as far, nbchat.connect(far, name="tom") as tom:
        tom.send("hi").wait()
        with Program("minimal_client.py", far.invite(), "printer") as printer:
            assert printer.line() == "tom: hi\n"
        pin = parse(far.url).pin
        with Program("minimal_client.py", far.invite().replace(pin, f"sha256:{'0' * 64}"), "ada") as stranger:
            status, words = stranger.end()
            assert (status, "shows another certificate than this link's" in words) == (1, True)
        with Program("minimal_client.py", far.invite().replace(f"?pin={pin}", ""), "ada") as cut:
            assert cut.end() == (1, "This link lacks its pin. Copy it whole.\n")
        assert "ada" not in far.members


@pytest.mark.skipif(sys.platform == "win32", reason="no such signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_bot_answers_until_it_is_told_to_end(server: nbchat.Server, number: signal.Signals) -> None:
    with nbchat.connect(server, name="ada") as ada, Program("bot.py", server.invite()) as bot:
        ada.wait_for(lambda message: message.by == "helper", PATIENCE)
        ada.send("When is the deadline?").wait()
        assert ada.wait_for(lambda message: message.auto, PATIENCE).text == "Friday at noon."
        bot.signal(number)
        status, words = bot.end()
        assert (status, words) == (0, "")
        assert bot.line() == "ada: When is the deadline?\n"
        assert server.members == ["ada"]  # it has said goodbye


def test_the_bot_says_why_when_it_may_not_stay(server: nbchat.Server) -> None:
    with nbchat.connect(server, name="ada") as ada, Program("bot.py", server.invite()) as bot:
        ada.wait_for(lambda message: message.by == "helper", PATIENCE)
        server.ban("helper")
        status, words = bot.end()
        assert status == 1
        assert "banned" in words.splitlines()[-1]


def test_the_bot_is_the_one_in_the_readme() -> None:
    example = (EXAMPLES / "bot.py").read_text("utf-8")
    assert f"```python\n{example}```" in (EXAMPLES.parent / "README.md").read_text("utf-8")
