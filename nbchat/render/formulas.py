"""Formulas as MathML, which browsers draw without a script, if all that was typed is drawn; else none.

LaTeX has many ways to write what is not seen: ``\\phantom``, comments, arguments of commands that mean
nothing here, scripts of scripts that are too small to read. Instead of a list of them, what was typed is
compared with what will be drawn. Nothing is drawn over anything: of sizes and colours nothing passes
render.py's allowlist, and of spaces only those that are none too large.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable
from html import unescape

LENGTH = re.compile(
    r"(?:[0-4]?\.\d{1,3}|[0-4])em|\d{1,2}(?:\.\d{1,3})?(?:p[tx]|mu)|(?:thin|medium|thick)mathspace"
)
"""The widths that a space may have: no negative ones, which draw one thing over another."""
_DEFINES = re.compile(r"\\(?:re)?(?:new|provide)?(?:command|environment)\b|\\[gex]?def\b|\\let\b|\\Declare")
"""Makes commands, whose names are words that nobody sees."""
_SILENT = re.compile(
    r"""\\(?:
        (?:begin|end)\s*\{(?:[bpvVB]|small)?(?:matrix|array|d?cases|align(?:ed|at)?|split|gather(?:ed)?
            |equation|eqnarray|multline)\*?\}(?:\s*\{[lcr|\s]*\}|\s*\[[lcr]\])?
        | (?:text)?color\s*(?:\[HTML\])?\{(?:red|green|blue|black|white|gr[ae]y|cyan|magenta|yellow|orange
            |purple|violet|brown|pink|teal|olive|lime|\#?[0-9a-fA-F]{3,6})\}
        | (?:[hm]?space|m?kern|[hm]skip|raise|lower|move(?:left|right)|smash|skew|(?:left|up)root)\*?
            (?:\s*[\[{]?\s*-?\d{0,3}(?:\.\d{0,3})?\s*(?:em|ex|mu|p[tx]|[cm]m|in|[bt])?\s*[\]}]?)
        | [A-Za-z]+
    )""",
    re.VERBOSE,
)
"""What is not to be drawn: names of commands, environments and colours, sizes."""
_PART = re.compile(r"<(/?)(\w+)((?:[^>]*?scriptlevel=\"(\d)\")?)[^>]*?(/?)>|([^<]+)")
_SMALL = frozenset({"msub", "msup", "msubsup", "munder", "mover", "munderover", "mfrac", "mroot"})
_LEVELS = 3
"""Scripts of scripts; each has 0.7 of the size of what it belongs to. With ``\\cfrac`` they begin anew."""


def mathml(source: str, display: str, clean: Callable[[str], str]) -> str:
    """A formula as MathML, cleaned; "" if not all of it would be seen. Raises what its converter raises."""
    from latex2mathml.converter import convert

    if _DEFINES.search(source):
        return ""
    made = clean(str(convert(source.strip(), display=display)))
    drawn, levels = _drawn(made)
    return "" if levels > _LEVELS or _marks(_SILENT.sub(" ", source)) - _marks(drawn) else made


def _marks(text: str) -> Counter[str]:
    """How often each letter and digit is in a text, and each sign that is not on every keyboard; ``𝐀`` and
    ``ℝ`` are letters like others."""
    plain = unicodedata.normalize("NFKC", text)
    return Counter(char for char in plain if char.isalnum() or (char > "\x7f" and not char.isspace()))


def _drawn(made: str) -> tuple[str, int]:
    """The text that is to be seen, and how many scripts of scripts there are."""
    text: list[str] = []
    above: list[tuple[str, int]] = []
    levels = hidden = 0
    for end, tag, _, begun, is_empty, words in _PART.findall(made):
        if words:
            if not hidden:
                text.append(words)
        elif end:
            above.pop()
            hidden -= tag == "mphantom"
        else:
            level = int(begun) if begun else above[-1][1] if above else 0
            if not is_empty:
                level += tag in _SMALL
                levels = max(levels, level)
                above.append((tag, level))
                hidden += tag == "mphantom"
    return unescape("".join(text)), levels
