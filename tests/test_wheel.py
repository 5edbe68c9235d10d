"""A wheel built from this folder, in an environment with nothing but what it requires."""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
import venv
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import nbchat

ROOT = Path(__file__).parent.parent
PATIENCE = 60


def required(name: str, known: set[str] | None = None) -> set[str]:
    """A distribution, and all that it requires without extras, as they are installed here."""
    known = set() if known is None else known
    if (name := canonicalize_name(name)) not in known:
        known.add(name)
        for line in metadata.requires(name) or ():
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                required(requirement.name, known)
    return known


def bare(folder: Path) -> Path:
    """An environment with links to what the wheel requires and to nothing else."""
    venv.create(folder, symlinks=True, with_pip=False)
    scheme = sysconfig.get_path("purelib", "venv", {"base": str(folder), "platbase": str(folder)})
    for name in required("jupyter-nbchat") - {"jupyter-nbchat"}:
        for file in metadata.files(name) or ():
            top = file.parts[0]
            target = Path(scheme) / top
            if top not in ("..", "__pycache__") and not target.is_symlink():
                target.symlink_to(Path(str(metadata.distribution(name).locate_file(top))).resolve())
    return folder / "bin" / "python"


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a bare environment with the wheel in it."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, ROOT]
    subprocess.run(build, check=True, timeout=PATIENCE, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    python = bare(folder / "environment")
    install = [*pip, "--python", python, "install", "--no-deps", "--no-index", wheel]
    subprocess.run(install, check=True, timeout=PATIENCE, capture_output=True)
    return python


def run(command: list[object], folder: Path, text: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, input=text, capture_output=True, text=True, timeout=PATIENCE, cwd=folder)


def test_it_is_what_it_says(python: Path, tmp_path: Path) -> None:
    code = "import nbchat, sys; print(nbchat.__file__); import ipykernel"
    done = run([python, "-c", code], tmp_path)
    assert str(python.parent.parent) in done.stdout  # and not the folder that the tests are in
    assert "No module named 'ipykernel'" in done.stderr


def test_it_serves_and_joins_in_a_terminal(python: Path, tmp_path: Path) -> None:
    command = [python.parent / "nbchat", "serve", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path) as server:
        try:
            assert server.stdout is not None
            assert re.search(r":\d+", server.stdout.readline())
            ada = run([python.parent / "nbchat", "join", "--name", "ada"], tmp_path, "hello from a wheel\n")
            assert (ada.returncode, ada.stderr) == (0, "")
            with nbchat.connect(name="bob") as bob:
                assert bob.transcript() == ["ada: hello from a wheel"]
        finally:
            server.terminate()
            server.wait(PATIENCE)


def test_a_panel_says_what_to_install(python: Path, tmp_path: Path) -> None:
    code = "import nbchat; panel = nbchat.join(nbchat.serve(port=0)); panel.client.send('hi').wait()"
    done = run([python, "-c", code], tmp_path)
    assert done.returncode == 0
    assert "pip install jupyterlab" in done.stderr
    assert "nbchat join" in done.stderr
