"""Every way on which a stranger's words get to a screen, and what they might try there: each is played to a
terminal emulator, which is then as it was, and in which all can be read."""

from __future__ import annotations

import contextlib
import io
import logging
import re
import traceback
import unicodedata
import warnings
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

import nbchat
from nbchat.client import client as clients
from nbchat.client import prints
from nbchat.client.clients import handles
from nbchat.core import errors, plain
from nbchat.core.errors import ChatError
from nbchat.core.escape import one_line, visible, visible_on_a_page
from nbchat.core.transcript import Message, Row
from nbchat.net import discovery
from nbchat.net.log import log
from nbchat.render import html
from nbchat.render.wrap import folded
from nbchat.ui import cli, magics, saved, terminal
from tests.net.helpers import until
from tests.net.hostile import HostilePlainServer, HostileServer
from tests.ui.attacks import ATTACKS, FOREIGN
from tests.ui.emulator import Emulator, sequences
from tests.ui.payloads import NAMES, PAYLOADS

ENGLAND = "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"
WIDTHS = (12, 20, 37, 80, 100)
WORD = re.compile(r"[A-Za-z]{4,}")
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


# ── where a server's words get to ────────────────────────────────────────────────────────────────


def met(text: str) -> dict[str, str]:
    """A server that says a text wherever a server says something, and what its client's user then sees."""
    seen: dict[str, str] = {}
    members = [{"name": text}, {"name": "ada", "role": text}]
    with HostileServer(members=members, room=text, role=text) as server:
        client = nbchat.connect(server.link, name="ada")
        try:
            look(client, server, text, seen)
        finally:
            leave(client)
    with HostileServer(name=text) as server:
        client = nbchat.connect(server.link, name="ada")
        seen["one's own name"] = client.name
        seen["a client's repr with that name"] = repr(client)
        server.say({"type": "closing", "reason": text})
        until(client, lambda: client.status != "connected")
        seen["why it reconnects"] = repr(client)
        leave(client)
    for kind, field in (("refused", "text"), ("closing", "reason")):
        frame = {"type": kind, field: text, "code": text, "fatal": True, "suggestion": text}
        with HostileServer(first=frame) as server, pytest.raises(ChatError) as caught:
            nbchat.connect(server.link, name="ada")
        seen[f"{kind} instead of a welcome"] = str(caught.value)
    return seen


def look(client: nbchat.Client, server: HostileServer, text: str, seen: dict[str, str]) -> None:
    @client.on_message
    def handler(message: Message) -> None:
        print(message.text)
        raise ValueError(message.text)

    sent = client.send("mine")
    server.heard("say")
    server.say(
        {"type": "typing", "name": text},
        {"type": "said", "text": text},
        {"type": "said", "text": "author", "by": f"3{text}"},
        {"type": "refused", "code": text, "text": text, "fatal": False, "id": sent.id, "suggestion": text},
        {"type": "joined", "member": {"name": f"2{text}"}},
        {"type": "left", "name": f"2{text}"},
        {"type": "slow", "for": 1e300},
    )
    state = client._state
    until(
        client, lambda: any("faster" in row.text for row in state.transcript.rows) and len(state.errors) >= 4
    )
    seen["a foreign message"], seen["an author's name"] = client.transcript()
    rows = list(state.transcript.rows)

    def row(wanted: str) -> str:
        return terminal.words(
            next(each for each in rows if each.kind == wanted or each.text.startswith(wanted))
        )

    seen["who joined"], seen["who left"] = row("joined"), row("left")
    (refused,) = state.refused
    seen["a refusal in the chat"] = f"* {terminal.indented(str(refused.error))}"
    assert "\n" not in "".join(each.text for each in rows)  # in the panel, too, each is one line
    seen["a failed handler's notice"], seen["too fast"] = row("Your function"), row("You are")
    with pytest.raises(errors.Refused) as caught:
        sent.wait(0)
    seen["a refusal as an error"] = str(caught.value)
    seen["a refusal's suggestion"] = str(caught.value.suggestion)
    seen["a refusal's code"] = caught.value.code
    seen["a member's name"] = str(client.members[0])
    seen["a member's role"] = client.members[1].role
    seen["one's own role"] = client.role
    seen["the room"] = client.room
    seen["who types"] = ", ".join(client.typists)
    seen["a client's repr"] = repr(client)
    seen["the members' repr"] = repr(client.members)
    seen["what a handler printed"] = "\n    ".join(client.errors[1].split("\n"))
    seen["a handler's traceback"] = client.errors[0].replace("\n", "\n    ")
    seen["%chat in a terminal"] = repr(magics._Listing(client)).removesuffix(f"\n{client.transcript()[1]}")
    seen["the first line"] = terminal.greeting(client)
    server.say({"type": "closing", "reason": text, "final": True})
    until(client, lambda: client.status == "closed")
    seen["why it was closed"] = client.reason
    seen["a closed client's repr"] = repr(client)
    with pytest.raises(errors.Closed) as closed:
        client.send("late")
    seen["too late to send"] = str(closed.value)
    seen["the last line"] = printed(lambda: terminal.complain(f"the chat has ended: {client.reason}"))


