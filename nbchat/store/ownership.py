"""A history's file: the one process that owns it, whether it is still there, and what a forked child must
not do to it."""

from __future__ import annotations

import contextlib
import errno
import io
import os
from pathlib import Path

import filelock

from nbchat.core.errors import AlreadyServing, StoreDown
from nbchat.core.escape import one_line
from nbchat.store import corruption, folders
from nbchat.store.sqlite_errors import unwritable

_inherited: set[Path] = set()
"""Files that this process's parent had open at the fork. SQLite must not open them here: it keeps track of
a file's locks for the whole process, and the child's copy of that is wrong."""

_NOT_THERE = {errno.ENOENT, errno.ENOTDIR, getattr(errno, "ESTALE", errno.ENOENT)}


class File:
    """Owns the file at ``path`` from :meth:`own` to :meth:`release`. The store's thread only."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.raw: io.FileIO | None = None
        """Open for as long as SQLite has the file open: closing any descriptor of it takes SQLite's locks
        away, and the next program to look into the file would delete the log under our hands."""
        self._lock: filelock.BaseFileLock | None = None
        self._places: list[tuple[str, tuple[int, int]]] = []
        """Where the file and its write-ahead log were found, and which they were."""

    def own(self) -> None:
        """Make this process the file's owner, or say who is."""
        path, note = self.path, self._beside(".lock")
        try:
            folders.make(path.parent)
            # Not for each thread: a store that is handed to another server is closed by another thread.
            lock = filelock.FileLock(note, timeout=0, mode=0o600, thread_local=False)
            try:
                lock.acquire()
            except filelock.Timeout:
                pid = _owner(note)
                who = f"Process {pid}" if pid else "Another process"
                who = "This process" if pid == os.getpid() else who
                raise AlreadyServing(
                    f"{who} already serves the history in {path}. To take part in that chat, type "
                    "nbchat.join().",
                    pid,
                ) from None
            self._lock = lock
            if path in _inherited:
                raise StoreDown(
                    f"This process was forked from one that had the history in {path} open, and cannot "
                    "open it itself. Serve from a process that was started anew."
                )
            self._see_whose()
            with contextlib.suppress(OSError):  # a full disk: the lock holds without the note, too
                note.write_text(f"{os.getpid()}\n")
            self._open()
        except BaseException as error:
            self.release()
            if isinstance(error, OSError):
                raise unwritable(error) from error
            raise

    def release(self) -> None:
        """Let go of the file; a second call does nothing."""
        if self.raw is not None:
            self.raw.close()
            self.raw = None
        self._places.clear()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def forked(self) -> None:
        """In a forked child: let go of the copied descriptors, and leave the parent's locks alone.

        They are not closed. A number that is free would be given to the child's next file, and SQLite,
        which does not know of it, would write there. In their places comes a file that cannot even be
        locked for writing, so that nothing which still runs at the child's end can believe to be the
        history's last user and delete its log.
        """
        if self.raw is None:
            return
        _inherited.add(self.path)
        ours = set()
        for tail in (*corruption.PARTS, ".lock"):
            with contextlib.suppress(OSError):
                ours.add(_identity(os.stat(self._beside(tail))))
        nothing = os.open(os.devnull, os.O_RDONLY)
        for fd in _descriptors():
            with contextlib.suppress(OSError):
                if _identity(os.fstat(fd)) in ours:
                    os.dup2(nothing, fd, inheritable=False)
        os.close(nothing)
        self._lock = None

    def _see_whose(self) -> None:
        """See that what SQLite finds beside the file is its own: it believes a log there, whoever put it into
        a folder where others can write, and waits for ever for a pipe. Raises StoreDown."""
        with contextlib.suppress(FileNotFoundError):
            folders.see_whose(self.path, [self._beside(tail) for tail in corruption.PARTS[1:]])

    # ── whether it is still there ──

    def is_whole(self) -> None:
        """SQLite has the file open and its write-ahead log, which stay where they are now."""
        assert self.raw is not None
        self._see_whose()  # once more: what was put there between the first look and SQLite's
        log = self._beside("-wal")
        self._places = [(str(self.path), _identity(os.fstat(self.raw.fileno())))]
        self._places.append((str(log), _identity(log.stat())))

    def missing(self) -> Path | None:
        """What was deleted, moved or replaced under our hands: the file itself, or its write-ahead log. The
        system lets us write on into a file without a name, and at the end nothing of that is left. (The third
        part, ``-shm``, has nothing that is not in these two.)"""
        for place, found in self._places:
            try:
                is_there = _identity(os.stat(place)) == found
            except OSError as error:  # of other errors the system does not tell
                is_there = error.errno not in _NOT_THERE
            if not is_there:
                return Path(place)
        return None

    # ── damage ──

    @property
    def was_abandoned(self) -> bool:
        """Whether the last owner did not close it: closing empties the log."""
        return self._size("-wal") > 0

    @property
    def is_small(self) -> bool:
        return self._size("") + self._size("-wal") <= corruption.SMALL

    @property
    def has_lost_its_main_part(self) -> bool:
        """A log without its file. SQLite would delete it."""
        return self._size("") == 0 and self.was_abandoned

    def may_be_moved(self, *, is_own_place: bool) -> bool:
        """Whether the file, when it is damaged, is ours to move. SQLite must not have it open."""
        assert self.raw is not None
        try:
            self.raw.seek(0)
            header = self.raw.read(4096)
        except OSError:  # a disk that cannot even read it
            return False
        return corruption.may_be_moved(header, is_own_place=is_own_place)

    def move_aside(self, why: str, now: float) -> str:
        """Move the damaged file away and begin an empty one; returns what to tell people."""
        assert self.raw is not None
        self.raw.close()
        try:
            aside = corruption.move_aside(self.path, now)
            self._open()
        except OSError as error:
            raise unwritable(error) from error
        return (
            f"The history in {_shown(self.path)} was damaged ({one_line(why)}). Nothing of it was deleted: "
            f"it is kept as {_shown(aside)}. A new, empty history has begun."
        )

    def _open(self) -> None:
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0)
        self.raw = io.FileIO(os.open(self.path, flags, 0o600), "r+")

    def _beside(self, tail: str) -> Path:
        return self.path.with_name(self.path.name + tail)

    def _size(self, tail: str) -> int:
        try:
            return self._beside(tail).stat().st_size
        except OSError:
            return 0


def _shown(path: Path) -> str:
    """A path as people are told it: whoever named a folder can have put anything into its name."""
    return one_line(str(path))


def _identity(stat: os.stat_result) -> tuple[int, int]:
    return stat.st_dev, stat.st_ino


def _descriptors() -> list[int]:
    """This process's open descriptors, perhaps with some that are closed."""
    try:
        return [int(name) for name in os.listdir("/dev/fd")]
    except (OSError, ValueError):
        return list(range(3, 4096))


def _owner(note: Path) -> int | None:
    try:
        return int(note.read_text())
    except (OSError, ValueError):
        return None
