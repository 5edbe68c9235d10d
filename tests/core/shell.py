"""A chat in memory, to test the hub with: a shell that does its effects in order, and strict clients.

No socket, no thread, no clock. A say waits in a queue until :meth:`Shell.commit`, as it does for a
disk. What is sent to a connection lies there until its client reads it, and a connection that breaks
loses what was not read.
"""

from __future__ import annotations

import itertools
from collections import defaultdict, deque

from nbchat.core import names, wire
from nbchat.core.effects import Admit, Announce, Append, Drop, Effect, Fetch, Shut, Tell
from nbchat.core.errors import ProtocolError
from nbchat.core.frames import (
    Away,
    Bye,
    Changed,
    Closing,
    Join,
    Joined,
    Left,
    MemberInfo,
    Page,
    Paged,
    Refused,
    Said,
    Say,
    Stored,
    Typing,
    TypingShown,
    Welcomed,
)
from nbchat.core.hub import Hub
from nbchat.core.limits import Limits

BACKLOG = 3
PROOF = "0" * 64


class Shell:
    """Does what the hub asks for, in exactly the order given; its log is a list for each room."""

    def __init__(self, limits: Limits | None = None) -> None:
        numbers = itertools.count(1)
        self.hub = Hub(limits or Limits(), "log", lambda: f"{next(numbers):032x}")
        self.now = 0.0
        self.log: dict[str, list[bytes]] = defaultdict(list)
        self.places: dict[tuple[str, str, str], int] = {}
        self.queue: deque[Append] = deque()
        self.readers: dict[str, list[object]] = defaultdict(list)
        self.sent: dict[object, bytearray] = defaultdict(bytearray)
        self.dropped: set[object] = set()

    def act(self, effects: list[Effect]) -> None:
        ended, shut = [], []
        for effect in effects:
            match effect:
                case Tell(conn, frame):
                    self.sent[conn] += wire.encode(frame)
                case Announce(room, frame):
                    for conn in self.readers[room]:
                        self.sent[conn] += wire.encode(frame)
                case Admit(conn, room, after):
                    self._admit(conn, room, after)
                case Append():
                    self.queue.append(effect)
                case Fetch(conn, room, before, limit):
                    end = len(self.log[room]) if before is None else max(0, before - 1)
                    events = [wire.msgspec.Raw(line) for line in self.log[room][max(0, end - limit) : end]]
                    self.sent[conn] += wire.encode(Paged(events=events, more=end > limit))
                case Drop(conn):
                    ended.append(conn)
                case Shut(room):
                    shut.append(room)
        for conn in ended:
            self.dropped.add(conn)
            self.lost(conn)
        assert not any(self.readers[room] for room in shut)

    def _admit(self, conn: object, room: str, after: int | None) -> None:
        head = len(self.log[room])
        welcome = self.hub.welcome(conn, head)
        assert welcome is not None
        self.sent[conn] += wire.encode(welcome)
        for line in self.log[room][max(0, head - BACKLOG) if after is None else after :]:
            self.sent[conn] += line + b"\n"
        self.readers[room].append(conn)

    def commit(self, count: int) -> None:
        """The store's turn: what waits first becomes durable, and is then delivered."""
        for _ in range(min(count, len(self.queue))):
            job = self.queue.popleft()
            key = (job.room, job.session, job.id)
            if key in self.places:
                self.sent[job.conn] += wire.encode(Stored(job.id, self.places[key]))
                continue
            self.places[key] = seq = len(self.log[job.room]) + 1
            line = wire.logged(job.body, seq, int(self.now))
            self.log[job.room].append(line)
            for conn in self.readers[job.room]:
                self.sent[conn] += line + b"\n"

    def lost(self, conn: object) -> None:
        """A connection has ended, from whichever side."""
        for readers in self.readers.values():
            if conn in readers:
                readers.remove(conn)
        self.act(self.hub.lost(conn, self.now))


