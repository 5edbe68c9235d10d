"""One room's bytes to all its readers: the ring, and who is behind."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbchat.server.engine.fanout import LONGEST_REST, LONGEST_WAIT, REST, Fanout, Place, Ring


class Reader:
    """A reader whose socket is full when the test says so."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.is_full = False

    def write(self, data: bytes) -> bool:
        self.writes.append(data)
        return not self.is_full

    @property
    def data(self) -> bytes:
        return b"".join(self.writes)


class Room:
    """A fanout with a tick that the test makes happen."""

    def __init__(self, ring: int = 10_000, write: int = 1_000) -> None:
        self._due: list[Callable[[], None]] = []
        self.fallen: list[tuple[Reader, int]] = []
        self.late: list[tuple[float, Callable[[], None]]] = []
        self.now = 100.0
        self.fanout = Fanout(
            0,
            ring=ring,
            write=write,
            soon=self._due.append,
            later=lambda seconds, action: self.late.append((seconds, action)),
            clock=lambda: self.now,
            fallen=lambda reader, seq: self.fallen.append((reader, seq)),  # type: ignore[arg-type]
        )
        self.seq = 0

    def tick(self) -> None:
        due, self._due[:] = list(self._due), []
        for action in due:
            action()

    def say(self) -> bytes:
        self.seq += 1
        line = b"message %d\n" % self.seq
        self.fanout.publish(line, self.seq)
        return line

    def admit(self, reader: Reader) -> list[int]:
        """Admit a reader that needs nothing from the store; returns the head it was given, when it was."""
        heads: list[int] = []

        def begin(head: int) -> bool:
            heads.append(head)
            return True

        self.fanout.admit(reader, begin)
        return heads


def test_a_tick_is_one_write_of_one_object_for_all() -> None:
    room, readers = Room(), [Reader(), Reader(), Reader()]
    for reader in readers:
        room.admit(reader)
    room.tick()
    for reader in readers:
        room.fanout.drained(reader)
    said = b"".join(room.say() for _ in range(5))
    room.tick()
    assert [reader.writes for reader in readers] == [[said]] * 3
    assert readers[0].writes[0] is readers[1].writes[0] is readers[2].writes[0]


def test_a_newcomer_is_admitted_with_the_head_of_the_same_moment() -> None:
    room, reader = Room(), Reader()
    room.say()
    heads = room.admit(reader)
    room.say()  # still of this tick, so it is before the newcomer
    assert heads == []
    room.tick()
    assert heads == [2]
    line = room.say()
    room.tick()
    assert reader.data == b""  # the store is still feeding it
    room.fanout.drained(reader)
    assert reader.data == line


def test_a_slow_reader_is_an_offset_and_gets_the_rest_in_few_writes() -> None:
    room, slow, quick = Room(), Reader(), Reader()
    for reader in (slow, quick):
        room.admit(reader)
        room.tick()
        room.fanout.drained(reader)
    slow.is_full = True
    said = []
    for _ in range(50):
        said.append(room.say())
        room.tick()
    assert len(quick.writes) == 50
    assert slow.writes == said[:1]  # what had been begun, and nothing after it
    slow.is_full = False
    room.fanout.drained(slow)
    assert slow.data == quick.data == b"".join(said)
    assert len(slow.writes) == 2
    said.append(room.say())
    room.tick()
    assert slow.data == b"".join(said)


def test_one_that_fell_off_the_ring_is_admitted_anew_with_what_it_had() -> None:
    room, slow = Room(ring=100), Reader()
    room.admit(slow)
    room.tick()
    room.fanout.drained(slow)
    slow.is_full = True
    for _ in range(50):
        room.say()
        room.tick()
    slow.is_full = False
    room.fanout.drained(slow)
    assert room.fallen == [(slow, 1)]
    room.fanout.drained(slow)  # nothing to do for it any more
    assert slow.data == b"message 1\n"


def test_whoever_left_gets_nothing() -> None:
    room, early, behind, waiting = Room(), Reader(), Reader(), Reader()
    for reader in (early, behind):
        room.admit(reader)
    room.tick()
    room.fanout.drained(early)
    room.admit(waiting)
    for reader in (early, behind, waiting):
        room.fanout.leave(reader)
        room.fanout.leave(reader)
    room.say()
    room.tick()
    for reader in (early, behind, waiting):
        room.fanout.drained(reader)
        assert reader.data == b""


