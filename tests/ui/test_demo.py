"""make demo: a terminal in its JupyterLab finds the command."""

from __future__ import annotations

import ast
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a shell's words")
DEMO = Path(__file__).parent.parent.parent / "notebooks" / "demo.py"


def test_its_terminal_finds_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    labapp = pytest.importorskip("jupyterlab.labapp")
    given: list[str] = []
    monkeypatch.setattr(labapp.LabApp, "launch_instance", lambda argv: given.extend(argv))
    monkeypatch.setattr(sys, "argv", ["demo.py", "--no-browser"])
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setenv("SHELL", "/bin/sh")
    runpy.run_path(str(DEMO))["main"]()
    (settings,) = [each for each in given if each.startswith("--ServerApp.terminado_settings=")]
    shell = ast.literal_eval(settings.partition("=")[2])["shell_command"]
    assert shell == ["/bin/sh"]  # no login shell, which would begin with another PATH
    found = subprocess.check_output([*shell, "-c", "command -v nbchat"], text=True, env=dict(os.environ))
    assert Path(found.strip()).parent == Path(sys.executable).parent
