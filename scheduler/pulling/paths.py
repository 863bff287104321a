"""Reads a whole regular file below the operator's folder, without following symbolic links."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from scheduler.pulling.content import Content, SourceFails

FRESH_SECONDS = 60.0  # since its last change: it may still be being written
LOOK_AGAIN_SECONDS = 1.0


def read_path(folder: Path, path: str, into: Content) -> None:
    """Read a file into `into`. Raises SourceFails, also if it changes during the read."""
    with _opened(folder, path) as file:
        before = os.fstat(file.fileno())
        into.add_all(file)
        into.fresh = abs(time.time() - before.st_mtime) < FRESH_SECONDS
        if into.fresh:
            time.sleep(LOOK_AGAIN_SECONDS)
        if _state(os.fstat(file.fileno())) != _state(before) or into.octets != before.st_size:
            raise SourceFails(f"{path}: changes while it is read")


def _state(found: os.stat_result) -> tuple[int, int]:
    return found.st_size, found.st_mtime_ns


@contextmanager
def _opened(folder: Path, path: str) -> Iterator[IO[bytes]]:
    """Opens each part relative to its parent's descriptor, so that no part can be replaced by a link meanwhile."""
    *folders, name = PurePosixPath(path).parts
    with ExitStack() as stack:

        def opened(what: str | Path, flags: int, within: int | None) -> int:
            descriptor = os.open(what, flags | os.O_RDONLY | os.O_CLOEXEC, dir_fd=within)
            stack.callback(os.close, descriptor)
            return descriptor

        try:
            here = opened(folder, os.O_DIRECTORY, None)
        except OSError as error:
            raise SourceFails(f"SOURCES_DIR: {(error.strerror or 'cannot be read').lower()}") from None
        try:
            for part in folders:
                here = opened(part, os.O_DIRECTORY | os.O_NOFOLLOW, here)
            # O_NONBLOCK: do not wait for a pipe's writer.
            file = opened(name, os.O_NOFOLLOW | os.O_NONBLOCK, here)
        except OSError as error:
            raise SourceFails(f"{path}: {_why(error)}") from None
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise SourceFails(f"{path}: is not a regular file")
        try:
            yield stack.enter_context(os.fdopen(os.dup(file), "rb"))
        except OSError as error:
            raise SourceFails(f"{path}: {_why(error)}") from None


def _why(error: OSError) -> str:
    if error.errno in (errno.ELOOP, errno.ENOTDIR):
        return "is a symbolic link, or its parent is not a folder"
    return (error.strerror or "cannot be read").lower()
