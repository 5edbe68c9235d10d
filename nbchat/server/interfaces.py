"""This machine's addresses in networks: where a server listens that others are to reach."""

from __future__ import annotations

import ipaddress
import socket
from contextlib import closing
from typing import Any

import psutil

from nbchat.core.errors import UsageError

_ELSEWHERE = {socket.AF_INET: ("192.0.2.1", 9), socket.AF_INET6: ("2001:db8::1", 9)}
"""Addresses that belong to nobody (they are for examples in documents). Nothing is sent there."""


def lan_address() -> str:
    """This machine's address in its network: of the fourth version if it has one, else of the sixth. Raises
    UsageError, which says what to type, if it has none."""
    for route in (_by_route(), *addresses()[:1], _by_route(socket.AF_INET6), *addresses(socket.AF_INET6)[:1]):
        if route:
            return route
    raise UsageError(
        "serve(lan=True): this machine has no address in a network. Connect it (to the Wi-Fi, for one) "
        "and run the cell again, or type the address: nbchat.serve(host='192.168.…')."
    )


def addresses(family: socket.AddressFamily = socket.AF_INET) -> list[str]:
    """All addresses of this machine's networks, those of home and school networks first."""
    found: list[ipaddress.IPv4Address | ipaddress.IPv6Address] = []
    states = psutil.net_if_stats()
    for name, entries in psutil.net_if_addrs().items():
        if name in states and not states[name].isup:
            continue
        for entry in entries:
            if entry.family == family:
                address = ipaddress.ip_address(entry.address)
                if not (address.is_loopback or address.is_link_local or address.is_unspecified):
                    found.append(address)
    return [str(address) for address in sorted(found, key=lambda each: not each.is_private)]


def _by_route(family: socket.AddressFamily = socket.AF_INET) -> str:
    """The address from which packets would leave this machine; "" if none would. To connect a datagram
    socket is to ask for the route: it sends nothing."""
    try:
        with closing(socket.socket(family, socket.SOCK_DGRAM)) as sock:
            sock.connect(_ELSEWHERE[family])
            address: str = sock.getsockname()[0]
    except OSError:  # no route, or a system without addresses of that kind
        return ""
    found = ipaddress.ip_address(address)
    return "" if found.is_loopback or found.is_link_local else address


def resolve(host: str) -> str:
    """A host's address, of the fourth version if it has one. Raises UsageError for one that is not known."""
    try:
        found = socket.getaddrinfo(host.strip("[]"), None, type=socket.SOCK_STREAM)
        found.sort(key=lambda each: each[0] != socket.AF_INET)
        address = str(found[0][4][0])
        ipaddress.ip_address(address)
    except (OSError, UnicodeError, ValueError, IndexError) as error:
        raise UsageError(
            f"serve(host={host!r}): there is no such address. A host is one of this machine's addresses or, "
            "for this machine only, '127.0.0.1'."
        ) from error
    return address


def bindable(host: str, port: int) -> tuple[socket.AddressFamily, tuple[Any, ...]]:
    """A numeric address as a socket is bound to it, and its family; with a zone (``fe80::1%eth0``), too."""
    if ":" not in host:
        return socket.AF_INET, (host, port)
    found = socket.getaddrinfo(host, port, socket.AF_INET6, socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    return socket.AF_INET6, found[0][4]


def origin(host: str) -> str:
    """Whom an address stands for where people are told apart by it: of the sixth version it is the network
    (/64), since one machine has as many addresses there as it likes."""
    if ":" not in host:
        return host
    try:
        address = ipaddress.IPv6Address(host)
    except ValueError:
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    if address.is_loopback or address.is_link_local:
        return host
    return str(ipaddress.IPv6Network((int(address), 64), strict=False))
