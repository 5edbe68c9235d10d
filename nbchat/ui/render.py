"""What people wrote, as HTML that does nothing: Markdown, coloured code, tables, links, formulas.

A notebook trusts its outputs, so nothing else cleans this. Three things keep it harmless: markdown-it makes
HTML with raw HTML switched off, nh3 lets only the few tags and attributes below through, and whatever would
cost too much, or fails, is shown as the plain text it is.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from functools import lru_cache
from html import escape
from typing import Any
from urllib.parse import urlsplit

import nh3
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from mdit_py_plugins.dollarmath import dollarmath_plugin

log = logging.getLogger("nbchat")

_MATH_TAGS = (
    "math mrow mi mn mo ms mtext mspace mfrac msqrt mroot msub msup msubsup munder mover munderover "
    "mtable mtr mtd mpadded mphantom mstyle mmultiscripts mprescripts menclose none"
)
ALLOWED_TAGS = frozenset(
    (
        "p br hr strong em s code pre blockquote ul ol li a span table thead tbody tr th td " + _MATH_TAGS
    ).split()
)
ALLOWED_ATTRIBUTES: dict[str, frozenset[str]] = {
    "a": frozenset({"href", "target"}),
    "ol": frozenset({"start"}),
    "math": frozenset({"display"}),
    "mo": frozenset({"stretchy", "fence", "form", "separator"}),
    "mfrac": frozenset({"linethickness"}),
    "mspace": frozenset({"width"}),
    "mi": frozenset({"mathvariant"}),
}
ALLOWED_CLASSES = frozenset({"k", "s", "c", "m", "f", "b", "host"})
"""Of spans: keyword, string, comment, number, name, builtin; the host of a link."""

_SCHEMES = frozenset({"http", "https", "mailto"})
_VALUE = re.compile(r"[a-z0-9.%-]{1,24}", re.ASCII)
"""What the attributes of formulas may say."""

_PLAIN = re.compile(r"[^\W\d_](?:(?!://|mailto:|www\.)[^*_`~\[\]<>&|$\\\n\t])*", re.IGNORECASE)
"""One line in which nothing means anything but itself."""
_TOO_MANY = (("[", 200), ("|", 1500), ("$", 200), ("://", 200), ("<", 1000), ("`", 1000), (">", 1000))
"""Beyond this a text is not one that a person wrote, and its Markdown would take seconds."""
_ELEMENTS = 6000
_CODE = 4000
_FORMULA = 500
"""Elements of one message, characters of code that is coloured, and of a formula."""
_MARKUP = re.compile(r"<[a-z!/?]", re.IGNORECASE)
"""In a formula: its converter escapes nothing, so nh3 would take it out."""
_LEXERS = frozenset(
    {"python", "py", "python3", "ipython", "pycon", "json", "sql", "julia", "jl", "r", "js", "javascript"}
    | {"html", "css", "bash", "sh", "yaml", "yml", "toml", "ini", "diff"}
)
"""Languages whose lexers stay fast whatever they are given; those of C and its kin do not."""


def html(text: str) -> str:
    """A message's text as HTML, to stand in a <div>. Any thread; never raises."""
    if _PLAIN.fullmatch(text) and text[-1] != " ":
        return escape(text, quote=False)
    if any(text.count(each) > most for each, most in _TOO_MANY):
        return plain(text)
    try:
        made = _clean(_parser().render(text)).strip()
    except Exception:  # a library gave up on a stranger's text: no reason to lose the message
        log.debug("a message could not be rendered", exc_info=True)
        return plain(text)
    if made.count("<") > 2 * _ELEMENTS:
        return plain(text)
    if made.startswith("<p>") and made.endswith("</p>") and made.count("<p>") == 1:
        return made[3:-4]
    return made or plain(text)


def plain(text: str) -> str:
    """The text as it is, as HTML."""
    return escape(text, quote=False).replace("\n", "<br>")


def _clean(made: str) -> str:
    return nh3.clean(
        made,
        tags=set(ALLOWED_TAGS),
        attributes={tag: set(names) for tag, names in ALLOWED_ATTRIBUTES.items()},
        attribute_filter=_attribute,
        url_schemes=set(_SCHEMES),
        allowed_classes={"span": set(ALLOWED_CLASSES)},
        link_rel="noopener noreferrer nofollow",
        set_tag_attribute_values={"a": {"target": "_blank"}},
    )


def _attribute(tag: str, name: str, value: str) -> str | None:
    if name == "href":
        return value if _is_link(value) else None
    if name in ("class", "target", "rel"):
        return value
    return value if _VALUE.fullmatch(value) else None


