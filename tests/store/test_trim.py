"""What any memory promises about trimming, asked of each of them."""

import asyncio
from contextlib import aclosing

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nbchat.core.errors import StoreDown
from tests.store.test_promise import body, fill, read, seqs


async def one_by_one(store, count, first=1, room="lobby"):
    """Append in as many commits, so that each has a time of its own; returns the receipts."""
    return [await store.append(room, "s1", str(n), body(n)) for n in range(first, first + count)]


async def waiting(tail):
    """Begin to wait for what a tail brings next."""
    coming = asyncio.ensure_future(anext(tail))
    await asyncio.sleep(0)
    return coming


# ── what goes and what stays ────────────────────────────────────────────────────────────────────


def test_the_newest_stay(keeper):
    async def test(store):
        await asyncio.gather(fill(store, 10), fill(store, 3, room="side"), fill(store, 4, room="just"))
        assert await store.trim(number=4) == {"lobby": 6}
        assert seqs(await store.history("lobby")) == [7, 8, 9, 10]
        assert seqs(await store.history("lobby", before=9, limit=5)) == [7, 8]
        assert seqs(await store.history("side")) == [1, 2, 3]
        assert await store.trimmed(["lobby", "side", "just", "nowhere"]) == {
            "lobby": 6,
            "side": 0,
            "just": 0,
            "nowhere": 0,
        }
        assert await store.head(["lobby"]) == {"lobby": 10}
        assert await store.trim(number=4) == {}
        assert seqs(await fill(store, 2, first=11)) == [11, 12]
        assert await store.trim(number=4) == {"lobby": 8}
        assert seqs(await store.history("lobby")) == [9, 10, 11, 12]

    keeper.run(test)


def test_what_is_older_than_a_moment_goes(keeper):
    async def test(store):
        receipts = await one_by_one(store, 6)
        assert await store.trim(before=receipts[0].at) == {}
        assert await store.trim(before=receipts[3].at) == {"lobby": 3}
        assert seqs(await store.history("lobby")) == [4, 5, 6]
        assert await store.trim(before=receipts[5].at + 1) == {"lobby": 6}
        assert await store.history("lobby") == []

    keeper.run(test)


def test_trimming_by_time_ends_at_the_first_that_may_stay(keeper):
    """A clock can be set back; then an older stamp stands after a newer one."""

    async def test(store):
        (first,) = await one_by_one(store, 1)
        keeper.now += 1000
        (second,) = await one_by_one(store, 1, first=2)
        keeper.now -= 1000
        (third,) = await one_by_one(store, 1, first=3)
        assert first.at < third.at < second.at
        assert await store.trim(before=second.at) == {"lobby": 1}
        assert await store.trim(before=second.at + 1) == {"lobby": 3}

    keeper.run(test)


def test_both_limits_hold_at_once(keeper):
    async def test(store):
        receipts = await one_by_one(store, 6)
        assert await store.trim(number=5, before=receipts[2].at) == {"lobby": 2}
        assert await store.trim(number=1, before=receipts[3].at) == {"lobby": 5}

    keeper.run(test)


def test_without_a_limit_nothing_goes(keeper):
    async def test(store):
        await fill(store, 3)
        assert await store.trim() == {}
        assert len(await store.history("lobby")) == 3

    keeper.run(test)


def test_a_thousand_rooms_are_trimmed(keeper):
    async def test(store):
        rooms = [f"room {number}" for number in range(1000)]
        for number in (1, 2, 3):
            await asyncio.gather(*(store.append(room, "s1", str(number), b"{}") for room in rooms))
        assert await store.trim(number=1) == dict.fromkeys(rooms, 2)
        assert await store.trimmed(rooms) == dict.fromkeys(rooms, 2)
        for room in rooms[::100]:
            assert seqs(await store.history(room)) == [3]

    keeper.run(test)


