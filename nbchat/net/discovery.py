"""How a server is found: the runtime file, the session file.

A server that listens writes one small file into Jupyter's runtime folder, readable by its user alone.
It tells this user's other notebooks and terminals the port and the key. A client keeps a like file
with its session, so that after a kernel's restart ada comes back as ada.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import platform
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct, field

from nbchat.core import arguments, names
from nbchat.core.errors import BadLink, NoServerFound, SeveralServers
from nbchat.core.escape import one_line
from nbchat.net import owners
from nbchat.net.link import Address, from_file, is_link, parse, pasted
from nbchat.net.log import log
from nbchat.store import folders

T = TypeVar("T", bound=Struct)

_CLOSED = 3600.0
"""Seconds after which nobody comes back for a closed client's session: its name is held no longer."""
_FORGOTTEN = 86400.0
"""Seconds after which nobody comes back for a dead process's session."""
_MOST = 256
"""Session files of which the oldest unused ones go: each client that joins looks at all."""
_LARGEST = 1 << 16
"""Bytes of a file of ours, at the most; it has some 500."""


# ── where a process is ──────────────────────────────────────────────────────────────────────────


class Place(Struct, frozen=True):
    """Where a process number means something: one home can be shared by many hosts and containers."""

    host: str
    """Its name and number: the same after it was started again."""
    start: str
    """This start of it; "" where the system does not number them (macOS, Windows)."""
    space: str
    """The container: its processes and its network."""

    @property
    def mark(self) -> str:
        """Short, for a file's name."""
        return hashlib.sha256(f"{self.start} {self.space}".encode()).hexdigest()[:8]

    def is_same(self, other: Place) -> bool:
        """Whether process numbers mean the same. The host's name is not asked: it may change at any time."""
        return (self.start, self.space) == (other.start, other.space)

    def is_earlier(self, other: Place) -> bool:
        """Whether the other is a start of this host that is over."""
        return self.host == other.host and "" not in (self.start, other.start) and self.start != other.start


@functools.cache
def place() -> Place:
    """Where this process is."""
    host = f"{platform.node()} {_line_of('/etc/machine-id')}"
    spaces = []
    for kind in ("pid", "net"):
        with contextlib.suppress(OSError):
            spaces.append(os.readlink(f"/proc/self/ns/{kind}"))
    return Place(host, _line_of("/proc/sys/kernel/random/boot_id"), " ".join(spaces))


def _line_of(path: str) -> str:
    try:
        return Path(path).read_text().strip()[:64]
    except (OSError, UnicodeDecodeError):
        return ""


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
    place: Place = field(default_factory=place)
    v: int = 1

    @property
    def file(self) -> str:
        """Its file's name; two containers on one home can have the same process numbers."""
        return f"nbchat-{self.pid}-{self.port}-{self.place.mark}.json"

    @property
    def address(self) -> Address:
        """How this machine's user reaches it."""
        return Address(self.host, self.port, None, *self.key, uid=owners.me())

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
    path = _folder() / server.file
    _write(path, server)
    return path


def withdraw(server: Running) -> None:
    """Take back what :func:`announce` did."""
    if here.get(server.port) == server:
        del here[server.port]
    with contextlib.suppress(OSError):
        (_folder() / server.file).unlink()


def running() -> list[Running]:
    """The servers of this user on this machine, this process's own first. Files left behind by
    processes that died are removed; those of other hosts and containers are left alone."""
    found = list(here.values())
    for path, server in _files("nbchat-[0-9]*.json", Running):
        if server.pid == os.getpid() or here.get(server.port) == server:
            continue
        if _lives(server, path):
            found.append(server)
        elif _was_here(server):
            with contextlib.suppress(OSError):
                path.unlink()
    return found


