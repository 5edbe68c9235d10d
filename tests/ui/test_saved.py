"""What stands in a saved notebook where the panel was."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nbclient
import nbformat
import pytest
from nbconvert import HTMLExporter
from playwright.sync_api import expect

import nbchat
from tests.ui import lab
from tests.ui.conftest import Opener

TALK = """import nbchat
server = nbchat.serve(port=0)
bob = nbchat.connect(server, name="bob")
bob.send("**hello** from bob").wait()"""
SHOW = """panel = nbchat.join(server, name="ada", save={})
panel.client.send("and from ada")
panel"""


def run(path: Path, *cells: str) -> nbformat.NotebookNode:
    """Execute a notebook, and leave it on the disk with its outputs."""
    lab.write_notebook(path, *cells)
    notebook = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(notebook, timeout=60, store_widget_state=False).execute()
    nbformat.write(notebook, path)
    return notebook


def html(notebook: nbformat.NotebookNode) -> str:
    return str(HTMLExporter().from_notebook_node(notebook)[0])


@pytest.mark.parametrize("save", [True, False])
def test_an_executed_notebook_passes_as_a_test_and_can_be_exported(tmp_path: Path, save: bool) -> None:
    path = tmp_path / "talk.ipynb"
    page = html(run(path, TALK, SHOW.format(save)))
    assert "Run the cell to join" in page
    assert ("<dt><b>bob</b> (host): </dt>\n<dd><strong>hello</strong> from bob</dd>" in page) == save
    assert ("<dt><b>ada</b> (host): </dt>\n<dd>and from ada</dd>" in page) == save
    assert ("nbchat-saved" in page) == save
    for _ in range(2):
        command = [sys.executable, "-m", "pytest", "--nbval", "-q", "-p", "no:cacheprovider", str(path)]
        result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=100)
        assert result.returncode == 0, result.stdout
        assert "2 passed" in result.stdout


@pytest.mark.browser
def test_a_notebook_saved_in_the_browser_shows_the_last_messages(
    opener: Opener, chat: nbchat.Server, bob: nbchat.Client
) -> None:
    link = f"import nbchat\npanel = nbchat.join({chat.invite()!r}, name='ada')\npanel"
    notebook = opener("keepsake", link)
    notebook.run("from nbchat.ui import panel as module\nmodule._COPY_PACE = 0")
    bob.send("said after the cell was run").wait()
    expect(notebook.texts.last).to_have_text("said after the cell was run")
    copy = notebook.page.locator(".nbchat-saved")
    expect(copy).to_contain_text("bob (host): said after the cell was run")
    expect(copy).to_be_hidden()  # the panel itself is there
    notebook.page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
    assert "said after the cell was run" in html(nbformat.read(notebook.path, as_version=4))

    # Opened the next day, without its kernel.
    (notebook.folder / "next-day.ipynb").write_text(notebook.path.read_text())
    page = notebook.context.new_page()
    page.goto(notebook.address.replace("/lab?", "/lab/workspaces/next/tree/next-day.ipynb?reset&"))
    page.locator(".jp-Notebook").wait_for(timeout=60_000)
    expect(page.locator(".nbchat-saved")).to_contain_text("bob (host): said after the cell was run")
    expect(page.locator(".nbchat-saved")).to_be_visible()
    page.close()

    # A panel that is closed leaves the copy behind.
    notebook.run("panel.close()")
    expect(notebook.panel).to_have_count(0)
    expect(copy).to_be_visible()
