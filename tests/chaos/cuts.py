"""A conversation that is cut at one given byte, for every byte: python -m tests.chaos.cuts

Each cut has a room and a proxy of its own. Ada's connection goes through the proxy and ends at that byte,
in that direction, in that way; bob's does not. Both say some messages, and both have to have all at the end.
"""

from __future__ import annotations

import os
import secrets
import tempfile
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import psutil

import nbchat
from nbchat.core.errors import ChatError
from nbchat.core.limits import NO_RATES
from tests.chaos.history import Line, Sender, View, check
from tests.chaos.proxy import End, Fate, Proxy, Way, untouched

BYTES = range(601)
_SAID = 4
_LIMITS = nbchat.Limits(**NO_RATES, grace=0.5, rooms=10_000, connections=4000)
_PATIENCE = 30.0


class Cut(NamedTuple):
    way: Way
    at: int
    end: End


def all_cuts(offsets: Iterable[int] = BYTES) -> list[Cut]:
    return [Cut(way, at, end) for at in offsets for way in ("up", "down") for end in ("fin", "rst")]  # type: ignore[arg-type]


def try_all(cuts: list[Cut]) -> list[str]:
    """Try each; returns what went wrong, in words."""
    with nbchat.serve(port=0, history=None, limits=_LIMITS) as server:
        link = server.invite()
        list(_pool_map(server, link, cuts[:1]))  # what is loaded and opened once is not a leak
        before = _held()
        violations = [each for found in _pool_map(server, link, cuts) for each in found]
        violations += _leaks(server, before)
    return violations


def _pool_map(server: nbchat.Server, link: str, cuts: list[Cut]) -> Iterable[list[str]]:
    with ThreadPoolExecutor(24) as pool:
        return list(pool.map(lambda cut: _try(server, link, cut), cuts))


def _try(server: nbchat.Server, link: str, cut: Cut) -> list[str]:
    room = f"{cut.way}-{cut.at}-{cut.end}-{secrets.token_hex(2)}"
    fates = iter([Fate(way=cut.way, at=cut.at, end=cut.end)])
    try:
        with (
            Proxy(server.port, lambda: next(fates, untouched())) as proxy,
            nbchat.connect(link, "bob", room) as bob,
            nbchat.connect(proxy.link(link), "ada", room) as ada,
        ):
            return [f"{cut}: {each}" for each in _talk(ada, bob, room)]
    except (ChatError, OSError) as error:
        return [f"{cut}: {error!r}"]


def _talk(ada: nbchat.Client, bob: nbchat.Client, room: str) -> list[str]:
    said = {client: [client.send(f"{client.name} {n}") for n in range(1, _SAID + 1)] for client in (ada, bob)}
    senders = [
        Sender(
            client.name,
            room,
            client.name,
            _SAID,
            {n: message.wait(_PATIENCE).seq or 0 for n, message in enumerate(messages, 1)},
        )
        for client, messages in said.items()
    ]
    # Cut after all was said: it comes back, and has missed nothing.
    ada.send("ada 5").wait(_PATIENCE)
    senders[0].sent = 5
    views = []
    for client in (ada, bob):
        client._state.wait(lambda client=client: client._state.transcript.seq == 2 * _SAID + 1, _PATIENCE)  # type: ignore[misc]
        lines = [Line(message.seq, message.by, message.text) for message in client.messages]
        views.append(View(client.name, room, lines, is_whole=True))
    log = [Line(message.seq, message.by, message.text) for message in bob.history(limit=100)]
    members = [sorted(client.members) for client in (ada, bob)]
    found = check({room: log}, views, senders)
    return found + ([] if members == [["ada", "bob"]] * 2 else [f"members: {members}"])


def _held() -> tuple[int, int]:
    process = psutil.Process()
    return process.num_fds(), threading.active_count()


def _leaks(server: nbchat.Server, before: tuple[int, int]) -> list[str]:
    """What is left when all have gone and the grace is over."""
    look = threading.Event()
    for _ in range(100):
        if all(now <= then for now, then in zip(_held(), before, strict=True)) and not server.members:
            return []
        look.wait(0.1)
    return [
        f"left over: (descriptors, threads) {before} became {_held()}; members {server.members}; "
        f"{[thread.name for thread in threading.enumerate()]}"
    ]


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="nbchat-cuts-") as folder:
        os.environ["JUPYTER_RUNTIME_DIR"] = folder
        cuts = all_cuts()
        violations = try_all(cuts)
    print(f"{len(cuts):,} cuts at the bytes 0 to {BYTES[-1]} of both directions by FIN and RST: ", end="")
    print(f"{len(violations)} violations")
    print("\n".join(violations[:20]))
    return 1 if violations else 0


if __name__ == "__main__":
    raise SystemExit(main())
