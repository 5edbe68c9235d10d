"""What a server was asked to be: serve()'s arguments, checked."""

from __future__ import annotations

import ipaddress
import os
import socket
from datetime import timedelta
from pathlib import Path

import msgspec

from nbchat.core import arguments, names
from nbchat.core.errors import UsageError
from nbchat.core.limits import Limits
from nbchat.net import histories
from nbchat.net.link import is_loopback
from nbchat.server import interfaces


class Options(msgspec.Struct, frozen=True):
    """What one server was asked to be; equal options are the same server."""

    name: str | None
    host: str
    port: int | None
    history: str
    process: bool
    plain: bool
    keep: int | timedelta | None
    limits: Limits
    lan: tuple[str, ...] = ()
    """The addresses in networks where it listens as well, with encryption; the first stands in links."""

    @property
    def file(self) -> Path | None:
        return Path(self.history) if self.history else None


def check(
    name: str | None,
    host: str,
    port: int | None,
    history: str | os.PathLike[str] | None,
    process: bool | None,
    plain: bool | None,
    keep: int | timedelta | None,
    limits: Limits | None,
    lan: bool = False,
) -> Options:
    """The arguments as options. Raises UsageError or BadName, which say what to type."""
    if name is not None:
        such = "A chat's name is text, such as nbchat.serve('cs101')."
        name = names.check(arguments.text("serve", "name", name, such=such), "chat's name")
    host, networked = _hosts(host, lan)
    if port is not None:
        such = "A port is a number from 1 to 65535, or 0 for any free one."
        port = arguments.whole("serve", "port", port, most=65535, such=such)
    place = histories.place(name, history)
    if process is None:
        process = bool(networked)
    such = (
        "True runs the server in a process of its own, False on a thread, and None in a process of its own "
        "only if others in the network join."
    )
    process = arguments.yes_no("serve", "process", process, such=such)
    if plain is None:
        plain = "JUPYTERHUB_USER" not in os.environ and not networked
    plain = arguments.yes_no("serve", "plain", plain)
    if not isinstance(limits, Limits | None):
        raise UsageError(
            f"serve() needs nbchat.Limits for limits, not {type(limits).__name__}. Such as: "
            "nbchat.serve(limits=nbchat.Limits(text=4096))"
        )
    return Options(name, host, port, place, process, plain, _keep(keep), limits or Limits(), networked)


def _keep(keep: int | timedelta | None) -> int | timedelta | None:
    if keep is None:
        return None
    such = (
        "It is a number of messages (keep=10_000), an age (keep=datetime.timedelta(days=30)), or None for "
        "everything."
    )
    age = arguments.age("serve", "keep", keep, such=such)
    return age if age is not None else arguments.whole("serve", "keep", keep, least=1, such=such)


def _hosts(host: str, lan: bool) -> tuple[str, tuple[str, ...]]:
    """Where to listen: the address on this machine, and those in networks."""
    host = arguments.text("serve", "host", host, such="A host is text, such as '127.0.0.1'.")
    such = "True serves this machine's network as well, False this machine only. An address goes into host=…"
    lan = arguments.yes_no("serve", "lan", lan, such=such)
    here, found = "127.0.0.1", []
    host = host.strip().removeprefix("[").removesuffix("]")
    if is_loopback(host) and host != "localhost":
        here = str(ipaddress.ip_address(host))
    elif host in ("0.0.0.0", "", "::"):  # noqa: S104 (a word for each address of this machine, with TLS)
        found = [interfaces.lan_address(), *interfaces.addresses()]
        if host == "::":
            found += interfaces.addresses(socket.AF_INET6)
    elif host != "localhost":
        found = [interfaces.resolve(host)]
    if lan and not found:
        found = [interfaces.lan_address()]
    return here, tuple(dict.fromkeys(found))
