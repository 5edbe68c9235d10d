"""The promise that any memory keeps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Protocol

from msgspec import Struct


class Event(Struct, frozen=True, gc=False):
    """One entry of a room's log. ``body`` is JSON that the store does not look into; ``at`` is in
    milliseconds since 1970."""

    seq: int
    at: int
    session: str
    id: str
    body: bytes

    def __repr__(self) -> str:
        return f"<Event {self.seq} {self.id!r}>"

    def __rich_repr__(self) -> Iterator[object]:  # type: ignore[override]
        yield repr(self)


class Receipt(Struct, frozen=True, gc=False):
    """The answer to an append: it is durable, under this number. ``duplicate`` when it was before."""

    seq: int
    at: int
    duplicate: bool = False


Deliver = Callable[[list[Event]], None]
"""Takes events in their order, on the loop's thread; it must not raise."""


class RoomStore(Protocol):
    """What a memory promises. All methods are called on one event loop's thread.

    A room is a log of events, numbered 1, 2, 3 … without gaps or reuse. The oldest can be trimmed; their
    numbers are never given again. ``(room, session, id)`` is in it once: for as long as it is in the log,
    and after that for 30 days, if it is among the session's 64 newest that were trimmed. The log's name,
    ``log_id``, changes when the memory is another one.
    """

    log_id: str
    is_file: bool
    """Whether it outlives this process."""
    damage: str | None
    """What to tell people when opening found damage: what happened, and where the old history is kept."""

    @property
    def meta(self) -> Mapping[str, str]:
        """Small things kept with the log; changed by :meth:`remember`."""

    @property
    def keys(self) -> str:
        """What opens the chat, as :meth:`keep_keys` was given it last; "" at first. Not in the log: who is
        given a file with that is not given these."""

    async def open(self) -> None:
        """Make ready. Raises :class:`AlreadyServing` if another process keeps this memory."""

    async def close(self) -> None:
        """Finish what was begun and let go; a second call does nothing."""

    def append(self, room: str, session: str, id: str, body: bytes) -> asyncio.Future[Receipt]:
        """Add one event at the end. The future is done when the event is durable.

        It fails with StoreFull when nothing was written; then every later append of that room and
        session fails as well until the refused id comes again, so that a sender's order holds. It fails
        with StoreDown when the outcome is unknown; the same id is to be appended again, likewise.
        """

    def tail(self, room: str, after: int) -> AsyncIterator[list[Event]]:
        """The events after+1, after+2, …, first the kept ones, then each as it becomes durable: no gap,
        no repeat, for as long as it is read.

        What was trimmed before it was read is missing: the next seq tells. If nothing at all is left, one
        empty list tells, and then come the events after the trimmed ones.
        """

    async def follow(self, room: str, after: int, deliver: Deliver) -> None:
        """The same as :meth:`tail`, but handed to a function, and what comes, in the moment in which it is
        durable: without a turn of the loop between. Ends with StoreDown, or when it is cancelled."""

    async def history(
        self, room: str, *, before: int | None = None, limit: int = 50, size: int | None = None
    ) -> list[Event]:
        """The ``limit`` newest events with a seq below ``before``, oldest first. With ``size`` no more than
        take so many bytes as they travel, but the newest always; and at most one beyond these is read."""

    async def since(self, room: str, after: int, *, limit: int, size: int) -> list[Event]:
        """The ``limit`` oldest events with a seq above ``after``, bounded by ``size`` likewise, but the
        oldest always. What was trimmed is missing."""

    async def head(self, rooms: list[str]) -> dict[str, int]:
        """The last seq of each room; 0 for one that is empty."""

    async def trimmed(self, rooms: list[str]) -> dict[str, int]:
        """The last seq of each room that was trimmed; 0 where none was."""

    async def heads(self) -> dict[str, int]:
        """The last seq of every room in which something was said."""

    async def trim(
        self, *, number: int | None = None, before: int | None = None, upto: Mapping[str, int] | None = None
    ) -> dict[str, int]:
        """Take the oldest events of every room away: each that is not among the room's ``number`` newest,
        or is stamped before ``before`` (milliseconds since 1970), up to the first that may stay. With
        ``upto`` a stamp counts only up to that seq of its room, and nowhere else.

        Returns the last seq that is gone, of each room that lost some now. Nothing of a text is left when
        this returns. If it fails, some may be gone; :meth:`trimmed` tells, and a next call goes on.
        """

    async def clear(self, room: str, upto: int) -> None:
        """Take all events of a room up to the seq ``upto`` away, as a trimming does."""

    async def give_up(self, room: str, session: str, id: str) -> Receipt | None:
        """Say of an event that it will not be appended any more: its receipt if it is in the log all the
        same (``duplicate``), else None; no other event of that session waits for it then."""

    async def redact(self, room: str, *seqs: int) -> None:
        """Take the texts of events away; their places in the order stay.

        Nothing of the texts is left when this returns. If it fails, call it again.
        """

    @property
    def size(self) -> int:
        """About how many bytes it keeps: in memory, or in its file."""

    async def shrink(self, size: int) -> dict[str, int]:
        """Of a memory that is no file: have the room that has most let its oldest events go, until so many
        bytes are left. Returns the last seq that is gone, of each room that lost some."""

    async def look(self) -> None:
        """See whether what it keeps is still where it was; to be called about once a second. Raises StoreDown
        that says what is gone: then nothing more is confirmed until it is back."""

    async def remember(self, key: str, value: str) -> None:
        """Keep a small thing with the log."""

    async def keep_keys(self, keys: str) -> None:
        """Keep what opens the chat, beside the log."""

    def forked(self) -> None:
        """To be called in a forked child: let go of all that was copied. There the store is closed; the
        parent's goes on, whatever becomes of the child."""
