"""How much of TLS a peer may send that says nothing: records without clear text, or with hardly any.

Each record costs a server about the same, whatever is in it; one that asks for new keys (KeyUpdate) costs
most, and it has no clear text, so no rule of the chat ever sees it. Here they are counted. No program that
speaks TLS comes near these bounds: a record carries a line, and keys are renewed after gigabytes.
"""

from __future__ import annotations

from nbchat.core.limits import SILENT_MEMBER, SILENT_STRANGER, Limits

_FORGOTTEN = 60.0
"""Seconds in which as many bytes without clear text are forgotten as are let pass at once."""
_THIN_BURST = 512
"""Thin records at once, beyond two for each request that a member may make at once."""
_THIN_EACH = 4
"""Thin records a second for each request a second that a member may make: a line may come in pieces."""


class Records:
    """The records of one connection. Times are seconds of any clock that does not go back."""

    __slots__ = ("_burst", "_left", "_rate", "_silent", "_silent_then", "_thin_then")

    def __init__(self, limits: Limits, now: float) -> None:
        self._burst = float(_THIN_BURST + 2 * limits.burst)
        self._rate = _THIN_EACH * limits.rate
        self._left = self._burst
        self._silent = 0.0
        self._silent_then = self._thin_then = now

    def silent(self, size: int, now: float, *, is_member: bool) -> bool:
        """Count a record of so many bytes that gave no clear text; False when that was too much."""
        most = SILENT_MEMBER if is_member else SILENT_STRANGER
        forgotten = (now - self._silent_then) * most / _FORGOTTEN
        self._silent = max(0.0, self._silent - forgotten) + size
        self._silent_then = now
        return self._silent <= most

    def thin(self, now: float) -> float:
        """Count a record with little clear text in it; returns the seconds until the next is to be read."""
        self._left -= 1
        if self._left >= 0:
            return 0.0
        self._left = min(self._burst, self._left + (now - self._thin_then) * self._rate)
        self._thin_then = now
        return max(0.0, -self._left / self._rate)
