"""The clients of this process: which one a new one replaces, and their end.

A client that nobody holds any more says goodbye, unless it still has handlers: they are meant to go on. One
with a name gives way when the same call is made again, as a cell does that runs again: the new one has its
place in the room, what it had still to say, and its handlers.
"""

from __future__ import annotations

import atexit
import os
import weakref
from dataclasses import dataclass
from typing import Protocol

from nbchat.client.handlers import Entry, Handlers
from nbchat.client.prints import is_kernel
from nbchat.client.state import Deadline, State
from nbchat.client.thread import Receiver
from nbchat.core import names
from nbchat.core.errors import ChatError
from nbchat.net.discovery import Target

_MOST = 5.0
"""Seconds for a client that gives way to end."""


class Handle(Protocol):
    """A client, as people hold it."""

    def __hash__(self) -> int: ...

    def close(self) -> None: ...


@dataclass(eq=False, slots=True)
class Life:
    """One client without its handle, which may be gone."""

    state: State
    receiver: Receiver
    handlers: Handlers
    name: str | None
    """What it asked to be called, if it asked."""


handles: weakref.WeakSet[Handle] = weakref.WeakSet()
"""What people hold in their hands."""
_lives: dict[Life, None] = {}


def living() -> list[Life]:
    """All whose thread runs, the oldest first."""
    for life in list(_lives):
        if not life.receiver.thread.is_alive():
            _lives.pop(life, None)
    return list(_lives)


def begin(life: Life) -> None:
    """A client's thread has started."""
    _lives[life] = None
    life.handlers.viewers = lambda: _viewers(life.state)


def hold(client: Handle, life: Life) -> None:
    """Somebody has it in their hands now; when nobody has any more, it leaves, if it has no handlers."""
    handles.add(client)
    weakref.finalize(client, _let_go, life).atexit = False


def _let_go(life: Life) -> None:
    # Runs wherever a reference is dropped: it takes no lock.
    life.handlers.is_orphan = True
    life.handlers.leave_if_unneeded()


def _viewers(state: State) -> list[State]:
    return [
        life.state
        for life in living()
        if life.state.is_shown
        and (life.state.transcript.log_id, life.state.room) == (state.transcript.log_id, state.room)
    ]


# ── the same call again ──


def predecessor(url: object, name: str, room: str) -> Life | None:
    """The client that the same call made before: of this name, in this room of this server; no panel's."""
    mark = names.skeleton(name)
    found = [
        life
        for life in living()
        if life.name is not None
        and names.skeleton(life.name) == mark
        and not life.state.is_shown
        and not life.receiver.is_over  # its thread may still end; its session is of no use
    ]
    if not found:
        return None
    try:
        where = Target(url).find()
    except ChatError:  # connecting will say so
        return None
    room = names.skeleton(where.room or room)
    for life in found:
        if life.receiver.is_at(where) and names.skeleton(life.state.room) == room:
            return life
    return None


def give_way(old: Life, new: Life) -> None:
    """The new one is to take the old one's place; before it starts."""
    if old.state.is_plain:  # nothing there knows that they are one
        old.receiver.gives_way = True
        old.receiver.close()
        old.receiver.thread.join(_MOST)
    else:
        new.receiver.follow(old.receiver)


def stay(old: Life) -> None:
    """The new one did not get in."""
    old.receiver.gives_way = False
    if not old.receiver.thread.is_alive():
        with old.state.changed:
            old.state.give_up()
        old.handlers.end()


def replaced(old: Life, new: Life, sender: object) -> None:
    """The new one is in: it gets what the old one had still to say, and its handlers."""
    with old.state.changed:
        pending = dict(old.state.pending)
        old.state.pending.clear()
    old.receiver.close(may_come_back=True)
    old.receiver.thread.join(_MOST)
    old.state.set(reason="the same connect() was called again; this is the client it made before")
    with new.state.changed:
        for message in pending.values():
            message.is_sent, message.sender = False, sender
        new.state.pending = {**pending, **new.state.pending}
        new.state.touch()
    new.handlers.adopt(old.handlers)
    new.receiver.flush()


def handles_now(life: Life, entry: Entry) -> None:
    """A handler was given to a client: another one in its room that had it, and that a cell which ran again
    has left behind, lets go of it."""
    mine = (life.state.transcript.log_id, life.state.room)
    for other in living():
        if other is not life and (other.state.transcript.log_id, other.state.room) == mine:
            other.handlers.forget(entry)


# ── the end ──


def _close_all() -> None:
    """At the interpreter's end: all at once, and no longer than two seconds."""
    deadline = Deadline(1.5)
    lives = living()
    may_come_back = is_kernel()  # its end is often a restart: then nothing is said of leaving
    for life in lives:
        life.receiver.close(may_come_back=may_come_back)
    for life in lives:
        life.receiver.thread.join(deadline.left)
    # A handler that prints just now finishes its line: afterwards nobody could write to the screen.
    deadline = Deadline(0.3)
    for life in lives:
        if life.handlers.thread is not None:
            life.handlers.thread.join(deadline.left)


def _after_fork() -> None:
    """A forked child has no client: its copies of the sockets are closed, the parent's stay."""
    for life in list(_lives):
        life.receiver.forked()
    _lives.clear()


atexit.register(_close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
