"""What stands in a saved notebook where the panel was."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC
from pathlib import Path
from typing import Any

import nbclient
import nbformat
import pytest
from nbconvert import HTMLExporter
from playwright.sync_api import expect

import nbchat
from nbchat.core.mentions import Known
from nbchat.core.transcript import Message
from nbchat.net.link import Address, parse
from nbchat.ui import ask, rendered, saved
from nbchat.ui import panel as module
from tests.ui import lab
from tests.ui.conftest import Opener

TALK = """import nbchat
server = nbchat.serve(port=0)
bob = nbchat.connect(server, name="bob")
bob.send("**hello** from bob").wait()"""
HOST = '<span style="opacity:.75;font-size:12px"> (host)</span>'
"""Its mark, behind a host's name."""
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


def test_an_executed_notebook_passes_as_a_test_and_can_be_exported(tmp_path: Path) -> None:
    for save in (True, False):
        page = html(run(tmp_path / f"talk-{save}.ipynb", TALK, SHOW.format(save)))
        assert "Run the cell to join" in page
        assert (f">bob</b>{HOST}</dt>" in page and "><strong>hello</strong> from bob</dd>" in page) == save
        assert (f">ada</b>{HOST}</dt>" in page and ">and from ada</dd>" in page) == save
        assert ("<dd" in page) == save
        assert page.count("Run the cell to join") == 1
        assert "<time" not in page, "what is executed without a page says the same each time"
    for _ in range(2):
        command = [sys.executable, "-m", "pytest", "--nbval", "-q", "-p", "no:cacheprovider", str(tmp_path)]
        result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=100)
        assert result.returncode == 0, result.stdout
        assert "4 passed" in result.stdout


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
    expect(copy).to_contain_text("bob (host)")
    expect(copy).to_contain_text("said after the cell was run")
    expect(copy.locator("time")).to_have_count(1)
    expect(copy).to_be_hidden()  # the panel itself is there
    notebook.page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
    assert "said after the cell was run" in html(nbformat.read(notebook.path, as_version=4))

    # Opened the next day, without its kernel.
    (notebook.folder / "next-day.ipynb").write_text(notebook.path.read_text())
    page = notebook.context.new_page()
    page.goto(notebook.address.replace("/lab?", "/lab/workspaces/next/tree/next-day.ipynb?reset&"))
    page.locator(".jp-Notebook").wait_for(timeout=60_000)
    expect(page.locator(".nbchat-saved")).to_contain_text("bob (host)")
    expect(page.locator(".nbchat-saved")).to_contain_text("said after the cell was run")
    expect(page.locator(".nbchat-saved")).to_be_visible()
    error = page.get_by_text("Error displaying widget")  # JupyterLab's word for a panel without a kernel
    expect(error).to_have_count(1, timeout=30_000)
    expect(error).to_be_hidden()
    page.close()

    # The switch in the panel.
    keep = notebook.panel.locator(".nbchat-keep")
    keep.get_by_text("The last messages are kept in this notebook").click()
    keep.get_by_label("Keep the last messages in this notebook").uncheck()
    expect(copy).not_to_contain_text("said after the cell was run")
    expect(keep).to_contain_text("Nothing is kept in this notebook")
    keep.get_by_label("Keep the last messages in this notebook").check()
    expect(copy).to_contain_text("said after the cell was run")

    # A panel that is closed leaves the copy behind.
    notebook.run("panel.close()")
    expect(notebook.panel).to_have_count(0)
    expect(copy).to_be_visible()


# ── without a browser ──


Published = list[tuple[str, str, bool]]


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> Iterator[Published]:
    """What a cell shows beside a panel, as (display id, HTML, is an update), in a process that is like a
    kernel."""
    told: Published = []

    def publish(data: dict[str, str], transient: Any = None, update: bool = False) -> None:
        if transient is not None:
            told.append((transient["display_id"], data["text/html"], update))

    class Shell:
        kernel = None

        @staticmethod
        def instance() -> type[Shell]:
            return Shell

    monkeypatch.setattr(module, "_publish", publish)
    monkeypatch.setattr(module, "InteractiveShell", Shell)
    yield told
    for panel in list(module._panels.values()):
        panel.close()


def page_of(panel: nbchat.ChatPanel) -> None:
    """A page comes, in a time zone where it is later."""
    panel._handle_custom_msg({"type": "sync", "after": None}, None)
    panel._handle_custom_msg({"type": "zone", "zone": "Asia/Tokyo"}, None)


