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

_FLAGS = "|".join(
    "\U0001f3f4" + "".join(chr(0xE0000 + ord(char)) for char in code) + "\U000e007f"
    for code in ("gbeng", "gbsct", "gbwls")
)
"""England, Scotland and Wales: all flags that Unicode recommends to be written with tags."""
_UNSEEN_IN_NAMES = re.compile(rf"[{_CONTROL}{_HIDDEN}\u200c\u200d]|{_SELECTOR}")
_UNSEEN = re.compile(rf"{_FLAGS}|{_UNSEEN_IN_NAMES.pattern}")
_EMOJI = re.compile("[\u2190-\u21ff\u2600-\u27bf\u2b00-\u2bff\U0001f000-\U0001faff]")
_VIRAMAS = frozenset("\u094d\u09cd\u0a4d\u0acd\u0b4d\u0bcd\u0c4d\u0ccd\u0d4d\u0dca\u1039\u103a\u17d2")
_ACTING = re.compile(f"[{_CONTROL}]")
_MANY_MARKS = re.compile(rf"[^\w\x00-\u02ff]{{{_STACK + 1},}}")


def visible(text: str) -> str:
    """Control, bidirectional and invisible characters as something to see: ``␛`` or ``<U+202E>``. Of a
    flood of accents on one letter eight stay, and their number is told.

    Newline and tab stay, and joiners where they join: between emoji, and between letters of the scripts that
    need them (Persian, Hindi). Soft hyphens go.
    """
    return _MANY_MARKS.sub(_few, _UNSEEN.sub(_shown, text))


visible_on_a_page = visible
"""The same, for a browser."""


def visible_in_html(made: str) -> str:
    """As :func:`visible`, for HTML whose tags are known to be harmless: its entities are decoded by now, and
    may have become what was not in the text as it was written."""
    return _MANY_MARKS.sub(
        lambda found: _few(found).replace("<", "&lt;").replace(">", "&gt;"),
        _UNSEEN.sub(lambda found: _shown(found).replace("<", "&lt;").replace(">", "&gt;"), made),
    )


def acts_on_nothing(text: str) -> str:
    """The text without control characters and halves of a surrogate pair, which are shown instead. The rest
    stays: a message is kept as it was written."""
    return _ACTING.sub(_picture, text)


def one_line(text: str, most: int = 1000) -> str:
    """All of it visible, in one line of at most so many characters: for names, reasons, paths. In these
    joiners and soft hyphens are shown, too: they would make two of them look the same."""
    shown = _MANY_MARKS.sub(_few, _UNSEEN_IN_NAMES.sub(_picture, text[: most + 1]))
    text = shown.replace("\n", "\u240a").replace("\t", "\u2409")
    return text if len(text) <= most else f"{text[:most]}…"


def indented(text: str, by: str = "    ") -> str:
    """As :func:`visible`, with the further lines moved to the right, so that none can be taken for
    somebody else's."""
    return visible(text).replace("\n", f"\n{by}")


def _shown(found: re.Match[str]) -> str:
    """What is shown of a character, by those beside it."""
    char, text, at = found[0], found.string, found.start()
    before, after = text[at - 1 : at], text[at + 1 : at + 2]
    if len(char) > 1:
        return char  # a flag
    if char == "\u00ad":
        return ""  # it only says where a word may be parted
    if char == "\u200c" and (_joins(before) or _joins(after)):
        return char if _joins(before) and _joins(after) else ""  # at a word's edge it does nothing
    if char == "\u200d":
        emoji = text[at - 2 : at - 1] if before == "\ufe0f" else before
        if _EMOJI.match(emoji) and _EMOJI.match(after):  # a family, a profession
            return char
        if before in _VIRAMAS or (after in _VIRAMAS and _joins(before)):  # half letters
            return char
    return _picture(found)


def _joins(char: str) -> bool:
    """Whether it is a letter or vowel sign of a script whose letters join, or do not by a mark between them:
    Arabic and its kin, those of India, Burmese, Khmer."""
    is_one = "\u0620" <= char < "\u0e00" or "\u1000" <= char <= "\u109f" or "\u1780" <= char <= "\u17d3"
    return is_one and unicodedata.category(char)[0] in "LM"


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
