"""The host's hand as people hold it: the same methods on a server and on a host's client."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime

from msgspec import Struct

from nbchat.core.errors import UsageError
from nbchat.core.frames import Deeds, Held, Moderate, Ruled
from nbchat.core.transcript import Message

_YEAR = 366 * 24 * 60


class Rules(Struct, frozen=True):
    """What holds in a room. ``slow``: seconds between two messages of one member, 0 for none. ``bans`` and
    ``mutes``: each name with its end, None for "until further notice"; only hosts are told of these."""

    announce_only: bool
    locked: bool
    slow: float
    bans: dict[str, datetime | None]
    mutes: dict[str, datetime | None]


class HostsHand:
    """What a host can do. Each method returns when it is done and in the room's log, or raises: NotHost,
    NoSuchMember (it names who is there), Refused (it cannot be done: to yourself, say), Unreachable,
    StoreError, UsageError. May be called from any thread.

    It is about one room. On a server that is ``room``, the lobby if nothing is said; a client is in one room
    and does not need it.
    """

    def kick(self, name: str, *, room: str | None = None) -> None:
        """End a member's connection. It does not come back by itself; its person can join again."""
        self._do("kick", room, name)

    def ban(self, name: str, minutes: float | None = None, *, room: str | None = None) -> None:
        """Shut a member out, for some minutes or, without them, until further notice. Also one who has just
        left. A ban is on the name and the session; from another machine, on its address too where nobody
        else came from there."""
        self._do("ban", room, name, _seconds("ban", minutes))

    def unban(self, name: str, *, room: str | None = None) -> None:
        """Let somebody come again."""
        self._do("unban", room, name)

    def mute(self, name: str, minutes: float | None = 10, *, room: str | None = None) -> None:
        """Let a member read only, for some minutes; None: until further notice."""
        self._do("mute", room, name, _seconds("mute", minutes))

    def unmute(self, name: str, *, room: str | None = None) -> None:
        """Let a member speak again."""
        self._do("unmute", room, name)

    def slow(self, seconds: float, *, room: str | None = None) -> None:
        """Have each member leave so many seconds between two messages; 0 ends it. Hosts need not."""
        if not isinstance(seconds, int | float) or not 0 <= seconds <= 60 * _YEAR:
            raise UsageError(f"slow({seconds!r}): say how many seconds, such as slow(5); slow(0) ends it.")
        self._do("slow", room, seconds=float(seconds))

    def announce_only(self, on: bool = True, *, room: str | None = None) -> None:
        """Let only hosts speak; with False everybody again."""
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

    def redact(self, message: int | Message, *, room: str | None = None) -> None:
        """Take one message away: ``redact(42)`` by its number, or a message itself."""
        seq = message.seq if isinstance(message, Message) else message
        if not isinstance(seq, int) or isinstance(seq, bool) or seq < 1:
            raise UsageError(f"redact({message!r}): say which message by its number, such as redact(42).")
        self._do("delete", room, seq=seq)

    def make_host(self, name: str, *, room: str | None = None) -> None:
        """Name a member host: it can do all this, but to hosts. It is one for as long as it keeps its
        session, until :meth:`unmake_host`."""
        self._do("host", room, name)

    def unmake_host(self, name: str, *, room: str | None = None) -> None:
        """Take it back. Only who serves can."""
        self._do("unhost", room, name)

    def release(self, name: str, *, room: str | None = None) -> None:
        """Let others have a name that is held: in a chat with a name, a member's for an hour after it left, a
        host's until this is called. Raises NoSuchMember, which says what is held."""
        self._do("release", room, name)

    def rules(self, *, room: str | None = None) -> Rules:
        """What holds in the room now, and who is banned and muted."""
        ruled = self._ruled(room)
        return Rules(ruled.announce, ruled.locked, ruled.slow, _ends(ruled.bans), _ends(ruled.mutes))

    def _do(
        self,
        what: Deeds,
        room: str | None,
        name: str | None = None,
        seconds: float | None = None,
        seq: int | None = None,
    ) -> None:
        if name is not None and (not isinstance(name, str) or len(name) > 200):
            raise UsageError(f"{name!r} is no name. Put it into quotes: {what}('bob').")
        self._moderate(room, Moderate(secrets.token_hex(8), what, name, seconds, seq))

    def _moderate(self, room: str | None, order: Moderate) -> None:
        raise NotImplementedError

    def _ruled(self, room: str | None) -> Ruled:
        raise NotImplementedError


def _seconds(what: str, minutes: float | None) -> float | None:
    if minutes is None:
        return None
    if isinstance(minutes, bool) or not isinstance(minutes, int | float) or not 0 < minutes <= _YEAR:
        raise UsageError(f"{what}(…, {minutes!r}): say for how many minutes, such as {what}('bob', 10).")
    return minutes * 60.0


def _ends(held: list[Held]) -> dict[str, datetime | None]:
    return {
        each.name: datetime.fromtimestamp(each.until / 1000, UTC).astimezone()
        if each.until is not None
        else None
        for each in held
    }
