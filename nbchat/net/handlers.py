"""Handlers: functions of the user's that are called for each new message.

They run on one thread per client, never on the receive thread, so that a slow one delays nothing but
itself. What they print or raise reaches no screen (a background thread's output would land in whatever
cell happens to run); it is kept in ``client.errors``.
"""

from __future__ import annotations

import contextlib
import io
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nbchat.core.errors import ChatError
from nbchat.core.transcript import Message
from nbchat.core.visible import one_line, visible

if TYPE_CHECKING:
    from nbchat.net.client import Client

_AGAIN = 1.0
"""Seconds until messages that could not be had are asked for again."""

Handler = Callable[[Message], Any]


@dataclass(slots=True)
class _Entry:
    function: Handler
    seen: int
    """How many of the client's messages it was given (or was not meant to get)."""
    own: bool
    answers: bool
    failure: str = ""
    """The last one that was shown."""


class Handlers:
    """One client's handlers and their thread, which starts with the first of them."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._entries: list[_Entry] = []
        self.thread: threading.Thread | None = None

    def add(self, function: Handler, *, backlog: bool, own: bool, answers: bool) -> None:
        state = self._client._state
        with state.changed:
            transcript = state.transcript
            seen = transcript.count - (len(transcript.messages) if backlog else 0)
            self._entries.append(_Entry(function, seen, own, answers))
            state.touch()
            self.start()

    def start(self) -> None:
        """See that there is a thread, if there is a handler. To be called with ``changed`` held."""
        if self.thread is None and self._entries:
            name = f"nbchat handlers {self._client._state.name}"
            self.thread = threading.Thread(target=self._run, name=name, daemon=True)
            self.thread.start()

    def _run(self) -> None:
        state = self._client._state
        version = -1
        is_behind = False
        while True:
            with state.changed:
                while state.version == version:
                    if not state.changed.wait(_AGAIN if is_behind else None):
                        break
                version = state.version
                is_over = state.status == "closed"
                entries = list(self._entries)
            for entry in entries:
                self._serve(entry)
            # What could not be read just now is asked for again, also if nothing happens until then.
            is_behind = any(entry.seen < state.transcript.count for entry in entries)
            with state.changed:
                if is_over and state.status == "closed":  # and it has not joined again meanwhile
                    self.thread = None
                    return

    def _serve(self, entry: _Entry) -> None:
        messages, entry.seen = self._client._since(entry.seen)
        for message in messages:
            if message.by == self._client.name and not entry.own:
                continue
            if message.auto and not entry.answers:
                continue
            printed = io.StringIO()
            try:
                with _captured(printed):
                    answer = entry.function(message)
                if isinstance(answer, str):
                    self._client._send(answer, auto=True)
            except ChatError as error:
                self._note(f"{_name(entry.function)}: {error}")
                self._show(entry, str(error))
            except BaseException as error:  # sys.exit() in a handler ends that call, not the others
                self._note(traceback.format_exc(limit=-5))
                self._show(entry, "".join(traceback.format_exception_only(error)).strip())
            if text := printed.getvalue():
                self._note(text)

    def _show(self, entry: _Entry, why: str) -> None:
        """Say in the user's own panel that a handler failed; the same failure only once."""
        if why == entry.failure:
            return
        entry.failure = why
        state = self._client._state
        with state.changed:
            state.transcript.notice(
                f"Your function {_name(entry.function)}() failed: {one_line(why)} "
                "(client.errors has the details.)"
            )
            state.touch()

    def _note(self, text: str) -> None:
        state = self._client._state
        with state.changed:
            state.errors.append(visible(text.rstrip("\n")))
            state.touch()


def _name(function: Handler) -> str:
    return getattr(function, "__name__", repr(function))


# ── what a handler prints ───────────────────────────────────────────────────────────────────────


class _Routed(io.TextIOBase):
    """Stands in for sys.stdout while handlers run: their prints go to their own buffers, everybody
    else's where they went before."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.buffers: dict[int, io.StringIO] = {}

    def write(self, text: str) -> int:
        return (self.buffers.get(threading.get_ident()) or self.stream).write(text)

    def flush(self) -> None:
        if threading.get_ident() not in self.buffers:
            self.stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


_routing = threading.Lock()


@contextlib.contextmanager
def _captured(buffer: io.StringIO) -> Iterator[None]:
    """Take this thread's prints, and nobody else's, into a buffer."""
    me = threading.get_ident()
    for name in ("stdout", "stderr"):
        with _routing:
            stream = getattr(sys, name)
            if not isinstance(stream, _Routed):
                stream = _Routed(stream)
                setattr(sys, name, stream)
            stream.buffers[me] = buffer
    try:
        yield
    finally:
        for name in ("stdout", "stderr"):
            with _routing:
                stream = getattr(sys, name)
                if isinstance(stream, _Routed):
                    stream.buffers.pop(me, None)
                    if not stream.buffers:
                        setattr(sys, name, stream.stream)
