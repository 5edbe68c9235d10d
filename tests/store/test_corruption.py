"""A damaged file is moved aside with its date, never deleted, and a new history begins in its place."""

import asyncio
import random
import shutil
import sqlite3
from contextlib import aclosing, closing

import pytest

from nbchat.core.errors import StoreDown
from nbchat.store import corruption, schema
from tests.store.test_promise import fill, seqs
from tests.store.test_schema import make_version_1
from tests.store.test_sqlite import nothing, run

PAGE = 4096


async def talk(store):
    """Enough for a tree of some pages; returns the log's name."""
    for first in range(1, 601, 200):
        await asyncio.gather(
            *(store.append("lobby", "s1", str(n), b"<%d>" % n * 20) for n in range(first, first + 200))
        )
    return store.log_id


def change(path, place, data):
    with open(path, "r+b") as file:
        file.seek(place)
        file.write(data)


def leaf(path):
    """Where the page begins that holds the text of the 300th message."""
    return path.read_bytes().index(b"<300>") // PAGE * PAGE


def aside(path):
    """What was moved aside: ending → bytes."""
    files = sorted(path.parent.glob("chat.damaged-*"))
    return {file.name.partition(".db")[2]: file.read_bytes() for file in files}


async def is_new(store, old):
    """That it is a new and empty history which works, and says what happened."""
    assert store.log_id != old
    assert await store.head(["lobby"]) == {"lobby": 0}
    assert await store.history("lobby") == []
    assert seqs(await fill(store, 2)) == [1, 2]
    (kept,) = store.path.parent.glob("chat.damaged-*.db")
    assert str(store.path) in store.damage
    assert str(kept) in store.damage
    assert "deleted" in store.damage
    assert kept.stat().st_mode & 0o077 == 0


def zero_header(path):
    change(path, 0, bytes(100))


def zero_all(path):
    path.write_bytes(bytes(path.stat().st_size))


def make_noise(path):
    path.write_bytes(random.Random(3).randbytes(path.stat().st_size))


def break_page_size(path):
    change(path, 16, b"\x03\x07")


def break_schema(path):
    change(path, 100, random.Random(3).randbytes(PAGE - 100))


def break_schema_text(path):
    data = path.read_bytes()
    change(path, data.index(b"CREATE TABLE log"), b"CREATE TABBL log")


