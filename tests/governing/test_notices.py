"""Notices of edits that wait: how many people will be notified, of what, when, and how to stop it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from email import message_from_bytes, policy
from typing import Any, cast

import pytest

from scheduler.database.engine import Database
from scheduler.delivery import relay
from scheduler.delivery.pace import Pace
from scheduler.governing.notices import reconcile_notices
from scheduler.service.alerting import Notifier
from scheduler.smtp.pool import Pool
from tests.histories import History
from tests.service.test_alerting import Relay
from tests.smtp_server import in_loop
from tests.support import webinar

JULY_10: dict[str, Any] = {"start": datetime(2025, 7, 10, 13), "end": datetime(2025, 7, 10, 15)}
LATER: dict[str, Any] = {"start": datetime(2025, 7, 3, 22), "end": datetime(2025, 7, 4, 1)}
OTHER = "https://meet.who.int/new"


@pytest.fixture
def history(sqlite_url: str) -> Iterator[History]:  # that both engines keep notices is in tests/ledger
    """Two people who have their confirmation."""
    database = Database(sqlite_url)
    history = History(database)
    history.start()
    history.register("a@example.org", "b@example.org")
    history.run()
    yield history
    database.close()


def words(history: History) -> str:
    (one,) = history.waiting()
    return one.words


CHANGES = [
    (JULY_10, "a new time 2025-07-10 13:00–15:00 Europe/Zurich (11:00–13:00 UTC),"
              " was 2025-07-03 13:00–15:00 Europe/Zurich (11:00–13:00 UTC)"),
    (LATER, "a new time 2025-07-03 22:00–2025-07-04 01:00 Europe/Zurich (20:00–23:00 UTC),"
            " was 2025-07-03 13:00–15:00 Europe/Zurich (11:00–13:00 UTC)"),
    ({"start": datetime(2025, 7, 3, 12)}, "a new start 2025-07-03 12:00 Europe/Zurich (10:00 UTC),"
                                          " was 2025-07-03 13:00 Europe/Zurich (11:00 UTC)"),
    ({"end": datetime(2025, 7, 4, 1, 30)}, "a new end 2025-07-04 01:30 Europe/Zurich (2025-07-03 23:30 UTC),"
                                           " was 2025-07-03 15:00 Europe/Zurich (13:00 UTC)"),
    ({"join_url": OTHER}, f"a new link {OTHER}, was https://meet.who.int/w;"),
    ({"zone": "UTC"}, "a new time 2025-07-03 13:00–15:00 UTC, was 2025-07-03 11:00–13:00 UTC"),
    ({"cancelled": True}, "the cancellation"),
]  # fmt: skip


@pytest.mark.parametrize(("edit", "said"), CHANGES)
def test_times_are_those_of_the_webinars_own_clock_and_of_utc(
    history: History, edit: dict[str, Any], said: str
) -> None:
    history.edit(**edit)
    history.tick()
    at = "08:10 UTC" if "zone" in edit else "10:10 Europe/Zurich (08:10 UTC)"
    assert f"Webinar w: 2 people will be notified at 2025-06-12 {at} of {said}" in words(history)


def test_it_says_how_to_stop_it_and_how_to_send_it_now(history: History) -> None:
    history.edit(**JULY_10)
    history.tick()
    assert words(history).endswith(
        '; to stop it, undo the edit before then, or set status = "draft"; to send it now, `webinar notify w`'
    )


@in_loop
async def test_the_mail_says_in_its_subject_who_will_be_notified_and_when(history: History) -> None:
    history.edit(**JULY_10)
    history.tick()
    waiting = history.waiting()
    with history.database.transaction() as conn:
        reconcile_notices(conn, history.now, waiting)
    inbox = Relay()
    await Notifier(
        history.database, [relay.Relay("relay", cast(Pool, inbox), Pace(), 1)], lambda _: True
    ).notify(history.now, [webinar()])
    (raw,) = inbox.contents
    mail = message_from_bytes(raw, policy=policy.default)
    assert mail["Subject"] == (
        "Action needed? Webinar w: 2 people will be notified at 2025-06-12 10:10 Europe/Zurich (08:10 UTC)"
    )
    assert waiting[0].words in mail.get_content()
    assert history.now + timedelta(minutes=10) == waiting[0].leaves_at
