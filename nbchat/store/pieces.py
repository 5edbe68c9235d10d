"""Pieces of a room's log, bounded in bytes: what is read for somebody is held until they took it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from nbchat.store.promise import Event

_NUMBERS = 48
"""Bytes that an event's numbers take on the wire, beside its body."""


def bounded(events: Iterable[Event], size: int | None) -> Iterator[Event]:
    """The first events of some that take so many bytes together as they travel, but one always; None: all.
    At most one more is taken from ``events`` than is given out."""
    left = size
    for number, event in enumerate(events):
        if left is not None:
            left -= len(event.body) + _NUMBERS
            if left < 0 and number:
                return
        yield event
