"""How a stranger's text is made harmless for a screen: what acts or hides is shown as something to see."""

from __future__ import annotations

import re
import unicodedata

_STACK = 8
"""Accents on one letter that are shown; no language needs more, and thousands hide the lines around them."""

_CONTROL = r"\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff"
_HIDDEN = (
    r"\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164"
    r"\ufe00-\ufe0d\ufeff\uffa0\ufff0-\ufffb\U00013430-\U0001345f\U00016fe4\U0001bca0-\U0001bca3\U0001d159"
    r"\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_PICTURES = r"0-9#*\u00a9\u00ae\u2000-\u33ff\U0001f000-\U0001fbff"
"""What a selector after it turns into a picture or back; after anything else it is a hidden mark."""
_SELECTOR = rf"(?<![{_PICTURES}])[\ufe0e\ufe0f]"

_UNSEEN = re.compile(rf"[{_CONTROL}{_HIDDEN}\u200c\u200d]|{_SELECTOR}")
_PLAIN = r"\x00-\u02ff\u200c\u200d"
# Joiners belong into Persian words and families of emoji; between plain letters they hide something.
_UNSEEN_ON_A_PAGE = re.compile(
    rf"[{_CONTROL}{_HIDDEN}]|{_SELECTOR}|(?<![^{_PLAIN}])[\u200c\u200d]|[\u200c\u200d](?![^{_PLAIN}])"
)
_ACTING = re.compile(f"[{_CONTROL}]")
_MANY_MARKS = re.compile(rf"[^\w\x00-\u02ff]{{{_STACK + 1},}}")


def visible(text: str) -> str:
    """Control, bidirectional and invisible characters as something to see: ``␛`` or ``<U+202E>``. Of a
    flood of accents on one letter eight stay, and their number is told.

    Newline and tab stay.
    """
    return _MANY_MARKS.sub(_few, _UNSEEN.sub(_picture, text))


def visible_on_a_page(text: str) -> str:
    """As :func:`visible`, for a browser, which joins letters and emoji as they are meant to be."""
    return _MANY_MARKS.sub(_few, _UNSEEN_ON_A_PAGE.sub(_picture, text))


def acts_on_nothing(text: str) -> str:
    """The text without control characters and halves of a surrogate pair, which are shown instead. The rest
    stays: a message is kept as it was written."""
    return _ACTING.sub(_picture, text)


def one_line(text: str, most: int = 1000) -> str:
    """As :func:`visible`, in one line of at most so many characters: for names, reasons, paths."""
    text = visible(text[: most + 1]).replace("\n", "\u240a").replace("\t", "\u2409")
    return text if len(text) <= most else f"{text[:most]}…"


def indented(text: str, by: str = "    ") -> str:
    """As :func:`visible`, with the further lines moved to the right, so that none can be taken for
    somebody else's."""
    return visible(text).replace("\n", f"\n{by}")


def _picture(found: re.Match[str]) -> str:
    code = ord(found[0])
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "\u2421"
    return f"<U+{code:04X}>"


def _few(found: re.Match[str]) -> str:
    made: list[str] = []
    run = left_out = 0
    for char in [*found[0], ""]:
        is_mark = char != "" and unicodedata.category(char) in ("Mn", "Me")
        run = run + 1 if is_mark else 0
        if run > _STACK:
            left_out += 1
            continue
        if left_out:
            made.append(f"<{left_out} more marks>")
            left_out = 0
        made.append(char)
    return "".join(made)
