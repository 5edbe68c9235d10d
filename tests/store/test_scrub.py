"""What is taken away is gone from the file's bytes, too, while the store is open."""

import asyncio
import os
import random
import re
import sqlite3
from collections import Counter
from contextlib import closing
from itertools import chain

import pytest

from nbchat.core.errors import StoreDown
from nbchat.store import scrub, sqlite, trim
from tests.store.test_promise import fill, seqs
from tests.store.test_sqlite import run

KEPT = b"a text that stays"
HOLDS = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute(sys.argv[2])
db.execute("SELECT * FROM log").fetchone()
print("holds", flush=True)
sys.stdin.read()
"""


def text(number, size):
    """A text that is found nowhere else, wherever it is cut."""
    return b"".join(b"<%d.%d>" % (number, part) for part in range(size // 8 + 1))


def content(store):
    """The file's bytes. By the store's own descriptor: closing another one would take SQLite's locks."""
    return os.pread(store._file.raw.fileno(), 2**30, 0)


def found(store):
    """The numbers of the texts of which there is anything in the file or its log."""
    data = content(store) + store.path.with_name("chat.db-wal").read_bytes()
    return sorted({int(number) for number in re.findall(rb"<(\d+)\.", data)})


async def say(store, number, size, room="lobby"):
    return await store.append(room, "s1", str(number), text(number, size))


async def look(store, *queries):
    """Ask the store's own connection."""

    def ask(db):
        return [db.execute(query).fetchone()[0] for query in queries]

    return await store._call(store._writer, ask)


SIZES = pytest.mark.parametrize("size", [40, 3000, 16_000, 100_000])


@SIZES
def test_a_redacted_text_is_gone(path, size):
    async def test(store):
        for number in range(1, 6):
            await say(store, number, size)
        assert found(store) == [1, 2, 3, 4, 5]
        await store.redact("lobby", 3)
        assert found(store) == [1, 2, 4, 5]
        await store._call(store._writer, lambda db: db.execute("PRAGMA wal_checkpoint"))
        await store.redact("lobby", 4)  # from the file itself, and not only from the log
        assert found(store) == [1, 2, 5]

    run(path, test)


@SIZES
def test_a_trimmed_text_is_gone(path, size):
    async def test(store):
        for number in range(1, 9):
            await say(store, number, size)
        await store.trim(number=4)
        await store._call(store._writer, lambda db: db.execute("PRAGMA wal_checkpoint"))
        await store.trim(number=2)
        assert found(store) == [7, 8]

    run(path, test)


def copies(store):
    """The texts of which the file has a second copy."""
    heads = re.findall(rb"<(\d+)\.0>", content(store))
    return [int(number) for number, count in Counter(heads).items() if count > 1]


async def say_much(store, count):
    """Say so much in many rooms that pages are split; returns each text's room and seq."""
    chance = random.Random(5)
    rooms = [f"room {chance.randrange(30)}" for _ in range(count)]
    receipts = [
        await asyncio.gather(
            *(say(store, n, chance.choice((8, 100, 900)), rooms[n]) for n in range(first, first + 20))
        )
        for first in range(0, count, 20)
    ]
    return [(room, receipt.seq) for room, receipt in zip(rooms, chain(*receipts), strict=True)]


@pytest.mark.parametrize(("block", "most"), [(4, 3), (1024, 2000)])
def test_a_text_is_gone_from_pages_it_was_moved_out_of(path, monkeypatch, block, most):
    """SQLite leaves a copy behind where it splits a page."""
    monkeypatch.setattr(scrub, "BLOCK", block)
    monkeypatch.setattr(scrub, "MOST", most)

    async def test(store):
        places = await say_much(store, 3000)
        await look(store, "PRAGMA wal_checkpoint(TRUNCATE)")
        twice = copies(store)
        assert len(twice) > 3
        await store.redact(*places[twice[0]])
        assert twice[0] not in found(store)
        assert copies(store) == []
        # Nor does it come back from SQLite's own memory when the pages are written again.
        await look(store, "UPDATE log SET at = at + 1 RETURNING at", "PRAGMA wal_checkpoint(TRUNCATE)")
        assert twice[0] not in found(store)
        assert copies(store) == []
        assert await look(store, "PRAGMA integrity_check") == ["ok"]
        assert len(await store.history("room 1", limit=1000)) > 50

    run(path, test)


