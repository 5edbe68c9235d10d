"""The plain-text dialect on real sockets: the first programs, ``nc``, and those who are neither."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest

import nbchat
from nbchat.client import connection
from nbchat.core.errors import Refused, Unreachable
from nbchat.net.owners import is_own_user
from nbchat.server.engine.shell import Shell
from tests.net.firstgen import FirstClient, FirstServer
from tests.net.helpers import PATIENCE, Raw, saw, until

UNHURRIED = nbchat.Limits(plain_pace=0.25)
"""So long between two writes that a reader on a busy machine reads them one by one."""


class Bare:
    """A socket that speaks whatever the test says."""

    def __init__(self, server: nbchat.Server) -> None:
        self.socket = socket.create_connection((server.host, server.port), PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def write(self, data: bytes) -> None:
        self.socket.sendall(data)

    def read(self, data: bytes) -> None:
        """Read just these bytes."""
        got = b""
        while len(got) < len(data):
            more = self.socket.recv(len(data) - len(got))
            got += more
            assert more, got
            assert data.startswith(got)

    def rest(self) -> bytes:
        """All that comes until the server hangs up."""
        got = b""
        with contextlib.suppress(ConnectionResetError):
            while more := self.socket.recv(65536):
                got += more
        return got

    def __enter__(self) -> Bare:
        return self

    def __exit__(self, *error: object) -> None:
        self.socket.close()


def asked(server: nbchat.Server, fact: Callable[[Shell], bool]) -> None:
    """Ask the server's loop thread again and again until a fact is true there."""
    end = time.monotonic() + PATIENCE
    while not server._runner.ask(fact):
        assert time.monotonic() < end


@pytest.fixture
def ada(server: nbchat.Server) -> Iterator[nbchat.Client]:
    with nbchat.connect(server, name="ada") as ada:
        yield ada


def unharmed(server: nbchat.Server, ada: nbchat.Client) -> None:
    """Nobody but ada ever came, and she can talk."""
    assert ada.send("still here").wait(PATIENCE).seq == 1
    assert server.members == ["ada"]
    assert [row.kind for row in ada._state.transcript.rows] == ["said"]
    asked(server, lambda shell: len(shell._connections) == 1)
    with nbchat.connect(server, name="bob") as bob:
        bob.send("so am I").wait(PATIENCE)
        assert ada.wait_for(lambda message: message.by == "bob", PATIENCE).text == "so am I"
        assert bob.transcript() == ["ada: still here", "bob: so am I"]


# ── conversations ───────────────────────────────────────────────────────────────────────────────


def test_two_of_each_kind_converse(server: nbchat.Server) -> None:
    with (
        nbchat.connect(server, name="ada") as ada,
        nbchat.connect(server, name="bob") as bob,
        FirstClient(server.port, "pat") as pat,
    ):
        saw(ada, "ada", "bob", "pat")
        with FirstClient(server.port, "quin") as quin:
            pat.wait_for("quin joined the chat!")
            pat.say("hello from pat")
            quin.wait_for("pat: hello from pat")
            ada.send("hello from ada").wait()
            for plain in (pat, quin):
                plain.wait_for("ada: hello from ada")
            quin.say("schön hier ☕")
            pat.wait_for("quin: schön hier ☕")
            bob.send("bye").wait()
            pat.wait_for("bob: bye")
            quin.wait_for("bob: bye")
            assert quin.reads == ["pat: hello from pat", "ada: hello from ada", "bob: bye"]
        pat.wait_for("quin left the chat")
        saw(ada, "ada", "bob", "pat")
        assert ada.transcript() == bob.transcript()
        assert ada.transcript() == [
            "pat: hello from pat",
            "ada: hello from ada",
            "quin: schön hier ☕",
            "bob: bye",
        ]
        assert [(member, member.plain) for member in ada.members] == [
            ("ada", False), ("bob", False), ("pat", True),
        ]  # fmt: skip
        # Its own words never come back to it.
        assert not any(read.startswith(("pat:", "pat joined")) for read in pat.reads)
        assert (pat.died_of, quin.died_of) == (None, None)


def test_twenty_quick_lines_of_a_plain_client_are_twenty_messages(
    server: nbchat.Server, ada: nbchat.Client
) -> None:
    with FirstClient(server.port, "pat") as pat:
        saw(ada, "ada", "pat")
        for number in range(20):
            pat.say(f"line {number}\n")
        ada.wait_for(lambda message: message.text == "line 19")
        assert ada.transcript() == [f"pat: line {number}" for number in range(20)]


