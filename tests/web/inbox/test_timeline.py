"""Registrants and their messages in the words of the inbox."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from scheduler.web.inbox.timeline import common_start, counts, item, message_title, moment, people
from tests.web.inbox.samples import Rehearsal, rehearsal


def test_people_are_listed_by_name_each_with_all_deliveries_in_time(tmp_path: Path) -> None:
    found = people(reversed(rehearsal(tmp_path).deliveries))
    assert [person.name or person.email for person in found][1:4] == [
        "Anna Müller",
        "nobody@example.org",
        "Tekoaua Ioane",
    ]
    for person in found:
        assert [d["message"] for d in person.deliveries] == [
            "confirmation",
            "reminder-day",
            "reminder-hour",
            "follow-up",
        ]


def test_an_address_in_capitals_is_the_same_person_in_another_webinar_it_is_not(tmp_path: Path) -> None:
    made = Rehearsal(tmp_path)
    made.deliver()
    made.deliver(email="ANNA@example.org")
    made.deliver(email="anna@ｅｘａｍｐｌｅ.org")
    made.deliver(webinar="another")
    assert [len(person.deliveries) for person in people(made.deliveries)] == [3, 1]


@pytest.mark.parametrize(
    ("wanted", "text", "shown"),
    [
        ("fr", "fr", "French"),
        ("fr-CA", "fr", "French"),
        ("es", "en", "Spanish wanted, English text"),
        ("es", None, "Spanish"),
        (None, "en", "No language wanted, English text"),
    ],
)
def test_the_language_says_when_another_stands_in(
    tmp_path: Path, wanted: str | None, text: str | None, shown: str
) -> None:
    made = Rehearsal(tmp_path)
    made.deliver(language=wanted, text_language=text)
    assert people(made.deliveries)[0].language == shown


def test_an_entry_shows_both_clocks_and_when_it_left_only_if_late(tmp_path: Path) -> None:
    made = Rehearsal(tmp_path)
    due = datetime(2025, 7, 2, 22, 30, tzinfo=UTC)
    late = made.deliver(due=due, zone="Asia/Kolkata", sent_at="2025-07-02T22:40:00Z", state="sent")
    prompt = made.deliver(due=due, sent_at="2025-07-02T22:30:03Z", state="sent")
    shown = item(late)
    assert str(shown.local) == "Thu 3 Jul 2025, 04:00 UTC+5:30"
    assert str(shown.utc) == "Wed 2 Jul 2025, 22:30 UTC"
    assert shown.sent == "Thu 3 Jul 2025, 04:10 UTC+5:30"
    assert item(prompt).sent == ""


@pytest.mark.parametrize("value", [None, "", "soon", 5])
def test_what_is_no_time_is_none(value: object) -> None:
    assert moment(value) is None


def test_titles_and_counts(tmp_path: Path) -> None:
    assert message_title("reminder-day") == "Reminder day"
    assert message_title("change", 2) == "Change, edition 2"
    assert {title: dict(states) for title, states in counts(rehearsal(tmp_path).deliveries).items()} == {
        "Confirmation": {"sent": 6},
        "Reminder day": {"sent": 5, "skipped": 1},
        "Reminder hour": {"sent": 6},
        "Follow up": {"sent": 5, "held": 1},
    }


def test_the_common_start_is_known_unless_deliveries_differ(tmp_path: Path) -> None:
    made = rehearsal(tmp_path)
    assert str(common_start(made.deliveries)) == "Thu 3 Jul 2025, 11:00 UTC"
    made.deliver(start_local="2025-07-03T14:00:00+02:00")
    assert common_start(made.deliveries) is None
    assert common_start([]) is None