def path_of(value: os.PathLike[str]) -> Path:
    """A path-like object as a path; an odd one is a :class:`BadLink`."""
    try:
        return Path(value)
    except Exception as error:  # of a class of somebody's own
        raise BadLink(
            f"{type(value).__name__} is no path: {type(error).__name__}. Use pathlib.Path."
        ) from None


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
            return
        if isinstance(own := getattr(url, "_running", None), Running):
            self._seen = own
            return
        if isinstance(url, Address):
            self._fixed = url
            return
        if isinstance(url, os.PathLike):
            self._fixed = from_file(path_of(url))
            return
        if isinstance(invited := getattr(url, "link", None), str):  # an invitation with its picture
            url = invited
        if isinstance(url, str):
            url = pasted(arguments.text("connect", "url", url))
            if is_link(url):
                self._fixed = parse(url)
            else:
                self._name = names.check(url, "chat's name")
        else:
            raise BadLink(
                f"{arguments.kind(url)} is no link. Give a link or a chat's name as text, a pathlib.Path "
                "to a file with a link in it, or a server."
            )

    @property
    def is_given(self) -> bool:
        """Whether a link says where it is: then somebody else may be serving there."""
        return self._fixed is not None

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
            ways = {not server.name: server.name or server.address.link for server in reversed(servers)}
            calls = " or ".join(f"nbchat.join({ways[each]!r})" for each in sorted(ways))
            raise SeveralServers(
                f"Several chats run on this machine: {', '.join(labels)}. Say which one: {calls}", labels
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
                "No chat runs on this machine. Start one with nbchat.serve(), or paste the link you were "
                "given: nbchat.join('nbchat://…'). The variable NBCHAT_URL keeps it out of sight, or a file: "
                "nbchat.join(pathlib.Path('link.txt'))."
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
            # No other address of this machine: somebody else can listen there, and would be shown our key.
            is_meant = address.host in (server.host, server.lan, "localhost")
            if server.port == address.port and is_meant and address.pin in ("", server.pin):
                return msgspec.structs.replace(server.address, room=address.room)
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
    place: Place = field(default_factory=place)
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
    processes that died long ago are removed, and of those that nobody uses the oldest."""
    if path is None:
        _tidy()
        path = _new_path(kept)
    _write(path, kept)
    return path


def _new_path(kept: Kept) -> Path:
    mark = _wish(kept.room, kept.wanted)
    return _folder() / f"nbchat-session-{kept.pid}-{secrets.token_hex(4)}-{mark}.json"


def _tidy() -> None:
    folder, now, files = _folder(), time.time(), []
    for entry in os.scandir(folder):
        if entry.name.startswith("nbchat-session-"):
            with contextlib.suppress(OSError):  # it has just gone
                files.append((entry.stat().st_mtime, entry.name))
    for place, (written, name) in enumerate(sorted(files)):
        is_too_many = len(files) - place > _MOST
        if not is_too_many and now - written <= _CLOSED:
            return
        for path, kept in _files(name, Kept):
            is_unused = kept.closed or (_was_here(kept) and not _lives(kept, path))
            if is_unused and (is_too_many or now - written > (_CLOSED if kept.closed else _FORGOTTEN)):
                with contextlib.suppress(OSError):
                    path.unlink()


def close(path: Path, *, is_welcome_back: bool) -> None:
    """A client was closed: its session is left for whoever comes next, or nobody's. Raises OSError."""
    with contextlib.suppress(msgspec.MsgspecError):  # not ours any more
        if is_welcome_back:
            kept = msgspec.json.decode(_read(path), type=Kept)
            _write(path, msgspec.structs.replace(kept, closed=True))
            return
    path.unlink()


def take_over(host: str, port: int, room: str, wanted: str) -> tuple[Kept, Path] | None:
    """The session of a dead process, or of a closed client, that asked for the same place under the same
    name; from then on it stands in this process's own file, whose path is the second.

    That is written before the other is removed: a process that is killed in between leaves both, and no
    session is lost. One that a living process has, too, is not taken.
    """
    found = [
        (path, kept, not kept.closed and _lives(kept, path))
        for path, kept in _files(f"nbchat-session-*-{_wish(room, wanted)}.json", Kept)
        if (kept.host, kept.port, kept.room, kept.wanted) == (host, port, room, wanted) and _was_here(kept)
    ]
    living = {kept.session for _, kept, lives in found if lives}
    unused = [(path, kept) for path, kept, lives in found if not lives and kept.session not in living]
    # Of closed ones, first whoever had the very name.
    unused.sort(key=lambda each: (each[1].closed, each[1].name != wanted, _written(each[0])))
    for path, kept in unused:
        mine = msgspec.structs.replace(
            kept, pid=os.getpid(), since=time.monotonic(), place=place(), closed=False
        )
        own = _new_path(mine)
        try:
            _write(own, mine)
            path.unlink()  # whoever removes it has it
        except OSError:
            with contextlib.suppress(OSError):
                own.unlink()
            continue
        return kept, own
    return None


def _wish(room: str, wanted: str) -> str:
    """What stands in the name of a session file, so that only those are read that may be the one."""
    return hashlib.sha256(f"{names.skeleton(room)}\0{wanted}".encode()).hexdigest()[:8]


# ── files and processes ─────────────────────────────────────────────────────────────────────────


def _folder() -> Path:
    from jupyter_core.paths import jupyter_runtime_dir

    try:
        folder = Path(jupyter_runtime_dir())
    except RuntimeError as error:  # nobody knows this user's home
        raise OSError(str(error)) from error
    folders.make(folder)
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
            yield path, msgspec.json.decode(_read(path), type=kind)


def _read(path: Path) -> bytes:
    """What this user wrote into a file; nothing of one that others can have written. Raises OSError."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    with os.fdopen(os.open(path, flags | getattr(os, "O_BINARY", 0)), "rb") as file:
        found = os.fstat(file.fileno())
        if not folders.is_own(found):
            if path not in _told:
                _told.add(path)
                log.warning("%s is not believed: it belongs to another user, or others can write it", path)
            return b""
        return file.read(_LARGEST)


_told: set[Path] = set()
"""Files of which it was said that they are not believed."""


def _was_here(writer: Running | Kept) -> bool:
    """Whether a file was written on this host, so that one knows here whether its process lives: in this
    start and container, or in an earlier start, of which nothing lives."""
    return writer.place.is_same(place()) or place().is_earlier(writer.place)


def _lives(writer: Running | Kept, path: Path) -> bool:
    """Whether the process that wrote a file still runs (and is not another one with its number).

    It was there before its file. Somebody may have set the clock since, so it is enough if that is so by
    the clock's times or by the two ages.
    """
    import psutil

    if not writer.place.is_same(place()):
        return False
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


def is_same_place(one: Address, other: Address) -> bool:
    """Whether two addresses are one server's, which this machine's user and others reach differently."""
    hosts = {"127.0.0.1" if each.host == "localhost" else each.host for each in (one, other)}
    return one.port == other.port and (
        len(hosts) == 1 or any(hosts <= {each.host, each.lan} for each in running() if each.port == one.port)
    )


def _same(one: str, other: str) -> bool:
    return names.skeleton(one) == names.skeleton(other)
