"""Effects: what the hub asks its shell to do, one kind each, in the order in which they are returned."""

from __future__ import annotations

from collections.abc import Hashable, Iterator

from msgspec import Struct

from nbchat.core.frames import Changed, Deed, Frame, Joined, Left, TypingShown

Connection = Hashable


class Tell(Struct, frozen=True):
    """Send one frame to one connection."""

    conn: Connection
    frame: Frame


class Announce(Struct, frozen=True):
    """Send one frame to every member of a room, in order with its messages; it is not kept.

    ``session`` is the member it is about.
    """

    room: str
    frame: Joined | Changed | Left | TypingShown
    session: str

    def __repr__(self) -> str:
        return f"Announce({self.room!r}, {self.frame!r})"

    def __rich_repr__(self) -> Iterator[object]:  # type: ignore[override]
        yield repr(self)


class Admit(Struct, frozen=True):
    """Let a connection read its room from here on: first what it missed after ``after`` (the newest
    messages where that is None), then all that comes."""

    conn: Connection
    room: str
    after: int | None


class Append(Struct, frozen=True):
    """Give a message to the store. What becomes of it is told to ``conn`` by the store's answer."""

    conn: Connection
    room: str
    session: str
    id: str
    body: bytes

    def __repr__(self) -> str:
        return f"Append({self.room!r}, id={self.id!r})"

    def __rich_repr__(self) -> Iterator[object]:  # type: ignore[override]
        yield repr(self)


class Fetch(Struct, frozen=True):
    """Answer a connection with a page of its room's history."""

    conn: Connection
    room: str
    before: int | None
    limit: int


class Drop(Struct, frozen=True):
    """End a connection, after what it was told."""

    conn: Connection


class Shut(Struct, frozen=True):
    """Nobody is in the room any more: what was held in memory for it can go."""

    room: str


class Decline(Struct, frozen=True):
    """Refuse a message by the room's rules, unless it is in the log already: sent again, it is answered as
    ever."""

    conn: Connection
    room: str
    session: str
    id: str
    code: str
    text: str

    def __repr__(self) -> str:
        return f"Decline({self.room!r}, id={self.id!r}, {self.code!r})"

    def __rich_repr__(self) -> Iterator[object]:  # type: ignore[override]
        yield repr(self)


class Record(Struct, frozen=True):
    """Keep the room's rules as they are now, take away what a ``delete`` or a ``clear`` is about, and then
    give the deed to the store as a message is. ``conn`` is told if that fails; None: the server itself asked.
    ``since`` (milliseconds since 1970): what the deed's member has said from then on is taken away.
    """

    conn: Connection | None
    room: str
    deed: Deed
    since: int | None = None


class Void(Struct, frozen=True):
    """A session was shut out by who serves: no key opens for it any more. Its key ``key_id`` opens for nobody
    else either who is not inside, if it was a host's or, with ``is_personal``, for one name."""

    session: str
    key_id: str | None
    is_personal: bool

    def __repr__(self) -> str:
        return f"Void({self.key_id!r})"

    def __rich_repr__(self) -> Iterator[object]:  # type: ignore[override]
        yield repr(self)


Effect = Tell | Announce | Admit | Append | Decline | Record | Void | Fetch | Drop | Shut
