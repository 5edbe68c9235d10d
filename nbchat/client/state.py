"""What a client knows, shared between its receive thread (which writes) and everybody else (who read).

One lock guards it, held for moments only and never while somebody else's code runs. Whoever waits for
news waits on ``changed`` and then looks at what it needs, from where it was: a row number, a seq.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from nbchat.core import arguments, texts
from nbchat.core.border import bordered
from nbchat.core.errors import Closed, NotConfirmed
from nbchat.core.frames import Standing
from nbchat.core.limits import Limits
from nbchat.core.transcript import Transcript


@bordered
class Outgoing:
    """A message on its way, as ``client.send()`` returns it.

    ``seq`` is its number in the room, None until it is durable; ``error`` says why it was refused.
    """

    def __init__(self, id: str, text: str, auto: bool = False) -> None:
        self.id = id
        self.text = text
        self.auto = auto
        self.seq: int | None = None
        self.error: Exception | None = None
        self.is_sent = False
        self.sender: object = None
        """Who sent it, held until it is known what became of it: a client that has something to say stays."""
        self._done = threading.Event()

    def wait(self, timeout: float | timedelta | None = 30) -> Outgoing:
        """Return when the message is durable. Raises NotConfirmed after ``timeout`` seconds (the message
        stays pending and goes out by itself), or the error with which it was refused."""
        seconds = arguments.timeout("wait", timeout)
        if not self._done.wait(seconds):
            raise NotConfirmed(
                f"No receipt came within {seconds:g} s. The message is still pending (client.pending) and is "
                "sent by itself when the server is back.",
                [self],
            )
        if self.error is not None:
            raise self.error
        return self

    def settle(self, seq: int | None = None, error: Exception | None = None) -> None:
        self.seq, self.error = seq, error
        self._done.set()
        self.sender = None

    def __getstate__(self) -> dict[str, Any]:
        """For pickle and copy, with an error that has it: a copy stays as it was."""
        return {**vars(self), "_done": self._done.is_set()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _done=threading.Event())
        if state["_done"]:
            self._done.set()

    def __repr__(self) -> str:
        state = f"seq {self.seq}" if self.seq else "refused" if self.error else "pending"
        return f"<message {self.text[:40]!r}, {state}>"


class State:
    """One client's knowledge. Read and written with ``changed`` held."""

    def __init__(self, name: str, room: str) -> None:
        self.changed = threading.Condition()
        self.version = 0
        self.name = name
        self.room = room
        self.role = "member"
        self.status = "connecting"
        self.reason = ""
        self.cause = ""
        """Why it is not connected, for programs: a code of docs/wire.md, an error's class, or "closed"."""
        self.chat: str | None = None
        self.standing = Standing()
        """What the room's rules mean for this member, as the server told it last."""
        self.told_at = 0
        """The room's last seq when it did; what hosts did up to there is in it."""
        self.retry_at = 0.0
        """When the next attempt to connect is due, by time.monotonic()."""
        self.transcript = Transcript(clock=lambda: int(time.time() * 1000))
        self.pending: dict[str, Outgoing] = {}
        self.refused: deque[Outgoing] = deque(maxlen=100)
        """Messages that the server refused, with their errors, for a face to give back to its person."""
        self.errors: deque[str] = deque(maxlen=100)
        self.start: int | None = None
        """The room's last seq when the client first came."""
        self.text_limit = Limits().text
        self.page_limit = Limits().page
        self.is_plain = False
        self.is_shown = False
        """Whether a panel shows this client's room."""
        self.away = False
        """Whether the client's person is not at the screen; the receiver sees to it that the server knows."""
        self.typing: dict[str, float] = {}
        """When each other member last said that it types, by ``clock``; only who has said nothing since."""
        self.clock: Callable[[], float] = time.monotonic
        """An attribute so that a test can turn it."""

    def set(self, **values: object) -> None:
        """Change some values and wake whoever waits."""
        with self.changed:
            for name, value in values.items():
                setattr(self, name, value)
            self.touch()

    def notice(self, text: str) -> None:
        """Show this client's own person something."""
        with self.changed:
            self.transcript.notice(text)
            self.touch()

    def touch(self) -> None:
        """Wake whoever waits; to be called with ``changed`` held."""
        self.version += 1
        self.changed.notify_all()

    def wait(self, ready: Callable[[], bool], timeout: float | None) -> bool:
        """Wait until ``ready()`` (called with the lock held); False when the time is up."""
        with self.changed:
            return self.changed.wait_for(ready, timeout)

    def say(self, text: str, *, auto: bool = False, id: str | None = None) -> Outgoing:
        """Take a message in; the receiver, once flushed, sends it. Raises BadText and Closed."""
        text = texts.check(texts.tidy(text), self.text_limit)
        message = Outgoing(id or secrets.token_hex(8), text, auto)
        with self.changed:
            if self.status == "closed":
                raise Closed(f"This client is closed ({self.reason}). Connect again with nbchat.connect().")
            self.pending[message.id] = message
            self.touch()
        return message

    def give_up(self) -> None:
        """What is pending is sent no more; to be called with ``changed`` held."""
        for message in self.pending.values():
            message.settle(
                error=Closed(f"The client was closed before this message was confirmed ({self.reason}).")
            )


class Deadline:
    """What is left of a time that several waits share."""

    def __init__(self, timeout: float | None) -> None:
        self._end = None if timeout is None else time.monotonic() + timeout

    @property
    def left(self) -> float | None:
        return None if self._end is None else max(0.0, self._end - time.monotonic())
