"""Names that are held: whose a name is while its member is away, until when, and who lets go of it.

In a chat that has a name, a member's name is held for its session for an hour after it left, a host's for its
session and for the key it came with, until a host releases it. What is held is kept by the store, so it
outlives the server. In a chat without a name nothing is held; but it is known there, too, which names a
host's key has had, so that it wins them back from whoever has one meanwhile.

Pure: ``now`` is in seconds since 1970. Sessions are digests here as everywhere (digests.py).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from nbchat.core import names
from nbchat.core.deeds import SERVER, duration
from nbchat.core.errors import ProtocolError
from nbchat.core.frames import Deed, Moderate
from nbchat.core.members import SERVES
from nbchat.core.moderation import Person

HOUR = 3600.0
"""Seconds for which a member's name is held after it left: a break, a lunch, a new kernel on another
machine."""
_MOST = 2048
"""Members' names that are held in all rooms of a server, whoever left first giving way: some classes'
worth."""
_MOST_HOSTS = 512
"""The same of hosts, who leave bots' names behind and never forget."""


class Hold(Struct, frozen=True, omit_defaults=True):
    """One name: for whom it is held, and when its member left (None: it is there, or was when the server
    ended)."""

    name: str
    session: str
    key: str | None = None
    """A host's: the id of its key, or SERVES."""
    left: float | None = None

    def __repr__(self) -> str:
        return f"Hold({self.name!r})"

    def __rich_repr__(self) -> Iterator[object]:  # type: ignore[override]
        yield repr(self)

    def is_for(self, session: str | None, key: str | None) -> bool:
        return self.session == session or (self.key is not None and self.key == key)


class _Kept(Struct, omit_defaults=True):
    hosts: dict[str, list[Hold]] = {}
    members: dict[str, list[Hold]] = {}


