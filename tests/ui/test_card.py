"""The invitation's card in a page: Copy, and lines that are not broken."""

from __future__ import annotations

from typing import Any

import pytest

from nbchat.server.qr import Invitation
from tests.ui.lab import CHROMIUM

pytestmark = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on the path")]
LINK = "nbchat://192.168.1.5:14900?pin=sha256:" + "ab" * 32 + "#k=0a1b2c3d.abcdefghijklmnopqrstuvwxyz012345"


@pytest.mark.parametrize("has_clipboard", [True, False], ids=["secure", "not secure"])
def test_copy(chromium: Any, has_clipboard: bool) -> None:
    """The whole cell, also in a page that is not secure (http:// of another machine), where a page has no
    clipboard."""
    page = chromium.new_page(viewport={"width": 480, "height": 900})
    page.add_init_script(
        "window.copied = []; document.execCommand = () => copied.push(String(getSelection()));"
        "Object.defineProperty(navigator, 'clipboard', {value: "
        + ("{writeText: async text => { copied.push(text) }}" if has_clipboard else "undefined")
        + "});"
    )
    page.goto("about:blank")
    page.set_content(Invitation(LINK, 0)._repr_html_())
    page.get_by_role("button", name="Copy").click()
    page.get_by_role("button", name="Copied").wait_for()
    assert [text.strip() for text in page.evaluate("copied")] == [f'import nbchat\nnbchat.join("{LINK}")']
    lines = page.locator("code").evaluate(
        "code => code.clientHeight / parseFloat(getComputedStyle(code).fontSize)"
    )
    assert lines < 6  # two, and what is around them: none is broken though the page is narrow
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.close()