def cut_in_half(path):
    with open(path, "r+b") as file:
        file.truncate(path.stat().st_size // 2)


def cut_in_the_first_page(path):
    with open(path, "r+b") as file:
        file.truncate(1000)


def lose_messages(path):
    change_tables(path, "DELETE FROM log WHERE seq > 590")


def lose_a_head(path):
    change_tables(path, "UPDATE room SET head = 500")


def lose_all_but_the_head(path):
    change_tables(path, "DELETE FROM log")


def lose_meta(path):
    change_tables(path, "DROP TABLE meta")


def lose_a_column(path):
    change_tables(path, "ALTER TABLE room DROP COLUMN trimmed")


def change_tables(path, change):
    with closing(sqlite3.connect(path)) as db:
        db.execute(change)
        db.commit()


ANYWHERE = [
    break_page_size,
    break_schema,
    break_schema_text,
    cut_in_half,
    cut_in_the_first_page,
    lose_messages,
    lose_a_head,
    lose_all_but_the_head,
    lose_meta,
    lose_a_column,
]
OWN_PLACE = [zero_header, zero_all, make_noise]

# ── found when it is opened ─────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("harm", [*ANYWHERE, *OWN_PLACE])
def test_a_damaged_file_is_moved_aside(path, harm):
    old = run(path, talk)
    harm(path)
    data = path.read_bytes()
    run(path, lambda store: is_new(store, old), is_own_place=harm in OWN_PLACE)
    assert aside(path)[""] == data
    # And the new one is not damaged.
    run(path, still_new, is_own_place=True)


async def still_new(store):
    assert store.damage is None
    assert await store.head(["lobby"]) == {"lobby": 2}


@pytest.mark.parametrize("harm", OWN_PLACE)
def test_what_cannot_be_recognised_is_left_alone_elsewhere(path, harm):
    run(path, talk)
    harm(path)
    data = path.read_bytes()
    with pytest.raises(StoreDown, match="history="):
        run(path, nothing)
    assert path.read_bytes() == data
    assert aside(path) == {}


def test_a_damaged_history_of_version_1_is_recognised(path):
    make_version_1(path)
    cut_in_half(path)
    data = path.read_bytes()
    run(path, lambda store: is_new(store, "the first"))
    assert aside(path)[""] == data


@pytest.mark.parametrize("application", [0, 7])
def test_another_programs_damaged_database_is_left_alone(path, application):
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE theirs (a)")
        db.execute("PRAGMA user_version = 1")
        db.execute(f"PRAGMA application_id = {application}")
    cut_in_half(path)
    data = path.read_bytes()
    for is_own_place in (False, True)[: 1 + bool(application)]:
        with pytest.raises(StoreDown, match="history="):
            run(path, nothing, is_own_place=is_own_place)
    assert path.read_bytes() == data
    assert aside(path) == {}


def test_a_damaged_history_of_a_newer_version_is_left_alone(path):
    run(path, talk)
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {schema.SCHEMA + 1}")
    cut_in_half(path)
    for is_own_place in (False, True):
        with pytest.raises(StoreDown):
            run(path, nothing, is_own_place=is_own_place)
    assert aside(path) == {}


def test_an_empty_file_is_a_new_history(path):
    path.parent.mkdir()
    path.touch()
    run(path, lambda store: fill(store, 2), is_own_place=True)
    run(path, still_new)


def test_two_damaged_files_have_two_names(path):
    for _ in range(3):
        run(path, talk)
        cut_in_half(path)
    run(path, nothing)
    assert len(list(path.parent.glob("chat.damaged-*.db"))) == 3


def test_a_text_is_not_taken_for_damage(path):
    """What has no structure cannot be checked: a changed letter is what was said."""
    run(path, talk)
    change(path, path.read_bytes().index(b"<300>"), b"<!!!>")

    async def test(store):
        assert store.damage is None
        assert len(await store.history("lobby", limit=1000)) == 600

    run(path, test)


# ── after a crash ───────────────────────────────────────────────────────────────────────────────


def crash(path, tmp_path):
    """A history as a killed owner leaves it: most in the file, the last 50 messages in its log."""

    async def test(store):
        await talk(store)
        await store._call(store._writer, lambda db: db.execute("PRAGMA wal_checkpoint(TRUNCATE)"))
        await fill(store, 50, first=601)
        shutil.copytree(path.parent, tmp_path / "crashed")

    run(path, test)
    crashed = tmp_path / "crashed" / path.name
    assert crashed.with_name("chat.db-wal").stat().st_size > 0
    return crashed


def test_after_a_crash_a_small_file_is_looked_through(path, tmp_path):
    crashed = crash(path, tmp_path)
    change(crashed, leaf(crashed), b"\xff")
    run(crashed, lambda store: is_new(store, ""))
    assert b"<300>" in aside(crashed)[""]


def test_after_a_crash_a_large_file_is_opened_at_once(path, tmp_path, monkeypatch):
    monkeypatch.setattr(corruption, "SMALL", 1000)
    crashed = crash(path, tmp_path)
    change(crashed, leaf(crashed), b"\xff")

    async def test(store):
        assert store.damage is None
        assert await store.head(["lobby"]) == {"lobby": 650}

    run(crashed, test)


def test_a_crash_alone_is_no_damage(path, tmp_path):
    async def test(store):
        assert store.damage is None
        assert seqs(await store.history("lobby", limit=1000)) == list(range(1, 651))

    run(crash(path, tmp_path), test)


def test_a_log_with_a_damaged_end_loses_that_end(path, tmp_path):
    """Its checksums end it there, as after a crash: that it was longer cannot be known."""
    crashed = crash(path, tmp_path)
    wal = crashed.with_name("chat.db-wal")
    change(wal, wal.stat().st_size // 2, random.Random(3).randbytes(5000))

    async def test(store):
        assert store.damage is None
        (head,) = (await store.head(["lobby"])).values()
        assert 600 <= head < 650
        assert seqs(await store.history("lobby", limit=1000)) == list(range(1, head + 1))
        assert seqs(await fill(store, 1, session="s9")) == [head + 1]

    run(crashed, test)


def test_a_log_that_lost_its_file_is_kept(path, tmp_path):
    """SQLite would delete it."""
    crashed = crash(path, tmp_path)
    wal = crashed.with_name("chat.db-wal").read_bytes()
    crashed.write_bytes(b"")

    async def test(store):
        assert "main part" in store.damage
        assert await store.head(["lobby"]) == {"lobby": 0}

    run(crashed, test)
    assert aside(crashed)["-wal"] == wal


# ── found while it runs ─────────────────────────────────────────────────────────────────────────


def test_damage_that_is_met_is_told_and_moved_aside_the_next_time(path):
    old = run(path, talk)
    change(path, leaf(path), b"\xff")

    async def meet(store):
        assert store.damage is None
        with pytest.raises(StoreDown, match=r"damaged.*server\.stop\(\).*nbchat\.serve") as caught:
            await store.history("lobby", limit=1000)
        assert isinstance(caught.value.__cause__, sqlite3.DatabaseError)
        assert path.with_name("chat.db.damaged").stat().st_mode & 0o077 == 0
        assert seqs(await store.history("lobby", limit=10)) == list(range(591, 601))  # what is whole

    run(path, meet)
    run(path, lambda store: is_new(store, old))
    assert not path.with_name("chat.db.damaged").exists()
    assert len(aside(path)) == 1


def test_whoever_meets_damage_is_told(path, monkeypatch):
    run(path, talk)
    for place in range(PAGE, path.stat().st_size, PAGE):  # all but the schema
        change(path, place, b"\xff")
    monkeypatch.setattr(corruption, "begin", lambda db: {"log_id": "not looked at"})

    async def meet(store):
        async with aclosing(store.tail("lobby", 0)) as tail:
            for work in (
                store.append("lobby", "s1", "new", b"{}"),
                anext(tail),
                store.head(["lobby"]),
                store.redact("lobby", 1),
                store.trim(number=1),
                store.remember("a", "b"),
            ):
                with pytest.raises(StoreDown, match="damaged"):
                    await work

    run(path, meet)


def test_an_id_that_is_no_text_any_more_is_damage(path):
    async def say(store):
        await store.append("lobby", "s1", "a-long-id-to-be-found", b"{}")
        return store.log_id

    old = run(path, say)
    data = path.read_bytes()
    at = data.index(b"a-long-id-to-be-found")
    while at >= 0:
        change(path, at, b"\xff\xfe")
        at = data.find(b"a-long-id-to-be-found", at + 1)

    async def meet(store):
        with pytest.raises(StoreDown, match="damaged"):
            await store.history("lobby")

    run(path, meet)
    run(path, lambda store: is_new(store, old))


def test_a_suspicion_that_proves_wrong_is_forgotten(path):
    old = run(path, talk)
    corruption.suspect(path)

    async def test(store):
        assert (store.damage, store.log_id) == (None, old)
        assert not path.with_name("chat.db.damaged").exists()
        assert await store.head(["lobby"]) == {"lobby": 600}

    run(path, test)


def test_an_index_that_lacks_entries_is_found_on_suspicion(path):
    """With it a message that is sent again would be said twice."""
    old = run(path, talk)
    entry = change_schema(path, "DELETE FROM sqlite_master WHERE name = 'log_once' RETURNING *")
    change_tables(path, "UPDATE log SET id = 'another' WHERE seq = 300")
    change_schema(path, "INSERT INTO sqlite_master VALUES (?, ?, ?, ?, ?) RETURNING *", entry)
    run(path, lambda store: is_whole(store, old))
    corruption.suspect(path)
    run(path, lambda store: is_new(store, old))


def change_schema(path, change, values=()):
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA writable_schema = ON")
        (row,) = db.execute(change, values)
        db.commit()
    return row


async def is_whole(store, old):
    assert (store.damage, store.log_id) == (None, old)
    assert await store._call(store._writer, lambda db: db.execute("PRAGMA quick_check").fetchone()) == ("ok",)
