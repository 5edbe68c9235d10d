"""What SQLite and the system say when something fails, as errors of ours."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from nbchat.core.errors import StoreDown, StoreError, StoreFull
from nbchat.store.corruption import is_damage, suspect

_NOTHING_WRITTEN = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_READONLY}
"""SQLite gives these before it has written anything that counts, also when a commit gives them."""


def named(error: Exception, path: Path | None, *, before_commit: bool = False) -> StoreError:
    """The error to raise in place of ``error``. ``before_commit``: nothing can have been kept.

    A file that turns out to be damaged is noted, so that the next opening looks at all of it.
    """
    if path is not None and is_damage(error):
        suspect(path)
        return StoreDown(
            f"The file of the history, {path}, is damaged ({error}). Stop the server and serve again "
            "(server.stop(), then nbchat.serve(…)): the file is moved aside, not deleted, and a new "
            "history begins."
        )
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_BUSY:
        return StoreFull("Another program has locked the file of the history; nothing of it was kept.")
    if before_commit or code in _NOTHING_WRITTEN:
        return StoreFull(f"The history could not be written ({error}); nothing of it was kept.")
    return StoreDown(f"The history could not be read or written ({error}).")


def gone(path: Path, missing: Path) -> StoreDown:
    """What to say when a file or its write-ahead log was taken away while it is open."""
    if missing == path:
        return StoreDown(
            f"The file of the history, {path}, was deleted, moved or replaced, so nothing is confirmed any "
            "more. If it was moved, move it back. Otherwise take what was said so far from client.history(), "
            "and serve again: server.stop(), then nbchat.serve(…). That goes on with what is there then."
        )
    return StoreDown(
        f"A part of the history, {missing}, was deleted, moved or replaced, so nothing is confirmed any "
        "more. Move it back, or stop the server and serve again (server.stop(), then nbchat.serve(…)): that "
        "writes what was in it into the history's file."
    )


def unopened(error: Exception, path: Path | None) -> StoreDown:
    """Why a history cannot be opened, and what to do."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    why = "another program has locked it" if code == sqlite3.SQLITE_BUSY else str(error)
    return StoreDown(
        f"The history in {path} cannot be opened: {why}. Give another file with history=…, or "
        "history=None for a chat that keeps nothing."
    )


def unwritable(error: OSError) -> StoreDown:
    return StoreDown(
        f"The history cannot be kept there: {error.strerror or error} ({error.filename}). Give another "
        "file with history=…, or history=None for a chat that keeps nothing."
    )
