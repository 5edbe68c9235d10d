"""Markdown within a line, as people need it who write code, shell, formulas and Chinese: what is typed stays,
unless it can only mean a look.

Each function is a rule of markdown-it's inline parser, but for those at the end, which go over its tokens.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from markdown_it.rules_inline import StateInline, linkify
from markdown_it.rules_inline.state_inline import Delimiter
from markdown_it.token import Token

from nbchat.core.mentions import ENDS_LINK, UNSPACED, spans

_LOOKED = 100_000
"""Characters that are looked through for links."""
_DUNDER = re.compile(r"__[^\W_]\w{0,60}?__(?!\w)")
"""Of bounded length: else each of many beginnings would look for its end through the whole text."""
_FORMULA = re.compile(
    r"\$\$(?![\s$])(?P<double>(?:\\.|[^$\\])++)(?<!\s)\$\$|\$(?![\s$])(?P<single>(?:\\.|[^$\\])++)(?<!\s)\$(?!\$)",
    re.DOTALL,
)
_MONEY = re.compile(r"\d[\d.,]*\s+[^\W\d_]{2,}")
"""$5 to 10$"""
_RUNS = {"*": re.compile(r"\*+"), "_": re.compile("_+")}
_LINK = re.compile(r"!?\[[^\[\]\n]{0,500}\\?\]\((?:https?://|mailto:)[^\s]", re.IGNORECASE)
_AUTOLINK = re.compile(r"<(?:https?://|mailto:)[^\s<>]{1,2000}>", re.IGNORECASE)
_ENTITY = re.compile(r"&(?:#x[a-f0-9]{1,6}|#[0-9]{1,7}|[a-z][a-z0-9]{1,31});", re.IGNORECASE)
_AT_START = re.compile(r"(?:#{1,6}|[-+>]) ")
_TASK = re.compile(r"\[([ xX])\] +")

_BEFORE_OPENER = frozenset("([{<\"':,;|~*_")
_AFTER_CLOSER = frozenset(")]}>\"':,;!?|~*_")
_NO_OPENER = frozenset(")]},;:!?|/>")
_NO_CLOSER = frozenset("([{<")
_BEFORE_FORMULA = frozenset("([{<\"'-/,;:=|>~*_")
_AFTER_FORMULA = frozenset(")]}>\"'-/.,;:!?|~*_")


def use(parser: MarkdownIt) -> None:
    """Put these rules into a parser."""
    rules, after = parser.inline.ruler, parser.inline.ruler2
    rules.at("newline", _newline)
    rules.at("linkify", _address)
    rules.at("escape", _escape)
    rules.at("math_inline", _formula)
    rules.at("emphasis", _emphasis)
    rules.before("emphasis", "dunder", _dunder)
    after.after("balance_pairs", "enclosed", _enclosed)
    parser.normalizeLinkText = lambda link: link  # type: ignore[method-assign]
    parser.core.ruler.push("tasks and mentions", _tasks_and_mentions)


def may_look(state: StateInline, characters: int) -> bool:
    """Whether this message may have so many characters more looked through. What would be a link is looked
    for to the text's end or from its beginning; of a text with many such places the later ones are none."""
    state.env["looked"] = state.env.get("looked", 0) + characters
    return bool(state.env["looked"] <= _LOOKED)


def _address(state: StateInline, silent: bool) -> bool:
    """A bare https://… It ends before what no address has in it: 见https://example.com/a。谢谢"""
    if not (state.src.startswith("://", state.pos) and may_look(state, len(state.pending))):
        return False
    src, most = state.src, state.posMax
    end = re.compile(rf"\s|{ENDS_LINK.pattern}").search(src, state.pos)
    if end is not None:
        state.src, state.posMax = src[: end.start()], min(most, end.start())
    try:
        return linkify(state, silent)
    finally:
        state.src, state.posMax = src, most


def _newline(state: StateInline, silent: bool) -> bool:
    """Every line end is one, and the indent after it stays."""
    if state.src[state.pos] != "\n":
        return False
    if not silent:
        state.pending = state.pending.rstrip(" ")
        state.push("softbreak", "br", 0)
    state.pos += 1
    return True


def _dunder(state: StateInline, silent: bool) -> bool:
    """``__init__`` is a name, not bold."""
    found = _DUNDER.match(state.src, state.pos)
    if found is None:
        return False
    if not silent:
        state.pending += found[0]
    state.pos = found.end()
    return True


# ── emphasis ────────────────────────────────────────────────────────────────────────────────────
#
# CommonMark asks only whether blanks or punctuation stand beside a run of asterisks. Then 2*3*4 is slanted,
# COUNT(*), COUNT(*) as well, and **注意：**正文 is not bold. Here a run opens at the beginning of a word and
# closes at the end of one; CJK text has no such places, and may have bold anywhere.


