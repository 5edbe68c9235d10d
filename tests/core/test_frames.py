"""The two unions hold every frame, and every frame says what it is."""

from typing import get_args

import msgspec
import pytest

from nbchat.core import frames

ALL = [
    kind
    for kind in vars(frames).values()
    if isinstance(kind, type) and issubclass(kind, frames.Frame) and kind is not frames.Frame
]


def test_every_frame_is_in_one_of_the_unions():
    assert set(ALL) == {*get_args(frames.Request), *get_args(frames.Event)}
    assert not {*get_args(frames.Request)} & {*get_args(frames.Event)}


@pytest.mark.parametrize("union", [frames.Request, frames.Event])
def test_a_type_stands_for_one_frame(union):
    tags = [kind.__struct_config__.tag for kind in get_args(union)]
    assert len(tags) == len(set(tags))


@pytest.mark.parametrize("kind", ALL)
def test_a_frame_cannot_be_changed(kind):
    assert kind.__struct_config__.frozen


def test_what_is_not_said_is_not_sent():
    line = msgspec.json.encode(frames.Refused(code="c", text="t", fatal=False))
    assert line == b'{"type":"refused","code":"c","text":"t","fatal":false}'
    assert msgspec.json.encode(frames.Slow(2.0)) == b'{"type":"slow","for":2.0}'