def test_many_go_while_others_come(keeper, tail):
    async def test(store):
        await fill(store, 12_000)
        reading = asyncio.create_task(read(store, "lobby", 12_000, 12_600, tail))
        trimming = asyncio.create_task(store.trim(number=1000))
        for first in range(12_001, 12_601, 100):
            await fill(store, 100, first=first)
        gone = (await trimming)["lobby"]
        assert 11_000 <= gone <= 11_600
        assert seqs(await reading) == list(range(12_001, 12_601))
        kept = await store.history("lobby", limit=20_000)
        assert seqs(kept) == list(range(gone + 1, 12_601))

    keeper.run(test)


def test_a_room_that_lost_everything_goes_on_after_reopening(lasting):
    async def before(store):
        await fill(store, 5)
        assert await store.trim(number=0) == {"lobby": 5}
        assert await store.history("lobby") == []
        assert await store.head(["lobby"]) == {"lobby": 5}

    async def after(store):
        assert await store.head(["lobby"]) == {"lobby": 5}
        assert await store.trimmed(["lobby"]) == {"lobby": 5}
        assert seqs(await fill(store, 2, first=6)) == [6, 7]
        assert seqs(await store.history("lobby")) == [6, 7]

    lasting.run(before)
    lasting.run(after)


def test_a_closed_store_trims_nothing(keeper):
    async def test(store):
        await store.close()
        for late in (store.trim(number=1), store.trimmed(["lobby"])):
            with pytest.raises(StoreDown):
                await late

    keeper.run(test)


# ── those who read meanwhile ────────────────────────────────────────────────────────────────────


def test_a_tail_from_below_goes_on_with_what_is_left(keeper, tail):
    async def test(store):
        await fill(store, 10)
        await store.trim(number=4)
        for after in (0, 3, 6):
            assert seqs(await read(store, "lobby", after, 10, tail)) == [7, 8, 9, 10]
        assert seqs(await read(store, "lobby", 7, 10, tail)) == [8, 9, 10]

    keeper.run(test)


@pytest.mark.parametrize("after", [0, 4])
def test_a_tail_of_which_nothing_is_left_is_told_once(keeper, tail, after):
    async def test(store):
        await fill(store, 5)
        await store.trim(number=0)
        async with aclosing(tail(store, "lobby", after)) as reading:
            assert await anext(reading) == []
            coming = asyncio.ensure_future(anext(reading))
            await fill(store, 1, room="side")
            assert not coming.done()
            await fill(store, 1, first=6)
            assert seqs(await coming) == [6]

    keeper.run(test)


def test_a_tail_at_the_head_is_undisturbed(keeper, tail):
    async def test(store):
        await fill(store, 5)
        async with aclosing(tail(store, "lobby", 0)) as reading, aclosing(tail(store, "lobby", 5)) as late:
            assert seqs(await anext(reading)) == [1, 2, 3, 4, 5]
            coming = [asyncio.ensure_future(anext(each)) for each in (reading, late)]
            await store.trim(number=2)
            await store.trim(number=0)
            assert not any(each.done() for each in coming)
            await fill(store, 1, first=6)
            assert [seqs(await each) for each in coming] == [[6], [6]]

    keeper.run(test)


def test_those_who_wait_see_what_is_trimmed_right_after_it_came(keeper, tail):
    async def test(store):
        async with aclosing(tail(store, "lobby", 0)) as reading:
            coming = await waiting(reading)
            await fill(store, 1)
            assert seqs(await coming) == [1]
            coming = await waiting(reading)
            _, gone = await asyncio.gather(fill(store, 1, first=2), store.trim(number=0))
            assert gone == {"lobby": 2}
            assert seqs(await coming) == [2]

    keeper.run(test)


def test_what_was_trimmed_is_not_kept_at_hand_for_later_readers(keeper, tail):
    async def test(store):
        async with aclosing(tail(store, "lobby", 0)) as reading:
            coming = await waiting(reading)
            await fill(store, 10)
            found = await coming
            while found[-1].seq < 10:
                found = await anext(reading)
            await store.trim(number=3)
            assert seqs(await read(store, "lobby", 0, 10, tail)) == [8, 9, 10]
            await fill(store, 1, first=11)
            assert seqs(await anext(reading)) == [11]
            assert seqs(await read(store, "lobby", 0, 11, tail)) == [8, 9, 10, 11]

    keeper.run(test)


