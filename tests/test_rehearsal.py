"""The trilateral webinar, rehearsed with the sample: what each registrant really gets, and when.

What is expected stands here in words and figures; what came is read from the received mails as a reader would.
"""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parseaddr, parsedate_to_datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import pytest
from click.testing import CliRunner

from scheduler.cli import main
from scheduler.commands import tables
from tests.received import MONTHS, WEEKDAYS, Clock, Entry, Mail, clocks
from tests.rehearsed import ROOT, Rehearsal, rehearse, sample, shared_folder
from tests.support import copy_texts, toml

START, END = datetime(2025, 7, 3, 11, tzinfo=UTC), datetime(2025, 7, 3, 13, tzinfo=UTC)
LINK = "https://webinar.example.org/trilateral-2025"
ASHAS_LINK = "https://webinar.example.org/join/asha-7f2c"
MATERIALS = "https://www.example.org/trilateral-2025/materials"
BEFORE_THE_START = ("confirmation", "reminder-day", "reminder-hour")

# Who (@example.org); the language they chose and the one of their mails; zone and how it is known; the webinar on
# their clock in July 2025, their offset from UTC; the instants (UTC) of 09:00 the day before and of 10:00 the day
# after, on their calendar.
EXPECTED = """
lea.favre          fr      fr Europe/Zurich                  timezone Thu 3 13:00 Thu 3 15:00 +02:00 2 07:00 4 08:00
tebano.ioane       en      en Pacific/Kiritimati             timezone Fri 4 01:00 Fri 4 03:00 +14:00 2 19:00 4 20:00
sina.tuiasosopo    en      en Pacific/Pago_Pago              timezone Thu 3 00:00 Thu 3 02:00 -11:00 2 20:00 4 21:00
maya.shrestha      en      en Asia/Kathmandu                 timezone Thu 3 16:45 Thu 3 18:45 +05:45 2 03:15 4 04:15
ben.te-rangi       en      en Pacific/Chatham                timezone Thu 3 23:45 Fri 4 01:45 +12:45 1 20:15 4 21:15
asha.nair          en      en Asia/Kolkata                   timezone Thu 3 16:30 Thu 3 18:30 +05:30 2 03:30 4 04:30
mary.power         en      en America/St_Johns               timezone Thu 3 08:30 Thu 3 10:30 -02:30 2 11:30 4 12:30
parisa.rahimi      en      en Asia/Tehran                    timezone Thu 3 14:30 Thu 3 16:30 +03:30 2 05:30 4 06:30
jack.nguyen        en      en Australia/Adelaide             timezone Thu 3 20:30 Thu 3 22:30 +09:30 1 23:30 4 00:30
eucla.roadhouse    en      en Australia/Eucla                timezone Thu 3 19:45 Thu 3 21:45 +08:45 2 00:15 4 01:15
thiri.aung         en      en Asia/Yangon                    timezone Thu 3 17:30 Thu 3 19:30 +06:30 2 02:30 4 03:30
lucia.fernandez    es      es America/Argentina/Buenos_Aires timezone Thu 3 08:00 Thu 3 10:00 -03:00 2 12:00 4 13:00
carlos.rojas       es      es America/Bogota                 timezone Thu 3 06:00 Thu 3 08:00 -05:00 2 14:00 4 15:00
amal.haddad        ar      ar Africa/Cairo                   timezone Thu 3 14:00 Thu 3 16:00 +03:00 2 06:00 4 07:00
youssef.elidrissi  ar      ar Africa/Casablanca              timezone Thu 3 12:00 Thu 3 14:00 +01:00 2 08:00 4 09:00
li.wei             zh      zh Asia/Shanghai                  timezone Thu 3 19:00 Thu 3 21:00 +08:00 2 01:00 4 02:00
chen.meiling       zh-Hant zh Asia/Taipei                    timezone Thu 3 19:00 Thu 3 21:00 +08:00 2 01:00 4 02:00
anna.volkova       ru      ru Asia/Vladivostok               timezone Thu 3 21:00 Thu 3 23:00 +10:00 1 23:00 4 00:00
timur.akhmetov     ru      ru Asia/Almaty                    country  Thu 3 16:00 Thu 3 18:00 +05:00 2 04:00 4 05:00
wanjiru.kamau      en      en Africa/Nairobi                 country  Thu 3 14:00 Thu 3 16:00 +03:00 2 06:00 4 07:00
joao.silva         en      en America/Sao_Paulo              assumed  Thu 3 08:00 Thu 3 10:00 -03:00 2 12:00 4 13:00
emily.carter       en      en America/New_York               assumed  Thu 3 07:00 Thu 3 09:00 -04:00 2 13:00 4 14:00
jan.kowalski       en      en Europe/Warsaw                  timezone Thu 3 13:00 Thu 3 15:00 +02:00 2 07:00 4 08:00
kenji.sato         en      en Asia/Tokyo                     timezone Thu 3 20:00 Thu 3 22:00 +09:00 2 00:00 4 01:00
pat.doe            en      en Europe/London                  country  Thu 3 12:00 Thu 3 14:00 +01:00 2 08:00 4 09:00
somebody           -       en Europe/Zurich                  webinar  Thu 3 13:00 Thu 3 15:00 +02:00 2 07:00 4 08:00
ibrahim.diallo     fr      fr Africa/Dakar                   timezone Thu 3 11:00 Thu 3 13:00 +00:00 2 09:00 4 10:00
marie.tremblay     fr-CA   fr America/Toronto                timezone Thu 3 07:00 Thu 3 09:00 -04:00 2 13:00 4 14:00
thomas.mueller     de      en Europe/Berlin                  country  Thu 3 13:00 Thu 3 15:00 +02:00 2 07:00 4 08:00
leilani.kealoha    en      en Pacific/Honolulu               timezone Thu 3 01:00 Thu 3 03:00 -10:00 2 19:00 4 20:00
noura.alsaud       ar      ar Asia/Riyadh                    timezone Thu 3 14:00 Thu 3 16:00 +03:00 2 06:00 4 07:00
olga.petrova       ru      ru Europe/Moscow                  timezone Thu 3 14:00 Thu 3 16:00 +03:00 2 06:00 4 07:00
late.guest         en      en Europe/London                  timezone Thu 3 12:00 Thu 3 14:00 +01:00 2 08:00 4 09:00
"""

