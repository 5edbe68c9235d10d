"""Markdown to HTML that does nothing."""

from __future__ import annotations

import re
import string
import sys
import threading
import time
from html.parser import HTMLParser
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it.parser_inline import ParserInline
from markdown_it.rules_inline import StateInline
from markdown_it.rules_inline.linkify import SCHEME_RE

from nbchat.core import mentions, names
from nbchat.render import html as render
from tests.ui.payloads import NAMES, PAYLOADS


class Checked(HTMLParser):
    """Reads HTML and complains of all that is not allowed; what is left is its text."""

    def __init__(self, made: str) -> None:
        super().__init__(convert_charrefs=True)
        self.text = ""
        self.open: list[str] = []
        self.feed(made)
        self.close()
        assert self.open == [], f"not closed: {self.open} in {made}"

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        assert tag in render.ALLOWED_TAGS, tag
        for name, value in attributes:
            assert value is not None
            if name == "class":
                assert tag == "span"
                assert set(value.split()) <= render.ALLOWED_CLASSES
            elif (tag, name) == ("a", "rel"):
                assert value == "noopener noreferrer nofollow"
            elif (tag, name) == ("a", "target"):
                assert value == "_blank"
            else:
                assert name in render.ALLOWED_ATTRIBUTES.get(tag, ()), (tag, name)
            if name == "href":
                assert urlsplit(value).scheme in ("http", "https", "mailto"), value
                assert urlsplit(value).hostname or value.lower().startswith("mailto:"), value
            assert not name.startswith("on")
        if tag == "a":
            assert {name for name, _ in attributes} == {"href", "target", "rel"}
        if tag not in ("br", "hr"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")

    handle_decl = handle_pi = unknown_decl = handle_comment


LINK = 'target="_blank" rel="noopener noreferrer nofollow"'


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("just words", "just words"),
        ("two\nlines", "two\nlines"),
        ("def f(x):\n    return  x", "def f(x):\n    return  x"),
        ("the __init__ of it, __bold words__", "the __init__ of it, <strong>bold words</strong>"),
        (">>> 1 + 1\n2", '<pre><code><span class="c">&gt;&gt;&gt; </span><span class="m">1</span> + <span class="m">1</span>\n2</code></pre>'),
        ("one\n\nother", "<p>one</p><p>other</p>"),
        ("**bold**, *slanted*, ~~gone~~, `x < 1`", "<strong>bold</strong>, <em>slanted</em>, <s>gone</s>, <code>x &lt; 1</code>"),
        ("snake_case_name and 2 * 3 * 4", "snake_case_name and 2 * 3 * 4"),
        ("a < b && c > d", "a &lt; b &amp;&amp; c &gt; d"),
        ("<b>no</b> &amp; é", "&lt;b&gt;no&lt;/b&gt; &amp; é"),
        ("# a comment\nx = 1\n-----", "<p># a comment\nx = 1</p><hr>"),
        ("- one\n- two", "<ul><li>one</li><li>two</li></ul>"),
        ("3. three\n4. four", '<ol start="3"><li>three</li><li>four</li></ol>'),
        ("> said before", "<blockquote><p>said before</p></blockquote>"),
        ("see https://example.org/a?b=1", f'see <a href="https://example.org/a?b=1" {LINK}>https://example.org/a?b=1</a>'),
        ("example.org and a@example.org", "example.org and a@example.org"),
        ("[here](https://example.org/x)", f'<a href="https://example.org/x" {LINK}>here</a><span class="host"> (example.org)</span>'),
        ("[example.com](https://evil.example)", f'<a href="https://evil.example" {LINK}>example.com</a><span class="host"> (evil.example)</span>'),
        ("[](https://example.org)", f'<a href="https://example.org" {LINK}>https://example.org</a>'),
        ("https://bank.example@evil.example/", f'<a href="https://bank.example@evil.example/" {LINK}>https://bank.example@evil.example/</a><span class="host"> (evil.example)</span>'),
        ("![a plot](https://example.org/p.png)", f'<a href="https://example.org/p.png" {LINK}>a plot</a><span class="host"> (example.org)</span>'),
        ("[x](javascript:alert(1))", "[x](javascript:alert(1))"),
        ("[x](/lab?token=1)", "[x](/lab?token=1)"),
        ("[note]: https://example.org", f'[note]: <a href="https://example.org" {LINK}>https://example.org</a>'),
        ("It costs $5, or $6 with tax", "It costs $5, or $6 with tax"),
        ("```python\nimport os  # it\n```", '<pre><code><span class="k">import</span> os  <span class="c"># it</span>\n</code></pre>'),
        ("```\n<b>\n```", "<pre><code>&lt;b&gt;\n</code></pre>"),
        ("```klingon\nx\n```", "<pre><code>x\n</code></pre>"),
    ],
)  # fmt: skip
def test_what_becomes_of_markdown(text: str, html: str) -> None:
    assert render.html(text) == html
    Checked(html)