def test_names_once_a_group_and_times_only_with_a_zone() -> None:
    day = 86_400_000
    said = [
        Message(1, "ada", "one", day),
        Message(2, "ada", "two", day + 60_000),
        Message(3, "ada", "three", day + 600_000),
        Message(4, "bob", "four", day + 600_001),
        Message(5, "bob", "five", 2 * day),
    ]
    bare = saved.copy(said)
    assert (bare.count(">ada</b>"), bare.count(">bob</b>"), bare.count("<time")) == (1, 1, 0)
    assert bare == saved.copy([Message(each.seq, each.by, each.text, each.ms + 5 * day) for each in said])
    timed = saved.copy(said, zone=UTC)
    assert (timed.count(">ada</b>"), timed.count(">bob</b>"), timed.count("<time")) == (2, 2, 4)
    assert "Friday 2 January 1970" in timed
    assert "Saturday 3 January 1970" in timed
    assert ">00:10</time>" in timed


def test_code_keeps_its_colours_and_text_its_lines_without_a_stylesheet() -> None:
    made = saved.copy([Message(1, "ada", "```python\ndef f(): ...\n```"), Message(2, "bob", "a:\n    b <b>")])
    assert 'style="color:' in made
    assert "a:<br>&nbsp;&nbsp;&nbsp;&nbsp;b &lt;b&gt;" in made
    text = '<span class="k">'
    assert "&lt;span class=" in saved.copy([Message(1, "ada", text)]), "what is said gets no colours"


def test_what_stands_at_a_side_stands_there_without_a_stylesheet() -> None:
    def copied(text: str) -> str:
        return saved.copy([Message(1, "ada", text)])

    quoted, listed = copied("> \u05e6 a"), copied("- \u05e8\n- b")
    assert (quoted.count("border-right:3px"), quoted.count("border-left:3px")) == (1, 0)
    assert "padding:0 22px 0 0" in listed
    assert '<p style="margin:0 0 4px;text-align:right">' in quoted
    both = copied("> a \u05e6\n\n- b\n")
    assert (both.count("border-right:3px"), both.count("border-left:3px")) == (0, 1)
    assert "padding:0 0 0 22px" in both
    table = copied("| a | b | c |\n|---|--:|:-:|\n| 1 | 2 | 3 |")
    assert [table.count(f".45);text-align:{side}") for side in ("left", "right", "center")] == [2, 2, 2]
    boxes = copied("- [x] done\n- open")
    assert '<li style="list-style:none"><span class="task">' in boxes
    assert boxes.count("list-style") == 1, "beside a box there is no dot"
    loose = copied("- [x] done\n\n- open")
    assert loose.count("list-style") == 1


