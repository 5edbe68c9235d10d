"""What the server's inside knows of a connection, whatever it speaks."""

from __future__ import annotations

from typing import Protocol

from nbchat.core.frames import Frame


class Peer(Protocol):
    """One connection; a member is known by it, by its identity. Loop thread only."""

    host: str
    """The address it comes from, or the network that counts as one."""
    peer: tuple[str, int] | None
    """Its end of the connection, if the system names it."""
    word: str | None
    """Its session's own word, which only its client keeps."""
    since: float
    heard: float
    """When it came, and when the last byte came from it, by the loop's clock."""
    is_open: bool
    has_ended: bool
    is_full: bool
    """True while the socket takes no more."""
    under_way: int
    """Its messages that the store has not answered yet."""
    is_asking: bool
    """A page of history is being fetched for it."""
    waits_for_store: bool
    """A plain client's messages could not be kept and are tried again."""

    def __hash__(self) -> int: ...

    @property
    def is_plain(self) -> bool: ...

    @property
    def key_id(self) -> str | None:
        """The id of the key that a native member came in with."""

    @property
    def address(self) -> str | None:
        """Where it comes from; None for this machine, where that tells nobody apart."""

    @property
    def fileno(self) -> int: ...

    def write(self, data: bytes) -> bool:
        """Hand bytes to the socket; False when it takes no more for now."""

    def tell(self, frame: Frame) -> None:
        """Send a frame to this connection alone."""

    def drop(self) -> None:
        """End the connection after what was written."""

    def close_with(self, reason: str) -> None:
        """Tell it, whatever it speaks, that it ends, and end it."""

    def turn_away(self, what: str, answer: bytes = b"") -> None:
        """End the connection of somebody who does not belong here; ``what`` is written down."""

    def abort(self) -> None:
        """End the connection now."""

    def go_on(self) -> None:
        """What its session had asked for has been answered."""

    def charge(self, more: float) -> None:
        """A request has cost so many requests more than the one as which it was counted."""

    async def may_read(self, after: int) -> None:
        """Return when the history after a seq may be read for it."""

    def has_read(self, after: int, upto: int, cost: float) -> None:
        """It was sent so much of the history, which cost so many requests."""

    async def writable(self) -> None:
        """Return when the socket takes more; cancelled when the connection ends."""

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...
