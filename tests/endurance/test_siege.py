"""A short siege: does it run, and does everything hold?"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

SHORT = ("--minutes", "0.7", "--deliveries", "400", "--patience", "200")


@pytest.mark.full
def test_nothing_is_lost_or_doubled_in_a_short_siege(tmp_path: Path) -> None:
    command = [sys.executable, "-X", "faulthandler", "-m", "tests.endurance.siege", *SHORT]
    said = tmp_path / "said"
    with said.open("wb") as out:
        siege = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            code = siege.wait(timeout=500)
        except subprocess.TimeoutExpired:
            siege.send_signal(signal.SIGABRT)  # it says where it waits
            code = siege.wait()
        finally:
            with suppress(ProcessLookupError):
                os.killpg(siege.pid, signal.SIGKILL)
    assert code == 0, said.read_text()
