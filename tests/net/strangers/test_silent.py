"""Those who come and say nothing, say it slowly, or vanish in the middle of a word."""

from __future__ import annotations

import json
import secrets
import select
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress

import pytest

import nbchat
from nbchat.net.discovery import parse
from tests.net.helpers import PATIENCE, Raw
from tests.net.strangers.conftest import Scene, bare

MakeScene = Callable[..., AbstractContextManager[Scene]]


def welcomed(scene: Scene, name: str) -> None:
    """Join by a bare socket, and leave."""
    newcomer = Raw(scene.link, name)
    assert newcomer.welcome["type"] == "welcome", newcomer.welcome
    newcomer.send({"type": "bye"})
    assert newcomer.is_at_end()
    newcomer.close()


@pytest.mark.parametrize("greeting", [0.25, PATIENCE], ids=["they give way", "they stay"])
@pytest.mark.parametrize("drips", [False, True], ids=["silent", "dripping"])
def test_200_silent_or_dripping_connections_keep_nobody_out(
    make_scene: MakeScene, greeting: float, drips: bool
) -> None:
    with make_scene(greeting=greeting, connections=240) as scene:
        crowd: list[socket.socket] = []
        with scene.attack():
            for _ in range(200):
                crowd.append(bare(scene.server))
            scene.wait(lambda shell: len(shell._connections) > 100)
            for number in range(20):
                for each in crowd if drips else ():
                    with suppress(ConnectionError):
                        each.send(b"{" if number == 0 else b" ")
                welcomed(scene, f"newcomer {number}")
            for each in crowd:
                each.close()


def test_who_drips_is_ended_when_its_time_is_over(make_scene: MakeScene) -> None:
    """Bytes now and then are no reason to wait longer for a name."""
    with make_scene(hello=0.5) as scene, scene.attack("did not say who it is in time"):
        sock = bare(scene.server)
        sock.sendall(b"{")
        while not select.select([sock], [], [], 0.05)[0]:
            sock.send(b" ")
        answer = json.loads(sock.recv(65536).removeprefix(b"USERNAME").splitlines()[0])
        assert (answer["type"], answer["reason"]) == ("closing", "You did not say who you are in time.")
        sock.close()


def test_one_address_has_16_places_and_gives_way_to_others(make_scene: MakeScene) -> None:
    says = "too many connections that did not say who they are"
    with make_scene(greeting=0.01, unnamed_each=4) as scene, scene.attack(says):
        crowd = [bare(scene.server) for _ in range(4)]
        for each in crowd:
            assert each.recv(8, socket.MSG_WAITALL) == b"USERNAME"  # it was silent for a while
        while not select.select([crowd[0]], [], [], 0.05)[0]:  # the oldest one has been silent for longer
            crowd.append(bare(scene.server))
        assert crowd[0].recv(1) == b""
        for each in crowd:
            each.close()


def test_who_fills_a_server_makes_room_for_the_others(make_scene: MakeScene) -> None:
    """Nobody has been silent for long, and no place is free: the crowd of one address gives way."""
    says = "too many connections that did not say who they are"
    with make_scene(greeting=PATIENCE, connections=20, spare=1, unnamed_each=16) as scene, scene.attack(says):
        crowd = [bare(scene.server) for _ in range(20)]
        scene.wait(lambda shell: len(shell._connections) == 21)
        # Another address came first, and is the oldest of all.
        other = scene.ask(lambda shell: move_to(shell, "192.0.2.7"))
        more = bare(scene.server)
        gone = [each for each in crowd if select.select([each], [], [], 0)[0]]
        while not gone:
            gone = [each for each in crowd if select.select([each], [], [], 0)[0]]
        assert len(gone) == 1
        assert scene.ask(lambda shell: other in shell._connections and other.is_open)
        for each in (*crowd, more):
            each.close()


def move_to(shell: object, address: str) -> object:
    """Have the oldest connection that is nobody's come from another address."""
    unnamed = shell._unnamed  # type: ignore[attr-defined]
    oldest = unnamed.oldest()
    rest = list(unnamed)
    for each in rest:
        unnamed.discard(each)
    oldest.host = address
    for each in rest:
        unnamed.add(each)
    return oldest


# ── an end in every state ───────────────────────────────────────────────────────────────────────


def hello(link: str) -> bytes:
    nonce = secrets.token_hex(16)
    return json.dumps({"type": "hello", "v": 1, "key": parse(link).key_id, "nonce": nonce}).encode() + b"\n"


def states(scene: Scene) -> Iterator[tuple[str, socket.socket]]:
    """A connection in each state that there is."""

    def start(name: str, *sends: bytes, waits: bytes = b"") -> tuple[str, socket.socket]:
        sock = bare(scene.server)
        for each in sends:
            sock.sendall(each)
        got = b""
        while waits and waits not in got:
            got += sock.recv(4096)
        return name, sock

    yield start("silent")
    yield start("one byte", b"{")
    yield start("a web request begun", b"GET /")
    yield start("half a hello", hello(scene.link)[:30])
    yield start("half a challenge away", hello(scene.link), waits=b"challenge")
    yield start("half a join", hello(scene.link), b'{"type":"join","na', waits=b"challenge")
    yield start("greeted", waits=b"USERNAME")
    yield start("a plain name", b"pat 1\n", waits=b"USERNAME")
    yield start("a plain client with half a character", b"pat 2\n", b"\xc3", waits=b"USERNAME")
    for name, sends in {
        "a member": b"",
        "a member with half a line": b'{"type":"say","id":"1","te',
        "a member with half a character": b'{"type":"say","id":"1","text":"\xc3',
        "a member with a page under way": b'{"type":"page"}\n' * 30,
        "a member over its rate": b'{"type":"typing"}\n' * 50,
        "a member who typed": b'{"type":"typing"}\n',
    }.items():
        raw = Raw(scene.link, name)
        raw.socket.sendall(sends)
        yield name, raw.socket.dup()
        raw.close()


