"""The panel in real pages, JupyterLab's and Notebook 7's: two notebooks, one conversation."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.ui import lab
from tests.ui.conftest import Opener, opening

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

SERVE = "import nbchat\nserver = nbchat.serve({!r}, history=None, port=0, limits=nbchat.Limits(grace=1))"
JOIN = "import nbchat\npanel = nbchat.join({!r}, name={!r})\npanel"


Pair = tuple[lab.Notebook, lab.Notebook]


def pair(opener: Opener, chat: str, *, classic: bool = False) -> Pair:
    first = opener(f"{chat}-1", SERVE.format(chat), JOIN.format(chat, "ada"), classic=classic)
    return first, opener(f"{chat}-2", JOIN.format(chat, "bob"), classic=classic)


@pytest.fixture(scope="module", params=[False, True], ids=["lab", "notebook"])
def two(request: pytest.FixtureRequest, chromium: Browser, jupyter: tuple[str, Path]) -> Iterator[Pair]:
    """Two notebooks that talk, in one host after the other."""
    with opening(chromium, jupyter) as opener:
        yield pair(opener, f"two-{request.param}", classic=request.param)


def test_two_notebooks_talk(two: Pair) -> None:
    first, second = two
    before = first.texts.count()
    first.say("hello from the first")
    expect(second.texts.last).to_have_text("hello from the first")
    second.say("hello\nin two lines <b>not bold</b>")
    expect(first.texts.last).to_have_text("hello\nin two lines <b>not bold</b>", use_inner_text=True)

    for notebook in (first, second):
        assert notebook.texts.all_inner_texts()[before:] == [
            "hello from the first",
            "hello\nin two lines <b>not bold</b>",
        ]
        assert notebook.log.locator("b").count() == 0
        expect(notebook.members).to_have_count(2)
        assert notebook.members.locator(".nbchat-name").all_inner_texts() == ["ada", "bob"]
        expect(notebook.panel.get_by_role("list", name="Members (2)")).to_be_visible()
        assert notebook.box.input_value() == ""

    # A line break in the box is Shift+Enter; Enter alone sends.
    first.box.fill("one")
    first.box.press("Shift+Enter")
    first.box.press_sequentially("two")
    assert first.box.input_value() == "one\ntwo"
    first.box.press("Enter")
    expect(second.texts.last).to_have_text("one\ntwo", use_inner_text=True)
    for notebook in (first, second):
        assert notebook.complaints == []


def test_pages_come_and_go(two: Pair) -> None:
    first, second = two
    said = first.texts.all_inner_texts()
    for number in range(3):
        first.say(f"message {number}")
        expect(second.texts.last).to_have_text(f"message {number}")
    said += ["message 0", "message 1", "message 2"]

    # A page that is loaded again, and a second page of the same notebook, have the transcript whole.
    second.reload()
    expect(second.texts).to_have_text(said, timeout=60_000)
    twin = second.context.new_page()
    twin.goto(second.page.url)
    texts = twin.get_by_role("log", name="Messages").locator(".nbchat-row .nbchat-text")
    expect(texts).to_have_text(said, timeout=60_000)
    first.say("to all pages")
    said.append("to all pages")
    expect(texts).to_have_text(said)
    expect(second.texts).to_have_text(said)
    twin.get_by_role("textbox", name="Message").fill("from the second page")
    twin.get_by_role("textbox", name="Message").press("Enter")
    said.append("from the second page")
    for each in (texts, second.texts, first.texts):
        expect(each).to_have_text(said)
    twin.close()

    # A second view in the same page.
    if not second.is_classic:
        second.page.locator(".jp-OutputArea-output .nbchat").click(
            button="right", position={"x": 20, "y": 20}
        )
        second.page.get_by_role("menuitem", name="Create New View for Cell Output").click()
        expect(second.panel).to_have_count(2)
        for at in range(2):
            view = second.panel.nth(at).get_by_role("log", name="Messages")
            expect(view.locator(".nbchat-row .nbchat-text")).to_have_text(said)

    # A page that was closed while others talked.
    second.page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
    address = second.page.url
    second.page.close()
    first.say("while nobody looked")
    said.append("while nobody looked")
    second.page = second.context.new_page()
    second.page.goto(address)
    expect(second.texts.locator("visible=true")).to_have_text(said, timeout=60_000)

    # Running the cell again leaves one panel, and one member.
    second.page.evaluate(lab.KERNEL_READY)
    lab.run_all(second.page)
    expect(first.log).to_contain_text("bob")
    expect(second.status.locator("visible=true").first).to_contain_text("Connected as bob")
    expect(first.members).to_have_count(2)


BUSY = {
    "sleeping": "import time, pathlib\nwhile not pathlib.Path({!r}).exists(): time.sleep(0.01)",
    "computing": "import pathlib\nwhile not pathlib.Path({!r}).exists(): sum(range(10_000))",
}


@pytest.mark.parametrize("cell", BUSY)
def test_a_busy_notebook_talks(two: Pair, tmp_path: Path, cell: str) -> None:
    """With ipykernel 7 widgets have a thread of their own. The cells run until they are told to end, so what
    is seen before that was seen beside them."""
    first, second = two
    end = tmp_path / "end"
    for notebook in (first, second):
        notebook.start(BUSY[cell].format(str(end)))
    for number in range(3):
        first.say(f"{cell} {number}?")
        expect(second.texts.last).to_have_text(f"{cell} {number}?")
        second.say(f"{cell} {number}.")
        expect(first.texts.last).to_have_text(f"{cell} {number}.")
    expect(first.panel.locator(".nbchat-pale")).to_have_count(0)
    end.touch()
    for notebook in (first, second):
        assert notebook.run("print('free again')") == "free again\n"


def test_a_restarted_kernel_is_told(two: Pair) -> None:
    first, second = two
    second.page.clock.install()
    second.page.evaluate(
        """() => {
            const { sessionContext } = window.jupyterapp.shell.currentWidget.context;
            return sessionContext.session.kernel.restart();
        }"""
    )
    expect(first.members).to_have_count(1, timeout=30_000)
    second.page.clock.run_for(20_000)
    expect(second.status).to_contain_text("Run the cell to join again")
    lab.run_all(second.page)
    second.page.clock.run_for(2_000)
    expect(first.members).to_have_count(2, timeout=30_000)
    second.page.clock.resume()
    expect(second.status).to_contain_text("Connected as bob")
