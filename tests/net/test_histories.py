"""Where a chat's history is kept: names that make no file's name, addresses that are no path, no home."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import nbchat
from nbchat.core import names
from nbchat.core.errors import UsageError
from nbchat.net import histories


@pytest.mark.parametrize(
    "history",
    [
        "postgresql://ada:geheim@db/chat", "postgres://db", "mysql+pymysql://db/chat", "sqlite:///chat.sqlite",
        "sqlite:chat.db", "file:///tmp/chat.sqlite", "file:chat.sqlite?mode=ro", "http://example.com/x",
        "s3://bucket/chat", "redis://localhost", Path("postgresql://ada:geheim@db/chat"),
    ],
)  # fmt: skip
def test_an_address_is_no_path(history: str | Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="a file of this machine, given by its path") as caught:
        nbchat.serve(port=0, history=history)
    assert "geheim" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_other_words_for_memory_are_told_the_right_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"history=None\)"):
        nbchat.serve(port=0, history=":memory:")
    for wrong in ("", " ", "a\0b", "\udc80"):
        with pytest.raises(UsageError, match="no file's path"):
            nbchat.serve(port=0, history=wrong)
    assert list(tmp_path.iterdir()) == []


def test_paths_stay_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for given, meant in (
        ("chat.sqlite", tmp_path / "chat.sqlite"),
        (Path("a/b.sqlite"), tmp_path / "a/b.sqlite"),
        ("~/chat.sqlite", tmp_path / "home" / "chat.sqlite"),
        ("chat:2026.sqlite", tmp_path / "chat:2026.sqlite"),
        (r"C:\chat.sqlite", tmp_path / r"C:\chat.sqlite"),
        ("c:/chat.sqlite", tmp_path / "c:/chat.sqlite"),
    ):
        assert histories.place(None, given) == str(meant)
    assert histories.place(None, None) == histories.place(None, "auto") == ""


LONG = ["课" * 32, "课" * 31 + "程", "ﷺ" * 3, "ж" * 32, "é" * 32, "x" * 32]
DEVICES = ["con", "NUL", "aux.txt", "COM1", "lpt9", "prn"]


@pytest.mark.parametrize("name", [*LONG, *DEVICES, "a.b", "..a", "a b"])
def test_every_name_has_a_file_that_every_system_takes(name: str, data_folder: Path) -> None:
    with nbchat.serve(name, port=0) as server, nbchat.connect(server, name="ada") as client:
        client.send("hi").wait()
    path = Path(server.history)
    assert path.parent == data_folder
    assert len(path.name.encode()) <= 107
    assert path.name.partition(".")[0].lower() not in ("con", "nul", "aux", "com1", "lpt9", "prn")
    with nbchat.serve(name, port=0) as server, nbchat.connect(server, name="ada") as client:
        assert [message.text for message in client.messages] == ["hi"]


def test_each_name_has_its_own_file() -> None:
    given = [*LONG, *DEVICES, "co", "conn", "6eul", "a", "课" * 30, "课" * 29 + "程"]
    assert len({histories.place(name, "auto") for name in given}) == len(set(map(names.skeleton, given)))


def test_a_file_that_was_made_before_is_gone_on_with(data_folder: Path) -> None:
    for name, file in (("nul", "nul.sqlite"), ("课" * 20, "%E8%AF%BE" * 20 + ".sqlite")):
        with nbchat.serve(name, port=0) as server, nbchat.connect(server, name="ada") as client:
            client.send("hi").wait()
        Path(server.history).rename(data_folder / file)
        with nbchat.serve(name, port=0) as server, nbchat.connect(server, name="ada") as client:
            assert [message.text for message in client.messages] == ["hi"]
            assert Path(server.history).name == file


def test_rooms_may_be_called_like_devices() -> None:
    with nbchat.serve("x", port=0) as server, nbchat.connect(server, name="ada", room="con") as client:
        client.send("hi").wait()
        assert client.room == "con"


# ── no home, no working folder ──


def python(
    program: str, *, cwd: Path | None = None, **environ: str | None
) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(nbchat.__file__).parents[1])}
    for name, value in environ.items():
        environment.pop(name, None)
        if value is not None:
            environment[name] = value
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, env=environment, cwd=cwd,
        check=False,
    )  # fmt: skip


NO_HOME = """
import os, pwd
def nobody(*_): raise KeyError("no such user")
pwd.getpwuid = pwd.getpwnam = nobody
import nbchat
try:
    nbchat.serve("cs101", port=0)
except nbchat.ChatError as error:
    print(error)
with nbchat.serve(port=0) as server, nbchat.connect(server, name="ada") as ada:
    print(ada.send("hi").wait().seq)
    with nbchat.connect(server.invite(), name="bob") as bob:
        print(bob.messages[0].text)
with nbchat.serve("cs101", port=0, history=os.path.join(os.environ["TMP_PLACE"], "x.sqlite")) as server:
    print(os.path.basename(server.history))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="a home is another thing there")
def test_without_a_home_all_works_but_a_history_without_a_place(tmp_path: Path) -> None:
    nothing = dict.fromkeys(("HOME", "XDG_DATA_HOME", "JUPYTER_RUNTIME_DIR", "XDG_RUNTIME_DIR"))
    done = python(NO_HOME, cwd=tmp_path, TMP_PLACE=str(tmp_path), **nothing)
    first, *rest = done.stdout.splitlines()
    assert "no home folder: set HOME" in first, done.stderr
    assert "history='/…/chat.sqlite'" in first
    assert rest == ["1", "hi", "x.sqlite"], done.stderr
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith("~")) == []


LEAVE = """
import os, sys, shutil, tempfile
sys.path.append("here")
place = tempfile.mkdtemp(); os.chdir(place); shutil.rmtree(place)
"""
GONE = f"""{LEAVE}
import nbchat
for process in (False, True):
    with nbchat.serve("cs101", port=0, process=process) as server, nbchat.connect(server, name="ada") as ada:
        print(ada.send("hi").wait().seq)
try:
    nbchat.serve(port=0, history="x.sqlite")
except nbchat.ChatError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="a folder in use cannot be deleted there")
def test_without_a_working_folder_all_works_but_a_path_that_begins_there() -> None:
    if python(f"{LEAVE}\nimport socket").returncode:  # Python 3.13.0: a SystemError
        pytest.skip("this Python's own modules cannot be imported there")
    done = python(GONE)
    *first, last = done.stdout.splitlines() or [""]
    assert first == ["1", "2"], done.stderr
    assert re.search("folder in which this program works is gone .* whole path", last)


def test_it_says_that_a_user_is_not_known() -> None:
    with pytest.raises(UsageError, match="no home folder"):
        nbchat.serve(port=0, history="~nobody-of-this-name/x.sqlite")
