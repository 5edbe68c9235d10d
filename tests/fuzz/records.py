"""The door in a network: TLS records of all kinds, before and after the handshake, beside a member who talks."""

from __future__ import annotations

import asyncio
import json
import ssl
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from nbchat.core import keys
from nbchat.core.limits import SILENT_STRANGER
from nbchat.net import tls
from nbchat.net.tls_transport import Secured
from nbchat.server.engine.shell import Shell
from nbchat.server.session.connection import Connection
from nbchat.store.open import open_store
from tests.fuzz import bytes as some
from tests.fuzz.bytes import given_all
from tests.fuzz.memory import Wire
from tests.fuzz.server import _KEY, _LIMITS, Trouble, ended, untroubled
from tests.net import sealing
from tests.net.sealing import KEY_UPDATE, Sealer

_PATIENCE = 20.0

kinds = st.integers(20, 23) | st.integers(0, 255)
content = st.binary(max_size=40) | st.sampled_from(
    [b"", KEY_UPDATE, b"\x18\x00\x00\x01\x00", b"\x18\x00\x00\x01\x02", KEY_UPDATE * 2, b"\x04\x00\x00\x00", b"\x01\x00",
     b"\x01\x5a", b"\x02\x28", b"\x01\x00\x00\x00", b"\x14\x00\x00\x00", bytes(1 << 14), b"\x18\x00\xff\xff"]
)  # fmt: skip
bare = st.tuples(kinds, content, st.none() | st.integers(0, 1 << 16))
"""A record in the clear, and the size that its header claims, if it is another one."""
sealed = st.tuples(st.sampled_from([21, 22, 23]) | kinds, content, st.sampled_from([0, 0, 1, 500]))
steps = st.one_of(
    st.tuples(st.just("come"), st.just(0), st.none()),
    st.tuples(st.just("bare"), st.integers(0, 3), st.lists(bare, max_size=4)),
    st.tuples(st.just("shake"), st.integers(0, 3), st.sampled_from([1, 7, 100, 1 << 16])),
    st.tuples(st.just("fragments"), st.integers(0, 3), st.integers(1, 300)),
    st.tuples(st.just("join"), st.integers(0, 3), st.sampled_from([1, 7, 1 << 14])),
    st.tuples(st.just("sealed"), st.integers(0, 3), st.lists(sealed, max_size=4)),
    st.tuples(st.just("new keys"), st.integers(0, 3), st.sampled_from([1, 30, 200, 700])),
    st.tuples(
        st.just("say"), st.integers(0, 3), st.tuples(some.stream(some.requests), st.sampled_from([1, 9, 1 << 14]))
    ),
    st.tuples(st.sampled_from(["lose", "fill", "drain", "wait", "noise"]), st.integers(0, 3), some.noise),
)  # fmt: skip


class Stream(Wire):
    """A wire that keeps what is not read yet, as a socket does."""

    def __init__(self, protocol: asyncio.Protocol) -> None:
        self.kept = bytearray()
        super().__init__(protocol)

    def feed(self, data: bytes) -> None:
        self.kept += data
        if self.is_reading and self.kept:
            kept, self.kept = bytes(self.kept), bytearray()
            super().feed(kept)

    def resume_reading(self) -> None:
        super().resume_reading()
        asyncio.get_running_loop().call_soon(self.feed, b"")


@cache
def _context() -> ssl.SSLContext:
    return tls.server_context()[0]


class End:
    """One end of TLS, in memory; at the other is a layer of ours."""

    def __init__(
        self, layer: Secured, context: ssl.SSLContext, folder: Path, *, is_server: bool = False
    ) -> None:
        self._side, self._folder = "SERVER" if is_server else "CLIENT", folder
        self.layer, self.wire = layer, Stream(layer)
        self._into, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._end = context.wrap_bio(self._into, self._out, server_side=is_server)
        self.sealer: Sealer | None = None
        self.asked = 0
        """Bytes of requests for new keys, of somebody whose records were right until then."""
        self.is_right = True

    @property
    def is_read(self) -> bool:
        """Whether the layer has taken up all that was sent to it."""
        return self.layer._turn is None and not self.wire.kept

    def take(self) -> bytes:
        """What the layer has written since the last time."""
        data = bytes(self.wire.written)
        self.wire.written.clear()
        return data

    def shake(self, size: int) -> None:
        """Do the handshake, in pieces of so many bytes."""
        if self.sealer is not None or not self.is_right:
            return
        for _ in range(3):
            self._into.write(self.take())
            try:
                self._end.do_handshake()
                done = True
            except ssl.SSLWantReadError:
                done = False
            except ssl.SSLError:
                self.is_right = False
                return
            data = self._out.read()
            for at in range(0, len(data), size):
                self.wire.feed(data[at : at + size])
            if done:
                self.sealer = Sealer.of(self._end, self._folder, self._side)
                return


