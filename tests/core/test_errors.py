"""Errors: each can be pickled and copied with all that it knows, and shows its caller's line."""

from __future__ import annotations

import copy
import inspect
import pickle
import subprocess
import sys
import traceback
from pathlib import Path

import pytest

import nbchat
from nbchat.client.state import Outgoing
from nbchat.core import errors
from nbchat.core.border import border
from nbchat.core.errors import ChatError, UsageError
from nbchat.server.runner.calls import Failure

KINDS = [each for each in vars(errors).values() if inspect.isclass(each) and issubclass(each, ChatError)]


def made(kind: type[ChatError]) -> ChatError:
    """An error of a kind, every one of its parameters given."""
    values = {
        "text": "It went wrong.", "code": "a_code", "names": ["a", "b"], "pid": 7, "fatal": True, "id": "x1",
        "suggestion": "ada2", "expected": "sha256:00", "shown": "sha256:11",
        "messages": [Outgoing("1", "hi")],
    }  # fmt: skip
    if not inspect.isfunction(kind.__init__):
        return kind("It went wrong.")
    own = [name for name in inspect.signature(kind).parameters if name in values]
    return kind(**{name: values[name] for name in own})  # type: ignore[arg-type]


def known(error: BaseException) -> dict[str, object]:
    """What an error knows; a message that was not confirmed by what it says."""
    return {name: repr(value) for name, value in vars(error).items()}


def test_there_are_kinds_to_look_at() -> None:
    assert len(KINDS) >= 24
    assert {"Refused", "NotConfirmed", "AddressInUse"} <= {kind.__name__ for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_an_error_is_the_same_after_pickling(kind: type[ChatError], protocol: int) -> None:
    error = made(kind)
    error.add_note("a note")
    again = pickle.loads(pickle.dumps(error, protocol))
    assert type(again) is kind
    assert (str(again), again.args, known(again)) == (str(error), error.args, known(error))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy])
def test_an_error_can_be_copied(kind: type[ChatError], way: object) -> None:
    error = made(kind)
    again = way(error)  # type: ignore[operator]
    assert again is not error
    assert type(again) is kind
    assert (str(again), known(again)) == (str(error), known(error))


def test_a_copied_message_stays_as_it_was() -> None:
    message = Outgoing("1", "hi")
    before = copy.deepcopy(message)
    message.settle(7)
    assert pickle.loads(pickle.dumps(message)).wait(0).seq == 7
    with pytest.raises(errors.NotConfirmed) as caught:
        before.wait(0)
    assert pickle.loads(pickle.dumps(caught.value)).messages[0].text == "hi"


@pytest.mark.parametrize("kind", [each for each in KINDS if each is not errors.NotConfirmed])
def test_an_error_comes_out_of_a_child_as_it_was(kind: type[ChatError]) -> None:
    error = made(kind)
    again = Failure.of(error).error
    assert (type(again), str(again), vars(again)) == (kind, str(error), vars(error))


WORKERS = """
import multiprocessing
from nbchat.core import errors

def refuse(kind):
    if kind == "NameTaken":
        raise errors.NameTaken("name_in_use", "Taken.", "ada2")
    raise errors.CertificateChanged("Changed.", "sha256:0", "sha256:1")

if __name__ == "__main__":
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        for kind in ("NameTaken", "CertificateChanged"):
            try:
                pool.apply(refuse, (kind,))
            except errors.ChatError as error:
                print(type(error).__name__, vars(error))
"""


def test_a_worker_that_raises_one_does_not_hang(tmp_path: Path) -> None:
    (tmp_path / "workers.py").write_text(WORKERS)
    done = subprocess.run(
        [sys.executable, tmp_path / "workers.py"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.splitlines() == [
        "NameTaken {'code': 'name_in_use', 'suggestion': 'ada2'}",
        "CertificateChanged {'expected': 'sha256:0', 'shown': 'sha256:1'}",
    ], done.stderr


# ── whose line is shown ──


def lines_of(error: BaseException) -> list[str]:
    """The files in an error's traceback, and in those of what it came from."""
    return [
        Path(frame.filename).name
        for each in (error, error.__cause__)
        if each is not None
        for frame in traceback.extract_tb(each.__traceback__)
    ]


def test_a_traceback_shows_the_callers_line_and_one_of_ours(server: nbchat.Server) -> None:
    with nbchat.connect(server, name="ada") as client:
        for call in (
            lambda: client.mute("bob"),
            lambda: client.history(0),
            lambda: server.kick("bob"),
            lambda: nbchat.connect("nbchat://127.0.0.1:1#k=a.b"),
            lambda: nbchat.serve(port=server.port),
            lambda: nbchat.join(server, name="a/b"),
            lambda: nbchat.Client(server, name="a/b"),
            lambda: nbchat.Limits(text=0),
            lambda: nbchat.ChatPanel(5),  # type: ignore[arg-type]
            lambda: client.send("x").wait(float("nan")),
        ):
            with pytest.raises(ChatError) as caught:
                call()
            assert lines_of(caught.value) == ["test_errors.py", "test_errors.py", "border.py"]


def test_a_function_of_the_users_keeps_its_lines(server: nbchat.Server) -> None:
    with nbchat.connect(server, name="ada") as client:
        client.send("hi").wait()
        with pytest.raises(UsageError) as caught:
            client.wait_for(lambda message: client.send(5))  # type: ignore[arg-type,return-value]
        assert lines_of(caught.value) == ["test_errors.py", "border.py", "test_errors.py", "border.py"]
        client.send("again").wait()
        with pytest.raises(ZeroDivisionError) as bug:
            client.wait_for(lambda message: 1 / 0)  # type: ignore[arg-type,return-value]
        assert len(lines_of(bug.value)) > 3  # not ours: all of it stays


def test_what_it_came_from_stays_and_secrets_do_not() -> None:
    @border
    def public(link: str) -> None:
        try:
            raise OSError("the cause")
        except OSError as error:
            raise UsageError("the error") from error

    with pytest.raises(UsageError) as caught:
        public("nbchat://a#k=a.hidden")
    assert repr(caught.value.__cause__) == "OSError('the cause')"
    trace = caught.value.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_name == "call":
            assert "a.hidden" not in repr(trace.tb_frame.f_locals)
        trace = trace.tb_next
    assert public.__name__ == "public"
    assert list(inspect.signature(public).parameters) == ["link"]
