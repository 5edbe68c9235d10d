"""Which keys open the door: invitations, for whom and how often, and addresses that guess.

Everything here is pure: whoever holds it says what time it is.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping

from msgspec.structs import replace

from nbchat.core import keys, names
from nbchat.core.keys import Key

_KNOWN = 30 * 86400.0
"""Seconds for which a key that has ended is still known, so that whoever comes with it is told so."""
_ENDED = 1000
"""Such keys at one time, the newest."""


class Keyring:
    """The keys of one server. One owner; ``now`` is in seconds since 1970.

    Keys that have ended, were used up or made void stay known for a while. They open nothing; but who proves
    that it has such a key's secret can be told what became of it, and nobody else learns anything.
    """

    def __init__(self, known: Iterable[Key], seed: bytes) -> None:
        self._keys = {key.id: key for key in known}
        self._seed = seed
        self._promised: dict[str, set[str]] | None = None
        """The marks of names that keys are for → those keys' ids; None: to be made anew."""

    def valid(self, now: float) -> list[Key]:
        """The keys for the store to keep: those that have not ended, and those that ended not long ago. The
        others are forgotten."""
        known = [key for key in self._keys.values() if key.ends is None or now < key.ends + _KNOWN]
        ended = sorted((key for key in known if not key.is_valid(now)), key=lambda key: key.ends or 0)
        forgotten = {key.id for key in ended[:-_ENDED]}
        self._keys = {key.id: key for key in known if key.id not in forgotten}
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

    def opens(self, id: str, session: str | None, now: float) -> Key | None:
        """The key, if a session may come in with it now."""
        key = self._keys.get(id)
        if key is None or not key.is_valid(now):
            return None
        return key if key.sessions is None or session in key.sessions else None

    def why(self, id: str, now: float) -> str:
        """What became of a key that opens nothing, in words for somebody who has proved to have it."""
        key = self._keys.get(id)
        if key is None or not key.is_valid(now):
            return "This link has ended."
        if key.once and key.sessions:
            return "This link was for one use, and somebody has used it."
        return "The host has made this link void."

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
            self.add(replace(key, sessions=tuple(sorted(sessions))))


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
