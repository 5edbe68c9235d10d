"""What may happen to a server beside its network: clocks, forks, full disks, damaged files."""

from __future__ import annotations

import contextlib
import os
import random
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

import nbchat
from nbchat.net import discovery
from tests.chaos.proxy import Fate, Proxy, untouched
from tests.net.helpers import PATIENCE, Raw, saw, until

pytestmark = pytest.mark.own_ports

DAY = 86_400.0


# ── the clock ───────────────────────────────────────────────────────────────────────────────────


class Jumping:
    """The time of day, which somebody sets."""

    def __init__(self) -> None:
        self.by = 0.0
        self._time = time.time

    def __call__(self) -> float:
        return self._time() + self.by


def test_a_clock_that_jumps_a_day_changes_no_order_and_ends_no_session(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, chance = Jumping(), random.Random(1)
    monkeypatch.setattr(time, "time", clock)
    with (
        nbchat.serve("class", port=None) as server,
        nbchat.connect(server, name="ada") as ada,
        Proxy(server.port) as proxy,
        nbchat.connect(proxy.link(server.invite()), name="bob") as bob,
    ):
        for number, clock.by in enumerate((0, DAY, -DAY, 0)):
            server._runner.ask(lambda shell: shell._set_clock_right())  # as each second
            assert ada.send(f"a{number}").wait().seq == 2 * number + 1
            # Bob's invitation lasts 12 hours; he has to come back with it after each jump.
            proxy.cut(chance, 1, "rst")
            assert bob.send(f"b{number}").wait(PATIENCE).seq == 2 * number + 2
        said = [f"{name}: {name[0]}{number}" for number in range(4) for name in ("ada", "bob")]
        for client in (ada, bob):
            until(client, lambda client=client: client._state.transcript.seq == 8)  # type: ignore[misc]
            assert client.transcript() == said
            rows = {row.kind for row in client._state.transcript.rows}
            assert rows <= {"said", "joined"}
        times = [message.ms for message in ada.messages]
        assert times[2] - times[0] > 0.9 * DAY * 1000
        assert times[4] - times[2] < -1.9 * DAY * 1000
        with nbchat.connect(server.invite(), name="cid") as cid:  # made after the jumps
            assert cid.transcript() == said


_SERVES_AND_JOINS = """
import nbchat
server = nbchat.serve("class", history=None)
client = nbchat.connect(server, name="ada")
print("in", flush=True)
input()
"""


@pytest.mark.parametrize("jump", [DAY, -DAY])
def test_a_clock_that_jumps_hides_no_server_and_gives_no_session_away(jump: float) -> None:
    """A file seems a day older or younger than the process that wrote it."""
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-c", _SERVES_AND_JOINS], stdin=pipe, stdout=pipe, text=True
    ) as other:
        try:
            assert other.stdout is not None
            assert other.stdout.readline() == "in\n"
            for path in discovery._folder().glob("nbchat-*.json"):
                then = path.stat().st_mtime + jump
                os.utime(path, (then, then))
            (found,) = discovery.running()
            assert found.pid == other.pid
            with nbchat.connect("class", name="bob") as bob:
                assert bob.members == ["ada", "bob"]
                assert discovery.take_over(found.host, found.port, "lobby", "ada") is None
        finally:
            other.kill()
            other.communicate()
    assert discovery.running() == []
    assert discovery.take_over(found.host, found.port, "lobby", "ada") is not None


def test_a_file_of_a_process_whose_number_another_one_has_is_not_believed() -> None:
    """This process was not there when the file was written."""
    old = discovery.Running(os.getppid(), "127.0.0.1", 1, "x", ("a", "b"), since=time.monotonic())
    path = discovery._folder() / "nbchat-1-1.json"
    discovery._write(path, old)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as young:
        kept = discovery.Kept(young.pid, "h", 1, "r", "w", "n", "s", since=time.monotonic() - 1000)
        path = discovery.keep(None, kept)
        os.utime(path, (time.time() - 1000, time.time() - 1000))
        assert not discovery._lives(kept, path)
        assert discovery.take_over("h", 1, "r", "w") is not None
        young.communicate(b"")


