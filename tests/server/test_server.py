"""serve(): which server a call means, how it starts and stops, and what bad peers do to it."""

from __future__ import annotations

import logging
import os
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import nbchat
from nbchat.core.errors import AddressInUse, AlreadyServing, BadName, StoreDown, UsageError
from nbchat.net import discovery
from nbchat.net.link import PORTS, parse
from tests.net.helpers import PATIENCE, Raw, saw, until

pytestmark = pytest.mark.own_ports

SERVE = """
import sys, nbchat
server = nbchat.serve({name!r}, port=0)
print(server.port, flush=True)
sys.stdin.read()
"""


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


# ── the same server ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", [None, "class"])
def test_running_the_cell_again_changes_nothing(name: str | None) -> None:
    server = nbchat.serve(name)
    client = nbchat.connect(server, name="ada")
    client.send("hello").wait()
    client.history()  # now all files of the history are open
    threads, files = set(threading.enumerate()), descriptors()
    for _ in range(10):
        assert nbchat.serve(name) is server
    assert set(threading.enumerate()) == threads
    assert descriptors() == files
    assert client.send("still here").wait().seq == 2


def test_a_name_is_the_same_name_however_it_is_written() -> None:
    server = nbchat.serve("Class", history=None)
    assert nbchat.serve("class", history=None).port == server.port


@pytest.mark.parametrize("history", [None, "auto"])
def test_changed_options_restart_it_in_place(history: str | None) -> None:
    server = nbchat.serve("class", history=history)
    link = server.invite()
    client = nbchat.connect(link, name="ada")
    client.send("before").wait()
    again = nbchat.serve("class", history=history, limits=nbchat.Limits(text=100))
    assert (again is server, server.is_running, again.port) == (False, False, server.port)
    assert client.send("after").wait().seq == 2
    assert client.transcript() == ["ada: before", "ada: after"]
    until(client, lambda: client._state.text_limit == 100)
    with nbchat.connect(link, name="bob"):  # keys go on, too
        pass


def test_port_0_is_always_a_new_server() -> None:
    first, second = nbchat.serve(port=0), nbchat.serve(port=0)
    assert first is not second
    assert first.port != second.port


def test_stop_frees_the_port_at_once() -> None:
    server = nbchat.serve(port=0)
    with nbchat.connect(server, name="ada"):
        server.stop()
        server.stop()
        assert not server.is_running
        assert server.members == []
        with nbchat.serve(port=server.port) as again:
            assert again.port == server.port
    with pytest.raises(UsageError, match="stopped"):
        server.invite()


def test_fifty_visits_leave_nothing_behind(server: nbchat.Server) -> None:
    link = server.invite()
    with nbchat.connect(server, name="host") as host:
        Raw(link, "warm-up").close()
        saw(host, "host", "warm-up")
        threads, files = threading.active_count(), descriptors()
        for number in range(50):
            with nbchat.connect(link, name=f"guest{number}") as guest:
                guest.send("hello").wait()
        until(host, lambda: host._state.transcript.seq == 50)
        saw(host, "host", "warm-up")
        assert threading.active_count() == threads
        # The server's side of the last one ends in the same moment, on its own thread.
        server._runner.ask(lambda shell: None)
        assert descriptors() <= files


# ── where it listens, what it keeps ─────────────────────────────────────────────────────────────


def test_the_default_port_gives_way_and_a_named_one_does_not() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(AddressInUse, match=r"another program. Leave the port out: nbchat.serve\(\)"):
            nbchat.serve(port=port)
    with nbchat.serve("one", history=None) as one, nbchat.serve("two", history=None) as two:
        assert one.port in PORTS
        assert two.port in PORTS
        assert one.port != two.port
        with pytest.raises(AddressInUse, match=r"a chat that runs already. Join it with nbchat.join\(\)"):
            nbchat.serve("three", port=one.port, history=None)


def test_a_named_chat_comes_back_with_all_it_had(data_folder: Path) -> None:
    with nbchat.serve("My class") as server, nbchat.connect(server, name="ada") as ada:
        link, log_id = server.invite("room 1"), server._running.log_id
        ada.send("kept").wait()
    path = data_folder / "my class.sqlite"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with nbchat.serve("My class") as server, nbchat.connect(server, name="bob") as bob:
        assert server.history == str(path)
        assert server._running.log_id == log_id
        assert bob.transcript() == ["ada: kept"]
        with nbchat.connect(link, name="cyd") as cyd:
            assert (cyd.room, cyd.role) == ("room 1", "member")


