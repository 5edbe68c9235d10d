"""The client: what scripts, bots, tests, REPLs and the faces hold in their hands."""

from __future__ import annotations

import contextlib
import getpass
import math
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import TimeoutError as FutureTimeout
from datetime import timedelta
from types import TracebackType
from typing import overload

from nbchat.api.moderation import HostsHand
from nbchat.client import clients
from nbchat.client.clients import Life
from nbchat.client.clients import handles as _clients
from nbchat.client.handlers import Handler, Handlers, is_handling
from nbchat.client.inbox import Listening, Place
from nbchat.client.state import Deadline, Outgoing, State
from nbchat.client.staying import stay
from nbchat.client.thread import Receiver
from nbchat.core import arguments, names, standing
from nbchat.core.border import border, bordered
from nbchat.core.errors import BadName, ChatError, Closed, NotConfirmed, NothingCame, Unreachable, UsageError
from nbchat.core.frames import Moderate, Moderated, Ruled, Rules, Standing
from nbchat.core.listing import Messages
from nbchat.core.texts import visible
from nbchat.core.transcript import Member, Message
from nbchat.net.discovery import Target

_HUB = "JUPYTERHUB_USER"
_CONNECT = 15.0
_PAGE = 500
_TYPING = 3.0
"""Seconds between two requests that say that this person is typing: each counts against the rate."""
_TYPED = 5.0
"""Seconds for which somebody who said so counts as typing: the above, and time for the next to come."""


