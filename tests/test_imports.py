"""Imports only go down, and never in a circle: the contracts of pyproject.toml."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import grimp

ROOT = Path(__file__).parents[1]


def test_every_contract_is_kept() -> None:
    """In a process of its own: the program sets up logging for itself."""
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([program, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_modules_import_each_other_in_a_cycle() -> None:
    graph = grimp.build_graph("scheduler", cache_dir=None)
    left = {one: set(graph.find_modules_directly_imported_by(one)) for one in graph.modules}
    while ready := [one for one, imported in left.items() if not imported & left.keys()]:
        for one in ready:
            del left[one]
    assert not left, "each of these imports another one of them, or is imported by one"
