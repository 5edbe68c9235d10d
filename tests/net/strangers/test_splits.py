"""However the bytes are cut on their way, it is the same conversation; and a line that has no end has one."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterable
from contextlib import suppress

import pytest

import nbchat
from nbchat.core import keys
from nbchat.core.keys import Key
from nbchat.core.limits import Limits
from nbchat.server.engine.shell import Shell
from nbchat.server.session.connection import Connection
from nbchat.store.open import open_store
from tests.fuzz.memory import Wire
from tests.net.helpers import PATIENCE

NONCE = "ab" * 16
FRAMES: list[dict[str, object]] = [
    {"type": "hello", "v": 1, "key": "key", "nonce": NONCE},
    {"type": "join", "name": "José", "proof": keys.client_proof("secret", NONCE, NONCE)},
    {"type": "say", "id": "1", "text": "ünd 😀 \n so on"},
    {"type": "typing"},
    {"type": "say", "id": "1", "text": "again"},
    {"type": "nonsense"},
    {"type": "page", "limit": 2},
    {"type": "ping"},
]
TALK = b"".join(json.dumps(frame, ensure_ascii=False).encode() + b"\n" for frame in FRAMES)


def answers(pieces: Iterable[bytes]) -> list[bytes]:
    """What a server says to a conversation that comes in these pieces."""

    async def play() -> list[bytes]:
        store = open_store(None, lambda: 1.8e9)
        await store.open()
        store.log_id = "log"
        shell = Shell(store, Limits(), [Key("key", "secret", "member", None)], allows_plain=True)
        wire = Wire(Connection(shell))
        for piece in pieces:
            while not wire.is_reading:  # what it asked for is being fetched
                await asyncio.sleep(0)
            wire.feed(piece)
        ends = [b'"pong"', b'"stored"', b'{"type":"said"']
        while not all(any(end in line[:20] for line in wire.lines) for end in ends):
            await asyncio.sleep(0)
        said = wire.lines
        await shell.close("The end.")
        await store.close()
        return sorted(said)

    return asyncio.run(play())


def test_every_split_of_a_conversation_is_the_same_conversation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("secrets.token_hex", lambda size=16: NONCE)
    whole = answers([TALK])
    kinds = ["challenge", "paged", "pong", "refused", "said", "stored", "welcome"]
    assert sorted(json.loads(line)["type"] for line in whole) == kinds
    assert answers(TALK[at : at + 1] for at in range(len(TALK))) == whole
    for cut in range(1, len(TALK)):
        assert answers([TALK[:cut], TALK[cut:]]) == whole, cut


def test_a_stranger_who_answers_without_end_is_hung_up_on() -> None:
    """Before it has proved anything it gets no memory: after a line's length the client is gone."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sent = 0

        def pour() -> None:
            nonlocal sent
            client, _ = listener.accept()
            with client, suppress(ConnectionError):
                while sent < 2**28:
                    sent += client.send(b"a" * 2**16)

        thread = threading.Thread(target=pour, daemon=True)
        thread.start()
        with pytest.raises(nbchat.ChatError, match="without end"):
            nbchat.connect(f"nbchat://127.0.0.1:{listener.getsockname()[1]}#k=key.secret", name="ada")
        thread.join(PATIENCE)
        assert sent < 2**25
