"""Keys and proofs: how both ends show that they know a secret without sending it.

A key is a public id and a secret. Each end sends a nonce; each proves itself with an HMAC of both
nonces under the secret, the server first. Whoever listens, or took a dead server's port, learns
nothing that could be used again.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator

import msgspec


class Key(msgspec.Struct, frozen=True, omit_defaults=True):
    """A key as the server keeps it. ``role`` is ``host`` or ``member``; ``ends`` is in seconds since 1970
    (the host's own key has no end)."""

    id: str
    secret: str
    role: str = "member"
    ends: float | None = None
    name: str | None = None
    """The only name it is for, if there is one."""
    once: bool = False
    """True: the first session that comes in with it is the only one."""
    sessions: tuple[str, ...] | None = None
    """The sessions that have used it, if their number is bounded, or for which it stays though it is void."""
    uses: int | None = None
    """How many sessions may come in with it; None: any number, or one (``once``). 0: no more."""
    rooms: dict[str, str] = {}
    """session → the room that it may come into, for those in ``sessions``."""
    is_over: bool = False
    """True: it has ended, and goes on for those who were inside."""

    @property
    def most(self) -> int | None:
        """How many sessions it is for, None if that is not bounded."""
        return 1 if self.once else self.uses

    def __repr__(self) -> str:
        return f"Key({self.id!r}, role={self.role!r})"

    def __rich_repr__(self) -> Iterator[tuple[str, object]]:  # type: ignore[override]
        yield from (("id", self.id), ("role", self.role))

    def is_valid(self, now: float) -> bool:
        return self.ends is None or now < self.ends


def server_proof(secret: str, client_nonce: str, server_nonce: str) -> str:
    """What the server answers a hello with, in hex."""
    return _proof(secret, "server", client_nonce, server_nonce)


def client_proof(secret: str, client_nonce: str, server_nonce: str) -> str:
    """What the client joins with, in hex."""
    return _proof(secret, "client", client_nonce, server_nonce)


def is_same(one: str, other: str) -> bool:
    """Compare two proofs in a time that does not tell where they differ."""
    return hmac.compare_digest(one.encode(), other.encode())


def decoy(seed: bytes, key_id: str) -> str:
    """A secret for a key id that does not exist, the same each time, so that nobody can tell."""
    return hmac.new(seed, key_id.encode(), hashlib.sha256).hexdigest()[:32]


def _proof(secret: str, who: str, client_nonce: str, server_nonce: str) -> str:
    message = f"nbchat 1 {who}\n{client_nonce}\n{server_nonce}"
    return hmac.new(secret.encode(), message.encode(), hashlib.sha256).hexdigest()
