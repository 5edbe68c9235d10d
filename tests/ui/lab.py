"""A JupyterLab of the tests' own, and a browser page in it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
from playwright.sync_api import Locator, Page, sync_playwright

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def environment(folder: Path) -> dict[str, str]:
    """An environment in which nothing of this user's is read or written."""
    config = folder / "config"
    (config / "labconfig").mkdir(parents=True, exist_ok=True)
    quiet = {"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}
    (config / "labconfig" / "page_config.json").write_text(json.dumps(quiet))
    return {
        **{key: value for key, value in os.environ.items() if not key.startswith(("NBCHAT_", "JUPYTER"))},
        "JUPYTER_CONFIG_DIR": str(config),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "JUPYTER_DATA_DIR": str(folder / "data"),
        "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
        "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"),
        "XDG_DATA_HOME": str(folder / "share"),
        "IPYTHONDIR": str(folder / "ipython"),
        "LOGNAME": "ada",
    }


@contextlib.contextmanager
def running_lab(folder: Path) -> Iterator[str]:
    """JupyterLab on a free port, serving ``folder / "work"``; yields its address with the token."""
    work = folder / "work"
    work.mkdir(exist_ok=True)
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ServerApp.port=0",
        "--ServerApp.ip=127.0.0.1", f"--ServerApp.root_dir={work}", "--LabApp.expose_app_in_browser=True",
    ]  # fmt: skip
    process = subprocess.Popen(
        command, env=environment(folder), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    assert process.stderr is not None
    try:
        seen = []
        for line in process.stderr:
            seen.append(line)
            if found := re.search(r"http://127\.0\.0\.1:\d+/lab\?token=\w+", line):
                break
        else:
            raise RuntimeError("JupyterLab did not start:\n" + "".join(seen))
        threading.Thread(target=process.stderr.read, daemon=True).start()  # or its pipe fills up
        yield found[0]
    finally:
        process.terminate()
        try:
            process.wait(20)  # it ends its kernels first
        except subprocess.TimeoutExpired:
            # Seen with jupyter_server 2.21: a worker thread of its own keeps the interpreter from ending.
            process.kill()
            process.wait(20)


def write_notebook(path: Path, *cells: str) -> None:
    """A notebook with code cells."""
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(cell) for cell in cells],
        metadata={
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
            "language_info": {"name": "python"},
        },
    )
    nbformat.write(notebook, path)


@contextlib.contextmanager
def browser() -> Iterator[Any]:
    """Chromium without a window."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        try:
            yield chromium
        finally:
            chromium.close()


KERNEL_READY = """async () => {
    const context = window.jupyterapp.shell.currentWidget.context.sessionContext;
    await context.ready;
    await context.session.kernel.info;
}"""


def open_notebook(page: Page, lab: str, name: str) -> None:
    """Open a notebook, in a workspace of its own, and wait until its kernel is there."""
    workspace = Path(name).stem
    page.goto(lab.replace("/lab?", f"/lab/workspaces/{workspace}/tree/{name}?reset&"))
    page.locator(".jp-Notebook").wait_for(timeout=60_000)
    page.evaluate(KERNEL_READY)


def run_all(page: Page) -> None:
    """Run every cell, as a person would from the menu."""
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()


def panel(page: Page) -> Locator:
    return page.get_by_role("group", name="Chat")
