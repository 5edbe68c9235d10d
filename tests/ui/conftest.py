"""Browser tests run where there is a Chromium; where there is none the last lines say so."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

import nbchat
from nbchat.core.limits import NO_RATES
from tests.ui import lab
from tests.ui.lab import CHROMIUM

_LEFT_OUT = (
    "The browser tests were left out: no Chromium was found on this machine. "
    "Install it (Debian: apt-get install chromium) to run them."
)
_left_out: list[str] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if CHROMIUM is not None:
        return
    for item in items:
        if item.get_closest_marker("browser") is None:
            continue
        if os.environ.get("NBCHAT_REQUIRE_BROWSER") == "1":
            raise pytest.UsageError("NBCHAT_REQUIRE_BROWSER=1, but no Chromium was found on this machine.")
        item.add_marker(pytest.mark.skip(reason="no Chromium"))
        _left_out.append(item.nodeid)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """After pytest's own summary: these are the last lines."""
    if _left_out:
        print(f"\n{_LEFT_OUT} ({len(_left_out)} tests)")


@pytest.fixture(scope="session")
def jupyter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """One Jupyter for all browser tests: its address, and the folder of its notebooks."""
    folder = tmp_path_factory.mktemp("lab")
    with lab.running_lab(folder) as address:
        yield address, folder / "work"


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """For this folder: while it is there its loop runs in the tests' thread, where others start theirs."""
    with lab.browser() as browser:
        yield browser


Opener = Callable[..., lab.Notebook]


@contextlib.contextmanager
def opening(chromium: Browser, jupyter: tuple[str, Path]) -> Iterator[Opener]:
    """Opens notebooks with a panel; their kernels end with it, the last one first."""
    opened: list[lab.Notebook] = []

    def open_notebook(name: str, *cells: str, **options: Any) -> lab.Notebook:
        opened.append(lab.Notebook(chromium, jupyter, name, *cells, **options))
        return opened[-1]

    yield open_notebook
    for notebook in reversed(opened):
        notebook.close()


@pytest.fixture
def opener(chromium: Browser, jupyter: tuple[str, Path]) -> Iterator[Opener]:
    with opening(chromium, jupyter) as opener:
        yield opener


@pytest.fixture(scope="package")
def desk(chromium: Browser, jupyter: tuple[str, Path]) -> Iterator[lab.Notebook]:
    """A notebook that joins whatever chat the file ``link`` names, each time its cell is run."""
    cell = "import nbchat, pathlib\npanel = nbchat.join(pathlib.Path('link').read_text(), name='ada')\npanel"
    notebook = lab.Notebook(chromium, jupyter, "desk", cell, runs=False)
    yield notebook
    notebook.close()


@pytest.fixture
def chat() -> Iterator[nbchat.Server]:
    """A chat of the test's own process, as fast as it can."""
    with nbchat.serve(port=0, history=None, limits=nbchat.Limits(**NO_RATES)) as server:
        yield server


@pytest.fixture
def bob(chat: nbchat.Server) -> Iterator[nbchat.Client]:
    with nbchat.connect(chat, name="bob") as bob:
        yield bob


@pytest.fixture
def ada(desk: lab.Notebook, bob: nbchat.Client, chat: nbchat.Server) -> Iterator[lab.Notebook]:
    """The desk's notebook in that chat, with a new panel and a page of the usual size."""
    desk.join(chat.invite())
    yield desk
    desk.leave()
