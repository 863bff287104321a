"""Pictures of pages, all by one process of Chromium: it starts for as long as twenty pictures take."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

_PATIENCE = 60  # seconds for one answer


class Browser:
    """Chromium over the DevTools protocol (https://chromedevtools.github.io/devtools-protocol/)."""

    def __init__(self, program: str) -> None:
        self._profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        reads, self._commands = os.pipe()
        self._answers, writes = os.pipe()
        # Chromium reads commands from 3 and writes answers to 4. First out of the way, for either may be one of these.
        theirs = [fcntl.fcntl(one, fcntl.F_DUPFD_CLOEXEC, 10) for one in (reads, writes)]
        silent = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_WRONLY, 0) for number in (1, 2)]
        pipes = [(os.POSIX_SPAWN_DUP2, one, number) for one, number in zip(theirs, (3, 4), strict=True)]
        options = [
            "--headless", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
            "--disable-background-networking", "--disable-component-update", f"--user-data-dir={self._profile.name}",
        ]  # fmt: skip
        self._pid = os.posix_spawn(program, [program, *options], os.environ, file_actions=[*silent, *pipes])
        for one in (reads, writes, *theirs):
            os.close(one)
        self._rest, self._number, self._session = b"", 0, ""

    def __enter__(self) -> Self:
        """Open a page. Raises subprocess.SubprocessError."""
        try:
            target = self._ask("Target.createTarget", url="about:blank")["targetId"]
            self._session = self._ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            self._ask("Page.enable")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        os.close(self._commands)
        os.close(self._answers)
        self._profile.cleanup()

    def picture(self, page: Path, width: int, height: int) -> bytes:
        """The page as a PNG of this size (CSS pixels). Raises subprocess.SubprocessError."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._ask("Emulation.setDeviceMetricsOverride", **size)
        self._ask("Page.navigate", url=page.resolve().as_uri())
        while self._hear().get("method") != "Page.loadEventFired":
            pass
        shot = self._ask("Page.captureScreenshot", format="png", optimizeForSpeed=True)
        return base64.b64decode(shot["data"])

    def _ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        session = {"sessionId": self._session} if self._session else {}
        command = {"id": self._number, "method": method, "params": parameters} | session
        try:
            os.write(self._commands, json.dumps(command).encode() + b"\0")
        except OSError:
            raise subprocess.SubprocessError("the browser has ended") from None
        while (said := self._hear()).get("id") != self._number:
            pass
        if "error" in said:
            raise subprocess.SubprocessError(str(said["error"].get("message")))
        result: dict[str, Any] = said["result"]
        return result

    def _hear(self) -> dict[str, Any]:
        """The next answer or event; each ends with a NUL."""
        end = time.monotonic() + _PATIENCE
        while b"\0" not in self._rest:
            if not select.select([self._answers], [], [], max(0, end - time.monotonic()))[0]:
                raise subprocess.TimeoutExpired("the browser", _PATIENCE)
            if not (more := os.read(self._answers, 1 << 20)):
                raise subprocess.SubprocessError("the browser has ended")
            self._rest += more
        one, _, self._rest = self._rest.partition(b"\0")
        said: dict[str, Any] = json.loads(one)
        return said
