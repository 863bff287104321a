"""The timeline as a picture."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from datetime import datetime

import pytest
import pytz

from scheduler.reports.timeline import default_zones, timeline
from scheduler.reports.timeline_svg import COLOURS, SHAPES, timeline_svg
from scheduler.webinar.model import Webinar
from tests.support import SEQUENCE, utc, webinar

SVG = "{http://www.w3.org/2000/svg}"


def picture(governing: Webinar, *zones: str, registered_at: str = "") -> ET.Element:
    chosen = [pytz.timezone(zone) for zone in zones] or default_zones(governing)
    when = utc(registered_at) if registered_at else None
    return ET.fromstring(timeline_svg(governing, timeline(governing, chosen, when)))


def words(root: ET.Element) -> list[str]:
    return ["".join(text.itertext()) for text in root.iter(f"{SVG}text")]


def marks(root: ET.Element) -> list[tuple[float, str]]:
    """Where each mark is, and what it says, that is of a row and not of the legend."""
    found = []
    for one in root.iter():
        title = one.find(f"{SVG}title")
        if one.get("transform") and title is not None and ":" in (title.text or ""):
            found.append((float(one.get("transform", "").partition("(")[2].split()[0]), title.text or ""))
    return found


def test_each_clock_has_a_row_and_those_whose_day_begins_first_are_on_top() -> None:
    shown = words(picture(webinar()))
    cities = ["Kiritimati", "Chatham", "Shanghai", "Kathmandu", "Kolkata", "Nairobi", "Geneva", "Lagos"]
    assert [word for word in shown if word in cities] == cities
    assert "Fri 4 Jul 01:00–03:00, UTC+14" in shown
    assert "Thu 3 Jul 23:45 – Fri 01:45, UTC+12:45" in shown


def test_zones_whose_clocks_show_the_same_share_a_row_with_the_number_of_people() -> None:
    people = {"Africa/Nairobi": 2, "Asia/Riyadh": 12, "Asia/Baghdad": 1, "Asia/Kolkata": 1}
    chosen = [pytz.timezone(zone) for zone in people]
    shown = words(ET.fromstring(timeline_svg(webinar(), timeline(webinar(), chosen), people)))
    assert "Riyadh, Nairobi +115 people" in shown
    assert "Kolkata1 person" in shown
    assert "Thu 3 Jul 14:00–16:00, UTC+3" in shown


def test_the_weekend_there_is_marked() -> None:
    def weekends(zone: str) -> list[str]:
        root = picture(webinar(start=datetime(2025, 7, 4, 13), end=datetime(2025, 7, 4, 15)), zone)
        lines = [path for path in root.iter(f"{SVG}path") if path.get("class") == "weekend"]
        return [line.get("d", "") for line in lines[1:]]  # the first is the legend's

    assert len(weekends("Africa/Cairo")) > len(weekends("Asia/Kathmandu")) > 0


def test_each_message_of_each_clock_has_a_mark_that_says_when() -> None:
    found = [says for _, says in marks(picture(webinar(), "Asia/Kathmandu", "Pacific/Kiritimati"))]
    said = (
        "Reminder, 1 day before at 09:00 on the reader’s clock, Kiritimati: Thu 09:00 there, Wed 19:00 UTC,"
        " useful until Thu 3 Jul 10:00 UTC"
    )
    assert said in found
    assert len(found) == 6  # and two confirmations, which say no time


def test_what_is_later_is_farther_right() -> None:
    registered = "2025-06-12 08:00"
    found = [
        (x, says.split(",")[0]) for x, says in marks(picture(webinar(), "UTC", registered_at=registered))
    ]
    assert [name for _, name in sorted(found)] == ["Confirmation", "Reminder", "Reminder", "Follow-up"]


def test_days_without_an_event_are_folded() -> None:
    shown = words(picture(webinar(), "UTC", registered_at="2025-06-12 08:00"))
    days = [word for word in shown if re.fullmatch(r"\w+ \d+ (June|July)UTC", word)]
    assert [day.removesuffix("UTC") for day in days] == [
        "Thu 12 June",
        "Wed 2 July",
        "Thu 3 July",
        "Fri 4 July",
    ]
    assert "19 days" in shown


def test_what_is_skipped_is_struck_out_with_its_reason() -> None:
    root = picture(webinar(), "UTC", registered_at="2025-07-02 12:00")
    (said,) = [says for _, says in marks(root) if "skipped" in says]
    assert said.endswith("skipped: due before it was planned")
    strikes = [path for path in root.iter(f"{SVG}path") if "strike" in (path.get("class") or "")]
    assert len(strikes) == 2  # one is the legend's


def test_it_is_described_in_words_for_those_who_do_not_see_it() -> None:
    root = picture(webinar(), "Asia/Kathmandu", "Pacific/Kiritimati", registered_at="2025-07-02 12:00")
    assert root.get("role") == "img"
    assert root.get("aria-labelledby") == "title desc"
    title, desc = root.find(f"{SVG}title"), root.find(f"{SVG}desc")
    assert title is not None
    assert title.text == "Buying health products: what goes out when, by message and time zone"
    assert desc is not None
    assert desc.text == (
        "Buying health products. Thursday 3 July 2025, 13:00 CEST in Geneva (UTC+02:00) = 11:00 UTC; what was"
        " announced as CET is CEST on 3 July 2025. 2 clocks. Confirmation, at once, on registration: 02 July 12:00 UTC."
        " Reminder, 1 day before at 09:00 on the reader’s clock: 02 July 19:00 UTC."
        " Reminder, 1 day before at 09:00 on the reader’s clock: skipped in 1 of them."
        " Reminder, 1 hour before the start: 03 July 10:00 UTC."
        " Follow-up, 1 day after at 10:00 on the reader’s clock: from 04 July 04:15 to 04 July 20:00 UTC."
    )


def test_no_two_messages_look_alike_without_colour_until_there_are_many() -> None:
    assert len(set(SHAPES)) == len(SHAPES) == 7
    looks = {(number % len(SHAPES), number % COLOURS) for number in range(42)}
    assert len(looks) == 42


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "Antarctica/Troll", "EST5EDT", "Etc/GMT+12"])
def test_it_can_be_drawn_for_one_zone_alone(zone: str) -> None:
    root = picture(webinar(), zone)
    width, height = float(root.get("width", 0)), float(root.get("height", 0))
    assert root.get("viewBox") == f"0 0 {width:g} {height:g}"
    for text in root.iter(f"{SVG}text"):
        assert 0 <= float(text.get("x", 0)) <= width


def test_what_an_organizer_wrote_is_no_markup() -> None:
    title = '<script>alert(1)</script> & "R&D" \'' + "very " * 25
    root = picture(webinar(title=title), "UTC")
    assert list(root.iter(f"{SVG}script")) == []
    assert "".join(word for word in words(root) if "very" in word or "alert" in word).startswith(
        "<script>alert(1)"
    )


def test_a_long_webinar_at_the_turn_of_the_year_with_only_reminders_can_be_drawn() -> None:
    reminders = SEQUENCE[SEQUENCE.index('[[messages]]\nid = "reminder-day"') :].partition(
        '[[messages]]\nid = "follow'
    )[0]
    long = webinar(reminders, start=datetime(2025, 12, 29, 13), end=datetime(2026, 1, 9, 12))
    shown = words(picture(long, "Pacific/Chatham"))
    assert "Tue 30 Dec 01:45 – 10 Jan, UTC+13:45" in shown
    assert "Webinar, 29 Dec 12:00 – 9 Jan 11:00 UTC" in shown
