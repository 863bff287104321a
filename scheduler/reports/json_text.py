"""Values of reports as JSON for people and programs."""

from __future__ import annotations

import json
from datetime import UTC, datetime


def json_text(value: object) -> str:
    """JSON, with instants as 2025-07-02T07:00:00Z and local times with their offset. What is not seen, or turns the
    direction of writing, is escaped."""
    text = json.dumps(value, ensure_ascii=False, indent=1, default=_iso)
    return "\n".join(line if line.isprintable() else _escaped(line) for line in text.split("\n"))


def _escaped(line: str) -> str:
    return "".join(one if one.isprintable() else json.dumps(one)[1:-1] for one in line)


def _iso(value: object) -> str:
    if not isinstance(value, datetime):
        raise TypeError(f"{type(value).__name__} is not JSON")
    text = value.isoformat(timespec="seconds")
    return text.replace("+00:00", "Z") if value.tzinfo is UTC else text
