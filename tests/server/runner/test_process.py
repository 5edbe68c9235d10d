"""serve(process=True): the same server in a process of its own, and what may happen to either process."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

import nbchat
from nbchat.client import client as clients
from nbchat.core import errors
from nbchat.core.errors import AddressInUse, ChatError, StoreDown, UsageError
from nbchat.core.keys import Key
from nbchat.net import discovery, link
from nbchat.server import serve as servers
from nbchat.server.options import check
from nbchat.server.runner import process as processes
from nbchat.server.runner.calls import Failure, Order, Serve

# These are run for a server in a process of its own, too: see the fixture below.
from tests.client.test_outages import test_a_damaged_history_is_moved_aside_with_a_loud_word  # noqa: F401
from tests.net.helpers import PATIENCE, Raw, saw, until
from tests.server.test_server import (  # noqa: F401
    test_a_dropped_member_has_left_only_after_the_grace,
    test_a_line_without_end_costs_its_sender_the_connection,
    test_a_member_over_its_rate_is_slowed_and_loses_nothing,
    test_a_name_is_the_same_name_however_it_is_written,
    test_a_named_chat_comes_back_with_all_it_had,
    test_a_nameless_chat_leaves_nothing,
    test_a_reader_that_stops_delays_nobody_and_gets_all_of_it_later,
    test_another_process_keeps_its_chat,
    test_no_secret_is_shown_but_by_invite,
    test_port_0_is_always_a_new_server,
    test_running_the_cell_again_changes_nothing,
    test_silent_and_half_spoken_connections_are_ended,
    test_stop_frees_the_port_at_once,
    test_the_default_port_gives_way_and_a_named_one_does_not,
    test_the_runtime_file_is_for_its_user_alone,
    test_too_many_connections_harm_nobody,
    test_wrong_arguments_are_explained,
)

pytestmark = [
    pytest.mark.own_ports,
    pytest.mark.skipif(sys.platform == "win32", reason="signals, descriptors and /proc"),
]

PIPE = subprocess.PIPE
thread_serve = nbchat.serve


@pytest.fixture(autouse=True)
def in_a_process(nothing_left: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What does not say otherwise is served by a child; after the test no child is left, nor a zombie."""
    before = psutil.Process().children(recursive=True)  # the chat of the notebooks' tests, for one
    monkeypatch.setattr(nbchat, "serve", partial(thread_serve, process=True))
    yield
    for client in list(clients._clients):
        client.close()
    for server in list(servers._servers):
        server.stop()
    assert [each for each in psutil.Process().children(recursive=True) if each not in before] == []


def pid_of(server: nbchat.Server) -> int:
    assert server._running is not None
    return server._running.pid


def gone(*pids: int) -> None:
    """Wait until these processes, none of them this one's child, have ended."""
    found = [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]
    assert psutil.wait_procs(found, PATIENCE)[1] == []


def killed(server: nbchat.Server, number: int = signal.SIGKILL) -> None:
    """End a server's child with a signal, and wait until its parent knows."""
    os.kill(pid_of(server), number)
    server._runner._reader.join(PATIENCE)  # type: ignore[union-attr]


@contextmanager
def parent(program: str, **options: Any) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """Another process that serves. It says first its server's pid, its port, and an invitation."""
    head = "import nbchat, os, sys\n"
    tell = "print(server._running.pid, server.port, server.invite(), flush=True)\n"
    command = [sys.executable, "-c", head + program.replace("TELL", tell)]
    with subprocess.Popen(command, stdin=PIPE, stdout=PIPE, text=True, **options) as process:
        try:
            assert process.stdout is not None
            words = process.stdout.readline().split()
            yield process, words
        finally:
            process.kill()
            process.wait()
        gone(int(words[0]))


# ── the same handle ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("process", [False, True])
def test_the_handle_is_the_same(process: bool) -> None:
    with nbchat.serve("class", port=None, process=process) as server:
        assert (server.name, server.host) == ("class", "127.0.0.1")
        assert server.url == f"nbchat://127.0.0.1:{server.port}"
        assert server.history.endswith("class.sqlite")
        with nbchat.connect(server, name="ada") as ada, nbchat.connect(server.invite("lobby"), name="bob"):
            saw(ada, "ada", "bob")
            assert [(member.name, member.role) for member in server.members] == [
                ("ada", "host"),
                ("bob", "member"),
            ]
            assert repr(server) == f"<nbchat server 'class' on 127.0.0.1:{server.port}, 2 members>"
            where = f"a process of its own (pid {pid_of(server)})" if process else "a thread of this notebook"
            assert f">runs in</th><td style='text-align:left'>{where}</td>" in server._repr_html_()
    assert repr(server) == "<nbchat server 'class', stopped>"
    assert (pid_of(server) != os.getpid()) is process


