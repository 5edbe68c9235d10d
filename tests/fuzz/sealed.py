"""A client in a network, and a server that sends TLS records of all kinds, in and after the handshake."""

from __future__ import annotations

import asyncio
import json
import ssl
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from nbchat.client.connection import NativeConnection
from nbchat.client.tls import Sealed
from nbchat.core import keys
from nbchat.core.errors import ChatError
from nbchat.core.limits import SILENT_MEMBER
from nbchat.net import tls
from tests.fuzz import bytes as some
from tests.fuzz.bytes import given_all
from tests.fuzz.client import _WELCOME, _guard, _receiver, _show
from tests.fuzz.records import End, bare, sealed
from tests.net import sealing

steps = st.one_of(
    st.tuples(st.just("bare"), st.lists(bare, max_size=4)),
    st.tuples(st.just("shake"), st.sampled_from([1, 7, 100, 1 << 16])),
    st.tuples(st.just("shake"), st.sampled_from([1, 7, 100, 1 << 16])),
    st.tuples(st.just("welcome"), st.sampled_from([1, 9, 1 << 14])),
    st.tuples(st.just("sealed"), st.lists(sealed, max_size=4)),
    st.tuples(st.just("new keys"), st.sampled_from([1, 30, 200, 700])),
    st.tuples(st.just("say"), st.tuples(some.stream(some.events), st.sampled_from([1, 9, 1 << 14]))),
    st.tuples(st.sampled_from(["lose", "fill", "drain", "wait", "noise"]), some.noise),
)


class Server(End):
    """The other end of a client's connection through the layer."""

    def __init__(self, conn: NativeConnection, context: ssl.SSLContext, folder: Path) -> None:
        self.stands = (layer := Sealed(tls.client_context(), conn)).stands
        super().__init__(layer, context, folder, is_server=True)
        self.conn = conn

    def say(self, data: bytes, size: int) -> None:
        if self.sealer is not None and data:
            self.wire.feed(self.sealer.say(data, size))

    def welcome(self, size: int) -> None:
        """Prove the key and let the client in, if it has said hello."""
        self._into.write(self.take())
        try:
            hello = json.loads(self._end.read(1 << 14))
            proof = keys.server_proof("secret", hello["nonce"], "f" * 32)
        except (ssl.SSLError, ValueError, KeyError):
            return
        challenge = {"type": "challenge", "v": 1, "nonce": "f" * 32, "proof": proof}
        self.say(some.line(challenge) + b"\n" + some.line(_WELCOME) + b"\n", size)


@given_all(st.lists(steps, max_size=15))
def whatever_records_a_server_sends_a_client_only_hangs_up(steps: list[tuple[str, Any]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        _guard(_play(steps, Path(folder)))


async def _play(steps: list[tuple[str, Any]], folder: Path) -> None:
    context, pin = tls.server_context()
    context.keylog_filename = str(folder / "keys")
    receiver, state = _receiver(f"nbchat://127.0.0.2:1?pin={pin}#k=key.secret")
    conn = receiver._conn = receiver._prepare(receiver._target.find())
    assert isinstance(conn, NativeConnection)
    server = Server(conn, context, folder)
    for what, more in steps:
        _do(server, what, more)
        await asyncio.sleep(0.0005 if what == "wait" else 0)
        assert conn._reason is None or isinstance(conn._reason, ChatError), conn._reason
        _check(server)
    server.wire.drain()
    server.wire.lose()
    await asyncio.sleep(0)
    if server.stands.done() and not server.stands.cancelled():
        assert isinstance(server.stands.exception(), OSError | None)
    if receiver._hold is not None:
        receiver._hold.cancel()
    _show(state)


def _do(server: Server, what: str, more: Any) -> None:
    sealer = server.sealer
    match what:
        case "bare":
            for kind, inside, claimed in more:
                server.is_right = False
                size = len(inside) if claimed is None else claimed & 0xFFFF
                server.wire.feed(sealing.header(kind, size) + inside)
        case "noise":
            server.is_right = server.is_right and not more
            server.wire.feed(more)
        case "shake":
            server.shake(more)
        case "welcome" if sealer is not None:
            server.welcome(more)
        case "sealed" if sealer is not None:
            for kind, inside, padding in more:
                server.is_right = False
                server.wire.feed(sealer.seal(kind, inside[: (1 << 14) - padding], padding))
        case "new keys" if sealer is not None:
            updates = [sealer.key_update() for _ in range(more)]
            server.asked += sum(map(len, updates))
            server.wire.feed(b"".join(updates))
        case "say":
            server.say(*more)
        case "lose":
            server.wire.lose()
        case "fill":
            server.wire.fill()
        case "drain":
            server.wire.drain()


def _check(server: Server) -> None:
    """Nothing heaps up, and a server that only asks for new keys is let go of."""
    layer = server.layer
    assert len(layer._waiting) <= (1 << 14) + 300 or layer._turn is not None
    if server.asked > SILENT_MEMBER and server.is_read:
        assert server.wire.is_closing()
