"""What any memory promises about a room that is cleared, and about messages that are given up."""

import asyncio
from contextlib import aclosing

from tests.store.test_promise import body, fill, read, seqs


def test_a_cleared_room_goes_on_after_what_is_gone(keeper):
    async def test(store):
        await asyncio.gather(fill(store, 10), fill(store, 3, room="side"))
        await store.clear("lobby", 7)
        assert seqs(await store.history("lobby")) == [8, 9, 10]
        assert await store.trimmed(["lobby", "side"]) == {"lobby": 7, "side": 0}
        await store.clear("lobby", 99)
        assert await store.history("lobby") == []
        assert await store.head(["lobby"]) == {"lobby": 10}
        assert seqs(await store.history("side")) == [1, 2, 3]
        assert seqs(await fill(store, 2, first=11)) == [11, 12]
        # Sent again, a message that was cleared is still known.
        assert [(each.seq, each.duplicate) for each in await fill(store, 1, first=10)] == [(10, True)]
        await store.clear("nowhere", 5)
        assert await store.head(["nowhere"]) == {"nowhere": 0}

    keeper.run(test)


def test_what_was_appended_before_a_clearing_is_gone_and_confirmed(keeper):
    async def test(store):
        receipts = [store.append("lobby", "s1", str(n), body(n)) for n in range(1, 4)]
        await store.clear("lobby", 3)
        assert seqs(await asyncio.gather(*receipts)) == [1, 2, 3]
        assert await store.history("lobby") == []

    keeper.run(test)


def test_a_reader_goes_on_after_a_clearing(keeper):
    async def test(store):
        await fill(store, 4)
        async with aclosing(store.tail("lobby", 0)) as tail:
            assert seqs(await anext(tail)) == [1, 2, 3, 4]
            coming = asyncio.ensure_future(anext(tail))
            await asyncio.sleep(0)
            await store.clear("lobby", 4)
            await fill(store, 1, first=5)
            assert seqs(await coming) == [5]
        assert seqs(await read(store, "lobby", 4, 5)) == [5]

    keeper.run(test)


def test_nothing_of_a_cleared_text_is_left_in_the_file(lasting):
    secret = b"the-answer-is-42"

    async def test(store):
        await store.append("lobby", "s1", "1", b'{"type":"said","text":"%s"}' % secret)
        await store.clear("lobby", 1)

    lasting.run(test)
    files = [path for path in lasting.folder.rglob("*") if path.is_file()]
    assert files
    assert not any(secret in path.read_bytes() for path in files)


def test_a_message_that_is_given_up_is_known_or_is_nothing(keeper):
    async def test(store):
        first, *_ = [store.append("lobby", "s1", str(n), body(n)) for n in range(1, 4)]
        found = await store.give_up("lobby", "s1", "1")
        assert (found.seq, found.duplicate) == ((await first).seq, True)
        assert await store.give_up("lobby", "s2", "1") is None
        assert await store.give_up("side", "s1", "1") is None
        await store.trim(number=1)
        assert (await store.give_up("lobby", "s1", "2")).seq == 2
        assert seqs(await fill(store, 1, first=4)) == [4]

    keeper.run(test)
