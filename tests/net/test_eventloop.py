"""How busy threads take turns while a server runs on a thread of this process."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

import nbchat
from nbchat.core.errors import StoreDown
from nbchat.net.eventloop import TURN

OURS = pytest.approx(TURN)


@pytest.fixture(autouse=True)
def interval() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.005)
    yield
    sys.setswitchinterval(before)


def test_turns_are_short_while_a_server_runs_on_a_thread_here() -> None:
    with nbchat.serve(port=0):
        with nbchat.serve(port=0):
            assert sys.getswitchinterval() == OURS
        assert sys.getswitchinterval() == OURS
    assert sys.getswitchinterval() == pytest.approx(0.005)


def test_a_server_in_a_process_of_its_own_changes_nothing_here() -> None:
    with nbchat.serve(port=0, process=True):
        assert sys.getswitchinterval() == pytest.approx(0.005)


def test_a_server_that_cannot_start_changes_nothing() -> None:
    with nbchat.serve(port=0, history=None), pytest.raises(StoreDown):
        nbchat.serve(port=0, history="/dev/null/chat.db")
    assert sys.getswitchinterval() == pytest.approx(0.005)


@pytest.mark.parametrize("theirs", [TURN / 5, 0.02])
def test_what_the_user_sets_stays(theirs: float) -> None:
    with nbchat.serve(port=0):
        sys.setswitchinterval(theirs)
    assert sys.getswitchinterval() == pytest.approx(theirs)


def test_turns_that_are_short_already_stay() -> None:
    sys.setswitchinterval(TURN / 5)
    with nbchat.serve(port=0):
        assert sys.getswitchinterval() == pytest.approx(TURN / 5)
    assert sys.getswitchinterval() == pytest.approx(TURN / 5)
