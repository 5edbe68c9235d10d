"""What stands in a saved notebook where the panel was: the last messages, as HTML that needs nothing else.

A panel lives only while its kernel does. So beside it a cell has a second output, which a running page
hides and everything else shows: nbconvert, a viewer, a notebook that is opened the next day.

Its looks are in ``style`` attributes, which every viewer keeps that keeps any. Their colours do on light and
on dark ground. The one <style> is for notebooks that are trusted: it makes the colours those of the panel,
and hides "Error displaying widget", JupyterLab's word for a panel without a kernel.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, tzinfo
from html import escape

from nbchat.core.escape import visible_on_a_page
from nbchat.core.transcript import Message, mark
from nbchat.render import html as render

_MESSAGES = 50
_SIZE = 100_000
"""Messages and characters of HTML in a saved notebook: it goes into people's repositories."""
_GROUP = 300_000
"""Milliseconds in which messages of one author stand under one name, as in the panel."""

_FACES = (
    "#b3261e", "#a14200", "#7a5900", "#4c6b00", "#1a7035", "#00706a",
    "#006c99", "#0b5cc0", "#4a4fc4", "#7440b8", "#96348f", "#ad2d62",
)  # fmt: skip
"""The colours of faces, as in page/panel.css."""
_COLOURS = {
    "k": "#8b6ad9", "s": "#2f8a4c", "c": "#7b818a", "m": "#2c7fd0", "f": "#c0681a", "b": "#2c7fd0",
    "host": "#7b818a", "mention": "#2c7fd0",
}  # fmt: skip
"""Of what ``render`` gives a class: about 4 to 1 on white and on black, the best there is for both."""
_GREY = "rgba(128,128,128,.16)"
_LINE = "1px solid rgba(128,128,128,.45)"
_BLOCK = "display:block;float:none;clear:both;width:auto;font-weight:normal"
"""Of names and texts: Jupyter's own looks of a <dl> are two columns."""
_STYLES = {
    "pre": "margin:4px 0;padding:8px 10px;border-radius:6px;overflow:auto;white-space:pre;"
    f"background:{_GREY}",
    "code": f"padding:1px 4px;border-radius:4px;background:{_GREY}",
    "blockquote": "margin:4px 0;padding:0 0 0 10px;border:0;text-align:start;"
    f"border-left:3px solid {_COLOURS['c']}",
    "table": "margin:4px 0;border-collapse:collapse",
    "th": f"padding:3px 8px;border:{_LINE};text-align:start",
    "td": f"padding:3px 8px;border:{_LINE};text-align:start",
    "p": "margin:0 0 4px;text-align:start",
    "ul": "margin:0 0 4px;padding:0 0 0 22px",
    "ol": "margin:0 0 4px;padding:0 0 0 22px",
    "li": "list-style:none",
}
"""Of what render.py makes, by tag; of items those with a box."""
_MIRRORED = {
    "blockquote": "margin:4px 0;padding:0 10px 0 0;border:0;text-align:start;"
    f"border-right:3px solid {_COLOURS['c']}",
    "ul": "margin:0 0 4px;padding:0 22px 0 0",
    "ol": "margin:0 0 4px;padding:0 22px 0 0",
}
"""The same from right to left: JupyterLab's sanitizer knows no padding-inline-start.
"start" becomes left or right, for the same reason."""
_STRONG = re.compile(rf"<[^>]*>|&#?\w+;|(?P<right>{render.RIGHT_TO_LEFT.pattern})|(?P<left>[^\W\d_])")

# The output before the copy is its panel's: without a panel in it there is nothing to see there.
_TRUSTED = (
    "<style>"
    ".jp-OutputArea-child:not(:has(.nbchat)):has(+ .jp-OutputArea-child .nbchat-saved){display:none}"
    + "".join(
        f".nbchat-saved .{name}{{color:color-mix(in srgb,{colour} 60%,currentColor)!important}}"
        for name, colour in _COLOURS.items()
    )
    + "</style>"
)
_TAG = re.compile(
    r'<(?!li>(?!(?:<p>)?<span class="task">))'
    rf'({"|".join(_STYLES)})( [^>]*)?>|<span class="({"|".join(_COLOURS)})">'
)
"""No text looks like it: in text there is no <, since it is escaped."""
_SIDE = re.compile(r'align="(left|center|right)"')
_PRE = re.compile(r"(<pre\b.*?</pre>)", re.DOTALL)
_INDENT = re.compile(r"(?<=<br>) +|(?<=^) +")


def placeholder(room: str) -> str:
    """What is shown in the panel's own place."""
    return f"<i>The chat in {escape(visible_on_a_page(room))!r}. Run the cell to join it.</i>"


def line(html: str) -> str:
    """One line of HTML in the copy's place."""
    return f'<div class="nbchat-saved">\n{_TRUSTED}\n{html}\n</div>'


def moved() -> str:
    """What stands where a panel was that is in another cell now."""
    return line("<i>The chat moved to another cell.</i>")


