"""The first generation's programs as they behave: bare text, 1,024 bytes a read, strict UTF-8."""

from __future__ import annotations

import contextlib
import socket
import threading

from tests.net.helpers import PATIENCE


class FirstClient:
    """Waits for USERNAME, gives its name, and keeps each read as it came; dies of half a character."""

    def __init__(self, port: int, name: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        assert self._socket.recv(1024).decode("utf-8") == "USERNAME"
        self._socket.send(name.encode("utf-8"))
        self.reads: list[str] = []
        self.died_of: Exception | None = None
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._receive, daemon=True)
        self._thread.start()

    def _receive(self) -> None:
        try:
            while data := self._socket.recv(1024).decode("utf-8"):
                with self._news:
                    self.reads.append(data)
                    self._news.notify_all()
        except (OSError, UnicodeDecodeError) as error:
            self.died_of = error
        with self._news:
            self._news.notify_all()

    def say(self, text: str) -> None:
        self._socket.send(text.encode("utf-8"))

    def send(self, data: bytes) -> None:
        self._socket.send(data)

    @property
    def screen(self) -> str:
        """What its user sees: each read on a line of its own."""
        return "\n".join(self.reads)

    def wait_for(self, text: str) -> None:
        """Wait until a text stands at the screen's end."""
        with self._news:
            assert self._news.wait_for(lambda: self.screen.endswith(text), PATIENCE), self.reads

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(PATIENCE)
        self._socket.close()

    def __enter__(self) -> FirstClient:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class FirstServer:
    """Asks each newcomer for its name and passes what one read brings on to all the others."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.reads: list[str] = []
        """What each read brought, with its author's name before it."""
        self._members: dict[socket.socket, str] = {}
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                member = self._listener.accept()[0]
                member.send(b"USERNAME")
                name = member.recv(1024).decode("utf-8")
                with self._lock:
                    self._members[member] = name
                self._tell(f"{name} joined the chat!", member)
                self._threads.append(threading.Thread(target=self._receive, args=(member, name), daemon=True))
                self._threads[-1].start()

    def _receive(self, member: socket.socket, name: str) -> None:
        with contextlib.suppress(OSError, UnicodeDecodeError):
            while text := member.recv(1024).decode("utf-8"):
                self.reads.append(f"{name}: {text}")
                self._tell(f"{name}: {text}", member)
        with self._lock:
            self._members.pop(member, None)
        self._tell(f"{name} left the chat", member)
        member.close()

    def _tell(self, text: str, author: socket.socket) -> None:
        with self._lock:
            for member in self._members:
                if member is not author:
                    with contextlib.suppress(OSError):
                        member.send(text.encode("utf-8"))

    def close(self) -> None:
        for sock in (self._listener, *self._members):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(PATIENCE)
        self._listener.close()

    def __enter__(self) -> FirstServer:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