def test_tables_and_formulas() -> None:
    table = render.html("| a | b |\n|---|--:|\n| 1 | 2 |")
    assert "<th>a</th>" in table
    assert "style" not in table
    formula = render.html("so $\\frac{a}{b}$ it is")
    assert "<mfrac>" in formula
    assert "<math" in formula
    block = render.html("$$\\int_0^1 x\\,dx$$")
    assert 'display="block"' in block
    for broken in ("$\\frac{$", "$" + "x" * 600 + "$", "$\\text{<b>x</b>}$"):
        assert render.html(broken) == f"<code>{broken.replace('<', '&lt;').replace('>', '&gt;')}</code>"
    for made in (table, formula, block):
        Checked(made)


AS_TYPED = (
    "2*3*4", "x**2 + y**2", "COUNT(*), ROUND(COUNT(*)*100)", "ls *.py,*.txt", "f(*args, **kwargs)", "(a)*(b)*(c)", "长*宽*高", "print(*a,*b)",
    "char *p = malloc(sizeof(char*));", "void (*fn)(int*)", "-*- coding: utf-8 -*-", "'*' or '*'", "**/node_modules/**", "rm *~ x*", "/*a*/", "a|*|*|b",
    "SELECT t.*,u.*", "y ~ a*b + c*d", "int *p=*q;", "**bold**text", "re.sub('.*x.*')", "{**a, **b}", "snake_case_name", "(.*)(.*)", "5 * 3 * 2",
    "C:" r"\Users\me\.ssh", r"\d+\.\d+", r"\\server\share\_x", r"\[a-z\]\(x\)", r"^\s*\*$", r"\frac{a}{b}", r"a \| b", "line \\\nline", r"\#x \> y", r"\$HOME",
    "export PATH=$HOME/bin:$PATH", "costs $5, or $6", "df$x + df$y$z", "${A}/${B}", "$(a)$(b)", "$1,$2", "^a$|^b$", "use $@,$*", "$5 to 10$", "$ x $", "x$y$z",
    "'$HOME'/'$USER'", "echo $A $B", "$$", "a$x$", "$x$2",
    "# load\nx = 1", "## [1] 3", "#!/bin/sh", "# a\n# b", "## x\ny <- f(1)", "#tag", "hello\n## there",
)  # fmt: skip


