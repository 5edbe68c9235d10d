"""Whom a text calls: ``@ada`` where it is meant for a person, not in code, a link or an address of mail."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import pairwise

from nbchat.core import names as rules

EVERYONE = "everyone"
"""Who is called by ``@everyone``, whatever the names are."""

_UNSPACED = re.compile(
    "[\u0e00-\u109f\u1100-\u11ff\u1780-\u17ff\u1950-\u19df\u1a20-\u1aad\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029"
    "\u3031-\u3035\u3038-\u303c\u3041-\u31ff\u3400-\u9fff\ua000-\ua4cf\ua960-\ua97f\uaa60-\uaadf\uac00-\ud7ff"
    "\uf900-\ufaff\uff66-\uffdc\U00016fe0-\U00018fff\U0001aff0-\U0001b2ff\U00020000-\U0003ffff]"
)
"""Letters of scripts that set no blanks between words, or put endings to a name: Han, kana, Hangul, Thai,
Khmer, … A name may stand beside them."""
_IN_NAMES = "_-.'\u2019"
"""What a name can go on with, after which it is another name if a letter follows."""
_GENITIVE = re.compile("['\u2019][sS](?![\\w@])")

_CLOSING = (
    "\u2026\u2019\u201d\u00bb\u203a\u3000-\u3003\u3008-\u3011\u3014-\u301f"
    "\uff01\uff08\uff09\uff0c\uff1a\uff1b\uff1f\uff5b\uff5d-\uff65"
)
"""Marks of CJK and other typography that no address has: a link ends before them."""
_LINK = re.compile(
    r"(?:[a-z][a-z0-9+.-]{0,30}://|mailto:|www\.|"
    r"(?<![\w.@-])(?:[a-z0-9-]{1,63}\.){1,8}[a-z]{2,24}(?::\d+)?/)"  # example.org/@ada
    rf"[^\s<>\"`{_CLOSING}]*",
    re.IGNORECASE,
)

_FENCE = re.compile(r"[ >]*(?:(?:[-*+]|\d{1,9}[.)]) +)*(`{3,}(?=[^`]*$)|~{3,})")
_LIST = re.compile(r"[ >]*(?:[-*+]|\d{1,9}[.)])(?: |$)")
_TICKS = re.compile(r"(\\*)(`+)")
_BLANK = re.compile(r"\n[ \t]*(?=\n)")


def spans(text: str, names: Iterable[str]) -> list[tuple[int, int]]:
    """Where a text calls one of these names, or everyone: begin and end of each ``@name`` in it, in order.

    ``names`` are members' names in any number; of several that fit the longest counts (``@ada lovelace``,
    ``@bob2``). Case, width and the way of writing accents do not count, as for names in general. A name ends
    where no letter or digit goes on: ``@ada's``, ``@ada:`` and ``@ada你好`` call ada, ``@adam`` does not, nor
    ``@ada.b``. What stands in code (`` `@ada` ``, a fence, an indented block, a Python session), in a link or in
    an address of mail calls nobody. Linear in the text's length. Pure: any thread.
    """
    return [(begin, end) for begin, end, _ in _found(text, names)]


def is_mentioned(text: str, name: str, names: Iterable[str] = ()) -> bool:
    """Whether a text calls the member of this name, as ``@name`` or ``@everyone`` (see :func:`spans`).

    With the other members' ``names`` a text that calls a longer one of them (``@ada lovelace``) does not
    count for ``ada``. Whoever asks leaves out what a member said itself. Pure: any thread.
    """
    mine = {_folded(name), EVERYONE}
    return any(who in mine for _, _, who in _found(text, (name, *names)))


def _found(text: str, names: Iterable[str]) -> Iterator[tuple[int, int, str]]:
    """Begin, end and folded name of each mention."""
    if "@" not in text and "\uff20" not in text:
        return
    known = {_folded(name) for name in names} | {EVERYONE}
    words = _without_code_and_links(text)
    signs = [found.start() for found in re.finditer("[@\uff20]", words)]
    for sign, following in pairwise([*signs, len(words)]):
        if not _begins(words, sign):
            continue
        last = min(following, sign + 1 + 4 * rules.LONGEST)
        if (newline := words.find("\n", sign, last)) >= 0:
            last = newline
        for end in range(min(last, sign + 1 + 2 * rules.LONGEST), sign + 1, -1):
            if _ends(words, end) and (who := rules.skeleton(words[sign + 1 : end])) in known:
                yield sign, end, who
                break


def _begins(text: str, sign: int) -> bool:
    """Whether somebody may be called at this ``@``: not in ``x@host``, ``/@path`` or ``@@``."""
    before = text[sign - 1] if sign else " "
    if before == "_":  # emphasis: _@ada_
        before = text[sign - 2] if sign > 1 else " "
    return before not in "/@\uff20" and not _is_letter(before)


def _ends(text: str, end: int) -> bool:
    """Whether a name may end here."""
    after = text[end : end + 2]
    if not after:
        return True
    if after[0] in "@\uff20\u200c\u200d" or unicodedata.category(after[0])[0] == "M":
        return False
    if after[0] in _IN_NAMES:
        return not (len(after) > 1 and _is_letter(after[1])) or _GENITIVE.match(text, end) is not None
    if _UNSPACED.match(text[end - 1]) and after[0].isalpha():
        return True
    return not _is_letter(after[0])


def _is_letter(char: str) -> bool:
    """Whether it goes on a word: a letter, digit or accent of a script with blanks between words."""
    is_part = char.isalnum() or char == "_" or unicodedata.category(char)[0] == "M"
    return is_part and _UNSPACED.match(char) is None


@lru_cache(maxsize=4096)
def _folded(name: str) -> str:
    return rules.skeleton(name)


# ── what is no talk ─────────────────────────────────────────────────────────────────────────────


def _without_code_and_links(text: str) -> str:
    """The text with blanks for its code and links, each character in its place."""
    if "`" in text or "~~~" in text or ">>> " in text or "    " in text or "\t" in text:
        text = "\n".join(_without_blocks(text.split("\n")))
    if "`" in text:
        begin, parts = 0, []
        for blank in [*_BLANK.finditer(text), None]:  # inline code ends with its paragraph at the latest
            end = blank.end() if blank else len(text)
            parts.append(_without_spans(text[begin:end]))
            begin = end
        text = "".join(parts)
    if "/" in text or ":" in text or "www." in text:
        text = _LINK.sub(lambda found: " " * len(found[0]), text)
    return text


def _without_blocks(lines: list[str]) -> Iterator[str]:
    """The lines with blanks for those of fences, Python sessions and indented code."""
    fence = ""
    is_session = is_list = False
    is_before = True  # a blank line or indented code: indented code may begin
    for line in lines:
        words = line.strip(" \t")
        bare = words.lstrip("> \t")
        if fence:
            if bare.startswith(fence) and not bare.strip(fence[0]):
                fence = ""
            yield " " * len(line)
            is_before = True
        elif found := _FENCE.match(line):
            fence = found[1]
            yield " " * len(line)
        elif words.startswith(">>> ") or (is_session and words):
            is_session = True
            yield " " * len(line)
        elif words and is_before and not is_list and line.expandtabs(4).startswith("    "):
            yield " " * len(line)
        else:
            is_session = False
            if _LIST.match(line):
                is_list = True
            elif words and is_before and line[0] not in " \t":
                is_list = False
            is_before = not words
            yield line


def _without_spans(text: str) -> str:
    """A paragraph with blanks for its inline code: from a run of backticks to the next of the same length."""
    runs: list[tuple[int, int]] = []
    for found in _TICKS.finditer(text):
        escaped = len(found[1]) % 2  # \` is a backtick
        if len(found[2]) > escaped:
            runs.append((found.start(2) + escaped, found.end()))
    following: dict[int, int] = {}
    closing: list[int | None] = [None] * len(runs)
    for at in range(len(runs) - 1, -1, -1):
        size = runs[at][1] - runs[at][0]
        closing[at] = following.get(size)
        following[size] = at
    made: list[str] = []
    done = at = 0
    while at < len(runs):
        last = closing[at]
        if last is None:
            at += 1
            continue
        begin, end = runs[at][0], runs[last][1]
        made += [text[done:begin], " " * (end - begin)]
        done, at = end, last + 1
    return "".join([*made, text[done:]])
