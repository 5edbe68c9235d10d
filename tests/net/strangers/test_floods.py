"""Much of everything: bytes without a newline, messages, joins, typing, pages, plain lines."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

import pytest

import nbchat
from nbchat.core import keys
from nbchat.net.discovery import parse
from nbchat.server import interfaces
from tests.net.helpers import PATIENCE, Raw, until
from tests.net.sealing import Sealed
from tests.net.strangers.conftest import Scene, bare, rest

MakeScene = Callable[..., AbstractContextManager[Scene]]

_HOST = """
import sys, nbchat
# A member whose line is too long is ended, and comes again at once. After 100 times it would have to wait,
# and the gibibyte would take minutes.
server = nbchat.serve(port=0, history=None, limits=nbchat.Limits(comings=10_000))
print(server.invite(), flush=True)
sys.stdin.read()
server.stop()
"""


def line(frame: dict[str, Any]) -> bytes:
    return json.dumps(frame).encode() + b"\n"


def peak(pid: int) -> int:
    """The most memory that a process had since it was reset, in KiB."""
    (found,) = re.findall(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found)


@pytest.mark.skipif(not os.path.exists("/proc/self/clear_refs"), reason="no measure of memory here")
@pytest.mark.parametrize("who", ["nobody", "member", "plain"])
def test_a_gibibyte_without_a_newline_fills_no_memory(who: str) -> None:
    """The server is a process of its own, so that its memory is nobody else's."""
    with subprocess.Popen(
        [sys.executable, "-c", _HOST], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as host:
        assert host.stdin is not None
        assert host.stdout is not None
        link = host.stdout.readline().strip()
        with nbchat.connect(link, name="ada") as ada:
            pour(link, who, 2**23)  # what a process needs only once
            (Path("/proc") / str(host.pid) / "clear_refs").write_text("5")
            before = peak(host.pid)
            pour(link, who, 2**30)
            more = peak(host.pid) - before
            seq = ada.send("unharmed").wait(PATIENCE).seq
            assert seq == 1 or who == "plain"  # what one read brings of that one is a text, if it is short
        assert more <= 2 * 1024, f"{more} KiB more"
        host.stdin.close()
        assert host.wait(PATIENCE) == 0


def pour(link: str, who: str, total: int) -> None:
    """Send so many bytes, over as many connections as it takes. A plain member is not hung up on but slowed,
    so there it ends when nothing goes out any more."""
    chunk, sent = b"a" * 2**20, 0
    while sent < total:
        raw = Raw(link, "eve" if who == "member" else None)
        if who == "plain":
            raw.socket.sendall(b"pat\n")
            raw.socket.settimeout(0.05)  # it is read ten times a second
        with suppress(ConnectionError, TimeoutError):
            while sent < total:
                sent += raw.socket.send(chunk)
        if who == "plain":
            sent = total
        else:
            assert raw.is_at_end()
        raw.close(reset=True)


# ── TLS that says nothing ──


@pytest.mark.skipif(sys.platform == "darwin", reason="127.0.0.2 is not there by itself")
@pytest.mark.parametrize("who", ["nobody", "member"])
def test_new_keys_without_end_are_stopped(
    make_scene: MakeScene, who: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """KeyUpdates carry no text, so no rule of the chat sees them; each costs as much as a message."""
    monkeypatch.setattr(interfaces, "lan_address", lambda: "127.0.0.2")
    with make_scene(lan=True, hello=PATIENCE) as scene, scene.attack("TLS records with nothing in them"):
        where = parse(scene.link)
        peer = Sealed((where.host, where.port), tmp_path, PATIENCE)
        sealer, join = peer.sealer, []
        if who == "member":
            nonce = "0" * 32
            peer.socket.sendall(
                sealer.say(line({"type": "hello", "v": 1, "key": where.key_id, "nonce": nonce}))
            )
            theirs = json.loads(peer.receive())["nonce"]
            proof = keys.client_proof(where.secret, nonce, theirs)
            peer.socket.sendall(sealer.say(line({"type": "join", "name": "eve", "proof": proof})))
            join = [json.loads(peer.receive())["type"]]
        assert join == ["welcome"] * (who == "member")
        flood = b"".join(sealer.key_update() for _ in range(20_000))
        with suppress(ConnectionError):
            peer.socket.sendall(flood)
        rest(peer.socket)  # in time: before `hello` is over, and a member has no such time
        peer.close()


# ── a member who never stops ────────────────────────────────────────────────────────────────────

SLOW = {"rate": 0.001, "burst": 40}
"""So that after its burst a member gets nothing more in the time of a test, and counts are exact."""
FLOODS = {
    "messages": (b'{"type":"say","id":"%d","text":"spam"}\n', 40),
    "typing": (b'{"type":"typing"}\n', 0),
    "pages": (b'{"type":"page","limit":500}\n', 0),
    "away": (b'{"type":"away","away":true}\n{"type":"away","away":false}\n', 0),
    "nonsense": (b"%d nonsense\n", 0),
    "joins": (b'{"type":"hello","v":1,"key":"x","nonce":"00000000000000000000000000000000"}\n', 0),
    "pings": (b'{"type":"ping"}\n', 0),
}


@pytest.mark.parametrize("kind", FLOODS)
def test_a_flood_of_a_member_is_that_members_own(make_scene: MakeScene, kind: str) -> None:
    """Of 20,000 requests 40 count (400 pings), and then nothing is read from it: others do not wait."""
    request, stored = FLOODS[kind]
    with make_scene(**SLOW) as scene, scene.attack(stores=stored):
        seen: list[object] = []
        scene.ask(lambda shell: count_requests(shell, seen))
        eve = Raw(scene.link, "eve")
        eve.socket.settimeout(0.3)
        with suppress(TimeoutError, ConnectionError):
            eve.socket.sendall(b"".join(request % n if b"%d" in request else request for n in range(20_000)))
        bob = nbchat.connect(scene.link, name="bob")  # a newcomer, in the middle of it
        until(bob, lambda: "eve" in bob.members)
        bob.close()
        mine = [each for each in seen if each == "eve"]
        assert len(mine) <= (401 if kind == "pings" else 41)
        eve.close(reset=True)


def count_requests(shell: object, seen: list[object]) -> None:
    """Have the hub note from whom each request comes."""
    hub = shell.hub  # type: ignore[attr-defined]
    handle, refuse = hub.handle, hub.refuse

    def handled(conn: object, request: object, now: float) -> object:
        seen.append(hub._by_conn[conn].name)
        return handle(conn, request, now)

    def refused(conn: object, error: object) -> object:
        seen.append(hub._by_conn[conn].name)
        return refuse(conn, error)

    hub.handle, hub.refuse = handled, refused


@pytest.mark.parametrize(("limit", "pages"), [(10, 20), (5, 40), (1, 40)])
@pytest.mark.parametrize("bound", ["messages", "bytes"])
def test_pages_count_by_what_they_cost(make_scene: MakeScene, bound: str, limit: int, pages: int) -> None:
    """The largest counts as two requests: of 40 at once that is 20, and then nothing is read from it."""
    bounds = {"page": 10} if bound == "messages" else {"write": 33_000}
    with make_scene(**bounds, **SLOW) as scene, scene.attack(stores=12):
        for message in [scene.ada.send("x" * 3000) for _ in range(12)]:
            message.wait()
        eve = Raw(scene.link, "eve", after=12)
        eve.send(*[{"type": "page", "limit": limit}] * 60)
        answers = []
        while not answers or answers[-1] != "slow":
            answers.append(eve.receive()["type"])
        assert pages <= answers.count("paged") <= pages * 1.1
        eve.close(reset=True)


def test_a_flood_of_joins_shuts_nobody_out(make_scene: MakeScene) -> None:
    """Who comes and drops again and again leaves a place taken each time; the oldest are given up."""
    with make_scene(members=8, grace=PATIENCE) as scene:
        for number in range(50):
            Raw(scene.link, f"eve {number}").close(reset=True)
        newcomer = Raw(scene.link, "newcomer")
        assert newcomer.welcome["type"] == "welcome", newcomer.welcome
        assert "ada" in [member["name"] for member in newcomer.welcome["members"]]
        assert scene.ada.send("still here").wait(PATIENCE).seq == 1
        newcomer.close()


def test_joins_and_goodbyes_leave_nothing(make_scene: MakeScene) -> None:
    # From one key and address 100 such visits are let pass at once, then two a second (test_names.py shows
    # that). This is about what each of them leaves behind, so here nobody waits for the other half of them.
    with make_scene(comings=1000) as scene, scene.attack():
        for number in range(200):
            raw = Raw(scene.link, f"eve {number % 3}", room=f"room {number % 7}")
            raw.send({"type": "bye"})
            assert raw.is_at_end()
            raw.close()
        assert scene.ask(lambda shell: len(shell.hub._rooms)) == 1


def test_rooms_by_the_hundred(make_scene: MakeScene) -> None:
    with make_scene(rooms=20) as scene, scene.attack("refused, too_many_rooms"):
        crowd = [Raw(scene.link, "eve", room=f"room {number}") for number in range(40)]
        assert sum(each.welcome["type"] == "welcome" for each in crowd) == 19
        for each in crowd:
            each.close()


def test_a_flood_of_a_plain_client_is_slowed(make_scene: MakeScene) -> None:
    with make_scene(greeting=0.02, **SLOW) as scene, bare(scene.server) as sock:
        sock.sendall(b"pat\n")
        until(scene.ada, lambda: "pat" in scene.ada.members)
        sock.sendall(b"spam\n" * 2_000)
        got = b""
        while b"you are sending fast" not in got:
            got += sock.recv(4096)
        assert scene.ada.send("still here").wait(PATIENCE).seq == 41
        with nbchat.connect(scene.link, name="bob") as bob:
            assert bob.send("so am I").wait(PATIENCE).seq == 42


def test_the_log_does_not_grow_with_a_flood(make_scene: MakeScene) -> None:
    with make_scene(rate=1e6, burst=10**6) as scene, scene.attack("refused, bad_json", "an HTTP request"):
        eve = Raw(scene.link, "eve")
        eve.socket.sendall(b"nonsense\n" * 1_000 + b'{"type":"bye"}\n')
        assert eve.is_at_end()
        eve.close()
        for _ in range(100):
            with bare(scene.server) as sock:
                sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
                assert rest(sock)
        assert len(scene.log) == 2
        assert all(parse(scene.link).host in line for line in scene.log)


def test_after_a_minute_the_log_says_how_often_it_came(make_scene: MakeScene) -> None:
    with make_scene() as scene:
        for _ in range(100):
            with bare(scene.server) as sock:
                sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
                assert rest(sock)
        assert len(scene.log) == 1
        for minute in (1, 2):
            scene.ask(
                lambda shell, m=minute: setattr(shell.refusals, "_clock", lambda: shell.loop.time() + m * 61)
            )
            scene.ask(lambda shell: shell.refusals.tick())
            assert len(scene.log) == 2  # once
            assert scene.log[1].endswith("(99 more times within a minute)")