def test_twenty_quick_messages_are_twenty_lines_at_a_plain_client() -> None:
    with (
        nbchat.serve(port=0, limits=UNHURRIED) as server,
        nbchat.connect(server, name="ada") as ada,
        FirstClient(server.port, "pat") as pat,
    ):
        saw(ada, "ada", "pat")
        for number in range(20):
            ada.send(f"line {number} {'x' * 90}")
        pat.wait_for(f"line 19 {'x' * 90}")
        assert pat.screen.split("\n") == [f"ada: line {number} {'x' * 90}" for number in range(20)]
        assert len(pat.reads) < 20  # joined, since more was due than the pace allows


def test_a_long_message_of_a_plain_client_is_one_message(server: nbchat.Server, ada: nbchat.Client) -> None:
    text = "long " * 600
    with FirstClient(server.port, "pat") as pat:
        saw(ada, "ada", "pat")
        pat.say(text)
        ada.wait_for(lambda message: True)
        pat.say("next")
        ada.wait_for(lambda message: message.text == "next")
        assert ada.transcript() == [f"pat: {text}", "pat: next"]


@pytest.mark.parametrize("shift", range(4))
def test_a_long_message_never_gives_half_a_character_to_a_plain_client(shift: int) -> None:
    text = "a" * shift + "€ü😀" * 334 + "end"
    assert len(text.encode()) > 3000
    with (
        nbchat.serve(port=0, limits=UNHURRIED) as server,
        nbchat.connect(server, name="ada") as ada,
        FirstClient(server.port, "pat") as pat,
    ):
        saw(ada, "ada", "pat")
        ada.send(text)
        pat.wait_for("end")
        assert pat.died_of is None
        assert "".join(pat.reads) == f"ada: {text}"
        assert all(len(read.encode()) <= 1024 for read in pat.reads)


def test_a_character_cut_between_two_reads_is_joined(server: nbchat.Server, ada: nbchat.Client) -> None:
    with FirstClient(server.port, "pat") as pat:
        saw(ada, "ada", "pat")
        for whole in ("é", "€", "😀"):
            data = whole.encode()
            for cut in range(1, len(data)):
                pat.send(b"one" + data[:cut])
                assert ada.wait_for(lambda message: True).text == "one"  # so that one was read by itself
                pat.send(data[cut:] + b"two")
                assert ada.wait_for(lambda message: True).text == f"{whole}two"
        pat.send(b"not \xff UTF-8")
        assert ada.wait_for(lambda message: True).text == "not \ufffd UTF-8"


def test_a_reader_that_stops_is_told_that_something_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nbchat.core.plain.MOST_LINES", 20)
    limits = nbchat.Limits(plain_pace=5.0, rate=1e6, burst=10**6)
    with (
        nbchat.serve(port=0, limits=limits) as server,
        nbchat.connect(server, name="ada") as ada,
        Bare(server) as pat,
    ):
        pat.read(b"USERNAME")
        pat.write(b"pat\n")
        saw(ada, "ada", "pat")
        for message in [ada.send(f"line {number}") for number in range(100)]:
            message.wait()
        pat.read(b"ada: line 0\n")
        server._runner.ask(lambda shell: next(c for c in shell._connections if c.is_plain)._session._write())
        pat.read(b"system: you were too slow; some messages were left out\n")
        pat.read(b"".join(b"ada: line %d\n" % number for number in range(80, 100)))


def test_a_plain_member_over_its_rate_loses_nothing() -> None:
    limits = nbchat.Limits(rate=100, burst=5, plain_pace=0.001)
    with (
        nbchat.serve(port=0, limits=limits) as server,
        nbchat.connect(server, name="ada") as ada,
        Bare(server) as pat,
    ):
        pat.read(b"USERNAME")
        pat.write(b"pat\n")
        saw(ada, "ada", "pat")
        pat.write(b"".join(b"line %d\n" % number for number in range(30)))
        pat.read(b"system: you are sending fast; the rest follows slowly\n")
        ada.wait_for(lambda message: message.text == "line 29", PATIENCE)
        assert ada.transcript() == [f"pat: line {number}" for number in range(30)]


