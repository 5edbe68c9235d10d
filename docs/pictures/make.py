"""Take the README's pictures from the running product: make pictures (needs Chromium)."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1]))

from playwright.sync_api import Browser, Locator, Page, expect  # noqa: E402

import nbchat  # noqa: E402
from tests.ui import lab  # noqa: E402

TALK = (
    ("ada", "Which of you has a plot for exercise 3?"),
    ("bob", "Me. The residuals look odd, though: their mean is $\\bar r = 0.31$."),
    ("bob", "```python\nresiduals = y - model.predict(x)\nresiduals.mean()  # 0.31\n```"),
    ("ada", "@bob Subtract the trend first:"),
    ("ada", "```python\ntrend = np.polyfit(t, y, deg=1)\ny = y - np.polyval(trend, t)\n```"),
    ("bob", "Then it is **0.002**. Thank you!"),
)
CLASS = ("mia", "noah", "olga", "ravi")
_OPEN_BESIDE = """async (path) => {
    const app = window.jupyterapp;
    await app.commands.execute('docmanager:open', { path, options: { mode: 'split-right' } });
}"""
_TIDY = """async () => {
    const { commands } = window.jupyterapp;
    await commands.execute('application:toggle-left-area');
    await commands.execute('application:set-mode', { mode: 'multiple-document' });
}"""
_THEME = "theme => window.jupyterapp.commands.execute('apputils:change-theme', { theme })"


def shoot(target: Page | Locator, name: str) -> None:
    target.screenshot(path=HERE / f"{name}.png")


def two_notebooks(browser: Browser, address: str, work: Path) -> None:
    """A teacher's and a student's notebook side by side, in light and in dark."""
    teacher = "import nbchat\n\nserver = nbchat.serve('cs101')"
    lab.write_notebook(work / "teacher.ipynb", teacher, "nbchat.join(name='ada')")
    lab.write_notebook(work / "student.ipynb", "import nbchat\n\nnbchat.join(name='bob')")
    page = browser.new_page(viewport={"width": 1500, "height": 700}, device_scale_factor=1.5)
    lab.open_notebook(page, address, "teacher.ipynb")
    page.evaluate(_TIDY)
    lab.run_all(page)
    panels = page.get_by_role("group", name="Chat")
    expect(panels.first.get_by_role("status")).to_contain_text("Connected", timeout=30_000)
    page.evaluate(_OPEN_BESIDE, "student.ipynb")
    page.evaluate(lab.KERNEL_READY)
    lab.run_all(page)
    expect(panels).to_have_count(2, timeout=30_000)
    sides = {"ada": panels.filter(has_text="as ada"), "bob": panels.filter(has_text="as bob")}
    expect(sides["bob"]).to_have_count(1)
    for who, text in TALK:
        box = sides[who].get_by_role("textbox", name="Message")
        before = sides["bob"].locator(".nbchat-row .nbchat-text").count()
        box.fill(text)
        box.press("Enter")
        for side in sides.values():
            expect(side.locator(".nbchat-row .nbchat-text")).to_have_count(before + 1)
    page.evaluate("() => document.activeElement.blur()")
    page.mouse.move(5, 5)
    shoot(page, "two-notebooks")
    page.evaluate(_THEME, "JupyterLab Dark")
    expect(panels.first).to_have_attribute("data-theme", "dark")
    expect(page.locator("#jupyterlab-splash")).to_have_count(0)
    shoot(page, "dark")
    page.evaluate(_THEME, "JupyterLab Light")
    expect(panels.first).to_have_attribute("data-theme", "light")
    page.close()


def narrow(browser: Browser, jupyter: tuple[str, Path]) -> None:
    """A class in a panel of 320 pixels: members folded, a mention, a draft."""
    with nbchat.serve(port=0) as server:
        join = f"import nbchat\npanel = nbchat.join({server.invite()!r}, name='ada')"
        cell = f"{join}\npanel.layout.width = '320px'\npanel"
        notebook = lab.Notebook(
            browser, jupyter, "narrow", cell, width=900, height=800, device_scale_factor=2
        )
        members = [nbchat.connect(server, name=name) for name in CLASS]
        for member, text in zip(
            members,
            (
                "Is the deadline Friday or Monday?",
                "Friday noon, it is on [the course page](https://courses.example.org/cs101).",
                "@ada may we hand in as a group?",
                "| group | size |\n|---|---|\n| A | 3 |\n| B | 2 |",
            ),
            strict=True,
        ):
            member.send(text).wait()
        expect(notebook.texts).to_have_count(4)
        notebook.box.fill("Yes, up to three of you.\nWrite all names on the first page.")
        members[0].typing()
        expect(notebook.panel).to_contain_text("is typing")
        shoot(notebook.panel, "narrow")
        notebook.close()
        for member in members:
            member.close()


def busy(browser: Browser, jupyter: tuple[str, Path]) -> None:
    """A cell that runs, and a conversation beside it."""
    with nbchat.serve(port=0) as server:
        join = f"import nbchat\n\npanel = nbchat.join({server.invite()!r}, name='ada')\npanel"
        notebook = lab.Notebook(
            browser, jupyter, "busy", join, width=820, height=760, device_scale_factor=1.5
        )
        notebook.page.evaluate(_TIDY)
        # What is shown is what one types on one's own machine; the link is only for this picture.
        train = "for epoch in range(100):\n    loss = train(model, batches)"
        notebook.run("import time\nmodel = batches = None\ndef train(*_):\n    time.sleep(0.5)")
        notebook.page.evaluate(
            """source => {
                const { content } = window.jupyterapp.shell.currentWidget;
                content.widgets[0].model.sharedModel.setSource("import nbchat\\n\\nnbchat.join(name='ada')");
                window.jupyterapp.commands.execute("notebook:insert-cell-below");
                content.activeCell.model.sharedModel.setSource(source);
                window.jupyterapp.commands.execute("notebook:run-cell");
            }""",
            train,
        )
        expect(notebook.page.locator(".jp-InputPrompt").filter(has_text="[*]")).to_have_count(1)
        with nbchat.connect(server, name="bob") as bob:
            bob.send("How is your training run going?").wait()
            expect(notebook.texts).to_have_count(1)
            notebook.say("Still running; I will see the loss in a minute. What about yours?")
            expect(notebook.texts).to_have_count(2)
            bob.send("Done: `0.083` after 100 epochs.").wait()
            expect(notebook.texts).to_have_count(3)
            notebook.page.evaluate("() => document.activeElement.blur()")
            notebook.page.mouse.move(5, 5)
            shoot(notebook.page.locator(".jp-NotebookPanel"), "busy")
        notebook.close()


def main() -> None:
    with (
        tempfile.TemporaryDirectory() as name,
        lab.running_lab(Path(name)) as address,
        lab.browser() as browser,
    ):
        jupyter = (address, Path(name) / "work")
        two_notebooks(browser, *jupyter)
        narrow(browser, jupyter)
        busy(browser, jupyter)


if __name__ == "__main__":
    main()
