"""Bytes in, frames out, and back.

A connection's bytes are cut into lines by :class:`Lines`, however they were split on the way; a line
becomes a frame by :func:`decode_request` (strict: what a stranger sends) or :func:`decode_event`
(forgiving of kinds it does not know: what a newer server sends).
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from nbchat.core import frames
from nbchat.core.errors import ProtocolError
from nbchat.core.limits import DEPTH

_encoder = msgspec.json.Encoder()
_request: msgspec.json.Decoder[frames.Request] = msgspec.json.Decoder(frames.Request)
_event: msgspec.json.Decoder[frames.Event] = msgspec.json.Decoder(frames.Event)


class _Outline(msgspec.Struct):
    """What can still be read of a line that is no frame."""

    type: str
    seq: Any = None
    id: Any = None


_outline = msgspec.json.Decoder(_Outline)
_REQUESTS = frozenset(kind.__struct_config__.tag for kind in frames.Request.__args__)
_EVENTS = frozenset(kind.__struct_config__.tag for kind in frames.Event.__args__)
_HALVES = re.compile(r"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")
# Possessive, and an open end matches too: otherwise a line of \" takes quadratic time.
_STRINGS = re.compile(r'"(?:[^"\\]|\\.)*+"?')


class Lines:
    """Cuts a byte stream into lines without their newline.

    ``limit`` bounds a line in bytes and may be changed between two calls. Once a line was longer,
    ``overflow`` is true and nothing more comes out: the place where the next line begins is not to be
    trusted.
    """

    __slots__ = ("_rest", "limit", "overflow")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.overflow = False
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Take what one read brought, return the lines it completed."""
        if self.overflow:
            return []
        lines = data.split(b"\n")
        last = lines.pop()
        if lines and self._rest:
            lines[0] = bytes(self._rest) + lines[0]
            self._rest.clear()
        self._rest += last  # a long line grows in place: put together anew each time, it takes quadratic time
        for number, line in enumerate(lines):
            if len(line) > self.limit:
                lines = lines[:number]
                self.overflow = True
                break
        if self.overflow or len(self._rest) > self.limit:
            self.overflow = True
            self._rest = bytearray()
        return lines


def encode(frame: frames.Frame) -> bytes:
    """One frame as its line, newline included."""
    return _encoder.encode(frame) + b"\n"


def encode_body(body: frames.Body | frames.Deed) -> bytes:
    """A message, or what a host did, as the store keeps it."""
    return _encoder.encode(body)


def logged(body: bytes, seq: int, at: int) -> bytes:
    """A stored body as the event that travels, without a newline; nothing is decoded for it."""
    return b'%b,"seq":%d,"at":%d}' % (body[:-1], seq, at)


def decode_request(line: bytes) -> frames.Request:
    """The request in one line from a client.

    Raises :class:`ProtocolError`, never anything else, with one of the codes ``bad_utf8``,
    ``bad_json``, ``bad_text``, ``too_deep``, ``unknown_type`` and ``bad_request``.
    """
    try:
        # Strings that are skipped (unknown fields) would otherwise not be looked at.
        text = line.decode()
    except UnicodeDecodeError:
        raise ProtocolError("bad_utf8", "This line is not UTF-8.") from None
    if line.count(b"[") + line.count(b"{") > DEPTH and _depth(text) > DEPTH:
        raise ProtocolError("too_deep", f"This line nests deeper than {DEPTH} levels.")
    try:
        return _request.decode(text)
    except msgspec.ValidationError as error:
        outline = _sketch(text)
        if outline is None:
            raise ProtocolError("bad_request", f"This request is wrong: {error}.") from None
        id = _as(frames.Id, outline.id)
        if outline.type not in _REQUESTS:
            raise ProtocolError(
                "unknown_type", "This server does not know that type of request.", id=id
            ) from None
        raise ProtocolError("bad_request", f"This {outline.type} request is wrong: {error}.", id=id) from None
    except (msgspec.DecodeError, UnicodeError):
        # Half a surrogate pair is good JSON by the letter, so the sender is told which message has it.
        outline = _sketch(_HALVES.sub(r"\\ufffd", text))
        if outline is not None and _HALVES.search(text):
            raise ProtocolError(
                "bad_text", "This line has half of a surrogate pair in it.", id=_as(frames.Id, outline.id)
            ) from None
        raise ProtocolError("bad_json", "This line is not JSON.") from None


def decode_event(line: bytes) -> frames.Event | frames.Unknown:
    """The event in one line from a server; a kind not known here becomes :class:`frames.Unknown`."""
    try:
        return _event.decode(line)
    except msgspec.ValidationError as error:
        outline = _sketch(line)
        if outline is None or outline.type in _EVENTS:
            raise ProtocolError("bad_event", f"The server sent a wrong line: {error}.") from None
        return frames.Unknown(_as(frames.Seq, outline.seq), line)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise ProtocolError("bad_json", "The server sent a line that is not JSON.") from None


def _sketch(line: str | bytes) -> _Outline | None:
    try:
        return _outline.decode(line)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None


def _as(kind: Any, value: Any) -> Any:
    """The value if it is of that kind, else None."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return None


def _depth(text: str) -> int:
    depth = deepest = 0
    for char in _STRINGS.sub("", text):
        if char in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif char in "]}":
            depth -= 1
    return deepest
