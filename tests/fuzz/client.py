"""A client, and a server that says whatever it likes; it even knows the key."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

from hypothesis import strategies as st

from nbchat.client.connection import NativeConnection, PlainConnection
from nbchat.client.state import Outgoing, State
from nbchat.client.thread import Receiver
from nbchat.core import keys
from nbchat.core.errors import ChatError
from nbchat.net import discovery
from nbchat.render import html
from nbchat.ui import terminal
from tests.fuzz import bytes as some
from tests.fuzz.bytes import given_all
from tests.fuzz.memory import Wire
from tests.fuzz.server import Trouble

_WELCOME = {
    "type": "welcome", "session": "0" * 32, "name": "ada", "role": "member", "room": "lobby", "log_id": "log",
    "head": 0, "members": [{"name": "ada"}], "limits": {"text": 100, "line": 2000, "page": 5, "ping": 20},
}  # fmt: skip
steps = st.one_of(
    st.tuples(st.just("bytes"), some.stream(some.events)),
    st.tuples(st.just("bytes"), some.stream(some.events)),
    st.tuples(st.just("said"), some.text),
    st.tuples(st.just("say"), some.text),
    st.tuples(st.sampled_from(["page", "typing", "again"]), st.just("")),
)


@given_all(st.sampled_from(["stranger", "knows the key", "welcomes"]), st.lists(steps, max_size=25))
def whatever_a_server_says_a_client_only_hangs_up(who: str, steps: list[tuple[str, Any]]) -> None:
    _guard(_native(who, steps))


@given_all(
    st.lists(some.stream(some.events) | some.text.map(lambda each: each.encode(errors="replace")), max_size=9)
)
def whatever_a_plain_server_says_a_client_only_hangs_up(reads: list[bytes]) -> None:
    _guard(_plain(reads))


def _guard(play: Any) -> None:
    trouble = Trouble()
    log = logging.getLogger("nbchat")
    log.addHandler(trouble)

    async def run() -> None:
        asyncio.get_running_loop().set_exception_handler(
            lambda loop, context: trouble.found.append(repr(context))
        )
        await play

    try:
        asyncio.run(run())
    finally:
        log.removeHandler(trouble)
    assert not trouble.found


def _receiver(link: str = "nbchat://127.0.0.1:1#k=key.secret") -> tuple[Receiver, State]:
    state = State("ada", "lobby")
    receiver = Receiver(discovery.Target(link), state, "ada", exact=False)
    receiver._loop = asyncio.get_running_loop()
    receiver._keep = lambda room, name: None  # type: ignore[method-assign]
    return receiver, state


async def _native(who: str, steps: list[tuple[str, Any]]) -> None:
    receiver, state = _receiver()
    wire, conn = _connect(receiver, who)
    seq = 0
    for what, more in steps:
        match what:
            case "bytes":
                wire.feed(more)
            case "said":
                seq = (state.transcript.seq or 0) + 1
                said = {"type": "said", "seq": seq, "at": 1, "id": "1", "by": "bob", "text": more}
                wire.feed(some.line(said) + b"\n")
            case "say":
                with state.changed:
                    state.pending["1"] = Outgoing("1", more)
                if not any("\ud800" <= each <= "\udfff" for each in more):
                    receiver._flush()
                state.pending.clear()
            case "page":
                receiver.page(None, 5)
                await asyncio.sleep(0)
            case "typing":
                receiver._type()
            case "again":  # the connection broke, and another one is made
                wire.lose()
                wire, conn = _connect(receiver, who)
        await asyncio.sleep(0)
        reason = conn._reason
        assert reason is None or isinstance(reason, ChatError), reason
        assert 0 <= receiver._backoff.delay(0) <= 90
    wire.lose()
    if receiver._hold is not None:
        receiver._hold.cancel()
    _show(state)


def _connect(receiver: Receiver, who: str) -> tuple[Wire, NativeConnection]:
    conn = receiver._conn = receiver._prepare(receiver._target.find())
    assert isinstance(conn, NativeConnection)
    receiver._is_welcome = False
    wire = Wire(conn, "192.0.2.9")
    if who != "stranger":
        hello = json.loads(wire.written)
        proof = keys.server_proof("secret", hello["nonce"], "f" * 32)
        wire.feed(some.line({"type": "challenge", "v": 1, "nonce": "f" * 32, "proof": proof}) + b"\n")
    if who == "welcomes":
        wire.feed(some.line(_WELCOME) + b"\n")
    return wire, conn


async def _plain(reads: list[bytes]) -> None:
    receiver, state = _receiver()
    conn = receiver._conn = PlainConnection(receiver, "ada", 0)
    wire = Wire(conn)
    wire.feed(b"USERNAME")
    for read in reads:
        wire.feed(read)
        await asyncio.sleep(0)
        assert conn._reason is None or isinstance(conn._reason, ChatError)
    wire.lose()
    _show(state)


def _show(state: State) -> None:
    """What came can be shown, however odd it is."""
    for row in state.transcript.rows:
        terminal.words(row).encode()
        if row.message is not None:
            html.html(row.message.text).encode()
            str(row.message).encode(errors="replace")
