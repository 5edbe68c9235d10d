"""What strangers write, in a real page: no dialog, no request to anywhere, nothing outside the allowlist."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import expect

import nbchat
from nbchat.render import html
from tests.net.hostile import HostileServer
from tests.ui import lab
from tests.ui.attacks import FOREIGN, UNSEEN
from tests.ui.payloads import NAMES, PAYLOADS

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

FOUND = """() => {
    const found = [];
    for (const text of document.querySelectorAll(".nbchat-row .nbchat-text, .nbchat-saved")) {
        for (const each of text.querySelectorAll("*")) {
            const attributes = Object.fromEntries([...each.attributes].map((one) => [one.name, one.value]));
            const isFrame = !each.parentElement.closest("dd");
            const where = !text.matches(".nbchat-saved") ? "page" : isFrame ? "frame" : "copy";
            found.push([each.localName, attributes, where]);
        }
    }
    return found;
}"""
OURS = {
    ("div", "class"), ("button", "class"), ("button", "type"), ("pre", "tabindex"), ("div", "tabindex"),
}  # fmt: skip
"""What page/looks.js puts around code and tables."""
FRAME = {"div", "dl", "dt", "dd", "b", "i", "span", "time", "style"}
"""What saved.py puts around the texts of a copy; its looks are in attributes, and name no place."""


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
    found: list[tuple[str, dict[str, Any], str]] = desk.page.evaluate(FOUND)
    assert len(found) > len(PAYLOADS)
    for tag, attributes, where in found:
        if where != "page" and "style" in attributes:
            assert not re.search(r"url|image|position|content|[@\\<]", attributes["style"]), attributes
        if where == "frame":
            assert tag in FRAME, (tag, attributes)
            assert attributes.keys() <= {"style", "dir", "title"}, (tag, attributes)
            continue
        for name, value in attributes.items():
            if (tag, name) in OURS and tag not in html.ALLOWED_TAGS:
                continue
            if (tag, name) == ("pre", "tabindex") or (where, name) == ("copy", "style"):
                continue
            assert tag in html.ALLOWED_TAGS, (tag, attributes)
            if name == "class":
                assert set(value.split()) <= html.ALLOWED_CLASSES, (tag, attributes)
            elif tag == "a" and name in ("rel", "target"):
                assert value in ("noopener noreferrer nofollow", "_blank")
            else:
                assert name in html.ALLOWED_ATTRIBUTES.get(tag, ()), (tag, attributes)
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


MADE = """() => {
    const found = {};
    for (const each of document.querySelectorAll(".nbchat, .nbchat *")) {
        if (each.closest(".nbchat-text")) continue; // what render.py made: the test above
        const names = [...each.attributes].map((one) => one.name);
        found[each.localName] = [...new Set([...(found[each.localName] ?? []), ...names])].sort();
    }
    return found;
}"""
HIDDEN = (
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    r"\u{e0000}-\u{e0fff}]"
)
PROTOTYPE = "() => Object.getOwnPropertyNames(Object.prototype).join()"
GLOBALS = "() => Object.getOwnPropertyNames(window)"


def test_nothing_that_a_server_says_does_anything(desk: lab.Notebook) -> None:
    """Names, rooms, refusals and reasons are text in the page, whatever they are: the corpus as each."""
    proto = ("__proto__", "constructor", "toString", "hasOwnProperty", "prototype", "valueOf")
    tags = [each for each in PAYLOADS if each.startswith("<")]
    words = [*proto, *tags, *NAMES, *FOREIGN.values(), *UNSEEN.values()]
    asked: list[str] = []
    dialogs: list[str] = []
    me = "<img src=x onerror=alert(1)>"
    members = [{"name": each, "role": each, "away": bool(at % 2)} for at, each in enumerate(words)]
    with HostileServer(
        name=me, room="<svg onload=alert(1)>", role="host", log_id="__proto__", members=members
    ) as server:
        desk.page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
        desk.page.on("request", lambda request: asked.append(request.url))
        title = desk.page.title()
        before, globals_before = desk.page.evaluate(PROTOTYPE), set(desk.page.evaluate(GLOBALS))
        desk.join(server.link)
        calm = desk.page.evaluate(MADE)
        desk.say("mine")
        id = server.heard("say")["id"]
        for word in words:
            server.say(
                {"type": "said", "by": word, "text": word},
                {"type": "joined", "member": {"name": f"new {word}"}},
                {"type": "left", "name": f"new {word}"},
            )
        server.say(
            *({"type": "typing", "name": word} for word in words[-40:]),
            {"type": "refused", "code": tags[0], "text": tags[0], "fatal": False, "id": id, "suggestion": me},
            {"type": "typing", "name": "__proto__"}, {"type": "typing", "name": tags[3]},
            {"type": "said", "by": "end", "text": "that was all"},
        )  # fmt: skip
        expect(desk.texts.last).to_have_text("that was all")
        expect(desk.log.get_by_text(tags[0]).last).to_be_visible()
        expect(desk.box).to_have_value("mine")  # what was refused comes back
        desk.box.fill("")
        desk.box.press_sequentially("@<")
        expect(desk.panel.get_by_role("option").first).to_be_visible()
        for name in ("__proto__", "constructor"):
            desk.box.fill("")
            desk.box.press_sequentially(f"@{name[:4]}")
            desk.panel.get_by_role("option", name=name).first.click()
            expect(desk.box).to_have_value(f"@{name} ")
        found = desk.page.evaluate(MADE)
        shown = desk.panel.inner_text()
        assert not desk.page.evaluate(f"text => /{HIDDEN}/u.test(text)", shown)
        desk.box.fill("")
        server.say({"type": "closing", "reason": f"{me}\nConnected as ada", "final": True})
        expect(desk.status).to_have_text(f"You are no longer in this chat: {me}␊Connected as ada")
        assert [
            each
            for each in found
            if each not in {*calm, "span", "bdi", "time", "button", "li", "ul", "div", "a", "code", "pre"}
        ] == []
        allowed = {
            "class",
            "role",
            "id",
            "aria-hidden",
            "aria-selected",
            "aria-label",
            "datetime",
            "type",
            "hidden",
            "aria-activedescendant",
            "aria-controls",
            "dir",
            "title",
        }
        for tag, names in found.items():
            assert set(names) <= allowed | set(calm.get(tag, ())), (tag, names)
        assert desk.page.title() == title
        assert desk.page.evaluate(PROTOTYPE) == before
        # Jupyter makes some of its own when it wants to.
        assert not (set(desk.page.evaluate(GLOBALS)) - globals_before) & {me, *words}
        own = desk.address.partition("/lab")[0]
        assert [url for url in asked if not url.startswith((own, "blob:", "data:"))] == []
        assert dialogs == []
        assert desk.complaints == []
        desk.leave()
