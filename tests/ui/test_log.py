"""The output area, the list of members and the connection, in a real page."""

from __future__ import annotations

import time

import pytest
from playwright.sync_api import expect

import nbchat
from tests.ui import lab

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

DAY = 86_400_000
BURST = "message {:05d} with some words behind it"


def place(ada: lab.Notebook) -> tuple[float, float]:
    """How far the log is scrolled, and how far it could be."""
    found = ada.page.evaluate(
        "() => { const log = document.querySelector('.nbchat-log');"
        " return [log.scrollTop, log.scrollHeight - log.clientHeight]; }"
    )
    return found[0], found[1]


def scroll(ada: lab.Notebook, top: int) -> None:
    ada.page.evaluate(
        "top => new Promise((done) => { document.querySelector('.nbchat-log').scrollTop = top;"
        " requestAnimationFrame(() => requestAnimationFrame(done)); })",
        top,
    )


def say_many(bob: nbchat.Client, count: int, start: int = 0) -> list[str]:
    texts = [BURST.format(number) for number in range(start, start + count)]
    for message in [bob.send(text) for text in texts]:
        message.wait()
    return texts


def test_messages_stand_under_their_author(ada: lab.Notebook, bob: nbchat.Client) -> None:
    for text in ("one", "two"):
        bob.send(text).wait()
    ada.say("three")
    expect(ada.texts).to_have_text(["one", "two", "three"])
    heads = ada.log.locator(".nbchat-by")
    expect(heads).to_have_count(2)
    assert heads.locator(".nbchat-name").all_inner_texts() == ["bob", "ada"]
    expect(heads.first.locator("time")).to_be_visible()
    assert str(time.localtime().tm_year) in (ada.texts.nth(1).get_attribute("title") or "")
    faces = ada.log.locator(".nbchat-face")
    assert faces.all_inner_texts() == ["B", "A"]
    colours = [face.evaluate("node => getComputedStyle(node).backgroundColor") for face in faces.all()]
    assert len(set(colours)) == 2


def test_days_are_separated(ada: lab.Notebook, bob: nbchat.Client) -> None:
    now = int(time.time() * 1000)
    says = [(now - 400 * DAY, "long ago"), (now - DAY, "a day ago"), (now - 60_000, "just now"), (now, "now")]
    ada.run(
        "from nbchat.core.frames import Said\nstate = panel.client._state\nwith state.changed:\n"
        + "".join(
            f"    state.transcript.apply(Said({seq}, {ms}, 'x{seq}', 'eve', {text!r}))\n"
            for seq, (ms, text) in enumerate(says, 1)
        )
        + "    state.touch()"
    )
    expect(ada.texts).to_have_count(4)
    days = ada.log.locator(".nbchat-day").all_inner_texts()
    assert len(days) == 3
    assert days[1:] == ["Yesterday", "Today"]
    assert any(char.isdigit() for char in days[0])


def test_joins_and_leaves_are_one_quiet_line(ada: lab.Notebook, chat: nbchat.Server) -> None:
    line = ada.log.locator(".nbchat-line").last
    with nbchat.connect(chat, name="cyd"), nbchat.connect(chat, name="dan"):
        expect(line).to_have_text("cyd, dan joined")
    expect(line).to_have_text("dan, cyd left")
    with nbchat.connect(chat, name="eve") as eve:
        expect(line).to_have_text("eve joined · dan, cyd left")
        eve.send("a word").wait()
        expect(ada.texts).to_have_text(["a word"])
    expect(ada.log.locator(".nbchat-line").last).to_have_text("eve left")
    crowd = [nbchat.connect(chat, name=f"s{number}") for number in range(9)]
    expect(ada.log.locator(".nbchat-line").last).to_have_text(
        "s0, s1, s2, s3, s4 and 4 others joined · eve left"
    )
    for each in crowd:
        each.close()


def test_scrolled_up_new_ones_are_counted_and_marked(ada: lab.Notebook, bob: nbchat.Client) -> None:
    say_many(bob, 60)
    expect(ada.texts).to_have_count(60)
    jump = ada.panel.get_by_role("button", name="new")
    expect(jump).to_be_hidden()
    scroll(ada, 300)
    reading = ada.texts.nth(20)
    before = reading.bounding_box()
    assert before is not None
    new = say_many(bob, 3, 60)
    expect(jump).to_have_text("3 new ↓")
    assert reading.bounding_box() == pytest.approx(before, abs=1)  # what is read does not move
    line = ada.log.locator(".nbchat-unread")
    expect(line).to_have_text("New")
    row = line.locator("xpath=..")
    expect(row).to_contain_text(new[0])
    jump.click()
    expect(jump).to_be_hidden()
    top, most = place(ada)
    assert most - top < 2
    expect(line).to_be_visible()  # it stays until there is something newer, or one says something
    ada.say("I have read it")
    expect(line).to_have_count(0)


