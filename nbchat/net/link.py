"""Links: where to connect, with which key, and which certificate has to answer there.

``nbchat://HOST:PORT/ROOM?pin=sha256:…#k=KEYID.SECRET``. The pin is there if the host is another machine:
then the connection is encrypted, and nothing is said to whoever shows another certificate. Within this
machine it is ``?uid=1000``, the account that serves: nothing is proved to another one.
"""

from __future__ import annotations

import ipaddress
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote, urlsplit

from msgspec import Struct

from nbchat.core import names
from nbchat.core.errors import BadLink, BadName
from nbchat.core.escape import one_line

DEFAULT_PORT = 14900
PORTS = range(DEFAULT_PORT, DEFAULT_PORT + 100)
_LONGEST = 4096
"""Bytes of a file in which a link is looked for."""
_HOST = re.compile(r"[\w.:%-]{1,253}")
_SCHEME = re.compile(r"(?:nbchat|plain)://", re.IGNORECASE)
_CALL = re.compile(
    r"(?:import\s+nbchat\s*;?\s*)?(?:\w+\s*=\s*)?(?:nbchat\s*\.\s*)?(?:join|connect)\s*\(\s*(?:url\s*=\s*)?(.*)"
    r"|nbchat\s+join\s+(.*)",
    re.DOTALL,
)
"""A cell or a command with a link or a chat's name in it."""
_QUOTES = "\"'`\u00ab\u00bb\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u201f\u2039\u203a<>"
"""Quotes as programs, word processors and mails write them."""
_AS_TYPED = str.maketrans({
    "\u2010": "-", "\u2011": "-", "\u2013": "--", "\u2014": "--",
    "\uff1a": ":", "\uff0f": "/", "\uff03": "#", "\uff1f": "?", "\uff1d": "=", "\uff0e": ".",
    **dict.fromkeys("\u00ad\u200b\u2060\ufeff"),
})  # fmt: skip
"""What word processors and input methods put in the place of a link's own characters."""
_KEY = re.compile(r"[^\s\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,500}")
"""A key's id and secret: what a server of ours makes has 45 characters."""
_PIN = re.compile(r"sha256:[0-9a-f]{64}")


class Address(Struct, frozen=True):
    """Where to connect, and with which key. Its repr and ``link`` leave the secret out.

    ``pin`` is "sha256:" and the SHA-256 of the server's certificate, in hex; without one the connection
    is not encrypted.
    """

    host: str
    port: int
    room: str | None = None
    key_id: str = ""
    secret: str = ""
    plain: bool = False
    pin: str = ""
    uid: int | None = None
    """The number of the account that serves, on this machine; None if that is not known."""

    @property
    def link(self) -> str:
        room = f"/{quote(self.room)}" if self.room else ""
        pin = f"?pin={self.pin}" if self.pin else ""
        return f"{'plain' if self.plain else 'nbchat'}://{place(self.host, self.port)}{room}{pin}"

    @property
    def whole_link(self) -> str:
        """The link with the secret in it, for somebody who asked for an invitation."""
        uid = f"?uid={self.uid}" if self.uid is not None and not self.pin else ""
        return f"{self.link}{uid}#k={self.key_id}.{self.secret}"

    def __repr__(self) -> str:
        return f"<Address {self.link}>"

    def __rich_repr__(self) -> Iterator[str]:  # type: ignore[override]
        yield self.link


def place(host: str, port: int) -> str:
    """A host and its port, as they stand in a link: ``127.0.0.1:14900``, ``[::1]:14900``."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def pasted(text: str) -> str:
    """The link, or the chat's name, in what was pasted: with the call around it, in quotes of any kind,
    broken over lines, with a word processor's hyphens. A link may lack its ``nbchat://`` still."""
    text = text.strip()
    if (call := _CALL.match(text)) is not None:
        text = (call[1] or call[2] or "").strip()
    begin = _SCHEME.search(text)
    if begin is not None:
        text = text[begin.start() :]
    if begin is not None or is_link(text):
        text = text.lstrip(_QUOTES)
        end = next((at for at, char in enumerate(text) if char in _QUOTES), len(text))
        text = "".join(text[:end].split()).translate(_AS_TYPED).rstrip(").,;")
        return text
    if text[:1] in _QUOTES and len(text) > 1:
        text = text.rstrip(") ")
        return text[1:-1].strip() if text[-1:] in _QUOTES else text[1:]
    return text


