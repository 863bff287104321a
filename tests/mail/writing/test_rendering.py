"""One delivery as a mail, and which version of the invitation goes with it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any, cast

import pytest
from icalendar import Calendar, Event

from scheduler.ledger.entries import Claimed, Version
from scheduler.mail.texts import CurrentText
from scheduler.mail.writing.rendering import RenderedMail, render
from scheduler.webinar.model import Webinar
from tests.mail.samples import shipped
from tests.support import SEQUENCE, utc, webinar

NOW = utc("2025-06-12 08:00")
LATER = NOW + timedelta(days=3)
CLAIMED = Claimed(
    id=1,
    token="token",
    registration_id=1,
    webinar="w",
    message="confirmation",
    attempts=0,
    message_id="",
    due_at=NOW,
    expires_at=utc("2025-07-03 13:00"),
    address="amina@example.org",
    name="Amina",
    language="en",
    zone="Africa/Nairobi",
    zone_known_by="timezone",
    join_url="",
    uid="0123456789abcdef@who.int",
    first_seen_at=NOW,
    revision_id=1,
)
CANCELLED = {"message": "cancellation"}


def _render(
    last: Version | None = None,
    now: datetime = NOW,
    governing: Webinar | None = None,
    language: str = "en",
    **changed: Any,
) -> RenderedMail:
    claimed = replace(CLAIMED, **changed)
    live = CurrentText(shipped(claimed.message, language), language, revision=7)
    return render(claimed, governing or webinar(), live, last, now, "relay:587")


def _version(ready: RenderedMail) -> Version:
    assert ready.start.invitation is not None
    return ready.start.invitation


def _stored(ready: RenderedMail) -> Version:
    """As the next attempt finds it in the database."""
    return replace(_version(ready), stored=True)


def _mail(ready: RenderedMail) -> EmailMessage:
    return cast(EmailMessage, message_from_bytes(ready.content, policy=policy.default))


def _calendar(ready: RenderedMail) -> bytes:
    """The bytes of the entry as a receiver decodes them."""
    (part, *_) = [part for part in _mail(ready).walk() if part.get_content_type() == "text/calendar"]
    return cast(bytes, part.get_payload(decode=True))


def _entry(ready: RenderedMail) -> Event:
    (event,) = cast(Calendar, Calendar.from_ical(_calendar(ready))).walk("VEVENT")
    return cast(Event, event)


def test_a_mail_goes_to_one_person_and_the_start_says_what_was_sent() -> None:
    ready = _render()
    mail = _mail(ready)
    assert mail["To"] == "amina@example.org"
    assert mail["Cc"] is None
    assert mail["Date"].datetime == NOW
    start = ready.start
    assert (start.relay, start.language, start.text_revision, start.at) == ("relay:587", "en", 7, NOW)
    assert mail["Message-ID"] == start.message_id


def test_a_message_id_is_new_at_first_and_kept_for_life() -> None:
    first = _render()
    again = _render(message_id=first.start.message_id, now=LATER)
    assert again.start.message_id == first.start.message_id
    assert _render().start.message_id != first.start.message_id
    assert first.start.message_id.endswith("@who.int>")


def test_all_mails_of_one_registration_refer_to_one_id_and_to_nobody_elses() -> None:
    threads = {
        _mail(_render(message=message))["References"]
        for message in ("confirmation", "reminder-day", "follow-up")
    }
    assert threads == {f"<registration.{CLAIMED.uid}>"}
    assert _mail(_render(uid="fedcba9876543210@who.int"))["References"] not in threads


def test_complaints_are_counted_by_message_webinar_and_language() -> None:
    assert (
        _mail(_render(message="reminder-day", language="fr"))["Feedback-ID"] == "reminder-day:w:fr:webinars"
    )


# Versions of the invitation


def test_the_first_version_is_number_zero_of_now() -> None:
    entry = _entry(_render())
    assert entry["SEQUENCE"] == 0
    assert entry["DTSTAMP"].dt == NOW
    assert entry["UID"] == CLAIMED.uid
    assert entry["DTSTART"].to_ical() == b"20250703T110000Z"


def test_a_retry_of_the_same_version_sends_the_same_bytes() -> None:
    first = _render()
    retry = _render(_stored(first), now=LATER, message_id=first.start.message_id)
    assert _version(retry).stored
    assert _version(retry).calendar == _version(first).calendar
    assert _calendar(retry) == _calendar(first)


@pytest.mark.parametrize(
    "changed",
    [
        {"title": "Buying health products, corrected"},
        {"about": "Another text."},
        {"materials_url": "https://www.who.int/slides"},
        {"sender": "Webinar team <webinar@who.int>"},
        {"languages": ["en", "fr", "es"]},
    ],
)
def test_what_does_not_concern_the_readers_calendar_makes_no_new_version(changed: dict[str, Any]) -> None:
    first = _render()
    again = _render(_stored(first), LATER, webinar(**changed))
    assert _calendar(again) == _calendar(first)


@pytest.mark.parametrize("changed", [{"name": "Amina W."}, {"language": "fr"}, {"zone": "Asia/Tokyo"}])
def test_neither_does_a_corrected_name_language_or_zone(changed: dict[str, Any]) -> None:
    first = _render()
    assert _calendar(_render(_stored(first), LATER, **changed)) == _calendar(first)


@pytest.mark.parametrize(
    "changed",
    [
        {"start": datetime(2025, 7, 3, 12)},
        {"end": datetime(2025, 7, 3, 16)},
        {"zone": "Africa/Nairobi"},
        {"join_url": "https://meet.who.int/new"},
    ],
)
def test_another_time_or_link_takes_the_next_number(changed: dict[str, Any]) -> None:
    first = _render()
    moved = _render(_stored(first), LATER, webinar(**changed), message="change")
    assert not _version(moved).stored
    assert _entry(moved)["SEQUENCE"] == 1
    assert _entry(moved)["UID"] == CLAIMED.uid
    assert _entry(moved)["DTSTAMP"].dt == LATER


def test_a_zone_by_another_name_is_the_same_time() -> None:
    first = _render()
    assert _calendar(_render(_stored(first), LATER, webinar(zone="Europe/Zurich"))) == _calendar(first)


def test_a_cancellation_has_the_next_number_and_its_reversal_the_one_after() -> None:
    first = _render()
    off = _render(_stored(first), LATER, webinar(cancelled=True), **CANCELLED)
    assert _entry(off)["SEQUENCE"] == 1
    assert _entry(off)["STATUS"] == "CANCELLED"
    assert b"METHOD:CANCEL" in _calendar(off)
    retry = _render(_stored(off), LATER + timedelta(hours=1), webinar(cancelled=True), **CANCELLED)
    assert _calendar(retry) == _calendar(off)
    on = _render(_stored(off), LATER + timedelta(days=1), webinar(), message="change")
    assert _entry(on)["SEQUENCE"] == 2
    assert _entry(on)["STATUS"] == "CONFIRMED"
    assert b"METHOD:REQUEST" in _calendar(on)


def test_a_move_and_back_never_uses_a_number_twice() -> None:
    versions = [_render()]
    for hour in (12, 13, 12):
        governing = webinar(start=datetime(2025, 7, 3, hour))
        versions.append(_render(_stored(versions[-1]), LATER, governing))
    assert [_entry(ready)["SEQUENCE"] for ready in versions] == [0, 1, 2, 3]


def test_dtstamp_never_goes_back_even_if_the_clock_does() -> None:
    first = _render(now=LATER)
    moved = _render(_stored(first), NOW, webinar(start=datetime(2025, 7, 3, 12)))
    assert _entry(moved)["SEQUENCE"] == 1
    assert _entry(moved)["DTSTAMP"].dt == LATER


def test_ones_own_link_replaces_the_webinars_and_is_a_version_of_its_own() -> None:
    own = "https://zoom.example.org/j/amina"
    first = _render()
    ready = _render(_stored(first), LATER, join_url=own)
    assert _entry(ready)["SEQUENCE"] == 1
    for property in ("LOCATION", "URL", "CONFERENCE"):
        assert _entry(ready)[property] == own
    assert own in _entry(ready)["DESCRIPTION"]
    bodies = [
        part.get_content()
        for part in _mail(ready).walk()
        if part.get_content_type() in ("text/plain", "text/html")
    ]
    assert [own in body for body in bodies] == [True, True]
    assert not any("meet.who.int" in body for body in bodies)


def test_a_new_link_of_the_webinar_is_no_news_for_who_has_their_own() -> None:
    own = "https://zoom.example.org/j/amina"
    first = _render(join_url=own)
    again = _render(_stored(first), LATER, webinar(join_url="https://meet.who.int/new"), join_url=own)
    assert _calendar(again) == _calendar(first)


def test_a_corrected_address_begins_a_new_entry_with_its_own_uid() -> None:
    """The planner gives the new recipient a new UID, of which no version is stored."""
    ready = _render(None, LATER, address="right@example.org", uid="fedcba9876543210@who.int")
    entry = _entry(ready)
    assert (entry["SEQUENCE"], entry["UID"]) == (0, "fedcba9876543210@who.int")
    assert entry["ATTENDEE"] == "mailto:right@example.org"
    assert _mail(ready)["To"] == "right@example.org"


def test_nobody_else_is_in_the_entry() -> None:
    assert isinstance(_entry(_render())["ATTENDEE"], str), "one, no list"


# Which mails carry one


@pytest.mark.parametrize("message", ["reminder-day", "reminder-hour", "follow-up"])
def test_reminders_and_follow_ups_carry_no_invitation(message: str) -> None:
    ready = _render(message=message)
    assert ready.start.invitation is None
    assert "text/calendar" not in [part.get_content_type() for part in _mail(ready).walk()]


def test_a_reminder_that_carries_one_on_demand_carries_the_version_that_is_out() -> None:
    attached = SEQUENCE.replace('before_start = "1h"', 'before_start = "1h"\ninvitation = "attachment"')
    first = _render()
    reminder = _render(_stored(first), LATER, webinar(attached), message="reminder-hour")
    assert _version(reminder).calendar == _version(first).calendar
    assert "text/calendar" not in [
        part.get_content_type() for part in _mail(reminder).walk() if part.get_content_disposition() is None
    ], "Outlook would turn the mail into a meeting"


@pytest.mark.parametrize(("message", "cancelled"), [("change", False), ("cancellation", True)])
def test_a_webinar_without_invitations_sends_no_update_of_one(message: str, cancelled: bool) -> None:
    without = SEQUENCE.replace("on_registration = true", 'on_registration = true\ninvitation = "none"')
    ready = _render(governing=webinar(without, cancelled=cancelled), message=message)
    assert ready.start.invitation is None
    assert b"BEGIN:VCALENDAR" not in ready.content


# One person's data


@pytest.mark.parametrize(
    "changed",
    [{"join_url": "https://meet.example.org/\r\nX: y"}, {"address": "a@example.org\r\nBcc: b@example.org"}],
)
def test_a_value_that_would_break_the_mail_raises_for_that_person_alone(changed: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"control|line|header|address"):
        _render(**changed)


def test_a_name_can_be_neither_a_header_nor_a_link_nor_markup() -> None:
    ready = _render(name='<a href="https://evil.example">Win</a>\r\nBcc: x@example.org')
    mail = _mail(ready)
    assert mail["Bcc"] is None
    html = next(part for part in mail.walk() if part.get_content_type() == "text/html").get_content()
    assert '<a href="https://evil.example"' not in html
    assert _entry(ready)["ATTENDEE"] == "mailto:amina@example.org"
