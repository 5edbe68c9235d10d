"""The client: what scripts, bots, tests, REPLs and the faces hold in their hands."""

from __future__ import annotations

import atexit
import contextlib
import getpass
import math
import os
import secrets
import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import TimeoutError as FutureTimeout
from types import TracebackType
from typing import overload

from nbchat.core import names, texts
from nbchat.core.errors import (
    BadName,
    ChatError,
    Closed,
    NotConfirmed,
    NothingCame,
    Refused,
    Unreachable,
    UsageError,
)
from nbchat.core.frames import Moderate, Moderated, Ruled, Rules
from nbchat.core.texts import visible
from nbchat.core.transcript import Member, Message
from nbchat.net.address import Target
from nbchat.net.hand import HostsHand
from nbchat.net.handlers import Handler, Handlers
from nbchat.net.receiver import Receiver
from nbchat.net.state import Deadline, Outgoing, State

_HUB = "JUPYTERHUB_USER"
_CONNECT = 15.0
_PAGE = 500
_AGAIN = 1.0
"""Seconds before a history that could not be read is asked for again, if nothing happens before."""
_TYPING = 3.0
"""Seconds between two requests that say that this person is typing: each counts against the rate."""
_TYPED = 5.0
"""Seconds for which somebody who said so counts as typing: the above, and time for the next to come."""


