"""Child processes: their environment, their limits, and how they are ended."""

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

MEMORY = 256 * 2**20  # bytes, in addition to what Python and the imported modules use


def child_environment() -> dict[str, str]:
    """The environment of a process that fills in organizers' texts: the variables that Python needs, and none of
    the service's settings, some of which are secrets."""
    return {
        name: value for name, value in os.environ.items() if name in _OF_PYTHON or name.startswith("PYTHON")
    }


def kill(child: asyncio.subprocess.Process) -> None:
    """Kill a child at once. Unlike `child.kill`, this does not poll first, which may reap the child before asyncio
    does; asyncio would warn of that."""
    if child.returncode is None:
        with suppress(ProcessLookupError):
            os.kill(child.pid, signal.SIGKILL)


def let_timer_end_it() -> None:
    """Let SIGPROF end this process, even if the process that started the service ignores or blocks it."""
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGPROF})


def limit_memory() -> None:
    """Limit this process to MEMORY bytes more than it uses now."""
    statm = Path("/proc/self/statm")
    # Other systems than Linux do not say how much is in use, and count RLIMIT_AS differently.
    if statm.exists():
        most = int(statm.read_text().split()[0]) * resource.getpagesize() + MEMORY
        _, hard = resource.getrlimit(resource.RLIMIT_AS)  # raising it needs a privilege
        soft = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
