"""Which characters look the same: Unicode's table of confusables (UTS #39), as a library brings it.

Not all of the table is taken. Letters of one script that only look much alike (Thai ด and ต, 土 and 士) are
told apart by those who read it, and real names differ by them. What is taken: what looks like an ASCII
letter or digit, what looks alike across scripts (Greek and Cyrillic), and accents.
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from functools import cache

_WRAP = "\u200e"
"""The table's file puts this around right-to-left characters."""


ASCII = {ord("0"): "O", ord("1"): "l"}
"""The table for texts in ASCII, which needs no library."""


@cache
def table() -> dict[int, str]:
    """For ``str.translate`` on a text in NFKD: each character that looks like others becomes the same one as
    these. ASCII letters stay; 0 becomes O and 1 becomes l.

    Takes some 30 ms the first time, so whoever will need it asks early.
    """
    from confusable_homoglyphs.utils import load

    shapes: dict[int, str] = {}
    for shape in _shapes(load("confusables.json")):
        chars = [each for each in shape if len(each) == 1 and unicodedata.is_normalized("NFKD", each)]
        ascii = [each for each in chars if each.isascii()]
        scripts = {unicodedata.name(each, "?").partition(" ")[0] for each in chars}
        if chars and (ascii or len(scripts) > 1 or scripts == {"COMBINING"}):
            same = max(ascii, default=min(chars))
            if same == "|":
                same = "l"
            shapes.update({ord(each): same for each in chars if not each.isascii() or each in "01"})
    return shapes


def _shapes(pairs: dict[str, list[dict[str, str]]]) -> list[set[str]]:
    """The table's pairs, put together to sets of all that look alike."""
    near: defaultdict[str, set[str]] = defaultdict(set)
    for one, others in pairs.items():
        for other in others:
            a, b = one.strip(_WRAP), other["c"].strip(_WRAP)
            near[a].add(b)
            near[b].add(a)
    found: list[set[str]] = []
    seen: set[str] = set()
    for start in near:
        if start not in seen:
            shape, ahead = {start}, [start]
            while ahead:
                new = near[ahead.pop()] - shape
                shape |= new
                ahead += new
            seen |= shape
            found.append(shape)
    return found