@pytest.mark.parametrize("text", AS_TYPED)
def test_what_is_typed_is_what_is_shown(text: str) -> None:
    assert render.html(text) == render.plain(text)


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("**注意：**正文", "<strong>注意：</strong>正文"),
        ("这是**重点**，**另一个**和“**引号**”", "这是<strong>重点</strong>，<strong>另一个</strong>和“<strong>引号</strong>”"),
        ("**「括号」**后面 **단어**를", "<strong>「括号」</strong>后面 <strong>단어</strong>를"),
        ("*注意：*正文", "<em>注意：</em>正文"),
        ("(*x*), **a**/**b**: ***c***!", "(<em>x</em>), <strong>a</strong>/<strong>b</strong>: <em><strong>c</strong></em>!"),
        ("**.env** *a.b* _c_ ~~*d*~~", "<strong>.env</strong> <em>a.b</em> <em>c</em> <s><em>d</em></s>"),
        ("**Note (see *below*)**", "<strong>Note (see <em>below</em>)</strong>"),
        (r"\*not slanted\* \_x\_ \`y\` \~~z~~", "*not slanted* _x_ `y` ~~z~~"),
        (r"\$x$ \[a](https://x.org/)", f'$x$ [a](<a href="https://x.org/" {LINK}>https://x.org/</a>)'),
        (r"\# no heading", "# no heading"),
        (r"1\. no list", "1. no list"),
        (r"\- no list", "- no list"),
        (r"`\d` \\", "<code>\\d</code> \\\\"),
        ("见https://example.com/a。谢谢", f'见<a href="https://example.com/a" {LINK}>https://example.com/a</a>。谢谢'),
        ("（https://x.org/路）", f'（<a href="https://x.org/%E8%B7%AF" {LINK}>https://x.org/路</a>）'),
        ("“https://x.org/a”", f'“<a href="https://x.org/a" {LINK}>https://x.org/a</a>”'),
        ("(https://x.org/Foo_(bar))", f'(<a href="https://x.org/Foo_(bar)" {LINK}>https://x.org/Foo_(bar)</a>)'),
        ("https://x.org/a،", f'<a href="https://x.org/a" {LINK}>https://x.org/a</a>،'),
        ("https://medium.com/@ada", f'<a href="https://medium.com/@ada" {LINK}>https://medium.com/@ada</a>'),
        ("# Title", "<strong>Title</strong>"),
        ("### Title ##\n\nwords", "<p><strong>Title</strong></p><p>words</p>"),
        ("## Results\n- [x] a", '<p><strong>Results</strong></p><ul><li><span class="task">☑</span> a</li></ul>'),
        ("> שלום\n>\n> x\n\ny", '<blockquote dir="auto"><p>שלום</p><p>x</p></blockquote><p dir="auto">y</p>'),
        ("## Results\nWe found 3", "<p><strong>Results</strong></p><p>We found 3</p>"),
        ("- [x] done\n- [ ] `b`\n- [x](https://x.org)", '<ul><li><span class="task">☑</span> done</li><li><span class="task">☐</span> <code>b</code></li>'
         f'<li><a href="https://x.org" {LINK}>x</a><span class="host"> (x.org)</span></li></ul>'),
        ("שלום `x` עולם", 'שלום <code dir="ltr">x</code> עולם'),
        ("שלום\n\nhello", '<p dir="auto">שלום</p><p dir="auto">hello</p>'),
        ("- אחד\n\n```\nx\n```", '<ul dir="auto"><li>אחד</li></ul><pre dir="ltr"><code dir="ltr">x\n</code></pre>'),
    ],
)  # fmt: skip
def test_what_can_only_mean_a_look(text: str, html: str) -> None:
    assert render.html(text) == html
    Checked(html)


CONCEALED = (
    r"a\phantom{hid}b", r"\vphantom{hid}a", r"\hphantom{hid}a", r"\phantom{\text{hid}}", r"\phantom{🔥}a", r"a % hid",
    r"\href{https://hid.example}{b}", r"\newcommand{\hid}{b} b", r"\def\hid{b} b", r"\class{hid}{b}", r"\style{hid}{b}",
    r"\color{hid}b", r"\colorbox{hid}{b}", r"\mathchoice{h}{i}{d}{e}", r"\begin{hid}a\end{hid}", r"\mathop{h}^{a}",
    r"\DeclareMathOperator{\hid}{b} b", r"\sideset{h}{i}d", r"\hspace{1234567}a", r"a^{b^{c^{d^{hid}}}}", r"a^{b^{c^{d_{hid}}}}",
    r"\frac{\frac{\frac{\frac{h}{i}}{d}}{d}}{e}", r"\cfrac{1}{a^{b^{c^{d^{hid}}}}}",
)  # fmt: skip
"""Formulas of which a reader would not see something."""


@pytest.mark.parametrize("source", CONCEALED)
def test_what_a_formula_would_conceal_is_shown_as_it_was_typed(source: str) -> None:
    made = render.html(f"so ${source}$ it is")
    assert made == f"so <code>${source}$</code> it is"


@pytest.mark.parametrize(
    "source",
    [
        r"a\hspace{-9em}b", r"a\kern-9em b", r"a\mkern-180mu b", r"a\mspace{-18mu}b", r"a\hskip-9em b", r"a\!\!\!\!b",
        r"a\negthickspace b", r"a\hspace{999em}b", r"a\llap{b}", r"a\rlap{b}", r"a\mathllap{b}", r"a\smash{b}",
        r"a\raise{9em}{b}", r"a\moveleft{9em}{b}", r"\color{white}ab", r"\textcolor{red}{ab}", r"\tiny ab",
        r"a\lower{9em}{b}", r"a\skew{3}{}{b}",
    ],
)  # fmt: skip
def test_nothing_is_drawn_over_or_away_from_anything(source: str) -> None:
    """Sizes, colours and places that would do it are left out; what is drawn stands where it stands."""
    made = render.html(f"${source}$")
    assert made.startswith("<math ")
    assert re.sub("<[^>]*>", "", made) == "ab"
    attributes = set(re.findall(r' (\w+)="([^"]*)"', made)) - {("display", "inline")}
    assert attributes <= {("width", "0.167em")}, made
    Checked(made)


