"""The checker finds every way in which a history can be wrong, and nothing in a right one."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.chaos.history import Line, Sender, View, check


@dataclass
class History:
    logs: dict[str, list[Line]]
    views: list[View]
    senders: list[Sender]

    def violations(self) -> list[str]:
        return check(self.logs, self.views, self.senders)


def good(seed: int) -> History:
    """Three rooms, three senders in each, and readers who came at any time and left at any time."""
    chance = random.Random(seed)
    logs: dict[str, list[Line]] = {}
    views, senders = [], []
    for room in ("r1", "r2", "r3"):
        here = [Sender(f"{room}s{n}.1", room, f"{room}s{n}", sent=0) for n in range(3)]
        log: list[Line] = []
        for seq in range(1, 61):
            sender = chance.choice(here)
            sender.sent = (sender.sent or 0) + 1
            log.append(Line(seq, sender.name, f"{sender.tag} {sender.sent} and some words"))
            sender.confirmed[sender.sent] = seq
        for sender in here:
            sender.sent = (sender.sent or 0) + 2  # under way when it was killed
        for n in range(4):
            first, last = (0, 60) if n == 0 else (chance.randrange(0, 20), chance.randrange(40, 61))
            views.append(View(f"{room}v{n}", room, log[first:last], is_whole=last == 60))
        logs[room] = log
        senders += here
    return History(logs, views, senders)


@pytest.mark.parametrize("seed", range(20))
def test_a_good_history_has_no_violation(seed):
    assert good(seed).violations() == []


def test_a_killed_sender_may_have_said_more_than_is_known():
    history = good(1)
    history.senders[0].sent = None
    assert history.violations() == []


# Each takes a good history and a source of chance, and returns the words that must be among the violations.
Mutation = Callable[[History, random.Random], str]


def _some(history: History, chance: random.Random) -> tuple[list[Line], int]:
    """A log, and a place in its middle."""
    log = history.logs[chance.choice(sorted(history.logs))]
    return log, chance.randrange(20, 40)


def _view(history: History, chance: random.Random) -> tuple[View, list[Line], int]:
    view = chance.choice(history.views)
    view.lines = list(view.lines)
    return view, view.lines, chance.randrange(3, len(view.lines) - 3)


def the_store_lost_the_last_message(history: History, chance: random.Random) -> str:
    log, _ = _some(history, chance)
    log.pop()
    return "lost:"


def the_store_lost_one_and_counts_on(history: History, chance: random.Random) -> str:
    log, place = _some(history, chance)
    del log[place:]
    return "lost:"


def the_store_lost_one_and_closed_the_gap(history: History, chance: random.Random) -> str:
    log, place = _some(history, chance)
    del log[place]
    log[place:] = [line._replace(seq=line.seq - 1) for line in log[place:]]
    return "lost:"


def the_store_has_a_gap(history: History, chance: random.Random) -> str:
    log, place = _some(history, chance)
    del log[place]
    return "gap:"


def the_store_gave_a_number_twice(history: History, chance: random.Random) -> str:
    log, place = _some(history, chance)
    log[place] = log[place]._replace(seq=log[place - 1].seq)
    return "gap:"


def a_message_is_kept_twice_at_the_end(history: History, chance: random.Random) -> str:
    log, place = _some(history, chance)
    log.append(log[place]._replace(seq=61))
    return "double:"


def a_message_is_kept_twice_in_a_row(history: History, chance: random.Random) -> str:
    log, _ = _some(history, chance)
    log.append(log[-1]._replace(seq=61))
    return "double:"


def two_of_a_sender_changed_places(history: History, chance: random.Random) -> str:
    log, place = _some(history, chance)
    other = next(n for n in range(place + 1, 60) if log[n].by == log[place].by)
    one, two = log[place], log[other]
    log[place], log[other] = two._replace(seq=one.seq), one._replace(seq=two.seq)
    return "sender's order:"


def a_message_of_an_unknown_sender(history: History, chance: random.Random) -> str:
    log, _ = _some(history, chance)
    log.append(Line(61, "eve", "eve.1 1"))
    return "stranger:"


def a_message_that_its_sender_never_sent(history: History, chance: random.Random) -> str:
    log, _ = _some(history, chance)
    tag, _, _ = log[-1].text.split(" ", 2)
    log.append(Line(61, log[-1].by, f"{tag} 999"))
    return "stranger:"


def half_a_text(history: History, chance: random.Random) -> str:
    log, place = _some(history, chance)
    log[place] = log[place]._replace(text=log[place].text.split(" ")[0])
    return "stranger:"


def a_message_in_another_room(history: History, chance: random.Random) -> str:
    history.logs["r1"].append(history.logs["r2"][5]._replace(seq=61))
    return "stranger:"


def a_message_under_anothers_name(history: History, chance: random.Random) -> str:
    log, place = _some(history, chance)
    log[place] = log[place]._replace(by="eve")
    return "author:"


def a_receipt_with_the_number_before(history: History, chance: random.Random) -> str:
    sender = chance.choice(history.senders)
    number = chance.choice([number for number, seq in sender.confirmed.items() if seq > 1])
    sender.confirmed[number] -= 1
    return "receipt:"


def two_receipts_exchanged(history: History, chance: random.Random) -> str:
    sender = chance.choice(history.senders)
    sender.confirmed[1], sender.confirmed[2] = sender.confirmed[2], sender.confirmed[1]
    return "receipt:"


def a_receipt_from_beyond_the_end(history: History, chance: random.Random) -> str:
    sender = chance.choice(history.senders)
    sender.confirmed[2] = 61
    return "receipt:"


def a_receipt_for_what_was_never_kept(history: History, chance: random.Random) -> str:
    sender = chance.choice(history.senders)
    assert sender.sent is not None
    sender.confirmed[sender.sent] = 61
    return "lost:"


def a_reader_missed_one(history: History, chance: random.Random) -> str:
    _, lines, place = _view(history, chance)
    del lines[place]
    return "gap:"


def a_reader_was_given_one_twice(history: History, chance: random.Random) -> str:
    _, lines, place = _view(history, chance)
    lines.insert(place, lines[place])
    return "repeat:"


def a_reader_was_given_all_again(history: History, chance: random.Random) -> str:
    _, lines, _ = _view(history, chance)
    lines += lines
    return "repeat:"


def a_reader_was_given_two_in_the_other_order(history: History, chance: random.Random) -> str:
    _, lines, place = _view(history, chance)
    lines[place], lines[place + 1] = lines[place + 1], lines[place]
    return "repeat:"


def a_reader_has_another_order_with_the_right_numbers(history: History, chance: random.Random) -> str:
    _, lines, place = _view(history, chance)
    one, two = lines[place], lines[place + 1]
    lines[place], lines[place + 1] = two._replace(seq=one.seq), one._replace(seq=two.seq)
    return "order:"


def a_reader_was_given_another_text(history: History, chance: random.Random) -> str:
    _, lines, place = _view(history, chance)
    lines[place] = lines[place]._replace(text=lines[place].text + "!")
    return "order:"


def a_reader_was_given_what_was_then_lost(history: History, chance: random.Random) -> str:
    view = next(view for view in history.views if view.is_whole)
    view.lines = [*view.lines, Line(61, "x", "x.1 1")]
    return "unkept:"


def a_reader_did_not_get_the_end(history: History, chance: random.Random) -> str:
    view = next(view for view in history.views if view.is_whole)
    view.lines = view.lines[:-1]
    return "behind:"


def a_reader_got_nothing(history: History, chance: random.Random) -> str:
    next(view for view in history.views if view.is_whole).lines = []
    return "behind:"


MUTATIONS: list[Mutation] = [
    the_store_lost_the_last_message,
    the_store_lost_one_and_counts_on,
    the_store_lost_one_and_closed_the_gap,
    the_store_has_a_gap,
    the_store_gave_a_number_twice,
    a_message_is_kept_twice_at_the_end,
    a_message_is_kept_twice_in_a_row,
    two_of_a_sender_changed_places,
    a_message_of_an_unknown_sender,
    a_message_that_its_sender_never_sent,
    half_a_text,
    a_message_in_another_room,
    a_message_under_anothers_name,
    a_receipt_with_the_number_before,
    two_receipts_exchanged,
    a_receipt_from_beyond_the_end,
    a_receipt_for_what_was_never_kept,
    a_reader_missed_one,
    a_reader_was_given_one_twice,
    a_reader_was_given_all_again,
    a_reader_was_given_two_in_the_other_order,
    a_reader_has_another_order_with_the_right_numbers,
    a_reader_was_given_another_text,
    a_reader_was_given_what_was_then_lost,
    a_reader_did_not_get_the_end,
    a_reader_got_nothing,
]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("mutate", MUTATIONS, ids=lambda each: each.__name__)
def test_a_wrong_history_is_found(mutate, seed):
    history = copy.deepcopy(good(seed))
    words = mutate(history, random.Random(seed))
    violations = history.violations()
    assert any(each.startswith(words) for each in violations), violations