# Of whom not every message is sent: they registered after one was due, during the webinar, or after it.
DUE_BEFORE, USELESS = "skipped: due before it was planned", "skipped: no longer useful when it was planned"
LATE = {
    "leilani.kealoha": ("sent", DUE_BEFORE, "sent", "sent"),
    "noura.alsaud": ("sent", USELESS, DUE_BEFORE, "sent"),
    "olga.petrova": ("sent", USELESS, USELESS, "sent"),
    "late.guest": (USELESS, USELESS, USELESS, "sent"),
}


class Person(NamedTuple):
    email: str
    wanted: str
    language: str
    zone: str
    known_by: str
    start: datetime  # on their clock
    end: datetime
    weekdays: tuple[str, str]  # Thu, Fri
    offset: timedelta
    day_before: datetime  # UTC
    day_after: datetime

    @property
    def same_clock_as_geneva(self) -> bool:
        return self.offset == timedelta(hours=2)


def person(line: str) -> Person:
    name, wanted, language, zone, known_by, *rest, offset, before, at, after, then = line.split()
    sign = -1 if offset[0] == "-" else 1
    return Person(
        email=f"{name}@example.org",
        wanted="" if wanted == "-" else wanted,
        language=language,
        zone=zone,
        known_by=known_by,
        start=july(rest[1], rest[2]),
        end=july(rest[4], rest[5]),
        weekdays=(rest[0], rest[3]),
        offset=sign * timedelta(hours=int(offset[1:3]), minutes=int(offset[4:])),
        day_before=july(before, at).replace(tzinfo=UTC),
        day_after=july(after, then).replace(tzinfo=UTC),
    )


def july(day: str, time: str) -> datetime:
    return datetime(2025, 7, int(day), int(time[:2]), int(time[3:]))


PEOPLE = {one.email: one for one in map(person, EXPECTED.split("\n")[1:-1])}


