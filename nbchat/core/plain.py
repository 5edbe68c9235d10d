"""The plain-text dialect of the first clients, all of it.

The first server and client exchanged bare text: the server asks ``USERNAME``, the client answers with
its name, and from then on whatever one read brings is a message. Nothing marks where one ends. This
file says how such bytes are read and written so that those programs, ``nc`` and we can talk; the
server and client elsewhere only move the bytes.
"""

from __future__ import annotations

import codecs
import re
from enum import Enum

from nbchat.core import deeds, escape
from nbchat.core.frames import Frame, Joined, Left, Moderated, Said

GREETING = b"USERNAME"
MOST_LINES = 1000
"""Entries that a slow plain client may be behind before it is told that some were left out."""


class Kind(Enum):
    """What the first bytes of a connection tell."""

    UNDECIDED = "undecided"
    NATIVE = "native"
    HTTP = "http"
    TLS = "tls"
    SSH = "ssh"
    OTHER = "other"
    PLAIN = "plain"


_VERBS = tuple(
    verb + b" "
    for verb in (
        b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"TRACE", b"CONNECT",
        b"PRI", b"PROPFIND",
    )
)  # fmt: skip
_REQUEST_LINE = re.compile(rb"[A-Z]+ \S+ HTTP/")
_OTHERS = (
    (b"\x16\x03", Kind.TLS),
    (b"SSH-", Kind.SSH),
    (b"PROXY TCP", Kind.OTHER),
    (b"PROXY UNKNOWN", Kind.OTHER),
    (b"\r\n\r\n\x00\r\nQUIT\n", Kind.OTHER),  # the same in its second version
)
# What mail, file, chat and screen clients begin with. Their programs end lines with both characters; a
# person whose name begins with "NICK " does not.
_COMMAND = re.compile(rb"(?:EHLO|HELO|NICK|USER|PASS|CAP|AUTH|STLS|STARTTLS|HELP|QUIT|RFB)\b[^\r\n]*\r\n")

HTTP_ANSWER = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"
    b"This is a chat port, not a web page. In a notebook: import nbchat; nbchat.join()\n"
)


OTHER_ANSWER = b"This is a chat port. In a notebook: import nbchat; nbchat.join()\r\n"


def sniff(data: bytes) -> Kind:
    """What speaks here, by its first bytes; UNDECIDED when more of them (or patience) is needed."""
    if not data:
        return Kind.UNDECIDED
    if data[:1] == b"{":
        return Kind.NATIVE
    for start, kind in _OTHERS:
        if data.startswith(start):
            return kind
        if start.startswith(data):
            return Kind.UNDECIDED
    if data.startswith(_VERBS) or _REQUEST_LINE.match(data):
        return Kind.HTTP
    if _COMMAND.match(data):
        return Kind.OTHER
    if any(verb.startswith(data) for verb in _VERBS):
        return Kind.UNDECIDED
    return Kind.PLAIN


# ── reading ─────────────────────────────────────────────────────────────────────────────────────


class Reader:
    """What a plain client sends, as a name and then messages.

    One read is split at newlines; a character cut between two reads is joined again. Bytes that are
    not UTF-8 become U+FFFD in a message; in a name they are an error (:class:`UnicodeDecodeError`).
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.ends_lines = False
        """True when the client ended its name with a newline: it is answered in kind."""

    def name(self, data: bytes) -> tuple[str, bytes]:
        """The name in the first bytes, and the bytes after its line."""
        line, newline, rest = data.partition(b"\n")
        self.ends_lines = bool(newline)
        return line.decode().strip(), rest

    def messages(self, data: bytes) -> list[str]:
        """The messages in one read: no empty ones, control characters made visible."""
        lines = self._decoder.decode(data).split("\n")
        return [escape.visible(line) for line in (line.rstrip("\r") for line in lines) if line.strip()]


# ── writing ─────────────────────────────────────────────────────────────────────────────────────


def line(frame: Frame) -> str | None:
    """One event as plain clients see it; None for what they are not shown."""
    match frame:
        case Said(by=by, text=text):
            return f"{by}: {indented(text)}"
        case Moderated():
            return notice(escape.one_line(deeds.words(frame)))
        case Joined(member=member, quiet=False):
            return f"{member.name} joined the chat!"
        case Left(name=name, quiet=False):
            return f"{name} left the chat"
    return None


def notice(text: str) -> str:
    """A word of the chat itself, under a name that nobody can have."""
    return f"system: {text}"


def indented(text: str) -> str:
    """A message made harmless: its further lines cannot be taken for somebody else's message."""
    return escape.indented(text, "  ")


_LOOKS_LIKE_A_LINE = re.compile(r"\s?[^\n:]{1,64}:|[^\n]{1,64} (?:joined the chat!|left the chat)")


def writes(entries: list[str], limit: int, *, end: str = "") -> list[bytes]:
    """Entries as the writes that carry them: each at most ``limit`` bytes and whole characters.

    Short entries share a write, joined by newlines; a long one goes on in the next write. A part that
    would look like somebody's message at the start of a write is indented. ``end`` closes every write
    that ends an entry.
    """
    done: list[bytes] = []
    open_write = b""
    room = limit - len(end.encode())
    for entry in entries:
        data = entry.encode()
        if open_write and len(open_write) + 1 + len(data) <= room:
            open_write += b"\n" + data
            continue
        if open_write:
            done.append(open_write + end.encode())
        while len(data) > room:
            cut = _boundary(data, room)
            done.append(data[:cut])
            data = data[cut:]
            if _LOOKS_LIKE_A_LINE.match(data[: 4 * 100].decode(errors="ignore")):
                data = b"  " + data
        open_write = data
    if open_write:
        done.append(open_write + end.encode())
    return done


def pieces(text: str, limit: int) -> list[bytes]:
    """A text as parts of at most ``limit`` bytes, each of whole characters."""
    data = text.encode()
    parts = []
    while len(data) > limit:
        cut = _boundary(data, limit)
        parts.append(data[:cut])
        data = data[cut:]
    return [*parts, data] if data else parts


def _boundary(data: bytes, limit: int) -> int:
    """The last place at or before ``limit`` where a character begins."""
    cut = limit
    while cut > 0 and data[cut] & 0xC0 == 0x80:
        cut -= 1
    return cut or limit


# ── the other way round: this end is the client ─────────────────────────────────────────────────

_JOINED = re.compile(r"([^\s:][^:]{0,63}) joined the chat!")
_LEFT = re.compile(r"([^\s:][^:]{0,63}) left the chat")
_SAID = re.compile(r"([^:]{1,64}): ?(.*)", re.DOTALL)


class ServerReader:
    """What a first-generation server sends, as (kind, name, text): ``joined``, ``left``, ``said``,
    and ``more``, which continues the message before it."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, data: bytes) -> list[tuple[str, str, str]]:
        found = []
        for text in self._decoder.decode(data).split("\n"):
            text = text.rstrip("\r")
            if not text:
                continue
            if match := _JOINED.fullmatch(text):
                found.append(("joined", match[1], ""))
            elif match := _LEFT.fullmatch(text):
                found.append(("left", match[1], ""))
            elif not text.startswith(" ") and (match := _SAID.fullmatch(text)):
                found.append(("said", match[1], match[2]))
            else:
                found.append(("more", "", text))
        return found