def test_a_nameless_chat_leaves_nothing(data_folder: Path) -> None:
    with nbchat.serve() as server, nbchat.connect(server, name="ada") as ada:
        ada.send("gone").wait()
        assert server.history == "memory"
    assert not data_folder.exists()
    assert discovery.running() == []


def test_another_process_keeps_its_chat() -> None:
    command = [sys.executable, "-c", SERVE.format(name="class")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        port = int(other.stdout.readline())
        with pytest.raises(AlreadyServing, match=r"type nbchat.join\(\)") as caught:
            nbchat.serve("class")
        assert caught.value.pid == other.pid
        assert str(other.pid) in str(caught.value)
        with nbchat.connect("class", name="ada") as ada:  # found by its runtime file, with its key
            assert (ada.role, discovery.running()[0].port) == ("host", port)
        other.kill()
        other.wait(PATIENCE)
        assert discovery.running() == []  # what the dead one left is not believed
    with nbchat.serve("class") as server:
        assert server.is_running


def test_the_runtime_file_is_for_its_user_alone(server: nbchat.Server) -> None:
    folder = Path(os.environ["JUPYTER_RUNTIME_DIR"])
    (path,) = folder.glob("nbchat-*.json")
    assert path.name == server._running.file
    assert path.name.startswith(f"nbchat-{server._running.pid}-{server.port}-")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    server.stop()
    assert list(folder.glob("nbchat-*.json")) == []


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"name": ""}, BadName, "empty"),
        ({"name": "a/b"}, BadName, "U\\+002F"),
        ({"name": 5}, UsageError, "text"),
        ({"port": 70000}, UsageError, "1 to 65535"),
        ({"port": "14900"}, UsageError, "number"),
        ({"host": "203.0.113.9"}, UsageError, "this machine's own addresses"),
        ({"limits": 5}, UsageError, "nbchat.Limits"),
        ({"history": 5}, UsageError, "history"),
        ({"history": "/dev/null/chat.sqlite"}, StoreDown, "history=None"),
    ],
)
def test_wrong_arguments_are_explained(arguments: dict[str, object], error: type, says: str) -> None:
    threads = threading.active_count()
    with pytest.raises(error, match=says):
        nbchat.serve(**arguments)  # type: ignore[arg-type]
    assert threading.active_count() == threads


