"""The inbox that a rehearsal leaves as files."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

import pytest

from scheduler.mail.received import read_mail
from scheduler.web.inbox import pages
from scheduler.web.inbox.pages import write_inbox
from tests.support import webinar
from tests.web.inbox.browser import Page
from tests.web.inbox.samples import (
    HOSTILE,
    JOIN,
    START,
    TITLE,
    Rehearsal,
    calendar,
    html_body,
    mail,
    rehearsal,
)


@pytest.fixture
def made(tmp_path: Path) -> Rehearsal:
    made = rehearsal(tmp_path)
    write_inbox(made.out, TITLE, made.deliveries, made.mails)
    return made


def test_the_pages_of_many_mails_are_the_same_whichever_process_writes_them(
    made: Rehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_one = {path: path.read_bytes() for path in made.out.rglob("*.html")}
    monkeypatch.setattr(pages, "MANY", 2)
    write_inbox(made.out, TITLE, made.deliveries, made.mails)

    assert by_one == {path: path.read_bytes() for path in made.out.rglob("*.html")}


def _pages(out: Path) -> list[Path]:
    return sorted(path for path in out.rglob("*.html") if not path.name.endswith(".body.html"))


def _person(out: Path, name: str) -> Page:
    """The page of a registrant, found as a reader finds it: by the link in the list."""
    index = (out / "index.html").read_text("utf-8")
    link = re.search(rf'href="(people/\d+\.html)"><bdi>{name}</bdi>', index)
    assert link
    return Page(out / link[1])


def test_the_index_names_the_webinar_everybody_and_what_became_of_the_messages(made: Rehearsal) -> None:
    page = Page(made.out / "index.html")
    assert TITLE in page.text
    assert "Starts Thu 3 Jul 2025, 11:00 UTC" in page.text
    assert "times are shown on each reader’s own clock" in page.text
    assert "6 registrants · 23 mails" in page.text
    assert "Reminder day 5 sent 1 skipped" in page.text
    assert "Follow up 5 sent 1 held" in page.text
    for delivery in made.deliveries:
        assert delivery["name"] in page.text
        assert delivery["email"] in page.text
        assert delivery["zone"].replace("_", " ") in page.text


def test_a_registrant_sees_every_message_on_their_own_clock_and_in_utc(made: Rehearsal) -> None:
    text = _person(made.out, "Tekoaua Ioane").text
    assert "Time zone Pacific/Kiritimati (from the country)" in text
    assert "Starts Fri 4 Jul 2025, 01:00 UTC+14" in text
    assert "Reminder day sent 09:00 Thu 3 Jul 2025 UTC+14 19:00 Wed 2 Jul 2025 UTC" in text
    assert "Tomorrow, 01:00" in text


def test_what_was_not_sent_is_shown_with_its_reason(made: Rehearsal) -> None:
    skipped, held = _person(made.out, "ليلى حداد").text, _person(made.out, "李 明").text
    assert "Reminder day skipped" in skipped
    assert "due before it was planned" in skipped
    assert "No mail: skipped." in skipped
    assert "No mail: held. template" in held


def test_a_mail_is_shown_as_html_text_source_and_invitation(made: Rehearsal) -> None:
    view = Page(made.out / "views" / "0001.html")
    received = read_mail((made.out / "mails" / "0001.eml").read_bytes())
    assert "You are registered: Thursday 3 July, 13:00" in view.text
    assert "Dear Anna Müller, The webinar starts on Thursday 3 July 2025, 13:00." in view.text
    assert " ".join(received.source.split()) in view.text
    assert "BEGIN:VCALENDAR" in view.text
    assert "13:00–15:00 Thursday, 3 July 2025 Zurich, Central European Summer Time, UTC+2" in view.text
    assert "11:00–13:00 Thursday, 3 July 2025 UTC" in view.text
    frames = list(view.all("iframe"))
    assert [frame["src"] for frame in frames] == ["0001.body.html"]
    assert not any("disabled" in tab for tab in view.all("input"))


def test_an_invitation_across_midnight_shows_both_dates(made: Rehearsal) -> None:
    invited = next(d for d in made.deliveries if d["zone"] == "Pacific/Kiritimati")
    made.deliveries[:] = [{**invited, "zone": "Pacific/Auckland"}]
    write_inbox(made.out, TITLE, made.deliveries, made.mails)
    text = Page(made.out / "views" / f"{Path(invited['eml']).stem}.html").text
    assert "23:00 Thursday, 3 July 2025 – 01:00 Friday, 4 July 2025 Auckland" in text


def test_an_invitation_that_programs_read_differently_is_marked(tmp_path: Path) -> None:
    made = Rehearsal(tmp_path)
    invite = calendar("anna@example.org", "DTSTART:20250703T130000")
    made.sent(mail("Hello", "anna@example.org", "Text", invite=invite), START)
    write_inbox(tmp_path, TITLE, made.deliveries, made.mails)
    assert "The times are not in UTC" in Page(tmp_path / "views" / "0001.html").text


@pytest.mark.parametrize(
    ("raw", "missing", "chosen"),
    [
        (mail("Text only", "anna@example.org", "Text"), {"part-html", "part-invitation"}, "part-text"),
        (mail("HTML only", "anna@example.org", html="<p>x"), {"part-text", "part-invitation"}, "part-html"),
        (b"", {"part-html", "part-text", "part-source", "part-invitation"}, "part-source"),
        (b"\xff\xfe\x00", {"part-html", "part-invitation"}, "part-text"),
    ],
)
def test_parts_that_a_mail_lacks_cannot_be_chosen(
    tmp_path: Path, raw: bytes, missing: set[str], chosen: str
) -> None:
    made = Rehearsal(tmp_path)
    made.sent(raw, START)
    write_inbox(tmp_path, TITLE, made.deliveries, made.mails)
    parts = [tab for tab in Page(tmp_path / "views" / "0001.html").all("input") if tab["name"] == "part"]
    assert {tab["id"] for tab in parts if "disabled" in tab} == missing
    assert [tab["id"] for tab in parts if "checked" in tab] == [chosen]
    assert (tmp_path / "views" / "0001.body.html").exists() == ("part-html" not in missing)


def test_mails_that_are_not_utf_8_are_shown(tmp_path: Path) -> None:
    made = Rehearsal(tmp_path)
    head = b"Subject: M\xfcller\r\nContent-Type: text/html; charset=iso-8859-1\r\n\r\n"
    made.sent(head + b"<meta charset=iso-8859-1><p>Z\xfcrich", START)
    made.sent(b"Content-Type: text/html; charset=unicode_escape\r\n\r\n<p>half \\ud800", START)
    write_inbox(tmp_path, TITLE, made.deliveries, made.mails)
    body = (tmp_path / "views" / "0001.body.html").read_text("utf-8")
    assert "<p>Zürich" in body
    assert body.startswith('<!DOCTYPE html>\n<meta charset="utf-8">')
    assert "Müller" in Page(tmp_path / "views" / "0001.html").text
    assert "<p>half ?" in (tmp_path / "views" / "0002.body.html").read_text("utf-8")


def test_nothing_that_a_registrant_typed_becomes_markup(tmp_path: Path) -> None:
    made = Rehearsal(tmp_path)
    raw = mail(HOSTILE, "bobby@example.org", HOSTILE, html_body("x", "y"), calendar("bobby@example.org"))
    made.sent(
        raw.replace(b"SUMMARY:", f"SUMMARY:{HOSTILE}".encode()), START, name=HOSTILE, email=f"{HOSTILE}@x"
    )
    made.deliver(name=HOSTILE, email=HOSTILE, zone_known_by=HOSTILE, reason=HOSTILE, message=HOSTILE)
    made.deliver(name=HOSTILE, email="c@x", language=HOSTILE, text_language=HOSTILE, state=HOSTILE)
    made.deliver(name="", email="d@x", due_at=HOSTILE, due_local=HOSTILE, start_local=HOSTILE, eml=HOSTILE)
    made.deliveries.append({**made.deliver(name="", email="e@x"), "zone": HOSTILE})
    write_inbox(tmp_path, HOSTILE, made.deliveries, made.mails)
    for path in _pages(tmp_path):
        page = Page(path)
        assert "img" not in {tag for tag, _ in page.elements}, path
        assert not [at for _, at in page.elements if any(key.startswith("on") for key in at)], path
        _only_our_script(path)


def _only_our_script(path: Path) -> None:
    """The page has at most one script, the one whose hash its policy names."""
    scripts = re.findall(r"<script[^>]*>(.*?)</script>", path.read_text("utf-8"), re.DOTALL)
    assert len(scripts) == 1, path
    digest = base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}';" in Page(path).policy(), path


def test_pages_ask_nobody_else_for_anything(made: Rehearsal) -> None:
    for path in _pages(made.out):
        page = Page(path)
        assert page.policy().startswith("default-src 'none'; script-src 'sha256-"), path
        assert [link for link in page.links() if re.match(r"(?!data:)[a-z]+:|//", link)] == [], path
        local = [link for link in page.links() if not link.startswith(("#", "data:", "/templates"))]
        assert [link for link in local if not (path.parent / link.partition("#")[0]).is_file()] == [], path


def test_all_mails_are_listed_in_time_on_both_clocks_and_can_be_filtered(tmp_path: Path) -> None:
    made = rehearsal(tmp_path)
    write_inbox(made.out, TITLE, made.deliveries, made.mails, webinar=webinar())
    page = Page(made.out / "mails.html")
    assert "Geneva Reader’s clock To Mail Language State" in page.text
    assert "21:00 Wed 2 Jul 2025 UTC+2 09:00 Thu 3 Jul 2025 UTC+14 Tekoaua Ioane" in page.text
    assert len(list(page.all("tr"))) == len(made.deliveries) + 1
    assert {row.get("data-state") for row in page.all("tr")} >= {"sent", "skipped", "held"}
    due = [one["due_at"] for one in made.deliveries]
    first = next(one for one in made.deliveries if one["due_at"] == min(due))
    assert page.text.index(first["email"]) == min(page.text.index(one["email"]) for one in made.deliveries)


def test_a_mail_leads_to_the_text_that_it_was_made_from(tmp_path: Path) -> None:
    made = rehearsal(tmp_path)
    write_inbox(made.out, TITLE, made.deliveries, made.mails, webinar=webinar())
    reminder = next(one for one in made.deliveries if one["message"] == "reminder-day" and one["eml"])
    view = Page(made.out / "views" / f"{Path(reminder['eml']).stem}.html")
    assert f"/templates/reminder-day/{reminder['text_language']}" in view.links()


def test_a_mails_html_can_load_and_run_nothing_and_its_links_open_outside(tmp_path: Path) -> None:
    made = Rehearsal(tmp_path)
    html = f'<html><body><a\nhref="{JOIN}" rel="opener" target="_top">Join</a><A HREF="x">y</A><abbr>z</abbr>'
    made.sent(mail("Hello", "anna@example.org", "Text", html), START)
    write_inbox(tmp_path, TITLE, made.deliveries, made.mails)
    body = Page(tmp_path / "views" / "0001.body.html")
    assert body.policy() == (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
    )
    assert [(a["target"], a["rel"]) for a in body.all("a")] == [("_blank", "noopener noreferrer")] * 2
    assert [a["href"] for a in body.all("a")] == [JOIN, "x"]
    assert list(body.all("abbr")) == [{}]
    (frame,) = Page(tmp_path / "views" / "0001.html").all("iframe")
    assert frame["sandbox"] == "allow-popups allow-popups-to-escape-sandbox"


def test_mails_of_no_delivery_are_the_organizers(made: Rehearsal) -> None:
    page = Page(made.out / "people" / "organizer.html")
    assert "A text is broken: reminder-day/fr" in page.text
    assert "To alerts@example.org" in page.text
    assert "people/organizer.html" in Page(made.out / "index.html").links()


def test_no_organizers_page_when_every_mail_has_its_delivery(tmp_path: Path) -> None:
    made = Rehearsal(tmp_path)
    made.sent(mail("Hello", "anna@example.org", "Text"), START)
    write_inbox(tmp_path, TITLE, made.deliveries, made.mails)
    assert not (tmp_path / "people" / "organizer.html").exists()
    assert "Organizer" not in Page(tmp_path / "index.html").text


def test_a_mail_whose_file_is_missing_is_named(tmp_path: Path) -> None:
    made = Rehearsal(tmp_path)
    made.deliver(state="sent", eml="mails/0042.eml")
    write_inbox(tmp_path, TITLE, made.deliveries, [])
    assert "The file mails/0042.eml is missing." in Page(tmp_path / "people" / "0001.html").text


def test_an_empty_rehearsal_is_an_inbox_too(tmp_path: Path) -> None:
    page = Page(write_inbox(tmp_path, TITLE, [], []))
    assert "0 registrants · 0 mails" in page.text
    assert "No registrants." in page.text


def test_a_second_rehearsal_replaces_the_first_and_leaves_other_files_alone(made: Rehearsal) -> None:
    (made.out / "people" / "notes.html").write_text("mine")
    write_inbox(made.out, TITLE, made.deliveries[:4], made.mails[:4])
    assert sorted(path.name for path in (made.out / "people").iterdir()) == ["0001.html", "notes.html"]
    assert len(list((made.out / "views").iterdir())) == 8


def test_beyond_twenty_messages_a_mail_opens_in_place_of_the_list(tmp_path: Path) -> None:
    made = Rehearsal(tmp_path)
    for number in range(21):
        made.receive(mail(f"Alert {number}", "alerts@example.org", "Text"))
    write_inbox(tmp_path, TITLE, [], made.mails)
    page = Page(tmp_path / "people" / "organizer.html")
    assert list(page.all("iframe")) == []
    assert "../views/0021.html#alone" in page.links()


def test_the_index_stays_small(tmp_path: Path) -> None:
    made = Rehearsal(tmp_path)
    for number in range(200):
        made.deliver(email=f"person-{number}@example.org")
    index = write_inbox(tmp_path, TITLE, made.deliveries, [])
    assert index.stat().st_size < 6_000 + 200 * 500
