"""A Jupyter of the tests' own (JupyterLab, and Notebook 7 beside it), and notebooks in its pages."""

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
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

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


def environment(folder: Path, **more: str) -> dict[str, str]:
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
        **more,
    }


@contextlib.contextmanager
def running_lab(folder: Path, **more: str) -> Iterator[str]:
    """JupyterLab on a free port, serving ``folder / "work"``; yields its address with the token.

    ``more`` are variables for its environment."""
    work = folder / "work"
    work.mkdir(exist_ok=True)
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ServerApp.port=0",
        "--ServerApp.ip=127.0.0.1", f"--ServerApp.root_dir={work}", "--LabApp.expose_app_in_browser=True",
        "--JupyterNotebookApp.expose_app_in_browser=True",
    ]  # fmt: skip
    process = subprocess.Popen(
        command, env=environment(folder, **more), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
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


def write_notebook(path: Path, *cells: str, kernel: str = "python3") -> None:
    """A notebook with code cells."""
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(cell) for cell in cells],
        metadata={
            "kernelspec": {"name": kernel, "display_name": kernel, "language": "python"},
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


def open_notebook(page: Page, lab: str, name: str, *, classic: bool = False) -> None:
    """Open a notebook, in a workspace of its own (or in Notebook 7), and wait until its kernel is there."""
    workspace = Path(name).stem
    if classic:
        page.goto(lab.replace("/lab?", f"/notebooks/{name}?"))
    else:
        page.goto(lab.replace("/lab?", f"/lab/workspaces/{workspace}/tree/{name}?reset&"))
    page.locator(".jp-Notebook").wait_for(timeout=60_000)
    page.evaluate(KERNEL_READY)


def run_all(page: Page) -> None:
    """Run every cell, as a person would from the menu."""
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()


class Notebook:
    """One notebook in a browser page of its own, all cells run, with a panel in it.

    ``classic``: in Notebook 7 instead of JupyterLab. ``kernel`` is a kernelspec's name. With ``runs`` false
    nothing is run yet.
    """

    def __init__(
        self,
        chromium: Browser,
        jupyter: tuple[str, Path],
        name: str,
        *cells: str,
        classic: bool = False,
        kernel: str = "python3",
        runs: bool = True,
        width: int = 1000,
        height: int = 900,
        **context: Any,
    ) -> None:
        self.address, self.folder = jupyter
        self.name, self.is_classic = name, classic
        write_notebook(self.path, *cells, kernel=kernel)
        self.context = chromium.new_context(viewport={"width": width, "height": height}, **context)
        self.page: Page = self.context.new_page()
        self.complaints: list[str] = []
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", self._console)
        open_notebook(self.page, self.address, self.path.name, classic=classic)
        self.complaints.clear()  # what Jupyter says of itself while it starts
        if runs:
            run_all(self.page)
            expect(self.status).to_contain_text("Connected", timeout=30_000)

    def _console(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    @property
    def path(self) -> Path:
        return self.folder / f"{self.name}.ipynb"

    @property
    def panel(self) -> Locator:
        return self.page.get_by_role("group", name="Chat")

    @property
    def log(self) -> Locator:
        return self.panel.get_by_role("log", name="Messages")

    @property
    def box(self) -> Locator:
        return self.panel.get_by_role("textbox", name="Message")

    @property
    def members(self) -> Locator:
        return self.panel.get_by_role("list", name="Members").get_by_role("listitem")

    @property
    def status(self) -> Locator:
        return self.panel.get_by_role("status", name="Connection")

    @property
    def texts(self) -> Locator:
        """The messages that are in the chat (not those on their way)."""
        return self.log.locator(".nbchat-row .nbchat-text")

    def say(self, text: str) -> None:
        self.box.fill(text)
        self.box.press("Enter")

    def join(self, link: str) -> None:
        """Run the cell of a notebook that joins the chat named in the file ``link``."""
        (self.folder / "link").write_text(link)
        self.page.set_viewport_size({"width": 1000, "height": 900})
        self.complaints.clear()
        run_all(self.page)
        expect(self.status).to_contain_text("Connected", timeout=30_000)

    def leave(self) -> None:
        assert self.run("panel.close()") == ""
        expect(self.panel).to_have_count(0)
        self.page.evaluate("() => sessionStorage.clear()")

    def start(self, code: str) -> None:
        """Have the kernel run something, and do not wait for it."""
        self.page.evaluate(_START, code)

    def run(self, code: str) -> str:
        """Have the kernel run something; what it printed, or its error."""
        return self.page.evaluate(_RUN, code)

    def reload(self) -> None:
        self.page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
        self.page.reload()
        self.page.locator(".jp-Notebook").wait_for(timeout=60_000)

    def close(self) -> None:
        """End the kernel and the page."""
        self.page.evaluate("() => window.jupyterapp.shell.currentWidget.context.sessionContext.shutdown()")
        self.context.close()


_SESSION = "window.jupyterapp.shell.currentWidget.context.sessionContext.session"
_START = f"code => {{ {_SESSION}.kernel.requestExecute({{ code, silent: true }}); }}"
_RUN = f"""async code => {{
    const future = {_SESSION}.kernel.requestExecute({{ code }});
    const said = [];
    future.onIOPub = ({{ header, content }}) => {{
        if (header.msg_type === "stream") said.push(content.text);
        if (header.msg_type === "error") said.push(content.traceback.join("\\n"));
    }};
    await future.done;
    return said.join("");
}}"""