def test_no_secret_is_shown_but_by_invite(server: nbchat.Server, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    link = server.invite()
    secrets = {link.partition("#k=")[2].partition(".")[2], discovery.here[server.port].key[1]}
    client = nbchat.connect(link, name="ada")
    other = Raw(link, "eve", proof="0" * 64)
    shown = [
        repr(server),
        server._repr_html_(),
        server.url,
        repr(client),
        repr(vars(client)),
        repr(vars(server)),
    ]
    shown += [repr(discovery.here), repr(parse(link)), str(other.welcome), caplog.text]
    try:
        nbchat.connect(link.replace(".", ".x"), name="bob")
    except nbchat.ChatError as error:
        shown.append(str(error))
    for secret in secrets:
        assert secret not in "".join(shown)
    server.stop()
    assert "stopped" in repr(server)
    assert "stopped" in server._repr_html_()


# ── peers, good and bad ─────────────────────────────────────────────────────────────────────────


def test_a_dropped_member_has_left_only_after_the_grace() -> None:
    limits = nbchat.Limits(grace=0.01)
    with nbchat.serve(port=0, limits=limits) as server, nbchat.connect(server, name="host") as host:
        Raw(server.invite(), "ada").close(reset=True)
        until(host, lambda: [row.kind for row in host._state.transcript.rows] == ["joined", "left"])
    with nbchat.serve(port=0) as server, nbchat.connect(server, name="host") as host:
        first = Raw(server.invite(), "ada")
        first.close(reset=True)
        again = Raw(server.invite(), "ada", session=first.welcome["session"], after=0)
        assert again.welcome["session"] == first.welcome["session"]
        host.send("after the return").wait()
        assert [row.kind for row in host._state.transcript.rows] == ["joined", "said"]
        again.close()


def test_a_reader_that_stops_delays_nobody_and_gets_all_of_it_later() -> None:
    text = "x" * 4000
    limits = nbchat.Limits(ring=200_000, write=50_000, rate=1e6, burst=10**6)
    with nbchat.serve(port=0, limits=limits) as server, nbchat.connect(server, name="ada") as ada:
        slow = Raw(server.invite(), "slow", buffer=4096)
        for _ in range(30):
            for message in [ada.send(text) for _ in range(50)]:
                message.wait()
        seqs = [slow.receive("said")["seq"] for _ in range(1500)]
        assert seqs == list(range(1, 1501))  # 6 MB of it, most no longer in the ring
        slow.close()


def test_a_member_over_its_rate_is_slowed_and_loses_nothing() -> None:
    # Half of the burst takes half a second to come back: until then it is told once.
    with nbchat.serve(port=0, limits=nbchat.Limits(rate=50, burst=50)) as server:
        fast = Raw(server.invite(), "fast")
        fast.send(*({"type": "say", "id": str(n), "text": str(n)} for n in range(100)))
        events = [fast.receive() for _ in range(101)]
        assert [event["text"] for event in events if event["type"] == "said"] == [str(n) for n in range(100)]
        assert [event["type"] for event in events].count("slow") == 1
        fast.close()


def test_silent_and_half_spoken_connections_are_ended() -> None:
    with nbchat.serve(port=0, limits=nbchat.Limits(hello=0.3, greeting=0.1)) as server:
        silent, half, garbled = Raw(server.url), Raw(server.url), Raw(server.url)
        half.socket.sendall(b'{"type":"hel')
        garbled.socket.sendall(b'{"type":\n')
        for each in (silent, half, garbled):
            assert each.is_at_end()
            each.close()
        assert server.members == []


def test_too_many_connections_harm_nobody() -> None:
    limits = nbchat.Limits(connections=20, unnamed=5, greeting=0.01)
    with nbchat.serve(port=0, limits=limits) as server, nbchat.connect(server, name="ada") as ada:
        crowd = [Raw(server.url) for _ in range(60)]
        with nbchat.connect(server, name="bob") as bob:
            assert ada.send("hello").wait().seq == 1
            assert bob.wait_for(lambda message: True, PATIENCE).text == "hello"
        for each in crowd:
            each.close(reset=True)


def test_a_line_without_end_costs_its_sender_the_connection() -> None:
    with nbchat.serve(port=0) as server, nbchat.connect(server, name="ada") as ada:
        for named in (None, "eve"):
            flood = Raw(server.invite(), named)
            try:
                for _ in range(200):
                    flood.socket.sendall(b'{"a":"' + b"x" * 65536)
            except ConnectionError:
                pass
            assert flood.is_at_end()
            flood.close()
        assert ada.send("unharmed").wait().seq == 1
        saw(ada, "ada")


def test_an_invitation_ends(server: nbchat.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    link = server.invite(hours=1)
    server._runner.ask(lambda shell: setattr(shell, "_clock", lambda: 4e9))
    with pytest.raises(nbchat.errors.NotTheServer, match="Ask for a new link"):
        nbchat.connect(link, name="ada")
    for hours in (0, -1, float("nan"), "12"):
        with pytest.raises(UsageError, match="hours=12"):
            server.invite(hours=hours)  # type: ignore[arg-type]


_FORK_WHILE_SERVING = """
import os, threading, nbchat
from nbchat.server import listeners, serve
begun, go_on = threading.Event(), threading.Event()
start = serve.ServerThread.start

def slow(self):
    begun.set()
    assert go_on.wait(20)
    start(self)

serve.ServerThread.start = slow
thread = threading.Thread(target=lambda: nbchat.serve("class", history=None))
thread.start()
assert begun.wait(20)
if not (child := os.fork()):
    serve.ServerThread.start = start
    with nbchat.serve("class", port=0, history=None) as server, nbchat.connect(server, name="ada") as ada:
        print(ada.send("in the child").wait(20).seq, flush=True)
    folder = "/proc/self/fd"
    held = [os.readlink(f"{folder}/{fd}") for fd in os.listdir(folder) if os.path.exists(f"{folder}/{fd}")]
    print(sum(each.startswith("socket:") for each in held), flush=True)
    os._exit(0)
print(os.waitpid(child, 0)[1], flush=True)
go_on.set()
thread.join(20)
with nbchat.connect("class", name="bob") as bob:
    print(bob.send("in the parent").wait(20).seq, flush=True)
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="no fork, or no way to see descriptors")
def test_a_fork_while_another_thread_serves_leaves_no_lock_behind() -> None:
    # Python 3.12 and newer warn of the fork, rightly: that thread is the program's own.
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", _FORK_WHILE_SERVING]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    assert done.stdout.split() == ["1", "0", "0", "1"]
