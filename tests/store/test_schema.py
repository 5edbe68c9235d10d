"""Older histories are brought up to date, and what is not ours is left alone."""

import sqlite3
from contextlib import closing

import pytest

from nbchat.core.digests import digest
from nbchat.core.errors import StoreDown
from nbchat.store import schema
from tests.store.test_promise import fill, read, seqs
from tests.store.test_sqlite import nothing, run

VERSION_1 = """
PRAGMA journal_mode = WAL;
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE room (name TEXT PRIMARY KEY, head INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE log (
    room TEXT NOT NULL, seq INTEGER NOT NULL, at INTEGER NOT NULL,
    session TEXT NOT NULL, id TEXT NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (room, seq)
) WITHOUT ROWID;
CREATE UNIQUE INDEX log_once ON log (room, session, id);
PRAGMA user_version = 1;
INSERT INTO meta VALUES ('log_id', 'the first'), ('keys', '[]');
INSERT INTO room VALUES ('lobby', 3), ('side', 1);
INSERT INTO log VALUES
    ('lobby', 1, 1790000000000, 's1', 'a', '{"text":"one"}'),
    ('lobby', 2, 1790000000001, 's1', 'b', '{"text":"two"}'),
    ('lobby', 3, 1790000000002, 's2', 'a', '{"text":"three"}'),
    ('side', 1, 1790000000003, 's1', 'a', '{"text":"aside"}');
"""


def make_version_1(path):
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as db:
        db.executescript(VERSION_1)
    path.chmod(0o600)


def pragma(path, name):
    with closing(sqlite3.connect(path)) as db:
        return db.execute(f"PRAGMA {name}").fetchone()[0]


def test_a_history_of_version_1_is_brought_up_to_date(path):
    make_version_1(path)

    async def test(store):
        assert (store.log_id, store.keys, store.damage) == ("the first", "[]", None)
        assert await store.head(["lobby", "side"]) == {"lobby": 3, "side": 1}
        assert await store.trimmed(["lobby", "side"]) == {"lobby": 0, "side": 0}
        events = await read(store, "lobby", 0, 3)
        assert [(event.seq, event.at % 1000, event.session, event.id) for event in events] == [
            (1, 0, digest("s1"), "a"),
            (2, 1, digest("s1"), "b"),
            (3, 2, digest("s2"), "a"),
        ]
        again = await store.append("lobby", digest("s1"), "b", b"{}")
        assert (again.seq, again.duplicate) == (2, True)
        assert seqs(await fill(store, 1, session="s3")) == [4]
        assert await store.trim(number=1) == {"lobby": 3}
        assert (await store.append("lobby", digest("s1"), "b", b"{}")).duplicate
        assert (await store.append("new", "s1", "b", b"{}")).seq == 1

    run(path, test)
    assert pragma(path, "user_version") == schema.SCHEMA == 3
    assert pragma(path, "application_id") == schema.APPLICATION
    run(path, lambda store: fill(store, 1))


def test_a_version_1_whose_log_was_never_copied_into_the_file_is_ours(path, tmp_path):
    """A killed owner leaves the tables in the write-ahead log only."""
    with closing(sqlite3.connect(tmp_path / "running.db", isolation_level=None)) as db:
        db.executescript(VERSION_1)
        path.parent.mkdir()
        for tail in ("", "-wal"):
            data = (tmp_path / f"running.db{tail}").read_bytes()
            path.with_name("chat.db" + tail).write_bytes(data)

    async def test(store):
        assert store.log_id == "the first"
        assert len(await store.history("lobby")) == 3

    run(path, test)


def test_a_migration_is_done_whole_or_not_at_all(path, monkeypatch):
    make_version_1(path)
    monkeypatch.setattr(schema, "_FROM_1", schema._FROM_1 + "INSERT INTO room VALUES (NULL, NULL, NULL);")
    with pytest.raises(StoreDown):
        run(path, nothing)
    assert pragma(path, "user_version") == 1
    monkeypatch.undo()

    async def test(store):
        assert (store.log_id, store.damage) == ("the first", None)
        assert len(await store.history("lobby")) == 3

    run(path, test)
    assert pragma(path, "user_version") == 3


def test_a_new_file_is_recognisably_ours_while_it_is_open(path):
    async def test(store):
        header = path.read_bytes()[:100]
        assert header[68:72] == b"nbch"
        assert header[60:64] == bytes((0, 0, 0, schema.SCHEMA))

    run(path, test)


@pytest.mark.parametrize(
    "theirs",
    [
        "CREATE TABLE theirs (a)",
        "CREATE TABLE room (name); PRAGMA user_version = 1",
        "CREATE TABLE theirs (a); PRAGMA user_version = 2",
        "CREATE TABLE theirs (a); PRAGMA user_version = 99",
        "CREATE TABLE theirs (a); PRAGMA application_id = 7",
        "PRAGMA user_version = 5",
    ],
)
@pytest.mark.parametrize("is_own_place", [False, True])
def test_another_programs_database_is_left_as_it_is(tmp_path, theirs, is_own_place):
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as db:
        db.executescript(theirs)
    data = path.read_bytes()
    with pytest.raises(StoreDown, match="another program"):
        run(path, nothing, is_own_place=is_own_place)
    assert path.read_bytes() == data
    assert sorted(file.name for file in tmp_path.iterdir()) == ["other.db", "other.db.lock"]


def test_a_newer_history_is_refused_and_left_as_it_is(path):
    run(path, lambda store: fill(store, 1))
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {schema.SCHEMA + 1}")
    data = path.read_bytes()
    for is_own_place in (False, True):
        with pytest.raises(StoreDown, match="newer nbchat"):
            run(path, nothing, is_own_place=is_own_place)
    assert path.read_bytes() == data
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {schema.SCHEMA}")
    run(path, nothing)
