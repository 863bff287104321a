"""EventReservation for programs that read mails: JSON from which no value can escape."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from email import message_from_bytes, policy
from typing import Any

import pytest

from scheduler.mail.words.names import clean_name
from scheduler.mail.words.reservation import in_json, reservation
from tests.mail.test_hostile_input import NAMES
from tests.mail.writing.test_stencil import CLAIMED, SHIPPED, STENCILS
from tests.support import utc, webinar

LINK = 'https://meet.who.int/w?a=1&b=\\"<x>'
NOW = utc("2025-06-20 08:00")


def _said(html: str) -> Any:
    (found,) = re.findall(r'<script type="application/ld\+json">(.*?)</script>', html, re.DOTALL)
    return json.loads(found)


def test_it_names_the_event_the_instants_the_person_and_the_link() -> None:
    said = json.loads(reservation(webinar(), "en", "Amina", LINK))
    assert said["@type"] == "EventReservation"
    assert said["reservationStatus"] == "https://schema.org/ReservationConfirmed"
    assert said["underName"]["name"] == "Amina"
    event = said["reservationFor"]
    assert (event["startDate"], event["endDate"]) == ("2025-07-03T11:00:00Z", "2025-07-03T13:00:00Z")
    assert event["location"]["url"] == LINK
    assert [one["name"] for one in event["organizer"]] == ["WHO", "WIPO", "WTO"]


def test_without_a_name_or_link_none_is_made_up_and_a_cancelled_webinar_says_so() -> None:
    said = json.loads(reservation(webinar(cancelled=True), "en", "", ""))
    assert "underName" not in said
    assert "location" not in said["reservationFor"]
    assert said["reservationStatus"].endswith("ReservationCancelled")
    assert said["reservationFor"]["eventStatus"].endswith("EventCancelled")


@pytest.mark.parametrize(
    "value", [*NAMES.values(), "</script><script>alert(1)</script>", "<!--", "\\u003c", "a\u2028b"]
)
def test_no_value_ends_the_element_or_the_string(value: str) -> None:
    written = in_json(value)
    assert not re.search(r"[<>&\n\u2028\u2029]", written)
    assert json.loads(f'"{written}"') == value


@pytest.mark.parametrize("name", ["Amina", 'Eve "</script>" \\ & Co', "أمل", "", "李伟"])
def test_the_fast_way_says_the_same(name: str) -> None:
    reader = replace(CLAIMED, name=name, join_url="https://meet.who.int/own?a=1&b=2")
    for _ in range(2):
        ready = STENCILS.render(
            reader, webinar(), SHIPPED["confirmation", "en"], None, NOW, "", eight_bit=True
        )
    body = message_from_bytes(ready.content, policy=policy.default).get_body(("html",))
    said = _said(body.get_content())  # type: ignore[union-attr]
    assert said.get("underName", {}).get("name", "") == clean_name(name)
    assert said["reservationFor"]["location"]["url"] == "https://meet.who.int/own?a=1&b=2"


def test_a_reminder_has_none() -> None:
    reader = replace(CLAIMED, message="reminder-day")
    ready = STENCILS.render(reader, webinar(), SHIPPED["reminder-day", "en"], None, NOW, "", eight_bit=True)
    assert b"ld+json" not in ready.content
