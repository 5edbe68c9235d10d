"""Servers that mean harm: they know the link's secret, or speak the first generation's words, and say what
they like."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from typing import Any

from nbchat.core import keys
from tests.net.helpers import PATIENCE

_SECRET = "secret"
LIMITS = {"text": 16384, "line": 65536, "page": 500, "ping": 20}


class HostileServer:
    """Speaks the wire, and says anything at all where names and words belong. ``welcome`` changes fields of
    its welcome; ``say`` sends more to whoever is connected; ``told`` is what the newest client said."""

    def __init__(self, first: dict[str, Any] | None = None, **welcome: Any) -> None:
        self.first = first
        """What comes instead of a welcome."""
        self.welcome = welcome
        self.told: list[dict[str, Any]] = []
        self._news = threading.Condition()
        self._seq = 0
        self._client: socket.socket | None = None
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.link = f"nbchat://127.0.0.1:{self._listener.getsockname()[1]}#k=id.{_SECRET}"
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                with client, contextlib.suppress(OSError, ValueError):
                    self._serve(client)

    def _serve(self, client: socket.socket) -> None:
        lines = client.makefile("rb")
        hello = json.loads(lines.readline())
        proof = keys.server_proof(_SECRET, hello["nonce"], "0" * 32)
        self._write(client, {"type": "challenge", "v": 1, "nonce": "0" * 32, "proof": proof})
        join = json.loads(lines.readline())
        self._seq = 0
        me = self.welcome.get("name", join["name"])
        welcome = {
            "type": "welcome", "session": "a" * 32, "name": me, "role": "member",
            "room": join.get("room", "lobby"), "log_id": "x", "head": 0, "members": [{"name": me}],
            "limits": LIMITS,
        }  # fmt: skip
        with self._news:
            self.told.clear()
            self._write(client, self.first or {**welcome, **self.welcome})
            self._client = client
            self._news.notify_all()
        while line := lines.readline():
            with self._news:
                self.told.append(json.loads(line))
                self._news.notify_all()
        with self._news:
            self._client = None

    @staticmethod
    def _write(client: socket.socket, *frames: dict[str, Any]) -> None:
        client.sendall(b"".join(json.dumps(frame).encode() + b"\n" for frame in frames))

    def say(self, *frames: dict[str, Any]) -> None:
        """Send frames; a ``said`` gets the next seq."""
        with self._news:
            assert self._news.wait_for(lambda: self._client is not None, PATIENCE)
            for frame in frames:
                if frame["type"] == "said":
                    self._seq += 1
                    frame |= {"seq": self._seq, "at": 0, "id": f"h{self._seq}", "by": "eve"} | frame
            assert self._client is not None
            self._write(self._client, *frames)

    def heard(self, kind: str) -> dict[str, Any]:
        """The first request of a kind from the client that is connected now."""
        with self._news:
            found = lambda: next((each for each in self.told if each["type"] == kind), None)  # noqa: E731
            assert self._news.wait_for(found, PATIENCE), self.told
            return found()

    def close(self) -> None:
        for sock in (self._listener, self._client):
            if sock is not None:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(PATIENCE)

    def __enter__(self) -> HostileServer:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class HostilePlainServer:
    """A first-generation server that sends each newcomer these bytes after its greeting."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.link = f"plain://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            client, _ = self._listener.accept()
            with client:
                client.sendall(b"USERNAME")
                client.recv(1024)
                client.sendall(self._data)
                while client.recv(1024):
                    pass

    def __enter__(self) -> HostilePlainServer:
        return self

    def __exit__(self, *error: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(PATIENCE)
