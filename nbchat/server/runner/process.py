"""A server in a process of its own, as its parent sees it: the child's start and end, orders and answers.

The child is ``python -m nbchat --child`` (worker.py). Beside it runs one thread here that reads its answers,
and one that passes on its log. Nobody else reads; writing is behind one lock.
"""

from __future__ import annotations

import contextlib
import io
import os
import socket
import subprocess
import sys
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import IO, TypeVar, cast

import msgspec

from nbchat.core.errors import UsageError
from nbchat.core.frames import MemberInfo, Moderate, Ruled
from nbchat.core.keys import Key
from nbchat.net import discovery
from nbchat.net.log import log
from nbchat.server.options import Options
from nbchat.server.runner.calls import (
    Answer,
    AskRules,
    Invite,
    Keys,
    LetGo,
    Members,
    Order,
    Renew,
    Revoke,
    Serve,
    Serving,
    What,
)
from nbchat.server.runner.calls import Moderate as ModerateOrder
from nbchat.server.runner.thread import START

T = TypeVar("T")
CAN_PASS = sys.platform != "win32"
"""Whether a child can be given a socket that listens. Otherwise it finds a port itself."""
_GLANCE = 1.0
"""Seconds that showing a server waits for the child."""
_PATIENCE = 5.0
"""Seconds, beside those for the last bytes to leave, after which a child that does not end is killed. What
it has confirmed is on the disk."""


class ServerProcess:
    """Runs one server in a child process. All methods may be called from any thread."""

    store = None
    """Its memory is over there."""

    def __init__(
        self,
        options: Options,
        socks: list[socket.socket] | None,
        known: list[Key],
        *,
        preferred: int,
        is_own_place: bool,
    ) -> None:
        self.host, self.port = options.host, preferred
        self.running: discovery.Running | None = None
        self.damage: str | None = None
        self._socks = socks
        self._order = Serve(
            options,
            known,
            is_own_place,
            [sock.fileno() for sock in socks] if socks is not None else None,
            preferred,
        )
        self._patience = options.limits.flush + _PATIENCE
        self._keys: list[Key] = []
        self._is_unwanted = False
        self._has_ended = False
        self._lock = threading.Lock()
        self.count = 0
        """How many members there are, as the child last said."""
        self._last = 0
        self._waiting: dict[int, Future[Answer]] = {}
        self._last_words = ""
        self._child: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None

    @property
    def where(self) -> str:
        assert self._child is not None
        return f"a process of its own (pid {self._child.pid})"

    # ── for the server's handle ──

    def start(self) -> None:
        """Return when it listens, or raise what went wrong."""
        child = self._child = _spawn(self._order.sockets)
        self._reader = threading.Thread(target=self._read, name=f"nbchat process {child.pid}", daemon=True)
        self._reader.start()
        try:
            serving = self._ask(self._order, Serving)
        except BaseException:  # an interrupted cell, for one, leaves no process behind
            self.stop()
            raise
        self.running, self.damage, self._keys = serving.running, serving.damage, serving.keys
        self.host, self.port = serving.running.host, serving.running.port
        for sock in self._socks or ():
            sock.close()  # else the port would be taken for as long as this process is there
        with self._lock:
            if not self._has_ended:
                discovery.here[self.port] = self.running

    @property
    def is_running(self) -> bool:
        if self._child is None or self.running is None or self._is_unwanted or self._has_ended:
            return False
        return self._child.poll() is None

    def members(self) -> list[MemberInfo]:
        return self._ask(Members(), list[MemberInfo])

    def glance(self) -> list[str] | int:
        """Who is there, by name, or only how many, if the child does not answer soon."""
        try:
            return [member.name for member in self._ask(Members(), list[MemberInfo], _GLANCE)]
        except UsageError:
            return self.count

    def invite(self, wanted: Invite) -> Key:
        """Make a key."""
        key = self._ask(wanted, Key)
        self._keys.append(key)
        return key

    def revoke(self, *, kick: bool = False) -> None:
        """Make all invitations void: but for who is inside, or with ``kick`` also for these."""
        self._ask(Revoke(kick), None)
        self._keys = self._ask(Keys(), list[Key])

    def renew(self) -> discovery.Running:
        """Make new keys; returns how it is found now. Raises StoreError."""
        running = self._ask(Renew(), discovery.Running)
        with self._lock:
            self.running = running
            if not self._has_ended:
                discovery.here[self.port] = running
        self._keys = self._ask(Keys(), list[Key])
        return running

    def let_go(self) -> None:
        """End all who came with keys from before :meth:`renew`."""
        self._ask(LetGo(), None)

    def moderate(self, room: str, order: Moderate) -> None:
        """Do what a host asks for in a room, and return when it is written down."""
        self._ask(ModerateOrder(room, order), None)

    def ruled(self, room: str) -> Ruled:
        """What holds in a room."""
        return self._ask(AskRules(room), Ruled)

    def keys(self) -> list[Key]:
        """The keys that are in use, for the server that comes next; none once it was stopped. If the child
        was killed, those that are known here: not the ones for some uses, since they may have been used."""
        if self._is_unwanted:
            return []
        with contextlib.suppress(UsageError):
            return self._ask(Keys(), list[Key])
        return [key for key in self._keys if not key.most]

    def hand_over(self) -> None:
        """Nothing: its memory cannot leave its process."""

    def begin_stop(self) -> None:
        """Ask it to stop; returns at once."""
        with self._lock:
            self._is_unwanted = True
            if self._child is not None:
                _pipe(self._child.stdin).close()

    def stop(self) -> None:
        """Stop it, and return when the process has ended."""
        self.begin_stop()
        if self._child is None or self._reader is None:
            return
        self._reader.join(self._patience)
        if self._reader.is_alive():
            self._child.kill()
            self._reader.join(_PATIENCE)

    def forked(self) -> None:
        """In a forked child: let go of the copied pipes, else the server would not end when its parent does.
        No lock is taken: a thread that has ended here may have held it."""
        child = self._child
        self._is_unwanted = True
        if child is not None:
            for pipe in (child.stdin, child.stdout, child.stderr):
                _pipe(pipe).close()
            child.returncode = 0  # it is not this process's to wait for

    # ── orders and answers ──

    def _ask(self, what: What, kind: type[T] | None, patience: float | None = None) -> T:
        """Give an order, wait for the answer, and return it as its type."""
        future: Future[Answer] = Future()
        with self._lock:
            if self._child is None or self._is_unwanted or self._has_ended:
                raise self._ended()
            id = self._last + 1
            line = msgspec.json.encode(Order(id, what)) + b"\n"  # first: if it fails, nothing was asked
            self._last = id
            self._waiting[id] = future
            with contextlib.suppress(OSError):  # it has just ended; the reader soon knows, and why
                while line:
                    line = line[_pipe(self._child.stdin).write(line) :]
        try:
            answer = future.result(START if patience is None else patience)
        except TimeoutError:
            raise UsageError(
                f"The server's process ({self._child.pid}) does not answer. To end it: server.stop()"
            ) from None
        finally:
            self._waiting.pop(id, None)
        if answer.failure is not None:
            raise answer.failure.error
        return cast(T, msgspec.json.decode(answer.value, type=kind))

    def _ended(self) -> UsageError:
        if self._child is None or self._is_unwanted:
            return UsageError("This server has stopped. Start it again with nbchat.serve().")
        why = f" ({self._last_words})" if self._last_words else ""
        if self.running is None:
            return UsageError(
                f"The server's process ended before it listened{why}. To serve on a thread of this one: "
                "nbchat.serve(process=False)"
            )
        return UsageError(
            f"The server's process ({self._child.pid}) has ended by itself{why}. "
            "Start it again with nbchat.serve()."
        )

    def _read(self) -> None:
        """The thread: give each answer to whoever waits for it, until the child has ended."""
        child = self._child
        assert child is not None
        listener = threading.Thread(
            target=self._listen, args=(child,), name=f"nbchat log {child.pid}", daemon=True
        )
        listener.start()
        with io.BufferedReader(_pipe(child.stdout)) as answers, contextlib.suppress(OSError):
            for line in answers:
                try:
                    answer = msgspec.json.decode(line, type=Answer)
                except msgspec.MsgspecError:  # printed before the child had begun, by a sitecustomize for one
                    # Only what is before an answer: that may have a key in it.
                    log.warning("the server's process (%d) printed %r", child.pid, line.partition(b"{")[0])
                    continue
                if answer.id == 0:
                    self.count = msgspec.json.decode(answer.value, type=int)
                elif (future := self._waiting.pop(answer.id, None)) is not None:
                    future.set_result(answer)
        listener.join(_PATIENCE)
        with self._lock:
            self._has_ended = True
            waiting = list(self._waiting.values())
            if not self._is_unwanted and self.running is not None:
                discovery.withdraw(self.running)  # killed: it could not do so itself
        for future in waiting:
            future.set_exception(self._ended())
        child.wait()
        _pipe(child.stdin).close()

    def _listen(self, child: subprocess.Popen[bytes]) -> None:
        """The other thread: what the child has to say of troubles goes to the log here."""
        with io.BufferedReader(_pipe(child.stderr)) as lines, contextlib.suppress(OSError):
            for line in lines:
                words = line.decode(errors="replace").strip()
                if words.startswith("INFO: "):
                    log.info("the server's process (%d): %s", child.pid, words.removeprefix("INFO: "))
                else:
                    self._last_words = words
                    log.warning("the server's process (%d): %s", child.pid, words)


