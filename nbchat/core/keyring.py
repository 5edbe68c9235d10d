"""Which keys open the door: invitations, for whom and how often, and addresses that guess.

Everything here is pure: whoever holds it says what time it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from nbchat.core import keys, names
from nbchat.core.keys import Key


class Keyring:
    """The keys of one server. One owner; ``now`` is in seconds since 1970."""

    def __init__(self, known: Iterable[Key], seed: bytes) -> None:
        self._keys = {key.id: key for key in known}
        self._seed = seed
        self._promised: dict[str, set[str]] | None = None
        """The marks of names that keys are for → those keys' ids; None: to be made anew."""

    def valid(self, now: float) -> list[Key]:
        """The keys that have not ended, for the store to keep; the others are forgotten."""
        self._keys = {key.id: key for key in self._keys.values() if key.is_valid(now)}
        self._promised = None
        return list(self._keys.values())

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
        return next((key for key in found if key.is_valid(now)), None)

    def find(self, id: str, now: float) -> Key:
        """The key of an id. For one that is unknown or has ended it is a decoy that opens nothing, the same
        each time: nobody learns which ids there are."""
        key = self._keys.get(id)
        if key is None or not key.is_valid(now):
            return Key(id, keys.decoy(self._seed, id))
        return key

    def opens(self, id: str, session: str | None, now: float) -> Key | None:
        """The key, if a session may come in with it now."""
        key = self._keys.get(id)
        if key is None or not key.is_valid(now):
            return None
        return key if key.sessions is None or session in key.sessions else None

    def used(self, id: str, session: str) -> bool:
        """A session came in. True: with a key for one use, which is for this session only from now on."""
        key = self._keys.get(id)
        if key is None or not key.once or key.sessions is not None:
            return False
        self.add(replace(key, sessions=(session,)))
        return True

    def revoke(self, inside: Mapping[str, set[str]]) -> None:
        """Make every invitation void. Who is ``inside`` (sessions, by key) stays, and may come back with
        the same key; nobody else. The host's own key, which has no end, is no invitation."""
        for key in list(self._keys.values()):
            if key.ends is None:
                continue
            sessions = inside.get(key.id, set())
            if key.sessions is not None:
                sessions = sessions & set(key.sessions)
            if sessions:
                self.add(replace(key, sessions=tuple(sorted(sessions))))
            else:
                del self._keys[key.id]
                self._promised = None


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
