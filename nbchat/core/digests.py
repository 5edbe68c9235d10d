"""Sessions as servers know and keep them: by digests. Only its client has the word itself.

Who reads a history, or a server's memory, cannot come back as somebody.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec


def digest(session: str) -> str:
    """What a server knows a session by. The word is made of 16 random bytes: nobody finds one by trying."""
    return hashlib.sha256(session.encode()).hexdigest()[:32]


def kept(key: str, value: str) -> str:
    """A small thing that was kept with a log when sessions were kept as they are, as it is kept now."""
    found: Any = msgspec.json.decode(value) if key in ("moderation", "held", "keys") else None
    match key:
        case "moderation":
            _rules(found)
        case "held":
            _held(found)
        case "keys":
            _keys(found)
        case _:
            return value
    return msgspec.json.encode(found).decode()


def _rules(rooms: dict[str, dict[str, Any]]) -> None:
    for room in rooms.values():
        room["hosts"] = _by_digest(room.get("hosts", {}))
        for ban in (*room.get("bans", ()), *room.get("mutes", ())):
            _change(ban)
        if room.get("locked") is not None:
            room["locked"] = [digest(session) for session in room["locked"]]


def _held(held: dict[str, Any]) -> None:
    """These had digests already, of the words; now of what a session is known by."""
    for holds in held.values():
        for room in holds.values() if isinstance(holds, dict) else ():
            for hold in room:
                _change(hold)


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
