"""What people wrote, as HTML that does nothing."""

from __future__ import annotations

from html import escape


def html(text: str) -> str:
    """A message's text as HTML, for a <div>."""
    return escape(text).replace("\n", "<br>")
