"""A proxy on loopback that cuts, delays, splits and falls silent.

It runs on a thread of its own. What happens to a connection is a :class:`Fate`; ``fates`` is asked for one
each time a connection comes.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from nbchat.net.eventloop import new_loop

T = TypeVar("T")
Way = Literal["up", "down"]
"""``up`` is to the server."""
End = Literal["fin", "rst", "silence"]
_READ = 65536


@dataclass(frozen=True)
class Fate:
    """What happens to one connection: after ``at`` bytes in the direction ``way`` it ends.

    ``fin`` and ``rst`` end both halves so; with ``silence`` nothing passes any more and nobody is told.
    Bytes come in pieces of at most ``piece`` bytes, each ``delay`` seconds late.
    """

    way: Way = "down"
    at: float = float("inf")
    end: End = "fin"
    piece: int = _READ
    delay: float = 0.0


Fates = Callable[[], Fate]


def untouched() -> Fate:
    """Everything passes."""
    return Fate()


def by_chance(chance: random.Random) -> Fates:
    """Ends at any byte, mostly early ones, in any way; some connections are slow or split."""

    def fate() -> Fate:
        return Fate(
            way=chance.choice(("up", "down")),
            at=int(2 ** chance.uniform(0, 21)),
            end=chance.choices(("fin", "rst", "silence"), (5, 5, 1))[0],
            piece=chance.choice((_READ, _READ, _READ, 1000, 37)),
            delay=chance.choice((0.0, 0.0, 0.0, 0.0, 0.002)),
        )

    return fate


class Proxy:
    """Passes connections on to ``upstream`` (a port) and ends each by its fate.

    ``cuts`` counts the connections that were ended by fate or by :meth:`cut`; ``came`` has the time (by
    time.monotonic()) of each connection.
    """

    def __init__(self, upstream: int, fates: Fates = untouched) -> None:
        self.upstream = upstream
        self.fates = fates
        self.cuts = 0
        self.came: list[float] = []
        self._links: set[_Link] = set()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cutting proxy", daemon=True)
        self._thread.start()
        self._ready.wait()

    def link(self, whole: str) -> str:
        """A server's link, by way of this proxy."""
        return f"nbchat://127.0.0.1:{self.port}#{whole.partition('#')[2]}"

    def cut(self, chance: random.Random, count: int, end: End) -> None:
        """End some of the open connections now."""

        async def do() -> None:
            links = sorted(self._links, key=lambda link: link.number)
            for link in chance.sample(links, min(count, len(links))):
                link.finish(end)

        self._do(do())

    def stall(self, chance: random.Random, seconds: float) -> None:
        """One connection's client gets nothing for a while (and its server is slowed down by that)."""

        async def do() -> None:
            if self._links:
                link = chance.choice(sorted(self._links, key=lambda link: link.number))
                link.stalled_until = time.monotonic() + seconds

        self._do(do())

    @property
    def open(self) -> int:
        """How many connections pass bytes (or are silent)."""
        return len(self._links)

    def close(self) -> None:
        async def do() -> None:
            self._server.close()
            for link in list(self._links):
                link.close()
            self._end.set()

        self._do(do())
        self._thread.join()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ── the thread ──

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(self._main())

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._end = asyncio.Event()
        listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port: int = listener.getsockname()[1]
        self._server = await asyncio.start_server(self._accepted, sock=listener)
        self._ready.set()
        await self._end.wait()
        tasks = [link.task for link in self._links if link.task is not None]
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.came.append(time.monotonic())
        link = _Link(self, len(self.came), reader, writer)
        link.task = asyncio.current_task()
        self._links.add(link)
        try:
            await link.run()
        finally:
            self._links.discard(link)


class _Link:
    """One connection and its other half. Proxy's thread only."""

    def __init__(
        self, proxy: Proxy, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.number = number
        self.task: asyncio.Task[None] | None = None
        self.stalled_until = 0.0
        self._proxy = proxy
        self._client = reader, writer
        self._fate = proxy.fates()
        self._writers = [writer]
        self._silent = asyncio.Event()
        self._is_finished = False

    async def run(self) -> None:
        reader, writer = self._client
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._proxy.upstream)
        except OSError:
            writer.transport.abort()
            return
        self._writers.append(up_writer)
        if self._is_finished:
            self.close()
            return
        ways = [
            asyncio.ensure_future(self._pass("up", reader, up_writer)),
            asyncio.ensure_future(self._pass("down", up_reader, writer)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            if self._silent.is_set():
                await asyncio.wait(ways)  # until both ends have given up
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            self.close()

    async def _pass(self, way: Way, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        fate = self._fate
        left = fate.at if way == fate.way else float("inf")
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while left > 0:
                data = await reader.read(int(min(fate.piece, left)))
                if not data:
                    return
                if fate.delay:
                    await asyncio.sleep(fate.delay)
                while way == "down" and (wait := self.stalled_until - time.monotonic()) > 0:
                    await asyncio.sleep(wait)
                if not self._silent.is_set():
                    left -= len(data)
                    writer.write(data)
                    await writer.drain()
            self.finish(fate.end)
            if fate.end == "silence":
                while await reader.read(_READ):
                    pass

    def finish(self, end: End) -> None:
        """End the connection in a way, once."""
        if self._is_finished:
            return
        self._is_finished = True
        self._proxy.cuts += 1
        if end == "silence":
            self._silent.set()
            return
        if end == "rst":
            for writer in self._writers:
                sock = writer.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self) -> None:
        self._is_finished = True
        for writer in self._writers:
            writer.close()
