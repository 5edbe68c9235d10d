"""What the tests of servers and clients share: patience, a bare native client."""

from __future__ import annotations

import json
import secrets
import socket
import struct
import threading
from collections.abc import Callable
from typing import Any

import nbchat
from nbchat.core import keys
from nbchat.core.transcript import Message
from nbchat.net import tls
from nbchat.net.link import parse

PATIENCE = 20.0
"""Seconds after which something that was waited for counts as missing."""


def until(client: nbchat.Client, fact: Callable[[], bool]) -> None:
    """Wait until a fact about a client is true."""
    assert client._state.wait(fact, PATIENCE), client


def saw(client: nbchat.Client, *names: str) -> None:
    """Wait until a client sees just these members, in any order."""
    until(client, lambda: set(client._state.transcript.members) == set(names))


class Heard:
    """A handler that writes down what it is given."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._news = threading.Condition()

    def __call__(self, message: Message) -> None:
        with self._news:
            self.texts.append(message.text)
            self._news.notify_all()

    def wait(self, count: int) -> list[str]:
        """What it was given, once there is so much."""
        with self._news:
            assert self._news.wait_for(lambda: len(self.texts) >= count, PATIENCE), self.texts
            return list(self.texts)


class Raw:
    """A bare native client on a blocking socket, with TLS where the link has a pin."""

    def __init__(self, link: str, name: str | None = None, *, buffer: int | None = None, **join: Any) -> None:
        where = parse(link)
        self.socket = socket.socket()
        if buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self.socket.settimeout(PATIENCE)
        self.socket.connect((where.host, where.port))
        if where.pin:
            self.socket = tls.client_context().wrap_socket(self.socket)
        self._file = self.socket.makefile("rb")
        if name is not None:
            self.join(link, name, **join)

    def join(self, link: str, name: str, **join: Any) -> None:
        """Prove the link's key and become a member; ``welcome`` is what the server answers."""
        where = parse(link)
        nonce = secrets.token_hex(16)
        self.send({"type": "hello", "v": 1, "key": where.key_id, "nonce": nonce})
        proof = keys.client_proof(where.secret, nonce, self.receive()["nonce"])
        self.send({"type": "join", "name": name, "proof": proof, **join})
        self.welcome = self.receive()

    def send(self, *frames: dict[str, Any]) -> None:
        self.socket.sendall(b"".join(json.dumps(frame).encode() + b"\n" for frame in frames))

    def receive(self, kind: str | None = None) -> dict[str, Any]:
        """The next event (of a kind)."""
        while True:
            line = self._file.readline()
            assert line, "the server hung up"
            event: dict[str, Any] = json.loads(line)
            if kind in (None, event["type"]):
                return event

    def is_at_end(self) -> bool:
        """Whether the server has hung up, after what it still said."""
        try:
            while self._file.readline():
                pass
        except ConnectionError:
            pass
        return True

    def close(self, *, reset: bool = False) -> None:
        if reset:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._file.close()
        self.socket.close()
