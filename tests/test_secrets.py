"""No secret in anything that is shown, written down or sent away; but in what invite() shows, being asked.

Real servers, clients and panels are made, in a thread and in a child, in a network and within the machine;
then all that they show is searched for every secret: those of the keys, the sessions' words, and the
certificate's private key.
"""

from __future__ import annotations

import copy
import io
import logging
import pickle
import re
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import nbformat
import psutil
import pytest
from IPython.core.formatters import DisplayFormatter
from nbclient import NotebookClient
from rich.console import Console
from rich.pretty import pretty_repr
from rich.traceback import Traceback

import nbchat
from nbchat.core import frames
from nbchat.core.hub import Announce, Append, Member, Room
from nbchat.core.keys import Key
from nbchat.net import discovery, tls
from nbchat.net.link import Address, parse
from nbchat.server import interfaces
from nbchat.store.promise import Event
from tests.net.helpers import Raw

NETWORK = "127.0.0.2"

pytestmark = [
    pytest.mark.own_ports,
    pytest.mark.skipif(sys.platform == "darwin", reason="127.0.0.2 is not there by itself"),
]


@pytest.fixture(autouse=True)
def network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interfaces, "lan_address", lambda: NETWORK)


class Scene:
    """A server with its clients, and all their secrets."""

    def __init__(self, process: bool) -> None:
        self.server = nbchat.serve("class", lan=True, process=process)
        self.link = self.server.invite(name="ada")
        self.ada = nbchat.connect(self.link)
        self.tom = nbchat.connect(self.server, name="tom")
        self.ada.send("hello").wait()
        pem = tls.place().read_text()
        self.secrets = {
            "the host's key": self.server._running.key[1],
            "the link's key": parse(self.link).secret,
            "ada's session": str(self.ada._receiver._session),
            "tom's session": str(self.tom._receiver._session),
            "the private key": pem.splitlines()[1],
        }
        assert all(len(secret) >= 32 for secret in self.secrets.values())

    def found_in(self, *shown: str) -> set[str]:
        text = "".join(shown)
        return {what for what, secret in self.secrets.items() if secret in text}


