"""packaging/webinar.service, read by systemd's own tools, and compared with all that a running service asks the kernel
for."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from scheduler.settings import SECRETS, Settings, read_settings
from tests.endtoend.support import HOST, PASSWORD, USER, free_port, on_the_real_clock, people, scene, until
from tests.smtp_server import ca_file

UNIT = Path("packaging/webinar.service")
A_START, FOR_ITS_DATABASE = 10, 60  # seconds that a start takes, and waits
ALLOWED_FAMILIES = {"AF_UNIX", "AF_INET", "AF_INET6"}


def values(name: str) -> list[str]:
    """Of all lines of that name, in their order."""
    return re.findall(rf"^{name}=(.*)$", UNIT.read_text("utf-8"), re.MULTILINE)


def value(name: str) -> str:
    (found,) = values(name)
    return found


def seconds(name: str) -> float:
    return float(value(name).removesuffix("s"))


def not_run(why: str) -> None:
    """What can't start is a failure, never a skip."""
    pytest.fail(f"NOT RUN: {why}", pytrace=False)


def test_a_stop_has_longer_than_mails_on_the_wire() -> None:
    assert seconds("TimeoutStopSec") > Settings().drain_seconds
    assert value("KillSignal") == "SIGTERM"
    assert value("KillMode") == "mixed", "the service ends its own processes"


def test_it_is_started_again_and_given_up_only_where_each_start_fails_at_once() -> None:
    assert (value("Type"), value("NotifyAccess")) == ("notify", "main")
    assert seconds("WatchdogSec") > 0
    assert value("Restart") == "on-failure"
    assert values("RestartPreventExitStatus") == [], "2: also of a database that is away"
    limit, tries = (
        60 * float(value("StartLimitIntervalSec").removesuffix("min")),
        int(value("StartLimitBurst")),
    )
    assert tries * (seconds("RestartSec") + A_START) < limit, "what fails at once is given up"
    assert tries * (seconds("RestartSec") + FOR_ITS_DATABASE) > limit, "what waits is not"


def test_its_settings_are_sound_and_its_secrets_are_files_that_it_is_handed(tmp_path: Path) -> None:
    environ = dict(pair.split("=", 1) for line in values("Environment") for pair in line.split())
    handed = {line.split(":")[0] for line in values("LoadCredential")}
    files = {name: path for name, path in environ.items() if name.endswith("_FILE")}
    assert {path.removeprefix("%d/") for path in files.values()} == handed
    assert {name.removesuffix("_FILE") for name in files} <= set(SECRETS)
    for name in handed:
        (tmp_path / name).write_text("hush")
    state = environ["DATABASE_URL"].removeprefix("sqlite:////")
    assert state.startswith(f"var/lib/{value('StateDirectory')}/")
    assert f"/{state}".startswith(value("WorkingDirectory"))
    folders = {"CONFIG_DIR": "config", "TEMPLATES_DIR": "templates"}
    read_settings(
        environ | folders | {name: path.replace("%d", str(tmp_path)) for name, path in files.items()}
    )


@pytest.mark.full  # Debian's systemd, which need not run
def test_systemd_finds_nothing_wrong_and_little_exposed(tmp_path: Path) -> None:
    if not shutil.which("systemd-analyze"):
        not_run("no systemd-analyze (apt-get install --no-install-recommends systemd)")
    program = Path(sys.executable).with_name("webinar")
    unit = tmp_path / "webinar.service"
    unit.write_text(UNIT.read_text("utf-8").replace("/opt/webinar/bin/webinar", str(program)))
    for check in (["verify", "--man=no"], ["security", "--offline=true", "--threshold=15"]):
        done = subprocess.run(
            ["systemd-analyze", *check, str(unit)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "webinar.service:" not in done.stderr, "an unknown or ignored line"


@pytest.mark.full  # Debian's strace, which makes everything slow
@on_the_real_clock
async def test_a_service_asks_the_kernel_for_nothing_that_the_unit_denies(tmp_path: Path) -> None:
    """From its start to its end, with the web process, texts that are tried, a mail and a password."""
    if not shutil.which("strace"):
        not_run("no strace (apt-get install --no-install-recommends strace)")
    calls, port, health = tmp_path / "calls", free_port(), free_port()
    async with scene(tmp_path, f"sqlite:///{tmp_path}/webinar.db") as here:
        here.webinar()
        environ = {
            "PATH": os.environ["PATH"], "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
            "DATABASE_URL": here.sql.url, "CONFIG_DIR": str(here.config), "TEMPLATES_DIR": str(here.templates),
            "SMTP_HOST": here.relay.host, "SMTP_PORT": str(here.relay.port), "SMTP_CA_FILE": ca_file(),
            "SMTP_USERNAME": USER, "SMTP_PASSWORD": PASSWORD,
            "HEALTH_PORT": str(health), "EDITOR_PORT": str(port),
        }  # fmt: skip
        webinar = str(Path(sys.executable).with_name("webinar"))
        tracing = ["strace", "--follow-forks", "--quiet=all", f"--output={calls}", "--decode-fds=none"]
        service = await asyncio.create_subprocess_exec(
            *tracing, webinar, "run", env=environ, cwd=tmp_path, stderr=subprocess.DEVNULL
        )
        async with httpx.AsyncClient(base_url=f"http://{HOST}:{port}") as client:

            async def answers() -> bool:
                try:
                    return (await client.get("/templates/sign-in")).is_success
                except httpx.TransportError:
                    return False

            await until(answers, "the editor answers", within=60)
            tried = {"address": "nobody@who.int", "password": "four words make one"}
            assert (await client.post("/templates/sign-in", data=tried)).status_code == 403
        here.sql.register(people(1))
        await until(lambda: here.relay.of("confirmation"), "a mail", within=60)
        traced = next(int(line.split()[0]) for line in calls.read_text().splitlines())
        os.kill(traced, signal.SIGTERM)
        assert await service.wait() == 0
    lines = calls.read_text().splitlines()
    made = {found[1] for line in lines if (found := re.match(r"\d+ +(\w+)\(", line))}
    assert {"execve", "setpriority", "sendto", "prlimit64"} <= made, "all of it was seen"
    assert made - allowed_calls() == set()
    assert {family for line in lines for family in re.findall(r"socket\((AF_\w+)", line)} <= ALLOWED_FAMILIES
    both = [line for line in lines if "PROT_WRITE|PROT_EXEC" in line]
    assert both == [], "MemoryDenyWriteExecute"


def allowed_calls() -> set[str]:
    """By the unit's SystemCallFilter, as this machine's systemd knows the groups."""
    allowed: set[str] = set()
    for group in values("SystemCallFilter"):
        members = _members(group.removeprefix("~"))
        allowed = allowed - members if group.startswith("~") else allowed | members
    return allowed | {
        "fchown"
    }  # of SQLite, where it is run by root: its files belong to whom the first one does


def _members(group: str) -> set[str]:
    done = subprocess.run(
        ["systemd-analyze", "syscall-filter", group], capture_output=True, text=True, check=True
    )
    names = [line.strip() for line in done.stdout.splitlines() if line.startswith("    ")]
    return {
        call
        for name in names
        if not name.startswith("#")
        for call in (_members(name) if name.startswith("@") else {name})
    }
