"""Which memory a place means."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from nbchat.store.promise import RoomStore


def open_store(
    where: str | Path | None, clock: Callable[[], float], *, is_own_place: bool = False
) -> RoomStore:
    """The memory for a place, not yet opened: a file's path, or None for this process's memory only.

    ``clock`` gives seconds since 1970 and stamps the events. ``is_own_place``: the file is in a folder of
    nbchat's own, so that anything damaged there may be moved aside; elsewhere only what is recognisably
    a history of ours. What is moved aside is told by ``damage``.
    """
    if where is None:
        from nbchat.store.memory import MemoryStore

        return MemoryStore(clock)
    from nbchat.store.sqlite import SQLiteStore

    return SQLiteStore(where, clock, is_own_place=is_own_place)
