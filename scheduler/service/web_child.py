"""The service's side of the web process: starts, watches, restarts and ends it."""

from __future__ import annotations

import asyncio
import pickle
import select
import socket
import sys

import structlog

from scheduler import metrics
from scheduler.child_process import child_environment, kill
from scheduler.readiness import Kind, Reason
from scheduler.web_link import WHY, WebSettings

log = structlog.get_logger()

FIRST_PAUSE, LAST_PAUSE = 1.0, 60.0  # seconds before a restart
_MALLOC = {"MALLOC_ARENA_MAX": "2", "MALLOC_MMAP_THRESHOLD_": "1000000"}
"""mallopt(3): its threads share memory, and give back what a password or a large mail took."""
LONGEST = 1000  # bytes read at once
QUIET_SECONDS = 30.0  # without a sign of life until it is killed
END_SECONDS = 8.0  # to end before it is killed


class WebChild:
    """One web process, while the service runs. Mails go out without it."""

    def __init__(self, settings: WebSettings) -> None:
        self.trouble: Reason | None = None
        """Why there is none now."""
        self._settings = settings
        self._keeping: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start it in a task; returns at once."""
        self._keeping = asyncio.create_task(self._keep_running(), name="web process")

    async def stop(self) -> None:
        """End it. May be called again."""
        if self._keeping:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)
        self._keeping = None

    async def _keep_running(self) -> None:
        pause, loop = FIRST_PAUSE, asyncio.get_running_loop()
        while True:
            began = loop.time()
            try:
                kind, why = await self._run()
            except OSError as error:  # no process or descriptor is available
                kind, why = Kind.WEB, error.strerror or type(error).__name__
            words = f"the web process ended ({why}): its pages are off until it is started again"
            self.trouble = Reason(kind, words)
            metrics.WEB_UP.set(0)
            metrics.WEB_ENDS.inc()
            log.warning("web process ended", reason=why)
            pause = FIRST_PAUSE if loop.time() - began > LAST_PAUSE else min(2 * pause, LAST_PAUSE)
            await asyncio.sleep(pause)

    async def _run(self) -> tuple[Kind, str]:
        """Run one process from start to end; returns why it ended. Raises OSError."""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            child = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "scheduler.web.process",
                stdin=theirs.fileno(),
                env=child_environment() | _MALLOC,
            )
            theirs.close()
            try:
                ours.setblocking(False)
                await asyncio.get_running_loop().sock_sendall(ours, pickle.dumps(self._settings))
                return await self._watch(ours, child)
            finally:
                ours.close()
                await _end(child)

    async def _watch(self, ours: socket.socket, child: asyncio.subprocess.Process) -> tuple[Kind, str]:
        said = b""
        while True:
            try:
                async with asyncio.timeout(QUIET_SECONDS):
                    said += await asyncio.get_running_loop().sock_recv(ours, LONGEST)
            except TimeoutError:
                if _is_waiting(ours):  # this process was suspended, not the child
                    continue
                kill(child)
                return Kind.WEB, f"it gave no sign of life for {QUIET_SECONDS:g} s"
            except ConnectionError:
                return Kind.WEB, f"exit {await child.wait()}"
            if not said or WHY in said:
                code, why = await child.wait(), said.partition(WHY)[2].decode(errors="replace")
                return (Kind.WEB_PORT, why) if why else (Kind.WEB, f"exit {code}")
            said, self.trouble = b"", None
            metrics.WEB_UP.set(1)


def _is_waiting(ours: socket.socket) -> bool:
    """Whether there is something to read."""
    return bool(select.select([ours], [], [], 0)[0])


async def _end(child: asyncio.subprocess.Process) -> None:
    """Wait for it to end after its socket was closed; kill it if it does not."""
    try:
        async with asyncio.timeout(END_SECONDS):
            await child.wait()
    except TimeoutError:
        kill(child)
        await child.wait()
