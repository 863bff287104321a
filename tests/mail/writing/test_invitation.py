"""The calendar entry, by its bytes and as other programs read it."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import icalendar
import pytest
import vobject
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.mail.words.names import clean_name
from scheduler.mail.writing.invitation import invitation
from tests.mail.samples import JOIN, webinar
from tests.mail.words.test_names import ORDINARY

STAMP = datetime(2025, 6, 12, 10, 0, 0, 123456, tzinfo=UTC)


def made(**changes: Any) -> bytes:
    values: dict[str, Any] = {
        "uid": "5f1c@example.org",
        "sequence": 0,
        "dtstamp": STAMP,
        "created": STAMP - timedelta(days=1),
        "webinar": webinar(),
        "language": "en",
        "join_url": JOIN,
        "name": "Zoë Müller",
        "address": "zoe@example.org",
    }
    return invitation(**{**values, **changes})


def lines(calendar: bytes) -> list[str]:
    """The content lines, unfolded (RFC 5545, 3.1)."""
    return calendar.replace(b"\r\n ", b"").decode().removesuffix("\r\n").split("\r\n")


def test_the_whole_invitation() -> None:
    assert lines(made()) == [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        "PRODID:-//webinar-scheduler//invitations//EN",
        "CALSCALE:GREGORIAN",
        "METHOD:REQUEST",
        "BEGIN:VEVENT",
        "UID:5f1c@example.org",
        "SEQUENCE:0",
        "DTSTAMP:20250612T100000Z",
        "CREATED:20250611T100000Z",
        "LAST-MODIFIED:20250612T100000Z",
        "DTSTART:20250703T110000Z",
        "DTEND:20250703T130000Z",
        "SUMMARY:Buying medicines: Q&A",
        'ORGANIZER;CN="Trilateral, Cooperation (WHO)":mailto:webinar@example.org',
        "ATTENDEE;CUTYPE=INDIVIDUAL;ROLE=REQ-PARTICIPANT;PARTSTAT=NEEDS-ACTION;RSVP=TRUE;"
        'CN="Zoë Müller";X-NUM-GUESTS=0:mailto:zoe@example.org',
        "STATUS:CONFIRMED",
        "TRANSP:OPAQUE",
        f"DESCRIPTION:Join here: {JOIN}\\n\\nOpen the link early.\\n\\n"
        "Thursday\\, 3 July 2025\\, 13:00–15:00 (Geneva\\, Central European Summer Time\\, UTC+2)\\n\\n"
        "How governments buy.",
        f"LOCATION:{JOIN}",
        f"URL:{JOIN}",
        f"CONFERENCE;VALUE=URI;FEATURE=VIDEO;LABEL=Join the webinar:{JOIN}",
        "BEGIN:VALARM",
        "ACTION:DISPLAY",
        "TRIGGER:-PT15M",
        "DESCRIPTION:Starting soon: Buying medicines: Q&A",
        "END:VALARM",
        "END:VEVENT",
        "END:VCALENDAR",
    ]


def test_a_cancellation_takes_it_out_without_alarm_or_link() -> None:
    cancelled = lines(made(method="CANCEL", sequence=4))

    assert "METHOD:CANCEL" in cancelled
    assert "STATUS:CANCELLED" in cancelled
    assert "SEQUENCE:4" in cancelled
    assert "UID:5f1c@example.org" in cancelled
    assert "DTSTART:20250703T110000Z" in cancelled
    assert sum(line.startswith("ATTENDEE") for line in cancelled) == 1
    assert sum(line.startswith("ORGANIZER") for line in cancelled) == 1
    assert not any("VALARM" in line or JOIN in line for line in cancelled)


def test_the_same_version_has_the_same_bytes() -> None:
    assert made() == made()


def test_it_is_in_the_readers_language() -> None:
    french = lines(made(language="fr"))

    assert "SUMMARY:Acheter des médicaments" in french
    assert any(
        line.startswith(f"DESCRIPTION:Rejoindre\u00a0: {JOIN}") and "Genève" in line for line in french
    )


@pytest.mark.parametrize("zone", ["Geneva time", "CET", "Asia/Kathmandu", "Pacific/Kiritimati"])
def test_times_are_utc_instants_and_no_zone_is_named(zone: str) -> None:
    there = webinar(zone=f'"{zone}"')
    calendar = made(webinar=there)

    assert f"DTSTART:{there.start:%Y%m%dT%H%M%SZ}".encode() in calendar
    assert b"TZID" not in calendar
    assert b"VTIMEZONE" not in calendar


def test_icalendar_and_vobject_read_the_right_instants() -> None:
    (event,) = icalendar.Calendar.from_ical(made()).walk("VEVENT")
    theirs = vobject.readOne(made().decode())

    assert event["DTSTART"].dt == theirs.vevent.dtstart.value == datetime(2025, 7, 3, 11, tzinfo=UTC)
    assert event["DTEND"].dt == theirs.vevent.dtend.value == datetime(2025, 7, 3, 13, tzinfo=UTC)
    assert str(event["ATTENDEE"]) == theirs.vevent.attendee.value == "mailto:zoe@example.org"
    assert event["SUMMARY"] == theirs.vevent.summary.value == "Buying medicines: Q&A"
    assert JOIN in theirs.vevent.description.value
    assert theirs.vevent.valarm.trigger.value == timedelta(minutes=-15)


def test_without_a_link_there_is_no_empty_property() -> None:
    calendar = lines(made(join_url=""))

    assert not any(line.startswith(("LOCATION", "URL", "CONFERENCE")) for line in calendar)
    assert any(line.startswith("DESCRIPTION:The link to join will follow.") for line in calendar)


def test_a_long_link_survives() -> None:
    link = "https://zoom.example.org/w/83?tk=" + "aB3-_.=2a;,&" * 60

    assert f"URL:{link}" in lines(made(join_url=link))
    assert icalendar.Calendar.from_ical(made(join_url=link)).walk("VEVENT")[0]["LOCATION"] == link


@pytest.mark.parametrize("bad", ["https://x.org/\r\nATTENDEE:mailto:other@example.org", "https://x.org/\x00"])
def test_a_link_with_control_characters_is_refused(bad: str) -> None:
    with pytest.raises(ValueError, match="control character"):
        made(join_url=bad)


@pytest.mark.parametrize(
    ("address", "uri"),
    [
        ("o'brien+who@example.org", "mailto:o'brien+who@example.org"),
        ("a/b%c?d@example.org", "mailto:a%2Fb%25c%3Fd@example.org"),
        ("josé@example.org", "mailto:jos%C3%A9@example.org"),
    ],
)
def test_an_address_is_a_valid_mailto_uri(address: str, uri: str) -> None:
    assert any(
        line.endswith(f":{uri}") for line in lines(made(address=address)) if line.startswith("ATTENDEE")
    )


def test_somebody_without_a_name_is_shown_by_the_address() -> None:
    assert "CN=zoe@example.org;" in "".join(lines(made(name="")))


@settings(deadline=None)
@given(st.text(max_size=120))
def test_no_name_breaks_the_structure(name: str) -> None:
    calendar = made(name=name)
    usual, there = lines(made()), lines(calendar)

    assert [re.match(r"[A-Z-]+", line) for line in there].count(None) == 0
    assert [line.partition(":")[0].partition(";")[0] for line in there] == [
        line.partition(":")[0].partition(";")[0] for line in usual
    ]
    (attendee,) = (line for line in there if line.startswith("ATTENDEE"))
    assert re.fullmatch(
        r'ATTENDEE;CUTYPE=INDIVIDUAL;ROLE=REQ-PARTICIPANT;PARTSTAT=NEEDS-ACTION;RSVP=TRUE;CN=("[^"]*"|[^";:,]*);'
        r"X-NUM-GUESTS=0:mailto:zoe@example.org",
        attendee,
    )


@settings(deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=190))
def test_lines_are_folded_at_75_octets_between_characters(title: str) -> None:
    changed = webinar().model_copy(update={"title": f"T{title}"})
    calendar = made(webinar=changed)

    assert calendar.endswith(b"\r\n")
    assert b"\n" not in calendar.replace(b"\r\n", b"")
    for line in calendar.split(b"\r\n"):
        assert len(line) <= 75
        line.decode()  # no character is cut in two
    assert icalendar.Calendar.from_ical(calendar).walk("VEVENT")[0]["SUMMARY"] == f"T{title}"


@pytest.mark.parametrize("typed", [*ORDINARY, 'Robert "Bob" Smith', "Smith; Ann:x^y", "A" * 110])
def test_a_name_in_a_calendar_is_the_one_in_the_greeting(typed: str) -> None:
    calendar = made(name=typed)
    (event,) = icalendar.Calendar.from_ical(calendar).walk("VEVENT")
    assert event["ATTENDEE"].params["CN"] == clean_name(typed)
    read_by_another = vobject.readOne(calendar.decode()).vevent.attendee.params["CN"]
    assert read_by_another == [clean_name(typed)]
