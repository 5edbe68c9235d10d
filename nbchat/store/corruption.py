"""Damaged files: how damage is found, and how a file is moved aside without losing a byte of it.

Every page of a file has its structure, and that is checked; the texts in it have no checksum, so a byte that
changed in one is not found. Neither is the damaged end of a write-ahead log: SQLite ends the log where its
checksums end, as it does after a crash, and what was acknowledged after that place is gone unnoticed.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from nbchat.store.schema import APPLICATION, SCHEMA, prepare

PARTS = ("", "-wal", "-shm", "-journal")
"""What SQLite adds to a file's name for the other files that belong to it."""
SMALL = 16 << 20
"""Bytes of a file that is looked through after a crash: 20 ms where the system has it in memory, which no
restart notices. A larger one is looked through only where damage was met; from a slow disk a history of a
million messages (210 MB) would take seconds."""

_MAGIC = b"SQLite format 3\0"
_HEADER = 4096
_OF_SCHEMA_1 = b"CREATE UNIQUE INDEX log_once ON log (room, session, id)"
_UNEVEN = """SELECT name FROM room WHERE head IS NOT
    coalesce((SELECT max(seq) FROM log WHERE log.room = room.name), trimmed) LIMIT 1"""


class Damaged(Exception):
    """A check found damage; the text says what."""


def is_damage(error: Exception) -> bool:
    if isinstance(error, Damaged):
        return True
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    # A text that is no text any more has no code, only these words.
    unreadable = isinstance(error, sqlite3.OperationalError) and "decode to UTF-8" in str(error)
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) or unreadable


def begin(db: sqlite3.Connection) -> dict[str, str]:
    """Prepare the tables, and see that each room's log ends where the room says, which is quick whatever
    the history's size. Returns the small things kept."""
    try:
        meta = prepare(db)
        uneven = db.execute(_UNEVEN).fetchone()
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_ERROR:  # tables that are not as made
            raise Damaged(str(error)) from error
        raise
    if uneven is not None:
        raise Damaged("a room's log does not end where the room says")
    return meta


def look_through(db: sqlite3.Connection, *, with_indexes: bool) -> None:
    """Check every page; ``with_indexes`` takes longer, and also compares tables with their indexes."""
    found = db.execute(f"PRAGMA {'integrity' if with_indexes else 'quick'}_check(1)").fetchone()[0]
    if found != "ok":
        raise Damaged(" ".join(found.split()))
    if with_indexes:
        for _ in db.execute("SELECT room, session, id FROM log"):
            pass  # each is decoded, which the check above does not do


def may_be_moved(header: bytes, *, is_own_place: bool) -> bool:
    """Whether a damaged file that begins so is ours to move.

    In a place of our own everything is, but for what is whole enough to be called another program's or a
    newer version's. Elsewhere it has to be recognisably ours.
    """
    if not header.startswith(_MAGIC):
        return is_own_place
    version = int.from_bytes(header[60:64], "big")
    application = int.from_bytes(header[68:72], "big")
    if application == APPLICATION:
        return version <= SCHEMA
    return application == 0 and (is_own_place or (version == 1 and _OF_SCHEMA_1 in header[:_HEADER]))


def move_aside(path: Path, now: float) -> Path:
    """Give a damaged file and what belongs to it a name with its date; returns that name."""
    stamp = time.strftime("%Y-%m-%dT%H%M%S", time.localtime(now))
    for number in itertools.count(1):
        again = f"-{number}" if number > 1 else ""
        aside = path.with_name(f"{path.stem}.damaged-{stamp}{again}{path.suffix}")
        if not any(other.exists() for _, other in _parts(aside)):
            break
    for part, mine in _parts(path):
        with contextlib.suppress(FileNotFoundError):
            os.rename(mine, aside.with_name(aside.name + part))
    return aside


def _parts(path: Path) -> Iterator[tuple[str, Path]]:
    return ((part, path.with_name(path.name + part)) for part in PARTS)


# ── the note that a file is perhaps damaged ──


def suspect(path: Path) -> None:
    """Leave a note beside the file: whoever opens it next has to look through all of it."""
    with contextlib.suppress(OSError):  # a disk that takes no note; damage will be met again
        os.close(os.open(_note(path), os.O_WRONLY | os.O_CREAT, 0o600))


def is_suspect(path: Path) -> bool:
    return _note(path).exists()


def clear(path: Path) -> None:
    """The file was looked through, or moved aside."""
    with contextlib.suppress(OSError):
        _note(path).unlink(missing_ok=True)


def _note(path: Path) -> Path:
    return path.with_name(path.name + ".damaged")
