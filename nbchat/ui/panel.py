"""The panel: a chat in a notebook cell. This is its side in the kernel; the page's is in page/."""

from __future__ import annotations

import contextlib
import hashlib
import re
import threading
import time
from collections import deque
from itertools import count
from pathlib import Path
from typing import Any

import anywidget
from IPython.core.interactiveshell import InteractiveShell
from IPython.display import publish_display_data

from nbchat.core.errors import ChatError, NotConfirmed, UsageError
from nbchat.net.client import Client, connect
from nbchat.ui import app, commands, saved
from nbchat.ui.feed import Feed

_PAGE = Path(__file__).parent / "page"
_SCRIPTS = ("looks", "rows", "log", "box", "sides", "panel")
_MARK = re.compile(r"[0-9a-f]{16}")
_COPY_PACE = 10.0
"""Seconds between two updates of the copy that is saved with the notebook."""
_CONFIRM = 1.0
"""Seconds that showing a panel waits for this member's own messages, so that the copy has them."""


class ChatPanel(anywidget.AnyWidget):
    """A chat in a cell: messages, a text box, the members and the connection.

    Show it as a cell's value, like any widget, as often as wanted: ``panel``. ``panel.client`` is the
    :class:`~nbchat.Client` behind it, ``panel.layout`` its size, as of every widget. With ``save=False``
    the notebook's file keeps nothing of what was said. Its methods may be called from any thread.
    """

    # An anywidget's script is one module: these have no imports, and the last one exports.
    _esm = "\n".join((_PAGE / f"{name}.js").read_text("utf-8") for name in _SCRIPTS)
    _css = (_PAGE / "panel.css").read_text("utf-8")

    def __init__(self, client: Client, *, save: bool = True, **layout: Any) -> None:
        self.client = client
        self._save = save
        self._visitor = app.visitor()
        self._copies: deque[str] = deque(maxlen=10)
        self._copied = (0, 0.0)
        self._feed = Feed(client)
        super().__init__(**layout)
        self._feed.start(self)

    def close(self) -> None:
        """Leave the chat and take the panel out of the notebook. A second call does nothing. Raises
        NotConfirmed, after it has closed, if something that was said could not be confirmed in 2 s."""
        _forget(self)
        self.keep_copy(at_once=True)
        try:
            self.client.close()
        finally:
            self._feed.stop()
            super().close()

    @property
    def has_no_visitor(self) -> bool:
        """Whether it was shown to a visitor of an app, who has gone."""
        return self._visitor is not None and not self._visitor.is_alive()

    def open(self) -> None:
        """Connect the page (ipywidgets calls this)."""
        super().open()
        # ipykernel 7.4 answers a page on the shell that last published on the comm; a panel fed by a
        # thread would then wait for the running cell to end. Answer on the subshell that asked.
        if hasattr(self.comm, "_reply_subshell_for"):
            self.comm._reply_subshell_for = lambda data, default: default

    def _handle_custom_msg(self, content: Any, buffers: Any) -> None:
        """What a page says. It may arrive on any thread and before ``__init__`` is done."""
        match content:
            case {"type": "sync", "after": int() | None as after}:
                self._feed.sync(after)
            case {"type": "say", "mark": str(mark), "text": str(text)} if _MARK.fullmatch(mark):
                try:
                    said = commands.obey(self.client, text)
                    if said is None:
                        self._feed.done(mark)
                    else:
                        self.client._send(said, id=mark)
                except ChatError as error:
                    self._feed.refuse(mark, text, str(error))
            case {"type": "older", "before": int(before), "seq": int() | None as seq}:
                self._feed.older(before, seq)
            case {"type": "typing"}:
                self.client.typing()
            case {"type": "here"}:
                self._feed.here()
            case {"type": "recall"}:
                self._feed.recall()

    # ── what a cell shows ──

    def _ipython_display_(self, **kwargs: Any) -> None:
        _publish(self._repr_mimebundle_())
        if self._save and hasattr(InteractiveShell.instance(), "kernel"):
            state = self.client._state
            state.wait(lambda: not state.pending or state.status != "connected", _CONFIRM)
            self._copied = (state.transcript.changes, time.monotonic())
            self._copies.append(f"nbchat-{self.model_id}-{next(_numbers)}")
            _publish(self._copy(), transient={"display_id": self._copies[-1]})

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        bundle = super()._repr_mimebundle_(**kwargs)
        data = bundle[0] if isinstance(bundle, tuple) else bundle or {}
        # The same in every run, so that notebooks can be tested.
        return {**data, "text/plain": "ChatPanel()", "text/html": saved.placeholder(self.client.room)}

    def keep_copy(self, *, at_once: bool = False) -> None:
        """Bring the copy that is saved with the notebook up to date, if something was said or taken away."""
        changes, at = self.client._state.transcript.changes, time.monotonic()
        if not self._copies or changes == self._copied[0]:
            return
        if at - self._copied[1] < _COPY_PACE and not at_once:
            return
        self._copied = (changes, at)
        data = self._copy()
        for display_id in self._copies:
            _publish(data, transient={"display_id": display_id}, update=True)

    def _copy(self) -> dict[str, str]:
        return {"text/html": saved.copy(self.client.messages), "text/plain": "(the last messages)"}

    def __repr__(self) -> str:
        return f"<nbchat panel, {self.client!r}>"


def join(
    url: object = None,
    name: str | None = None,
    room: str = "lobby",
    *,
    save: bool = True,
    host: bool | None = None,
) -> ChatPanel:
    """Join a room and get a panel for it; put the panel on a cell's last line to see it.

    The arguments and errors are those of :func:`nbchat.connect`. Running the same call again in a
    notebook replaces the panel it made before. A saved notebook shows the last messages in the panel's
    place; with ``save=False`` it keeps none.

    ``host``: whether a host's key makes a host of this panel. None means yes where the notebook is its
    user's, and no where it is shown to visitors as an app (Voilà, ``marimo run``): they are members.
    """
    if host not in (True, False, None):
        raise UsageError(f"join(host={host!r}): host is True or False.")
    visitor = app.visitor()
    _end_of_visitors()
    asked = url if isinstance(url, str) else getattr(url, "port", None)
    if isinstance(url, str) and "://" in url:
        asked = hashlib.sha256(url.encode()).hexdigest()
    key = (asked, name, room, visitor)
    lost = ""
    if (old := _panels.pop(key, None)) is not None:
        try:
            old.close()
        except NotConfirmed as error:
            lost = str(error)
    try:
        client = connect(url, name, room, host=not app.is_app() if host is None else host)
    except (ChatError, KeyboardInterrupt) as error:
        url = None  # as in connect()
        raise error.with_traceback(None) from error.__cause__
    panel = ChatPanel(client, save=save)
    if lost:
        with panel.client._state.changed:
            panel.client._state.transcript.notice(lost)
            panel.client._state.touch()
    _panels[key] = panel
    return panel


_publish: Any = publish_display_data
_numbers = count(1)
_panels: dict[tuple[object, str | None, str, threading.Thread | None], ChatPanel] = {}
"""The panels of this process, by what was asked for (of a link only its hash) and by visitor."""


def _end_of_visitors() -> None:
    """Close the panels of visitors who have gone."""
    for (*_, visitor), panel in list(_panels.items()):
        if visitor is not None and not visitor.is_alive():
            with contextlib.suppress(ChatError):
                panel.close()


def _forget(panel: ChatPanel) -> None:
    for key, known in list(_panels.items()):
        if known is panel:
            del _panels[key]
