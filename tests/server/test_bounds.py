"""What bounds a server: who gives way, what a stalled reader costs, how fast an interpreter ends."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

import nbchat
from nbchat.core.limits import UNDER_WAY
from nbchat.server.engine.shell import Shell
from nbchat.store.promise import Event
from tests.net.helpers import PATIENCE, Raw, saw, until

FAST = {"rate": 1e6, "burst": 10**6}


def asked(server: nbchat.Server, fact: Callable[[Shell], bool]) -> None:
    """Ask the server's loop thread again and again until a fact is true there."""
    end = time.monotonic() + PATIENCE
    while not server._runner.ask(fact):
        assert time.monotonic() < end


def test_a_stalled_reader_costs_one_write_and_delays_nobody() -> None:
    text, count = "x" * 4000, 1000
    limits = nbchat.Limits(ring=100_000, write=30_000, send_buffer=16_384, **FAST)
    with (
        nbchat.serve(port=0, limits=limits) as server,
        nbchat.connect(server, name="ada") as ada,
        nbchat.connect(server, name="bob") as bob,
    ):
        slow = Raw(server.invite(), "slow", buffer=4096)
        saw(ada, "ada", "bob", "slow")
        for _ in range(count):
            ada.send(text)
        until(bob, lambda: bob._state.transcript.seq == count)  # while slow reads nothing

        def cost(shell: Shell) -> tuple[int, int]:
            """Bytes that wait for the one that is behind, and bytes of the room's ring."""
            (behind,) = [conn for conn in shell._connections if conn.is_full]
            fanout = shell._rooms["lobby"].fanout
            assert fanout is not None
            return behind._transport.get_write_buffer_size(), fanout._ring._size  # type: ignore[union-attr]

        waiting, ring = server._runner.ask(cost)
        tick = UNDER_WAY * (len(text) + 200)  # the most that one client can say at once
        assert waiting <= max(limits.write, tick)
        assert ring <= max(limits.ring, tick)
        # Later it has all of it, and a welcome says that its list of members is a new one.
        bob.close()
        saw(ada, "ada", "slow")
        events = [slow.receive()]
        while events[-1].get("seq") != count:
            events.append(slow.receive())
        assert [event["seq"] for event in events if event["type"] == "said"] == list(range(1, count + 1))
        (again,) = [event for event in events if event["type"] == "welcome"]
        assert [member["name"] for member in again["members"]] == ["ada", "slow"]
        slow.close()


def test_who_does_not_read_is_not_read() -> None:
    """Somebody who asks and asks and never reads the answers fills no memory."""
    with nbchat.serve(port=0, limits=nbchat.Limits(send_buffer=16_384, **FAST)) as server:
        raw = Raw(server.invite(), "ada", buffer=4096)
        raw.send({"type": "say", "id": "1", "text": "x" * 16_000})
        raw.receive("said")
        raw.socket.settimeout(0)
        asking, sent = b'{"type":"page"}\n' * 64, 0
        while select.select([], [raw.socket], [], 1)[1]:  # until nothing more goes out
            sent += raw.socket.send(asking)
            assert sent < 50_000_000
        size = server._runner.ask(
            lambda shell: max(c._transport.get_write_buffer_size() for c in shell._connections)
        )
        assert size < 5_000_000
        raw.close(reset=True)


def test_the_oldest_silent_connection_gives_way() -> None:
    limits = nbchat.Limits(unnamed=3, greeting=0.01)
    with nbchat.serve(port=0, plain=False, limits=limits) as server:
        first, later = Raw(server.url), []
        while not select.select([first.socket], [], [], 0.05)[0]:
            later.append(Raw(server.url))
            assert len(later) < 100
        assert first.is_at_end()
        with nbchat.connect(server, name="ada") as ada:
            assert ada.send("in").wait().seq == 1
        for each in (first, *later):
            each.close(reset=True)


def test_a_class_that_comes_at_once_is_let_in() -> None:
    """More than may be unnamed, and none of them has had the time to speak."""
    with nbchat.serve(port=0, limits=nbchat.Limits(unnamed=2, greeting=PATIENCE)) as server:
        link = server.invite()
        crowd = [Raw(link) for _ in range(20)]
        asked(server, lambda shell: len(shell._connections) == 20)
        for number, each in enumerate(crowd):
            each.join(link, f"student {number}")
            assert each.welcome["type"] == "welcome"
        assert len(server.members) == 20
        for each in crowd:
            each.close(reset=True)


