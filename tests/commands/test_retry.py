"""`webinar retry`: an address that a relay refused as unknown is right after all."""

from __future__ import annotations

import pytest

from scheduler.ledger.states import Why
from tests.commands.scene import Scene, lines
from tests.support import utc

pytestmark = pytest.mark.engines("sqlite")

PLANNED, NOW = utc("2025-06-20 08:00"), utc("2025-06-21 08:00")
REASON = f"skipped: {Why.UNKNOWN_ADDRESS}"


@pytest.fixture
def refused(scene: Scene) -> Scene:
    """A live webinar; of its two registrants one has an address that no relay knows."""
    scene.write()
    scene.register("lea@who.int")
    scene.register("typo@who.int")
    scene.plan(PLANNED)
    scene.sql(
        "UPDATE delivery SET state = 'failed', reason = 'refused: 550 5.1.1' WHERE message = 'confirmation'"
        " AND registration_id = (SELECT id FROM registration WHERE address = 'typo@who.int')"
    )
    scene.sql("UPDATE registration SET plan = 0")
    scene.plan(NOW)
    scene.at(NOW)
    return scene


def test_status_counts_what_is_skipped_for_it(refused: Scene) -> None:
    assert lines(refused.run("status"), "failed") == [
        ["w", "failed: refused: 550 5.1.1", "1"],
        ["w", REASON, "3"],
    ]
    assert refused.json("status")["webinars"][0]["skipped"] == {Why.UNKNOWN_ADDRESS: 3}


def test_show_says_why_nothing_more_comes(refused: Scene) -> None:
    states = [line[2] for line in lines(refused.run("show", "typo@who.int"), "delivery")]
    assert states == ["failed: refused: 550 5.1.1", REASON, REASON, REASON]


def test_it_is_tried_again_when_somebody_says_that_it_is_right(refused: Scene) -> None:
    result = refused.run("retry", " Typo@who.int ")
    assert result.exit_code == 0
    assert (
        result.stdout == "It is tried again: 1 registration, 1 mail at once, and whatever is still ahead.\n"
    )
    refused.plan(NOW)
    found = refused.json("show", "typo@who.int")["registrations"][0]["deliveries"]
    assert {(one["message"], one["state"]) for one in found} == {
        (message, "pending") for message in ("confirmation", "reminder-day", "reminder-hour", "follow-up")
    }
    again = refused.run("retry", "typo@who.int")
    assert (again.exit_code, again.stdout) == (1, "")


def test_an_address_that_no_relay_refused_so_is_left_alone(refused: Scene) -> None:
    result = refused.run("retry", "lea@who.int")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "No relay refused that address as unknown.\n"


def test_an_invalid_address_is_refused(refused: Scene) -> None:
    result = refused.run("retry", "lea")
    assert result.exit_code == 2
    assert "ADDRESS:" in result.stderr
