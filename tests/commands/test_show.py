"""`webinar show ADDRESS`: all that one person got and will get."""

from __future__ import annotations

from datetime import datetime

import pytest

from scheduler.database.models import Attempt, Signup
from scheduler.ledger import requests
from tests.commands.scene import Scene, lines
from tests.support import utc

pytestmark = pytest.mark.engines("sqlite")

PLANNED, LATER = utc("2025-06-20 08:00"), utc("2025-06-20 09:30")


@pytest.fixture
def registered(scene: Scene) -> Scene:
    """Maya in Kathmandu and somebody else, planned; Maya's confirmation was sent at the second try."""
    scene.write()
    scene.register(
        "Maya.Shrestha@who.int", name="Maya Shrestha", language="fr", timezone="Asia/Kathmandu", country="NP",
        join_url="https://meet.who.int/w/maya-only",
    )  # fmt: skip
    scene.register("somebody.else@who.int", country="US")
    scene.plan(PLANNED)
    [[delivery]] = scene.sql(
        "SELECT d.id FROM delivery d JOIN registration r ON r.id = d.registration_id"
        " WHERE d.message = 'confirmation' AND r.registrant_id = 1"
    )
    _attempt(scene, delivery, PLANNED, "deferred", 450, "4.2.1", "mailbox busy")
    _attempt(scene, delivery, LATER, "sent", 250, "2.0.0", "queued as 17")
    scene.sql(
        "UPDATE delivery SET state = 'sent', sent_at = :at, message_id = '<1@who.int>' WHERE id = :id",
        id=delivery,
        at=LATER,
    )
    return scene


def _attempt(
    scene: Scene, delivery: int, at: datetime, outcome: str, code: int, enhanced: str, reply: str
) -> None:
    scene.insert(
        Attempt, delivery_id=delivery, relay="relay.who.int:587", address="Maya.Shrestha@who.int", language="fr",
        text_revision=12, started_at=at, ended_at=at, outcome=outcome, stage="content", code=code,
        enhanced=enhanced, reply=reply,
    )  # fmt: skip


def test_everything_about_one_person_as_json(registered: Scene) -> None:
    found = registered.json("show", "maya.shrestha@WHO.int")
    [one] = found["registrations"]
    deliveries = one.pop("deliveries")
    assert one == {
        "webinar": "w",
        "webinar_status": "live",
        "row": 1,
        "address": "Maya.Shrestha@who.int",
        "name": "Maya Shrestha",
        "language": "fr",
        "timezone": "Asia/Kathmandu",
        "country": "NP",
        "zone": "Asia/Kathmandu",
        "zone_known_by": "timezone",
        "zone_problem": "",
        "first_seen_at": "2025-06-20T08:00:00Z",
        "gone_at": None,
        "own_link": True,
        "confirmed_elsewhere": False,
        "chosen_zone": None,
        "chosen_language": None,
        "unwanted": [],
        "withdrawn_at": None,
        "unsubscribed_since": None,
    }
    confirmation = deliveries[0]
    assert confirmation["attempts"] == [
        {
            "to": "Maya.Shrestha@who.int", "started_at": at, "ended_at": at, "outcome": outcome, "language": "fr",
            "text_revision": 12, "relay": "relay.who.int:587", "stage": "content", "code": code,
            "enhanced": enhanced, "reply": reply,
        }
        for at, outcome, code, enhanced, reply in [
            ("2025-06-20T08:00:00Z", "deferred", 450, "4.2.1", "mailbox busy"),
            ("2025-06-20T09:30:00Z", "sent", 250, "2.0.0", "queued as 17"),
        ]
    ]  # fmt: skip
    assert (confirmation["state"], confirmation["sent_at"]) == ("sent", "2025-06-20T09:30:00Z")
    reminder = deliveries[1]
    assert (reminder["message"], reminder["state"]) == ("reminder-day", "pending")
    assert (reminder["due_at"], reminder["due_local"]) == (
        "2025-07-02T03:15:00Z",
        "2025-07-02T09:00:00+05:45",
    )


