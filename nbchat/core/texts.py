"""Which texts may be said, and how a text from a stranger is made harmless for a plain screen."""

from __future__ import annotations

import re

from nbchat.core.errors import BadText

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_UNSEEN = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    r"\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb\U0001bca0-\U0001bca3"
    r"\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)


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
    """The ends of lines as one newline each, which is what every keyboard and clipboard means."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def visible(text: str) -> str:
    """Control, bidirectional and invisible characters as something to see: ``␛`` or ``<U+202E>``.

    Newline and tab stay.
    """
    return _UNSEEN.sub(_picture, text)


def _picture(found: re.Match[str]) -> str:
    code = ord(found[0])
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "\u2421"
    return f"<U+{code:04X}>"
