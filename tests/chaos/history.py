"""Whether what everybody saw and what the store holds is one history.

Pure: logs, views and senders in, violations out. A text names who sent it and which of that sender's it
is (``"s3.1 17"``: the 17th of the sender s3.1), so a text found anywhere can be asked where it is from.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple


class Line(NamedTuple):
    """A message as somebody has it: its number in the room, its author, its text."""

    seq: int
    by: str
    text: str


@dataclass
class View:
    """The messages that one reader was given, in the order in which it was given them."""

    who: str
    room: str
    lines: Sequence[Line]
    is_whole: bool = False
    """True: it was there to the end, so it must have the room's last message."""


@dataclass
class Sender:
    """One sender: what it said, and what was confirmed of it."""

    tag: str
    """What its texts begin with; no other sender has it."""
    room: str
    name: str
    """The member's name, which the server must have put on its messages."""
    sent: int | None = None
    """It sent 1 to this; None where that is not known, since it was killed."""
    confirmed: dict[int, int] = field(default_factory=dict)
    """Its running number → the seq that the receipt gave."""


def check(logs: Mapping[str, Sequence[Line]], views: Iterable[View], senders: Iterable[Sender]) -> list[str]:
    """All violations of the delivery contract, in words that begin with the kind's name.

    ``logs``: what the store holds of each room, in order, from its first seq on.
    """
    # The views first: whoever reads them from files knows the senders only then.
    seen = [each for view in views for each in _view(view, logs.get(view.room, ()))]
    senders = list(senders)
    found: list[str] = []
    for room, log in logs.items():
        found += _log(room, log, {sender.tag: sender for sender in senders if sender.room == room})
    for sender in senders:
        found += _receipts(sender, logs.get(sender.room, ()))
    return found + seen


def _log(room: str, log: Sequence[Line], senders: Mapping[str, Sender]) -> Iterator[str]:
    last: dict[str, int] = {}
    for place, line in enumerate(log, 1):
        if line.seq != place:
            yield f"gap: {room} has {line.seq} in its place {place}"
            return
        tag, number = _origin(line.text)
        sender = senders.get(tag)
        if sender is None or number is None or not 1 <= number <= (sender.sent or number):
            yield f"stranger: {room} {line.seq} {line.text!r} was sent by nobody"
            continue
        if line.by != sender.name:
            yield f"author: {room} {line.seq} {line.text!r} is by {line.by!r}, not {sender.name!r}"
        before = last.get(tag, 0)
        if number == before or (number < before and _has_twice(log, line)):
            yield f"double: {room} {line.seq} {line.text!r} is there twice"
        elif number < before:
            yield f"sender's order: {room} {line.seq} {line.text!r} comes after {tag} {before}"
        last[tag] = max(before, number)


def _receipts(sender: Sender, log: Sequence[Line]) -> Iterator[str]:
    for number, seq in sender.confirmed.items():
        text = f"{sender.tag} {number}"
        if 1 <= seq <= len(log) and _is(log[seq - 1].text, text):
            continue
        if place := next((line.seq for line in log if _is(line.text, text)), None):
            yield f"receipt: {sender.room} {text!r} was confirmed as {seq} and is {place}"
        else:
            yield f"lost: {sender.room} {text!r} was confirmed as {seq} and is not there"


def _view(view: View, log: Sequence[Line]) -> Iterator[str]:
    who = f"{view.who} in {view.room}"
    before: int | None = None
    for line in view.lines:
        if before is not None and line.seq <= before:
            yield f"repeat: {who} was given {line.seq} after {before}"
        elif before is not None and line.seq != before + 1:
            yield f"gap: {who} was given {line.seq} after {before}"
        before = line.seq
        if not 1 <= line.seq <= len(log):
            yield f"unkept: {who} was given {line.seq} {line.text!r}, which the store does not have"
        elif log[line.seq - 1] != line:
            yield f"order: {who} was given {line} where the store has {log[line.seq - 1]}"
    if view.is_whole and (before or 0) < len(log):
        yield f"behind: {who} has {before} of {len(log)}"


def _origin(text: str) -> tuple[str, int | None]:
    tag, _, rest = text.partition(" ")
    number = rest.partition(" ")[0]
    return tag, int(number) if number.isdigit() else None


def _is(text: str, begin: str) -> bool:
    """Whether a text is this one, whatever fills it up."""
    return text == begin or text.startswith(begin + " ")


def _has_twice(log: Sequence[Line], line: Line) -> bool:
    return any(other.text == line.text for other in log[: line.seq - 1])
