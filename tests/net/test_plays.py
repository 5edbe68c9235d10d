"""The conversations in tests/plays/, each played with bare sockets against a server of its own.

A play is a text file; its first lines (``#``) say what it shows. Then one step a line:

    ann connects as "ann"              hello, challenge, proof, join; the welcome is taken
    ann connects as "ann" with {...}   the same, with more fields in the join
    ann greets                         hello and challenge only; <ann.proof> is her proof from then on
    ann greets with the key "x"        the same with another key
    ann opens                          a connection, no more
    ann sends {...}                    a line
    ann sends the bytes "..."          anything, with Python's escapes
    ann sends a line of 5000 bytes
    ann receives {...}                 her next line, and it has at least these fields
    ann has ended                      the server has closed her connection
    ann hangs up                       without a goodbye

``"…"`` stands for any value. ``"<word>"`` does, too, the first time; from then on it is that value. What
a welcome brought is known as ``<ann.session>``, ``<ann.log_id>`` and so on.
"""

from __future__ import annotations

import ast
import hashlib
import hmac
import json
import re
import secrets
import socket
from pathlib import Path
from typing import Any

import pytest

import nbchat
from nbchat.net.address import parse
from tests.net.helpers import PATIENCE

PLAYS = sorted((Path(__file__).parent.parent / "plays").glob("*.play"))
STEP = re.compile(
    r"(?P<who>\w+) \s+ (?:"
    r'(?P<join>connects\ as) \s+ (?P<name>"[^"]*") (?:\s+ with \s+ (?P<fields>\{.*\}))?'
    r'|(?P<greet>greets) (?:\ with\ the\ key \s+ "(?P<key>[^"]*)")?'
    r'|(?P<bytes>sends\ the\ bytes) \s+ (?P<literal>".*")'
    r"|(?P<long>sends\ a\ line\ of) \s+ (?P<count>\d+) \s+ bytes"
    r"|(?P<verb>sends|receives) \s+ (?P<frame>\{.*\})"
    r"|(?P<open>opens)|(?P<ended>has\ ended)|(?P<close>hangs\ up)"
    r")",
    re.VERBOSE,
)


class Actor:
    """A bare socket, and docs/wire.md by the letter: nothing of our own code is between."""

    def __init__(self, server: nbchat.Server, key: str, secret: str) -> None:
        self._socket = socket.create_connection((server.host, server.port), PATIENCE)
        self._lines = self._socket.makefile("rb")
        self._key, self._secret = key, secret
        self.proof = ""

    def write(self, data: bytes) -> None:
        self._socket.sendall(data)

    def send(self, **frame: Any) -> None:
        self.write(json.dumps(frame).encode() + b"\n")

    def receive(self) -> dict[str, Any] | None:
        """The next line; None at the end of the connection."""
        line = self._lines.readline()
        return json.loads(line) if line else None

    def greet(self) -> bool:
        """Say hello and make the proof; returns whether the server proved itself."""
        nonce = secrets.token_hex(16)
        self.send(type="hello", v=1, key=self._key, nonce=nonce)
        challenge = self.receive()
        assert challenge is not None
        assert (challenge["type"], challenge["v"]) == ("challenge", 1)
        self.proof = self._prove("client", nonce, challenge["nonce"])
        return challenge["proof"] == self._prove("server", nonce, challenge["nonce"])

    def join(self, name: str, fields: dict[str, Any]) -> dict[str, Any]:
        """Greet and join; returns the welcome."""
        assert self.greet()
        self.send(type="join", name=name, proof=self.proof, **fields)
        welcome = self.receive()
        assert welcome is not None
        assert welcome["type"] == "welcome", welcome
        return welcome

    def close(self) -> None:
        self._lines.close()
        self._socket.close()

    def _prove(self, who: str, *nonces: str) -> str:
        message = "\n".join([f"nbchat 1 {who}", *nonces])
        return hmac.new(self._secret.encode(), message.encode(), hashlib.sha256).hexdigest()


