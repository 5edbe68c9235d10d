"""For whom a newcomer is taken: a mute holds for who comes back with another session.

It is a guess, so it is told as one, and hosts are left out of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

MISTAKEN = (
    "A host has muted {name} {left}, and you ask for that name or come from where only {name} came from. "
    "If that is not you, ask the host."
)


class Person(Protocol):
    """A newcomer, as far as is looked here."""

    session: str
    address: str | None


class Mute(Protocol):
    """A mute, as far as is looked here."""

    @property
    def name(self) -> str: ...

    @property
    def address(self) -> str | None: ...

    def is_about(self, session: str | None, name: str) -> bool: ...


class TakenFor:
    """Which sessions are taken for whom, the newest ``most`` of them. One owner."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._names: dict[tuple[str, str], str] = {}
        """(room, session) → a muted name."""

    def came(self, room: str, member: Person, asked: str | None, mutes: Iterable[Mute]) -> None:
        """Somebody new is in a room. Who comes from where only a muted one came from, or asks for its name
        while nobody has that (``asked``), is taken for that one."""
        for mute in mutes:
            is_there = mute.address is not None and mute.address == member.address
            if is_there or (asked is not None and mute.is_about(None, asked)):
                self._names[room, member.session] = mute.name
        while len(self._names) > self._most:
            del self._names[next(iter(self._names))]

    def name(self, room: str, session: str) -> str | None:
        """The muted name that a session is taken for."""
        return self._names.get((room, session))
