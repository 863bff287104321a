"""A folder that organizers edit, watched by what its files hold: inotify misses bind mounts and NFS."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path


class Folder:
    """Reads a folder again and again; a change counts once two reads in a row found the same."""

    def __init__(self, root: Path, pattern: str) -> None:
        self.root, self.pattern = root, pattern
        self._seen: dict[str, bytes] | None = None
        self._settled: dict[str, bytes] | None = None

    def read(self) -> dict[str, bytes]:
        """Every matching file by its path below the root. A file that can't be read counts as not there."""
        found: dict[str, bytes] = {}
        for path in self._paths():
            with suppress(OSError):
                found[path.relative_to(self.root).as_posix()] = path.read_bytes()
        return found

    def _paths(self) -> list[Path]:
        try:
            return sorted(path for path in self.root.glob(self.pattern) if path.is_file())
        except OSError:  # a network folder that does not answer
            return []

    def settle(self) -> dict[str, bytes]:
        """What is there now, without waiting for a second read: for a start."""
        self._seen = self._settled = self.read()
        return self._settled

    @property
    def settled(self) -> dict[str, bytes]:
        """What was given out last."""
        return self.read() if self._settled is None else self._settled

    def again(self) -> None:
        """What was given out last could not be taken in: give it out again."""
        self._settled = None

    def poll(self) -> dict[str, bytes] | None:
        """The files, when they differ from what was last given out and two reads in a row agree; else None."""
        before, self._seen = self._seen, self.read()
        if self._seen != before or self._seen == self._settled:
            return None
        self._settled = self._seen
        return self._settled
