"""A history's file that is deleted, moved or replaced while it is open: nothing more is confirmed."""

import asyncio
import shutil
import sys

import pytest

from nbchat.core.errors import StoreDown
from tests.store.test_promise import fill, seqs
from tests.store.test_sqlite import run

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="an open file cannot be taken away there")


def delete(path):
    path.unlink()


def move(path):
    path.rename(path.with_name("elsewhere"))


def move_its_folder(path):
    path.parent.rename(path.parent.with_name("elsewhere"))


def replace(path):
    shutil.copyfile(path, path.with_name("copy"))
    path.with_name("copy").replace(path)


@pytest.mark.parametrize("take", [delete, move, move_its_folder, replace])
@pytest.mark.parametrize("tail", ["", "-wal"])
def test_what_is_gone_is_told_and_nothing_is_confirmed(path, take, tail):
    lost = path.with_name(path.name + tail)

    async def test(store):
        await fill(store, 3)
        await store.look()
        came = []
        following = asyncio.create_task(store.follow("lobby", 3, came.extend))
        take(lost)
        told = str(path) if take is move_its_folder else str(lost)  # the file itself is looked for first
        for change in (
            lambda: store.look(),
            lambda: store.append("lobby", "s1", "four", b"{}"),
            lambda: store.remember("key", "value"),
            lambda: store.redact("lobby", 1),
            lambda: store.clear("lobby", 2),
            lambda: store.trim(number=1),
            lambda: store.give_up("lobby", "s1", "1"),
        ):
            with pytest.raises(StoreDown, match=r"server\.stop\(\), then nbchat\.serve\(") as caught:
                await change()
            assert told in str(caught.value)
        with pytest.raises(StoreDown):
            await following
        assert came == []
        assert "key" not in store.meta
        assert seqs(await store.history("lobby")) == [1, 2, 3]  # what was said can still be had

    run(path, test)


def test_what_was_moved_back_goes_on(path):
    async def test(store):
        await fill(store, 3)
        came = []
        path.rename(path.with_name("elsewhere"))
        with pytest.raises(StoreDown):
            await store.append("lobby", "s1", "four", b"{}")
        path.with_name("elsewhere").rename(path)
        await store.look()
        following = asyncio.create_task(store.follow("lobby", 3, came.extend))
        assert (await store.append("lobby", "s1", "four", b"{}")).seq == 4
        await store.head(["lobby"])  # its follower has been handed it by now
        assert seqs(came) == [4]
        following.cancel()

    run(path, test)
    assert seqs(run(path, lambda store: store.history("lobby"))) == [1, 2, 3, 4]


def test_it_goes_while_a_message_is_written(path, monkeypatch):
    """Then it is not known what became of it, and nobody is given it as a receipt until that is clear."""

    async def test(store):
        await fill(store, 3)
        came = []
        answers = [None, path]
        monkeypatch.setattr(
            store._file, "missing", lambda: answers.pop(0) if len(answers) > 1 else answers[0]
        )
        following = asyncio.create_task(store.follow("lobby", 3, came.extend))
        with pytest.raises(StoreDown, match="deleted, moved or replaced"):
            await store.append("lobby", "s1", "four", b"{}")
        with pytest.raises(StoreDown):
            await following
        assert came == []
        answers[:] = [None]
        again = await store.append("lobby", "s1", "four", b"{}")
        assert (again.seq, again.duplicate) == (4, True)

    run(path, test)


def test_a_log_that_is_gone_is_written_into_the_file_at_the_end(path):
    async def test(store):
        await fill(store, 3)
        path.with_name(path.name + "-wal").unlink()
        with pytest.raises(StoreDown, match="that writes what was in it into the history's file"):
            await store.append("lobby", "s1", "four", b"{}")

    run(path, test)
    assert seqs(run(path, lambda store: store.history("lobby"))) == [1, 2, 3]


@pytest.mark.parametrize("is_told", [False, True], ids=["at once", "later"])
def test_what_was_moved_is_whole_and_what_took_its_place_too(path, is_told):
    """The log is written into the file that it belongs to, also when that has another name; in another file
    it would be damage."""
    older, moved = path.with_name("older"), path.with_name("moved")
    run(path, lambda store: fill(store, 3))
    shutil.copyfile(path, older)

    async def test(store):
        await fill(store, 500, first=4)
        path.rename(moved)
        older.rename(path)
        if is_told:
            with pytest.raises(StoreDown):
                await store.look()
            assert (
                path.with_name(path.name + "-wal").stat().st_size == 0
            )  # already: the process may be killed

    run(path, test)
    for file, count in ((path, 3), (moved, 503)):

        async def test(store, count=count):
            assert store.damage is None
            assert seqs(await store.history("lobby", limit=1000)) == list(range(1, count + 1))

        run(file, test)
