"""Whether the file of a SQLite database that is open is still the one at its path.

A file that is replaced (by `mv`, by a restore) or deleted goes on under whoever has it open, unseen by everybody else.
"""

from __future__ import annotations

import secrets
import sqlite3
from contextlib import closing
from enum import Enum, auto
from pathlib import Path

PATIENCE = 5.0  # seconds that a look waits for whoever writes


class Stands(Enum):
    """What is at the path."""

    SAME = auto()
    GONE = auto()
    REPLACED = auto()
    """By another database of this program, or this one without its write-ahead log."""
    NOT_OURS = auto()
    """By what is no whole database of this program; perhaps it is still being copied."""


Stamp = tuple[tuple[int, int] | None, ...]


class OpenFile:
    """A connection of its own to the file, opened with the service's and kept until `close`."""

    def __init__(self, path: Path) -> None:
        """Raises sqlite3.Error."""
        self._path = path.absolute()
        self._conn = sqlite3.connect(
            self._path, timeout=PATIENCE, check_same_thread=False, isolation_level=None
        )
        self._conn.execute("SELECT count(*) FROM sqlite_master")  # opens both files
        self._seen = self._stamp()

    def close(self) -> None:
        self._conn.close()

    def stands(self) -> Stands:
        """Two system calls, as long as nothing has changed. Numbers of inodes are no proof: some network file systems
        change them. So what is written here is looked for by another connection. Raises sqlite3.Error."""
        main, _ = now = self._stamp()
        if main is None:
            return Stands.GONE
        if now == self._seen:
            return Stands.SAME
        nonce = secrets.randbelow(2**31)
        self._conn.execute(f"PRAGMA user_version = {nonce}")
        # Beside another database our log would be taken for its own: it is emptied before anybody looks.
        if main != self._seen[0] and not self._emptied():
            return Stands.SAME  # somebody reads: until the next look
        found = self._found()
        if found == nonce:
            self._seen = self._stamp()
            return Stands.SAME
        if main == self._seen[0]:
            self._emptied()
            return Stands.REPLACED
        return Stands.NOT_OURS if found is None else Stands.REPLACED

    def _stamp(self) -> Stamp:
        """Device and inode of the database and its log."""
        return tuple(_inode(Path(f"{self._path}{end}")) for end in ("", "-wal"))

    def _emptied(self) -> bool:
        busy, _, _ = self._conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return not busy

    def _found(self) -> int | None:
        """What another connection reads at the path; None where there is no whole database of this program."""
        try:
            with closing(
                sqlite3.connect(f"{self._path.as_uri()}?mode=rw", uri=True, timeout=PATIENCE)
            ) as conn:
                conn.execute("SELECT version_num FROM alembic_version").fetchone()
                ((pages,),), ((size,),) = (
                    conn.execute(f"PRAGMA {one}") for one in ("page_count", "page_size")
                )
                if self._path.stat().st_size < pages * size:
                    return None
                ((found,),) = conn.execute("PRAGMA user_version")
                return int(found)
        except (sqlite3.Error, OSError):
            return None


def _inode(path: Path) -> tuple[int, int] | None:
    """None: nothing is there."""
    try:
        there = path.stat()
    except FileNotFoundError:
        return None
    return there.st_dev, there.st_ino