@bordered
class Client(HostsHand):
    """A member of a room, without a face; made by :func:`nbchat.connect`.

    It receives on a thread of its own, comes back by itself after an outage, and sends again what was
    not confirmed. All methods may be called from any thread, unless they say otherwise. Those of a host
    (:meth:`kick`, :meth:`mute`, :meth:`clear` …) are for clients whose :attr:`role` is ``host``.

    A client that nobody holds any more (its name was bound anew, its function has returned) says goodbye.
    One with handlers stays, and so does one that has something to say until it is confirmed.
    """

    def __init__(
        self,
        url: object = None,
        name: str | None = None,
        room: str = "lobby",
        *,
        host: bool = True,
        replaces: bool = False,
    ) -> None:
        host = arguments.yes_no("connect", "host", host)
        self._is_named = name is not None
        wanted = _typed(name) if name is not None else default_name()
        self._state = State(wanted, names.check(arguments.text("connect", "room", room), "room name"))
        self._typing_at = -math.inf
        self._receiver = Receiver(
            Target(url), self._state, wanted, exact=name is not None and host, as_member=not host
        )
        self._handlers = Handlers(self._state, self._receiver)
        self._life = Life(self._state, self._receiver, self._handlers, wanted if self._is_named else None)
        old = clients.predecessor(url, wanted, self.room) if self._is_named and replaces else None
        if old is not None:
            clients.give_way(old, self._life)
        try:
            self._receiver.thread.start()
            clients.begin(self._life)
            self._receiver.first.result(_CONNECT)
        except BaseException as error:  # an interrupted cell, for one, leaves no member behind
            self._receiver.close()
            if old is not None:
                clients.stay(old)
            if not isinstance(error, FutureTimeout):
                raise
            raise Unreachable(f"The server did not let {wanted!r} in within {_CONNECT:.0f} s.") from None
        with self._state.changed:
            place = Place(0, min(self._state.start or 0, self._state.transcript.seq or 0))
        self._listening = Listening(self._state, self._receiver, place)
        clients.hold(self, self._life)
        if old is not None:
            clients.replaced(old, self._life, self)

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
    def chat(self) -> str | None:
        """The chat's name, as in ``nbchat.serve("cs101")``; None if it has none."""
        return self._state.chat

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
    def standing(self) -> Standing:
        """What the room's rules mean for this member now: ``.announce``, True if it may not speak because
        only hosts may; ``.slow``, the seconds that it has to leave between two messages; ``.muted``, None if
        it is not muted, else with ``.until``, in milliseconds since 1970, None until further notice."""
        state = self._state
        with state.changed:
            return standing.now(state.standing, state.role, time.time() * 1000)

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
        state, away = self._state, arguments.yes_no("client.away", "away", away)
        with state.changed:
            if state.is_plain or state.away == away:
                return
            state.away = away
        self._receiver.flush()

    @property
    def messages(self) -> Messages:
        """The room's messages in order, without gaps, the newest 5,000 at most; older ones come with
        :meth:`history`. A list, which shows its newest messages where it is looked at."""
        with self._state.changed:
            return Messages(message for message in self._state.transcript.messages if message.text)

    @property
    def pending(self) -> list[Outgoing]:
        """What was sent and is not confirmed yet, oldest first."""
        with self._state.changed:
            return list(self._state.pending.values())

    @property
    def errors(self) -> list[str]:
        """What handlers raised and, in a notebook, what they printed: the newest 100 entries."""
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
        is pending and goes out by itself. What is sent from a handler is marked as a program's
        (``message.auto``).
        """
        return self._send(text)

    def _send(self, text: str, *, id: str | None = None) -> Outgoing:
        with self._state.changed:
            message = self._state.say(arguments.text("send", "text", text), auto=is_handling(), id=id)
            message.sender = self
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

    def history(
        self, limit: int = 50, *, before: int | None = None, timeout: float | timedelta | None = 10
    ) -> Messages:
        """The ``limit`` newest messages, or those before the seq ``before``, oldest first: ``history(3)`` is
        the newest three. Raises Unreachable if no answer comes in ``timeout`` seconds. Not for the receive
        thread.
        """
        assert threading.current_thread() is not self._receiver.thread
        such = "Ask for at least one message, such as client.history(50)."
        limit = arguments.whole("history", "limit", limit, least=1, such=such)
        if before is not None:
            before = arguments.whole("history", "before", before, such="It is a message's number, its seq.")
        seconds = arguments.timeout("history", timeout)
        deadline = Deadline(seconds)
        found = Messages()
        while len(found) < limit:
            size = min(limit - len(found), _PAGE)
            future = self._receiver.page(before, size)
            try:
                page, before = future.result(deadline.left)
            except FutureTimeout:
                raise Unreachable(f"No page of history came within {seconds:g} s.") from None
            found[:0] = page
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

    def wait_for(self, wanted: Callable[[Message], bool], timeout: float | timedelta | None = 30) -> Message:
        """The next message for which ``wanted(message)`` is true.

        It looks at every message since :func:`connect` once, in order; :meth:`listen` goes on from the
        same place, so nothing is raced past. Raises NothingCame (a TimeoutError) after ``timeout`` s.
        """
        such = "Such as: client.wait_for(lambda message: 'ready' in message.text)"
        arguments.function("wait_for", "wanted", wanted, such=such)
        seconds = arguments.timeout("wait_for", timeout)
        deadline = Deadline(seconds)
        for message in self._listening.next(deadline):
            if wanted(message):
                return message
        if self.status == "closed":
            raise Closed(f"This client is closed ({self.reason}).")
        raise NothingCame(f"No such message came within {seconds:g} s.")

    def listen(self, timeout: float | timedelta | None = None) -> Iterator[Message]:
        """The messages since :func:`connect` (or since the last one looked at), one after the other, own
        ones as well. Ends when none has come for ``timeout`` seconds, or when the client is closed."""
        return self._listen(arguments.timeout("listen", timeout))

    def _listen(self, seconds: float | None) -> Iterator[Message]:
        while True:
            for message in self._listening.next(Deadline(seconds)):
                yield message
                break
            else:
                return

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

        It runs on a thread of its own. A ``str`` that it returns is sent as the answer, and so is each that
        a generator yields. It is not given what was said before (``backlog=True``: what this client has of
        it), this client's own messages (``own=True``) nor what another handler said (``answers=True``), so
        that two bots do not talk for ever.

        An ``async def`` runs on an event loop of this client's own, up to 100 calls at one time; they begin
        in the order of the messages. When the client is closed, they are cancelled.

        The client now stays until it is closed or the program ends, also if nobody holds it. A program that
        does nothing else calls :meth:`run`. The same function registered again (a cell that ran again, with
        changes or without) takes its old one's place and goes on where that was.

        What it prints goes to standard output, and a failure to standard error, once for each kind; in a
        notebook both stand in the panel. All failures are in :attr:`errors`.
        """

        backlog = arguments.yes_no("on_message", "backlog", backlog)
        own = arguments.yes_no("on_message", "own", own)
        answers = arguments.yes_no("on_message", "answers", answers)

        @border
        def add(function: Handler) -> Handler:
            such = "Type @client.on_message above its def."
            arguments.function("on_message", "function", function, such=such)
            entry = self._handlers.add(function, backlog=backlog, own=own, answers=answers)
            clients.handles_now(self._life, entry)
            return function

        return add if function is None else add(function)

    # ── the end ──

    def run(self) -> None:
        """Stay until the client is closed, for a program that only has handlers. Ctrl-C and SIGTERM close it,
        and then this returns, so that the program ends with status 0 (in the main thread; in another one
        only :meth:`close` ends it). In a notebook it is of no use: handlers run beside the cells.

        Raises Closed if the server ended it for good (a ban, for one), and NotConfirmed as :meth:`close`.
        """
        stay(self._state, self._receiver.close)
        if not self._receiver.is_unwanted:
            raise Closed(f"This client is closed ({self.reason}).")
        self.close()

    def close(self) -> None:
        """Leave the room. What is pending is sent first, for at most 2 s. A second call does nothing.

        Raises NotConfirmed, after it has closed, if something could not be confirmed by then: its
        ``messages`` may be in the chat or not. They stay in :attr:`pending`.
        """
        self._close()

    def _close(self, *, has_successor: bool = False) -> None:
        """``has_successor``: the same call joins again at once, and nobody is to see it leave."""
        is_first = self in _clients
        _clients.discard(self)
        self._receiver.close(has_successor=has_successor)
        if threading.current_thread() not in (self._receiver.thread, self._handlers.thread):
            self._receiver.thread.join(5)
            if (thread := self._handlers.thread) is not None:
                thread.join(1)
            if is_first and (pending := self.pending):
                raise NotConfirmed(_unconfirmed(pending), pending)

    def _resume(self, receiver: Receiver) -> None:
        """Go on with another thread, after this client was closed. To be called with ``changed`` held."""
        self._receiver = self._life.receiver = self._listening.receiver = receiver
        self._handlers.resume(receiver)

    def _forked(self) -> None:
        """In a forked child: its locks may be held for ever by a thread that is not there."""
        self._state = State(self._state.name, self._state.room)
        self._state.status, self._state.reason = "closed", "this process was forked from the client's"

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


