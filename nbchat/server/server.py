"""The server as people hold it in their hands: what it tells, its invitations, its card.

Where it runs is the part that differs: on a thread of this process (thread.py), or in a process of its own
(process.py). Everything else is the same, and is here.
"""

from __future__ import annotations

import html
import os
import threading
import time
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Literal, overload

import msgspec

from nbchat.api.moderation import HostsHand
from nbchat.core import arguments, names
from nbchat.core.border import bordered
from nbchat.core.errors import UsageError
from nbchat.core.escape import one_line
from nbchat.core.frames import Moderate, Ruled
from nbchat.core.transcript import Member
from nbchat.net import discovery, owners, tls
from nbchat.net.link import Address, place
from nbchat.server.options import Options
from nbchat.server.runner.calls import Invite
from nbchat.server.runner.process import ServerProcess
from nbchat.server.runner.thread import ServerThread
from nbchat.store.promise import RoomStore

if TYPE_CHECKING:
    from nbchat.server.qr import Invitation

_INVITE_HOURS = 12.0


@bordered
class Server(HostsHand):
    """A running chat server, as :func:`nbchat.serve` returns it.

    ``name`` is the chat's name (None for a nameless one), ``host`` and ``port`` where it listens, ``url``
    a link without the secret. All methods may be called from any thread. Those of a host (:meth:`kick`,
    :meth:`mute`, :meth:`clear` …) are about one room, the lobby if nothing is said.
    """

    def __init__(self, options: Options, runner: ServerThread | ServerProcess) -> None:
        self.name = options.name
        self._options = options
        self._runner = runner
        self._is_forked = False
        self._lock = threading.Lock()

    # ── what people ask ──

    @property
    def host(self) -> str:
        """Where it listens: the address, that in the network if it serves one."""
        return self._options.lan[0] if self._options.lan else self._runner.host

    @property
    def port(self) -> int:
        """Where it listens: the port."""
        return self._runner.port

    @property
    def url(self) -> str:
        """The link without its secret: enough for this machine's own user."""
        return self._public.link

    @property
    def is_running(self) -> bool:
        """Whether it serves; false for ever once it was stopped, or its process has ended."""
        return self._runner.is_running

    @property
    def members(self) -> list[Member]:
        """Who is there, in all rooms, in the order in which they came. Empty when it has stopped."""
        if not self.is_running:
            return []
        return [Member(info.name, info.role, info.plain, info.away) for info in self._runner.members()]

    @property
    def history(self) -> str:
        """Where what is said is kept: a file's path, or "memory"."""
        return str(self._options.file or "memory")

    @overload
    def invite(
        self,
        room: str | None = ...,
        *,
        name: str | None = ...,
        hours: float | timedelta = ...,
        once: bool = ...,
        uses: int | None = ...,
        host: bool = ...,
        qr: Literal[False] = ...,
    ) -> str: ...
    @overload
    def invite(
        self,
        room: str | None = ...,
        *,
        name: str | None = ...,
        hours: float | timedelta = ...,
        once: bool = ...,
        uses: int | None = ...,
        host: bool = ...,
        qr: Literal[True],
    ) -> Invitation: ...

    def invite(
        self,
        room: str | None = None,
        *,
        name: str | None = None,
        hours: float | timedelta = _INVITE_HOURS,
        once: bool = False,
        uses: int | None = None,
        host: bool = False,
        qr: bool = False,
    ) -> str | Invitation:
        """A link with a key in it, for somebody else to join with: ``nbchat.join(link)`` is all they type.

        Whoever has the link can join until it ends after ``hours``: send it, do not publish it.

        ``name``: who comes with it has this name and no other, and until it ends nobody else gets one that
        looks like it. ``once``: it is used up by the first who joins with it (who can come back after an
        outage). ``uses``: by so many, each into one room. Whom you kick takes one along. ``host``: for
        another host. ``qr``: an object that shows itself as a QR picture, in a notebook and in a terminal;
        ``.link`` is the link.
        """
        such = "An invitation lasts between 0 hours and a year: server.invite(hours=12)."
        hour, year = timedelta(hours=1), 24 * 366.0
        hours = arguments.span("server.invite", "hours", hours, hour, most=year, such=such, is_open=True)
        once = arguments.yes_no("server.invite", "once", once)
        host = arguments.yes_no("server.invite", "host", host)
        qr = arguments.yes_no("server.invite", "qr", qr)
        uses = _uses(uses, once)
        if room is not None:
            room = names.check(arguments.text("server.invite", "room", room), "room name")
        if name is not None:
            name = names.check_member(arguments.text("server.invite", "name", name), is_host=host)
        key = self._runner.invite(
            Invite(hours * 3600, "host" if host else "member", name, once or uses == 1, uses)
        )
        where = msgspec.structs.replace(
            self._public, room=room, key_id=key.id, secret=key.secret, uid=owners.own()
        )
        if not qr:
            return where.whole_link
        from nbchat.server.qr import Invitation

        return Invitation(where.whole_link, time.time() + hours * 3600)

    def revoke_invites(self, *, kick: bool = False) -> None:
        """Make all links void that :meth:`invite` has given out. Who is in a room stays and can come back
        after an outage; nobody else can come in with them. ``kick``: who came with a link is ended, too."""
        self._runner.revoke(kick=arguments.yes_no("server.revoke_invites", "kick", kick))

    def renew_keys(self) -> None:
        """Make new keys, for instance after somebody was given the old ones: every link that was given out
        ends, also a host's, and for who is inside, too. Your own notebooks and terminals come back by
        themselves, with the new key; whom you invite again needs a new link. Plain-text clients stay.

        Raises StoreError if the new keys cannot be kept; then the old ones are still right.
        """
        self._runner.renew()
        self._runner.let_go()

    def _moderate(self, room: str | None, order: Moderate) -> None:
        self._runner.moderate(_room(room), order)

    def _ruled(self, room: str | None) -> Ruled:
        return self._runner.ruled(_room(room))

    def stop(self) -> None:
        """Say goodbye to everybody, free the port and close the history. A second call does nothing."""
        self._runner.begin_stop()
        with self._lock:
            self._runner.stop()
            if self._running is not None and not self._is_forked:
                discovery.withdraw(self._running)

    def _forked(self) -> None:
        """In a forked child: this server is the parent's."""
        self._is_forked = True
        self._lock = threading.Lock()
        self._runner.forked()

    @property
    def _running(self) -> discovery.Running | None:
        """How it is found; known from its start on, and needed to join it."""
        return self._runner.running

    @property
    def _public(self) -> Address:
        """How others reach it, without a key."""
        return self._running.public if self._running is not None else Address(self.host, self.port)

    @property
    def _store(self) -> RoomStore | None:
        """Its memory, for the server that comes next; None if that is in another process."""
        return self._runner.store

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        name = f" {self.name!r}" if self.name else ""
        if not self.is_running:
            return f"<nbchat server{name}, stopped>"
        count = self._runner.count
        where = place(self.host, self.port)
        return f"<nbchat server{name} on {where}, {count} member{'' if count == 1 else 's'}>"

    def _repr_html_(self) -> str:
        title = html.escape(self.name or "nameless chat")
        if not self.is_running:
            return f"<p><b>{title}</b>: stopped. Run <code>nbchat.serve()</code> to start it again.</p>"
        there = self._runner.glance()
        who = f"{there} (it does not answer now)" if isinstance(there, int) else ", ".join(there)
        who = html.escape(who) or "nobody yet"
        kept = (
            "in memory, gone when it stops"
            if self._options.file is None
            else f"in {html.escape(one_line(self.history))}"
        )
        call = f"nbchat.join({self.name!r})" if self.name else "nbchat.join()"
        doors = "yes: any program of yours on this machine" if self._options.plain else "no"
        if self._options.plain and not os.path.exists("/proc/net/tcp"):
            doors = "yes: any account on this machine can join"
        rows = (
            *_where(self._options.lan, self._runner.host, self.port, self._public.pin),
            ("runs in", self._runner.where),
            ("members", who),
            ("history", kept),
            *((("damage", html.escape(self._runner.damage)),) if self._runner.damage else ()),
            ("plain-text clients", doors),
            ("join", f"in another notebook: <code>import nbchat; {html.escape(call)}</code>"),
            *((("others", "with a link: <code>server.invite()</code>"),) if self._options.lan else ()),
        )
        left = "'text-align:left'"
        cells = "".join(
            f"<tr><th style={left}>{key}</th><td style={left}>{text}</td></tr>" for key, text in rows
        )
        return f"<table><caption style={left}><b>nbchat server: {title}</b></caption>{cells}</table>"


def _where(lan: tuple[str, ...], host: str, port: int, pin: str) -> list[tuple[str, str]]:
    """The card's rows on where it listens, and what is proof of it in a network."""
    if not lan:
        return [("listens on", place(host, port))]
    networks = ", ".join(place(each, port) for each in lan)
    return [
        ("listens on", f"{place(host, port)}; encrypted, for others: {networks}"),
        ("certificate", f"<code>{tls.readable(pin)}</code>"),
    ]


def _uses(uses: int | None, once: bool) -> int | None:
    if uses is None:
        return None
    such = "Say how many may come, such as uses=40."
    number = arguments.whole("server.invite", "uses", uses, least=1, such=such)
    if once and number != 1:
        raise UsageError(
            f"server.invite(once=True, uses={number}): once=True is uses=1. Leave one of them out."
        )
    return number


def _room(room: str | None) -> str:
    return names.check(room, "room name") if room is not None else "lobby"
