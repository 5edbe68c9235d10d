"""A client's connection: whom it believes, and what it does when it is no longer wanted."""

from __future__ import annotations

import asyncio
import json
import socket
import threading

import pytest

import nbchat
from nbchat.client.connection import NativeConnection
from nbchat.core.errors import NotTheServer, PeerError, Unreachable
from nbchat.core.frames import Join
from nbchat.net.link import Address
from tests.net.helpers import PATIENCE

WELCOME = {
    "type": "welcome", "session": "a" * 32, "name": "ada", "role": "member", "room": "lobby", "log_id": "x",
    "head": 0, "members": [], "limits": {"text": 9, "line": 99, "page": 9, "ping": 20},
}  # fmt: skip
CHALLENGE = {"type": "challenge", "v": 1, "nonce": "0" * 32, "proof": "0" * 64}
REFUSED = {"type": "refused", "code": "bad_key", "text": "go to\x1b[31m evil.example", "fatal": True}
SAID = {"type": "said", "seq": 1, "at": 0, "id": "1", "by": "boss", "text": "hi"}


class Impostor:
    """Took a dead server's port, knows no secret, and answers a hello as it likes."""

    def __init__(self, *answers: dict[str, object]) -> None:
        self._answers = b"".join(json.dumps(answer).encode() + b"\n" for answer in answers)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.link = f"nbchat://127.0.0.1:{self._listener.getsockname()[1]}#k=id.secret"
        self.heard = b""
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        client, _ = self._listener.accept()
        with client:
            self.heard += client.recv(65536)
            client.sendall(self._answers)
            try:
                while data := client.recv(65536):
                    self.heard += data
            except ConnectionError:
                pass

    def close(self) -> None:
        self._thread.join(PATIENCE)
        self._listener.close()


@pytest.mark.parametrize(
    ("answers", "error"),
    [
        ([WELCOME], NotTheServer),
        ([SAID], NotTheServer),
        ([CHALLENGE], NotTheServer),
        ([CHALLENGE, WELCOME], NotTheServer),
        ([REFUSED], Unreachable),
        ([{"type": "closing", "reason": "no", "final": True}], Unreachable),
        ([{"type": "joined", "member": 5}], PeerError),
    ],
)
def test_a_server_that_proves_nothing_is_believed_nothing(
    answers: list[dict[str, object]], error: type[Exception]
) -> None:
    impostor = Impostor(*answers)
    with pytest.raises(error) as caught:
        nbchat.connect(impostor.link, name="ada")
    assert "\x1b" not in str(caught.value)
    impostor.close()
    assert impostor.heard.count(b"\n") == 1  # the hello, and nothing after it
    assert b'"ada"' not in impostor.heard


def test_one_that_is_aborted_while_it_is_made_ends_at_once() -> None:
    class Transport(asyncio.Transport):
        aborted = False

        def abort(self) -> None:
            self.aborted = True

    async def make() -> Transport:
        connection = NativeConnection(None, Address("127.0.0.1", 1), Join(name="ada", proof=""))  # type: ignore
        connection.abort()
        transport = Transport()
        connection.connection_made(transport)
        return transport

    assert asyncio.run(make()).aborted
