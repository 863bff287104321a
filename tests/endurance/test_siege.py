"""A short siege: does it run, and does everything hold?"""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.full
def test_nothing_is_lost_or_doubled_in_a_short_siege() -> None:
    command = [sys.executable, "-m", "tests.endurance.siege", "--minutes", "0.7", "--deliveries", "400"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
