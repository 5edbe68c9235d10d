"""Every parameter of everything public is given odd values: each is taken or refused, and all goes on.

The methods and parameters are found by looking, so a new one is tried, too. One that has no default needs a
value in ``NEEDED``.
"""

from __future__ import annotations

import inspect
import numbers
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

import nbchat
from nbchat.client.state import Outgoing
from nbchat.core import arguments
from nbchat.core.errors import ChatError, UsageError
from nbchat.core.transcript import Member
from nbchat.server import interfaces
from tests.net.helpers import until


class Whole:
    """As numpy.int64: no int, but a whole number."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __index__(self) -> int:
        return self.value

    def __float__(self) -> float:
        return float(self.value)


class Single:
    """As numpy.float32: no float, but a number."""

    def __init__(self, value: float) -> None:
        self.value = value

    def __float__(self) -> float:
        return self.value


numbers.Integral.register(Whole)
numbers.Real.register(Single)


class Double(float):
    """As numpy.float64."""


class Text(str):
    """As numpy.str_, and with a word of its own."""

    def __str__(self) -> str:
        return "something else"


class Words(StrEnum):
    ADA = "ada"


Flag = type("bool_", (), {"__module__": "numpy", "__bool__": lambda self: True})


class Hostile:
    """Fails whatever it is asked."""

    def _fail(self, *_: object) -> Any:
        raise RuntimeError("no")

    __index__ = __float__ = __int__ = __bool__ = __repr__ = __str__ = __fspath__ = __len__ = __iter__ = _fail


ODD: list[object] = [
    None, True, 0, 3, -1, 10**30, 2.5, 3.0, float("nan"), float("inf"), -0.5, 1e300, 2j,
    Decimal("2.5"), Decimal("NaN"), Decimal("sNaN"), Fraction(7, 2), Whole(3), Whole(-1), Single(2.5),
    Double(3.0), Flag(), timedelta(seconds=90), timedelta(), -timedelta(1), timedelta.max,
    "text", "", " ", "a" * 5000, "a\0b", "\udc80", "../x", "\u202eabc", Text("text"), Words.ADA,
    Member("nobody"), b"bytes", Path("text"), object(), Hostile(), [], {}, (), ["text"], {"text": 1},
    lambda *_: None,
]  # fmt: skip

NEEDED: dict[str, Any] = {
    "name": "nobody",
    "text": "hello",
    "away": False,
    "seconds": 0,
    "message": 1,
    "wanted": lambda message: True,
}
"""A value for each parameter that has no default."""
USED: dict[str, dict[str, Any]] = {
    "serve": {"port": 0, "history": None},
    "connect": {"url": "server"},
    "join": {"url": "server"},
    "Client": {"url": "server"},
    "ChatPanel": {"client": "another"},
    "Client.wait_for": {"timeout": 0},
}
"""What a call is given beside the odd value. "server" is that of the test, "another" one more client."""


def entrances() -> dict[str, Callable[..., Any]]:
    """All that is public and takes arguments: functions, constructors, methods, properties to be set."""
    found: dict[str, Callable[..., Any]] = {}
    for name in nbchat.__all__:
        value = getattr(nbchat, name)
        if inspect.isfunction(value):
            found[name] = value
        elif inspect.isclass(value) and not issubclass(value, Exception):
            found |= methods(name, value)
    return found | methods("Outgoing", Outgoing)


def methods(name: str, kind: type) -> dict[str, Callable[..., Any]]:
    found: dict[str, Callable[..., Any]] = {}
    if name in ("Client", "ChatPanel", "Limits"):  # a server and a message on its way are made by us
        found[name] = kind
    for owner in kind.__mro__:
        if owner.__module__.startswith("nbchat."):
            for attribute, value in vars(owner).items():
                if attribute.startswith("_") or (kind, attribute) == (Outgoing, "settle"):  # not people's
                    continue
                if inspect.isfunction(value):
                    found[f"{name}.{attribute}"] = value
                elif isinstance(value, property) and value.fset is not None:
                    found[f"{name}.{attribute}"] = value.fset
    return found


ENTRANCES = entrances()


def parameters(call: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    kinds = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    found = inspect.signature(call).parameters
    return {name: each for name, each in found.items() if each.kind not in kinds and name != "self"}


def test_there_is_something_to_walk_over() -> None:
    assert {
        "serve", "connect", "join", "Client.send", "Client.history", "Client.mute", "Server.invite",
        "Server.mute", "Client.away", "Limits", "Outgoing.wait", "ChatPanel.keep_copy", "Client.wait_for",
    } <= ENTRANCES.keys()  # fmt: skip
    assert {"limit", "before", "timeout"} == set(parameters(ENTRANCES["Client.history"]))


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No name is looked up, no network is served, and a relative path is in a folder of the test's."""

    def nothing(*_: object) -> Any:
        raise OSError("there is no network here")

    def none() -> Any:
        raise UsageError("this machine has no address in a network")

    monkeypatch.setattr(socket, "gethostbyname", nothing)
    monkeypatch.setattr(interfaces, "lan_address", none)
    monkeypatch.setattr(interfaces, "addresses", list)
    monkeypatch.chdir(tmp_path)


