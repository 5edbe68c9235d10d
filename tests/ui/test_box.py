"""The text box: everything that helps to type a message, in a real page."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

import nbchat
from tests.ui import lab

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]


def height(ada: lab.Notebook) -> float:
    box = ada.box.bounding_box()
    assert box is not None
    return box["height"]


def test_it_grows_to_eight_lines(ada: lab.Notebook) -> None:
    heights = []
    for lines in (1, 2, 5, 8, 9, 30):
        ada.box.fill("\n".join(["x"] * lines))
        heights.append(height(ada))
    assert heights[0] < heights[1] < heights[2] < heights[3]
    assert heights[3] <= heights[4] == heights[5] < 1.1 * heights[3]
    line = (heights[2] - heights[1]) / 3
    assert heights[3] == pytest.approx(heights[0] + 7 * line, abs=line / 2)
    ada.box.fill("")
    assert height(ada) == heights[0]


def test_a_pasted_block_stays_one_message(ada: lab.Notebook, bob: nbchat.Client) -> None:
    block = "for each in range(3):\n    print(each)\n\nprint('done')"
    ada.page.evaluate(
        """text => {
            const data = new DataTransfer();
            data.setData("text/plain", text);
            const box = document.querySelector(".nbchat-box");
            box.focus();
            const event = new ClipboardEvent("paste", { clipboardData: data, bubbles: true });
            if (box.dispatchEvent(event)) document.execCommand("insertText", false, text);
        }""",
        block,
    )
    assert ada.box.input_value() == block
    ada.box.press("Enter")
    assert bob.wait_for(lambda message: message.by == "ada").text == block


def test_up_brings_back_the_last_message(ada: lab.Notebook, bob: nbchat.Client) -> None:
    ada.say("**as it was typed**")
    bob.wait_for(lambda message: message.by == "ada")
    bob.send("and something of bob's").wait()
    expect(ada.texts).to_have_count(2)
    ada.box.press("ArrowUp")
    expect(ada.box).to_have_value("**as it was typed**")
    ada.box.fill("not empty")
    ada.box.press("ArrowUp")
    bob.send("a sign").wait()
    expect(ada.texts).to_have_count(3)
    assert ada.box.input_value() == "not empty"


def test_at_completes_members(ada: lab.Notebook, chat: nbchat.Server, bob: nbchat.Client) -> None:
    with nbchat.connect(chat, name="bo peep"), nbchat.connect(chat, name="cyd"):
        expect(ada.members).to_have_count(4)
        offer = ada.panel.get_by_role("listbox")
        ada.box.press_sequentially("hello @b")
        expect(offer.get_by_role("option")).to_have_count(2)
        ada.box.press("ArrowDown")
        expect(offer.get_by_role("option", selected=True)).to_contain_text("bo peep")
        ada.box.press("Enter")
        expect(ada.box).to_have_value("hello @bo peep ")
        expect(offer).to_be_hidden()
        ada.box.press_sequentially("and @")
        expect(offer.get_by_role("option")).to_have_count(4)  # bob, bo peep, cyd, everyone; not oneself
        ada.box.press("Escape")
        expect(offer).to_be_hidden()
        expect(ada.box).to_be_focused()
        ada.box.press_sequentially("c")
        offer.get_by_role("option").first.click()
        expect(ada.box).to_have_value("hello @bo peep and @cyd ")
        ada.box.press_sequentially("x@b")  # an address is no mention
        expect(offer).to_be_hidden()
        ada.box.press("Enter")
        assert bob.wait_for(lambda message: message.by == "ada").text == "hello @bo peep and @cyd x@b"


def test_escape_gives_the_keyboard_back_to_the_notebook(ada: lab.Notebook) -> None:
    cells = ada.page.locator(".jp-Notebook .jp-Cell")
    before = cells.count()
    ada.box.focus()
    ada.box.press_sequentially("bbb")  # in the box these are letters
    assert cells.count() == before
    ada.box.press("Escape")
    expect(ada.box).not_to_be_focused()
    expect(ada.box).to_have_value("bbb")
    ada.page.keyboard.press("b")  # in the notebook: a new cell below
    expect(cells).to_have_count(before + 1)
    ada.page.keyboard.press("d")
    ada.page.keyboard.press("d")
    expect(cells).to_have_count(before)


def test_shift_enter_and_copying_stay_in_the_box(ada: lab.Notebook) -> None:
    ada.box.press_sequentially("one")
    ada.box.press("Shift+Enter")
    ada.box.press_sequentially("two")
    ada.box.press("Control+Shift+c")
    assert ada.box.input_value() == "one\ntwo"
    expect(ada.box).to_be_focused()


def test_too_long_is_said_before_it_is_sent(ada: lab.Notebook, bob: nbchat.Client) -> None:
    problem = ada.panel.locator("[role=alert]")
    ada.box.fill("ü" * 8_193)
    expect(problem).to_contain_text("16,386 of 16,384 bytes")
    ada.box.press("Enter")
    assert len(ada.box.input_value()) == 8_193
    ada.box.fill("ü" * 8_192)
    expect(problem).to_have_text("")
    ada.box.press("Enter")
    assert bob.wait_for(lambda message: message.by == "ada").text == "ü" * 8_192


def test_what_is_refused_comes_back(ada: lab.Notebook) -> None:
    ada.page.evaluate("() => (document.querySelector('.nbchat-box').value = 'a\\u0007b')")
    ada.box.press("Enter")
    expect(ada.panel.get_by_role("alert")).to_contain_text("U+0007")
    expect(ada.panel.locator(".nbchat-pale")).to_have_count(0)
    assert ada.page.evaluate("() => document.querySelector('.nbchat-box').value") == "a\u0007b"


def test_what_is_refused_stays_in_sight_when_the_box_has_something_else(ada: lab.Notebook) -> None:
    ada.run("from nbchat.core.errors import BadText\nsay = panel.client._send")
    ada.run("def no(text, **more):\n    raise BadText('not today')\npanel.client._send = no")
    ada.page.evaluate(
        """() => {
            const box = document.querySelector(".nbchat-box");
            box.value = "the first";
            box.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true }));
            box.value = "the second, half written";
        }"""
    )
    pale = ada.panel.locator(".nbchat-pale")
    expect(pale).to_contain_text("not sent: not today")
    expect(pale).to_contain_text("the first")
    expect(ada.box).to_have_value("the second, half written")


def test_a_draft_survives_reconnecting_and_reloading(ada: lab.Notebook, chat: nbchat.Server) -> None:
    ada.box.fill("half a thought\nand")
    chat.stop()
    expect(ada.status).to_contain_text("Reconnecting")
    expect(ada.box).to_have_value("half a thought\nand")
    ada.reload()
    expect(ada.status).to_contain_text("Reconnecting", timeout=60_000)
    expect(ada.box).to_have_value("half a thought\nand")
    ada.page.evaluate(lab.KERNEL_READY)


def test_what_is_typed_without_a_connection_is_pale_until_it_is_there(
    ada: lab.Notebook, chat: nbchat.Server, bob: nbchat.Client
) -> None:
    chat.stop()
    expect(ada.status).to_contain_text("Reconnecting")
    expect(ada.status).to_contain_text("Next try in")
    ada.say("nobody hears this yet")
    pale = ada.panel.locator(".nbchat-pale")
    expect(pale).to_contain_text("nobody hears this yet")
    expect(pale).to_contain_text("waiting for the connection")
    assert ada.texts.count() == 0
    ada.run("panel.client.close()")
    expect(ada.status).to_have_text("You left this chat.")
    expect(pale).to_contain_text("nobody hears this yet")  # nothing typed is lost from sight
