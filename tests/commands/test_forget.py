"""`webinar forget` and `webinar export`: what is held of one person is removed, or given to them."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from scheduler.database.models import Purge, Tally
from tests.commands.scene import Scene, lines
from tests.everywhere import everywhere
from tests.support import utc

pytestmark = pytest.mark.engines("sqlite")

PLANNED, NOW = utc("2025-06-20 08:00"), utc("2025-06-21 08:00")
ADDRESS = "Maya.Shrestha@who.int"


@pytest.fixture
def registered(scene: Scene) -> Scene:
    """Maya in two webinars, and somebody else, planned; the confirmations are out."""
    scene.write()
    scene.write(name="v.toml", id="v")
    for webinar in ("w", "v"):
        scene.register(ADDRESS, webinar, name="Maya Shrestha", timezone="Asia/Kathmandu")
    scene.register("lea@who.int")
    scene.plan(PLANNED)
    scene.sql("UPDATE delivery SET state = 'sent', sent_at = :at WHERE message = 'confirmation'", at=PLANNED)
    scene.sql(
        "INSERT INTO attempt (delivery_id, relay, address, language, text_revision, started_at, ended_at, outcome,"
        " code, reply) SELECT d.id, 'relay.who.int:587', r.address, 'en', 1, :at, :at, 'sent', 250, '2.0.0 queued'"
        " FROM delivery d JOIN registration r ON r.id = d.registration_id WHERE d.message = 'confirmation'",
        at=PLANNED,
    )
    scene.at(NOW)
    return scene


# forget


@pytest.mark.engines("both")
def test_what_it_did_is_said_in_figures_and_never_with_the_address(registered: Scene) -> None:
    done = registered.run("forget", "maya.shrestha@WHO.int")
    assert done.exit_code == 0
    assert done.stdout.splitlines() == [
        "Forgotten: 2 registrations, 8 mails, 6 of them cancelled, 0 versions of invitations. How many mails there were"
        " stays counted.",
        "The 2 rows in registrants are their owner's; they get no mails.",
    ]
    assert "maya" not in (done.stdout + done.stderr).lower()
    assert everywhere(registered.database, ["maya"], besides=["registrants"]) == []
    registered.plan(NOW)
    counted = lines(registered.run("status"), "count")
    assert ["v", "confirmation", "sent", "1"] in counted
    assert ["w", "confirmation", "sent", "2"] in counted
    assert registered.run("show", ADDRESS).exit_code == 0, "the rows, which are their owner's"


def test_of_an_address_that_nobody_has_nothing_is_held(registered: Scene) -> None:
    for _ in range(2):
        done = registered.run("forget", "nobody@who.int")
        assert (done.exit_code, done.stdout) == (0, "Nothing is held of that address.\n")


def test_again_it_says_that_nothing_is_held(registered: Scene) -> None:
    registered.run("forget", ADDRESS)
    done = registered.run("forget", ADDRESS)
    assert done.exit_code == 0
    assert done.stdout.startswith("Nothing is held of that address.\n")


def test_a_suppressed_address_stays_so(registered: Scene) -> None:
    registered.run("suppress", ADDRESS)
    assert "It stays suppressed" in registered.run("forget", ADDRESS).stdout
    assert registered.json("export", ADDRESS)["suppressed_as_forgotten"] is True


def test_a_mail_on_the_wire_is_named(registered: Scene) -> None:
    registered.sql("UPDATE delivery SET state = 'sending', lease_token = '7' WHERE message = 'reminder-day'")
    said = registered.run("forget", ADDRESS).stdout
    assert "2 mails are on the wire now" in said


@pytest.mark.parametrize("address", ["", "  "])
def test_no_address_is_exit_2(registered: Scene, address: str) -> None:
    assert registered.run("forget", address).exit_code == 2


def test_a_row_that_nobody_can_decide_about_is_a_note_with_what_to_do(registered: Scene) -> None:
    registered.run("forget", ADDRESS)
    registered.write(name="u.toml", id="u")
    row = registered.register(ADDRESS, "u")
    registered.plan(NOW)
    status = registered.json("status")
    [note] = [one for one in status["notes"] if f"row {row}" in one["reason"]]
    assert "--registered-again" in note["fix"]
    assert [one["row"] for one in status["rows_set_aside"]] == [row]
    people = registered.root / "people.csv"
    people.write_text(f"email\n{ADDRESS}\n", "utf-8")
    assert registered.run("import", str(people), "--webinar", "u", "--registered-again").exit_code == 0
    registered.plan(NOW)
    assert registered.json("status")["rows_set_aside"] == []
    assert [one["webinar"] for one in registered.json("show", ADDRESS)["registrations"]] == ["u"]


# export


def test_everything_that_is_held_with_the_zone_of_each_time(registered: Scene) -> None:
    held = registered.json("export", ADDRESS)
    assert held["address"] == "maya.shrestha@who.int"
    assert held["as_of"] == "2025-06-21T08:00:00Z"
    assert sorted(one["webinar"] for one in held["registrations"]) == ["v", "w"]
    [first, _] = held["registrations"]
    assert first["name"] == "Maya Shrestha"
    [mail] = [one for one in first["deliveries"] if one["message"] == "confirmation"]
    assert (mail["state"], mail["sent_at"], mail["due_local"]) == (
        "sent", "2025-06-20T08:00:00Z", "2025-06-20T13:45:00+05:45",
    )  # fmt: skip
    assert mail["attempts"][0]["relay"] == "relay.who.int:587"
    assert mail["attempts"][0]["reply"] == "2.0.0 queued"
    assert [row["email"] for row in held["rows_of_registrants"]] == [ADDRESS, ADDRESS]
    assert "lea" not in json.dumps(held)


def test_a_file_for_nobody_else_to_read(registered: Scene, tmp_path: Path) -> None:
    out = tmp_path / "maya.json"
    done = registered.run("export", ADDRESS, "-o", str(out))
    assert (done.exit_code, done.stdout) == (0, "")
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert json.loads(out.read_text("utf-8"))["address"] == "maya.shrestha@who.int"
    again = registered.run("export", ADDRESS, "-o", str(out))
    assert again.exit_code == 2
    assert "there is a file of that name" in again.stderr
    assert "maya.shrestha" not in again.stderr.replace(str(tmp_path), "")


def test_of_somebody_unknown_nothing_is_held(registered: Scene) -> None:
    done = registered.run("export", "nobody@who.int")
    assert done.exit_code == 1
    assert json.loads(done.stdout)["registrations"] == []
    assert "Nothing is held" in done.stderr


# keep_days


def test_check_says_whose_data_a_lower_keep_days_removes_and_from_when(registered: Scene) -> None:
    file = registered.write(keep_days=1)
    assert (
        f"{file}: Registrants of w: the personal data of 2 people is removed from 2025-07-04 13:00 UTC on"
        in registered.run("check", str(file)).stdout
    )
    assert registered.json("check", str(file))["removals"] == {
        str(file): {"people": 2, "from": "2025-07-04T13:00:00Z"}
    }
    registered.write()
    assert registered.json("check", str(file))["removals"] == {}


def test_status_says_it_before_a_service_has_and_keeps_the_figures(registered: Scene) -> None:
    registered.at(utc("2025-09-28 08:00"))
    notes = [one["reason"] for one in registered.json("status")["notes"]]
    assert any(
        "the personal data of 2 people is removed from 2025-10-05 08:00 UTC on" in one for one in notes
    )
    registered.sql("UPDATE webinar SET status = 'ended' WHERE webinar = 'w'")
    removed_at = utc("2025-10-05 08:00")
    registered.insert(Purge, webinar="w", begun_at=removed_at, purged_at=removed_at, people=2)
    registered.insert(Tally, webinar="w", message="confirmation", state="sent", reason="", n=2)
    registered.insert(Tally, webinar="w", message="reminder-day", state="sent", reason="", n=1)
    registered.sql("DELETE FROM delivery WHERE webinar = 'w'")
    removed = lines(registered.run("status"), "removed")
    assert removed == [["w", "2025-10-05 08:00", "2", "3 sent"]]
