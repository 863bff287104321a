"""Which zones a rule never reaches is found in groups of zones: the same as asking each zone."""

from __future__ import annotations

from datetime import datetime

import pytest
import pytz

from scheduler.reports.checking import rule_findings
from scheduler.webinar.timing import timings
from tests.support import webinar

RULES = '[[messages]]\nid = "a"\ndays_before = {before}\nat = "{at}"\n' + (
    '[[messages]]\nid = "b"\ndays_after = 0\nat = "{at}"\n'
)


@pytest.mark.parametrize(
    "at", ["02:30", *(pytest.param(at, marks=pytest.mark.full) for at in ("09:00", "23:59"))]
)
@pytest.mark.parametrize(
    "start", [datetime(2026, 3, 29, 12), datetime(2026, 11, 1, 8), datetime(2026, 7, 3, 1, 30)]
)
@pytest.mark.parametrize("before", [0, 1, 30])
def test_zones_that_are_asked_together_answer_as_each_for_itself(
    start: datetime, at: str, before: int
) -> None:
    one = webinar(RULES.format(before=before, at=at), start=start, end=start.replace(hour=start.hour + 2))
    every = {zone: timings(one, pytz.timezone(zone)) for zone in pytz.common_timezones}
    expected = {
        (timing.message, timing.never): sum(
            1 for found in every.values() for other in found
            if (other.message, other.never) == (timing.message, timing.never)
        )
        for found in every.values() for timing in found if timing.never
    }  # fmt: skip
    found = [str(finding.problem) for finding in rule_findings(one, "w.toml", {})]
    assert len(found) == len(expected)
    for (message, reason), zones in expected.items():
        assert any(f", {message}: {reason} in {zones} of {len(every)} zones" in words for words in found)
