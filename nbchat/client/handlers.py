"""Handlers: functions of the user's that are called for each new message.

They run on one thread per client, never on the receive thread, so that a slow one delays nothing but
itself. A handler's coroutine runs on an event loop beside that thread (coroutines.py). What a handler says
is marked as said by a program, however it says it, so that two bots do not talk for ever.

What they print goes where prints.py says; a failure is told once for each kind, and all are in
``client.errors``.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import threading
import time
import traceback
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any

from nbchat.client import inbox, prints
from nbchat.client.coroutines import Coroutines
from nbchat.client.inbox import Place
from nbchat.client.reruns import Origin
from nbchat.client.state import State
from nbchat.client.thread import Receiver
from nbchat.core.errors import ChatError, Closed
from nbchat.core.escape import one_line, visible
from nbchat.core.limits import Limits
from nbchat.core.transcript import Message
from nbchat.net.ratelimit import Rate

_AGAIN = 1.0
"""Seconds until messages that could not be had are asked for again."""
_AT_ONCE = 100
"""Coroutines of one handler at one time; what comes meanwhile waits for its turn."""
_KINDS = 100
"""Kinds of failures of one handler that are told."""
_NOTICES = Limits(rate=1, burst=20)
"""Prints shown in a panel: 20, then one a second; the rest is in client.errors."""
_PRINTED = 1000
"""Characters of one print that a panel shows."""

Handler = Callable[[Message], Any]

_is_handling: ContextVar[bool] = ContextVar("nbchat_is_handling", default=False)


def is_handling() -> bool:
    """Whether a handler runs here: on its thread, or in its coroutine and what that has begun."""
    return _is_handling.get()


@dataclass(slots=True, eq=False)
class Entry:
    """A handler, and how far it has come."""

    function: Handler
    origin: Origin
    place: Place
    own: bool
    answers: bool
    is_over: bool = False
    """True: another one has taken its place."""
    under_way: int = 0
    """Its coroutines that have not ended."""
    failures: set[object] = field(default_factory=set)
    """The kinds that were told."""


class Handlers:
    """One client's handlers and their thread, which starts with the first of them.

    They hold no client: one that nobody holds any more goes on as long as it has a handler.
    """

    def __init__(self, state: State, receiver: Receiver) -> None:
        self._state = state
        self._receiver = receiver
        self._entries: list[Entry] = []
        self._coroutines = Coroutines(self._stray)
        self._notices = Rate(_NOTICES, time.monotonic())
        self._told: set[object] = set()
        """Kinds of failures of tasks that no handler waits for."""
        self._heir: Handlers | None = None
        self.is_orphan = False
        """True: nobody holds the client any more."""
        self.viewers: Callable[[], list[State]] = list
        """Whose panels show what is printed here, if this client has none."""
        self.thread: threading.Thread | None = None

    @property
    def is_empty(self) -> bool:
        return not self._entries

    def add(self, function: Handler, *, backlog: bool, own: bool, answers: bool) -> Entry:
        """A new handler. One of which it is a new version gives its place to it."""
        state = self._state
        with state.changed:
            entry = Entry(function, Origin.of(function), inbox.now(state, backlog=backlog), own, answers)
            for old in list(self._entries):
                if entry.origin.replaces(old.origin):
                    entry.place = old.place
                    self._end(old)
            self._begin(entry)
        return entry

    def forget(self, entry: Entry) -> None:
        """Another client has this handler now: if its cell has run again, or if nobody holds this client."""
        with self._state.changed:
            for old in list(self._entries):
                if entry.origin.is_rerun_of(old.origin) or (
                    self.is_orphan and entry.origin.replaces(old.origin)
                ):
                    self._end(old)
            self._state.touch()
        self.leave_if_unneeded()

    def leave_if_unneeded(self) -> None:
        """Say goodbye if nobody holds the client and nothing is left that it is there for."""
        if self.is_orphan and not self._entries:
            self._receiver.close()

    def adopt(self, old: Handlers) -> None:
        """Go on with the handlers of the client whose place this one's took, from where they are."""
        with old._state.changed:
            entries = list(old._entries)
            for entry in entries:
                old._end(entry)
            log, log_id = old._state.transcript.log, old._state.transcript.log_id
            old._heir = self
            self._coroutines = old._coroutines
        with self._state.changed:
            transcript = self._state.transcript
            for entry in entries:
                place = inbox.now(self._state)
                if transcript.log_id == log_id and entry.place.log == log and entry.place.seq < place.seq:
                    place.seq = entry.place.seq
                    transcript.reach(place.seq)
                self._begin(replace(entry, place=place, is_over=False, under_way=0))

    def end(self) -> None:
        """The client is closed, and no other takes its place after all."""
        if self.thread is None or not self.thread.is_alive():  # else it does so itself
            self._coroutines.close()

    def _begin(self, entry: Entry) -> None:
        state = self._state
        self._entries.append(entry)
        state.touch()
        self._start()

    def _start(self) -> None:
        if self.thread is None and self._entries:
            name = f"nbchat handlers {self._state.name}"
            self.thread = threading.Thread(target=self._run, name=name, daemon=True)
            self.thread.start()

    def resume(self, receiver: Receiver) -> None:
        """The client, which was closed, joins again. To be called with ``changed`` held."""
        self._receiver = receiver
        self._coroutines.close()  # the thread does so only if it came to its end meanwhile
        self._coroutines = Coroutines(self._stray)
        self._start()

    def _end(self, entry: Entry) -> None:
        entry.is_over = True
        self._entries.remove(entry)

    # ── the thread ──

    def _run(self) -> None:
        _is_handling.set(True)
        state = self._state
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
            is_behind = any(inbox.has_more(state, entry.place) for entry in entries)
            with state.changed:
                if is_over and state.status == "closed":  # and it has not joined again meanwhile
                    self.thread = None
                    if not self._receiver.gives_way:
                        self._coroutines.close()
                    return

    def _serve(self, entry: Entry) -> None:
        state = self._state
        if entry.under_way >= _AT_ONCE:
            return
        ahead = replace(entry.place)
        for message in inbox.after(state, self._receiver, ahead):
            with state.changed:
                if entry.is_over or entry.under_way >= _AT_ONCE:
                    return
                entry.place = Place(ahead.log, message.seq)
            if message.by == state.name and not entry.own:
                continue
            if message.auto and not entry.answers:
                continue
            self._call(entry, message)
        with state.changed:
            if not entry.is_over:
                entry.place = ahead
                if inbox.has_more(state, ahead):
                    state.touch()  # and the next piece

    def _call(self, entry: Entry, message: Message) -> None:
        result: Any = None
        with self._looking_after(entry):
            result = entry.function(message)
            if isinstance(result, Generator):
                for answer in result:
                    self._answer(answer)
                result = None
            self._answer(result)
        if isinstance(result, Awaitable | AsyncGenerator):
            with self._state.changed:  # so that a client that joins again does not end the loop meanwhile
                entry.under_way += 1
                self._coroutines.start(self._await(entry, result, self._coroutines))

    async def _await(
        self, entry: Entry, result: Awaitable[Any] | AsyncGenerator[Any, None], on: Coroutines
    ) -> None:
        try:
            with self._looking_after(entry, on):
                if isinstance(result, Awaitable):
                    self._answer(await result)
                else:
                    async for answer in result:
                        self._answer(answer)
        finally:
            with self._state.changed:
                entry.under_way -= 1
                self._state.touch()

    def _answer(self, answer: object) -> None:
        if not isinstance(answer, str):
            return
        here = self._last()
        here._state.say(answer, auto=True)
        here._receiver.flush()

    def _last(self) -> Handlers:
        """These handlers or, if another client took this one's place, those of that one."""
        here = self
        while here._heir is not None:
            here = here._heir
        return here

    # ── what they print, and how they fail ──

    @contextlib.contextmanager
    def _looking_after(self, entry: Entry, on: Coroutines | None = None) -> Iterator[None]:
        """Run a handler, or its coroutine on a loop: no failure of it goes further, and in a notebook no
        print."""
        name, printed = _name(entry.function), prints.Printed()
        try:
            with prints.taken(printed) if prints.is_kernel() else contextlib.nullcontext():
                yield
        except BaseException as error:  # sys.exit() in a handler ends that call, not the others
            if not (isinstance(error, asyncio.CancelledError) and on is not None and on.is_over):
                self._last()._failed(name, error, entry.failures)
        if text := printed.getvalue():
            self._last()._printed(name, text)
        printed.late = lambda text: self._last()._printed(name, text)

    def _printed(self, name: str, text: str) -> None:
        self._note(text)
        now = time.monotonic()
        if self._notices.wait(now) <= 0:
            self._notices.take()
            self._show(f"{name}() printed: {one_line(text.strip(), _PRINTED)}")

    def _failed(self, name: str, error: BaseException, told: set[object]) -> None:
        if isinstance(error, Closed | asyncio.CancelledError) and self._state.status == "closed":
            return  # what it wanted to say came too late
        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
            trace = trace.tb_next
        if trace is None and isinstance(error, ChatError):  # what it returned could not be sent
            details = f"{name}: {error}"
        else:
            details = "".join(traceback.format_exception(type(error), error, trace, limit=-5))
        details = visible(details).rstrip("\n")
        kind = (type(error), _line(trace))
        if kind not in told and len(told) < _KINDS:
            told.add(kind)
            self._tell(name, error, details)
        self._note(details)

    def _tell(self, name: str, error: BaseException, details: str) -> None:
        """Say that a handler failed."""
        why = str(error) if isinstance(error, ChatError) else "".join(traceback.format_exception_only(error))
        notice = f"Your function {name}() failed: {one_line(why.strip())} (client.errors has the details.)"
        if prints.is_kernel():
            self._show(notice)
            return
        self._state.notice(notice)
        prints.tell(f"Your function {name}() failed (told once; client.errors has every time):\n{details}\n")

    def _stray(self, context: dict[str, Any]) -> None:
        """What a handler has begun, and left alone, went wrong."""
        error = context.get("exception") or RuntimeError(context.get("message"))
        self._last()._failed("a handler's task", error, self._told)

    def _show(self, text: str) -> None:
        """Show the user something: in this client's panel or, if it has none, in the room's others here."""
        states = [] if self._state.is_shown else self.viewers()
        for state in (self._state, *states):
            state.notice(text)

    def _note(self, text: str) -> None:
        state = self._state
        with state.changed:
            state.errors.append(visible(text.rstrip("\n")))
            state.touch()


def _line(trace: TracebackType | None) -> object:
    """Where it was raised."""
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return None if trace is None else (trace.tb_frame.f_code.co_filename, trace.tb_lineno)


def _name(function: Handler) -> str:
    while isinstance(function, functools.partial):
        function = function.func
    name = getattr(function, "__name__", None)
    return name if isinstance(name, str) else type(function).__name__
