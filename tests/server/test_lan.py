"""A server in a network: TLS there and not here, certificates compared, and what is refused in words.

The network is 127.0.0.2: to the server it is any address that is not its own loopback one.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

import nbchat
from nbchat.core import wire
from nbchat.core.errors import BadLink, CertificateChanged, Unreachable, UsageError
from nbchat.net import discovery, tls
from nbchat.net.link import is_loopback, parse
from nbchat.server import interfaces
from tests.net.helpers import PATIENCE, Raw, saw, until

NETWORK = "127.0.0.2"

pytestmark = [
    pytest.mark.own_ports,
    pytest.mark.skipif(sys.platform == "darwin", reason="127.0.0.2 is not there by itself"),
]


@pytest.fixture(autouse=True)
def network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this machine be in a network."""
    monkeypatch.setattr(interfaces, "lan_address", lambda: NETWORK)


@pytest.fixture(params=[False, True], ids=["thread", "process"])
def lan(request: pytest.FixtureRequest) -> Iterator[nbchat.Server]:
    with nbchat.serve(port=0, lan=True, process=request.param) as server:
        yield server


def encrypted(server: nbchat.Server) -> ssl.SSLSocket:
    """A connection with TLS and nothing said in it."""
    sock = socket.create_connection((NETWORK, server.port), PATIENCE)
    return tls.client_context().wrap_socket(sock)


def said_to(server: nbchat.Server, first: bytes) -> bytes:
    """What the network's port answers to somebody who begins without TLS, until it hangs up."""
    with socket.create_connection((NETWORK, server.port), PATIENCE) as sock:
        sock.sendall(first)
        with sock.makefile("rb") as file:
            return file.read()


# ── it works ────────────────────────────────────────────────────────────────────────────────────


def test_the_link_is_all_that_somebody_in_the_network_needs(lan: nbchat.Server) -> None:
    link = lan.invite("room 1")
    assert (parse(link).host, parse(link).pin) == (NETWORK, parse(lan.url).pin)
    assert link.startswith(f"nbchat://{NETWORK}:{lan.port}/room%201?pin=sha256:")
    with (
        nbchat.connect(link, name="ada") as ada,
        nbchat.connect(lan, name="tom", room="room 1") as tom,
        nbchat.connect(lan.url, name="bob", room="room 1") as bob,
    ):
        saw(tom, "ada", "tom", "bob")
        assert [ada.role, tom.role, bob.role] == ["member", "host", "host"]
        for number in range(30):
            ada.send(f"{number}: {'x' * 8000}")
        until(tom, lambda: tom._state.transcript.seq == 30)
        until(ada, lambda: ada._state.transcript.seq == 30)
        assert ada.transcript() == tom.transcript()


def test_within_the_machine_nothing_is_encrypted_and_in_the_network_all_is(lan: nbchat.Server) -> None:
    raw = Raw(lan._running.address.whole_link, "tom")
    assert raw.welcome["role"] == "host"
    raw.close()
    with encrypted(lan) as sock:
        assert sock.version() == "TLSv1.3"
        assert tls.pin_of(sock.getpeercert(True) or b"") == parse(lan.url).pin


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2])
def test_older_tls_is_not_spoken(lan: nbchat.Server, version: ssl.TLSVersion) -> None:
    context = tls.client_context()
    context.minimum_version = context.maximum_version = version
    with (
        socket.create_connection((NETWORK, lan.port), PATIENCE) as sock,
        pytest.raises(ssl.SSLError, match=r"(?i)protocol.version"),
    ):
        context.wrap_socket(sock)


@pytest.mark.parametrize(
    ("first", "answer"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", b"This is a chat port"),
        (b'{"type":"hello","v":1}\n', b'"closing"'),
        (b"pete\n", b"This port is encrypted"),
        (b"SSH-2.0-x\r\n", b"This port is encrypted"),
        (b"\x16\x03\x01\x00\x05hello", b""),
    ],
)
def test_what_is_not_tls_is_answered_in_words_and_let_go(
    lan: nbchat.Server, first: bytes, answer: bytes
) -> None:
    assert answer in said_to(lan, first)
    assert lan.members == []


