"""Imports only go down, and never in a circle: the contracts of pyproject.toml."""

from __future__ import annotations

import os
from pathlib import Path

import grimp
import pytest
from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports

ROOT = Path(__file__).parents[1]


def test_every_contract_is_kept(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    status = lint_imports(config_filename=os.fspath(ROOT / "pyproject.toml"), no_cache=True)
    assert status == EXIT_STATUS_SUCCESS, capsys.readouterr().out


def test_no_modules_import_each_other_in_a_cycle() -> None:
    graph = grimp.build_graph("scheduler", cache_dir=None)
    left = {one: set(graph.find_modules_directly_imported_by(one)) for one in graph.modules}
    while ready := [one for one, imported in left.items() if not imported & left.keys()]:
        for one in ready:
            del left[one]
    assert not left, "each of these imports another one of them, or is imported by one"
