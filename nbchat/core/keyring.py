"""Which keys open the door: invitations, for whom and how often, and addresses that guess.

Everything here is pure: whoever holds it says what time it is.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping

from msgspec.structs import replace

from nbchat.core import keys, names
from nbchat.core.keys import Key

_KNOWN = 30 * 86400.0
"""Seconds for which a key that has ended is still known, so that whoever comes with it is told so."""
_ENDED = 1000
"""Such keys at one time, the newest."""
_STAY = 86400.0
"""Seconds, a day, in which who was inside when a key ended can come back with it: some machines sleep."""

Inside = Callable[[str], Mapping[str, str]]
"""Who came with a key (its id) and is inside: session → room."""


class Keyring:
    """The keys of one server. One owner; ``now`` is in seconds since 1970. ``inside`` is asked when a key
    ends or is made void: it stays for those who are inside, and for their room only.

    Keys that have ended, were used up or made void stay known for a while. They open nothing; but who proves
    that it has such a key's secret can be told what became of it, and nobody else learns anything.
    """

    def __init__(self, known: Iterable[Key], seed: bytes, inside: Inside = lambda id: {}) -> None:
        self._keys = {key.id: key for key in known}
        self._seed = seed
        self._inside = inside
        self._promised: dict[str, set[str]] | None = None
        """The marks of names that keys are for → those keys' ids; None: to be made anew."""

    def valid(self, now: float) -> list[Key]:
        """The keys for the store to keep: those that have not ended, and those that ended not long ago. The
        others are forgotten."""
        self.end(now)
        known = [key for key in self._keys.values() if key.ends is None or now < key.ends + _KNOWN]
        closed = [key for key in known if not key.is_valid(now) or (key.uses == 0 and not key.sessions)]
        closed.sort(key=lambda key: key.ends or 0)
        forgotten = {key.id for key in closed[:-_ENDED]}
        self._keys = {key.id: key for key in known if key.id not in forgotten}
        self._promised = None
        return list(self._keys.values())

    def end(self, now: float) -> bool:
        """See which keys have ended; whether there were any."""
        ended = [key for key in self._keys.values() if not key.is_valid(now) and not key.is_over]
        for key in ended:
            self._end(key)
        return bool(ended)

    def add(self, key: Key) -> None:
        self._keys[key.id] = key
        self._promised = None

    def promised(self, marks: Iterable[str], id: str | None, now: float) -> Key | None:
        """Another key than ``id`` that is for one name, which has one of these marks; None if the name is
        promised to nobody else."""
        if self._promised is None:
            self._promised = {}
            for key in self._keys.values():
                for mark in names.marks(key.name) if key.name is not None else ():
                    self._promised.setdefault(mark, set()).add(key.id)
        ids = {each for mark in marks for each in self._promised.get(mark, ())}
        if id in ids:
            return None
        found = (self._keys[each] for each in ids if each in self._keys)
        # One that was made void, and that nobody came with, is for nobody (``sessions`` is empty).
        return next((key for key in found if key.is_valid(now) and key.sessions != ()), None)

    def move(self, seconds: float, but: Container[str]) -> bool:
        """Move the ends of all keys, but for those with these ids; whether there were any."""
        ending = [key for key in self._keys.values() if key.ends is not None and key.id not in but]
        for key in ending:
            self.add(replace(key, ends=(key.ends or 0) + seconds))
        return bool(ending)

    def find(self, id: str, now: float) -> Key:
        """The key of an id, to answer a hello with; it may have ended. For one that is unknown it is a decoy
        that opens nothing, the same each time: nobody learns which ids there are."""
        key, decoy = self._keys.get(id), keys.decoy(self._seed, id)  # made in any case: it takes time
        if key is None or (key.ends is not None and now >= key.ends + _KNOWN):
            return Key(id, decoy)
        return key

    def forget(self, id: str) -> None:
        """Take a key back that nobody was given."""
        self._keys.pop(id, None)
        self._promised = None

    def opens(self, id: str, session: str | None, now: float, room: str = "lobby") -> Key | None:
        """The key, if a session may come into a room with it now."""
        key = self._now(id, now)
        if key is None:
            return None
        if key.sessions is not None and session in key.sessions:
            return key if key.rooms.get(session or "", room) == room else None
        if key.most is None:
            return key if key.sessions is None else None
        return key if len(key.sessions or ()) < key.most else None

    def why(self, id: str, now: float) -> str:
        """What became of a key that opens nothing, in words for somebody who has proved to have it."""
        key = self._keys.get(id)
        if key is None or key.is_over or not key.is_valid(now):
            return "This link has ended."
        if key.most == 1:
            return "This link was for one use, and somebody has used it."
        if key.most:
            return f"This link was for {key.most} people, and as many have used it."
        return "The host has made this link void."

    def used(self, id: str, session: str, room: str = "lobby") -> bool:
        """A session came into a room. True if that is to be kept: the key is for so many sessions, and each
        may come back into its room only."""
        key = self._keys.get(id)
        if key is None or (key.most is None and key.sessions is None):
            return False
        sessions = key.sessions or ()
        if session in key.rooms and session in sessions:
            return False
        sessions = sessions if session in sessions else (*sessions, session)
        self.add(replace(key, sessions=sessions, rooms={**key.rooms, session: room}))
        return True

    def revoke(self) -> list[str]:
        """Make every invitation void; returns their ids. Who is inside stays, and may come back with the same
        key; nobody else. The host's own key, which has no end, is no invitation."""
        invitations = [key for key in self._keys.values() if key.ends is not None]
        for key in invitations:
            self._close(key)
        return [key.id for key in invitations]

    def renew(self, key: Key, now: float) -> None:
        """All keys have ended, for everybody and at once, and another one opens: the host's own."""
        for old in list(self._keys.values()):
            ends = min(now, old.ends) if old.ends is not None else now
            over = replace(old, ends=ends, is_over=True, once=False, uses=0, sessions=(), rooms={})
            self._keys[old.id] = over
        self.add(key)

    def shut_out(self, session: str, id: str | None, *, is_personal: bool) -> bool:
        """A session has lost its keys; whether that is to be kept. Its key ``id`` opens for no newcomer
        either if it was another host's or, with ``is_personal``, for one name: it was for nobody else."""
        before = dict(self._keys)
        for key in before.values():
            if key.sessions is not None and session in key.sessions:
                self._without(key, session)
        own = self._keys.get(id or "")
        if own is not None and own.ends is not None and (own.role == "host" or (is_personal and own.name)):
            self._close(own)
        return self._keys != before

    def _now(self, id: str, now: float) -> Key | None:
        key = self._keys.get(id)
        if key is not None and not key.is_valid(now) and not key.is_over:
            self._end(key)
            key = self._keys[id]
        return key if key is not None and key.is_valid(now) else None

    def _end(self, key: Key) -> None:
        """A key has ended: it goes on for a while for who is inside, so that an outage throws nobody out."""
        over = replace(key, is_over=True)
        if self._close(over):
            self.add(replace(self._keys[key.id], ends=(key.ends or 0) + _STAY))

    def _close(self, key: Key) -> bool:
        """Keep a key for those who are inside, and may come by it: no others. Whether there are any."""
        rooms = dict(self._inside(key.id))
        if key.sessions is not None:
            rooms = {session: room for session, room in rooms.items() if session in key.sessions}
        self.add(replace(key, once=False, uses=0, sessions=tuple(sorted(rooms)), rooms=rooms))
        return bool(rooms)

    def _without(self, key: Key, session: str) -> None:
        """Take a key from one session; its use does not come back."""
        sessions = tuple(each for each in key.sessions or () if each != session)
        rooms = {each: room for each, room in key.rooms.items() if each != session}
        left = key.most - 1 if key.most else key.most
        self.add(replace(key, once=False, uses=left, sessions=sessions, rooms=rooms))


_MINUTE = 60.0
_MOST = 1024
"""Addresses that are remembered; beyond it the one that failed longest ago is forgotten."""


class Guesses:
    """Wrong proofs by address: so many in a minute, then further ones are answered slowly for a minute.

    A right proof is never slowed: the addresses of a class behind one router, or of all users of one
    machine, are the same, and nobody there can shut the others out. Secrets are too long to be guessed at
    any speed; what this saves is work, places and lines in the log.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._failures: dict[str, tuple[int, float]] = {}
        """How many, and when the minute (or the pause) began."""

    def failed(self, address: str, now: float) -> float:
        """A proof was wrong; returns the seconds until this address is answered at once again, 0 if it is."""
        count, begun = self._failures.pop(address, (0, now))
        if now - begun >= _MINUTE:
            count, begun = 0, now
        count += 1
        if count == self._most:
            begun = now  # the pause
        self._failures[address] = (count, begun)
        if len(self._failures) > _MOST:
            del self._failures[next(iter(self._failures))]
        return begun + _MINUTE - now if count > self._most else 0.0

    def has_begun(self, address: str) -> bool:
        """Whether the last failure was the one that began a pause (to be logged once)."""
        return self._failures.get(address, (0, 0.0))[0] == self._most