def test_scrolling_up_goes_to_the_first_message_of_the_room(
    desk: lab.Notebook, chat: nbchat.Server, bob: nbchat.Client
) -> None:
    texts = say_many(bob, 2_500)
    desk.join(chat.invite())
    expect(desk.texts.last).to_have_text(texts[-1])
    found = desk.page.evaluate(
        """() => new Promise((done) => {
            const log = document.querySelector(".nbchat-log");
            const seen = new Set();
            let most = 0;
            let wrong = 0;
            const step = () => {
                const found = [...log.querySelectorAll(".nbchat-row .nbchat-text")];
                const texts = found.map((each) => each.textContent);
                most = Math.max(most, texts.length);
                if (texts.some((text, at) => at && text <= texts[at - 1])) wrong += 1;
                texts.forEach((text) => seen.add(text));
                if (log.querySelector(".nbchat-start").textContent && log.scrollTop < 2) {
                    return done({ seen: [...seen].sort(), most, wrong });
                }
                log.scrollTop -= 1500;
                requestAnimationFrame(step);
            };
            step();
        })"""
    )
    assert found["seen"] == texts
    assert found["wrong"] == 0
    assert found["most"] <= 1000
    expect(desk.log).to_contain_text("beginning of the chat")
    desk.panel.get_by_role("button", name="Newest").click()
    expect(desk.texts.last).to_have_text(texts[-1])
    more = say_many(bob, 3, 2_500)
    expect(desk.texts.last).to_have_text(more[-1])
    desk.leave()


def test_a_burst_is_whole_and_in_order(ada: lab.Notebook, bob: nbchat.Client) -> None:
    texts = say_many(bob, 6_000)
    expect(ada.texts.last).to_have_text(texts[-1], timeout=30_000)
    shown = ada.texts.all_inner_texts()
    assert shown == texts[-len(shown) :]
    assert 100 <= len(shown) <= 1000
    top, most = place(ada)
    assert most - top < 2
    # All of it is there, also what the page has let go of.
    found = ada.page.evaluate(
        """() => new Promise((done) => {
            const log = document.querySelector(".nbchat-log");
            const seen = new Set();
            const step = () => {
                const texts = log.querySelectorAll(".nbchat-row .nbchat-text");
                for (const each of texts) seen.add(each.textContent);
                const isAtStart = log.querySelector(".nbchat-start").textContent && log.scrollTop < 2;
                if (isAtStart) return done(seen.size);
                log.scrollTop = 0;
                requestAnimationFrame(step);
            };
            step();
        })"""
    )
    assert found == 6_000


def test_a_mention_stands_out(ada: lab.Notebook, bob: nbchat.Client) -> None:
    bob.send("hello all").wait()
    bob.send("hello @ada").wait()
    expect(ada.texts).to_have_count(2)
    rows = ada.log.locator(".nbchat-row:has(.nbchat-text)")
    grounds = [row.evaluate("node => getComputedStyle(node).backgroundColor") for row in rows.all()]
    assert grounds[0] != grounds[1]


def test_long_texts_and_code_are_folded(ada: lab.Notebook, bob: nbchat.Client) -> None:
    bob.send("\n".join(map(str, range(3000)))).wait()
    bob.send("```python\n" + "x = 1\n" * 40 + "```").wait()
    bob.send("\n".join(map(str, range(15)))).wait()
    bob.send("word " * 1000).wait()
    expect(ada.texts).to_have_count(4)
    buttons = ada.log.locator(".nbchat-more")
    expect(buttons).to_have_text(["Show all 3,000 lines", "Show all 40 lines", "Show the whole text"])
    heights = [text.bounding_box()["height"] for text in ada.texts.all()]  # type: ignore[index]
    assert max(heights) < 420
    ada.log.get_by_role("button", name="Show all 3,000 lines").click()
    expect(buttons.first).to_have_text("Show less")
    assert ada.texts.first.bounding_box()["height"] > 50_000  # type: ignore[index]
    ada.log.get_by_role("button", name="Show less").click()
    expect(buttons.first).to_have_text("Show all 3,000 lines")
    assert ada.texts.first.bounding_box()["height"] == heights[0]  # type: ignore[index]


def test_each_paragraph_has_its_direction_and_code_has_one(ada: lab.Notebook, bob: nbchat.Client) -> None:
    bob.send("שלום `f(1, 2)` עולם $x + 1$\nand English.").wait()
    bob.send("only `code` and **words** | x").wait()
    bob.send("|a|b|\n|:-:|--:|\n|1|2|").wait()
    expect(ada.texts).to_have_count(3)
    for part in ("code", "math"):
        assert ada.texts.first.locator(part).evaluate("node => getComputedStyle(node).direction") == "ltr"
    assert ada.texts.first.evaluate("node => getComputedStyle(node).unicodeBidi") == "plaintext"
    grounds = ada.texts.nth(1).evaluate(
        "node => [node, node.querySelector('code')].map((each) => getComputedStyle(each).backgroundColor)"
    )
    assert grounds[0] != grounds[1]
    cells = ada.texts.nth(2).locator("td")
    assert cells.evaluate_all("all => all.map((each) => getComputedStyle(each).textAlign)") == [
        "center",
        "right",
    ]


