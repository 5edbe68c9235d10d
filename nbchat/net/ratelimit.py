"""How many requests a member may make: some at once, then so many a second."""

from __future__ import annotations

from nbchat.core.limits import Limits


class Rate:
    """One member's allowance. Times are seconds of any clock that does not go back."""

    __slots__ = ("_rate", "_then", "burst", "is_slowed", "left")

    def __init__(self, limits: Limits, now: float) -> None:
        self._rate, self.burst = limits.rate, limits.burst
        self.left = float(limits.burst)
        self._then = now
        self.is_slowed = False
        """True from the first wait until half of the burst has come back."""

    def wait(self, now: float) -> float:
        """Seconds until the next request is allowed; 0 when it is now."""
        self.left = min(self.burst, self.left + (now - self._then) * self._rate)
        self._then = now
        if self.left >= 1:
            if self.left >= self.burst / 2:
                self.is_slowed = False
            return 0.0
        return (1 - self.left) / self._rate

    def is_full(self, now: float) -> bool:
        """Whether nothing of the burst is used up."""
        return self.left + (now - self._then) * self._rate >= self.burst

    def take(self, cost: float = 1) -> None:
        """Count one request."""
        self.left -= cost
