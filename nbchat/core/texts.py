"""Which texts may be said."""

from __future__ import annotations

import re

from nbchat.core.errors import BadText
from nbchat.core.escape import visible

__all__ = ["check", "tidy", "visible"]

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_SEQUENCE = re.compile(
    r"\x1b(?:\[[0-?]*+[ -/]*+[@-~]|\][^\x00-\x1f\x7f-\x9f]*+(?:\x07|\x1b\\)|[()*+][0-9A-Z])"
)
"""Of a terminal, by ECMA-48: CSI and OSC, and the choice of a character set, with which a reset begins."""
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def check(text: str, limit: int) -> str:
    """The text itself, or :class:`BadText`: empty, over ``limit`` bytes, or with characters in it
    that are not text (control characters but newline and tab, halves of a surrogate pair)."""
    if text.isprintable() and 4 * len(text) <= limit and text.strip():
        return text  # nearly all are like this
    if len(text) > limit or (_SURROGATE.search(text) is None and len(text.encode()) > limit):
        raise BadText(
            f"This message has {len(text)} characters; the longest that can be sent has {limit} bytes. "
            "Send it in parts, or as a file.",
            "text_too_long",
        )
    if not text or text.isspace():
        raise BadText("This message is empty.", "empty_text")
    if found := _CONTROL.search(text) or _SURROGATE.search(text):
        raise BadText(
            f"This message has the character U+{ord(found[0]):04X} in it, which is no text. "
            "Take it out (newline and tab are fine).",
            "bad_text",
        )
    return text


def tidy(text: str) -> str:
    """The ends of lines as one newline each, which is what every keyboard and clipboard means, and without
    the colours and links of a terminal from which it was pasted or piped. What is no whole sequence stays."""
    if "\x1b" in text:
        text = _SEQUENCE.sub("", text)
    return text.replace("\r\n", "\n").replace("\r", "\n")