class _Names:
    """Holds by room and name, whoever left first first; found by what their names look like."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.holds: dict[tuple[str, str], Hold] = {}
        self._alike: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
        self._of_session: dict[tuple[str, str], str] = {}

    def put(self, room: str, hold: Hold) -> None:
        name = names.skeleton(hold.name)
        self.drop(room, name)
        self.holds[room, name] = hold
        self._of_session[room, hold.session] = name
        for mark in names.marks(hold.name):
            self._alike[room, mark].add(name)
        while len(self.holds) > self._most:
            # Who is there keeps its own: only who has left gives way.
            away = next((each for each, hold in self.holds.items() if hold.left is not None), None)
            if away is None:
                break
            self.drop(*away)

    def drop(self, room: str, name: str) -> Hold | None:
        hold = self.holds.pop((room, name), None)
        if hold is not None:
            if self._of_session.get((room, hold.session)) == name:
                del self._of_session[room, hold.session]
            for mark in names.marks(hold.name):
                self._alike[room, mark].discard(name)
                if not self._alike[room, mark]:
                    del self._alike[room, mark]
        return hold

    def alike(self, room: str, mark: str) -> list[Hold]:
        """The holds whose names have this mark."""
        found = self._alike.get((room, mark))
        return [self.holds[room, name] for name in found] if found else []

    def of_session(self, room: str, session: str) -> str | None:
        return self._of_session.get((room, session))

    def rooms(self) -> dict[str, list[Hold]]:
        found: defaultdict[str, list[Hold]] = defaultdict(list)
        for (room, _), hold in self.holds.items():
            found[room].append(hold)
        return dict(found)


class HeldNames:
    """The held names of all rooms. One owner. ``kept`` is what :attr:`kept` gave when it was kept last; who
    was there then has left ``now``. ``holds`` false: names are not held here."""

    def __init__(self, kept: str = "{}", *, holds: bool = False, now: float = 0.0) -> None:
        self._holds = holds
        self._hosts, self._members = _Names(_MOST_HOSTS), _Names(_MOST)
        self.version = 0
        """How often something changed: what is kept by the store is of one of them."""
        self._before: set[tuple[str, str, float | None]] = set()
        """The holds of before whose members had left: that was timed by the clock of then."""
        if holds:
            found = msgspec.json.decode(kept, type=_Kept)
            self._before = {
                (room, hold.name, hold.left)
                for there in (found.hosts, found.members)
                for room, holds_there in there.items()
                for hold in holds_there
            }
            for there, known in ((found.hosts, self._hosts), (found.members, self._members)):
                for room, holds_there in there.items():
                    for hold in sorted(holds_there, key=lambda each: each.left or now):
                        known.put(room, hold if hold.left is not None else replace(hold, left=now))

    @property
    def kept(self) -> str:
        """All of it as text, for the store to keep."""
        if not self._holds:
            return "{}"
        return msgspec.json.encode(_Kept(self._hosts.rooms(), self._members.rooms())).decode()

    def move(self, seconds: float) -> None:
        """The clock was set by so many seconds: move when members left by this one."""
        for known in (self._hosts, self._members):
            for (room, name), hold in list(known.holds.items()):
                if hold.left is not None and (room, hold.name, hold.left) not in self._before:
                    known.holds[room, name] = replace(hold, left=hold.left + seconds)
                    self.version += self._holds

    # ── coming and going ──

    def came(self, room: str, name: str, session: str, key: str | None, *, is_host: bool) -> None:
        """A member is there under a name, or is host now, or no longer. A session has one name: what it had
        before is let go of."""
        self._put(room, Hold(name, session, key if is_host else None), is_host=is_host)

    def left(self, room: str, name: str, now: float) -> None:
        """A member has left: from now on its name is held."""
        key = (room, names.skeleton(name))
        for known in (self._hosts, self._members):
            if (hold := known.holds.get(key)) is not None and hold.left is None:
                known.put(room, replace(hold, left=now))
                self.version += self._holds

    def let_go(self, room: str, name: str, session: str | None = None) -> None:
        """A member's name is not held any more; a host's only if it was this session's."""
        key = names.skeleton(name)
        found = [self._members.drop(room, key)]
        hold = self._hosts.holds.get((room, key))
        if hold is not None and session is not None and hold.session == session:
            found.append(self._hosts.drop(room, key))
        self.version += self._holds and found != [None]

    def expire(self, now: float) -> None:
        """Let go of members' names whose hour is over. To be called about once a second."""
        over = []
        for key, hold in self._members.holds.items():
            if hold.left is not None:
                if now - hold.left < HOUR:
                    break
                over.append(key)
        for key in over:
            self._members.drop(*key)
        self.version += bool(over)

    def _put(self, room: str, hold: Hold, *, is_host: bool) -> None:
        if not is_host and not self._holds:
            return
        before = self._members.of_session(room, hold.session)
        if before is not None:
            self._members.drop(room, before)
        key = (room, names.skeleton(hold.name))
        was = self._hosts.holds.get(key)
        # No host any more. But a name of the host's that another member has now is still the host's.
        if not is_host and was is not None and was.session == hold.session:
            self._hosts.drop(*key)
        (self._hosts if is_host else self._members).put(room, hold)
        self.version += self._holds

    # ── whose ──

    def against(
        self, room: str, marks: Iterable[str], session: str | None, key: str | None, now: float
    ) -> Hold | None:
        """The hold for somebody else on a name with one of these marks."""
        if not self._holds:
            return None
        for mark in marks:
            for hold in (*self._hosts.alike(room, mark), *self._members.alike(room, mark)):
                is_over = hold.left is not None and now - hold.left >= HOUR and not self._is_hosts(room, hold)
                if not is_over and not hold.is_for(session, key):
                    return hold
        return None

    def is_own(self, room: str, name: str, session: str | None, key: str | None) -> bool:
        """Whether a host has had this very name, by this session or key."""
        hold = self._hosts.holds.get((room, names.skeleton(name)))
        return hold is not None and hold.is_for(session, key)

    def why(self, room: str, hold: Hold, now: float) -> str:
        """For whom and until when a name is held, in words."""
        if self._is_hosts(room, hold):
            return f"{hold.name!r} is held for a host, until a host releases it (/release {hold.name})."
        left = duration((hold.left if hold.left is not None else now) + HOUR - now)
        return f"{hold.name!r} is held for its member who left, for another {left}."

    def _is_hosts(self, room: str, hold: Hold) -> bool:
        return self._hosts.holds.get((room, names.skeleton(hold.name))) is hold

    # ── by a host's hand ──

    def release(
        self, room: str, order: Moderate, actor: Person | None, present: Mapping[str, Person], now: float
    ) -> Deed:
        """A host lets go of a name. Raises :class:`ProtocolError` with what is wrong."""
        name = order.name or ""
        key = (room, names.skeleton(name))
        hold = self._hosts.holds.get(key) or self._members.holds.get(key)
        if key[1] in present:
            raise ProtocolError("not_possible", f"{present[key[1]].name} is here and has that name.")
        if hold is None or not self._holds:
            self.expire(now)
            held = [each.name for each in self._away(room)]
            listed = ", ".join(sorted(held)[:20]) or "none"
            raise ProtocolError("no_such_member", f"The name {name!r} is not held. Names held now: {listed}.")
        if hold.key == SERVES and actor is not None and not actor.serves:
            raise ProtocolError(
                "not_possible",
                f"{hold.name!r} is the name of who serves this chat; only they can release it.",
            )
        self._hosts.drop(*key)
        self._members.drop(*key)
        self.version += 1
        by = actor.name if actor is not None else SERVER
        return Deed(id=order.id, by=by, did="release", name=hold.name)

    def _away(self, room: str) -> Iterator[Hold]:
        for known in (self._hosts, self._members):
            for (where, _), hold in known.holds.items():
                if where == room and hold.left is not None:
                    yield hold