def _is_link(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    if parts.scheme == "mailto":
        return bool(parts.path)
    return parts.scheme in _SCHEMES and bool(parts.hostname) and url.lower().startswith(f"{parts.scheme}://")


def _host(url: str) -> str:
    """Who is really behind a link: its host, in ASCII; of a mail link the address."""
    parts = urlsplit(url)
    if parts.scheme == "mailto":
        return parts.path
    host = parts.hostname or ""
    try:
        return host.encode("idna").decode()
    except UnicodeError:
        return ascii(host)[1:-1]


# ── Markdown ────────────────────────────────────────────────────────────────────────────────────


@lru_cache(maxsize=1)
def _parser() -> MarkdownIt:
    parser = MarkdownIt(
        "js-default",
        {"html": False, "breaks": True, "linkify": True, "highlight": _coloured},
        renderer_cls=_Renderer,
    )
    # What pasted code begins with (#, ---) makes no headings, and no text vanishes as a definition.
    parser.disable(["heading", "lheading", "reference", "html_block", "html_inline"])
    assert parser.linkify is not None
    parser.linkify.set({"fuzzy_link": False, "fuzzy_email": False, "fuzzy_ip": False})
    parser.validateLink = _is_link  # type: ignore[method-assign]
    parser.use(dollarmath_plugin, allow_space=False, allow_digits=False, renderer=_formula)
    return parser


class _Renderer(RendererHTML):
    """Markdown-it's own, but for links, pictures and code."""

    def link_close(self, tokens: Sequence[Token], at: int, options: Any, env: Any) -> str:
        opened = at
        depth = 1
        while depth:
            opened -= 1
            depth += {"link_close": 1, "link_open": -1}.get(tokens[opened].type, 0)
        url = str(tokens[opened].attrs.get("href", ""))
        host = _host(url)
        shown = "".join(token.content for token in tokens[opened:at])
        if not shown:
            return f"{escape(url)}</a>"
        says_it = tokens[opened].markup in ("linkify", "autolink") and host in shown and "@" not in shown
        if says_it or shown == host or (url.startswith("mailto:") and shown == host):
            return "</a>"
        return f'</a><span class="host"> ({escape(host)})</span>'

    def image(self, tokens: Sequence[Token], at: int, options: Any, env: Any) -> str:
        """A picture is a link to it: nothing is fetched from the net unasked."""
        url, words = str(tokens[at].attrs.get("src", "")), tokens[at].content or "picture"
        return f'<a href="{escape(url)}">{escape(words)}</a><span class="host"> ({escape(_host(url))})</span>'

    def fence(self, tokens: Sequence[Token], at: int, options: Any, env: Any) -> str:
        token = tokens[at]
        language = token.info.strip().split(" ")[0].lower()
        made = _coloured(token.content, language) if language else ""
        return f"<pre><code>{made or escape(token.content, quote=False)}</code></pre>\n"


# ── code ────────────────────────────────────────────────────────────────────────────────────────


def _coloured(code: str, language: str, attributes: str = "") -> str:
    """Code with spans around what has a colour; empty where there is nothing to colour."""
    if language not in _LEXERS or len(code) > _CODE or (language in ("bash", "sh") and "<<" in code):
        return ""
    made: list[str] = []
    last, words = "", ""
    for kind, word in [*_lexer(language).get_tokens(code), (None, "")]:
        name = _class(kind) if kind is not None else None
        if name == last:
            words += word
            continue
        if words:
            words = escape(words, quote=False)
            made.append(f'<span class="{last}">{words}</span>' if last else words)
        last, words = name or "", word
    return "".join(made)


@lru_cache(maxsize=64)
def _lexer(language: str) -> Any:
    from pygments.lexers import get_lexer_by_name

    return get_lexer_by_name(language, stripnl=False, ensurenl=False)


@lru_cache(maxsize=1)
def _classes() -> tuple[tuple[Any, str], ...]:
    from pygments.token import Token as T

    return (
        (T.Comment, "c"), (T.Generic.Deleted, "f"), (T.Generic.Inserted, "s"), (T.Generic.Prompt, "c"),
        (T.Literal.String, "s"), (T.Literal.Number, "m"), (T.Keyword, "k"), (T.Operator.Word, "k"),
        (T.Name.Function, "f"), (T.Name.Class, "f"), (T.Name.Decorator, "f"), (T.Name.Tag, "f"),
        (T.Name.Builtin, "b"), (T.Name.Exception, "b"),
    )  # fmt: skip


@lru_cache(maxsize=1024)
def _class(kind: Any) -> str:
    return next((name for group, name in _classes() if kind in group), "")


# ── formulas ────────────────────────────────────────────────────────────────────────────────────


def _formula(source: str, options: dict[str, Any]) -> str:
    """LaTeX as MathML, which browsers draw without a script; what cannot be read, as code."""
    is_block = bool(options.get("display_mode"))
    if len(source) <= _FORMULA and not _MARKUP.search(source):
        try:
            from latex2mathml.converter import convert

            return str(convert(source.strip(), display="block" if is_block else "inline"))
        except Exception:
            log.debug("a formula could not be read", exc_info=True)
    mark = "$$" if is_block else "$"
    return f"<code>{escape(f'{mark}{source}{mark}')}</code>"