@pytest.mark.parametrize(
    "source",
    [
        r"e^{-\frac{(x-\mu)^2}{2\sigma^2}}", r"\int_0^1\! x\,dx", r"\begin{pmatrix}a&b\\c&d\end{pmatrix}", r"\sqrt[3]{x}",
        r"\begin{array}{c|c}a&b\\c&d\end{array}", r"\begin{cases}1&x>0\\0&\text{otherwise}\end{cases}", r"f''(x)",
        r"\mathbb{R}\to\mathcal{L}\mathfrak{g}\mathbf{A}\mathrm{d}x", r"\lim_{x\to 0}\frac{\sin x}{x}", r"50\%",
        r"\binom{n}{k}\quad\operatorname{tr}A\bmod 3", r"\hat{x}\overline{ab}\underbrace{a+b}_{2}", r"\displaystyle\sum_i x_i",
        r"\textcolor{blue}{x}+\color{red}y", r"\hspace{1em}a\kern3pt b", r"\left(\frac12\right)", r"\cfrac{1}{1+\cfrac{1}{2+\cfrac{1}{3+\cfrac{1}{4+\cfrac15}}}}",
        r"\begin{align*}a&=b\\c&=d\end{align*}", r"2^{2^{2^2}}", r"\boxed{E=mc^2}\tag{1}", r"日本 + \text{größe}",
    ],
)  # fmt: skip
def test_formulas_that_people_write_are_drawn(source: str) -> None:
    made = render.html(f"${source}$")
    assert made.startswith("<math "), made
    Checked(made)


def test_the_label_of_a_formula_is_shown() -> None:
    assert render.html("$$x^2$$ (hid)").endswith("</math> (hid)")


def test_formulas_stand_beside_blanks_and_punctuation() -> None:
    for text in (
        "$x^2$",
        "($x$)",
        "设$x$为",
        "so $x$, $y$.",
        "**$x$**",
        "$x$-axis",
        "so $$x^2$$ is",
        "שלום $x$",
        '"$x$"',
        "$\\$5$",
    ):
        made = render.html(text)
        Checked(made)
        assert made.count("<math") == len(text.replace("$$", "$").replace("\\$", "").split("$")) // 2
    assert render.html("שלום $x$").count('<math dir="ltr"') == 1


def test_columns_keep_their_side() -> None:
    made = render.html("| a | b | c | d |\n|:--|:-:|--:|---|\n| 1 | 2 | 3 | 4 |")
    Checked(made)
    for cell in ('<th align="left">a', '<td align="center">2', '<td align="right">3', "<td>4"):
        assert cell in made


def _called(made: str) -> list[str]:
    return [part.partition("</span>")[0] for part in made.split('<span class="mention">')[1:]]


def test_a_mention_is_marked_where_it_is_one() -> None:
    names = ["ada", "ada lovelace", "小明", "a<b"]
    text = "hi @ada, **@Ada Lovelace**'s `@ada` 你好@小明 看 https://x.org/@ada [@ada](https://x.org) @nobody @everyone"
    made = render.html(text, names)
    Checked(made)
    assert _called(made) == ["@ada", "@Ada Lovelace", "@小明", "@everyone"]
    assert render.html("hi @ada!", names) == 'hi <span class="mention">@ada</span>!'
    assert render.html("hi @ada!") == "hi @ada!"
    assert _called(render.html("```\n@ada\n```\n>>> @ada", names)) == []
    assert _called(render.html("- @ada\n- [ ] @ada\n\n|@ada|\n|-|\n", names)) == ["@ada"] * 3


TALK = st.lists(
    st.sampled_from(
        ["@ada", "@bob b", " ", "\n", "\n\n", "`", "``", "**", "*", "_", "```\n", "> ", "- ", "\\", "http://x.y/", "x", "小", ".", "("]
    ),
    max_size=16,
).map("".join)  # fmt: skip


