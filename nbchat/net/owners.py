"""Whose a connection within this machine is. Linux lists each socket's owner in /proc/net/tcp, and can be
asked for that of one (sock_diag), which takes 0.05 ms however many there are.

A port is anybody's: when a server has ended, a program of another account can take its port, and relay what
is said between its clients and the server, which has come back elsewhere. It proves nothing itself, and need
not. So a client looks who holds the other end of its connection, before it proves anything: its own account,
that of whoever serves (a link says which), or root, which could do all else as well. That is so with ports
that are forwarded, too: ssh forwards as who called it, container engines as root or as their user.
"""

from __future__ import annotations

import contextlib
import ipaddress
import math
import os
import socket
import struct
import time
from itertools import islice

from nbchat.core.escape import one_line

FORWARDERS = "NBCHAT_FORWARDERS"
"""The variable with accounts whose programs may stand between: names or numbers, with commas."""
_TRIES = 3
"""While others come and go, one reading of the list can leave an entry out."""
_NOBODY = -1
_DIAG = 4
"""NETLINK_SOCK_DIAG, and below what is asked: https://man7.org/linux/man-pages/man7/sock_diag.7.html."""
_REQUEST = struct.Struct("=IHHII BBBBI 4x32x12x")
_ANSWER = struct.Struct("=16x BBBB 48x IIIII")
_BY_FAMILY, _ERROR, _LISTEN = 20, 2, 10
_ANY = ("00000000", "0" * 32)
_MAPPED = "0000000000000000FFFF0000"
_LISTENS = ("00000000:0000", f"{'0' * 32}:0000")
End = tuple[str, int]


class Table:
    """The system's list of sockets, read once for all the connections that are in it already: read for each
    of some hundred silent ones it would hold up everybody else."""

    def __init__(self) -> None:
        self._read_at = -math.inf
        self._owners: dict[tuple[str, str], int | None] = {}

    def since(self, moment: float | None) -> dict[tuple[str, str], int | None]:
        """Each socket's owner by its two ends (None: it belongs to no process any more), read after a
        moment, or now."""
        if moment is None or moment >= self._read_at:
            now = time.monotonic()
            self._owners = read()
            self._read_at = now
        return self._owners


def read() -> dict[tuple[str, str], int | None]:
    """The list as it is now. Raises FileNotFoundError where there is none."""
    rows = _rows("/proc/net/tcp")
    with contextlib.suppress(FileNotFoundError):  # a system without addresses of the sixth version
        rows += _rows("/proc/net/tcp6")
    return {(row[1], row[2]): int(row[7]) if row[9] != "0" else None for row in rows}


def _rows(path: str) -> list[list[str]]:
    with open(path, encoding="ascii") as table:
        return [row.split(maxsplit=10) for row in islice(table, 1, None)]


table = Table()


def listed(end: End) -> str:
    """An address as /proc/net/tcp spells it."""
    host, port = end[:2]
    packed = ipaddress.ip_address(host).packed
    words = [packed[begin : begin + 4][::-1] for begin in range(0, len(packed), 4)]
    return f"{b''.join(words).hex().upper()}:{port:04X}"


# ── who holds the other end ──


def me() -> int | None:
    """This account's number, None on systems without."""
    return os.geteuid() if os.name == "posix" else None


def own() -> int | None:
    """The same for a link; None where our numbers mean nothing to others."""
    return None if _has_numbers_of_its_own() else me()


def stranger(wanted: int | None, there: End, here: End) -> str | None:
    """What is wrong with who holds the other end of a connection within this machine that has been answered;
    "" for nothing, and where the system cannot tell; None if nobody has it any more. ``wanted``: the number
    of the account that serves, None if that is not known."""
    if wanted is None or os.name != "posix":
        return ""
    mine = os.geteuid()
    if wanted != mine and _has_numbers_of_its_own():
        return ""
    found = _holder(there, here)
    if found in (None, wanted, mine, 0):
        return ""
    port = there[1]
    if found == _NOBODY:
        return None
    name = _name(found)
    if {name, str(found)} & {word.strip() for word in os.environ.get(FORWARDERS, "").split(",")}:
        return ""
    return (
        f"Port {port} of this machine is held by another account ({name}), not by the one that serves this "
        "chat, so nothing but a hello was sent to it. Ask for a new link, or find the chat by its name "
        f"(nbchat.join('…')). If {name} forwards that port and you want it to, type this first: "
        f"import os; os.environ['{FORWARDERS}'] = {name!r}"
    )


