"""The child behind ``serve(process=True)``, ``python -m nbchat --child``: the orders that it takes.

The parent writes orders into the child's standard input, one a line, and the child answers each with one
line on its standard output. The end of the input is the order to stop. It comes from ``stop()``, and from
the system when the parent is gone, however it went. So a child never outlives its notebook.

The first order is ``Serve``. The child then runs the same thread that a notebook would run (thread.py), and
its main thread does nothing but wait for orders.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading

import msgspec
from msgspec import Raw

from nbchat.core.errors import ChatError
from nbchat.net import discovery
from nbchat.net.log import log
from nbchat.server.engine import clock
from nbchat.server.listeners import listen
from nbchat.server.runner.calls import (
    Answer,
    AskRules,
    Failure,
    Invite,
    Keys,
    LetGo,
    Members,
    Moderate,
    Order,
    Renew,
    Revoke,
    Serve,
    Serving,
    What,
)
from nbchat.server.runner.thread import ServerThread
from nbchat.store.open import open_store


class Answers:
    """The child's standard output. A parent that does not read it holds up whoever writes here, and never the
    server's loop: the number of members is written by a thread of its own, and before each answer."""

    def __init__(self, fileno: int) -> None:
        self._fileno = fileno
        self._lock = threading.Lock()
        self._count = self._told = 0
        self._changed = threading.Event()
        threading.Thread(target=self._run, name="nbchat count", daemon=True).start()

    def counted(self, count: int) -> None:
        """There are so many members now. Returns at once."""
        self._count = count
        self._changed.set()

    def give(self, *answers: Answer) -> None:
        with self._lock:
            if self._count != self._told:
                self._told = self._count
                answers = (Answer(0, Raw(msgspec.json.encode(self._told))), *answers)
            for answer in answers:
                os.write(self._fileno, msgspec.json.encode(answer) + b"\n")

    def _run(self) -> None:
        while self._changed.wait():
            self._changed.clear()
            try:
                self.give()
            except OSError:  # nobody is left to be told
                return


def main() -> int:
    """Obey the orders on standard input until it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # that is for the notebook's cell
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # ends in order, too
    answers = Answers(os.dup(1))
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)  # whatever prints here is not an answer
    if hasattr(os, "set_blocking"):
        os.set_blocking(2, False)  # a parent that does not read the log must not hold the server up
    logging.basicConfig(format="%(levelname)s: %(message)s")
    log.setLevel(logging.INFO)  # what was refused; whether it is shown is decided over there
    server: ServerThread | None = None
    try:
        for line in sys.stdin.buffer:
            order = msgspec.json.decode(line, type=Order)
            try:
                if isinstance(order.what, Serve):
                    server = _begin(order.what)
                    assert server.shell is not None
                    server.shell.counted = answers.counted
                    answers.counted(server.count)
                value = _answer(server, order.what)
            except Exception as error:
                if not isinstance(error, ChatError):
                    log.exception("the server's process cannot do what was asked")
                answer = Answer(order.id, failure=Failure.of(error))
            else:
                answer = Answer(order.id, Raw(msgspec.json.encode(value)))
            answers.give(answer)
    except BrokenPipeError:  # nobody is left to be answered
        pass
    finally:
        if server is not None:
            if server.running is not None:
                discovery.withdraw(server.running)  # first, so that whoever serves next knows to wait
            server.stop()
    return 0


def _begin(order: Serve) -> ServerThread:
    if order.sockets is not None:
        socks = [socket.socket(fileno=fileno) for fileno in order.sockets]
    else:
        socks = listen(order.options, order.preferred)
    store = open_store(order.options.file, clock.now, is_own_place=order.is_own_place)
    server = ServerThread(order.options, socks, store, order.known)
    server.start()
    return server


def _answer(server: ServerThread | None, what: What) -> object:
    assert server is not None
    match what:
        case Serve():
            assert server.running is not None
            return Serving(server.running, server.keys(), server.damage)
        case Members():
            return server.members()
        case Invite():
            return server.invite(what)
        case Revoke():
            server.revoke(kick=what.kick)
            return None
        case Renew():
            return server.renew()
        case LetGo():
            server.let_go()
            return None
        case Keys():
            return server.keys()
        case Moderate(room, order):
            server.moderate(room, order)
            return None
        case AskRules(room):
            return server.ruled(room)
