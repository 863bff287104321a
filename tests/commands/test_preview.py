"""`webinar preview`: one mail, as one person would get it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any, cast

import pytest
from click.testing import Result
from icalendar import Calendar, Event

from scheduler.commands import preview
from scheduler.database.models import Suppression
from scheduler.mail.trial.pairs import Verdicts
from tests.commands.scene import BROKEN_TEXT, Scene
from tests.support import SEQUENCE, toml, utc

pytestmark = pytest.mark.engines("sqlite")

AMINA = {
    "name": "Amina Wanjiru",
    "language": "fr",
    "timezone": "Africa/Nairobi",
    "join_url": "https://meet.who.int/a",
}
JUNE = utc("2025-06-12 08:00")


@pytest.fixture
def quick(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> Scene:
    """The child that tries texts takes a second."""
    monkeypatch.setattr(preview, "check_texts", lambda sources, *_: Verdicts(sound=frozenset(sources)))
    return scene


def mail_of(result: Result) -> EmailMessage:
    assert result.exit_code == 0, result.stderr
    return cast(EmailMessage, message_from_bytes(result.stdout_bytes, policy=policy.default))


def event_of(mail: EmailMessage) -> Event:
    part = next(part for part in mail.walk() if part.get_content_type() == "text/calendar")
    (event,) = Calendar.from_ical(part.get_payload(decode=True)).walk("VEVENT")
    return cast(Event, event)


def plain(mail: EmailMessage) -> str:
    body = mail.get_body(("plain",))
    assert body is not None
    return " ".join(str(body.get_content()).split())


def count_of(scene: Scene) -> list[Any]:
    tables = ("delivery", "attempt", "invitation", "registration", "text_revision", "webinar_revision")
    return [scene.sql(f"SELECT count(*) FROM {table}")[0][0] for table in tables]


def test_somebody_made_up_in_any_language_and_zone(quick: Scene) -> None:
    quick.write()
    mail = mail_of(
        quick.run(
            "preview", "reminder-day", "--language", "fr", "--zone", "Pacific/Kiritimati", "--format", "eml"
        )
    )
    assert mail["To"] == "registrant@example.org"
    assert mail["Date"] == "Wed, 02 Jul 2025 19:00:00 +0000"
    assert mail["Content-Language"] == "fr"
    assert "vendredi 4 juillet 2025, 01:00–03:00 Kiritimati" in plain(mail)


def test_the_text_comes_below_the_headers_that_a_reader_sees(quick: Scene) -> None:
    quick.write()
    lines = quick.run("preview", "reminder-hour").stdout.splitlines()
    assert lines[:5] == [
        "From: Webinar <webinar@who.int>",
        "To: registrant@example.org",
        lines[2],
        "Date: Thu, 03 Jul 2025 10:00:00 +0000",
        "",
    ]
    assert lines[2].startswith("Subject: ")
    assert "Thursday, 3 July 2025, 13:00–15:00" in "\n".join(lines)


def test_the_html_is_the_whole_page(quick: Scene) -> None:
    quick.write()
    page = quick.run("preview", "reminder-hour", "--zone", "Asia/Kathmandu", "--format", "html").stdout
    assert page.startswith("<!DOCTYPE html>")
    assert "16:45–18:45" in page
    assert "Kathmandu" in page


def test_it_can_be_written_into_a_file(quick: Scene) -> None:
    quick.write()
    file = quick.root / "mail.eml"
    result = quick.run("preview", "reminder-hour", "--format", "eml", "--out", str(file))
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")
    content = file.read_bytes()
    assert content.count(b"\r\n") == content.count(b"\n")
    nowhere = quick.root / "none" / "mail.eml"
    result = quick.run("preview", "reminder-hour", "--out", str(nowhere))
    assert result.exit_code == 2
    assert result.stderr == f"--out {nowhere}: can't be written: No such file or directory; allowed: a file\n"


def test_a_confirmation_comes_with_its_invitation_three_weeks_before(quick: Scene) -> None:
    quick.write()
    mail = mail_of(quick.run("preview", "confirmation", "--format", "eml"))
    assert mail["Date"] == "Thu, 12 Jun 2025 11:00:00 +0000"
    event = event_of(mail)
    assert (event["SEQUENCE"], event["DTSTART"].to_ical()) == (0, b"20250703T110000Z")


@pytest.mark.parametrize(
    ("message", "status"),
    [("change", "CONFIRMED"), ("cancellation", "CANCELLED"), ("withdrawal", "CANCELLED")],
)
def test_a_notice_updates_the_entry_that_people_have(quick: Scene, message: str, status: str) -> None:
    quick.write()
    event = event_of(mail_of(quick.run("preview", message, "--format", "eml")))
    assert (event["SEQUENCE"], event["STATUS"]) == (1, status)


def test_a_notice_of_a_change_shows_one(quick: Scene) -> None:
    quick.write()
    quick.register("amina@example.org", **AMINA)
    mail = mail_of(quick.run("preview", "change", "--zone", "Africa/Nairobi", "--format", "eml"))
    assert mail["Subject"] == "New time and link: Buying health products"
    assert "Thursday, 3 July 2025, 14:00–16:00, was 13:00–15:00 (Nairobi, " in plain(mail)
    assert "New link: https://meet.who.int/w " in plain(mail)
    own = quick.run("preview", "change", "--registrant", "amina@example.org").stdout
    assert "Subject: Nouvel horaire et nouveau lien" in own
    assert "Nouveau lien\xa0:\nhttps://meet.who.int/a\n" in own
    assert "former" not in own
    assert "New time" not in quick.run("preview", "reminder-day").stdout


def test_a_registrant_gets_it_in_their_language_and_zone_with_their_own_link(quick: Scene) -> None:
    quick.write()
    quick.register("Amina@example.org", **AMINA)
    quick.plan(JUNE)
    before = count_of(quick)
    mail = mail_of(
        quick.run("preview", "reminder-day", "--registrant", "AMINA@example.org", "--format", "eml")
    )
    assert mail["To"] == "Amina@example.org"
    assert mail["Date"] == "Wed, 02 Jul 2025 06:00:00 +0000"
    assert "Amina Wanjiru" in plain(mail)
    assert "jeudi 3 juillet 2025, 14:00–16:00 Nairobi" in plain(mail)
    assert "https://meet.who.int/a" in plain(mail)
    assert count_of(quick) == before


@pytest.mark.engines("both")
def test_a_registrants_confirmation_is_the_one_of_when_they_registered(quick: Scene) -> None:
    quick.write()
    quick.register("amina@example.org", **AMINA)
    quick.plan(JUNE)
    mail = mail_of(
        quick.run("preview", "confirmation", "--registrant", "amina@example.org", "--format", "eml")
    )
    assert mail["Date"] == "Thu, 12 Jun 2025 08:00:00 +0000"
    (uid,) = quick.sql("SELECT uid FROM registration")[0]
    assert event_of(mail)["UID"] == uid


def test_options_replace_what_a_registrant_has(quick: Scene) -> None:
    quick.write()
    quick.register("amina@example.org", **AMINA)
    quick.plan(JUNE)
    asked = (
        "--registrant",
        "amina@example.org",
        "--language",
        "en",
        "--zone",
        "Asia/Tokyo",
        "--format",
        "eml",
    )
    mail = mail_of(quick.run("preview", "reminder-day", *asked))
    assert mail["Date"] == "Wed, 02 Jul 2025 00:00:00 +0000"
    assert "Thursday, 3 July 2025, 20:00–22:00 Tokyo" in plain(mail)
    assert "https://meet.who.int/a" in plain(mail)


def test_an_assumed_zone_is_said_to_be_assumed(quick: Scene) -> None:
    quick.write()
    quick.register("amina@example.org", country="US", language="en")
    quick.plan(JUNE)
    shown = quick.run("preview", "reminder-day", "--registrant", "amina@example.org").stdout
    confirmed = quick.run(
        "preview", "reminder-day", "--registrant", "amina@example.org", "--zone", "America/New_York"
    )
    assert "assumed" in shown
    assert "assumed" not in confirmed.stdout


@pytest.mark.engines("both")
def test_a_row_that_the_service_has_not_seen_yet_will_do(quick: Scene) -> None:
    quick.write()
    quick.register("amina@example.org", **AMINA)
    mail = mail_of(
        quick.run("preview", "reminder-day", "--registrant", "amina@example.org", "--format", "eml")
    )
    assert mail["Date"] == "Wed, 02 Jul 2025 06:00:00 +0000"
    assert "https://meet.who.int/a" in plain(mail)
    assert count_of(quick) == [0] * 6


def test_who_does_not_get_it_is_told_so(quick: Scene) -> None:
    morning = '\n[[messages]]\nid = "morning"\ndays_before = 0\nat = "09:00"\n'
    quick.write(toml(SEQUENCE + morning))
    result = quick.run("preview", "morning", "--zone", "America/New_York")
    assert (result.exit_code, result.stderr.splitlines()[-1][:25]) == (1, f"{quick.templates}/morning"[:25])
    (quick.templates / "morning").symlink_to(quick.templates / "reminder-hour")
    result = quick.run("preview", "morning", "--zone", "America/New_York")
    assert (result.exit_code, result.stderr) == (1, "This person does not get it: falls after the start.\n")
    assert result.stdout.startswith("From: ")
    assert quick.run("preview", "morning", "--zone", "Europe/Zurich").exit_code == 0


@pytest.mark.engines("both")
def test_what_the_ledger_skipped_or_cancelled_is_told(quick: Scene) -> None:
    quick.write()
    quick.register("late@example.org", timezone="Europe/Zurich")
    quick.register("stopped@example.org", timezone="Europe/Zurich")
    quick.insert(Suppression, address_folded="stopped@example.org", since=JUNE)
    quick.plan(utc("2025-07-02 12:00"))
    for address, why in (
        ("late@example.org", "skipped: due before it was planned"),
        ("stopped@example.org", "skipped: the address is suppressed"),
    ):
        result = quick.run("preview", "reminder-day", "--registrant", address)
        assert (result.exit_code, result.stderr) == (1, f"This person does not get it: {why}.\n")
        assert f"To: {address}" in result.stdout
    assert quick.run("preview", "reminder-hour", "--registrant", "late@example.org").exit_code == 0


def test_a_language_without_a_text_is_told(quick: Scene) -> None:
    quick.write()
    result = quick.run("preview", "reminder-day", "--language", "pt-BR")
    assert (result.exit_code, result.stderr) == (
        0,
        "There is no text in pt-BR: the one in English stands in.\n",
    )
    assert quick.run("preview", "reminder-day", "--language", "fr-CH").stderr == ""


LANGUAGE = "allowed: a language tag (BCP 47) such as en, fr or pt-BR"
MISTAKES: list[tuple[list[str], str]] = [
    (
        ["remindr-day"],
        "MESSAGE: `remindr-day` is none of w; allowed: confirmation, reminder-day, reminder-hour, follow-up,"
        " change, cancellation, withdrawal; did you mean `reminder-day`?\n",
    ),
    (
        ["xyz", "--language", "french", "--zone", "Nowhere"],
        "MESSAGE: `xyz` is none of w; allowed: confirmation, reminder-day, reminder-hour, follow-up, change,"
        f' cancellation, withdrawal\n--language: "french"; {LANGUAGE}; did you mean `fr`?\n'
        '--zone: "Nowhere", not the name of a time zone; allowed: a time zone such as Africa/Nairobi\n',
    ),
    (
        ["reminder-day", "--registrant", "nobody@example.org"],
        "--registrant: nobody with that address is registered for w\n",
    ),
]


@pytest.mark.parametrize(("arguments", "told"), MISTAKES)
def test_a_mistake_on_the_command_line(quick: Scene, arguments: list[str], told: str) -> None:
    quick.write()
    result = quick.run("preview", *arguments)
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", told)


def test_a_row_that_cannot_be_used_is_not_quoted(quick: Scene) -> None:
    quick.write()
    row = quick.register("amina@example.org", join_url="http://bad.example.org")
    result = quick.run("preview", "reminder-day", "--registrant", "amina@example.org")
    told = f"--registrant: registrants, row {row} can't be used: join_url is not an https link\n"
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", told)


def test_without_a_database_there_are_no_registrants(quick: Scene, tmp_path: Path) -> None:
    quick.write()
    file = tmp_path / "none.db"
    env = {"DATABASE_URL": f"sqlite:///{file}"}
    result = quick.run("preview", "reminder-day", "--registrant", "a@example.org", env=env)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"--registrant: There is no database yet: `webinar run` makes {file}.")
    assert not file.exists()
    assert quick.run("preview", "reminder-day", env=env).exit_code == 0


def test_one_of_several_webinars_must_be_named(quick: Scene) -> None:
    one, other = quick.write(name="a.toml", id="a"), quick.write(name="b.toml", id="b", title="The other")
    result = quick.run("preview", "reminder-day")
    assert result.exit_code == 2
    assert result.stderr == f"--webinar: is not given, and there are 2 webinars; allowed: {one}, {other}\n"
    assert "The other" in quick.run("preview", "reminder-day", "--webinar", str(other)).stdout
    assert "The other" in quick.run("preview", "reminder-day", "--webinar", "b").stdout  # its id


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda scene: (scene.templates / "reminder-day/fr.md").write_text(BROKEN_TEXT), "fr.md, line 5"),
        (lambda scene: (scene.templates / "_layout/layout.html").unlink(), "layout.html: cannot be read"),
    ],
    ids=["text", "layout"],
)
def test_what_is_not_sound_is_told_and_not_shown(
    scene: Scene, spoil: Callable[[Scene], Any], told: str
) -> None:
    scene.write()
    spoil(scene)
    result = scene.run("preview", "reminder-day", "--language", "fr")
    assert (result.exit_code, result.stdout) == (1, "")
    assert told in result.stderr


def test_only_the_text_that_is_shown_must_be_sound(scene: Scene) -> None:
    scene.write(start=datetime(2025, 12, 3, 13), end=datetime(2025, 12, 3, 15))
    (scene.templates / "reminder-day/fr.md").write_text(BROKEN_TEXT)
    assert scene.run("preview", "reminder-day", "--language", "en").exit_code == 0