@pytest.fixture(params=[False, True], ids=["thread", "process"])
def scene(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> Iterator[Scene]:
    caplog.set_level(logging.DEBUG)
    made = Scene(request.param)
    yield made
    made.ada.close()
    made.tom.close()
    made.server.stop()


def things(scene: Scene) -> list[object]:
    """What a person can have in hand, and what holds it together."""
    server, ada = scene.server, scene.ada
    return [
        server, ada, scene.tom, ada.members, server.members, ada.messages, ada.pending, ada.errors,
        vars(server), vars(ada), ada._state.transcript, server._runner, vars(server._runner).get("_order"),
        server._running, discovery.here, discovery.running(), parse(scene.link), server._runner.keys(),
        server.invite(qr=True), server._options,
        *(kept for _, kept in discovery._files("nbchat-session-*.json", discovery.Kept)),
    ]  # fmt: skip


def test_objects_do_not_tell(scene: Scene) -> None:
    formatter = DisplayFormatter()
    shown = []
    for thing in things(scene):
        data, metadata = formatter.format(thing)
        if type(thing).__name__ == "Invitation":  # asked for
            continue
        shown += [repr(thing), str(thing), pretty_repr(thing), str(data), str(metadata)]
    assert scene.found_in(*shown) == set()
    assert scene.found_in(scene.server.url, scene.server._repr_html_()) == set()


def test_frames_and_effects_do_not_tell() -> None:
    word, proof = "5e551011" * 4, "9f" * 32
    join = frames.Join(name="ada", proof=proof, session=word)
    limits = frames.RoomLimits(text=1, line=1, page=1, ping=1)
    welcome = frames.Welcomed(
        session=word, name="ada", role="member", room="lobby", log_id="x", head=0, members=[], limits=limits
    )
    left = frames.Left(name="ada")
    effects = [
        Append(1, "lobby", word, "a", b""), Announce("lobby", left, word), Event(1, 1, word, "a", b""),
        Member(word, "ada", "member", Room("lobby", "lobby"), False, None),
    ]  # fmt: skip
    shown = repr([join, welcome, *effects])
    assert word not in shown
    assert proof not in shown
    assert "name='ada'" in shown
    assert word not in str(list(join.__rich_repr__()))


@pytest.mark.parametrize("kind", [discovery.Running, discovery.Kept, Announce, Append, Event, Key, Address])
def test_what_hides_its_secrets_from_repr_hides_them_from_rich_too(kind: Any) -> None:
    assert kind.__repr__ is not msgspec.Struct.__repr__
    assert kind.__rich_repr__ is not msgspec.Struct.__rich_repr__


def test_logs_do_not_tell(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    wrong = scene.link[:-1] + ("A" if scene.link[-1] != "A" else "B")
    for _ in range(6):
        with pytest.raises(nbchat.errors.NotTheServer):
            nbchat.connect(wrong)
    raw = Raw(scene.server.invite(), "eve", session="no session", proof="0")
    raw.close()
    scene.server.revoke_invites()
    assert scene.found_in(caplog.text) == set()


def test_the_list_of_processes_does_not_tell(scene: Scene) -> None:
    lines = [" ".join(each.cmdline()) for each in psutil.Process().children(recursive=True)]
    lines.append(" ".join(psutil.Process().cmdline()))
    assert scene.found_in(*lines) == set()


def test_nothing_that_holds_a_secret_can_be_pickled(scene: Scene) -> None:
    for thing in (scene.server, scene.ada, scene.ada._receiver, scene.server._runner):
        for make in (pickle.dumps, copy.deepcopy):
            with pytest.raises((TypeError, AttributeError), match=r"pickle|local object"):
                make(thing)


def test_other_users_can_read_no_file(scene: Scene, data_folder: Path) -> None:
    folders = [data_folder, discovery._folder()]
    holding = []
    for path in (path for folder in folders for path in folder.rglob("*") if path.is_file()):
        text = path.read_bytes().decode("latin-1")
        if scene.found_in(text):
            holding.append(path)
            assert path.stat().st_mode & 0o077 == 0, path
    assert {path.suffix for path in holding} >= {".json", ".pem"}


# ── errors, with the variables around them ──────────────────────────────────────────────────────


def failures(scene: Scene) -> list[Exception]:
    """One of each error that a link can lead to, caught as in a notebook."""
    link, port = scene.link, parse(scene.link).port
    other = next(n for n in range(9999) if str(n) not in link)
    wrong = [
        (link, "boss"),
        (link, "system"),
        (link.replace("sha256:", f"sha256:{other}"), None),
        (link.replace("?pin=sha256:" + parse(link).pin.removeprefix("sha256:"), ""), None),
        (link.replace("#k=", "#q="), None),
        (link.replace("nbchat:", "http:"), None),
        (link.replace(f":{port}", ":port"), None),
        (link.replace(f":{port}", ":9"), None),
        (link.replace(NETWORK, "127.0.0.1"), None),
        (link.replace("#k=", "/%00#k="), None),
        (re.sub("sha256:(....)", lambda m: "sha256:" + m[1][::-1] + "", link), None),
    ]
    caught = []
    for call in (nbchat.connect, nbchat.join):
        for each, name in wrong:
            try:
                call(each, name)
            except nbchat.ChatError as error:
                caught.append(error)
    assert len({type(error) for error in caught}) >= 4
    return caught


def frames_of(error: BaseException | None) -> Iterator[dict[str, object]]:
    """The variables of every frame of ours that an error's traceback, or that of its causes, leads to."""
    while error is not None:
        for frame, _ in traceback.walk_tb(error.__traceback__):
            if "nbchat" in str(frame.f_globals.get("__name__", "")).split(".")[:1]:
                yield frame.f_locals
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def test_errors_do_not_tell_even_with_the_variables_around_them(scene: Scene) -> None:
    for error in failures(scene):
        told = [str(error), repr(error), repr(vars(error)), "".join(traceback.format_exception(error))]
        told += [repr(variables) for variables in frames_of(error)]
        ours = error.__traceback__.tb_next  # type: ignore[union-attr]  # the first is this test's own
        console = Console(file=io.StringIO(), width=200)
        console.print(Traceback.from_exception(type(error), error, ours, show_locals=True))
        told.append(console.file.getvalue())  # type: ignore[attr-defined]
        told += traceback.TracebackException(type(error), error, ours, capture_locals=True).format()
        assert scene.found_in(*told) == set(), error


# ── a notebook ──────────────────────────────────────────────────────────────────────────────────

CELLS = [
    "from nbchat.server import interfaces\ninterfaces.lan_address = lambda: '127.0.0.2'",
    "%xmode Verbose",
    "import nbchat\nserver = nbchat.serve('class', port=0, lan=True)\nserver",
    "with open('link', 'w') as file:\n    file.write(server.invite(name='ada'))",
    "with open('host', 'w') as file:\n    file.write(server._running.key[1])",
    "panel = nbchat.join(open('link').read())\npanel",
    "with open('session', 'w') as file:\n    file.write(panel.client._receiver._session)",
    "panel.client.send('hello').wait()\nprint(panel.client, server)",
    "nbchat.join(open('link').read(), 'boss')",
    "nbchat.join(open('link').read().replace('#k=', '#q='))",
    "nbchat.join(open('link').read().replace('sha256:', 'sha256:0'))",
    "invitation = server.invite(qr=True)\nrepr(invitation), invitation.link[:0]",
    "del invitation\n%whos",
    "client = panel.client\nclient.members, server.members, client.messages",
    "server.revoke_invites()\nvars(server), vars(client)",
    "%tb",
]


def test_a_saved_notebook_does_not_tell(tmp_path: Path) -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    NotebookClient(
        notebook, timeout=60, allow_errors=True, resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    saved = nbformat.writes(notebook)
    failed = [
        output["ename"] for cell in notebook.cells for output in cell.outputs if output.output_type == "error"
    ]
    assert failed[:3] == ["Refused", "BadLink", "BadLink"]
    assert "ada: hello" in saved or "hello" in saved
    link = (tmp_path / "link").read_text()
    secrets = {
        parse(link).secret,
        (tmp_path / "host").read_text(),
        (tmp_path / "session").read_text(),
        tls.place().read_text().splitlines()[1],
    }
    assert all(len(secret) >= 32 for secret in secrets)
    assert [secret for secret in secrets if secret in saved] == []


def test_the_command_reads_a_link_that_nobody_else_sees(server: nbchat.Server, tmp_path: Path) -> None:
    link = server.invite(name="ada")
    command = [sys.executable, "-m", "nbchat", "join", "-"]
    done = subprocess.run(command, input=f"{link}\nhello\n", capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stderr) == (0, "")
    with nbchat.connect(server, name="tom") as tom:
        assert tom.transcript() == ["ada: hello"]
    assert parse(link).secret not in done.stdout
