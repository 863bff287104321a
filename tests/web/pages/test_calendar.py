"""A registrant's calendar entry, as a file and as links."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import vobject
from icalendar import Calendar

from scheduler.ledger import claims, outcomes
from scheduler.mail.writing.rendering import version_for
from tests.support import start, utc, webinar
from tests.web.pages.support import NOW, Site

pytestmark = pytest.mark.engines("sqlite")

MOVED: dict[str, Any] = {"start": datetime(2025, 7, 4, 13), "end": datetime(2025, 7, 4, 15)}


def event(site: Site, key: str, query: str = "") -> tuple[str, Any]:
    """The method and the event of the file."""
    response = site.get(f"/r/{key}/calendar.ics{query}")
    assert response.status_code == 200
    calendar = Calendar.from_ical(response.content)
    assert f"method={calendar['METHOD']}" in response.headers["content-type"]
    vobject.readOne(response.text)
    return str(calendar["METHOD"]), calendar.walk("VEVENT")[0]


def store_version(site: Site) -> bytes:
    """The confirmation goes out, with an invitation. Returns its calendar."""
    with site.database.transaction() as conn:
        (claimed,) = claims.claim(conn, NOW, claims.new_token(1), 100, 100)
        version = version_for(claimed, webinar(), "en", webinar().join_url, "REQUEST", None, NOW)
        outcomes.begin(conn, [start(claimed, NOW, invitation=version)])
    site.ledger.set("confirmation", "sent")
    return version.calendar


def test_the_file_is_published_and_names_nobody(site: Site) -> None:
    key = site.register(name="Maya Shrestha")
    method, entry = event(site, key)
    assert method == "PUBLISH"
    assert "ATTENDEE" not in entry
    assert "Shrestha" not in site.get(f"/r/{key}/calendar.ics").text
    assert entry["UID"] == site.ledger.sql("SELECT uid FROM registration")[0][0]
    assert (entry["SEQUENCE"], entry["STATUS"]) == (0, "CONFIRMED")
    assert entry["DTSTART"].dt == utc("2025-07-03 11:00")
    assert site.get(f"/r/{key}/calendar.ics").headers["content-disposition"] == 'attachment; filename="w.ics"'


def test_as_an_attendee_it_is_the_readers_own_invitation(site: Site) -> None:
    method, entry = event(site, site.register(), "?as=attendee")
    assert method == "REQUEST"
    assert entry["ATTENDEE"] == "mailto:maya@who.int"


def test_it_is_the_stored_version_byte_by_byte_whenever_it_is_asked_for(site: Site) -> None:
    key = site.register()
    stored = store_version(site)
    site.clock.at = NOW + timedelta(days=3)
    assert site.get(f"/r/{key}/calendar.ics?as=attendee").content == stored
    _, published = event(site, key)
    assert published["DTSTAMP"].dt == NOW


@pytest.mark.engines("both")
def test_of_a_webinar_that_has_moved_it_is_the_next_version_before_any_mail_says_so(site: Site) -> None:
    key = site.register()
    store_version(site)
    site.clock.at = NOW + timedelta(hours=1)
    site.ledger.govern(webinar(**MOVED))
    before = site.dump()
    for query in ("", "?as=attendee"):
        _, entry = event(site, key, query)
        assert (entry["SEQUENCE"], entry["DTSTART"].dt) == (1, utc("2025-07-04 11:00"))
        assert entry["DTSTAMP"].dt == site.clock.at
    assert site.dump() == before, "it is not stored"


def test_of_a_cancelled_webinar_it_takes_the_entry_away(site: Site) -> None:
    key = site.register()
    store_version(site)
    site.ledger.govern(webinar(cancelled=True))
    assert event(site, key, "?as=attendee")[0] == "CANCEL"
    method, entry = event(site, key)
    assert (method, entry["STATUS"], entry["SEQUENCE"]) == ("PUBLISH", "CANCELLED", 1)


@pytest.mark.engines("both")
def test_of_whoever_withdrew_it_takes_the_entry_away_and_of_whoever_came_back_it_is_there_again(
    site: Site,
) -> None:
    key = site.register()
    store_version(site)
    site.post(f"/r/{key}/withdraw")
    assert event(site, key, "?as=attendee")[0] == "CANCEL"
    assert event(site, key)[1]["STATUS"] == "CANCELLED"
    site.post(f"/r/{key}/return")
    method, entry = event(site, key, "?as=attendee")
    assert (method, entry["STATUS"]) == ("REQUEST", "CONFIRMED")


def test_a_webinar_that_forwards_has_the_link_that_never_changes(site: Site) -> None:
    site.ledger.govern(webinar(join_link="forward"))
    key = site.register(join_url="https://meet.who.int/own")
    _, entry = event(site, key)
    assert entry["URL"] == f"https://webinars.who.int/j/{key}"
    assert "meet.who.int" not in site.get(f"/r/{key}/calendar.ics").text


@pytest.mark.parametrize(
    "name", ["Maya\r\nATTENDEE:mailto:eve@evil.com", 'a";X=1:b', "\u202eMaya", "🙂" * 60]
)
def test_no_name_breaks_out_of_its_property(site: Site, name: str) -> None:
    key = site.register(name=name)
    _, entry = event(site, key, "?as=attendee")
    assert entry["ATTENDEE"] == "mailto:maya@who.int"
    assert "ATTENDEE" not in event(site, key)[1]


def links(site: Site, key: str) -> dict[str, str]:
    page = site.get(f"/r/{key}").text
    hosts = ("calendar.google.com", "outlook.live.com", "outlook.office.com", "calendar.yahoo.com")
    found = [part.partition('"')[0].replace("&amp;", "&") for part in page.split('href="')]
    return {host: url for host in hosts for url in found if urlsplit(url).hostname == host}


def test_the_page_has_the_links_of_four_web_calendars(site: Site) -> None:
    found = links(site, site.register(timezone="Africa/Nairobi"))
    assert len(found) == 4
    google = parse_qs(urlsplit(found["calendar.google.com"]).query)
    assert google["dates"] == ["20250703T110000Z/20250703T130000Z"]
    assert google["location"] == ["https://meet.who.int/w"]


def test_yahoo_gets_the_readers_clock_since_it_heeds_no_zone(site: Site) -> None:
    found = links(site, site.register(timezone="Africa/Nairobi"))
    yahoo = parse_qs(urlsplit(found["calendar.yahoo.com"]).query)
    assert (yahoo["st"], yahoo["et"], yahoo["v"]) == (["20250703T140000"], ["20250703T160000"], ["60"])


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_looking_changes_nothing(site: Site, method: str) -> None:
    key = site.register()
    before = site.dump()
    site.ask(method, f"/r/{key}/calendar.ics")
    site.ask(method, f"/r/{key}/calendar.ics?as=attendee")
    assert site.dump() == before


def test_a_key_that_nobody_has_has_no_calendar(site: Site) -> None:
    site.register()
    assert site.get(f"/r/{'0' * 40}/calendar.ics").status_code == 404
