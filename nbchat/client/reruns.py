"""Which handler is a new version of which: a cell that runs again changes nothing.

A handler is known by its name and where it was written. A loop that registers one function several times,
and two functions of one name in one cell, are several handlers; the same cell run again, or changed and run
again, is not.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import MethodType
from typing import Any


@dataclass(frozen=True, slots=True, eq=False)
class Origin:
    """Where a handler comes from."""

    function: Any
    name: tuple[str, str]
    """Its module and its qualified name."""
    code: Any
    """Its code object: the same for all functions of one ``def`` that ran once more in a loop."""
    cell: tuple[str, int] | None
    """The notebook's cell that registered it, and in which run; None outside."""

    @classmethod
    def of(cls, function: Callable[..., Any]) -> Origin:
        inner: Any = function
        while isinstance(inner, functools.partial):
            inner = inner.func
        inner = inner if hasattr(inner, "__qualname__") else type(inner)
        code = getattr(inner, "__code__", None)
        if code is None and isinstance(inner, type):  # an object that can be called
            code = getattr(inner.__call__, "__code__", None)
        module, name = str(getattr(inner, "__module__", "")), str(getattr(inner, "__qualname__", ""))
        return cls(function, (module, name), code, _cell())

    def is_rerun_of(self, old: Origin) -> bool:
        """Whether the same cell registered it again."""
        return (
            self.name == old.name
            and self.cell is not None
            and old.cell is not None
            and self.cell[0] == old.cell[0]
            and self.cell[1] != old.cell[1]
        )

    def replaces(self, old: Origin) -> bool:
        """Whether this one, registered later, is a new version of the other."""
        one, other, mine, theirs = self.function, old.function, self.code, old.code
        if one is other or (isinstance(one, MethodType) and one == other) or self.is_rerun_of(old):
            return True
        if self.name != old.name or mine is theirs or mine is None or theirs is None:
            return False
        if self.name[1].endswith(("<lambda>", "_")):  # a name that many have says nothing
            return bool(mine == theirs and mine.co_filename == theirs.co_filename)
        is_same_file = mine.co_filename == theirs.co_filename
        return bool(not is_same_file or mine.co_firstlineno == theirs.co_firstlineno)


def _cell() -> tuple[str, int] | None:
    """The cell that runs, by the notebook's own name for it or else by its text, and its run's number."""
    module = sys.modules.get("IPython")
    shell: Any = module.get_ipython() if module is not None else None
    if shell is None:
        return None
    parent: Any = getattr(getattr(shell, "kernel", None), "get_parent", dict)()
    metadata = parent.get("metadata") if isinstance(parent, dict) else None
    name = metadata.get("cellId") if isinstance(metadata, dict) else None
    return (str(name or _text_of_cell(shell.user_ns)), shell.execution_count)


def _text_of_cell(namespace: Any) -> str:
    """The file of the cell that runs: each text of a cell has one of its own."""
    frame, found = sys._getframe(1), ""
    while (outer := frame.f_back) is not None:
        frame = outer
        if frame.f_globals is namespace:
            found = frame.f_code.co_filename
    return found
