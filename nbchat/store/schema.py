"""The tables of a history: making them, bringing older ones up to date, telling ours from others'."""

from __future__ import annotations

import contextlib
import secrets
import sqlite3
from collections.abc import Iterator

from nbchat.core.errors import StoreDown
from nbchat.store import upgrade

SCHEMA = 3
"""2: with marks of what was trimmed. 3: digests in place of sessions, no keys."""
APPLICATION = 0x6E626368
"""``nbch``, in the header of each file of ours: by it a damaged one is recognised and may be moved aside."""

_MARKS = """
CREATE TABLE mark (
    room TEXT NOT NULL, session TEXT NOT NULL, id TEXT NOT NULL, seq INTEGER NOT NULL, at INTEGER NOT NULL,
    PRIMARY KEY (room, session, id)
) WITHOUT ROWID;
CREATE INDEX mark_at ON mark (at);
"""
_TABLES = f"""
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE room (
    name TEXT PRIMARY KEY, head INTEGER NOT NULL, trimmed INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE TABLE log (
    room TEXT NOT NULL, seq INTEGER NOT NULL, at INTEGER NOT NULL,
    session TEXT NOT NULL, id TEXT NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (room, seq)
) WITHOUT ROWID;
{upgrade.INDEX};
{_MARKS}
"""
_FROM_1 = f"ALTER TABLE room ADD COLUMN trimmed INTEGER NOT NULL DEFAULT 0; {_MARKS}"
_OF_1 = {"meta", "room", "log", "log_once"}


def identify(db: sqlite3.Connection) -> int:
    """The version of our tables in it, 0 where there are none yet; refuses what is not ours to touch.

    Changes nothing, so it comes before anything that does.
    """
    (version,) = db.execute("PRAGMA user_version").fetchone()
    (application,) = db.execute("PRAGMA application_id").fetchone()
    if application == APPLICATION:
        if version > SCHEMA:
            raise StoreDown(
                "This history was written by a newer nbchat. Update nbchat, or give another file with "
                "history=…"
            )
        return int(version)
    names = {name for (name,) in db.execute("SELECT name FROM sqlite_master")}
    if application == 0 and version == 0 and not names:
        return 0
    if application == 0 and version == 1 and names >= _OF_1:
        return 1
    raise StoreDown("This file is another program's database. Give another file with history=…")


def prepare(db: sqlite3.Connection) -> dict[str, str]:
    """Make the tables, or bring them up to date, in one transaction; returns the small things kept."""
    version = identify(db)
    if version < SCHEMA:
        upgrade.teach(db)
        changes = {0: _TABLES, 1: _FROM_1 + upgrade.BEGIN}.get(version, upgrade.BEGIN)
        db.executescript(
            f"BEGIN IMMEDIATE; {changes} PRAGMA application_id = {APPLICATION}; "
            f"PRAGMA user_version = {SCHEMA}; COMMIT;"
        )
        # Into the file itself: what is ours has to be recognised without its write-ahead log.
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    _digest(db)
    db.execute("INSERT OR IGNORE INTO meta VALUES ('log_id', ?)", (secrets.token_hex(16),))
    return dict(db.execute("SELECT key, value FROM meta"))


def _digest(db: sqlite3.Connection) -> None:
    """Go on with what an older file has left to be done."""
    while (at := upgrade.left(db)) is not None:
        upgrade.teach(db)
        with transaction(db):
            upgrade.step(db, at)


@contextlib.contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """All of it or nothing; it has the right to write from its begin, so it never fails midway for that."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    finally:
        if db.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                db.execute("ROLLBACK")