def registered() -> dict[str, datetime]:
    with (ROOT / "config/sample-registrants.csv").open(encoding="utf-8", newline="") as file:
        return {row["email"]: datetime.fromisoformat(row["registered_at"]) for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def rehearsal(tmp_path_factory: pytest.TempPathFactory) -> Rehearsal:
    return sample(shared_folder(tmp_path_factory))


def instant(text: str) -> datetime:
    assert text.endswith("Z")
    return datetime.fromisoformat(text)


# When the webinar is


def ways_to_read(mail: Mail) -> dict[str, list[Clock]]:
    """The times in the text, in what is seen of the HTML, and behind the subject in an inbox."""
    language = mail.header("Content-Language")
    parts = {"text": mail.text, "HTML": mail.page.text, "preheader": mail.page.preheader}
    return {name: clocks(text, language) for name, text in parts.items()}


def test_every_time_that_anybody_reads_is_the_webinars_instant(rehearsal: Rehearsal) -> None:
    for delivery, mail in rehearsal.sent:
        for part, shown in ways_to_read(mail).items():
            assert all(clock.instants == (START, END) for clock in shown), (delivery["eml"], part)
            # Afterwards the line behind the subject tells of slides and recording instead.
            says_when = part != "preheader" or delivery["message"] in BEFORE_THE_START
            assert bool(shown) == says_when, (delivery["eml"], part)


def test_the_reader_s_own_time_comes_first_on_their_own_date(rehearsal: Rehearsal) -> None:
    for delivery, mail in rehearsal.sent:
        reader = PEOPLE[delivery["email"]]
        weekdays = dict(zip(("Thu", "Fri"), WEEKDAYS[reader.language][3:5], strict=True))
        named = list(dict.fromkeys(weekdays[day] for day in reader.weekdays))
        for shown in filter(None, ways_to_read(mail).values()):
            yours = shown[0]
            assert (yours.start, yours.end, yours.offset) == (reader.start, reader.end, reader.offset)
            assert list(yours.weekdays) == named
            assert re.fullmatch(r"[^\d+]{4,}", yours.zone), (
                "a city or the name of the time, never an abbreviation"
            )


def test_geneva_s_time_stands_beside_it_and_once_where_the_clocks_agree(rehearsal: Rehearsal) -> None:
    for delivery, mail in rehearsal.sent:
        reader = PEOPLE[delivery["email"]]
        geneva, summer_time = {
            "en": ("Geneva", "Central European Summer Time"),
            "fr": ("Genève", "heure d’été d’Europe centrale"),
            "es": ("Ginebra", "hora de verano de Europa central"),
            "ar": ("جنيف", "توقيت وسط أوروبا الصيفي"),
            "zh": ("日内瓦", "中欧夏令时间"),
            "ru": ("Женева", "Центральная Европа, летнее время"),
        }[reader.language]
        for shown in (clocks(mail.text, reader.language), clocks(mail.page.text, reader.language)):
            assert len(shown) == (1 if reader.same_clock_as_geneva else 2)
            assert geneva in shown[-1].heading
            assert summer_time in shown[-1].zone
            assert (shown[-1].start, shown[-1].offset) == (july("3", "13:00"), timedelta(hours=2))


def test_the_leaf_of_the_calendar_is_the_reader_s_date(rehearsal: Rehearsal) -> None:
    months = {"en": "Jul", "fr": "juil", "es": "jul", "ar": "يوليو", "zh": "7月", "ru": "июль"}
    thursdays = {"en": "Thu", "fr": "jeu", "es": "jue", "ar": "الخميس", "zh": "周四", "ru": "чт"}
    for delivery, mail in rehearsal.sent:
        reader = PEOPLE[delivery["email"]]
        weekday = thursdays[reader.language] if reader.weekdays[0] == "Thu" else "Fri"
        leaf = [months[reader.language], str(reader.start.day), weekday]
        assert mail.page.text.count("\n".join(["", *leaf, ""])) == 1


def test_another_date_than_geneva_s_is_marked(rehearsal: Rehearsal) -> None:
    marked = {
        delivery["email"]
        for delivery, mail in rehearsal.sent
        if "date is not the same" in mail.text and "date is not the same" in mail.page.text
    }
    assert marked == {"tebano.ioane@example.org"}


def test_an_assumed_zone_is_said_to_be_assumed_with_a_way_to_correct_it(rehearsal: Rehearsal) -> None:
    said: dict[str, set[str]] = {}
    for delivery, mail in rehearsal.sent:
        for words in ("We assumed this time zone", "We do not know your time zone", "Nous avons supposé"):
            if words in mail.text and words in mail.page.text:
                assert any("subject=My%20time%20zone" in link for link in mail.page.links)
                said.setdefault(delivery["email"], set()).add(words)
    assert said == {
        "joao.silva@example.org": {"We assumed this time zone"},
        "emily.carter@example.org": {"We assumed this time zone"},
        "somebody@example.org": {"We do not know your time zone"},
    }


def test_what_is_said_of_the_time_left_is_true_for_the_reader(rehearsal: Rehearsal) -> None:
    messages = ("confirmation", "reminder-day", "reminder-hour", "follow-up")
    left = {
        "en": ("You are registered", "Starts tomorrow", "We start in one hour", "Thank you"),
        "fr": (
            "Votre inscription est confirmée",
            "Début demain",
            "Nous commençons dans une heure",
            "Merci de votre intérêt",
        ),
        "es": (
            "Inscripción confirmada",
            "Empieza mañana",
            "Empezamos dentro de una hora",
            "Gracias por su interés",
        ),
        "ar": ("تأكيد التسجيل", "تبدأ الندوة غدًا", "نبدأ بعد ساعة", "شكرًا على اهتمامكم"),
        "zh": ("报名成功", "明天开始", "网络研讨会1小时后开始", "感谢您的关注"),
        "ru": ("Регистрация подтверждена", "Начало завтра", "Начинаем через час", "Благодарим за интерес"),
    }
    for delivery, mail in rehearsal.sent:
        begin = left[PEOPLE[delivery["email"]].language][messages.index(delivery["message"])]
        assert re.match(rf"{begin}\s?[:：]", mail.header("Subject"))


def test_no_mail_says_pm_or_cet_or_12_utc(rehearsal: Rehearsal) -> None:
    for _, mail in rehearsal.sent:
        for text in (mail.text, mail.page.text, mail.header("Subject")):
            assert not re.search(r"\b(pm|am|noon|CET|CEST)\b|12:00 UTC|12 UTC", text)


# The invitation


def invitations(rehearsal: Rehearsal) -> list[tuple[Person, Mail, Entry]]:
    return [(PEOPLE[delivery["email"]], mail, mail.entry) for delivery, mail in rehearsal.sent if mail.entry]


def test_the_entry_in_the_calendar_is_the_webinars_instant_in_utc(rehearsal: Rehearsal) -> None:
    found = invitations(rehearsal)
    assert len(found) == len(PEOPLE) - 1
    for reader, _, entry in found:
        assert (entry.instant("DTSTART"), entry.instant("DTEND")) == (START, END)
        assert b"TZID" not in entry.raw
        assert b"VTIMEZONE" not in entry.raw
        assert {clock.instants for clock in clocks(entry.description, reader.language)} == {(START, END)}


def test_only_confirmations_carry_an_invitation_in_the_tree_that_mail_programs_understand(
    rehearsal: Rehearsal,
) -> None:
    simple = "multipart/alternative(text/plain, text/html)"
    inviting = "multipart/mixed(multipart/alternative(text/plain, text/html, text/calendar), application/ics)"
    for delivery, mail in rehearsal.sent:
        assert mail.tree == (inviting if delivery["message"] == "confirmation" else simple)
        if not mail.entry:
            continue
        *_, calendar, attachment = mail.message.walk()
        assert dict(calendar["Content-Type"].params) == {"method": "REQUEST", "charset": "UTF-8"}
        assert calendar["Content-Disposition"] is None
        assert attachment.get_filename() == "invite.ics"
        assert attachment.get_payload(decode=True) == mail.entry.raw
        assert mail.entry.one("METHOD") == "REQUEST"


def test_each_person_has_one_entry_of_their_own(rehearsal: Rehearsal) -> None:
    found = invitations(rehearsal)
    assert len({entry.one("UID") for _, _, entry in found}) == len(found)
    for reader, _, entry in found:
        uid = entry.one("UID")
        assert uid.endswith("@example.org")
        assert reader.email.split("@")[0] not in uid
        assert entry.one("ATTENDEE") == f"mailto:{reader.email}"
        assert entry.one("ORGANIZER") == "mailto:webinar@example.org"
        assert (entry.one("SEQUENCE"), entry.one("STATUS")) == ("0", "CONFIRMED")
        assert entry.one("TRIGGER") == "-PT15M"


# Links, headers, addresses


def test_everybody_has_the_link_to_join_and_their_own_where_there_is_one(rehearsal: Rehearsal) -> None:
    for delivery, mail in rehearsal.sent:
        own, others = (ASHAS_LINK, LINK) if delivery["email"].startswith("asha") else (LINK, ASHAS_LINK)
        everything = "\n".join(mail.everything())
        if delivery["message"] == "follow-up":
            assert re.search(rf"\s{re.escape(MATERIALS)}\s", mail.text)
            assert MATERIALS in mail.page.links
            assert own not in everything
            continue
        assert own in mail.text.split("\n")
        assert own in mail.page.text.split("\n"), "to copy, where a button can't be pressed"
        assert mail.page.links.count(own) >= 2
        assert others not in everything
        if mail.entry:
            assert {mail.entry.one(name) for name in ("LOCATION", "URL", "CONFERENCE")} == {own}
            assert own in mail.entry.description


def test_every_mail_has_its_headers(rehearsal: Rehearsal) -> None:
    for delivery, mail in rehearsal.sent:
        assert mail.header("Subject")
        assert mail.header("Message-ID") == delivery["message_id"]
        assert re.fullmatch(r"<[0-9a-f]{32}@example\.org>", delivery["message_id"])
        assert parsedate_to_datetime(mail.header("Date")) == instant(delivery["due_at"])
        assert mail.header("Auto-Submitted") == "auto-generated"
        assert mail.header("X-Auto-Response-Suppress") == "All"
        assert parseaddr(mail.header("From")) == (
            "WHO-WIPO-WTO Trilateral Cooperation",
            "webinar@example.org",
        )
        assert parseaddr(mail.header("Reply-To"))[1] == "webinar-team@example.org"
        assert mail.header("To") == delivery["email"]
        stop = urlsplit(mail.header("List-Unsubscribe").removeprefix("<").removesuffix(">"))
        assert (stop.scheme, stop.path) == ("mailto", "webinar-team@example.org")
        assert "(trilateral-2025)" in parse_qs(stop.query)["subject"][0]
        assert not [name for name in ("Cc", "Bcc") if mail.message[name]]
    ids = [delivery["message_id"] for delivery, _ in rehearsal.sent]
    assert len(set(ids)) == len(ids)


def test_nobody_s_address_or_name_is_in_another_s_mail(rehearsal: Rehearsal) -> None:
    with (ROOT / "config/sample-registrants.csv").open(encoding="utf-8", newline="") as file:
        people = {row["email"]: {row["email"], row["name"]} - {""} for row in csv.DictReader(file)}
    for delivery, mail in rehearsal.sent:
        everything = "\n".join(mail.everything())
        found = {email for email, marks in people.items() if any(mark in everything for mark in marks)}
        assert found == {delivery["email"]}


def test_one_person_s_subjects_all_differ(rehearsal: Rehearsal) -> None:
    for email in PEOPLE:
        subjects = [mail.header("Subject") for one, mail in rehearsal.sent if one["email"] == email]
        assert len(set(subjects)) == len(subjects)


# Languages


def test_mails_are_in_the_language_that_the_reader_chose_where_there_is_a_text(rehearsal: Rehearsal) -> None:
    for delivery, mail in rehearsal.sent:
        reader = PEOPLE[delivery["email"]]
        assert delivery["language"] == reader.wanted
        assert delivery["text_language"] == reader.language
        assert mail.header("Content-Language") == reader.language
        assert mail.page.language == reader.language
        for other in {*WEEKDAYS} - {reader.language, "zh"}:
            words = "|".join(WEEKDAYS[other] + MONTHS[other])
            assert not re.search(rf"\b({words})\b \d|\d \b({words})\b", mail.text + mail.page.text)


def test_a_mail_never_says_that_its_language_stands_in_for_another(rehearsal: Rehearsal) -> None:
    """Somebody who chose German reads, word for word, what somebody reads who chose English."""
    prose: dict[str, set[str]] = {}
    for delivery, mail in rehearsal.sent:
        if PEOPLE[delivery["email"]].wanted == "en":
            prose.setdefault(delivery["message"], set()).update(mail.text.split("\n"))
    standing_in = [(one, mail) for one, mail in rehearsal.sent if PEOPLE[one["email"]].wanted in ("de", "")]
    assert {PEOPLE[one["email"]].wanted for one, _ in standing_in} == {"de", ""}
    for delivery, mail in standing_in:
        rest = set(mail.text.split("\n")) - prose[delivery["message"]]
        own = [
            line for line in rest if not re.search(r"^Dear |\d\d:\d\d|UTC|do not know your time zone", line)
        ]
        assert own == []
        assert not re.search(r"Spanish|Arabic|Chinese|Russian|German|translat|not available", mail.page.text)


# deliveries.json


def test_deliveries_json_tells_everything_about_everybody(rehearsal: Rehearsal) -> None:
    keys = {"email", "message", "edition", "language", "zone", "zone_known_by", "due_at", "sent_at", "state", "reason",
            "message_id", "eml"}  # fmt: skip
    assert all(keys <= one.keys() for one in rehearsal.deliveries)
    messages = [*BEFORE_THE_START, "follow-up"]
    expected = sorted((email, message) for email in PEOPLE for message in messages)
    assert sorted((one["email"], one["message"]) for one in rehearsal.deliveries) == expected
    assert {one["edition"] for one in rehearsal.deliveries} == {0}
    for one in rehearsal.deliveries:
        reader = PEOPLE[one["email"]]
        assert (one["zone"], one["zone_known_by"]) == (reader.zone, reader.known_by)


def test_everything_is_due_and_sent_at_the_right_instant(rehearsal: Rehearsal) -> None:
    arrived = registered()
    for one in rehearsal.deliveries:
        reader = PEOPLE[one["email"]]
        due = {
            "confirmation": arrived[reader.email],
            "reminder-day": reader.day_before,
            "reminder-hour": datetime(2025, 7, 3, 10, tzinfo=UTC),
            "follow-up": reader.day_after,
        }
        assert instant(one["due_at"]) == due[one["message"]]
        assert one["sent_at"] == (one["due_at"] if one["state"] == "sent" else None)
        assert datetime.fromisoformat(one["due_local"]).replace(tzinfo=None) == (
            due[one["message"]] + reader.offset
        ).replace(tzinfo=None)


def test_who_registers_late_gets_what_is_still_useful(rehearsal: Rehearsal) -> None:
    for email in PEOPLE:
        states = {
            one["message"]: ": ".join(filter(None, (one["state"], one["reason"])))
            for one in rehearsal.deliveries
            if one["email"] == email
        }
        expected = LATE.get(email.split("@")[0], ("sent",) * 4)
        assert states == dict(zip((*BEFORE_THE_START, "follow-up"), expected, strict=True))


def test_each_mail_belongs_to_one_delivery_and_is_kept_as_it_was_received(rehearsal: Rehearsal) -> None:
    assert sorted(one["eml"] for one, _ in rehearsal.sent) == sorted(rehearsal.mails)
    assert all(one["eml"] is None for one in rehearsal.deliveries if one["state"] != "sent")
    for mail in rehearsal.mails.values():
        assert b"\n" not in mail.raw.replace(b"\r\n", b"")
        assert b"\r" not in mail.raw.replace(b"\r\n", b"")
        assert max(map(len, mail.raw.split(b"\r\n"))) <= 998


# The process around it


def test_in_a_pipe_it_shows_progress_a_summary_and_where_to_look_and_ends(rehearsal: Rehearsal) -> None:
    lines = rehearsal.stdout.split("\n")
    assert "13:00 CEST in Geneva (UTC+02:00) = 11:00 UTC" in lines[1]
    assert "rehearsing Thu 03 July 2025" in lines
    assert (
        lines[-4] == "124 mails to 33 people, 6 languages, 31 time zones, 12 June 2025 to 4 July 2025 (UTC)"
    )
    assert lines[-3].startswith("confirmation: 32 sent, 1 skipped; reminder-day: ")
    assert lines[-2] == f"Inbox: {(rehearsal.out / 'index.html').resolve().as_uri()}"
    assert rehearsal.stderr == ""


def test_every_message_zone_and_time_is_printed_where_all_is_asked_for(
    rehearsal: Rehearsal, capsys: pytest.CaptureFixture[str]
) -> None:
    tables.print_deliveries(rehearsal.deliveries)
    lines = capsys.readouterr().out.split("\n")
    assert "reminder-day\ten\tAsia/Kathmandu\t2025-07-02 03:15\tWed 02 Jul 09:00 UTC+0545\tsent\t1" in lines
    assert "confirmation\tes\tAmerica/Bogota\t2025-06-17 15:25\tTue 17 Jun 10:25 UTC-0500\tsent\t1" in lines


def process(zone: str, clock: str) -> dict[str, str]:
    """The environment of a process that lives in that zone, and at that instant."""
    return {"TZ": zone, "PROCESS_CLOCK": clock, "PYTHONPATH": str(ROOT / "tests" / "process_clock")}


SUMMER = process("Pacific/Kiritimati", "2025-07-03T11:30:00+00:00")  # while the webinar runs
NOVEMBER = process("America/Los_Angeles", "2025-11-15T12:00:00+00:00")  # when summer time is over


def test_the_clock_of_a_process_can_be_moved_to_november() -> None:
    code = "import datetime as d, time; print(d.datetime.now(), d.datetime.now(d.UTC), d.date.today(), time.time())"
    done = subprocess.run(
        [sys.executable, "-c", code], env=NOVEMBER, capture_output=True, text=True, check=True
    )
    assert re.match(
        r"2025-11-15 04:00:\d\d.* 2025-11-15 12:00:\d\d.*\+00:00 2025-11-15 17632080\d\d", done.stdout
    )


@pytest.mark.parametrize(
    "environment",
    [
        pytest.param(SUMMER, id="Kiritimati in July", marks=pytest.mark.full),
        pytest.param(NOVEMBER, id="Los Angeles in November", marks=pytest.mark.full),
    ],
)
def test_the_process_s_zone_and_clock_change_nothing(
    rehearsal: Rehearsal, environment: dict[str, str], tmp_path: Path
) -> None:
    other = rehearse(out=tmp_path / "out", environment=environment)
    assert (other.exit_code, other.stderr) == (0, "")
    assert comparable(other) == comparable(rehearsal)


def comparable(rehearsal: Rehearsal) -> dict[tuple[str, str], tuple[dict[str, Any], str]]:
    """Deliveries and mails, without what is drawn by lot: Message-ID, UID and MIME boundaries."""
    return {
        (one["email"], one["message"]): (
            {key: value for key, value in one.items() if key not in ("message_id", "eml")},
            without_chance(rehearsal.mail(one)) if one["eml"] else "",
        )
        for one in rehearsal.deliveries
    }


def without_chance(mail: Mail) -> str:
    kept = re.sub(r"[0-9a-f]{32}@example\.org|={15}\d{10,}==", "…", "\n".join(mail.everything()))
    assert kept.count("…") >= 2, "a Message-ID and a boundary at least"
    return kept


@pytest.mark.full
def test_json_is_what_deliveries_json_says_and_a_second_rehearsal_takes_the_first_one_s_place(
    tmp_path: Path,
) -> None:
    two, one = tmp_path / "two.csv", tmp_path / "one.csv"
    two.write_text("email,registered_at\na@example.org,2025-06-20\nb@example.org,2025-07-03T10:00:01Z\n")
    one.write_text("Email;Name\nc@example.org;Cleo\n")
    first = rehearse("--registrants", two, "--json", out=tmp_path / "out")
    assert (first.exit_code, first.stderr) == (0, "")
    assert first.stdout == (first.out / "deliveries.json").read_text("utf-8")
    assert len(first.deliveries) == 8
    late = {one["message"]: one["state"] for one in first.deliveries if one["email"] == "b@example.org"}
    assert late == {
        "confirmation": "sent",
        "reminder-day": "skipped",
        "reminder-hour": "skipped",
        "follow-up": "sent",
    }
    second = rehearse("--registrants", one, out=tmp_path / "out")
    assert second.exit_code == 0
    assert [one["email"] for one in second.deliveries] == ["c@example.org"] * 4
    assert len(second.mails) == 4
    assert instant(second.deliveries[0]["sent_at"]) == START - timedelta(days=21), (
        "three weeks ahead, as no one says when"
    )


@pytest.mark.full  # several seconds
def test_a_webinar_of_another_date_has_the_sample_s_people_around_it(tmp_path: Path) -> None:
    """In New York's winter, with a message in the sequence that nobody in the far west can get in time."""
    file = tmp_path / "winter.toml"
    sequence = """
    [[messages]]
    id = "confirmation"
    on_registration = true

    [[messages]]
    id = "reminder-day"
    days_before = 0
    at = "09:00"
    """
    file.write_text(
        toml(sequence, zone="America/New_York", start=datetime(2026, 1, 15, 9, 30), end=datetime(2026, 1, 15, 11),
             status="draft", languages=["en"])
    )  # fmt: skip
    rehearsal = rehearse(file, out=tmp_path / "out")
    assert rehearsal.exit_code == 0, rehearsal.stderr
    start, end = datetime(2026, 1, 15, 14, 30, tzinfo=UTC), datetime(2026, 1, 15, 16, tzinfo=UTC)
    assert min(instant(one["due_at"]) for one in rehearsal.deliveries) == start - timedelta(
        days=21, hours=3, minutes=55
    ), "as long ahead as in the sample"
    shown = {clock.instants for one, mail in rehearsal.sent for clock in clocks(mail.text, "en")}
    assert shown == {(start, end)}
    reminders = {
        one["email"].split("@")[0]: one for one in rehearsal.deliveries if one["message"] == "reminder-day"
    }
    assert reminders["tebano.ioane"]["due_at"] == "2026-01-15T19:00:00Z"
    assert reminders["tebano.ioane"]["state"] == "skipped"
    assert reminders["li.wei"]["sent_at"] == "2026-01-15T01:00:00Z"
    assert reminders["wanjiru.kamau"]["sent_at"] == "2026-01-15T06:00:00Z"
    assert reminders["leilani.kealoha"]["due_at"] == "2026-01-15T19:00:00Z"
    assert reminders["leilani.kealoha"]["reason"] == "falls after the start"


# What can't be rehearsed


Refused = Callable[..., str]


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> Refused:
    """What is said on stderr, by a rehearsal that did not begin."""

    def refused(*arguments: str | Path) -> str:
        done = CliRunner().invoke(main, ["rehearse", *map(str, arguments)])
        assert isinstance(done.exception, SystemExit)
        assert done.exit_code == 2
        return done.stderr

    monkeypatch.chdir(ROOT)
    monkeypatch.delenv("TEMPLATES_DIR", raising=False)
    monkeypatch.setattr("scheduler.commands.rehearse.set_up_logs", lambda level: None)
    return refused


def test_a_broken_webinar_file_is_told_with_every_mistake(refused: Refused, tmp_path: Path) -> None:
    file, out = tmp_path / "w.toml", tmp_path / "out"
    file.write_text(toml(zone="Europe/Zurch", joinurl="x"))
    lines = refused(file, "--out", out).splitlines()
    assert len(lines) == 2
    assert all(line.startswith(f"{file}, line ") for line in lines)
    assert any("Europe/Zurich" in line for line in lines)
    assert not out.exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600),
            "the file is a workbook in the old format of Excel (.xls); allowed: a CSV, XLSX or ODS",
        ),
        (b"name\nAnna\n", "line 1: no column for the address"),
        (None, "can't be read: No such file or directory"),
    ],
    ids=["an old workbook", "no address", "no file"],
)
def test_a_csv_that_cant_be_read_is_told(
    content: bytes | None, words: str, refused: Refused, tmp_path: Path
) -> None:
    file = tmp_path / "people.csv"
    if content is not None:
        file.write_bytes(content)
    assert words in refused("--registrants", file, "--out", tmp_path / "out")


