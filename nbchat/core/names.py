"""Which names are allowed, and when two names are the same name."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container
from functools import lru_cache

from nbchat.core import confusables
from nbchat.core.errors import BadName

LONGEST = 32
RESERVED = ("system", "server", "you", "everyone", "nbchat")
"""Nobody's: the chat itself speaks under them."""
FOR_HOSTS = ("host", "admin", "administrator", "moderator", "teacher")
_MARKS = frozenset(" _-.'")
_NO_MARKS = dict.fromkeys(map(ord, _MARKS))
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
            which = f"{char} (U+{ord(char):04X})" if "!" <= char <= "~" else f"U+{ord(char):04X}"
            raise BadName(f"The {what} {name!a} has the character {which} in it: {RULE}.")
    if name != name.strip():
        raise BadName(f"The {what} {name!r} begins or ends with a space: {RULE}.")
    if "  " in name:
        raise BadName(f"The {what} {name!r} has several spaces in a row: {RULE}.")
    if not any(char.isalnum() for char in name):
        raise BadName(f"The {what} {name!r} has no letter or digit in it: {RULE}.")
    if unicodedata.category(name[0])[0] == "M":
        raise BadName(f"The {what} {name!a} begins with an accent that has no letter: {RULE}.")
    return name


def check_member(name: str, *, is_host: bool = True) -> str:
    """Like :func:`check`, and not one of the names that the chat itself uses nor, unless ``is_host``, one
    that says that somebody is the host or reads like the chat's own words."""
    name = check(name)
    if _is_reserved(name):
        raise BadName(f"{name!r} is a name that the chat itself uses; choose another one.")
    if not is_host and is_for_hosts(name):
        raise BadName(f"{name!r} is a name that only a host can have here; choose another one.")
    return name


@lru_cache(maxsize=1024)
def is_for_hosts(name: str) -> bool:
    """Whether a name looks like ``host``, ``admin`` …, also with "the" before it or a number after it, or
    reads like what the chat itself says ("ada left the chat")."""
    words = re.split(r"[ _.'-]+", name.strip(" _-.'"))
    first = _known(words[0])
    if len(words) > 1 and first in ("the", "a", "your"):
        words = words[1:]
        first = _known(words[0])
        if first in RESERVED:
            return True
    if len(words) > 1 and first in (*FOR_HOSTS, "system", "server", "nbchat"):
        return True
    said = {_known(word) for word in words[1:]}
    if not said.isdisjoint(_SAID) or (first == "you" and not said.isdisjoint(_DONE_TO_YOU)):
        return True
    whole = "".join(words).rstrip("0123456789") or name
    return any(mark.lstrip("=").replace("rn", "m") in FOR_HOSTS for mark in marks(whole))


_SAID = frozenset(
    "joined left removed banned unbanned muted unmuted kicked cleared locked unlocked released typing".split()  # noqa: SIM905
)
"""What follows a name in the chat's own lines (core/deeds.py, the faces), and is no part of people's names:
"made" is not here, for Balinese ones."""
_DONE_TO_YOU = frozenset(["are", "were", "have", "can", "cannot", "may", "must", "will", "need"])


def _known(word: str) -> str:
    """A word as it is read, whatever it is written with."""
    return next(
        (mark for mark in marks(word) if not mark.startswith("=") and mark in _WORDS), word.casefold()
    )


def skeleton(name: str) -> str:
    """A name without its case, width and way of writing accents: rooms, chats and their files are known by
    it, so it stays what it is. Whether two members' names are the same is told by :func:`marks`."""
    folded = unicodedata.normalize("NFKC", name).casefold()
    return unicodedata.normalize("NFKC", folded)


@lru_cache(maxsize=8192)
def marks(name: str) -> frozenset[str]:
    """By what a member's name is taken: two names that have one of these in common look the same.

    Accents, case, dots, hyphens and spaces do not count (:func:`_bare`). What looks the same depends on the
    case (Cyrillic Т like T, but т not like t; I like l, but i not like l), and case itself does not count,
    so one skeleton is not enough: with one, Elia would be Ella.
    """
    table = confusables.ASCII if name.isascii() else confusables.table()
    written = _bare(name).translate(table)
    folded = _bare(skeleton(name)).translate(table)
    return frozenset((folded.casefold(), written.casefold(), "=" + written.replace("I", "l")))


def _bare(name: str) -> str:
    """A name in NFKD without what is easily overlooked: spaces, dots, hyphens, and the accents of scripts
    where they are accents. In others (Devanagari, Arabic, Thai, kana …) marks are letters, and stay."""
    name = name.translate(_NO_MARKS)
    if name.isascii():
        return name
    kept: list[str] = []
    has_accents = False
    for char in unicodedata.normalize("NFKD", name):
        if unicodedata.category(char) == "Mn":
            if not has_accents:
                kept.append(char)
            continue
        letter = _letter(char)
        has_accents = letter is not None
        kept.append(letter or char)
    return "".join(kept)


_ACCENTED = ("LATIN", "GREEK", "CYRILLIC", "ARMENIAN", "COPTIC")


@lru_cache(maxsize=4096)
def _letter(char: str) -> str | None:
    """A letter of a script with accents, without a stroke or hook of its own (ø, ł: only Latin, since
    elsewhere these make other letters); None for one of another script."""
    name = unicodedata.name(char, "")
    if char.isascii() or not name.startswith(_ACCENTED):
        return char if char.isascii() and char.isalpha() else None
    plain, has_more, _ = name.partition(" WITH ")
    if has_more and name.startswith("LATIN"):
        try:
            return unicodedata.lookup(plain)
        except KeyError:
            pass
    return char


def free(name: str, taken: Container[str]) -> str:
    """The name itself, or the first of name2, name3, … of whose marks none is in ``taken``."""
    candidate, number = name, 2
    while not is_free(candidate, taken) or _is_reserved(candidate):
        suffix = str(number)
        candidate = name[: LONGEST - len(suffix)].rstrip() + suffix
        number += 1
    return candidate


def is_free(name: str, taken: Container[str]) -> bool:
    """Whether no name in ``taken`` (their marks) looks like this one."""
    return not any(mark in taken for mark in marks(name))


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
    return any(mark.lstrip("=").replace("rn", "m") in _OWN for mark in marks(name))


_OWN = frozenset((*RESERVED, *(f"the{name}" for name in (*RESERVED, "host", "chat"))))
_WORDS = frozenset((*RESERVED, *FOR_HOSTS, *_SAID, *_DONE_TO_YOU, "the", "a", "your"))


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
