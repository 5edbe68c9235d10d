"""The commands with streams that are closed, break, or speak another encoding: an end in time, and a word."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import nbchat
from nbchat.net.link import parse
from tests.ui.processes import PATIENCE, nbchat_command

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a shell's redirections")

ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def shell(script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a line of the shell in which ``nbchat`` is the command with these arguments."""
    command = shlex.join(nbchat_command(*arguments))
    return subprocess.run(
        ["sh", "-c", script.replace("nbchat", command)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=PATIENCE,
        env={**os.environ, **environment},
    )


CLOSED = [
    ("nbchat <&-", 1, "", "Standard input is closed"),
    ("echo hi | nbchat >&-", 0, "", ""),
    ("printf 'bell \\007\\n' | nbchat 2>&-", 1, "", ""),
    ("nbchat <&- >&- 2>&-", 1, "", ""),
    ("nbchat 0>out", 1, "", "Standard input cannot be read: Bad file descriptor."),
    ("echo hi | nbchat >/dev/full", 1, "", "could not be written: No space left on device."),
    ("echo hi | nbchat 2>/dev/full", 0, "bob: hi\n", ""),
    ("(echo hi; echo ho) | nbchat | head -1", 0, "bob: hi\n", ""),
]


@pytest.mark.parametrize(("script", "status", "out", "said"), CLOSED, ids=[each[0] for each in CLOSED])
def test_joining(
    server: nbchat.Server,
    script: str,
    status: int,
    out: str,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    done = shell(script, "join", server.invite(), "--name", "bob")
    assert (done.returncode, done.stdout) == (status, out)
    assert said in done.stderr
    assert done.stderr.count("\n") == (1 if said else 0)


@pytest.mark.parametrize("script", ["nbchat <&-", "nbchat 0>out"])
def test_a_link_that_cannot_be_read(script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = shell(script, "join", "-")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("nbchat: Standard input ")
    assert done.stderr.count("\n") == 1


def test_a_locale_of_c(server: nbchat.Server) -> None:
    """What is typed there arrives; what cannot be shown is shown by its number."""
    with nbchat.connect(server, name="ada", room="c") as ada:
        done = shell("echo 'é 你' | nbchat", "join", server.invite("c"), "--name", "José", **ASCII)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == "Jos\\xe9: \\xe9 \\u4f60\n"
        assert ada.transcript() == ["José: é 你"]


@pytest.mark.parametrize("script", ["nbchat", "nbchat <&-", "nbchat 2>&-"])
def test_serving(script: str) -> None:
    """Also a QR code in an encoding that has no blocks; and a stop by SIGTERM as by Ctrl-C."""
    with subprocess.Popen(
        [
            "sh",
            "-c",
            f"exec {script.replace('nbchat', subprocess.list2cmdline(nbchat_command()))} serve --port 0 --qr",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONIOENCODING": "latin-1"},
    ) as serving:
        assert serving.stdout is not None
        said = []
        while not (said and said[-1].startswith("Ctrl-C")):
            said.append(serving.stdout.readline())
            assert said[-1], said
        text = "".join(said)
        (line,) = [each for each in said if each.startswith("Invitation")]
        assert parse(line.partition("  ")[2]).secret
        if "2>" not in script:
            assert "cannot be drawn in this terminal's encoding (iso8859-1)" in text
            assert "leads to this machine only" in text
        serving.terminate()
        assert "Traceback" not in serving.stdout.read()
        assert serving.wait(PATIENCE) == 0
