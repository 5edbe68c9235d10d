"""A closed client joins anew, with all it knows: what a panel's "Join again" does."""

from __future__ import annotations

from nbchat.client import clients
from nbchat.client.client import Client
from nbchat.client.thread import Receiver
from nbchat.core.errors import Closed

_END = 5.0
"""Seconds for the last thread to end: it has told its end already."""


def join_again(client: Client) -> None:
    """Join with a new session, for whoever reads this client's state: its status tells what becomes of it,
    its handlers and its transcript go on. Returns at once, and does nothing if the client is not closed.

    What was not confirmed when it closed is given back to its person and not sent: only a look into the chat
    can tell whether it is there.
    """
    state, old = client._state, client._receiver
    if state.status != "closed":
        return
    old.thread.join(_END)
    with state.changed:
        if state.status != "closed" or client._receiver is not old:  # another page was faster
            return
        for message in state.pending.values():
            message.settle(
                error=Closed("This may be in the chat or not. Look there before you send it again.")
            )
            if not message.auto:
                state.refused.append(message)
        state.pending.clear()
        state.typing.clear()
        state.status, state.reason, state.cause = "connecting", "", ""
        new = Receiver(old._target, state, old._wanted, exact=old._exact, as_member=old._as_member)
        client._resume(new)
        state.touch()
    new.thread.start()
    clients.begin(client._life)
    clients.handles.add(client)  # its next close() is a first one again
