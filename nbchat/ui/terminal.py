"""The chat in a terminal: what arrives is printed above the line being typed.

With standard input not a terminal it sends every line, waits for the receipts and ends, so that it can
stand in a pipe. Only the main thread prints.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterator

from nbchat.core.errors import ChatError
from nbchat.core.transcript import Row
from nbchat.core.visible import indented, one_line
from nbchat.net.client import Client
from nbchat.net.state import Outgoing
from nbchat.ui import commands
from nbchat.ui.fold import columns, folded

_WAITING = 256
"""Lines of a pipe that may wait for their receipts before the next is read."""
_MOST = 4000
"""Characters of the first line, which names everybody who is there."""


def words(row: Row) -> str:
    """A row as a terminal shows it: nothing in it acts or hides, and no further line of a message can be
    taken for somebody's."""
    match row.kind:
        case "said":
            assert row.message is not None
            return row.message.marked
        case "joined" | "left":
            return f"* {one_line(row.name)} {row.kind}"
        case "reset":
            return "* The chat was started anew; what was said before is not in it."
        case "notice" | "moderated":
            return f"* {indented(row.text)}"


def greeting(client: Client) -> str:
    """The first line: the room, who is there, and how to leave."""
    who = one_line(f"{client.room}: {', '.join(client.members)}", _MOST)
    return f"{who}. Enter sends, /help tells more; quit, Ctrl-D or Ctrl-C leaves."


def _show(line: str) -> None:
    """Print a line that is visible already; in a terminal none of it can pass for a line of its own."""
    print(folded(line, columns()), flush=True)


def _complain(why: str) -> None:
    print(folded(f"nbchat: {indented(why)}", columns()), file=sys.stderr)


def talk(client: Client) -> int:
    """Chat until the person leaves; returns the exit status."""
    if sys.stdin.isatty() and sys.stdout.isatty():
        return asyncio.run(_Screen(client).run())
    return _pipe(client)


# ── a person ────────────────────────────────────────────────────────────────────────────────────


class _Screen:
    """The prompt, and what is printed above it. Main thread."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._n = 0
        self._status = "connected"

    async def run(self) -> int:
        from prompt_toolkit import PromptSession
        from prompt_toolkit.patch_stdout import patch_stdout

        client = self._client
        _show(greeting(client))
        prompt: PromptSession[str] = PromptSession(erase_when_done=True)
        self._buffer = prompt.default_buffer
        with patch_stdout():
            follow = asyncio.create_task(self._follow())
            typing = asyncio.create_task(self._type(prompt))
            await asyncio.wait((follow, typing), return_when=asyncio.FIRST_COMPLETED)
            for task in (follow, typing):
                task.cancel()
            await asyncio.gather(follow, typing, return_exceptions=True)
            self._print()
        if client.status == "closed":
            _complain(f"the chat has ended: {client.reason}")
            return 1
        return 0

    async def _type(self, prompt: object) -> None:
        while True:
            try:
                text = await prompt.prompt_async(lambda: f"{self._client.name}> ")  # type: ignore[attr-defined]
            except (EOFError, KeyboardInterrupt):
                return
            if text.strip().lower() == "quit":
                return
            if text.strip():
                try:
                    said = commands.obey(self._client, text)
                    if said is None:
                        continue
                    self._client.send(said)
                except ChatError as error:
                    _show(f"* {indented(str(error))}")
                else:
                    if self._client.status != "connected":
                        _show(f"* is sent when the chat is back: {indented(text)}")

    async def _follow(self) -> None:
        """Print what comes, until the client is closed."""
        news = asyncio.Event()
        loop = asyncio.get_running_loop()
        threading.Thread(
            target=_watch, args=(self._client, loop, news), name="nbchat terminal", daemon=True
        ).start()
        while self._client.status != "closed":
            self._print()
            await news.wait()
            news.clear()

    def _print(self) -> None:
        state = self._client._state
        with state.changed:
            rows, status, reason = state.transcript.after(self._n), state.status, state.reason
            refused = [state.refused.popleft() for _ in range(len(state.refused))]
            self._n = state.transcript.n
        for row in rows:
            _show(words(row))
        for message in refused:
            _show(f"* {indented(str(message.error))}")
            if self._buffer.text:
                _show(f"* was not sent: {indented(message.text)}")
            else:  # back into the line, to be sent again or changed
                self._buffer.insert_text(commands.typed(message.text))
        if status != self._status and status != "closed":
            _show("* connected again" if status == "connected" else f"* reconnecting: {one_line(reason)}")
        self._status = status


def _watch(client: Client, loop: asyncio.AbstractEventLoop, news: asyncio.Event) -> None:
    """Pass the client's news on to the terminal's loop, for as long as there is one."""
    state = client._state
    version = -1
    while True:
        with state.changed:
            while state.version == version:
                state.changed.wait()
            version, is_over = state.version, state.status == "closed"
        try:
            loop.call_soon_threadsafe(news.set)
        except RuntimeError:
            return
        if is_over:
            return


# ── a pipe ──────────────────────────────────────────────────────────────────────────────────────


def _pipe(client: Client) -> int:
    """Send the lines of standard input, print what is said meanwhile, wait for the receipts."""
    for stream in (sys.stdin, sys.stdout):
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="replace")
    state = client._state
    with state.changed:
        n = state.transcript.n
    reader = _LineReader(client)
    reader.thread.start()
    while True:
        with state.changed:
            state.changed.wait_for(
                lambda: state.transcript.n > n or reader.is_done or state.status == "closed"  # noqa: B023
            )
            rows, n = state.transcript.after(n), state.transcript.n
            is_over = state.status == "closed" or (reader.is_done and not state.pending)
            if not rows and not is_over:  # only receipts are still to come
                state.changed.wait(1)
        for row in rows:
            _show(words(row))
        for problem in reader.problems():
            _complain(problem)
        if is_over and not rows:
            break
    if client.status == "closed":
        _complain(f"the chat has ended: {client.reason}")
    return 1 if reader.has_failed or client.status == "closed" else 0


class _LineReader:
    """Reads standard input and sends; prints nothing."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._problems: list[str] = []
        self.is_done = False
        self.has_failed = False
        self.thread = threading.Thread(target=self._run, name="nbchat input", daemon=True)

    def problems(self) -> Iterator[str]:
        while self._problems:
            yield self._problems.pop(0)

    def _run(self) -> None:
        state = self._client._state
        sent: list[Outgoing] = []
        for number, text in enumerate(sys.stdin, 1):
            if not text.strip():
                continue
            try:
                sent.append(self._client.send(text.rstrip("\r\n")))
            except ChatError as error:
                self._fail(f"line {number} was not sent: {error}")
            with state.changed:
                state.changed.wait_for(lambda: len(state.pending) < _WAITING or state.status == "closed")
        for message in sent:
            try:
                message.wait(None)
            except ChatError as error:
                self._fail(f"{message.text[:40]!r} was not sent: {error}")
        with state.changed:
            self.is_done = True
            state.touch()

    def _fail(self, why: str) -> None:
        self.has_failed = True
        self._problems.append(why)
