"""Taking what was deleted out of the file itself, not only out of its tables.

``secure_delete`` puts zeros over what is deleted, but not over what SQLite leaves behind when it moves rows
to another page: about one message in 200 has a second copy in the free space in the middle of some page.
So that space is filled with zeros here, behind SQLite's back. That is safe because nothing is ever read
there, and because, while it happens, the write-ahead log is empty and nobody else can write.
"""

from __future__ import annotations

import os
import sqlite3
from io import FileIO
from pathlib import Path

BLOCK = 1024
"""Pages in one read."""
MOST = 2000
"""Pages that are changed at a time, and those of one block more: about 80 ms, for which appends wait."""
_TREES = (2, 5, 10, 13)
"""The first byte of a page that belongs to a tree; no other page begins so in a file of less than 2^24
pages without auto_vacuum (its first bytes are another page's number)."""


class InUse(Exception):
    """Another program uses the file."""


def scrub(db: sqlite3.Connection, file: FileIO, path: Path, most: int = MOST) -> bool:
    """Empty the write-ahead log and the free space of all pages; False if there is more to do.

    ``most``: how many pages may be changed. ``file`` was opened before SQLite opened the same file, and is
    closed after: closing it would take SQLite's locks away.
    """
    try:
        if db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
            raise InUse
        db.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
            raise InUse from error
        raise
    is_all = True
    try:
        # Looked at now, when nobody can write: another program may have done so just before.
        wal = path.with_name(path.name + "-wal")
        if not wal.exists() or wal.stat().st_size:
            raise InUse
        (size,) = db.execute("PRAGMA page_size").fetchone()
        (count,) = db.execute("PRAGMA page_count").fetchone()
        (moves_pages,) = db.execute("PRAGMA auto_vacuum").fetchone()
        if not moves_pages and count < 2**24:
            is_all = _zero(file, size, most)
    finally:
        db.execute("ROLLBACK")
    db.execute("PRAGMA shrink_memory")  # pages in memory have the old bytes, and might be written again
    return is_all


def _zero(file: FileIO, size: int, most: int = MOST) -> bool:
    """Fill the space between the cells and the list of cells with zeros, in pages of ``size`` bytes.

    False if there were more of them than are done at a time. Each call looks at the whole file again, so
    that the last one has seen all of it at one moment: between two calls pages may change places.
    """
    zeros, changed, start = bytes(size), 0, 0
    file.seek(0)
    while changed < most and (block := file.read(BLOCK * size)):
        for page in range(0, len(block) - size + 1, size):
            # https://www.sqlite.org/fileformat2.html#b_tree_pages; a file begins with 100 bytes of its own.
            head = page + 100 if start + page == 0 else page
            kind = block[head]
            if kind not in _TREES:
                continue
            cells = head + (12 if kind < 8 else 8)
            free = cells + 2 * (block[head + 3] << 8 | block[head + 4])
            end = page + (block[head + 5] << 8 | block[head + 6] or 65536)
            if block[free:end] == zeros[: end - free] or not _is_sound(block, page, cells, free, end, size):
                continue
            file.seek(start + free)
            _write(file, zeros[: end - free])
            changed += 1
        start += len(block)
        file.seek(start)
    if changed:
        os.fsync(file.fileno())
    return changed < most


def _is_sound(block: bytes, page: int, cells: int, free: int, end: int, size: int) -> bool:
    """Whether it is a page as we think: all its cells are between the free space and its end."""
    if not free <= end <= page + size:
        return False
    places = (page + (block[at] << 8 | block[at + 1]) for at in range(cells, free, 2))
    return all(end <= place < page + size for place in places)


def _write(file: FileIO, data: bytes) -> None:
    while data:
        data = data[file.write(data) :]