@settings(max_examples=300)
@given(TALK)
def test_the_page_marks_what_calls(text: str) -> None:
    """Row and word agree: in a text without what Markdown takes for something else (an address in brackets)."""
    Checked(render.html(text, ["ada", "bob b"]))
    if not any(each in text for each in ("`", "\\", "http", "(")):
        called = [text[begin:end] for begin, end in mentions.spans(text, ["ada", "bob b"])]
        assert _called(render.html(text, ["ada", "bob b"])) == called


def _bare(text: str) -> str:
    return "".join(char for char in text if char.isalnum())


@pytest.mark.parametrize("text", PAYLOADS)
def test_no_attempt_does_anything(text: str) -> None:
    checked = Checked(render.html(text))
    # Nothing vanishes without a trace: the words that were written are still to be read.
    if "$" not in text and "&" not in text:
        hidden = 2 * (text.count("](") + text.count("```") + text.count("]:"))  # in addresses
        for word in ("alert", "press", "script", "onerror"):
            assert checked.text.count(word) >= text.count(word) - hidden


def test_there_are_enough_attempts() -> None:
    assert len(set(PAYLOADS)) == len(PAYLOADS) >= 300
    assert sum("javascript" in each.lower() for each in PAYLOADS) >= 60
    for name in NAMES:
        names.check_member(name)


MARKUP = st.text(alphabet=string.printable + "<>&\"'`*_[]()!|$\\#-~:/@ é\u202e\n", max_size=300)
PIECES = st.lists(
    st.sampled_from(
        ["<", ">", "<b ", "</", "[", "](", ")", "javascript:", "https://x.invalid", "`", "```\n", "$", "$$", "\\text{", "}",
         "|", "\n", "|-|", "> ", "- ", "&lt;", "&#", ";", "\"", "'", "onclick=", "<script>", "<!--", "-->", "*", "_", " ", "x"]
    ),
    max_size=40,
).map("".join)  # fmt: skip


@pytest.mark.parametrize("text", ["handlers[name]()", "m[1]( )", "[]()", "![a]()", "d[k]('x')", "f[i](x)"])
def test_a_call_is_no_link(text: str) -> None:
    assert render.html(text) == text


@settings(max_examples=300)
@given(MARKUP | PIECES | st.text(max_size=200))
def test_whatever_is_written_is_harmless(text: str) -> None:
    Checked(render.html(text.encode("utf-8", "replace").decode()))


PLAIN = st.text(alphabet=string.ascii_letters + string.digits + " .,;!?()'\"%=é", min_size=1, max_size=80)


@settings(deadline=None)
@given(PLAIN)
def test_plain_words_take_the_short_way_to_the_same_place(text: str) -> None:
    text = f"x{text.strip()}"
    short = render.html(text)
    long = render.html(f"{text}\n\n*end*")
    assert short.replace('"', "&quot;") == long.partition("</p>")[0].removeprefix("<p>").replace(
        '"', "&quot;"
    )


HOSTILE = (
    "[", "![", "]", "*a ", "**a", "_a ", "`", "` ", "> ", "| ", "|a|\n|-|\n", "$", "$a", "$$a\n\n", "<", "<a", "<http://",
    "~~", "&", "\\", "(", "[a](", "http://", "http://a.b ", "://", "- ", "1. ", "a\n", "![](http://a)", "[[a]", "[a][",
    "http://a.b/(", "http://a-", "a@b.c ", "$x$", "```python\na+", "$\\frac", "```bash\n<<a", "mailto:a@b ", "\\*", "\\*a ", "\\`", "a*( ", "(*a ", "@", "@ada ", "# a\n\n", "- [x] a\n", "$$a$$ ", "\\$a$ ", "**（", "שa ", "\\[a](", "```r\n'", "```css\n{a",
)  # fmt: skip


@pytest.mark.parametrize("piece", HOSTILE)
def test_hostile_texts_are_bounded(piece: str) -> None:
    text = (piece * 16_384)[:16_384]
    made = render.html(text)
    assert made.count("<") <= 16_400  # twice the elements, or one <br> for a newline
    assert len(made) <= 20 * len(text)
    Checked(made)


@pytest.mark.parametrize(
    "piece", ["**a", "*a ", "&", "\\", "a\n", "- ", "*a **b ", "\\*a ", "(*a ", "@ada ", "\\` "]
)
def test_time_grows_with_length_only(piece: str) -> None:
    def spent(length: int) -> float:
        text = (piece * length)[:length]
        best = 1e9
        for _ in range(3):
            begun = time.thread_time()
            render.html(text)
            best = min(best, time.thread_time() - begun)
        return best

    assert spent(16_000) < 12 * spent(4_000)  # four times as long; quadratic would be sixteen


