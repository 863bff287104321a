"""The folder of what a service keeps for itself, beside the database (STATE_DIR): one small file for each thing.

Its files may hold secrets: none of their content belongs in a log or an error.
"""

from __future__ import annotations

import os
import re
import stat
import time
from contextlib import suppress
from pathlib import Path
from tempfile import mkstemp

LONGEST = 16 * 2**20  # bytes; what is longer is not ours
LEFT_SECONDS = (
    3600.0  # after its last byte a file that is not in its place yet was left by a process that was killed
)

# Such a file: `write` names it, and mkstemp adds eight characters. Others may keep files of theirs in the folder.
_LEFT = re.compile(r"\.(?:restored|(?:spool|ledger|refresh-token)-[\w.-]+)\.[a-z0-9_]{8}")


class StateDir:
    """Files of mode 0600 in one folder, each of which is there whole or not at all, also after a power cut."""

    def __init__(self, folder: Path) -> None:
        """The folder is made when the first file is written."""
        self.folder = folder

    def path(self, name: str) -> Path:
        """Where the file of this name is, or would be. Raises ValueError for a name that leads elsewhere."""
        if not name or name.startswith(".") or Path(name).name != name:
            raise ValueError("not the name of a file in STATE_DIR")
        return self.folder / name

    def read(self, name: str) -> bytes | None:
        """The content; None where there is no such file. Raises OSError, and ValueError for a file that is too long."""
        try:
            with self.path(name).open("rb") as opened:
                content = opened.read(LONGEST + 1)
        except FileNotFoundError:
            return None
        if len(content) > LONGEST:
            raise ValueError("a file in STATE_DIR is too long")
        return content

    def write(self, name: str, content: bytes) -> None:
        """Put this in the place of what was there; durable once it returns. Raises OSError: then the earlier content
        stands."""
        target = self.path(name)
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, made = mkstemp(prefix=f".{name}.", dir=self.folder)  # of mode 0600
        temporary = Path(made)
        try:
            with os.fdopen(descriptor, "wb") as opened:
                opened.write(content)
                opened.flush()
                os.fsync(opened.fileno())
            temporary.replace(target)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise
        self._sync_folder()

    def remove(self, name: str) -> None:
        """Durable once it returns; no error where there is no such file. Raises OSError."""
        self.path(name).unlink(missing_ok=True)
        if self.folder.is_dir():
            self._sync_folder()

    def tidy(self) -> None:
        """Remove what processes of this user that were killed in `write` have left. Raises OSError."""
        if not self.folder.is_dir():
            return
        for path in filter(lambda one: _LEFT.fullmatch(one.name), list(self.folder.iterdir())):
            with suppress(FileNotFoundError):  # another service that shares the folder is as tidy
                if _is_left(path.lstat()):
                    path.unlink()

    def _sync_folder(self) -> None:
        """Make the names durable, too."""
        descriptor = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _is_left(found: os.stat_result) -> bool:
    is_ours = (
        stat.S_ISREG(found.st_mode) and stat.S_IMODE(found.st_mode) == 0o600 and found.st_uid == os.geteuid()
    )
    return is_ours and found.st_nlink == 1 and time.time() - found.st_mtime > LEFT_SECONDS