def leave(client: nbchat.Client) -> None:
    """Without a goodbye: such a server confirms nothing."""
    handles.discard(client)
    client._receiver.close(may_come_back=True)
    client._state.pending.clear()
    client._receiver.thread.join()


def printed(what: Callable[[], object]) -> str:
    """What is printed meanwhile, on either stream."""
    stream = io.StringIO()
    with (
        contextlib.redirect_stderr(stream),
        contextlib.redirect_stdout(stream),
        contextlib.suppress(SystemExit),
    ):
        what()
    return stream.getvalue().rstrip("\n")


FROM_A_SERVER = (
    "a foreign message", "an author's name", "who joined", "who left", "a failed handler's notice",
    "too fast", "a refusal in the chat", "a refusal as an error", "a refusal's suggestion",
    "a refusal's code", "a member's name", "a member's role", "one's own role", "the room", "who types",
    "a client's repr", "the members' repr", "what a handler printed", "a handler's traceback",
    "%chat in a terminal", "the first line", "why it was closed", "a closed client's repr",
    "too late to send", "the last line", "one's own name", "a client's repr with that name",
    "why it reconnects", "refused instead of a welcome", "closing instead of a welcome",
)  # fmt: skip


# ── where everything else gets to ────────────────────────────────────────────────────────────────

OTHERS: dict[str, Callable[[str, Path], str]] = {}


def path(name: str) -> Callable[[Callable[[str, Path], str]], Callable[[str, Path], str]]:
    def add(function: Callable[[str, Path], str]) -> Callable[[str, Path], str]:
        OTHERS[name] = function
        return function

    return add


def error(what: Callable[[], object]) -> str:
    """The error as Python shows it, without where it came from."""
    try:
        what()
    except ChatError as caught:
        return "".join(traceback.format_exception_only(caught)).rstrip("\n").replace("\n", "\n    ")
    return "(no error)"


@path("a message")
def _(text: str, folder: Path) -> str:
    return terminal.words(Row(1, "said", "eve", Message(1, "eve", text)))


@path("a notice")
def _(text: str, folder: Path) -> str:
    return terminal.words(Row(1, "notice", "system", text=text))


@path("a pasted link")
def _(text: str, folder: Path) -> str:
    return error(lambda: discovery.Target(f"nbchat://{text}").find())


@path("a pasted link's room")
def _(text: str, folder: Path) -> str:
    return error(lambda: discovery.Target(f"nbchat://127.0.0.1:1/{text}").find())


@path("a pasted link's end")
def _(text: str, folder: Path) -> str:
    return error(lambda: discovery.Target(f"nbchat://127.0.0.1:1/#{text}").find())


@path("something pasted for a chat's name")
def _(text: str, folder: Path) -> str:
    return error(lambda: discovery.Target(text.replace("://", "")).find())


@path("something pasted for one's name")
def _(text: str, folder: Path) -> str:
    return error(lambda: nbchat.connect("nbchat://127.0.0.1:1", name=text))


@path("the command, a wrong link")
def _(text: str, folder: Path) -> str:
    return printed(lambda: cli.main(["join", f"nbchat://{text}"]))


@path("the command, a wrong argument")
def _(text: str, folder: Path) -> str:
    said = printed(lambda: cli.main(["join", "class", "--name", "ada", f"--{text}"]))
    return said.replace("\n               ", " ").replace("\nnbchat", "\n    nbchat")


@path("several chats")
def _(text: str, folder: Path) -> str:
    servers = [discovery.Running(1, "127.0.0.1", port, "", ("", ""), text) for port in (1, 2)]
    for server in servers:
        discovery.here[server.port] = server
    try:
        return error(lambda: discovery.Target().find())
    finally:
        discovery.here.clear()


@path("no chat of that name, but others")
def _(text: str, folder: Path) -> str:
    discovery.here[1] = discovery.Running(1, "127.0.0.1", 1, "", ("", ""), text)
    try:
        return error(lambda: discovery.Target("class").find())
    finally:
        discovery.here.clear()


