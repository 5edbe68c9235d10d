"""First-generation clients as the server sees them: a name, then bare text at a gentle pace.

How their bytes are read and written is core/plain.py; here the bytes are moved.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque

from nbchat.core import plain
from nbchat.core.errors import BadName
from nbchat.core.frames import Closing, Frame, Refused, Say
from nbchat.core.texts import visible
from nbchat.server.engine.allowance import Allowance
from nbchat.server.engine.peer import Peer
from nbchat.server.engine.plain_ring import PlainRing
from nbchat.server.engine.shell import Shell


class PlainSession:
    """One first-generation client."""

    def __init__(self, shell: Shell, conn: Peer) -> None:
        self._shell = shell
        self._conn = conn
        self._reader = plain.Reader()
        self._name: str | None = None
        self._session = ""
        self._room: PlainRing | None = None
        self._offset = 0
        self._parts: deque[bytes] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._waiting: deque[str] = deque()
        self._rate: Allowance | None = None
        """Its name's, from its join on."""
        self._resume: asyncio.TimerHandle | None = None

    # ── what it sends ──

    def received(self, data: bytes) -> None:
        if self._name is None:
            data = self._join(data)
            if self._name is None:
                return
        self._waiting.extend(self._reader.messages(data))
        self._work()

    def _work(self) -> None:
        """Say what waits, as far as this member's rate allows; until then nothing more is read."""
        self._resume = None
        while self._waiting and self._rate is not None:
            now = self._shell.loop.time()
            if wait := self._rate.wait(now, is_host=False):
                if not self._rate.is_slowed:
                    self._rate.slowed(len(self._waiting), now, is_host=False)
                    self._say(plain.notice("you are sending fast; the rest follows slowly"))
                self._conn.pause_reading()
                self._resume = self._shell.loop.call_later(wait, self._work)
                return
            self._rate.take(is_message=True)
            self._handle(self._waiting.popleft())
        self._conn.resume_reading()

    def _handle(self, text: str) -> None:
        if self._shell.hub.session_of(self._conn) is not None:  # else a host has just shut it out
            self._shell.handle(self._conn, Say(id=secrets.token_hex(8), text=text))

    def _join(self, data: bytes) -> bytes:
        try:
            wanted, rest = self._reader.name(data)
            hub, conn = self._shell.hub, self._conn
            self._name, effects = hub.join_plain(conn, wanted, now=self._shell.now, address=conn.address)
        except UnicodeDecodeError:
            self._refuse("your name is not in UTF-8; set your terminal to UTF-8")
        except BadName as error:
            self._refuse(str(error))
        else:
            self._session = self._shell.hub.session_of(self._conn) or ""
            # A plain client has no session to come back with: its name's allowance goes on.
            self._rate = self._shell.allowances.of(("plain", wanted), (None, conn.address))
            self._shell.named(self._conn)
            self._shell.act(effects)
            self._room = self._shell.enter_plain(self._conn, self)
            self._offset = self._room.enter(self) if self._room else 0
            if self._name != wanted:
                self._say(plain.notice(f"you are {self._name} here"))
            return rest
        return b""

    def _refuse(self, why: str) -> None:
        self._conn.turn_away(
            "a plain-text client whose name cannot be", plain.notice(visible(why)).encode() + b"\n"
        )

    # ── what it gets ──

    def tell(self, frame: Frame) -> None:
        """An answer of the hub or the store, as far as plain clients have words for it."""
        match frame:
            case Refused(text=text):
                self._say(plain.notice(text))
            case Closing(reason=reason):  # at once: the connection ends with it
                last = "\n".join(["", plain.notice(reason), ""]).encode()
                self._conn.write(b"".join(self._parts) + last)
                self._parts.clear()

    def wake(self) -> None:
        """There may be something to write, unless it is too early."""
        if self._timer is None:
            self._write()

    def lost(self) -> None:
        for timer in (self._timer, self._resume):
            if timer is not None:
                timer.cancel()
        # A pipe sends and hangs up: another burst of what it sent is said all the same, not a flood.
        for _ in range(min(len(self._waiting), self._shell.limits.burst)):
            if self._rate is None or self._rate.owes:  # who does so again and again has to wait first
                break
            self._rate.take(is_message=True)
            self._handle(self._waiting.popleft())
        if self._room is not None:
            self._room.leave(self)
        if self._rate is not None:
            self._rate.users -= 1

    def _say(self, text: str) -> None:
        self._parts.extend(self._writes([text]))
        self.wake()

    def _write(self) -> None:
        self._timer = None
        if self._conn.is_full:
            return  # the connection wakes us
        if not self._parts and self._room is not None:
            limit = self._shell.limits.plain_write
            lines: list[str] = []
            end = None
            while not lines and end != self._offset:  # a stretch of one's own lines gives none
                end = self._offset
                lines, self._offset = self._room.since(end, self._session, limit)
            self._parts.extend(self._writes(lines))
        if self._parts:
            self._conn.write(self._parts.popleft())
            self._timer = self._shell.loop.call_later(self._shell.limits.plain_pace, self._write)

    def _writes(self, lines: list[str]) -> list[bytes]:
        end = "\n" if self._reader.ends_lines else ""
        return plain.writes(lines, self._shell.limits.plain_write, end=end)
