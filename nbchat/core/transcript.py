"""What a face shows: events in, rows out. Panel, terminal and magics share it.

A row has a running number ``n`` of this transcript's own (1, 2, 3 …; one is missing only where somebody
came or went long ago), so that a face keeps one integer, the last row it has shown, and asks for the rows
after it. Rows are facts; how they look is the face's business.
"""

from __future__ import annotations

import sys
from bisect import bisect_right
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import islice
from typing import Literal

from msgspec import Struct, structs

from nbchat.core import deeds
from nbchat.core.escape import indented, one_line
from nbchat.core.frames import Changed, Joined, Left, MemberInfo, Moderated, Said, Unknown, Welcomed
from nbchat.core.limits import KEPT, KEPT_BYTES, KNOWN, PRESENCE


class Message(Struct, frozen=True):
    """One message: ``seq`` its number in the room, ``by`` its author (a :class:`Member` as it was then:
    ``message.by.role`` is ``host`` for a host's, ``message.by.plain`` true if it is not verified), ``ms`` its
    time in milliseconds since 1970 by the server's clock, ``id`` the sender's own mark, ``auto`` true if a
    program said it.
    Inside, an empty ``text`` means that a host took it away; people are not given such messages."""

    seq: int
    by: str
    text: str
    ms: int = 0
    id: str = ""
    auto: bool = False

    @property
    def at(self) -> datetime:
        """The time, in this machine's time zone."""
        return datetime.fromtimestamp(self.ms / 1000, UTC).astimezone()

    def __str__(self) -> str:
        """``ada: hi``, fit for any screen: what is hidden in it is shown, and further lines are indented,
        so that none can be taken for somebody else's."""
        return f"{one_line(self.by)}: {indented(self.text)}"

    @property
    def marked(self) -> str:
        """The same with what the server says of the author: ``ada (host): hi``. A name has no bracket in it,
        so nobody can have one that looks like that."""
        return f"{one_line(self.by)}{mark(self.by)}: {indented(self.text)}"


class Member(str):
    """A member's name, which also knows ``.role`` (host or member), ``.plain`` (true for a
    first-generation client, which could not prove who it is) and ``.away`` (true when its person is not
    at the screen)."""

    __slots__ = ("away", "plain", "role")
    role: str
    plain: bool
    away: bool

    def __new__(cls, name: str, role: str = "member", plain: bool = False, away: bool = False) -> Member:
        self = super().__new__(cls, name)
        self.role = role
        self.plain = plain
        self.away = away
        return self

    @property
    def name(self) -> str:
        return str(self)


HOST, UNVERIFIED = "host", "unverified"


def mark(author: str) -> str:
    """What stands behind an author's name: `` (host)``, `` (unverified)`` or nothing."""
    found = marks(author)
    return f" ({found})" if found else ""


def marks(author: str) -> str:
    """The mark alone. Messages of last month have none."""
    if getattr(author, "role", "") == "host":
        return HOST
    return UNVERIFIED if getattr(author, "plain", False) else ""


class Row(Struct, frozen=True):
    """One thing to show: a message, or (``kind`` is not "said") a line about ``name``."""

    n: int
    kind: Literal["said", "joined", "left", "moderated", "reset", "notice"]
    name: str
    message: Message | None = None
    text: str = ""
    gone: tuple[int, ...] | None = None
    """For "moderated": first and last seq of the messages that were taken away, of each run of them."""
    ms: int = 0
    """When, in milliseconds since 1970: what is in the log by the server's clock; who came and went,
    which comes without a time, by this machine's; 0 where nobody gave a clock."""