class Scene:
    def __init__(self, server: nbchat.Server, client: nbchat.Client) -> None:
        self.server = server
        self.client = client
        self.panel: nbchat.ChatPanel | None = None

    def target(self, entrance: str) -> list[object]:
        """What a method is called on."""
        owner, dot, _ = entrance.partition(".")
        if not dot:
            return []
        if owner == "ChatPanel" and self.panel is None:
            self.panel = nbchat.ChatPanel(self.client)
        if owner == "Outgoing":
            return [self.client.send("hello").wait()]
        return [{"Server": self.server, "Client": self.client, "ChatPanel": self.panel}[owner]]

    def call(self, entrance: str, **odd: object) -> Any:
        call = ENTRANCES[entrance]
        needed = {
            name: NEEDED[name]
            for name, each in parameters(call).items()
            if each.default is inspect.Parameter.empty and name not in {**USED.get(entrance, {}), **odd}
        }
        ours = {"server": lambda: self.server, "another": lambda: nbchat.connect(self.server)}
        used = {
            name: ours[value]() if isinstance(value, str) else value
            for name, value in USED.get(entrance, {}).items()
            if name not in odd
        }
        made = call(*self.target(entrance), **{**needed, **used, **odd})
        if isinstance(made, nbchat.Client | nbchat.ChatPanel) and made is not self.client:
            made.close()
        elif isinstance(made, nbchat.Server):
            made.stop()
        elif inspect.isgenerator(made):
            made.close()
        return made

    def goes_on(self) -> None:
        """All works as before, and nothing is left open."""
        client = self.client
        assert client.status == "connected"
        assert client.send("still here").wait().seq
        assert client.history(1)[0].text == "still here"
        until(client, lambda: not client._receiver._questions._pages)
        assert not client._receiver._questions._orders
        assert client.rules().slow >= 0
        assert "#k=" in self.server.invite()
        assert client.pending == []
        assert self.server._runner.keys()


@pytest.fixture
def scene(quiet: None) -> Iterator[Scene]:
    with nbchat.serve(port=0, history=None) as server, nbchat.connect(server, name="eve") as client:
        client.send("first").wait()
        yield Scene(server, client)


def walk(scene: Scene, entrance: str) -> None:
    for parameter in parameters(ENTRANCES[entrance]):
        for value in ODD:
            if entrance == "Client.wait_for":  # something to be found, so that it does not wait
                scene.client.send("hello").wait()
            try:
                scene.call(entrance, **{parameter: value})
            except ChatError:
                pass
            except Exception as error:
                said = f"{entrance}({parameter}={arguments.shown(value)}): {type(error).__name__}: {error}"
                raise AssertionError(said) from error
            if entrance in ("Client.kick", "Client.ban"):
                assert scene.client.status == "connected"
        scene.goes_on()


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("entrance", ENTRANCES)
def test_an_odd_value_is_taken_or_refused_and_leaves_nothing_behind(scene: Scene, entrance: str) -> None:
    walk(scene, entrance)


def test_neither_does_it_in_the_pipe_of_a_child(quiet: None) -> None:
    with (
        nbchat.serve(port=0, history=None, process=True) as server,
        nbchat.connect(server, name="eve") as client,
    ):
        scene = Scene(server, client)
        client.send("first").wait()
        for entrance in ("Server.invite", "Server.mute", "Server.redact", "Server.slow", "Server.rules"):
            walk(scene, entrance)
        assert not server._runner._waiting  # type: ignore[union-attr]


# ── what means a text, a number, a time is taken for one ──


def test_members_and_derived_texts_are_names(scene: Scene) -> None:
    server, client = scene.server, scene.client
    with nbchat.connect(server, name=Text("bob")) as bob:  # a host as well, so it is named by the server
        assert bob.name == "bob"
        until(client, lambda: len(client._state.transcript.members) == 2)
        with nbchat.connect(server.invite(name=Member("cy"), room=Text("lobby")), name="cy") as cy:
            until(client, lambda: len(client._state.transcript.members) == 3)
            client.mute(client.members[2], timedelta(minutes=5))
            assert list(client.rules().mutes) == ["cy"]
            server.unmute(Text("cy"))
            assert cy.name == "cy"
    with nbchat.connect(server, Words.ADA, Text("garden")) as other:
        assert (other.name, other.room) == ("ada", "garden")
    assert client.send(Text("hi")).wait().text == "hi"
    assert type(client.pending) is list


