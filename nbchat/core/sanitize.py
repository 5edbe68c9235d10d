"""What a server says, made harmless as it comes in, so that no face, error or repr has to think of it.

A server of ours says nothing of the kind. But a link can lead anywhere, and a first-generation server
passes on whatever it is sent.
"""

from __future__ import annotations

from functools import lru_cache

from msgspec.structs import replace

from nbchat.core.escape import acts_on_nothing, one_line
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
    Standing,
    TypingShown,
    Unknown,
    Welcomed,
)
from nbchat.core.limits import KNOWN

_NAME = 64
_RUNS = 4000
"""Ends of runs of messages that one deed takes away: what a server of ours says at the most."""
_LONGEST_SLOW = 3600.0
_MARK = 128
"""A message's id, a log's id, a session's word: twice the longest of a server of ours."""
_TEXT = 64 * 1024
"""Characters of a text, where the server's own limit is less: it may have been more once."""


def harmless(event: Event | Unknown, text_limit: int = _TEXT) -> Event | Unknown:
    """The event with names, reasons and refusals in one line of bounded length, in which all can be seen,
    and with a message's text free of control characters and not longer than the server's own limit (bytes)
    or 64 Ki characters."""
    match event:
        case Said(id=id, by=by, text=text, role=role):
            id, by, text = id[:_MARK], name(by), acts_on_nothing(_cut(text, max(_TEXT, text_limit)))
            role = name(role)
            if (id, by, text, role) == (event.id, event.by, event.text, event.role):
                return event
            return replace(event, id=id, by=by, text=text, role=role)
        case Moderated():
            about = name(event.name) if event.name is not None else None
            id, gone = event.id[:_MARK], event.gone[:_RUNS]
            return replace(event, id=id, by=name(event.by), did=name(event.did), name=about, gone=gone)
        case Ruled():
            return replace(event, bans=_held(event.bans), mutes=_held(event.mutes))
        case Joined(member=info) | Changed(member=info):
            return replace(event, member=_member(info))
        case Left(name=who) | TypingShown(name=who):
            return replace(event, name=name(who))
        case Welcomed():
            return replace(
                event,
                session=event.session[:_MARK],
                log_id=event.log_id[:_MARK],
                name=name(event.name),
                role=name(event.role),
                room=name(event.room),
                chat=name(event.chat) if event.chat is not None else None,
                rules=_standing(event.rules),
                members=[_member(info) for info in event.members[:KNOWN]],
            )
        case Refused(text=text, code=code, suggestion=suggestion):
            suggestion = name(suggestion) if suggestion is not None else None
            return replace(event, code=name(code), text=one_line(text), suggestion=suggestion)
        case Closing(reason=reason, code=code):
            return replace(event, reason=one_line(reason), code=name(code) if code is not None else None)
        case Slow(seconds=seconds):
            return replace(event, seconds=max(0.0, min(seconds, _LONGEST_SLOW)))
    return event


def name(text: str) -> str:
    """A member's or a room's name, as a server gave it."""
    return _name(text[: _NAME + 1])  # cut first: what is remembered has to be short as well


@lru_cache(maxsize=4096)
def _name(text: str) -> str:
    return one_line(text, _NAME)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}…"


def _standing(rules: Standing | None) -> Standing | None:
    if rules is None or rules.muted is None:
        return rules
    return replace(rules, muted=_held([rules.muted])[0])


def _held(held: list[Held]) -> list[Held]:
    return [replace(each, name=name(each.name)) for each in held]


def _member(info: MemberInfo) -> MemberInfo:
    return replace(info, name=name(info.name), role=name(info.role))
