"""The chat in a terminal: what arrives is printed above the line being typed.

With standard input not a terminal it sends every line, waits for the receipts and ends, so that it can
stand in a pipe. Only the main thread prints.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, TextIO

from nbchat.client.client import Client
from nbchat.core.errors import ChatError
from nbchat.core.escape import indented, one_line
from nbchat.core.mentions import is_mentioned
from nbchat.core.transcript import Row
from nbchat.render.wrap import columns, folded
from nbchat.ui import commands

if TYPE_CHECKING:
    from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

_WAITING = 256
"""Lines of a pipe that may wait for their receipts, or to be complained of, before the next is read."""
_LONGEST = 2**20
"""Characters of a line of a pipe that are read: more than any chat takes."""
_MOST = 4000
"""Characters of the first line, which names everybody who is there."""
_BOLD, _FAINT, _MINE, _THEIRS, _END = "\x1b[1m", "\x1b[2m", "\x1b[32m", "\x1b[36m", "\x1b[0m"
_BELL = "\a"


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


def complain(why: str, *, is_folded: bool = True) -> None:
    """Say on standard error what went wrong; nothing where that is closed, or takes no more."""
    if sys.stderr is not None:
        with contextlib.suppress(OSError, ValueError):
            print(folded(f"nbchat: {indented(why)}", columns() if is_folded else None), file=sys.stderr)


def talk(client: Client) -> int:
    """Chat until the person leaves; returns the exit status."""
    if sys.stdin is None:
        complain("Standard input is closed (<&-), so there is nothing to send.")
        return 1
    if sys.stdin.isatty() and sys.stdout is not None and sys.stdout.isatty():
        return asyncio.run(_Screen(client).run())
    return _pipe(client)


def takes_colours() -> bool:
    """Whether standard output is a terminal that takes colours, and nobody asked for none (no-color.org)."""
    stream = sys.__stdout__
    is_terminal = stream is not None and not stream.closed and stream.isatty()
    return is_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def painted(line: str, row: Row, me: str, *, calls: bool = False) -> str:
    """A row, already folded, in colours: its author's name, or all of it; bold where it ``calls`` me."""
    if row.kind != "said":
        return _all(line, _FAINT)
    name = one_line(row.name)
    colour = _MINE if row.name == me else _THEIRS
    if calls:
        return _all(line, _BOLD)
    rest = line.removeprefix(name)
    if rest == line or not rest.startswith((":", " (")):  # folded within the name; behind it its mark
        return line
    return f"{colour}{name}{_END}{rest}"


def _all(text: str, look: str) -> str:
    """The lines of a text with a look, each by itself: what is drawn between two of them has none."""
    return "\n".join(f"{look}{line}{_END}" for line in text.split("\n"))


# ── a person ────────────────────────────────────────────────────────────────────────────────────


class _Screen:
    """The prompt, and what is printed above it. Main thread."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._n = 0
        self._status = "connected"
        self._has_colours = takes_colours()

    async def run(self) -> int:
        from prompt_toolkit import PromptSession
        from prompt_toolkit.patch_stdout import patch_stdout
        from prompt_toolkit.shortcuts import CompleteStyle

        from nbchat.ui.completion import Names

        client = self._client
        _show(greeting(client))
        prompt: PromptSession[str] = PromptSession(
            erase_when_done=True,
            key_bindings=_keys(),
            completer=Names(client),
            complete_while_typing=False,
            complete_style=CompleteStyle.READLINE_LIKE,
            reserve_space_for_menu=0,
        )
        self._buffer = prompt.default_buffer
        # What is printed is visible already (core/escape.py); all that acts in it are our own colours.
        with patch_stdout(raw=True):
            follow = asyncio.create_task(self._follow())
            typing = asyncio.create_task(self._type(prompt))
            await asyncio.wait((follow, typing), return_when=asyncio.FIRST_COMPLETED)
            for task in (follow, typing):
                task.cancel()
            await asyncio.gather(follow, typing, return_exceptions=True)
            self._print()
        if client.status == "closed":
            complain(f"the chat has ended: {client.reason}")
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
            me, members, start = state.name, list(state.transcript.members), state.start or 0
        calling = [row for row in rows if _calls(row, me, members, start)]
        for row in rows:
            line = folded(words(row), columns())
            if self._has_colours:
                line = painted(line, row, me, calls=row in calling)
            print(line + (_BELL if calling and row is calling[-1] else ""), flush=True)
        for message in refused:
            _show(f"* {indented(str(message.error))}")
            if self._buffer.text:
                _show(f"* was not sent: {indented(message.text)}")
            else:  # back into the line, to be sent again or changed
                self._buffer.insert_text(commands.typed(message.text))
        if status != self._status and status != "closed":
            _show("* connected again" if status == "connected" else f"* reconnecting: {one_line(reason)}")
        self._status = status


def _calls(row: Row, me: str, members: list[str], start: int) -> bool:
    """Whether a row is somebody's message to me, said since I came."""
    message = row.message
    if message is None or message.seq <= start or message.by == me:
        return False
    return is_mentioned(message.text, me, members)


