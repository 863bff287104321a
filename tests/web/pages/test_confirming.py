"""An address counts once its reader pressed the button that a mail leads to."""

from __future__ import annotations

import re
from base64 import b64decode
from datetime import timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage

import pytest

from scheduler.web.pages.words import LANGUAGES, page_words
from tests.web.pages.registering_support import Form, open_page
from tests.web.pages.support import Site

pytestmark = pytest.mark.engines("sqlite")

WORDS = page_words("en").confirm


def mails(site: Site, address: str = "ana@who.int") -> list[EmailMessage]:
    query = "SELECT content FROM outbox WHERE recipient = :address ORDER BY id"
    return [
        message_from_bytes(b64decode(row.content), policy=policy.default)
        for row in site.ledger.sql(query, address=address)
    ]


def link(mail: EmailMessage) -> str:
    found = re.search(r"https://webinars\.who\.int(/c/[0-9a-f]{40})\s", mail.get_content())
    assert found
    return found[1]


def press(site: Site, path: str, webinar: str = "w") -> int:
    """Press the button of this webinar on the page of a link."""
    number = site.ledger.sql("SELECT id FROM signup WHERE webinar = :webinar", webinar=webinar)[0][0]
    return site.post(path, {"id": str(number)}).status_code


def states(site: Site) -> list[str]:
    return [row[0] for row in site.ledger.sql("SELECT state FROM signup ORDER BY id")]


@pytest.fixture
def form(site: Site) -> Form:
    return open_page(site, registration="confirm")


def test_a_press_in_the_first_mail_registers(site: Site, form: Form) -> None:
    assert "24 hours" in site.get(form.send(language="en").headers["location"]).text
    assert states(site) == ["unconfirmed"]
    site.ledger.plan(site.clock.at)
    assert site.ledger.deliveries() == [], "an address that is not confirmed gets no mail of the sequence"
    (mail,) = mails(site)
    path = link(mail)
    page = site.get(path)
    assert page.status_code == 200
    assert WORDS.button in page.text
    assert "ana@who.int" not in page.text
    assert states(site) == ["unconfirmed"], "looking confirms nothing"
    assert press(site, path) == 303
    assert states(site) == ["registered"]
    assert WORDS.done_title in site.get(path).text
    site.ledger.plan(site.clock.at)
    assert site.ledger.states("ana@who.int")["confirmation"] == "pending"
    assert press(site, path) == 303, "the second press finds it done"


@pytest.mark.engines("sqlite")
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_mail_is_in_the_language_that_was_chosen(site: Site, language: str) -> None:
    open_page(site, registration="confirm", languages=list(LANGUAGES)).send(language=language)
    (mail,) = mails(site)
    words = page_words(language).confirm
    assert mail["Subject"] == words.subject.format(title="Buying health products")
    assert mail["To"] == "ana@who.int"
    assert mail["Content-Language"] == language
    assert words.not_you in mail.get_content()
    assert "14:00" in mail.get_content(), "in Nairobi"
    assert f'<html lang="{language}"' in site.get(link(mail)).text


def test_nobodys_mailbox_is_filled(site: Site, form: Form) -> None:
    others = [form, *(open_page(site, registration="confirm", id=f"w{number}") for number in range(8))]
    for one in others:
        one.send(address="Ana@WHO.int")
    assert len(mails(site, "Ana@WHO.int")) == 1, "one an hour, of all webinars"
    for _ in range(8):
        form.send(after=timedelta(hours=2))
    assert len(mails(site)) + 1 == 3, "three a day"
    form.send(after=timedelta(hours=12))
    assert len(mails(site)) + 1 == 4


def test_one_link_confirms_all_that_was_entered_for_an_address(site: Site, form: Form) -> None:
    form.send()
    open_page(site, registration="confirm", id="other").send()
    (mail,) = mails(site)
    assert site.get(link(mail)).text.count("<button") == 2
    assert press(site, link(mail), "other") == 303
    assert states(site) == ["unconfirmed", "registered"]


def test_a_link_is_valid_for_a_day(site: Site, form: Form) -> None:
    form.send()
    path = link(mails(site)[0])
    site.clock.at += timedelta(hours=25)
    assert site.get(path).status_code == 404
    assert press(site, path) == 404
    form.send()
    assert states(site) == ["unconfirmed"], "with what was typed now"