def test_each_text_is_rendered_once_and_within_the_budget(
    chat: nbchat.Server, bob: nbchat.Client, published: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    bob.send("**one**").wait()
    counted: list[str] = []
    monkeypatch.setattr(
        rendered.render, "html", lambda text, names: counted.append(text) or f"<em>{text}</em>"
    )
    panel = nbchat.join(chat, name="ada")
    panel._ipython_display_()
    assert "<em>**one**</em>" in published[-1][1]
    bob.send("two").wait()
    panel.client.wait_for(lambda message: message.text == "two", timeout=10)
    for _ in range(3):
        panel._copied = ()
        panel.keep_copy(at_once=True)
    assert "<em>two</em>" in published[-1][1]
    assert sorted(counted) == ["**one**", "two"]
    panel._feed._rendered._rate.take(100)
    bob.send("*hard*").wait()
    panel.client.wait_for(lambda message: message.text == "*hard*", timeout=10)
    panel.keep_copy(at_once=True)
    assert ">*hard*</dd>" in published[-1][1]


def test_rendered_texts_are_bounded() -> None:
    known = rendered.Rendered()
    for number in range(300):
        assert known.html(f"text {number}", Known()) == f"text {number}"
    assert len(known._known) == rendered._KEPT
    known.html("x" * rendered._SIZE, Known())
    assert known._size <= rendered._SIZE
    assert known._size == sum(len(each) + len(its) for (each, _), its in known._known.items())


def test_a_panel_that_moved_leaves_one_line(
    chat: nbchat.Server, bob: nbchat.Client, published: Published
) -> None:
    bob.send("hello").wait()
    first = nbchat.join(chat, name="ada")
    first._ipython_display_()
    assert "hello" in published[0][1]
    page_of(first)
    second = nbchat.join(chat, name="ada")
    second._ipython_display_()
    lines = [html for name, html, is_update in published if is_update and name == published[0][0]]
    assert "The chat moved to another cell." in lines[-1]
    assert "hello" not in lines[-1]
    # The same panel in two cells: the words are saved once.
    page_of(second)
    second._ipython_display_()
    second.keep_copy()
    newest = {name: html for name, html, _ in published}
    assert sum("hello" in html for html in newest.values()) == 1


def test_the_switch_is_the_panels_and_stays_when_its_cell_runs_again(
    chat: nbchat.Server, bob: nbchat.Client, published: Published
) -> None:
    bob.send("hello").wait()
    panel = nbchat.join(chat, name="ada")
    assert dict(panel._feed._facts())["state"]["saves"] is None, "not shown yet: nothing is saved"
    panel._ipython_display_()
    assert dict(panel._feed._facts())["state"]["saves"] is True
    panel._handle_custom_msg({"type": "save", "on": False}, None)
    assert "hello" not in published[-1][1]
    assert "Run the cell to join" in published[-1][1]
    again = nbchat.join(chat, name="ada")
    again._ipython_display_()
    assert not again.save
    assert "hello" not in published[-1][1]
    again.save = True
    assert "hello" in published[-1][1]
    assert not nbchat.join(chat, name="ada", save=False).save


def test_times_are_those_of_the_page(chat: nbchat.Server, bob: nbchat.Client, published: Published) -> None:
    bob.send("hello").wait()
    panel = nbchat.join(chat, name="ada")
    panel._ipython_display_()
    assert "<time" not in published[-1][1]
    page_of(panel)
    panel.keep_copy(at_once=True)
    assert "+0900" in published[-1][1]
    for zone in ("../../etc/passwd", "Europe/Atlantis", "x" * 5000, ""):
        assert module._zone(zone) is not None


# ── links that stand in no cell ──


def write_link(path: Path, link: str, mode: int = 0o600) -> Path:
    path.write_text(f"\n{link}\n")
    path.chmod(mode)
    return path


def test_a_link_in_a_file(chat: nbchat.Server, tmp_path: Path) -> None:
    path = write_link(tmp_path / "link.txt", chat.invite(name="ada"))
    with nbchat.connect(path) as client:
        assert client.name == "ada"
    panel = nbchat.join(path)
    assert nbchat.join(path) is not panel
    assert panel.client.status == "closed", "the same call gives way"


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such modes")
def test_a_link_in_a_file_that_others_may_read_is_refused(chat: nbchat.Server, tmp_path: Path) -> None:
    path = write_link(tmp_path / "my link.txt", chat.invite(), 0o644)
    with pytest.raises(nbchat.errors.BadLink, match=r"chmod 600 '.*my link.txt'") as caught:
        nbchat.connect(path)
    assert parse(path.read_text()).secret not in str(caught.value)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    for wrong in (tmp_path, tmp_path / "none.txt"):
        with pytest.raises(nbchat.errors.BadLink, match="cannot be read"):
            nbchat.connect(wrong)
    with pytest.raises(nbchat.errors.BadLink, match="no link to a chat"):
        nbchat.connect(write_link(tmp_path / "empty.txt", ""))


def test_where_no_chat_is_found_the_link_is_asked_for(
    chat: nbchat.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = chat.invite()
    typed: list[str] = []
    monkeypatch.setattr(ask, "_is_somebody_there", lambda: True)
    monkeypatch.setattr(ask.getpass, "getpass", lambda prompt: typed.append(prompt) or link)
    monkeypatch.setattr(module, "Client", _Elsewhere)
    panel = nbchat.join(name="ada")
    again = nbchat.join(name="ada")  # goes on with the link that was typed
    assert len(typed) == 1
    assert panel.client.status == "closed"
    assert parse(link).secret not in f"{vars(again)} {again!r}"
    again.close()
    monkeypatch.setattr(ask.getpass, "getpass", lambda prompt: "")
    with pytest.raises(nbchat.errors.NoServerFound):
        nbchat.join(name="ada")


class _Elsewhere(nbchat.Client):
    """As in a process without a server."""

    def __init__(self, url: object, *rest: Any, **more: Any) -> None:
        if not isinstance(url, Address):
            raise nbchat.errors.NoServerFound("No chat runs on this machine.")
        super().__init__(url, *rest, **more)


def test_where_nobody_can_be_asked_it_fails_at_once(tmp_path: Path) -> None:
    path = tmp_path / "nobody.ipynb"
    lab.write_notebook(path, "import nbchat\nnbchat.join()")
    notebook = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(notebook, timeout=60, allow_errors=True).execute()
    (output,) = notebook.cells[0].outputs
    assert output.ename == "NoServerFound"
    assert "NBCHAT_URL" in output.evalue
    program = "import nbchat; nbchat.join()"
    done = subprocess.run(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, capture_output=True, text=True, timeout=60
    )
    assert "NoServerFound" in done.stderr
