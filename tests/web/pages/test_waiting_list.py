"""Whoever waits for a place is told so once, in their language and by their clock."""

from __future__ import annotations

import re
from base64 import b64decode
from datetime import datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import pytest

from scheduler.registrants import signups
from scheduler.registrants.signups import Details
from scheduler.web.pages.waiting_list import end_waiting, tell_who_waits, waiting_mail
from scheduler.web.pages.words import LANGUAGES, page_words
from tests.support import webinar
from tests.web.pages.support import NOW, Site

SMALL = webinar(capacity=1)
LEAVE = "https://webinars.who.int/l/0123456789"


def read(mail: bytes) -> EmailMessage:
    found = message_from_bytes(mail, policy=policy.default)
    assert isinstance(found, EmailMessage)
    return found


def test_the_mail_says_when_it_is_on_their_clock_and_on_geneva_s() -> None:
    person = Details("maya@who.int", name="Maya", timezone="Nairobi", language="en")
    mail = read(waiting_mail(SMALL, person, NOW, LEAVE))
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
    mail = read(waiting_mail(SMALL, Details("maya@who.int", language=language), NOW, LEAVE))
    assert mail["Content-Language"] == language
    assert "{" not in mail.get_content() + mail["Subject"]


def register(site: Site, person: Details) -> None:
    with site.database.transaction() as conn:
        (outcome,) = signups.register(conn, NOW, SMALL, [person], "form")
        tell_who_waits(conn, NOW, SMALL, outcome, site.url)


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
        tell_who_waits(conn, NOW, SMALL, outcome, site.url)
    assert told(site) == ["maya@who.int"]


def test_a_name_that_is_a_line_is_no_header(site: Site) -> None:
    mail = waiting_mail(SMALL, Details("maya@who.int", name="Maya\r\nBcc: eve@who.int"), NOW, LEAVE)
    assert b"\nBcc" not in mail


# Leaving the list


def leave_link(site: Site) -> str:
    ((content,),) = site.ledger.sql("SELECT content FROM outbox")
    found = re.search(
        r"https://webinars\.who\.int(/l/[0-9a-f]{40})\s", read(b64decode(content)).get_content()
    )
    assert found
    return found[1]


def waits(site: Site) -> list[str]:
    return [row.address for row in site.ledger.sql("SELECT address FROM signup WHERE state = 'waiting'")]


@pytest.fixture
def link(site: Site) -> str:
    """The link in the mail to Maya, who waits."""
    register(site, Details("ben@who.int"))
    register(site, Details("maya@who.int"))
    return leave_link(site)


def test_a_press_takes_whoever_waits_off_the_list(site: Site, link: str) -> None:
    words = page_words("en").waiting
    before = site.dump()
    for method in ("GET", "HEAD", "OPTIONS"):
        site.ask(method, link)
    assert site.dump() == before, "looking changes nothing"
    assert words.leave_button in site.get(link).text
    assert site.post(link).headers["location"] == link
    assert waits(site) == []
    assert words.left_title in site.get(link).text
    assert site.post(link).status_code == 303, "pressed again"


def test_whoever_has_a_place_by_now_keeps_it(site: Site, link: str) -> None:
    with site.database.transaction() as conn:
        signups.promote(conn, NOW, webinar(capacity=2))
    assert page_words("en").confirm.done_title in site.get(link).text
    site.post(link)
    assert len(site.ledger.sql("SELECT 1 FROM signup WHERE state = 'registered'")) == 2


def test_a_guessed_link_leads_nowhere(site: Site, link: str) -> None:
    for other in (
        link[:-1],
        link[:-1] + ("0" if link[-1] != "0" else "1"),
        link.replace("/l/", "/c/"),
        "/l/%00",
    ):
        assert (site.get(other).status_code, site.post(other).status_code) == (404, 404)
    assert waits(site) == ["maya@who.int"]


def end(site: Site, **changed: Any) -> None:
    with site.database.transaction() as conn:
        while end_waiting(conn, NOW, webinar(**changed)):
            pass


@pytest.mark.parametrize("language", LANGUAGES)
def test_whoever_waits_is_told_that_the_webinar_is_cancelled(site: Site, language: str) -> None:
    register(site, Details("ben@who.int"))
    register(site, Details("maya@who.int", name="Maya", language=language))
    end(site, cancelled=True)
    content = site.ledger.sql("SELECT content FROM outbox ORDER BY id")[-1].content
    mail = read(b64decode(content))
    assert mail["To"] == "maya@who.int"
    words = page_words(language).waiting
    assert mail["Subject"].startswith(words.cancelled_subject.partition("{")[0])
    assert "{" not in mail.get_content()
    assert waits(site) == []
    assert len(told(site)) == 2, "once"


def test_whoever_waits_for_a_webinar_that_is_over_is_dropped_with_it(site: Site, link: str) -> None:
    end(site, start=datetime(2025, 6, 2, 13), end=datetime(2025, 6, 2, 15))
    assert waits(site) == []
    assert told(site) == ["maya@who.int"]