class Client(HostsHand):
    """A member of a room, without a face; made by :func:`nbchat.connect`.

    It receives on a thread of its own, comes back by itself after an outage, and sends again what was
    not confirmed. All methods may be called from any thread, unless they say otherwise. Those of a host
    (:meth:`kick`, :meth:`mute`, :meth:`clear` …) are for clients whose :attr:`role` is ``host``.
    """

    def __init__(
        self, url: object = None, name: str | None = None, room: str = "lobby", *, host: bool = True
    ) -> None:
        self._is_named = name is not None
        wanted = _typed(name) if name is not None else default_name()
        self._state = State(wanted, names.check(room, "room name"))
        self._cursor = 0
        self._ahead: deque[Message] = deque()
        self._listening = threading.Lock()
        self._typing_at = -math.inf
        self._handlers = Handlers(self)
        self._receiver = Receiver(
            Target(url), self._state, wanted, exact=name is not None and host, as_member=not host
        )
        self._receiver.thread.start()
        try:
            self._receiver.first.result(_CONNECT)
        except FutureTimeout:
            self._receiver.close()
            raise Unreachable(f"The server did not let {wanted!r} in within {_CONNECT:.0f} s.") from None
        except BaseException:  # an interrupted cell, for one, leaves no member behind
            self._receiver.close()
            raise
        self._cursor = self._state.backlog
        _clients.add(self)

    # ── who and how ──

    @property
    def name(self) -> str:
        """The name this client has in the room (with a suffix if the wished one was taken)."""
        return self._state.name

    @property
    def room(self) -> str:
        """The room's name."""
        return self._state.room

    @property
    def role(self) -> str:
        """``host`` for the server's own user and for whom a host has named one, else ``member``."""
        return self._state.role

    @property
    def status(self) -> str:
        """``connected``, ``reconnecting`` or ``closed``."""
        return self._state.status

    @property
    def reason(self) -> str:
        """Why the client is not connected, in words; empty when it is."""
        return self._state.reason

    @property
    def members(self) -> list[Member]:
        """Who is in the room: names that also know ``.role``, ``.plain`` and ``.away``, in the order they
        came."""
        with self._state.changed:
            return list(self._state.transcript.members.values())

    @property
    def typists(self) -> list[str]:
        """Who else is typing: said so within the last 5 s, and has said nothing and not left since."""
        state = self._state
        with state.changed:
            now = state.clock()
            return [name for name, heard in state.typing.items() if now - heard <= _TYPED]

    @property
    def away(self) -> bool:
        """True: this client's person is not at the screen. Set it, and the others are told: at once or,
        without a connection, with the next one. Setting what it is costs nothing; with a first-generation
        server it does nothing."""
        return self._state.away

    @away.setter
    def away(self, away: bool) -> None:
        state = self._state
        with state.changed:
            if state.is_plain or state.away == bool(away):
                return
            state.away = bool(away)
        self._receiver.flush()

    @property
    def messages(self) -> list[Message]:
        """The room's messages in order, without gaps, the newest 5,000 at most; older ones come with
        :meth:`history`."""
        with self._state.changed:
            return [message for message in self._state.transcript.messages if message.text]

    @property
    def pending(self) -> list[Outgoing]:
        """What was sent and is not confirmed yet, oldest first."""
        with self._state.changed:
            return list(self._state.pending.values())

    @property
    def errors(self) -> list[str]:
        """What handlers printed or raised, the newest 100 entries."""
        with self._state.changed:
            return list(self._state.errors)

    def transcript(self) -> list[str]:
        """The messages as ``["ada: hi", …]``: no clock and no ids, so that two runs compare equal. Fit for
        printing: nothing in them acts on a screen or hides, and a message's further lines are indented."""
        return [str(message) for message in self.messages]

    # ── talking ──

    def send(self, text: str) -> Outgoing:
        """Say something. Returns at once; ``.wait()`` on the result returns when it is durable.

        Raises BadText (empty, too long, not text) and Closed. While there is no connection the message
        is pending and goes out by itself.
        """
        return self._send(text)

    def _send(self, text: str, *, auto: bool = False, id: str | None = None) -> Outgoing:
        text = texts.check(texts.tidy(_text(text)), self._state.text_limit)
        message = Outgoing(id or secrets.token_hex(8), text, auto)
        with self._state.changed:
            if self._state.status == "closed":
                raise Closed(
                    f"This client is closed ({self._state.reason}). Connect again with nbchat.connect()."
                )
            self._state.pending[message.id] = message
            self._state.touch()
        self._receiver.flush()
        return message

    def typing(self) -> None:
        """Tell the others that this person is typing. Returns at once. To be called at every key: it says
        so at most every 3 s, and nothing while there is no connection or no word for it (``plain://``)."""
        state = self._state
        with state.changed:
            now = state.clock()
            if state.status != "connected" or now - self._typing_at < _TYPING:
                return
            self._typing_at = now
        self._receiver.typing()

    def history(self, before: int | None = None, limit: int = 50, timeout: float = 10) -> list[Message]:
        """The ``limit`` newest messages before seq ``before`` (the newest of all without it), oldest
        first. Raises Unreachable if no answer comes in ``timeout`` seconds. Not for the receive thread.
        """
        assert threading.current_thread() is not self._receiver.thread
        if limit < 1:
            raise UsageError(f"history(limit={limit}): ask for at least one message.")
        deadline = Deadline(timeout)
        found: list[Message] = []
        while len(found) < limit:
            size = min(limit - len(found), _PAGE)
            future = self._receiver.page(before, size)
            try:
                page, before = future.result(deadline.left)
            except FutureTimeout:
                raise Unreachable(f"No page of history came within {timeout} s.") from None
            found = page + found
            if before is None:
                break
        return found

    # ── the host's hand ──

    def _moderate(self, room: str | None, order: Moderate) -> None:
        self._ask(room, order)

    def _ruled(self, room: str | None) -> Ruled:
        ruled = self._ask(room, Rules(secrets.token_hex(8)))
        assert isinstance(ruled, Ruled)
        return ruled

    def _ask(self, room: str | None, request: Moderate | Rules) -> Moderated | Ruled:
        assert threading.current_thread() is not self._receiver.thread
        if room is not None and names.skeleton(room) != names.skeleton(self.room):
            raise UsageError(f"This client is in {self.room!r}. Connect another one: connect(room={room!r}).")
        try:
            return self._receiver.ask(request).result(_CONNECT)
        except FutureTimeout:
            raise Unreachable(
                f"No answer came within {_CONNECT:.0f} s. Whether it was done shows in the room."
            ) from None

    # ── listening ──

    def wait_for(self, wanted: Callable[[Message], bool], timeout: float | None = 30) -> Message:
        """The next message for which ``wanted(message)`` is true.

        It looks at every message since :func:`connect` once, in order; :meth:`listen` goes on from the
        same place, so nothing is raced past. Raises NothingCame (a TimeoutError) after ``timeout`` s.
        """
        deadline = Deadline(timeout)
        for message in self._next(deadline):
            if wanted(message):
                return message
        if self.status == "closed":
            raise Closed(f"This client is closed ({self.reason}).")
        raise NothingCame(f"No such message came within {timeout} s.")

    def listen(self, timeout: float | None = None) -> Iterator[Message]:
        """The messages since :func:`connect` (or since the last one looked at), one after the other, own
        ones as well. Ends when none has come for ``timeout`` seconds, or when the client is closed."""
        while True:
            for message in self._next(Deadline(timeout)):
                yield message
                break
            else:
                return

    def _next(self, deadline: Deadline) -> Iterator[Message]:
        state = self._state
        while True:
            with self._listening:
                if not self._ahead:
                    version = state.version
                    messages, self._cursor = self._since(self._cursor, deadline)
                    self._ahead.extend(messages)
                message = self._ahead.popleft() if self._ahead else None
            if message is not None:
                yield message
            elif (
                not state.wait(self._has_more, deadline.left)
                or not self._has_more(closed=False)
                or deadline.left == 0
            ):
                return
            else:  # there is more, but it could not be had
                self._wait_for_news(version, deadline)

    def _wait_for_news(self, version: int, deadline: Deadline) -> None:
        state = self._state
        state.wait(lambda: state.version != version, min(_AGAIN, deadline.left or _AGAIN))

    def _has_more(self, *, closed: bool = True) -> bool:
        """Whether there is something new to look at (or there will never be)."""
        state = self._state
        return state.transcript.count > self._cursor or (closed and state.status == "closed")

    def _since(self, count: int, deadline: Deadline | None = None) -> tuple[list[Message], int]:
        """The messages after the first ``count``, in order, and how many there are now; what the
        transcript has let go of comes from the history. While that cannot be read there is nothing new:
        to be asked again, so that nothing is left out."""
        state = self._state
        with state.changed:
            found, now = state.after(count), state.transcript.count
        missing = now - count - len(found)
        if missing > 0 and found and not state.is_plain:
            left = deadline.left if deadline is not None else None
            try:
                found = (
                    self.history(found[0].seq, missing, 10 if left is None else min(10, max(1, left))) + found
                )
            except Closed:
                pass
            except (Unreachable, Refused):
                return [], count
        return [message for message in found if message.text], now

    @overload
    def on_message(self, function: Handler) -> Handler: ...
    @overload
    def on_message(
        self, *, backlog: bool = ..., own: bool = ..., answers: bool = ...
    ) -> Callable[[Handler], Handler]: ...

    def on_message(
        self,
        function: Handler | None = None,
        *,
        backlog: bool = False,
        own: bool = False,
        answers: bool = False,
    ) -> Handler | Callable[[Handler], Handler]:
        """Have a function called for each new message; to be used as a decorator.

        It runs on a thread of its own. A ``str`` that it returns is sent as the answer. It is not given
        what was said before (``backlog=True``: what this client has of it), this client's own messages
        (``own=True``) nor another handler's answers (``answers=True``), so that two bots do not talk for
        ever. What it prints or raises is kept in :attr:`errors`.
        """

        def add(function: Handler) -> Handler:
            if not callable(function):
                raise UsageError("on_message takes a function: @client.on_message above its def.")
            self._handlers.add(function, backlog=backlog, own=own, answers=answers)
            return function

        return add if function is None else add(function)

    # ── the end ──

    def close(self) -> None:
        """Leave the room. What is pending is sent first, for at most 2 s. A second call does nothing.

        Raises NotConfirmed, after it has closed, if something could not be confirmed by then: its
        ``messages`` may be in the chat or not. They stay in :attr:`pending`.
        """
        is_first = self in _clients
        _clients.discard(self)
        self._receiver.close()
        if threading.current_thread() not in (self._receiver.thread, self._handlers.thread):
            self._receiver.thread.join(5)
            if self._handlers.thread is not None:
                self._handlers.thread.join(1)
            if is_first and (pending := self.pending):
                raise NotConfirmed(_unconfirmed(pending), pending)

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        except NotConfirmed as lost:
            if error is None:
                raise
            error.add_note(str(lost))

    def __repr__(self) -> str:
        where = f"{self.name!r} in {self.room!r}"
        if self.status != "connected":
            return f"<nbchat client {where}, {self.status}: {self.reason}>"
        count = len(self.members)
        return f"<nbchat client {where}, {count} member{'' if count == 1 else 's'}>"


