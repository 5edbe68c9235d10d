"""How far a listener has come in a room, and what comes next for it.

A listener's place is a seq, so that it is of use whatever the transcript has let go of meanwhile: what lies
between is read from the history, forward and in pieces, each of which is handed on before the next is asked
for. So a bot that is far behind goes on, and needs no more memory than one that is not.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass

from nbchat.client.state import Deadline, State
from nbchat.client.thread import Receiver
from nbchat.core.errors import Closed, Refused, Unreachable
from nbchat.core.transcript import Message

PIECE = 500
"""Messages that are read from the history at once."""
_PAGE = 10.0
"""Seconds that a page may take."""
_AGAIN = 1.0
"""Seconds before a history that could not be read is asked for again, if nothing happens before."""


@dataclass(slots=True)
class Place:
    """The last seq that a listener was given, and in which of the client's logs (they are counted)."""

    log: int
    seq: int


def now(state: State, *, backlog: bool = False) -> Place:
    """The place at which only what comes from now on is news or, with ``backlog``, all that is kept here. To
    be called with the lock held."""
    transcript = state.transcript
    if backlog and transcript.messages:
        return Place(transcript.log, transcript.messages[0].seq - 1)
    return Place(transcript.log, transcript.seq or 0)


def has_more(state: State, place: Place) -> bool:
    """Whether there is a message after a place."""
    transcript = state.transcript
    return transcript.said > (place.seq if place.log == transcript.log else 0)


def after(state: State, receiver: Receiver, place: Place, deadline: Deadline | None = None) -> list[Message]:
    """The next messages after a place, in order and not too many, and the place moves behind them. None if
    there are none, or if they cannot be had just now: then the place stays, so that nothing is left out."""
    while True:
        with state.changed:
            transcript = state.transcript
            if place.log != transcript.log:
                place.log, place.seq = transcript.log, 0
            place.seq = max(place.seq, (transcript.first or 1) - 1, transcript.gone)
            last = min(place.seq + min(PIECE, state.page_limit), transcript.lost)
            if last <= place.seq or state.is_plain:
                return _kept(state, place)
        try:
            found = _piece(receiver, place.seq, last, deadline)
        except Closed:
            with state.changed:
                return _kept(state, place)
        except (Unreachable, Refused):
            return []
        with state.changed:
            if place.log == state.transcript.log:
                place.seq = last
            else:  # another log has begun meanwhile
                found = []
        if found:
            return found


def _kept(state: State, place: Place) -> list[Message]:
    found: list[Message] = []
    for message in reversed(state.transcript.messages):
        if message.seq <= place.seq:
            break
        found.append(message)
    place.seq = max(place.seq, state.transcript.said)
    return [message for message in reversed(found) if message.text]


def _piece(receiver: Receiver, seq: int, last: int, deadline: Deadline | None) -> list[Message]:
    """The messages after one seq up to another, from the history. A server may give fewer at once than it is
    asked for: the newest of them; then the rest is asked for."""
    found: list[Message] = []
    before = last + 1
    while before > seq + 1:
        left = deadline.left if deadline is not None else None
        patience = _PAGE if left is None else min(_PAGE, max(1.0, left))
        try:
            page, first = receiver.page(before, before - seq - 1).result(patience)
        except FutureTimeout:
            raise Unreachable("No page of history came in time.") from None
        found = [message for message in page if seq < message.seq < before and message.text] + found
        if first is None or first >= before:
            break
        before = first
    return found


class Listening:
    """What ``wait_for`` and ``listen`` of one client go through: each message once, in order."""

    def __init__(self, state: State, receiver: Receiver, place: Place) -> None:
        self._state = state
        self.receiver = receiver
        self._place = place
        self._ahead: deque[Message] = deque()
        self._lock = threading.Lock()

    def next(self, deadline: Deadline) -> Iterator[Message]:
        """The messages from here on, until the time is up or the client is closed."""
        state = self._state
        while True:
            with self._lock:
                version = state.version
                if not self._ahead:
                    self._ahead.extend(after(state, self.receiver, self._place, deadline))
                message = self._ahead.popleft() if self._ahead else None
            if message is not None:
                yield message
            elif (
                not state.wait(lambda: self._has_more() or state.status == "closed", deadline.left)
                or not self._has_more()
                or deadline.left == 0
            ):
                return
            else:  # there is more, but it could not be had
                self._wait_for_news(version, deadline)

    def _has_more(self) -> bool:
        return has_more(self._state, self._place)

    def _wait_for_news(self, version: int, deadline: Deadline) -> None:
        left = deadline.left
        self._state.wait(
            lambda: self._state.version != version, _AGAIN if left is None else min(_AGAIN, left)
        )
