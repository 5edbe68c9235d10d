"""A room and its members, as the hub keeps them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from nbchat.core.effects import Connection
from nbchat.core.frames import MemberInfo

SERVES = "serves"
"""In place of a key's id: the server's own key, which all programs of the host have."""


@dataclass(slots=True)
class Member:
    session: str = field(repr=False)
    name: str
    role: str
    room: Room
    plain: bool
    conn: Connection | None
    serves: bool = False
    """Came with the server's own key, and so is above all hosts."""
    is_host: bool = False
    """Host by its key, whether or not one has named it so."""
    address: str | None = None
    """Where from, if that tells people apart."""
    key: str | None = None
    """The id of the key that it came in with."""
    away: bool = False
    gone_at: float = 0.0
    said_at: float = -math.inf
    came_at: float = 0.0
    source: tuple[str | None, str | None] = (None, None)
    """The key's id and the address: whose joins are counted together."""

    @property
    def host_key(self) -> str | None:
        """What a host's names are held for."""
        return SERVES if self.serves else self.source[0] if self.is_host else None

    origin: tuple[str | None, str | None] = (None, None)
    """The key and the address whose place it has."""

    @property
    def info(self) -> MemberInfo:
        return MemberInfo(name=self.name, role=self.role, plain=self.plain, away=self.away)


@dataclass(slots=True)
class Room:
    key: str
    """The skeleton of its name: what effects and the store call it."""
    name: str
    members: dict[str, Member] = field(default_factory=dict)
    """By the skeleton of their names."""
    taken: set[str] = field(default_factory=set)
    """The marks of their names."""
