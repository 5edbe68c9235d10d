"""A kernel that ends in the middle of sending, and what the others see of it."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

import nbchat
from tests.net.helpers import PATIENCE, saw, until
from tests.ui.processes import Kernel, kernels

JOIN = "import nbchat\nclient = nbchat.connect({!r}, name='ada')"
SEND = """
number = {}
while True:
    message = client.send(f'{{number}}')
    number += 1
    message.wait()
"""
FAST = {"rate": 1e6, "burst": 10**6}


def end(kernel: Kernel, how: str) -> None:
    """As the button "Restart" does, or as kill -9 does; then it is there again, empty."""
    if how == "killed":
        kernel.kill()
        kernel.restart()
    else:
        kernel.restart(now=False)


@pytest.mark.parametrize("how", ["restarted", "killed"])
def test_a_kernel_that_comes_back_in_time_never_left(how: str) -> None:
    with (
        nbchat.serve(port=0, history=None, limits=nbchat.Limits(**FAST)) as server,
        nbchat.connect(server, name="bob") as bob,
        kernels(1) as (kernel,),
    ):
        link = server.invite()
        for life in (0, 1000, 2000):
            kernel.run(JOIN.format(link))
            assert kernel.run("client.name") == "ada"
            kernel.begin(SEND.format(life))
            bob.wait_for(lambda message, life=life: message.text == str(life + 50), PATIENCE)  # type: ignore[misc]
            if life < 2000:
                end(kernel, how)
        assert [row.kind for row in bob._state.transcript.rows if row.kind != "said"] == ["joined"]
        assert bob.members == ["bob", "ada"]
        # What each life said is there once and in order.
        said = [int(message.text) for message in bob.messages]
        assert said == sorted(set(said))
        for life in (0, 1000, 2000):
            mine = [number for number in said if life <= number < life + 1000]
            assert mine == list(range(life, life + len(mine)))


@pytest.mark.parametrize("how", ["shut down", "killed"])
def test_a_kernel_that_does_not_come_back_has_left_once(how: str) -> None:
    limits = nbchat.Limits(grace=1, **FAST)
    with (
        nbchat.serve(port=0, history=None, limits=limits) as server,
        nbchat.connect(server, name="bob") as bob,
    ):
        with kernels(1) as (kernel,):
            kernel.run(JOIN.format(server.invite()))
            kernel.begin(SEND.format(0))
            bob.wait_for(lambda message: message.text == "50", PATIENCE)
            if how == "killed":
                kernel._manager.signal_kernel(signal.SIGKILL)
            else:
                kernel._manager.shutdown_kernel(now=False)
            saw(bob, "bob")
        rows = [row.kind for row in bob._state.transcript.rows if row.kind != "said"]
        assert rows == ["joined", "left"]


_BOT = """
import asyncio, io, subprocess, sys
kind = type(sys.stdout)

@client.on_message
def answer(message):
    print("heard", message.text)
    subprocess.run([sys.executable, "-c", ""], stdout=sys.stdout, check=True)
    return f"{sys.stdout.encoding} {isinstance(sys.stdout, kind)} {sys.stdout.isatty()}"

@client.on_message
async def broken(message):
    print("in", "coroutine")
    loop = asyncio.get_running_loop()
    loop.call_soon(loop.call_soon, print, "after it")
    await asyncio.sleep(0)
    return {}["plan"]
"""


def test_what_handlers_print_is_in_the_panel_and_in_no_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if it is another client's panel; a bot has none. A cell that runs again changes nothing."""
    monkeypatch.delenv("PYTEST_CURRENT_TEST")  # in a test the kernel's streams would have no descriptor
    with (
        nbchat.serve(port=0, history=None, limits=nbchat.Limits(**FAST)) as server,
        nbchat.connect(server, name="bob") as bob,
        kernels(1) as (kernel,),
    ):
        kernel.run(f"import nbchat\nlink = {server.invite()!r}\npanel = nbchat.join(link, name='ada')")
        for number in range(3):
            kernel.run("client = nbchat.connect(link, name='helper')")
            # Changed and run again, it is still the same function.
            kernel.run(f"# run {number}" + _BOT)
        bob.send("hello").wait()
        answer = bob.wait_for(lambda message: message.by == "helper", PATIENCE)
        assert answer.text == "UTF-8 True False"
        bob.send("again").wait()
        assert bob.wait_for(lambda message: message.by == "helper", PATIENCE).auto
        kernel.wait_for("len(client._state.errors) == 8")
        kernel.run("print_nothing = None")  # what went to a cell would fail the run
        notices = kernel.run(
            "[row.text for row in panel.client._state.transcript.rows if row.kind == 'notice']"
        )
        assert sorted(notices) == [
            "Your function broken() failed: KeyError: 'plan' (client.errors has the details.)",
            "answer() printed: heard again",
            "answer() printed: heard hello",
            *["broken() printed: after it"] * 2,
            *["broken() printed: in coroutine"] * 2,
        ]
        assert bob.members == ["bob", "ada", "helper"]
        assert [message.by for message in bob.messages if message.auto] == ["helper", "helper"]
        assert kernel.run("isinstance(sys.stdout, kind)")
        # So does a cell with a lambda and no name.
        for _ in range(3):
            kernel.run(
                "bot = nbchat.connect(link)\nbot.on_message(lambda message: 'I ' + message.text) and None"
            )
        until(bob, lambda: len(bob._state.transcript.members) == 4)
        bob.send("and now?").wait()
        bob.send("the end").wait()
        said = [bob.wait_for(lambda message: message.text.startswith("I "), PATIENCE).text for _ in range(2)]
        assert said == ["I and now?", "I the end"]


def test_a_program_that_ends_says_goodbye() -> None:
    """Only kernels come back; a script's end is an end."""

    with (
        nbchat.serve(port=0, history=None, limits=nbchat.Limits(grace=600)) as server,
        nbchat.connect(server, name="bob") as bob,
    ):
        code = f"import nbchat; nbchat.connect({server.invite()!r}, name='ada').send('hi').wait()"
        subprocess.run([sys.executable, "-c", code], check=True, timeout=PATIENCE)
        until(bob, lambda: [row.kind for row in bob._state.transcript.rows] == ["joined", "said", "left"])
