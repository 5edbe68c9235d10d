"""The panel: a chat in a notebook cell.

The kernel keeps the transcript; the page (panel.js) shows it. One sender thread follows the client's
state and sends what is new as custom messages, many rows in one, at most 20 a second. A row carries its
number; the page shows each number once, asks again when one is missing, and learns from a heartbeat
what the newest is, because messages to a page can get lost (a full buffer, a page that was closed).
"""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anywidget

from nbchat.core.errors import ChatError
from nbchat.core.transcript import Row
from nbchat.net.client import Client, connect

log = logging.getLogger("nbchat")

_HERE = Path(__file__).parent
_PACE = 0.05
"""Seconds between two messages to the page: jupyter_server drops traffic beyond some 1,000 a second."""
_BEAT = 5.0
"""Seconds between two heartbeats; the page calls the kernel dead after three of them."""
_ROWS = 200
_BYTES = 200_000
"""Rows and characters in one message: large messages in bursts get lost."""


class ChatPanel(anywidget.AnyWidget):
    """A chat in a cell: messages, a text box, the members and the connection.

    Show it as a cell's value, like any widget, as often as wanted: ``panel``. ``panel.client`` is the
    :class:`~nbchat.Client` behind it. Its methods may be called from any thread.
    """

    _esm = _HERE / "panel.js"
    _css = _HERE / "panel.css"

    def __init__(self, client: Client, **layout: Any) -> None:
        self.client = client
        self._feed = _Feed(client)
        super().__init__(**layout)
        self._feed.start(self)

    def close(self) -> None:
        """Leave the chat and take the panel out of the notebook. A second call does nothing."""
        _forget(self)
        self.client.close()
        self._feed.stop()
        super().close()

    def open(self) -> None:
        """Connect the page (ipywidgets calls this)."""
        super().open()
        # ipykernel 7.4 answers a page on the shell that last published on the comm; a panel fed by a
        # thread would then wait for the running cell to end. Answer on the subshell that asked.
        if hasattr(self.comm, "_reply_subshell_for"):
            self.comm._reply_subshell_for = lambda data, default: default

    def _handle_custom_msg(self, content: Any, buffers: Any) -> None:
        """What the page says. It may arrive on any thread and before ``__init__`` is done."""
        match content:
            case {"type": "sync", "after": int(after)}:
                self._feed.sync(after)
            case {"type": "say", "text": str(text)}:
                try:
                    self.client.send(text)
                except ChatError as error:
                    self._feed.refuse(text, str(error))

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        bundle = super()._repr_mimebundle_(**kwargs)
        data = bundle[0] if isinstance(bundle, tuple) else bundle
        if data is not None:
            data["text/plain"] = "ChatPanel()"  # the same in every run, so that notebooks can be tested
        return bundle

    def __repr__(self) -> str:
        return f"<nbchat panel, {self.client!r}>"


class _Feed:
    """Follows a client's state and tells the page what is new; a thread of its own."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._state = client._state
        self._n = 0
        self._version = -1
        self._asked: int | None = None
        self._refused: list[dict[str, Any]] = []
        self._news = False
        self._is_over = False
        self._shown: dict[str, Any] = {}

    def start(self, panel: ChatPanel) -> None:
        """Feed a panel for as long as it lives; the thread holds it weakly."""
        threading.Thread(
            target=self._run,
            args=(weakref.ref(panel),),
            name=f"nbchat panel {self._client.name}",
            daemon=True,
        ).start()

    def stop(self) -> None:
        self._wake(is_over=True)

    def sync(self, after: int) -> None:
        """A page has rows up to ``after`` and wants the rest."""
        with self._state.changed:
            self._asked = after if self._asked is None else min(after, self._asked)
        self._wake()

    def refuse(self, text: str, why: str) -> None:
        """A message could not be sent."""
        with self._state.changed:
            self._refused.append({"type": "refused", "text": text, "why": why})
        self._wake()

    def _wake(self, *, is_over: bool = False) -> None:
        with self._state.changed:
            self._is_over = self._is_over or is_over
            self._news = True
            self._state.changed.notify_all()

    def _run(self, panel: weakref.ref[ChatPanel]) -> None:
        changed = self._state.changed
        while not self._is_over:
            with changed:
                is_news = changed.wait_for(self._is_due, _BEAT)
                messages = list(self._messages(is_news=is_news))
            for message in messages:
                shown = panel()
                if shown is None or self._is_over:
                    return
                try:
                    shown.send(message)
                except Exception:  # the kernel's side of the page is going away; the heartbeat goes on
                    log.debug("the panel could not be updated", exc_info=True)
                del shown
                time.sleep(_PACE)

    def _is_due(self) -> bool:
        return self._news or self._state.version != self._version

    def _messages(self, *, is_news: bool) -> Iterator[dict[str, Any]]:
        """What the page has to be told; called with the lock held."""
        self._news, self._version = False, self._state.version
        transcript = self._state.transcript
        asked, self._asked = self._asked, None
        start = self._n if asked is None else min(asked, self._n)
        rows = transcript.after(start)
        self._n = transcript.n
        refused, self._refused = self._refused, []
        yield from refused
        shown = self._show()
        if asked is not None or shown != self._shown:
            self._shown = shown
            yield {"type": "state", **shown}
        after = start
        for part in _parts(rows):
            # ``after`` is what the page must have already: rows that are no longer kept leave no gap.
            yield {"type": "rows", "after": after, "rows": part}
            after = part[-1]["n"]
        if not is_news:
            yield {"type": "beat", "newest": transcript.n}

    def _show(self) -> dict[str, Any]:
        state = self._state
        members = state.transcript.members.values()
        return {
            "status": state.status,
            "reason": state.reason,
            "name": state.name,
            "room": state.room,
            "members": [{"name": each, "role": each.role, "plain": each.plain} for each in members],
        }


def _parts(rows: list[Row]) -> Iterator[list[dict[str, Any]]]:
    """Rows as the page gets them, in lists of bounded size."""
    part: list[dict[str, Any]] = []
    size = 0
    for row in rows:
        message = row.message
        text = message.text if message is not None else row.text
        if part and (len(part) >= _ROWS or size + len(text) > _BYTES):
            yield part
            part, size = [], 0
        part.append(
            {"n": row.n, "kind": row.kind, "name": row.name, "text": text, "ms": message.ms if message else 0}
        )
        size += len(text)
    if part:
        yield part


def join(url: object = None, name: str | None = None, room: str = "lobby") -> ChatPanel:
    """Join a room and get a panel for it; put the panel on a cell's last line to see it.

    The arguments and errors are those of :func:`nbchat.connect`. Running the same call again in a
    notebook replaces the panel it made before.
    """
    key = (url if isinstance(url, str) else getattr(url, "port", None), name, room)
    if (old := _panels.pop(key, None)) is not None:
        old.close()
    panel = ChatPanel(connect(url, name, room))
    _panels[key] = panel
    return panel


_panels: dict[tuple[object, str | None, str], ChatPanel] = {}
"""The panels of this process, by what was asked for."""


def _forget(panel: ChatPanel) -> None:
    for key, known in list(_panels.items()):
        if known is panel:
            del _panels[key]
