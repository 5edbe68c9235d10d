"""Where a chat's history is kept: serve()'s ``history``, and the file of a chat's own."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from pathlib import Path
from urllib.parse import quote

from nbchat.core import arguments, names
from nbchat.core.errors import UsageError

_LONGEST = 100
"""Characters of a file's name without what is added to it (``.damaged-….sqlite-journal``, 43 at the most):
file systems that encrypt names have room for 143."""
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/|(file|sqlite3?):")
"""A drive has one letter; a path that was made of a URL has one slash left."""
_DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\.|$)", re.IGNORECASE)
"""What Windows takes for a device, whatever comes after the dot."""
_SUCH = "It is 'auto', a file's path, or None for this process's memory only."


def place(name: str | None, history: object) -> str:
    """The absolute path of a chat's history, "" for memory only. Raises UsageError."""
    if history is None:
        return ""
    if isinstance(history, os.PathLike):
        try:
            history = os.fspath(history)
        except Exception as error:
            raise UsageError(f"serve(history=…): {type(history).__name__} gives no path. {_SUCH}") from error
    path = arguments.text("serve", "history", history, such=_SUCH)
    if path == "auto":
        return str(_own(name)) if name else ""
    if found := _URL.match(path):
        raise UsageError(
            f"serve(history='{found[1] or found[2]}:…'): a history is a file of this machine, given by its "
            f"path. {_SUCH}"
        )
    if path == ":memory:":
        raise UsageError(
            "serve(history=':memory:'): to keep it in memory only, type nbchat.serve(history=None)"
        )
    if not path.strip() or "\0" in path or not _is_utf8(path):
        raise UsageError(f"serve(history={arguments.shown(path)}): this is no file's path. {_SUCH}")
    try:
        return str(Path(path).expanduser().absolute())
    except RuntimeError:
        raise UsageError(f"serve(history={arguments.shown(path)}): that user has no home folder.") from None
    except OSError as error:
        raise UsageError(
            f"The folder in which this program works is gone ({error.strerror}). Give the history's whole "
            "path (history='/…/chat.sqlite'), or change the folder: os.chdir('…')"
        ) from error


def own_folder() -> Path:
    """nbchat's folder among this user's data. Raises UsageError if the user has no home."""
    from platformdirs import user_data_path

    try:
        folder = user_data_path("nbchat", appauthor=False)
    except RuntimeError:
        folder = Path("~")  # as older versions say it
    if not folder.is_absolute():
        raise UsageError("This user has no home folder: set HOME to one, or XDG_DATA_HOME.")
    return folder


def _own(name: str) -> Path:
    """The file of a chat that has a name."""
    try:
        folder = own_folder()
    except UsageError as error:
        raise UsageError(
            f"{error} Say where the history is kept: nbchat.serve({name!r}, history='/…/chat.sqlite'), or "
            "history=None to keep none."
        ) from None
    plain = quote(names.skeleton(name), safe=" ")
    short = _fit(plain)
    old = folder / f"{plain}.sqlite"
    if short != plain and sys.platform != "win32" and os.path.exists(old):
        return old  # made before names were fitted
    return folder / f"{short}.sqlite"


def fitted(name: str) -> str:
    """A chat's name as one for a file that every system takes, without an ending."""
    return _fit(quote(names.skeleton(name), safe=" "))


def _fit(plain: str) -> str:
    """A name for a file that every system takes. No chat has a ``~`` in its name, and no letter is escaped,
    so each name has its own file."""
    if _DEVICES.match(plain):
        plain = f"%{ord(plain[0]):02X}{plain[1:]}"
    if len(plain) <= _LONGEST:
        return plain
    mark = hashlib.sha256(plain.encode()).hexdigest()[:16]
    begun = re.sub(r"%[0-9A-F]?$", "", plain[: _LONGEST - 17])
    return f"{begun}~{mark}"


def _is_utf8(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
