"""Unsubscribing: by the page's buttons, and by one click in a mail program (RFC 8058)."""

from __future__ import annotations

from typing import Any

import pytest

from scheduler.ledger.requests import suppress, unsuppress
from scheduler.web.pages.words import page_words
from tests.support import utc, webinar
from tests.web.pages.support import Site

pytestmark = pytest.mark.engines("sqlite")

SAYS = page_words("en").unsubscribe
ONE_CLICK: dict[str, Any] = {
    "content": b"List-Unsubscribe=One-Click",
    "headers": {"content-type": "application/x-www-form-urlencoded"},
}
IN_PARTS = {"files": {"List-Unsubscribe": (None, "One-Click")}}


def suppressions(site: Site) -> list[tuple[str, str]]:
    rows = site.ledger.sql("SELECT webinar, source FROM suppression ORDER BY webinar")
    return [(row.webinar, row.source) for row in rows]


@pytest.mark.parametrize("body", [ONE_CLICK, IN_PARTS, {"content": b""}])
def test_one_click_ends_this_webinars_mails_without_a_redirect_and_answers_alike_the_second_time(
    site: Site, body: dict[str, Any]
) -> None:
    key = site.register()
    for _ in range(2):
        answer = site.ask("POST", f"/r/{key}/unsubscribe", **body)
        assert answer.status_code == 200
        assert "location" not in answer.headers
        assert "set-cookie" not in answer.headers
    assert suppressions(site) == [("w", "one-click")]
    states = site.ledger.states("maya@who.int")
    assert not [state for state in states.values() if state == "pending"], "settled before the answer"


def test_opening_the_page_unsubscribes_nobody(site: Site) -> None:
    key = site.register()
    before = site.dump()
    for method in ("GET", "HEAD", "OPTIONS"):
        site.ask(method, f"/r/{key}/unsubscribe")
    assert site.dump() == before


def test_a_button_ends_this_webinars_mails_and_the_page_says_what_still_comes(site: Site) -> None:
    key = site.register()
    assert "Only if it is moved or cancelled" in site.get(f"/r/{key}/unsubscribe").text
    answer = site.post(f"/r/{key}/unsubscribe", {"from": "webinar"})
    assert (answer.status_code, answer.headers["location"]) == (303, f"/r/{key}/unsubscribe")
    assert suppressions(site) == [("w", "page")]
    page = site.get(f"/r/{key}/unsubscribe").text
    assert SAYS.done_webinar in page
    assert SAYS.all_button in page, "all others can still be ended"
    assert SAYS.done_webinar in site.get(f"/r/{key}").text


def test_another_button_ends_all_mails(site: Site) -> None:
    key = site.register()
    site.post(f"/r/{key}/unsubscribe", {"from": "all"})
    assert suppressions(site) == [("", "page")]
    page = site.get(f"/r/{key}/unsubscribe").text
    assert SAYS.done_all in page
    assert SAYS.webinar_button not in page


def test_who_changes_their_mind_gets_mails_again_at_once(site: Site) -> None:
    key = site.register()
    before = site.ledger.states("maya@who.int")
    site.post(f"/r/{key}/unsubscribe", {"from": "webinar"})
    site.post(f"/r/{key}/unsubscribe", {"from": "all"})
    site.post(f"/r/{key}/unsubscribe", {"from": "none"})
    assert suppressions(site) == []
    assert site.ledger.states("maya@who.int") == before


def test_another_person_is_not_touched(site: Site) -> None:
    key = site.register()
    site.register("amina@who.int")
    before = site.ledger.states("amina@who.int")
    site.post(f"/r/{key}/unsubscribe", {"from": "all"})
    assert site.ledger.states("amina@who.int") == before


@pytest.mark.engines("sqlite")
def test_what_no_button_says_is_refused(site: Site) -> None:
    key = site.register()
    before = site.dump()
    assert site.post(f"/r/{key}/unsubscribe", {"from": "everybody"}).status_code == 400
    assert site.dump() == before


@pytest.mark.engines("sqlite")
def test_it_works_after_the_webinar_too(site: Site) -> None:
    key = site.register()
    site.clock.at = utc("2025-07-10 08:00")
    assert site.ask("POST", f"/r/{key}/unsubscribe", **ONE_CLICK).status_code == 200


def test_a_registrant_does_not_end_what_an_organizer_stopped(site: Site) -> None:
    key, governing = site.register(), site.ledger.governing
    for scope in ("", "w"):
        with site.database.transaction() as conn:
            suppress(conn, site.clock.now(), governing, "maya@who.int", scope)
        page = site.get(f"/r/{key}/unsubscribe").text
        assert "The organizer has stopped mails to this address" in page
        assert 'href="mailto:' in page
        assert SAYS.again_button not in page
        before = site.dump()
        assert site.post(f"/r/{key}/unsubscribe", {"from": "none"}).status_code == 303
        assert site.dump()["suppression"] == before["suppression"]
        with site.database.transaction() as conn:
            unsuppress(conn, site.clock.now(), governing, "maya@who.int", scope)


@pytest.mark.parametrize("ends", ["by its file", "long after its end"])
def test_everything_works_as_long_as_the_registration_exists(site: Site, ends: str) -> None:
    key = site.register()
    if ends == "by its file":
        site.ledger.govern(webinar(status="ended"))
    else:
        site.clock.at = utc("2025-09-01 08:00")
        site.ledger.plan(site.clock.at)
    assert not site.ledger.governing
    for path in (f"/r/{key}", f"/j/{key}"):
        assert "Over" in (page := site.get(path).text) or "This webinar is over" in page
    assert site.get(f"/r/{key}/unsubscribe").status_code == 200
    assert site.ask("POST", f"/r/{key}/unsubscribe", **ONE_CLICK).status_code == 200
    assert site.ledger.sql("SELECT source FROM suppression")[0].source == "one-click"
    assert site.post(f"/r/{key}/data").status_code == 303
    assert len(site.ledger.sql("SELECT id FROM outbox")) == 1
