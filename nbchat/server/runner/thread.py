"""A server on a thread of this process: its event loop, its start and its end.

The server runs on one daemon thread with an event loop of its own; what other threads ask of it goes
there with ``call_soon_threadsafe``. A server in a process of its own is this very thread, over there.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

import msgspec

from nbchat.core.errors import AlreadyServing, ProtocolError, UsageError, refusal
from nbchat.core.frames import MemberInfo, Moderate, Ruled
from nbchat.core.keys import Key
from nbchat.net import discovery, tls
from nbchat.net.eventloop import new_loop, quick_turns
from nbchat.net.tls_transport import Secured
from nbchat.server.engine.authenticator import new_key
from nbchat.server.engine.shell import Shell
from nbchat.server.options import Options
from nbchat.server.runner.calls import Invite
from nbchat.server.session.connection import Connection
from nbchat.store.promise import RoomStore

log = logging.getLogger("nbchat")

T = TypeVar("T")
Door = tuple[Callable[[], asyncio.Protocol], socket.socket]
"""What answers at a socket, and the socket."""
START = 30.0
"""Seconds to open the history and listen; a disk that hangs should not hang the cell for ever."""
_NO_MORE = (errno.EMFILE, errno.ENFILE)
_ENDING = 3.0
"""Seconds in which a server that has begun to end lets go of its history."""


class ServerThread:
    """Runs one server here. All methods may be called from any thread."""

    where = "a thread of this notebook"

    def __init__(
        self, options: Options, socks: list[socket.socket], store: RoomStore, known: list[Key]
    ) -> None:
        self.host, self.port = socks[0].getsockname()[:2]
        self.store = store
        self.running: discovery.Running | None = None
        self.shell: Shell | None = None
        self._options = options
        self._socks = socks
        self._known = known
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end: asyncio.Event | None = None
        self._started: Future[None] = Future()
        self._is_unwanted = False
        self._keeps_store = False
        self._thread = threading.Thread(target=self._run, name=f"nbchat server {self.port}", daemon=True)

    # ── for the server's handle ──

    def start(self) -> None:
        """Return when it listens, or raise what went wrong."""
        self._thread.start()
        try:
            self._started.result(START)
        except BaseException:  # an interrupted cell, for one, leaves no server behind
            self.begin_stop()
            self._thread.join(5)
            raise

    @property
    def is_running(self) -> bool:
        return self._thread.is_alive() and self._end is not None and not self._end.is_set()

    @property
    def damage(self) -> str | None:
        return self.store.damage

    def members(self) -> list[MemberInfo]:
        return self.shell.hub.members() if self.shell is not None else []

    def glance(self) -> list[str] | int:
        """Who is there, by name, without waiting for another thread."""
        return [member.name for member in self.members()]

    @property
    def count(self) -> int:
        """How many are there, without waiting for another thread."""
        return self.shell.hub.count if self.shell is not None else 0

    def invite(self, wanted: Invite) -> Key:
        """Make a key."""
        key = self.ask(
            lambda shell: shell.door.make(wanted.role, wanted.seconds, wanted.name, wanted.once, wanted.uses)
        )
        try:
            self._keep_keys()
        except BaseException:  # a full disk, for one: then there is no key
            with contextlib.suppress(UsageError):
                self.ask(lambda shell: shell.door.forget(key))
            raise
        return key

    def revoke(self, *, kick: bool = False) -> None:
        """Make all invitations void: but for who is inside, or with ``kick`` also for these."""
        self.ask(lambda shell: shell.revoke(kick=kick))
        self._keep_keys()

    def renew(self) -> discovery.Running:
        """Make new keys; returns how it is found now. Raises StoreError."""
        assert self.shell is not None
        key = self.do(self.shell.door.renew())
        assert self.running is not None
        self.running = msgspec.structs.replace(self.running, key=(key.id, key.secret))
        self._announce()
        return self.running

    def let_go(self) -> None:
        """End all who came with keys from before :meth:`renew`."""
        self.ask(lambda shell: shell.let_go())

    def _announce(self) -> None:
        assert self.running is not None
        try:
            discovery.announce(self.running)
        except OSError as error:
            log.warning("this server cannot be found by name: %s", error)

    def _keep_keys(self) -> None:
        if self.shell is not None:
            self.do(self.shell.door.keep())

    def moderate(self, room: str, order: Moderate) -> None:
        """Do what a host asks for in a room, and return when it is written down."""
        assert self.shell is not None
        try:
            self.do(self.shell.moderate(room, order))
        except ProtocolError as error:
            raise refusal(error.code, str(error)) from None

    def ruled(self, room: str) -> Ruled:
        """What holds in a room."""
        return self.ask(lambda shell: shell.ruled(room))

    def keys(self) -> list[Key]:
        """The keys that are in use, for the server that comes next; none once it was stopped."""
        return self.ask(lambda shell: shell.door.keys()) if self.is_running else []

    def hand_over(self) -> RoomStore | None:
        """Its memory, for the server that comes next; this one leaves it open when it stops."""
        self._keeps_store = self.is_running
        return self.store if self._keeps_store else None

    def begin_stop(self) -> None:
        """Ask it to stop; returns at once."""
        self._is_unwanted = True
        if self._end is not None and self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended by itself
                self._loop.call_soon_threadsafe(self._end.set)

    def stop(self) -> None:
        """Stop it, and return when all is closed."""
        self.begin_stop()
        if self._thread is not threading.current_thread():
            self._thread.join(START)

    def forked(self) -> None:
        """In a forked child: let go of the copied sockets, so that peers see the parent's end."""
        shell = self.shell
        listening = [sock.fileno() for sock in self._socks]
        for fileno in (*listening, *(shell.filenos() if shell is not None else ())):
            with contextlib.suppress(OSError):
                os.close(fileno)
        self.store.forked()
        self._end = None

    # ── the thread ──

    def _run(self) -> None:
        try:
            with quick_turns(), asyncio.Runner(loop_factory=new_loop) as runner:
                runner.get_loop().set_exception_handler(self._log_trouble)
                runner.run(self._main())
        except BaseException as error:
            if not self._started.done():
                self._started.set_exception(error)
            else:
                log.exception("the server's thread ended")
        finally:
            for sock in self._socks:
                sock.close()

    async def _main(self) -> None:
        loop = self._loop = asyncio.get_running_loop()
        end = self._end = asyncio.Event()
        if self._is_unwanted:  # stopped before it had begun
            end.set()
        await self._open()
        try:
            await self._serve(loop, end)
        finally:
            if not self._keeps_store:
                await self.store.close()

    async def _open(self) -> None:
        """Open the store. A server whose notebook has just gone may need a moment to let go of it: who
        keeps a history and is not to be found any more is about to end."""
        assert self._loop is not None
        deadline = self._loop.time() + _ENDING
        while True:
            try:
                await self.store.open()
                return
            except AlreadyServing as error:
                is_found = error.pid is None or any(each.pid == error.pid for each in discovery.running())
                if is_found or self._loop.time() > deadline:
                    raise
            await asyncio.sleep(0.05)

    async def _serve(self, loop: asyncio.AbstractEventLoop, end: asyncio.Event) -> None:
        store, options = self.store, self._options
        kept = msgspec.json.decode(store.keys or "[]", type=list[Key])
        kept = kept or self._known
        host_key = next((key for key in kept if key.role == "host" and key.ends is None), None)
        if host_key is None:
            host_key = new_key("host", None)
            kept.append(host_key)
            await store.keep_keys(msgspec.json.encode(kept).decode())
        shell = Shell(
            store,
            options.limits,
            kept,
            allows_plain=options.plain,
            chat=options.name,
            keep=options.keep,
            holds_names=options.name is not None or options.file is not None,
        )
        await shell.keeper.begin()
        doors, pin = self._doors(shell)
        # asyncio tries so often at each wake-up, also when no descriptor is left: a small number there, and
        # room in the system for a class that comes at once.
        listeners = [await loop.create_server(door, sock=sock, backlog=16) for door, sock in doors]
        for _, sock in doors:
            sock.listen(1024)
        self.shell = shell
        self.running = discovery.Running(
            os.getpid(),
            self.host,
            self.port,
            store.log_id,
            (host_key.id, host_key.secret),
            options.name,
            options.lan[0] if options.lan else "",
            pin,
        )
        self._announce()
        self._started.set_result(None)
        try:
            await end.wait()
        finally:
            for listener in listeners:
                listener.close()
            await shell.close("The server was stopped.")

    def _doors(self, shell: Shell) -> tuple[list[Door], str]:
        """What answers at each socket, and the certificate's pin: on this machine the bare language, in
        networks the same inside TLS."""
        here, *networks = self._socks
        doors: list[Door] = [(lambda: Connection(shell), here)]
        if not networks:
            return doors, ""
        context, pin = tls.server_context()

        def secured() -> Secured:
            conn = Connection(shell, is_secured=True)
            return Secured(
                context,
                conn,
                conn.note,
                is_member=lambda: conn.key_id is not None,
                limits=shell.limits,
                clock=shell.loop.time,
            )

        doors += [(secured, sock) for sock in networks]
        return doors, pin

    def ask(self, question: Callable[[Shell], T]) -> T:
        """Ask something of the loop thread and wait for the answer."""

        async def ask() -> T:
            assert self.shell is not None
            return question(self.shell)

        return self.do(ask())

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something on the loop thread and wait for what it returns."""
        if not self.is_running or self._loop is None:
            work.close()
            raise UsageError("This server has stopped. Start it again with nbchat.serve().")
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(START)

    def _log_trouble(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Trouble goes to the log, never to the screen."""
        error = context.get("exception")
        if isinstance(error, OSError) and error.errno in _NO_MORE and self.shell is not None:
            self.shell.refusals.note("new connections", "no descriptor is left for them")
        else:
            log.error("%s", context.get("message"), exc_info=error)
