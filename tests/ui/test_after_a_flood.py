"""Commands that take a flood away, times with units, and whether a notebook is an app."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

import nbchat
from nbchat.core.errors import UsageError
from nbchat.core.frames import Moderated
from nbchat.core.transcript import Transcript
from nbchat.ui import app, commands, spans
from tests.net.helpers import saw
from tests.ui.test_commands import asked


@pytest.fixture
def ada(server: nbchat.Server) -> Iterator[nbchat.Client]:
    with (
        nbchat.connect(server, name="ada") as ada,
        nbchat.connect(server.invite(), name="bob 2"),
        nbchat.connect(server.invite(), name="bob 5m"),
    ):
        saw(ada, "ada", "bob 2", "bob 5m")
        yield ada


@pytest.mark.parametrize(
    ("line", "do", "name", "seconds", "back"),
    [
        ("/delete bob 10m", "delete", "bob", None, 600),
        ("/delete @bob 2 h", "delete", "bob", None, 7200),
        ("/ban bob 1h delete", "ban", "bob", 3600, 3600),
        ("/ban bob 1h delete 10m", "ban", "bob", 3600, 600),
        ("/ban bob delete", "ban", "bob", None, 3600),
        ("/ban bob 2 delete 5 min", "ban", "bob 2", None, 300),
        ("/ban bob 2 delete", "ban", "bob 2", None, 3600),
        ("/ban bob 2", "ban", "bob 2", None, None),
        ("/ban bob 5m", "ban", "bob 5m", None, None),
        ("/mute mary ann 90s", "mute", "mary ann", 90, None),
        ("/mute bob", "mute", "bob", 600, None),
    ],
)
def test_what_is_asked_for(
    ada: nbchat.Client,
    monkeypatch: pytest.MonkeyPatch,
    line: str,
    do: str,
    name: str,
    seconds: float | None,
    back: float | None,
) -> None:
    order = asked(ada, line, monkeypatch)
    assert (order.do, order.name, order.seconds, order.back) == (do, name, seconds, back)  # type: ignore[union-attr]


def test_a_bare_number_takes_nothing_of_a_flood_away(ada: nbchat.Client) -> None:
    with pytest.raises(UsageError, match="No message of 'bob 2'"):
        commands.obey(ada, "/delete bob 2")
    with pytest.raises(UsageError, match="a day at the most"):
        commands.obey(ada, "/delete bob 25h")
    assert "/delete bob 10m" in commands.COMMANDS["delete"].help
    assert "/ban bob 1h delete" in commands.COMMANDS["ban"].help


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("bob 10", ("bob", 600)), ("bob 10m", ("bob", 600)), ("bob 1.5 h", ("bob", 5400)),
        ("bob 90 Minutes", ("bob", 5400)), ("bob 1d", ("bob", 86400)), ("bob", None), ("bob x", None),
        ("10m", None), ("bob 10x", None),
    ],
)  # fmt: skip
def test_times(text: str, found: tuple[str, float] | None) -> None:
    assert spans.split(text) == found


def test_a_transcript_takes_runs_away() -> None:
    from nbchat.core.frames import Said

    transcript = Transcript()
    for seq in range(1, 8):
        transcript.apply(Said(seq, 0, str(seq), "bob", f"text {seq}"))
    transcript.apply(Moderated(8, 0, "m", "ada", "ban", "bob", gone=(2, 3, 6, 6, 9)))
    assert [message.seq for message in transcript.messages if message.text] == [1, 4, 5, 7]
    assert transcript.rows[-1].gone == (2, 3, 6, 6)


def test_voila_and_marimo_run_are_apps(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not app.is_app()
    with monkeypatch.context() as patch:
        patch.setenv("VOILA_BASE_URL", "/")
        assert app.is_app()
        assert app.visitor() is None
    for mode, is_app in (("run", True), ("edit", False), (None, False)):
        meta = SimpleNamespace(mode=mode)
        monkeypatch.setitem(sys.modules, "marimo", SimpleNamespace(app_meta=lambda meta=meta: meta))
        assert app.is_app() is is_app
        assert (app.visitor() is threading.current_thread()) is is_app
    monkeypatch.setitem(sys.modules, "marimo", SimpleNamespace())
    assert not app.is_app()


def test_a_visitor_is_a_member_and_its_panel_its_own(
    server: nbchat.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    meta = SimpleNamespace(mode="run")
    monkeypatch.setitem(sys.modules, "marimo", SimpleNamespace(app_meta=lambda: meta))
    found: list[nbchat.ChatPanel] = []
    for _ in range(2):
        thread = threading.Thread(target=lambda: found.append(nbchat.join(server, name="guest")))
        thread.start()
        thread.join()
    assert [panel.client.role for panel in found] == ["member", "member"]
    host = nbchat.join(server, name="ada", host=True)
    assert host.client.role == "host"
    assert found[0].client.status == "closed", "its visitor had gone when the next one came"
    for panel in (*found, host):
        panel.close()
    with pytest.raises(UsageError):
        nbchat.join(server, host="yes")  # type: ignore[arg-type]
