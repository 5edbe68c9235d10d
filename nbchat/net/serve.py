"""serve(): which server a call means, and where it listens.

Within a process a server is known by its chat's name; this file holds the list of them.
"""

from __future__ import annotations

import atexit
import errno
import os
import socket
import sys
import threading
import time
import warnings
from datetime import timedelta
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from nbchat.core import names
from nbchat.core.errors import AddressInUse, UsageError
from nbchat.core.keys import Key
from nbchat.core.limits import Limits
from nbchat.net import address
from nbchat.net.server import Options, Server
from nbchat.store import RoomStore, open_store

_servers: list[Server] = []
_serving = threading.Lock()


def serve(
    name: str | None = None,
    host: str = "127.0.0.1",
    port: int | None = None,
    *,
    history: str | os.PathLike[str] | Literal["auto"] | None = "auto",
    plain: bool | None = None,
    keep: int | timedelta | None = None,
    limits: Limits | None = None,
) -> Server:
    """Start a chat server on a background thread, and return when it listens.

    ``name``: the chat's name. A chat with a name is known by it and keeps its history; one without lives
    in memory. Running the same call again in a process returns the server that runs already; with other
    options it restarts with them, and its clients come back by themselves.

    ``port``: 14900 or, if that is taken, the next free one up to 14999; a port given here is taken or the
    call fails. 0 always makes a new server on any free port.

    ``history``: "auto" (a file named after the chat, in the user's data folder), a file's path, or None
    to keep nothing after the server stops.

    ``plain``: whether plain-text clients (the first generation's, ``nc``) may join; None allows them
    outside a JupyterHub.

    ``keep``: what is kept of the history: a number of messages in each room, or an age
    (``datetime.timedelta(days=30)``); what is older is taken away for good. None keeps everything.

    A history's file that turns out to be damaged is moved aside, a new history begins, and a warning says
    where the old file is.

    Raises AddressInUse, AlreadyServing (another process keeps that chat's history), BadName, StoreDown
    (the history cannot be opened) and UsageError. May be called from any thread.
    """
    options = _check(name, host, port, history, plain, keep, limits)
    with _serving:
        old = _find(options)
        store: RoomStore | None = None
        known: list[Key] = []
        if old is not None:
            if old._options == options and old.is_running:
                return old
            if old.is_running:
                # The same chat with other options keeps its keys, and its log where it is the same one.
                known = old._ask(lambda shell: list(shell._keys.values()))
                if old._options.file == options.file:
                    old._keeps_store = True
                    store = old._store
            preferred = old.port
            old.stop()
        else:
            preferred = address.DEFAULT_PORT
        sock = _listen(options, preferred)
        is_new = store is None
        is_own_place = history == "auto"
        store = store or open_store(options.file, time.time, is_own_place=is_own_place)
        try:
            server = Server(options, sock, store, known)._start()
        except BaseException:
            sock.close()
            raise
        _servers[:] = [*(each for each in _servers if each.is_running), server]
    if is_new and store.damage:
        warnings.warn(store.damage, RuntimeWarning, stacklevel=2)
    return server


def _check(
    name: str | None,
    host: str,
    port: int | None,
    history: str | os.PathLike[str] | None,
    plain: bool | None,
    keep: int | timedelta | None,
    limits: Limits | None,
) -> Options:
    if name is not None:
        if not isinstance(name, str):
            raise UsageError(f"serve({name!r}): a chat's name is text, such as nbchat.serve('cs101').")
        name = names.check(name, "chat's name")
    if not isinstance(host, str):
        raise UsageError(f"serve(host={host!r}): a host is text, such as '127.0.0.1'.")
    if host == "localhost":
        host = "127.0.0.1"
    if not address._is_loopback(host) or host == "::1":
        raise UsageError(
            f"serve(host={host!r}): this version serves this machine only (host='127.0.0.1'). "
            "A chat for other machines needs encryption, which is still to come."
        )
    if port is not None and (not isinstance(port, int) or isinstance(port, bool) or not 0 <= port <= 65535):
        raise UsageError(f"serve(port={port!r}): a port is a number from 1 to 65535, or 0 for any free one.")
    if history == "auto":
        history = _data_file(name) if name else None
    if plain is None:
        plain = "JUPYTERHUB_USER" not in os.environ
    if not isinstance(history, str | os.PathLike | None):
        raise UsageError(f"serve(history={history!r}): history is 'auto', a file's path, or None.")
    is_number = isinstance(keep, int) and not isinstance(keep, bool) and keep >= 1
    is_age = isinstance(keep, timedelta) and keep > timedelta()
    if not (keep is None or is_number or is_age):
        raise UsageError(
            f"serve(keep={keep!r}): keep is a number of messages (keep=10_000), an age "
            "(keep=datetime.timedelta(days=30)), or None for everything."
        )
    if not isinstance(limits, Limits | None):
        raise UsageError(
            f"serve(limits={limits!r}): limits are given as nbchat.Limits(text=4096), for example."
        )
    place = str(Path(os.fspath(history)).expanduser().absolute()) if history is not None else ""
    return Options(name, host, port, place, bool(plain), keep, limits or Limits())


def _data_file(name: str) -> Path:
    from platformdirs import user_data_path

    return user_data_path("nbchat", appauthor=False) / f"{quote(names.skeleton(name), safe=' ')}.sqlite"


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


def _listen(options: Options, preferred: int) -> socket.socket:
    if options.port is not None:
        candidates = [options.port]
    else:
        candidates = [preferred, *(port for port in address.PORTS if port != preferred)]
    for port in candidates:
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            if sys.platform == "win32":
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
            else:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((options.host, port))
            sock.listen(1024)
            sock.setblocking(False)
            return sock
        except OSError as error:
            sock.close()
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise UsageError(
                    f"The server cannot listen on {options.host}:{port}: {error.strerror}."
                ) from error
            if options.port is not None:
                raise AddressInUse(_taken(options.host, port, error)) from error
    raise AddressInUse(
        f"All ports from {address.PORTS[0]} to {address.PORTS[-1]} are taken. Let the system choose one: "
        "nbchat.serve(port=0)"
    )


def _taken(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EACCES:
        return f"Port {port} needs more rights than this program has. Leave the port out: nbchat.serve()"
    if any(each.port == port for each in address.running()):
        return (
            f"Port {port} is taken by a chat that runs already. Join it with nbchat.join(), "
            "or leave the port out to start another one: nbchat.serve()"
        )
    return f"Port {port} of {host} is taken by another program. Leave the port out: nbchat.serve()"


def _stop_all() -> None:
    """At the interpreter's end: all at once, so that many take no longer than one."""
    servers = list(_servers)
    for server in servers:
        server._begin_stop()
    for server in servers:
        server.stop()


def _after_fork() -> None:
    """A forked child has no server: its copies of the sockets are closed, the rest is left alone."""
    for server in _servers:
        server._forked()
    _servers.clear()
    address.here.clear()


atexit.register(_stop_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
