"""Short runs of the machine: nothing is lost, doubled or reordered, and a faulty server is found out."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from tests.chaos.cuts import all_cuts, try_all
from tests.chaos.machine import Machine, Plan


def test_kills_cuts_and_stops_break_no_promise(tmp_path: Path) -> None:
    plan = Plan(kills=6, cuts=60, messages=12_000, rooms=4, crowds=2, stops=2, restarts=2, rate=2500)
    outcome = Machine(plan, tmp_path).run()
    assert outcome.violations == [], outcome
    assert outcome.confirmed >= plan.messages
    assert outcome.given > outcome.messages
    assert (outcome.kills, outcome.stops, outcome.restarts) == (6, 2, 2)
    assert outcome.cuts >= plan.cuts


@pytest.mark.parametrize(
    ("fault", "kind"), [("acknowledge_before_commit", "lost:"), ("no_duplicate_check", "double:")]
)
def test_a_faulty_server_is_found_out(fault: str, kind: str, tmp_path: Path) -> None:
    plan = Plan(
        kills=2, cuts=40, messages=3000, rooms=2, crowds=2, stops=0, restarts=0, rate=2500, fault=fault
    )
    plan = dataclasses.replace(plan, seconds=10, patience=5)  # a faulty server may never be done
    outcome = Machine(plan, tmp_path).run()
    assert any(each.startswith(kind) for each in outcome.violations), outcome


def test_a_conversation_may_be_cut_at_any_byte() -> None:
    """Some of the bytes; ``make chaos`` takes all."""
    assert try_all(all_cuts([0, 1, 2, *range(3, 601, 41)])) == []
