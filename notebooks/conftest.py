"""The notebooks run as tests (pytest --nbval): in folders of their own, the second one against a chat that
is started here. nbval's cells take no fixtures, so this is done for the whole session."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

import pytest

_patch = pytest.MonkeyPatch()
_folder = tempfile.TemporaryDirectory(prefix="nbchat-notebooks-", ignore_cleanup_errors=True)
_servers: list[subprocess.Popen[str]] = []


def pytest_sessionstart(session: pytest.Session) -> None:
    """Start a chat for the second notebook to join; the kernels inherit this environment."""
    for name in ("JUPYTER_RUNTIME_DIR", "IPYTHONDIR", "XDG_DATA_HOME"):
        _patch.setenv(name, os.path.join(_folder.name, name.lower()))
    command = [sys.executable, "-m", "nbchat", "serve", "--port", "0", "--invite"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    _servers.append(server)
    assert server.stdout is not None
    link = next(line for line in server.stdout if line.startswith("Invitation")).split()[-1]
    _patch.setenv("NBCHAT_URL", link)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Leave nothing behind."""
    while _servers:
        server = _servers.pop()
        server.terminate()
        server.communicate(timeout=10)
    _patch.undo()
    _folder.cleanup()
