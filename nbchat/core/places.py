"""Who may still come in where places are few: one link fills no server, and who belongs finds a place.

Places are taken by members, also by those who are gone and may be back in a moment. Those who came with one
key from one address leave some to all others. Beyond the last one there are some to spare, for members who
come back after their place was given up, and as many for who serves.
"""

from __future__ import annotations

from nbchat.core.errors import ProtocolError
from nbchat.core.limits import Limits

Origin = tuple[str | None, str | None]
"""The key's id and the address: None for a plain client, None within this machine."""


class Places:
    """The places of one server. One owner."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._taken = 0
        self._by: dict[tuple[str, Origin], int] = {}
        """(room, origin) → members; the room "" is all of them, and is nobody's name."""

    def take(self, room: str, origin: Origin) -> None:
        self._taken += 1
        for key in (("", origin), (room, origin)):
            self._by[key] = self._by.get(key, 0) + 1

    def leave(self, room: str, origin: Origin) -> None:
        self._taken -= 1
        for key in (("", origin), (room, origin)):
            self._by[key] -= 1
            if not self._by[key]:
                del self._by[key]

    def bar(
        self, room: str, in_room: int, origin: Origin, *, was_there: bool = False, serves: bool = False
    ) -> ProtocolError | None:
        """Why somebody finds no place, None if there is one."""
        limits = self._limits
        spare = 2 * limits.spare if serves else limits.spare if was_there else 0
        if self._taken >= limits.connections + spare:
            return ProtocolError("server_full", "This chat is full. Try again later.")
        if in_room >= limits.members + spare:
            return ProtocolError("room_full", "This room is full.")
        if serves:
            return None
        for where, most in (("", limits.connections), (room, limits.members)):
            if self._by.get((where, origin), 0) >= most - min(limits.reserved, most // 4) + spare:
                return ProtocolError(
                    "link_full",
                    "As many as can have come with this link from where you come from. Try again later, or "
                    "ask the host for another link.",
                )
        return None
