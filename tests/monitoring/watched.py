"""A whole service in the test's own loop, on the real clock, and what it says of itself over HTTP."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from scheduler.clock import SteadyClock
from scheduler.database.engine import Database
from scheduler.service.process import Runner
from scheduler.settings import Settings
from tests.endtoend.support import free_port
from tests.monitoring.rules import Samples, crosses, samples
from tests.smtp_server import LoopbackServer, ca_file
from tests.support import Ledger, copy_texts, toml

CONFIRMATION_ONLY = '[[messages]]\nid = "confirmation"\non_registration = true\n'


class Watched:
    """What a running service answers."""

    def __init__(self, runner: Runner, ledger: Ledger, folder: Path, port: int) -> None:
        self.runner, self.ledger, self.folder, self._port = runner, ledger, folder, port
        self._start = (datetime.now(UTC) + timedelta(days=1)).replace(microsecond=0, tzinfo=None)

    async def metrics(self) -> Samples:
        return samples((await self._get("/metrics"))[1].decode())

    async def readyz(self) -> tuple[int, dict[str, Any]]:
        status, body = await self._get("/readyz")
        return status, json.loads(body)

    async def alerted(self, alert: str, later: float = 0.0) -> None:
        """Wait until the alert's expression holds."""
        await self._until(alert, True, later)

    async def is_over(self, alert: str, later: float = 0.0) -> None:
        """Wait until it does not, and for a service that is ready."""
        await self._until(alert, False, later)

    async def shows(self, metric: str, value: float = 1, **labels: str) -> None:
        """Wait until the metric has this value."""

        async def looked() -> bool:
            return (await self.metrics()).get((metric, frozenset(labels.items()))) == value

        await until_async(looked, f"{metric} {labels}: {value}")

    async def ready(self) -> None:
        await until_async(self._is_ready, "ready")

    def edit(self, **changed: Any) -> None:
        """The webinar's file; it is tomorrow."""
        times = {"start": self._start, "end": self._start + timedelta(hours=2)}
        keys = {"zone": "Africa/Abidjan", "languages": ["en"], **times}
        path = self.folder / "webinars" / "w.toml"
        fresh = path.with_suffix(".new")
        fresh.write_text(toml(changed.pop("sequence", CONFIRMATION_ONLY), **(keys | changed)), "utf-8")
        fresh.replace(path)

    async def _until(self, alert: str, holds: bool, later: float) -> None:
        async def looked() -> bool:
            return crosses(alert, await self.metrics(), later) is holds

        await until_async(looked, f"{alert}: {holds}")

    async def _is_ready(self) -> bool:
        return (await self.readyz())[0] == 200

    async def _get(self, path: str) -> tuple[int, bytes]:
        def ask() -> tuple[int, bytes]:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self._port}{path}", timeout=10) as answer:
                    return answer.status, answer.read()
            except urllib.error.HTTPError as error:
                with error:
                    return error.code, error.read()

        return await asyncio.to_thread(ask)


async def until_async(condition: Callable[[], Any], what: str) -> None:
    try:
        async with asyncio.timeout(40):
            while not await condition():  # noqa: ASYNC110 (what a server answers, nobody here sets)
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"not in time: {what}") from None


@asynccontextmanager
async def watched(
    folder: Path,
    database: Database,
    server: LoopbackServer | int,
    clock: SteadyClock | None = None,
    prepare: Callable[[Path], object] = lambda folder: None,
    **more: Any,
) -> AsyncIterator[Watched]:
    """A service with one live webinar tomorrow, that sends over `server`, or to a port where there may be none.

    `prepare` changes the folder before it starts.
    """
    (folder / "webinars").mkdir()
    copy_texts(folder / "templates", "en")
    port = free_port()
    given = {
        "database_url": database.engine.url.render_as_string(hide_password=False),
        "config_dir": folder,
        "templates_dir": folder / "templates",
        "state_dir": folder / "state",
        "smtp_host": "127.0.0.1",
        "smtp_port": server if isinstance(server, int) else server.port,
        "smtp_ca_file": ca_file(),
        "smtp_tls": "none",
        "health_host": "127.0.0.1",
        "health_port": port,
        "editor": "off",
        "poll_seconds": 0.1,
        "drain_seconds": 0,
    }
    runner = Runner(Settings.model_validate(given | more), database, clock or SteadyClock())
    here = Watched(runner, Ledger(database), folder, port)
    here.edit()
    prepare(folder)
    stop = asyncio.Event()
    running = asyncio.create_task(runner.run(stop))
    try:
        await until_async(lambda: _listens(port), "listening")
        yield here
    finally:
        stop.set()
        await running


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True
