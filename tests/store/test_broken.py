"""Places that fail: full, read-only, locked by another program. Nothing acknowledged is lost, what can be
read is read, and all recovers by itself."""

import asyncio
import os
import subprocess
import sys
from contextlib import ExitStack, aclosing, contextmanager

import pytest

from nbchat.core.errors import StoreDown, StoreError, StoreFull
from nbchat.store import sqlite
from tests.store.test_promise import fill, read, seqs
from tests.store.test_scrub import HOLDS
from tests.store.test_sqlite import append, nothing, run

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="file systems and rights of POSIX")


def command(*words):
    try:
        return subprocess.run([*map(str, words)], capture_output=True, timeout=20).returncode == 0
    except OSError:
        return False


@pytest.fixture
def disk(tmp_path):
    """A small disk of its own, where this user may make one."""
    place = tmp_path / "disk"
    place.mkdir()
    if not command("mount", "-t", "tmpfs", "-o", "size=2m,mode=0700", "tmpfs", place):
        pytest.skip("no tmpfs can be mounted here")
    yield place
    command("umount", "-l", place)


@contextmanager
def ballast(disk, leaving=0, name="ballast"):
    """Fill the disk but for some bytes."""
    file = disk / name
    room = os.statvfs(disk)
    with open(file, "wb", buffering=0) as out:
        left = room.f_bavail * room.f_frsize - leaving
        while left > 0:
            try:
                left -= out.write(bytes(min(left, 4096)))
            except OSError:
                break
    try:
        yield
    finally:
        file.unlink()


# ── full ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("leaving", [0, 4096, 20_000, 60_000])
@pytest.mark.parametrize("size", [1, 9000])
def test_a_full_disk(disk, leaving, size):
    async def test(store):
        assert await append(store, "s1", "first", size) == 1
        with ballast(disk, leaving):
            kept = [1]
            for number in range(200):  # the log grows until it finds no more room
                answer = await append(store, "s1", str(number), size)
                if isinstance(answer, type):
                    break
                kept.append(answer)
            assert answer is StoreFull
            assert kept == list(range(1, len(kept) + 1))
            assert seqs(await store.history("lobby", limit=1000)) == kept
            assert seqs(await read(store, "lobby", 0, kept[-1])) == kept
            assert await append(store, "s1", str(number), size) is StoreFull
            with pytest.raises(StoreFull):
                await store.remember("key", "v" * 100_000)
            assert "key" not in store.meta
        assert await append(store, "s1", str(number), size) == kept[-1] + 1
        assert await append(store, "s1", "last", size) == kept[-1] + 2
        return await store.history("lobby", limit=1000)

    async def again(store):
        assert store.damage is None
        return await store.history("lobby", limit=1000)

    events = run(disk / "chat.db", test)
    assert run(disk / "chat.db", again) == events
    assert seqs(events) == list(range(1, len(events) + 1))


def test_a_full_disk_refuses_a_whole_group(disk):
    async def test(store):
        await fill(store, 1)
        with ballast(disk, 30_000):
            answers = await asyncio.gather(*(append(store, f"s{n}", "a", 5000) for n in range(20)))
            kept = [answer for answer in answers if answer is not StoreFull]
            assert len(kept) < 20
            assert seqs(await store.history("lobby")) == [1, *kept]
        again = await asyncio.gather(*(append(store, f"s{n}", "a", 5000) for n in range(20)))
        assert sorted(again) == list(range(2, 22))

    run(disk / "chat.db", test)


def test_a_checkpoint_that_finds_no_room_loses_nothing(disk):
    """The log has its room already; the file that it is copied into has not."""

    async def test(store):
        for number in range(1, 41):
            await append(store, "s1", str(number), 10_000)
        assert (disk / "chat.db").stat().st_size < 100_000 < (disk / "chat.db-wal").stat().st_size
        with ballast(disk):
            with pytest.raises(StoreFull):
                await store.redact("lobby", 1)
            assert seqs(await store.history("lobby", limit=100)) == list(range(1, 41))
            with pytest.raises(StoreFull):
                await store.trim(number=10)
        await store.redact("lobby", 1)
        events = await store.history("lobby", limit=100)
        assert seqs(events) == list(range(1, 41))
        assert len(events[0].body) < 100
        assert await store.trim(number=10) == {"lobby": 30}

    run(disk / "chat.db", test)


def test_a_store_is_closed_and_opened_on_a_full_disk(disk):
    async def test(store):
        for number in range(1, 41):
            await append(store, "s1", str(number), 10_000)
        full.enter_context(ballast(disk))

    async def after(store):
        assert seqs(await store.history("lobby", limit=100)) == list(range(1, 41))
        assert await append(store, "s1", "41", 10_000) is StoreFull

    with ExitStack() as full:
        run(disk / "chat.db", test)
        (disk / "chat.db.lock").unlink()  # there is no room for a new one's content, either
        full.enter_context(ballast(disk, name="more"))
        run(disk / "chat.db", after)

    async def recovered(store):
        assert await append(store, "s1", "41", 10_000) == 41

    run(disk / "chat.db", recovered)


def test_a_new_history_on_a_full_disk_is_refused(disk):
    with ballast(disk), pytest.raises(StoreDown, match="history="):
        run(disk / "chat.db", nothing)
    run(disk / "chat.db", lambda store: fill(store, 1))


