"""The competitors: how each is started, joined and spoken to, and how it is ended."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib.util
import inspect
import json
import secrets
import select
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import psutil
from load import Load, Secured, has_tls, settle

import nbchat
from nbchat.core import keys

HERE = Path(__file__).parent
RIVALS = HERE / "rivals"
TEXT = "|00000000 and some words behind it, as people write them, until it has a hundred bytes in all, as ch"
"""What is said: a mark by which the load knows a message, and a hundred bytes in all."""
assert len(TEXT) == 100


@dataclass
class Running:
    """A server that runs."""

    process: subprocess.Popen[str]
    port: int
    pids: list[int]
    """The processes whose time and memory count."""
    invite: str = ""
    host: str = "127.0.0.1"
    load: Load | None = None
    """With TLS: the program that holds the members' connections."""
    sockets: list[tuple[socket.socket | Secured, str]] = field(default_factory=list)
    """Who has joined: socket and room."""

    def memory(self) -> int:
        """Bytes that are this server's own."""
        return sum(psutil.Process(pid).memory_full_info().uss for pid in self.pids)

    def leave(self) -> None:
        for sock, _ in self.sockets:
            sock.close()
        self.sockets.clear()
        if self.load is not None:
            self.load.end()


@dataclass(frozen=True)
class Competitor:
    """One row of the tables."""

    key: str
    title: str
    command: Callable[[Path], list[str]]
    """The command that starts it; it may write into that folder."""
    enter: Callable[[Running, socket.socket | Secured, str, str], None]
    """Joins on a new connection, under a name, in a room."""
    say: Callable[[str], bytes]
    """A message as it travels to a room; the eight zeros in it become its number."""
    echo: bool = True
    """Whether a sender gets its own messages."""
    quick: bool = False
    """Whether the load acknowledges at once, in favour of a server that leaves Nagle's algorithm on."""
    is_here: Callable[[], bool] = lambda: True
    is_secure: bool = False
    """Whether its connections are encrypted (TLS)."""
    has_greeting: bool = False
    """Whether it says a line before TLS begins."""

    @contextlib.contextmanager
    def running(
        self, folder: Path, core: int | None = None, *more: str, load_core: int | None = None
    ) -> Iterator[Running]:
        """The server in a child process, on one core if one is given, until the end of the block."""
        folder.mkdir(parents=True, exist_ok=True)
        command = [*self.command(folder), *more]
        is_told = (folder / "port").exists()  # a foreign one: what it prints is its log, and nobody reads it
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL if is_told else subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True, preexec_fn=functools.partial(settle, core),
        )  # fmt: skip
        assert process.stdin is not None
        running = None
        try:
            running = _wait(process, folder)
            if self.is_secure:
                running.load = Load(load_core, tls=True)
            yield running
        finally:
            if running is not None:
                running.leave()
            process.stdin.close()
            if not is_told:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(10)
            if process.poll() is None:
                process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdout is not None:
                process.stdout.close()

    def join(self, running: Running, count: int, rooms: int = 1) -> None:
        """Let so many members in, evenly over the rooms, and read what they are told meanwhile."""
        for number in range(len(running.sockets), len(running.sockets) + count):
            sock: socket.socket | Secured
            if running.load is not None:
                sock = Secured(running.load, running.host, running.port, has_greeting=self.has_greeting)
            else:
                sock = socket.create_connection((running.host, running.port), timeout=30)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            room = f"room{number % rooms}"
            self.enter(running, sock, f"m{number:04d}", room)
            running.sockets.append((sock, room))
            if number % 25 == 0:
                drain(running)
        drain(running, quiet=0.3)


def drain(running: Running, quiet: float = 0.0) -> None:
    """Read and forget what has come; with ``quiet``, until nothing came for so long. What comes to
    the load's own connections stays there until it runs."""
    poll = select.poll()
    found = {sock.fileno(): sock for sock, _ in running.sockets if isinstance(sock, socket.socket)}
    for number in found:
        poll.register(number, select.POLLIN)
    while ready := poll.poll(quiet * 1000):
        for number, _ in ready:
            if not found[number].recv(1 << 20):
                raise ConnectionError("a member was thrown out while it was idle")


def _wait(process: subprocess.Popen[str], folder: Path) -> Running:
    """Where it listens, once it does: from what it prints, or the port it was told."""
    if (folder / "port").exists():
        port = int((folder / "port").read_text())
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                return Running(process, port, [process.pid])
            except OSError:
                if time.monotonic() > deadline or process.poll() is not None:
                    raise
                time.sleep(0.02)
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"{process.args} has ended")
    said = json.loads(line)
    if isinstance(said, int):
        return Running(process, said, [process.pid])
    host = urlsplit(said["invite"]).hostname or ""
    return Running(process, said["port"], said.get("pids") or [process.pid], said["invite"], host)


