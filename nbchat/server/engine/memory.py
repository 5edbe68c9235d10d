"""How much a server's memory may keep: the messages in memory are bounded, a file that grows is told of; and
so is one that is gone.

Loop thread only.
"""

from __future__ import annotations

import logging
import math

from nbchat.core.errors import StoreError
from nbchat.core.limits import Limits
from nbchat.store.promise import RoomStore

log = logging.getLogger("nbchat")
_FILE = 60.0
"""Seconds between two looks at a file's size."""
_LEFT = 0.9
"""How much of the bound is left after something went, so that it is not reached at once again."""


class Memory:
    """Looks at a store's size now and then."""

    def __init__(self, store: RoomStore, limits: Limits) -> None:
        self._store = store
        self._limits = limits
        self._looked_at = -math.inf
        self._is_told = False
        self._is_shrinking = False
        self._is_gone = False
        self._is_looking = False

    async def look(self) -> None:
        """To be called about once a second: tell, once, that the file was deleted, moved or replaced. Whoever
        says something then is told by the store."""
        if self._is_looking:  # the disk is slow, and the look before this one waits for it
            return
        self._is_looking = True
        try:
            await self._store.look()
        except StoreError as error:
            if not self._is_gone:
                log.error("%s", error)
            self._is_gone = True
        else:
            if self._is_gone:
                log.warning("the history's file is where it was again")
            self._is_gone = False
        finally:
            self._is_looking = False

    def tick(self, now: float) -> bool:
        """To be called about once a second. True: too much is in memory, and :meth:`shrink` is to follow."""
        if self._store.is_file:
            if now - self._looked_at >= _FILE and not self._is_told:
                self._looked_at = now
                self._look()
            return False
        return self._store.size > self._limits.memory and not self._is_shrinking

    async def shrink(self) -> dict[str, int]:
        """Let the oldest messages go; returns the last seq that is gone, of each room that lost some."""
        self._is_shrinking = True
        try:
            gone = await self._store.shrink(int(self._limits.memory * _LEFT))
        finally:
            self._is_shrinking = False
        if gone and not self._is_told:
            self._is_told = True
            log.warning(
                "this chat keeps %d MB of messages in memory, and the oldest go. To keep all, give it a name",
                self._limits.memory >> 20,
            )
        return gone

    def _look(self) -> None:
        if self._store.size > self._limits.file:
            self._is_told = True
            log.warning(
                "the history's file is larger than %d MB. To bound it: nbchat.serve(…, keep=100_000)",
                self._limits.file >> 20,
            )