class Client:
    """One native client, strict about all it receives: a gap, a double or a wrong delta is an error."""

    def __init__(self, shell: Shell, mark: str, name: str, room: str) -> None:
        self.shell, self.mark, self.name, self.room = shell, mark, name, room
        self.conn: object | None = None
        self.session: str | None = None
        self.is_reading = True
        self.members: dict[str, MemberInfo] = {}
        self.seen: list[Said] = []
        self.due: int | None = None
        """The seq that has to come next."""
        self.said: list[str] = []
        self.pending: dict[str, str] = {}
        self.refused: list[str] = []
        self._numbers = itertools.count(1)

    def join(self, role: str = "member", *, exact: bool = True) -> None:
        """Connect and join, with what is known of an earlier connection."""
        self.conn, self.is_reading = object(), True
        self._lines = wire.Lines(1 << 20)
        after = self.due - 1 if self.due is not None else None
        request = Join(
            name=self.name, room=self.room, proof=PROOF, session=self.session, after=after, exact=exact
        )
        self.shell.act(self.shell.hub.join(self.conn, request, role))
        if self.conn not in self.shell.dropped:
            for id, text in self.pending.items():
                self.ask(Say(id, text))

    def ask(self, request: Say | Page | Typing | Away | Bye) -> None:
        self.shell.act(self.shell.hub.handle(self.conn, wire.decode_request(wire.encode(request)[:-1])))

    def say(self) -> None:
        """Something new."""
        id = f"{self.mark}{next(self._numbers)}"
        self.pending[id] = f"text of {id}"
        self.said.append(id)
        self.ask(Say(id, self.pending[id]))

    def repeat(self, number: int) -> None:
        """Something said before, once more and with another text."""
        if self.seen:
            self.ask(Say(self.seen[number % len(self.seen)].id, "another text"))

    def read(self, size: int | None = None) -> None:
        """Take what has come, or only the first bytes of it."""
        data = self.shell.sent[self.conn]
        taken = bytes(data[:size])
        del data[: len(taken)]
        for line in self._lines.feed(taken):
            self.take(wire.decode_event(line))
        if self.conn in self.shell.dropped and not data:
            self.conn = None

    def drop(self, size: int) -> None:
        """The connection breaks; of what was under way only the first bytes arrive."""
        self.read(size)
        if self.conn is not None:
            self.shell.lost(self.conn)
            self.conn = None

    def take(self, event: object) -> None:
        match event:
            case Welcomed():
                first = max(1, event.head - BACKLOG + 1)
                self.due = self.due or first
                assert event.head >= self.due - 1
                self.session, self.name = event.session, event.name
                self.members = {member.name: member for member in event.members}
                assert self.name in self.members
            case Said():
                assert event.seq == self.due
                self.due += 1
                self.seen.append(event)
                self.pending.pop(event.id, None)
            case Stored(id, _):
                self.pending.pop(id, None)
            case Joined(member):
                assert member.name not in self.members
                self.members[member.name] = member
            case Changed(member):
                assert self.members[member.name] != member
                self.members[member.name] = member
            case Left(name):
                del self.members[name]
            case TypingShown(name):
                assert name in self.members
            case Paged(events, _):
                page = [wire.decode_event(line).seq for line in events]
                assert page == list(range(page[0], page[-1] + 1)) if page else True
            case Refused(code=code):
                self.refused.append(code)
            case Closing(reason=reason, final=final):
                # The session goes on elsewhere; or a host has its name back, and its holder gets another.
                assert final or "that host is back" in reason
                assert self.conn in self.shell.dropped
            case _:
                raise ProtocolError("unexpected", repr(event))


def check(shell: Shell, clients: list[Client]) -> None:
    """What holds at every moment."""
    held: dict[str, list[str]] = defaultdict(list)
    for room in ("lobby", "side"):
        held[room] = [names.skeleton(member.name) for member in shell.hub.members(room)]
        assert len(held[room]) == len(set(held[room]))
    for client in clients:
        if client.conn is None or not client.is_reading:
            continue
        client.read()
        if client.conn is not None:
            assert list(client.members.values()) == shell.hub.members(client.room)
            assert client.due == len(shell.log[names.skeleton(client.room)]) + 1


def check_end(shell: Shell, clients: list[Client]) -> None:
    """What holds when all is said, stored and read: everybody saw a part of one order, without a gap."""
    for client in clients:
        client.is_reading = True
    shell.commit(len(shell.queue))
    check(shell, clients)
    assert sum(map(len, shell.log.values())) == len(shell.places)
    for client in clients:
        room = names.skeleton(client.room)
        log = [wire.decode_event(line) for line in shell.log[room]]
        if client.seen:
            first = client.seen[0].seq - 1
            assert client.seen == log[first : first + len(client.seen)]
        places = [shell.places.get((room, client.session, id), 0) for id in client.said]
        stored = [place for place in places if place]
        assert stored == sorted(stored)
        if client.conn is not None:
            assert not client.pending