@border
def connect(url: object = None, name: str | None = None, room: str = "lobby", *, host: bool = True) -> Client:
    """Join a room without a panel: for scripts, bots, tests and REPLs.

    ``url``: a link (``nbchat://…`` or, for a first-generation server, ``plain://host:port``), a chat's
    name, a server object, or a ``pathlib.Path`` to a file that only you can read, with a link in its first
    line. Without it: this process's own server, else the link in NBCHAT_URL, else the server that runs on
    this machine.

    ``name``: 1 to 32 letters, digits, spaces or ``_ - . '``; without it your login name, with a number
    behind it if that is taken. In a JupyterHub names come from the Hub: a name there begins with yours.

    Called again with the same name, room and server in one process, it makes a new client in the old one's
    place, with its handlers and what it had still to say; the old one is closed. So a cell that runs again
    changes nothing. (A panel's client keeps its name.) Without a name each call makes one more member.

    ``host``: False makes it a member, also with the key of a host (the one that this user's notebooks find);
    a taken name then gets a number.

    Returns when the client is in the room and has its newest messages. Raises NoServerFound,
    SeveralServers, BadLink, BadName, NameTaken, NotTheServer, Refused and Unreachable; each says what to
    type. May be called from any thread.
    """
    try:
        return Client(url, name, room, host=host, replaces=True)
    except (ChatError, KeyboardInterrupt) as error:
        url = None  # some tracebacks show variables, and a link has its secret in it
        raise error.with_traceback(None) from error.__cause__


def _typed(name: str) -> str:
    """A name that was typed. In a JupyterHub everybody has one already; a second one, for a bot, begins with
    it (``ada bot``)."""
    wanted = names.check_member(arguments.text("connect", "name", name))
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


def _after_fork() -> None:
    """A forked child has no client."""
    for client in list(_clients):
        if isinstance(client, Client):
            client._forked()
    _clients.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
