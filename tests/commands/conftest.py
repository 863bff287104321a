"""What tests of commands may ask for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands.scene import Scene
from tests.mail.trial.trying_here import without_a_child


@pytest.fixture(autouse=True)
def _texts_are_tried_here() -> Iterator[None]:
    with without_a_child():
        yield


@pytest.fixture
def scene(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    """On both engines."""
    scene = Scene(tmp_path / "scene", database_url, monkeypatch)
    yield scene
    scene.database.close()


@pytest.fixture
def sqlite_scene(sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    """Where the database does not matter."""
    scene = Scene(tmp_path / "scene", sqlite_url, monkeypatch)
    yield scene
    scene.database.close()