@path("a folder's name, in a warning, a card and the command")
def _(text: str, folder: Path) -> str:
    name = text.replace("/", "").replace("\0", "")[:40] or "x"
    file = folder / name / "nbchat" / "class.sqlite"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"noise" * 1000)
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings(record=True) as caught:
        patch.setenv("XDG_DATA_HOME", str(folder / name))
        warnings.simplefilter("always")
        server = nbchat.serve("class", port=0)
    with server:
        said = [str(each.message) for each in caught if "damaged" in str(each.message)]
        assert len(said) == 1
        busy = error(lambda: nbchat.serve(port=0, history=file))
        assert "AlreadyServing" in busy
        card = re.sub("<[a-z/][^>]*>", " ", server._repr_html_()).replace("&lt;", "<").replace("&gt;", ">")
        return "\n    ".join([said[0], *card.split("\n"), *busy.split("\n"), repr(server)])


@path("the log")
def _(text: str, folder: Path) -> str:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    log.addHandler(handler)
    try:
        try:
            raise RuntimeError(text)
        except RuntimeError:
            log.warning("somebody said %s", text, exc_info=True)
    finally:
        log.removeHandler(handler)
    first, _, rest = stream.getvalue().partition("\nTraceback")
    return first + "\n    Traceback" + rest.rstrip("\n").replace("\n", "\n    ")


@path("what was not confirmed")
def _(text: str, folder: Path) -> str:
    return error(lambda: _raise(errors.NotConfirmed(clients._unconfirmed([clients.Outgoing("1", text)]))))


def _raise(error: Exception) -> None:
    raise error


@path("any error at all")
def _(text: str, folder: Path) -> str:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ChatError)]
    made = [kind.__new__(kind, text) for kind in kinds]
    for each in made:
        each.args = (text,)
    assert len({str(each) for each in made}) == 1
    return str(made[0]).replace("\n", "\n    ")


@path("a first-generation server's words")
def _(text: str, folder: Path) -> str:
    data = f"{text}\neve: {text}\n{text} joined the chat!\n{text} left the chat\nend: end\n"
    with HostilePlainServer(data.encode()) as server:
        client = nbchat.connect(server.link, name="ada")
        client.wait_for(lambda message: message.by == "end")
        rows = [terminal.words(row) for row in client._state.transcript.rows]
        leave(client)
    return "\n    ".join("\n".join(rows).split("\n"))


@path("what a first-generation client gets")
def _(text: str, folder: Path) -> str:
    return plain.line(plain.Said(seq=1, at=0, id="1", by="eve", text=text)).replace("\n  ", "\n    ")


@path("a shell's %chat")
def _(text: str, folder: Path) -> str:
    shell = InteractiveShell(config=Config(HistoryManager={"enabled": False}))
    nbchat.load_ipython_extension(shell)
    with pytest.MonkeyPatch.context() as patch:
        said = [Message(1, "eve", text)]
        patch.setattr(magics.ChatMagics, "_member", lambda self: _Silent(said))
        return repr(shell.run_line_magic("chat", ""))


class _Silent:
    def __init__(self, messages: list[Message]) -> None:
        self.messages = messages

    def transcript(self) -> list[str]:
        return [str(message) for message in self.messages]


# ── and what it does there ───────────────────────────────────────────────────────────────────────


TAGGED = re.compile(
    "\U0001f3f4(?:\U000e0067\U000e0062(?:\U000e0065\U000e006e\U000e0067|\U000e0073\U000e0063\U000e0074"
    "|\U000e0077\U000e006c\U000e0073)\U000e007f)"
)
"""The flags of England, Scotland and Wales."""


def joined(said: str) -> str:
    """Without the joiners and tags that have their place: between emoji, between letters that join."""
    kept = list(TAGGED.sub("\U0001f3f4", said))
    for at, char in enumerate(kept):
        sides = kept[at - 1 : at] + kept[at + 1 : at + 2]
        if char == "\u200d" and kept[at - 1] == "\ufe0f":
            sides = kept[at - 2 : at - 1] + kept[at + 1 : at + 2]
        names = [unicodedata.name(side, "?").split()[0] for side in sides]
        is_emoji = len(sides) == 2 and all(unicodedata.category(side) in ("So", "Sk", "Sm") for side in sides)
        is_word = len(sides) == 2 and all(name in ("ARABIC", "DEVANAGARI") for name in names)
        if (char == "\u200d" and is_emoji) or (char in "\u200c\u200d" and is_word):
            kept[at] = " "
    return "".join(kept)


