"""%chat in a notebook or in IPython, after ``%load_ext nbchat``.

``%chat`` shows the panel (in a terminal: the newest messages), ``%chat some words`` says them, ``%chat /mute
bob 10`` is a command as in a panel, and a cell that begins with ``%%chat`` is said as it stands.
"""

from __future__ import annotations

from typing import Any

from IPython.core.magic import Magics, line_cell_magic, magics_class

from nbchat.client.client import Client, connect
from nbchat.render.wrap import columns, folded
from nbchat.ui import commands
from nbchat.ui.panel import ChatPanel, join

_SHOWN = 20
"""Messages shown where there is no panel."""


@magics_class
class ChatMagics(Magics):
    """The magics of one IPython shell. They join the chat that :func:`nbchat.join` would, when first used."""

    _panel: ChatPanel | None = None
    _client: Client | None = None

    @line_cell_magic
    def chat(self, line: str, cell: str | None = None) -> Any:
        """Take part in the chat: %chat shows it, %chat TEXT and %%chat say something."""
        member = self._member()
        text = (line if cell is None else cell).rstrip("\n")
        if text.strip():
            said = commands.obey(member, text) if cell is None else text
            if said is not None:
                member.send(said)
            return None
        return self._panel if self._panel is not None else _Listing(member)

    def _member(self) -> Client:
        """The client behind the magics, joined again where it was closed."""
        if self._client is None or self._client.status == "closed":
            if self._has_notebook():
                self._panel = join()
                self._client = self._panel.client
            else:
                self._client = connect()
        return self._client

    def _has_notebook(self) -> bool:
        return self.shell is not None and hasattr(self.shell, "kernel")


class _Listing:
    """The newest messages as text."""

    def __init__(self, client: Client) -> None:
        self._lines = [message.marked for message in client.messages[-_SHOWN:]] or [
            "(nothing has been said yet)"
        ]

    def __repr__(self) -> str:
        return "\n".join(folded(line, columns()) for line in self._lines)
