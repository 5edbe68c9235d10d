"""What a server was asked to be: serve()'s arguments, checked."""

from __future__ import annotations

import ipaddress
import os
import socket
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import msgspec

from nbchat.core import names
from nbchat.core.errors import UsageError
from nbchat.core.limits import Limits
from nbchat.net import networks
from nbchat.net.link import is_loopback


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
        if not isinstance(name, str):
            raise UsageError(f"serve({name!r}): a chat's name is text, such as nbchat.serve('cs101').")
        name = names.check(name, "chat's name")
    host, networked = _hosts(host, lan)
    if port is not None and (not isinstance(port, int) or isinstance(port, bool) or not 0 <= port <= 65535):
        raise UsageError(f"serve(port={port!r}): a port is a number from 1 to 65535, or 0 for any free one.")
    if history == "auto":
        history = _data_file(name) if name else None
    if not isinstance(history, str | os.PathLike | None):
        raise UsageError(f"serve(history={history!r}): history is 'auto', a file's path, or None.")
    if process is None:
        process = bool(networked)
    if not isinstance(process, bool):
        raise UsageError(
            f"serve(process={process!r}): True runs the server in a process of its own, False on a "
            "thread, and None in a process of its own only if others in the network join."
        )
    if plain is None:
        plain = "JUPYTERHUB_USER" not in os.environ and not networked
    is_number = isinstance(keep, int) and not isinstance(keep, bool) and keep >= 1
    is_age = isinstance(keep, timedelta) and keep > timedelta()
    if not (keep is None or is_number or is_age):
        raise UsageError(
            f"serve(keep={keep!r}): keep is a number of messages (keep=10_000), an age "
            "(keep=datetime.timedelta(days=30)), or None for everything."
        )
    if not isinstance(limits, Limits | None):
        raise UsageError(
            f"serve(limits={limits!r}): limits are given as nbchat.Limits(text=4096), for example."
        )
    place = str(Path(os.fspath(history)).expanduser().absolute()) if history is not None else ""
    return Options(name, host, port, place, process, bool(plain), keep, limits or Limits(), networked)


def _hosts(host: str, lan: bool) -> tuple[str, tuple[str, ...]]:
    """Where to listen: the address on this machine, and those in networks."""
    if not isinstance(host, str):
        raise UsageError(f"serve(host={host!r}): a host is text, such as '127.0.0.1'.")
    if not isinstance(lan, bool):
        raise UsageError(
            f"serve(lan={lan!r}): True serves this machine's network as well, False this machine only. An "
            "address goes into host=…"
        )
    here, found = "127.0.0.1", []
    host = host.strip().removeprefix("[").removesuffix("]")
    if is_loopback(host) and host != "localhost":
        here = str(ipaddress.ip_address(host))
    elif host in ("0.0.0.0", "", "::"):  # noqa: S104 (a word for each address of this machine, with TLS)
        found = [networks.lan_address(), *networks.addresses()]
        if host == "::":
            found += networks.addresses(socket.AF_INET6)
    elif host != "localhost":
        found = [networks.resolve(host)]
    if lan and not found:
        found = [networks.lan_address()]
    return here, tuple(dict.fromkeys(found))


def _data_file(name: str) -> Path:
    from platformdirs import user_data_path

    return user_data_path("nbchat", appauthor=False) / f"{quote(names.skeleton(name), safe=' ')}.sqlite"
