"""The sockets of a server: where it listens, and what to type if it cannot."""

from __future__ import annotations

import errno
import socket
import sys

from nbchat.core.errors import AddressInUse, UsageError
from nbchat.net import discovery, link
from nbchat.server import interfaces
from nbchat.server.options import Options

opened: list[socket.socket] = []
"""Sockets of a server that is just being started."""
_TRIES = 20
"""Free ports that are tried until one is free at all addresses."""


def listen(options: Options, preferred: int) -> list[socket.socket]:
    """Sockets that listen where the options say, the one for this machine first, all on one port; without a
    port there, on the preferred one or the next that is free. Raises AddressInUse or UsageError, which say
    what to type."""
    if options.port is not None:
        candidates = [options.port] * (1 if options.port else _TRIES)
    else:
        candidates = [preferred, *(port for port in link.PORTS if port != preferred)]
    for tried, port in enumerate(candidates, 1):
        socks: list[socket.socket] = []
        host = options.host
        try:
            for host in (options.host, *options.lan):
                socks.append(_listening(host, socks[0].getsockname()[1] if socks else port))
            return socks
        except OSError as error:
            for sock in socks:
                sock.close()
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise UsageError(_no_address(options, host, port, error)) from error
            if options.port is not None and tried == len(candidates):
                raise AddressInUse(_taken(host, port, error)) from error
    raise AddressInUse(
        f"All ports from {link.PORTS[0]} to {link.PORTS[-1]} are taken. Let the system choose one: "
        "nbchat.serve(port=0)"
    )


def _listening(host: str, port: int) -> socket.socket:
    family, place = interfaces.bindable(host, port)
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        if family == socket.AF_INET6:  # else it would take the port of the fourth version's addresses, too
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if sys.platform == "win32":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.append(sock)
        sock.bind(place)
        sock.listen(1024)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


def _no_address(options: Options, host: str, port: int, error: OSError) -> str:
    text = f"The server cannot listen on {link.place(host, port)}: {error.strerror}."
    if host in options.lan:
        text += " A host is one of this machine's own addresses; nbchat.serve(lan=True) finds it."
    return text


def _taken(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EACCES:
        return f"Port {port} needs more rights than this program has. Leave the port out: nbchat.serve()"
    if any(each.port == port for each in discovery.running()):
        return (
            f"Port {port} is taken by a chat that runs already. Join it with nbchat.join(), "
            "or leave the port out to start another one: nbchat.serve()"
        )
    return f"Port {port} of {host} is taken by another program. Leave the port out: nbchat.serve()"
