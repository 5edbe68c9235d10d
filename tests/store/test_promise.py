"""What any memory promises (store/__init__.py), asked of each of them."""

import asyncio
import random
import signal
import sys
from contextlib import aclosing

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nbchat.core.errors import StoreDown
from nbchat.store.pieces import bounded
from nbchat.store.promise import Event


async def fill(store, count, room="lobby", session="s1", first=1):
    """Append ``count`` events with the ids 1, 2, 3 … at once; returns their receipts."""
    numbers = range(first, first + count)
    return await asyncio.gather(*(store.append(room, session, str(n), body(n)) for n in numbers))


def body(number):
    return b'{"type":"said","id":"%d"}' % number


async def read(store, room, after, until, tail=lambda store, *more: store.tail(*more)):
    """What a tail brings, up to the seq ``until``."""
    found = []
    async with aclosing(tail(store, room, after)) as coming:
        async for events in coming:
            assert events
            found += events
            if found[-1].seq >= until:
                return found


def seqs(events):
    return [event.seq for event in events]


# ── append ──────────────────────────────────────────────────────────────────────────────────────


def test_a_room_is_numbered_without_gaps_in_the_order_of_appending(keeper):
    async def test(store):
        receipts = await fill(store, 300)
        assert seqs(receipts) == list(range(1, 301))
        assert not any(receipt.duplicate for receipt in receipts)
        events = await store.history("lobby", limit=500)
        assert [(event.seq, event.id, event.body) for event in events] == [
            (n, str(n), body(n)) for n in range(1, 301)
        ]
        assert [(event.at, event.session) for event in events] == [(receipt.at, "s1") for receipt in receipts]
        assert receipts[0].at >= 1_790_000_000_000

    keeper.run(test)


def test_what_is_acknowledged_is_in_the_history(keeper):
    async def test(store):
        for number in range(1, 20):
            receipt = await store.append("lobby", "s1", str(number), body(number))
            (newest,) = await store.history("lobby", limit=1)
            assert (newest.seq, newest.at, newest.body) == (receipt.seq, receipt.at, body(number))
            assert await store.head(["lobby"]) == {"lobby": number}

    keeper.run(test)


def test_a_message_sent_again_has_its_first_place(keeper):
    async def test(store):
        first, again, other, later = await asyncio.gather(
            store.append("lobby", "s1", "a", b"{}"),
            store.append("lobby", "s1", "a", b'{"other":"text"}'),
            store.append("lobby", "s1", "b", b"{}"),
            store.append("lobby", "s1", "a", b"{}"),
        )
        assert (first.seq, first.duplicate) == (1, False)
        assert (other.seq, other.duplicate) == (2, False)
        for receipt in (again, later, await store.append("lobby", "s1", "a", b"{}")):
            assert (receipt.seq, receipt.at, receipt.duplicate) == (1, first.at, True)
        assert [event.body for event in await store.history("lobby")] == [b"{}", b"{}"]

    keeper.run(test)


def test_an_id_belongs_to_its_session_and_room(keeper):
    async def test(store):
        receipts = await asyncio.gather(
            store.append("lobby", "s1", "a", b"{}"),
            store.append("lobby", "s2", "a", b"{}"),
            store.append("side", "s1", "a", b"{}"),
        )
        assert seqs(receipts) == [1, 2, 1]
        assert not any(receipt.duplicate for receipt in receipts)

    keeper.run(test)


def test_rooms_are_numbered_each_for_itself(keeper):
    async def test(store):
        rooms = [f"room {number}" for number in range(1000)]
        reading = [asyncio.create_task(read(store, room, 0, 3)) for room in rooms]
        for number in (1, 2, 3):
            await asyncio.gather(*(store.append(room, "s1", str(number), b"{}") for room in rooms))
        assert await store.head(rooms) == dict.fromkeys(rooms, 3)
        for events in await asyncio.gather(*reading):
            assert seqs(events) == [1, 2, 3]
        for room in rooms[::40]:
            assert seqs(await store.history(room)) == [1, 2, 3]

    keeper.run(test)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.sampled_from("rst"), st.sampled_from("xy"), st.sampled_from("1234"), st.booleans()),
        max_size=30,
    )
)
def test_any_appends_give_what_a_list_would(memory, appends):
    """A list for each room is the truth; ``waits`` says where a commit ends at the latest."""

    async def test(store):
        rooms: dict[str, list[tuple[str, str]]] = {"r": [], "s": [], "t": []}
        waiting = []
        for room, session, id, waits in appends:
            is_new = (session, id) not in rooms[room]
            if is_new:
                rooms[room].append((session, id))
            expected = (rooms[room].index((session, id)) + 1, not is_new)
            waiting.append((store.append(room, session, id, b"{}"), expected))
            if waits:
                await waiting[-1][0]
        for future, expected in waiting:
            assert ((await future).seq, future.result().duplicate) == expected
        for room, entries in rooms.items():
            assert [(event.session, event.id) for event in await store.history(room)] == entries

    memory.run(test)


