"""This machine's addresses in networks: where a server listens that others are to reach."""

from __future__ import annotations

import ipaddress
import socket
from contextlib import closing

import psutil

from nbchat.core.errors import UsageError

_ELSEWHERE = ("192.0.2.1", 9)
"""An address that belongs to nobody (it is for examples in documents). Nothing is sent there."""


def lan_address() -> str:
    """This machine's address in its network. Raises UsageError, which says what to type, if it has none."""
    if route := _by_route():
        return route
    if found := addresses():
        return found[0]
    raise UsageError(
        "serve(lan=True): this machine has no address in a network. Connect it (to the Wi-Fi, for one) "
        "and run the cell again, or type the address: nbchat.serve(host='192.168.…')."
    )


def addresses() -> list[str]:
    """All IPv4 addresses of this machine's networks, those of home and school networks first."""
    found = []
    states = psutil.net_if_stats()
    for name, entries in psutil.net_if_addrs().items():
        if name in states and not states[name].isup:
            continue
        for entry in entries:
            if entry.family == socket.AF_INET:
                address = ipaddress.IPv4Address(entry.address)
                if not (address.is_loopback or address.is_link_local or address.is_unspecified):
                    found.append(address)
    return [str(address) for address in sorted(found, key=lambda each: not each.is_private)]


def _by_route() -> str:
    """The address from which packets would leave this machine; "" if none would. To connect a datagram
    socket is to ask for the route: it sends nothing."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as sock:
        try:
            sock.connect(_ELSEWHERE)
            address: str = sock.getsockname()[0]
        except OSError:
            return ""
    return "" if ipaddress.IPv4Address(address).is_loopback else address


def resolve(host: str) -> str:
    """A host's IPv4 address. Raises UsageError for one that is not known, or is of another kind."""
    try:
        return socket.gethostbyname(host)
    except (OSError, UnicodeError) as error:
        raise UsageError(
            f"serve(host={host!r}): there is no such address. A host is one of this machine's IPv4 addresses "
            "or, for this machine only, '127.0.0.1'."
        ) from error
