"""The server that is killed: python -m tests.chaos.server FILE PORT [FAULT]

It prints its link and serves until its input ends. A fault is a mistake that the checker has to find.
"""

from __future__ import annotations

import sqlite3
import sys
import threading
from typing import Any

import nbchat
from nbchat.core.limits import NO_RATES
from nbchat.store import writer

LIMITS = nbchat.Limits(**NO_RATES, connections=4000, unnamed=2000, ping=1, dead=3, grace=5)
"""No slowing down, and silence is noticed soon; all else as everywhere."""


class _LateConnection(sqlite3.Connection):
    """Says that it has committed, and does so each hundredth time only."""

    commits = 0

    def execute(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
        if sql == "COMMIT":
            self.commits += 1
            if self.commits % 100:
                return self.cursor()
        elif sql.startswith("BEGIN") and self.in_transaction:
            return self.cursor()
        return super().execute(sql, *arguments)


def acknowledge_before_commit() -> None:
    """Messages are delivered and confirmed a while before they are committed."""
    connect = sqlite3.connect
    sqlite3.connect = lambda *args, **more: connect(*args, **more, factory=_LateConnection)  # type: ignore


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
