"""Take the README's picture from the running product: python docs/pictures/make.py (needs Chromium)."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1]))

from playwright.sync_api import Page, expect  # noqa: E402

from tests.ui import lab  # noqa: E402

TALK = (
    ("ada", "Which of you has a plot for exercise 3?"),
    ("bob", "Me. The residuals look odd, though:"),
    ("bob", "residuals.mean()  # 0.31"),
    ("ada", "Subtract the trend first, then it is fine.\nSee cell 12 of my notebook."),
    ("bob", "Thank you!"),
)
_OPEN_BESIDE = """async (path) => {
    const app = window.jupyterapp;
    await app.commands.execute('docmanager:open', { path, options: { mode: 'split-right' } });
    await app.commands.execute('application:toggle-left-area');
}"""


def run(page: Page) -> None:
    page.evaluate(lab.KERNEL_READY)
    lab.run_all(page)


def main() -> None:
    with (
        tempfile.TemporaryDirectory() as name,
        lab.running_lab(Path(name)) as address,
        lab.browser() as browser,
    ):
        work = Path(name) / "work"
        lab.write_notebook(
            work / "teacher.ipynb", "import nbchat\n\nserver = nbchat.serve()", "nbchat.join(name='ada')"
        )
        lab.write_notebook(work / "student.ipynb", "import nbchat", "nbchat.join(name='bob')")
        page = browser.new_page(viewport={"width": 1280, "height": 690}, device_scale_factor=1.5)
        lab.open_notebook(page, address, "teacher.ipynb")
        lab.run_all(page)
        panels = page.get_by_role("group", name="Chat")
        expect(panels.first.get_by_role("status")).to_contain_text("Connected", timeout=30_000)
        page.evaluate(_OPEN_BESIDE, "student.ipynb")
        run(page)
        expect(panels).to_have_count(2, timeout=30_000)
        sides = {"ada": panels.filter(has_text="as ada"), "bob": panels.filter(has_text="as bob")}
        expect(sides["bob"]).to_have_count(1)
        for who, text in TALK:
            box = sides[who].get_by_role("textbox", name="Message")
            box.fill(text)
            box.press("Enter")
            for side in sides.values():
                expect(side.get_by_role("log")).to_contain_text(text.splitlines()[-1])
        page.screenshot(path=HERE / "two-notebooks.png")


if __name__ == "__main__":
    main()
