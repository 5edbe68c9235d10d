"""A fork beside this package's threads, and no others, gets no warning: they are made for it.

Python 3.12 and newer warn (DeprecationWarning) when a process with more than one thread forks, since a lock
that another thread holds stays locked in the child. What this package's threads hold is let go of or replaced
in the child (``store/ownership.py``, ``server/serve.py``, ``client/clients.py``). A user's own threads are
warned of as ever.
"""

from __future__ import annotations

import os
import sys
import threading
import warnings

NAMED = "nbchat "
"""How the name of each thread of this package begins."""

_MESSAGE = r"This process .* is multi-threaded, use of fork\w*\(\)"


def _before_fork() -> None:
    # The warning comes after all hooks have run, so a filter stays; each fork decides anew.
    me = threading.current_thread()
    is_ours_alone = all(each is me or each.name.startswith(NAMED) for each in threading.enumerate())
    if is_ours_alone:
        warnings.filterwarnings("ignore", _MESSAGE, DeprecationWarning)
    else:
        for entry in [each for each in warnings.filters if _is_ours(each)]:
            warnings.filters.remove(entry)  # type: ignore[attr-defined]


def _is_ours(entry: tuple[object, ...]) -> bool:
    return entry[0] == "ignore" and getattr(entry[1], "pattern", None) == _MESSAGE


if hasattr(os, "register_at_fork") and sys.version_info >= (3, 12):
    os.register_at_fork(before=_before_fork)
