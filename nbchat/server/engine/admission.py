"""Those who have not named themselves yet, and what is noted of those who were turned away.

Both belong to the server's loop thread. A stranger decides how often something happens to it, never what
is written down: the log gets words of ours and an address, once a minute for each kind and address.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

from nbchat.core.texts import visible
from nbchat.server.engine.peer import Peer

log = logging.getLogger("nbchat")
_MINUTE = 60.0
_MOST = 256
"""Kinds and addresses that are remembered at one time; what is beyond counts as one more address."""


class Unnamed:
    """The connections that have not named themselves, the oldest first, also by their address."""

    def __init__(self) -> None:
        self._all: dict[Peer, None] = {}
        self._by_address: dict[str, dict[Peer, None]] = {}

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Peer]:
        return iter(list(self._all))

    def add(self, conn: Peer) -> None:
        self._all[conn] = None
        self._by_address.setdefault(conn.host, {})[conn] = None

    def discard(self, conn: Peer) -> None:
        if conn in self._all:
            del self._all[conn]
            same = self._by_address[conn.host]
            del same[conn]
            if not same:
                del self._by_address[conn.host]

    def of(self, host: str) -> int:
        """How many of them come from one address."""
        return len(self._by_address.get(host, ()))

    def oldest(self, host: str | None = None) -> Peer:
        """The oldest of all, or of those from one address."""
        return next(iter(self._all if host is None else self._by_address[host]))


class Refusals:
    """What was refused, for the log ``nbchat`` (level INFO): the first of a kind from an address at once,
    the others of that minute as a number after it."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._seen: dict[tuple[str, str], list[float]] = {}

    def note(self, host: str, what: str) -> None:
        """Something was refused. ``what`` is a word of ours, never a stranger's."""
        entry = (host, what)
        if entry not in self._seen and len(self._seen) >= _MOST:
            entry = ("other addresses", "more was refused")
        if (seen := self._seen.get(entry)) is not None:
            seen[1] += 1
            return
        self._seen[entry] = [self._clock(), 0]
        log.info("%s: %s", visible(entry[0]), entry[1])

    def tick(self) -> None:
        """Forget what is a minute old, and say how often it came again. To be called now and then."""
        now = self._clock()
        for (host, what), (then, again) in list(self._seen.items()):
            if now - then >= _MINUTE:
                del self._seen[host, what]
                if again:
                    log.info("%s: %s (%d more times within a minute)", visible(host), what, again)