class Peer(End):
    """One end of a connection through the server's layer."""

    def __init__(self, shell: Shell, folder: Path) -> None:
        conn = Connection(shell, is_secured=True)
        layer = Secured(
            _context(),
            conn,
            conn.note,
            is_member=lambda: conn.key_id is not None,
            limits=shell.limits,
            clock=shell.loop.time,
        )
        super().__init__(layer, sealing.client_context(folder), folder)
        self.conn = conn
        self.heard = b""

    def fragments(self, size: int) -> None:
        """The handshake's first message in records of so many bytes."""
        if self.sealer is not None or not self.is_right:
            return
        try:
            self._end.do_handshake()
        except ssl.SSLWantReadError:
            hello = self._out.read()[5:]
            for at in range(0, len(hello), size):
                part = hello[at : at + size]
                self.wire.feed(sealing.header(sealing.HANDSHAKE, len(part)) + part)
            self._into.write(self.take())
        except ssl.SSLError:
            self.is_right = False

    def say(self, data: bytes, size: int = 1 << 14) -> None:
        if self.sealer is not None and data:
            self.wire.feed(self.sealer.say(data, size))

    def lines(self) -> list[dict[str, Any]]:
        """What has come, decrypted."""
        self._into.write(self.take())
        try:
            while data := self._end.read(1 << 16):
                self.heard += data
        except ssl.SSLError:
            pass
        *lines, self.heard = self.heard.split(b"\n")
        return [json.loads(each) for each in lines if each[:1] == b"{"]  # a plain client is told in words

    async def until(self, kind: str) -> dict[str, Any]:
        async with asyncio.timeout(_PATIENCE):
            while True:
                for each in self.lines():
                    if each["type"] == kind:
                        return each
                await asyncio.sleep(0)

    async def join(self, name: str, size: int = 1 << 14) -> None:
        """Prove the key and join, as far as the server lets it."""
        nonce = "0" * 32
        self.say(some.line({"type": "hello", "v": 1, "key": "key", "nonce": nonce}) + b"\n", size)
        for _ in range(400 // size + 10):
            await asyncio.sleep(0)
            if found := [each for each in self.lines() if each["type"] == "challenge"]:
                proof = keys.client_proof("secret", nonce, found[0]["nonce"])
                self.say(
                    some.line({"type": "join", "name": name, "proof": proof, "exact": False}) + b"\n", size
                )
                return


@given_all(st.lists(steps, max_size=12))
def whatever_records_come_a_member_is_served(steps: list[tuple[str, int, Any]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        untroubled(lambda trouble: _play(steps, trouble, Path(folder)))


async def _play(steps: list[tuple[str, int, Any]], trouble: Trouble, folder: Path) -> None:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: trouble.found.append(repr(context)))
    store = open_store(None, lambda: 1.8e9)
    await store.open()
    shell = Shell(store, _LIMITS, [_KEY], allows_plain=False)
    ada = Peer(shell, folder)
    ada.shake(1 << 16)
    await ada.join("ada")
    await ada.until("welcome")
    peers = [Peer(shell, folder)]
    for number, (what, which, more) in enumerate(steps):
        if what == "come":
            peers.append(Peer(shell, folder))
            continue
        await _do(peers[which % len(peers)], what, more)
        # Not a word is lost or late, whatever the others send.
        ada.say(some.line({"type": "say", "id": f"{number}", "text": "here"}) + b"\n")
        while (await ada.until("said"))["id"] != f"{number}":
            pass
        for each in peers:
            _check(each)
    for each in (ada, *peers):
        each.wire.drain()
        each.wire.lose()
    await ended(shell)
    await store.close()


async def _do(peer: Peer, what: str, more: Any) -> None:
    sealer = peer.sealer
    match what:
        case "bare":
            for kind, inside, claimed in more:
                peer.is_right = False
                peer.wire.feed(
                    sealing.header(kind, len(inside) if claimed is None else claimed & 0xFFFF) + inside
                )
        case "noise":
            peer.is_right = peer.is_right and not more
            peer.wire.feed(more)
        case "shake":
            peer.shake(more)
        case "fragments":
            peer.fragments(more)
        case "join":
            await peer.join("eve", more)
        case "sealed" if sealer is not None:
            for kind, inside, padding in more:
                peer.is_right = False
                peer.wire.feed(sealer.seal(kind, inside[: (1 << 14) - padding], padding))
        case "new keys" if sealer is not None:
            updates = [sealer.key_update() for _ in range(more)]
            peer.asked += sum(map(len, updates))
            peer.wire.feed(b"".join(updates))
        case "say":
            peer.say(*more)
        case "lose":
            peer.wire.lose()
        case "fill":
            peer.wire.fill()
        case "drain":
            peer.wire.drain()
    await asyncio.sleep(0.0005 if what == "wait" else 0)


def _check(peer: Peer) -> None:
    """Nothing heaps up, and who only asks for new keys is let go of."""
    assert (
        len(peer.layer._waiting) <= (1 << 14) + 300 or peer.layer._turn is not None or peer.layer._is_paused
    )
    is_stranger = peer.conn.key_id is None
    if is_stranger and peer.asked > SILENT_STRANGER and peer.is_read and not peer.layer._is_paused:
        assert peer.wire.is_closing()