def check(said: str) -> None:
    """Nothing in it acts or hides, and no line but the first begins at the left edge."""
    assert sequences(said) == set()
    for char in joined(said):
        assert (
            char == "\n"
            or char == "\t"
            or unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Zl", "Zp", "Cn")
        )
        assert not re.match(
            "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\uffa0\ufe00-\ufe0d\U00016fe4]", char
        )
    assert not re.search("[\u0300-\u036f]{9}", said)
    assert all(line.startswith("    ") for line in said.split("\n")[1:]), said
    screen = Emulator(80, 24).print(folded(said, 80))
    assert screen.is_untouched
    assert (screen.answers, screen.bells, screen.strange) == ([], 0, [])
    assert len(screen.styles) <= 1
    assert [row for row in screen.rows[1:] if row and not row.startswith("   ")] == []


def shows(said: str, text: str, most: int | None = None) -> None:
    """The words of a text are there to be read, what acts or hides with them."""
    text = text[:most]
    words = WORD.findall(CONTROL.sub(" ", text))[:-1] if most else WORD.findall(text)
    assert [word for word in words if word not in said] == []
    if len(text) < 40:
        for control in CONTROL.findall(text):
            assert (
                chr(0x2400 + ord(control)) if ord(control) < 32 else "<U+" if control != "\x7f" else "␡"
            ) in said


