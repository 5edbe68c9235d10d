"""A history's file that is taken away under a running server: told within a second, and no receipt."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from pathlib import Path

import pytest

import nbchat
from nbchat.server.engine.memory import Memory
from tests.net.helpers import PATIENCE, until

pytestmark = [
    pytest.mark.own_ports,
    pytest.mark.skipif(sys.platform == "win32", reason="an open file cannot be taken away there"),
]


class Log(logging.Handler):
    """Keeps what the log says, and wakes whoever waits for it."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []
        self._news = threading.Condition()

    def emit(self, record: logging.LogRecord) -> None:
        with self._news:
            self.said.append(record.getMessage())
            self._news.notify_all()

    def wait(self, words: str) -> None:
        with self._news:
            assert self._news.wait_for(lambda: any(words in each for each in self.said), PATIENCE), self.said


def notices(client: nbchat.Client) -> str:
    with client._state.changed:
        return "\n".join(row.text for row in client._state.transcript.rows if row.kind == "notice")


@pytest.mark.parametrize("process", [False, True], ids=["thread", "process"])
def test_a_file_that_is_gone_is_told_of_and_no_message_is_confirmed(tmp_path: Path, process: bool) -> None:
    path, aside = tmp_path / "chat.sqlite", tmp_path / "aside.sqlite"
    told = Log()
    logging.getLogger("nbchat").addHandler(told)
    try:
        with nbchat.serve(port=0, history=path, process=process) as server:
            ada, bob = nbchat.connect(server, name="ada"), nbchat.connect(server, name="bob")
            ada.send("before").wait()
            path.rename(aside)
            told.wait(f"The file of the history, {path}, was deleted, moved or replaced")  # nobody spoke
            message = ada.send("after")
            until(ada, lambda: str(path) in notices(ada))
            assert message.seq is None
            assert ada.pending == [message]
            assert [each.text for each in bob.history()] == ["before"]
            aside.rename(path)
            assert message.wait(PATIENCE).seq == 2
            told.wait("is where it was again")
            until(bob, lambda: [each.text for each in bob.messages] == ["before", "after"])
    finally:
        logging.getLogger("nbchat").removeHandler(told)
    assert sum("deleted, moved or replaced" in each for each in told.said) == 1


def test_serving_again_goes_on_with_what_is_there(tmp_path: Path) -> None:
    """And what was waiting is said there: the sender sees a new log."""
    path = tmp_path / "chat.sqlite"
    server = nbchat.serve("gone", port=None, history=path, process=False)
    ada = nbchat.connect(server, name="ada")
    ada.send("before").wait()
    path.unlink()
    message = ada.send("after")
    until(ada, lambda: "server.stop(), then nbchat.serve(…)" in notices(ada))
    server.stop()
    with nbchat.serve("gone", history=path, process=False):
        assert message.wait(PATIENCE).seq == 1
        ada.close()


def test_a_slow_disk_is_looked_at_once_at_a_time() -> None:
    class Slow:
        is_file = True
        looks = 0

        def __init__(self) -> None:
            self.answers = asyncio.Event()

        async def look(self) -> None:
            self.looks += 1
            await self.answers.wait()

    async def main() -> None:
        store = Slow()
        memory = Memory(store, nbchat.Limits())  # type: ignore[arg-type]
        first = asyncio.create_task(memory.look())
        await asyncio.sleep(0)
        await asyncio.wait_for(memory.look(), PATIENCE)
        assert store.looks == 1
        store.answers.set()
        await first
        await memory.look()
        assert store.looks == 2

    asyncio.run(main())
