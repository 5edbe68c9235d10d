"""What a checker of accessibility (axe) finds in the panel, in both themes and when it is narrow."""

from __future__ import annotations

from importlib.resources import files

import pytest
from playwright.sync_api import expect

import nbchat
from tests.ui import lab

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

MESSAGES = (
    "plain words",
    "**bold**, *slanted*, `code`, https://example.org and [a link](https://example.com/x)",
    '```python\ndef mean(xs):\n    """Of numbers."""\n    return sum(xs) / len(xs)  # 0.5\n```',
    "| a | b |\n|---|---|\n| 1 | 2 |",
    "> quoted\n\n1. one\n2. two",
    "hello @ada, $x^2 + \\frac{1}{2}$",
)


FAINT = """() => {
    const context = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    const pixel = (...colours) => {
        for (const colour of ["#fff", ...colours]) {
            context.fillStyle = colour;
            context.fillRect(0, 0, 1, 1);
        }
        return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
    };
    const light = (rgb) => {
        const [red, green, blue] = rgb.map((each) => each / 255).map(
            (each) => (each <= 0.04045 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4));
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
    };
    const found = [];
    let count = 0;
    for (const each of document.querySelectorAll(".nbchat *")) {
        const hasText = [...each.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
        if ((!hasText && each.localName !== "textarea") || !each.offsetParent) continue;
        const grounds = [];
        for (let node = each; node; node = node.parentElement) {
            grounds.unshift(getComputedStyle(node).backgroundColor);
        }
        const ground = light(pixel(...grounds));
        const text = light(pixel(...grounds, getComputedStyle(each).color));
        const ratio = (Math.max(ground, text) + 0.05) / (Math.min(ground, text) + 0.05);
        count += 1;
        if (ratio < 4.5) found.push([each.className, each.textContent.slice(0, 30), ratio.toFixed(2)]);
    }
    return { found, count };
}"""
"""Texts under WCAG AA's contrast. axe leaves out colours in the notation that color-mix() has."""


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
@pytest.mark.parametrize("width", ["auto", "320px"])
def test_axe_finds_nothing(
    ada: lab.Notebook, bob: nbchat.Client, chat: nbchat.Server, theme: str, width: str
) -> None:
    ada.page.evaluate(
        "theme => window.jupyterapp.commands.execute('apputils:change-theme', { theme })", theme
    )
    wanted = theme.rpartition(" ")[2].lower()
    expect(ada.panel).to_have_attribute("data-theme", wanted)
    for text in (*MESSAGES, "filling\n" * 20):
        bob.send(text).wait()
    nbchat.connect(chat, name="cyd").close()
    bob.typing()
    bob.away = True
    ada.say("mine")
    expect(ada.texts.last).to_have_text("mine")
    ada.run(f"panel.layout.width = {width!r}")
    contrast = ada.page.evaluate(FAINT)
    assert contrast["found"] == []
    assert contrast["count"] > 30
    ada.page.evaluate("() => { document.querySelector('.nbchat-log').scrollTop = 0; }")
    bob.send("unseen").wait()
    expect(ada.panel.get_by_role("button", name="1 new")).to_be_visible()
    ada.box.fill("x" * 17_000)  # with its error
    ada.page.add_script_tag(content=files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8"))
    found = ada.page.evaluate("() => axe.run('.nbchat')")
    ada.box.press_sequentially("")
    ada.box.fill("@")
    ada.box.press("End")
    ada.box.press_sequentially("b")
    expect(ada.panel.get_by_role("listbox")).to_be_visible()
    more = ada.page.evaluate("() => axe.run('.nbchat-write')")
    assert len(found["passes"]) > 15
    problems = [
        (each["id"], each["impact"], node["html"][:200], node["failureSummary"])
        for result in (found, more)
        for each in result["violations"]
        for node in each["nodes"]
    ]
    assert problems == []
    # Contrast that axe could not work out by itself is none.
    unclear = [each["id"] for each in found["incomplete"] if each["id"] != "color-contrast"]
    assert unclear == []
    ada.page.evaluate(
        "() => window.jupyterapp.commands.execute('apputils:change-theme', { theme: 'JupyterLab Light' })"
    )
    expect(ada.panel).to_have_attribute("data-theme", "light")