@given(st.lists(st.binary(min_size=1, max_size=30), max_size=40), st.integers(1, 200), st.integers(1, 100))
def test_the_ring_keeps_the_newest_chunks_and_joins_from_any_place(
    chunks: list[bytes], limit: int, most: int
) -> None:
    ring = Ring(limit)
    for seq, chunk in enumerate(chunks, 1):
        ring.add(chunk, seq)
    kept = 0
    for offset in range(len(chunks) + 1):
        place, got = Place(offset, offset), b""
        while (found := ring.since(place, most)) and found[0]:
            data, place = found
            assert len(data) <= most or data in chunks
            got += data
        if found is None:
            assert sum(map(len, chunks[offset:])) > limit
        else:
            assert got == b"".join(chunks[offset:])
            assert place == (len(chunks), len(chunks) if got else offset)
            kept = max(kept, len(got))
    assert kept <= max(limit, max(map(len, chunks), default=0))


_STEPS = st.lists(st.sampled_from(["say", "tick", "full", "drain", "join"]), max_size=80)


@given(_STEPS, st.integers(20, 400), st.integers(10, 100))
def test_no_gap_and_no_double_however_a_reader_stalls(steps: list[str], ring: int, write: int) -> None:
    room, reader = Room(ring, write), Reader()
    log = [b""]
    start = room.admit(reader)
    is_in = False

    def feed(after: int) -> None:
        """As the store does: what the reader missed up to the head it is admitted at."""

        def begin(head: int) -> bool:
            reader.writes.append(b"".join(log[after + 1 : head + 1]))
            return True

        room.fanout.admit(reader, begin)

    for step in [*steps, "tick", "free", *["drain", "tick"] * (len(steps) + 3)]:
        if step == "say":
            log.append(room.say())
        elif step == "tick":
            room.tick()
        elif step == "full":
            reader.is_full = is_in
        elif step == "join" or step == "drain" or step == "free":
            reader.is_full = False
            is_in = bool(start)
            if is_in:
                room.fanout.drained(reader)
        while room.fallen:
            feed(room.fallen.pop()[1])
    assert reader.data == b"".join(log[start[0] + 1 :])


class Slow(Reader):
    """A reader to write to whom takes time."""

    def __init__(self, room: Room, seconds: float) -> None:
        super().__init__()
        self._room, self._seconds = room, seconds

    def write(self, data: bytes) -> bool:
        self._room.now += self._seconds
        return super().write(data)


def slow_room(seconds: float) -> tuple[Room, Slow, Reader]:
    """A room in which a writing takes so long."""
    room = Room()
    slow, seen = Slow(room, seconds), Reader()
    for reader in (slow, seen):
        room.admit(reader)
    room.tick()
    for reader in (slow, seen):
        room.fanout.drained(reader)
    return room, slow, seen


@pytest.mark.parametrize(("took", "rest"), [(1, 1), (1.5, 1), (4, 2), (100, LONGEST_REST / REST)])
def test_after_a_long_writing_there_is_a_rest(took: float, rest: float) -> None:
    room, _, seen = slow_room(took * REST)
    first = room.say()
    room.tick()
    assert (seen.writes, room.late) == ([first], [])
    second = room.say()
    room.tick()
    second += room.say()
    ((seconds, action),) = room.late
    assert seen.writes == [first]
    assert seconds == pytest.approx(rest * REST)
    room.now += seconds
    action()
    second += room.say()  # more comes in just then, and this waits for it
    room.tick()
    room.tick()
    assert seen.writes == [first, second]


def test_there_is_no_rest_after_a_pause_or_where_writing_is_quick() -> None:
    room, slow, seen = slow_room(2 * REST)
    for _ in range(3):
        said = room.say()
        room.tick()
        assert seen.writes[-1] == said
        room.now += REST
    room.fanout.leave(slow)
    room.say()
    room.tick()
    for number in range(3):
        said = b"".join(room.say() for _ in range(number))
        room.tick()
        assert seen.writes[-1] == said or not number
    assert not room.late


def test_lines_wait_for_more_while_more_comes_but_no_longer_than_a_writing_takes() -> None:
    room, _, seen = slow_room(2 * REST)
    first = room.say()
    room.tick()
    room.now += REST
    burst = room.say() + room.say()
    for _ in range(3):
        room.tick()
        burst += room.say()
    room.tick()
    assert seen.writes == [first]
    room.tick()  # nothing came since
    assert seen.writes == [first, burst]
    room.now += REST
    burst = room.say() + room.say()
    room.tick()
    burst += room.say()
    room.now += 2 * REST
    room.tick()  # more came, but it has waited long enough
    assert seen.writes[2:] == [burst]


def test_the_wait_for_more_is_bounded() -> None:
    room, _, seen = slow_room(1.0)
    room.say()
    room.tick()
    room.now += 1.0
    room.say()
    room.say()
    room.tick()
    assert len(seen.writes) == 1
    room.say()
    room.now += 1.1 * LONGEST_WAIT
    room.tick()
    assert len(seen.writes) == 2
