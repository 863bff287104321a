"""The service's whole process on SQLite in `make test`; on PostgreSQL, too, in `make test-full`."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.full)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'webinar.db'}"
    url: str = request.getfixturevalue("postgresql_url")
    return url