@pytest.mark.parametrize("ending", ["FIN", "RST", "half"])
def test_an_end_in_every_state(make_scene: MakeScene, ending: str) -> None:
    # So long to say hello that what is left is not cleared away by that.
    with make_scene(greeting=0.05, hello=10 * PATIENCE) as scene, scene.attack():
        open_ones = dict(states(scene))
        assert len(open_ones) == 15
        for name, sock in open_ones.items():
            if ending == "half":
                sock.shutdown(socket.SHUT_WR)
                with suppress(ConnectionError):
                    while sock.recv(65536):  # the server hangs up as well
                        pass
            elif ending == "RST":
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()
            assert name


def test_half_open_peers_are_dead(make_scene: MakeScene) -> None:
    """They come, join, and then nothing is heard of them, though their sockets stand."""
    with make_scene(greeting=0.05) as scene, scene.attack():
        gone = [Raw(scene.link, f"gone {number}") for number in range(5)]
        # As if a minute had passed for them.
        scene.ask(
            lambda shell: [
                setattr(conn, "heard", conn.heard - shell.limits.dead - 1)
                for conn in shell._connections
                if (conn.peer or ("", 0))[1] in {each.socket.getsockname()[1] for each in gone}
            ]
        )
        for each in gone:
            assert each.is_at_end()
            each.close()


def test_2000_connections_in_a_burst(make_scene: MakeScene) -> None:
    with make_scene() as scene, scene.attack("too many connections that did not say who they are"):
        crowd, most = [], 0
        for number in range(2000):
            crowd.append(bare(scene.server))
            if number % 200 == 199:
                most = max(most, scene.ask(lambda shell: sum(each.is_open for each in shell._connections)))
                welcomed(scene, f"newcomer {number}")
        assert most <= nbchat.Limits().connections + nbchat.Limits().spare
        for each in crowd:
            each.close()


# ── out of descriptors ──────────────────────────────────────────────────────────────────────────

_SCARCE = """
import logging, os, resource, sys, time
if sys.argv[1] == "asyncio":
    sys.modules["uvloop"] = None
import nbchat
records = []
class Keep(logging.Handler):
    def emit(self, record): records.append(record.getMessage())
logging.getLogger("nbchat").addHandler(Keep())
logging.getLogger("nbchat").setLevel(logging.INFO)
server = nbchat.serve(port=0, history=None, plain=True)
resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
print(server.invite(), flush=True)
for line in sys.stdin:
    if line == "cpu\\n":
        print(time.process_time(), time.monotonic(), len(server._runner.shell._connections), flush=True)
    elif line == "log\\n":
        print(len(records), sum("descriptor" in record for record in records), flush=True)
    else:
        break
server.stop()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no such limit there")
@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_out_of_descriptors(loop: str) -> None:
    """Who is there is served, the processor rests, and newcomers are let in as soon as they can be."""
    with subprocess.Popen(
        [sys.executable, "-c", _SCARCE, loop],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1,
    ) as child:  # fmt: skip
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stderr is not None

        def ask(what: str) -> list[float]:
            child.stdin.write(what + "\n")  # type: ignore[union-attr]
            return [float(each) for each in child.stdout.readline().split()]  # type: ignore[union-attr]

        link = child.stdout.readline().strip()
        ada, bob = nbchat.connect(link, name="ada"), nbchat.connect(link, name="bob")
        where = parse(link)
        crowd = [socket.create_connection((where.host, where.port), PATIENCE) for _ in range(100)]
        cpu, moment, _ = ask("cpu")
        until_later = moment + 3
        count = 0
        while moment < until_later:  # served while nobody else can come
            ada.send(f"message {count}").wait(PATIENCE)
            count += 1
            select.select([], [], [], 0.1)
            later, moment, connections = ask("cpu")
        assert bob.wait_for(lambda message: message.text == f"message {count - 1}", PATIENCE)
        assert connections < 64
        assert (later - cpu) / 3 < 0.5, "it spins"
        for each in crowd:
            each.close()
        with nbchat.connect(link, name="cyd") as cyd:
            assert cyd.send("here as well").wait(PATIENCE).seq == count + 1
        lines, of_descriptors = ask("log")
        assert of_descriptors <= 1
        assert lines < 10
        ada.close()
        bob.close()
        child.stdin.write("end\n")
        assert child.wait(PATIENCE) == 0
        assert child.stderr.read() == ""


def test_without_a_descriptor_nobody_is_taken_on_trust(monkeypatch: pytest.MonkeyPatch) -> None:
    """The list of sockets cannot be read then, and a plain client may be anybody's."""
    from nbchat.net.owners import is_own_user

    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as client,
    ):
        ends = client.getsockname(), listener.getsockname()
        assert is_own_user(*ends)

        def none_left(*args: object, **named: object) -> None:
            raise OSError(24, "Too many open files")

        monkeypatch.setattr("builtins.open", none_left)
        assert not is_own_user(*ends)


def test_a_proof_is_needed_before_anything_else(scene: Scene) -> None:
    """Without a proof there is no name, no room and no history."""
    with scene.attack("refused, bad_key", "refused, join_first"):
        raw = Raw(scene.link, "eve", proof="0" * 64)
        assert (raw.welcome["type"], raw.welcome["code"]) == ("refused", "bad_key")
        assert raw.is_at_end()
        raw.close()
        for _ in range(5):
            raw = Raw(scene.link)
            raw.send({"type": "page"})
            assert raw.receive()["code"] == "join_first"
            assert raw.is_at_end()
            raw.close()
