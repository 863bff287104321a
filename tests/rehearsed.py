"""A rehearsal as its user has it: the process, its exit code, its output and the folder that it wrote."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from tests.received import Mail

ROOT = Path(__file__).parent.parent
WEBINAR = Path(sys.executable).with_name("webinar")


@dataclass(frozen=True)
class Rehearsal:
    out: Path
    stdout: str
    stderr: str
    exit_code: int

    @cached_property
    def deliveries(self) -> list[dict[str, Any]]:
        found = json.loads((self.out / "deliveries.json").read_text("utf-8"))
        assert isinstance(found, list)
        return found

    @cached_property
    def sent(self) -> list[tuple[dict[str, Any], Mail]]:
        """The deliveries that were sent, each with its mail."""
        return [(one, self.mail(one)) for one in self.deliveries if one["state"] == "sent"]

    def mail(self, delivery: Mapping[str, Any]) -> Mail:
        return self.mails[delivery["eml"]]

    @cached_property
    def mails(self) -> dict[str, Mail]:
        files = sorted((self.out / "mails").glob("*.eml"))
        return {file.relative_to(self.out).as_posix(): Mail.of(file) for file in files}


def webinar(
    *arguments: str | Path, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `webinar` at the project's root, in a pipe, with no more of an environment than is given."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "PYTHONPATH") if name in os.environ}
    return subprocess.run(
        [WEBINAR, *arguments],
        cwd=ROOT,
        env=kept | dict(environment or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )


def rehearse(*arguments: str | Path, out: Path, environment: Mapping[str, str] | None = None) -> Rehearsal:
    done = webinar("rehearse", *arguments, "--out", out, environment=environment)
    return Rehearsal(out, done.stdout, done.stderr, done.returncode)


def sample(shared: Path) -> Rehearsal:
    """The rehearsal that `make run` shows: the trilateral webinar with the sample.

    Once for all test processes that have the folder `shared`; whoever comes second waits for the first.
    """
    folder, said = shared / "sample-rehearsal", shared / "sample-rehearsal.json"
    with (shared / "sample-rehearsal.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not said.exists():
            done = rehearse(out=folder)
            said.write_text(json.dumps([done.stdout, done.stderr, done.exit_code]), "utf-8")
    rehearsal = Rehearsal(folder, *json.loads(said.read_text("utf-8")))
    assert rehearsal.exit_code == 0, rehearsal.stderr
    return rehearsal


def shared_folder(factory: pytest.TempPathFactory) -> Path:
    """A folder that the workers of one test run have in common."""
    own = factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
