"""What a member may ask for in how much time: one allowance for each session, one for all of an origin.

A member has two buckets. The quick one lets a burst pass, then so many requests a second. The steady one is
only about messages: it lets a script's whole output pass, and not a flood of minutes; hosts have none. Both
belong to the session and go on over its connections. All who came with one key from one address share a third
one, so that new sessions win nothing. Nothing is refused: what is too much waits.

To come back is a request, too, and what is sent of the history costs as pages do: by the third bucket, and
where the session was sent it before (it asks for all of it again and again) by its own.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable

from nbchat.core.limits import Limits
from nbchat.net.ratelimit import Rate

_MOST = 4096
"""Sessions that are remembered; if there are more, those without a connection are forgotten."""
_PAUSE = 10.0
"""Seconds between two looks at who need not be remembered."""


class Crowd:
    """The bucket of an origin: who finds it empty is given a turn, so that all wait for their share."""

    __slots__ = ("_burst", "_left", "_rate", "_then")

    def __init__(self, limits: Limits, now: float) -> None:
        self._rate = max(limits.crowd_rate, limits.rate)
        self._burst = max(limits.crowd_burst, limits.burst)
        self._left, self._then = float(self._burst), now

    def turn(self, now: float) -> float:
        """Take one request's place in the row; returns when it is its turn."""
        self._left = min(self._burst, self._left + (now - self._then) * self._rate) - 1
        self._then = now
        return now if self._left >= 0 else now - self._left / self._rate

    def give_back(self, part: float) -> None:
        self._left += part

    def wait(self, now: float) -> float:
        """Seconds until there is something in it, for who takes no place in the row."""
        self._left = min(self._burst, self._left + (now - self._then) * self._rate)
        self._then = now
        return max(0.0, -self._left / self._rate)

    def is_full(self, now: float) -> bool:
        return self._left + (now - self._then) * self._rate >= self._burst


class Allowance:
    """One session's. Times are seconds of any clock that does not go back."""

    def __init__(self, limits: Limits, steady: Limits, crowd: Crowd, now: float) -> None:
        self._quick = Rate(limits, now)
        self._steady = Rate(steady, now)
        self._steady_rate = limits.steady_rate
        self._quick_rate = limits.rate
        self._turn: float | None = None
        self._told = 0
        """The last seq of the history that its session was sent."""
        self.crowd = crowd
        self.users = 0
        """Connections that have it: it is theirs, and is not forgotten."""
        self.is_slowed = False
        """True from the first wait until half of what was used up has come back."""

    def wait(self, now: float, *, is_host: bool) -> float:
        """Seconds until the next request is allowed; 0 when it is now."""
        wait = self._quick.wait(now)
        is_slowed = self._quick.is_slowed
        if not is_host:
            wait = max(wait, self._steady.wait(now))
            is_slowed = is_slowed or self._steady.is_slowed
            if not wait:
                if self._turn is None:
                    self._turn = self.crowd.turn(now)
                wait = max(0.0, self._turn - now)
        self.is_slowed = self.is_slowed and (wait > 0 or is_slowed)
        return wait

    def take(self, cost: float = 1, *, is_message: bool = False) -> None:
        """Count one request."""
        self._quick.take(cost)
        if is_message:
            self._steady.take()
        if self._turn is not None:
            self._turn = None
            if cost < 1:
                self.crowd.give_back(1 - cost)

    def charge(self, more: float, *, is_host: bool) -> None:
        """Count what a request has cost beyond one; what follows waits for it."""
        self._quick.take(more)
        if not is_host:
            self.crowd.give_back(-more)

    def history(self, after: int, now: float, *, is_host: bool) -> float:
        """Seconds until it may be sent what comes after a seq of the history; 0: now."""
        own = self._quick.wait(now) if after < self._told else 0.0
        return own if is_host else max(own, self.crowd.wait(now))

    def read(self, after: int, upto: int, cost: float, *, is_host: bool) -> None:
        """Count what it was sent of the history, in requests."""
        if after < self._told:
            self._quick.take(cost)
        if not is_host:
            self.crowd.give_back(-cost)
        self._told = max(self._told, upto)

    def slowed(self, waiting: int, now: float, *, is_host: bool) -> float:
        """Note that this member is slowed; seconds until so many requests that wait are worked off."""
        self.is_slowed = True
        for each in (self._quick, self._steady):
            each.is_slowed = each.wait(now) > 0
        is_steady = self._steady.is_slowed and not is_host
        return waiting / (self._steady_rate if is_steady else self._quick_rate)

    @property
    def owes(self) -> bool:
        """Whether a whole burst more than there is was taken from it."""
        return self._quick.left < -self._quick.burst

    def is_full(self, now: float) -> bool:
        return self._quick.is_full(now) and self._steady.is_full(now)


class Allowances:
    """Those of one server, by session and by origin. Loop thread only."""

    def __init__(self, limits: Limits, clock: Callable[[], float]) -> None:
        self._limits = limits
        # A Rate looks for its numbers there.
        self._steady = Limits(rate=limits.steady_rate, burst=max(limits.steady_burst, limits.burst))
        self._clock = clock
        self._looked_at = clock()
        self._sessions: dict[Hashable, Allowance] = {}
        self._crowds: dict[Hashable, Crowd] = {}

    def of(self, session: Hashable, origin: Hashable) -> Allowance:
        """A session's allowance, for a connection that begins: what is left of it, if it was there."""
        now = self._clock()
        crowd = self._crowds.get(origin)
        if crowd is None:
            crowd = self._crowds[origin] = Crowd(self._limits, now)
        found = self._sessions.pop(session, None) or Allowance(self._limits, self._steady, crowd, now)
        found.crowd = crowd
        found.users += 1
        self._sessions[session] = found
        if len(self._sessions) > _MOST:
            self._sessions = {
                key: each for key, each in self._sessions.items() if each.users or each is found
            }
        return found

    def came(self, session: Hashable | None, *, is_host: bool) -> float:
        """A session comes back, which is a request; returns the seconds until it may."""
        found = self._sessions.get(session)
        if found is None:
            return 0.0
        wait = found.wait(self._clock(), is_host=is_host)
        found.take()
        return wait

    def tick(self) -> None:
        """Forget who has used up nothing. To be called now and then."""
        now = self._clock()
        if now - self._looked_at < _PAUSE:
            return
        self._looked_at = now
        self._sessions = {
            key: each for key, each in self._sessions.items() if each.users or not each.is_full(now)
        }
        used = {id(each.crowd) for each in self._sessions.values()}
        self._crowds = {
            key: each for key, each in self._crowds.items() if id(each) in used or not each.is_full(now)
        }
