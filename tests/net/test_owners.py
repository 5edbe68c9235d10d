"""A port of this machine that another account holds: nothing is proved to it, whatever it relays."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import nbchat
from nbchat.core.errors import BadLink, NotTheServer
from nbchat.net import owners
from nbchat.net.link import parse
from tests.net.helpers import PATIENCE, until

pytestmark = [
    pytest.mark.own_ports,
    pytest.mark.skipif(not os.path.exists("/proc/net/tcp"), reason="no list of sockets here"),
]
OTHER = 65534
root = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs another account")

RELAY = """
import os, socket, sys, threading
"".encode("idna")  # what is loaded later, another account may not read
os.setuid(int(sys.argv[1]))
listener = socket.create_server((sys.argv[3], int(sys.argv[2])), dualstack_ipv6=sys.argv[3] == "::", family=
    socket.AF_INET6 if ":" in sys.argv[3] else socket.AF_INET)
print(listener.getsockname()[1], flush=True)
real = int(sys.stdin.readline())
seen = set()

def pump(a, b, who):
    try:
        while data := a.recv(65536):
            for kind in (b'"type":"join"', b'"type":"hello"'):
                if kind in data and who == "client" and kind not in seen:
                    seen.add(kind)
                    print(kind.decode(), flush=True)
            b.sendall(data.replace(b"noon", b"nine"))
    except OSError:
        pass
    for each in (a, b):
        try:
            each.shutdown(2)
        except OSError:
            pass

while True:
    client, _ = listener.accept()
    server = socket.create_connection(("127.0.0.1", real))
    threading.Thread(target=pump, args=(client, server, "client"), daemon=True).start()
    threading.Thread(target=pump, args=(server, client, "server"), daemon=True).start()
"""


class Relay:
    """A program, perhaps of another account, that passes on all that comes to its port, and changes it."""

    def __init__(self, uid: int, port: int = 0, host: str = "127.0.0.1") -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", RELAY, str(uid), str(port), host],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    def lead_to(self, port: int) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{port}\n")
        self.process.stdin.flush()

    def close(self) -> str:
        """End it; returns which requests it has seen."""
        self.process.kill()
        said, _ = self.process.communicate()
        return said


@pytest.fixture
def relay() -> Iterator[type[Relay]]:
    made: list[Relay] = []

    class Kept(Relay):
        def __init__(self, *arguments: object, **named: object) -> None:
            super().__init__(*arguments, **named)  # type: ignore[arg-type]
            made.append(self)

    yield Kept
    for each in made:
        each.close()


def through(link: str, port: int) -> str:
    """The link, leading to another port."""
    where = parse(link)
    return link.replace(f":{where.port}", f":{port}", 1)


@root
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::"])
def test_nothing_is_proved_to_another_account(server: nbchat.Server, relay: type[Relay], host: str) -> None:
    rogue = relay(OTHER, host=host)
    rogue.lead_to(server.port)
    link = through(server.invite(host=True), rogue.port)
    assert f"?uid={os.geteuid()}#k=" in link
    with pytest.raises(NotTheServer, match=f"Port {rogue.port} of this machine is held by another account"):
        nbchat.connect(link, name="cohost")
    assert server.members == []
    assert rogue.close() == '"type":"hello"\n', "no proof, no name and no session has come to it"


@root
def test_a_client_does_not_come_back_through_another_account(tmp_path: Path, relay: type[Relay]) -> None:
    """The attack in full: the server has ended, somebody takes its port, and it comes back on the next."""
    history = tmp_path / "chat.sqlite"
    server = nbchat.serve("cs101", history=history, process=False)
    port = server.port
    cohost = nbchat.connect(server.invite(host=True), name="cohost")
    mine = nbchat.connect("cs101", name="mine")
    cohost.send("before").wait()
    server.stop()
    rogue = relay(OTHER, port)
    with pytest.warns(RuntimeWarning, match="which is taken now"):
        server = nbchat.serve("cs101", history=history, process=False)
    assert server.port != port
    rogue.lead_to(server.port)
    message = cohost.send("exam is at noon")
    until(cohost, lambda: "held by another account" in cohost._state.reason)
    assert cohost.status == "reconnecting"
    assert message.seq is None
    assert mine.send("found by its name").wait(PATIENCE).seq == 2  # and so by its new port
    assert [each.text for each in mine.history()] == ["before", "found by its name"]
    with pytest.raises(nbchat.errors.NotConfirmed):
        cohost.close()
    server.stop()
    assert "join" not in rogue.close()


@root
def test_a_port_that_is_forwarded_by_who_may_works(
    server: nbchat.Server, relay: type[Relay], monkeypatch: pytest.MonkeyPatch
) -> None:
    own = relay(os.geteuid())  # as ssh -L does, and who serves
    other = relay(OTHER)
    for each in (own, other):
        each.lead_to(server.port)
    nbchat.connect(through(server.invite(), own.port), name="ann").close()
    monkeypatch.setenv("NBCHAT_FORWARDERS", f"somebody, {OTHER}")
    nbchat.connect(through(server.invite(), other.port), name="bob").close()
    name = owners._name(OTHER)
    monkeypatch.setenv("NBCHAT_FORWARDERS", name)
    nbchat.connect(through(server.invite(), other.port), name="cid").close()
    monkeypatch.delenv("NBCHAT_FORWARDERS")
    with pytest.raises(NotTheServer, match=f"NBCHAT_FORWARDERS.*{name}"):
        nbchat.connect(through(server.invite(), other.port), name="dan")
    # A link of last month, or one by hand, says nothing of an account.
    link = through(server.invite(), other.port).replace(f"?uid={os.geteuid()}", "")
    nbchat.connect(link, name="eve").close()


@pytest.fixture
def ends() -> Iterator[tuple[tuple[str, int], tuple[str, int]]]:
    """The other end's address and our own, of a connection that was taken."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        client = stack.enter_context(socket.create_connection(listener.getsockname()))
        stack.enter_context(listener.accept()[0])
        yield client.getpeername(), client.getsockname()


