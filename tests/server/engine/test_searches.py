"""What hosts do to somebody whom only the log knows: it is looked through for one at a time, and costs."""

from __future__ import annotations

import asyncio
from typing import Any

from nbchat.core.frames import Moderate
from nbchat.core.keys import Key
from nbchat.core.limits import Limits
from nbchat.server.engine.authors import SEARCH_COST
from nbchat.server.engine.shell import Shell
from nbchat.store.promise import Event
from tests.server.session import test_turns
from tests.server.session.test_turns import Peer, play


def ban(number: int) -> dict[str, Any]:
    return {"type": "moderate", "id": f"b{number}", "do": "ban", "name": f"ghost{number}"}


def test_many_searches_of_a_host_are_one_after_the_other_and_count(monkeypatch: Any) -> None:
    """An invited host bans a hundred who never were: the others' turns come in between."""
    monkeypatch.setattr(test_turns, "KEY", Key("key", "secret", "host", 2e9))

    async def test(shell: Shell) -> None:
        dan = Peer(shell)
        dan.joins("dan")
        await dan.until("welcome")
        running = most = 0
        history = shell._store.history

        async def counted(*arguments: Any, **more: Any) -> list[Event]:
            nonlocal running, most
            running += 1
            most = max(most, running)
            try:
                await asyncio.sleep(0)
                return await history(*arguments, **more)
            finally:
                running -= 1

        shell._store.history = counted  # type: ignore[method-assign]
        dan.send(*(ban(number) for number in range(100)))
        assert not dan.wire.is_reading, "the others wait"
        refused = await dan.until("refused")
        assert refused["code"] == "no_such_member"
        while sum(each["type"] == "refused" for each in dan.heard) < 4:
            await asyncio.sleep(0)
        assert most == 1
        assert sum(each["type"] == "refused" for each in dan.heard) == 40 // (1 + SEARCH_COST) + 1

    play(test, Limits(burst=40, rate=0.001), said=1500)


def test_to_delete_what_somebody_said_lately_counts_too(monkeypatch: Any) -> None:
    monkeypatch.setattr(test_turns, "KEY", Key("key", "secret", "host", 2e9))

    async def test(shell: Shell) -> None:
        dan = Peer(shell)
        dan.joins("dan")
        await dan.until("welcome")
        rate = dan.conn._session.rate  # type: ignore[union-attr]
        before = rate._quick.left  # type: ignore[union-attr]
        shell.handle(dan.conn, Moderate(id="1", do="delete", name="ada", back=60.0))
        assert before - rate._quick.left == SEARCH_COST  # type: ignore[union-attr]
        before = rate._quick.left  # type: ignore[union-attr]
        shell.handle(dan.conn, Moderate(id="2", do="slow", seconds=1.0))
        assert before == rate._quick.left  # type: ignore[union-attr]

    play(test, Limits(rate=0.001))