# ── reading ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("after", [0, 1, 600, 1199, 1200])
def test_a_tail_brings_what_is_kept_and_then_what_comes(keeper, tail, after):
    async def test(store):
        await fill(store, 1200)
        reading = asyncio.create_task(read(store, "lobby", after, 1230, tail))
        await fill(store, 15, first=1201)
        await asyncio.gather(fill(store, 15, first=1216), fill(store, 5, room="side"))
        events = await reading
        assert seqs(events) == list(range(after + 1, 1231))
        assert [event.body for event in events] == [body(n) for n in range(after + 1, 1231)]

    keeper.run(test)


def test_a_tail_of_an_empty_room_waits_for_its_first_event(keeper, tail):
    async def test(store):
        async with aclosing(tail(store, "lobby", 0)) as coming:
            first = asyncio.ensure_future(anext(coming))
            await fill(store, 1, room="side")
            assert not first.done()
            await fill(store, 1)
            assert seqs(await first) == [1]

    keeper.run(test)


def test_duplicates_do_not_come_through_a_tail(keeper, tail):
    async def test(store):
        reading = asyncio.create_task(read(store, "lobby", 0, 4, tail))
        for _ in range(3):
            await fill(store, 3)
        await fill(store, 1, first=4)
        assert seqs(await reading) == [1, 2, 3, 4]

    keeper.run(test)


def test_many_tails_see_the_same_each_from_its_place(keeper, tail):
    async def test(store):
        await fill(store, 100)
        places = [0, 0, 17, 50, 99, 100]
        tails = [asyncio.create_task(read(store, "lobby", after, 400, tail)) for after in places]
        quitting = tail(store, "lobby", 0)
        assert seqs(await anext(quitting))[0] == 1
        for first in range(101, 401, 50):
            await fill(store, 50, first=first)
        await quitting.aclose()
        for after, events in zip(places, await asyncio.gather(*tails), strict=True):
            assert seqs(events) == list(range(after + 1, 401))
        assert seqs(await read(store, "lobby", 390, 400, tail)) == list(range(391, 401))

    keeper.run(test)


def test_a_slow_tail_misses_nothing(keeper, tail):
    async def test(store):
        async with aclosing(tail(store, "lobby", 0)) as coming:
            await fill(store, 1)
            found = await anext(coming)
            await fill(store, 2500, first=2)  # more than is kept at hand
            async for events in coming:
                found += events
                if found[-1].seq == 2501:
                    break
            assert seqs(found) == list(range(1, 2502))

    keeper.run(test)


def test_history_comes_in_pages_oldest_first(keeper):
    async def test(store):
        await fill(store, 120)
        assert seqs(await store.history("lobby")) == list(range(71, 121))
        assert seqs(await store.history("lobby", before=71, limit=20)) == list(range(51, 71))
        assert seqs(await store.history("lobby", before=3)) == [1, 2]
        assert await store.history("lobby", before=1) == []
        assert await store.history("lobby", before=0) == []
        assert len(await store.history("lobby", before=2**53, limit=2**53)) == 120
        assert await store.history("nowhere") == []

    keeper.run(test)


def test_pieces_are_bounded_in_bytes(keeper):
    """``size`` counts an event's body and 48 bytes for its numbers."""

    async def test(store):
        for number in range(1, 11):
            await store.append("lobby", "s1", str(number), b"x" * 52)
        await store.append("lobby", "s1", "long", b"x" * 5000)
        assert seqs(await store.since("lobby", 0, limit=50, size=300)) == [1, 2, 3]
        assert seqs(await store.since("lobby", 3, limit=2, size=300)) == [4, 5]
        assert seqs(await store.since("lobby", 8, limit=50, size=5000)) == [9, 10]
        assert seqs(await store.since("lobby", 10, limit=50, size=1)) == [11]
        assert await store.since("lobby", 11, limit=50, size=300) == []
        assert await store.since("nowhere", 0, limit=50, size=300) == []
        assert seqs(await store.history("lobby", before=11, size=300)) == [8, 9, 10]
        assert seqs(await store.history("lobby", before=11, limit=2, size=300)) == [9, 10]
        assert seqs(await store.history("lobby", size=300)) == [11]
        assert seqs(await store.history("lobby", size=5199)) == [10, 11]
        await store.trim(number=4)
        assert seqs(await store.since("lobby", 2, limit=50, size=100)) == [8]
        # Also of what is kept at hand for those who read a room's end.
        following = asyncio.create_task(store.follow("lobby", 11, lambda events: None))
        for number in range(20, 30):
            await store.append("lobby", "s1", str(number), b"x" * 52)
        assert seqs(await store.since("lobby", 11, limit=50, size=300)) == [12, 13, 14]
        following.cancel()

    keeper.run(test)


