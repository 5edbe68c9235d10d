"""A history's owner and its forked children: none of them takes the file from it, or keeps it after it."""

import asyncio
import os
import signal
import sys
import threading

import pytest

from nbchat.core.errors import AlreadyServing, StoreDown
from nbchat.store import ownership, sqlite
from nbchat.store.memory import MemoryStore
from tests.store.test_promise import fill, seqs
from tests.store.test_sqlite import KEEPS_OPEN, nothing, run

forks = pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")

SERVES = """
import asyncio, gc, multiprocessing, os, sqlite3, subprocess, sys, threading, time
from nbchat.core.errors import AlreadyServing, StoreDown
from nbchat.store.open import open_store

store = open_store(sys.argv[1], time.time)
os.register_at_fork(after_in_child=store.forked)
loop = asyncio.new_event_loop()
threading.Thread(target=loop.run_forever, name="nbchat loop", daemon=True).start()  # as the server's

def do(work):
    return asyncio.run_coroutine_threadsafe(work, loop).result(20)

async def say(id):
    return (await store.append("lobby", "s1", id, b"{}")).seq

async def open_again():
    try:
        await open_store(sys.argv[1], time.time).open()
    except (AlreadyServing, StoreDown) as error:
        return f"{type(error).__name__} {error}"

def mine():
    names = []
    for fd in os.listdir("/proc/self/fd"):
        try:
            names.append(os.readlink(f"/proc/self/fd/{fd}"))
        except OSError:
            pass
    return [name for name in names if name.startswith(sys.argv[1])]

def look():
    "What a child finds."
    assert not os.path.exists("/proc/self/fd") or mine() == [], mine()
    try:
        asyncio.run(say("from the child"))
    except StoreDown:
        return
    os._exit(9)

def child(how):
    global store
    look()
    if how == "_exit":
        os._exit(0)
    store = None
    gc.collect()
    if how == "finalizes":  # SQLite's numbers must not be those of the child's own files
        files = [open(f"{sys.argv[1]}.other{number}", "w+b") for number in range(20)]
        for file in files:
            file.write(b"theirs" * 1000)
            file.flush()
        for each in gc.get_objects():
            if isinstance(each, sqlite3.Connection):
                each.close()
        for file in files:
            with open(file.name, "rb") as again:
                assert again.read() == b"theirs" * 1000
    if how == "stays":
        print("stays", flush=True)
        os.close(lives[1])
        os.read(lives[0], 1)  # until the parent has died, who reads the same input
        sys.stdin.read()
        print(asyncio.run(open_again()), flush=True)
        os._exit(0)
    sys.exit(0)

do(store.open())
do(say("first"))
print("open", flush=True)
for line in iter(sys.stdin.readline, ""):
    what, _, how = line.strip().partition(" ")
    if what == "say":
        print(do(say(how)), flush=True)
    elif how == "multiprocessing":
        process = multiprocessing.get_context("fork").Process(target=look)
        process.start()
        process.join()
        print(process.exitcode, flush=True)
    elif how == "subprocess":
        code = subprocess.call([sys.executable, "-c", "pass"], preexec_fn=look, close_fds=False)
        print(code, flush=True)
    else:
        lives = os.pipe()
        pid = os.fork()
        if not pid:
            child(how)
        if how != "stays":
            print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
do(store.close())
"""


def ask(process, line):
    process.stdin.write(line + "\n")
    process.stdin.flush()
    return process.stdout.readline().strip()


@forks
@pytest.mark.parametrize("how", ["_exit", "sys.exit", "finalizes", "multiprocessing", "subprocess"])
def test_a_childs_end_takes_nothing_from_its_parent(path, python, how):
    parent = python(SERVES, path)
    assert parent.stdout.readline() == "open\n"
    for number in range(2, 5):
        assert ask(parent, f"fork {how}") == "0"
        with pytest.raises(AlreadyServing) as caught:
            run(path, nothing)
        assert caught.value.pid == parent.pid
        assert path.with_name("chat.db-wal").stat().st_size > 0
        assert ask(parent, f"say {number}") == str(number)
    parent.communicate("")
    assert parent.returncode == 0
    events = run(path, lambda store: store.history("lobby"))
    assert [(event.seq, event.id) for event in events] == [(1, "first"), (2, "2"), (3, "3"), (4, "4")]


@forks
def test_a_child_that_lives_on_keeps_nothing(path, python):
    parent = python(SERVES, path)
    assert parent.stdout.readline() == "open\n"
    assert ask(parent, "fork stays") == "stays"
    with pytest.raises(AlreadyServing):
        run(path, nothing)
    assert ask(parent, "say 2") == "2"
    parent.send_signal(signal.SIGKILL)
    parent.wait()

    async def test(store):
        assert seqs(await store.history("lobby")) == [1, 2]
        assert seqs(await fill(store, 1, first=8)) == [3]
        # The child still lives. It is told why it cannot have the file, whoever serves it now.
        parent.stdin.close()
        assert (await asyncio.to_thread(parent.stdout.readline)).startswith("AlreadyServing ")
        assert await asyncio.to_thread(parent.stdout.readline) == ""
        assert seqs(await fill(store, 1, first=9)) == [4]
        assert path.with_name("chat.db-wal").stat().st_size > 0

    run(path, test)
    run(path, nothing)


@forks
def test_a_child_cannot_open_what_its_parent_had_open(path, python):
    parent = python(SERVES, path)
    assert parent.stdout.readline() == "open\n"
    assert ask(parent, "fork stays") == "stays"
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdin.close()
    assert parent.stdout.readline().startswith("StoreDown This process was forked")
    assert seqs(run(path, lambda store: store.history("lobby"))) == [1]


def test_a_memory_is_closed_in_a_child():
    store = MemoryStore(lambda: 0.0)
    asyncio.run(store.open())
    store.forked()
    with pytest.raises(StoreDown):
        asyncio.run(store.history("lobby"))


@forks
def test_a_child_may_open_what_its_parent_had_closed(path):
    run(path, lambda store: fill(store, 1))
    store = sqlite.SQLiteStore(path, lambda: 0.0)
    store.forked()
    run(path, lambda store: fill(store, 1, first=2))


def test_another_thread_can_close_it(path):
    """So does a server that takes over the store of the one before it."""
    store = sqlite.SQLiteStore(path, lambda: 0.0)
    asyncio.run(store.open())
    thread = threading.Thread(target=lambda: asyncio.run(store.close()))
    thread.start()
    thread.join()
    run(path, nothing)


def test_an_owner_without_a_note_is_an_owner(path, python):
    owner = python(KEEPS_OPEN, path)
    assert owner.stdout.readline() == "open\n"
    path.with_name("chat.db.lock").write_text("")
    with pytest.raises(AlreadyServing, match="Another process already serves") as caught:
        run(path, nothing)
    assert caught.value.pid is None
    assert ownership._owner(path.with_name("nowhere")) is None


def test_this_process_is_named_as_such(path):
    first, second = ownership.File(path), ownership.File(path)
    first.own()
    try:
        with pytest.raises(AlreadyServing, match="This process already serves") as caught:
            second.own()
        assert caught.value.pid == os.getpid()
    finally:
        first.release()
