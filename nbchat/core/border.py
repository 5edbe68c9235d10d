"""The border between people's code and ours: an error of ours shows their line, and not five of ours.

A traceback ends with one line of this file, which no Python program can leave out. Where an error passes more
of our borders on its way, IPython and pytest hide those (``__tracebackhide__``). What it came from
(``__cause__``) stays, in one line.
Errors that are not ours keep all of their traceback: they are bugs, in a function of the user's or here.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from nbchat.core.errors import ChatError

P = ParamSpec("P")
T = TypeVar("T")
C = TypeVar("C", bound=type)


def border(function: Callable[P, T]) -> Callable[P, T]:
    """Have the errors of a public function begin at its caller."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        __tracebackhide__ = True
        try:
            return function(*args, **kwargs)
        except ChatError as error:
            # Some tracebacks show variables, and a link has its secret in it.
            args, kwargs = (), {}  # type: ignore[assignment]
            raise _bare(error) from error.__cause__

    return call


def bordered(kind: C) -> C:
    """The same for all public methods that a class defines itself, its making and the end of its block."""
    for name, value in list(vars(kind).items()):
        is_public = not name.startswith("_") or name in ("__init__", "__exit__")
        if inspect.isfunction(value) and is_public:
            setattr(kind, name, border(value))
    return kind


def _bare(error: ChatError) -> ChatError:
    """The error without our frames. If a function of the user's was called on the way, its stay."""
    trace = error.__traceback__
    while trace is not None and _is_ours(trace.tb_frame.f_globals.get("__name__")):
        trace = trace.tb_next
    cause, error.__traceback__ = error.__cause__, trace
    while cause is not None:
        cause.__traceback__ = None
        cause = cause.__cause__
    return error


_OURS = ("nbchat", "concurrent", "asyncio", "threading", "contextlib", "subprocess")


def _is_ours(module: object) -> bool:
    return str(module).partition(".")[0] in _OURS
