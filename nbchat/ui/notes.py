"""What a page says of a chat that it is not connected to: one sentence in a student's words.

Nothing of Python is in it: whoever reads it looks at a panel. A server's own words stand behind ours, so that
they cannot pass for them.
"""

from __future__ import annotations

from nbchat.client.state import State

_OVER = {
    "closed": "You left this chat.",
    "replaced": "This chat goes on in another window or notebook of yours.",
    "locked": "The room is locked: no newcomers. Ask the host to let you in.",
    "room_full": "The room is full. Try again when somebody has left.",
    "too_many_rooms": "The chat has no place for another room. Try again later.",
    "name_in_use": "Somebody else has your name by now. Run the cell again with another name.",
    "bad_key": "The link does not open this chat. Ask the host for a new one.",
    "link_ended": "The link has ended. Ask the host for a new one.",
    "other_name": "The link is for another name. Ask the host for one of your own.",
    "CertificateChanged": "Something else answers in the chat's place; nothing was sent to it. Ask the host.",
    "NotTheServer": "Something else answers in the chat's place; nothing was sent to it. Ask the host.",
    "NoServerFound": "The chat has ended. Join again when its host has started it.",
    "Unreachable": "The chat does not answer. Join again when its host has started it.",
    "SeveralServers": "There are several chats by now. Run the cell again with the name of one.",
}
_FOR_GOOD = (
    "banned",
    "bad_key",
    "link_ended",
    "other_name",
    "CertificateChanged",
    "NotTheServer",
    "SeveralServers",
    "replaced",
)
"""Where joining again by itself would end in the same way."""
_AWAY = {
    "room_full": "the room is full.",
    "NoServerFound": "the chat has ended, or its host is starting it again.",
}


def note(state: State) -> tuple[str, bool]:
    """Why the page is not connected (empty when it is), and whether it can be asked to join again. To be
    called with the state's ``changed`` held."""
    match state.status:
        case "closed":
            said = f"You are no longer in this chat: {state.reason}"
            return _OVER.get(state.cause, said), state.cause not in _FOR_GOOD
        case "reconnecting":
            return f"Reconnecting: {_AWAY.get(state.cause, 'the chat does not answer.')}", False
    return "", False
