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


def test_a_mail_is_a_delivery_to_its_recipient_also_if_it_is_of_no_webinar() -> None:
    other = HEADERS.replace(b"Feedback-ID: reminder-day:w:fr:webinars\r\n", b"")
    nobody = HEADERS.replace(b"To: Lea <lea@example.org>\r\n", b"")
    mails = [(Path("0001.eml"), HEADERS), (Path("0002.eml"), other), (Path("0003.eml"), nobody)]
    one, two = arrived_deliveries(mails)
    assert (two["message"], two["email"]) == ("other-mail", "lea@example.org")
    assert (one["name"], two["name"]) == ("Lea", "Lea")
    assert (one["message"], one["language"]) == ("reminder-day", "fr")
    assert (one["email"], one["sent_at"], one["eml"]) == (
        "lea@example.org", "2025-07-02T07:00:00Z", "mails/0001.eml",
    )  # fmt: skip


def test_a_name_is_decoded() -> None:
    encoded = HEADERS.replace(b"Lea <", b"=?utf-8?q?L=C3=A9a_B=2E?= <")
    (one,) = arrived_deliveries([(Path("0001.eml"), encoded)])
    assert one["name"] == "Léa B."


@given(st.binary(max_size=300))
def test_whatever_arrives_is_read(content: bytes) -> None:
    arrived_deliveries([(Path("0001.eml"), b"Feedback-ID: a\r\n" + content), (Path("0002.eml"), content)])
