"""Bans and mutes, found by what they are about without looking at each: a room may have a thousand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Generic, Protocol, TypeVar

from nbchat.core import names


class Holding(Protocol):
    """A ban or a mute."""

    @property
    def name(self) -> str: ...
    @property
    def session(self) -> str | None: ...
    @property
    def address(self) -> str | None: ...


H = TypeVar("H", bound=Holding)


class Held(Generic[H]):
    """A list of them, which does not change any more, by session, name and address."""

    def __init__(self, held: Sequence[H]) -> None:
        self.of = held
        self._by: dict[tuple[str, str], list[H]] = {}
        for each in held:
            for mark in names.marks(each.name):
                self._by.setdefault(("mark", mark), []).append(each)
            for kind, value in (("session", each.session), ("address", each.address)):
                if value is not None:
                    self._by.setdefault((kind, value), []).append(each)

    def about(self, session: str | None, name: str) -> Iterator[H]:
        """Those about a session, or a name that looks like this one."""
        if not self._by:
            return
        if session is not None:
            yield from self._by.get(("session", session), ())
        for mark in names.marks(name):
            yield from self._by.get(("mark", mark), ())

    def at(self, address: str | None) -> Iterator[H]:
        """Those that are on an address, too."""
        if address is not None:
            yield from self._by.get(("address", address), ())
