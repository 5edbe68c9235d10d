"""The event loop for handlers' coroutines: one for each client that has some, on a thread of its own.

It lives as long as the client is open, so that what a handler makes there (a session, a lock, a task) is good
for its next call.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import nullcontext, suppress
from typing import Any

from nbchat.client import prints


class Coroutines:
    """A loop that begins with its first coroutine. ``trouble`` is told of tasks that nobody looks after."""

    def __init__(self, trouble: Callable[[dict[str, Any]], None]) -> None:
        self._trouble = trouble
        self._loop: asyncio.AbstractEventLoop | None = None
        self._begun: set[Future[None]] = set()
        self.is_over = False
        """True: it ends, and what is under way is cancelled."""

    def start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Begin a coroutine, after those that were begun before it; returns at once. Not after ``close``."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            threading.Thread(target=self._run, name="nbchat coroutines", daemon=True).start()
        begun = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        self._begun.add(begun)  # asyncio itself holds tasks weakly
        begun.add_done_callback(self._begun.discard)

    def close(self) -> None:
        """End it: what is under way is cancelled."""
        self.is_over = True
        if self._loop is not None:
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._loop.stop)

    def _run(self) -> None:
        loop = self._loop
        assert loop is not None
        asyncio.set_event_loop(loop)
        loop.set_exception_handler(lambda loop, context: self._trouble(context))
        # In a notebook what a task prints when its handler has long returned is no cell's either.
        with prints.taken(prints.Printed()) if prints.is_kernel() else nullcontext():
            while not self.is_over:
                try:
                    loop.run_forever()
                except BaseException as error:  # a task of the user's called sys.exit()
                    self._trouble({"exception": error})
        for _ in range(2):  # what was handed over last begins as well, so that it can be ended
            loop.call_soon(loop.stop)
            loop.run_forever()
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        if tasks:
            with suppress(BaseException):
                loop.run_until_complete(asyncio.wait(tasks, timeout=1))
        loop.close()
