"""When a client tries to connect again: soon after an outage, rarely where it is of no use.

The delays have chance in them, so that a class is no stampede.
"""

from __future__ import annotations

import random

_LONGEST = 3.0
"""Seconds between two attempts at the most: a server that is back has its class back soon, too."""
_LONGEST_SHORT = 30.0
"""The same if a server lets us in and hangs up, again and again: to be back soon is of no use there."""
_EACH = 0.006
"""Seconds of chance before an attempt for each member of the room, so that a class is no stampede: some 30
attempts in 100 ms, also of a class of 300 whose server stays away."""
_LASTED = 5.0
"""Seconds that a connection has to stand to count as good if nothing came of it."""
_FREE = 5
"""Connections in a row that may stand for less: a Wi-Fi that changes breaks several."""


class Backoff:
    """One client's delays. Its thread only."""

    def __init__(self, chance: random.Random | None = None) -> None:
        self._chance = chance or random.Random()  # noqa: S311 (it spreads attempts, and keeps no secret)
        self.failed = 0
        """Attempts in a row that did not get in."""
        self.short = 0
        """Connections in a row that stood for a moment only, and were of no use."""
        self.hint: float | None = None
        """Seconds after which the server asked to be tried again."""

    def ended(self, stood: float | None, *, of_use: bool = False) -> None:
        """An attempt is over: the connection stood for so many seconds, None if it was never let in. It was
        ``of_use`` if a message came or was confirmed: a server that is killed again and again has then done
        its work each time, and who waits for it waits for no longer than it takes to start."""
        if stood is None:
            self.failed += 1
        else:
            self.failed = 0
            self.short = 0 if of_use or stood >= _LASTED else self.short + 1

    def delay(self, members: int) -> float:
        """Seconds until the next attempt, in a room of so many."""
        useless = max(0, self.short - _FREE)
        hint, self.hint = self.hint, None
        if hint is not None:
            return self._chance.uniform(0.5, 1.5) * max(0.5, min(hint, 60)) * 1.5 ** min(useless, 9)
        room = _EACH * members
        attempt = self.failed + useless
        if attempt == 0:
            return self._chance.uniform(0.05, max(0.5, room))
        longest = _LONGEST_SHORT if useless else _LONGEST
        return self._chance.uniform(0.2, min(longest, max(0.5 * 1.5 ** min(attempt, 20), room)))
