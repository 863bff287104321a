"""Ten systems' whole files, as their documentation and public examples have them, with people who are made up."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from scheduler.registrants.files.judging import Import, judged
from scheduler.registrants.files.reading import RegistrantFile

EXAMPLES = Path(__file__).with_name("examples")


class Right(NamedTuple):
    """`people`: line, name and role. `others`: line and why they are left out."""

    system: str
    table: str
    people: list[tuple[int, str, str]]
    others: dict[int, str]


def attendees(*people: tuple[int, str]) -> list[tuple[int, str, str]]:
    return [(line, name, "attendee") for line, name in people]


FILES = {
    "zoom-attendees.csv": Right(
        "Zoom",
        "Attendee Details",
        [
            (7, "Hana Host", "host"),
            (10, "Paula Panel", "panelist"),
            *attendees((13, "Ana Ruiz"), (15, "Seán O'Neil"), (16, "Anna & Ben Berg")),
        ],
        {
            14: "line 13 has the same address, and counts",
            17: "status “cancelled by host”",
            18: "status “pending approval”",
            19: "status “denied”",
        },
    ),
    "zoom-registrations-es.csv": Right(
        "Zoom",
        "Detalles de los asistentes",
        attendees((7, "Ana Ruiz López"), (8, "José Ñúñez")),
        {9: "status “cancelado por el anfitrión”"},
    ),
    "teams-attendance.csv": Right(
        "Microsoft Teams",
        "2. Participants",
        [
            (11, "Hana Host", "host"),
            (12, "Paula Panel", "panelist"),
            *attendees((13, "Zoë Müller"), (14, "李伟")),
        ],
        {},
    ),
    "teams-registrations.csv": Right(
        "Microsoft Teams",
        "",
        attendees((2, "Zoë Müller"), (5, "Ana Ruiz")),
        {3: "status “Waitlisted”", 4: "status “Canceled”", 6: "status “Pending approval”"},
    ),
    "luma.csv": Right(
        "Luma",
        "",
        attendees((2, "Ana Ruiz"), (3, "")),
        {
            4: "status “invited”",
            5: "status “waitlist”",
            6: "status “declined”",
            7: "status “pending_approval”",
        },
    ),
    "pretix.csv": Right(
        "pretix",
        "",
        attendees((2, "Ana Ruiz"), (3, "Bo Li"), (7, "Ed Kerr")),
        {4: "status “n” (not paid yet)", 5: "status “e” (expired)", 6: "status “c” (cancelled)"},
    ),
    "eventbrite.csv": Right(
        "Eventbrite",
        "",
        attendees((2, "Ana Ruiz"), (3, "Bo Li"), (5, "Di Poole")),
        {4: "status “Not Attending”", 6: "status “Transferred”"},
    ),
    "google-forms-ja.csv": Right("Google Forms", "", attendees((2, "山田 花子"), (3, "佐藤 太郎")), {}),
    "indico.csv": Right(
        "Indico",
        "",
        attendees((2, "Ana Ruiz")),
        {
            3: "status “Pending”",
            4: "status “Withdrawn”",
            5: "status “Rejected”",
            6: "status “Awaiting payment”",
        },
    ),
    "hubspot.csv": Right(
        "HubSpot", "", attendees((2, "Ana Ruiz"), (4, "Cy Young")), {3: "status “Cancelled”"}
    ),
    "gotowebinar.csv": Right(
        "GoTo Webinar", "", attendees((2, "Ana Ruiz")), {3: "status “WAITING”", 4: "status “DENIED”"}
    ),
    "livestorm.csv": Right("Livestorm", "", attendees((2, "Ana Ruiz"), (3, "Bo Li")), {}),
}


@pytest.mark.parametrize("name", FILES)
def test_a_whole_file_of_a_system(name: str) -> None:
    right = FILES[name]
    with (EXAMPLES / name).open("rb") as opened:
        file = RegistrantFile(opened, name, ["w"])
        found = list(judged(file.rows, Import(name, ["w"], "w")))
    assert (file.system, file.table) == (right.system, right.table)
    counting = [one.row for one in found if one.kind == "counts"]
    assert [(row.line, row.values.get("name", ""), row.role) for row in counting] == right.people
    assert {one.row.line: one.told for one in found if one.kind != "counts"} == right.others


def test_every_example_is_tried() -> None:
    assert {path.name for path in EXAMPLES.iterdir()} == set(FILES)
