"""The host's hand as people hold it: the same methods on a server and on a host's client."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from typing import Protocol, runtime_checkable

from msgspec import Struct

from nbchat.core import arguments
from nbchat.core.border import bordered
from nbchat.core.errors import UsageError
from nbchat.core.frames import Deeds, Held, Moderate, Ruled

_YEAR = 366 * 24 * 60
_DAY = 24 * 60
_HOUR = 3600.0


class Rules(Struct, frozen=True):
    """What holds in a room. ``slow``: seconds between two messages of one member, 0 for none. ``bans`` and
    ``mutes``: each name with its end, None for "until further notice"; only hosts are told of these."""

    announce_only: bool
    locked: bool
    slow: float
    bans: dict[str, datetime | None]
    mutes: dict[str, datetime | None]


@runtime_checkable
class Numbered(Protocol):
    """A message: one that was said, or one on its way, which has no number yet."""

    @property
    def seq(self) -> int | None: ...


@bordered
class HostsHand:
    """What a host can do. Each method returns when it is done and in the room's log, or raises: NotHost,
    NoSuchMember (it names who is there), Refused (it cannot be done: to yourself, say), Unreachable,
    StoreError, UsageError. May be called from any thread.

    A ``name`` is a str, also one out of ``members``; a time is a number or a ``timedelta``.

    It is about one room. On a server that is ``room``, the lobby if nothing is said; a client is in one room
    and does not need it.
    """

    def kick(self, name: str, *, room: str | None = None) -> None:
        """End a member's connection. It does not come back by itself; its person can join again."""
        self._do("kick", room, _name("kick", name))

    def ban(
        self,
        name: str,
        minutes: float | timedelta | None = None,
        *,
        delete: bool | float | timedelta = False,
        room: str | None = None,
    ) -> None:
        """Shut a member out, for some minutes or, without them, until further notice. Also one who has just
        left. A ban is on the name and the session; from another machine, on its address too where nobody
        else came from there. ``delete``: with its messages of the last hour, or of so many minutes."""
        is_bool = isinstance(delete, bool)
        back = (_HOUR if delete else None) if is_bool else _seconds("ban", delete, "delete", most=_DAY)
        self._do("ban", room, _name("ban", name), _seconds("ban", minutes), back=back)

    def unban(self, name: str, *, room: str | None = None) -> None:
        """Let somebody come again."""
        self._do("unban", room, _name("unban", name))

    def mute(self, name: str, minutes: float | timedelta | None = 10, *, room: str | None = None) -> None:
        """Let a member read only, for some minutes; None: until further notice."""
        self._do("mute", room, _name("mute", name), _seconds("mute", minutes))

    def unmute(self, name: str, *, room: str | None = None) -> None:
        """Let a member speak again."""
        self._do("unmute", room, _name("unmute", name))

    def slow(self, seconds: float | timedelta, *, room: str | None = None) -> None:
        """Have each member leave so many seconds between two messages; 0 ends it. Hosts need not."""
        such = "Say how many seconds, such as slow(5); slow(0) ends it."
        pause = arguments.span("slow", "seconds", seconds, timedelta(seconds=1), most=60.0 * _YEAR, such=such)
        self._do("slow", room, seconds=pause)

    def announce_only(self, on: bool = True, *, room: str | None = None) -> None:
        """Let only hosts speak; with False everybody again."""
        on = arguments.yes_no("announce_only", "on", on)
        self._do("announce" if on else "unannounce", room)

    def lock(self, *, room: str | None = None) -> None:
        """Let no newcomers in. Who was there can come back, as long as it keeps its session."""
        self._do("lock", room)

    def unlock(self, *, room: str | None = None) -> None:
        """Let newcomers in again."""
        self._do("unlock", room)

    def clear(self, *, room: str | None = None) -> None:
        """Take all messages of the room away: in all panels, and from the history's file. Numbers go on."""
        self._do("clear", room)

    def redact(self, message: int | Numbered, *, room: str | None = None) -> None:
        """Take one message away: ``redact(42)`` by its number, or a message itself."""
        such = "Say which message by its number, such as redact(42)."
        seq = message.seq if isinstance(message, Numbered) else message
        if isinstance(message, Numbered) and seq is None:
            raise UsageError("This message is not in the chat yet. Wait for it first: message.wait()")
        self._do("delete", room, seq=arguments.whole("redact", "message", seq, least=1, such=such))

    def delete(self, name: str, minutes: float | timedelta = 10, *, room: str | None = None) -> None:
        """Take away what a member has said in the last minutes (a day at the most), whether it is still there
        or not: all messages by that name in the log, the newest 2,000 runs of them."""
        self._do("delete", room, _name("delete", name), back=_seconds("delete", minutes, most=_DAY))

    def make_host(self, name: str, *, room: str | None = None) -> None:
        """Name a member host: it can do all this, but to hosts. It is one for as long as it keeps its
        session, until :meth:`unmake_host`."""
        self._do("host", room, _name("make_host", name))

    def unmake_host(self, name: str, *, room: str | None = None) -> None:
        """Take it back. Only who serves can."""
        self._do("unhost", room, _name("unmake_host", name))

    def release(self, name: str, *, room: str | None = None) -> None:
        """Let others have a name that is held: in a chat with a name, a member's for an hour after it left, a
        host's until this is called. Raises NoSuchMember, which says what is held."""
        self._do("release", room, _name("release", name))

    def rules(self, *, room: str | None = None) -> Rules:
        """What holds in the room now, and who is banned and muted."""
        ruled = self._ruled(_room("rules", room))
        return Rules(ruled.announce, ruled.locked, ruled.slow, _ends(ruled.bans), _ends(ruled.mutes))

    def _do(
        self,
        what: Deeds,
        room: str | None,
        name: str | None = None,
        seconds: float | None = None,
        seq: int | None = None,
        back: float | None = None,
    ) -> None:
        self._moderate(_room(what, room), Moderate(secrets.token_hex(8), what, name, seconds, seq, back))

    def _moderate(self, room: str | None, order: Moderate) -> None:
        raise NotImplementedError

    def _ruled(self, room: str | None) -> Ruled:
        raise NotImplementedError


def _name(call: str, name: str) -> str:
    """Whom it is about. One that cannot be a name is not there: that is for the room to say."""
    name = arguments.text(call, "name", name, such=f"Put it into quotes: {call}('bob').")
    if len(name) > 200 or not _is_utf8(name):
        raise UsageError(f"{call}() needs a member's name, not {arguments.shown(name)}.")
    return name


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
    return True


def _room(call: str, room: str | None) -> str | None:
    return arguments.text(call, "room", room) if room is not None else None


def _seconds(
    what: str, minutes: float | timedelta | None, name: str = "minutes", *, most: float = _YEAR
) -> float | None:
    if minutes is None:
        return None
    such = f"Say for how many minutes, such as {what}('bob', 10)."
    minute = timedelta(minutes=1)
    return 60.0 * arguments.span(what, name, minutes, minute, most=most, such=such, is_open=True)


def _ends(held: list[Held]) -> dict[str, datetime | None]:
    return {
        each.name: datetime.fromtimestamp(each.until / 1000, UTC).astimezone()
        if each.until is not None
        else None
        for each in held
    }