def test_code_can_be_copied(ada: lab.Notebook, bob: nbchat.Client) -> None:
    ada.context.grant_permissions(["clipboard-read", "clipboard-write"])
    bob.send("Try\n```python\ndef f(x):\n    return x  # as is\n```").wait()
    code = ada.texts.locator("pre")
    expect(code).to_contain_text("return x")
    assert code.locator("span").count() > 1  # coloured
    code.hover()
    ada.log.get_by_role("button", name="Copy").click()
    expect(ada.log.get_by_role("button", name="Copied")).to_be_visible()
    assert ada.page.evaluate("() => navigator.clipboard.readText()") == "def f(x):\n    return x  # as is"


def test_members_say_who_they_are_and_who_types(
    ada: lab.Notebook, chat: nbchat.Server, bob: nbchat.Client
) -> None:
    expect(ada.members).to_have_text(["bob (host)", "ada (you)"])
    bob.away = True
    expect(ada.members.first).to_have_text("bob (host, away)")
    bob.away = False
    bob.typing()
    expect(ada.members.first).to_have_text("bob (host) typing…")
    expect(ada.panel).to_contain_text("bob is typing…")
    bob.send("typed").wait()
    expect(ada.members.first).to_have_text("bob (host)")
    ada.box.press_sequentially("hm")
    bob._state.wait(lambda: "ada" in bob._state.typing, 20)
    assert bob.typists == ["ada"]


def test_a_narrow_panel_folds_its_members(ada: lab.Notebook, bob: nbchat.Client) -> None:
    bob.send(
        "a long word "
        + "x" * 300
        + "\n\n```\n"
        + "y" * 300
        + "\n```\n\n| a | b |\n|---|---|\n| "
        + "z" * 200
        + " | 1 |"
    )
    expect(ada.texts).to_have_count(1)
    expect(ada.members).to_have_count(2)
    assert ada.run("panel.layout.width = '320px'") == ""
    expect(ada.panel.locator(".nbchat-side")).not_to_have_attribute("open", "")
    box = ada.panel.bounding_box()
    assert box is not None
    assert box["width"] == pytest.approx(320, abs=12)
    for part in (ada.log, ada.box, ada.status, ada.panel.get_by_role("button", name="Send")):
        inner = part.bounding_box()
        assert inner is not None
        assert box["x"] <= inner["x"]
        assert inner["x"] + inner["width"] <= box["x"] + box["width"] + 1
    assert ada.log.evaluate("node => node.scrollWidth <= node.clientWidth")
    ada.panel.get_by_text("Members (2)").click()
    expect(ada.members.first).to_be_visible()
    assert ada.run("panel.layout.width = 'auto'") == ""
    expect(ada.panel.locator(".nbchat-side")).to_have_attribute("open", "")


def test_it_stands_in_a_box_among_other_widgets(ada: lab.Notebook, bob: nbchat.Client) -> None:
    ada.run(
        "import ipywidgets\nfrom IPython.display import display\n"
        "box = ipywidgets.VBox([ipywidgets.Label('above'), panel, ipywidgets.Label('below')])"
    )
    ada.page.evaluate("() => window.jupyterapp.commands.execute('notebook:insert-cell-below')")
    ada.page.keyboard.press("Enter")
    ada.page.keyboard.type("box")
    ada.page.keyboard.press("Shift+Enter")
    expect(ada.panel).to_have_count(2)
    bob.send("in both").wait()
    for at in range(2):
        expect(ada.panel.nth(at).locator(".nbchat-row .nbchat-text")).to_have_text("in both")
    view = ada.panel.nth(1)
    view.get_by_role("textbox", name="Message").fill("from the box")
    view.get_by_role("textbox", name="Message").press("Enter")
    assert bob.wait_for(lambda message: message.by == "ada").text == "from the box"
    ada.page.evaluate(
        "() => { const { commands } = window.jupyterapp; return commands.execute('notebook:delete-cell'); }"
    )


def test_the_keyboard_reaches_everything(ada: lab.Notebook, bob: nbchat.Client) -> None:
    bob.send("```\ncode\n```").wait()
    expect(ada.texts).to_have_count(1)
    ada.log.focus()
    reached = []
    for _ in range(6):
        reached.append(
            ada.page.evaluate("() => document.activeElement.className || document.activeElement.tagName")
        )
        outline = ada.page.evaluate("() => getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none" or reached[-1] == "nbchat-log"
        ada.page.keyboard.press("Tab")
    assert reached == ["nbchat-log", "PRE", "nbchat-copy", "nbchat-box", "nbchat-send", "nbchat-heading"]


def test_errors_are_in_words(ada: lab.Notebook, bob: nbchat.Client) -> None:
    ada.run("@panel.client.on_message\ndef answer(message):\n    return 1 / 0")
    bob.send("answer me").wait()
    expect(ada.log).to_contain_text("Your function answer() failed: ZeroDivisionError: division by zero")
