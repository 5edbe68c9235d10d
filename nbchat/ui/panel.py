"""The panel: a chat in a notebook cell. This is its side in the kernel; the page's is in page/."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import threading
import time
import warnings
from collections import deque
from datetime import datetime, tzinfo
from itertools import count
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import anywidget
from comm import DummyComm
from IPython.core.interactiveshell import InteractiveShell
from IPython.display import publish_display_data

from nbchat.client.client import Client
from nbchat.client.rejoin import join_again
from nbchat.core import arguments
from nbchat.core.border import border, bordered
from nbchat.core.errors import ChatError, Closed, NoServerFound, NotConfirmed, UsageError
from nbchat.net.discovery import path_of
from nbchat.net.link import Address, is_link, pasted
from nbchat.ui import app, commands, saved
from nbchat.ui.ask import ask
from nbchat.ui.feed import Feed

_PAGE = Path(__file__).parent / "page"
_SCRIPTS = ("words", "looks", "rows", "log", "offer", "box", "members", "sides", "keep", "panel")
_MARK = re.compile(r"[0-9a-f]{16}")
_ZONE = re.compile(r"[A-Za-z0-9_+-]{1,32}(?:/[A-Za-z0-9_+-]{1,32}){0,3}")
_COPY_PACE = 10.0
"""Seconds between two updates of the copy that is saved with the notebook."""
_CONFIRM = 1.0
"""Seconds that showing a panel waits for this member's own messages, so that the copy has them."""


@bordered
class ChatPanel(anywidget.AnyWidget):
    """A chat in a cell: messages, a text box, the members and the connection.

    Show it as a cell's value, like any widget, as often as wanted: ``panel``. ``panel.client`` is the
    :class:`~nbchat.Client` behind it, ``panel.layout`` its size, as of every widget. With ``save=False``
    the notebook's file keeps nothing of what was said; :attr:`save` is a switch in the panel, too. Its
    methods may be called from any thread.
    """

    # An anywidget's script is one module: these have no imports, and the last one exports.
    _esm = "\n".join(
        [
            f"const COMMANDS = {json.dumps(commands.listed())};",
            *((_PAGE / f"{name}.js").read_text("utf-8") for name in _SCRIPTS),
        ]
    )
    _css = (_PAGE / "panel.css").read_text("utf-8")

    def __init__(self, client: Client, *, save: bool = True, **layout: Any) -> None:
        if not isinstance(client, Client):
            raise UsageError(
                f"ChatPanel() needs a client, not {type(client).__name__}. Such as: "
                "nbchat.ChatPanel(nbchat.connect()), or just nbchat.join()"
            )
        self._save = arguments.yes_no("ChatPanel", "save", save)
        self.client = client
        self._zone: tzinfo | None = None  # a page's; without a page nothing has times
        self._visitor = app.visitor()
        self._copies: deque[str] = deque(maxlen=10)
        self._copied: tuple[object, ...] = ()
        self._copied_at = 0.0
        self._link: Address | None = None
        self._feed = Feed(client)
        super().__init__(**layout)
        self._feed.start(self)

    def close(self) -> None:
        """Leave the chat and take the panel out of the notebook. A second call does nothing. Raises
        NotConfirmed, after it has closed, if something that was said could not be confirmed in 2 s."""
        self._close()

    def _close(self, *, has_successor: bool = False) -> None:
        if not hasattr(self, "_feed"):  # it never came to be, for want of a client
            return
        _forget(self)
        self.keep_copy(at_once=True)
        try:
            self.client._close(has_successor=has_successor)
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
                except Closed:
                    self._feed.refuse(mark, text, "You are not in the chat now.")
                except ChatError as error:
                    self._feed.refuse(mark, text, str(error))
            case {"type": "older", "before": int(before), "seq": int() | None as seq}:
                self._feed.older(before, seq)
            case {"type": "typing"}:
                self.client.typing()
            case {"type": "here"}:
                self._feed.here()
            case {"type": "zone", "zone": str(zone)}:
                self._zone = _zone(zone)
            case {"type": "save", "on": bool(on)}:
                self.save = on
            case {"type": "recall"}:
                self._feed.recall()
            case {"type": "join"}:
                join_again(self.client)

    # ── what a cell shows ──

    @property
    def save(self) -> bool:
        """Whether the notebook's file keeps the last messages. Set it, and what is saved from then on has
        them, or has none."""
        return self._save

    @save.setter
    def save(self, save: bool) -> None:
        self._save = arguments.yes_no("ChatPanel", "save", save)
        if self._copies:
            self._feed.saving(self._save)  # its thread brings the copy up to date, if there is a page
            if not self._feed.has_page:
                self.keep_copy(at_once=True)

    def _ipython_display_(self, **kwargs: Any) -> None:
        bundle = self._repr_mimebundle_()
        if not hasattr(InteractiveShell.instance(), "kernel"):
            _publish(bundle)
            return
        # The words stand in the second output, once; who cannot show a widget shows these here: none.
        _publish({**bundle, "text/html": "<span></span>"})
        state = self.client._state
        if self._save:
            state.wait(lambda: not state.pending or state.status != "connected", _CONFIRM)
        made_of, copy = self._made_of(), self._copy()
        name = f"nbchat-{self.model_id}-{next(_numbers)}"
        _publish(copy, transient={"display_id": name})
        self._copied_at = time.monotonic()
        self._copied = () if self._copies else made_of  # an older one still has to become a line
        self._copies.append(name)
        self._feed.saving(self._save)

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        bundle = super()._repr_mimebundle_(**kwargs)
        data = bundle[0] if isinstance(bundle, tuple) else bundle or {}
        # The same in every run, so that notebooks can be tested.
        return {**data, "text/plain": "ChatPanel()", "text/html": saved.placeholder(self.client.room)}

    def keep_copy(self, *, at_once: bool = False) -> None:
        """Bring the copy that is saved with the notebook up to date, if something was said or taken away,
        or saving was switched."""
        made_of, now = self._made_of(), time.monotonic()
        if not self._copies or made_of == self._copied:
            return
        is_only_news = self._copied[1:] == made_of[1:]
        at_once = arguments.yes_no("keep_copy", "at_once", at_once)
        if is_only_news and now - self._copied_at < _COPY_PACE and not at_once:
            return
        self._copied, self._copied_at = made_of, now
        data = self._copy()
        *older, newest = self._copies
        if self._feed.has_page:  # a notebook that is executed without one is the same each time
            self._leave_line(older)
            self._copies = deque([newest], self._copies.maxlen)
            older = []
        for display_id in (*older, newest):
            _publish(data, transient={"display_id": display_id}, update=True)

    def _leave_line(self, places: list[str] | None = None) -> None:
        """Say that the panel is in another cell: at ``places``, or wherever it was."""
        data = {"text/html": saved.moved(), "text/plain": "(the chat moved to another cell)"}
        for display_id in self._copies if places is None else places:
            _publish(data, transient={"display_id": display_id}, update=True)

    def _made_of(self) -> tuple[object, ...]:
        """What the copy depends on."""
        return (self.client._state.transcript.changes if self._save else 0, self._save, self._zone)

    def _copy(self) -> dict[str, str]:
        head = saved.placeholder(self.client.room)
        messages = self.client.messages if self._save else []
        html = saved.copy(messages, head, html=self._feed.html, zone=self._zone)
        return {"text/html": html, "text/plain": "(the last messages)" if self._save else "(nothing is kept)"}

    def __repr__(self) -> str:
        return f"<nbchat panel, {self.client!r}>"


