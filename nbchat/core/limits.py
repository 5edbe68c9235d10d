"""Every number that bounds something, with its unit and its why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Any

from nbchat.core import arguments
from nbchat.core.border import bordered
from nbchat.core.errors import UsageError

KiB = 1024


@bordered
@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The bounds of one server, for ``serve(limits=nbchat.Limits(text=4096))``.

    All sizes are bytes of UTF-8, all times seconds.
    """

    line: int = 64 * KiB
    """One line on the wire: a text of 16 KiB as JSON writers escape it (three times as long at the most)."""
    first_line: int = 4 * KiB
    """The same before a connection has named itself: a stranger may not fill memory."""
    text: int = 16 * KiB
    """One message: several pages of code; more belongs into a file."""
    hello: float = 10.0
    """To say hello or a name: a slow kernel needs one second, a stranger no more than ten."""
    greeting: float = 0.25
    """Silence after which a connection is greeted as a first-generation client: it waits for that."""
    ping: float = 20.0
    """Between signs of life from a client: under the minute after which home routers forget."""
    dead: float = 50.0
    """Without a byte before a peer counts as gone: two lost pings and some patience."""
    grace: float = 15.0
    """For a dropped member to come back before the others are told: a Wi-Fi change, a page reload."""
    rate: float = 10.0
    """Requests a second per member in the long run: nobody types faster; scripts are slowed, not cut."""
    burst: int = 40
    """Requests at once before the rate counts: a pasted list, a script's first lines."""
    steady_rate: float = 1.0
    """Messages a second of one member for minutes on end: nobody types faster for long. Not for hosts."""
    steady_burst: int = 300
    """Messages before that counts (or ``burst``, if that is more): a script's whole output goes through, a
    flood of minutes does not."""
    crowd_rate: float = 100.0
    """Requests a second of all who came with one key from one address (or ``rate``): many times what a class
    of 300 types, and a bound for who makes new sessions instead of waiting. Not for hosts."""
    crowd_burst: int = 2000
    """Requests of these at once (or ``burst``): a class of 300 that comes back with what it has not sent."""
    connections: int = 512
    """At one time: a class of 300 with a second page open here and there."""
    spare: int = 32
    """Connections beyond these, to say who one is: who serves, and a member who comes back, find a place also
    where all are taken."""
    reserved: int = 128
    """Of ``connections``, and of a room's ``members``, the places that those who came with one key from one
    address cannot take (at most a quarter): so one link fills no server, and a class of 300 has room."""
    unnamed: int = 64
    """Connections that have not named themselves; beyond it the oldest silent one gives way."""
    unnamed_each: int = 16
    """Of them from one address: a flood gives way to others first. Only who was silent for a while gives way,
    so a class behind one address can come at once."""
    guesses: int = 5
    """Wrong proofs in a minute from one address; further ones are answered slowly for a minute."""
    comings: int = 100
    """Who comes from one place (key and address), is gone within a minute, and that again: a class that tries
    it out. Of more the next waits; they are forgotten within 50 s."""
    page: int = 500
    """Messages in one page of history. The largest page, by that or by ``write``, counts as two requests."""
    backlog: int = 50
    """Messages a newcomer is shown unasked: a screen or two."""
    rooms: int = 1000
    """Rooms open at one time."""
    members: int = 512
    """Members in one room."""
    memory: int = 256 * 1024 * KiB
    """What a chat in memory keeps of messages; then the oldest go, of the room that has most. Weeks of a
    class, and a notebook's memory stays the notebook's."""
    file: int = 1024 * 1024 * KiB
    """The size of a history's file from which on the log warns: ``keep=`` bounds it."""
    ring: int = 1024 * KiB
    """A room's recent bytes in memory: a slow reader may be that far behind before the store feeds it."""
    write: int = 256 * KiB
    """The most that one catching-up write hands to the kernel, and a page of history has: what a stalled peer
    costs at most."""
    send_buffer: int = 128 * KiB
    """SO_SNDBUF: without it the kernel keeps up to 4 MB for each stalled peer."""
    plain_write: int = 1024
    """One write to a first-generation client, which reads that many bytes at a time."""
    plain_pace: float = 0.02
    """Between two such writes, so that it reads them one by one."""
    flush: float = 2.0
    """For the last bytes to leave when a server stops."""

    def __post_init__(self) -> None:
        for field in fields(self):
            given, such = getattr(self, field.name), "A limit is a number above 0."
            value: float
            if field.type == "int":
                value = arguments.whole("Limits", field.name, given, least=1, such=such)
            else:
                second = timedelta(seconds=1)
                value = arguments.span("Limits", field.name, given, second, is_open=True, such=such)
            object.__setattr__(self, field.name, value)
        if self.plain_write < 64:
            raise UsageError(
                f"Limits(plain_write={self.plain_write}): a write must have room for some characters "
                "and their indent, so it has at least 64 bytes."
            )
        if self.line < 3 * self.text + KiB:
            raise UsageError(
                f"Limits(line={self.line}, text={self.text}): a line must have room for a text with every "
                f"character escaped, so line has to be at least {3 * self.text + KiB}."
            )
        if self.line > EVENT_LINE:
            raise UsageError(
                f"Limits(line={self.line}): clients read lines of {EVENT_LINE} bytes at the most, so line "
                "can be no more."
            )
        if self.members > KNOWN:
            raise UsageError(f"Limits(members={self.members}): clients know {KNOWN} members at the most.")
        if self.dead < 2 * self.ping:
            raise UsageError(
                f"Limits(ping={self.ping}, dead={self.dead}): a peer must have the time to ping, so dead has "
                "to be at least twice ping."
            )


UNDER_WAY = 32
"""Messages of one client that are sent but not confirmed: enough to fill the wire, few to send again."""

KEPT = 5000
"""Rows of a transcript that a client keeps in memory (about 1 MB); older ones are in the history."""

KEPT_BYTES = 32 * 1024 * KiB
"""Their texts' memory at the most: 2,000 messages of the longest kind."""

PRESENCE = 1000
"""Rows of a transcript that say that somebody came or went: a class that comes and goes for a day, and no
flood that pushes out what was said."""

KNOWN = 10_000
"""Members of a room that a client knows: twenty times what a server usually takes."""

EVENT_LINE = 2 * 1024 * KiB
"""One line from a server: a page is cut at a ring's size, and one message of the longest is more."""

NO_RATES: Mapping[str, Any] = {
    "rate": 1e9,
    "burst": 10**9,
    "steady_rate": 1e9,
    "steady_burst": 10**9,
    "crowd_rate": 1e9,
    "crowd_burst": 10**9,
    "comings": 10**9,
}
"""``Limits(**NO_RATES)``: nobody is slowed. For benchmarks, and tests that are about something else."""

SHAKING_HANDS = 16 * KiB
"""Bytes of TLS's handshake from a client, headers included: ours takes some 500, one with the largest keys
and a second try 4 KiB."""

SILENT_STRANGER = 4 * KiB
"""Bytes of TLS after its handshake that give no clear text (new keys, mostly), of who has proved no key: some
150 new keys, a few milliseconds; nobody needs one."""

SILENT_MEMBER = 16 * KiB
"""The same of a member, forgotten within a minute: other programs may renew their keys as they like."""

THIN = 1 * KiB
"""Bytes of clear text in a record of TLS below which it counts as thin: a line is one record, and in pieces
it has a few such."""

DEPTH = 16
"""Nesting of JSON in one line; nothing of ours goes beyond 4."""

SAFE_INTEGER = 2**53
"""Integers that every JSON reader can hold exactly."""
