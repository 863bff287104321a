"""Explains why a file or folder can't be used: its whole path, the process's user, and what to do."""

from __future__ import annotations

import errno
import os
import pwd
from pathlib import Path


def refused(path: Path, error: OSError, folder: Path | None = None) -> str:
    """A sentence for the operator. `folder`: what the user needs access to; the path itself by default."""
    return f"{path.absolute()} {not_for_this_user(error)}: {way_in(folder or path, error)}"


def not_for_this_user(error: OSError) -> str:
    """The system's error, and the user it was for."""
    return f"can't be used by the user {this_user()} ({(error.strerror or type(error).__name__).lower()})"


def this_user() -> str:
    """The name of this process's user; the user id where it has no name."""
    return _name(os.geteuid())


def way_in(path: Path, error: OSError) -> str:
    """How to fix it."""
    if error.errno == errno.EROFS:
        return "it is mounted read-only"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "make room on its disk"
    if error.errno not in (errno.EACCES, errno.EPERM):
        return "see what is there"
    there = _there(path.absolute())
    return f"let that user read and write {there}, or run as its owner, {_owner(there)}"


def _name(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _there(path: Path) -> Path:
    """The path itself, or the nearest folder above it that is visible."""
    for one in (path, *path.parents):
        try:
            one.lstat()
        except OSError:
            continue
        return one
    return path


def _owner(path: Path) -> str:
    try:
        return _name(path.stat().st_uid)
    except OSError:
        return "which is not to be seen"
