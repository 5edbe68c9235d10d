"""What SQLite and its file add to the promise: one owner, rights, crashes, a full disk."""

import asyncio
import os
import sqlite3
import sys
from contextlib import aclosing

import pytest

from nbchat.core.errors import AlreadyServing, StoreDown, StoreFull
from nbchat.store import sqlite
from tests.store.test_promise import fill, read, seqs

posix = pytest.mark.skipif(sys.platform == "win32", reason="rights and signals of POSIX")


KEEPS_OPEN = """
import asyncio, sys, time
from nbchat.store.open import open_store
async def main():
    store = open_store(sys.argv[1], time.time)
    await store.open()
    print("open", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await store.close()
asyncio.run(main())
"""
READS = """
import sqlite3, sys
with sqlite3.connect(sys.argv[1]) as db:
    print(db.execute("SELECT count(*) FROM log").fetchone()[0])
db.close()
"""
MEETS_A_FILE_LIMIT = """
import asyncio, resource, signal, sys, time
from nbchat.core.errors import StoreError
from nbchat.store.open import open_store
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
async def main():
    store = open_store(sys.argv[1], time.time)
    await store.open()
    kept = (await store.append("lobby", "s1", "small", b"{}")).seq
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
    for number in range(20):
        try:
            kept = (await store.append("lobby", "s1", f"big{number}", b"x" * 50_000)).seq
        except StoreError:
            break
    else:
        sys.exit("the limit was not met")
    assert len(await store.history("lobby")) == kept
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    again = await store.append("lobby", "s1", f"big{number}", b"x" * 50_000)
    assert (again.seq, again.duplicate) == (kept + 1, False), again
    assert [event.seq for event in await store.history("lobby")] == list(range(1, kept + 2))
    await store.close()
    print("recovered")
asyncio.run(main())
"""


def run(path, test, **options):
    async def main():
        store = sqlite.SQLiteStore(path, lambda: 1_790_000_000.0, **options)
        await store.open()
        try:
            async with asyncio.timeout(30):
                return await test(store)
        finally:
            await store.close()

    return asyncio.run(main())


async def nothing(store):
    """Open and close."""


# ── the file ────────────────────────────────────────────────────────────────────────────────────


@posix
def test_only_its_owner_can_read_the_file(path):
    async def test(store):
        await fill(store, 1)
        await store.history("lobby")
        rights = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
        assert {"chat.db", "chat.db-wal", "chat.db.lock"} <= rights.keys()
        assert set(rights.values()) == {0o600}
        assert path.parent.stat().st_mode & 0o777 == 0o700

    before = os.umask(0)
    try:
        run(path, test)
    finally:
        os.umask(before)


def test_a_process_that_looks_into_the_file_does_no_harm(path, python):
    """Closing any descriptor of a file drops a process's POSIX locks on it; then the last reader to
    leave would take the log away under the hands of the one that writes."""

    async def test(store):
        await fill(store, 1)
        await store.history("lobby")
        for count in (1, 2, 3):
            looked, _ = await asyncio.to_thread(python(READS, path).communicate)
            assert looked.strip() == str(count)
            assert path.with_name("chat.db-wal").exists()
            await fill(store, 1, first=count + 1)

    run(path, test)


def test_what_is_redacted_is_gone_from_the_file(path):
    async def test(store):
        await store.append("lobby", "s1", "a", b'{"text":"' + b"lost" * 2000 + b'"}')
        await store.append("lobby", "s1", "b", b'{"text":"kept"}')
        await store.redact("lobby", 1)

    run(path, test)
    assert b"kept" in path.read_bytes()
    assert b"lostlost" not in path.read_bytes()


# ── one owner ───────────────────────────────────────────────────────────────────────────────────


def test_another_process_is_told_who_serves(path, python):
    owner = python(KEEPS_OPEN, path)
    assert owner.stdout.readline() == "open\n"
    for _ in range(2):  # looking does not take the note away
        with pytest.raises(AlreadyServing) as caught:
            run(path, nothing)
        assert caught.value.pid == owner.pid
        assert str(owner.pid) in str(caught.value)
        assert "nbchat.join()" in str(caught.value)
    owner.communicate("")
    assert owner.returncode == 0
    run(path, nothing)


def test_the_same_process_cannot_open_it_twice_either(path):
    async def test(store):
        with pytest.raises(AlreadyServing) as caught:
            await sqlite.SQLiteStore(path, lambda: 0.0).open()
        assert caught.value.pid == os.getpid()
        await fill(store, 1)

    run(path, test)


# ── full and broken ─────────────────────────────────────────────────────────────────────────────


async def limit(store, pages):
    """Let the database have so many pages more than it has, or (None) any number."""

    def set_pages(db):
        now = db.execute("PRAGMA page_count").fetchone()[0]
        db.execute(f"PRAGMA max_page_count={2**30 if pages is None else now + pages}")

    await store._writer.call(set_pages)


async def append(store, session, id, size=1):
    """The receipt's seq, or the class of the refusal."""
    try:
        return (await store.append("lobby", session, id, b"x" * size)).seq
    except (StoreFull, StoreDown) as error:
        return type(error)