@pytest.mark.parametrize("burst", [40, 5], ids=["at once", "over its rate"])
def test_a_pipe_that_hangs_up_has_said_all(burst: int) -> None:
    with (
        nbchat.serve(port=0, limits=nbchat.Limits(rate=100, burst=burst)) as server,
        nbchat.connect(server, name="ada") as ada,
    ):
        with Bare(server) as pipe:
            pipe.read(b"USERNAME")
            pipe.write(b"log\n" + b"".join(b"line %d\n" % number for number in range(30)) + b"last")
        until(ada, lambda: "left" in {row.kind for row in ada._state.transcript.rows})
        assert ada.transcript() == [f"log: line {number}" for number in range(30)] + ["log: last"]
        kinds = [(row.kind, row.name) for row in ada._state.transcript.rows]
        assert kinds == [("joined", "log"), *[("said", "log")] * 31, ("left", "log")]


def test_what_waited_when_the_connection_broke_is_said() -> None:
    limits = nbchat.Limits(rate=0.01, burst=5)  # so slow that only the end can bring the rest
    with (
        nbchat.serve(port=0, limits=limits) as server,
        nbchat.connect(server, name="ada") as ada,
    ):
        with Bare(server) as pat:
            pat.read(b"USERNAME")
            pat.write(b"pat\n" + b"".join(b"line %d\n" % number for number in range(8)))
            pat.read(b"system: you are sending fast; the rest follows slowly\n")
            pat.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        ada.send("are you there?")  # what is written to pat shows that nobody is
        until(ada, lambda: "left" in {row.kind for row in ada._state.transcript.rows})
        said = [message.text for message in ada.messages if message.by == "pat"]
        assert said == [f"line {number}" for number in range(8)]


def test_a_plain_member_that_is_reset_has_left(server: nbchat.Server, ada: nbchat.Client) -> None:
    with Bare(server) as pat:
        pat.read(b"USERNAME")
        pat.write(b"pat")
        saw(ada, "ada", "pat")
        pat.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    saw(ada, "ada")
    kinds = [(row.kind, row.name) for row in ada._state.transcript.rows]
    assert kinds == [("joined", "pat"), ("left", "pat")]


# ── as nc does ──────────────────────────────────────────────────────────────────────────────────


def test_nc_is_answered_with_lines(server: nbchat.Server, ada: nbchat.Client) -> None:
    with Bare(server) as nc:
        nc.read(b"USERNAME")
        nc.write(b"nina\n")
        saw(ada, "ada", "nina")
        ada.send("hi nina").wait()
        nc.read(b"ada: hi nina\n")
        nc.write(b"hi ada\r\n\n")
        assert ada.wait_for(lambda message: message.by == "nina").text == "hi ada"
        ada.send("two\nlines").wait()
        nc.read(b"ada: two\n  lines\n")  # nothing of her own in between
        with nbchat.connect(server, name="bob"):
            nc.read(b"bob joined the chat!\n")
        nc.read(b"bob left the chat\n")
        server.stop()
        assert nc.rest().strip() == b"system: The server was stopped."


def test_a_name_may_come_with_many_messages_behind_it(server: nbchat.Server, ada: nbchat.Client) -> None:
    """As a pipe sends them: it is the first line that has to be a name."""
    text = "x" * 5000
    with Bare(server) as bare:
        bare.write(f"pat\n{text}\n".encode())
        assert ada.wait_for(lambda message: message.by == "pat", PATIENCE).text == text


def test_a_name_may_come_before_it_is_asked_for(server: nbchat.Server, ada: nbchat.Client) -> None:
    with Bare(server) as nc:
        nc.write(b"nina\nand a first message\n")
        nc.read(b"USERNAME")
        assert ada.wait_for(lambda message: message.by == "nina").text == "and a first message"


def test_a_slow_native_client_is_still_a_native_one(server: nbchat.Server) -> None:
    raw = Raw(server.url)
    assert raw.socket.recv(8, socket.MSG_WAITALL) == b"USERNAME"
    raw.send({"type": "hello", "v": 1, "key": "k", "nonce": "0" * 32})
    assert raw.receive()["type"] == "challenge"
    raw.close()


# ── who may not, and who cannot ─────────────────────────────────────────────────────────────────


def test_a_taken_name_gets_a_suffix(server: nbchat.Server, ada: nbchat.Client) -> None:
    with FirstClient(server.port, "Ada") as other:
        other.wait_for("system: you are Ada2 here")
        saw(ada, "ada", "Ada2")
        other.say("I am ada")
        assert ada.wait_for(lambda message: True).by == "Ada2"