def _spawn(sockets: list[int] | None) -> subprocess.Popen[bytes]:
    """Start a child. Only its pipes say what it is to do: everybody on a machine sees arguments."""
    pipe = subprocess.PIPE
    try:
        return subprocess.Popen(
            # -P: a file in the working folder that is called like a module is not that module.
            [sys.executable, "-P", "-m", "nbchat", "--child"],
            bufsize=0,
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(_path())},
            pass_fds=sockets or (),
            start_new_session=True,  # Ctrl-C and an interrupted cell are not for it
            creationflags=0x0800_0200 if sys.platform == "win32" else 0,  # a group of its own, no window
        )
    except (OSError, ValueError) as error:
        raise UsageError(
            f"The server's process cannot be started: {error}. To serve on a thread of this one: "
            "nbchat.serve(process=False)"
        ) from error


def _path() -> list[str]:
    """Where this process finds modules, for the child to find the same ones: this very nbchat before any
    other. Python's own come first and the working folder is left out, so that a file of the user's that is
    called like a module is not taken for it."""
    library = os.path.dirname(os.__file__)
    try:
        here = os.getcwd()
    except OSError:  # the working folder is gone, and what lay in it
        here = os.sep
    found = [os.path.join(here, entry) for entry in sys.path if entry and os.path.exists(entry)]
    found = [os.path.normpath(entry) for entry in found]
    standard = [
        entry
        for entry in found
        if entry == library or (os.path.dirname(entry) == library and not entry.endswith("-packages"))
    ]
    ours = str(Path(__file__).absolute().parents[3])
    return [*standard, ours, *(entry for entry in found if entry not in (*standard, here))]


def _pipe(pipe: IO[bytes] | None) -> io.FileIO:
    return cast(io.FileIO, pipe)
