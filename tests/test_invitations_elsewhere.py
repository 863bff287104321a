"""The invitations of a rehearsal, as four programs that are not ours read them."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import icalendar
import pytest
import vobject

from tests.rehearsed import ROOT, sample, shared_folder

pytestmark = pytest.mark.full

Facts = dict[str, Any]

TITLES = {
    "en": "Public procurement of health products: driving innovation and access",
    "fr": "Marchés publics de produits de santé : stimuler l’innovation et élargir l’accès",
    "es": "Contratación pública de productos de salud: impulsar la innovación y el acceso",
    "ar": "المشتريات العامة للمنتجات الصحية: تحفيز الابتكار وتعزيز إتاحة المنتجات",
    "zh": "卫生产品的公共采购：推动创新，促进可及",
    "ru": "Государственные закупки медицинской продукции: стимулирование инноваций и расширение доступа",
}


@pytest.fixture(scope="module")
def invitations(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The invitation of each registrant who got one, as text, by their address."""
    sent = sample(shared_folder(tmp_path_factory)).sent
    return {delivery["email"]: mail.entry.raw.decode("utf-8") for delivery, mail in sent if mail.entry}


def iso(instant: datetime | date) -> str:
    """In UTC; a floating time or a date alone would not be an instant."""
    assert isinstance(instant, datetime)
    assert instant.tzinfo is not None
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def by_icalendar(text: str) -> Facts:
    calendar: Any = icalendar.Calendar.from_ical(text)
    (event,) = calendar.walk("VEVENT")
    attendees = [event["ATTENDEE"]]
    return {
        "start": iso(event["DTSTART"].dt),
        "end": iso(event["DTEND"].dt),
        "uid": str(event["UID"]),
        "sequence": int(event["SEQUENCE"]),
        "summary": str(event["SUMMARY"]),
        "organizer": str(event["ORGANIZER"]),
        "attendees": [str(attendee) for attendee in attendees],
        "names": [str(attendee.params["CN"]) for attendee in attendees],
        "location": str(event["LOCATION"]),
        "url": str(event["URL"]),
        "alarms": [seconds(alarm["TRIGGER"].dt) for alarm in event.walk("VALARM")],
    }


def by_vobject(text: str) -> Facts:
    event = vobject.readOne(text).vevent
    return {
        "start": iso(event.dtstart.value),
        "end": iso(event.dtend.value),
        "uid": event.uid.value,
        "sequence": int(event.sequence.value),
        "summary": event.summary.value,
        "organizer": event.organizer.value,
        "attendees": [attendee.value for attendee in event.attendee_list],
        "names": [attendee.params["CN"][0] for attendee in event.attendee_list],
        "location": event.location.value,
        "url": event.url.value,
        "alarms": [seconds(alarm.trigger.value) for alarm in event.valarm_list],
    }


def seconds(trigger: timedelta) -> int:
    return int(trigger.total_seconds())


def by_node(texts: list[str]) -> dict[str, list[Facts]]:
    node = shutil.which("node")
    assert node, "Node is needed"
    assert (ROOT / "node_modules" / "ical.js").exists(), "npm ci is needed"
    answer = subprocess.run(
        [node, ROOT / "tests/node/invitations.mjs"],
        input=json.dumps(texts),
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        env={"TZ": "America/Los_Angeles"},
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    found: dict[str, list[Facts]] = json.loads(answer.stdout)
    return found


def test_icalendar_vobject_ical_js_and_node_ical_read_every_invitation_alike(
    invitations: dict[str, str],
) -> None:
    texts = list(invitations.values())
    readings = by_node(texts)
    readers: dict[str, Callable[[str], Facts]] = {"icalendar": by_icalendar, "vobject": by_vobject}
    readings |= {name: [read(text) for text in texts] for name, read in readers.items()}
    assert set(readings) == {"icalendar", "vobject", "ical.js", "node-ical"}
    assert len(texts) == 32
    for name, found in readings.items():
        for email, facts, reference in zip(invitations, found, readings["icalendar"], strict=True):
            assert facts == reference, (name, email)


def test_what_they_read_is_the_webinar(invitations: dict[str, str]) -> None:
    with (ROOT / "config/sample-registrants.csv").open(encoding="utf-8", newline="") as file:
        languages = {person["email"]: person["language"] for person in csv.DictReader(file)}
    for email, text in invitations.items():
        found = by_icalendar(text)
        name = email.split("@")[0]
        link = {"asha.nair": "join/asha-7f2c"}.get(name, "trilateral-2025")
        title = TITLES.get(languages[email].split("-")[0], TITLES["en"])
        assert re.fullmatch(r"[0-9a-f]{32}@example\.org", found.pop("uid"))
        assert plain(found.pop("summary")) == title
        assert found.pop("names") not in ([""], [])
        assert found == {
            "start": "2025-07-03T11:00:00Z",
            "end": "2025-07-03T13:00:00Z",
            "sequence": 0,
            "organizer": "mailto:webinar@example.org",
            "attendees": [f"mailto:{email}"],
            "location": f"https://webinar.example.org/{link}",
            "url": f"https://webinar.example.org/{link}",
            "alarms": [-15 * 60],
        }


def plain(text: str) -> str:
    return text.replace("\u00a0", " ").replace("\u202f", " ")
