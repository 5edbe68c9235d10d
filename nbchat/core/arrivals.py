"""How often people come and go: what keeps joins from being speech and work for everybody.

A name is a few words that everybody sees when somebody comes, and costs nothing. So who comes, and is gone
within a minute (by a goodbye, or since it dropped and did not come back), counts against where it came from
(its key and address), and against its session, which has a count of its own under its own name: after an
outage a class comes back at once. A class that comes at once, a cell that is run again: none of these counts.
Pure; ``now`` in seconds.
"""

from __future__ import annotations

from collections.abc import Hashable

SHORT = 60.0
"""Seconds that somebody stays without counting."""
_AGAIN = 50.0
"""Seconds in which as many as are allowed at once are forgotten."""
_OWN = 5
"""A session that comes again under its own name may do it a fifth as often as all of its source: a script in
a loop, a cell run again."""
_KEPT = 4096


class Arrivals:
    """One owner. ``most``: how many short stays of one source are let pass at once (limits.py)."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._rate = most / _AGAIN
        self._levels: dict[Hashable, tuple[float, float]] = {}
        """How many short stays, and at which time; the newest last."""

    def went(self, source: Hashable, session: str, stayed: float, now: float) -> None:
        """Somebody has left for good who came from there."""
        if stayed >= SHORT:
            return
        for one in (source, session):
            level = self._level(one, now)
            self._levels.pop(one, None)
            self._levels[one] = (level + 1, now)
        while len(self._levels) > _KEPT:
            del self._levels[next(iter(self._levels))]

    def wait(self, source: Hashable, session: str | None, now: float, *, is_back: bool) -> float:
        """The seconds until somebody may come from there; ``is_back``: this session, under the name it
        had."""
        if session is not None and is_back:
            wait = (self._level(session, now) - self._most / _OWN) / self._rate
        else:
            wait = (self._level(source, now) - self._most) / self._rate
        return wait if wait > 0.01 else 0.0

    def move(self, seconds: float) -> None:
        """The clock that gives ``now`` was set by so many seconds."""
        self._levels = {each: (level, at + seconds) for each, (level, at) in self._levels.items()}

    def _level(self, source: Hashable, now: float) -> float:
        level, at = self._levels.get(source, (0.0, now))
        return max(0.0, level - self._rate * (now - at))