def copy(
    messages: list[Message],
    head: str = "",
    *,
    html: Callable[[str], str] = render.html,
    zone: tzinfo | None = None,
) -> str:
    """The newest messages as HTML, under a line ``head`` (HTML). ``html`` renders their texts. Without a
    time zone there are no times and no days: two runs that say the same are equal."""
    shown: list[str] = []
    size = 0
    newest = messages[-_MESSAGES:]
    for at in range(len(newest) - 1, -1, -1):
        message, before = newest[at], newest[at - 1] if at else None
        made = _message(message, before, html, zone)
        size += len(made)
        if shown and size > _SIZE:
            shown[0] = _message(newest[at + 1], None, html, zone)  # whose name was further up
            break
        shown.insert(0, made)
    if not shown:
        return line(head)
    body = "\n".join(shown)
    frame = f"max-width:960px;padding:8px 14px;border:{_LINE};border-radius:8px"
    return line(f'{head}\n<div style="{frame}">\n<dl style="margin:0">\n{body}\n</dl>\n</div>'.strip())


def _message(
    message: Message, before: Message | None, html: Callable[[str], str], zone: tzinfo | None
) -> str:
    """A message; before the first of a group its author, before the first of a day the day."""
    parts = []
    at = _at(message, zone)
    is_new_day = at is not None and (before is None or _at(before, zone).date() != at.date())  # type: ignore[union-attr]
    if at is not None and is_new_day:
        day = f"{at:%A} {at.day} {at:%B} {at.year}"
        parts.append(f'<dt style="{_BLOCK};text-align:center;opacity:.75">{day}</dt>')
    is_same = before is not None and (before.by, mark(before.by)) == (message.by, mark(message.by))
    goes_on = is_same and not is_new_day
    if goes_on and before is not None and at is not None:
        goes_on = message.ms - before.ms < _GROUP
    if not goes_on:
        parts.append(f'<dt style="{_BLOCK};margin:10px 0 2px">{_author(message, at)}</dt>')
    # Set in from the names, so that no line of a message (**boss**: …) can be taken for another's.
    style = f"{_BLOCK};margin:0 0 2px 42px;white-space:pre-wrap;overflow-wrap:anywhere"
    parts.append(f'<dd dir="auto" style="{style}">{_styled(html(message.text))}</dd>')
    return "\n".join(parts)


def _author(message: Message, at: datetime | None) -> str:
    name = visible_on_a_page(message.by)
    face = (
        "display:inline-block;width:32px;margin-right:10px;border-radius:8px;color:#fff;font-size:12px;"
        f"font-weight:600;line-height:26px;text-align:center;background:{_FACES[_colour(message.by)]}"
    )
    made = f'<span style="{face}">{escape(_initials(name))}</span><b dir="auto">{escape(name)}</b>'
    if says := mark(message.by):
        made += f'<span style="opacity:.75;font-size:12px">{says}</span>'
    if at is not None:
        made += (
            f' <time style="opacity:.75;font-size:12px" title="{at:%Y-%m-%d %H:%M:%S %z}">{at:%H:%M}</time>'
        )
    return made


def _at(message: Message, zone: tzinfo | None) -> datetime | None:
    return None if zone is None else datetime.fromtimestamp(message.ms / 1000, UTC).astimezone(zone)


def _initials(name: str) -> str:
    """As page/looks.js makes them."""
    words = [word for word in re.split(r"[\s_.-]+", name) if word]
    return "".join(word[0].upper() for word in words[:2])


def _colour(name: str) -> int:
    """As page/looks.js does: FNV-1a, so that the same name has the same colour everywhere."""
    total = 2166136261
    for char in name.lower():
        total = ((total ^ ord(char)) * 16777619) & 0xFFFFFFFF
    return total % len(_FACES)


def _styled(made: str) -> str:
    """What render.py made, with its looks in it, and with line ends and indents that count without any."""
    parts = _PRE.split(made)
    for at, part in enumerate(parts):
        part = _TAG.sub(_tag, part)
        if at % 2 == 0:
            part = _INDENT.sub(lambda blanks: "&nbsp;" * len(blanks[0]), part.replace("\n", "<br>"))
        parts[at] = part
    return "".join(parts)


def _tag(tag: re.Match[str]) -> str:
    name, attributes, group = tag.groups()
    if group:
        return f'<span class="{group}" style="color:{_COLOURS[group]}">'
    block = tag.string.rfind("<pre", 0, tag.start())
    if name == "code" and block >= 0 and tag.string.find(">", block) == tag.start() - 1:
        return '<code style="padding:0;background:none">'
    is_mirrored = _is_from_the_right(tag.string, tag.end())
    style = _MIRRORED.get(name, _STYLES[name]) if is_mirrored else _STYLES[name]
    side = _SIDE.search(attributes or "")
    style = style.replace("start", side[1] if side else "right" if is_mirrored else "left")
    return f'<{name}{attributes or ""} style="{style}">'


def _is_from_the_right(made: str, at: int) -> bool:
    """Whether the first letter from here on is of a script from right to left, as dir="auto" has it."""
    found = (each.lastgroup for each in _STRONG.finditer(made, at, at + 1000) if each.lastgroup)
    return next(found, "left") == "right"
