"""What the log knows of its authors: who said something, and which messages of a flood are whose.

It is gone through backwards, a page at a time, with a turn of the loop between two; for one question after
the other, so that many hold up nobody.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from msgspec import Struct

from nbchat.core import names, wire
from nbchat.core.errors import StoreError
from nbchat.core.frames import Moderate, Said
from nbchat.core.hub import Hub
from nbchat.store.promise import RoomStore

DEEP = 20_000
"""Messages that are looked through for an author: some days of a class."""
RUNS = 2000
"""Runs of messages that one deed takes away, the newest: about 30 KB of a line."""
SEARCH_COST = 10.0
"""What it counts against a host's rate to look through the log, in requests beyond the one: it takes a tenth
of a second where nothing is found."""
_PAGE = 500
_SIZE = 1024 * 1024
"""Bytes that are read at once."""


class Author(Struct):
    """Who said a message, as far as the log knows."""

    session: str
    name: str
    address: str | None = None
    is_host: bool = False
    """It was one when it said that."""


class Authors:
    """Makes known to a hub's rules whom a host means, where only the log knows it. Loop thread only."""

    def __init__(self, store: RoomStore, hub: Hub) -> None:
        self._store = store
        self._hub = hub
        self._looking = asyncio.Lock()

    def are_needed(self, room: str, request: Moderate) -> bool:
        """Whether it is about somebody who is not there and is not remembered."""
        if request.do not in ("ban", "mute") or not request.name:
            return False
        key = names.skeleton(request.name)
        is_here = any(names.skeleton(each.name) == key for each in self._hub.members(room))
        return not is_here and self._hub.rules.seen.named(room, request.name) is None

    async def recall(self, room: str, request: Moderate) -> None:
        """Look in the log for who has said something by that name."""
        async with self._looking:
            if not self.are_needed(room, request):  # somebody else has asked for the same meanwhile
                return
            await self._look(room, request)

    async def _look(self, room: str, request: Moderate) -> None:
        with contextlib.suppress(StoreError):
            if (found := await author(self._store, room, request.name or "")) is not None:
                self._hub.rules.seen.add(room, found, 0.0)


async def author(store: RoomStore, room: str, name: str) -> Author | None:
    """Who has last said something in a room by this name. Raises StoreError."""
    key, left = names.skeleton(name), DEEP
    async for said, session in _backwards(store, room):
        if names.skeleton(said.by) == key:
            return Author(session, said.by, is_host=said.role == "host")
        left -= 1
        if left <= 0:
            break
    return None


async def flood(store: RoomStore, room: str, name: str, since: int) -> tuple[str, list[int]]:
    """The messages that somebody of this name has said in a room since then (milliseconds since 1970): the
    name as it was written last, and their seqs, the newest first, of :data:`RUNS` runs at the most."""
    await store.head([room])  # so that what was said before this has been written down
    key, spelled, runs = names.skeleton(name), name, 0
    found: list[int] = []
    async for said, _ in _backwards(store, room, since):
        if names.skeleton(said.by) != key:
            continue
        if not found:
            spelled = said.by
        if not found or found[-1] != said.seq + 1:
            runs += 1
        if runs > RUNS:
            break
        found.append(said.seq)
    return spelled, found


def in_runs(seqs: list[int]) -> tuple[int, ...]:
    """Seqs, the newest first, as the first and last of each run, the oldest first."""
    runs: list[list[int]] = []
    for seq in reversed(seqs):
        if runs and runs[-1][1] == seq - 1:
            runs[-1][1] = seq
        else:
            runs.append([seq, seq])
    return tuple(seq for run in runs for seq in run)


async def _backwards(store: RoomStore, room: str, since: int = 0) -> AsyncIterator[tuple[Said, str]]:
    """The messages of a room with their sessions, the newest first, up to the first that is older."""
    before: int | None = None
    while True:
        events = await store.history(room, before=before, limit=_PAGE, size=_SIZE)
        for event in reversed(events):
            if event.at < since:
                return
            said = wire.decode_event(wire.logged(event.body, event.seq, event.at))
            if isinstance(said, Said):
                yield said, event.session
        if not events:
            return
        before = events[0].seq
        await asyncio.sleep(0)
