from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.container.containers import built_once


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder with the image of the Dockerfile, built once for all test processes."""
    base = tmp_path_factory.getbasetemp()
    with built_once(base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) as folder:
        yield folder
