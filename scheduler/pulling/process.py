"""Environment and limits of the process that reads a source."""

from __future__ import annotations

import os
import resource
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from scheduler.webinar.source import Source

NICENESS = 10
MEMORY = 768 * 2**20  # bytes, in addition to Python and its modules
SECONDS = 600  # of processor time
_OF_PYTHON = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "TMPDIR", "HOME")
_OF_DRIVERS = ("SSL_CERT_FILE", "SSL_CERT_DIR", "ODBCINI", "ODBCSYSINI", "ORACLE_HOME", "TNS_ADMIN")
_OURS = ("DATABASE_URL", "SOURCES_DIR", "SOURCES_HOSTS")


def environment_for(source: Source, environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that a pull of this source needs, without secrets of relays and other sources."""
    names = {*_OF_PYTHON, *_OF_DRIVERS}
    for name in filter(None, (*_OURS, source.variable)):
        names |= {name, f"{name}_FILE"}
    return {name: value for name, value in environ.items() if name in names or name.startswith("PYTHON")}


def limit_child() -> None:
    """Limit this process's memory and processor time, lower its priority, and let the kernel kill it first when memory
    is short."""
    with suppress(OSError):
        os.nice(NICENESS)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    statm = Path("/proc/self/statm")
    limits = {resource.RLIMIT_CPU: SECONDS, resource.RLIMIT_CORE: 0}
    if statm.exists():
        limits[resource.RLIMIT_AS] = int(statm.read_text().split()[0]) * resource.getpagesize() + MEMORY
    for which, most in limits.items():
        _, hard = resource.getrlimit(which)
        resource.setrlimit(which, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
