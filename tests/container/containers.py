"""The image, built and run by container/build.py and container/run.py with what compose.yaml says."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.smtp_server import MailServer, ca_file

PROJECT = Path(__file__).parent.parent.parent
USER = 10001
SIGN_IN = {"smtp_username": "webinar", "smtp_password": "a password"}


def not_run(why: str) -> None:
    """What can't start is a failure, never a skip."""
    pytest.fail(f"NOT RUN: {why}", pytrace=False)


def compose(*files: str, **environ: str) -> dict[str, Any]:
    """The services of compose files, with variables filled in, as docker-compose understands them."""
    if not shutil.which("docker-compose"):
        not_run("no docker-compose (apt-get install --no-install-recommends docker-compose)")
    arguments = [part for file in files for part in ("-f", file)]
    done = subprocess.run(
        ["docker-compose", *arguments, "config"],
        cwd=PROJECT, env=os.environ | environ, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    # Debian's own Python has the YAML reader that docker-compose uses.
    to_json = "import json, sys, yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout, default=str)"
    read = subprocess.run(
        ["/usr/bin/python3", "-c", to_json], input=done.stdout, capture_output=True, text=True, check=True
    )
    services: dict[str, Any] = json.loads(read.stdout)["services"]
    return services


@contextmanager
def built_once(shared: Path) -> Iterator[Path]:
    """The built image's folder, one for all test processes; the last one that lets go of it removes it."""
    folder = shared / "image"
    with (shared / "image.in-use").open("w") as in_use:
        with locked(shared / "image.lock"):
            if not folder.exists():
                folder.symlink_to(tempfile.mkdtemp(prefix="webinar-image-", dir=roomy(shared)))
                build(folder)
            fcntl.flock(in_use, fcntl.LOCK_SH)
        yield folder
        with locked(shared / "image.lock"), contextlib.suppress(BlockingIOError):
            fcntl.flock(in_use, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder.resolve())
            folder.unlink()


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """One process at a time."""
    with file.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def build(folder: Path) -> None:
    """Fails the test, and every later one that asks, where it can't."""
    done = subprocess.run(
        [sys.executable, "container/build.py", str(folder)],
        cwd=PROJECT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        shutil.rmtree(folder.resolve())
        folder.unlink()
    if done.stderr.startswith("NOT RUN"):
        not_run(done.stderr.removeprefix("NOT RUN: "))
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"


def roomy(otherwise: Path) -> Path:
    """Memory, where there is enough: a build writes a gigabyte in small files, and a disk that others use is slow."""
    memory = Path("/dev/shm")
    if not memory.is_dir() or os.statvfs(memory).f_flag & (os.ST_NOEXEC | os.ST_NODEV):
        return otherwise
    return memory if shutil.disk_usage(memory).free > 8e9 else otherwise


class Container:
    """One container of the service `webinar`, its mounts and variables as in the compose files."""

    def __init__(
        self, image: Path, name: str, service: Mapping[str, Any], sources: Mapping[str, Path]
    ) -> None:
        self._image, self._name = image, name
        self._log = sources["/data"].parent / f"{name}.log"
        self._options = ["--name", name]
        ports = {"HEALTH_PORT": free_port(), "EDITOR_PORT": free_port()}
        for variable, value in (service["environment"] | ports).items():
            self._options += ["--env", f"{variable}={value}"]
        for volume in service["volumes"]:
            target, mode = volume.split(":")[1:]
            self._options += ["--mount", f"{sources[target]}:{target}:{mode}"]
        for secret in service["secrets"]:
            target = f"/run/secrets/{secret['source']}"
            self._options += ["--mount", f"{sources[target]}:{target}:ro"]
        for target in sources.keys() - {"/data", "/config", "/templates"}:
            if not target.startswith("/run/secrets/"):
                self._options += ["--mount", f"{sources[target]}:{target}"]
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it, and wait until the image's HEALTHCHECK succeeds."""
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "container/run.py", *self._options, str(self._image), cwd=PROJECT, stderr=log
            )
        while (await self.health())[0] != 0:
            assert self._process.returncode is None, self.log()

    async def stop(self) -> int:
        """SIGTERM; the exit code."""
        assert self._process
        self._process.terminate()
        return await self._process.wait()

    async def health(self) -> tuple[int, str]:
        return await self._run("--health", str(self._image))

    async def exec(self, *command: str) -> tuple[int, str]:
        """Run a command in it. Returns its exit code and all that it said."""
        return await self._run("--exec", str(self._image), *command)

    def log(self) -> str:
        return self._log.read_text()

    async def _run(self, *arguments: str) -> tuple[int, str]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "container/run.py", "--name", self._name, *arguments,
            cwd=PROJECT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        said = (await process.communicate())[0].decode()
        assert process.returncode is not None
        return process.returncode, said

    async def __aenter__(self) -> Container:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process and self._process.returncode is None:
            await self.stop()


def free_port() -> int:
    """A port that nobody listens on: containers here share this machine's network."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def until(holds: Callable[[], bool], what: str, seconds: float = 60) -> None:
    """Waits for something that other processes do."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while not holds():  # noqa: ASYNC110 (another process makes it true)
                await asyncio.sleep(0.02)
    assert holds(), f"not within {seconds} s: {what}"


@asynccontextmanager
async def relay() -> AsyncIterator[MailServer]:
    """A real SMTP server that wants STARTTLS and the compose file's sign-in."""
    users = {SIGN_IN["smtp_username"]: SIGN_IN["smtp_password"]}
    async with MailServer(tls="starttls", users=users) as server:
        yield server


def prepared(folder: Path, webinar: str) -> dict[str, Path]:
    """A folder for each mount of the compose file, by where it goes in the container."""
    sources = {f"/{name}": folder / name for name in ("data", "config", "templates")}
    (sources["/config"] / "webinars").mkdir(parents=True)
    (sources["/config"] / "webinars" / "w.toml").write_text(webinar)
    shutil.copy(ca_file(), sources["/config"] / "relay-ca.pem")
    (sources["/config"] / "relay-ca.pem").chmod(0o644)
    shutil.copytree(PROJECT / "templates", sources["/templates"])
    sources["/data"].mkdir()
    os.chown(sources["/data"], USER, USER)  # as an engine does for a new volume: as /data is in the image
    for name, value in SIGN_IN.items():
        sources[f"/run/secrets/{name}"] = secret(folder, name, value)
    return sources


def secret(folder: Path, name: str, value: str) -> Path:
    file = folder / name
    file.write_text(value)
    file.chmod(0o644)
    return file
