"""Every line that may travel, as a typed struct.

A request goes from client to server and is a command; an event goes from server to client and is a
fact. The two unions at the end are all there is. docs/wire.md says the same for other languages.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from nbchat.core.limits import SAFE_INTEGER

Seq = Annotated[int, Meta(ge=0, le=SAFE_INTEGER)]
Version = Annotated[int, Meta(ge=0, le=SAFE_INTEGER)]
Id = Annotated[str, Meta(pattern=r"\A[ -~]{1,64}\Z")]
Nonce = Annotated[str, Meta(pattern=r"\A[0-9a-f]{32}\Z")]
Proof = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
Time = Annotated[int, Meta(ge=0, le=253_402_300_000_000)]
"""Milliseconds since 1970, to the end of the year 9999."""
Short = Annotated[str, Meta(max_length=200)]
Span = Annotated[float, Meta(ge=0, le=366 * 86400)]
"""Seconds, a year at the most."""

VERSION = 1


class Frame(Struct, frozen=True, omit_defaults=True, tag_field="type", gc=False):
    """One line, decoded. Its repr tells no session's word and no proof."""

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self.__rich_repr__())
        return f"{type(self).__name__}({shown})"

    def __rich_repr__(self) -> Iterator[tuple[str, object]]:  # type: ignore[override]
        for name in self.__struct_fields__:
            if name not in ("session", "proof"):
                yield name, getattr(self, name)


# ── requests ────────────────────────────────────────────────────────────────────────────────────


class Hello(Frame, frozen=True, tag="hello"):
    """The first line: which key will be used, and a nonce for the server's proof."""

    v: Version
    key: Short
    nonce: Nonce


class Join(Frame, frozen=True, tag="join", kw_only=True):
    """Become a member. ``session``, ``after`` and ``log_id`` resume where a connection broke off."""

    name: Short
    room: Short = "lobby"
    proof: Proof
    session: Nonce | None = None
    after: Seq | None = None
    log_id: Short | None = None
    exact: bool = True
    """False: a taken name may be given a suffix instead of being refused."""
    as_member: bool = False
    """True: be a member, although the key is a host's."""


class Say(Frame, frozen=True, tag="say"):
    """A message; ``id`` is the sender's own mark, by which a repetition is recognised."""

    id: Id
    text: str
    auto: bool = False
    """True: a program's answer, which other programs do not answer."""


class Page(Frame, frozen=True, tag="page"):
    """Ask for the messages before ``before`` (the newest without it)."""

    before: Seq | None = None
    limit: Annotated[int, Meta(ge=1, le=SAFE_INTEGER)] = 50


class Typing(Frame, frozen=True, tag="typing"):
    """Somebody is typing here. The client says it at most every few seconds."""


class Away(Frame, frozen=True, tag="away"):
    """This member's person is not at the screen or, with false, is back."""

    away: bool = True


Deeds = Literal[
    "kick", "ban", "unban", "mute", "unmute", "slow", "announce", "unannounce", "lock", "unlock", "clear",
    "delete", "host", "unhost", "release",
]  # fmt: skip
"""What a host can do (core/moderation.py says what each means)."""


class Moderate(Frame, frozen=True, tag="moderate"):
    """A host's hand. ``name`` whom it is about, ``seconds`` how long, ``seq`` which message, as ``do`` needs
    them; ``back``: with the messages of that member of so many seconds before now. ``id`` is the sender's own
    mark, which the answer bears."""

    id: Id
    do: Deeds
    name: Short | None = None
    seconds: Span | None = None
    seq: Seq | None = None
    back: Span | None = None


class Rules(Frame, frozen=True, tag="rules"):
    """Ask what holds in the room."""

    id: Id


class Ping(Frame, frozen=True, tag="ping"):
    """A sign of life."""


class Bye(Frame, frozen=True, tag="bye"):
    """Leave at once, without the time to come back."""


# ── events ──────────────────────────────────────────────────────────────────────────────────────


class MemberInfo(Struct, frozen=True, kw_only=True):
    """A member as the others see it."""

    name: str
    role: str = "member"
    plain: bool = False
    """True: a first-generation client, which could not prove who it is."""
    away: bool = False
    """True: its person is not at the screen."""


class Challenge(Frame, frozen=True, tag="challenge"):
    """The server's nonce, and its proof that it knows the key's secret."""

    v: Version
    nonce: Nonce
    proof: Proof


class RoomLimits(Struct, frozen=True, kw_only=True):
    """The server's bounds that a client should know: bytes, bytes, messages, seconds."""

    text: Annotated[int, Meta(ge=1, le=SAFE_INTEGER)]
    line: Annotated[int, Meta(ge=1, le=SAFE_INTEGER)]
    page: Annotated[int, Meta(ge=1, le=SAFE_INTEGER)]
    ping: Annotated[float, Meta(gt=0, le=86400)]


class Held(Struct, frozen=True, omit_defaults=True):
    """Who is banned or muted, and until when (milliseconds since 1970; without it: until further notice)."""

    name: str
    until: Time | None = None


