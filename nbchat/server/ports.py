"""Which port a chat had last, so that its links stay right: a small file for each chat with a name."""

from __future__ import annotations

import contextlib
from pathlib import Path

from nbchat.core.errors import UsageError
from nbchat.net import histories


def of(name: str | None) -> int | None:
    """The port that a chat of this user had last, if that is known."""
    if name is None:
        return None
    with contextlib.suppress(OSError, ValueError, UsageError):  # the last: no home
        port = int(_file(name).read_text("ascii")[:10])
        if 1024 <= port <= 65535:
            return port
    return None


def remember(name: str, port: int) -> None:
    """Keep it for the next time; where that cannot be, the next time is as the first."""
    if of(name) == port:
        return
    with contextlib.suppress(OSError, UsageError):
        path = _file(name)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = path.with_suffix(".port-new")
        draft.write_text(f"{port}\n", "ascii")
        draft.replace(path)


def _file(name: str) -> Path:
    return histories.own_folder() / f"{histories.fitted(name)}.port"