def _free_port(folder: Path) -> int:
    """A port for those that have to be told one."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
    (folder / "port").write_text(str(port))
    return port


def read_until(sock: socket.socket | Secured, end: bytes) -> bytes:
    """What comes up to and with ``end``; what comes after it is forgotten."""
    found = b""
    while end not in found:
        data = sock.recv(1 << 16)
        if not data:
            raise ConnectionError(f"thrown out while joining: {found[-200:]!r}")
        found += data
    return found[: found.index(end) + len(end)]


# ── nbchat ──


def _own(*more: str) -> Callable[[Path], list[str]]:
    def command(folder: Path) -> list[str]:
        history = str(folder / f"{secrets.token_hex(4)}.sqlite")
        return [
            sys.executable,
            str(RIVALS / "own.py"),
            *(history if each == "FILE" else each for each in more),
        ]

    return command


def enter_own(running: Running, sock: socket.socket | Secured, name: str, room: str) -> None:
    key, secret = urlsplit(running.invite).fragment.removeprefix("k=").split(".", 1)
    nonce = secrets.token_hex(16)
    sock.sendall(json.dumps({"type": "hello", "v": 1, "key": key, "nonce": nonce}).encode() + b"\n")
    challenge = json.loads(read_until(sock, b"\n"))
    proof = keys.client_proof(secret, nonce, challenge["nonce"])
    sock.sendall(json.dumps({"type": "join", "name": name, "room": room, "proof": proof}).encode() + b"\n")
    welcome = json.loads(read_until(sock, b"\n"))
    assert welcome["type"] == "welcome", welcome


def say_own(room: str) -> bytes:
    return b'{"type":"say","id":"00000000","text":"%b"}\n' % TEXT.encode()


def has_process() -> bool:
    return "process" in inspect.signature(nbchat.serve).parameters


# ── lines: the two written for this, and the limit ──


def _script(name: str, *, tls: bool = False) -> Callable[[Path], list[str]]:
    return lambda folder: [sys.executable, str(RIVALS / name), *([str(certificate(folder))] if tls else ())]


def certificate(folder: Path) -> Path:
    """A file with a new certificate and its key, of the kind that nbchat makes."""
    from nbchat.net import tls

    place = folder / "certificate.pem"
    tls._make(place)
    return place


def _limit(folder: Path) -> list[str]:
    from load import compiled

    return [str(compiled("limit"))]


def enter_lines(running: Running, sock: socket.socket | Secured, name: str, room: str) -> None:
    read_until(sock, b"USERNAME")
    sock.sendall(f"{name} {room}\n".encode())
    read_until(sock, b"WELCOME\n")


def say_lines(room: str) -> bytes:
    return f"{TEXT}\n".encode()


# ── websockets, ngircd, nats-server ──


def enter_websocket(running: Running, sock: socket.socket | Secured, name: str, room: str) -> None:
    sock.sendall(
        f"GET /{room}/{name} HTTP/1.1\r\nHost: 127.0.0.1:{running.port}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
    )
    read_until(sock, b"\r\n\r\n")


def say_websocket(room: str) -> bytes:
    # A text frame, masked with zeros: a client has to mask, and the server takes the mask off all the same.
    return bytes((0x81, 0x80 | len(TEXT), 0, 0, 0, 0)) + TEXT.encode()


def _ngircd(folder: Path, *, tls: bool = False) -> list[str]:
    place = folder / "ngircd.conf"
    port = _free_port(folder)
    plain, secure = (_free_port(folder), port) if tls else (port, 0)
    (folder / "port").write_text(str(port))
    ssl = (
        f"[SSL]\nCertFile = {certificate(folder)}\nKeyFile = {certificate(folder)}\nPorts = {secure}\n"
        if tls
        else ""
    )
    place.write_text(
        f"[Global]\nName = irc.example.net\nInfo = benchmark\nPorts = {plain}\n"
        "Listen = 127.0.0.1\nMotdPhrase = Hello\n[Limits]\nMaxConnections = 0\nMaxConnectionsIP = 0\n"
        "MaxJoins = 0\nMaxPenaltyTime = 0\nPingTimeout = 3600\n"
        "[Options]\nDNS = no\nIdent = no\nPAM = no\nRequireAuthPing = no\n" + ssl
    )
    return [find("ngircd"), "--nodaemon", "--config", str(place)]


def enter_irc(running: Running, sock: socket.socket | Secured, name: str, room: str) -> None:
    sock.sendall(f"NICK {name}\r\nUSER {name} 0 * :{name}\r\n".encode())
    read_until(sock, b" 001 ")
    sock.sendall(f"JOIN #{room}\r\n".encode())
    read_until(sock, b" 366 ")


def say_irc(room: str) -> bytes:
    return f"PRIVMSG #{room} :{TEXT}\r\n".encode()


def _nats(folder: Path, *, tls: bool = False) -> list[str]:
    place = folder / "nats.conf"
    file = certificate(folder) if tls else ""
    ssl = f'tls {{ cert_file: "{file}", key_file: "{file}" }}\n' if tls else ""
    place.write_text(
        f'host: "127.0.0.1"\nport: {_free_port(folder)}\nmax_connections: 10000\nping_interval: "1h"\n'
        'write_deadline: "60s"\n' + ssl
    )
    return [find("nats-server"), "--config", str(place)]


def enter_nats(running: Running, sock: socket.socket | Secured, name: str, room: str) -> None:
    options = json.dumps({"verbose": False, "pedantic": False, "name": name, "echo": True})
    sock.sendall(f"CONNECT {options}\r\nSUB {room} 1\r\nPING\r\n".encode())
    read_until(sock, b"PONG\r\n")


def say_nats(room: str) -> bytes:
    return f"PUB {room} {len(TEXT)}\r\n{TEXT}\r\n".encode()


def find(name: str) -> str:
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin") or ""


def _has(name: str) -> Callable[[], bool]:
    return lambda: bool(find(name))


def _has_websockets() -> bool:
    return importlib.util.find_spec("websockets") is not None


_ALL = (
    Competitor("own", "nbchat, in memory", _own(), enter_own, say_own),
    Competitor("durable", "nbchat, history in a file", _own("--history", "FILE"), enter_own, say_own),
    Competitor(
        "process", "nbchat, in a child process", _own("--process"), enter_own, say_own, is_here=has_process
    ),
    Competitor(
        "threads", "a thread for each client", _script("threads.py"), enter_lines, say_lines, echo=False
    ),
    Competitor(
        "streams", "asyncio, a write for each client", _script("streams.py"), enter_lines, say_lines
    ),
    Competitor(
        "websockets", "websockets' broadcast", _script("broadcast.py"), enter_websocket, say_websocket,
        is_here=_has_websockets,
    ),
    Competitor("ngircd", "ngircd", _ngircd, enter_irc, say_irc, echo=False, is_here=_has("ngircd")),
    Competitor(
        "ngircd-quick", "ngircd, acknowledged at once", _ngircd, enter_irc, say_irc,
        echo=False, quick=True, is_here=_has("ngircd"),
    ),
    Competitor("nats", "nats-server", _nats, enter_nats, say_nats, is_here=_has("nats-server")),
    Competitor("limit", "the limit, in C", _limit, enter_lines, say_lines),
)  # fmt: skip
COMPETITORS = {each.key: each for each in _ALL}

_SECURE = (
    Competitor("own", "nbchat, in memory", _own("--tls"), enter_own, say_own),
    Competitor(
        "durable", "nbchat, history in a file", _own("--tls", "--history", "FILE"), enter_own, say_own,
    ),
    Competitor("process", "nbchat, in a child process", _own("--tls", "--process"), enter_own, say_own),
    Competitor(
        "streams", "asyncio, a write for each client", _script("streams.py", tls=True), enter_lines, say_lines
    ),
    Competitor(
        "websockets", "websockets' broadcast", _script("broadcast.py", tls=True), enter_websocket,
        say_websocket, is_here=_has_websockets,
    ),
    Competitor(
        "ngircd", "ngircd", functools.partial(_ngircd, tls=True), enter_irc, say_irc,
        echo=False, is_here=_has("ngircd"),
    ),
    Competitor(
        "nats", "nats-server", functools.partial(_nats, tls=True), enter_nats, say_nats,
        is_here=_has("nats-server"), has_greeting=True,
    ),
)  # fmt: skip
SECURE = {each.key: dataclasses.replace(each, is_secure=True) for each in _SECURE}
"""Those that can encrypt, doing it."""


def competitors(shape: str) -> dict[str, Competitor]:
    """Who takes part in a shape ("300x1", or "300x1tls" over TLS)."""
    if shape.endswith("tls"):
        return {key: each for key, each in SECURE.items() if has_tls() and each.is_here()}
    return {key: each for key, each in COMPETITORS.items() if each.is_here()}
