"""What a client asked its server and waits for: pages of history, and what hosts ask. Its thread only."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future

from nbchat.client.connection import NativeConnection, PlainConnection
from nbchat.core import wire
from nbchat.core.errors import Closed, Refused, Unreachable
from nbchat.core.frames import Moderate, Moderated, Paged, Ruled, Rules, Said
from nbchat.core.sanitize import harmless
from nbchat.core.transcript import Message, from_said

Answer = tuple[list[Message], int | None]
"""A page: its messages, and the seq before which there are older ones (None at the beginning)."""


class Questions:
    """All that is open. A page is asked for again on the next connection; what a host wants is not: it may
    be wrong a minute later. ``conn`` gives the connection, once it has welcomed us."""

    def __init__(self, conn: Callable[[], NativeConnection | PlainConnection | None]) -> None:
        self._conn = conn
        self._pages: deque[tuple[int | None, int, Future[Answer]]] = deque()
        self._orders: dict[str, Future[Moderated | Ruled]] = {}

    def page(self, before: int | None, limit: int, future: Future[Answer]) -> None:
        """Ask for a page, now or with the next connection."""
        conn = self._conn()
        if isinstance(conn, PlainConnection):
            future.set_exception(Refused("no_history", "A first-generation server keeps no history."))
            return
        if conn is not None:
            conn.page(before, limit)  # first: what cannot be sent leaves nothing behind
        self._pages.append((before, limit, future))

    def order(self, request: Moderate | Rules, future: Future[Moderated | Ruled]) -> None:
        """Ask for what a host may."""
        conn = self._conn()
        if isinstance(conn, PlainConnection):
            future.set_exception(Refused("no_host", "A first-generation server knows no hosts."))
        elif conn is None:
            future.set_exception(Unreachable("There is no connection now. Try again when it is back."))
        else:
            conn.ask(request)
            self._orders[request.id] = future

    def again(self, conn: NativeConnection) -> None:
        """There is another connection."""
        for before, limit, _ in self._pages:
            conn.page(before, limit)

    def paged(self, event: Paged) -> None:
        if not self._pages:
            return
        _, limit, future = self._pages.popleft()
        found = [harmless(wire.decode_event(bytes(raw))) for raw in event.events[-limit:]]
        messages = [from_said(said) for said in found if isinstance(said, Said)]
        first = getattr(found[0], "seq", None) if found else None
        future.set_result((messages, first if event.more else None))

    def answered(self, event: Moderated | Ruled) -> None:
        if (order := self._orders.pop(event.id, None)) is not None:
            order.set_result(event)

    def refused(self, id: str | None, error: Refused) -> bool:
        """A refusal came; whether it was about something a host asked for."""
        order = self._orders.pop(id, None) if id is not None else None
        if order is not None:
            order.set_exception(error)
        return order is not None

    def refused_page(self, error: Refused) -> None:
        if self._pages:
            self._pages.popleft()[2].set_exception(error)

    def broke(self) -> None:
        """The connection has ended."""
        orders, self._orders = self._orders, {}
        for order in orders.values():
            order.set_exception(
                Unreachable("The connection broke before the answer. Whether it was done shows in the room.")
            )

    def close(self) -> None:
        """There will be no other."""
        self.broke()
        for _, _, page in self._pages:
            page.set_exception(Closed("This client is closed."))
