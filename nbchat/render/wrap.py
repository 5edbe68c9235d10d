"""Lines that fit a terminal's width, folded here: where a terminal folds a long line by itself, its writer
chooses what stands at the beginning of the next one, such as somebody else's name and a colon."""

from __future__ import annotations

import os
import sys
import unicodedata
from functools import lru_cache

_INDENT = "    "
_TAB = 8
_NARROWEST = 12
_ATTACHED = frozenset("\u200d\ufe0f\u20e3") | {
    chr(code) for first, last in ((0x1F3FB, 0x1F3FF), (0xE0020, 0xE007F)) for code in range(first, last + 1)
}
"""What belongs to the emoji before it: joiner, selector, keycap, skin, the letters of a flag."""
_LONGEST = 12
"""Characters of an emoji: a couple with two skins has ten."""
_BACK = 20
"""Columns that are given up so that a line ends with a word."""


def columns() -> int | None:
    """The width of the terminal that standard output is; None if it is none."""
    stream = sys.__stdout__
    try:
        if stream is None or not stream.isatty():
            return None
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError):
        return None


def folded(text: str, width: int | None) -> str:
    """The text in lines of fewer than ``width`` columns, all but the first indented; as it is with None.

    It has to be visible already (core/escape.py). Terminals do not agree on the width of what is neither a
    letter nor a digit, so that counts two: a line may be folded early, never late.
    """
    if width is None:
        return text
    return "\n".join(part for line in text.split("\n") for part in _folded(line, width))


def _folded(line: str, width: int) -> list[str]:
    line = _without_tabs(line)
    if len(line) < width and line.isascii():
        return [line]
    most = max(width, _NARROWEST) - 1
    made: list[str] = []
    begin, at, used, space = 0, 0, 0, 0
    while at < len(line):
        size = _width(line[at])
        if used + size > most:
            # Not so far back that the next line, with its indent, would not be shorter than this.
            end = space if space > begin and at - space < min(_BACK, most // 2) else _whole(line, begin, at)
            made.append(line[begin:end])
            begin, at, used = end, end, len(_INDENT)
            continue
        used += size
        at += 1
        if line[at - 1] == " ":
            space = at
    made.append(line[begin:])
    return [made[0], *(_INDENT + each for each in made[1:])]


def _whole(line: str, begin: int, at: int) -> int:
    """Where to part a line that is full at ``at``: before an emoji of several characters, not within it, if
    it is no longer than those that people use."""
    start = at
    while (
        begin < start and at - start < _LONGEST and (line[start] in _ATTACHED or line[start - 1] == "\u200d")
    ):
        start -= 1
    if _is_letter_of_flag(line[start]):
        before = start
        while before > begin and _is_letter_of_flag(line[before - 1]):
            before -= 1
        start -= (start - before) % 2
    is_whole = line[start] not in _ATTACHED and line[start - 1] != "\u200d"
    return start if begin < start and is_whole else at


def _is_letter_of_flag(char: str) -> bool:
    return "\U0001f1e6" <= char <= "\U0001f1ff"


def _without_tabs(line: str) -> str:
    """With spaces for tabs: one at a line's end does not move on, and what follows would cover it."""
    if "\t" not in line:
        return line
    made: list[str] = []
    used = 0
    for part in line.split("\t"):
        if made:
            made.append(" " * (_TAB - used % _TAB))
            used += _TAB - used % _TAB
        made.append(part)
        used += sum(map(_width, part))
    return "".join(made)


@lru_cache(maxsize=4096)
def _width(char: str) -> int:
    if char.isascii():
        return 1
    kind = unicodedata.category(char)
    if kind in ("Mn", "Me"):
        return 0
    return 2 if kind[0] not in "LN" or unicodedata.east_asian_width(char) in "WF" else 1
