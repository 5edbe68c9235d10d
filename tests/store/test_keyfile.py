"""Keys stand beside a history, not in it; those of before are moved, and its bytes have nothing of them."""

import asyncio
import json
import logging
import os
import sqlite3
import sys
from contextlib import closing

import pytest

from nbchat.core.digests import digest
from nbchat.core.errors import StoreDown, StoreFull
from nbchat.store import keyfile, upgrade
from tests.store.test_promise import fill, seqs
from tests.store.test_schema import pragma
from tests.store.test_sqlite import nothing, run

posix = pytest.mark.skipif(sys.platform == "win32", reason="rights of POSIX")

VERSION_2 = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE room (
    name TEXT PRIMARY KEY, head INTEGER NOT NULL, trimmed INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE TABLE log (
    room TEXT NOT NULL, seq INTEGER NOT NULL, at INTEGER NOT NULL,
    session TEXT NOT NULL, id TEXT NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (room, seq)
) WITHOUT ROWID;
CREATE UNIQUE INDEX log_once ON log (room, session, id);
CREATE TABLE mark (
    room TEXT NOT NULL, session TEXT NOT NULL, id TEXT NOT NULL, seq INTEGER NOT NULL, at INTEGER NOT NULL,
    PRIMARY KEY (room, session, id)
) WITHOUT ROWID;
CREATE INDEX mark_at ON mark (at);
PRAGMA application_id = 1851941736;
PRAGMA user_version = 2;
INSERT INTO meta VALUES ('log_id', 'last month');
"""
SECRET, OLDER = "h0stSecretThatNeverEnds12345678x", "anOlderSecretOfAnInvitation1234y"
WORDS = [f"{number:02d}wordOfASession" + "0f" * 8 for number in range(40)]
KEYS = [
    {"id": "aaaa", "secret": SECRET, "role": "host"},
    {
        "id": "bbbb",
        "secret": OLDER,
        "ends": 2e9,
        "once": True,
        "sessions": [WORDS[0]],
        "rooms": {WORDS[0]: "lobby"},
    },
]
RULES = {
    "lobby": {
        "hosts": {WORDS[1]: "ann"},
        "bans": [{"name": "bob", "session": WORDS[2]}],
        "mutes": [{"name": "cid", "session": WORDS[3], "until": 2e9}, {"name": "dan"}],
        "locked": [WORDS[4], WORDS[5]],
    },
    "side": {"slow": 5.0},
}
HELD = {"members": {"lobby": [{"name": "eve", "session": digest(WORDS[6]), "left": 1.0}]}}


def make_version_2(path, events=3000):
    """As a version of last month left it when its process was killed: part of it in the write-ahead log, and
    with the leftovers of many changes."""
    path.parent.mkdir(exist_ok=True)
    made = path.with_name("made.db")
    with closing(sqlite3.connect(made, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA secure_delete = ON")
        db.executescript(VERSION_2)
        for start in range(0, events, 100):
            db.execute("BEGIN")
            for seq in range(start + 1, start + 101):
                row = ("lobby", seq, seq, WORDS[seq % 40], f"id{seq}", b"x" * (seq % 700))
                db.execute("INSERT INTO log VALUES (?, ?, ?, ?, ?, ?)", row)
            kept = {"keys": KEYS, "moderation": RULES, "held": HELD, "other": "words"}
            for key, value in kept.items():
                value = json.dumps(value) if key != "other" else value
                db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value + " " * (start % 900)))
            db.execute("COMMIT")
        db.execute("INSERT INTO room VALUES ('lobby', ?, 0)", (events,))
        db.execute("INSERT INTO mark VALUES ('lobby', ?, 'old', 1, 1789990000000)", (WORDS[7],))
        for tail in ("", "-wal"):
            path.with_name(path.name + tail).write_bytes(made.with_name(f"made.db{tail}").read_bytes())
            path.with_name(path.name + tail).chmod(0o600)
    made.unlink()


def bytes_of(path):
    """All that is in the history's folder but for its keys."""
    files = [each for each in path.parent.iterdir() if each != keyfile.beside(path)]
    assert path in files
    return b"".join(each.read_bytes() for each in files)


def is_clean(path):
    found = bytes_of(path)
    return not any(secret.encode() in found for secret in (SECRET, OLDER, *WORDS))


def test_keys_and_sessions_of_an_older_history_are_moved_out_of_its_bytes(path):
    make_version_2(path)
    assert not is_clean(path)

    async def test(store):
        assert is_clean(path)  # while it is open, with its write-ahead log
        assert (store.log_id, store.damage, store.meta["other"]) == ("last month", None, "words" + " " * 200)
        keys = json.loads(store.keys)
        assert [key["secret"] for key in keys] == [SECRET, OLDER]
        assert keys[1]["sessions"] == [digest(WORDS[0])]
        assert keys[1]["rooms"] == {digest(WORDS[0]): "lobby"}
        rules = json.loads(store.meta["moderation"])["lobby"]
        assert rules["hosts"] == {digest(WORDS[1]): "ann"}
        assert [ban["session"] for ban in rules["bans"]] == [digest(WORDS[2])]
        assert rules["mutes"][0]["session"] == digest(WORDS[3])
        assert rules["locked"] == [digest(WORDS[4]), digest(WORDS[5])]
        held = json.loads(store.meta["held"])["members"]["lobby"][0]
        assert held["session"] == digest(WORDS[6])
        events = await store.history("lobby", limit=5000)
        assert seqs(events) == list(range(1, 3001))
        assert all(event.session == digest(WORDS[event.seq % 40]) for event in events)
        again = await store.append("lobby", digest(WORDS[5]), "id5", b"{}")
        assert (again.seq, again.duplicate) == (5, True)
        assert store.meta.keys() == {"log_id", "moderation", "held", "other"}
        await store.append("lobby", digest(WORDS[5]), "new", b"{}")

    run(path, test)
    assert is_clean(path)
    assert keyfile.beside(path).stat().st_mode & 0o777 == 0o600 or sys.platform == "win32"
    assert SECRET.encode() in keyfile.beside(path).read_bytes()
    assert pragma(path, "user_version") == 3
    run(path, lambda store: asyncio.sleep(0))


def test_it_goes_on_where_it_was_interrupted(path, monkeypatch):
    """Also in the middle of its steps: no session is digested twice, or not at all."""
    make_version_2(path)
    monkeypatch.setattr(upgrade, "STEP", 700)
    steps = []

    def step(db, at, real=upgrade.step):
        steps.append(at)
        if len(steps) in (1, 3):
            raise sqlite3.OperationalError("disk I/O error")
        real(db, at)

    monkeypatch.setattr(upgrade, "step", step)
    for _ in range(2):
        with pytest.raises(StoreDown):
            run(path, nothing)
        assert not keyfile.beside(path).exists()

    async def test(store):
        events = await store.history("lobby", limit=5000)
        assert [event.session for event in events] == [digest(WORDS[seq % 40]) for seq in range(1, 3001)]
        assert (await store.append("lobby", digest(WORDS[5]), "id5", b"{}")).duplicate

    run(path, test)
    assert len(steps) == 2 + 1 + 3000 // 700 + 1
    assert is_clean(path)


def test_who_reads_it_meanwhile_delays_it_to_the_next_opening(path, monkeypatch, caplog):
    make_version_2(path, events=200)
    run(path, nothing)  # moved; now as if it could not be taken out of the bytes
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("INSERT INTO meta VALUES ('keys', ?)", (json.dumps(KEYS),))
    monkeypatch.setattr("nbchat.store.sqlite.BUSY", 0.05)
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM meta").fetchall()
        run(path, nothing)
        reader.execute("COMMIT")
    assert "perhaps still in its bytes" in caplog.text
    run(path, nothing)
    assert is_clean(path)


def test_what_is_written_anew_has_no_key_in_it(path):
    async def test(store):
        await fill(store, 10)
        await store.keep_keys(SECRET)
        await store.keep_keys(SECRET + OLDER)
        assert is_clean(path)

    run(path, test)
    assert is_clean(path)
    assert keyfile.read(path) == SECRET + OLDER
    assert sorted(each.name for each in path.parent.iterdir()) == ["chat.db", "chat.db.keys", "chat.db.lock"]


def test_a_copy_without_its_keys_has_none(path, tmp_path):
    async def test(store):
        await fill(store, 3)
        await store.keep_keys(SECRET)

    run(path, test)
    copy = tmp_path / "copy.db"
    copy.write_bytes(path.read_bytes())

    async def look(store):
        assert store.keys == ""
        return seqs(await store.history("lobby"))

    assert run(copy, look) == [1, 2, 3]


@posix
def test_keys_that_others_could_read_are_closed_and_those_they_could_write_are_refused(path, caplog):
    run(path, lambda store: store.keep_keys(SECRET))
    keys = keyfile.beside(path)
    keys.chmod(0o644)

    async def test(store):
        assert store.keys == SECRET

    with caplog.at_level(logging.WARNING):
        run(path, test)
    assert keys.stat().st_mode & 0o777 == 0o600
    assert f"{keys} could be read by others" in caplog.text
    keys.chmod(0o620)
    with pytest.raises(StoreDown, match=r"chat\.db\.keys.*Another user.*Delete that file"):
        run(path, nothing)
    keys.unlink()
    keys.symlink_to(path)
    with pytest.raises(StoreDown, match="cannot be read"):
        run(path, nothing)


@posix
def test_a_folder_where_keys_cannot_be_written_is_named(path, monkeypatch):
    async def test(store):
        await store.keep_keys(SECRET)
        real = os.open

        def refuse(file, flags, *more, **named):
            if flags & os.O_CREAT and ".keys." in str(file):
                raise PermissionError(13, "Permission denied", str(file))
            return real(file, flags, *more, **named)

        monkeypatch.setattr(os, "open", refuse)
        with pytest.raises(StoreFull, match=r"chat\.db\.keys \(Permission denied\)\. They stand beside"):
            await store.keep_keys(OLDER)
        assert store.keys == keyfile.read(path) == SECRET

    run(path, test)
