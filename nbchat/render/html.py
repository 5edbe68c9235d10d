"""What people wrote, as HTML that does nothing: Markdown, coloured code, tables, links, formulas.

A notebook trusts its outputs, so nothing else cleans this. Three things keep it harmless: markdown-it makes
HTML with raw HTML switched off, nh3 lets only the few tags and attributes below through, and whatever would
cost too much, or fails, is shown as the plain text it is.

White space counts in the HTML (the page's CSS says ``pre-wrap``): code that is pasted without a fence keeps
its lines and its indent.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from functools import lru_cache
from html import escape
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import nh3
from markdown_it import MarkdownIt, helpers
from markdown_it.helpers import parseLinkLabel
from markdown_it.renderer import RendererHTML
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from mdit_py_plugins.dollarmath import dollarmath_plugin

from nbchat.core.escape import visible_in_html, visible_on_a_page
from nbchat.core.mentions import spans
from nbchat.net.log import log
from nbchat.render import formulas, inline

_MATH_TAGS = (
    "math mrow mi mn mo ms mtext mspace mfrac msqrt mroot msub msup msubsup munder mover munderover "
    "mtable mtr mtd mpadded mstyle mmultiscripts mprescripts menclose none"
)
ALLOWED_TAGS = frozenset(
    (
        "p br hr strong em s code pre blockquote ul ol li a span table thead tbody tr th td " + _MATH_TAGS
    ).split()
)
ALLOWED_ATTRIBUTES: dict[str, frozenset[str]] = {
    "a": frozenset({"href", "target"}),
    "th": frozenset({"align"}),
    "td": frozenset({"align"}),
    "ol": frozenset({"start"}),
    "math": frozenset({"display"}),
    "mo": frozenset({"stretchy", "fence", "form", "separator"}),
    "mfrac": frozenset({"linethickness"}),
    "mspace": frozenset({"width"}),
    "mi": frozenset({"mathvariant"}),
    "mstyle": frozenset({"displaystyle", "scriptlevel"}),
}
ALLOWED_CLASSES = frozenset({"k", "s", "c", "m", "f", "b", "host", "mention", "task"})
"""Of spans: keyword, string, comment, number, name, builtin; the host of a link; @name; a box."""
_AUTO = frozenset({"p", "ul", "ol", "blockquote", "table"})
_LEFT_TO_RIGHT = frozenset({"pre", "code", "math"})
"""Where there is something from right to left: words take their own direction, code has one."""
for _tag in _AUTO | _LEFT_TO_RIGHT:
    ALLOWED_ATTRIBUTES[_tag] = ALLOWED_ATTRIBUTES.get(_tag, frozenset()) | {"dir"}
_DIRECTED = re.compile(rf"<(/?)({'|'.join(_AUTO | _LEFT_TO_RIGHT)})(?=[ >])")
RIGHT_TO_LEFT = re.compile(
    "[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\U00010800-\U00010fff\U0001e800-\U0001efff]"
)

_SCHEMES = frozenset({"http", "https", "mailto"})
_HOST = re.compile(r"[\w.-]+|[0-9a-f:.]+")
_VALUE = re.compile(r"[a-z0-9.%-]{1,24}", re.ASCII)
"""What the attributes of formulas may say."""

_PLAIN = re.compile(r"[^\W\d_](?:(?!://|mailto:|www\.)[^*_`~\[\]<>&|$\\\n\t])*", re.IGNORECASE)
"""One line in which nothing means anything but itself."""
_TOO_MANY = (("[", 200), ("|", 1500), ("$", 200), ("://", 200), ("<", 1000), ("`", 1000), (">", 1000))
"""Beyond this a text is not one that a person wrote, and its Markdown would take seconds."""
_LINES = 1000
"""As that: each of them may be a block, and costs as one. Those of fenced code do not count."""
_FENCE = re.compile(r" {0,3}(`{3,}(?=[^`]*$)|~{3,})(.*)")
_DEEP_QUOTE = re.compile(r"^(?:[ \t\-+*\d.)]*>){6,}", re.MULTILINE)
"""As that: each line that follows is looked at once for each level."""
_BLOCK_END = re.compile(
    r"(</?(?:p|ul|ol|li|blockquote|table|thead|tbody|tr)>|<ol start=\"\d+\">|</(?:pre|th|td|math)>|<hr>)\n+"
)
"""Line ends between blocks, which would be seen."""
_ELEMENTS = 6000
_CODE = 4000
_FORMULA = 500
"""Elements of one message; characters of code that is coloured, of a formula."""
_LEVELS = 60
"""Lists in lists; markdown-it drops what is deeper than its own bound, 100."""
_CALL = re.compile(r"\(\s*\)")
"""Behind a label it makes no link: ``handlers[name]()``."""
_HEADING = re.compile(r"(#{1,6})[ \t]+((?!\[\d+\])\S.*?)(?:[ \t]+#+)?[ \t]*")
_PROSE = re.compile(r"(?:[-*+]|\d+[.)]) |[>|]|[^#=(){}\[\];<>$\\]*$")
"""A line under a heading that is no code."""
_MARKUP = re.compile(r"<[a-z!/?]", re.IGNORECASE)
"""In a formula: its converter escapes nothing, so nh3 would take it out."""
_LEXERS = frozenset(
    {"python", "py", "python3", "ipython", "pycon", "json", "sql", "julia", "jl", "r", "js", "javascript"}
    | {"html", "css", "bash", "sh", "yaml", "yml", "toml", "ini", "diff"}
)
"""Languages whose lexers stay fast whatever they are given; those of C and its kin do not."""


def html(text: str, names: Collection[str] = ()) -> str:
    """A message's text as HTML, to stand in a <div>. Any thread; never raises.

    ``names`` are those of members: where the text calls one of them, ``@name`` is marked.
    """
    text = visible_on_a_page(text)
    if _PLAIN.fullmatch(text) and text[-1] != " ":
        return _words(text, names)
    if any(text.count(each) > most for each, most in _TOO_MANY) or _DEEP_QUOTE.search(text):
        return plain(text)
    if text.count("\n") > _LINES and _lines(text) > _LINES:
        return plain(text)
    try:
        parser = _parser()
        env: dict[str, Any] = {"names": names}
        tokens = parser.parse(text, env)
        if any(token.level > _LEVELS for token in tokens):
            return plain(text)
        made = _clean(parser.renderer.render(tokens, parser.options, env))
        made = visible_in_html(_BLOCK_END.sub(r"\1", made).strip("\n"))
    except Exception:  # a library gave up on a stranger's text: no reason to lose the message
        log.debug("a message could not be rendered", exc_info=True)
        return plain(text)
    if made.count("<") > 2 * _ELEMENTS:
        return plain(text)
    if made.startswith("<p>") and made.endswith("</p>") and made.count("<p>") == 1:
        made = made[3:-4]
    if RIGHT_TO_LEFT.search(made):
        made = _directed(made)
    return made or plain(text)


def _lines(text: str) -> int:
    """How many lines there are outside of fenced code."""
    number, fence = 0, ""
    for line in text.split("\n"):
        found = _FENCE.match(line)
        if fence:
            if found and found[1].startswith(fence) and not found[2].strip():
                fence = ""
        elif found:
            fence = found[1]
        else:
            number += 1
    return number


def _directed(made: str) -> str:
    """With directions. Of blocks within one another the outermost has it: what has its own does not count
    for what it stands in."""
    depth = 0

    def put(found: re.Match[str]) -> str:
        nonlocal depth
        end, tag = found.groups()
        if tag in _LEFT_TO_RIGHT:
            return found[0] if end else f'{found[0]} dir="ltr"'
        depth += -1 if end else 1
        return found[0] if end or depth > 1 else f'{found[0]} dir="auto"'

    return _DIRECTED.sub(put, made)


def plain(text: str) -> str:
    """The text as it is, as HTML."""
    return escape(visible_on_a_page(text), quote=False)


def _words(text: str, names: Collection[str]) -> str:
    """A line without markup."""
    made, done = "", 0
    for begin, end in spans(text, names):
        made += f"{escape(text[done:begin], quote=False)}{_mention(text[begin:end])}"
        done = end
    return made + escape(text[done:], quote=False)


def _mention(text: str) -> str:
    return f'<span class="mention">{escape(text, quote=False)}</span>'


def _clean(made: str) -> str:
    return nh3.clean(
        made,
        tags=set(ALLOWED_TAGS),
        clean_content_tags={"mphantom", "script", "style"},
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
    if tag == "mspace":
        return value if formulas.LENGTH.fullmatch(value) else None
    if name == "scriptlevel":
        return value if value in ("0", "1", "2") else None
    if name == "linethickness":  # of a binomial, which has no line
        return value if value == "0" else None
    return value if _VALUE.fullmatch(value) else None


def _is_link(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    if parts.scheme == "mailto":
        return bool(parts.path)
    is_whole = url.lower().startswith(f"{parts.scheme}://")
    return parts.scheme in _SCHEMES and is_whole and _HOST.fullmatch(parts.hostname or "") is not None


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
        {"html": False, "linkify": True},
        renderer_cls=_Renderer,
    )
    # No text vanishes as a definition; a line of dashes below it makes no heading of pasted code.
    parser.disable(["lheading", "reference", "html_block", "html_inline"])
    assert parser.linkify is not None
    parser.linkify.set({"fuzzy_link": False, "fuzzy_email": False, "fuzzy_ip": False})
    parser.helpers = SimpleNamespace(**{**vars(helpers), "parseLinkLabel": _label})  # type: ignore[assignment]
    parser.validateLink = _is_link  # type: ignore[method-assign]
    parser.use(dollarmath_plugin, allow_space=False, allow_digits=False)
    for kind in ("math_inline", "math_inline_double", "math_block", "math_block_label"):
        parser.add_render_rule(kind, _formula)
    inline.use(parser)
    parser.block.ruler.at("heading", _heading)
    parser.block.ruler.before("blockquote", "session", _session, {"alt": ["paragraph"]})
    return parser


def _label(state: StateInline, start: int, disable_nested: bool = False) -> int:
    """Where the words of a link end that begin here, or -1."""
    rest = state.posMax - start
    if not inline.may_look(state, rest):  # before looking, since inside of it there can be others
        return -1
    end = parseLinkLabel(state, start, disable_nested)
    if end >= 0:
        state.env["looked"] -= state.posMax - end
    return -1 if _CALL.match(state.src, end + 1) else end


def _heading(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """``# Title`` is a line of bold words, if it can be no comment in pasted code or output of R."""
    if silent or state.is_code_block(start):
        return False
    found = _HEADING.fullmatch(_line(state, start))
    following = _line(state, start + 1).strip() if start + 1 < end else ""
    if found is None or (following and (len(found[1]) == 1 or not _PROSE.match(following))):
        return False
    token = state.push("paragraph_open", "p", 1)
    token.map = [start, start + 1]
    state.push("strong_open", "strong", 1).block = False
    token = state.push("inline", "", 0)
    token.content, token.map, token.children = found[2], [start, start + 1], []
    state.push("strong_close", "strong", -1).block = False
    state.push("paragraph_close", "p", -1)
    state.line = start + 1
    return True


