"""`webinar check` says when a follow-up reaches people at their weekend."""

from __future__ import annotations

from datetime import datetime

import pytest

from scheduler.reports.checking import Finding, weekend_findings
from tests.support import webinar

FOLLOW_UP = '[[messages]]\nid = "follow-up"\n'
THURSDAY, FRIDAY = datetime(2027, 9, 2, 14), datetime(2027, 9, 3, 14)


def found(rule: str, start: datetime, people: dict[str, int] | None = None) -> list[Finding]:
    one = webinar(FOLLOW_UP + rule, start=start, end=start.replace(hour=start.hour + 2))
    return list(weekend_findings(one, "w.toml", people or {}))


@pytest.mark.parametrize(
    ("rule", "start", "people", "said"),
    [
        ('days_after = 1\nat = "10:00"', FRIDAY, {},
         "warning: falls on Saturday, 4 September 2027: the weekend of"),
        ('days_after = 2\nat = "10:00"', FRIDAY, {"Europe/Paris": 3},
         "warning: falls on Sunday, 5 September 2027: the weekend of 3 of 3 registrants; "
         "days_after = 3 is Monday"),
        ('days_after = 1\nat = "10:00"', THURSDAY, {"Africa/Cairo": 3, "Asia/Kolkata": 1, "Asia/Kabul": 1},
         "warning: falls on Friday, 3 September 2027: the weekend of 4 of 5 registrants; "
         "days_after = 3 is Sunday"),
        ('days_after = 1\nat = "10:00"', THURSDAY, {"Europe/Paris": 9, "Asia/Riyadh": 1},
         "note: falls on Friday, 3 September 2027: the weekend of 1 of 10 registrants; "
         "days_after = 4 is Monday"),
        ('after_end = "20h"', FRIDAY, {"Europe/Paris": 2},
         "warning: falls on Saturday, 4 September 2027: the weekend of 2 of 2 registrants"),
        ('after_end = "30m"', FRIDAY, {"Pacific/Auckland": 2, "Europe/Paris": 7},
         "note: falls on Saturday, 4 September 2027: the weekend of 2 of 9 registrants"),
    ],
)  # fmt: skip
def test_a_follow_up_at_the_weekend_is_said(
    rule: str, start: datetime, people: dict[str, int], said: str
) -> None:
    (finding,) = found(rule, start, people)
    severity, _, words = said.partition(": ")
    assert finding.severity == severity
    assert str(finding.problem).startswith(f"w.toml, messages[1], follow-up: {words}")


@pytest.mark.parametrize(
    ("rule", "start", "people"),
    [
        ('days_after = 1\nat = "10:00"', THURSDAY, {}),  # Friday: the weekend of few zones, and nobody is known in them
        ('days_after = 1\nat = "10:00"', THURSDAY, {"Europe/Paris": 5}),
        ('days_after = 1\nat = "10:00"', FRIDAY, {"Asia/Kolkata": 5, "Asia/Tehran": 1}),  # Saturday, when they work
        ('days_after = 3\nat = "10:00"', FRIDAY, {}),
        ('days_before = 5\nat = "10:00"', THURSDAY, {}),  # a reminder on a Saturday must not wait
        ("on_registration = true", FRIDAY, {"Europe/Paris": 5}),
    ],
)  # fmt: skip
def test_on_a_working_day_nothing_is_said(rule: str, start: datetime, people: dict[str, int]) -> None:
    assert found(rule, start, people) == []