def test_a_plain_client_is_taken_within_the_machine_only_if_asked_for_and_with_a_warning() -> None:
    with nbchat.serve(port=0, lan=True) as server, Raw(server._running.address.link).socket as sock:
        sock.sendall(b"pete\n")
        assert b"takes no plain-text clients" in sock.recv(1000)
    with pytest.warns(RuntimeWarning, match="on this machine only"):
        server = nbchat.serve(port=0, lan=True, plain=True)
    with server, Raw(server._running.address.link).socket as sock:
        assert sock.recv(8) == b"USERNAME"
        with encrypted(server) as far:
            far.sendall(b"pete\n")
            assert b"takes no plain-text clients" in far.recv(1000)


# ── the certificate ─────────────────────────────────────────────────────────────────────────────


def test_the_certificate_is_made_once_and_closed_to_others(data_folder: Path) -> None:
    with nbchat.serve(port=0, lan=True) as first, nbchat.serve("class", port=0, lan=True) as second:
        assert parse(first.url).pin == parse(second.url).pin
    with nbchat.serve(port=0, lan=True, process=True) as third:
        assert parse(third.url).pin == parse(first.url).pin
    path = data_folder / "tls" / "certificate.pem"
    assert list(path.parent.iterdir()) == [path]  # and no draft of it
    if os.name != "nt":
        assert [stat.S_IMODE(each.stat().st_mode) for each in (path, path.parent)] == [0o600, 0o700]


@pytest.mark.skipif(os.name == "nt", reason="modes")
def test_a_certificate_that_others_could_read_is_closed_to_them(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tls.server_context()
    tls.place().chmod(0o644)
    tls.server_context()
    assert stat.S_IMODE(tls.place().stat().st_mode) == 0o600
    assert "could be read by others" in caplog.text


@pytest.mark.parametrize("content", [b"", b"nonsense", b"-----BEGIN CERTIFICATE-----\n"])
def test_a_certificate_that_cannot_be_read_is_explained_where_it_was_typed(content: bytes) -> None:
    tls.server_context()
    tls.place().write_bytes(content)
    with pytest.raises(UsageError, match="Without that file a new one is made"):
        nbchat.serve(port=0, lan=True)


def test_another_certificate_ends_it_before_anything_is_said() -> None:
    with nbchat.serve(port=0, lan=True) as server:
        link = server.invite()
    expected = parse(link).pin
    tls.place().unlink()
    heard: list[bytes] = []
    with nbchat.serve(port=0, lan=True) as other:
        original = wire.decode_request
        shown = parse(other.url).pin
        stolen = link.replace(f":{parse(link).port}", f":{other.port}")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(wire, "decode_request", lambda line: heard.append(line) or original(line))
            with pytest.raises(CertificateChanged) as caught:
                nbchat.connect(stolen, name="ada")
    assert (caught.value.expected, caught.value.shown) == (expected, shown)
    for pin in (expected, shown):
        assert tls.readable(pin) in str(caught.value)
    assert "server.invite()" in str(caught.value)
    assert heard == []


def test_a_client_does_not_go_on_with_another_certificate() -> None:
    """The server goes, and somebody else takes its place while the client comes back."""
    server = nbchat.serve(port=0, lan=True)
    ada = nbchat.connect(server.invite(), name="ada")
    port = server.port
    server.stop()
    tls.place().unlink()
    with nbchat.serve(port=port, lan=True):
        until(ada, lambda: ada.status == "closed")
        assert "its certificate is another" in ada.reason
        assert not ada._receiver.thread.is_alive() or ada._receiver.thread.join(PATIENCE) is None
    ada.close()


def test_a_client_comes_back_to_the_same_certificate() -> None:
    server = nbchat.serve("class", port=0, lan=True)
    with nbchat.connect(server.invite(), name="ada") as ada:
        port = server.port
        server.stop()
        ada.send("said meanwhile")
        with nbchat.serve("class", port=port, lan=True):
            until(ada, lambda: not ada._state.pending)
            assert ada.status == "connected"


# ── the client's own refusals ───────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "link",
    [
        "nbchat://192.168.1.7:14900/lobby#k=a.b",
        "nbchat://192.168.1.7",
        "nbchat://chat.example/lobby#k=a.b",
        "nbchat://127.0.0.1.example/lobby#k=a.b",
        "nbchat://127.evil/lobby#k=a.b",
    ],
)
def test_a_link_to_another_machine_without_a_pin_is_refused(link: str) -> None:
    with pytest.raises(BadLink, match=r"\?pin=sha256:… is missing"):
        parse(link)