def _line(state: StateBlock, number: int) -> str:
    return state.src[state.bMarks[number] + state.tShift[number] : state.eMarks[number]]


def _session(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """Lines of a Python session are code, not a quotation in a quotation in a quotation."""
    if not _line(state, start).startswith(">>> "):
        return False
    if silent:
        return True
    last = start
    while last < end and _line(state, last).strip():
        last += 1
    token = state.push("fence", "code", 0)
    token.info, token.map = "pycon", [start, last]
    token.content = state.getLines(start, last, state.blkIndent, True)
    state.line = last
    return True


class _Renderer(RendererHTML):
    """Markdown-it's own, but for links, pictures, code and what it does not know."""

    def mention(self, tokens: Sequence[Token], at: int, options: Any, env: Any) -> str:
        return _mention(tokens[at].content)

    def task(self, tokens: Sequence[Token], at: int, options: Any, env: Any) -> str:
        return f'<span class="task">{tokens[at].content}</span> '

    def td_open(self, tokens: Sequence[Token], at: int, options: Any, env: Any) -> str:
        """With its column's side as an attribute: no style passes."""
        side = str(tokens[at].attrs.get("style", "")).removeprefix("text-align:")
        return f'<{tokens[at].tag} align="{side}">' if side else f"<{tokens[at].tag}>"

    th_open = td_open

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
        says_it = (
            tokens[opened].markup in ("linkify", "autolink")
            and host in shown
            and "@" not in urlsplit(url).netloc
        )
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


def _formula(self: RendererHTML, tokens: Sequence[Token], at: int, options: Any, env: Any) -> str:
    """LaTeX as MathML; what cannot be read, or of which something would not be seen, as code."""
    source, mark = tokens[at].content, tokens[at].markup
    label = f" ({tokens[at].info})" if tokens[at].type == "math_block_label" else ""
    if len(source) <= _FORMULA and not _MARKUP.search(source):
        try:
            display = "inline" if tokens[at].type == "math_inline" else "block"
            if made := formulas.mathml(source, display, _clean):
                return made + escape(label, quote=False)
        except Exception:
            log.debug("a formula could not be read", exc_info=True)
    return f"<code>{escape(f'{mark}{source}{mark}{label}', quote=False)}</code>"
