"""A chat with a name keeps its port, so that its links stay right."""

from __future__ import annotations

import socket
import warnings
from pathlib import Path

import pytest

import nbchat
from nbchat.net import link as links
from nbchat.server import ports


@pytest.fixture(autouse=True)
def some_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of this machine's own chats none is in the way: three ports that are free now."""
    socks = [socket.socket() for _ in range(3)]
    for sock in socks:
        sock.bind(("127.0.0.1", 0))
    free = [sock.getsockname()[1] for sock in socks]
    for sock in socks:
        sock.close()
    monkeypatch.setattr(links, "PORTS", free)
    monkeypatch.setattr(links, "DEFAULT_PORT", free[0])


def test_it_has_its_port_again_though_another_one_is_free() -> None:
    first, second, _ = links.PORTS
    with nbchat.serve() as nameless:
        assert nameless.port == first
        with nbchat.serve("cs101") as server:
            assert server.port == second
            link = server.invite()
    with warnings.catch_warnings(), nbchat.serve("CS101") as server:
        warnings.simplefilter("error")
        assert server.port == second
        nbchat.connect(link, name="ada").close()


def test_it_says_so_when_it_has_to_change() -> None:
    first, second, _ = links.PORTS
    with nbchat.serve("cs101") as server:
        assert server.port == first
        link = server.invite()
    with nbchat.serve():
        with pytest.warns(
            RuntimeWarning, match=f"'cs101' had port {first}.*listens on port {second}"
        ) as told:
            server = nbchat.serve("cs101")
        assert told[0].filename == __file__, (
            "it points to the caller's line, not to the border around serve()"
        )
        assert server.port == second
        with pytest.raises(nbchat.errors.NotTheServer, match="moved to another port"):
            nbchat.connect(link)
        nbchat.connect("cs101", name="ada").close()
        server.stop()
        with warnings.catch_warnings(), nbchat.serve("cs101") as server:
            warnings.simplefilter("error")  # its newest links lead there
            assert server.port == second


def test_a_port_that_was_asked_for_is_kept_too_and_any_free_one_is_not(data_folder: Path) -> None:
    _, _, third = links.PORTS
    with nbchat.serve("cs101", port=third):
        pass
    with nbchat.serve("cs101", port=0) as server:
        assert server.port != third
    with nbchat.serve("cs101") as server:
        assert server.port == third


@pytest.mark.parametrize("content", ["", "x", "80", "99999", "-1", "1" * 5000])
def test_a_damaged_file_is_as_none(content: str, data_folder: Path) -> None:
    data_folder.mkdir(parents=True, exist_ok=True)
    (data_folder / "cs101.port").write_text(content)
    assert ports.of("cs101") is None
    with warnings.catch_warnings(), nbchat.serve("cs101", history=None) as server:
        warnings.simplefilter("error")
        assert server.port == links.DEFAULT_PORT
        assert ports.of("CS101") == server.port
