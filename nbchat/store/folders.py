"""Folders and files that are for their user alone: made closed, and told when they are found open."""

from __future__ import annotations

import os
import shlex
import stat
from pathlib import Path

from nbchat.core.errors import StoreDown
from nbchat.core.escape import one_line


def make(folder: Path) -> None:
    """Make a folder and those above it that are missing, each for its user alone, whatever the umask. Raises
    OSError."""
    missing = []
    above = folder
    while not above.exists() and above != above.parent:
        missing.append(above)
        above = above.parent
    for each in reversed(missing):
        each.mkdir(mode=0o700, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)


def exposed(path: Path) -> str | None:
    """What to tell people if other users of this machine can read the file at ``path``, or delete or replace
    it; the file itself, if it is this user's, is closed to them."""
    if os.name == "nt":  # rights are another thing there, and a profile's folder is its user's
        return None
    try:
        folder, file = path.parent.stat(), path.stat()
        if file.st_mode & 0o077 and file.st_uid == os.geteuid():
            path.chmod(0o600)
    except OSError:
        return None
    where = one_line(str(path.parent))
    if folder.st_mode & stat.S_IWOTH and not folder.st_mode & stat.S_ISVTX:
        return (
            f"Every user of this machine can write in {where}, where this chat's history is kept: they can "
            f"delete or replace it. To close the folder: chmod go-w {shlex.quote(where)}"
        )
    if file.st_uid not in (os.geteuid(), 0):
        return (
            f"The history in {one_line(str(path))} belongs to another user of this machine, who can read and "
            "change it."
        )
    return None


def see_whose(history: Path, parts: list[Path]) -> None:
    """See that the files that belong to a history are files, and its owner's or this user's. Raises StoreDown
    for one that is not, OSError where that cannot be seen."""
    if os.name == "nt":
        return
    owners = {os.geteuid(), 0, *([history.stat().st_uid] if history.exists() else [])}
    for part in parts:
        try:
            found = part.lstat()
        except FileNotFoundError:
            continue
        if not stat.S_ISREG(found.st_mode):
            what = "is no file, but something else with its name"
        elif found.st_uid not in owners:
            what = "was put there by another user of this machine, who would change the history by it"
        else:
            continue
        where = one_line(str(part))
        raise StoreDown(
            f"The history in {one_line(str(history))} cannot be opened: {where} {what}. Delete that, or have "
            "it deleted, and keep histories in a folder where only you can write."
        )


def is_own(found: os.stat_result) -> bool:
    """Whether a file is this user's, and nobody else can have written it."""
    if os.name == "nt":
        return True
    return (
        stat.S_ISREG(found.st_mode)
        and found.st_uid == os.geteuid()
        and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    )
