"""Who waits unnamed, and what is written down of those who were turned away."""

from __future__ import annotations

import logging
import socket
from types import SimpleNamespace
from typing import Any

import pytest

import nbchat
from nbchat.server.engine.admission import Refusals, Unnamed
from tests.net.helpers import PATIENCE


def conn(host: str) -> Any:
    """Something with an address."""
    return SimpleNamespaceWithHash(host=host)


class SimpleNamespaceWithHash(SimpleNamespace):
    __hash__ = object.__hash__  # type: ignore[assignment]
    __eq__ = object.__eq__


def test_the_oldest_comes_first_of_all_and_of_an_address() -> None:
    unnamed = Unnamed()
    one, other, third = conn("a"), conn("b"), conn("a")
    for each in (one, other, third):
        unnamed.add(each)
    assert (len(unnamed), unnamed.of("a"), unnamed.of("b"), unnamed.of("c")) == (3, 2, 1, 0)
    assert list(unnamed) == [one, other, third]
    assert (unnamed.oldest(), unnamed.oldest("b")) == (one, other)
    unnamed.discard(one)
    unnamed.discard(one)
    assert (unnamed.oldest(), unnamed.oldest("a")) == (other, third)
    unnamed.discard(third)
    unnamed.discard(other)
    assert (len(unnamed), unnamed._by_address) == (0, {})


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "nbchat")
    return caplog


def test_a_kind_of_an_address_is_told_once_a_minute(log: pytest.LogCaptureFixture) -> None:
    now = 0.0
    refusals = Refusals(lambda: now)
    for _ in range(3):
        refusals.note("192.0.2.1", "bad")
        refusals.note("192.0.2.1", "worse")
    refusals.note("192.0.2.2", "bad")
    assert log.messages == ["192.0.2.1: bad", "192.0.2.1: worse", "192.0.2.2: bad"]
    now = 59.0
    refusals.tick()
    assert len(log.messages) == 3
    now = 60.0
    refusals.tick()
    refusals.tick()
    assert log.messages[3:] == [
        "192.0.2.1: bad (2 more times within a minute)",
        "192.0.2.1: worse (2 more times within a minute)",
    ]
    refusals.note("192.0.2.2", "bad")
    assert log.messages[5:] == ["192.0.2.2: bad"]
    assert all(record.levelno == logging.INFO for record in log.records)


def test_many_addresses_fill_neither_memory_nor_log(log: pytest.LogCaptureFixture) -> None:
    now = 0.0
    refusals = Refusals(lambda: now)
    for number in range(5_000):
        refusals.note(f"2001:db8::{number:x}", "bad")
    assert len(log.messages) == len(refusals._seen) == 257
    assert log.messages[-1] == "other addresses: more was refused"
    now = 60.0
    refusals.tick()
    assert log.messages[-1] == "other addresses: more was refused (4743 more times within a minute)"
    assert not refusals._seen


def test_nothing_of_an_address_gets_to_a_screen(log: pytest.LogCaptureFixture) -> None:
    """An address of a link-local network has a part that is a name."""
    Refusals(lambda: 0.0).note("fe80::1%\x1b[31m", "bad")
    assert log.messages == ["fe80::1%␛[31m: bad"]


def test_a_server_in_a_process_of_its_own_writes_it_down_here(log: pytest.LogCaptureFixture) -> None:
    with nbchat.serve(port=0, process=True) as server:
        for _ in range(3):
            with socket.create_connection((server.host, server.port), PATIENCE) as sock:
                sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
                while sock.recv(4096):
                    pass
    # It has stopped, so all that it had to say has come.
    (record,) = log.records
    assert (record.name, record.levelno) == ("nbchat", logging.INFO)
    assert record.getMessage().endswith("127.0.0.1: an HTTP request at the chat port")
