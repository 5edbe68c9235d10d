"""Folders and files for their user alone: made closed, and told when they are open."""

from __future__ import annotations

import os
import stat
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

import nbchat
from nbchat.store import folders

pytestmark = pytest.mark.skipif(os.name == "nt", reason="rights are another thing there")


@pytest.fixture
def open_umask() -> Iterator[None]:
    old = os.umask(0)
    yield
    os.umask(old)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_each_folder_that_is_made_is_closed(tmp_path: Path, open_umask: None) -> None:
    folders.make(tmp_path / "a" / "b" / "c")
    assert [mode(tmp_path / way) for way in ("a", "a/b", "a/b/c")] == [0o700] * 3
    folders.make(tmp_path / "a")
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        folders.make(tmp_path / "file" / "b")


@pytest.mark.filterwarnings("error")
def test_all_that_a_chat_makes_is_closed(
    tmp_path: Path, open_umask: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir(0o700)
    monkeypatch.setenv("XDG_DATA_HOME", str(home / "share" / "data"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(home / "share" / "jupyter" / "runtime"))
    with nbchat.serve("class", port=0) as server, nbchat.connect(server, name="ada") as client:
        client.send("hi").wait()
        made = [path for path in home.rglob("*") if path.exists()]
        assert len(made) > 6
        assert [str(path) for path in made if mode(path) & 0o077] == []


def test_a_history_in_an_open_folder_is_told_of(tmp_path: Path) -> None:
    place = tmp_path / "open"
    place.mkdir()
    place.chmod(0o777)
    with pytest.warns(RuntimeWarning, match=f"chmod go-w {place}") as told:
        nbchat.serve(port=0, history=place / "chat.sqlite").stop()
    assert Path(told[0].filename) == Path(__file__)
    place.chmod(0o755)
    (place / "chat.sqlite").chmod(0o666)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nbchat.serve(port=0, history=place / "chat.sqlite").stop()
    assert mode(place / "chat.sqlite") == 0o600


@pytest.mark.skipif(getattr(os, "geteuid", lambda: 1)() != 0, reason="only root can give a file away")
def test_a_history_of_another_user_is_told_of(tmp_path: Path) -> None:
    nbchat.serve(port=0, history=tmp_path / "chat.sqlite").stop()
    os.chown(tmp_path / "chat.sqlite", 65534, 65534)
    with pytest.warns(RuntimeWarning, match="belongs to another user"):
        nbchat.serve(port=0, history=tmp_path / "chat.sqlite").stop()
