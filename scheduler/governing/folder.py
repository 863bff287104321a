"""A folder that organizers edit, watched by what its files hold: inotify misses bind mounts and NFS."""

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
    """Whether a file is clearly none of an organizer's, by its name: what editors, systems and version control leave
    behind. `path` is relative to the folder that organizers edit."""
    return bool(_CLUTTER.fullmatch(path.name)) or any(part.startswith(".") for part in path.parts)


def webinar_files(folder: Path) -> list[Path]:
    """The webinars' files in their folder, in order."""
    return sorted(path for path in folder.glob("*.toml") if not is_clutter(PurePath(path.name)))


LARGEST_READ = 1_000_000  # bytes of one file; of a larger one whoever reads it says that it is too large
MOST_FILES, MOST_BYTES = 5_000, 100_000_000  # of one folder; the files behind them, by name, are not read
PATIENCE = 1.0  # seconds that a tick waits for a folder; then it goes on with what governs
HANGS_AFTER = 10.0  # seconds after which a folder that does not answer is named


class Folder:
    """Reads a folder again and again; a change counts once two reads in a row found the same."""

    def __init__(self, root: Path, pattern: str) -> None:
        self.root, self.pattern = root, pattern
        self._seen: dict[str, bytes] | None = None
        self._settled: dict[str, bytes] | None = None
        self._given: dict[str, bytes] | None = None
        self.is_too_full = False
        self.problem: Problem | None = None
        """Why the folder, or a file in it, could not be read the last time."""

    def read(self) -> dict[str, bytes]:
        """Every matching file by its path below the root, as far as `LARGEST_READ`. A file that can't be read, or is no
        file but a pipe or a device, counts as not there."""
        found: dict[str, bytes] = {}
        problem = self._why_not()
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

    def _why_not(self) -> Problem | None:
        """Why nothing can be found here, or below one of its folders."""
        within = self.root / self.pattern.rpartition("/")[0]
        folder = self.root if within.name == "*" else within
        try:
            entries = [Path(one.path) for one in os.scandir(folder)]
            if within.name == "*":
                for folder in filter(lambda one: one.is_dir() and self._is_theirs(one), entries):
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
            return sorted(path for path in self.root.glob(self.pattern) if self._is_theirs(path))
        except OSError:  # a network folder that does not answer
            return []

    def _is_theirs(self, path: Path) -> bool:
        return not is_clutter(path.relative_to(self.root))

    def settle(self) -> dict[str, bytes]:
        """What is there now, without waiting for a second read: for a start."""
        self._seen = self._settled = self._given = self.read()
        return self._settled

    @property
    def settled(self) -> dict[str, bytes] | None:
        """What was given out last; None: nothing yet."""
        return self._given

    def again(self) -> None:
        """What was given out last could not be taken in: give it out again."""
        self._settled = None

    def poll(self) -> dict[str, bytes] | None:
        """The files, when they differ from what was last given out and two reads in a row agree; else None."""
        before, self._seen = self._seen, self.read()
        if self._seen != before or self._seen == self._settled:
            return None
        self._settled = self._given = self._seen
        return self._settled


def _closed(path: Path, error: OSError) -> Problem:
    return Problem(str(path.absolute()), not_for_this_user(error), hint=way_in(path, error))


def _read(path: Path) -> bytes:
    """A file's content, cut behind `LARGEST_READ`. Raises OSError, also where it is not a regular file: opening a pipe
    would wait for whoever writes into it."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(f"{path} is not a regular file")
        return file.read(LARGEST_READ + 1)


class Watch:
    """Reads a folder beside the event loop, in a daemon thread of its own: a network folder may hang for ever, which
    must neither take a thread of the common pool each time nor keep the process from ending. One read at a time."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self._begun: float | None = None  # by time.monotonic(), while a read is under way
        self._done = asyncio.Event()
        self._found: dict[str, bytes] | None = None
        self._error: Exception | None = None

    @property
    def note(self) -> str:
        """What is to be known of the folder, or ""."""
        if self._begun is not None and time.monotonic() - self._begun > HANGS_AFTER:
            return (
                f"the folder {self.folder.root} does not answer: what governs goes on, and edits are not seen"
            )
        if self.folder.is_too_full:
            limits = f"{MOST_FILES} files or {MOST_BYTES // 1_000_000} MB"
            return f"the folder {self.folder.root} has more than {limits}: what stands behind is not read"
        return ""

    async def settle(self) -> dict[str, bytes] | None:
        """`Folder.settle`; None where the folder does not answer in `HANGS_AFTER`: what it holds is polled later."""
        return await self._ask(self.folder.settle, HANGS_AFTER)

    async def poll(self) -> dict[str, bytes] | None:
        """`Folder.poll`, or what an earlier read found that took longer than the tick which began it."""
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
        except Exception as error:  # raised where it is waited for
            self._error = error
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(done.set)
