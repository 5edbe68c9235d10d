"""What a room's rules mean for one member: told by the welcome, followed by what hosts do since then."""

from __future__ import annotations

from msgspec.structs import replace

from nbchat.core import names
from nbchat.core.frames import Held, Moderated, Standing


def after(standing: Standing, event: Moderated, name: str) -> Standing:
    """What holds for the member ``name`` after a host did something."""
    match event.did:
        case "announce" | "unannounce":
            return replace(standing, announce=event.did == "announce")
        case "slow":
            return replace(standing, slow=event.seconds or 0.0)
        case "mute" if event.name is not None and _are_alike(event.name, name):
            return replace(standing, muted=Held(event.name, event.until))
        case "unmute" if standing.muted is not None and event.name is not None:
            is_it = names.skeleton(event.name) == names.skeleton(standing.muted.name)
            return replace(standing, muted=None) if is_it else standing
        case "host" if event.name == name:  # whom a host makes a host may speak
            return replace(standing, muted=None)
    return standing


def refused(standing: Standing, code: str) -> Standing:
    """What holds after a message was refused: a server of last month does not tell it in its welcome. (Nor
    when a mute ends, so that its refusal alone closes no box.)"""
    return replace(standing, announce=True) if code == "announce" else standing


def now(standing: Standing, role: str, ms: float) -> Standing:
    """What holds at a moment (in milliseconds since 1970): a mute ends by itself, and hosts may speak in a
    room that is slow or theirs alone."""
    muted = standing.muted
    if muted is not None and muted.until is not None and muted.until <= ms:
        muted = None
    return Standing(muted=muted) if role == "host" else replace(standing, muted=muted)


def _are_alike(one: str, other: str) -> bool:
    return not names.marks(one).isdisjoint(names.marks(other))
