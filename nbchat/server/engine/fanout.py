"""One room's events to all its readers.

What the room says is encoded once. The lines of one tick of the loop are joined once into one chunk,
and that same object is written to every reader that keeps up. The newest chunks stay in a ring of
bounded size. A reader whose socket is full is only an offset into that ring: when the socket drains,
it gets everything from there in few writes. One that has fallen off the ring is admitted anew, from
the store. So a burst coalesces, a slow reader costs an integer, and nothing is queued per reader.

Newcomers are admitted at the end of a tick, when all that was said before is in the ring: then the
room's head, its member list and the newcomer's offset are of one moment.

Everything here belongs to the server's loop thread.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from typing import NamedTuple, Protocol


class Reader(Protocol):
    """One who reads a room. Readers are told apart by identity."""

    def write(self, data: bytes) -> bool:
        """Hand bytes to the socket; False when it is full now, and no more is wanted until
        :meth:`Fanout.drained`."""


Line = tuple[bytes, int]
"""A line, and the room's last seq with it."""


class Chunk(NamedTuple):
    data: bytes
    seq: int
    """The room's last seq at the chunk's end."""


class Place(NamedTuple):
    """Where a reader that is behind goes on: the number of its next chunk, and the last seq before it."""

    offset: int
    seq: int


class Ring:
    """The newest chunks of one room, at most ``limit`` bytes of them. Offsets count chunks."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._chunks: deque[Chunk] = deque()
        self._size = 0
        self._first = 0

    @property
    def end(self) -> int:
        """The offset after the newest chunk."""
        return self._first + len(self._chunks)

    def add(self, data: bytes, seq: int) -> None:
        self._chunks.append(Chunk(data, seq))
        self._size += len(data)
        while self._size > self._limit and len(self._chunks) > 1:
            self._size -= len(self._chunks.popleft().data)
            self._first += 1

    def since(self, place: Place, most: int) -> tuple[bytes, Place] | None:
        """The bytes from a place on, about ``most`` of them, and the place after them; None if they
        are no longer here."""
        if place.offset < self._first:
            return None
        taken: list[bytes] = []
        size, seq = 0, place.seq
        for chunk in islice(self._chunks, place.offset - self._first, None):
            if taken and size + len(chunk.data) > most:
                break
            taken.append(chunk.data)
            size += len(chunk.data)
            seq = chunk.seq
        return b"".join(taken), Place(place.offset + len(taken), seq)


# To write to 300 costs nearly the same for one line as for ten, and the answers to one writing come in just
# after it. So after a long one there is a rest, half as long as it took; and if even then more comes in all
# the time, its lines wait for it as long as a writing takes. Nobody loses more by that than one writing, and
# a burst goes out in one.
REST = 0.001
"""Seconds: the shortest rest, for no timer is shorter; a writing that took less has none."""
LONGEST_REST = 0.005
LONGEST_WAIT = 0.01


class Fanout:
    """A room's ring and the readers of it.

    ``soon`` runs a function at the end of this tick of the loop, ``later`` after some seconds, by ``clock``;
    ``fallen`` is called with a reader that has to be admitted anew, and the last seq it has.
    """

    def __init__(
        self,
        seq: int,
        *,
        ring: int,
        write: int,
        soon: Callable[[Callable[[], None]], object],
        later: Callable[[float, Callable[[], None]], object],
        clock: Callable[[], float],
        fallen: Callable[[Reader, int], None],
    ) -> None:
        self.seq = seq
        self._ring = Ring(ring)
        self._write = write
        self._soon = soon
        self._later = later
        self._clock = clock
        self._rest_until = 0.0
        self._took = 0.0
        self._due_by = 0.0
        self._seen = 1
        self._fallen = fallen
        self._lines: list[Line] = []
        self._line_seq = seq
        self._admissions: list[tuple[Reader, Callable[[int], bool]]] = []
        self._current: dict[Reader, None] = {}
        self._behind: dict[Reader, Place] = {}
        self._is_due = False

    def publish(self, line: bytes, seq: int | None = None) -> None:
        """Give every reader one line (newline included); ``seq`` where it is an event of the log."""
        if seq is not None:
            self._line_seq = seq
        self._lines.append((line, self._line_seq))
        self._due()

    def admit(self, reader: Reader, begin: Callable[[int], bool]) -> None:
        """Let a reader in at the end of this tick. ``begin`` is called with the room's head then; True:
        the reader is fed until ``head`` by its own means and then calls :meth:`drained`."""
        self._admissions.append((reader, begin))
        self._due()

    def leave(self, reader: Reader) -> None:
        """Forget a reader."""
        self._current.pop(reader, None)
        self._behind.pop(reader, None)
        self._admissions = [each for each in self._admissions if each[0] is not reader]

    def drained(self, reader: Reader) -> None:
        """A reader's socket has room again: give it what it missed."""
        place = self._behind.get(reader)
        while place is not None and place.offset < self._ring.end:
            found = self._ring.since(place, self._write)
            if found is None:
                del self._behind[reader]
                self._fallen(reader, place.seq)
                return
            data, place = found
            self._behind[reader] = place
            if not reader.write(data):
                return
            place = self._behind.get(reader)  # gone if the write found the connection broken
        if place is not None:
            del self._behind[reader]
            self._current[reader] = None

    def _due(self) -> None:
        if self._is_due:
            return
        self._is_due = True
        self._seen = 1  # one alone does not wait for others
        now = self._clock()
        if now < self._rest_until:
            self._due_by = self._rest_until + self._took
            self._later(self._rest_until - now, self._tick)
        else:
            self._due_by = now + self._took
            self._soon(self._tick)

    def _tick(self) -> None:
        begun = self._clock()
        if len(self._lines) > self._seen and begun < self._due_by:  # more is coming in
            self._seen = len(self._lines)
            self._soon(self._tick)
            return
        self._is_due = False
        lines, self._lines = self._lines, []
        if lines:
            size = sum(len(line) for line, _ in lines)
            for part in [lines] if size <= self._write else _parts(lines, self._write):
                self._send(b"".join([line for line, _ in part]), part[-1][1])
        admissions, self._admissions = self._admissions, []
        for reader, begin in admissions:
            if begin(self.seq):
                self._behind[reader] = Place(self._ring.end, self.seq)
        ended = self._clock()
        took = ended - begun
        self._took = min(took, LONGEST_WAIT)
        self._rest_until = ended + min(max(REST, took / 2), LONGEST_REST) if took >= REST else 0.0

    def _send(self, data: bytes, seq: int) -> None:
        self.seq = seq
        self._ring.add(data, seq)
        full = [reader for reader in self._current if not reader.write(data)]
        for reader in full:
            del self._current[reader]
            self._behind[reader] = Place(self._ring.end, seq)


def _parts(lines: list[Line], most: int) -> Iterator[list[Line]]:
    """Lines in order, in lists of at most ``most`` bytes (or one line): what a reader may be stuck with."""
    part: list[Line] = []
    size = 0
    for line in lines:
        if part and size + len(line[0]) > most:
            yield part
            part, size = [], 0
        part.append(line)
        size += len(line[0])
    yield part
