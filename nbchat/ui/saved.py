"""What stands in a saved notebook where the panel was: the last messages, as plain HTML.

A panel lives only while its kernel does. So beside it a cell has a second output, which a running page
hides and everything else shows: nbconvert, a viewer, a notebook that is opened the next day.
"""

from __future__ import annotations

import re
from html import escape

from nbchat.core.transcript import Message, mark
from nbchat.core.visible import visible_on_a_page
from nbchat.ui import render

_MESSAGES = 50
_SIZE = 100_000
"""Messages and characters of HTML in a saved notebook: it goes into people's repositories."""

_PRE = re.compile(r"(<pre>.*?</pre>)", re.DOTALL)


def placeholder(room: str) -> str:
    """What is shown in the panel's own place."""
    return f"<i>The chat in {escape(visible_on_a_page(room))!r}. Run the cell to join it.</i>"


def copy(messages: list[Message]) -> str:
    """The newest messages as HTML without script, style or time: two runs that say the same are equal."""
    lines: list[str] = []
    size = 0
    for message in reversed(messages[-_MESSAGES:]):
        # Without our page's CSS a line end counts in <pre> only.
        parts = _PRE.split(render.html(message.text))
        parts[::2] = [part.replace("\n", "<br>\n") for part in parts[::2]]
        # Set in from the names, so that no line of a message (**boss**: …) can be taken for another's.
        by = f"<b>{escape(visible_on_a_page(message.by))}</b>{mark(message.by)}"
        line = f"<dt>{by}: </dt>\n<dd>{''.join(parts)}</dd>"
        size += len(line)
        if lines and size > _SIZE:
            break
        lines.append(line)
    body = "\n".join(["<dl>", *reversed(lines), "</dl>"]) if lines else ""
    return f'<div class="nbchat-saved">\n{body}\n</div>'