def test_options_go_over_as_they_are(tmp_path: Path) -> None:
    for keep in (None, 7, timedelta(days=1.5)):
        options = check(
            "Klasse ä", "localhost", None, tmp_path / "ä b", True, None, keep, nbchat.Limits(grace=2)
        )
        order = Order(1, Serve(options, [Key("a", "b")], True, [5, 6], 14900))
        assert msgspec.json.decode(msgspec.json.encode(order), type=Order) == order
    with pytest.raises(UsageError, match="process of its own"):
        nbchat.serve(process=1)  # type: ignore[arg-type]


def test_what_was_asked_for_reaches_the_child(tmp_path: Path) -> None:
    limits = nbchat.Limits(text=5)
    file = tmp_path / "other.sqlite"
    with (
        nbchat.serve("class", history=file, keep=2, limits=limits, plain=False) as server,
        nbchat.connect(server, name="ada") as ada,
    ):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert server.history == str(file)
        until(ada, lambda: ada._state.text_limit == 5)
        with socket.create_connection((server.host, server.port)) as plain:
            plain.sendall(b"bob")
            assert b"no plain-text clients" in plain.makefile("rb").read()


def test_own_servers_come_first_and_others_find_them() -> None:
    with parent("server = nbchat.serve('other', port=0, history=None)\nTELL\ninput()"):
        server = nbchat.serve("class", port=0, history=None)
        assert [each.name for each in discovery.running()] == ["class", "other"]
        with nbchat.connect(name="ada") as ada:
            assert ada._receiver._where.port == server.port
        asks = "import nbchat; print(nbchat.connect('class', name='bob').role)"
        asked = subprocess.run([sys.executable, "-c", asks], capture_output=True, text=True)
        assert asked.stdout == "host\n", asked.stderr


# ── errors ──────────────────────────────────────────────────────────────────────────────────────


def tree(root: type[ChatError] = ChatError) -> Iterator[type[ChatError]]:
    yield root
    for kind in root.__subclasses__():
        if kind.__module__ == errors.__name__:
            yield from tree(kind)


_WITH_MORE = [
    errors.BadText("What happened.", "empty"),
    errors.SeveralServers("What happened.", ["a", "b"]),
    errors.AlreadyServing("What happened.", 7),
    errors.ProtocolError("a_word", "What happened.", fatal=True, id="x"),
    errors.Refused("a_word", "What happened.", "ada2"),
    errors.NameTaken("name_in_use", "What happened.", "ada2"),
    errors.NotHost("not_host", "What happened."),
    errors.NoSuchMember("no_such_member", "What happened."),
    errors.NotConfirmed("What happened."),
    errors.CertificateChanged("What happened.", "sha256:0", "sha256:1"),
]


@pytest.mark.parametrize("kind", list(tree()), ids=lambda kind: kind.__name__)
def test_every_error_is_the_same_one_on_the_other_side(kind: type[ChatError]) -> None:
    error = next((each for each in _WITH_MORE if type(each) is kind), None) or kind("What happened.")
    again = msgspec.json.decode(msgspec.json.encode(Failure.of(error)), type=Failure).error
    assert type(again) is kind
    assert (str(again), again.args, vars(again)) == ("What happened.", error.args, vars(error))


def test_an_error_that_is_not_ours_is_told_as_one_of_ours() -> None:
    error = Failure.of(ZeroDivisionError("by zero")).error
    assert type(error) is ChatError
    assert str(error) == "The server's process failed: ZeroDivisionError: by zero"


@pytest.mark.parametrize("process", [False, True])
def test_errors_have_the_same_texts(process: bool, tmp_path: Path) -> None:
    told = []
    for kind in (process, False):
        with pytest.raises(StoreDown) as caught:
            nbchat.serve(history=tmp_path, port=0, process=kind)
        told.append((str(caught.value), caught.value.args, vars(caught.value)))
    assert told[0] == told[1]
    server = nbchat.serve("class", port=0, process=process)
    who = f"Process {pid_of(server)}" if process else "This process"
    with pytest.raises(nbchat.errors.AlreadyServing, match=f"{who} already") as found:
        nbchat.serve("class", port=0, process=process)
    assert found.value.pid == pid_of(server)