def _holder(there: End, here: End) -> int | None:
    """The account that holds the other end, ``_NOBODY`` if no program does any more, None where the system
    cannot tell: it has no such list, or the other end is in another container."""
    if (found_one := _asked(there, here)) is not None:
        return found_one
    if _asked(here, there) is not None:  # one can be asked, so the other end is not in this container
        return None
    pairs = [(listed(there), listed(here))]
    if ipaddress.ip_address(there[0]).version == 4:  # as who listens for both versions has it
        pairs.append((_mapped(pairs[0][0]), _mapped(pairs[0][1])))
    found: dict[tuple[str, str], int | None] = {}
    for _ in range(_TRIES):
        try:
            found = read()
        except (FileNotFoundError, PermissionError):
            return None
        except OSError:  # no descriptor was left for it
            return _NOBODY
        for pair in pairs:
            if pair in found:
                owner = found[pair]
                return owner if owner is not None else _NOBODY
    port = pairs[0][0].partition(":")[2]
    places = {pair[0] for pair in pairs} | {f"{host}:{port}" for host in _ANY}
    # Who listens in this very place has the other end here, too: one that is not listed was hidden.
    return _NOBODY if any((place, none) in found for place in places for none in _LISTENS) else None


def _asked(there: End, here: End) -> int | None:
    """The account of the socket at ``there`` that is connected to ``here``, ``_NOBODY`` if no program has it
    any more, or only one that listens there is found; None if there is none, or this cannot be asked."""
    ends = [ipaddress.ip_address(end[0]) for end in (there, here)]
    family = socket.AF_INET6 if ends[0].version == 6 else socket.AF_INET
    ask = bytearray(
        _REQUEST.pack(_REQUEST.size, _BY_FAMILY, 1, 0, 0, family, socket.IPPROTO_TCP, 0, 0, 0xFFFF)
    )
    struct.pack_into(
        "!HH16s16sI8s", ask, 24, there[1], here[1], ends[0].packed, ends[1].packed, 0, b"\xff" * 8
    )
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, _DIAG) as asked:
            asked.settimeout(1)
            asked.sendto(ask, (0, 0))
            answer = asked.recv(4096)
    except (OSError, AttributeError):
        return None
    if len(answer) < _ANSWER.size or struct.unpack_from("=4xH", answer)[0] != _BY_FAMILY:
        return None
    _, state, _, _, _, _, _, uid, inode = _ANSWER.unpack_from(answer)
    return int(uid) if inode and state != _LISTEN else _NOBODY


def _mapped(end: str) -> str:
    return _MAPPED + end


def _has_numbers_of_its_own() -> bool:
    """Whether this is a container in which accounts have other numbers than outside."""
    try:
        with open("/proc/self/uid_map", encoding="ascii") as ranges:
            return ranges.read().split() != ["0", "0", "4294967295"]
    except OSError:  # not Linux
        return False


def _name(uid: int) -> str:
    import pwd

    try:
        return one_line(pwd.getpwuid(uid).pw_name)
    except KeyError:
        return str(uid)


def is_own_user(
    peer: tuple[str, int] | None, here: tuple[str, int] | None, since: float | None = None
) -> bool:
    """Whether a loopback connection from ``peer`` to ``here`` was made by this process's user, as far as
    the system can tell. ``since`` is when it was made (``time.monotonic()``).

    Linux lists each socket's owner in /proc/net/tcp. A socket that its process has closed belongs to
    nobody any more (it is listed under root), and is not taken. Where there is no such list everyone is.
    """
    if peer is None or here is None:
        return True
    # Both ends: another connection of the same port, ended a minute ago, may still be in the list.
    ends = listed(peer), listed(here)
    for _ in range(3):  # while others come and go, one reading of the list can leave an entry out
        try:
            found = table.since(since)
        except (FileNotFoundError, AttributeError):  # not Linux
            return True
        except OSError:  # it could not be read, for want of descriptors for one: nobody is taken on trust
            return False
        if ends in found:
            return found[ends] == os.getuid()
        since = None
    return False
