"""What is kept of the history: a number of messages, or an age, by a clock that cannot be set wrongly."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from datetime import timedelta

from nbchat.store.promise import RoomStore

_STEPS = 100
"""Into so many parts an age is cut: what was said under this server goes that much later at most."""


class Keeper:
    """Takes away what is older than the host wants to keep. Loop thread only.

    The machine's clock may have been wrong when a message was stamped, or be wrong now. So what was said
    under this server goes only when it is that old by ``passed`` as well, which nobody sets: every hundredth
    of the age it is noted how far the rooms have come. What was said before goes by its stamp and ``clock``
    alone, for want of anything better.
    """

    def __init__(
        self,
        store: RoomStore,
        keep: int | timedelta | None,
        clock: Callable[[], float],
        passed: Callable[[], float],
    ) -> None:
        self._store = store
        self._keep = keep
        self._clock = clock
        self.passed = passed
        """An attribute so that a test can turn it."""
        self._seen: dict[str, int] = {}
        self._marks: deque[tuple[float, dict[str, int]]] = deque()
        """When it was noted, and the heads that had changed since the mark before."""
        self._upto: dict[str, int] | None = None
        """Of each room the last seq that may go by its stamp: at first, what was there when this began."""

    async def begin(self) -> None:
        """Note what was there before anything is said under this server."""
        if isinstance(self._keep, timedelta):
            self._upto = self._seen = await self._store.heads()

    async def trim(self) -> None:
        """Take away what is too old, or too much."""
        if not isinstance(self._keep, timedelta):
            await self._store.trim(number=self._keep)
            return
        age, now = self._keep.total_seconds(), self.passed()
        if self._upto is None:
            await self.begin()
        assert self._upto is not None
        if not self._marks or now - self._marks[-1][0] >= age / _STEPS:
            heads = await self._store.heads()
            self._marks.append(
                (now, {room: seq for room, seq in heads.items() if self._seen.get(room) != seq})
            )
            self._seen = heads
        while self._marks and now - self._marks[0][0] >= age:
            self._upto = {**self._upto, **self._marks.popleft()[1]}
        await self._store.trim(before=int((self._clock() - age) * 1000), upto=self._upto)
