"""The panel's page in all its states: a real page, and the test in the kernel's place."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from nbchat.render import html
from tests.ui.stage import Stage

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

TEN = 1_795_860_000_000  # 10:00 UTC on a day in November 2026
DAY = 86_400_000
Stages = Callable[..., Stage]


@pytest.fixture
def stages(chromium: Browser) -> Iterator[Stages]:
    opened: list[Stage] = []

    def stage(**options: Any) -> Stage:
        opened.append(Stage(chromium, **options))
        return opened[-1]

    yield stage
    for each in opened:
        assert each.complaints == []
        each.close()


def test_the_box_says_what_holds_and_is_shut_where_nothing_can_be_sent(stages: Stages) -> None:
    stage = stages(timezone_id="UTC")
    stage.page.clock.install(time=TEN / 1000)
    stage.begin("*boss", "ada", "bob")
    box, send = stage.box, stage.panel.get_by_role("button", name="Send")
    again = stage.panel.get_by_role("button", name="Join again")
    expect(stage.panel.locator(".nbchat-header")).to_have_text("cs101 · lobby")
    expect(stage.status).to_have_text("Connected as ada")
    expect(again).to_be_hidden()
    box.press_sequentially("half")

    stage.is_now(rules={"announce": True})
    expect(box).to_be_disabled()
    expect(send).to_be_disabled()
    expect(stage.panel.locator("[role=alert]")).to_have_text("Only hosts may write now.")
    expect(box).to_have_value("half")
    stage.is_now()
    expect(box).to_be_enabled()
    expect(box).to_be_focused()  # as it was
    expect(stage.panel.locator("[role=alert]")).to_have_text("")

    # A mute ends by itself, by the page's clock.
    box.fill("")
    until = TEN + 60_000
    stage.is_now(rules={"muted": True, "until": until, "left": 60.0})
    expect(box).to_have_attribute("placeholder", "A host has muted you until 10:01")
    stage.tell(typing=["bob"])
    expect(stage.panel).to_contain_text("bob is typing")
    for _ in range(13):  # with signs of life
        stage.page.clock.run_for(5_000)
        stage.tell()
    expect(box).to_be_enabled()
    expect(box).to_have_attribute("placeholder", "Write a message…")

    # A slow room: what is typed too soon waits in the box.
    stage.is_now(rules={"slow": 30})
    stage.say("ada", "one")
    box.fill("two")
    box.press("Enter")
    expect(box).to_have_value("two")
    expect(stage.panel.locator("[role=alert]")).to_have_text(re.compile(r"Slow room: wait for \d+ s\."))
    expect(send).to_be_disabled()
    for _ in range(7):
        stage.page.clock.run_for(5_000)
        stage.tell()
    expect(send).to_be_enabled()
    box.press("Enter")
    assert stage.said == ["two"]

    # No connection: it can be written, who is there is pale, and nobody types.
    stage.tell(typing=["bob"])
    stage.is_now("reconnecting", note="Reconnecting: the chat does not answer.", retry_in=300.0)
    expect(stage.status).to_have_text(
        re.compile(r"Reconnecting: the chat does not answer\. Next try in \d+ s\.")
    )
    expect(box).to_be_enabled()
    expect(stage.panel.locator(".nbchat-typing")).to_have_text("")
    pale = "node => getComputedStyle(node).opacity"
    assert float(stage.panel.get_by_role("list", name="Members").evaluate(pale)) < 0.8
    stage.is_now(
        "closed", note="You are no longer in this chat: boss removed you from this room.", again=True
    )
    expect(box).to_have_attribute("placeholder", "You are not in the chat")
    expect(box).to_be_disabled()
    again.click()
    assert {"type": "join"} in stage.sent
    stage.is_now("closed", note="You are no longer in this chat: boss banned you.")
    expect(again).to_be_hidden()
    stage.is_now()
    assert float(stage.panel.get_by_role("list", name="Members").evaluate(pale)) == 1
    stage.page.clock.run_for(20_000)
    expect(stage.status).to_have_text("The kernel was restarted or has ended. Run the cell to join again.")
    expect(box).to_be_disabled()
    expect(again).to_be_hidden()


def test_what_the_box_offers(stages: Stages) -> None:
    stage = stages().begin("ada", "bob", "bob2", "ada lovelace", "José", "小明")
    box, options = stage.box, stage.options
    assert box.get_attribute("dir") == "auto"
    for typed, name in (("@love", "ada lovelace"), ("hi @jose", "José"), ("你好@小", "小明")):
        box.fill("")
        box.press_sequentially(typed)
        expect(options).to_have_count(1)
        box.press("Enter")
        expect(box).to_have_value(typed[: typed.index("@") + 1] + name + " ")
    for typed in ("`@bo", "https://medium.com/@bo", "me@bo"):
        box.fill("")
        box.press_sequentially(typed)
        expect(options).to_have_count(0)

    # The caret leaves: nothing is offered any more, and Enter sends.
    box.fill("")
    box.press_sequentially("x @bo")
    expect(options).to_have_count(2)
    box.press("Home")
    expect(options).to_have_count(0)
    box.press("End")
    box.press("Backspace")
    expect(options).to_have_count(2)
    box.press("ArrowDown")
    expect(options.nth(1)).to_have_attribute("aria-selected", "true")
    box.press("Escape")

    # A whole name: Enter sends what stands there, though bob2 is there as well.
    box.fill("")
    box.press_sequentially("hi @bob")
    expect(options).to_have_count(2)
    box.press("Enter")
    expect(box).to_have_value("")
    assert stage.said == ["hi @bob"]

    # Enter that ends a word of an input method sends nothing.
    box.fill("ni")
    for more in ("{ isComposing: true }", "{ keyCode: 229 }"):
        box.evaluate(
            "(node) => node.dispatchEvent(new KeyboardEvent('keydown',"
            f" {{ key: 'Enter', bubbles: true, cancelable: true, ...{more} }}))"
        )
    client = stage.context.new_cdp_session(stage.page)
    client.send("Input.imeSetComposition", {"text": "你", "selectionStart": 1, "selectionEnd": 1})
    box.press("Enter")
    assert stage.said == ["hi @bob"]

    # Commands: offered, and nobody is told that one is typed.
    box.fill("")
    stage.page.evaluate("() => { sent.length = 0; }")
    box.press_sequentially("/h")
    expect(options).to_have_count(2)  # /hosts and /help: what a member may give
    box.press("Tab")
    expect(box).to_have_value("/hosts ")
    stage.is_now(role="host")
    box.fill("")
    box.press_sequentially("/ki")
    expect(options).to_have_count(1)
    box.press("Enter")
    box.press_sequentially("bob")
    assert [each for each in stage.sent if each["type"] == "typing"] == []
    box.press("Enter")
    assert stage.said == ["/kick bob"]


def test_members_are_sorted_filtered_and_have_a_menu(stages: Stages) -> None:
    stage = stages().begin("zoe", "ada", "*boss", "bob")
    members = stage.panel.get_by_role("list", name="Members").get_by_role("listitem")
    expect(members).to_have_text(["boss (host)", "ada (you)", "bob", "zoe"])
    menu = stage.panel.get_by_role("menu")
    keys = stage.page.keyboard
    stage.panel.get_by_role("button", name="boss").focus()
    keys.press("ArrowDown")
    keys.press("Enter")
    expect(menu.get_by_role("menuitem")).to_have_text(["Mention"])
    expect(stage.panel.get_by_role("button", name="bob")).to_have_attribute("aria-expanded", "true")
    keys.press("Escape")
    expect(menu).to_be_hidden()
    expect(stage.panel.get_by_role("button", name="bob")).to_be_focused()
    keys.press("Enter")
    keys.press("Enter")
    expect(stage.box).to_have_value("@bob ")
    expect(stage.box).to_be_focused()

    stage.is_now(role="host")
    stage.panel.get_by_role("button", name="zoe").click()
    expect(menu.get_by_role("menuitem")).to_have_text(["Mention", "Mute for 10 minutes", "Unmute", "Kick…"])
    keys.press("ArrowDown")
    keys.press("Enter")
    assert stage.said == ['/mute "zoe" 10']
    expect(stage.panel.get_by_role("button", name="zoe")).to_be_focused()
    keys.press("Enter")
    keys.press("End")
    keys.press("Enter")
    expect(menu.get_by_role("menuitem", name="Kick zoe now")).to_be_visible()
    keys.press("Enter")
    assert stage.said[1:] == ['/kick "zoe"']

    filter = stage.panel.get_by_role("searchbox")
    expect(filter).to_be_hidden()
    stage.tell(members=[[f"student {n}", "member", False, False] for n in range(30)])
    expect(members).to_have_count(30)
    filter.fill("29")
    expect(members).to_have_text(["student 29"])
    keys.press("ArrowDown")
    expect(stage.panel.get_by_role("button", name="student 29")).to_be_focused()
    filter.press("Escape")
    expect(members).to_have_count(30)


def test_the_log_keeps_its_days_its_place_and_its_peace(stages: Stages) -> None:
    stage = stages(timezone_id="UTC")
    stage.page.clock.install(time=TEN / 1000)
    stage.begin("ada", "bob", "eve")
    days = stage.log.locator(".nbchat-day")
    stage.say("bob", "a day ago", ms=TEN - DAY)
    stage.rows(["j", "eve"], ["l", "eve"], ms=0, at=[[0, TEN - DAY], [1, TEN - 1000]])
    stage.say("bob", *(f"line {n}" for n in range(40)), ms=TEN)
    expect(days).to_have_text(["Yesterday", "Today"])
    stood = stage.log.evaluate(
        "log => [...log.querySelectorAll('.nbchat-day, .nbchat-line')].map((each) => each.textContent)"
    )
    assert [each for each in stood if each] == ["Yesterday", "eve joined", "Today", "eve left"]

    # The box grows, and the newest stays in sight; so it does when the box is small again.
    newest = stage.log.locator(".nbchat-text").last
    for text in ("x\n" * 8, ""):
        stage.box.fill(text)
        stage.tell(typing=["bob"])
        expect(newest).to_be_in_viewport()
        inside = "log => log.scrollHeight - log.scrollTop - log.clientHeight"
        assert stage.log.evaluate(inside) < 2

    # The red line stays while one reads, and goes then.
    stage.log.evaluate("log => { log.scrollTop = 0; log.dispatchEvent(new Event('scroll')); }")
    stage.say("bob", "new")
    line = stage.log.locator(".nbchat-unread")
    expect(line).to_have_count(1)
    stage.panel.get_by_role("button", name="1 new").click()
    stage.tell()
    stage.page.clock.run_for(5_000)
    expect(line).to_have_count(1)
    stage.tell()
    stage.page.clock.run_for(7_000)
    expect(line).to_have_count(0)

    # Midnight.
    stage.page.clock.set_system_time((TEN + DAY) / 1000)
    stage.tell()
    stage.page.clock.run_for(1_500)
    expect(days.last).to_have_text("Yesterday")

    # What the window brings back as one scrolls is no news to who listens.
    stage.page.evaluate(
        """() => {
            const log = document.querySelector("[role=log]");
            window.loud = 0;
            new MutationObserver((changes) => {
                const isRow = changes.some((each) => each.target.className === "nbchat-rows");
                if (isRow && !log.hasAttribute("aria-busy")) window.loud += 1;
            }).observe(log, { childList: true, subtree: true });
        }"""
    )
    for _ in range(8):
        stage.say("bob", *(f"more {n}" for n in range(200)))
    assert stage.page.evaluate("() => loud") > 0, "news are read out"
    stage.page.evaluate("() => { window.loud = 0; }")
    for _ in range(12):
        stage.log.evaluate("log => { log.scrollTop = 0; log.dispatchEvent(new Event('scroll')); }")
    expect(stage.log).to_contain_text("a day ago")
    stage.panel.get_by_role("button", name="Newest").click()
    expect(newest).to_have_text("more 199")
    assert stage.page.evaluate("() => loud") == 0
    stage.page.clock.run_for(200)
    expect(stage.log).not_to_have_attribute("aria-busy", "true")


def test_what_is_refused_comes_back_where_it_was_typed(stages: Stages) -> None:
    stage = stages(views=2).begin("ada")
    first, second = stage.box.nth(0), stage.box.nth(1)
    second.fill("let me")
    second.press("Enter")
    (mark,) = [each["mark"] for each in stage.sent if each["type"] == "say"]
    pale = stage.panel.nth(1).locator(".nbchat-pale")
    expect(pale).to_contain_text("sending")
    # After a second: a cell may run, the kernel may be started anew, the network be away.
    expect(pale).to_contain_text("waiting for the kernel")
    stage.tell(pending=[[mark, "let me"]])
    stage.tell(refused={"mark": mark, "text": "let me", "why": "No."})
    expect(second).to_have_value("let me")
    expect(first).to_have_value("")
    expect(stage.panel.nth(0).locator("[role=alert]")).to_have_text("")
    # Of another page, or of this one before it was loaded again: in sight, until it is discarded.
    stage.tell(pending=[["f" * 16, "of another"]])
    stage.tell(refused={"mark": "f" * 16, "text": "of another", "why": "No."})
    stage.tell(pending=[])
    expect(first).to_have_value("")
    expect(stage.panel.nth(0).locator(".nbchat-pale")).to_contain_text("not sent: No.")
    stage.panel.nth(0).get_by_role("button", name="Discard").click()
    expect(stage.panel.locator(".nbchat-pale")).to_have_count(0)


def test_a_formula_on_lines_of_its_own_touches_no_other_line(stages: Stages) -> None:
    stage = stages().begin("ada")
    formula = html.html("a $$\\sum_{i=1}^n x_i$$ b")
    stage.say("bob", formula)
    math = stage.log.locator("math")
    expect(math).to_have_css("display", "block math")
    expect(math).to_have_css("margin-top", "6px")
    expect(math).to_have_css("margin-bottom", "6px")
