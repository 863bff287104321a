"""What is held about a registrant, and forgetting it: by a link that only their mailbox gets."""

from __future__ import annotations

import email.policy
import json
import re
from base64 import b64decode
from datetime import timedelta
from email.message import EmailMessage

import pytest
from structlog.testing import capture_logs

from scheduler.mail.words.wording import right_to_left
from scheduler.outbox import MOST_WITHIN
from scheduler.reports.json_text import json_text
from scheduler.reports.personal_data import personal_data
from scheduler.web.pages.limits import OF_KEY
from scheduler.web.pages.own_data import LONGEST_SHOWN, MOST_LINKS, VALID_FOR
from scheduler.web.pages.words import LANGUAGES, page_words
from tests.web.pages.support import NOW, Site

pytestmark = pytest.mark.engines("sqlite")
both = pytest.mark.engines("both")

PATHS = ("/d/{}", "/d/{}.json", "/d/{}/forget")


def mails(site: Site) -> list[EmailMessage]:
    """The mails in the outbox."""
    rows = site.ledger.sql("SELECT content FROM outbox ORDER BY id")
    return [email.message_from_bytes(b64decode(row.content), policy=email.policy.default) for row in rows]


def link_in(mail: EmailMessage) -> str:
    """The token of the link in a mail."""
    (token,) = re.findall(r"https://webinars\.who\.int/d/([0-9a-f]{40})\r?\n", mail.get_content())
    return str(token)


def mailed(site: Site, key: str) -> str:
    """Ask for a link. Returns its token."""
    site.post(f"/r/{key}/data")
    return link_in(mails(site)[-1])


@both
def test_asking_mails_a_link_to_the_address_of_the_registration_and_says_no_more(site: Site) -> None:
    key = site.register(name="Maya Shrestha")
    response = site.post(f"/r/{key}/data", {"address": "eve@evil.com"})
    assert (response.status_code, response.headers["location"]) == (303, f"/r/{key}?done=data")
    (mail,) = mails(site)
    assert mail["To"] == "maya@who.int"
    assert mail["From"] == "Webinar <webinar@who.int>"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert "Dear Maya Shrestha," in mail.get_content()
    assert "maya@who.int" not in site.get(f"/r/{key}?done=data").text


@both
def test_the_link_shows_everything_and_its_file_is_what_the_export_command_prints(site: Site) -> None:
    token = mailed(site, site.register(name="Maya Shrestha", country="NP", timezone="Asia/Kathmandu"))
    page = site.get(f"/d/{token}")
    assert page.status_code == 200
    for words in (
        "maya@who.int",
        "Maya Shrestha",
        "Asia/Kathmandu",
        "NP",
        "Confirmation",
        "Reminder",
        "After the webinar",
        "planned for \u2068Wednesday, 2 July 2025, ",
    ):
        assert words in page.text
    file = site.get(f"/d/{token}.json")
    with site.database.reading() as conn:
        assert file.text == json_text(personal_data(conn, NOW, "maya@who.int")) + "\n"
    assert json.loads(file.text)["registrations"][0]["name"] == "Maya Shrestha"
    assert file.headers["content-disposition"] == 'attachment; filename="my-data.json"'
    assert file.headers["cache-control"] == "no-store"


def test_every_time_on_the_page_has_its_offset(site: Site) -> None:
    token = mailed(site, site.register(timezone="Asia/Kathmandu"))
    page = site.get(f"/d/{token}").text
    assert "Friday, 20 June 2025, 13:45 (Kathmandu, UTC+5:45)" in page
    shown = page.partition("<pre")[0].partition("<main")[2]
    assert not re.search(r"[^+-]\b\d\d:\d\d(?! \([\w, ]*UTC\b)", shown)


@both
def test_forgetting_takes_a_second_press_and_is_what_the_command_does(site: Site) -> None:
    key = site.register()
    token = mailed(site, key)
    asks = site.get(f"/d/{token}/forget")
    assert "Delete everything about maya@who.int?" in asks.text
    assert site.get(f"/r/{key}").status_code == 200, "nothing has happened yet"
    done = site.post(f"/d/{token}/forget")
    assert (done.status_code, done.headers["location"]) == (303, "/forgotten?language=en")
    assert "Your data is deleted" in site.get("/forgotten?language=en").text
    for table in ("registration", "outbox", "mailed_link"):
        assert site.ledger.sql(f"SELECT 1 FROM {table}") == []
    assert {row.state for row in site.ledger.sql("SELECT state FROM delivery")} == {"cancelled"}
    site.ledger.sql("UPDATE registrants SET name = 'again'")
    site.ledger.plan(NOW)
    assert site.ledger.sql("SELECT 1 FROM registration") == [], "nor does a reload bring them back"


def test_whatever_no_longer_works_looks_like_what_never_did(site: Site) -> None:
    key = site.register()
    used, other = mailed(site, key), mailed(site, key)
    never = [site.get(path.format("0" * 40)).text for path in PATHS]
    site.post(f"/d/{used}/forget")
    for token in (used, other, key, used[:-1], used.upper(), f"{used}0", "%00", "é"):
        assert [site.get(path.format(token)).text for path in PATHS] == never
        assert site.post(f"/d/{token}/forget").status_code == 404
    assert {site.get(path.format(used)).status_code for path in PATHS} == {404}
    assert site.get(f"/r/{key}").text == never[0]


