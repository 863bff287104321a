"""My registration: what the page says, and what a registrant changes there."""

from __future__ import annotations

import html
import re
from datetime import datetime

import pytest

from scheduler.ledger import requests
from scheduler.ledger.forgetting import find, forget
from scheduler.ledger.requests import UnknownRegistration
from scheduler.web.pages.mine import masked
from scheduler.web.pages.words import LANGUAGES, page_words
from tests.support import utc, webinar
from tests.web.pages.support import Site

pytestmark = pytest.mark.engines("sqlite")

SAYS = page_words("en").mine
LARGEST = 60_000  # bytes of a page with its assets


def text(site: Site, path: str) -> str:
    """A page's words, as they are read."""
    answer = site.get(path)
    assert answer.status_code == 200
    body = re.sub(r"<(script|style)\b.*?</\1>", "", answer.text, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())


def test_the_page_says_when_the_webinar_is_on_their_clock_and_in_geneva(site: Site) -> None:
    page = text(site, f"/r/{site.register(timezone='Asia/Kathmandu', name='Maya')}")
    for words in (
        "Buying health products", "WHO, WIPO and WTO", "Maya", "Upcoming", "in 13 days", "16:45–18:45", "Nepal Time",
        "Geneva time", "Thursday, 3 July 2025, 13:00–15:00", SAYS.known_timezone[:20],
    ):  # fmt: skip
        assert words in page


def test_across_midnight_both_dates_are_said(site: Site) -> None:
    page = text(site, f"/r/{site.register(timezone='Pacific/Auckland')}")
    assert "23:00–01:00" in page
    assert "Thursday, 3 July 2025 – Friday, 4 July 2025" in page


def test_who_has_the_webinars_clock_reads_one_time(site: Site) -> None:
    page = text(site, f"/r/{site.register(timezone='Europe/Paris')}")
    assert "the same as in Geneva" in page
    assert "Geneva time" not in page


def test_a_zone_is_named_by_how_it_is_known(site: Site) -> None:
    assert "We assume" in text(site, f"/r/{site.register(country='US')}")
    assert "By your country" in text(site, f"/r/{site.register('k@who.int', country='KE')}")
    assert "We do not know your time zone" in text(site, f"/r/{site.register('n@who.int')}")


def test_whoever_got_a_forwarded_link_does_not_learn_the_address(site: Site) -> None:
    page = text(site, f"/r/{site.register()}")
    assert "maya@who.int" not in page
    assert "m…" in page
    assert masked("maya@who.int").replace("\u2060", "") == "m…@who.int"


class TestState:
    def test_cancelled(self, site: Site) -> None:
        key = site.register()
        site.ledger.govern(webinar(cancelled=True))
        page = text(site, f"/r/{key}")
        assert "Cancelled" in page
        assert SAYS.text_cancelled in page
        assert "Join the webinar" not in page
        assert SAYS.withdraw_button not in page

    def test_running(self, site: Site) -> None:
        key = site.register()
        site.clock.at = utc("2025-07-03 11:30")
        page = site.get(f"/r/{key}").text
        assert "On now" in page
        assert 'href="https://meet.who.int/w"' in page

    def test_over_with_and_without_materials(self, site: Site) -> None:
        key = site.register()
        site.clock.at = utc("2025-07-03 13:00")
        assert SAYS.no_materials in text(site, f"/r/{key}")
        site.ledger.govern(webinar(materials_url="https://who.int/slides"))
        page = site.get(f"/r/{key}").text
        assert 'href="https://who.int/slides"' in page
        assert SAYS.clock_title not in page

    def test_moved_says_the_former_time(self, site: Site) -> None:
        key = site.register(timezone="Africa/Nairobi")
        site.ledger.set("confirmation", "sent")
        site.ledger.sql("UPDATE delivery SET sent_at = planned_at WHERE state = 'sent'")
        site.ledger.govern(webinar(start=datetime(2025, 7, 4, 13), end=datetime(2025, 7, 4, 15)))
        site.ledger.plan(site.clock.at)
        page = text(site, f"/r/{key}")
        assert "New time" in page
        assert "Friday, 4 July 2025" in page
        assert "Thursday, 3 July 2025, 14:00–16:00" in page

    def test_gone(self, site: Site) -> None:
        key = site.register()
        site.ledger.sql("DELETE FROM registrants")
        site.ledger.plan(site.clock.at)
        page = text(site, f"/r/{key}")
        assert SAYS.text_gone in page
        assert site.post(f"/r/{key}/again").status_code == 404

    def test_own_link(self, site: Site) -> None:
        key = site.register(join_url="https://zoom.us/j/1")
        assert 'href="https://zoom.us/j/1"' in site.get(f"/r/{key}").text

    def test_no_link_yet(self, site: Site) -> None:
        key = site.register()
        site.ledger.govern(webinar(join_url=None, status="draft"))
        assert "The link to join will follow." in text(site, f"/r/{key}")


