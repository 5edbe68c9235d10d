"""The file beside a history with the keys that open its chat: who is given the history is not given these."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
from pathlib import Path

from nbchat.core.errors import StoreDown, StoreFull
from nbchat.core.escape import one_line
from nbchat.store import folders

log = logging.getLogger("nbchat")

_LARGEST = 16 << 20
"""Bytes of it that are read: a thousand keys of thousands of uses each have less."""


def beside(history: Path) -> Path:
    """Where the keys of a history are."""
    return history.with_name(history.name + ".keys")


def read(history: Path) -> str:
    """The keys that were kept for a history, "" for none. Raises StoreDown that says what to do."""
    path = beside(history)
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        with os.fdopen(os.open(path, flags | getattr(os, "O_BINARY", 0)), "rb") as file:
            found = os.fstat(file.fileno())
            if not folders.is_own(found):
                raise _unusable(path, "Another user of this machine can have written them, and so know them")
            if os.name == "posix" and found.st_mode & 0o077:
                log.warning("%s could be read by others; it is closed to them now", path)
                os.fchmod(file.fileno(), 0o600)
            if len(kept := file.read(_LARGEST + 1)) > _LARGEST:
                raise _unusable(path, "There is more in it than keys")
            return kept.decode()
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError:
        raise _unusable(path, "They are no text") from None
    except OSError as error:
        raise _unusable(path, f"They cannot be read ({error.strerror or error})") from error


def write(history: Path, keys: str) -> None:
    """Keep the keys of a history, whole or not at all. Raises StoreFull."""
    path = beside(history)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    try:
        try:
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(keys.encode())
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                draft.unlink()
            raise
        _sync(path.parent)
    except OSError as error:
        raise StoreFull(
            f"The keys of this chat cannot be kept in {one_line(str(path))} ({error.strerror or error}). "
            "They stand beside the history, so this user has to be able to write in that folder."
        ) from error


def _sync(folder: Path) -> None:
    """See that the file's new name is on the disk, where a folder can be told so. It has the name already."""
    with contextlib.suppress(OSError):
        opened = os.open(folder, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


def _unusable(path: Path, why: str) -> StoreDown:
    return StoreDown(
        f"The keys of this chat, in {one_line(str(path))}, cannot be used. {why}. Delete that file, and new "
        "keys are made: links that were given out end. Or give another file with history=…"
    )