@pytest.mark.parametrize(
    ("name", "why"),
    [
        (b"caf\xe9", b"system: your name is not in UTF-8; set your terminal to UTF-8\n"),
        (b"\n", b"system: This name is empty"),
        (b"   ", b"system: This name is empty"),
        (b"boss: hi", b"U+003A"),
        (b"a\x1b[2Jb", b"U+001B"),
        (b"system", b"a name that the chat itself uses"),
        (b"x" * 2000, b"system: This name is 2000 characters long"),
    ],
    ids=["latin-1", "empty", "blank", "colon", "escape", "system", "long"],
)
def test_a_name_that_cannot_be_is_answered(
    server: nbchat.Server, ada: nbchat.Client, name: bytes, why: bytes
) -> None:
    with Bare(server) as bare:
        bare.read(b"USERNAME")
        bare.write(name)
        answer = bare.rest()
        assert why in answer
        assert b"\x1b" not in answer
    unharmed(server, ada)


def test_plain_false_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    refusal = b"This chat takes no plain-text clients. In a notebook: import nbchat; nbchat.join()\n"
    monkeypatch.setenv("JUPYTERHUB_USER", "ada")  # where it is False by itself
    for plain in (False, None):
        with nbchat.serve(port=0, plain=plain) as server, Bare(server) as bare:
            bare.write(b"pat")
            assert bare.rest() == refusal
            assert server.members == []
    with nbchat.serve(port=0, plain=True) as server, Bare(server) as bare:
        bare.read(b"USERNAME")


@pytest.mark.skipif(not os.path.exists("/proc/net/tcp"), reason="no list of sockets here")
def test_whose_connection_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    with contextlib.ExitStack() as stack:
        listener, other = (stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2))
        client = stack.enter_context(socket.create_connection(listener.getsockname()))
        mine, here = client.getsockname(), listener.getsockname()
        assert is_own_user(mine, here)
        # The same port may have been another connection's, a moment ago or still.
        assert not is_own_user(mine, other.getsockname())
        monkeypatch.setattr("os.getuid", lambda: 12345)
        assert not is_own_user(mine, here)


def test_a_port_used_before_for_something_else_is_taken_all_the_same(server: nbchat.Server) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        before = socket.socket()
        before.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if sys.platform.startswith("linux"):  # an address at which nobody else is given that port meanwhile
            before.bind(("127.0.0.9", 0))
        before.connect(other.getsockname())
        mine = before.getsockname()
        before.close()  # first, so that it is this end that is remembered for a minute
        other.accept()[0].close()
        with socket.socket() as again:
            again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            again.settimeout(PATIENCE)
            again.bind(mine)
            again.connect((server.host, server.port))
            assert again.recv(8, socket.MSG_WAITALL) == b"USERNAME"


@pytest.mark.parametrize("when", ["at once", "when asked", "with half a line"])
def test_a_reset_during_the_handshake(server: nbchat.Server, ada: nbchat.Client, when: str) -> None:
    for _ in range(3):
        raw = Raw(server.url)
        if when == "when asked":
            assert raw.socket.recv(8, socket.MSG_WAITALL) == b"USERNAME"
        elif when == "with half a line":
            raw.socket.sendall(b'{"type":"hello"')
        raw.close(reset=True)
    unharmed(server, ada)


def test_a_silent_client_harms_nobody(server: nbchat.Server, ada: nbchat.Client) -> None:
    silent = [Bare(server) for _ in range(10)]
    for each in silent:
        each.read(b"USERNAME")
    for each in silent:
        each.socket.close()
    unharmed(server, ada)


POST = b"POST /api HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 11\r\n\r\nboss: hello"


