"""Asks moment-timezone, which is not Python's and has a tz database of its own."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from scheduler.zones.wall import tz_version

ROOT = Path(__file__).parents[1]


def ask_moment(script: str, question: dict[str, Any]) -> dict[str, Any]:
    """What `tests/node/<script>` answers. Fails where it can't run, and where moment-timezone has another version
    of the tz data than pytz: a verdict across two would be none."""
    if not shutil.which("node") or not (ROOT / "node_modules" / "moment-timezone").is_dir():
        pytest.fail("NOT RUN: needs Node and what `npm ci` installs (moment-timezone)")
    ran = subprocess.run(
        ["node", str(ROOT / "tests" / "node" / script)],
        input=json.dumps(question).encode(), capture_output=True, check=False, timeout=300,
    )  # fmt: skip
    if ran.returncode:
        pytest.fail(f"NOT RUN: {script} ended with {ran.returncode}: {ran.stderr.decode()[-2000:]}")
    answer: dict[str, Any] = json.loads(ran.stdout)
    if answer["version"] != tz_version():
        pytest.fail(f"NOT RUN: pytz has tz {tz_version()}, moment-timezone {answer['version']}; "
                    "install versions of one tz release before judging either")  # fmt: skip
    return answer