def connect(url: object = None, name: str | None = None, room: str = "lobby", *, host: bool = True) -> Client:
    """Join a room without a panel: for scripts, bots, tests and REPLs.

    ``url``: a link (``nbchat://…`` or, for a first-generation server, ``plain://host:port``), a chat's
    name, or a server object. Without it: this process's own server, else the link in NBCHAT_URL, else the
    server that runs on this machine.

    ``name``: 1 to 32 letters, digits, spaces or ``_ - . '``; without it your login name, with a number
    behind it if that is taken. In a JupyterHub names come from the Hub: a name there begins with yours.

    ``host``: False makes it a member, also with the key of a host (the one that this user's notebooks find);
    a taken name then gets a number.

    Returns when the client is in the room and has its newest messages. Raises NoServerFound,
    SeveralServers, BadLink, BadName, NameTaken, NotTheServer, Refused and Unreachable; each says what to
    type. May be called from any thread.
    """
    try:
        return Client(url, name, room, host=host)
    except (ChatError, KeyboardInterrupt) as error:
        url = None  # some tracebacks show variables, and a link has its secret in it
        raise error.with_traceback(None) from error.__cause__


def _typed(name: str) -> str:
    """A name that was typed. In a JupyterHub everybody has one already; a second one, for a bot, begins with
    it (``ada bot``)."""
    wanted = names.check_member(_text(name))
    if raw := os.environ.get(_HUB):
        mine = names.fit(raw)
        rest = names.skeleton(wanted).removeprefix(names.skeleton(mine))
        if rest == names.skeleton(wanted) or rest[:1] not in ("", " ", "_", "-", "."):
            raise BadName(
                f"In this JupyterHub your name is {mine!r}: leave the name out, or let it begin with yours "
                f"({mine + ' bot'!r})."
            )
    return wanted


