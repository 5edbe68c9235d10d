"""A server's loop, with connections that do whatever they like."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from hypothesis import strategies as st

from nbchat.core import keys, plain, wire
from nbchat.core.frames import Unknown
from nbchat.core.keys import Key
from nbchat.core.limits import Limits
from nbchat.server.engine.shell import Shell
from nbchat.server.session.connection import Connection
from nbchat.store.open import open_store
from tests.fuzz import bytes as some
from tests.fuzz.bytes import given_all
from tests.fuzz.memory import Wire

_KEY = Key("key", "secret", "member", None)
_LIMITS = Limits(
    connections=7, spare=1, unnamed=4, unnamed_each=3, members=4, rooms=2, burst=5, rate=1000, greeting=30, grace=0.001,
    text=100, line=2000, first_line=500, ring=2000, write=500, backlog=3, page=5, plain_pace=0.0001,
)  # fmt: skip

joins = st.fixed_dictionaries(
    {"name": some.name},
    optional={
        "session": st.sampled_from(["0" * 32, "1" * 32]),
        "after": st.integers(0, 9),
        "log_id": st.sampled_from(["", "other"]),
        "room": st.sampled_from(["lobby", "other", "third"]),
        "exact": st.booleans(),
    },
)
steps = st.one_of(
    st.tuples(st.just("come"), st.just(0), st.none()),
    st.tuples(st.just("join"), st.integers(0, 1), joins),
    st.tuples(st.just("bytes"), st.integers(0, 5), some.stream(some.requests)),
    st.tuples(st.just("bytes"), st.integers(0, 5), some.stream(some.requests)),
    st.tuples(st.just("cut"), st.integers(0, 4), st.tuples(some.stream(some.requests), st.integers(1, 30))),
    st.tuples(
        st.sampled_from(["quiet", "lose", "fill", "drain", "tick", "wait"]), st.integers(0, 5), st.none()
    ),
)


class Trouble(logging.Handler):
    """Whatever is written down as more than an INFO is a mistake of ours."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.found.append(self.format(record))


@given_all(st.lists(steps, max_size=40))
def whatever_peers_do_the_server_goes_on(steps: list[tuple[str, int, Any]]) -> None:
    untroubled(lambda trouble: _play(steps, trouble))


def untroubled(play: Callable[[Trouble], Coroutine[Any, Any, None]]) -> None:
    """Run it, and see that neither the log nor the loop was told of an error."""
    trouble = Trouble()
    log = logging.getLogger("nbchat")
    log.addHandler(trouble)
    try:
        asyncio.run(play(trouble))
    finally:
        log.removeHandler(trouble)
    assert not trouble.found


async def _play(steps: list[tuple[str, int, Any]], trouble: Trouble) -> None:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: trouble.found.append(repr(context)))
    store = open_store(None, lambda: 1.8e9)
    await store.open()
    shell = Shell(store, _LIMITS, [_KEY], allows_plain=True)
    wires = [Wire(Connection(shell)) for _ in range(4)]
    await _join(wires[0], {"name": "ada", "session": "0" * 32})
    await _join(wires[1], {"name": "bob"})
    wires[2].feed(b"pat\n")
    for what, which, more in steps:
        if what in ("come", "join"):
            wires.append(Wire(Connection(shell)))
            if what == "join":
                await _join(wires[-1], more)
            continue
        wire_, conn = (each := wires[which % len(wires)]), each.protocol
        assert isinstance(conn, Connection)
        match what:
            case "bytes":
                wire_.feed(more)
            case "cut":
                data, size = more
                for at in range(0, len(data), size):
                    wire_.feed(data[at : at + size])
            case "quiet" if conn.is_open and conn._session is None:
                conn._quiet()
            case "lose":
                wire_.lose()
            case "fill":
                wire_.fill()
            case "drain":
                wire_.drain()
            case "tick":
                shell._tick_handle.cancel()
                shell._tick()
        await asyncio.sleep(0.0005 if what == "wait" else 0)
    members = shell.hub.members()
    assert len(shell.hub._rooms) <= _LIMITS.rooms
    most = _LIMITS.members + 2 * _LIMITS.spare  # who serves finds a place
    assert all(len(room.members) <= most for room in shell.hub._rooms.values())
    assert all(member.name not in ("system", "server", "you", "everyone") for member in members)
    for each in wires:
        _check(each)
        each.drain()
        each.lose()
    await ended(shell)
    await store.close()


async def ended(shell: Shell) -> None:
    """All its connections are lost: nothing of them is left behind."""
    for _ in range(100):
        await asyncio.sleep(0)
    await asyncio.sleep(0.002)
    shell.act(shell.hub.expire(shell.loop.time() + 1))
    assert not shell.hub.members()
    assert not shell._connections
    assert not len(shell._unnamed)
    assert not shell._room_of
    await shell.close("The end.")


async def _join(wire_: Wire, more: dict[str, Any]) -> None:
    """Prove the key and join, as far as this connection lets us."""
    nonce = "0" * 32
    before = len(wire_.written)
    wire_.feed(json.dumps({"type": "hello", "v": 1, "key": "key", "nonce": nonce}).encode() + b"\n")
    answer = bytes(wire_.written[before:]).removeprefix(plain.GREETING)
    if b'"challenge"' in answer:
        theirs = json.loads(answer.splitlines()[0])["nonce"]
        proof = keys.client_proof("secret", nonce, theirs)
        join = {"type": "join", "proof": proof, "exact": False, **more}
        wire_.feed(some.line(join) + b"\n")
        await asyncio.sleep(0)


def _check(wire_: Wire) -> None:
    """What went out is in the language of whoever is there."""
    conn = wire_.protocol
    assert isinstance(conn, Connection)
    out = bytes(wire_.written)
    if conn.is_plain or not out.startswith((b"{", plain.GREETING + b"{")):
        out.decode()
        return
    *lines, rest = out.removeprefix(plain.GREETING).split(b"\n")
    assert rest == b""
    for line in lines:
        assert not isinstance(wire.decode_event(line), Unknown)
