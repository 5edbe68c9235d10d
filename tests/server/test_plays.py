"""The conversations in tests/plays/, each played with bare sockets against a server of its own.

A play is a text file; its first lines (``#``) say what it shows. Then one step a line:

    ann connects as "ann"              hello, challenge, proof, join; the welcome is taken
    ann connects as "ann" with {...}   the same, with more fields in the join
    ann hosts as "ann"                 connects with the server's own key, and so is host
    ann greets                         hello and challenge only; <ann.proof> is her proof from then on
    ann greets with the key "x"        the same with another key; the server's proof has to be wrong then
    ann greets with a key that has ended
    ann greets with a key for "ada"     and for one use; <ann.proof> is right
    ann opens                          a connection, no more
    ann sends {...}                    a line
    ann sends the bytes "..."          anything, with Python's escapes
    ann sends a line of 5000 bytes     and its newline, unless it says "without end"
    ann receives {...}                 her next line, and it has at least these fields
    ann has ended                      the server has closed her connection
    ann hangs up                       without a goodbye
    ann breaks off                     the same, but the server reads an error (RST)
    the server has {"text":20}         these limits; before anybody comes
    the server is called "class"       and so holds names; before anybody comes
    the server keeps the newest 2      and forgets the others, now
    the server stops

Nothing is skipped: ``receives`` takes the very next line, so what stands between two of an actor's lines is
all that it was sent. ``null`` stands for a field that is left out, ``"…"`` for any value, and ``"<word>"``
for any the first time; from then on it is that value. What a welcome brought is known as ``<ann.session>``,
``<ann.log_id>`` and so on.
"""

from __future__ import annotations

import ast
import hashlib
import hmac
import json
import re
import secrets
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import nbchat
from nbchat.core import frames
from nbchat.net.link import parse
from tests.net.helpers import PATIENCE