def test_what_a_person_chose(registered: Scene) -> None:
    with registered.database.transaction() as conn:
        governing = registered.revisions.governing(conn)["w"]
        number = requests.registered(conn, "maya.shrestha@who.int")["w"]
        requests.choose_zone(conn, LATER, governing, number, "America/Lima")
        requests.choose_messages(conn, LATER, governing, number, ["follow-up"])
        requests.withdraw(conn, LATER, governing, number)
    result = registered.run("show", "maya.shrestha@who.int")
    facts = dict(line[1:] for line in lines(result, "registration"))
    assert facts["zone"] == "America/Lima: confirmed by them"
    assert facts["comes"] == "no: withdrew 2025-06-20 09:30 UTC"
    assert facts["does not want"] == "follow-up"


def test_plain_lines_in_a_pipe(registered: Scene) -> None:
    result = registered.run("show", "maya.shrestha@who.int")
    assert (result.exit_code, result.stderr) == (0, "")
    assert ["w", "zone", "Asia/Kathmandu: as registered"] in lines(result, "registration")
    assert lines(result, "delivery")[:2] == [
        ["w", "confirmation", "sent", "2025-06-20 08:00", "Fri 20 Jun 2025 13:45 UTC+05:45", "sent 2025-06-20 09:30"],
        ["w", "reminder-day", "pending", "2025-07-02 03:15", "Wed 02 Jul 2025 09:00 UTC+05:45", ""],
    ]  # fmt: skip
    assert lines(result, "attempt")[0] == [
        "w", "confirmation", "2025-06-20 08:00", "deferred", "fr, revision 12", "relay.who.int:587",
        "content: 450 4.2.1 mailbox busy",
    ]  # fmt: skip


def test_nobody_else_and_no_personal_link_is_shown(registered: Scene) -> None:
    for arguments in (["show", "maya.shrestha@who.int"], ["show", "maya.shrestha@who.int", "--json"]):
        output = registered.run(*arguments).output
        assert "somebody" not in output
        assert "maya-only" not in output


def test_no_reply_that_was_kept_before_turns_the_terminal_that_prints_it(registered: Scene) -> None:
    said = "rejec\u202eted \u2066\x9b31m \U000e0041"
    registered.sql("UPDATE attempt SET reply = :said", said=said)
    output = registered.run("show", "maya.shrestha@who.int", "--json").stdout
    assert all(one.isprintable() or one == "\n" for one in output)
    (one,) = registered.json("show", "maya.shrestha@who.int")["registrations"]
    assert one["deliveries"][0]["attempts"][0]["reply"] == said
    registered.on_a_terminal()
    shown = registered.run("show", "maya.shrestha@who.int").stdout
    assert "\u202e" not in shown
    assert "\x9b" not in shown


@pytest.mark.engines("both")
def test_tables_on_a_terminal_that_no_name_can_steer(registered: Scene) -> None:
    registered.sql(
        "UPDATE registration SET name = :name WHERE registrant_id = 1", name="[red]Maya\x1b[2J\u202e\nx[/]"
    )
    registered.on_a_terminal()
    shown = registered.run("show", "maya.shrestha@who.int").stdout
    assert "[red]Maya[2J x[/]" in shown
    assert "\u202e" not in shown
    assert "the relay's words" in shown


def test_who_registered_with_us_and_is_no_registration_yet(scene: Scene) -> None:
    scene.write()
    for webinar, state in (("w", "waiting"), ("v", "unconfirmed")):
        scene.insert(
            Signup, webinar=webinar, address="lea@who.int", address_folded="lea@who.int", state=state,
            created_at=PLANNED, updated_at=LATER,
        )  # fmt: skip
    shown = scene.run("show", "Lea@who.int").stdout.splitlines()
    assert shown == [
        "v: unconfirmed since 2025-06-20 09:30 UTC: the link in the mail to this address was not used",
        "w: waiting since 2025-06-20 09:30 UTC, as all places are taken",
    ]
    assert [one["state"] for one in scene.json("show", "lea@who.int")["signups"]] == [
        "unconfirmed",
        "waiting",
    ]