def _emphasis(state: StateInline, silent: bool) -> bool:
    """``*`` and ``_``, as many as there are."""
    marker, begin = state.src[state.pos], state.pos
    if silent or marker not in _RUNS:
        return False
    end = _RUNS[marker].match(state.src, begin, state.posMax).end()  # type: ignore[union-attr]
    opens, closes = _sides(state.src, begin, end, begin)
    if not (opens or closes):
        state.pending += state.src[begin:end]
    else:
        for _ in range(end - begin):
            token = state.push("text", "", 0)
            token.content = marker
            state.delimiters.append(
                Delimiter(
                    marker=ord(marker),
                    length=end - begin,
                    token=len(state.tokens) - 1,
                    end=-1,
                    open=opens,
                    close=closes,
                )
            )
    state.pos = end
    return True


def _sides(text: str, begin: int, end: int, left: int) -> tuple[bool, bool]:
    """Whether a run of asterisks, or of low lines, may open and may close emphasis. ``left``: where the text
    before it ends (at a backslash, if there is one)."""
    before = text[left - 1] if left else " "
    after = text[end] if end < len(text) else " "
    if before in "\"'" and after == before:  # '*'
        return False, False
    is_bold = end - begin > 1
    slash = "/" if is_bold else ""  # **a**/**b**, but /* a */
    anywhere = is_bold or not (_is_unspaced(before) and _is_unspaced(after))  # 长*宽*高
    opens = (
        not after.isspace()
        and after not in _NO_OPENER
        and (is_bold or after != ".")  # *.py
        and (is_bold or after != "~" or text.startswith("~~", end))  # *~
        and not _closes_bracket(after)
        and (
            before.isspace()
            or before in _BEFORE_OPENER
            or before == slash
            or (_is_loose(before) and anywhere)
        )
    )
    closes = (
        not before.isspace()
        and before not in _NO_CLOSER
        and not _opens_bracket(before)
        and (
            after.isspace()
            or after in _AFTER_CLOSER
            or after == slash
            or (after in ".-" and not (text[end + 1 : end + 2].isalnum()))
            or (_is_loose(after) and anywhere)
        )
    )
    return opens, closes


def _is_unspaced(char: str) -> bool:
    return UNSPACED.match(char) is not None


def _is_loose(char: str) -> bool:
    """Whether words may begin and end beside it: punctuation and symbols beyond ASCII, and CJK letters."""
    return not char.isascii() and (_is_unspaced(char) or unicodedata.category(char)[0] in "PS")


def _closes_bracket(char: str) -> bool:
    return not char.isascii() and (unicodedata.category(char) in ("Pe", "Pf") or char in "、。，．：；！？…")


def _opens_bracket(char: str) -> bool:
    return not char.isascii() and unicodedata.category(char) in ("Ps", "Pi")


def _enclosed(state: StateInline) -> None:
    """No emphasis from inside a bracket to its outside: ``char *p = f(sizeof(char*));``"""
    lists = [
        state.delimiters,
        *(meta["delimiters"] for meta in state.tokens_meta if meta and "delimiters" in meta),
    ]
    if not any(each.end >= 0 for delimiters in lists for each in delimiters):
        return
    inside: list[int] = []  # for each token the number of the bracket that it stands in
    open_ones: list[tuple[str, int]] = []
    number = 0
    for token in state.tokens:
        inside.append(open_ones[-1][1] if open_ones else 0)
        if token.type != "text":
            continue
        for char in re.findall(r"[()\[\]{}]", token.content):
            if char in "([{":
                number += 1
                open_ones.append((char, number))
            elif open_ones and open_ones[-1][0] == {")": "(", "]": "[", "}": "{"}[char]:
                open_ones.pop()
    for delimiters in lists:
        for each in delimiters:
            if each.end >= 0 and inside[each.token] != inside[delimiters[each.end].token]:
                each.end = -1


# ── backslashes ─────────────────────────────────────────────────────────────────────────────────


def _escape(state: StateInline, silent: bool) -> bool:
    r"""A backslash is a backslash, as in ``C:\Users`` and ``\d+\.\d+``; only before what would have had a
    meaning it takes that away, and goes with it."""
    text, at = state.src, state.pos
    if text[at] != "\\":
        return False
    following = text[at + 1] if at + 1 < state.posMax else ""
    size = 2 if following and following in "*_`~$[]<&!" else 1
    shown = text[at : at + size]
    if following and _would_mean(state, at + 1):
        size, shown = 2, following
    if not silent:
        state.pending += shown
    state.pos += size
    return True


