"""A panel is drawn, shows what is said and says what is typed, wherever anywidgets run."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

import nbchat
from tests.ui import lab
from tests.ui.conftest import Opener

pytestmark = pytest.mark.timeout(300)

CELL = "import nbchat\npanel = nbchat.join(name='ada')\npanel"
MARIMO = """import marimo
app = marimo.App()

@app.cell
def _():
    import nbchat
    panel = nbchat.join(name="ada")
    panel
    return
"""


@contextlib.contextmanager
def running(folder: Path, chat: nbchat.Server, ready: str, *command: str) -> Iterator[None]:
    """A host's process, once it has printed what matches ``ready``."""
    process = subprocess.Popen(
        [sys.executable, "-m", *command],
        env=lab.environment(folder, NBCHAT_URL=chat.invite(host=True), PYTHONUNBUFFERED="1"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=folder,
    )
    assert process.stdout is not None
    try:
        seen = []
        for line in process.stdout:
            seen.append(line)
            if re.search(ready, line):
                break
        else:
            raise RuntimeError("it did not start:\n" + "".join(seen))
        threading.Thread(target=process.stdout.read, daemon=True).start()
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(20)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def roles(chat: nbchat.Server) -> dict[str, str]:
    return {member.name: member.role for member in chat.members}


def talk(page: Page, bob: nbchat.Client) -> None:
    """Both ways, and how it looks: the parts have their place and their ground."""
    panel = page.get_by_role("group", name="Chat")
    log = panel.get_by_role("log", name="Messages")
    expect(panel.get_by_role("status", name="Connection")).to_contain_text("Connected as ada", timeout=60_000)
    bob.send("hello **there**").wait()
    expect(log.locator(".nbchat-row .nbchat-text").last).to_have_text("hello there")
    assert log.locator("strong").count() == 1
    panel.get_by_role("textbox", name="Message").fill("hello from ada")
    panel.get_by_role("textbox", name="Message").press("Enter")
    assert bob.wait_for(lambda message: message.by == "ada").text == "hello from ada"
    expect(log.locator(".nbchat-row .nbchat-text").last).to_have_text("hello from ada")
    expect(panel.get_by_role("list", name="Members").get_by_role("listitem")).to_have_count(2)
    box = panel.bounding_box()
    assert box is not None
    assert box["width"] > 400
    assert panel.evaluate("node => getComputedStyle(node).backgroundColor") == "rgb(255, 255, 255)"


def test_voila(tmp_path: Path, chromium: Browser, chat: nbchat.Server, bob: nbchat.Client) -> None:
    lab.write_notebook(tmp_path / "chat.ipynb", CELL)
    port = free_port()
    command = ("voila", "chat.ipynb", "--no-browser", f"--port={port}", "--Voila.ip=127.0.0.1")
    with running(tmp_path, chat, r"Voil. is running at", *command):
        page = chromium.new_page()
        page.goto(f"http://127.0.0.1:{port}/")
        talk(page, bob)
        assert roles(chat)["ada"] == "member"
        page.close()


def test_marimo(tmp_path: Path, chromium: Browser, chat: nbchat.Server, bob: nbchat.Client) -> None:
    (tmp_path / "app.py").write_text(MARIMO)
    port = free_port()
    command = (
        "marimo", "run", "app.py", "--headless", "--no-token", "--host", "127.0.0.1", "--port", str(port),
    )  # fmt: skip
    with running(tmp_path, chat, r"URL: http", *command):
        page = chromium.new_page()
        page.goto(f"http://127.0.0.1:{port}/")
        talk(page, bob)
        assert roles(chat)["ada"] == "member"
        other = chromium.new_context().new_page()  # another visitor, of the same process
        other.goto(f"http://127.0.0.1:{port}/")
        status = other.get_by_role("status", name="Connection")
        expect(status).to_contain_text("Connected as ada2", timeout=60_000)
        assert roles(chat) == {"bob": roles(chat)["bob"], "ada": "member", "ada2": "member"}
        expect(page.get_by_role("status", name="Connection")).to_contain_text("Connected as ada")
        other.close()
        page.close()


def test_an_ipykernel_6_sends_when_the_cell_ends(
    tmp_path: Path,
    opener: Opener,
    jupyter: tuple[str, Path],
    chat: nbchat.Server,
    bob: nbchat.Client,
) -> None:
    """NBCHAT_KERNEL6 is the Python of an environment with ipykernel 6 and nbchat."""
    kernel = os.environ["NBCHAT_KERNEL6"]
    folder = jupyter[1].parent / "data" / "kernels" / "kernel6"
    folder.mkdir(parents=True)
    argv = [kernel, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (folder / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": "6", "language": "python"}))
    join = f"import nbchat\npanel = nbchat.join({chat.invite()!r}, name='ada')\npanel"
    notebook = opener("old", join, kernel="kernel6")
    assert notebook.run("import ipykernel; print(ipykernel.__version__[0])") == "6\n"
    end = tmp_path / "end"
    notebook.start(f"import time, pathlib\nwhile not pathlib.Path({str(end)!r}).exists(): time.sleep(0.01)")
    notebook.say("typed while the cell runs")
    pale = notebook.panel.locator(".nbchat-pale")
    expect(pale).to_contain_text("typed while the cell runs")
    expect(pale).to_contain_text("waiting for the kernel")
    bob.send("seen meanwhile").wait()
    expect(notebook.texts.last).to_have_text("seen meanwhile")  # the other way it works
    assert notebook.texts.count() == 1
    end.touch()
    assert bob.wait_for(lambda message: message.by == "ada").text == "typed while the cell runs"
    expect(notebook.texts.last).to_have_text("typed while the cell runs")
    expect(pale).to_have_count(0)
