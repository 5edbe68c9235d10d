"""Which name a newcomer gets: who has it, for whom it is held, whom it was promised to, and what is left.

A name that is asked for is given if it is nobody's, by what it looks like. Who does not insist gets a number
behind it, but never a number that makes it a banned or muted one: that would be somebody else's punishment.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass

from nbchat.core import names
from nbchat.core.errors import BadName
from nbchat.core.heldnames import HeldNames
from nbchat.core.keys import Key
from nbchat.core.members import SERVES, Member, Room
from nbchat.core.moderation import Moderation

GUEST = "guest"
"""What who asks for a host's name, and does not insist, is called."""
Promised = Callable[[Iterable[str], str | None, float], Key | None]
"""Which key that is not of this id is for one name that has one of these marks (keyring.py)."""


@dataclass(frozen=True, slots=True)
class Newcomer:
    """Who wants a name in a room: what is known of it."""

    room: str
    session: str | None
    key: str | None
    """Its key's id."""
    is_host: bool
    serves: bool
    now: float

    @property
    def host_key(self) -> str | None:
        """What a host's names are held for."""
        return SERVES if self.serves else self.key if self.is_host else None


class Taken:
    """What of a room's names is not for one newcomer: a container of their marks."""

    def __init__(
        self, who: Newcomer, room: Room | None, held: HeldNames, promised: Promised | None, rules: Moderation
    ) -> None:
        self._who, self._room = who, room
        self._held, self._promised, self._rules = held, promised, rules

    def __contains__(self, mark: object) -> bool:
        assert isinstance(mark, str)
        return self._is_there(mark) or self._kept_from((mark,)) is not None

    def next_free(self, name: str) -> str:
        """The name with the first number behind it that makes it free, and nobody's who is banned or
        muted."""
        return names.free(name, _Either(self, self._rules.barred(self._who.room, self._who.now)))

    def why(self, name: str, free: str) -> str:
        """Why a name cannot be had, in words."""
        marks = names.marks(name)
        why = None if any(map(self._is_there, marks)) else self._kept_from(marks)
        text = f"The name {name!r} is taken in this room." if why is None else f"The name {why}"
        return f"{text} {free!r} is free."

    def holders(self, name: str) -> list[Member]:
        """Who has a name that looks like a host's own, which comes back to it: who is no host."""
        who = self._who
        if self._room is None or not self._held.is_own(who.room, name, who.session, who.host_key):
            return []
        marks = names.marks(name)
        found = [each for each in self._room.members.values() if marks & names.marks(each.name)]
        return found if all(each.role != "host" for each in found) else []

    def _is_there(self, mark: str) -> bool:
        return self._room is not None and mark in self._room.taken

    def _kept_from(self, marks: Iterable[str]) -> str | None:
        who = self._who
        if hold := self._held.against(who.room, marks, who.session, who.host_key, who.now):
            return self._held.why(who.room, hold, who.now)
        if self._promised is not None and (key := self._promised(marks, who.key, who.now)):
            return f"{key.name!r} is kept for whom the host has invited by it."
        return None


def fitting(name: str, *, is_host: bool, exact: bool) -> str:
    """A name that this one may have. Raises :class:`BadName`."""
    try:
        return names.check_member(name, is_host=is_host)
    except BadName:
        if exact or is_host or not names.is_for_hosts(names.check_member(name)):
            raise
        return GUEST


class _Either:
    def __init__(self, *parts: Container[str]) -> None:
        self._parts = parts

    def __contains__(self, mark: object) -> bool:
        return any(mark in part for part in self._parts)
