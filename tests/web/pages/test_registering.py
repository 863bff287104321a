"""People register by a webinar's page."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from html import unescape

import pytest

from scheduler.ledger import forgetting, requests
from scheduler.web.pages.entering import confirm
from scheduler.web.pages.limits import REGISTRATIONS
from scheduler.web.pages.words import LANGUAGES, page_words
from tests.support import SEQUENCE, utc
from tests.web.pages.registering_support import QUESTIONS, open_page
from tests.web.pages.support import Site

pytestmark = pytest.mark.engines("sqlite")

WORDS = page_words("en").register


def signups(site: Site) -> list[tuple[str, ...]]:
    query = "SELECT address, name, language, timezone, country, state FROM signup ORDER BY id"
    return [tuple(row) for row in site.ledger.sql(query)]


def test_whoever_sends_the_form_is_registered_and_gets_the_confirmation(site: Site) -> None:
    form = open_page(site, languages=["en", "fr"])
    answer = form.send()
    assert answer.status_code == 303
    assert answer.headers["location"] == "/w/w?language=en&done=1"
    assert WORDS.done_title in site.get(answer.headers["location"]).text
    assert signups(site) == [("ana@who.int", "Ana Ruiz", "fr", "Africa/Nairobi", "KE", "registered")]
    site.ledger.plan(site.clock.at)
    assert site.ledger.states("ana@who.int")["confirmation"] == "pending"
    assert site.ledger.deliveries("ana@who.int")[0]["zone"] == "Africa/Nairobi"


def test_the_answer_does_not_tell_who_is_registered(site: Site) -> None:
    form = open_page(site)
    first, again = form.send(), form.send()
    assert (first.status_code, first.headers["location"]) == (again.status_code, again.headers["location"])
    assert len(signups(site)) == 1


def test_the_form_is_kept_with_what_is_wrong_named_at_its_field(site: Site) -> None:
    form = open_page(site, SEQUENCE + QUESTIONS, consent="I agree.")
    answer = form.send(
        name="www.evil.com", address="ana@", zone="CST", country="Atlantis", organization="WHO <3"
    )
    assert answer.status_code == 422
    for phrase in (
        "name_unusable", "address_unusable", "country_unknown", "zone_unclear", "answer_missing", "consent_missing"
    ):  # fmt: skip
        assert answer.text.count(getattr(WORDS, phrase)) >= 1, phrase
    assert 'value="WHO &lt;3"' in answer.text
    assert '<li><a href="#answer-role">' in answer.text
    assert answer.text.count('name="zone-choice"') >= 3, "Chicago, Shanghai, Havana"
    assert signups(site) == []
    sent = form.send(zone="CST", **{"zone-choice": "America/Havana", "answer-role": "1", "consent": "yes"})
    assert sent.status_code == 303
    assert signups(site)[0][3] == "America/Havana"


@pytest.mark.engines("sqlite")
@pytest.mark.parametrize(
    ("said", "zone"),
    [
        ("Africa/Nairobi", "Africa/Nairobi"), ("Asia/Calcutta", "Asia/Kolkata"), ("北京", "Asia/Shanghai"),
        ("القاهرة", "Africa/Cairo"), ("Genève", "Europe/Zurich"), ("Kenya", "Africa/Nairobi"), ("", ""),
    ],
)  # fmt: skip
def test_a_zone_is_a_city_a_country_or_what_the_browser_says(site: Site, said: str, zone: str) -> None:
    assert open_page(site).send(zone=said).status_code == 303
    assert signups(site)[0][3] == zone


def test_answers_and_consent_are_stored_in_the_organizers_words(site: Site) -> None:
    form = open_page(site, SEQUENCE + QUESTIONS, consent="I agree.")
    form.send(**{"answer-role": "0", "answer-first": "no", "answer-ask": " Why  not? ", "consent": "yes"})
    ((answers, consent),) = site.ledger.sql("SELECT answers, consent FROM signup")
    assert json.loads(answers) == {"role": "Procurement", "first": False, "ask": "Why not?"}
    assert consent == "I agree."


@pytest.mark.engines("sqlite")
def test_a_question_is_asked_in_the_language_of_the_page(site: Site) -> None:
    open_page(site, SEQUENCE + QUESTIONS)
    french = site.get("/w/w", "fr").text
    assert "Quelle est votre fonction" in french
    assert "Ministère" in french
    assert '<span lang="en" dir="ltr">Is this your first webinar?</span>' in french


# Who may not register


@pytest.mark.engines("sqlite")
@pytest.mark.parametrize("changed", [{"registration": "closed"}, {"status": "draft"}, {"id": "other"}])
def test_a_webinar_that_is_not_open_looks_like_none(site: Site, changed: dict[str, str]) -> None:
    open_page(site, **({"registration": "open"} | changed))
    if changed == {"id": "other"}:
        changed = {}
    for path in ("/w/w", "/w/nothing", "/w/w/card.png", "/w/%00"):
        assert (site.get(path).status_code, site.post(path).status_code in (404, 405)) == (404, True)
    assert signups(site) == []


@pytest.mark.engines("sqlite")
def test_a_draft_has_its_page_in_a_rehearsal(site: Site) -> None:
    site.pages.url = "http://127.0.0.1:8080"
    open_page(site, status="draft")
    assert site.get("/w/w").status_code == 200


@pytest.mark.engines("sqlite")
def test_nobody_registers_for_what_is_over_or_cancelled(site: Site) -> None:
    form = open_page(site)
    stamp = form.stamp()
    site.clock.at = utc("2025-07-03 14:00")
    over = site.get("/w/w").text
    assert WORDS.over in over
    assert "<form" not in over
    assert site.post("/w/w", {"name": "A", "address": "a@who.int", "stamp": stamp}).status_code == 303
    open_page(site, cancelled=True)
    assert WORDS.cancelled in site.get("/w/w").text
    assert signups(site) == []


# Programs and floods


def test_a_field_that_nobody_sees_gives_programs_away(site: Site) -> None:
    answer = open_page(site).send(comments="Buy now")
    assert answer.headers["location"].endswith("done=1"), "as for everybody"
    assert signups(site) == []


@pytest.mark.engines("sqlite")
@pytest.mark.parametrize("after", [timedelta(seconds=1), timedelta(days=2)])
def test_a_form_that_comes_too_early_or_too_late_is_shown_again(site: Site, after: timedelta) -> None:
    form = open_page(site)
    answer = form.send(after=after)
    assert answer.status_code == 200
    assert WORDS.hasty in answer.text
    assert 'value="Ana Ruiz"' in answer.text
    assert signups(site) == []
    stamp = re.search('name="stamp" value="([^"]*)"', answer.text)
    assert stamp
    site.clock.at += timedelta(seconds=3)
    pressed = site.post("/w/w", {"name": "Ana Ruiz", "address": "ana@who.int", "stamp": stamp[1]})
    assert pressed.status_code == 303
    assert len(signups(site)) == 1


@pytest.mark.engines("sqlite")
@pytest.mark.parametrize(
    "stamp", ["", "1750406400.", "1750406400." + "0" * 32, "x.é", ".", "9" * 400 + ".ab", "-1.\ud800"]
)
def test_a_stamp_that_is_not_ours_counts_for_nothing(site: Site, stamp: str) -> None:
    open_page(site)
    body = "name=Ana&address=ana%40who.int&stamp=" + "".join(
        f"%{byte:02x}" for byte in stamp.encode("utf-8", "replace")
    )
    answer = site.ask("POST", "/w/w", content=body)
    assert answer.status_code == 200
    assert signups(site) == []


@pytest.mark.engines("sqlite")
def test_the_stamp_of_another_webinar_counts_for_nothing(site: Site) -> None:
    other = open_page(site, id="other")
    stamp = other.stamp()
    form = open_page(site)
    site.clock.at += timedelta(minutes=1)
    assert form.send(stamp=stamp).status_code == 200
    assert signups(site) == []


@pytest.mark.engines("sqlite")
def test_another_sites_form_is_shown_to_its_sender_first(site: Site) -> None:
    form = open_page(site)
    stamp = form.stamp()
    site.clock.at += timedelta(minutes=1)
    typed = {"name": "Ana", "address": "ana@who.int", "stamp": stamp}
    answer = site.post("/w/w", typed, headers={"sec-fetch-site": "cross-site"})
    assert answer.status_code == 200
    assert signups(site) == []


@pytest.mark.engines("sqlite")
def test_a_network_sends_only_so_many_forms(site: Site) -> None:
    open_page(site)
    answers = [site.post("/w/w", {}, computer="192.0.2.7").status_code for _ in range(REGISTRATIONS[0] + 1)]
    assert answers[-2:] == [422, 429]
    assert site.post("/w/w", {}, computer="192.0.2.8").status_code == 422


def test_an_address_is_registered_for_a_few_webinars_a_day(site: Site) -> None:
    forms = [open_page(site, id=f"w{number}") for number in range(12)]
    for form in forms:
        form.send()
    assert len(signups(site)) == 10
    site.clock.at += timedelta(days=1)
    forms[-1].send()
    assert len(signups(site)) == 11


def test_a_large_form_is_refused(site: Site) -> None:
    open_page(site)
    assert site.post("/w/w", {"name": "a" * 200_000}).status_code == 413


# Again


def confirmations(site: Site) -> dict[str, str]:
    return {
        name: state
        for name, state in site.ledger.states("ana@who.int").items()
        if name.startswith("confirmation")
    }


def test_whoever_is_registered_gets_the_confirmation_again_once_a_day(site: Site) -> None:
    form = open_page(site)
    form.send()
    site.ledger.plan(site.clock.at)
    site.ledger.set("confirmation", "sent")
    form.send()
    form.send()
    assert confirmations(site) == {"confirmation": "sent", "confirmation#1": "pending"}
    site.ledger.set("confirmation", "sent", 1)
    form.send(after=timedelta(hours=23))
    assert "confirmation#2" not in confirmations(site)
    form.send(after=timedelta(hours=2))
    assert confirmations(site)["confirmation#2"] == "pending"


def test_what_is_registered_is_not_overwritten_by_whoever_knows_the_address(site: Site) -> None:
    form = open_page(site)
    form.send()
    form.send(name="Mallory", zone="Asia/Tokyo")
    assert signups(site)[0][1:4] == ("Ana Ruiz", "fr", "Africa/Nairobi")


def test_registering_again_undoes_a_withdrawal_and_an_unsubscription_and_says_so(site: Site) -> None:
    form = open_page(site)
    form.send()
    site.ledger.plan(site.clock.at)
    site.ledger.set("confirmation", "sent")
    key = site.key_of("ana@who.int")
    site.post(f"/r/{key}/withdraw")
    site.post(f"/r/{key}/unsubscribe", {"from": "webinar"})
    form.send(name="Mallory")
    assert not site.ledger.sql("SELECT 1 FROM choice WHERE withdrawn_at IS NOT NULL")
    assert not site.ledger.sql("SELECT 1 FROM suppression")
    assert site.ledger.states("ana@who.int")["reminder-day"] == "pending"
    assert confirmations(site)["confirmation#1"] == "pending", "so that they know"


@pytest.mark.parametrize("withdraws", [True, False])
def test_whoever_comes_back_is_told_even_if_they_asked_before(site: Site, withdraws: bool) -> None:
    form = open_page(site)
    form.send()
    site.ledger.plan(site.clock.at)
    site.ledger.set("confirmation", "sent")
    key = site.key_of("ana@who.int")
    for edition in (1, 2, 3):
        site.post(f"/r/{key}/again")
        site.ledger.set("confirmation", "sent", edition)
    site.post(f"/r/{key}/{'withdraw' if withdraws else 'unsubscribe'}")
    form.send()
    left = "SELECT 1 FROM choice WHERE withdrawn_at IS NOT NULL" if withdraws else "SELECT 1 FROM suppression"
    assert site.ledger.sql(left), "nothing is undone unless they are told"
    form.send(after=timedelta(days=1))
    assert not site.ledger.sql(left)
    assert confirmations(site)["confirmation#4"] == "pending"


def test_whoever_came_back_gets_no_second_mail_that_day(site: Site) -> None:
    form = open_page(site)
    form.send()
    site.ledger.plan(site.clock.at)
    site.ledger.set("confirmation", "sent")
    site.post(f"/r/{site.key_of('ana@who.int')}/unsubscribe")
    form.send()
    form.send()
    assert list(confirmations(site)) == ["confirmation", "confirmation#1"]


@pytest.mark.parametrize("source", ["organizer", "page"])
def test_a_form_that_proves_nothing_writes_to_nobody_who_wants_nothing(site: Site, source: str) -> None:
    form = open_page(site)
    form.send()
    site.ledger.plan(site.clock.at)
    governing = site.ledger.governing
    if source == "page":
        site.post(f"/r/{site.key_of('ana@who.int')}/unsubscribe", {"from": "all"})
    else:
        with site.database.transaction() as conn:
            requests.suppress(conn, site.clock.at, governing, "ana@who.int")
    form.stamp()
    site.ledger.plan(site.clock.at)
    before = site.dump()
    assert form.send().headers["location"].endswith("done=1"), "as for everybody"
    site.ledger.plan(site.clock.at)
    assert site.dump() == before


@pytest.mark.parametrize("registration", ["open", "confirm"])
def test_whoever_wants_nothing_and_was_forgotten_is_left_alone(site: Site, registration: str) -> None:
    form = open_page(site)
    form.send()
    site.ledger.plan(site.clock.at)
    site.post(f"/r/{site.key_of('ana@who.int')}/unsubscribe", {"from": "all"})
    with site.database.transaction() as conn:
        forgetting.forget(conn, site.clock.at, "ana@who.int", forgetting.find(conn, "ana@who.int"))
    form = open_page(site, registration=registration)
    before = site.dump()
    answer = form.send()
    assert (answer.status_code, answer.headers["location"]) == (303, "/w/w?language=en&done=1")
    assert site.dump() == before


def test_the_form_does_not_rewrite_whoever_stands_in_registrants(site: Site) -> None:
    form = open_page(site)
    site.register("ana@who.int", name="Ana", timezone="Africa/Nairobi")
    site.ledger.set("confirmation", "sent")
    person = "SELECT registrant_id, name, language, timezone, country, zone, key FROM registration"
    before = site.ledger.sql(person)
    assert form.send(name="Mallory", zone="Asia/Tokyo").status_code == 303
    site.ledger.plan(site.clock.at)
    assert signups(site) == []
    assert confirmations(site)["confirmation#1"] == "pending"
    assert site.ledger.sql(person) == before


def test_what_organizers_suppressed_stays_so(site: Site) -> None:
    site.ledger.sql(
        "INSERT INTO suppression (address_folded, webinar, source, since)"
        " VALUES ('ana@who.int', '', 'organizer', '2025-06-01 00:00:00.000000+00:00')"
    )
    open_page(site).send()
    site.ledger.plan(site.clock.at)
    assert site.ledger.sql("SELECT source FROM suppression") == [("organizer",)]
    assert signups(site) == []


# Places


def test_the_page_says_when_all_places_are_taken(site: Site) -> None:
    form = open_page(site, capacity=1)
    assert WORDS.full not in site.get("/w/w").text
    form.send()
    site.clock.at += timedelta(minutes=1)
    full = site.get("/w/w").text
    assert WORDS.full in full
    assert WORDS.button_full in full
    form.send(address="ben@who.int")
    assert [row[-1] for row in signups(site)] == ["registered", "waiting"]
    form.send(address="ben@who.int")
    asked = [row.recipient for row in site.ledger.sql("SELECT recipient FROM outbox")]
    assert asked == ["ben@who.int"], "told once, and nobody who has a place"


# The page


@pytest.mark.engines("sqlite")
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_speaks_six_languages(site: Site, language: str) -> None:
    open_page(site)
    page = site.get("/w/w", language)
    assert page.status_code == 200
    assert f'<html lang="{language}" dir="{"rtl" if language == "ar" else "ltr"}">' in page.text
    assert page_words(language).register.button in page.text
    assert len(page.content) < 40_000
    chosen = site.get(f"/w/w?language={language}", "en" if language != "en" else "fr")
    assert f'<html lang="{language}"' in chosen.text


@pytest.mark.engines("sqlite")
def test_programs_read_the_event_and_its_picture(site: Site) -> None:
    open_page(site, title="</script><b>Buying & selling")
    page = site.get("/w/w", "fr")
    found = re.search('<script type="application/ld[+]json">(.*?)</script>', page.text, re.DOTALL)
    assert found
    event = json.loads(found[1])
    assert event["@type"] == "Event"
    assert event["name"] == "</script><b>Buying & selling"
    assert event["startDate"] == "2025-07-03T11:00:00Z"
    assert event["location"] == {"@type": "VirtualLocation", "url": "https://webinars.who.int/w/w"}
    assert "meet.who.int" not in page.text, "the link to join is for those who register"
    picture = re.search('property="og:image" content="([^"]*)"', page.text)
    assert picture
    assert picture[1] == "https://webinars.who.int/w/w/card.png?language=fr"
    assert page.headers["x-robots-tag"] == "all"
    drawn = site.get("/w/w/card.png?language=fr")
    assert drawn.headers["content-type"] == "image/png"
    assert drawn.headers["cache-control"] == "public, max-age=600"
    assert drawn.content.startswith(b"\x89PNG")


@pytest.mark.engines("sqlite")
def test_without_javascript_the_page_shows_the_time_of_a_city(site: Site) -> None:
    open_page(site)
    page = site.get("/w/w?zone=Nairobi").text
    assert "14:00–16:00" in page
    assert 'id="zone" name="zone" value="Africa/Nairobi"' in page
    assert WORDS.zone_unknown in site.get("/w/w?zone=Xyzzy").text


def test_looking_changes_nothing(site: Site) -> None:
    open_page(site)
    before = site.dump()
    for path in (
        "/w/w",
        "/w/w?done=1",
        "/w/w?zone=Lima",
        "/w/w/card.png",
        "/w/w?language=%00&zone=%00&done=%ff",
    ):
        for method in ("GET", "HEAD", "OPTIONS"):
            assert site.ask(method, path).status_code in (200, 405)
    assert site.dump() == before


# Forgotten


def forget(site: Site, address: str = "ana@who.int") -> None:
    with site.database.transaction() as conn:
        forgetting.forget(conn, site.clock.at, address, forgetting.find(conn, address))


def test_whoever_was_forgotten_comes_back_by_registering_again(site: Site) -> None:
    form = open_page(site)
    form.send()
    site.ledger.plan(site.clock.at)
    forget(site)
    assert signups(site) == []
    form.send()
    site.ledger.plan(site.clock.at)
    assert site.ledger.states("ana@who.int")["confirmation"] == "pending"


def test_nobody_brings_back_a_forgotten_person_who_has_not_confirmed_their_address(site: Site) -> None:
    form = open_page(site, registration="confirm")
    site.register("ana@who.int")
    forget(site)
    form.send()
    site.ledger.plan(site.clock.at)
    assert [row[-1] for row in signups(site)] == ["unconfirmed"]
    assert site.ledger.deliveries("ana@who.int") == []
    ((number,),) = site.ledger.sql("SELECT id FROM signup")
    governing = site.ledger.governing["w"]
    with site.database.transaction() as conn:
        assert confirm(conn, site.clock.at, governing, number, "ana@who.int", site.url)
    site.ledger.plan(site.clock.at)
    assert site.ledger.states("ana@who.int")["confirmation"] == "pending"


# What helps people who fill it in


@pytest.mark.engines("sqlite")
def test_the_summary_of_mistakes_stands_below_the_title_and_names_the_question(site: Site) -> None:
    form = open_page(site, SEQUENCE + QUESTIONS)
    answer = form.send(name="").text
    assert (
        answer.index("<h1") < answer.index(WORDS.wrong_title, answer.index("<body")) < answer.index("<form")
    )
    assert f'<a href="#name">{WORDS.name}: {WORDS.name_missing}</a>' in answer
    assert f'<a href="#answer-role">What is your role?: {WORDS.answer_missing}</a>' in answer


def test_a_slip_in_the_name_of_a_provider_is_asked_about_once(site: Site) -> None:
    form = open_page(site)
    asked = form.send(address="ana@gmial.com")
    assert asked.status_code == 200
    assert "ana@gmail.com" in asked.text
    assert signups(site) == []
    assert form.send(address="ben@gmial.com", kept="ana@gmial.com").status_code == 200, "not of that one"
    assert form.send(address="ana@gmial.com", kept="ana@gmial.com").status_code == 303
    assert signups(site)[0][0] == "ana@gmial.com", "as they said twice"


@pytest.mark.engines("sqlite")
def test_the_script_has_the_reader_s_day_in_the_words_of_geneva_s(site: Site) -> None:
    open_page(site)
    page = site.get("/w/w", "ar").text
    found = re.search('data-days="([^"]*)"', page)
    assert found
    days = json.loads(unescape(found[1]))
    assert list(days) == ["2025-07-02", "2025-07-03", "2025-07-04"]
    assert days["2025-07-03"] == "الخميس، 3 تموز/يوليو 2025"
    assert days["2025-07-03"] in page.replace(found[0], "")


@pytest.mark.engines("sqlite")
def test_nobody_is_promised_a_link_when_all_places_are_taken(site: Site) -> None:
    form = open_page(site, capacity=1)
    assert WORDS.address_hint in site.get("/w/w").text
    assert WORDS.done_waits in site.get(form.send().headers["location"]).text
    site.clock.at += timedelta(minutes=1)
    assert WORDS.address_hint not in site.get("/w/w").text
