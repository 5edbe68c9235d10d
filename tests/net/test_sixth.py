"""Addresses of the sixth version: listening, links, plain clients, and who counts as one."""

from __future__ import annotations

import socket
from types import SimpleNamespace

import pytest

import nbchat
from nbchat.core.errors import UsageError
from nbchat.net.link import parse
from nbchat.server import interfaces


def _is_there() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


needs_it = pytest.mark.skipif(not _is_there(), reason="this machine has no ::1")


@needs_it
@pytest.mark.parametrize("host", ["::1", "[::1]"])
@pytest.mark.parametrize("process", [False, True])
def test_this_machine_only(host: str, process: bool) -> None:
    with nbchat.serve("class", host, 0, process=process) as server:
        assert server.host == "::1"
        assert server.url == f"nbchat://[::1]:{server.port}"
        assert f"[::1]:{server.port}" in repr(server)
        assert f"[::1]:{server.port}" in server._repr_html_()
        with nbchat.connect(server.invite(), name="ada") as ada, nbchat.connect("class", name="bob") as bob:
            ada.send("hello").wait()
            assert bob.wait_for(lambda message: True).text == "hello"


@needs_it
def test_a_plain_client_of_this_user() -> None:
    with (
        nbchat.serve(host="::1", port=0) as server,
        nbchat.connect(server, name="ada") as ada,
        nbchat.connect(f"plain://[::1]:{server.port}", name="bob") as bob,
    ):
        bob.send("hi")
        assert ada.wait_for(lambda message: True).by == "bob"
        assert [member.plain for member in ada.members] == [False, True]


@needs_it
def test_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in one that has no addresses of the fourth version: in TLS, by a link with brackets and a pin."""
    monkeypatch.setattr(interfaces, "lan_address", lambda: "::1")
    monkeypatch.setattr("nbchat.net.link.is_loopback", lambda host: host.startswith("127."))
    with nbchat.serve(port=0, lan=True, process=False) as server:
        link = server.invite()
        assert link.startswith(f"nbchat://[::1]:{server.port}?pin=sha256:")
        assert parse(link).host == "::1"
        with nbchat.connect(link, name="ada") as ada:
            assert ada._receiver._where.pin
            ada.send("encrypted").wait()


def test_this_machines_address_in_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of the fourth version where there is one, since more machines can reach that."""
    entries = {
        "lo": [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")],
        "eth0": [(socket.AF_INET6, "fe80::1%eth0"), (socket.AF_INET6, "fd00::7")],
    }
    monkeypatch.setattr(interfaces, "_by_route", lambda family=socket.AF_INET: "")
    monkeypatch.setattr(
        interfaces,
        "psutil",
        SimpleNamespace(
            net_if_stats=dict,
            net_if_addrs=lambda: {
                name: [SimpleNamespace(family=family, address=address) for family, address in each]
                for name, each in entries.items()
            },
        ),
    )
    assert interfaces.lan_address() == "fd00::7"
    entries["eth1"] = [(socket.AF_INET, "192.168.1.5")]
    assert interfaces.lan_address() == "192.168.1.5"
    assert interfaces.addresses(socket.AF_INET6) == ["fd00::7"]
    entries.clear()
    with pytest.raises(UsageError, match="no address in a network"):
        interfaces.lan_address()


def test_one_machine_counts_as_one() -> None:
    """Of the sixth version each machine has a whole network of addresses."""
    assert (
        interfaces.origin("2001:db8:1:2:3:4:5:6")
        == interfaces.origin("2001:db8:1:2::9")
        == "2001:db8:1:2::/64"
    )
    assert interfaces.origin("2001:db8:1:3::9") != interfaces.origin("2001:db8:1:2::9")
    for host in ("192.168.1.5", "::1", "fe80::1", "fe80::1%eth0", "an unknown address"):
        assert interfaces.origin(host) == host
    assert interfaces.origin("::ffff:192.168.1.5") == "192.168.1.5"


def test_no_such_address() -> None:
    for host in ("no.such.host.invalid", "::g", "2001:db8::12345"):
        with pytest.raises(UsageError, match="there is no such address"):
            nbchat.serve(host=host, port=0)
