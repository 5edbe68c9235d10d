"""What strangers write, in a real page: no dialog, no request to anywhere, nothing outside the allowlist."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import expect

import nbchat
from nbchat.ui import render
from tests.ui import lab
from tests.ui.payloads import NAMES, PAYLOADS

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

FOUND = """() => {
    const found = [];
    for (const text of document.querySelectorAll(".nbchat-row .nbchat-text, .nbchat-saved")) {
        for (const each of text.querySelectorAll("*")) {
            const attributes = Object.fromEntries([...each.attributes].map((one) => [one.name, one.value]));
            found.push([each.localName, attributes]);
        }
    }
    return found;
}"""
OURS = {
    ("div", "class"), ("button", "class"), ("button", "type"), ("pre", "tabindex"), ("div", "tabindex"),
}  # fmt: skip
"""What page/looks.js puts around code and tables."""


def test_nothing_that_is_written_does_anything(
    desk: lab.Notebook, chat: nbchat.Server, bob: nbchat.Client
) -> None:
    asked: list[str] = []
    dialogs: list[str] = []
    for start in range(0, len(PAYLOADS), 40):
        for payload in PAYLOADS[start : start + 40]:
            bob.send(payload).wait()
    strangers = [nbchat.connect(chat, name=name) for name in NAMES]
    for stranger in strangers:
        stranger.send("hello").wait()
    desk.page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    desk.page.on("request", lambda request: asked.append(request.url))
    desk.page.evaluate("() => (window.alert = window.print = window.confirm = () => { window.done = true; })")
    desk.join(chat.invite())
    expect(desk.texts.last).to_have_text("hello")
    desk.page.evaluate(
        """() => new Promise((done) => {
            const log = document.querySelector(".nbchat-log");
            const step = () => {
                if (log.querySelector(".nbchat-start").textContent && log.scrollTop < 2) return done();
                log.scrollTop = 0;
                requestAnimationFrame(step);
            };
            step();
        })"""
    )
    expect(desk.texts).to_have_count(len(PAYLOADS) + len(NAMES))
    found: list[tuple[str, dict[str, Any]]] = desk.page.evaluate(FOUND)
    assert len(found) > len(PAYLOADS)
    for tag, attributes in found:
        for name, value in attributes.items():
            if (tag, name) in OURS and tag not in render.ALLOWED_TAGS:
                continue
            if (tag, name) == ("pre", "tabindex"):
                continue
            assert tag in render.ALLOWED_TAGS, (tag, attributes)
            if name == "class":
                assert set(value.split()) <= render.ALLOWED_CLASSES, (tag, attributes)
            elif tag == "a" and name in ("rel", "target"):
                assert value in ("noopener noreferrer nofollow", "_blank")
            else:
                assert name in render.ALLOWED_ATTRIBUTES.get(tag, ()), (tag, attributes)
            if name == "href":
                assert value.lower().startswith(("http://", "https://", "mailto:")), value
    # Hovering, focusing and clicking where it invites one to.
    for code in desk.texts.locator("code").all()[:20]:
        code.hover(force=True)
    for text in desk.texts.all()[:60]:
        text.click(force=True, position={"x": 2, "y": 4})
    assert dialogs == []
    assert desk.page.evaluate("() => window.done") is None
    own = desk.address.partition("/lab")[0]
    assert [url for url in asked if not url.startswith((own, "blob:", "data:"))] == []
    assert [name for name in desk.members.locator(".nbchat-name").all_inner_texts() if name in NAMES]
    assert len(desk.context.pages) == 1
    assert desk.complaints == []
    for stranger in strangers:
        stranger.close()
    desk.leave()
