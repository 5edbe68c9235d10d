"""The server: its thread, its start and its end.

``serve()`` may be called from any thread. The server runs on one daemon thread with an event loop of
its own; what other threads ask of it goes there with ``call_soon_threadsafe``.
"""

from __future__ import annotations

import asyncio
import contextlib
import html
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import msgspec

from nbchat.core import names
from nbchat.core.errors import UsageError
from nbchat.core.keys import Key
from nbchat.core.limits import Limits
from nbchat.core.transcript import Member
from nbchat.net import address
from nbchat.net.loops import new_loop
from nbchat.net.session import Connection
from nbchat.net.shell import Shell, new_key
from nbchat.store import RoomStore

log = logging.getLogger("nbchat")
log.addHandler(logging.NullHandler())

T = TypeVar("T")
_INVITE_HOURS = 12.0
_START = 30.0
"""Seconds to open the history and listen; a disk that hangs should not hang the cell for ever."""


class Options(msgspec.Struct, frozen=True):
    """What one server was asked to be; equal options are the same server."""

    name: str | None
    host: str
    port: int | None
    history: str
    plain: bool
    keep: int | timedelta | None
    limits: Limits

    @property
    def file(self) -> Path | None:
        return Path(self.history) if self.history else None


class Server:
    """A running chat server, as :func:`nbchat.serve` returns it.

    ``name`` is the chat's name (None for a nameless one), ``host`` and ``port`` where it listens, ``url``
    a link without the secret. All methods may be called from any thread.
    """

    def __init__(self, options: Options, sock: socket.socket, store: RoomStore, known: list[Key]) -> None:
        self.name = options.name
        self.host, self.port = sock.getsockname()[:2]
        self._options = options
        self._sock = sock
        self._store = store
        self._known = known
        self._shell: Shell | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end: asyncio.Event | None = None
        self._started: Future[None] = Future()
        self._keeps_store = False
        self._is_unwanted = False
        self._running: address.Running | None = None
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name=f"nbchat server {self.port}", daemon=True)

    # ── what people ask ──

    @property
    def url(self) -> str:
        """The link without its secret: enough for this machine's own user."""
        return address.Address(self.host, self.port).link

    @property
    def is_running(self) -> bool:
        """Whether it serves; false for ever once it was stopped."""
        return self._thread.is_alive() and self._end is not None and not self._end.is_set()

    @property
    def members(self) -> list[Member]:
        """Who is there, in all rooms, in the order in which they came. Empty when it has stopped."""
        if not self.is_running:
            return []
        found = self._ask(lambda shell: shell.hub.members())
        return [Member(info.name, info.role, info.plain, info.away) for info in found]

    @property
    def history(self) -> str:
        """Where what is said is kept: a file's path, or "memory"."""
        return str(self._options.file or "memory")

    def invite(self, room: str | None = None, *, hours: float = _INVITE_HOURS) -> str:
        """A link with a member's key in it, for somebody else to join with.

        The key ends after ``hours``. Whoever has the link can join: send it, do not publish it.
        """
        if not isinstance(hours, int | float) or not 0 < hours < 24 * 366:
            raise UsageError("An invitation lasts between 0 hours and a year: server.invite(hours=12).")
        room = names.check(room, "room name") if room is not None else None
        key, kept = self._ask(lambda shell: shell.make_key("member", hours * 3600))
        self._do(self._store.remember("keys", msgspec.json.encode(kept).decode()))
        return address.Address(self.host, self.port, room, key.id, key.secret).whole_link

    def stop(self) -> None:
        """Say goodbye to everybody, free the port and close the history. A second call does nothing."""
        self._begin_stop()
        with self._lock:
            if self._thread is not threading.current_thread():
                self._thread.join(_START)
            if self._running is not None:
                address.withdraw(self._running)

    def _begin_stop(self) -> None:
        self._is_unwanted = True
        if self._end is not None and self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended by itself
                self._loop.call_soon_threadsafe(self._end.set)

    def _forked(self) -> None:
        """In a forked child: let go of the copied sockets, so that peers see the parent's end."""
        shell = self._shell
        for fileno in (self._sock.fileno(), *(shell.filenos() if shell is not None else ())):
            with contextlib.suppress(OSError):
                os.close(fileno)
        self._store.forked()
        self._end = None

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        name = f" {self.name!r}" if self.name else ""
        if not self.is_running:
            return f"<nbchat server{name}, stopped>"
        count = len(self.members)
        return f"<nbchat server{name} on {self.host}:{self.port}, {count} member{'' if count == 1 else 's'}>"

    def _repr_html_(self) -> str:
        title = html.escape(self.name or "nameless chat")
        if not self.is_running:
            return f"<p><b>{title}</b>: stopped. Run <code>nbchat.serve()</code> to start it again.</p>"
        who = ", ".join(html.escape(name) for name in self.members) or "nobody yet"
        kept = (
            "in memory, gone when it stops"
            if self._options.file is None
            else f"in {html.escape(self.history)}"
        )
        call = f"nbchat.join({self.name!r})" if self.name else "nbchat.join()"
        doors = "yes: any program of yours on this machine" if self._options.plain else "no"
        if self._options.plain and not os.path.exists("/proc/net/tcp"):
            doors = "yes: any account on this machine can join"
        rows = (
            ("listens on", f"{self.host}:{self.port}"),
            ("members", who),
            ("history", kept),
            *((("damage", html.escape(self._store.damage)),) if self._store.damage else ()),
            ("plain-text clients", doors),
            ("join", f"in another notebook: <code>import nbchat; {html.escape(call)}</code>"),
        )
        left = "'text-align:left'"
        cells = "".join(
            f"<tr><th style={left}>{key}</th><td style={left}>{text}</td></tr>" for key, text in rows
        )
        return f"<table><caption style={left}><b>nbchat server: {title}</b></caption>{cells}</table>"

    # ── the thread ──

    def _start(self) -> Server:
        self._thread.start()
        try:
            self._started.result(_START)
        except BaseException:  # an interrupted cell, for one, leaves no server behind
            self._begin_stop()
            self._thread.join(5)
            raise
        return self

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=new_loop) as runner:
                runner.get_loop().set_exception_handler(_log_trouble)
                runner.run(self._main())
        except BaseException as error:
            if not self._started.done():
                self._started.set_exception(error)
            else:
                log.exception("the server's thread ended")
        finally:
            self._sock.close()

    async def _main(self) -> None:
        loop = self._loop = asyncio.get_running_loop()
        end = self._end = asyncio.Event()
        if self._is_unwanted:  # stopped before it had begun
            end.set()
        await self._store.open()
        try:
            await self._serve(loop, end)
        finally:
            if not self._keeps_store:
                await self._store.close()

    async def _serve(self, loop: asyncio.AbstractEventLoop, end: asyncio.Event) -> None:
        kept = msgspec.json.decode(self._store.meta.get("keys", "[]"), type=list[Key])
        kept = [key for key in kept or self._known if key.is_valid(time.time())]
        host_key = next((key for key in kept if key.role == "host"), None)
        if host_key is None:
            host_key = new_key("host", None)
            kept.append(host_key)
            await self._store.remember("keys", msgspec.json.encode(kept).decode())
        shell = Shell(
            self._store, self._options.limits, kept, allows_plain=self._options.plain, keep=self._options.keep
        )
        listener = await loop.create_server(lambda: Connection(shell), sock=self._sock, backlog=1024)
        self._shell = shell
        self._running = address.Running(
            os.getpid(), self.host, self.port, self._store.log_id, (host_key.id, host_key.secret), self.name
        )
        try:
            address.announce(self._running)
        except OSError as error:
            log.warning("this server cannot be found by name: %s", error)
        self._started.set_result(None)
        try:
            await end.wait()
        finally:
            listener.close()
            await shell.close("The server was stopped.")

    def _ask(self, question: Callable[[Shell], T]) -> T:
        """Ask something of the loop thread and wait for the answer."""

        async def ask() -> T:
            assert self._shell is not None
            return question(self._shell)

        return self._do(ask())

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        if not self.is_running or self._loop is None:
            work.close()
            raise UsageError("This server has stopped. Start it again with nbchat.serve().")
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_START)


def _log_trouble(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Trouble goes to the log, never to the screen."""
    log.error("%s", context.get("message"), exc_info=context.get("exception"))
