"""Whoever waits for a place is told so once, in their language and by their clock."""

from __future__ import annotations

from email import message_from_bytes, policy
from email.message import EmailMessage

import pytest

from scheduler.registrants import signups
from scheduler.registrants.signups import Details
from scheduler.web.pages.waiting_list import tell_who_waits, waiting_mail
from scheduler.web.pages.words import LANGUAGES
from tests.support import webinar
from tests.web.pages.support import NOW, Site

SMALL = webinar(capacity=1)


def read(mail: bytes) -> EmailMessage:
    found = message_from_bytes(mail, policy=policy.default)
    assert isinstance(found, EmailMessage)
    return found


def test_the_mail_says_when_it_is_on_their_clock_and_on_geneva_s() -> None:
    person = Details("maya@who.int", name="Maya", timezone="Nairobi", language="en")
    mail = read(waiting_mail(SMALL, person, NOW))
    assert mail["Subject"] == "Waiting list: Buying health products"
    words = mail.get_content()
    assert "Dear Maya" in words
    assert "Your time: Thursday, 3 July 2025, 14:00–16:00 (Nairobi, East Africa Time, UTC+3)" in words
    assert (
        "Geneva time: Thursday, 3 July 2025, 13:00–15:00 (Geneva, Central European Summer Time, UTC+2)"
        in words
    )


@pytest.mark.parametrize("language", LANGUAGES)
def test_it_is_written_in_each_language_of_the_pages(language: str) -> None:
    mail = read(waiting_mail(SMALL, Details("maya@who.int", language=language), NOW))
    assert mail["Content-Language"] == language
    assert "{" not in mail.get_content() + mail["Subject"]


def register(site: Site, person: Details) -> None:
    with site.database.transaction() as conn:
        (outcome,) = signups.register(conn, NOW, SMALL, [person], "form")
        tell_who_waits(conn, NOW, SMALL, outcome)


def told(site: Site) -> list[str]:
    return [row.recipient for row in site.ledger.sql("SELECT recipient FROM outbox ORDER BY id")]


def test_only_who_waits_from_now_on_is_told(site: Site) -> None:
    register(site, Details("ben@who.int"))
    register(site, Details("maya@who.int"))
    register(site, Details("maya@who.int", name="Maya"))
    assert told(site) == ["maya@who.int"]


def test_whoever_confirmed_their_address_and_finds_no_place_is_told(site: Site) -> None:
    with site.database.transaction() as conn:
        (maya,) = signups.register(conn, NOW, SMALL, [Details("maya@who.int")], "form", confirmed=False)
    register(site, Details("ben@who.int"))
    with site.database.transaction() as conn:
        outcome = signups.confirm(conn, NOW, SMALL, maya.id)
        assert outcome is not None
        tell_who_waits(conn, NOW, SMALL, outcome)
    assert told(site) == ["maya@who.int"]


def test_a_name_that_is_a_line_is_no_header(site: Site) -> None:
    mail = waiting_mail(SMALL, Details("maya@who.int", name="Maya\r\nBcc: eve@who.int"), NOW)
    assert b"\nBcc" not in mail