@pytest.mark.parametrize(
    "data",
    [POST, b"GET / HTTP/1.1\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"BREW /pot HTCPCP/1.0\r\n\r\n"],
    ids=["POST", "GET", "HTTP/2", "another verb"],
)
def test_a_browser_is_told_what_this_is(data: bytes) -> None:
    if data.startswith(b"BREW"):
        data = data.replace(b"HTCPCP", b"HTTP")
    with nbchat.serve(port=0) as server, nbchat.connect(server, name="ada") as ada:
        with Bare(server) as browser:
            browser.write(data)
            answer = browser.rest()
        assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert b"This is a chat port" in answer
        with Bare(server) as browser:
            browser.read(b"USERNAME")  # it came before it had something to ask for
            browser.write(data)
            assert browser.rest() == answer
        unharmed(server, ada)


def test_a_post_split_at_any_byte_is_no_member() -> None:
    # The patience is long here, so that a slow machine does not take a "P" for a name.
    with (
        nbchat.serve(port=0, limits=nbchat.Limits(greeting=PATIENCE)) as server,
        nbchat.connect(server, name="ada") as ada,
    ):
        for cut in range(1, len(POST)):
            with Bare(server) as browser:
                browser.write(POST[:cut])
                asked(
                    server,
                    lambda shell, cut=cut: (
                        any(  # type: ignore[misc]
                            conn._first == POST[:cut] or not conn.is_open for conn in shell._unnamed
                        )
                        or not shell._unnamed
                    ),
                )
                with contextlib.suppress(ConnectionError):
                    browser.write(POST[cut:])
                assert browser.rest().startswith(b"HTTP/1.1 400 Bad Request\r\n"), cut
        unharmed(server, ada)


@pytest.mark.parametrize(
    "data",
    [bytes.fromhex("16030100c8010000c4030361") + bytes(180), b"SSH-2.0-OpenSSH_9.6\r\n", b"x" * 5000],
    ids=["TLS", "SSH", "noise"],
)
def test_other_strangers_are_hung_up_on(server: nbchat.Server, ada: nbchat.Client, data: bytes) -> None:
    with Bare(server) as stranger:
        stranger.write(data)
        assert stranger.rest() == b""
    with Bare(server) as stranger:
        stranger.read(b"USERNAME")  # after the greeting they are known as well
        stranger.write(data)
        assert stranger.rest() == b""
    unharmed(server, ada)


# ── forging ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "text",
    ["x\nboss: hi", "x\rboss: hi", "x\r\nboss: hi", "x\x0bboss: hi", "x\u2028boss: hi", "x\x85boss: hi"],
    ids=ascii,
)
def test_no_line_of_a_message_passes_for_another_members(text: str, server: nbchat.Server) -> None:
    eve = Raw(server.invite(), "eve")
    with FirstClient(server.port, "pat") as pat, FirstClient(server.port, "mallory") as mallory:
        pat.wait_for("mallory joined the chat!")
        eve.send({"type": "say", "id": "1", "text": text}, {"type": "say", "id": "2", "text": "end"})
        pat.wait_for("eve: end")
        mallory.wait_for("eve: end")
        mallory.send(text.encode() + b"\nover")
        pat.wait_for("mallory: over")
        lines = [line for read in pat.reads for line in read.splitlines()]
        assert not [line for line in lines if line.startswith("boss")], lines
    eve.close()


def test_what_cannot_be_seen_is_made_visible_for_plain_clients(
    server: nbchat.Server, ada: nbchat.Client
) -> None:
    with FirstClient(server.port, "pat") as pat, FirstClient(server.port, "quin") as quin:
        pat.wait_for("quin joined the chat!")
        quin.say("\x1b[2J\x07\u202eevil\u200b")
        pat.wait_for("quin: ␛[2J␇<U+202E>evil<U+200B>")
        ada.send("\u202eevil\u2066\ufeff")
        pat.wait_for("ada: <U+202E>evil<U+2066><U+FEFF>")


def test_no_part_of_a_long_message_passes_for_another_members() -> None:
    with (
        nbchat.serve(port=0, limits=UNHURRIED) as server,
        nbchat.connect(server, name="eve") as eve,
        FirstClient(server.port, "pat") as pat,
    ):
        saw(eve, "eve", "pat")
        for line in ("boss: hi", "boss left the chat"):
            eve.send("x" * (1024 - len("eve: ")) + line)
            pat.wait_for(line)
        assert not [read for read in pat.reads if read.startswith("boss")], pat.reads


# ── what plain members are not told ─────────────────────────────────────────────────────────────


def test_a_plain_member_reads_nothing_of_away_and_typing(server: nbchat.Server, ada: nbchat.Client) -> None:
    with FirstClient(server.port, "pat") as pat:
        saw(ada, "ada", "pat")
        assert [member.away for member in ada.members] == [False, False]
        for away in (True, False, True):
            ada.away = away
            until(ada, lambda away=away: ada.members[0].away is away)  # type: ignore[misc]
        ada.typing()
        ada.send("still here").wait()
        pat.wait_for("ada: still here")
        assert pat.reads == ["ada: still here"]