def test_all_is_gone_however_much_is_left_behind(path, monkeypatch):
    """Appends come in between, and nothing of it comes back from SQLite's memory."""
    monkeypatch.setattr(scrub, "BLOCK", 4)
    monkeypatch.setattr(scrub, "MOST", 3)
    monkeypatch.setattr(trim, "CHUNK", 100)

    async def test(store):
        places = await say_much(store, 2000)
        heads = await store.head(sorted({room for room, _ in places}))
        meanwhile = asyncio.create_task(fill(store, 300, room="other"))
        gone = await store.trim(number=20)
        await meanwhile
        await store.trim(number=20)
        assert gone == {room: head - 20 for room, head in heads.items()}
        stay = [number for number, (room, seq) in enumerate(places) if seq > gone[room]]
        assert found(store) == stay
        await fill(store, 500, room="other", first=301)
        await look(store, "PRAGMA wal_checkpoint(TRUNCATE)")
        assert found(store) == stay
        assert await look(store, "PRAGMA integrity_check") == ["ok"]

    run(path, test)


def test_redacting_again_completes_what_did_not_succeed(path, python, monkeypatch):
    monkeypatch.setattr(sqlite, "BUSY", 0.05)
    monkeypatch.setattr(sqlite, "SCRUBS", 2)

    async def test(store):
        await say(store, 1, 100)
        await say(store, 2, 100)
        reader = await asyncio.to_thread(python, HOLDS, path, "BEGIN")
        assert await asyncio.to_thread(reader.stdout.readline) == "holds\n"
        with pytest.raises(StoreDown, match="another program"):
            await store.redact("lobby", 1)
        assert found(store) == [1, 2]
        assert b"<1." not in (await store.history("lobby"))[0].body
        assert seqs(await fill(store, 1, first=3)) == [3]
        await asyncio.to_thread(reader.communicate, "")
        await store.redact("lobby", 1)
        assert found(store) == [2]

    run(path, test)


def test_what_a_trim_could_not_finish_the_next_one_does(path, python, monkeypatch):
    monkeypatch.setattr(sqlite, "BUSY", 0.05)
    monkeypatch.setattr(sqlite, "SCRUBS", 2)

    async def test(store):
        await say(store, 1, 100)
        await say(store, 2, 100)
        reader = await asyncio.to_thread(python, HOLDS, path, "BEGIN")
        assert await asyncio.to_thread(reader.stdout.readline) == "holds\n"
        with pytest.raises(StoreDown, match="another program"):
            await store.trim(number=1)
        assert await store.trimmed(["lobby"]) == {"lobby": 1}
        await asyncio.to_thread(reader.communicate, "")
        assert await store.trim(number=1) == {}
        assert found(store) == [2]

    run(path, test)


def test_a_long_read_of_our_own_does_not_hinder(path):
    async def test(store):
        await fill(store, 20_000)
        await say(store, 1, 100, "side")
        reading = asyncio.create_task(store.history("lobby", limit=2**30))
        await asyncio.sleep(0)
        await store.redact("side", 1)
        assert found(store) == []
        assert len(await reading) == 20_000

    run(path, test)


def test_a_file_that_is_trimmed_stops_growing(path):
    async def test(store):
        sizes = []
        for first in range(0, 20_000, 1000):
            await asyncio.gather(*(say(store, n, 100 + n % 400) for n in range(first, first + 1000)))
            if await store.trim(number=1000):
                assert path.with_name("chat.db-wal").stat().st_size == 0
            sizes.append(path.stat().st_size)
        assert max(sizes[5:]) <= max(sizes[:5]) * 1.1

    run(path, test)