@border
def join(
    url: object = None,
    name: str | None = None,
    room: str = "lobby",
    *,
    save: bool | None = None,
    host: bool | None = None,
) -> ChatPanel:
    """Join a room and get a panel for it; put the panel on a cell's last line to see it.

    The arguments and errors are those of :func:`nbchat.connect`. If there is no ``url`` and no chat is
    found, you are asked for a link, and what you type is not shown; where nobody can be asked, that is
    NoServerFound at once. Running the same call again in a notebook replaces the panel it made before, and
    goes on with the link that was typed. Where no notebook is there to show the panel, a RuntimeWarning says
    what to install or to type instead.

    A saved notebook shows the last 50 messages in the panel's place; with ``save=False`` it keeps none.
    Without ``save`` it is as the panel before was switched, and at first True.

    ``host``: whether a host's key makes a host of this panel. None means yes where the notebook is its
    user's, and no where it is shown to visitors as an app (Voilà, ``marimo run``): they are members.
    """
    save = arguments.yes_no("join", "save", save) if save is not None else None
    host = arguments.yes_no("join", "host", host) if host is not None else not app.is_app()
    name = arguments.text("join", "name", name) if name is not None else None
    room = arguments.text("join", "room", room)
    url = arguments.text("join", "url", url) if isinstance(url, str) else url
    visitor = app.visitor()
    _end_of_visitors()
    url = path_of(url) if isinstance(url, os.PathLike) else url
    asked = str(url) if isinstance(url, str | Path) else getattr(url, "port", None)
    if isinstance(url, str) and is_link(pasted(url)):
        asked = hashlib.sha256(url.encode()).hexdigest()
    key = (asked, name, room, visitor)
    lost = ""
    if (old := _panels.pop(key, None)) is not None:
        try:
            old._close(has_successor=True)
        except NotConfirmed as error:
            lost = str(error)
    link: Address | None = None
    try:
        try:
            client = Client(url, name, room, host=host)
        except NoServerFound:
            if url is not None or (link := (old._link if old is not None else None) or ask()) is None:
                raise
            client = Client(link, name, room, host=host)
    except (ChatError, KeyboardInterrupt) as error:
        url = None  # as in connect()
        raise error.with_traceback(None) from error.__cause__
    panel = ChatPanel(client, save=save if save is not None else old is None or old.save)
    panel._link = link
    if old is not None and old._feed.has_page:
        old._leave_line()
    if lost:
        with panel.client._state.changed:
            panel.client._state.transcript.notice(lost)
            panel.client._state.touch()
    _panels[key] = panel
    if isinstance(panel.comm, DummyComm):  # ipywidgets' word for: there is no page
        warnings.warn(_NO_NOTEBOOK, RuntimeWarning, stacklevel=3)  # above join() and its border
    return panel


_NO_NOTEBOOK = (
    "A panel shows in a notebook, and this is none: you are in the chat, but nothing shows it. "
    "To have notebooks: python -m pip install jupyterlab, then: jupyter lab. "
    "Without: type nbchat join in a terminal, or use nbchat.connect() in a program."
)


def _zone(name: str) -> tzinfo | None:
    """The time zone of that name, or this machine's if it is not known here."""
    if _ZONE.fullmatch(name):
        try:
            return ZoneInfo(name)
        except (ValueError, OSError, LookupError):  # no such zone; a system without any
            pass
    return datetime.now().astimezone().tzinfo


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