def test_who_may_hold_the_other_end(
    ends: tuple[tuple[str, int], tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    there, here = ends
    mine = os.geteuid()
    assert owners.stranger(mine, there, here) == ""
    found = owners.read()
    pair = (owners.listed(there), owners.listed(here))
    assert found[pair] == mine

    monkeypatch.setattr(owners, "_asked", lambda there, here: None)

    def listing(owner: int | None) -> None:
        monkeypatch.setattr(owners, "read", lambda: {**found, pair: owner})

    monkeypatch.setattr(owners, "_has_numbers_of_its_own", lambda: False)
    monkeypatch.setattr("os.geteuid", lambda: 1001)
    for owner in (1001, 1000, 0):  # our own, that of who serves, root
        listing(owner)
        assert owners.stranger(1000, there, here) == ""
    listing(1002)
    for wanted in (1000, 1001):
        assert "held by another account" in (owners.stranger(wanted, there, here) or "")
    assert owners.stranger(None, there, here) == ""  # nobody knows who serves
    listing(None)
    assert owners.stranger(1000, there, here) is None
    # Another's numbers mean nothing in a container with its own; ours do.
    monkeypatch.setattr(owners, "_has_numbers_of_its_own", lambda: True)
    listing(65534)
    assert owners.stranger(1000, there, here) == ""
    assert "held by another account" in (owners.stranger(1001, there, here) or "")
    assert owners.own() is None


def test_the_system_can_be_asked_for_one_socket(
    ends: tuple[tuple[str, int], tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says the same as its list, without going through that."""
    there, here = ends
    if owners._asked(there, here) is None:
        pytest.skip("this system cannot be asked")
    monkeypatch.setattr(owners, "read", None)
    assert owners._asked(there, here) == owners._asked(here, there) == os.geteuid()
    assert owners._asked(there, ("127.0.0.1", 1)) == owners._NOBODY  # only somebody who listens there
    assert owners._asked(("127.0.0.1", 1), here) is None
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(
            socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
        )
        client = stack.enter_context(socket.create_connection(("127.0.0.1", listener.getsockname()[1])))
        taken, _ = listener.accept()
        pair = client.getpeername(), client.getsockname()
        assert owners._asked(*pair) == os.geteuid()  # though it is one of the sixth version
        taken.close()
        assert owners._asked(*pair) == owners._NOBODY  # the end of a connection that nobody has any more
        client = stack.enter_context(socket.create_connection(listener.getsockname()[:2]))
        stack.enter_context(listener.accept()[0])
        assert owners._asked(client.getpeername(), client.getsockname()) == os.geteuid()


def test_where_the_system_cannot_tell(
    ends: tuple[tuple[str, int], tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    there, here = ends
    monkeypatch.setattr(owners, "_asked", lambda there, here: None)

    def no_list(error: OSError) -> None:
        def read() -> dict[tuple[str, str], int | None]:
            raise error

        monkeypatch.setattr(owners, "read", read)

    for error in (FileNotFoundError(2, "none"), PermissionError(13, "none")):
        no_list(error)
        assert owners.stranger(os.geteuid(), there, here) == ""
    no_list(OSError(24, "Too many open files"))
    assert owners.stranger(os.geteuid(), there, here) is None
    # The other end is in another container, and nobody listens here; or it was hidden from one reading.
    monkeypatch.setattr(owners, "read", dict)
    assert owners.stranger(os.geteuid(), there, here) == ""
    listens = {(owners.listed(there), "00000000:0000"): 0}
    monkeypatch.setattr(owners, "read", lambda: dict(listens))
    assert owners.stranger(os.geteuid(), there, here) is None


def test_a_link_says_who_serves(server: nbchat.Server) -> None:
    link = server.invite("side", name="ann")
    where = parse(link)
    assert where.uid == os.geteuid()
    assert where.whole_link == link
    assert "uid" not in server.url
    assert parse(link.replace(f"?uid={where.uid}", "")).uid is None
    for damaged in ("?uid=", "?uid=ann", "?uid=1&uid=2", "?uid=-1"):
        with pytest.raises(BadLink, match="copy the link whole"):
            parse(link.replace(f"?uid={where.uid}", damaged))


def test_who_has_just_hung_up_is_tried_again(server: nbchat.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that was killed between its answer and our proof is no stranger."""
    answers: list[str | None] = [None, None, ""]
    monkeypatch.setattr(owners, "stranger", lambda *ends: answers.pop(0))
    with nbchat.connect(server, name="ada") as ada:
        assert ada.send("in").wait(PATIENCE)
    assert answers == []