def test_a_folder_with_other_files_is_left_alone(refused: Refused, tmp_path: Path) -> None:
    mine = tmp_path / "mails" / "mine.txt"
    mine.parent.mkdir()
    mine.write_text("mine")
    assert f"{tmp_path}: holds other files" in refused("--out", tmp_path)
    assert mine.read_text() == "mine"
    assert "can't be written" in refused("--out", mine)
    assert "can't be written" in refused("--out", mine / "out")


def test_a_folder_of_texts_that_is_none_is_told(
    refused: Refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = tmp_path / "texts"
    monkeypatch.setenv("TEMPLATES_DIR", str(missing))
    words = refused("--out", tmp_path / "out")
    assert words == f"{missing}: is no folder; allowed: the folder of the texts (TEMPLATES_DIR)\n"


@pytest.mark.full
def test_a_broken_text_holds_its_own_message_only_and_a_bad_row_nobody_else_s(tmp_path: Path) -> None:
    templates, people = tmp_path / "templates", tmp_path / "people.csv"
    copy_texts(templates, "en", "fr")
    text = templates / "reminder-hour" / "en.md"
    text.write_text(text.read_text("utf-8").replace("{{ join_button }}", "{{ join_buton }}"), "utf-8")
    people.write_text("email,language\na@example.org,en\nb@example.org,fr\nnobody,en\n")
    rehearsal = rehearse(
        "--registrants", people, "--json", out=tmp_path / "out", environment={"TEMPLATES_DIR": str(templates)}
    )
    assert rehearsal.exit_code == 1
    assert "Traceback" not in rehearsal.stderr
    line = text.read_text("utf-8").split("\n").index("{{ join_buton }}") + 1
    assert f"{text}, line {line}: unknown variable `join_buton`" in rehearsal.stderr
    assert "did you mean `join_button`?" in rehearsal.stderr
    assert f'{people}, line 4: email is not an address: "nobody"; the row is left out' in rehearsal.stderr
    unsent = [
        (one["email"], one["message"], one["state"]) for one in rehearsal.deliveries if one["state"] != "sent"
    ]
    assert unsent == [("a@example.org", "reminder-hour", "expired")]
    assert len(rehearsal.mails) == 7 + 1, "and one to the organizer"
