"""The stores that keep the promise; another one is put under the suite by adding its name here."""

import asyncio
import itertools

import pytest

from nbchat.store import open_store


class Keeper:
    """Makes one kind of store; ``make()`` again gives the same memory, if it survives closing."""

    def __init__(self, kind, folder):
        self.survives = kind == "file"
        self._where = folder / "history" / "chat.db" if kind == "file" else None
        self._clock = itertools.count(1_790_000_000)

    def make(self):
        return open_store(self._where, lambda: next(self._clock))

    def run(self, test):
        """Run ``test(store)`` with an open store, and close it."""

        async def body():
            store = self.make()
            await store.open()
            try:
                async with asyncio.timeout(30):
                    return await test(store)
            finally:
                await store.close()

        return asyncio.run(body())


@pytest.fixture(params=["memory", "file"])
def keeper(request, tmp_path):
    return Keeper(request.param, tmp_path)


@pytest.fixture
def lasting(tmp_path):
    """A keeper whose memory survives closing."""
    return Keeper("file", tmp_path)


@pytest.fixture
def memory(tmp_path):
    """A keeper whose memory is new each time."""
    return Keeper("memory", tmp_path)
