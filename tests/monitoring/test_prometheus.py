"""Prometheus itself, from Debian: it judges rules and metrics, scrapes a service, and has an alert fire and end."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.endtoend.support import Scene, free_port, on_the_real_clock, scene, until
from tests.monitoring.rules import FOLDER
from tests.smtp_server import HOST

pytestmark = pytest.mark.full

ALERTS = FOLDER / "alerts.yml"


def _promtool(*arguments: str, given: bytes | None = None) -> str:
    done = subprocess.run(["promtool", *arguments], input=given, capture_output=True, check=False)
    said = (done.stdout + done.stderr).decode()
    assert done.returncode == 0, said
    return said


def test_the_rules_and_the_configuration_are_sound() -> None:
    assert "SUCCESS" in _promtool("check", "rules", str(ALERTS))
    assert "SUCCESS" in _promtool("check", "config", str(FOLDER / "prometheus.yml"))


def test_each_rule_fires_when_it_should_and_not_else() -> None:
    assert "SUCCESS" in _promtool("test", "rules", str(Path(__file__).parent / "alerts_test.yml"))


def _body(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return bytes(answer.read())


@asynccontextmanager
async def _prometheus(folder: Path, port: int) -> AsyncIterator[str]:
    """A Prometheus with our rules that looks every 0.2 s, and by which nothing need last; its address."""
    own = free_port()
    rules = ALERTS.read_text("utf-8").replace("        for: ", "        # for: ")
    (folder / "alerts.yml").write_text(rules, "utf-8")
    configured = (FOLDER / "prometheus.yml").read_text("utf-8")
    configured = configured.replace("127.0.0.1:8080", f"{HOST}:{port}").replace("15s", "200ms")
    (folder / "prometheus.yml").write_text(configured, "utf-8")
    log = (folder / "prometheus.log").open("wb")
    process = await asyncio.create_subprocess_exec(
        "prometheus", f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={HOST}:{own}", stderr=log, stdout=log,
    )  # fmt: skip
    try:
        yield f"http://{HOST}:{own}"
    finally:
        process.kill()
        await process.wait()
        log.close()


async def _firing(url: str) -> set[str]:
    def ask() -> set[str]:
        try:
            found: dict[str, Any] = json.loads(_body(f"{url}/api/v1/alerts"))
        except OSError:
            return {"not up yet"}
        return {one["labels"]["alertname"] for one in found["data"]["alerts"] if one["state"] == "firing"}

    return await asyncio.to_thread(ask)


async def _healthy(url: str) -> bool:
    def ask() -> bool:
        try:
            found = json.loads(_body(f"{url}/api/v1/targets"))["data"]["activeTargets"]
        except OSError:
            return False
        return [one["health"] for one in found] == ["up"]

    return await asyncio.to_thread(ask)


async def _are(url: str, *alerts: str) -> None:
    """Wait until exactly these fire."""

    async def looked() -> bool:
        return await _firing(url) == set(alerts)

    await until(looked, f"exactly {alerts} fire")


@on_the_real_clock
async def test_alerts_of_a_running_service_fire_and_end_and_its_metrics_are_well_formed(
    tmp_path: Path,
) -> None:
    assert shutil.which("prometheus"), "Debian's package prometheus is needed"
    async with scene(tmp_path, f"sqlite:///{tmp_path}/webinar.db") as here:
        await _watch(here, tmp_path)


async def _watch(here: Scene, folder: Path) -> None:
    here.webinar()
    service = await here.run()
    await service.ready()
    here.sql.register(["first@people.test"])
    await here.relay.took(1)
    async with _prometheus(folder, service.port) as url:
        await until(lambda: _healthy(url), "scraped")
        await _are(url)
        password = here.relay.users.popitem()
        here.sql.register(["second@people.test"])
        await here.relay.hang_up()
        await _are(url, "WebinarRelayRefuses", "WebinarRelayDown", "WebinarNotReady")
        here.relay.users[password[0]] = password[1]
        await service.kill()
        await _are(url, "WebinarServiceDown")
        again = await here.run(HEALTH_PORT=str(service.port))
        await again.ready()
        await _are(url)
        await here.relay.took(2)
    body = await asyncio.to_thread(_body, f"http://{HOST}:{service.port}/metrics")
    assert _promtool("check", "metrics", given=body) == ""
    for secret in (b"people.test", b"Registrantname", b"Wo7-relay-secret"):
        assert secret not in body
