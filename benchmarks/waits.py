"""What a user waits for, and whether the waiting grows with the history or with the number of other rooms.

    python benchmarks/waits.py [--write] [--messages 100000]

The server of the big rooms runs in another process, as in another notebook.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import page
from servers import COMPETITORS, TEXT

import nbchat
from nbchat.core import wire
from nbchat.core.frames import Body
from nbchat.store.open import open_store
from nbchat.store.promise import RoomStore

TIMES = 20
CLOCK = "import time; begun = time.perf_counter(); "
SAY = "; print(time.perf_counter() - begun)"
IMPORT = f"{CLOCK}import nbchat{SAY}"
IMPORT_ALL = f"{CLOCK}import nbchat; nbchat.serve; nbchat.join{SAY}"
SERVE = f"import nbchat; nbchat.serve; {CLOCK}server = nbchat.serve(port=0){SAY}; server.stop()"
SERVE_FIRST = f"{CLOCK}import nbchat; server = nbchat.serve(port=0){SAY}; server.stop()"
CONNECT = f"import nbchat; nbchat.connect; {CLOCK}client = nbchat.connect({{link!r}}){SAY}; client.close()"
SHOWN = "panel = nbchat.join({link!r}); panel._repr_mimebundle_()"
JOIN = f"import nbchat; nbchat.join; {CLOCK}{SHOWN}{SAY}; panel.close()"
JOIN_FIRST = f"{CLOCK}import nbchat; {SHOWN}{SAY}; panel.close()"


def in_a_new_process(code: str, times: int = TIMES) -> list[float]:
    """Seconds that a new Python says it took, each time in another process; the first one is not counted."""
    found = []
    for _ in range(times + 1):
        ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        found.append(float(ran.stdout.split()[0]))
    return found[1:]


def several(function: Callable[[], object], times: int = TIMES) -> list[float]:
    found = []
    for _ in range(times + 1):
        begun = time.perf_counter()
        function()
        found.append(time.perf_counter() - begun)
    return found[1:]


async def fill(store: RoomStore, rooms: dict[str, int]) -> None:
    """Write histories through the store, as the server does."""
    await store.open()
    for room, count in rooms.items():
        for first in range(0, count, 5000):
            futures = [
                store.append(
                    room, "0" * 32, str(number), wire.encode_body(Body(id=str(number), by="ada", text=TEXT))
                )
                for number in range(first, min(first + 5000, count))
            ]
            await asyncio.gather(*futures)
    await store.close()


class House:
    """A server with a history, in another process."""

    def __init__(self, folder: Path, rooms: dict[str, int], *, open_rooms: int = 0) -> None:
        folder.mkdir()
        place = folder / "history.sqlite"
        asyncio.run(fill(open_store(place, time.time), rooms))
        self.size = place.stat().st_size
        self.biggest = rooms["room0"]
        competitor = COMPETITORS["own"]
        self._running = competitor.running(folder, None, "--history", str(place))
        running = self._running.__enter__()
        if open_rooms:
            competitor.join(running, open_rooms, open_rooms)
        self.link = urlsplit(running.invite)._replace(path="/room0").geturl()

    def newest(self) -> list[float]:
        """From nothing to a member with the newest 50."""

        def timed() -> float:
            begun = time.perf_counter()
            client = nbchat.connect(self.link, name="eve")
            took = time.perf_counter() - begun
            assert len(client.messages) >= 50, len(client.messages)
            client.close()
            return took

        return [timed() for _ in range(TIMES + 1)][1:]

    def middle(self) -> list[float]:
        """A page of 50 in the middle."""
        with nbchat.connect(self.link, name="eve") as client:
            return several(lambda: client.history(before=self.biggest // 2, limit=50))

    def end(self) -> None:
        self._running.__exit__(None, None, None)


def small() -> list[tuple[str, list[float]]]:
    """What everybody waits for, in milliseconds."""
    with nbchat.serve(port=0) as server:
        link = server.invite()
        rows = [
            ("`import nbchat`", in_a_new_process(IMPORT)),
            ("`import nbchat`, and all that serving and joining need", in_a_new_process(IMPORT_ALL)),
            ("`serve()` until it listens, after the imports", in_a_new_process(SERVE)),
            ("`import nbchat; nbchat.serve()` as the first cell", in_a_new_process(SERVE_FIRST)),
            ("`connect()` until welcomed, after the imports", in_a_new_process(CONNECT.format(link=link))),
            ("`join()` until the panel is handed to the notebook, after the imports",
             in_a_new_process(JOIN.format(link=link))),
            ("`import nbchat; nbchat.join()` as the first cell",
             in_a_new_process(JOIN_FIRST.format(link=link))),
        ]  # fmt: skip
    return [(what, [value * 1e3 for value in values]) for what, values in rows]


def main() -> None:
    parser = argparse.ArgumentParser(description="What a user waits for.")
    parser.add_argument("--write", action="store_true", help="write the tables into docs/performance.md")
    parser.add_argument("--messages", type=int, default=100_000, help="in the big room; ten times it as well")
    arguments = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(8192, hard) if hard > 0 else 8192, hard))
    first = [(what, page.spread(values)) for what, values in small()]
    big = arguments.messages
    others = {f"room{number}": 50 for number in range(1, 1001)}
    plans = (
        (f"{big:,} messages", {"room0": big}, 0),
        (f"{10 * big:,} messages", {"room0": 10 * big}, 0),
        (f"{big:,} messages, and 1,000 other rooms in the file", {"room0": big, **others}, 0),
        (f"{big:,} messages, and 1,000 other rooms that are open", {"room0": big, **others}, 1001),
    )
    second: list[tuple[str, ...]] = []
    medians: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        for number, (what, rooms, open_rooms) in enumerate(plans):
            house = House(Path(folder) / str(number), rooms, open_rooms=open_rooms)
            try:
                newest, middle = house.newest(), house.middle()
            finally:
                house.end()
            medians.append((statistics.median(newest), statistics.median(middle)))
            second.append(
                (what, f"{house.size / 2**20:.0f}", page.spread(newest, 1e3), page.spread(middle, 1e3))
            )
            print(second[-1], file=sys.stderr)
    wanted = [
        (f"{what}: by the first room's time, {which}", medians[row][at] / medians[0][at], "<=", 1.5, " ×")
        for row, what in ((1, "ten times the history"), (3, "1,000 other rooms"))
        for at, which in enumerate(("newest 50", "a page in the middle"))
    ]
    result = "\n\n".join(
        (
            f"{page.machine('uvloop', 'anywidget')}; median of {TIMES} (least–most), in milliseconds.",
            page.table(("", "ms"), first),
            page.table(("a room of", "MiB", "a member, with the newest 50", "a page in the middle"), second),
            page.goals(wanted),
        )
    )  # fmt: skip
    print(page.plain(result))
    if arguments.write:
        page.write("waits", result)


if __name__ == "__main__":
    main()
