"""Handlers: coroutines, generators, who said it, how far they come, and which replaces which."""

from __future__ import annotations

import asyncio
import functools
import gc
import subprocess
import sys
import threading
from collections import deque
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import replace
from types import SimpleNamespace

import pytest

import nbchat
from nbchat.client import clients, inbox
from nbchat.client.reruns import Origin
from nbchat.client.thread import Receiver
from nbchat.core.errors import Closed
from nbchat.core.transcript import Message
from tests.net.helpers import PATIENCE, Heard, until


def gone(name: str, watcher: nbchat.Client) -> None:
    until(watcher, lambda: name not in watcher._state.transcript.members)


# ── what a handler may be ───────────────────────────────────────────────────────────────────────


async def coroutine(message: Message) -> str:
    await asyncio.sleep(0)
    return f"1 {message.text}"


def generator(message: Message) -> Iterator[str]:
    yield f"1 {message.text}"
    yield "2"


async def asynchronous_generator(message: Message) -> AsyncIterator[str]:
    yield f"1 {message.text}"
    await asyncio.sleep(0)
    yield "2"


class Called:
    async def __call__(self, message: Message) -> str:
        return f"1 {message.text}"

    async def method(self, message: Message) -> str:
        return f"1 {message.text}"


KINDS = {
    "coroutine": (coroutine, 1),
    "generator": (generator, 2),
    "asynchronous generator": (asynchronous_generator, 2),
    "partial": (functools.partial(coroutine), 1),
    "object": (Called(), 1),
    "method": (Called().method, 1),
    "lambda": (lambda message: coroutine(message), 1),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_function_answers(server: nbchat.Server, kind: str) -> None:
    function, answers = KINDS[kind]
    with nbchat.connect(server, name="ada") as ada, nbchat.connect(server, name="bot") as bot:
        bot.on_message(function)
        ada.send("a").wait()
        heard = [ada.wait_for(lambda message: message.by == "bot") for _ in range(answers)]
        assert [message.text for message in heard] == ["1 a", "2"][:answers]
        assert all(message.auto for message in heard)
        assert bot.errors == []


def test_coroutines_wait_beside_each_other_on_one_loop(server: nbchat.Server) -> None:
    with nbchat.connect(server, name="ada") as ada, nbchat.connect(server, name="bot") as bot:
        loops = set()
        second = asyncio.Event()

        @bot.on_message
        async def answer(message: Message) -> str:
            loops.add(asyncio.get_running_loop())
            if message.text == "first":
                await second.wait()
            second.set()
            return message.text

        ada.send("first")
        ada.send("second")
        for text in ("second", "first"):
            assert ada.wait_for(lambda message: message.by == "bot").text == text
        assert len(loops) == 1


def test_coroutines_fail_in_words_and_end_with_the_client(
    server: nbchat.Server, capfd: pytest.CaptureFixture[str]
) -> None:
    ended = threading.Event()
    ada, bot = nbchat.connect(server, name="ada"), nbchat.connect(server, name="bot")

    @bot.on_message
    async def answer(message: Message) -> None:
        if message.text == "fail":
            asyncio.get_running_loop().call_soon(lambda: 1 / 0)
            raise SystemExit(3)
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    ada.send("fail").wait()
    ada.send("wait").wait()
    until(bot, lambda: len(bot._state.errors) == 2)
    assert sorted(error.splitlines()[-1] for error in bot.errors) == [
        "SystemExit: 3", "ZeroDivisionError: division by zero",
    ]  # fmt: skip
    ada.send("wait").wait()
    bot.close()
    assert ended.wait(PATIENCE)
    ada.close()
    assert capfd.readouterr().err.count("failed (told once") == 2


def test_a_hundred_coroutines_of_a_handler_at_one_time(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = nbchat.Limits(rate=1e6, burst=10**6)
    with (
        nbchat.serve(port=0, history=None, limits=limits) as server,
        nbchat.connect(server, name="ada") as ada,
        nbchat.connect(server, name="bot") as bot,
    ):
        begun = Heard()
        go_on = asyncio.Event()

        @bot.on_message
        async def answer(message: Message) -> str:
            begun(message)
            if message.text == "150":
                go_on.set()
            await go_on.wait()
            return message.text

        bot.on_message(seen := Heard())
        for number in range(150):
            ada.send(str(number))
        seen.wait(150)  # the other handler is not kept
        assert begun.wait(100) == [str(number) for number in range(100)]
        bot._handlers._coroutines._loop.call_soon_threadsafe(go_on.set)  # type: ignore[union-attr]
        assert begun.wait(150) == [str(number) for number in range(150)]


# ── two bots ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("is_coroutine", [False, True])
def test_two_bots_that_send_do_not_talk_for_ever(server: nbchat.Server, is_coroutine: bool) -> None:
    with nbchat.connect(server, name="ada") as ada, nbchat.connect(server, name="bob") as bob:
        for client in (ada, bob):

            def answer(message: Message, client: nbchat.Client = client) -> None:
                client.send(f"re: {message.text}")

            async def await_answer(message: Message, client: nbchat.Client = client) -> None:
                await asyncio.to_thread(client.send, f"re: {message.text}")

            client.on_message(await_answer if is_coroutine else answer)
        ada.send("a").wait()
        assert ada.wait_for(lambda message: message.by == "bob").auto
        ada.send("b").wait()  # has gone through ada's handler if the answer has
        assert ada.wait_for(lambda message: message.text == "re: b").auto
        assert ada.transcript() == ["ada: a", "bob: re: a", "ada: b", "bob: re: b"]


# ── how far they come ───────────────────────────────────────────────────────────────────────────


def test_who_catches_up_has_patience_with_each_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """A piece of long messages comes in many pages, and after some of them a server reads more slowly."""
    now = 0.0
    monkeypatch.setattr("nbchat.client.state.time", SimpleNamespace(monotonic=lambda: now))

    class Page:
        def __init__(self, before: int) -> None:
            self._seq = before - 1

        def result(self, timeout: float) -> tuple[list[Message], int]:
            nonlocal now
            if timeout < 1:
                raise FutureTimeout
            now += 1
            return [Message(self._seq, "bob", "long")], self._seq

    class Slow:
        page = staticmethod(lambda before, limit: Page(before))

    found = inbox._piece(Slow(), 0, 30, None)  # type: ignore[arg-type]
    assert [message.seq for message in found] == list(range(1, 31))


def test_a_bot_far_behind_goes_on_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forward from where it is, each piece handed on before the next is asked for; what a host did, or took
    away, and other sizes of pages leave nothing out."""
    limits = nbchat.Limits(rate=1e6, burst=10**6, page=30)
    asked: list[tuple[int, int]] = []
    page = Receiver.page

    def asking(self: Receiver, before: int, limit: int) -> object:
        asked.append((before, limit))
        return page(self, before, limit)

    with (
        nbchat.serve(port=0, history=None, limits=limits) as server,
        nbchat.connect(server, name="ada") as ada,
        nbchat.connect(server, name="bot") as bot,
    ):
        bot._state.transcript.messages = deque(maxlen=5)
        heard, rest, begun = Heard(), threading.Event(), threading.Event()
        most: list[int] = []

        @bot.on_message
        def slow(message: Message) -> None:
            begun.set()
            rest.wait(PATIENCE)
            heard(message)
            most.append(len(asked))

        ada.send("0").wait()
        assert begun.wait(PATIENCE)
        monkeypatch.setattr(Receiver, "page", asking)
        for number in range(1, 200):
            ada.send(str(number)).wait()
            if number == 100:
                server.slow(0)
                server.redact(3)
        until(bot, lambda: bot._state.transcript.said == ada._state.transcript.said)
        listened = [message.text for message in bot.listen(timeout=0)]
        pieces = len(asked)
        assert pieces == -(-(bot._state.transcript.lost) // 30)
        rest.set()
        wanted = [str(number) for number in range(200) if number != 2]
        assert heard.wait(199) == wanted
        assert listened == wanted
        assert all(limit <= 30 for _, limit in asked)
        assert [before for before, _ in asked[pieces:]] == sorted(before for before, _ in asked[pieces:])
        assert most[40] < len(asked)  # it was not read to its end first


def test_long_texts_are_kept_only_up_to_a_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nbchat.core.transcript.KEPT_BYTES", 100_000)
    limits = nbchat.Limits(rate=1e6, burst=10**6)
    with (
        nbchat.serve(port=0, history=None, limits=limits) as server,
        nbchat.connect(server, name="ada") as ada,
        nbchat.connect(server, name="bob") as bob,
    ):
        for number in range(20):
            ada.send(f"{number} {'x' * 10_000}").wait()
        until(bob, lambda: bob._state.transcript.seq == 20)
        kept = [message.seq for message in bob.messages]
        assert kept == list(range(12, 21))
        rows = [row.message.seq for row in bob._state.transcript.rows if row.message]
        assert rows == kept
        assert [message.seq for message in bob.listen(timeout=0)] == list(range(1, 21))  # from the history


# ── a cell that runs again ──────────────────────────────────────────────────────────────────────

CELL = """
@client.on_message
def answer(message):
    return "re: " + message.text
"""


@pytest.fixture
def room(server: nbchat.Server) -> Iterator[tuple[nbchat.Client, nbchat.Client]]:
    with nbchat.connect(server, name="ada") as ada, nbchat.connect(server, name="helper") as helper:
        yield ada, helper


def answers(ada: nbchat.Client, text: str) -> list[str]:
    """What comes to a message, before the next one's receipt and answers can."""
    ada.send(text).wait()
    ada.wait_for(lambda message: message.auto, PATIENCE)
    ada.send("the end").wait()
    said = []
    for message in ada.listen(timeout=PATIENCE):
        if "the end" in message.text and message.auto:
            return said
        if message.auto:
            said.append(message.text)
    raise AssertionError("no answer")


@pytest.mark.parametrize(
    "cells", [[CELL] * 3, [CELL, "# changed\n" + CELL], [CELL, CELL.replace("re: ", "r: ")]]
)
def test_a_handlers_cell_run_again_answers_once(
    room: tuple[nbchat.Client, nbchat.Client], cells: list[str]
) -> None:
    ada, helper = room
    for number, cell in enumerate(cells):
        exec(
            compile(cell, f"<cell {cell == cells[0] or number}>", "exec"), {"client": helper, "__name__": "m"}
        )
    assert answers(ada, "a") == []
    assert len(helper._handlers._entries) == 1


def compiled(code: str, file: str = "<cell>") -> list[object]:
    made: list[object] = []
    exec(compile(code, file, "exec"), {"add": made.append, "__name__": "__main__"})
    return made


TWO = "def _(m): 1\nadd(_)\ndef _(m): 2\nadd(_)"
LOOP = "for n in range(2):\n    def f(m): 1\n    add(f)"


def test_what_is_the_same_handler() -> None:
    def replaces(new: object, old: object) -> bool:
        return Origin.of(new).replaces(Origin.of(old))  # type: ignore[arg-type]

    for several in (compiled(TWO), compiled(LOOP), compiled("add(lambda m: 1)\nadd(lambda m: 2)")):
        assert not replaces(several[1], several[0])
        assert replaces(several[0], several[0])
    (one,), (again,) = compiled("add(lambda m: 1)"), compiled("add(lambda m: 1)")
    assert replaces(again, one)
    (other,), (elsewhere,) = compiled("add(lambda m: 2)"), compiled("add(lambda m: 1)", "<another>")
    assert not replaces(other, one)
    assert not replaces(elsewhere, one)
    (f,), (g,) = compiled("def f(m): 1\nadd(f)"), compiled("\n\ndef f(m): 2\nadd(f)", "<another>")
    assert replaces(g, f)
    called = Called()
    assert replaces(called.method, called.method)
    assert not replaces(Called().method, called.method)
    assert replaces(print, print)
    # A cell that was changed and run again, where the notebook says which one it was.
    first, changed = (replace(Origin.of(each), cell=("cell 1", run)) for run, each in ((1, one), (2, other)))  # type: ignore[arg-type]
    assert changed.replaces(first)
    assert not replace(changed, cell=("cell 2", 2)).replaces(first)
    assert not replace(changed, cell=("cell 1", 1)).replaces(first)
    assert not replaces(functools.partial(print, 1), functools.partial(print, 2))


def test_a_replaced_handler_goes_on_where_it_was(room: tuple[nbchat.Client, nbchat.Client]) -> None:
    ada, helper = room
    heard, rest, begun = Heard(), threading.Event(), threading.Event()

    code = "def slow(message): wait(); heard(message)\nadd(slow)"
    names = {"wait": lambda: (begun.set(), rest.wait(PATIENCE)), "heard": heard, "add": helper.on_message}
    exec(compile(code, "<cell>", "exec"), {**names, "__name__": "m"})
    ada.send("a").wait()
    assert begun.wait(PATIENCE)
    ada.send("b").wait()
    until(helper, lambda: helper._state.transcript.said == 2)
    exec(compile(code, "<cell>", "exec"), {**names, "wait": lambda: None, "__name__": "m"})
    rest.set()
    ada.send("c").wait()
    assert sorted(heard.wait(3)) == ["a", "b", "c"]


# ── who stays, and who gives way ────────────────────────────────────────────────────────────────


def test_a_client_that_nobody_holds_says_goodbye(server: nbchat.Server) -> None:
    with nbchat.connect(server, name="watcher") as watcher:
        for _ in range(5):
            client = nbchat.connect(server)
        until(watcher, lambda: len(watcher._state.transcript.members) == 2)
        assert client.status == "connected"
        heard = client.listen(timeout=PATIENCE)
        name = client.name
        del client
        watcher.send("still there?").wait()
        assert next(heard).text == "still there?"  # who listens is there
        heard.close()  # type: ignore[attr-defined]
        del heard
        gone(name, watcher)


def test_what_was_said_is_sent_before_its_client_goes(server: nbchat.Server) -> None:
    with nbchat.connect(server, name="watcher") as watcher:
        message = nbchat.connect(server, name="teller").send("news")
        assert message.wait(PATIENCE).seq == 1
        gone("teller", watcher)


def test_a_client_with_handlers_stays_and_leaves_with_its_last(server: nbchat.Server) -> None:
    code = "client().on_message(lambda message: message.text + '!')"
    with nbchat.connect(server, name="ada") as ada:
        for _ in range(3):  # a cell that runs again
            exec(compile(code, "<cell>", "exec"), {"client": lambda: nbchat.connect(server), "__name__": "m"})
            gc.collect()
        until(ada, lambda: len(ada._state.transcript.members) == 2)
        assert answers(ada, "there?") == []


def test_the_same_call_again_is_one_member(server: nbchat.Server) -> None:
    with nbchat.connect(server, name="ada") as ada:
        first = nbchat.connect(server, name="helper")
        first.on_message(lambda message: f"re: {message.text}")
        again = nbchat.connect(server.invite(), name="Helper")
        assert (first.status, again.status, again.name) == ("closed", "connected", "helper")
        assert "called again" in first.reason
        assert answers(ada, "a") == []  # its handlers are the new one's
        assert [row.kind for row in ada._state.transcript.rows if row.kind != "said"] == ["joined"]
        elsewhere = nbchat.connect(server, name="helper", room="other")
        assert again.status == elsewhere.status == "connected"
        with pytest.raises(Closed):
            first.send("late")
        for client in (again, elsewhere):
            client.close()
        gone("helper", ada)


def test_what_was_pending_is_the_new_clients(server: nbchat.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    with nbchat.connect(server, name="ada") as ada:
        first = nbchat.connect(server, name="helper")
        first._receiver._hold = first._receiver._loop.call_later(PATIENCE, lambda: None)  # type: ignore[union-attr]
        messages = [first.send(text) for text in "abc"]
        again = nbchat.connect(server, name="helper")
        assert [message.wait(PATIENCE).seq for message in messages] == [1, 2, 3]
        assert (first.pending, again.pending) == ([], [])
        until(ada, lambda: ada._state.transcript.seq == 3)
        assert ada.transcript() == ["helper: a", "helper: b", "helper: c"]


def test_one_that_cannot_come_in_takes_nobodys_place(server: nbchat.Server) -> None:
    first = nbchat.connect(server, name="helper")
    server.stop()
    until(first, lambda: first.status == "reconnecting")
    message = first.send("later")
    with pytest.raises(nbchat.errors.Unreachable):
        nbchat.connect(server, name="helper")
    with nbchat.serve(port=server.port, history=None):
        assert message.wait(PATIENCE).seq == 1
        first.close()


def test_handlers_that_a_client_was_behind_with_miss_nothing_when_it_gives_way(server: nbchat.Server) -> None:
    with nbchat.connect(server, name="ada") as ada:
        first = nbchat.connect(server, name="helper")
        heard, rest, begun = Heard(), threading.Event(), threading.Event()

        @first.on_message
        def slow(message: Message) -> None:
            begun.set()
            rest.wait(PATIENCE)
            heard(message)

        for number in range(80):
            ada.send(str(number)).wait(PATIENCE)
            assert begun.wait(PATIENCE)
        again = nbchat.connect(server, name="helper")  # which is shown the newest 50
        rest.set()
        assert sorted(heard.wait(80), key=int) == [str(number) for number in range(80)]
        again.close()
        assert clients.living()


# ── the process ─────────────────────────────────────────────────────────────────────────────────

_SCREEN = """
import sys, subprocess, nbchat
client = nbchat.connect(sys.argv[1], name="bot")

@client.on_message
def answer(message):
    print("heard", message.text)
    subprocess.run([sys.executable, "-c", "print('child')"], stdout=sys.stdout, check=True)
    return f"{sys.stdout.encoding} {sys.stdout.fileno()}"

@client.on_message
def broken(message):
    return {}["plan"]

client.send("ready").wait()
client.wait_for(lambda message: message.text == "end")
"""


def test_in_a_program_prints_go_to_the_screen(server: nbchat.Server) -> None:
    with (
        nbchat.connect(server, name="ada") as ada,
        subprocess.Popen(
            [sys.executable, "-u", "-c", _SCREEN, server.invite()],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        ) as bot,
    ):  # fmt: skip
        ada.wait_for(lambda message: message.text == "ready", PATIENCE)
        for text in ("a", "b"):
            ada.send(text).wait()
            assert ada.wait_for(lambda message: message.auto, PATIENCE).text == "utf-8 1"
        ada.send("end").wait()
        out, err = bot.communicate(timeout=PATIENCE)
    assert out.startswith("heard a\nchild\nheard b\nchild\n")
    assert err.count("KeyError: 'plan'") == 1
    assert "in broken" in err