def test_a_slow_tail_misses_only_what_was_trimmed(keeper):
    async def test(store):
        async with aclosing(store.tail("lobby", 0)) as tail:
            await fill(store, 1)
            assert seqs(await anext(tail)) == [1]
            await fill(store, 2500, first=2)
            await store.trim(number=2000)
            assert seqs(await anext(tail))[0] == 502
            await store.trim(number=0)
            assert await anext(tail) == []
            await fill(store, 1, first=2502)
            assert seqs(await anext(tail)) == [2502]

    keeper.run(test)


# ── once into the log ───────────────────────────────────────────────────────────────────────────


def test_what_was_trimmed_is_known_when_it_is_sent_again(keeper):
    async def test(store):
        receipts = await one_by_one(store, 40)
        await store.trim(number=0)
        for first, again in zip(receipts, await fill(store, 40), strict=True):
            assert (again.seq, again.at, again.duplicate) == (first.seq, first.at, True)
        other = await store.append("lobby", "s2", "1", b"{}")
        assert (other.seq, other.duplicate) == (41, False)
        assert seqs(await store.history("lobby")) == [41]
        # The marks of those trimmed earlier stay when more is trimmed.
        await store.trim(number=0)
        assert (await store.append("lobby", "s1", "40", b"{}")).duplicate
        assert (await store.append("lobby", "s2", "1", b"{}")).seq == 41

    keeper.run(test)


def test_a_clients_32_newest_are_known_though_everything_was_trimmed(lasting):
    async def before(store):
        await fill(store, 1000)
        await store.trim(number=500)
        await store.trim(number=0)

    async def after(store):
        again = await fill(store, 32, first=969)
        assert [(receipt.seq, receipt.duplicate) for receipt in again] == [
            (seq, True) for seq in range(969, 1001)
        ]
        assert await store.history("lobby") == []

    lasting.run(before)
    lasting.run(after)


# ── anything ────────────────────────────────────────────────────────────────────────────────────

rooms = st.sampled_from("rst")
appends = st.tuples(rooms, st.sampled_from("xy"), st.sampled_from("1234"))
trims = st.tuples(st.integers(0, 4) | st.none(), st.integers(0, 8) | st.none())


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(appends | trims, max_size=40))
def test_any_appends_and_trims_give_what_a_list_would(memory, steps):
    """A list for each room is the truth, and the number of those that are gone."""

    async def test(store):
        truth = {"r": [], "s": [], "t": []}
        gone = dict.fromkeys(truth, 0)
        times = []
        for step in steps:
            if len(step) == 3:
                room, session, id = step
                receipt = await store.append(room, session, id, b"{}")
                known = [entry[:2] for entry in truth[room]]
                is_new = (session, id) not in known
                if is_new:
                    truth[room].append((session, id, receipt.at))
                    times.append(receipt.at)
                    known.append((session, id))
                assert (receipt.seq, receipt.duplicate) == (known.index((session, id)) + 1, not is_new)
                continue
            number, back = step
            before = None if back is None or not times else times[-1 - back % len(times)]
            expected = {}
            for room, entries in truth.items():
                most = len(entries) if number is None else number
                while gone[room] < len(entries) and (
                    gone[room] < len(entries) - most
                    or (before is not None and entries[gone[room]][2] < before)
                ):
                    gone[room] += 1
                    expected[room] = gone[room]
            assert await store.trim(number=number, before=before) == expected
        assert await store.trimmed(list(truth)) == gone
        assert await store.head(list(truth)) == {room: len(entries) for room, entries in truth.items()}
        for room, entries in truth.items():
            events = await store.history(room)
            assert [(event.seq, event.session, event.id, event.at) for event in events] == [
                (seq, *entry) for seq, entry in enumerate(entries, 1) if seq > gone[room]
            ]
            if events:
                assert await read(store, room, 0, len(entries)) == events

    memory.run(test)
