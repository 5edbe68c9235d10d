"""Messages as a list that shows itself: short in a terminal, as a table in a notebook."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import SupportsIndex, overload

from nbchat.core.escape import indented, one_line, visible_on_a_page
from nbchat.core.transcript import Message, mark

_ROWS = 20
"""Messages that are shown, the newest ones."""
_CHARS = 100
"""Characters of a message in a terminal's line."""
_MORE = 2000
"""Characters of a message on a page."""


class Messages(list[Message]):
    """A list of messages like any other; only its looks are its own. A part of it (``messages[-3:]``) is one,
    too."""

    @overload
    def __getitem__(self, at: SupportsIndex, /) -> Message: ...
    @overload
    def __getitem__(self, at: slice, /) -> Messages: ...
    def __getitem__(self, at: SupportsIndex | slice, /) -> Message | Messages:
        found = super().__getitem__(at)
        return Messages(found) if isinstance(found, list) else found

    def __add__(self, other: Iterable[Message]) -> Messages:  # type: ignore[override]
        return Messages([*self, *other])

    def __repr__(self) -> str:
        return "\n".join([f"<{self._title()}>", *(_line(message) for message in self[-_ROWS:])])

    def _repr_html_(self) -> str:
        """Text only, nothing of it rendered: whoever wrote it, it does nothing to the page."""
        left = "text-align:left;vertical-align:top"
        rows = "".join(
            f"<tr><td style='{left}'>{message.seq}</td><td style='{left}'>{message.at:%Y-%m-%d %H:%M}</td>"
            f"<th style='{left}'>{_safe(message.by)}{mark(message.by)}</th>"
            f"<td style='{left};white-space:pre-wrap'>{_safe(message.text)}</td></tr>"
            for message in self[-_ROWS:]
        )
        return f"<table><caption style='{left}'>{self._title()}</caption>{rows}</table>"

    def _repr_pretty_(self, printer: object, cycle: bool) -> None:
        """For IPython, which would show a list in its own way."""
        printer.text(repr(self))  # type: ignore[attr-defined]

    def _title(self) -> str:
        rest = f", the newest {_ROWS}" if len(self) > _ROWS else ""
        return f"{len(self)} message{'' if len(self) == 1 else 's'}{rest}"


def _line(message: Message) -> str:
    text = indented(message.text[: _CHARS + 1]).partition("\n")
    is_whole = len(message.text) <= _CHARS and not text[1]
    by = f"{one_line(message.by)}{mark(message.by)}"
    return f"{message.seq:>6}  {by}: {text[0][:_CHARS]}{'' if is_whole else '…'}"


def _safe(text: str) -> str:
    text = text if len(text) <= _MORE else f"{text[:_MORE]}…"
    return escape(visible_on_a_page(text))
