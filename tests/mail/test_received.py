"""Reading a received mail for the inbox."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.mail.received import read_invitation, read_mail
from tests.web.inbox.samples import JOIN, calendar, mail


def test_a_mail_is_read_with_all_its_parts() -> None:
    received = read_mail(
        mail("Grüezi", "anna@example.org", "Text ü", "<p>HTML ü</p>", calendar("anna@example.org"))
    )
    assert received.subject == "Grüezi"
    assert received.to == "anna@example.org"
    assert received.text == "Text ü\n"
    assert received.html == "<p>HTML ü</p>\n"
    assert received.calendar.startswith("BEGIN:VCALENDAR\nVERSION:2.0\n")
    assert "Message-ID: <1@example.org>" in received.source


def test_missing_parts_are_empty() -> None:
    received = read_mail(mail("Subject", "anna@example.org", "only text"))
    assert (received.text, received.html, received.calendar) == ("only text\n", "", "")


@pytest.mark.parametrize(
    ("raw", "field", "expected"),
    [
        (b"Content-Type: text/plain; charset=iso-8859-1\r\n\r\nM\xfcller", "text", "Müller"),
        (b"Content-Type: text/plain; charset=windows-1251\r\n\r\n\xcc\xee\xf1\xea\xe2\xe0", "text", "Москва"),
        (b"Content-Type: text/plain; charset=no-such-charset\r\n\r\nM\xc3\xbcller", "text", "Müller"),
        (b"Content-Type: text/plain; charset=utf-8\r\n\r\nM\xfcller", "text", "M\ufffdller"),
        (b"Subject: M\xc3\xbcller\r\n\r\n", "subject", "Müller"),
        (b"Subject: M\xfcller\r\n\r\n", "subject", "Müller"),
        (b"Subject: =?no-such?b?TcO8?=\r\n\r\n", "subject", "=?no-such?b?TcO8?="),
        (b"Subject: =?iso-8859-1?q?M=FCller?=\r\n =?utf-8?q?_=C3=A4?=\r\n\r\n", "subject", "Müller ä"),
        (b"Subject: =?utf-8?q?=E4?=\r\n\r\n", "subject", "=?utf-8?q?=E4?="),
        (b"Subject: a\r\n b\r\n\r\n", "subject", "a b"),
        (b"\r\nbell \x07 and nul \x00", "text", "bell ␇ and nul ␀"),
        (b"To: \xff\r\n\r\n\xfe", "source", "To: ÿ\n\nþ"),
    ],
)
def test_invalid_utf_8_is_shown_as_well_as_possible(raw: bytes, field: str, expected: str) -> None:
    assert getattr(read_mail(raw), field).rstrip("\n") == expected


@given(st.binary(max_size=400))
def test_any_bytes_are_shown(raw: bytes) -> None:
    source = read_mail(b"Subject: x\r\n" + raw).source
    assert source.startswith("Subject: x\n")


def test_the_invitation_is_read_as_utc() -> None:
    invitation = read_invitation(calendar("anna@example.org").decode())
    assert invitation
    assert invitation.start == datetime(2025, 7, 3, 11, tzinfo=UTC)
    assert invitation.end == datetime(2025, 7, 3, 13, tzinfo=UTC)
    assert invitation.summary == "Public procurement of health products, innovation and access"
    assert invitation.method == "REQUEST"
    assert invitation.location == JOIN
    assert invitation.attendees == ("anna@example.org",)
    assert invitation.alarms == ("15 minutes before",)


@pytest.mark.parametrize("start", ["DTSTART:20250703T130000", "DTSTART;TZID=Europe/Zurich:20250703T130000"])
def test_a_start_that_is_not_utc_is_no_instant(start: str) -> None:
    invitation = read_invitation(calendar("anna@example.org", start).decode())
    assert invitation
    assert invitation.start is None
    assert invitation.written == "20250703T130000 – 20250703T130000Z"


@pytest.mark.parametrize(
    "text", ["", "nonsense", "BEGIN:VCALENDAR\nEND:VCALENDAR\n", "BEGIN:VEVENT\nDTSTART:x"]
)
def test_no_invitation_or_an_unreadable_one_is_none(text: str) -> None:
    assert read_invitation(text) is None
