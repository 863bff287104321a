"""The join link that never changes."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from scheduler.web.pages.words import page_words
from tests.support import utc, webinar
from tests.web.pages.support import Site

pytestmark = pytest.mark.engines("sqlite")

START, END = utc("2025-07-03 11:00"), utc("2025-07-03 13:00")
OPENING = START - timedelta(minutes=15)
OWN, SHARED = "https://zoom.us/w/123?tk=a;b~c&pwd=d%20e", "https://meet.who.int/w"
MATERIALS = "https://www.who.int/slides"


@pytest.mark.parametrize("at", [OPENING, START, END - timedelta(seconds=1)])
def test_while_the_doors_are_open_it_forwards_to_the_persons_own_link(site: Site, at: datetime) -> None:
    key = site.register(join_url=OWN)
    site.clock.at = at
    response = site.get(f"/j/{key}")
    assert (response.status_code, response.headers["location"]) == (302, OWN)
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["referrer-policy"] == "no-referrer"
    assert response.content == b""


def test_without_a_link_of_their_own_it_is_the_webinars(site: Site) -> None:
    key = site.register()
    site.clock.at = START
    assert site.get(f"/j/{key}").headers["location"] == SHARED


def test_it_leads_to_the_link_of_the_moment(site: Site) -> None:
    key = site.register()
    site.clock.at = START
    site.ledger.govern(webinar(join_url="https://meet.who.int/new"))
    assert site.get(f"/j/{key}").headers["location"] == "https://meet.who.int/new"


@pytest.mark.parametrize(("doors_open", "minutes"), [("0s", 0), ("1h", 60), ("15m", 15)])
def test_the_doors_open_when_the_webinar_says(site: Site, doors_open: str, minutes: int) -> None:
    site.ledger.govern(webinar(doors_open=doors_open))
    key = site.register()
    site.clock.at = START - timedelta(minutes=minutes)
    assert site.get(f"/j/{key}").status_code == 302
    site.clock.at -= timedelta(seconds=1)
    assert site.get(f"/j/{key}").status_code == 200


def test_before_that_it_shows_their_time_and_when_the_doors_open_and_no_link(site: Site) -> None:
    key = site.register(timezone="Africa/Nairobi", join_url=OWN)
    site.clock.at = START - timedelta(minutes=40)
    page = site.get(f"/j/{key}").text
    for words in ("Not started yet", "14:00–16:00", "Thursday, 3 July 2025", "Nairobi, East Africa Time, UTC+3",
                  "in 40 minutes", "Doors open: 13:45 (Nairobi, East Africa Time, UTC+3)", "Geneva time"):  # fmt: skip
        assert words in page
    assert "zoom.us" not in page
    assert 'data-opens="2025-07-03T10:45:00+00:00"' in page


def test_the_opening_has_its_date_where_that_is_not_the_webinars(site: Site) -> None:
    key = site.register(timezone="Asia/Tokyo")
    site.ledger.govern(webinar(start=datetime(2025, 7, 3, 17), end=datetime(2025, 7, 3, 18)))
    site.clock.at = utc("2025-07-03 12:00")
    page = site.get(f"/j/{key}").text
    assert "Friday, 4 July 2025" in page
    assert "Doors open: Thursday, 3 July 2025, 23:45 (Tokyo" in page


def test_afterwards_it_leads_to_the_materials(site: Site) -> None:
    site.ledger.govern(webinar(materials_url=MATERIALS))
    key = site.register()
    site.clock.at = END + timedelta(days=1)
    page = site.get(f"/j/{key}")
    assert page.status_code == 200
    assert "This webinar is over" in page.text
    assert f'href="{MATERIALS}"' in page.text
    assert SHARED not in page.text


def test_for_an_hour_it_still_offers_the_way_in_since_webinars_run_longer_than_planned(site: Site) -> None:
    key = site.register()
    site.clock.at = END + timedelta(minutes=59)
    page = site.get(f"/j/{key}")
    assert page.status_code == 200
    assert f'href="{SHARED}"' in page.text
    assert "no slides and no recording here yet" in page.text


def test_of_a_webinar_that_has_moved_it_shows_the_new_time_beside_the_former(site: Site) -> None:
    key = site.register(timezone="Africa/Nairobi")
    site.ledger.set("confirmation", "sent")
    site.ledger.govern(webinar(start=datetime(2025, 7, 4, 15), end=datetime(2025, 7, 4, 17)))
    site.clock.at = START
    page = site.get(f"/j/{key}")
    assert page.status_code == 200
    assert "Friday, 4 July 2025" in page.text
    assert "It was: Thursday, 3 July 2025, 14:00–16:00" in page.text


def test_a_cancelled_webinar_says_so_and_nothing_else(site: Site) -> None:
    site.ledger.govern(webinar(cancelled=True))
    key = site.register()
    site.clock.at = START
    page = site.get(f"/j/{key}")
    assert page.status_code == 200
    assert "This webinar will not take place." in page.text
    assert SHARED not in page.text


@pytest.mark.parametrize("link", ["http://meet.who.int/w", "javascript:alert(1)", "//evil.com", "https://a@evil.com/",
                                  "https://webinars.who.int/j/{key}", "https://x.org/\r\nSet-Cookie: a=b"])  # fmt: skip
def test_it_leads_to_https_elsewhere_or_nowhere(site: Site, link: str) -> None:
    key = site.register()
    site.ledger.sql("UPDATE registration SET join_url = :link", link=link.format(key=key))
    site.clock.at = START
    page = site.get(f"/j/{key}")
    assert page.status_code == 200
    assert "location" not in page.headers
    assert "The link is not known yet" in page.text
    assert "evil" not in page.text


def test_nothing_of_the_request_decides_where_it_leads(site: Site) -> None:
    key = site.register()
    site.clock.at = START
    response = site.get(
        f"/j/{key}?url=https://evil.com&next=//evil.com", host="evil.com", **{"x-forwarded-host": "evil.com"}
    )
    assert response.headers["location"] == SHARED


def test_whoever_withdrew_can_still_join(site: Site) -> None:
    key = site.register()
    site.post(f"/r/{key}/withdraw")
    site.clock.at = START
    assert site.get(f"/j/{key}").headers["location"] == SHARED


def test_whoever_is_suppressed_or_whose_row_is_gone_in_a_reload_can_still_join(site: Site) -> None:
    key = site.register()
    site.ledger.sql("INSERT INTO suppression (address_folded, source, since) VALUES ('maya@who.int', 'page', :now)",
                    now=site.clock.at)  # fmt: skip
    site.clock.at = START
    site.ledger.sql("DELETE FROM registrants")
    site.ledger.plan(site.clock.at - timedelta(minutes=1))
    assert site.get(f"/j/{key}").headers["location"] == SHARED


@pytest.mark.parametrize("at", [OPENING - timedelta(minutes=1), START, END])
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_pressing_it_records_nothing(site: Site, method: str, at: datetime) -> None:
    key = site.register()
    site.clock.at = at
    before = site.dump()
    response = site.ask(method, f"/j/{key}")
    if method == "HEAD":
        same = site.get(f"/j/{key}")
        assert (response.status_code, response.headers.get("location")) == (
            same.status_code, same.headers.get("location"))  # fmt: skip
    assert site.dump() == before


def test_posting_to_it_is_refused(site: Site) -> None:
    assert site.post(f"/j/{site.register()}").status_code == 405


def test_keys_that_nobody_has_look_alike(site: Site) -> None:
    key = site.register()
    answers = {
        site.get(f"/j/{wrong}").text for wrong in ("0" * 40, key[:-1] + "x", key[:39], key.upper(), "x")
    }
    assert len(answers) == 1
    assert site.get(f"/j/{'0' * 40}").status_code == 404


def test_who_is_registered_no_more_does_not_get_in(site: Site) -> None:
    key = site.register()
    site.ledger.sql("DELETE FROM registrants")
    site.ledger.plan(site.clock.at)
    site.clock.at = utc("2025-07-03 10:55")
    answer = site.get(f"/j/{key}")
    assert answer.status_code == 200
    assert "location" not in answer.headers
    assert page_words("en").mine.text_gone in answer.text
