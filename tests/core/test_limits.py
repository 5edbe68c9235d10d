"""A limit that cannot be is refused where it is written."""

from dataclasses import FrozenInstanceError, fields, replace

import pytest

from nbchat.core.errors import UsageError
from nbchat.core.limits import Limits

WHOLE = [field.name for field in fields(Limits) if field.type == "int"]


@pytest.mark.parametrize("name", [field.name for field in fields(Limits)])
@pytest.mark.parametrize("value", [0, -1, True, None, "5", float("nan"), float("inf"), 2j])
def test_a_limit_is_a_number_above_zero(name, value):
    with pytest.raises(UsageError, match=f"{name}="):
        Limits(**{name: value})


@pytest.mark.parametrize("name", WHOLE)
def test_what_is_counted_is_a_whole_number(name):
    with pytest.raises(UsageError, match=f"{name}=70000.5"):
        Limits(**{name: 70000.5})


def test_seconds_may_be_parts_or_wholes():
    assert Limits(grace=1).grace == 1
    assert Limits(grace=0.5).grace == 0.5


def test_a_line_has_room_for_a_text_with_every_character_escaped():
    assert Limits(line=1324, text=100).text == 100
    with pytest.raises(UsageError, match=r"line=1323, text=100.* 1324"):
        Limits(line=1323, text=100)


def test_a_peer_has_the_time_to_ping():
    assert Limits(ping=5, dead=10).dead == 10
    with pytest.raises(UsageError, match=r"ping=20\.0, dead=39"):
        Limits(dead=39)


def test_a_write_to_a_plain_client_has_room_for_characters():
    with pytest.raises(UsageError, match="plain_write=63"):
        Limits(plain_write=63)


def test_limits_are_named_and_fixed():
    with pytest.raises(TypeError):
        Limits(4096)
    limits = Limits(text=4096)
    with pytest.raises(FrozenInstanceError):
        limits.text = 1
    assert replace(limits, text=16 * 1024) == Limits()
