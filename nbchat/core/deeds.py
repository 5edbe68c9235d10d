"""What hosts did, in words: for all faces, for plain-text clients, and for those whom it concerns."""

from __future__ import annotations

import math

from nbchat.core.frames import Moderated

SERVER = "server"
"""Who did it when it was the program that serves; nobody can have that name."""


def words(event: Moderated) -> str:
    """A deed as a face shows it."""
    by, name = who(event.by), event.name or "somebody"
    count = sum(last - first + 1 for first, last in pairs(event.gone))
    messages = "a message" if count < 2 else f"{count:,} messages"
    how_long = span(event.until, event.at, 1000)
    match event.did:
        case "kick":
            return f"{by} removed {name} from the room"
        case "ban" if count:
            return f"{by} banned {name} {how_long} and took {messages} of {name} away"
        case "ban":
            return f"{by} banned {name} {how_long}"
        case "unban":
            return f"{by} ended {name}'s ban"
        case "mute":
            return f"{by} muted {name} {how_long}"
        case "unmute":
            return f"{by} lets {name} speak again"
        case "slow" if event.seconds:
            return f"{by} made the room slow: {duration(event.seconds)} between two messages of one member"
        case "slow":
            return f"{by} ended the pause between messages"
        case "announce":
            return f"{by} lets only hosts speak now"
        case "unannounce":
            return f"{by} lets everybody speak again"
        case "lock":
            return f"{by} locked the room: no newcomers"
        case "unlock":
            return f"{by} unlocked the room"
        case "clear":
            return f"{by} cleared the room"
        case "delete":
            return f"{by} took {messages} of {name} away"
        case "host":
            return f"{by} made {name} a host"
        case "unhost":
            return f"{by} took {name}'s being host back"
        case "release":
            return f"{by} released the name {name}"
    return f"{by} did something that this program does not know yet ({event.did})"


def pairs(gone: tuple[int, ...]) -> list[tuple[int, int]]:
    """First and last seq of each run of messages that a deed took away."""
    return list(zip(gone[::2], gone[1::2], strict=False))


def duration(seconds: float) -> str:
    """``45 s``, ``10 minutes``: rounded up, so that who waits so long has waited long enough."""
    if seconds < 100:
        return f"{max(1, math.ceil(seconds - 0.05))} s"
    unit, size = ("minute", 60) if seconds < 6000 else ("hour", 3600) if seconds < 172800 else ("day", 86400)
    count = math.ceil(seconds / size - 0.05)
    return f"{count} {unit}{'' if count == 1 else 's'}"


def span(until: float | None, now: float, scale: float = 1) -> str:
    """From now until then; ``scale`` of their units are a second."""
    return "until further notice" if until is None else f"for {duration((until - now) / scale)}"


def who(by: str) -> str:
    """Who did it: a host's name, or the one who serves."""
    return "The host" if by == SERVER else by
