"""Small files that a service stores beside the database, in the folder STATE_DIR.

They may contain secrets: their contents must not appear in logs or errors.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import re
import stat
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from tempfile import mkstemp
from typing import BinaryIO

from scheduler.aside import Aside

LONGEST = 16 * 2**20  # bytes; a longer file is not ours
LOCK_PAUSE_SECONDS = 0.05  # between two tries to lock
HELD_SECONDS = 60.0  # that a lock may be held: a thread that has not ended by then hangs
LEFT_SECONDS = 3600.0  # after its last write a temporary file is a leftover of a killed process

RESERVE = "reserve"
RESERVE_BYTES = 2**20  # about 2,000 outcomes
FULL = (errno.ENOSPC, errno.EDQUOT)

_NO_FILE = "STATE_DIR has something else in the place of a file"

# A temporary file: `write` gives the prefix, and mkstemp adds eight characters. The folder may have files of others.
_LEFT = re.compile(r"\.(?:restored|reserve|(?:spool|ledger|database|refresh-token)-[\w.-]+)\.[a-z0-9_]{8}")


class StateDir:
    """Files of mode 0600 in one folder. Writes are atomic and durable, also after a power failure."""

    def __init__(self, folder: Path) -> None:
        """The folder is created with the first file."""
        self.folder = folder

    def path(self, name: str) -> Path:
        """The path of the file of this name. Raises ValueError for a name that leads out of the folder."""
        if not name or name.startswith(".") or Path(name).name != name:
            raise ValueError("not the name of a file in STATE_DIR")
        return self.folder / name

    def files(self) -> list[Path]:
        """All entries of the folder; none if it does not exist. Raises OSError."""
        try:
            return list(self.folder.iterdir())
        except FileNotFoundError:
            return []

    def read(self, name: str, longest: int = LONGEST) -> bytes | None:
        """The content of a file; None if it does not exist. Raises OSError, and ValueError if it is no regular file or
        has more than `longest` bytes."""
        try:
            with _opened(self.path(name)) as opened:
                content = opened.read(longest + 1)
        except FileNotFoundError:
            return None
        if len(content) > longest:
            raise ValueError("a file in STATE_DIR is too long")
        return content

    def has(self, name: str) -> bool:
        """Whether this file exists, even if it can't be read. Raises OSError."""
        try:
            return stat.S_ISREG(self.path(name).lstat().st_mode)
        except (FileNotFoundError, NotADirectoryError):
            return False

    def write(self, name: str, content: bytes) -> None:
        """Replace the content of a file, durably. Raises OSError, and then the earlier content stays."""
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

    def reserve(self) -> None:
        """Reserve disk space for one file that must be written even if the disk is full. Raises OSError."""
        with suppress(FileNotFoundError):
            if self.path(RESERVE).lstat().st_size == RESERVE_BYTES:
                return
        self.write(
            RESERVE, os.urandom(RESERVE_BYTES // 2).hex().encode()
        )  # random, so that no file system compresses it

    def write_in_reserve(self, name: str, content: bytes) -> None:
        """Write a file in the reserved space, if the disk is full. Raises OSError, also if the content is too large or
        another service uses the space now."""
        reserve = self.path(RESERVE)
        with os.fdopen(os.open(reserve, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC), "r+b") as opened:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if len(content) > RESERVE_BYTES or not os.path.samestat(
                os.fstat(opened.fileno()), reserve.lstat()
            ):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            opened.write(content)
            opened.truncate()
            opened.flush()
            os.fsync(opened.fileno())
            reserve.replace(self.path(name))
        self._sync_folder()

    def remove(self, name: str) -> None:
        """Remove a file durably; no error if it does not exist. Raises OSError."""
        self.path(name).unlink(missing_ok=True)
        if self.folder.is_dir():
            self._sync_folder()

    def tidy(self) -> None:
        """Remove temporary files of this user's processes that were killed in `write`. Raises OSError."""
        if not self.folder.is_dir():
            return
        for path in filter(lambda one: _LEFT.fullmatch(one.name), list(self.folder.iterdir())):
            with suppress(FileNotFoundError):  # another service that shares the folder was first
                if _is_left(path.lstat()):
                    path.unlink()

    def _sync_folder(self) -> None:
        """Make the names of files durable."""
        descriptor = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _opened(path: Path) -> BinaryIO:
    """Open for reading, without following a link or waiting for a pipe. Raises OSError, and ValueError if it is no
    regular file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):  # a link, a socket
            raise ValueError(_NO_FILE) from None
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ValueError(_NO_FILE)
    return os.fdopen(descriptor, "rb")


class StateLock:
    """A lock that excludes other processes that share the folder. A thread of its own takes and releases it, so that a
    folder that hangs blocks nobody and leaves no lock behind."""

    def __init__(self, state: StateDir) -> None:
        self._state = state
        self._threads = Aside("STATE_DIR", HELD_SECONDS)

    @asynccontextmanager
    async def held(self, name: str, seconds: float) -> AsyncIterator[bool | None]:
        """Take the lock within `seconds`. Yields True: it is ours; False: another process holds it; None: locks do not
        work here."""
        loop, over = asyncio.get_running_loop(), threading.Event()
        ours: asyncio.Future[None] = loop.create_future()

        def taken() -> None:
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(ours.set_result, None)

        holding = asyncio.create_task(self._threads.run(partial(_hold, self._state.path(name), over, taken)))
        holding.add_done_callback(lambda task: task.cancelled() or task.exception())
        try:
            await asyncio.wait({ours, holding}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            yield True if ours.done() else None if holding.done() else False
        finally:
            over.set()


def _hold(path: Path, over: threading.Event, taken: Callable[[], None]) -> None:
    """Lock this file as soon as possible, call `taken`, and hold the lock until `over` is set. Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)) as opened:
        while not over.is_set():
            with suppress(BlockingIOError):
                fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
                taken()
                over.wait()
            over.wait(LOCK_PAUSE_SECONDS)


def _is_left(found: os.stat_result) -> bool:
    """Whether this is a leftover of a killed process of this user."""
    is_ours = (
        stat.S_ISREG(found.st_mode) and stat.S_IMODE(found.st_mode) == 0o600 and found.st_uid == os.geteuid()
    )
    return is_ours and found.st_nlink == 1 and time.time() - found.st_mtime > LEFT_SECONDS