class Transcript:
    """The newest rows and messages of one room, its members, and the last seq. One owner."""

    def __init__(self, kept: int = KEPT, clock: Callable[[], int] = lambda: 0) -> None:
        self._clock = clock
        self.rows: deque[Row] = deque()
        self._kept = kept
        self._presence = 0
        """How many of the rows say that somebody came or went: they have a bound of their own, so that they
        push out no messages."""
        self.messages: deque[Message] = deque(maxlen=kept)
        self.members: dict[str, Member] = {}
        self.absent: dict[str, None] = {}
        """Who was here before an outage and is not (yet) again: :meth:`part` says that they left."""
        self.log_id: str | None = None
        self.seq: int | None = None
        """The last seq seen; None until the first message of a new room or log."""
        self.n = 0
        self.log = 0
        """Which log this is, counted: a place in another one means nothing here."""
        self.first: int | None = None
        """The first seq seen of this log."""
        self.said = 0
        """The seq of its last message."""
        self.lost = 0
        """The seq of the last message that was let go of because there are too many: the history has it."""
        self.gone = 0
        """All messages up to this seq were taken away, here and there."""
        self._size = 0
        self.changes = 0
        """How often the messages changed: one came, or some were taken away."""

    def welcome(self, event: Welcomed, *, fresh: bool = True) -> bool:
        """A (new) place in the room. True if the log is another one than before: all starts anew.

        ``fresh`` false: who was there before and is again makes no row, who came does. Who is missing may be
        on the way back, as after the server's restart: that they left is said by :meth:`part`.
        """
        # A log that has less than was seen of it was put back from a copy: its numbers mean other messages.
        is_other = self.log_id not in (None, event.log_id) or event.head < (self.seq or 0)
        if is_other:
            self.messages.clear()
            self.log += 1
            self.seq = self.first = None
            self.said = self.lost = self.gone = self._size = 0
            self._row("reset", event.room)
        self.log_id = event.log_id
        known = islice(event.members, KNOWN)
        before, self.members = self.members, {info.name: _member(info) for info in known}
        if fresh:
            self.absent.clear()
            return is_other
        before_that, self.absent = self.absent, {}
        for name in {**before_that, **before}:
            if name in self.members:
                continue
            if len(self.absent) < KNOWN:
                self.absent[name] = None
            else:
                self._row("left", name)
        for name in self.members:
            if name not in before and name not in before_that:
                self._row("joined", name)
        return is_other

    def part(self) -> None:
        """Who was here before an outage has had the time to come back: the others have left."""
        for name in self.absent:
            self._row("left", name)
        self.absent.clear()

    def trim(self, head: int) -> None:
        """The log begins after ``head`` now: what is older is let go."""
        self._drop(head)
        if self.first is None:
            self.first = head + 1
        while self.rows and (message := self.rows[0].message) is not None and message.seq <= head:
            self._drop_row()
        if self.seq is not None and self.seq < head:
            self.notice(f"The {head - self.seq} messages after {self.seq} are no longer kept by this chat.")
        self.seq = max(self.seq or 0, head)

    def apply(self, event: Said | Moderated | Joined | Changed | Left | Unknown) -> Message | None:
        """One event of the room. A message that was seen before changes nothing; returns a new one.

        Raises :class:`ValueError` if one is missing before this one.
        """
        match event:
            case Said() | Unknown():
                if event.seq is None or not self._advance(event.seq) or isinstance(event, Unknown):
                    return None
                message = from_said(event)
                self._keep(message)
                self.changes += 1
                self._row("said", message.by, message)
                return message
            case Moderated():
                if self._advance(event.seq):
                    self._moderated(event)
            case Joined(member=info, quiet=quiet):
                if info.name not in self.members:
                    if len(self.members) >= KNOWN:
                        return None
                    if info.name in self.absent:
                        del self.absent[info.name]
                    elif not quiet:
                        self._row("joined", info.name)
                self.members[info.name] = _member(info)
            case Changed(member=info):
                if info.name in self.members:
                    self.members[info.name] = _member(info)
            case Left(name=name, quiet=quiet):
                if self.members.pop(name, None) is not None and not quiet:
                    self._row("left", name)
        return None

    def _moderated(self, event: Moderated) -> None:
        """Show what a host did, and take away what he took away."""
        gone: tuple[int, ...] | None = None
        if event.did == "clear" and event.target is not None:
            gone = (0, event.target)
            self._drop(event.target)
            # What lies before the last of them goes, too: rows are kept without a gap.
            at = [
                index
                for index, row in enumerate(self.rows)
                if row.message and row.message.seq <= event.target
            ]
            for _ in range(at[-1] + 1 if at else 0):
                self._drop_row()
        elif event.gone or (event.did == "delete" and event.target is not None):
            gone = event.gone[: len(event.gone) // 2 * 2] or (event.target or 0,) * 2
            self._redact(gone)
        self.changes += gone is not None
        self._row("moderated", event.by, text=deeds.words(event), gone=gone, ms=event.at)

    def reach(self, seq: int) -> None:
        """Somebody goes on after this seq, which is before what came here: the history has the rest."""
        if self.first is not None and seq + 1 < self.first:
            self.lost = max(self.lost, self.first - 1)
            self.first = seq + 1

    def _keep(self, message: Message) -> None:
        """Take a message in, and let go of the oldest where there are too many or they are too long."""
        messages = self.messages
        if len(messages) == messages.maxlen:
            self._let_go()
        messages.append(message)
        self.said = message.seq
        self._size += _size(message)
        while self._size > KEPT_BYTES and len(messages) > 1:
            seq = self._let_go()
            # What lies before it goes, too: rows are kept without a gap.
            while self.rows and (self.rows[0].message is None or self.rows[0].message.seq <= seq):
                self._drop_row()

    def _let_go(self) -> int:
        oldest = self.messages.popleft()
        self._size -= _size(oldest)
        self.lost = oldest.seq
        return oldest.seq

    def _drop(self, seq: int) -> None:
        """The messages up to this one are gone for good."""
        while self.messages and self.messages[0].seq <= seq:
            self._size -= _size(self.messages.popleft())
        self.gone = max(self.gone, seq)

    def _redact(self, gone: tuple[int, ...]) -> None:
        """Take the texts of these messages away, in runs in ascending order."""

        def is_gone(seq: int) -> bool:
            place = bisect_right(firsts, seq)
            return place > 0 and seq <= lasts[place - 1]

        firsts, lasts = gone[::2], gone[1::2]
        for index, message in enumerate(self.messages):
            if is_gone(message.seq):
                self._size -= _size(message) - _size(empty := structs.replace(message, text=""))
                self.messages[index] = empty
        for index, row in enumerate(self.rows):
            if row.message is not None and is_gone(row.message.seq):
                self.rows[index] = structs.replace(row, message=structs.replace(row.message, text=""))

    def notice(self, text: str) -> None:
        """A word about the connection, for this reader only."""
        self._row("notice", "system", text=text)

    def after(self, n: int) -> list[Row]:
        """The rows after number ``n`` that are still kept, oldest first. Where numbers are missing between
        two of them, somebody came or went long ago."""
        missing = self.n - n
        if missing <= 0:
            return []
        newest = islice(self.rows, max(0, len(self.rows) - missing), None)
        return [row for row in newest if row.n > n]

    def _advance(self, seq: int) -> bool:
        if self.seq is not None:
            if seq <= self.seq:
                return False
            if seq != self.seq + 1:
                raise ValueError(f"message {seq} came after message {self.seq}")
        if self.first is None:
            self.first = seq
        self.seq = seq
        return True

    def _row(
        self,
        kind: str,
        name: str,
        message: Message | None = None,
        text: str = "",
        gone: tuple[int, ...] | None = None,
        ms: int = 0,
    ) -> None:
        self.n += 1
        ms = message.ms if message is not None else ms or self._clock()
        self.rows.append(Row(self.n, kind, name, message, text, gone, ms))  # type: ignore[arg-type]
        if _is_presence(self.rows[-1]):
            self._presence += 1
            if self._presence > PRESENCE + PRESENCE // 4:  # some at once, since all rows are gone through
                self._thin(self._presence - PRESENCE)
        while len(self.rows) - self._presence > self._kept:
            self._drop_row()

    def _drop_row(self) -> None:
        self._presence -= _is_presence(self.rows.popleft())

    def _thin(self, count: int) -> None:
        """Let go of the oldest rows of who came and went."""
        self._presence -= count
        rows, self.rows = self.rows, deque()
        for row in rows:
            if count and _is_presence(row):
                count -= 1
            else:
                self.rows.append(row)


def _size(message: Message) -> int:
    return sys.getsizeof(message.text)


def _is_presence(row: Row) -> bool:
    return row.kind in ("joined", "left")


def from_said(event: Said) -> Message:
    by = Member(event.by, event.role, event.plain)
    return Message(event.seq, by, event.text, event.at, event.id, event.auto)


def _member(info: MemberInfo) -> Member:
    return Member(info.name, info.role, info.plain, info.away)
