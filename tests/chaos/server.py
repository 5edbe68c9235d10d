"""The server that is killed: python -m tests.chaos.server FILE PORT [FAULT]

It prints its link and serves until its input ends. A fault is a mistake that the checker has to find.
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import threading
from typing import Any

import nbchat
from nbchat.store import Event, writer

LIMITS = nbchat.Limits(rate=1e6, burst=10**6, connections=4000, unnamed=2000, ping=1, dead=3, grace=5)
"""No slowing down, and silence is noticed soon; all else as everywhere."""


def acknowledge_before_commit() -> None:
    """Messages are delivered and confirmed at once, and committed a moment later."""
    later: list[writer.Append] = []
    heads: dict[str, int] = {}
    commit = writer.Writer._commit

    def early(self: writer.Writer, db: sqlite3.Connection, group: list[writer.Append]) -> None:
        if group[0].future.done() or group[0] in later:  # its moment has come
            return
        answers: Any = []
        events: dict[str, list[Event]] = {}
        for job in group:
            room = job.room
            if room not in heads:
                heads[room] = (db.execute(writer.HEAD, (room,)).fetchone() or (0,))[0]
            heads[room] += 1
            at = int(self._clock() * 1000)
            events.setdefault(room, []).append(Event(heads[room], at, job.session, job.id, job.body))
            answers.append((job, writer.Receipt(heads[room], at)))
        writer._deliver(answers, events)
        later.extend(group)
        if len(later) >= 2000:
            deliver, writer._deliver = writer._deliver, lambda *_: None  # type: ignore[assignment]
            try:
                commit(self, db, later)
            finally:
                writer._deliver = deliver
            later.clear()

    writer.Writer._commit = early  # type: ignore[method-assign]


def no_duplicate_check() -> None:
    """A message that is sent again is kept again: its mark is made another one each time."""
    insert = writer.Writer._insert
    numbers = iter(range(10**9))

    def anew(self: writer.Writer, db: sqlite3.Connection, job: writer.Append, *rest: Any) -> Any:
        job.id += f"/{threading.get_ident()}-{next(numbers)}"
        return insert(self, db, job, *rest)

    writer.Writer._insert = anew  # type: ignore[method-assign]


FAULTS = {each.__name__: each for each in (acknowledge_before_commit, no_duplicate_check)}


def main() -> None:
    file, port, *fault = sys.argv[1:]
    for name in fault:
        FAULTS[name]()
    with nbchat.serve(port=int(port), history=file, limits=LIMITS) as server:
        print(server.invite(), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