class Standing(Struct, frozen=True, omit_defaults=True):
    """What the room's rules mean for one member: ``announce``, only hosts may speak; ``slow``, the seconds
    between two messages of a member who is no host; ``muted``, the mute on this member, if there is one."""

    announce: bool = False
    slow: float = 0.0
    muted: Held | None = None


class Welcomed(Frame, frozen=True, tag="welcome"):
    """The member is in; everything after ``head`` follows live. Sent again, it replaces the member list."""

    session: str
    name: str
    role: str
    room: str
    log_id: str
    head: Seq
    members: list[MemberInfo]
    limits: RoomLimits
    chat: str | None = None
    """The chat's name, if it has one."""
    rules: Standing | None = None
    """What holds for this member at this moment; None: nothing does (or the server is older)."""


class Said(Frame, frozen=True, tag="said"):
    """A message, in the log: ``seq`` its place, ``at`` milliseconds since 1970, ``by`` set by the server."""

    seq: Seq
    at: Time
    id: str
    by: str
    text: str
    auto: bool = False
    role: str = "member"
    """The author's role as it was then, set by the server: ``host``, or nothing is said of it."""
    plain: bool = False
    """True: from a first-generation client, which could not prove who it is."""


class Moderated(Frame, frozen=True, tag="moderated"):
    """A host did something, in the log as a message is: ``did`` what, ``by`` whom (``server``: the program
    that serves), ``name`` to whom, ``until`` when it ends (milliseconds since 1970; without it: until further
    notice), ``seconds`` the pause between messages, ``target`` the message that was taken away or the last of
    them; ``gone`` which they are, if not all up to there: first and last seq of each run, one after the
    other."""

    seq: Seq
    at: Time
    id: str
    by: str
    did: str
    name: str | None = None
    until: Time | None = None
    seconds: float | None = None
    target: Seq | None = None
    gone: tuple[Seq, ...] = ()


class Ruled(Frame, frozen=True, tag="ruled"):
    """What holds in the room; who is banned and muted is for hosts only."""

    id: str
    announce: bool = False
    """True: only hosts may speak."""
    locked: bool = False
    """True: no newcomers."""
    slow: float = 0.0
    """Seconds that each member has to leave between two messages."""
    bans: list[Held] = []
    mutes: list[Held] = []


class Joined(Frame, frozen=True, tag="joined"):
    member: MemberInfo
    quiet: bool = False
    """True: it is in the list of members, and no line tells of it."""


class Changed(Frame, frozen=True, tag="changed"):
    """A member is away, or back, or has another role. Nobody came."""

    member: MemberInfo


class Left(Frame, frozen=True, tag="left"):
    name: str
    quiet: bool = False
    """As in ``joined``."""


class TypingShown(Frame, frozen=True, tag="typing"):
    """Somebody is typing."""

    name: str


class Stored(Frame, frozen=True, tag="stored"):
    """The answer to a ``say`` that was in the log already."""

    id: str
    seq: Seq


class Paged(Frame, frozen=True, tag="paged"):
    """A page of the log, oldest first; ``more`` when there are older ones."""

    events: list[msgspec.Raw]
    more: bool


class Trimmed(Frame, frozen=True, tag="trimmed"):
    """The log now begins after ``head``."""

    head: Seq


class Refused(Frame, frozen=True, tag="refused"):
    """No, and why: ``code`` for programs, ``text`` for people. Only ``fatal`` ends the connection."""

    code: str
    text: str
    fatal: bool
    id: str | None = None
    suggestion: str | None = None


class Closing(Frame, frozen=True, tag="closing"):
    """The server ends this connection; ``back_in`` seconds later it may be worth trying again."""

    reason: str
    back_in: float | None = None
    final: bool = False
    """True: trying again by itself would be wrong (another connection took this session over)."""
    code: str | None = None
    """Why, for programs, where it is final: ``kicked``, ``banned``, ``replaced``."""


class Slow(Frame, frozen=True, tag="slow"):
    """Too many requests: reading from this member pauses for so many seconds. Nothing is lost."""

    seconds: float = msgspec.field(name="for")


class Pong(Frame, frozen=True, tag="pong"):
    """The answer to a ping."""


class Unknown(Struct, frozen=True):
    """An event of a kind this program does not know; it keeps its place in the order."""

    seq: int | None
    raw: bytes


Request = Hello | Join | Say | Page | Typing | Away | Moderate | Rules | Ping | Bye
Event = (
    Challenge
    | Welcomed
    | Said
    | Moderated
    | Ruled
    | Joined
    | Changed
    | Left
    | TypingShown
    | Stored
    | Paged
    | Trimmed
    | Refused
    | Closing
    | Slow
    | Pong
)


class Body(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag="said"):
    """A message as the store keeps it: a ``said`` without the place and time that the store gives."""

    id: str
    by: str
    text: str
    auto: bool = False
    role: str = "member"
    plain: bool = False


class Deed(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag="moderated"):
    """What a host did, as the store keeps it: a ``moderated`` without its place and time."""

    id: str
    by: str
    did: str
    name: str | None = None
    until: Time | None = None
    seconds: float | None = None
    target: Seq | None = None
    gone: tuple[Seq, ...] = ()