def default_name() -> str:
    """JupyterHub's user name, else the login name, made fit to be a name."""
    raw = os.environ.get(_HUB, "")
    if not raw:
        with contextlib.suppress(Exception):  # no login name: getpass raises whatever the system has
            raw = getpass.getuser()
    return names.fit(raw)


def _unconfirmed(pending: list[Outgoing]) -> str:
    texts = ", ".join(repr(visible(message.text[:40])) for message in pending[:5])
    more = f" and {len(pending) - 5} more" if len(pending) > 5 else ""
    return (
        f"The client was closed before the server confirmed {texts}{more}. What is not confirmed may be in "
        "the chat or not; look there before you send it again."
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise UsageError(f"{value!r} is no text. Put it into quotes, or use str(…).")
    return value


_clients: weakref.WeakSet[Client] = weakref.WeakSet()


def _close_all() -> None:
    """At the interpreter's end: all at once, and no longer than two seconds."""
    deadline = Deadline(1.5)
    clients = list(_clients)
    is_kernel = _is_kernel()
    for client in clients:
        client._receiver.close(may_come_back=is_kernel)
    for client in clients:
        client._receiver.thread.join(deadline.left)


def _is_kernel() -> bool:
    """Whether this is a notebook's kernel. Its end is often a restart: then nothing is said of leaving."""
    module = sys.modules.get("ipykernel.kernelapp")
    return module is not None and bool(module.IPKernelApp.initialized())


def _after_fork() -> None:
    """A forked child has no client: its copies of the sockets are closed, the parent's stay."""
    for client in list(_clients):
        client._receiver.forked()
        client._state = State(client._state.name, client._state.room)
        client._state.status, client._state.reason = "closed", "this process was forked from the client's"
    _clients.clear()


atexit.register(_close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