class TestKeys:
    def test_unknown_malformed_and_forgotten_keys_look_alike(self, site: Site) -> None:
        key, other = site.register(), site.register("amina@who.int")
        with site.database.transaction() as conn:
            forget(conn, site.clock.at, "amina@who.int", find(conn, "amina@who.int"))
        tampered = [
            key[:-1],
            key + "0",
            key.upper(),
            key[:-1] + "g",
            "0" * 40,
            key[:8] + "0" * 32,
            other,
            "%00",
        ]
        answers = [site.get(f"/r/{one}") for one in tampered]
        assert {(answer.status_code, answer.text) for answer in answers} == {(404, answers[0].text)}

    def test_who_is_forgotten_while_their_form_is_on_its_way_gets_the_same_page(self, site: Site) -> None:
        key = site.register()

        def forgotten(*_: object) -> None:
            raise UnknownRegistration

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(requests, "withdraw", forgotten)
            assert site.post(f"/r/{key}/withdraw").status_code == 404

    def test_a_form_with_such_a_key_changes_nothing(self, site: Site) -> None:
        key = site.register()
        before = site.dump()
        for form in ("zone", "language", "messages", "again", "withdraw", "return", "unsubscribe"):
            assert site.post(f"/r/{key[:8]}{'0' * 32}/{form}", {"zone": "Africa/Nairobi"}).status_code == 404
        assert site.dump() == before


class TestZone:
    def test_a_city_that_is_searched_for_without_scripts_can_be_chosen(self, site: Site) -> None:
        key = site.register(timezone="Asia/Kathmandu")
        page = site.get(f"/r/{key}?zone=nairobi").text
        assert 'value="Africa/Nairobi" required checked' in page
        assert "Thursday, 3 July 2025, 14:00–16:00" in page, "when it is there"
        answer = site.post(f"/r/{key}/zone", {"zone": "Africa/Nairobi"})
        assert (answer.status_code, answer.headers["location"]) == (303, f"/r/{key}?done=zone")
        page = text(site, f"/r/{key}?done=zone")
        assert SAYS.done_zone in page
        assert "You chose this time zone: Nairobi" in page

    def test_what_is_still_ahead_moves_before_the_answer(self, site: Site) -> None:
        key = site.register(timezone="Asia/Kathmandu")
        site.post(f"/r/{key}/zone", {"zone": "Africa/Nairobi"})
        assert site.ledger.due("maya@who.int")["reminder-day"] == utc("2025-07-02 06:00")

    def test_the_browsers_former_name_of_a_zone_is_understood(self, site: Site) -> None:
        key = site.register()
        site.post(f"/r/{key}/zone", {"zone": "Asia/Calcutta"})
        assert site.ledger.sql("SELECT zone FROM registration")[0].zone == "Asia/Kolkata"

    @pytest.mark.engines("sqlite")
    def test_what_is_no_place_is_refused(self, site: Site) -> None:
        key = site.register()
        before = site.dump()
        for zone in ("", "Etc/GMT+5", "Mars/Olympus", "\x00", "é"):
            assert site.post(f"/r/{key}/zone", {"zone": zone}).status_code == 400
        assert site.dump() == before

    @pytest.mark.engines("sqlite")
    def test_what_is_not_found_is_said_and_never_becomes_markup(self, site: Site) -> None:
        page = site.get(f"/r/{site.register()}?zone=%3Cscript%3Ealert(1)%3C/script%3E").text
        assert "<script>alert" not in page
        assert "We found nothing for" in page


class TestMails:
    def test_the_language_of_mails_and_page(self, site: Site) -> None:
        key = site.register(language="en")
        assert (
            site.post(f"/r/{key}/language", {"language": "fr"}).headers["location"]
            == f"/r/{key}?done=language"
        )
        page = site.get(f"/r/{key}").text
        assert '<html lang="fr"' in page
        assert page_words("fr").mine.title in page

    @pytest.mark.engines("sqlite")
    def test_a_language_without_texts_is_refused(self, site: Site) -> None:
        assert site.post(f"/r/{site.register()}/language", {"language": "ru"}).status_code == 400

    def test_a_message_that_is_not_wanted_is_not_sent_and_comes_back(self, site: Site) -> None:
        key = site.register()
        before = site.ledger.states("maya@who.int")
        site.post(f"/r/{key}/messages", {"want-reminder-day": "on", "want-follow-up": "on"})
        states = site.ledger.states("maya@who.int")
        assert states["reminder-hour"].startswith(("cancelled", "skipped"))
        assert states["reminder-day"] == "pending"
        assert 'name="want-reminder-hour">' in site.get(f"/r/{key}").text
        everything = {f"want-{message}": "on" for message in ("reminder-day", "reminder-hour", "follow-up")}
        site.post(f"/r/{key}/messages", everything)
        assert site.ledger.states("maya@who.int") == before

    def test_the_confirmation_cannot_be_refused_here(self, site: Site) -> None:
        key = site.register()
        assert "want-confirmation" not in site.get(f"/r/{key}").text
        site.post(f"/r/{key}/messages", {})
        assert site.ledger.states("maya@who.int")["confirmation"] == "pending"

    def test_a_choice_about_a_message_that_is_past_stays(self, site: Site) -> None:
        key = site.register()
        site.post(f"/r/{key}/messages", {"want-reminder-hour": "on", "want-follow-up": "on"})
        site.clock.at = utc("2025-07-02 12:00")
        site.post(f"/r/{key}/messages", {"want-reminder-hour": "on", "want-follow-up": "on"})
        assert [row.message for row in site.ledger.sql("SELECT message FROM unwanted")] == ["reminder-day"]

    def test_the_confirmation_again_up_to_a_limit(self, site: Site) -> None:
        key = site.register()
        locations = []
        for _ in range(5):
            site.ledger.sql(
                "UPDATE delivery SET state = 'sent', sent_at = planned_at WHERE state = 'pending' AND urgency = 0"
            )
            locations.append(site.post(f"/r/{key}/again").headers["location"].partition("?")[2])
        assert locations == ["done=again"] * 3 + ["refused=again"] * 2
        assert SAYS.refused_again in text(site, f"/r/{key}?refused=again")
        editions = site.ledger.sql(
            "SELECT asked_by FROM delivery WHERE message = 'confirmation' AND edition > 0"
        )
        assert [row.asked_by for row in editions] == ["registrant"] * 3

    def test_a_confirmation_that_is_still_to_go_is_on_its_way(self, site: Site) -> None:
        key = site.register()
        assert site.post(f"/r/{key}/again").headers["location"].endswith("done=again")


