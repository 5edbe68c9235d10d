"""The stores that keep the promise.

To put another store under the suite: a subclass of Keeper that makes it (``make``) and says, if its memory
survives closing, what a child process writes to make the same (``source``), and its name in KEEPERS. Then
every test that asks for ``keeper`` runs with it, and those that ask for ``lasting`` if it survives.
"""

import asyncio
import contextlib
import subprocess
import sys

import pytest

from nbchat.store.open import open_store


class Keeper:
    """Makes one kind of store; ``make()`` again gives the same memory, if it survives closing.

    ``now`` is its stores' clock in seconds; it goes on by one each time a store looks.
    """

    survives = True

    def __init__(self, folder):
        self.folder = folder
        self.now = 1_790_000_000

    def make(self):
        """A store, not yet opened."""
        raise NotImplementedError

    @property
    def source(self):
        """Python that makes the same store in a child process, where open_store and time are known."""
        raise NotImplementedError

    def clock(self):
        self.now += 1
        return self.now

    def run(self, test):
        """Run ``test(store)`` with an open store, and close it."""

        async def body():
            store = self.make()
            await store.open()
            try:
                async with asyncio.timeout(60):
                    return await test(store)
            finally:
                await store.close()

        return asyncio.run(body())


class MemoryKeeper(Keeper):
    survives = False

    def make(self):
        return open_store(None, self.clock)


class FileKeeper(Keeper):
    @property
    def path(self):
        return self.folder / "history" / "chat.db"

    def make(self):
        return open_store(self.path, self.clock)

    @property
    def source(self):
        return f"open_store({str(self.path)!r}, time.time)"


KEEPERS = {"memory": MemoryKeeper, "file": FileKeeper}
LASTING = [name for name, kind in KEEPERS.items() if kind.survives]


@pytest.fixture(params=KEEPERS)
def keeper(request, tmp_path):
    return KEEPERS[request.param](tmp_path)


@pytest.fixture(params=LASTING)
def lasting(request, tmp_path):
    """A keeper whose memory survives closing."""
    return KEEPERS[request.param](tmp_path)


async def followed(store, room, after):
    """What ``follow`` hands over, as a tail would bring it."""
    came = asyncio.Queue()
    following = asyncio.create_task(store.follow(room, after, came.put_nowait))
    try:
        while True:
            coming = asyncio.ensure_future(came.get())
            await asyncio.wait({coming, following}, return_when=asyncio.FIRST_COMPLETED)
            if not coming.done():
                coming.cancel()
                following.result()  # it raises: nothing else ends it
                raise AssertionError("follow() returned")
            yield coming.result()
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


@pytest.fixture(params=["tail", "follow"])
def tail(request):
    """Both ways to read a room's end: ``tail(store, room, after)``."""
    return (lambda store, *more: store.tail(*more)) if request.param == "tail" else followed


@pytest.fixture
def memory(tmp_path):
    """A keeper whose memory is new each time."""
    return MemoryKeeper(tmp_path)


@pytest.fixture
def path(tmp_path):
    """Where a test's SQLite file is."""
    return tmp_path / "history" / "chat.db"


@pytest.fixture
def python():
    """Starts a Python program with arguments; ends it with the test if it has not ended by then."""
    started = []

    def start(program, *arguments):
        pipe, command = subprocess.PIPE, [sys.executable, "-c", program, *map(str, arguments)]
        started.append(
            subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT, text=True)
        )
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):
                pipe.close()