def test_no_more_is_read_than_one_beyond_a_piece():
    events = iter([Event(seq, 0, "s1", str(seq), b"x" * 52) for seq in range(1, 11)])
    assert seqs(bounded(events, 300)) == [1, 2, 3]
    assert next(events).seq == 5


def test_heads(keeper):
    async def test(store):
        assert await store.head([]) == {}
        await asyncio.gather(fill(store, 3), fill(store, 2, room="side"))
        assert await store.head(["lobby", "nowhere", "side"]) == {"lobby": 3, "nowhere": 0, "side": 2}

    keeper.run(test)


# ── changing ────────────────────────────────────────────────────────────────────────────────────


def test_a_redacted_text_goes_and_its_place_stays(keeper):
    async def test(store):
        async with aclosing(store.tail("lobby", 0)) as tail:
            await fill(store, 3)
            assert seqs(await anext(tail)) == [1, 2, 3]
            before = await store.history("lobby")
            await store.redact("lobby", 2)
            after = await store.history("lobby")
            assert seqs(after) == [1, 2, 3]
            assert [after[0], after[2]] == [before[0], before[2]]
            assert body(2) not in after[1].body
            assert after[1].body.startswith(b'{"type":"redacted"')
            assert await read(store, "lobby", 0, 3) == after
            # It was said, for ever: sent again it is a duplicate, and does not come back.
            assert [receipt.duplicate for receipt in await fill(store, 3)] == [True] * 3
            assert await store.history("lobby") == after
            await fill(store, 1, first=4)
            assert seqs(await anext(tail)) == [4]

    keeper.run(test)


def test_redacting_what_is_not_there_does_nothing(keeper):
    async def test(store):
        await fill(store, 3)
        await store.trim(number=2)
        for room, seq in (("lobby", 1), ("lobby", 4), ("nowhere", 1)):
            await store.redact(room, seq)
        assert [event.body for event in await store.history("lobby")] == [body(2), body(3)]
        assert seqs(await fill(store, 1, first=4)) == [4]

    keeper.run(test)


def test_what_is_remembered_can_be_read(keeper):
    async def test(store):
        assert "keys" not in store.meta
        await store.remember("keys", "one")
        await store.remember("keys", "two é")
        assert store.meta["keys"] == "two é"

    keeper.run(test)


def test_a_memory_has_a_name(keeper):
    async def log_id(store):
        assert store.log_id
        return store.log_id

    first, second = keeper.run(log_id), keeper.run(log_id)
    assert (first == second) == keeper.survives


# ── closing ─────────────────────────────────────────────────────────────────────────────────────


def test_closing_finishes_what_was_begun_and_then_refuses(keeper):
    async def test(store):
        futures = [store.append("lobby", "s1", str(n), b"{}") for n in range(200)]
        await asyncio.gather(store.close(), store.close())
        assert seqs([future.result() for future in futures]) == list(range(1, 201))
        await store.close()
        with pytest.raises(StoreDown):
            await store.append("lobby", "s1", "x", b"{}")
        for late in (store.history("lobby"), store.head(["lobby"]), store.remember("a", "b")):
            with pytest.raises(StoreDown):
                await late

    keeper.run(test)


def test_a_tail_ends_when_its_store_is_closed(keeper):
    async def test(store):
        await fill(store, 1)
        async with aclosing(store.tail("lobby", 0)) as tail:
            await anext(tail)
            waiting = asyncio.ensure_future(anext(tail))
            await asyncio.sleep(0)
            await store.close()
            with pytest.raises(StoreDown):
                await waiting

    keeper.run(test)


def test_a_store_never_opened_can_be_closed(keeper):
    asyncio.run(keeper.make().close())


