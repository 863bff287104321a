"""What goes out when, by message and zone."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
import pytz
from hypothesis import given
from hypothesis import strategies as st

from scheduler.database.engine import Database
from scheduler.reports.timeline import TELLING_ZONES, Entry, default_zones, rule_in_words, timeline
from scheduler.zones.wall import to_local
from tests.support import SEQUENCE, Ledger, utc, webinar

WHOLE_SEQUENCE = (
    SEQUENCE
    + """
[[messages]]
id = "same-morning"
days_before = 0
at = "09:00"
"""
)
WHOLE = webinar(WHOLE_SEQUENCE)


def entry(message: str, zone: str, registered_at: datetime | None = None, sequence: str = SEQUENCE) -> Entry:
    found = timeline(webinar(sequence), [pytz.timezone(zone)], registered_at)
    return next(one for one in found if one.message == message)


def test_it_has_each_message_for_each_zone_in_the_order_of_sequence_and_zones() -> None:
    zones = [pytz.timezone(name) for name in ("Asia/Kathmandu", "America/New_York")]
    found = timeline(webinar(), zones)
    assert [(one.message, one.zone) for one in found] == [
        (message, str(zone))
        for message in ("confirmation", "reminder-day", "reminder-hour", "follow-up")
        for zone in zones
    ]


def test_a_reminder_at_nine_the_day_before_in_kiritimati() -> None:
    assert entry("reminder-day", "Pacific/Kiritimati").as_json() == {
        "webinar": "w",
        "message": "reminder-day",
        "zone": "Pacific/Kiritimati",
        "due_at": "2025-07-02T19:00:00Z",
        "expires_at": "2025-07-03T10:00:00Z",
        "due_local": "2025-07-03T09:00",
        "start_local": "2025-07-04T01:00",
        "end_local": "2025-07-04T03:00",
        "utc_offset": "+14:00",
        "date_shift": 1,
        "state": "pending",
        "reason": "",
    }


@pytest.mark.parametrize(
    ("zone", "start_local", "utc_offset", "date_shift"),
    [
        ("Europe/Zurich", "2025-07-03T13:00", "+02:00", 0),
        ("Pacific/Pago_Pago", "2025-07-03T00:00", "-11:00", 0),
        ("America/St_Johns", "2025-07-03T08:30", "-02:30", 0),
        ("Asia/Kathmandu", "2025-07-03T16:45", "+05:45", 0),
        ("Pacific/Chatham", "2025-07-03T23:45", "+12:45", 0),
        ("Pacific/Auckland", "2025-07-03T23:00", "+12:00", 0),
        ("Pacific/Apia", "2025-07-04T00:00", "+13:00", 1),
        ("UTC", "2025-07-03T11:00", "+00:00", 0),
    ],
)
def test_the_start_on_the_clock_there(zone: str, start_local: str, utc_offset: str, date_shift: int) -> None:
    said = entry("reminder-hour", zone).as_json()
    assert (said["start_local"], said["utc_offset"], said["date_shift"]) == (
        start_local,
        utc_offset,
        date_shift,
    )


def test_the_date_there_may_be_the_day_before_the_webinars_own() -> None:
    early = webinar(start=datetime(2025, 7, 3, 9), end=datetime(2025, 7, 3, 10))
    assert {one.date_shift for one in timeline(early, [pytz.timezone("Pacific/Pago_Pago")])} == {-1}


def test_what_is_due_on_registration_has_no_time_until_somebody_registers() -> None:
    said = entry("confirmation", "Europe/Zurich").as_json()
    assert (said["due_at"], said["due_local"], said["state"]) == (None, None, "pending")
    said = entry("confirmation", "Europe/Zurich", utc("2025-06-12 07:05:30")).as_json()
    assert (said["due_at"], said["due_local"]) == ("2025-06-12T07:05:30Z", "2025-06-12T09:05:30")


@pytest.mark.parametrize(
    ("registered_at", "message", "reason"),
    [
        ("2025-07-02 06:59", "reminder-day", ""),
        ("2025-07-02 07:00", "reminder-day", ""),
        ("2025-07-02 07:01", "reminder-day", "due before it was planned"),
        ("2025-07-03 10:00", "reminder-day", "no longer useful when it was planned"),
        ("2025-07-03 12:59", "confirmation", ""),
        ("2025-07-03 13:00", "confirmation", "no longer useful when it was planned"),
        ("2025-07-04 08:01", "follow-up", "due before it was planned"),
    ],
)
def test_who_registers_late_gets_only_what_is_still_ahead(
    registered_at: str, message: str, reason: str
) -> None:
    found = entry(message, "Europe/Zurich", utc(registered_at))
    assert (found.state, found.reason) == ("skipped" if reason else "pending", reason)


def test_what_never_comes_in_a_zone_is_skipped_with_its_reason() -> None:
    found = entry("same-morning", "America/New_York", sequence=WHOLE_SEQUENCE)
    assert (found.state, found.reason) == ("skipped", "falls after the start")
    assert entry("same-morning", "Europe/Zurich", sequence=WHOLE_SEQUENCE).state == "pending"


def test_nothing_goes_out_for_a_webinar_that_is_called_off() -> None:
    found = timeline(webinar(cancelled=True), [pytz.utc], utc("2025-07-04 00:00"))
    assert {(one.state, one.reason) for one in found} == {("skipped", "the webinar is cancelled")}


@pytest.mark.engines("sqlite")
@pytest.mark.parametrize(
    "registered_at",
    ["2025-06-12 08:00", "2025-07-02 07:30", "2025-07-03 10:00", "2025-07-03 11:30", "2025-08-02 13:00"],
)
def test_it_says_what_the_ledger_will_say(database: Database, registered_at: str) -> None:
    governing, now = webinar(WHOLE_SEQUENCE), utc(registered_at)
    ledger = Ledger(database)
    ledger.govern(governing)
    zones = default_zones(governing)
    for number, zone in enumerate(zones):
        ledger.register(f"p{number}@who.int", timezone=str(zone))
    ledger.plan(now)
    planned = {
        (row["message"], row["zone"], row["due_at"], row["expires_at"], row["state"], row["reason"])
        for row in ledger.deliveries()
    }
    assert planned == {
        (one.message, one.zone, one.due_at, one.expires_at, str(one.state), one.reason)
        for one in timeline(governing, zones, now)
    }
    assert len(planned) == 5 * len(zones)


@given(
    zone=st.sampled_from(pytz.all_timezones),
    registered_at=st.none()
    | st.datetimes(datetime(2025, 6, 1), datetime(2025, 9, 1), timezones=st.just(UTC)),
)
def test_instants_and_clocks_agree_and_every_skip_has_its_reason(
    zone: str, registered_at: datetime | None
) -> None:
    for one in timeline(WHOLE, [pytz.timezone(zone)], registered_at):
        assert one.start_local == utc("2025-07-03 11:00")
        assert one.end_local - one.start_local == timedelta(hours=2)
        assert (one.due_local is None) == (one.due_at is None)
        assert one.due_at is None or one.due_local == one.due_at
        assert one.due_at is None or str(one.due_local) == str(to_local(one.due_at, pytz.timezone(zone)))
        assert (one.state == "skipped") == bool(one.reason)
        assert one.date_shift == (one.start_local.date() - date(2025, 7, 3)).days
        assert one.date_shift in (-1, 0, 1)


def test_the_zones_to_begin_with_are_the_webinars_and_a_dozen_from_end_to_end() -> None:
    zones = [str(zone) for zone in default_zones(webinar())]
    assert zones == ["Europe/Zurich", *TELLING_ZONES]
    assert len(TELLING_ZONES) == 12
    assert len(default_zones(webinar(zone="Asia/Kathmandu"))) == 12
    offsets = [entry("reminder-hour", zone).start_local.utcoffset() for zone in TELLING_ZONES]
    assert offsets[0] == timedelta(hours=-11)
    assert offsets[-1] == timedelta(hours=14)
    minutes = {(offset or timedelta(0)) % timedelta(hours=1) for offset in offsets}
    assert minutes == {timedelta(0), timedelta(minutes=30), timedelta(minutes=45)}


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("on_registration = true", "at once, on registration"),
        ('before_start = "1h"', "1 hour before the start"),
        ('before_start = "24h"', "24 hours before the start"),
        ('before_start = "1h 30m"', "1 hour 30 minutes before the start"),
        ('before_start = "90s"', "1 minute 30 seconds before the start"),
        ('after_end = "30m"', "30 minutes after the end"),
        ('days_before = 1\nat = "09:00"', "1 day before at 09:00 on the reader’s clock"),
        ('days_before = 0\nat = "08:00:30"', "the same day at 08:00:30 on the reader’s clock"),
        ('days_after = 2\nat = "10:00"\nclock = "webinar"', "2 days after at 10:00 on the webinar’s clock"),
    ],
)
def test_rules_in_words(rule: str, words: str) -> None:
    (message,) = webinar(f'[[messages]]\nid = "m"\n{rule}\n').messages
    assert rule_in_words(message) == words
