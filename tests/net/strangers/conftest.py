"""A chat that is attacked: a server, a member who is there all the while, and what must be so afterwards."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest

import nbchat
from nbchat.server.engine.shell import Shell
from tests.net.helpers import PATIENCE, Raw, until

_UNSEEN = {chr(code) for code in (*range(0x20), 0x7F, *range(0x80, 0xA0), 0x202E, 0x200B)}


class Scene:
    """A running server and one member, ada. Each attack is a ``with scene.attack():``."""

    def __init__(self, server: nbchat.Server, log: pytest.LogCaptureFixture) -> None:
        self.server = server
        self.link = server.invite()
        self.ada = nbchat.connect(server, name="ada")
        self._log = log
        self._said = 0

    def ask(self, question: Callable[[Shell], Any]) -> Any:
        return self.server._runner.ask(question)

    def wait(self, fact: Callable[[Shell], bool]) -> None:
        """Ask the server's loop thread again and again until a fact is true there."""
        end = time.monotonic() + PATIENCE
        while not self.ask(fact):
            assert time.monotonic() < end

    def standing(self) -> dict[str, Any]:
        """All that an attack could leave behind."""
        return {
            **self.ask(
                lambda shell: {
                    "connections": len(shell._connections),
                    "unnamed": len(shell._unnamed),
                    "addresses": len(shell._unnamed._by_address),
                    "reading": len(shell._room_of),
                    "tasks": len(shell._tasks),
                    "members": [member.name for member in shell.hub.members()],
                    "taken": sorted(mark for room in shell.hub._rooms.values() for mark in room.taken),
                }
            ),
            "threads": sorted(thread.name for thread in threading.enumerate()),
            "descriptors": len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0,
        }

    def _left(self, before: dict[str, Any]) -> dict[str, Any]:
        """What is not as it was. A browser's own threads and sockets may have gone meanwhile."""
        after = self.standing()
        more = {
            "threads": not Counter(after["threads"]) <= Counter(before["threads"]),
            "descriptors": after["descriptors"] > before["descriptors"],
        }
        return {key: (before[key], after[key]) for key in before if more.get(key, before[key] != after[key])}

    @property
    def log(self) -> list[str]:
        """What the log says since the attack began."""
        return [record.getMessage() for record in self._log.records if record.name == "nbchat"]

    @contextlib.contextmanager
    def attack(self, *says: str, stores: int = 0) -> Iterator[None]:
        """What is done inside harms nobody, leaves nothing behind but ``stores`` messages, and is logged:
        for each of ``says`` there is just one line that has it."""
        gc.collect()  # what earlier tests left to it is not to vanish in the middle of this one
        before = self.standing()
        head = self.ada._state.transcript.seq or 0
        self._log.clear()
        yield
        # Others are served: who is there, and who comes.
        self._said += 1
        receipt = self.ada.send(f"still here {self._said}").wait(PATIENCE)
        assert receipt.seq == head + stores + 1
        with nbchat.connect(self.link, name="newcomer") as newcomer:
            until(newcomer, lambda: newcomer._state.transcript.seq == receipt.seq)
        end = time.monotonic() + PATIENCE
        while left := self._left(before):
            assert time.monotonic() < end, left
        for each in says:
            assert len([line for line in self.log if each in line]) == 1, self.log
        for line in self.log:
            assert not set(line) & _UNSEEN, ascii(line)
            assert self.link.partition("#k=")[2].partition(".")[2] not in line


@pytest.fixture
def make_scene(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., AbstractContextManager[Scene]]]:
    """Makes a scene, with other limits than the usual ones; nothing may be printed in it."""

    @contextlib.contextmanager
    def make(*, plain: bool | None = None, lan: bool = False, **limits: Any) -> Iterator[Scene]:
        limits = {"grace": 0.01, **limits}
        bounds = nbchat.Limits(**limits)
        with nbchat.serve(port=0, history=None, plain=plain, lan=lan, process=False, limits=bounds) as server:
            scene = Scene(server, caplog)
            yield scene
            scene.ada.close()

    caplog.set_level(logging.INFO, "nbchat")
    yield make
    assert capfd.readouterr() == ("", "")


@pytest.fixture
def scene(make_scene: Callable[..., AbstractContextManager[Scene]]) -> Iterator[Scene]:
    with make_scene() as scene:
        yield scene


def bare(server: nbchat.Server) -> socket.socket:
    """A socket that says what the test says."""
    sock = socket.create_connection((server.host, server.port), PATIENCE)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def rest(sock: socket.socket) -> bytes:
    """All that comes until the server hangs up."""
    got = b""
    with contextlib.suppress(ConnectionError):
        while more := sock.recv(65536):
            got += more
    return got


__all__ = ["Raw", "Scene", "bare", "rest"]
