"""What the store in memory adds to the promise: nothing on the disk, little in memory."""

from __future__ import annotations

import asyncio

from nbchat.store.memory import MemoryStore
from nbchat.store.trim import MARKS
from tests.store.test_promise import fill, seqs

MONTH = 31 * 24 * 3600


class Clock:
    now = 1_790_000_000.0

    def __call__(self):
        return self.now


def run(test):
    async def main():
        clock = Clock()
        store = MemoryStore(clock)
        await store.open()
        try:
            async with asyncio.timeout(30):
                await test(store, clock)
        finally:
            await store.close()

    asyncio.run(main())


def known(store, room="lobby"):
    return sum(len(ids) for ids in store._rooms[room].ids.values())


def test_it_leaves_no_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run(lambda store, clock: fill(store, 10))
    assert list(tmp_path.iterdir()) == []


def test_few_marks_stay_of_each_session_and_none_for_ever():
    async def test(store, clock):
        await asyncio.gather(fill(store, 500), fill(store, 30, session="s2"))
        await store.trim(number=0)
        assert known(store) == MARKS + 30
        (again,) = await fill(store, 1, first=500)
        assert (again.seq, again.duplicate) == (500, True)
        clock.now += MONTH
        (new,) = await fill(store, 1, first=501)
        await store.trim(number=0)
        assert known(store) == 1  # the new one's
        assert new.seq == 531

    run(test)


def test_what_is_asked_of_rooms_that_are_not_there_makes_none():
    async def test(store, clock):
        assert await store.history("nowhere") == []
        assert await store.head(["nowhere"]) == await store.trimmed(["nowhere"]) == {"nowhere": 0}
        await store.redact("nowhere", 1)
        assert store._rooms == {}

    run(test)


def test_what_is_appended_together_comes_together():
    """As a commit: nobody sees a part of it."""

    async def test(store, clock):
        tail = store.tail("lobby", 0)
        coming = asyncio.ensure_future(anext(tail))
        await asyncio.sleep(0)
        futures = [store.append("lobby", "s1", str(n), b"{}") for n in range(100)]
        assert await store.history("lobby") == []
        assert seqs(await coming) == list(range(1, 101))
        assert all(future.done() for future in futures)
        await tail.aclose()

    run(test)


def test_who_waited_in_vain_leaves_nothing_behind():
    async def test(store, clock):
        for spoken in (False, True):
            if spoken:
                await fill(store, 1)
            for _ in range(3):
                tail = store.tail("lobby", int(spoken))
                coming = asyncio.ensure_future(anext(tail))
                await asyncio.sleep(0)
                assert len(store._rooms["lobby"].queue) == 1
                coming.cancel()
                await asyncio.gather(coming, return_exceptions=True)
                await tail.aclose()
            assert len(store._rooms["lobby"].queue if spoken else store._rooms) == 0

    run(test)