def test_a_full_server_says_so() -> None:
    with nbchat.serve(port=0, limits=nbchat.Limits(connections=2)) as server:
        link = server.invite()
        inside = [Raw(link, "ada"), Raw(link, "bob")]
        late = Raw(link, "cyd")
        assert (late.welcome["code"], late.welcome["text"]) == (
            "server_full",
            "This chat is full. Try again later.",
        )
        with nbchat.connect(server, name="host") as host:
            assert host.role == "host", "who serves always comes in"
        assert late.is_at_end()
        inside.pop().close()
        asked(server, lambda shell: len(shell._connections) == 1)
        inside.append(Raw(link, "cyd"))
        assert inside[-1].welcome["type"] == "welcome"
        for each in inside:
            each.close()
        late.close()


@pytest.mark.parametrize(
    ("limits", "code"),
    [({"members": 1}, "room_full"), ({"rooms": 1}, "too_many_rooms")],
)
def test_rooms_and_members_are_bounded(limits: dict[str, int], code: str) -> None:
    room = "lobby" if code == "room_full" else "other"
    with nbchat.serve(port=0, limits=nbchat.Limits(**limits)) as server:
        with nbchat.connect(server, name="ada"):
            with pytest.raises(nbchat.errors.Refused) as caught:  # who serves would find a place in a room
                nbchat.connect(server.invite(room), name="bob")
            assert caught.value.code == code
        with nbchat.connect(server, name="bob", room=room):  # the place is free again
            assert server.members == ["bob"]


def test_from_whom_nothing_comes_is_dead() -> None:
    limits = nbchat.Limits(ping=0.2, dead=2.0, grace=0.01)
    with nbchat.serve(port=0, limits=limits) as server, nbchat.connect(server, name="ada") as ada:
        before = server._runner.ask(lambda shell: list(shell._connections))
        silent = Raw(server.invite(), "bob")
        assert silent.is_at_end()
        saw(ada, "ada")
        assert (
            server._runner.ask(lambda shell: list(shell._connections)) == before
        )  # she pings from the beginning
        assert [row.kind for row in ada._state.transcript.rows] == ["joined", "left"]
        silent.close()


_ENDING = """
import atexit, time
atexit.register(lambda: print(time.monotonic() - end))
import nbchat
servers = [nbchat.serve(port=0) for _ in range(3)]
clients = [nbchat.connect(server, name="ada") for server in servers]
clients[0].on_message(print)
clients[1].send("unheard")
servers[2].stop()
clients[2].send("never confirmed")
end = time.monotonic()
"""


def test_an_interpreter_ends_within_two_seconds() -> None:
    done = subprocess.run([sys.executable, "-c", _ENDING], capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stderr) == (0, "")
    assert float(done.stdout) < 2


_FORKING = """
import os, nbchat
server = nbchat.serve(port=0)
ada = nbchat.connect(server, name="ada")
if (child := os.fork()) == 0:
    with nbchat.serve(port=0) as own, nbchat.connect(own, name="bob") as bob:
        bob.send("in the child").wait()
        print(bob.transcript(), own.members, flush=True)
    os._exit(0)
print(os.waitpid(child, 0)[1])
ada.send("in the parent").wait()
print(ada.transcript(), server.members)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_can_have_a_chat_of_its_own() -> None:
    done = subprocess.run([sys.executable, "-c", _FORKING], capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "['bob: in the child'] ['bob']",
        "0",
        "['ada: in the parent'] ['ada']",
    ]


def test_who_hangs_up_is_not_fed_any_more() -> None:
    """A whole room asked for, and nobody there to take it: the reading of the store ends."""
    with nbchat.serve("class", port=0, limits=nbchat.Limits(**FAST)) as server:
        link = server.invite()
        with nbchat.connect(server, name="ada") as ada:
            for message in [ada.send("x" * 16_000) for _ in range(1500)]:
                message.wait()
        reads = []
        server._runner.ask(lambda shell: _count_reads(shell, reads))
        for number in range(5):
            raw = Raw(link, f"eve{number}", buffer=4096, after=0)
            raw.close(reset=True)
        asked(server, lambda shell: not shell._feeding)
        assert 0 < sum(reads) < 5 * 1500


def _count_reads(shell: Shell, reads: list[int]) -> None:
    """Have the store note how many events each read brings."""
    store = shell._store
    read = store.since

    async def counted(room: str, after: int, *, limit: int, size: int) -> list[Event]:
        events = await read(room, after, limit=limit, size=size)
        reads.append(len(events))
        return events

    store.since = counted  # type: ignore[method-assign]
