"""Whether a client's connection still stands: asked now and then, and at once after the machine slept.

A laptop that slept wakes with a connection that looks whole. The server may have given it up long ago, or
another network be there now, and nobody says so. But the clock on the wall has gone on, and the steady one,
which stands still in sleep or jumps with it, has not gone the same way; so the server is asked at once.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from nbchat.client.dial import PATIENCE
from nbchat.core.errors import Unreachable

_SLEPT = 2.0
"""Seconds by which the two clocks part when the machine slept, or somebody set the time: to ask is cheap."""
_OFTEN = 1.0
"""Seconds between two looks at the clocks."""
_SILENT = 2.5
_DUE = 0.75
"""In times of ``ping``: after what silence a connection is given up, and after what silence of its own it is
asked."""


class Watched(Protocol):
    """A connection, as far as it is watched; times by ``time.monotonic()``."""

    heard: float
    spoke: float

    def ping(self) -> None: ...

    def fail(self, reason: Exception) -> None: ...


class Client(Protocol):
    """Whose connection it is."""

    wall: Callable[[], float]
    ping: float

    @property
    def is_welcome(self) -> bool: ...


class Watch:
    """Watches one connection until it is cancelled. The client's thread only."""

    def __init__(
        self,
        client: Client,
        conn: Watched,
        *,
        steady: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._client = client
        self._conn = conn
        self._steady = steady
        self._sleep = sleep

    async def run(self) -> None:
        client, conn = self._client, self._conn
        begun = before = self._steady()
        apart = client.wall() - begun
        asked = math.inf
        while True:
            # Until the welcome it is not known how often this server wants to hear from us.
            await self._sleep(min(_OFTEN, client.ping / 4) if client.is_welcome else 0.1)
            now = self._steady()
            was, apart = apart, client.wall() - now
            # Windows' steady clock goes on in sleep: there it is this thread that was away for long.
            has_slept = abs(apart - was) > _SLEPT or now - before > _OFTEN + PATIENCE
            before = now
            if not client.is_welcome:
                if now - begun > PATIENCE:
                    conn.fail(Unreachable("The server does not answer."))
                continue
            if conn.heard >= asked:
                asked = math.inf
            if has_slept:
                asked = now
                conn.ping()
            elif now - asked > PATIENCE or now - conn.heard > _SILENT * client.ping:
                conn.fail(Unreachable("The server has gone silent."))
            elif now - conn.spoke > _DUE * client.ping:
                conn.ping()