# ── marks ───────────────────────────────────────────────────────────────────────────────────────


def test_few_marks_stay_of_each_session(path):
    async def test(store):
        await asyncio.gather(fill(store, 500), fill(store, 30, session="s2"), fill(store, 100, room="side"))
        await store.trim(number=0)
        assert await look(store, "SELECT count(*) FROM mark") == [64 + 30 + 64]
        # What is older than they are is not known any more: that is the price.
        (again,) = await fill(store, 1)
        assert not again.duplicate

    run(path, test)


def test_marks_go_after_a_month(lasting):
    keeper = lasting

    async def test(store):
        await fill(store, 3)
        await store.trim(number=0)
        keeper.now += 20 * 24 * 3600
        await fill(store, 2, first=4)
        await store.trim(number=0)
        assert await look(store, "SELECT count(*) FROM mark") == [5]
        keeper.now += 11 * 24 * 3600
        assert await store.trim(number=0) == {}
        assert await look(store, "SELECT count(*) FROM mark") == [2]
        await fill(store, 1, first=6)
        keeper.now += 40 * 24 * 3600
        assert await store.trim(number=0) == {"lobby": 6}
        assert await look(store, "SELECT count(*) FROM mark") == [0]

    keeper.run(test)


def test_long_texts_go_in_smaller_chunks(path, monkeypatch):
    """So that no chunk holds appends up for long."""
    chunks = []

    class Counted(trim.Trim):
        def take(self, db):
            chunks.append(super().take(db))
            return chunks[-1]

    monkeypatch.setattr(sqlite, "Trim", Counted)
    monkeypatch.setattr(trim, "CHUNK", 100)

    async def test(store):
        await asyncio.gather(*(say(store, n, 50) for n in range(300)))
        await asyncio.gather(*(say(store, n, 10_000, "long") for n in range(300, 330)))
        gone = {room: head - 1 for room, head in (await store.head(["lobby", "long"])).items()}
        assert await store.trim(number=1) == gone
        assert 5 <= len(chunks) <= 9

    run(path, test)


def test_a_trim_leaves_nothing_half_done(path, monkeypatch):
    monkeypatch.setattr(trim, "CHUNK", 100)
    monkeypatch.setattr(trim, "_MARK", "INSERT INTO nowhere VALUES (?, ?, ?, ?, ?)")

    async def test(store):
        await fill(store, 150)
        with pytest.raises(StoreDown):
            await store.trim(number=0)
        assert await store.trimmed(["lobby"]) == {"lobby": 0}
        assert len(await store.history("lobby", limit=200)) == 150
        monkeypatch.undo()
        assert seqs(await fill(store, 1, first=151)) == [151]
        assert await store.trim(number=0) == {"lobby": 151}

    run(path, test)


def test_rooms_never_trimmed_are_not_asked_for_marks(path, monkeypatch):
    statements = []

    def connect(*arguments, **more):
        db = real(*arguments, **more)
        db.set_trace_callback(statements.append)
        return db

    real = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", connect)

    async def test(store):
        await fill(store, 20)
        await store.trim(number=0)
        await fill(store, 20, room="side")
        assert not any("SELECT seq, at FROM mark" in statement for statement in statements)
        await fill(store, 1)
        assert any("SELECT seq, at FROM mark" in statement for statement in statements)

    run(path, test)


def test_the_free_space_of_another_kind_of_page_is_not_touched(tmp_path):
    """A page that looks like a tree's, and whose cells are not where its head says, is left alone."""
    page = bytearray(4096)
    page[0], page[3:5], page[5:7] = 10, (1).to_bytes(2, "big"), (3000).to_bytes(2, "big")
    page[8:10] = (2000).to_bytes(2, "big")
    page[100:200] = b"x" * 100
    place = tmp_path / "file"
    place.write_bytes(bytes(4096) + page)
    with closing(open(place, "r+b", buffering=0)) as file:
        assert scrub._zero(file, 4096)
    assert place.read_bytes() == bytes(4096) + page