@contextlib.contextmanager
def told(where: str) -> Iterator[None]:
    """A failure says on which way it came."""
    try:
        yield
    except BaseException as error:
        error.add_note(f"on this way: {where}")
        raise


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_a_server_says(attack: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = ATTACKS[attack]
    monkeypatch.setattr(prints, "is_kernel", lambda: True)  # what handlers print is shown by us, in a panel
    seen = met(text)
    assert set(seen) == set(FROM_A_SERVER)
    for where, said in seen.items():
        with told(where):
            check(said)
            if where != "too fast":
                shows(said, text, 40)


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_comes_on_other_ways(attack: str, tmp_path: Path) -> None:
    for where, way in OTHERS.items():
        with told(where):
            check(way(ATTACKS[attack], tmp_path))


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_message_loses_nothing(attack: str) -> None:
    text = ATTACKS[attack]
    said = terminal.words(Row(1, "said", "eve", Message(1, "eve", text)))
    shows(said, text)
    letters = re.sub(r"[^A-Za-z]", "", text)
    for width in WIDTHS:
        rows = Emulator(width, 24).print(folded(said, width)).rows
        assert [row for row in rows[1:] if row and not row.startswith("   ")] == []
    for width in (None, *WIDTHS):
        there = re.sub(r"<U\+\w+>|<\d+ more marks>|[^A-Za-z]", "", re.sub(r"\n    ", "", folded(said, width)))
        assert there == f"eve{letters}"


@pytest.mark.parametrize("attack", FOREIGN)
def test_an_unguarded_terminal_would_be_touched(attack: str) -> None:
    """That the emulator notices."""
    text = FOREIGN[attack]
    screen = Emulator().print(f"{text}end")
    is_touched = not screen.is_untouched or screen.answers or screen.bells or screen.strange
    assert is_touched or screen.display[0].rstrip() != f"{text}end"


# ── as HTML ──────────────────────────────────────────────────────────────────────────────────────


class Outline(HTMLParser):
    """The tags of some HTML with their attributes, and its text by the tag it stands in."""

    def __init__(self, made: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: set[tuple[str, str]] = set()
        self.open: list[str] = []
        self.text: dict[str, str] = {}
        self.feed(made)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags |= {(tag, name) for name, _ in attributes} | {(tag, "")}
        if tag not in ("br", "hr"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        for tag in set(self.open):
            self.text[tag] = self.text.get(tag, "") + data


@pytest.mark.parametrize("text", [*ATTACKS.values(), *PAYLOADS, *NAMES])
def test_saved_copies_and_cards(text: str) -> None:
    """A name is text there, a message cannot leave its place beside the name, and nothing is hidden."""
    room = Outline(saved.placeholder(text))
    assert room.tags == {("i", "")}
    copy = Outline(saved.copy([Message(1, text, f"{text}\n**boss**: my key"), Message(2, "ada", "hi")]))
    assert {tag for tag, _ in copy.tags} <= html.ALLOWED_TAGS | {"div", "dl", "dt", "dd", "b", "style"}
    assert copy.text["dt"].endswith(f"{visible_on_a_page(text)}Aada")
    assert copy.text["style"] == Outline(saved.moved()).text["style"], "nothing of a stranger's is in there"
    assert copy.text["b"] == f"{visible_on_a_page(text)}ada"
    assert copy.text["dd"].count("boss") >= 1
    for shown in ("".join(room.text.values()), "".join(copy.text.values())):
        assert not re.search(
            "[\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\U000e0000-\U000e0fff]", shown
        )


@pytest.mark.parametrize(
    "emoji", ["👨\u200d👩\u200d👧", "🧑🏽\u200d🚀", "🇩🇪", ENGLAND, "❤\ufe0f", "1\ufe0f\u20e3"]
)
def test_a_line_is_not_parted_within_an_emoji(emoji: str) -> None:
    for width in range(30, 60):
        said = folded("x" * 7 + emoji * 40, width)
        assert re.sub(r"\n    ", "", said) == "x" * 7 + emoji * 40
        assert all(part.removeprefix("x" * 7) == emoji * part.count(emoji) for part in said.split("\n    "))
    endless = folded("👩\u200d" * 400 + "👩", 40)
    assert all(len(line) < 40 for line in endless.split("\n"))


WHOLE = (
    "👨\u200d👩\u200d👧", "👩\u200d⚕\ufe0f", "🧑🏽\u200d🚀", "🏳\ufe0f\u200d🌈", "🏴\u200d☠\ufe0f", "🇩🇪", ENGLAND, "می\u200cخواهم", "❤\ufe0f",
    "1\ufe0f\u20e3", "क्\u200dष", "क्\u200cष", "ശ്രീ", "ന്\u200d", "র\u200d্য", "é\u0301",
)  # fmt: skip
BROKEN = (
    "pay\u200dpal", "a\u200c", "\u200d", "👨\u200c\u200d\u200c👩", "x\ufe0f", "1\ufe0f\ufe0f", "は\u200dな", "x\ufe0f\u200d👩", "👩\u200d\u200d👩",
    "👩\u200dx", "ی\u200c\u200c\u200cخ", "ی\u200dx", "a\u200cя", ENGLAND[:-1], ENGLAND[1:], ENGLAND.replace("\U000e0065", "\U000e0078"), "🏴\U000e0061\U000e007f",
    "👩" + ENGLAND[1:], ENGLAND + "\U000e0067",
)  # fmt: skip


@pytest.mark.parametrize("text", WHOLE)
def test_joiners_stay_where_they_join(text: str) -> None:
    assert visible(text) == visible_on_a_page(text) == text
    assert terminal.words(Row(1, "said", "eve", Message(1, "eve", text))) == f"eve: {text}"
    assert html.html(text) == text


@pytest.mark.parametrize("text", BROKEN)
def test_elsewhere_they_are_shown(text: str) -> None:
    for shown in (visible(text), visible_on_a_page(text), html.html(text).replace("&lt;", "<")):
        assert "<U+" in shown


def test_what_says_only_where_to_part_a_word_goes() -> None:
    assert (
        visible("Donau\u00addampf\u00adschiff")
        == html.html("Donau\u00addampf&shy;schiff")
        == "Donaudampfschiff"
    )
    assert visible("داده\u200c, PDF\u200cها") == "داده, PDFها"


def test_in_names_all_of_it_is_shown() -> None:
    for name in ("ad\u00ada", "علی\u200cرضا", "👨\u200d👩", "क्\u200dष", ENGLAND):
        assert "<U+" in one_line(name)


ENTITIES = {
    "safe&#x202E;gpj.exe": "safe<U+202E>gpj.exe", "a&ZeroWidthSpace;b": "a<U+200B>b", "a" + "&#x300;" * 2000: "a" + "\u0300" * 8 + "<1992 more marks>",
    "**a&#8238;b**": "a<U+202E>b", "$\\text{&#x202E;}$": "$\\text{&#x202E;}$", "&NoBreak;x": "<U+2060>x", "x&InvisibleTimes;y": "x<U+2062>y",
    "[a&#x202E;](https://x.org)": "a<U+202E> (x.org)", "https://x.org/%E2%80%AE": "https://x.org/%E2%80%AE", "&zwj;x&zwnj;y": "<U+200D>x<U+200C>y",
    "| a&#x2066; |\n|---|\n| &#xE0041; |": "a<U+2066><U+E0041>", "![a&#x202E;](https://x.org)": "a&#x202E; (x.org)",
}  # fmt: skip


@pytest.mark.parametrize("text", ENTITIES)
def test_nothing_is_hidden_by_what_is_decoded_late(text: str) -> None:
    copied = re.search(r"<dd[^>]*>(.*)</dd>", saved.copy([Message(1, "eve", text)]), re.DOTALL)
    assert copied is not None
    for made in (html.html(text), copied[1]):
        assert "".join(Outline(f"<p>{made}</p>").text["p"]) == ENTITIES[text]