def test_a_child_that_cannot_begin_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    threads = threading.active_count()
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no python"))
    with pytest.raises(UsageError, match=r"cannot be started: .*nbchat.serve\(process=False\)"):
        nbchat.serve(port=0)
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho 'No module named msgspec' >&2\nexit 1\n")
    broken.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(broken))
    with pytest.raises(UsageError, match=r"ended before it listened \(No module named msgspec\)"):
        nbchat.serve(port=0)
    assert "No module named msgspec" in caplog.text
    assert threading.active_count() == threads


def test_what_prints_before_the_child_has_begun_is_no_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    chatty = tmp_path / "chatty"
    chatty.write_text(f'#!/bin/sh\necho "good morning"\nexec {sys.executable} "$@"\n')
    chatty.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(chatty))
    with nbchat.serve(port=0) as server:
        assert server.members == []
    assert "printed b'good morning\\n'" in caplog.text


def test_where_no_socket_can_be_passed_the_child_finds_a_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "CAN_PASS", False)
    with nbchat.serve("class", history=None) as server, nbchat.connect(server, name="ada") as ada:
        assert server.port in link.PORTS
        assert ada.send("hello").wait().seq == 1
        with pytest.raises(AddressInUse, match="a chat that runs already"):
            nbchat.serve("other", port=server.port, history=None)
        again = nbchat.serve("class", history=None, limits=nbchat.Limits(text=100))
        assert again.port == server.port


