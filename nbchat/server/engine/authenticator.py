"""A server's door: the keys that open it, kept with the history, and who guesses. Loop thread only."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Iterable

import msgspec

from nbchat.core.errors import StoreError
from nbchat.core.keyring import Guesses, Inside, Keyring
from nbchat.core.keys import Key
from nbchat.core.naming import Promised
from nbchat.store.promise import RoomStore

log = logging.getLogger("nbchat")


class Door:
    """``clock`` is in seconds since 1970, ``timer`` any that does not jump."""

    def __init__(
        self,
        store: RoomStore,
        known: Iterable[Key],
        guesses: int,
        *,
        clock: Callable[[], float],
        timer: Callable[[], float],
        inside: Inside,
    ) -> None:
        self._store = store
        known = list(known)
        self._keys = Keyring(known, secrets.token_bytes(16), inside)
        self._known = {key.id for key in known}
        self._most = guesses
        self._guesses = Guesses(guesses)
        self._clock = clock
        self._timer = timer
        self.renewed: tuple[set[str], set[str]] = (set(), set())
        """The ids of the keys that :meth:`renew` has made void: the invitations, and the host's own."""

    def find(self, key_id: str) -> Key:
        """The key of an id, to answer a hello with; a decoy for an unknown one."""
        return self._keys.find(key_id, self._clock())

    def opens(self, key: Key, session: str | None, room: str) -> Key | None:
        """The key as it is now, if a session may come into a room with it."""
        return self._keys.opens(key.id, session, self._clock(), room)

    def why(self, key: Key) -> str:
        """What became of a key that opens nothing, for somebody who has proved to have it."""
        why = self._keys.why(key.id, self._clock())
        return f"{why} Ask for a new one (the host gets it from server.invite())."

    def used(self, key: Key, session: str, room: str) -> bool:
        """A session came into a room with a key. True: that is to be kept (:meth:`keep`)."""
        return self._keys.used(key.id, session, room)

    def shut_out(self, session: str, key_id: str | None, *, is_personal: bool) -> bool:
        """A session has lost its keys. True: that is to be kept."""
        return self._keys.shut_out(session, key_id, is_personal=is_personal)

    def tick(self) -> bool:
        """See which keys have ended. True: that is to be kept."""
        return self._keys.end(self._clock())

    def failed(self, address: str) -> float:
        """A proof was wrong: the seconds until that is to be said."""
        wait = self._guesses.failed(address, self._timer())
        if self._guesses.has_begun(address):
            log.warning(
                "%d wrong proofs came from %s within a minute; more are answered slowly for a minute",
                self._most,
                address,
            )
        return wait

    @property
    def promised(self) -> Promised:
        """Which names invitations are for."""
        return self._keys.promised

    def keys(self) -> list[Key]:
        """The keys that are in use."""
        return self._keys.valid(self._clock())

    def make(self, role: str, seconds: float, name: str | None, once: bool, uses: int | None = None) -> Key:
        """Make a key that ends after so many seconds."""
        key = new_key(role, self._clock() + seconds, name, once, uses)
        msgspec.json.encode(key)  # first: one that cannot be kept would keep all others from being kept
        self._keys.add(key)
        return key

    def forget(self, key: Key) -> None:
        """Take a key back that nobody was given."""
        self._keys.forget(key.id)

    def revoke(self) -> list[str]:
        """Make all invitations void, but for who is inside; returns the ids of their keys."""
        return self._keys.revoke()

    async def renew(self) -> Key:
        """Have another host's key, and all others void for everybody. Raises StoreError if it cannot be kept:
        then all is as it was."""
        before = self.keys()
        key = new_key("host", None)
        self._keys.renew(key, self._clock())
        try:
            await self.keep()
        except BaseException:
            self._keys.forget(key.id)
            for old in before:
                self._keys.add(old)
            raise
        own = {old.id for old in before if old.role == "host" and old.ends is None}
        self.renewed = ({old.id for old in before} - own, own)
        return key

    def move(self, seconds: float) -> bool:
        """The clock was set: move the ends of the keys that were made here; whether there are any."""
        return self._keys.move(seconds, self._known)

    async def keep(self) -> None:
        """Have the store keep the keys as they are now. Raises StoreError."""
        await self._store.keep_keys(msgspec.json.encode(self.keys()).decode())

    async def keep_used(self) -> None:
        """The same where nobody waits for it."""
        try:
            await self.keep()
        except StoreError as error:
            log.warning("what became of an invitation could not be kept: %s", error)


def new_key(
    role: str, ends: float | None, name: str | None = None, once: bool = False, uses: int | None = None
) -> Key:
    """A key that nobody has yet; ``ends`` in seconds since 1970, or None."""
    return Key(secrets.token_hex(4), secrets.token_urlsafe(24), role, ends, name, once, uses=uses)
