"""Checks whether an open SQLite file is still the one at its path.

A process that has a file open goes on using it after it is deleted, or replaced by `mv` or a restore, unseen by others.
"""

from __future__ import annotations

import secrets
import sqlite3
from contextlib import closing
from enum import Enum, auto
from pathlib import Path

PATIENCE = 5.0  # seconds that a check waits for a writer


class FileState(Enum):
    """The state of the file at the path, compared to the open one."""

    SAME = auto()
    GONE = auto()
    REPLACED = auto()
    """Another database of this program, or this one without its write-ahead log."""
    NOT_OURS = auto()
    """Not a complete database of this program; perhaps it is still being copied."""


Stamp = tuple[tuple[int, int] | None, ...]


class OpenFile:
    """A separate connection to the file, opened together with the service's and kept until `close`."""

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

    def state(self) -> FileState:
        """Compare the open file with the one at the path: two system calls while nothing changes. Inode numbers are no
        proof (some network file systems change them), so a change is checked by a value that this connection writes
        and a new one reads. Raises sqlite3.Error."""
        main, _ = now = self._stamp()
        if main is None:
            return FileState.GONE
        if now == self._seen:
            return FileState.SAME
        nonce = secrets.randbelow(2**31)
        self._conn.execute(f"PRAGMA user_version = {nonce}")
        # Our write-ahead log would be taken for that of another database at the path: empty it first.
        if main != self._seen[0] and not self._empty_log():
            return FileState.SAME  # a reader prevents it: decided at the next check
        found = self._read_nonce()
        if found == nonce:
            self._seen = self._stamp()
            return FileState.SAME
        if main == self._seen[0]:
            self._empty_log()
            return FileState.REPLACED
        return FileState.NOT_OURS if found is None else FileState.REPLACED

    def _stamp(self) -> Stamp:
        """Device and inode of the database and of its write-ahead log."""
        return tuple(_inode(Path(f"{self._path}{end}")) for end in ("", "-wal"))

    def _empty_log(self) -> bool:
        busy, _, _ = self._conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return not busy

    def _read_nonce(self) -> int | None:
        """The nonce that a new connection reads at the path; None if there is no complete database of this program."""
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
    """Device and inode of a file; None if it does not exist."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino
