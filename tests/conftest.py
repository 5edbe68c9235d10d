"""What every test gets: folders of its own, and nothing left running behind it."""

from __future__ import annotations

import contextlib
import functools
import gc
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

import nbchat
from nbchat.client.clients import handles, living
from nbchat.server import serve as servers

settings.register_profile("nbchat", deadline=None)  # no test asserts a time
settings.load_profile("nbchat")


def pytest_collection_finish() -> None:
    """What is there before the first test is never looked at again: a whole collection took 0.2 s."""
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What takes longest comes first, so that several workers end together."""

    def turn(item: pytest.Item) -> int:
        file = item.nodeid.partition("::")[0]
        if (group := _group(config.rootpath, file)) in ("pages", "ports"):
            return ("pages", "ports").index(group)
        return 2 if file.startswith(("tests/chaos", "tests/fuzz", "tests/test_benchmarks")) else 3

    items.sort(key=turn)


@functools.cache
def _group(root: Path, file: str) -> str:
    """Of files that use the chat's own ports one runs at a time, and of those with a browser. Only names are
    known here, so the file is asked for its marks."""
    text = (root / file).read_text(encoding="utf-8")
    if "pytest.mark.own_ports" in text or file.endswith(".ipynb"):
        return "ports"
    return "pages" if "pytest.mark.browser" in text else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With several workers (``make test`` has three) a file's tests stay together in one."""
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return _group(config.rootpath, nodeid.partition("::")[0])

    return Scheduling(config, log)


@pytest.fixture(autouse=True)
def own_folders(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of this user's chats is seen or changed, nor anything of another test's."""
    folder = tmp_path_factory.mktemp("user")
    for name in ("JUPYTER_RUNTIME_DIR", "XDG_DATA_HOME", "IPYTHONDIR"):
        monkeypatch.setenv(name, str(folder / name.lower()))
    for name in ("NBCHAT_URL", "JUPYTERHUB_USER"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def nothing_left(own_folders: None) -> Iterator[None]:
    """Clients and servers that a test left open are closed, in the folders they were made in."""
    yield
    if (panels := sys.modules.get("nbchat.ui.panel")) is not None:  # their threads end with them
        for panel in list(panels._panels.values()):
            with contextlib.suppress(nbchat.errors.NotConfirmed):
                panel.close()
    for client in list(handles):
        client.close()
    for life in living():  # those that only their handlers kept
        life.receiver.close()
        life.receiver.thread.join()
    for server in list(servers._servers):
        server.stop()
    servers._servers.clear()


@pytest.fixture
def server() -> Iterator[nbchat.Server]:
    """A chat in memory on a free port."""
    with nbchat.serve(port=0, history=None) as server:
        yield server


@pytest.fixture
def data_folder(own_folders: None) -> Path:
    """Where this test's named chats are kept."""
    from platformdirs import user_data_path

    return user_data_path("nbchat", appauthor=False)
