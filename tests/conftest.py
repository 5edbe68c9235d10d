"""What every test gets: folders of its own, and nothing left running behind it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import nbchat
from nbchat.net import client as clients
from nbchat.net import serve as servers


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
    for client in list(clients._clients):
        client.close()
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
