"""How a server is found: the runtime file, the session file.

A server that listens writes one small file into Jupyter's runtime folder, readable by its user alone.
It tells this user's other notebooks and terminals the port and the key. A client keeps a like file
with its session, so that after a kernel's restart ada comes back as ada.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct, field

from nbchat.core import names
from nbchat.core.errors import BadLink, NoServerFound, SeveralServers
from nbchat.core.visible import one_line
from nbchat.net.link import Address, is_loopback, parse

T = TypeVar("T", bound=Struct)

_CLOSED = 3600.0
"""Seconds after which nobody comes back for a closed client's session: its name is held no longer."""
_FORGOTTEN = 86400.0
"""Seconds after which nobody comes back for a dead process's session."""


# ── servers that run on this machine ────────────────────────────────────────────────────────────


class Running(Struct, frozen=True):
    """A server that runs on this machine: the runtime file's content."""

    pid: int
    host: str
    port: int
    log_id: str
    key: tuple[str, str]
    name: str | None = None
    lan: str = ""
    """Its address in a network, if it serves one, where connections are encrypted."""
    pin: str = ""
    """The pin of its certificate, if it has one."""
    since: float = field(default_factory=time.monotonic)
    """When the file was written, by a clock that nobody sets (seconds since the machine was started)."""
    v: int = 1

    @property
    def address(self) -> Address:
        """How this machine's user reaches it."""
        return Address(self.host, self.port, None, *self.key)

    @property
    def public(self) -> Address:
        """How others reach it, without a key: in the network, if it serves one."""
        return Address(self.lan or self.host, self.port, pin=self.pin if self.lan else "")

    @property
    def label(self) -> str:
        return one_line(self.name or "") or f"the nameless one on port {self.port}"

    def __repr__(self) -> str:
        return f"<Running {self.name or ''} {self.host}:{self.port} pid {self.pid}>"

    def __rich_repr__(self) -> Iterator[object]:  # type: ignore[override]
        yield repr(self)


here: dict[int, Running] = {}
"""The servers of this very process, and of the children it started for them, by port."""


def announce(server: Running) -> Path:
    """Make a server known to this user's other processes. Raises OSError where that cannot be."""
    here[server.port] = server
    path = _folder() / f"nbchat-{server.pid}-{server.port}.json"
    _write(path, server)
    return path


def withdraw(server: Running) -> None:
    """Take back what :func:`announce` did."""
    if here.get(server.port) == server:
        del here[server.port]
    with contextlib.suppress(OSError):
        (_folder() / f"nbchat-{server.pid}-{server.port}.json").unlink()


def running() -> list[Running]:
    """The servers of this user on this machine, this process's own first. Files left behind by
    processes that died are removed."""
    found = list(here.values())
    for path, server in _files("nbchat-[0-9]*.json", Running):
        if server.pid == os.getpid() or here.get(server.port) == server:
            continue
        if _lives(server, path):
            found.append(server)
        else:
            with contextlib.suppress(OSError):
                path.unlink()
    return found


class Target:
    """What the user asked to connect to, and where that is now.

    ``find`` may be called again after an outage: a server that was found by its name is found again,
    with its new port and key.
    """

    def __init__(self, url: object = None) -> None:
        self._fixed: Address | None = None
        self._seen: Running | None = None
        self._name: str | None = None
        if url is None:
            link = os.environ.get("NBCHAT_URL", "").strip()
            if link and not here:
                self._fixed = parse(link)
        elif isinstance(own := getattr(url, "_running", None), Running):
            self._seen = own
        elif isinstance(url, str) and "://" in url:
            self._fixed = parse(url)
        elif isinstance(url, str):
            self._name = names.check(url, "chat's name")
        else:
            raise BadLink(f"A {type(url).__name__} is no link (text), no chat's name and no server.")

    def find(self) -> Address:
        """Where to connect. Raises NoServerFound, SeveralServers or BadLink, which say what to type."""
        if self._fixed is not None:
            return self._with_key(self._fixed)
        servers = running()
        if self._seen is not None:
            self._seen = next((server for server in servers if self._is_same(server)), self._seen)
            return self._seen.address
        if self._name is not None:
            servers = [each for each in servers if each.name and _same(each.name, self._name)]
        elif here:
            servers = [each for each in servers if here.get(each.port) == each]
        if not servers:
            raise NoServerFound(self._nobody())
        if len(servers) > 1:
            labels = [server.label for server in servers]
            raise SeveralServers(
                f"Several chats run on this machine: {', '.join(labels)}. Say which one: "
                f"nbchat.join({servers[0].name or servers[0].address.link!r})",
                labels,
            )
        self._seen = servers[0]
        return self._seen.address

    def _is_same(self, server: Running) -> bool:
        seen = self._seen
        assert seen is not None
        if seen.name or server.name:
            return bool(seen.name and server.name and _same(seen.name, server.name))
        return server.log_id == seen.log_id or server.port == seen.port

    def _nobody(self) -> str:
        if self._name is None:
            return (
                "No chat runs on this machine. Start one with nbchat.serve() in a notebook, or paste the "
                "link you were given: nbchat.join('nbchat://…')"
            )
        others = [server.label for server in running()]
        rest = f" These run: {', '.join(others)}." if others else ""
        return (
            f"No chat named {self._name!r} runs on this machine.{rest} "
            f"Start it with nbchat.serve({self._name!r})."
        )

    def _with_key(self, address: Address) -> Address:
        if address.plain or address.secret:
            return address
        for server in running():
            is_meant = is_loopback(address.host) or address.host == server.lan
            if server.port == address.port and is_meant and address.pin in ("", server.pin):
                host = server.host if address.host == server.lan else address.host
                return msgspec.structs.replace(server.address, host=host, room=address.room)
        raise BadLink(
            f"{address.link} has no key in it. Ask for the whole link (the host gets it from "
            "server.invite()), and copy it to its end."
        )