@pytest.mark.parametrize(
    "pin", ["", "sha256:", "sha256:12", "md5:" + "0" * 64, "sha256:" + "g" * 64, "sha256:" + "0" * 65]
)
def test_a_damaged_pin_is_not_left_away(pin: str) -> None:
    for host in ("192.168.1.7", "127.0.0.1"):
        with pytest.raises(BadLink, match="copy the link whole"):
            parse(f"nbchat://{host}/lobby?pin={pin}#k=a.b")


def test_two_pins_are_none() -> None:
    with pytest.raises(BadLink, match="copy the link whole"):
        parse(f"nbchat://127.0.0.1/?pin=sha256:{'0' * 64}&pin=sha256:{'1' * 64}#k=a.b")


def test_tls_to_a_port_without_it_says_so_and_sends_nothing(server: nbchat.Server) -> None:
    link = msgspec.structs.replace(parse(server.invite()), pin=f"sha256:{'0' * 64}").whole_link
    with pytest.raises(Unreachable, match="not encrypted as this link says"):
        nbchat.connect(link, name="ada")


def test_a_bare_client_at_the_encrypted_port_is_told(lan: nbchat.Server) -> None:
    where = parse(lan.invite())
    bare = f"nbchat://{NETWORK}:{where.port}#k={where.key_id}.{where.secret}"
    with pytest.raises(Unreachable, match="This port is encrypted"):
        nbchat.connect(bare, name="ada")


# ── where it listens ────────────────────────────────────────────────────────────────────────────


def test_the_same_call_is_the_same_server_until_the_address_changes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = nbchat.serve("class", lan=True)
    assert nbchat.serve("class", lan=True) is server
    monkeypatch.setattr(interfaces, "lan_address", lambda: "127.0.0.3")  # another Wi-Fi
    moved = nbchat.serve("class", lan=True)
    assert (moved is server, moved.host, moved.port) == (False, "127.0.0.3", server.port)
    assert not server.is_running


@pytest.mark.parametrize("host", ["0.0.0.0", "chat.example"])
def test_any_host_that_is_not_loopback_is_served_with_tls(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interfaces, "addresses", lambda: ["127.0.0.3", NETWORK])
    monkeypatch.setattr(interfaces, "resolve", lambda host: NETWORK)
    with nbchat.serve(port=0, host=host) as server:
        assert server.host == NETWORK
        assert server._options.plain is False
        everywhere = (NETWORK, "127.0.0.3") if host == "0.0.0.0" else (NETWORK,)
        assert server._options.lan == everywhere
        for each in everywhere:
            with socket.create_connection((each, server.port), PATIENCE) as sock:
                assert tls.client_context().wrap_socket(sock).version() == "TLSv1.3"


def test_an_address_of_somebody_else_is_refused() -> None:
    with pytest.raises(UsageError, match=r"one of this machine's own addresses"):
        nbchat.serve(port=0, host="203.0.113.9")


