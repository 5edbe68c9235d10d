"""For as many seconds as one likes: python -m tests.fuzz 600"""

from __future__ import annotations

import os
import random
import sys
import tempfile
import time
from collections.abc import Callable

from hypothesis import HealthCheck, given, seed, settings


def properties() -> list[Callable[[], None]]:
    from tests.fuzz import client, parts, records, sealed, server

    return [
        server.whatever_peers_do_the_server_goes_on,
        records.whatever_records_come_a_member_is_served,
        sealed.whatever_records_a_server_sends_a_client_only_hangs_up,
        client.whatever_a_server_says_a_client_only_hangs_up,
        client.whatever_a_plain_server_says_a_client_only_hangs_up,
        parts.lines_are_cut_and_decoded,
        parts.plain_bytes_are_read_and_written,
        parts.names_texts_and_links_are_checked,
        parts.texts_are_shown,
    ]  # type: ignore[list-item]


def run(checked: Callable[[], None], seconds: float, first: int, examples: int = 50) -> int:
    """Check one property again and again until the time is over, with the seeds ``first``, ``first`` + 1 …
    (the seed of a failure is in its notes). Returns how many examples there were."""
    end, number = time.monotonic() + seconds, first
    quick = settings(
        max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    while number == first or time.monotonic() < end:
        try:
            seed(number)(quick(given(*checked.strategies)(checked)))()  # type: ignore[attr-defined]
        except BaseException as error:
            error.add_note(f"{checked.__name__}, seed {number}")
            raise
        number += 1
    return (number - first) * examples


def main() -> int:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 600
    with tempfile.TemporaryDirectory() as folder:
        for name in ("JUPYTER_RUNTIME_DIR", "XDG_DATA_HOME"):  # nothing of this user's is seen or changed
            os.environ[name] = folder
        found = properties()
        end, counts = time.monotonic() + seconds, dict.fromkeys(found, 0)
        while (left := end - time.monotonic()) > 0:
            for each in found:
                counts[each] += run(each, min(left, 20) / len(found), random.randrange(2**31))
    for each, count in counts.items():
        print(f"{each.__name__}: {count} examples")
    return 0


if __name__ == "__main__":
    sys.exit(main())
