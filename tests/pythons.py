"""The tests on every other Python of this machine that nbchat is for: make pythons.

Each gets an environment of its own (.venv-3.12, …) and runs ``make quick``: all but browser, chaos and fuzz.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

OLDEST = 11
"""Of Python 3, as pyproject.toml says."""


def candidates() -> Iterator[Path]:
    """Programs that may be a Python: on the path, and in pyenv's folder."""
    pattern = re.compile(r"python3\.\d+")
    for folder in map(Path, os.environ.get("PATH", "").split(os.pathsep)):
        if folder.is_dir():
            yield from (each for each in sorted(folder.iterdir()) if pattern.fullmatch(each.name))
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from sorted(pyenv.glob("versions/*/bin/python3"))


def version(python: Path) -> int | None:
    """Its number behind "3.", if it runs and has what an environment needs (pyenv's shims may do neither)."""
    code = "import ensurepip, sqlite3, ssl, sys, venv; print(*sys.version_info[:2])"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True)
    return int(done.stdout.split()[1]) if done.returncode == 0 and done.stdout.startswith("3 ") else None


def found() -> dict[int, Path]:
    """The first Python of each version other than this one."""
    pythons: dict[int, Path] = {}
    for python in candidates():
        number = version(python)
        if number is not None and number >= OLDEST and number != sys.version_info.minor:
            pythons.setdefault(number, python)
    return dict(sorted(pythons.items()))


def main() -> int:
    pythons = found()
    print("Other Pythons here:", ", ".join(f"3.{number}" for number in pythons) or "none", flush=True)
    status = 0
    for number, python in pythons.items():
        print(f"\nPython 3.{number}", flush=True)
        make = ["make", "--no-print-directory", "quick", f"VENV=.venv-3.{number}", f"PYTHON={python}"]
        status = subprocess.run(make).returncode or status
    return status


if __name__ == "__main__":
    sys.exit(main())