LOOKING = (
    "`[" * 199 + "*" * 16_000, "́[$" * 199 + "}" * 16_000, "http:" * 3000 + ")[://" * 199, ("_[" + "*" * 80) * 199,
    "[" * 199 + "a " * 8000, "![" * 199 + "**a" * 5000, ")://" * 199 + "a:" * 8000, "a:" * 7600 + "://" * 199,
)  # fmt: skip


@pytest.mark.parametrize("text", LOOKING, ids=range(len(LOOKING)))
def test_a_text_is_looked_through_a_few_times_at_most(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where links could begin, each looks for its end: 200 in 16 KiB blocked the kernel for a second."""
    steps = 0
    skip, search = ParserInline.skipToken, SCHEME_RE

    def skipped(self: ParserInline, state: StateInline) -> None:
        nonlocal steps
        steps += 1
        skip(self, state)

    class Searched:
        def search(self, text: str) -> object:
            nonlocal steps
            steps += len(text)
            return search.search(text)

    monkeypatch.setattr(ParserInline, "skipToken", skipped)
    monkeypatch.setattr(sys.modules["markdown_it.rules_inline.linkify"], "SCHEME_RE", Searched())
    Checked(render.html(text[:16_384]))
    assert 100 < steps < 12 * 16_384


def test_links_in_long_texts_are_links_all_the_same() -> None:
    text = "see [x[0]](https://example.org/a) or https://example.org/b and a[1][2] " * 45 + "more " * 2000
    made = render.html(text)
    assert (made.count(">x[0]</a>"), made.count("<a ")) == (45, 90)


DEEP = (">" * 200 + "word", "> " * 6 + "a\n" * 8000 + "word", "- > " * 7 + "a\n" * 100 + "word", "".join("  " * at + f"- word{at}\n" for at in range(124)))  # fmt: skip


@pytest.mark.parametrize("text", DEEP, ids=range(len(DEEP)))
def test_what_is_too_deep_is_shown_as_it_is(text: str) -> None:
    """Deeper than its own bound Markdown drops what was said; and each level costs as much as all of it."""
    assert render.html(text) == render.plain(text)


LINES = ("# a\n\n" * 3000, "a\n" * 8000, "- a\n" * 4000, "```\na\n```\n" + "a\n" * 1100, "```\n````\n``` a\n" * 400 + "a\n" * 1100)  # fmt: skip


@pytest.mark.parametrize("text", LINES, ids=range(len(LINES)))
def test_very_many_lines_are_shown_as_they_are(text: str) -> None:
    """Each may be a block of its own: 16 KiB of headings, or a column of numbers, took 0.2 s of the kernel."""
    assert render.html(text) == render.plain(text)


@pytest.mark.parametrize("fence", ["```", "~~~~", "  ```"])
def test_the_lines_of_fenced_code_may_be_many(fence: str) -> None:
    made = render.html(f"**so:**\n{fence}json\n" + "1,\n~~~ x\n" * 900 + f"{fence}\n\n**and**")
    assert made.startswith("<p><strong>so:</strong></p><pre><code>")
    assert made.endswith("</code></pre><p><strong>and</strong></p>")


def test_names_with_underscores_do_not_look_for_their_end_for_ever() -> None:
    def spent(length: int) -> float:
        text = ("__a" * length)[: length - 1] + "_b"
        best = 1e9
        for _ in range(3):
            begun = time.thread_time()
            render.html(text)
            best = min(best, time.thread_time() - begun)
        return best

    assert spent(15_001) < 10 * spent(3_751)


def test_threads_do_not_disturb_one_another() -> None:
    texts = ["**a** `b`", "```python\nx = 1\n```", "$x^2$", "| a |\n|---|\n| 1 |"]
    wanted = [render.html(text) for text in texts]
    wrong: list[str] = []

    def work() -> None:
        for _ in range(30):
            for text, html in zip(texts, wanted, strict=True):
                if render.html(text) != html:
                    wrong.append(text)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_library_that_fails_costs_the_looks_only(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(text: str) -> str:
        raise RecursionError

    monkeypatch.setattr(render, "_clean", fail)
    assert render.html("**a** <b>\nc") == "**a** &lt;b&gt;\nc"
