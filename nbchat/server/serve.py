"""serve(): which server a call means, and where it listens.

Within a process a server is known by its chat's name; this file holds the list of them.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
import warnings
from datetime import timedelta
from typing import Literal

from nbchat.core import names
from nbchat.core.border import border
from nbchat.core.keys import Key
from nbchat.core.limits import Limits
from nbchat.net import discovery, link
from nbchat.server import ports
from nbchat.server.engine import clock
from nbchat.server.listeners import listen, opened
from nbchat.server.options import Options, check
from nbchat.server.runner.process import CAN_PASS, ServerProcess
from nbchat.server.runner.thread import ServerThread
from nbchat.server.server import Server
from nbchat.store import folders
from nbchat.store.open import open_store
from nbchat.store.promise import RoomStore

_servers: list[Server] = []
_serving = threading.Lock()
_PLAIN_TOO = (
    "Plain-text clients may join this chat, but on this machine only (127.0.0.1:{port}): they are not "
    "encrypted and cannot prove who they are, so none is taken from the network."
)
_CALLER = 3
"""Where warnings point to: above serve(), and the border around it."""


@border
def serve(
    name: str | None = None,
    host: str = "127.0.0.1",
    port: int | None = None,
    *,
    history: str | os.PathLike[str] | Literal["auto"] | None = "auto",
    process: bool | None = None,
    plain: bool | None = None,
    lan: bool = False,
    keep: int | timedelta | None = None,
    limits: Limits | None = None,
) -> Server:
    """Start a chat server beside what this process does, and return when it listens.

    ``name``: the chat's name. A chat with a name is known by it and keeps its history; one without lives
    in memory. Running the same call again in a process returns the server that runs already; with other
    options it restarts with them, and its clients come back by themselves.

    ``port``: for a chat with a name the one that it had last, so that its links stay right, else 14900; if
    that is taken, the next free one up to 14999, with a warning if a chat has to change. A port given here is
    taken or the call fails. 0 always makes a new server on any free port.

    ``history``: "auto" (a file named after the chat, in the user's data folder), a file's path, or None
    to keep nothing after the server stops.

    ``process``: False runs it on a background thread; True in a process of its own, which no cell disturbs,
    however busy. None does that if a network is served, and takes a thread otherwise. That process ends with
    this one. All else is the same, but for a chat in memory: when it restarts with other options, and one of
    the two is in a process of its own, its log begins anew.

    ``lan``: True serves this machine's network as well. There, connections are encrypted (TLS 1.3), and who
    comes needs a link from ``server.invite()``. So is a ``host`` that is not loopback, and "0.0.0.0" for
    all of this machine's networks. Within this machine all is as without it.

    ``plain``: whether plain-text clients (the first generation's, ``nc``) on this machine may join; None
    allows them outside a JupyterHub, if no network is served.

    ``keep``: what is kept of the history: a number of messages in each room, or an age
    (``datetime.timedelta(days=30)``); what is older is taken away for good. None keeps everything.

    A history's file that turns out to be damaged is moved aside, a new history begins, and a warning says
    where the old file is.

    Raises AddressInUse, AlreadyServing (another process keeps that chat's history), BadName, StoreDown
    (the history cannot be opened) and UsageError. May be called from any thread.
    """
    options = check(name, host, port, history, process, plain, keep, limits, lan)
    with _serving:
        old = _find(options)
        if old is not None and old._options == options and old.is_running:
            return old
        try:
            server = _start(options, old, is_own_place=isinstance(history, str) and history == "auto")
            _servers[:] = [*(each for each in _servers if each.is_running), server]
        finally:
            opened.clear()
    is_told = old is not None and server._store is not None and server._store is old._store
    changed = _remember(options, server.port)
    if changed:
        warnings.warn(changed, RuntimeWarning, stacklevel=_CALLER)
    if server._runner.damage and not is_told:
        warnings.warn(server._runner.damage, RuntimeWarning, stacklevel=_CALLER)
    if options.file is not None and (open_to := folders.exposed(options.file)):
        warnings.warn(open_to, RuntimeWarning, stacklevel=_CALLER)
    if options.lan and options.plain:
        warnings.warn(_PLAIN_TOO.format(port=server.port), RuntimeWarning, stacklevel=_CALLER)
    return server


def _start(options: Options, old: Server | None, *, is_own_place: bool) -> Server:
    """Start a server, in the old one's place if there is one.

    The same chat with other options keeps its port and its keys. It keeps its log where that is in the same
    file, or was in this process's memory and stays there.
    """
    known_port = old.port if old is not None else ports.of(options.name)
    preferred = known_port or link.DEFAULT_PORT
    store: RoomStore | None = None
    known: list[Key] = []
    listens_here = CAN_PASS or not options.process
    # If a port that was asked for is taken, the old server goes on.
    is_elsewhere = options.port not in (None, preferred)
    socks = listen(options, preferred) if listens_here and is_elsewhere else None
    if old is not None:
        known = old._runner.keys()
        if old._options.file == options.file and not options.process:
            store = old._runner.hand_over()
        old.stop()
    if socks is None and listens_here:
        socks = listen(options, preferred)
    runner: ServerThread | ServerProcess
    try:
        if socks is None or options.process:
            runner = ServerProcess(options, socks, known, preferred=preferred, is_own_place=is_own_place)
        else:
            store = store or open_store(options.file, clock.now, is_own_place=is_own_place)
            runner = ServerThread(options, socks, store, known)
        runner.start()
    except BaseException:
        for sock in socks or ():
            sock.close()
        raise
    return Server(options, runner)


def _remember(options: Options, port: int) -> str:
    """Keep a named chat's port for its next start; what to say if it has another one than before."""
    if not options.name or options.port == 0:
        return ""
    before = ports.of(options.name)
    ports.remember(options.name, port)
    if before in (None, port) or options.port is not None:
        return ""
    return (
        f"The chat {options.name!r} had port {before}, which is taken now: it listens on port {port}. Links "
        "that were given out before lead to whoever has that port; give out new ones."
    )


def _find(options: Options) -> Server | None:
    if options.port == 0:
        return None
    for server in _servers:
        mine, theirs = options.name, server.name
        if server._options.port != 0 and (
            mine == theirs or (mine and theirs and names.skeleton(mine) == names.skeleton(theirs))
        ):
            return server
    return None


def _stop_all() -> None:
    """At the interpreter's end: all at once, so that many take no longer than one."""
    servers = list(_servers)
    for server in servers:
        server._runner.begin_stop()
    for server in servers:
        server.stop()


def _after_fork() -> None:
    """A forked child has no server: its copies of the sockets are closed, the rest is left alone. Another
    thread may have been starting one just then: it is not there any more to give the lock back."""
    global _serving
    _serving = threading.Lock()
    for server in _servers:
        server._forked()
    for sock in opened:
        if (fileno := sock.detach()) >= 0:
            with contextlib.suppress(OSError):
                os.close(fileno)
    opened.clear()
    _servers.clear()
    discovery.here.clear()


atexit.register(_stop_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