def test_all_is_there_after_closing_and_opening(lasting):
    async def before(store):
        await fill(store, 60)
        await fill(store, 2, room="side")
        await store.redact("lobby", 10)
        await store.remember("small", "thing")
        await store.keep_keys("k1")
        return await store.history("lobby", limit=100), store.log_id

    async def after(store):
        reading = asyncio.create_task(read(store, "lobby", 40, 62))
        assert await store.head(["lobby", "side"]) == {"lobby": 60, "side": 2}
        assert (store.meta["small"], store.keys) == ("thing", "k1")
        assert "k1" not in store.meta.values()
        assert [(receipt.seq, receipt.duplicate) for receipt in await fill(store, 2, first=60)] == [
            (60, True),
            (61, False),
        ]
        await fill(store, 1, first=62)
        assert seqs(await reading) == list(range(41, 63))
        return await store.history("lobby", before=61, limit=100), store.log_id

    assert lasting.run(before) == lasting.run(after)


def test_one_store_can_be_closed_and_opened_again(lasting):
    async def test(store):
        await fill(store, 3)
        await store.open()  # it is open
        await store.close()
        await store.open()
        assert seqs(await fill(store, 2, first=4)) == [4, 5]
        assert seqs(await read(store, "lobby", 0, 5)) == [1, 2, 3, 4, 5]

    lasting.run(test)


# ── crashing ────────────────────────────────────────────────────────────────────────────────────

APPENDS_FOR_EVER = """
import asyncio, sys, time
from nbchat.store.open import open_store
async def main():
    store = {source}
    await store.open()
    async def say(session):
        for number in range({first}, 10**9):
            room = f"room {{number % 3}}"
            receipt = await store.append(room, session, str(number), b"{{}}")
            print(number % 3, receipt.seq, session, number, flush=True)
    await asyncio.gather(*(say(f"s{{n}}") for n in range(8)))
asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_killed_owner_leaves_every_acknowledged_message(lasting, python):
    chance = random.Random(7)
    acknowledged = []
    for first in range(0, 4000, 1000):
        owner = python(APPENDS_FOR_EVER.format(source=lasting.source, first=first))
        lines = [owner.stdout.readline() for _ in range(chance.randrange(1, 300))]
        owner.send_signal(signal.SIGKILL)
        lines += owner.stdout  # what it had acknowledged and nobody had read yet
        acknowledged += [tuple(line.split()) for line in lines if line.endswith("\n")]

    async def kept(store):
        found = []
        for number in "012":
            events = await store.history(f"room {number}", limit=2**30)
            assert seqs(events) == list(range(1, len(events) + 1))
            assert len({(event.session, event.id) for event in events}) == len(events)
            found += [(number, str(event.seq), event.session, event.id) for event in events]
        return found

    async def test(store):
        found = await kept(store)
        assert set(acknowledged) <= set(found)
        for number, seq, session, id in acknowledged:
            receipt = await store.append(f"room {number}", session, id, b"{}")
            assert (receipt.seq, receipt.duplicate) == (int(seq), True)
        assert await kept(store) == found

    lasting.run(test)


def test_who_follows_has_it_before_its_author_is_answered(keeper):
    async def test(store):
        came, heads = [], []
        following = asyncio.create_task(store.follow("lobby", 0, came.extend))
        await fill(store, 1)
        while not came:  # it begins by reading
            await asyncio.sleep(0)
        for number in range(2, 30):
            future = store.append("lobby", "s1", str(number), body(number))
            future.add_done_callback(lambda done: heads.append((done.result().seq, came[-1].seq)))
            await future
        assert heads == [(number, number) for number in range(2, 30)]
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await fill(store, 1, first=30)
        assert seqs(came) == list(range(1, 30))

    keeper.run(test)


def test_who_reads_or_follows_is_told_when_the_store_is_closed(keeper, tail):
    async def test(store):
        await fill(store, 2)
        readings = [asyncio.create_task(read(store, "lobby", after, 3, tail)) for after in (0, 2)]
        await fill(store, 1, room="side")
        for _ in range(3):
            await asyncio.sleep(0)
        await store.close()
        for each in await asyncio.gather(*readings, return_exceptions=True):
            assert isinstance(each, StoreDown)

    keeper.run(test)


def test_who_has_more_than_there_is_gets_what_comes_after_that(keeper, tail):
    async def test(store):
        await fill(store, 2)
        reading = asyncio.create_task(read(store, "lobby", 5, 6, tail))
        for number in range(3, 7):
            await fill(store, 1, first=number)
        assert seqs(await reading) == [6]

    keeper.run(test)


def test_who_gives_up_following_is_handed_nothing_more(keeper):
    async def test(store):
        came = []
        await fill(store, 1)
        following = asyncio.create_task(store.follow("lobby", 0, came.extend))
        while not came:
            await asyncio.sleep(0)
        await fill(store, 1, first=2)
        future = store.append("lobby", "s1", "3", body(3))
        following.cancel()
        await future
        assert seqs(came) == [1, 2]

    keeper.run(test)
