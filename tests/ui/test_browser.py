"""The panel in a real JupyterLab, in a real browser: two notebooks, one conversation."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.ui import lab

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

SERVE = "import nbchat\nserver = nbchat.serve(port=0)"
JOIN = "import nbchat\npanel = nbchat.join(name={!r})\npanel"


@pytest.fixture(scope="module")
def jupyter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    folder = tmp_path_factory.mktemp("lab")
    with lab.running_lab(folder) as address:
        yield address, folder / "work"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with lab.browser() as browser:
        yield browser


class Notebook:
    """One notebook in a page of its own, all cells run, with a panel in it."""

    def __init__(self, chromium: Browser, jupyter: tuple[str, Path], name: str, *cells: str) -> None:
        address, folder = jupyter
        lab.write_notebook(folder / f"{name}.ipynb", *cells)
        self.context = chromium.new_context(viewport={"width": 1000, "height": 900})
        self.page: Page = self.context.new_page()
        self.complaints: list[str] = []
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        lab.open_notebook(self.page, address, f"{name}.ipynb")
        lab.run_all(self.page)
        expect(self.status).to_contain_text("Connected", timeout=30_000)

    @property
    def panel(self) -> Locator:
        return self.page.get_by_role("group", name="Chat")

    @property
    def log(self) -> Locator:
        return self.panel.get_by_role("log", name="Messages")

    @property
    def box(self) -> Locator:
        return self.panel.get_by_role("textbox", name="Message")

    @property
    def members(self) -> Locator:
        return self.panel.get_by_role("list", name="Members").get_by_role("listitem")

    @property
    def status(self) -> Locator:
        return self.panel.get_by_role("status", name="Connection")

    def texts(self) -> list[str]:
        return self.log.locator(".nbchat-text").all_inner_texts()

    def say(self, text: str) -> None:
        self.box.fill(text)
        self.box.press("Enter")

    def close(self) -> None:
        """End the kernel and the page."""
        self.page.evaluate("() => window.jupyterapp.shell.currentWidget.context.sessionContext.shutdown()")
        self.context.close()


@pytest.fixture
def pair(chromium: Browser, jupyter: tuple[str, Path]) -> Iterator[tuple[Notebook, Notebook]]:
    first = Notebook(chromium, jupyter, "first", SERVE, JOIN.format("ada"))
    second = Notebook(chromium, jupyter, "second", JOIN.format("bob"))
    yield first, second
    second.close()
    first.close()


def test_two_notebooks_talk(pair: tuple[Notebook, Notebook]) -> None:
    first, second = pair
    first.say("hello from the first")
    expect(second.log).to_contain_text("hello from the first")
    second.say("hello\nin two lines <b>not bold</b>")
    expect(first.log).to_contain_text("not bold")

    said = ["hello from the first", "hello\nin two lines <b>not bold</b>"]
    assert first.texts() == said  # in order, each once, as text
    assert second.texts() == said
    assert first.log.locator("b").count() == 0
    for notebook in pair:
        expect(notebook.members).to_have_count(2)
        names = notebook.members.locator(".nbchat-name").all_inner_texts()
        assert names == ["ada", "bob"]
        assert notebook.box.input_value() == ""
        assert 30 < notebook.box.bounding_box()["height"] < 50  # type: ignore[index]

    # A line break in the box is Shift+Enter; Enter alone sends.
    first.box.fill("one")
    first.box.press("Shift+Enter")
    first.box.press_sequentially("two")
    assert first.box.input_value() == "one\ntwo"
    first.box.press("Enter")
    expect(second.log.locator(".nbchat-text").last).to_have_text("one\ntwo")

    # What cannot be sent is said, and what was typed is still there.
    first.box.fill("x" * 20_000)
    first.box.press("Enter")
    expect(first.panel.get_by_role("alert")).to_contain_text("16384 bytes")
    assert len(first.box.input_value()) == 20_000
    assert first.complaints == second.complaints == []


def test_pages_come_and_go(pair: tuple[Notebook, Notebook]) -> None:
    first, second = pair
    for number in range(3):
        first.say(f"message {number}")
        expect(second.log).to_contain_text(f"message {number}")
    said = first.texts()

    # A reloaded page gets the transcript again, whole and without doubles.
    second.page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
    second.page.reload()
    expect(second.log).to_contain_text("message 2", timeout=60_000)
    assert second.texts() == said

    # Running the cell again leaves one panel, and one member.
    lab.run_all(second.page)
    expect(first.log).to_contain_text("bob left")
    expect(second.status).to_contain_text("Connected as bob")
    expect(first.members).to_have_count(2)

    # A kernel that stops takes its member along; nobody else is harmed.
    first.say("still here")
    expect(second.log).to_contain_text("still here")


def test_a_busy_notebook_still_talks(pair: tuple[Notebook, Notebook]) -> None:
    first, second = pair
    for notebook in pair:
        notebook.page.evaluate(
            """() => {
                const session = window.jupyterapp.shell.currentWidget.context.sessionContext.session;
                session.kernel.requestExecute({ code: 'import time; time.sleep(8); print(1)' });
            }"""
        )
    first.say("while both cells run")
    expect(second.log).to_contain_text("while both cells run", timeout=4_000)
