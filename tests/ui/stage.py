"""The page's side of a panel without Jupyter and without a kernel: the test says what the kernel would."""

from __future__ import annotations

import json
import os
import subprocess
from itertools import count
from typing import Any

from playwright._impl._driver import compute_driver_executable
from playwright.sync_api import Browser, Locator, Page

from nbchat.ui.panel import ChatPanel

CHAT = {"log": "a" * 32, "limit": 16384, "name": "ada", "room": "lobby", "chat": "cs101", "role": "member"}
RULES = {"muted": False, "until": None, "left": None, "announce": False, "slow": 0}
_SET = """async ([script, style, views]) => {
    const sheet = document.createElement("style");
    sheet.textContent = style;
    document.head.append(sheet);
    const address = URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
    const widget = (await import(address)).default();
    window.sent = [];
    window.told = () => {};
    const model = {
        send: (message) => sent.push(message),
        on: (name, receive) => (window.told = receive),
        off: () => {},
    };
    widget.initialize({ model });
    for (let view = 0; view < views; view += 1) {
        const el = document.createElement("div");
        document.body.append(el);
        widget.render({ model, el });
    }
}"""


class Stage:
    """One panel in a page of its own, ``views`` times; its kernel is the test."""

    def __init__(self, chromium: Browser, *, views: int = 1, width: int = 900, **context: Any) -> None:
        self.context = chromium.new_context(viewport={"width": width, "height": 620 * views}, **context)
        self.page: Page = self.context.new_page()
        self.complaints: list[str] = []
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto("about:blank")
        self.page.set_content("<!doctype html><html><body style='margin:8px'></body></html>")
        self._rows = 0
        self._facts = 0
        self._seq = count(1)
        self._views = views

    def begin(self, *members: str, **state: Any) -> Stage:
        """Draw the panel, and let the kernel answer for the first time."""
        self.page.evaluate(_SET, [ChatPanel._esm, ChatPanel._css, self._views])
        people = [
            [each.lstrip("*"), "host" if each[0] == "*" else "member", False, False] for each in members
        ]
        self.tell(
            state=self.state(**state), members=people, pending=[],
            rows={"after": 0, "n": 1, "first": True, "ms": 0, "rows": []},
        )  # fmt: skip
        return self

    @staticmethod
    def state(status: str = "connected", note: str = "", again: bool = False, **more: Any) -> dict[str, Any]:
        rules = {**RULES, **more.pop("rules", {})}
        return {**CHAT, "status": status, "note": [note, again], "retry_in": 3.0, "rules": rules, **more}

    def tell(self, **news: Any) -> None:
        """One message of the kernel."""
        if news.keys() & {"state", "members", "pending"}:
            self._facts += 1
        stamped = {"type": "news", "newest": self._rows, "facts": self._facts, **news}
        self.page.evaluate("news => told(news)", stamped)

    def is_now(self, status: str = "connected", **state: Any) -> None:
        self.tell(state=self.state(status, **state))

    def rows(self, *rows: list[Any], ms: int = 0, at: list[list[int]] | None = None) -> None:
        before, self._rows = self._rows, self._rows + len(rows)
        part = {"after": before, "n": before + 1, "first": False, "ms": ms, "rows": list(rows)}
        self.tell(rows={**part, **({"at": at} if at else {})})

    def say(self, by: str, *texts: str, ms: int | None = None, mentions: bool = False) -> None:
        """Messages, said just now (or at ``ms``)."""
        when = ms if ms is not None else self.page.evaluate("() => Date.now()")
        flag = [1] if mentions else []
        self.rows(*(["s", by, text, 0, next(self._seq), *flag] for text in texts), ms=when)

    @property
    def sent(self) -> list[dict[str, Any]]:
        """What the page has told the kernel."""
        return self.page.evaluate("() => sent")

    @property
    def said(self) -> list[str]:
        """The texts among it."""
        return [each["text"] for each in self.sent if each["type"] == "say"]

    @property
    def panel(self) -> Locator:
        return self.page.get_by_role("group", name="Chat")

    @property
    def box(self) -> Locator:
        return self.panel.locator(".nbchat-box")

    @property
    def log(self) -> Locator:
        return self.panel.get_by_role("log")

    @property
    def status(self) -> Locator:
        return self.panel.get_by_role("status")

    @property
    def options(self) -> Locator:
        return self.panel.get_by_role("option")

    def close(self) -> None:
        self.context.close()


def in_node(code: str, **environment: str) -> Any:
    """What a function's body returns in plain node, among all that the page's script defines. (The node is
    the one that drives the tests' browser, so that there always is one.)"""
    script = f"{ChatPanel._esm}\nconsole.log(JSON.stringify((() => {{ {code} }})()));"
    node, *_ = compute_driver_executable()
    done = subprocess.run(
        [node, "--input-type=module", "-"],
        input=script, capture_output=True, check=False, encoding="utf-8", env={**os.environ, **environment},
        timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
