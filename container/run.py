"""Runs the image that build.py made, without an engine, as compose.yaml has it run: as root on Debian.

    python3 container/run.py [--name NAME] [--mount FROM:TO[:ro]]... [--env NAME=VALUE]... FOLDER [ARGUMENT]...
    python3 container/run.py --exec FOLDER COMMAND...     in the running container
    python3 container/run.py --health FOLDER              the image's HEALTHCHECK, in the running container

The root file system is read-only, /tmp is in memory, processes are the image's own user without capabilities,
the service is process 1, and SIGTERM goes to it. The network is this machine's. Needs bubblewrap.
"""

# ruff: noqa: S108, S603, S606, S607 (starts the programs that the operator's PATH has; /tmp is the container's)

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any


def main() -> None:
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--name", default="webinar")
    parser.add_argument("--mount", action="append", default=[])
    parser.add_argument("--env", action="append", default=[])
    parser.add_argument("--health", action="store_true")
    parser.add_argument("--exec", action="store_true")
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    given = parser.parse_args()
    if not shutil.which("bwrap"):
        sys.exit("NOT RUN: no bubblewrap (apt-get install bubblewrap)")
    if os.geteuid() != 0:
        sys.exit("NOT RUN: only root can run it here")
    image = json.loads((given.folder / "image.json").read_text())
    running = given.folder / f"{given.name}.pid"
    if given.health:
        os.execvp("nsenter", inside(image["config"], running, image["config"]["Healthcheck"]["Test"][1:]))
    if given.exec:
        os.execvp("nsenter", inside(image["config"], running, given.arguments))
    sys.exit(run(start(image, given.mount, given.env, given.arguments), running))


def start(image: dict[str, Any], mounts: list[str], env: list[str], arguments: list[str]) -> list[str]:
    """The command that starts the image, but for where it tells the process's id."""
    config = image["config"]
    binds = []
    for mount in mounts:
        source, target, *mode = mount.split(":")
        if target.startswith("/run/"):  # in memory: the folder is not there yet
            binds += ["--perms", "0755", "--dir", str(Path(target).parent)]
        binds += ["--ro-bind" if mode == ["ro"] else "--bind", source, target]
    variables = [part for one in (*config["Env"], *env) for part in ("--setenv", *one.split("=", 1))]
    return [
        "bwrap", "--ro-bind", image["root"], "/", "--proc", "/proc", "--dev", "/dev",
        "--perms", "1777", "--tmpfs", "/tmp", "--tmpfs", "/run", *binds,
        "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--as-pid-1", "--die-with-parent",
        "--clearenv", *variables, "--chdir", config["WorkingDir"] or "/",
        # Capabilities that setpriv needs to become the image's user, and that are gone afterwards.
        "--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID", "--cap-add", "CAP_SETPCAP",
        "--", *as_user(config), *config["Entrypoint"], *(arguments or config["Cmd"]),
    ]  # fmt: skip


def as_user(config: dict[str, Any]) -> list[str]:
    """Becomes the image's user, for good: no groups, no capabilities, no new privileges."""
    uid, gid = config["User"].split(":")
    return [
        "setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups", "--bounding-set=-all", "--no-new-privs", "--",
    ]  # fmt: skip


def run(command: list[str], running: Path) -> int:
    """Run in the foreground and pass signals on, as an engine does. Returns the exit code."""
    told, tells = os.pipe()
    process = subprocess.Popen([command[0], "--info-fd", str(tells), *command[1:]], pass_fds=[tells])
    os.close(tells)
    with os.fdopen(told) as info:
        text = info.read()
    if text:
        pid = json.loads(text)["child-pid"]
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, lambda number, _frame: os.kill(pid, number))
        running.write_text(str(pid))
    try:
        return process.wait()
    finally:
        running.unlink(missing_ok=True)


def inside(config: dict[str, Any], running: Path, arguments: list[str]) -> list[str]:
    """The command that runs another process in the container, with the environment of its process 1."""
    if not running.exists():
        sys.exit("it does not run")
    pid = running.read_text()
    environ = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    namespaces = ["--mount", "--pid", "--ipc", "--uts"]
    return [
        "nsenter", "--target", pid, *namespaces, "--",
        "env", "-i", *filter(None, environ), *as_user(config), *arguments,
    ]  # fmt: skip


if __name__ == "__main__":
    main()
