"""What SQLite would believe beside a history: only a file, and only its owner's."""

import os
import shutil
import sqlite3
import sys
from pathlib import Path

import pytest

from nbchat.core.errors import StoreDown
from nbchat.store import folders, keyfile
from tests.store.test_promise import fill
from tests.store.test_sqlite import run

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="rights are another thing there")
root = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs another account")


def made(path: Path) -> None:
    async def test(store):
        await fill(store, 3)

    run(path, test)


def refused(path: Path, match: str) -> None:
    async def test(store):
        raise AssertionError("it was opened")

    with pytest.raises(StoreDown, match=match):
        run(path, test)


@pytest.mark.parametrize("tail", ["-wal", "-shm", "-journal"])
@pytest.mark.parametrize("kind", ["pipe", "link", "folder"])
def test_what_is_no_file_is_not_opened(path: Path, tail: str, kind: str) -> None:
    """SQLite waits for ever for what is said into a pipe."""
    made(path)
    part = path.with_name(path.name + tail)
    if kind == "pipe":
        os.mkfifo(part)
    elif kind == "link":
        part.symlink_to(path)
    else:
        part.mkdir()
    refused(path, f"{part.name} is no file")
    assert os.path.lexists(part), "nor taken away: it is somebody's"


@root
@pytest.mark.parametrize("tail", ["-wal", "-journal"])
def test_a_log_that_another_account_has_put_there_is_not_believed(path: Path, tail: str) -> None:
    """It could have all of another history in it, with other hosts."""
    made(path)
    forged = path.with_name("forged")
    made(forged)
    db = sqlite3.connect(forged)
    db.execute("PRAGMA wal_autocheckpoint=0")
    db.execute("UPDATE log SET body = x'7b7d'")
    db.commit()
    part = path.with_name(path.name + tail)
    shutil.copyfile(f"{forged}-wal", part)
    db.close()
    os.chown(part, 12345, 12345)
    refused(path, "was put there by another user of this machine")
    part.unlink()
    made(path)


@root
def test_the_owner_of_a_history_is_no_other_account(path: Path) -> None:
    """Root opens somebody's history, or the two of a container: what is beside it is its owner's."""
    made(path)
    part = path.with_name(path.name + "-wal")
    part.touch()
    for each in (path, part):
        os.chown(each, 12345, 12345)
    folders.see_whose(path, [part])
    os.chown(part, 0, 0)
    folders.see_whose(path, [part])
    os.chown(part, 12346, 0)
    with pytest.raises(StoreDown, match="another user"):
        folders.see_whose(path, [part])


def test_keys_without_end_are_not_read(path: Path) -> None:
    made(path)
    with keyfile.beside(path).open("wb") as file:
        os.fchmod(file.fileno(), 0o600)
        file.truncate(1 << 34)
    refused(path, "There is more in it than keys")