def test_a_port_that_is_taken_in_the_network_gives_way() -> None:
    with socket.create_server((NETWORK, 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(nbchat.errors.AddressInUse):
            nbchat.serve(lan=True, port=port)
        with socket.create_server(("127.0.0.1", port)):  # what was begun there was ended
            pass


def test_the_runtime_file_leads_this_machines_user_past_the_network(lan: nbchat.Server) -> None:
    found = discovery.Target(lan.url).find()
    assert (found.host, found.pin) == ("127.0.0.1", "")
    assert found.secret


def test_this_machine_finds_its_addresses() -> None:
    for each in interfaces.addresses():
        assert not is_loopback(each)
    route = interfaces._by_route()
    assert route == "" or route in interfaces.addresses()


def test_without_a_network_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(interfaces, "_by_route", lambda *family: "")
    monkeypatch.setattr(interfaces, "addresses", lambda *family: [])
    with pytest.raises(UsageError, match="no address in a network"):
        interfaces.lan_address()


@pytest.mark.parametrize("arguments", [{"lan": "192.168.1.7"}, {"lan": 1}, {"host": 7}])
def test_what_is_no_place_is_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        nbchat.serve(port=0, **arguments)  # type: ignore[arg-type]


# ── strangers ───────────────────────────────────────────────────────────────────────────────────


def test_who_stalls_in_tls_is_counted_and_gives_way() -> None:
    """The limits know a connection from its first moment, not only after TLS's handshake."""
    with nbchat.serve(port=0, lan=True, limits=nbchat.Limits(unnamed=3, greeting=0.01)) as server:
        silent = socket.create_connection((NETWORK, server.port), PATIENCE)
        begun = socket.create_connection((NETWORK, server.port), PATIENCE)
        begun.sendall(b"\x16\x03\x01\x02\x00\x01")  # the beginning of a handshake
        others = []
        for stalled in (silent, begun):
            stalled.settimeout(0.05)
            while True:
                try:
                    assert stalled.recv(100) == b""
                    break
                except TimeoutError:
                    others.append(socket.create_connection((NETWORK, server.port), PATIENCE))
                    assert len(others) < 200
                except ConnectionError:
                    break
        with nbchat.connect(server.invite(), name="ada") as ada:
            assert ada.send("in").wait().seq == 1
        for each in (silent, begun, *others):
            each.close()


def test_who_stalls_in_tls_is_ended_in_time() -> None:
    with nbchat.serve(port=0, lan=True, limits=nbchat.Limits(hello=0.2)) as server:
        with socket.create_connection((NETWORK, server.port), PATIENCE) as sock:
            sock.sendall(b"\x16\x03\x01\x02\x00\x01")
            assert sock.recv(100) == b""
        with encrypted(server) as sock:
            assert b"You did not say who you are in time" in sock.recv(1000)


def test_a_stalled_reader_in_tls_costs_one_write_and_delays_nobody() -> None:
    limits = nbchat.Limits(rate=1e6, burst=10**6, ring=100_000, write=30_000, send_buffer=16_384)
    text, count = "x" * 4000, 1000
    with nbchat.serve(port=0, lan=True, process=False, limits=limits) as server:
        link = server.invite()
        with nbchat.connect(link, name="ada") as ada, nbchat.connect(link, name="bob") as bob:
            slow = Raw(link, "slow", buffer=4096)
            saw(ada, "ada", "bob", "slow")
            for _ in range(count):
                ada.send(text)
            until(bob, lambda: bob._state.transcript.seq == count)  # while slow reads nothing

            def waiting(shell: object) -> int:
                (behind,) = [conn for conn in shell._connections if conn.is_full]  # type: ignore[attr-defined]
                return behind._transport.get_write_buffer_size()  # type: ignore[no-any-return]

            assert server._runner.ask(waiting) <= 32 * (len(text) + 200) * 1.1
            events = [slow.receive()]
            while events[-1].get("seq") != count:
                events.append(slow.receive())
            assert [each["seq"] for each in events if each["type"] == "said"] == list(range(1, count + 1))
            slow.close()


@pytest.mark.parametrize(("process", "is_here"), [(None, False), (True, False), (False, True)])
def test_a_server_in_a_network_has_a_process_of_its_own_unless_told_otherwise(
    process: bool | None, is_here: bool
) -> None:
    with nbchat.serve(port=0, lan=True, process=process) as server:
        assert ("thread" in server._repr_html_()) is is_here
        assert (server._running.pid == os.getpid()) is is_here


def test_it_works_without_uvloop(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("nbchat.server.runner.thread", "nbchat.client.thread"):
        monkeypatch.setattr(f"{module}.new_loop", asyncio.SelectorEventLoop)
    with (
        nbchat.serve(port=0, lan=True, process=False) as server,
        nbchat.connect(server.invite(), name="ada") as ada,
    ):
        assert ada.send("x" * 16_000).wait(PATIENCE).seq == 1
        with pytest.raises(CertificateChanged):
            nbchat.connect(server.invite().replace(parse(server.url).pin, f"sha256:{'0' * 64}"))


def can_listen(port: int) -> bool:
    try:
        socket.create_server((NETWORK, port)).close()
    except OSError:
        return False
    return True


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_has_no_door_in_the_network() -> None:
    with (
        nbchat.serve(port=0, lan=True, process=False) as server,
        nbchat.connect(server.invite(), name="ada") as ada,
    ):
        down, up = os.pipe()
        if (child := os.fork()) == 0:
            os.read(down, 1)  # for as long as the parent wants
            os._exit(0)
        try:
            port = server.port
            server.stop()
            # Nobody else has it, but for ada: who tries a dead port again and again can get it for a moment.
            until(ada, lambda: can_listen(port))
            assert ada.status == "reconnecting"
        finally:
            os.write(up, b"x")
            os.waitpid(child, 0)
            os.close(down)
            os.close(up)