class TestWithdrawing:
    def test_a_second_press_withdraws_and_another_brings_back(self, site: Site) -> None:
        key = site.register()
        before = site.ledger.states("maya@who.int")
        page = site.get(f"/r/{key}").text
        assert page.index("<details>") < page.index(SAYS.withdraw_button) < page.index("</details>")
        site.post(f"/r/{key}/withdraw")
        page = text(site, f"/r/{key}?done=withdraw")
        assert SAYS.state_withdrawn in page
        assert SAYS.return_button in page
        assert "pending" not in {
            state for message, state in site.ledger.states("maya@who.int").items() if message != "withdrawal"
        }
        site.post(f"/r/{key}/return")
        assert "Upcoming" in text(site, f"/r/{key}?done=return")
        assert site.ledger.states("maya@who.int") == before, "nothing went out in between"


@pytest.mark.engines("sqlite")
class TestPage:
    @pytest.mark.parametrize("language", LANGUAGES)
    def test_every_language(self, site: Site, language: str) -> None:
        site.ledger.govern(webinar(languages=["en", *(one for one in LANGUAGES if one != "en")]))
        page = site.get(f"/r/{site.register(language=language, country='KE')}?zone=a").text
        assert f'<html lang="{language}" dir="{"rtl" if language == "ar" else "ltr"}">' in page
        assert page_words(language).mine.clock_title in page
        assert not re.search(r"\{\w+\}", re.sub(r'data-words="[^"]*"', "", page)), "a hole was not filled in"

    def test_the_language_is_the_persons_and_not_the_browsers(self, site: Site) -> None:
        assert '<html lang="fr"' in site.get(f"/r/{site.register(language='fr-CH')}", "ru").text

    def test_no_page_is_large(self, site: Site) -> None:
        key = site.register(language="fr", name="M" * 200)
        script = len(site.get("/assets/pages.js").content)
        for query in ("", "?zone=etats", "?done=zone"):
            assert len(site.get(f"/r/{key}{query}").content) + script < LARGEST

    def test_nothing_is_loaded_from_elsewhere_and_no_script_is_inline(self, site: Site) -> None:
        page = site.get(f"/r/{site.register()}?zone=paris").text
        assert {*re.findall(r'(?:src|<link[^>]* href)="([^"]+)"', page)} <= {
            "data:,", *re.findall(r'"(/assets/pages\.js\?[0-9a-f]{12})"', page)
        }  # fmt: skip
        assert " style=" not in page
        assert not re.search(r"\son\w+=", page)

    def test_a_name_is_no_markup(self, site: Site) -> None:
        page = site.get(f"/r/{site.register(name='<img src=x onerror=alert(1)>')}").text
        assert "<img" not in page

    def test_a_notice_says_only_what_is_known(self, site: Site) -> None:
        key = site.register()
        assert site.get(f"/r/{key}?done=title").text == site.get(f"/r/{key}").text
        assert site.get(f"/r/{key}?refused=__class__").text == site.get(f"/r/{key}").text

    def test_the_key_is_in_no_title(self, site: Site) -> None:
        key = site.register()
        assert key not in (re.search("<title>(.*)</title>", site.get(f"/r/{key}").text) or [""])[0]


def test_get_head_and_options_of_every_route_change_nothing(site: Site) -> None:
    key = site.register()
    before = site.dump()
    for route in site.app.routes:
        path = route.path.replace("{key}", key).replace("{name}", "pages.js")  # type: ignore[attr-defined]
        for method in ("GET", "HEAD", "OPTIONS"):
            answer = site.ask(method, path)
            assert answer.status_code in (200, 404, 405), path
    assert site.dump() == before