def test_a_process_that_may_open_no_more_files_still_reads(path):
    """As when there are more connections than the system allows."""
    import resource

    async def test(store):
        await fill(store, 3)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        free = os.dup(0)
        os.close(free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
        try:
            assert seqs(await store.history("lobby")) == [1, 2, 3]
            assert seqs(await fill(store, 1, first=4)) == [4]
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    run(path, test)


# ── read-only ───────────────────────────────────────────────────────────────────────────────────


def test_a_read_only_place_says_what_to_do(disk):
    path = disk / "chat.db"
    run(path, lambda store: fill(store, 3))
    assert command("mount", "-o", "remount,ro", disk)
    for place in (path, disk / "new.db"):
        with pytest.raises(StoreDown, match="history=") as caught:
            run(place, nothing)
        assert str(place) in str(caught.value)
    assert command("mount", "-o", "remount,rw", disk)
    run(path, lambda store: fill(store, 1, first=4))


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may write everywhere")
@pytest.mark.parametrize("target", ["folder", "file"])
def test_a_place_without_the_right_to_write_says_what_to_do(path, target):
    run(path, lambda store: fill(store, 3))
    path.with_name("chat.db.lock").unlink()
    place = path if target == "file" else path.parent
    rights = place.stat().st_mode
    place.chmod(0o500)
    try:
        with pytest.raises(StoreDown, match="history="):
            run(path, nothing)
    finally:
        place.chmod(rights)
    run(path, lambda store: fill(store, 1, first=4))


@contextmanager
def frozen(*files):
    """Nothing can be written to these files, not even by who has them open."""
    if not command("chattr", "+i", *files):
        pytest.skip("files cannot be made immutable here")
    try:
        with pytest.raises(OSError, match="not permitted"), open(files[0], "ab"):
            pass
        yield
    finally:
        command("chattr", "-i", *files)


def test_a_place_that_becomes_read_only_refuses_reads_and_recovers(path):
    async def test(store):
        await fill(store, 3)
        files = [path.with_name("chat.db-wal"), path]
        async with aclosing(store.tail("lobby", 3)) as tail:
            with frozen(*files):
                if not isinstance(await append(store, "s1", "4"), type):
                    pytest.skip("this file system lets those write who have a file open")
                with pytest.raises(StoreError):
                    await store.append("lobby", "s1", "4", b"{}")
                with pytest.raises(StoreError):
                    await store.remember("a", "b")
                with pytest.raises(StoreError):
                    await store.redact("lobby", 1)
                with pytest.raises(StoreError):
                    await store.trim(number=0)
                assert seqs(await store.history("lobby")) == [1, 2, 3]
                assert await store.head(["lobby"]) == {"lobby": 3}
            receipt = await store.append("lobby", "s1", "4", b"{}")
            assert (receipt.seq, receipt.duplicate) == (4, False)
            assert seqs(await anext(tail)) == [4]
            await store.redact("lobby", 1)
        assert store.damage is None
        assert not path.with_name("chat.db.damaged").exists()

    run(path, test)
    run(path, lambda store: fill(store, 1, first=5))


# ── locked by another program ───────────────────────────────────────────────────────────────────


def test_a_file_that_another_program_locks(path, python, monkeypatch):
    monkeypatch.setattr(sqlite, "BUSY", 0.05)

    async def test(store):
        await fill(store, 3)
        other = await asyncio.to_thread(python, HOLDS, path, "BEGIN EXCLUSIVE")
        assert await asyncio.to_thread(other.stdout.readline) == "holds\n"
        assert await append(store, "s1", "4") is StoreFull
        with pytest.raises(StoreFull, match="Another program has locked"):
            await store.append("lobby", "s2", "x", b"{}")
        for work in (store.remember("a", "b"), store.redact("lobby", 1), store.trim(number=0)):
            with pytest.raises(StoreFull, match="Another program has locked"):
                await work
        assert seqs(await store.history("lobby")) == [1, 2, 3]
        assert await store.head(["lobby"]) == {"lobby": 3}
        assert await append(store, "s1", "5") is StoreFull  # "4" has to come first
        await asyncio.to_thread(other.communicate, "")
        assert await append(store, "s1", "5") is StoreFull
        assert await append(store, "s1", "4") == 4
        assert await append(store, "s1", "5") == 5
        assert store.damage is None

    run(path, test)


def test_a_file_that_is_locked_cannot_be_opened_and_is_not_damaged(path, python, monkeypatch):
    monkeypatch.setattr(sqlite, "BUSY", 0.05)
    run(path, lambda store: fill(store, 3))
    other = python("""if True:
        import sqlite3, sys
        db = sqlite3.connect(sys.argv[1], isolation_level=None)
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.execute("BEGIN EXCLUSIVE")
        print("holds", flush=True)
        sys.stdin.read()
    """, path)  # fmt: skip
    assert other.stdout.readline() == "holds\n"
    for is_own_place in (False, True):
        with pytest.raises(StoreDown, match="another program has locked it"):
            run(path, nothing, is_own_place=is_own_place)
    other.communicate("")
    assert run(path, lambda store: store.head(["lobby"])) == {"lobby": 3}


def test_a_refused_message_that_is_given_up_holds_no_other_back(disk):
    async def test(store):
        assert await append(store, "s1", "1") == 1
        with ballast(disk):
            assert await append(store, "s1", "2", 2_000_000) is StoreFull
        assert await append(store, "s1", "3") is StoreFull
        assert await store.give_up("lobby", "s1", "2") is None
        assert await append(store, "s1", "3") == 2

    run(disk / "chat.db", test)
