"""Who was in a room, and may be named, banned or let back when it has gone: bounded, and not by strangers.

Who has said something is remembered apart from who only came and went, so that a flood of joins pushes out
nobody who spoke. What is pushed out all the same is in the room's log (server/engine/authors.py looks there).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from nbchat.core import names

EACH = 2048
"""Sessions of one room that spoke, and as many that did not: some classes' worth."""
ALL = 16384
"""Sessions of all rooms; beyond it the room that has most of them forgets its oldest."""


class Person(Protocol):
    """A member, as far as it is remembered."""

    session: str
    name: str
    address: str | None
    is_host: bool


@dataclass(slots=True)
class Trace:
    """What is known of a session that was in a room."""

    name: str
    address: str | None
    said_at: float = -math.inf
    is_host: bool = False
    """By its key, or by what the log says of it."""


@dataclass(slots=True)
class _Room:
    silent: dict[str, Trace] = field(default_factory=dict)
    spoke: dict[str, Trace] = field(default_factory=dict)
    """session → trace, who came last at the end."""
    by_name: dict[str, str] = field(default_factory=dict)
    """The skeleton of a name → who had it last."""
    is_whole: bool = True
    """False once somebody was forgotten: then nobody can tell whether an address is one member's alone."""

    def __len__(self) -> int:
        return len(self.silent) + len(self.spoke)

    def get(self, session: str | None) -> Trace | None:
        if session is None:
            return None
        return self.spoke.get(session) or self.silent.get(session)

    def forget_one(self) -> None:
        traces = self.silent or self.spoke
        self.drop(next(iter(traces)))
        self.is_whole = False

    def drop(self, session: str) -> None:
        trace = self.silent.pop(session, None) or self.spoke.pop(session, None)
        if trace is not None and self.by_name.get(key := names.skeleton(trace.name)) == session:
            del self.by_name[key]


class Seen:
    """The traces of all rooms. One owner."""

    def __init__(self) -> None:
        self._rooms: dict[str, _Room] = {}
        self._count = 0

    def add(self, room: str, member: Person, said_at: float | None = None) -> None:
        """Somebody has come into a room. ``said_at``: it is known to have spoken there."""
        known = self._rooms.setdefault(room, _Room())
        before = known.get(member.session)
        at = said_at if said_at is not None else before.said_at if before is not None else -math.inf
        if before is not None:
            self._drop(room, known, member.session)
        traces = known.spoke if at > -math.inf else known.silent
        traces[member.session] = Trace(member.name, member.address, at, member.is_host)
        known.by_name[names.skeleton(member.name)] = member.session
        self._rooms[room] = known
        self._count += 1
        if len(traces) > EACH:
            self._drop(room, known, next(iter(traces)))
            known.is_whole = False
        if self._count > ALL:
            largest = max(self._rooms.values(), key=len)
            largest.forget_one()
            self._count -= 1

    def spoke(self, room: str, member: Person, now: float) -> None:
        """A member has said something."""
        known = self._rooms.get(room)
        if known is not None and (trace := known.spoke.get(member.session)) is not None:
            trace.said_at = now
        else:
            self.add(room, member, now)

    def said_at(self, room: str, session: str, name: str) -> float:
        """When this session, or the last of this name, has said something."""
        known = self._rooms.get(room)
        if known is None:
            return -math.inf
        last = known.by_name.get(names.skeleton(name))
        return max(
            (each.said_at for each in (known.get(session), known.get(last)) if each), default=-math.inf
        )

    def forget(self, room: str, session: str) -> None:
        """It has no rights from having been there."""
        if (known := self._rooms.get(room)) is not None:
            self._drop(room, known, session)

    def has(self, room: str, session: str | None) -> bool:
        known = self._rooms.get(room)
        return known is not None and known.get(session) is not None

    def name_of(self, room: str, session: str | None) -> str | None:
        """The name that a session had when it came last."""
        trace = self._rooms[room].get(session) if room in self._rooms else None
        return trace.name if trace is not None else None

    def named(self, room: str, name: str) -> tuple[str, Trace] | None:
        """The session that had this name last, and what is known of it."""
        known = self._rooms.get(room)
        session = known.by_name.get(names.skeleton(name)) if known is not None else None
        trace = known.get(session) if known is not None else None
        return (session, trace) if session is not None and trace is not None else None

    def was_host(self, room: str, session: str) -> bool:
        """Whether it came with a host's key."""
        trace = self._rooms[room].get(session) if room in self._rooms else None
        return trace is not None and trace.is_host

    def sessions(self, room: str) -> set[str]:
        known = self._rooms.get(room)
        return {*known.silent, *known.spoke} if known is not None else set()

    def is_alone(self, room: str, session: str, address: str | None) -> bool:
        """Whether it is known that nobody but this session came from an address, into any room."""
        return all(
            known.is_whole
            and all(
                trace.address != address or (where, each) == (room, session) for each, trace in _traces(known)
            )
            for where, known in self._rooms.items()
        )

    def _drop(self, room: str, known: _Room, session: str) -> None:
        before = len(known)
        known.drop(session)
        self._count -= before - len(known)
        if not known and known.is_whole:
            self._rooms.pop(room, None)


def _traces(room: _Room) -> Iterator[tuple[str, Trace]]:
    yield from room.silent.items()
    yield from room.spoke.items()
