"""What a server says, made harmless as it comes in, so that no face, error or repr has to think of it.

A server of ours says nothing of the kind. But a link can lead anywhere, and a first-generation server
passes on whatever it is sent.
"""

from __future__ import annotations

from functools import lru_cache

from msgspec.structs import replace

from nbchat.core.frames import (
    Changed,
    Closing,
    Event,
    Held,
    Joined,
    Left,
    MemberInfo,
    Moderated,
    Refused,
    Ruled,
    Said,
    Slow,
    TypingShown,
    Unknown,
    Welcomed,
)
from nbchat.core.visible import acts_on_nothing, one_line

_NAME = 64
_LONGEST_SLOW = 3600.0


def harmless(event: Event | Unknown) -> Event | Unknown:
    """The event with names, reasons and refusals in one line of bounded length, in which all can be seen,
    and with a message's text free of control characters."""
    match event:
        case Said(by=by, text=text, role=role):
            by, text, role = name(by), acts_on_nothing(text), name(role)
            is_same = (by, text, role) == (event.by, event.text, event.role)
            return event if is_same else replace(event, by=by, text=text, role=role)
        case Moderated():
            about = name(event.name) if event.name is not None else None
            return replace(event, by=name(event.by), did=name(event.did), name=about)
        case Ruled():
            return replace(event, bans=_held(event.bans), mutes=_held(event.mutes))
        case Joined(member=info) | Changed(member=info):
            return replace(event, member=_member(info))
        case Left(name=who) | TypingShown(name=who):
            return replace(event, name=name(who))
        case Welcomed():
            return replace(
                event,
                name=name(event.name),
                role=name(event.role),
                room=name(event.room),
                members=[_member(info) for info in event.members],
            )
        case Refused(text=text, code=code, suggestion=suggestion):
            suggestion = name(suggestion) if suggestion is not None else None
            return replace(event, code=name(code), text=one_line(text), suggestion=suggestion)
        case Closing(reason=reason):
            return replace(event, reason=one_line(reason))
        case Slow(seconds=seconds):
            return replace(event, seconds=min(seconds, _LONGEST_SLOW))
    return event


@lru_cache(maxsize=4096)
def name(text: str) -> str:
    """A member's or a room's name, as a server gave it."""
    return one_line(text, _NAME)


def _held(held: list[Held]) -> list[Held]:
    return [replace(each, name=name(each.name)) for each in held]


def _member(info: MemberInfo) -> MemberInfo:
    return replace(info, name=name(info.name), role=name(info.role))