def _keys() -> KeyBindings:
    """Ctrl-C takes back what was typed, and leaves where there is nothing; Ctrl-Z goes back to the shell."""
    from prompt_toolkit.key_binding import KeyBindings

    keys = KeyBindings()

    @keys.add("c-c")
    def clear_or_leave(event: KeyPressEvent) -> None:
        if event.current_buffer.text:
            event.current_buffer.reset()
        else:
            event.app.exit(exception=KeyboardInterrupt)

    @keys.add("c-z")
    def suspend(event: KeyPressEvent) -> None:
        event.app.suspend_to_background()

    return keys


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
    state = client._state
    with state.changed:
        n = state.transcript.n
    reader = _LineReader(client)
    reader.thread.start()
    has_failed = False
    while True:
        with state.changed:
            state.changed.wait_for(
                lambda: (
                    state.transcript.n > n  # noqa: B023
                    or reader.problems
                    or state.refused
                    or state.status == "closed"
                    or (reader.is_done and not state.pending)
                )
            )
            rows, n = state.transcript.after(n), state.transcript.n
            problems = list(reader.problems)
            problems += [f"{one_line(each.text, 40)!r} was not sent: {each.error}" for each in state.refused]
            reader.problems.clear()
            state.refused.clear()
            state.touch()  # the reader may go on
            is_over = state.status == "closed" or (reader.is_done and not state.pending)
        has_failed = has_failed or bool(problems)
        for row in rows:
            _show(words(row))
        for problem in problems:
            complain(problem)
        if is_over and not rows and not problems:
            break
    if client.status == "closed":
        complain(f"the chat has ended: {client.reason}")
    return 1 if has_failed or client.status == "closed" else 0


class _LineReader:
    """Reads standard input and sends; prints nothing. ``problems`` and ``is_done`` are the state's to guard:
    it touches them with ``changed`` held."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.problems: deque[str] = deque()
        self.is_done = False
        self.thread = threading.Thread(target=self._run, name="nbchat input", daemon=True)

    def _run(self) -> None:
        state = self._client._state
        try:
            for number, text in self._lines():
                try:
                    self._client.send(text)
                except ChatError as error:
                    self._fail(f"line {number} was not sent: {error}")
                with state.changed:
                    state.changed.wait_for(
                        lambda: (
                            (len(state.pending) < _WAITING and len(self.problems) < _WAITING)
                            or state.status == "closed"
                        )
                    )
                    if state.status == "closed":
                        break
        except (OSError, ValueError) as error:
            self._fail(f"Standard input cannot be read: {getattr(error, 'strerror', None) or error}.")
        with state.changed:
            self.is_done = True
            state.touch()

    def _lines(self) -> Iterator[tuple[int, str]]:
        """The lines that have something in them, with their numbers."""
        number = 0
        stream = _input()
        while text := stream.readline(_LONGEST):
            number += 1
            is_cut = False
            while len(text) == _LONGEST and not text.endswith("\n"):
                is_cut, text = True, stream.readline(_LONGEST)
            if is_cut:
                self._fail(f"line {number} was not sent: it is longer than {_LONGEST:,} characters.")
            elif text.strip():
                yield number, text.rstrip("\r\n")

    def _fail(self, why: str) -> None:
        with self._client._state.changed:
            self.problems.append(why)
            self._client._state.touch()


def _input() -> TextIO:
    """Standard input, to be read by a thread: through a file of its own, since Python's end would wait for
    the lock of one that is being read."""
    stream = sys.stdin
    try:
        fileno = stream.fileno()
    except (OSError, ValueError):  # it is no file
        return stream
    return open(fileno, encoding=stream.encoding, errors="replace", closefd=False)