def test_a_plain_member_reads_nothing_of_a_new_role(server: nbchat.Server, ada: nbchat.Client) -> None:
    assert server._running is not None
    first = Raw(server._running.address.whole_link, "eve")
    with FirstClient(server.port, "pat") as pat:
        saw(ada, "ada", "eve", "pat")
        eve = Raw(server.invite(), "eve", session=first.welcome["session"])
        assert (first.welcome["role"], eve.welcome["role"]) == ("host", "member")
        until(ada, lambda: ada._state.transcript.members["eve"].role == "member")
        eve.send({"type": "say", "id": "1", "text": "hi"})
        pat.wait_for("eve: hi")
        assert pat.reads == ["eve: hi"]
        until(ada, lambda: ada._state.transcript.seq == 1)
        assert [row.kind for row in ada._state.transcript.rows] == ["joined", "joined", "said"]
        first.close()
        eve.close()


# ── the other way round: a first-generation server ──────────────────────────────────────────────


def test_a_client_of_ours_in_a_first_generation_chat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_PACE", 0.25)
    text = "€ü😀" * 334 + "end"
    with FirstServer() as server, FirstClient(server.port, "pat") as pat:
        with nbchat.connect(f"plain://127.0.0.1:{server.port}", name="ada") as ada:
            pat.wait_for("ada joined the chat!")
            pat.say("hello ada")
            message = ada.wait_for(lambda message: message.by == "pat")
            assert message.text == "hello ada"
            ada.send("hello pat").wait(PATIENCE)
            ada.send(text).wait(PATIENCE)
            pat.wait_for("end")
            assert "".join(read.removeprefix("ada: ") for read in pat.reads[2:]) == text
            assert pat.died_of is None
            assert server.reads[:2] == ["pat: hello ada", "ada: hello pat"]
            assert "".join(read.removeprefix("ada: ") for read in server.reads[2:]) == text
            assert all(len(read.encode()) <= 1024 for read in server.reads)  # with the name before it
            with FirstClient(server.port, "quin"):
                saw(ada, "ada", "quin")
                assert all(member.plain for member in ada.members)
            saw(ada, "ada")
            rows = [(row.kind, row.name) for row in ada._state.transcript.rows]
            assert rows[-2:] == [("joined", "quin"), ("left", "quin")]
            assert ada.transcript() == ["pat: hello ada", "ada: hello pat", f"ada: {text}"]
            with pytest.raises(Refused, match="no history"):
                ada.history()
            reads = len(server.reads)
            ada.away = True
            ada.typing()
            ada.send("the last").wait(PATIENCE)
            pat.wait_for("ada: the last")
            assert (ada.away, ada.typists) == (False, [])
            assert server.reads[reads:] == ["ada: the last"]
        pat.wait_for("ada left the chat")


def test_quick_messages_are_separate_at_a_first_generation_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_PACE", 0.25)
    with FirstServer() as server, nbchat.connect(f"plain://127.0.0.1:{server.port}", name="ada") as ada:
        for message in [ada.send(f"line {number}") for number in range(8)]:
            message.wait(PATIENCE)
    assert server.reads == [f"ada: line {number}" for number in range(8)]


def test_our_own_server_by_the_plain_door(server: nbchat.Server, ada: nbchat.Client) -> None:
    with nbchat.connect(f"plain://127.0.0.1:{server.port}", name="pat") as pat:
        saw(ada, "ada", "pat")
        ada.send("hello").wait()
        pat.wait_for(lambda message: message.text == "hello" and message.by == "ada")
        pat.send("hello back")
        assert ada.wait_for(lambda message: message.by == "pat").text == "hello back"
    saw(ada, "ada")


def test_whoever_is_no_first_generation_server() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        answer = threading.Thread(target=lambda: other.accept()[0].sendall(b"220 mail.example.org\r\n"))
        answer.start()
        with pytest.raises(nbchat.ChatError, match="no first-generation"):
            nbchat.connect(f"plain://127.0.0.1:{port}", name="pat")
        answer.join(PATIENCE)
    with pytest.raises(Unreachable, match="Nobody answers"):
        nbchat.connect(f"plain://127.0.0.1:{port}", name="pat")
