"""Histories of before, with sessions and keys in clear: digests take the place of the ones, and the others go
beside the file.

In steps, each a commit of its own, so that a large file that is interrupted on the way goes on there.
"""

from __future__ import annotations

import json
import sqlite3
from io import FileIO
from pathlib import Path
from typing import Any

from nbchat.core.digests import digest
from nbchat.store import keyfile
from nbchat.store.scrub import scrub

STEP = 50_000
"""Events in one commit."""
LEFT, UNSCRUBBED = "left to digest", "left to scrub"
"""Among the small things: how far it has come, and that the words are still in the file's bytes."""

BEGIN = f"""
DROP INDEX IF EXISTS log_once;
UPDATE mark SET session = nbchat_digest(session);
UPDATE meta SET value = nbchat_kept(key, value);
INSERT INTO meta VALUES ('{LEFT}', '["", 0]'), ('{UNSCRUBBED}', '');
"""  # noqa: S608 (our own words)
INDEX = "CREATE UNIQUE INDEX log_once ON log (room, session, id)"
_NEXT = "SELECT room, seq FROM log WHERE (room, seq) > (?, ?) ORDER BY room, seq LIMIT ?"
_LAST = f"SELECT room, seq FROM ({_NEXT}) ORDER BY room DESC, seq DESC LIMIT 1"  # noqa: S608 (our own words)
_STEP = """UPDATE log SET session = nbchat_digest(session)
    WHERE (room, seq) > (?, ?) AND (room, seq) <= (?, ?)"""


def teach(db: sqlite3.Connection) -> None:
    """Make the functions known that ``BEGIN`` and the steps use."""
    db.create_function("nbchat_digest", 1, digest, deterministic=True)
    db.create_function("nbchat_kept", 2, _kept, deterministic=True)


def left(db: sqlite3.Connection) -> str | None:
    """From where it is to go on; None: all is done."""
    found = db.execute("SELECT value FROM meta WHERE key = ?", (LEFT,)).fetchone()
    return found[0] if found else None


def step(db: sqlite3.Connection, at: str) -> None:
    """Do one step, in a transaction of the caller's."""
    room, seq = json.loads(at)
    last = db.execute(_LAST, (room, seq, STEP)).fetchone()
    if last is None:
        db.execute(INDEX)
        db.execute("DELETE FROM meta WHERE key = ?", (LEFT,))
        return
    db.execute(_STEP, (room, seq, *last))
    db.execute("UPDATE meta SET value = ? WHERE key = ?", (json.dumps(last), LEFT))


def keys(db: sqlite3.Connection, meta: dict[str, str], path: Path) -> str:
    """The keys beside a history. Those that stood among the small things are put there: first, so that none
    is lost on the way. Raises StoreError."""
    there, inside = keyfile.read(path), meta.pop("keys", None)
    if inside is not None:
        if not there:
            keyfile.write(path, inside)
        db.execute("INSERT OR REPLACE INTO meta VALUES (?, '')", (UNSCRUBBED,))
        db.execute("DELETE FROM meta WHERE key = 'keys'")
        meta[UNSCRUBBED] = ""
    return there or inside or ""


def scrub_all(db: sqlite3.Connection, file: FileIO, path: Path) -> None:
    """Take what stood there out of the file's bytes, too. Raises InUse."""
    scrub(db, file, path, most=2**24)
    db.execute("DELETE FROM meta WHERE key = ?", (UNSCRUBBED,))


# ── small things ──


def _kept(key: str, value: str) -> str:
    """A small thing that was kept with a log when sessions were kept as they are, as it is kept now. (Held
    names had digests already.)"""
    if key not in ("moderation", "keys"):
        return value
    found = json.loads(value)
    if key == "moderation":
        _rules(found)
    else:
        _keys(found)
    return json.dumps(found)


def _rules(rooms: dict[str, dict[str, Any]]) -> None:
    for room in rooms.values():
        room["hosts"] = _by_digest(room.get("hosts", {}))
        for ban in (*room.get("bans", ()), *room.get("mutes", ())):
            _change(ban)
        if room.get("locked") is not None:
            room["locked"] = [digest(session) for session in room["locked"]]


def _keys(keys: list[dict[str, Any]]) -> None:
    for key in keys:
        if key.get("sessions") is not None:
            key["sessions"] = [digest(session) for session in key["sessions"]]
        key["rooms"] = _by_digest(key.get("rooms", {}))


def _change(kept: dict[str, Any]) -> None:
    if kept.get("session") is not None:
        kept["session"] = digest(kept["session"])


def _by_digest(found: dict[str, str]) -> dict[str, str]:
    return {digest(session): value for session, value in found.items()}