def test_a_session_file_that_goes_while_it_is_looked_at_is_nobodys(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its client has just ended in this very process: that is no reason not to connect."""
    path = discovery.keep(None, discovery.Kept(os.getpid(), "h", 1, "r", "w", "n", "s"))

    def ends(kept: discovery.Kept, file: object) -> bool:
        path.unlink()
        return False

    monkeypatch.setattr(discovery, "_lives", ends)
    assert discovery.take_over("h", 1, "r", "w") is None


def test_old_sessions_of_dead_processes_are_removed() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as dead:
        dead.wait()
    kept = discovery.Kept(dead.pid, "h", 1, "r", "w", "n", "s")
    path = discovery.keep(None, kept)
    discovery.keep(None, kept)
    assert path.exists()
    os.utime(path, (time.time() - 2 * DAY, time.time() - 2 * DAY))
    discovery.keep(None, kept)
    assert not path.exists()


@pytest.mark.parametrize("at", [1, 100, 300, 500, 700, 1000])
def test_a_connection_that_breaks_before_the_first_answer_costs_nobody_its_name(at: int) -> None:
    """The server may hold the name by then, and only this session has it."""
    with nbchat.serve("class", port=None, history=None) as server, Proxy(server.port) as proxy:
        link = proxy.link(server.invite())
        for _ in range(2):  # as a newcomer, and with the session of before
            proxy.fates = lambda: Fate(at=at)
            with contextlib.suppress(nbchat.errors.Unreachable):
                nbchat.connect(link, name="ada").close()
            proxy.fates = untouched
            with nbchat.connect(link, name="ada") as ada:
                assert ada.name == "ada"


def test_who_never_reached_a_server_leaves_no_session(server: nbchat.Server) -> None:
    link = server.invite()
    server.stop()
    with pytest.raises(nbchat.errors.Unreachable):
        nbchat.connect(link, name="ada")
    assert list(discovery._folder().glob("nbchat-session-*")) == []


def test_a_session_is_in_a_file_at_every_moment_and_is_one_clients() -> None:
    """Who takes one over may be killed before it has joined, and between any two steps."""
    with subprocess.Popen([sys.executable, "-c", ""]) as dead:
        dead.wait()
    kept = discovery.Kept(dead.pid, "h", 1, "r", "w", "n", "s")
    left = [discovery.keep(None, kept), discovery.keep(None, kept)]  # as who is killed in between leaves it
    taken = discovery.take_over("h", 1, "r", "w")
    assert taken is not None
    was, path = taken
    assert (was, path in left) == (kept, False)
    assert [each.exists() for each in left].count(True) == 1
    ((_, mine),) = discovery._files(path.name, discovery.Kept)
    assert (mine.session, mine.pid) == ("s", os.getpid())
    assert discovery.take_over("h", 1, "r", "w") is None, "a living client has it"


def test_of_thousands_of_closed_clients_the_newest_sessions_are_kept() -> None:
    """Each client that joins looks at all of them."""
    mine = discovery.keep(None, discovery.Kept(os.getpid(), "h", 1, "r", "w", "n", "s"))
    paths = [
        discovery.keep(None, discovery.Kept(os.getpid(), "h", 1, "r", f"w{n}", "n", "s")) for n in range(300)
    ]
    for number, path in enumerate(paths):
        discovery.close(path, is_welcome_back=True)
        then = time.time() - 600 + number
        os.utime(path, (then, then))
    os.utime(mine, (time.time() - 700, time.time() - 700))
    discovery.keep(None, discovery.Kept(os.getpid(), "h", 1, "r", "w", "n", "s"))
    left = set(discovery._folder().glob("nbchat-session-*.json"))
    assert mine in left, "its client is there"
    assert [path in left for path in paths] == [False] * 44 + [True] * 256
    assert discovery.take_over("h", 1, "r", "w299") is not None
    assert discovery.take_over("h", 1, "r", "w0") is None


# ── the disk ────────────────────────────────────────────────────────────────────────────────────


def test_a_full_disk_refuses_keeps_the_order_and_recovers() -> None:
    with nbchat.serve("class", port=0) as server, nbchat.connect(server, name="ada") as ada:
        ada.send("before").wait()

        def room(pages: int | None) -> None:
            def set_pages(db: sqlite3.Connection) -> None:
                now = db.execute("PRAGMA page_count").fetchone()[0]
                db.execute(f"PRAGMA max_page_count={2**30 if pages is None else now + pages}")

            server._runner.do(server._store._writer.call(set_pages))  # type: ignore[attr-defined]

        room(0)
        waiting = [ada.send(f"{number} {'x' * 9000}") for number in range(10)]
        until(ada, lambda: any(row.kind == "notice" for row in ada._state.transcript.rows))
        assert ada.pending == waiting
        # The rest of the chat goes on.
        with nbchat.connect(server, name="bob") as bob:
            saw(ada, "ada", "bob")
            assert bob.transcript() == ["ada: before"]
            assert [message.text for message in bob.history()] == ["before"]
            bob.typing()
            until(ada, lambda: "bob" in ada._state.typing)
            room(None)
            assert [message.wait(PATIENCE).seq for message in waiting] == list(range(2, 12))
            until(bob, lambda: bob._state.transcript.seq == 11)
            assert [message.text[0] for message in bob.messages[1:]] == [str(number) for number in range(10)]


def test_a_damaged_history_is_moved_aside_with_a_loud_word(data_folder: Path) -> None:
    with nbchat.serve("class", port=0) as server, nbchat.connect(server, name="ada") as ada:
        ada.send("once").wait()
        link = server.invite()
    (file,) = data_folder.glob("*.sqlite")
    file.write_bytes(b"\0" * file.stat().st_size)
    damaged = file.read_bytes()
    with pytest.warns(RuntimeWarning, match="damaged") as caught:
        server = nbchat.serve("class", port=0)
    (other,) = (path for path in data_folder.glob("*damaged*") if path.read_bytes() == damaged)
    assert str(other) in str(caught[0].message)
    assert other.name in server._repr_html_()
    with nbchat.connect(server, name="ada") as ada:
        assert ada.transcript() == []
        assert ada.send("anew").wait().seq == 1
    # Its keys stand beside the file, so that links that were given out are right still.
    nbchat.connect(f"{server.url}#{link.partition('#')[2]}", name="bob").close()
    server.stop()


# ── fork ────────────────────────────────────────────────────────────────────────────────────────

_FORKS = """
import gc, multiprocessing, os, subprocess, sys
import nbchat

def work(number):
    return number * 2

server = nbchat.serve("class", port=0)
ada = nbchat.connect(server, name="ada")
ada.send("before").wait()
with multiprocessing.get_context("fork").Pool(2) as pool:
    assert pool.map(work, range(10)) == list(range(0, 20, 2))
if not (child := os.fork()):
    if os.path.isdir("/proc/self/fd"):
        held = [os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")]
        assert not [name for name in held if "class.sqlite" in name], held
    gc.collect()
    sys.exit(0)  # with all that an interpreter does at its end
assert os.waitpid(child, 0)[1] == 0
assert ada.send("after").wait().seq == 2
serve = "import nbchat; nbchat.serve('class', port=0)"
other = subprocess.run([sys.executable, "-c", serve], capture_output=True, text=True)
assert f"AlreadyServing: Process {os.getpid()} already" in other.stderr, other.stderr
if not (child := os.fork()):  # lives longer than its parent
    os.close(1)
    sys.stdin.read()
    os._exit(0)
print(ada.transcript(), flush=True)
os.kill(os.getpid(), 9)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_forks_harm_neither_side_and_hold_no_history() -> None:
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", _FORKS], stdin=pipe, stdout=pipe, text=True) as parent:
        assert parent.stdout is not None
        said = parent.stdout.read()
        parent.wait(PATIENCE)
        assert said == "['ada: before', 'ada: after']\n"
        # The child still runs; the history is free, whole, and this process's.
        with nbchat.serve("class", port=0) as server, nbchat.connect(server, name="bob") as bob:
            assert bob.transcript() == ["ada: before", "ada: after"]
            assert Raw(server.invite(), "eve").welcome["head"] == 2
