"""Who asks for everything and reads nothing: one piece is held for it, and later it has all of it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import nbchat
from nbchat.server import interfaces
from nbchat.server.engine.shell import Shell
from nbchat.server.session.connection import Connection
from nbchat.store.promise import Event
from tests.net.helpers import Raw
from tests.server.test_bounds import FAST, asked

WRITE = 30_000
TEXT, COUNT = "x" * 4000, 400
_WAYS = [
    "bare",
    pytest.param("tls", marks=pytest.mark.skipif(sys.platform == "darwin", reason="no 127.0.0.2")),
]


@pytest.fixture(params=["memory", "file"])
def history(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    return tmp_path / "chat.sqlite" if request.param == "file" else None


@pytest.fixture(params=_WAYS)
def server(
    request: pytest.FixtureRequest, history: Path | None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[nbchat.Server]:
    """A chat with 1.6 MB of messages, that writes 30 KB at once."""
    monkeypatch.setattr(interfaces, "lan_address", lambda: "127.0.0.2")
    limits = nbchat.Limits(write=WRITE, ring=100_000, send_buffer=16_384, backlog=200, page=500, **FAST)
    is_lan = request.param == "tls"
    with nbchat.serve(port=0, history=history, lan=is_lan, process=False, limits=limits) as server:
        with nbchat.connect(server, name="ada") as ada:
            for each in [ada.send(TEXT) for _ in range(COUNT)]:
                each.wait()
        yield server


class Reads:
    """How many bytes each read of a server's store brings."""

    def __init__(self, shell: Shell) -> None:
        self.sizes: list[int] = []
        for name in ("since", "history"):
            setattr(shell._store, name, self._counted(getattr(shell._store, name)))

    def _counted(self, read: Callable[..., Any]) -> Callable[..., Any]:
        async def counted(*arguments: Any, **more: Any) -> list[Event]:
            events: list[Event] = await read(*arguments, **more)
            self.sizes.append(sum(len(event.body) for event in events))
            return events

        return counted


def full(shell: Shell) -> list[Connection]:
    return [conn for conn in shell._connections if conn.is_full]


def stalled(server: nbchat.Server) -> int:
    """The bytes that are held for the one that does not read."""
    asked(server, lambda shell: len(full(shell)) == 1)

    def held(shell: Shell) -> int:
        (conn,) = full(shell)
        assert conn._transport is not None
        return conn._transport.get_write_buffer_size()

    return server._runner.ask(held)


@pytest.mark.parametrize(("after", "first"), [(None, COUNT - 200 + 1), (0, 1), (100, 101)])
def test_what_is_not_read_is_one_piece(server: nbchat.Server, after: int | None, first: int) -> None:
    reads = server._runner.ask(Reads)
    join = {} if after is None else {"after": after}
    slow = Raw(server.invite(), "slow", buffer=4096, **join)
    assert slow.welcome["head"] == COUNT
    assert stalled(server) <= WRITE * 1.1
    read = sum(reads.sizes)
    assert read < COUNT * len(TEXT) / 4, "nor was more read from the history"
    with nbchat.connect(server, name="ada") as ada:
        assert ada.send("later").wait().seq == COUNT + 1
    # What ada was shown, and a piece for which the system's own buffers may have found room meanwhile.
    assert sum(reads.sizes) - read <= 200 * 4200 + WRITE
    seqs = [slow.receive("said")["seq"]]
    while seqs[-1] != COUNT + 1:
        seqs.append(slow.receive("said")["seq"])
    assert seqs == list(range(first, COUNT + 2))
    assert max(reads.sizes) <= WRITE
    slow.close()


def test_a_page_that_is_not_read_is_one_piece(server: nbchat.Server) -> None:
    """And all pages together bring everything, each what a write has."""
    reads = server._runner.ask(Reads)
    slow = Raw(server.invite(), "slow", buffer=4096, after=COUNT)
    slow.send(*[{"type": "page", "limit": 500}] * 50)
    assert stalled(server) <= WRITE * 1.1
    pages = [slow.receive("paged") for _ in range(50)]
    assert {len(page["events"]) for page in pages} == {7}, "of 30 KB each"
    assert max(reads.sizes) <= WRITE
    seqs: list[int] = []
    before = None
    while not seqs or seqs[0] != 1:
        slow.send({"type": "page", "limit": 500, "before": before})
        page = slow.receive("paged")
        seqs = [event["seq"] for event in page["events"]] + seqs
        before = seqs[0]
        assert page["more"] is (before > 1)
    assert seqs == list(range(1, COUNT + 1))
    slow.close()


def test_who_is_fed_and_asks_for_a_page_gets_both(server: nbchat.Server) -> None:
    slow = Raw(server.invite(), "slow", buffer=4096, after=0)
    slow.send({"type": "page", "limit": 3})  # it waits until the socket takes something, as the history does
    stalled(server)
    seqs: list[int] = []
    paged: list[int] = []
    while len(seqs) < COUNT or not paged:
        event = slow.receive()
        if event["type"] == "said":
            seqs.append(event["seq"])
        elif event["type"] == "paged":
            paged = [each["seq"] for each in event["events"]]
    assert seqs == list(range(1, COUNT + 1))
    assert paged == [COUNT - 2, COUNT - 1, COUNT]
    slow.close()


@pytest.mark.parametrize("limit", [COUNT - 1, COUNT, 500])
def test_the_last_page_says_that_there_is_no_more(history: Path | None, limit: int) -> None:
    with nbchat.serve(port=0, history=history, limits=nbchat.Limits(**FAST)) as server:
        with nbchat.connect(server, name="ada") as ada:
            for each in [ada.send("x") for _ in range(COUNT)]:
                each.wait()
        raw = Raw(server.invite(), "raw")
        raw.send({"type": "page", "limit": limit})
        page = raw.receive("paged")
        assert (len(page["events"]), page["more"]) == (min(limit, COUNT), limit < COUNT)
        raw.close()