# ── other options ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kinds", [(False, True, False), (True, True, False, True)])
def test_another_kind_takes_its_place(kinds: tuple[bool, ...]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = nbchat.serve("class", port=port, process=kinds[0])
    link = server.invite()
    with nbchat.connect(server, name="ada") as ada, nbchat.connect(link, name="bob") as bob:
        ada.send("0").wait()
        for number, kind in enumerate(kinds[1:], 1):
            limits = nbchat.Limits(text=100 + number)
            again = nbchat.serve("class", process=kind, limits=limits)
            assert nbchat.serve("class", process=kind, limits=limits) is again
            assert (server.is_running, again.port) == (False, server.port)
            assert (pid_of(again) != os.getpid()) is kind
            for client in (ada, bob):
                until(client, lambda c=client, n=number: c._state.text_limit == 100 + n)  # type: ignore[misc]
            assert (ada, bob)[number % 2].send(str(number)).wait(PATIENCE).seq == number + 1
            server = again
        for client in (ada, bob):
            until(client, lambda client=client: len(client.messages) == len(kinds))  # type: ignore[misc]
            assert [message.text for message in client.messages] == [str(n) for n in range(len(kinds))]
        with nbchat.connect(link, name="cid"):
            pass


@pytest.mark.parametrize("kinds", [(False, True), (True, False), (True, True)])
def test_a_chat_in_memory_begins_anew_in_another_process_with_the_same_keys(
    kinds: tuple[bool, bool],
) -> None:
    server = nbchat.serve("class", history=None, process=kinds[0])
    link = server.invite()
    with nbchat.connect(server, name="ada") as ada, nbchat.connect(link, name="bob") as bob:
        ada.send("before").wait()
        again = nbchat.serve("class", history=None, process=kinds[1], limits=nbchat.Limits(text=100))
        assert again.port == server.port
        for client in (ada, bob):
            until(client, lambda client=client: client._state.text_limit == 100)  # type: ignore[misc]
        assert bob.send("after").wait(PATIENCE).seq == 1
        assert ada.wait_for(lambda message: message.text == "after", PATIENCE).seq == 1
        assert ada.transcript() == ["bob: after"]


@pytest.mark.parametrize("process", [False, True])
def test_a_port_that_is_taken_leaves_the_old_server_running(process: bool) -> None:
    server = nbchat.serve("class", process=process)
    with nbchat.connect(server, name="ada") as ada, socket.create_server(("127.0.0.1", 0)) as taken:
        with pytest.raises(AddressInUse):
            nbchat.serve("class", port=taken.getsockname()[1], process=process)
        assert server.is_running
        assert nbchat.serve("class", process=process) is server
        assert ada.send("still here").wait().seq == 1


# ── the child ends ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("history", [None, "auto"])
def test_a_killed_child_is_told_and_started_again(history: str | None) -> None:
    server = nbchat.serve("class", history=history)
    link = server.invite()
    with nbchat.connect(server, name="ada") as ada, nbchat.connect(link, name="bob") as bob:
        ada.send("before").wait()
        pid = pid_of(server)
        killed(server)
        assert not server.is_running
        assert server.members == []
        assert "stopped" in repr(server)
        with pytest.raises(UsageError, match=rf"process \({pid}\) has ended by itself.*nbchat.serve\(\)"):
            server.invite()
        assert discovery.running() == []
        assert list(discovery._folder().glob("nbchat-[0-9]*.json")) == []
        with pytest.raises(nbchat.errors.NoServerFound):
            nbchat.connect("class", name="cid")
        again = nbchat.serve("class", history=history)
        assert (again is server, again.port) == (False, server.port)
        # The invitation goes on, too, though nothing of a chat in memory is left but what its parent knew.
        seq = 1 if history is None else 2
        assert bob.send("after").wait(PATIENCE).seq == seq
        until(ada, lambda: bool(ada.messages) and ada.messages[-1].seq == seq)
    server.stop()
    server.stop()


def test_a_child_that_was_killed_while_nobody_knew_is_noticed_by_serve() -> None:
    server = nbchat.serve("class", history=None)
    with server._runner._lock:  # type: ignore[union-attr]  # its thread cannot go on, as beside a busy cell
        os.kill(pid_of(server), signal.SIGKILL)
        os.waitid(os.P_PID, pid_of(server), os.WEXITED | os.WNOWAIT)
        assert not server.is_running
    with nbchat.serve("class", history=None) as again:
        assert again.is_running


def test_a_child_that_is_asked_to_end_does_so_in_order() -> None:
    server = nbchat.serve("class")
    other = Raw(server.invite(), "ada")
    killed(server, signal.SIGTERM)
    assert other.receive("closing")["reason"] == "The server was stopped."
    other.close()
    assert list(discovery._folder().glob("nbchat-[0-9]*.json")) == []
    assert not Path(f"{server.history}-wal").exists()  # its file was closed


def test_a_child_that_does_not_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_PATIENCE", 0.1)
    server = nbchat.serve(port=0, limits=nbchat.Limits(flush=0.1))
    os.kill(pid_of(server), signal.SIGSTOP)
    monkeypatch.setattr(processes, "START", 0.1)
    with pytest.raises(UsageError, match=r"does not answer. To end it: server.stop\(\)"):
        server.invite()
    monkeypatch.setattr(processes, "_PATIENCE", PATIENCE)
    server.stop()
    assert not psutil.pid_exists(pid_of(server))
    assert discovery.running() == []


def test_stop_is_for_any_thread_and_any_number() -> None:
    server = nbchat.serve(port=0)
    asking = [threading.Thread(target=server.stop) for _ in range(4)]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join(PATIENCE)
    assert not any(thread.is_alive() for thread in asking)
    assert not psutil.pid_exists(pid_of(server))


def test_many_threads_may_ask_at_once() -> None:
    server = nbchat.serve(port=0)
    links: list[str] = []

    def ask() -> None:
        for _ in range(20):
            assert server.members == []
            links.append(server.invite())

    asking = [threading.Thread(target=ask) for _ in range(8)]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join(PATIENCE)
    assert len(set(links)) == 160


# ── the parent ends ─────────────────────────────────────────────────────────────────────────────


def test_a_child_ends_with_its_killed_parent() -> None:
    program = """
limits = nbchat.Limits(rate=1e6, burst=10**6, text=100_000, line=400_000)
server = nbchat.serve("class", port=0, process=True, limits=limits)
TELL
input()
"""
    with parent(program) as (process, words):
        pid, port, link = int(words[0]), int(words[1]), words[2]
        assert pid != process.pid
        assert [each.pid for each in discovery.running()] == [pid]
        stalled, other = Raw(link, "bob", buffer=4096), Raw(link, "ada")
        other.send(*({"type": "say", "id": str(n), "text": "x" * 100_000} for n in range(50)))
        assert [other.receive("said")["seq"] for _ in range(50)] == list(range(1, 51))
        process.kill()
        assert other.receive("closing")["reason"] == "The server was stopped."
        # Bob reads nothing, and holds its end up for 2 s. Whoever serves the chat next waits for that.
        with nbchat.serve("class", port=port, process=False), nbchat.connect("class", name="cid") as cid:
            assert cid.send("goes on").wait().seq == 51
        gone(pid)
        other.close()
        stalled.close()
    assert list(discovery._folder().glob("nbchat-[0-9]*.json")) == []


def test_a_child_ends_before_its_parent_has() -> None:
    program = """
import atexit, psutil
def look():
    print([each.status() for each in psutil.Process().children()], psutil.pid_exists(pid))
atexit.register(look)  # called last
server = nbchat.serve('class', port=0, process=True)
pid = server._running.pid
TELL
input()
"""
    with parent(program) as (process, words):
        other = Raw(words[2], "ada")
        said, _ = process.communicate("\n")
        assert said == "[] False\n"
        assert process.returncode == 0
        assert other.receive("closing")["reason"] == "The server was stopped."
        other.close()


def test_an_interrupted_cell_does_not_reach_it() -> None:
    program = """
server = nbchat.serve('class', port=0, process=True)
try:
    TELL
    input()
except KeyboardInterrupt:
    print("interrupted", flush=True)
input()
"""
    program = program.replace(
        "    TELL", "    print(server._running.pid, server.port, server.invite(), flush=True)"
    )
    with parent(program, start_new_session=True) as (process, words):
        assert os.getsid(int(words[0])) == int(words[0])  # nothing that is sent to the parent's group
        with nbchat.connect(words[2], name="ada") as ada:
            os.killpg(process.pid, signal.SIGINT)
            assert process.stdout is not None
            assert process.stdout.readline() == "interrupted\n"
            os.kill(int(words[0]), signal.SIGINT)
            assert ada.send("hello").wait().seq == 1
            assert ada._state.transcript.log_id == discovery.running()[0].log_id
            assert [row.kind for row in ada._state.transcript.rows] == ["said"]
        process.communicate("\n")


_FORKS = """
server = nbchat.serve('class', port=0, process=True)
ada = nbchat.connect(server, name="ada")
if not (child := os.fork()):  # ends as an interpreter does, and tries to stop what is not its own
    assert not server.is_running
    with nbchat.connect(server, name="bob") as bob:
        bob.send("from a fork").wait()
    server.stop()
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
assert server.is_running
assert [each.pid for each in nbchat.net.discovery.running()] == [server._running.pid]
assert len(list(nbchat.net.discovery._folder().glob("nbchat-[0-9]*.json"))) == 1
ada.send("after").wait()
if not os.fork():  # lives longer than its parent
    os.close(1)
    sys.stdin.read()
    os._exit(0)
TELL
print(ada.transcript(), flush=True)
os.kill(os.getpid(), 9)
"""


def test_forks_of_the_parent_neither_stop_it_nor_keep_it() -> None:
    with parent(_FORKS) as (process, words):
        assert process.stdout is not None
        assert process.stdout.readline() == "['bob: from a fork', 'ada: after']\n"
        gone(int(words[0]))  # though the second fork still runs
        with nbchat.serve("class", port=0) as server, nbchat.connect(server, name="eve") as eve:
            assert eve.transcript() == ["bob: from a fork", "ada: after"]


# ── what it gets, and what others see ───────────────────────────────────────────────────────────


def test_no_secret_and_no_place_is_in_the_list_of_processes(tmp_path: Path) -> None:
    server = nbchat.serve("cs101", history=tmp_path / "kept.sqlite")
    link = server.invite()
    assert server._running is not None
    child = psutil.Process(pid_of(server))
    shown = " ".join(child.cmdline()[1:])
    assert shown == "-P -m nbchat --child"
    around = repr(child.environ())
    for secret in (server._running.key[1], link.partition("#k=")[2].partition(".")[2], "kept.sqlite"):
        assert secret not in around


def test_a_file_beside_the_notebook_is_no_module_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("random", "json", "msgspec", "logging", "nbchat"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('not this one')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", str(tmp_path), *sys.path])
    with nbchat.serve(port=0) as server:
        assert server.is_running


@pytest.mark.parametrize("is_here", [False, True])
def test_the_child_is_of_the_package_that_the_parent_found(tmp_path: Path, is_here: bool) -> None:
    """Found in the working folder or in one that was put into ``sys.path``; another one is installed."""
    copy = tmp_path / "lib" / "nbchat"
    shutil.copytree(Path(nbchat.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    main = copy / "__main__.py"
    main.write_text(f"open({str(tmp_path / 'seen')!r}, 'w').close()\n{main.read_text()}")
    program = f"""
import sys
sys.path.insert(0, {"''" if is_here else repr(str(copy.parent))})
import nbchat
nbchat.serve(port=0).stop()  # loads what it needs
for name in ("random", "math", "socket"):
    open(name + ".py", "w").write("raise SystemExit('not this one')")
with nbchat.serve(port=0, process=True):
    print(nbchat.__file__)
"""
    cwd = copy.parent if is_here else tmp_path
    done = subprocess.run([sys.executable, "-P", "-c", program], cwd=cwd, capture_output=True, text=True)
    assert done.stdout == f"{copy / '__init__.py'}\n", done.stderr
    assert (tmp_path / "seen").exists()


def test_the_child_opens_no_heavy_door(tmp_path: Path) -> None:
    program = """
import sys
from nbchat.server.runner import worker
worker.main()
print("is no answer", flush=True)
sys.stderr.write(" ".join({name.partition(".")[0] for name in sys.modules}))
"""
    options = check("class", "127.0.0.1", 0, tmp_path / "kept.sqlite", True, None, None, None)
    order = msgspec.json.encode(Order(1, Serve(options, [], True, None, 0))) + b"\n"
    done = subprocess.run([sys.executable, "-c", program], input=order, capture_output=True)
    assert b'"running"' in done.stdout
    assert done.stdout.count(b"\n") == 1
    loaded = set(done.stderr.decode().split())
    assert {"uvloop", "sqlite3", "nbchat"} <= loaded
    heavy = {"IPython", "ipywidgets", "anywidget", "traitlets", "prompt_toolkit", "pygments", "argparse"}
    assert not loaded & heavy


def test_what_the_child_says_of_troubles_is_in_the_log_and_nowhere_else(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", "/dev/null/nowhere")
    with nbchat.serve(port=0):
        pass
    assert "this server cannot be found by name" in caplog.text
    assert capfd.readouterr() == ("", "")


# ── why ─────────────────────────────────────────────────────────────────────────────────────────

_HOLDS = """
server = nbchat.serve('class', port=0, history=None, process=PROCESS)
TELL
sum(range(10**9))  # in C, without letting go of the interpreter: for many seconds
print("done", flush=True)
input()
"""


def exchange(link: str) -> None:
    """Two clients talk: each waits for what the other said."""
    with nbchat.connect(link, name="ada") as ada, nbchat.connect(link, name="bob") as bob:
        for number in range(20):
            for speaker, hearer in ((ada, bob), (bob, ada)):
                text = f"{speaker.name} {number}"
                speaker.send(text).wait(PATIENCE)
                hearer.wait_for(lambda message, text=text: message.text == text, PATIENCE)  # type: ignore[misc]


def test_a_cell_that_holds_the_interpreter_does_not_disturb_it() -> None:
    with parent(_HOLDS.replace("PROCESS", "True")) as (process, words):
        exchange(words[2])
        assert process.stdout is not None
        process.kill()
        assert process.stdout.read() == ""  # the cell had not come to its end


def test_showing_a_server_waits_for_no_other_thread_or_process() -> None:
    with nbchat.serve("class", process=True, port=0) as server, nbchat.connect(server, name="ada") as ada:
        saw(ada, "ada")
        assert [str(member) for member in server.members] == ["ada"]
        os.kill(pid_of(server), signal.SIGSTOP)
        try:
            # Whoever waited for its answer would be told, after a long while, that there is none.
            assert repr(server) == f"<nbchat server 'class' on 127.0.0.1:{server.port}, 1 member>"
            assert "1 (it does not answer now)" in server._repr_html_()
        finally:
            os.kill(pid_of(server), signal.SIGCONT)
        with nbchat.connect(server, name="bob"):
            saw(ada, "ada", "bob")
            assert len(server.members) == 2
            assert "2 members" in repr(server)
    with nbchat.serve(port=0, history=None, process=False) as server:
        held, free = threading.Event(), threading.Event()

        def hold() -> None:
            held.set()
            free.wait(PATIENCE)

        loop = server._runner._loop  # type: ignore[union-attr]
        assert loop is not None
        loop.call_soon_threadsafe(hold)
        assert held.wait(PATIENCE)
        try:
            assert "0 members" in repr(server)
            assert "nobody yet" in server._repr_html_()
        finally:
            free.set()
