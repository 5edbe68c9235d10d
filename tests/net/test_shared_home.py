"""One home for many hosts and users: whose files are believed, and who may delete them."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

import nbchat
from nbchat.core.errors import BadLink, NoServerFound
from nbchat.net import discovery
from nbchat.net.discovery import Kept, Place, Running, Target

HERE = discovery.place()
ELSEWHERE = [
    Place("another host", "another start", HERE.space),
    Place(HERE.host, HERE.start, "pid:[1] net:[2]"),  # another container of this start of this host
    Place("another host", HERE.start, "pid:[1] net:[2]"),
]
EARLIER = Place(HERE.host, "an-earlier-start", "pid:[1]")
pytestmark = pytest.mark.skipif(not HERE.start, reason="a start of this system has no number")


def dead_pid() -> int:
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    return done.pid


def a_server(place: Place, pid: int) -> Running:
    return Running(pid, "127.0.0.1", 15555, "log", ("id", "secret"), "cs101", place=place)


def a_session(place: Place, pid: int) -> Kept:
    return Kept(pid, "127.0.0.1", 15555, "lobby", "ada", "ada", "f" * 32, place=place)


def test_this_place_has_its_name() -> None:
    assert discovery.place() == HERE
    assert HERE.host
    assert "pid:[" in HERE.space
    assert "net:[" in HERE.space
    assert len({place.mark for place in (HERE, EARLIER, *ELSEWHERE)}) == 4
    assert Place("renamed", HERE.start, HERE.space).is_same(HERE)  # a laptop in another network
    assert not Place("renamed", "1", "").is_earlier(Place("other", "2", ""))
    assert Place("a", "", "").is_same(Place("b", "", ""))  # macOS, Windows: judged by the process alone
    assert not Place("a", "", "1").is_earlier(Place("a", "2", "1"))


@pytest.mark.parametrize("place", ELSEWHERE)
@pytest.mark.parametrize("is_alive", [False, True])
def test_what_another_host_wrote_is_neither_used_nor_deleted(place: Place, is_alive: bool) -> None:
    pid = os.getppid() if is_alive else dead_pid()
    path = discovery.announce(a_server(place, pid))
    discovery.here.clear()
    old = discovery.keep(None, a_session(place, pid))
    os.utime(old, (1, 1))
    assert discovery.running() == []
    with pytest.raises(NoServerFound):
        Target("cs101").find()
    assert discovery.take_over("127.0.0.1", 15555, "lobby", "ada") is None
    discovery.keep(None, a_session(HERE, os.getpid()))  # which looks for old ones
    assert path.exists()
    assert old.exists()


def test_what_an_earlier_start_of_this_host_wrote_is_deleted_or_taken_over() -> None:
    path = discovery.announce(a_server(EARLIER, os.getppid()))  # a number that is another program's now
    discovery.here.clear()
    session = discovery.keep(None, a_session(EARLIER, os.getppid()))
    assert discovery.running() == []
    assert not path.exists()
    taken = discovery.take_over("127.0.0.1", 15555, "lobby", "ada")
    assert taken is not None
    assert taken[0].session == "f" * 32
    assert not session.exists()


def test_two_containers_with_the_same_numbers_have_files_of_their_own() -> None:
    mine, others = (discovery.announce(a_server(place, os.getpid())) for place in (HERE, ELSEWHERE[1]))
    assert mine != others
    discovery.withdraw(a_server(HERE, os.getpid()))
    assert not mine.exists()
    assert others.exists()


def test_a_file_of_last_month_says_no_place_and_is_of_this_one() -> None:
    path = discovery.announce(a_server(HERE, os.getppid()))
    discovery.here.clear()
    said = json.loads(path.read_bytes())
    del said["place"]
    path.write_text(json.dumps(said))
    path.chmod(0o600)
    assert Target("cs101").find().port == 15555


# ── other users ──


def change(path: Path, *, uid: int | None = None, mode: int = 0o600) -> None:
    path.chmod(mode)
    if uid is not None:
        os.chown(path, uid, uid)


needs_root = pytest.mark.skipif(
    getattr(os, "geteuid", lambda: 1)() != 0, reason="only root can give a file away"
)
STRANGE = [
    pytest.param({"uid": 65534}, marks=needs_root),
    pytest.param({"uid": 65534, "mode": 0o666}, marks=needs_root),
    {"mode": 0o666},
    {"mode": 0o620},
]


@pytest.mark.skipif(os.name == "nt", reason="rights are another thing there")
@pytest.mark.parametrize("how", STRANGE)
def test_what_another_user_can_have_written_is_not_believed(
    how: dict[str, int], caplog: pytest.LogCaptureFixture
) -> None:
    server = discovery.announce(a_server(HERE, os.getppid()))
    discovery.here.clear()
    session = discovery.keep(None, a_session(HERE, dead_pid()))
    assert Target("cs101").find().port == 15555
    change(server, **how)
    change(session, **how)
    for _ in range(3):
        with pytest.raises(NoServerFound):
            Target("cs101").find()
    assert discovery.take_over("127.0.0.1", 15555, "lobby", "ada") is None
    assert (server.exists(), session.exists()) == (True, True)
    assert caplog.text.count(f"{server} is not believed") == 1
    if "uid" not in how:
        change(session)
        assert discovery.take_over("127.0.0.1", 15555, "lobby", "ada") is not None


@pytest.mark.skipif(os.name == "nt", reason="there are no such files there")
def test_neither_are_links_pipes_and_floods(tmp_path: Path) -> None:
    true = tmp_path / "true.json"
    true.write_bytes(msgspec.json.encode(a_server(HERE, os.getppid())))
    true.chmod(0o600)
    folder = discovery._folder()
    (folder / "nbchat-1-1.json").symlink_to(true)
    os.mkfifo(folder / "nbchat-2-2.json", 0o600)  # reading it would wait for ever
    (folder / "nbchat-3-3.json").write_bytes(b" " * 10_000_000)
    (folder / "nbchat-3-3.json").chmod(0o600)
    (folder / "nbchat-4-4.json").mkdir()
    assert discovery.running() == []
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


# ── links without a key ──


def test_a_link_without_a_key_shows_ours_to_this_server_only(server: nbchat.Server) -> None:
    for host in ("127.0.0.1", "localhost"):
        where = Target(f"nbchat://{host}:{server.port}/garden").find()
        assert (where.host, where.room) == ("127.0.0.1", "garden")
        assert where.secret == discovery.here[server.port].key[1]
    for other in ("127.0.0.2", "127.1.2.3", "[::1]"):
        with pytest.raises(BadLink, match="no key in it"):
            Target(f"nbchat://{other}:{server.port}").find()
    with nbchat.serve(port=0, host="127.0.0.2", history=None) as second:
        assert Target(f"nbchat://127.0.0.2:{second.port}").find().host == "127.0.0.2"