def _would_mean(state: StateInline, at: int) -> bool:
    """Whether the character here would be markup without the backslash before it."""
    text, char = state.src, state.src[at]
    match char:
        case "*" | "_":
            end = _RUNS[char].match(text, at).end()  # type: ignore[union-attr]
            opens, closes = _sides(text, at, end, at - 1)
            first, last = _reach(state, char)
            return (opens and at < last) or (closes and first < at)
        case "`":
            return text.find("`", at + 1) >= 0 or text.find("`") < at
        case "~":
            return text.startswith("~~", at) and text.find("~~", at + 2) >= 0
        case "$":
            return _formula_at(text, at, state.posMax, at - 1) is not None
        case "[" | "!":
            return _LINK.match(text, at) is not None
        case "]":
            return re.compile(r"\]\((?:https?://|mailto:)").match(text, at) is not None
        case "<":
            return _AUTOLINK.match(text, at) is not None
        case "&":
            return _ENTITY.match(text, at) is not None
        case "#" | "-" | "+" | ">":
            return at == 1 and _AT_START.match(text, at) is not None
        case ".":
            return text[: at - 1].isdecimal() and at < 12 and text[at + 1 : at + 2] == " "
    return False


def _reach(state: StateInline, marker: str) -> tuple[int, int]:
    """The first place in the text where such a run may open, and the last where one may close."""
    text = state.src
    key = f"reach {marker} {text}"
    if key not in state.env:
        first, last = len(text), -1
        for found in _RUNS[marker].finditer(text):
            begin, end = found.span()
            left = begin - 1 if begin and text[begin - 1] == "\\" else begin
            opens, closes = _sides(text, begin, end, left)
            if opens:
                first = min(first, begin)
            if closes:
                last = begin
        state.env[key] = first, last
    return state.env[key]  # type: ignore[no-any-return]


# ── formulas ────────────────────────────────────────────────────────────────────────────────────


def _formula(state: StateInline, silent: bool) -> bool:
    """``$x^2$`` and ``$$x^2$$``; neither ``$HOME/bin:$PATH`` nor ``$5, or $6``."""
    if state.src[state.pos] != "$":
        return False
    found = _formula_at(state.src, state.pos, state.posMax, state.pos)
    if found is None:
        return False
    if not silent:
        is_double = found["double"] is not None
        token = state.push("math_inline_double" if is_double else "math_inline", "math", 0)
        token.content = found["double"] if is_double else found["single"]
        token.markup = "$$" if is_double else "$"
    state.pos = found.end()
    return True


def _formula_at(text: str, at: int, most: int, left: int) -> re.Match[str] | None:
    before = text[left - 1] if left else " "
    if not (before.isspace() or before in _BEFORE_FORMULA or _is_loose(before)):
        return None
    found = _FORMULA.match(text, at, most)
    if found is None:
        return None
    after = text[found.end()] if found.end() < most else " "
    if not (after.isspace() or after in _AFTER_FORMULA or _is_loose(after)):
        return None
    content = found["double"] or found["single"]
    if _MONEY.match(content) or not re.search(r"[\w\\]", content):
        return None
    return found


# ── over the tokens ─────────────────────────────────────────────────────────────────────────────


def _tasks_and_mentions(state: StateCore) -> None:
    """``- [x]`` as a box, and a member's @name in a place of its own."""
    names = state.env.get("names", ())
    tokens = state.tokens
    for at, token in enumerate(tokens):
        if token.type != "inline" or not token.children:
            continue
        before = tokens[at - 1].type if at else ""
        is_item = before == "list_item_open" or (
            before == "paragraph_open" and tokens[at - 2].type == "list_item_open"
        )
        if is_item and token.children[0].type == "text" and (found := _TASK.match(token.children[0].content)):
            words = token.children[0]
            words.content = words.content[found.end() :]
            box = Token("task", "span", 0)
            box.content = "\u2610" if found[1] == " " else "\u2611"
            token.children.insert(0, box)
        if "@" in token.content or "\uff20" in token.content:
            token.children = list(_marked(token.children, names))


def _marked(tokens: list[Token], names: Any) -> list[Token]:
    made: list[Token] = []
    links = 0
    for token in tokens:
        links += {"link_open": 1, "link_close": -1}.get(token.type, 0)
        text, done = token.content, 0
        found = spans(text, names, markdown=False) if token.type == "text" and not links else []
        for begin, end in found:
            made += [_token("text", text[done:begin]), _token("mention", text[begin:end])]
            done = end
        if found:
            token.content = text[done:]
        made.append(token)
    return made


def _token(kind: str, content: str) -> Token:
    token = Token(kind, "", 0)
    token.content = content
    return token
