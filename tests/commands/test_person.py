"""`webinar suppress`, `unsuppress` and `resend`: what organizers do for one address."""

from __future__ import annotations

import pytest

from scheduler.ledger.states import Why
from tests.commands.scene import Scene, lines
from tests.support import utc

pytestmark = pytest.mark.engines("sqlite")

PLANNED, NOW = utc("2025-06-20 08:00"), utc("2025-06-21 08:00")
LEA = "lea@who.int"


@pytest.fixture
def confirmed(scene: Scene) -> Scene:
    """A live webinar with a registrant who has the confirmation."""
    scene.write()
    scene.register(LEA)
    scene.plan(PLANNED)
    scene.sql("UPDATE delivery SET state = 'sent' WHERE message = 'confirmation'")
    scene.at(NOW)
    return scene


def states(scene: Scene) -> dict[str, str]:
    rows = scene.sql("SELECT message, edition, state, reason FROM delivery ORDER BY id")
    return {
        f"{row.message}#{row.edition}": f"{row.state}: {row.reason}" if row.reason else row.state
        for row in rows
    }


def test_suppressing_cancels_at_once_and_unsuppressing_plans_at_once(confirmed: Scene) -> None:
    done = confirmed.run("suppress", LEA)
    assert done.stdout == "Suppressed. It has 1 registration; nothing more is sent to it.\n"
    assert states(confirmed)["reminder-day#0"] == f"cancelled: {Why.SUPPRESSED}"
    done = confirmed.run("unsuppress", " Lea@who.int ")
    assert done.stdout == "It is written to again: 1 registration; whatever is still ahead is sent.\n"
    assert states(confirmed)["reminder-day#0"] == "pending"


def test_of_one_webinar(confirmed: Scene) -> None:
    done = confirmed.run("suppress", LEA, "--webinar", "w")
    assert done.stdout == "Suppressed: of w it is only told that it is cancelled or moved.\n"
    assert states(confirmed)["reminder-day#0"] == f"cancelled: {Why.UNSUBSCRIBED}"
    assert confirmed.run("show", LEA).stdout.startswith(
        "Of w it is only told that it is moved or cancelled, since "
    )
    everything = confirmed.run("unsuppress", LEA)
    assert (everything.exit_code, everything.stdout) == (1, "")
    assert everything.stderr.startswith("That address is not suppressed from all mails")
    assert confirmed.run("unsuppress", LEA, "--webinar", "w").exit_code == 0
    assert states(confirmed)["reminder-day#0"] == "pending"


@pytest.mark.parametrize("command", [["suppress", LEA], ["unsuppress", LEA], ["resend", LEA, "confirmation"]])
def test_a_webinar_that_is_not_known_is_named_with_those_that_are(
    confirmed: Scene, command: list[str]
) -> None:
    found = confirmed.run(*command, "--webinar", "x")
    assert (found.exit_code, found.stdout) == (2, "")
    assert found.stderr == "--webinar: there is no webinar `x`; allowed: w\n"


def test_a_message_goes_again(confirmed: Scene) -> None:
    done = confirmed.run("resend", LEA, "confirmation")
    assert done.stdout == "`confirmation` of w goes to that address at once.\n"
    assert states(confirmed)["confirmation#1"] == "pending"
    (again,) = [
        line for line in lines(confirmed.run("show", LEA), "delivery") if line[1] == "confirmation #1"
    ]
    assert again[-1] == "organizer asked for it"


def test_what_is_still_to_go_is_not_sent_again(confirmed: Scene) -> None:
    found = confirmed.run("resend", LEA, "reminder-day")
    assert (found.exit_code, found.stdout) == (1, "")
    assert found.stderr == "`reminder-day` of w is not sent: it is still to go.\n"


def test_mistakes_in_what_to_send_are_named(confirmed: Scene) -> None:
    unknown = confirmed.run("resend", LEA, "confirmatoin")
    assert unknown.exit_code == 2
    assert "confirmatoin" in unknown.stderr
    assert "did you mean `confirmation`" in unknown.stderr
    nobody = confirmed.run("resend", "nobody@who.int", "confirmation")
    assert (nobody.exit_code, nobody.stderr) == (2, "ADDRESS: is not registered for any webinar\n")


def test_who_is_registered_for_several_is_sent_the_mail_of_one(confirmed: Scene) -> None:
    confirmed.write(name="v.toml", id="v")
    confirmed.register(LEA, webinar="v")
    confirmed.plan(PLANNED)
    found = confirmed.run("resend", LEA, "confirmation")
    assert found.exit_code == 2
    assert found.stderr == "--webinar: is not given, and it is registered for several; allowed: v, w\n"
    assert confirmed.run("resend", LEA, "confirmation", "--webinar", "w").exit_code == 0