def test_numbers_of_any_kind_are_numbers(scene: Scene) -> None:
    client, server = scene.client, scene.server
    for number in range(9):
        client.send(str(number)).wait()
    for three in (3, 3.0, Whole(3), Double(3.0), Single(3.0), Decimal(3), Fraction(3)):
        assert [message.text for message in client.history(three)] == ["6", "7", "8"]
        assert [message.seq for message in client.history(before=three)] == [1, 2]
        server.slow(three)
        assert client.rules().slow == 3
    for age in (timedelta(seconds=90), Decimal(90), Whole(90)):
        client.slow(age)
        assert server.rules().slow == 90
    client.redact(Whole(3))
    client.redact(client.send("oops").wait())
    client.redact(client.history(1)[0])
    assert server.invite(hours=timedelta(days=1)).count("#k=") == 1
    assert server.invite(hours=Double(0.5), once=Flag()).count("#k=") == 1
    assert client.wait_for(lambda message: message.text == "7", timeout=timedelta(seconds=9)).text == "7"
    with nbchat.serve(port=Whole(0), history=None, keep=Double(5.0), plain=Flag()) as other:
        assert other._options.keep == 5
        assert type(other._options.keep) is int
    assert nbchat.Limits(text=Whole(1000), ping=timedelta(seconds=9)) == nbchat.Limits(text=1000, ping=9.0)


def test_numbers_of_numpy_and_ages_of_pandas(scene: Scene) -> None:
    np = pytest.importorskip("numpy")
    pd = pytest.importorskip("pandas")
    client, server = scene.client, scene.server
    for three in (np.int64(3), np.uint8(3), np.float32(3), np.float64(3), np.array(3)):
        assert len(client.history(limit=three, before=np.int64(2))) == 1
        client.slow(three)
    for minutes in (np.timedelta64(90, "s"), pd.Timedelta(seconds=90)):
        client.slow(minutes)
        assert client.rules().slow == 90
    assert server.invite(name=np.str_("cy"), hours=pd.Timedelta("1D"), once=np.bool_(True))
    with nbchat.connect(server, np.str_("bob"), np.str_("lobby")) as bob:
        assert bob.send(np.str_("hi")).wait().text == "hi"
    with nbchat.serve(port=0, history=None, keep=pd.Timedelta(days=1), process=np.bool_(False)) as other:
        assert type(other._options.keep) is timedelta
    for wrong in (np.timedelta64("NaT"), pd.NaT, pd.NA, np.nan, np.array([1, 2]), np.complex64(1)):
        for call in (client.history, client.slow, lambda value: server.invite(hours=value)):
            with pytest.raises(UsageError):
                call(wrong)
    scene.goes_on()


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda client: client.mute(5), "mute(name=…) needs a str, not int. Put it into quotes"),
        (lambda client: client.send(5), "send(text=…) needs a str, not int. Put it into quotes"),
        (lambda client: client.history(0), "history(limit=0) needs at least 1."),
        (lambda client: client.history(True), "history(limit=…) needs a whole number, not bool."),
        (lambda client: client.history(2.5), "history(limit=2.5) needs a whole number."),
        (lambda client: client.history(before="x"), "history(before=…) needs a whole number, not str."),
        (lambda client: client.mute("bob", "10"), "mute(minutes=…) needs a number of minutes, not str."),
        (lambda client: client.announce_only("no"), "announce_only(on=…) needs True or False, not str."),
        (lambda client: client.wait_for("hi"), "wait_for(wanted=…) needs a function, not str."),
        (lambda client: client.listen("1"), "listen(timeout=…) needs a number of seconds, or None, not str."),
        (
            lambda client: client.ban("bob", 10**9),
            "ban(minutes=1000000000) needs a number of minutes above 0",
        ),
        (lambda client: nbchat.connect(client), "A Client is no link"),
        (lambda client: nbchat.connect(14900), "An int is no link"),
        (lambda client: client.slow(-1), "at least 0 and below 31_622_400. Say"),
    ],
)
def test_what_is_refused_is_refused_by_its_name(
    scene: Scene, call: Callable[[nbchat.Client], object], says: str
) -> None:
    with pytest.raises(UsageError, match=re.escape(says)):
        call(scene.client)


def test_the_newest_messages_are_asked_for_by_their_number(scene: Scene) -> None:
    for text in ("a", "b", "c", "d"):
        scene.client.send(text).wait()
    assert [message.text for message in scene.client.history(3)] == ["b", "c", "d"]
    with pytest.raises(TypeError, match="positional"):
        scene.client.history(4, 3)  # type: ignore[misc]


def test_a_message_not_yet_there_cannot_be_taken_away(scene: Scene) -> None:
    with pytest.raises(UsageError, match=r"message\.wait\(\)"):
        scene.client.redact(Outgoing("1", "not sent"))


def test_an_invitation_with_a_picture_can_be_joined(scene: Scene) -> None:
    with nbchat.connect(scene.server.invite(name="bob", qr=True), name="bob") as bob:
        assert bob.role == "member"


def test_an_invitation_that_could_not_be_kept_opens_nothing(scene: Scene, monkeypatch: Any) -> None:
    runner, ids = scene.server._runner, lambda: {key.id for key in scene.server._runner.keys()}  # noqa: SIM118
    before = ids()

    async def full(*_: object) -> None:
        raise nbchat.errors.StoreFull("no room is left")

    assert runner.store is not None
    monkeypatch.setattr(runner.store, "keep_keys", full)
    with suppress(nbchat.errors.StoreFull):
        scene.server.invite()
    assert ids() == before