def test_what_nobody_confirms_is_deleted(site: Site, form: Form) -> None:
    form.send()
    site.clock.at += timedelta(hours=25)
    form.send(address="ben@who.int")
    assert [row[0] for row in site.ledger.sql("SELECT address FROM signup")] == ["ben@who.int"]


def test_a_guessed_cut_or_other_link_leads_nowhere(site: Site, form: Form) -> None:
    form.send()
    form.send(address="ben@who.int")
    path = link(mails(site)[0])
    bens = site.ledger.sql("SELECT id FROM signup WHERE address = 'ben@who.int'")[0][0]
    for other in (
        path[:-1],
        path[:-1] + "g",
        path[:-1] + ("0" if path[-1] != "0" else "1"),
        path.upper(),
        "/c/%00",
    ):
        assert (site.get(other).status_code, site.post(other, {"id": "1"}).status_code) == (404, 404)
    for number in (str(bens), "", "x", "9" * 30, "-1"):
        assert site.post(path, {"id": number}).status_code == 400, "what another address entered"
    assert site.get(f"{path}?done={bens}").text.count("<button") == 1
    assert states(site) == ["unconfirmed", "unconfirmed"]


def test_who_withdrew_confirms_their_address_before_they_are_back(site: Site, form: Form) -> None:
    form.send(language="en")
    press(site, link(mails(site)[0]))
    site.ledger.plan(site.clock.at)
    key = site.key_of("ana@who.int")
    site.post(f"/r/{key}/withdraw")
    site.post(f"/r/{key}/unsubscribe", {"from": "all"})
    form.send(after=timedelta(hours=2))
    assert site.ledger.sql("SELECT 1 FROM suppression"), "not by whoever knows the address"
    path = link(mails(site)[-1])
    assert WORDS.button in site.get(path).text
    assert press(site, path) == 303
    assert not site.ledger.sql("SELECT 1 FROM suppression")
    assert not site.ledger.sql("SELECT 1 FROM choice WHERE withdrawn_at IS NOT NULL")
    assert WORDS.done_title in site.get(path).text


def test_whoever_comes_after_all_places_are_taken_waits(site: Site) -> None:
    form = open_page(site, registration="confirm", capacity=1)
    for address in ("ana@who.int", "ben@who.int"):
        form.send(address=address, language="en")
        path = link(mails(site, address)[0])
        number = site.ledger.sql("SELECT id FROM signup WHERE address = :address", address=address)[0][0]
        site.post(path, {"id": str(number)})
    assert states(site) == ["registered", "waiting"]
    assert WORDS.waiting_title in site.get(path).text


def test_nothing_is_confirmed_for_a_webinar_that_is_over(site: Site, form: Form) -> None:
    form.send(language="en")
    path = link(mails(site)[0])
    open_page(site, registration="confirm", cancelled=True)
    assert page_words("en").register.cancelled in site.get(path).text
    assert press(site, path) == 400
    assert states(site) == ["unconfirmed"]


def test_looking_changes_nothing(site: Site, form: Form) -> None:
    form.send()
    path = link(mails(site)[0])
    before = site.dump()
    for method in ("GET", "HEAD", "OPTIONS"):
        site.ask(method, path)
        site.ask(method, f"{path}?done=1")
    assert site.dump() == before


def test_a_link_is_not_kept(site: Site, form: Form) -> None:
    form.send()
    token = link(mails(site)[0]).removeprefix("/c/")
    dump = site.dump()
    assert token not in repr({name: rows for name, rows in dump.items() if name != "outbox"})


def test_whoever_confirms_late_and_finds_no_place_is_told(site: Site) -> None:
    form = open_page(site, registration="confirm", capacity=1)
    form.send(language="en")
    (mail,) = mails(site)
    Form(site).send(address="ben@who.int", language="en")
    site.ledger.sql("UPDATE signup SET state = 'registered' WHERE address_folded = 'ben@who.int'")
    press(site, link(mail))
    assert [one["Subject"].partition(":")[0] for one in mails(site)][1:] == ["Waiting list"]