def test_a_full_file_refuses_keeps_the_order_and_recovers(path):
    async def test(store):
        reading = asyncio.create_task(read(store, "lobby", 0, 5))
        assert await append(store, "s1", "a") == 1
        await limit(store, 0)
        assert await append(store, "s1", "b", 50_000) is StoreFull
        assert await append(store, "s2", "x", 50_000) is StoreFull
        assert await append(store, "s1", "c") is StoreFull  # there would be room, but "b" has to be first
        assert seqs(await store.history("lobby")) == [1]
        assert await store.head(["lobby"]) == {"lobby": 1}
        await limit(store, None)
        assert await append(store, "s1", "c") is StoreFull
        assert await append(store, "s3", "y") == 2
        # What comes again in its order is taken at once, also when one commit brings it all.
        assert await asyncio.gather(
            append(store, "s1", "b", 50_000), append(store, "s1", "c"), append(store, "s2", "x")
        ) == [3, 4, 5]
        assert seqs(await reading) == [1, 2, 3, 4, 5]
        assert [event.id for event in await store.history("lobby")] == ["a", "y", "b", "c", "x"]

    run(path, test)


def test_a_commit_that_finds_no_room_keeps_nothing_of_its_group(path):
    async def test(store):
        await limit(store, 2)
        answers = await asyncio.gather(*(append(store, f"s{n}", "a", 9000) for n in range(20)))
        kept = [answer for answer in answers if answer is not StoreFull]
        assert kept == list(range(1, len(kept) + 1))
        assert len(kept) < 20
        assert seqs(await store.history("lobby")) == kept
        await limit(store, None)
        again = await asyncio.gather(*(append(store, f"s{n}", "a", 9000) for n in range(20)))
        assert sorted(again) == list(range(1, 21))

    run(path, test)


@pytest.mark.parametrize(
    ("code", "refusal"), [(sqlite3.SQLITE_FULL, StoreFull), (sqlite3.SQLITE_IOERR, StoreDown)]
)
def test_a_commit_that_fails_at_its_end_is_settled_by_the_same_id(path, monkeypatch, code, refusal):
    """A disk without room says so when the log is written, which is at COMMIT."""
    broken = []

    class Connection(sqlite3.Connection):
        def execute(self, sql, *arguments):
            if sql == "COMMIT" and broken:
                error = sqlite3.OperationalError("no")
                error.sqlite_errorcode = code
                raise error
            return super().execute(sql, *arguments)

    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *a, **more: connect(*a, **more, factory=Connection))

    async def test(store):
        assert await append(store, "s1", "a") == 1
        broken.append(True)
        assert await append(store, "s1", "b") is refusal
        assert seqs(await store.history("lobby")) == [1]
        broken.clear()
        assert await append(store, "s1", "c") is StoreFull
        assert await append(store, "s2", "x") == 2
        assert await append(store, "s1", "b") == 3
        assert await append(store, "s1", "c") == 4

    run(path, test)


def test_a_commit_that_succeeds_and_seems_to_fail_is_settled_too(path, monkeypatch, tail):
    broken = []

    class Connection(sqlite3.Connection):
        def execute(self, sql, *arguments):
            done = super().execute(sql, *arguments)
            if sql == "COMMIT" and broken:
                raise sqlite3.OperationalError("disk I/O error")
            return done

    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *a, **more: connect(*a, **more, factory=Connection))

    async def test(store):
        async with aclosing(tail(store, "lobby", 0)) as reading:
            for seq in (1, 2):
                assert await append(store, "s1", f"a{seq}") == seq
                assert seqs(await anext(reading)) == [seq]
            broken.append(True)
            assert await append(store, "s1", "b") is StoreDown
            assert seqs(await anext(reading)) == [3]
            broken.clear()
            assert await append(store, "s2", "x") == 4
            assert (await store.append("lobby", "s1", "b", b"x")).duplicate
            assert await append(store, "s1", "c") == 5
            found = await anext(reading)
            while found[-1].seq < 5:
                found += await anext(reading)
            assert seqs(found) == [4, 5]

    run(path, test)


@posix
def test_a_file_that_may_not_grow_is_recovered_from(path, python):
    process = python(MEETS_A_FILE_LIMIT, path)
    assert process.communicate()[0] == "recovered\n"


def test_what_sqlite_says_comes_as_a_store_error(path):
    def broken(db):
        raise sqlite3.OperationalError("disk I/O error")

    async def test(store):
        with pytest.raises(StoreDown, match="disk I/O error") as caught:
            await store._call(store._writer, broken)
        assert isinstance(caught.value.__cause__, sqlite3.Error)
        with pytest.raises(OverflowError):  # a mistake of ours is told, and the thread goes on
            await store.history("lobby", before=2**63)
        await fill(store, 1)
        assert len(await store.history("lobby")) == 1

    run(path, test)


def test_a_file_that_is_something_else_is_left_as_it_is(tmp_path):
    path = tmp_path / "thesis.txt"
    path.write_text("chapter one\n" * 1000)
    for _ in range(2):
        with pytest.raises(StoreDown, match=r"thesis\.txt") as caught:
            run(path, nothing)
        assert "history=" in str(caught.value)
    assert path.read_text() == "chapter one\n" * 1000


def test_a_place_where_nothing_can_be_kept_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "chat.db", tmp_path):
        with pytest.raises(StoreDown, match="history="):
            run(path, nothing)


# ── many at once ────────────────────────────────────────────────────────────────────────────────


def test_many_appends_make_few_commits(path, monkeypatch):
    statements = []

    def connect(*arguments, **more):
        db = real(*arguments, **more)
        db.set_trace_callback(statements.append)
        return db

    real = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", connect)

    async def test(store):
        tail = store.tail("lobby", 0)
        async with aclosing(tail):
            statements.clear()
            await fill(store, 5000)
            commits = statements.count("COMMIT")
            assert 5000 / 1000 <= commits <= 5000 / 100
            assert seqs(await store.history("lobby", limit=1)) == [5000]

    run(path, test)
