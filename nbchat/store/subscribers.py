"""Those who wait at the end of a room's log, for both stores."""

from __future__ import annotations

import asyncio

from nbchat.store.promise import Deliver, Event


class Waiting:
    """One who has all there is. Who gave a function is handed what comes; the others look again."""

    __slots__ = ("_deliver", "after", "woken")

    def __init__(self, after: int, deliver: Deliver | None) -> None:
        self.after = after
        """The last seq it has."""
        self.woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._deliver = deliver

    def hand(self, events: list[Event]) -> bool:
        """Give it what has just become durable; False when it has to look for itself."""
        if self._deliver is None or self.woken.done() or not events or events[0].seq != self.after + 1:
            return False
        self.after = events[-1].seq
        self._deliver(events)
        return True

    def wake(self) -> None:
        if not self.woken.done():
            self.woken.set_result(None)


class Queue:
    """All who wait at the end of one log. Loop thread only."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: list[Waiting] = []

    def __len__(self) -> int:
        return len(self._waiting)

    async def wait(self, after: int, deliver: Deliver | None) -> int:
        """Return when there is something to look for, with the last seq that was handed over till then."""
        waiting = Waiting(after, deliver)
        self._waiting.append(waiting)
        try:
            await waiting.woken
        finally:  # one that gives up leaves nothing behind
            if waiting in self._waiting:
                self._waiting.remove(waiting)
        return waiting.after

    def hand(self, events: list[Event]) -> None:
        """What one commit brought; nothing when it is not known."""
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            if each.hand(events):
                self._waiting.append(each)
            else:
                each.wake()

    def wake(self) -> None:
        """Let all look again."""
        self.hand([])
