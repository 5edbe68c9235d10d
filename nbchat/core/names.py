"""Which names are allowed, and when two names are the same name."""

from __future__ import annotations

import unicodedata
from collections.abc import Container
from functools import lru_cache

from nbchat.core import looks
from nbchat.core.errors import BadName

LONGEST = 32
RESERVED = ("system", "server", "you", "everyone", "nbchat")
_MARKS = frozenset(" _-.'")
RULE = f"a name is 1 to {LONGEST} letters, digits, spaces or _ - . '"


def check(name: str, what: str = "name") -> str:
    """The name in its one spelling (NFC), or :class:`BadName` with the reason.

    The same rule holds for members, rooms and chats; ``what`` is the word for the error's text.
    """
    if len(name) > 4 * LONGEST:  # before normalising, which costs more than it should on long input
        raise BadName(f"This {what} is {len(name)} characters long: {RULE}.")
    name = unicodedata.normalize("NFC", name)
    if not name:
        raise BadName(f"This {what} is empty: {RULE}.")
    if len(name) > LONGEST:
        raise BadName(f"This {what} is {len(name)} characters long: {RULE}.")
    for char in name:
        if not _allowed(char):
            raise BadName(f"The {what} {name!a} has the character U+{ord(char):04X} in it: {RULE}.")
    if name != name.strip() or "  " in name:
        raise BadName(f"The {what} {name!r} has spaces that cannot be seen: {RULE}.")
    if not any(char.isalnum() for char in name):
        raise BadName(f"The {what} {name!r} has no letter or digit in it: {RULE}.")
    if unicodedata.category(name[0])[0] == "M":
        raise BadName(f"The {what} {name!a} begins with an accent that has no letter: {RULE}.")
    return name


def check_member(name: str) -> str:
    """Like :func:`check`, and not one of the names that the chat itself uses."""
    name = check(name)
    if _is_reserved(name):
        raise BadName(f"{name!r} is a name that the chat itself uses; choose another one.")
    return name


def skeleton(name: str) -> str:
    """A name without its case, width and way of writing accents: rooms, chats and their files are known by
    it, so it stays what it is. Whether two members' names are the same is told by :func:`marks`."""
    folded = unicodedata.normalize("NFKC", name).casefold()
    return unicodedata.normalize("NFKC", folded)


@lru_cache(maxsize=4096)
def marks(name: str) -> frozenset[str]:
    """By what a member's name is taken: two names that have one of these in common look the same.

    What looks the same depends on the case (Cyrillic Т like T, but т not like t; I like l, but i not like l),
    and case itself does not count, so one skeleton is not enough: with one, Elia would be Ella.
    """
    table = looks.ASCII if name.isascii() else looks.table()
    written = unicodedata.normalize("NFKD", name).translate(table)
    folded = unicodedata.normalize("NFKD", skeleton(name)).translate(table)
    return frozenset((folded.casefold(), written.casefold(), "=" + written.replace("I", "l")))


def free(name: str, taken: Container[str]) -> str:
    """The name itself, or the first of name2, name3, … of whose marks none is in ``taken``."""
    candidate, number = name, 2
    while any(mark in taken for mark in marks(candidate)) or _is_reserved(candidate):
        suffix = str(number)
        candidate = name[: LONGEST - len(suffix)].rstrip() + suffix
        number += 1
    return candidate


def fit(raw: str, default: str = "guest") -> str:
    """Anything (a login name, say) made fit to be a name."""
    text = unicodedata.normalize("NFC", raw.split("@")[0][: 4 * LONGEST])
    text = "".join(char if _allowed(char) else "-" for char in text)[:LONGEST].strip(" -.")
    try:
        return check_member(text)
    except BadName:
        return default


def _is_reserved(name: str) -> bool:
    # Here, where no real name is in the way, rn is m as well.
    return any(mark.replace("rn", "m") in RESERVED for mark in marks(name))


def _allowed(char: str) -> bool:
    if char in _MARKS:
        return True
    category = unicodedata.category(char)
    if category[0] == "L":
        # Fillers that are letters by category and nothing to the eye.
        return char not in "\u115f\u1160\u3164\uffa0"
    # No variation selectors or joiners: they are marks that cannot be seen.
    return category in ("Mn", "Mc", "Nd") and not _invisible_mark(char)


def _invisible_mark(char: str) -> bool:
    code = ord(char)
    return (
        0xFE00 <= code <= 0xFE0F
        or 0xE0100 <= code <= 0xE01EF
        or code in (0x034F, 0x17B4, 0x17B5)
        or (0x180B <= code <= 0x180F)
    )