class Stage:
    """One play's actors, and the words they know."""

    def __init__(self, server: nbchat.Server) -> None:
        self._server = server
        link = parse(server.invite())
        self._key = (link.key_id, link.secret)
        self._words: dict[str, Any] = {}
        self._actors: dict[str, Actor] = {}

    def play(self, line: str) -> None:
        step = STEP.fullmatch(line)
        assert step, "this is no step of a play"
        who = step["who"]
        if step["join"] or step["greet"] or step["open"]:
            self._come(who, step["key"])
        actor = self._actors[who]
        if step["join"]:
            fields = self._filled(json.loads(step["fields"] or "{}"))
            self._learn(who, actor.join(json.loads(step["name"]), fields))
        elif step["greet"]:
            assert actor.greet() == (step["key"] is None)
            self._words[f"{who}.proof"] = actor.proof
        elif step["bytes"]:
            actor.write(ast.literal_eval(f"b{step['literal']}"))
        elif step["long"]:
            actor.write(b"{" + b"x" * (int(step["count"]) - 1) + b"\n")
        elif step["verb"] == "sends":
            actor.send(**self._filled(json.loads(step["frame"])))
        elif step["verb"] == "receives":
            frame = actor.receive()
            assert self._fits(json.loads(step["frame"]), frame), f"it is {frame}"
            if frame is not None and frame["type"] == "welcome":
                self._learn(who, frame)
        elif step["ended"]:
            frame = actor.receive()
            assert frame is None, f"there is {frame}"
        elif step["close"]:
            actor.close()

    def close(self) -> None:
        for actor in self._actors.values():
            actor.close()

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _come(self, who: str, key: str | None) -> None:
        if who in self._actors:
            self._actors[who].close()
        self._actors[who] = Actor(self._server, *((key, "nobody knows it") if key else self._key))

    def _learn(self, who: str, welcome: dict[str, Any]) -> None:
        self._words.update({f"{who}.{field}": value for field, value in welcome.items()})

    def _filled(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {field: self._filled(each) for field, each in value.items()}
        if isinstance(value, str) and (word := re.fullmatch("<(.*)>", value)):
            return self._words[word[1]]
        return value

    def _fits(self, wanted: Any, value: Any) -> bool:
        if wanted == "…":
            return True
        if isinstance(wanted, dict):
            return isinstance(value, dict) and all(
                field in value and self._fits(each, value[field]) for field, each in wanted.items()
            )
        if isinstance(wanted, list):
            return (
                isinstance(value, list)
                and len(value) == len(wanted)
                and all(self._fits(*pair) for pair in zip(wanted, value, strict=True))
            )
        if isinstance(wanted, str) and (word := re.fullmatch("<(.*)>", wanted)):
            return self._words.setdefault(word[1], value) == value
        return wanted == value and type(wanted) is type(value)


def test_there_are_plays() -> None:
    assert len(PLAYS) > 10


@pytest.mark.parametrize("path", PLAYS, ids=lambda path: path.stem)
def test_play(path: Path, server: nbchat.Server) -> None:
    lines = path.read_text("utf-8").splitlines()
    assert lines[0].startswith("# ")
    with Stage(server) as stage:
        for number, line in enumerate(lines, 1):
            if not line.strip() or line.startswith("#"):
                continue
            try:
                stage.play(line.strip())
            except Exception as error:
                raise AssertionError(f"{path.name}:{number}: {line.strip()}: {error}") from error


@pytest.mark.parametrize(
    "line",
    [
        'ann receives {"type":"said","text":"bye"}',
        'ann receives {"type":"said","seq":true}',
        'ann receives {"type":"said","at":"<ann.name>"}',
        'ann receives {"type":"joined"}',
        'ann receives {"by":["ann"]}',
        'ann connects as "ann" with {"room":""}',
        "ann has ended",
        "ann dances",
    ],
)
def test_a_wrong_step_fails(line: str, server: nbchat.Server) -> None:
    with Stage(server) as stage:
        stage.play('ann connects as "ann"')
        stage.play('ann sends {"type":"say","id":"a","text":"hi"}')
        with pytest.raises(AssertionError):
            stage.play(line)
