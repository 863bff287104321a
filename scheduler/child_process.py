"""Child processes: their environment, their limits, and their end."""

from __future__ import annotations

import os
import resource
import signal
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

_OF_PYTHON = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "TMPDIR")


MEMORY = 256 * 2**20  # bytes, on top of what Python and the modules take


def child_environment() -> dict[str, str]:
    """The environment variables of a process that fills in organizers' texts: what Python needs, and no setting of the
    service, for some hold secrets."""
    return {
        name: value for name, value in os.environ.items() if name in _OF_PYTHON or name.startswith("PYTHON")
    }


def kill(child: asyncio.subprocess.Process) -> None:
    """End a child at once. `child.kill` looks first whether it has ended, and may reap it unseen by asyncio, which
    would warn of it."""
    if child.returncode is None:
        with suppress(ProcessLookupError):
            os.kill(child.pid, signal.SIGKILL)


def let_timer_end_it() -> None:
    """Let SIGPROF end this process, though whoever started the service may ignore or block it."""
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGPROF})


def limit_memory() -> None:
    """Let this process take MEMORY more than it has now."""
    statm = Path("/proc/self/statm")
    # Elsewhere than on Linux nothing tells how much is taken, and RLIMIT_AS counts differently.
    if statm.exists():
        most = int(statm.read_text().split()[0]) * resource.getpagesize() + MEMORY
        _, hard = resource.getrlimit(resource.RLIMIT_AS)  # who has no privilege can't raise it
        soft = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