def is_link(text: str) -> bool:
    """Whether something that was typed is a link, with or without its beginning, and no chat's name."""
    return any(char in text for char in ":/#?\uff1a\uff0f\uff03\uff1f")


def parse(link: str) -> Address:
    """A link as an address, however it was pasted (:func:`pasted`). Raises :class:`BadLink` that says what a
    link looks like."""
    shape = "A link looks like nbchat://127.0.0.1:14900/lobby#k=… (or plain://127.0.0.1:14900)."
    link = pasted(link)
    if "://" not in link:
        link = f"nbchat://{link.removeprefix('//')}"
    try:
        parts = urlsplit(link)
        host, port = parts.hostname, parts.port or DEFAULT_PORT
    except ValueError:
        raise BadLink(f"This link cannot be read. {shape}") from None
    if parts.scheme not in ("nbchat", "plain") or not host or not _is_host(host):
        raise BadLink(f"This is no link to a chat. {shape}")
    try:
        room = names.check(unquote(parts.path.strip("/")), "room name") if parts.path.strip("/") else None
    except BadName as error:
        raise BadLink(f"{error} {shape}") from None
    key_id = secret = ""
    if parts.fragment:
        key_id, dot, secret = parts.fragment.removeprefix("k=").partition(".")
        is_whole = parts.fragment.startswith("k=") and key_id and dot and secret
        if not is_whole or not _KEY.fullmatch(parts.fragment):
            raise BadLink(f"The end of this link (after the #) is cut or changed; copy it whole. {shape}")
    pin = _pin(parts.query)
    is_plain = parts.scheme == "plain"
    if is_plain and pin:
        raise BadLink("A plain:// link has no pin: what it leads to is not encrypted. Copy the link whole.")
    if not pin and not is_plain and not is_loopback(host):
        raise BadLink(
            f"This link leads to another machine ({host}) and does not say how to know it: the part "
            "?pin=sha256:… is missing. Ask for the whole link (the host gets it from server.invite()), and "
            "copy it to its end."
        )
    return Address(host, port, room, key_id, secret, is_plain, pin, _uid(parts.query))


def from_file(path: Path) -> Address:
    """The link in a file's first line. Raises :class:`BadLink` that says what is wrong with the file, also
    if it is this user's and others can read it."""
    path = path.expanduser()
    shown = one_line(str(path))
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            # Of somebody else's file its owner decides who reads it; and Windows has no such bits.
            if os.name == "posix" and status.st_mode & 0o077 and status.st_uid == os.getuid():
                raise BadLink(
                    f"Others on this machine may read {shown}, and so use the link in it. In a terminal, "
                    f"type chmod 600 {one_line(shlex.quote(str(path)))} and then try again."
                )
            text = file.read(_LONGEST).decode("utf-8-sig", "replace")
    except OSError as error:
        raise BadLink(f"The link's file {shown} cannot be read: {error.strerror}.") from None
    return parse(next((line for line in text.splitlines() if line.strip()), ""))


def _is_host(host: str) -> bool:
    """Whether it can be looked up at all; the system's own way fails with errors of many kinds."""
    try:
        host.encode("idna")
    except UnicodeError:
        return False
    return _HOST.fullmatch(host) is not None


def _pin(query: str) -> str:
    """A link's pin, or none. A pin that is damaged is no reason to go without one."""
    found = parse_qs(query, keep_blank_values=True).get("pin", [])
    if not found:
        return ""
    if len(found) > 1 or not _PIN.fullmatch(pin := found[0].lower()):
        raise BadLink("The pin in this link (?pin=sha256:…) is cut or changed; copy the link whole.")
    return pin


def _uid(query: str) -> int | None:
    found = parse_qs(query, keep_blank_values=True).get("uid", [])
    if not found:
        return None
    if len(found) > 1 or not re.fullmatch("[0-9]{1,10}", found[0]):
        raise BadLink("The account in this link (?uid=…) is cut or changed; copy the link whole.")
    return int(found[0])


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, by its name alone."""
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback
