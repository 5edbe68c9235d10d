"""What may be asked of a server that runs, and what it answers: structs, so that they go through a pipe."""

from __future__ import annotations

from typing import Any

from msgspec import Raw, Struct

from nbchat.core import errors, frames
from nbchat.core.errors import ChatError
from nbchat.core.keys import Key
from nbchat.net import discovery
from nbchat.server.options import Options


class Serve(Struct, frozen=True, tag="serve"):
    """Begin to serve, answered by :class:`Serving`. ``sockets`` are the descriptors of those that
    listen; without them the child finds a port itself, ``preferred`` first."""

    options: Options
    known: list[Key]
    is_own_place: bool
    sockets: list[int] | None
    preferred: int


class Members(Struct, frozen=True, tag="members"):
    """Who is there: answered by a list of :class:`~nbchat.core.frames.MemberInfo`."""


class Invite(Struct, frozen=True, tag="invite"):
    """The key that is wanted: it ends after so many seconds."""

    seconds: float
    role: str = "member"
    name: str | None = None
    once: bool = False
    uses: int | None = None


class Revoke(Struct, frozen=True, tag="revoke"):
    """Make all invitations void: answered by null. ``kick``: who came with one is ended, too."""

    kick: bool = False


class Renew(Struct, frozen=True, tag="renew"):
    """Make new keys: answered by how it is found now, a :class:`~nbchat.net.discovery.Running`."""


class LetGo(Struct, frozen=True, tag="let go"):
    """End all who came with keys from before. An order of its own: first the parent has to know the new one,
    with which its clients come back."""


class Keys(Struct, frozen=True, tag="keys"):
    """The keys that are in use: answered by a list of them."""


class Moderate(Struct, frozen=True, tag="moderate"):
    """A host's hand in a room: answered when it is written down."""

    room: str
    order: frames.Moderate


class AskRules(Struct, frozen=True, tag="rules"):
    """What holds in a room: answered by :class:`~nbchat.core.frames.Ruled`."""

    room: str


What = Serve | Members | Invite | Revoke | Renew | LetGo | Keys | Moderate | AskRules
"""All orders. ``Invite`` is answered by the new key."""


class Order(Struct, frozen=True):
    """One line to the child. ``id`` is the parent's mark, which the answer bears, too."""

    id: int
    what: What


class Serving(Struct, frozen=True):
    """It listens: where, and with which keys."""

    running: discovery.Running
    keys: list[Key]
    damage: str | None


class Failure(Struct, frozen=True):
    """An error on its way to the parent: its class's name in ``errors``, its text, its attributes."""

    kind: str
    text: str
    more: dict[str, Any] = {}

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        if isinstance(error, ChatError):
            return cls(type(error).__name__, str(error), vars(error))
        return cls("ChatError", f"The server's process failed: {type(error).__name__}: {error}")

    @property
    def error(self) -> ChatError:
        """The same error again."""
        kind: type[ChatError] = getattr(errors, self.kind)
        return errors.again(kind, (self.text,), self.more)


class Answer(Struct, frozen=True, omit_defaults=True):
    """One line from the child: what was asked for, as JSON of its own type, or why it cannot be had. With
    the ``id`` 0 it was not asked for: how many members there are, said whenever that has changed."""

    id: int
    value: Raw = Raw(b"null")
    failure: Failure | None = None
