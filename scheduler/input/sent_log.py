"""Deliveries that were sent, read from the service's own log: JSON lines, with or without a container's prefix."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from scheduler.problem import Problem, Problems

LARGEST = 2**63 - 1  # a delivery's number in either database
ALTERED = "was the log altered after the service wrote it?"


@dataclass
class SentLog:
    """The deliveries that were sent, and when (UTC; None: the line does not say)."""

    sent: dict[int, datetime | None] = field(default_factory=dict)
    lines: int = 0
    """The number of lines that name at least one."""


def read_sent_log(lines: Iterable[tuple[str, str]]) -> SentLog:
    """Read lines, each with its place. Lines about other things are ignored; a spool (`delivery.spool`) is understood,
    too. Raises Problems for numbers that no delivery can have."""
    found, problems = SentLog(), list[Problem]()
    for place, line in lines:
        entry = _entry(line)
        if not (ids := _ids(entry)):
            continue
        if not all(0 < number <= LARGEST for number in ids):
            problems.append(Problem(place, "a number that no delivery can have", f"1 to {LARGEST}", ALTERED))
            continue
        found.lines += 1
        at = _instant(entry)
        for number in ids:
            found.sent.setdefault(number, at)
    if problems:
        raise Problems(problems)
    return found


def _entry(line: str) -> dict[str, Any]:
    try:
        entry = json.loads(line[line.index("{") :])
    except (ValueError, RecursionError):
        return {}
    return entry if isinstance(entry, dict) else {}


def _ids(entry: dict[str, Any]) -> list[int]:
    if entry.get("event") == "sent":
        named = entry.get("deliveries")
    else:  # an entry of a spool, or the log line in its place
        named = (
            [entry["delivery"]] if entry.get("state") == "sent" and "delivery" in entry else entry.get("sent")
        )
    return [one for one in named if type(one) is int] if isinstance(named, list | dict) else []


def _instant(entry: dict[str, Any]) -> datetime | None:
    for key in ("timestamp", "at"):
        try:
            found = datetime.fromisoformat(str(entry.get(key)))
        except ValueError:
            continue
        return found if found.tzinfo else found.replace(tzinfo=UTC)
    return None