def test_an_address_that_nobody_has(registered: Scene) -> None:
    result = registered.run("show", "nobody@who.int")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "Nobody is registered with that address.\n"


def test_addresses_are_folded_beyond_ascii(scene: Scene) -> None:
    scene.write()
    scene.register("É.Favre@who.int")
    scene.plan(PLANNED)
    assert scene.run("show", "é.favre@who.int").exit_code == 0


@pytest.mark.engines("both")
def test_each_webinar_of_a_person_and_whether_it_is_a_draft(registered: Scene) -> None:
    registered.write(name="z.toml", id="z", status="draft")
    registered.register("maya.shrestha@who.int", webinar="z")
    registered.plan(PLANNED)
    result = registered.run("show", "maya.shrestha@who.int")
    assert [line[0] for line in lines(result, "registration") if line[1] == "row"] == ["w", "z"]
    states = {line[2] for line in lines(result, "delivery") if line[0] == "z"}
    assert states == {"pending: the webinar is a draft"}


def test_a_corrected_address_is_found_by_the_old_one_too(registered: Scene) -> None:
    registered.sql("UPDATE registrants SET email = 'maya@wto.org' WHERE id = 1")
    registered.plan(LATER)
    old, new = (registered.run("show", address) for address in ("maya.shrestha@who.int", "maya@wto.org"))
    assert ["w", "address now", "maya@wto.org"] in lines(old, "registration")
    assert lines(new, "attempt")[0][3] == "deferred, to Maya.Shrestha@who.int"
    assert [line[1] for line in lines(new, "delivery")][:2] == ["confirmation", "confirmation #1"]


def test_an_assumed_zone_a_row_that_is_gone_and_an_unusable_zone(registered: Scene) -> None:
    registered.sql("UPDATE registrants SET timezone = 'Mars/Olympus' WHERE id = 2")
    registered.plan(PLANNED)
    registered.sql("DELETE FROM registrants WHERE id = 2")
    registered.plan(LATER)
    facts = dict(line[1:] for line in lines(registered.run("show", "somebody.else@who.int"), "registration"))
    assert facts["row"] == "its row is gone, since 2025-06-20 09:30 UTC"
    assert facts["zone"].endswith(": assumed, one of their country's")
    assert facts["zone's problem"]


def test_a_suppressed_address_even_of_nobody(registered: Scene) -> None:
    registered.run("suppress", "gone@who.int")
    result = registered.run("show", "gone@who.int")
    assert result.exit_code == 0
    assert result.stdout.startswith("Suppressed since ")


def test_a_webinar_whose_file_was_put_back_is_what_governs(registered: Scene) -> None:
    for status in ("draft", "live"):
        registered.write(status=status)
        registered.plan(LATER)
    (one,) = registered.json("show", "maya.shrestha@who.int")["registrations"]
    assert one["webinar_status"] == "live"


def test_of_a_webinar_that_has_ended_it_says_that_nothing_is_sent(registered: Scene) -> None:
    registered.write(status="ended")
    registered.plan(LATER)
    words = registered.run("show", "maya.shrestha@who.int").stdout
    assert "pending: the webinar has ended" in words


@pytest.mark.engines("both")
def test_rows_that_are_set_aside_or_not_planned_from_yet(registered: Scene) -> None:
    aside = registered.register("anna@who.int", webinar="elsewhere")
    registered.plan(LATER)
    waiting = registered.register("Anna@who.int")
    assert lines(registered.run("show", "anna@who.int"), "row") == [
        [str(aside), "elsewhere", "set aside", "unknown webinar"],
        [str(waiting), "w", "not planned yet", ""],
    ]


def test_no_database(sqlite_scene: Scene) -> None:
    result = sqlite_scene.run(
        "show", "a@who.int", env={"DATABASE_URL": f"sqlite:///{sqlite_scene.root}/none.db"}
    )
    assert result.exit_code == 2
    assert not (sqlite_scene.root / "none.db").exists()