ROOT = Path(__file__).parent.parent.parent
PLAYS = sorted((ROOT / "tests" / "plays").glob("*.play"))
WIRE = ROOT / "docs" / "wire.md"
STEP = re.compile(
    r"the\ server \s+ (?: has \s+ (?P<limits>\{.*\}) | is\ called\ \"(?P<chat>\w+)\""
    r"    | keeps\ the\ newest\ (?P<kept>\d+) | (?P<stop>stops) )"
    r"|(?P<who>\w+) \s+ (?:"
    r'(?P<join>connects\ as|hosts\ as) \s+ (?P<name>"[^"]*") (?:\s+ with \s+ (?P<fields>\{.*\}))?'
    r'|(?P<greet>greets) (?:\ with\ (?: the\ key\ "(?P<key>[^"]*)" | (?P<void>a\ key\ that\ has\ ended)'
    r'    | a\ key\ for\ "(?P<mine>[^"]*)" ))?'
    r'|(?P<bytes>sends\ the\ bytes) \s+ (?P<literal>".*")'
    r"|(?P<long>sends\ a\ line\ of) \s+ (?P<count>\d+) \s+ bytes (?P<endless>\ without\ end)?"
    r"|(?P<verb>sends|receives) \s+ (?P<frame>\{.*\})"
    r"|(?P<open>opens)|(?P<ended>has\ ended)|(?P<close>hangs\ up)|(?P<reset>breaks\ off)"
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
        try:
            line = self._lines.readline()
        except ConnectionError:
            return None
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

    def close(self, *, reset: bool = False) -> None:
        if reset:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._lines.close()
        self._socket.close()

    def _prove(self, who: str, *nonces: str) -> str:
        message = "\n".join([f"nbchat 1 {who}", *nonces])
        return hmac.new(self._secret.encode(), message.encode(), hashlib.sha256).hexdigest()


async def _trim(server: nbchat.Server) -> None:
    assert server._runner.shell is not None
    await server._runner.shell.trim()


class Stage:
    """One play's server and actors, and the words they know."""

    def __init__(self) -> None:
        self._limits: dict[str, Any] = {}
        self._name: str | None = None
        self._server: nbchat.Server | None = None
        self._words: dict[str, Any] = {}
        self._actors: dict[str, Actor] = {}

    def play(self, line: str) -> None:
        step = STEP.fullmatch(line)
        assert step, "this is no step of a play"
        if step["limits"]:
            assert self._server is None, "somebody is there already"
            self._limits = json.loads(step["limits"])
        elif step["chat"]:
            assert self._server is None, "somebody is there already"
            self._name = step["chat"]
        elif step["kept"]:
            number = int(step["kept"])
            self.server._runner.ask(lambda shell: setattr(shell.keeper, "_keep", number))
            self.server._runner.do(_trim(self.server))
        elif step["stop"]:
            self.server.stop()
        else:
            self._act(step["who"], step)

    @property
    def server(self) -> nbchat.Server:
        """The play's server; it starts when the first actor comes."""
        if self._server is None:
            limits = nbchat.Limits(**self._limits)
            self._server = nbchat.serve(self._name, port=0, history=None, limits=limits)
            link = parse(self._server.invite())
            self._key = (link.key_id, link.secret)
        return self._server

    def _act(self, who: str, step: re.Match[str]) -> None:
        if step["join"] or step["greet"] or step["open"]:
            self._come(who, step)
        actor = self._actors[who]
        if step["join"]:
            fields = self._filled(json.loads(step["fields"] or "{}"))
            self._learn(who, actor.join(json.loads(step["name"]), fields))
            self._words[f"{who}.proof"] = actor.proof
        elif step["greet"]:
            assert actor.greet() == (step["key"] is None)
            self._words[f"{who}.proof"] = actor.proof
        elif step["bytes"]:
            actor.write(ast.literal_eval(f"b{step['literal']}"))
        elif step["long"]:
            actor.write(b"{".ljust(int(step["count"]), b"x") + (b"" if step["endless"] else b"\n"))
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
        elif step["close"] or step["reset"]:
            actor.close(reset=bool(step["reset"]))

    def close(self) -> None:
        for actor in self._actors.values():
            actor.close()
        if self._server is not None:
            self._server.stop()

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _come(self, who: str, step: re.Match[str]) -> None:
        if who in self._actors:
            self._actors[who].close()
        server, key = self.server, self._key
        if step["void"]:
            link = parse(server.invite(hours=1e-9))  # it has ended before anybody can use it
            key = (link.key_id, link.secret)
        elif step["mine"]:
            link = parse(server.invite(name=step["mine"], once=True))
            key = (link.key_id, link.secret)
        elif step["join"] == "hosts as":
            assert server._running is not None
            key = server._running.key
        elif step["key"]:
            key = (step["key"], "nobody knows it")
        self._actors[who] = Actor(server, *key)

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
                field not in value if each is None else field in value and self._fits(each, value[field])
                for field, each in wanted.items()
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


def steps(path: Path) -> Iterator[tuple[int, str]]:
    """A play's steps, each with the number of its line."""
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        if line.strip() and not line.startswith("#"):
            yield number, line.strip()


def shown(verb: str) -> list[dict[str, Any]]:
    """All frames that somebody ``sends`` or ``receives`` in a play."""
    found = [STEP.fullmatch(line) for path in PLAYS for _, line in steps(path)]
    return [json.loads(step["frame"]) for step in found if step and step["verb"] == verb]


def tags(union: Any) -> set[str]:
    return {kind.__struct_config__.tag for kind in union.__args__}


@pytest.mark.parametrize("path", PLAYS, ids=lambda path: path.stem)
def test_play(path: Path) -> None:
    assert path.read_text("utf-8").startswith("# "), "a play opens with what it shows"
    with Stage() as stage:
        for number, line in steps(path):
            try:
                stage.play(line)
            except Exception as error:
                raise AssertionError(f"{path.name}:{number}: {line}: {error!r}") from error


def test_every_request_is_sent_in_a_play() -> None:
    assert {frame["type"] for frame in shown("sends")} >= tags(frames.Request)


def test_every_event_is_received_in_a_play() -> None:
    received = {frame["type"] for frame in shown("receives")}
    assert received == tags(frames.Event)


def test_every_documented_refusal_is_received_in_a_play() -> None:
    table = WIRE.read_text("utf-8").partition("\n## Refusals\n")[2].partition("\n## ")[0]
    documented = set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE))
    no_play_can_break_the_disk = {"storage_full", "storage_down"}
    received = {frame["code"] for frame in shown("receives") if frame["type"] == "refused"}
    assert received == documented - no_play_can_break_the_disk


@pytest.mark.parametrize(
    "line",
    [
        'ann receives {"type":"said","text":"bye"}',
        'ann receives {"type":"said","seq":true}',
        'ann receives {"type":"said","at":"<ann.name>"}',
        'ann receives {"type":"said","text":null}',
        'ann receives {"type":"said","auto":"…"}',
        'ann receives {"type":"joined"}',
        'ann receives {"by":["ann"]}',
        'ann connects as "ann" with {"room":""}',
        'the server has {"text":20}',
        "ann has ended",
        "ann dances",
    ],
)
def test_a_wrong_step_fails(line: str) -> None:
    with Stage() as stage:
        stage.play('ann connects as "ann"')
        stage.play('ann sends {"type":"say","id":"a","text":"hi"}')
        with pytest.raises(AssertionError):
            stage.play(line)
