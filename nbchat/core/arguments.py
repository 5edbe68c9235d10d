"""Arguments as people give them: made plain, or refused by the argument's name.

People have numpy's numbers, a member out of ``client.members``, an age, a path. What means a text, a number
or a time is taken for one, and from here on is ``str``, ``int`` or ``float`` and nothing derived from it:
what is sent or kept can then always be encoded. Everything else is refused before anything is done with it.
Every public method and function takes its arguments through here.
"""

from __future__ import annotations

import math
import numbers
import operator
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any, NoReturn, TypeVar

from nbchat.core.errors import UsageError
from nbchat.core.escape import one_line

F = TypeVar("F", bound=Callable[..., Any])
SAFE_INTEGER = 2**53
"""As in limits.py, which takes its own arguments through here."""
_SHOWN = 60
"""Characters of a wrong value that are shown."""


def text(call: str, name: str, value: object, *, such: str = "") -> str:
    """A text: ``str`` or what is derived from it (a member, ``numpy.str_``). ``such``: what to type."""
    if not isinstance(value, str):
        _refuse(call, name, "a str", value, such or "Put it into quotes, or use str(…).")
    return str.__str__(value)  # str(value) would ask a class of its own for something else


def whole(
    call: str, name: str, value: object, *, least: int = 0, most: int = SAFE_INTEGER, such: str = ""
) -> int:
    """A whole number, of any kind of number: 5, 5.0, ``numpy.int64(5)``."""
    number = _index(value)
    if number is None:
        real = _real(value)
        if real is None:
            _refuse(call, name, "a whole number", value, such)
        if not real.is_integer():  # nor are nan and inf
            _refuse(call, name, "a whole number", value, such, is_value=True)
        number = int(real)
    if not least <= number <= most:
        bounds = f"a whole number from {least:_} to {most:_}" if most < SAFE_INTEGER else f"at least {least}"
        _refuse(call, name, bounds, number, such, is_value=True)
    return number


def number(
    call: str,
    name: str,
    value: object,
    *,
    least: float = 0.0,
    most: float = math.inf,
    such: str = "",
    unit: str = "",
    is_open: bool = False,
) -> float:
    """A finite number, of any kind of number. ``is_open``: the bounds themselves are not meant."""
    real = _real(value)
    if real is None:
        _refuse(call, name, f"a number{unit}", value, such)
    is_within = least < real < most if is_open else least <= real <= most
    if not (math.isfinite(real) and is_within):
        between = "above" if is_open else "of at least"
        bounds = f"a number{unit} {between} {_plainly(least)}"
        bounds += f" and below {_plainly(most)}" if most < math.inf else ""
        _refuse(call, name, bounds, value, such, is_value=True)
    return real


def span(
    call: str,
    name: str,
    value: object,
    unit: timedelta,
    *,
    least: float = 0.0,
    most: float = math.inf,
    such: str = "",
    is_open: bool = False,
) -> float:
    """A time, in units of ``unit``: a number of them, or a ``timedelta`` (also numpy's and pandas')."""
    word = _UNITS[unit]
    if (age := _timedelta(value)) is not None:
        value = age / unit
    return number(call, name, value, least=least, most=most, such=such, unit=f" of {word}", is_open=is_open)


def timeout(call: str, value: object, name: str = "timeout") -> float | None:
    """Seconds to wait: a number or a ``timedelta``; None, or an infinite number, for ever. Less than nothing
    is nothing."""
    if value is None:
        return None
    age = _timedelta(value)
    real = age.total_seconds() if age is not None else _real(value)
    if real is None:
        _refuse(call, name, "a number of seconds, or None", value, "")
    if math.isnan(real):
        _refuse(call, name, "a number of seconds, or None", value, "", is_value=True)
    return max(0.0, real) if real < _FOR_EVER else None


def age(call: str, name: str, value: object, *, such: str = "") -> timedelta | None:
    """A ``timedelta`` as a plain one, above zero; None for what is not a time."""
    found = _timedelta(value)
    if found is None:
        return None
    if found <= timedelta():
        _refuse(call, name, "a time above 0", found, such, is_value=True)
    return found


def yes_no(call: str, name: str, value: object, *, such: str = "") -> bool:
    """True or False (also numpy's), and not what merely counts as one: ``"no"`` would be true."""
    kind = type(value)
    if isinstance(value, bool):
        return value
    if kind.__name__ in ("bool", "bool_") and kind.__module__ == "numpy":
        return bool(value)
    _refuse(call, name, "True or False", value, such)


def function(call: str, name: str, value: F, *, such: str = "") -> F:
    """Something that can be called."""
    if not callable(value):
        _refuse(call, name, "a function", value, such)
    return value


def shown(value: object) -> str:
    """A value for an error's text: its repr, short, or its type's name if it has no repr."""
    try:
        return one_line(repr(value), _SHOWN)
    except Exception:
        return f"a {type(value).__name__}"


def kind(value: object) -> str:
    """What a value is, at the beginning of a sentence: "An int", "A Client"."""
    name = one_line(type(value).__name__, _SHOWN)
    return f"An {name}" if name[:1] in "AEIOaeio" else f"A {name}"


_UNITS = {timedelta(seconds=1): "seconds", timedelta(minutes=1): "minutes", timedelta(hours=1): "hours"}
_FOR_EVER = 366 * 86400.0 * 100
"""Seconds after which nobody waits any more; systems do not take much longer ones."""


def _index(value: object) -> int | None:
    if isinstance(value, bool) or _is_numpys_time(value):
        return None
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except Exception:  # not a whole number, or one whose own method fails
        return None


def _real(value: object) -> float | None:
    """A number as a float; None for what is not one."""
    if isinstance(value, bool) or _is_numpys_time(value):
        return None
    number = value if isinstance(value, numbers.Real | Decimal) else _index(value)
    try:
        return float(number) if number is not None else None
    except Exception:  # 10**400, a signalling NaN, or one whose own method fails
        return None


def _timedelta(value: object) -> timedelta | None:
    if _is_numpys_time(value):
        value = value.astype("timedelta64[us]").item()  # type: ignore[attr-defined]
    if not isinstance(value, timedelta):
        return None
    try:
        return timedelta(value.days, value.seconds, value.microseconds)  # plain: pandas has its own
    except Exception:  # pandas' "not a time"
        return None


def _is_numpys_time(value: object) -> bool:
    """numpy's timedelta64 is a whole number by its class, in whatever unit it has."""
    return type(value).__name__ == "timedelta64" and hasattr(value, "astype")


def _plainly(bound: float) -> str:
    """A bound as people write numbers: ``31_622_400``, not ``3.16224e+07``."""
    return f"{int(bound):_}" if float(bound).is_integer() else f"{bound:g}"


def _refuse(
    call: str, name: str, wanted: str, value: object, such: str, *, is_value: bool = False
) -> NoReturn:
    said = (
        f"{call}({name}={shown(value)}) needs {wanted}."
        if is_value
        else (f"{call}({name}=…) needs {wanted}, not {type(value).__name__}.")
    )
    raise UsageError(f"{said} {such}" if such else said)
