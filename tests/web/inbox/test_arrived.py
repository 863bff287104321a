"""What the headers of mails at a test relay say."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from scheduler.web.inbox.arrived import arrived_deliveries

HEADERS = (
    b"To: Lea <lea@example.org>\r\nDate: Wed, 02 Jul 2025 09:00:00 +0200\r\nMessage-ID: <1@who.int>\r\n"
    b"Feedback-ID: reminder-day:w:fr:webinars\r\n\r\nBonjour\r\n"
)


def test_a_mail_of_a_webinar_is_a_delivery_and_others_are_none() -> None:
    other = HEADERS.replace(b"Feedback-ID: reminder-day:w:fr:webinars\r\n", b"")
    (one,) = arrived_deliveries([(Path("0001.eml"), HEADERS), (Path("0002.eml"), other)])
    assert (one["webinar"], one["message"], one["language"]) == ("w", "reminder-day", "fr")
    assert (one["email"], one["sent_at"], one["eml"]) == (
        "lea@example.org", "2025-07-02T07:00:00Z", "mails/0001.eml",
    )  # fmt: skip


@given(st.binary(max_size=300))
def test_whatever_arrives_is_read(content: bytes) -> None:
    arrived_deliveries([(Path("0001.eml"), b"Feedback-ID: a\r\n" + content), (Path("0002.eml"), content)])