# ── a client's session ──────────────────────────────────────────────────────────────────────────


class Kept(Struct, frozen=True):
    """What a client needs to come back as the same member: the session file's content."""

    pid: int
    host: str
    port: int
    room: str
    wanted: str
    name: str
    session: str
    since: float = field(default_factory=time.monotonic)
    """As in :class:`Running`."""
    closed: bool = False
    """True: its client was closed. Its session is for whoever comes next with the same wish, so that a cell
    or a script that is run again has its name again, though that is held for its session."""
    v: int = 1

    def __repr__(self) -> str:
        return f"<Kept {self.name!r}>"

    def __rich_repr__(self) -> Iterator[object]:  # type: ignore[override]
        yield repr(self)


def keep(path: Path | None, kept: Kept) -> Path:
    """Write a client's session file (a new one where ``path`` is None); returns its path. Those of
    processes that died long ago are removed."""
    if path is None:
        for old, other in _files("nbchat-session-*.json", Kept):
            with contextlib.suppress(OSError):
                age = time.time() - old.stat().st_mtime
                if age > (_CLOSED if other.closed else _FORGOTTEN) and not _is_used(other, old):
                    old.unlink()
    path = path or _folder() / f"nbchat-session-{kept.pid}-{secrets.token_hex(4)}.json"
    _write(path, kept)
    return path


def close(path: Path, *, is_welcome_back: bool) -> None:
    """A client was closed: its session is left for whoever comes next, or nobody's. Raises OSError."""
    if not is_welcome_back:
        path.unlink()
        return
    kept = msgspec.json.decode(path.read_bytes(), type=Kept)
    _write(path, msgspec.structs.replace(kept, closed=True))


def take_over(host: str, port: int, room: str, wanted: str) -> Kept | None:
    """The session of a dead process, or of a closed client, that asked for the same place under the same
    name."""
    dead = [
        (path, kept)
        for path, kept in _files("nbchat-session-*.json", Kept)
        if (kept.host, kept.port, kept.room, kept.wanted) == (host, port, room, wanted)
        and not _is_used(kept, path)
    ]
    # Of closed ones, first whoever had the very name.
    dead.sort(key=lambda each: (each[1].closed, each[1].name != wanted, _written(each[0])))
    for path, kept in dead:
        try:
            path.unlink()  # whoever removes it has it
        except OSError:
            continue
        return kept
    return None


# ── files and processes ─────────────────────────────────────────────────────────────────────────


def _folder() -> Path:
    from jupyter_core.paths import jupyter_runtime_dir

    folder = Path(jupyter_runtime_dir())
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def _write(path: Path, content: Struct) -> None:
    """Write a file that only this user can read, whole or not at all."""
    draft = path.with_suffix(f".{secrets.token_hex(4)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(msgspec.json.encode(content))
    draft.replace(path)


def _written(path: Path) -> float:
    """When a file was written; 0 for one that has just gone."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _files(pattern: str, kind: type[T]) -> Iterator[tuple[Path, T]]:
    try:
        paths = sorted(_folder().glob(pattern))
    except OSError:
        return
    for path in paths:
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            yield path, msgspec.json.decode(path.read_bytes(), type=kind)


def _is_used(kept: Kept, path: Path) -> bool:
    return not kept.closed and _lives(kept, path)


def _lives(writer: Running | Kept, path: Path) -> bool:
    """Whether the process that wrote a file still runs (and is not another one with its number).

    It was there before its file. Somebody may have set the clock since, so it is enough if that is so by
    the clock's times or by the two ages.
    """
    import psutil

    try:
        process = psutil.Process(writer.pid)
        created, written = process.create_time(), path.stat().st_mtime
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
    except psutil.AccessDenied:
        return True
    except (psutil.Error, OSError):
        return False
    age, process_age = time.monotonic() - writer.since, time.time() - created
    return bool(created < written + 2 or -2 < age < process_age + 2)


def _same(one: str, other: str) -> bool:
    return names.skeleton(one) == names.skeleton(other)
