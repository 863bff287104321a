"""A folder that organizers edit. Its files' contents are compared: inotify misses bind mounts and NFS."""

from __future__ import annotations

import asyncio
import os
import re
import stat
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path, PurePath

from scheduler.access import not_for_this_user, way_in
from scheduler.problem import Problem

_CLUTTER = re.compile(
    r"\..*"  # .git, .DS_Store, vim's .en.md.swp, Emacs's .#en.md, macOS's ._en.md
    r"|.*~|~\$.*|#.*#|\d+"  # editors' backups, Office's locks, Emacs's autosaves, vim's 4913
    r"|.*\.(bak|swp|swo|swx|orig|rej|tmp|part|crdownload)"
    r"|thumbs\.db|desktop\.ini",
    re.IGNORECASE,
)


def is_clutter(path: PurePath) -> bool:
    """Whether a file's name shows that no organizer wrote it: leftovers of editors, operating systems and version
    control. `path` is relative to the folder that organizers edit."""
    return bool(_CLUTTER.fullmatch(path.name)) or any(part.startswith(".") for part in path.parts)


def webinar_files(folder: Path) -> list[Path]:
    """The webinars' files in their folder, sorted."""
    return sorted(path for path in folder.glob("*.toml") if not is_clutter(PurePath(path.name)))


LARGEST_READ = 1_000_000  # bytes read of one file; its reader reports that it is too large
MOST_FILES, MOST_BYTES = 5_000, 100_000_000  # read of one folder, in the order of the names
PATIENCE = 1.0  # seconds that a tick waits for a folder before it continues with what governs
HANGS_AFTER = 10.0  # seconds until a folder that does not answer is reported


class Folder:
    """A folder that is read again and again. A change counts once two consecutive reads agree."""

    def __init__(self, root: Path, pattern: str) -> None:
        self.root, self.pattern = root, pattern
        self._seen: dict[str, bytes] | None = None
        self._last: dict[str, bytes] | None = None
        self._returned: dict[str, bytes] | None = None
        self.is_too_full = False
        self.problem: Problem | None = None
        """Why the last read failed for the folder or a file in it."""

    def read(self) -> dict[str, bytes]:
        """Every matching file by its path below the root, cut after LARGEST_READ bytes. Files that cannot be read,
        pipes and devices are left out."""
        found: dict[str, bytes] = {}
        problem = self._access_problem()
        size, paths = 0, self._paths()
        for path in paths[:MOST_FILES]:
            try:
                content = _read(path)
            except PermissionError as error:
                problem = problem or _closed(path, error)
            except OSError:
                continue
            else:
                size += len(content)
                if size > MOST_BYTES:
                    break
                found[path.relative_to(self.root).as_posix()] = content
        self.problem = problem
        self.is_too_full = len(paths) > MOST_FILES or size > MOST_BYTES
        return found

    def _access_problem(self) -> Problem | None:
        """Why the folder, or one of the folders in it, cannot be listed; None if it can."""
        within = self.root / self.pattern.rpartition("/")[0]
        folder = self.root if within.name == "*" else within
        try:
            entries = [Path(one.path) for one in os.scandir(folder)]
            if within.name == "*":
                for folder in filter(lambda one: one.is_dir() and self._is_organizers(one), entries):
                    os.scandir(folder).close()
        except PermissionError as error:
            return _closed(folder, error)
        except (FileNotFoundError, NotADirectoryError):
            place = f"the folder {folder.absolute()}"
            return Problem(place, "is not there", hint=f"it was looked for from {Path.cwd()}")
        except OSError:  # a network folder that does not answer
            return None
        return None

    def _paths(self) -> list[Path]:
        try:
            return sorted(path for path in self.root.glob(self.pattern) if self._is_organizers(path))
        except OSError:  # a network folder that does not answer
            return []

    def _is_organizers(self, path: Path) -> bool:
        return not is_clutter(path.relative_to(self.root))

    def read_once(self) -> dict[str, bytes]:
        """The files now, at a start: no second read has to agree."""
        self._seen = self._last = self._returned = self.read()
        return self._last

    @property
    def returned(self) -> dict[str, bytes] | None:
        """The files that were returned last; None: none yet."""
        return self._returned

    def return_again(self) -> None:
        """Let `poll` return the same files again: the caller failed to absorb them."""
        self._last = None

    def poll(self) -> dict[str, bytes] | None:
        """The files if two consecutive reads agree and they differ from those returned last; else None."""
        before, self._seen = self._seen, self.read()
        if self._seen != before or self._seen == self._last:
            return None
        self._last = self._returned = self._seen
        return self._last


def _closed(path: Path, error: OSError) -> Problem:
    return Problem(str(path.absolute()), not_for_this_user(error), hint=way_in(path, error))


def _read(path: Path) -> bytes:
    """The content of a file, cut after LARGEST_READ bytes. Raises OSError, also if it is not a regular file: opening a
    pipe would wait for a writer."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(f"{path} is not a regular file")
        return file.read(LARGEST_READ + 1)


class Watch:
    """Reads a folder in a daemon thread, one read at a time, while the event loop goes on. A network folder may hang
    for ever; it must neither use up threads of the common pool nor keep the process from ending."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self._begun: float | None = None  # by time.monotonic(), while a read is under way
        self._done = asyncio.Event()
        self._found: dict[str, bytes] | None = None
        self._error: Exception | None = None

    @property
    def note(self) -> str:
        """A note for operators about the folder, or ""."""
        if self._begun is not None and time.monotonic() - self._begun > HANGS_AFTER:
            return f"the folder {self.folder.root} does not answer: edits in it have no effect until it does"
        if self.folder.is_too_full:
            limits = f"{MOST_FILES} files or {MOST_BYTES // 1_000_000} MB"
            return (
                f"the folder {self.folder.root} has more than {limits}: the last files by name are not read"
            )
        return ""

    async def read_once(self) -> dict[str, bytes] | None:
        """`Folder.read_once`; None after HANGS_AFTER without an answer; `poll` returns the files later."""
        return await self._ask(self.folder.read_once, HANGS_AFTER)

    async def poll(self) -> dict[str, bytes] | None:
        """`Folder.poll`, or the result of an earlier read that took longer than its tick."""
        return await self._ask(self.folder.poll, PATIENCE)

    async def _ask(
        self, read: Callable[[], dict[str, bytes] | None], patience: float
    ) -> dict[str, bytes] | None:
        now = time.monotonic()
        if self._begun is None:
            self._begun, self._done = now, asyncio.Event()
            arguments = (read, self._done, asyncio.get_running_loop())
            threading.Thread(target=self._run, args=arguments, name="folder", daemon=True).start()
        with suppress(TimeoutError):
            async with asyncio.timeout(max(self._begun + patience - now, 0)):
                await self._done.wait()
        if not self._done.is_set():
            return None
        self._begun = None
        found, error, self._found, self._error = self._found, self._error, None, None
        if error:
            raise error
        return found

    def _run(
        self,
        read: Callable[[], dict[str, bytes] | None],
        done: asyncio.Event,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        try:
            self._found = read()
        except Exception as error:  # raised again in `_ask`
            self._error = error
        with suppress(RuntimeError):  # the loop has ended in the meantime
            loop.call_soon_threadsafe(done.set)