def test_a_link_works_for_an_hour(site: Site) -> None:
    token = mailed(site, site.register())
    site.clock.at = NOW + VALID_FOR - timedelta(seconds=1)
    assert site.get(f"/d/{token}").status_code == 200
    site.clock.at = NOW + VALID_FOR
    assert {site.get(path.format(token)).status_code for path in PATHS} == {404}
    assert site.post(f"/d/{token}/forget").status_code == 404
    assert len(site.ledger.sql("SELECT 1 FROM registration")) == 1


def test_three_links_a_day_are_mailed_and_the_answer_is_always_the_same(site: Site) -> None:
    key = site.register()
    answers = {
        (one.status_code, one.headers["location"]) for one in (site.post(f"/r/{key}/data") for _ in range(5))
    }
    assert answers == {(303, f"/r/{key}?done=data")}
    assert len(mails(site)) == MOST_LINKS
    site.clock.at = NOW + timedelta(days=1)
    site.post(f"/r/{key}/data")
    assert len(mails(site)) == MOST_LINKS + 1


def test_an_address_that_got_many_mails_gets_no_more_and_the_answer_is_the_same(site: Site) -> None:
    key = site.register()
    for _ in range(MOST_WITHIN):
        site.ledger.sql("INSERT INTO outbox (recipient, asked_at) VALUES ('maya@who.int', :now)", now=NOW)
    response = site.post(f"/r/{key}/data")
    assert (response.status_code, response.headers["location"]) == (303, f"/r/{key}?done=data")
    assert site.ledger.sql("SELECT 1 FROM mailed_link") == []


@both
def test_a_link_shows_nothing_of_an_address_that_came_after_it(site: Site) -> None:
    """A wrong address was corrected: whoever has the mailbox of the wrong one must not read about the other."""
    key = site.register("wrong@who.int", name="Maya Shrestha")
    token = mailed(site, key)
    site.ledger.sql("UPDATE registrants SET email = 'right@who.int'")
    site.ledger.plan(NOW)
    assert "right@who.int" not in site.get(f"/d/{token}").text
    assert "right@who.int" not in site.get(f"/d/{token}.json").text
    site.post(f"/d/{token}/forget")
    assert [row.address for row in site.ledger.sql("SELECT address FROM registration")] == ["right@who.int"]


@both
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_looking_changes_nothing(site: Site, method: str) -> None:
    key = site.register()
    token = mailed(site, key)
    before = site.dump()
    for path in (*(path.format(token) for path in PATHS), f"/r/{key}/data", "/forgotten", "/d/x"):
        site.ask(method, path)
    assert site.dump() == before


@pytest.mark.parametrize("language", LANGUAGES)
def test_mail_and_pages_are_in_the_registrants_language(site: Site, language: str) -> None:
    token = mailed(site, site.register(language=language, name="Maya"))
    (mail,), words = mails(site), page_words(language).data
    assert mail["Subject"] == words.mail_subject
    assert mail["Content-Language"] == language
    assert words.mail_valid in mail.get_content()
    assert "{" not in mail.get_content()
    for path in ("/d/{}", "/d/{}/forget"):
        page = site.get(path.format(token), language="de").text
        assert f'<html lang="{language}" dir="{"rtl" if right_to_left(language) else "ltr"}">' in page
        assert "{" not in page.partition("</style>")[2].partition("<pre")[0]
    done = site.post(f"/d/{token}/forget")
    assert words.forgotten in site.get(done.headers["location"]).text


def test_a_mail_for_an_address_beyond_ascii_is_one(site: Site) -> None:
    token = mailed(site, site.register("maya@exämple.org"))
    assert mails(site)[0]["To"] == "maya@xn--exmple-cua.org"
    assert "maya@xn--exmple-cua.org" in site.get(f"/d/{token}").text


def test_no_page_grows_beyond_sixty_kilobytes(site: Site) -> None:
    key = site.register()
    for number in range(200):
        site.ledger.sql(
            "INSERT INTO invitation (registration_id, uid, sequence, method, dtstamp, says, calendar)"
            " SELECT id, uid, :number, 'REQUEST', :now, '', :calendar FROM registration",
            number=number,
            now=NOW,
            calendar=b"BEGIN:VCALENDAR" * 100,
        )
    token = mailed(site, key)
    page = site.get(f"/d/{token}")
    assert len(page.content) < 60_000
    assert len(site.get(f"/d/{token}.json").content) > 10 * LONGEST_SHOWN
    assert "the file has all of it" in page.text


def test_neither_tokens_nor_addresses_reach_the_log(site: Site) -> None:
    with capture_logs() as logs:
        key = site.register()
        token = mailed(site, key)
        for path in PATHS:
            site.get(path.format(token))
        site.post(f"/d/{token}/forget")
    assert not any(secret in repr(logs) for secret in (key, token, "maya@"))


def test_a_link_is_opened_sixty_times_in_a_quarter_of_an_hour_since_each_look_goes_through_whole_tables(
    site: Site,
) -> None:
    token = mailed(site, site.register())
    statuses = [site.get(f"/d/{token}.json").status_code for _ in range(OF_KEY + 1)]
    assert statuses == [200] * OF_KEY + [429]
    assert site.get(f"/d/{token}").status_code == 429


def test_what_people_typed_is_shown_as_text(site: Site) -> None:
    token = mailed(site, site.register(name="<script>alert(1)</script>", country="</pre><img src=x>"))
    page = site.get(f"/d/{token}").text
    assert "<script>" not in page
    assert "<img" not in page
