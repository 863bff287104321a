"""`webinar run` as a process of its own on the real clock, on both databases, through a relay with TLS and AUTH."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path

import pytest

from scheduler.database.engine import Database
from tests.endtoend.support import PEOPLE, USER, Scene, on_the_real_clock, people, scene, until

GONE = f"gone@{PEOPLE}"
LIFE = """
[[messages]]
id = "confirmation"
on_registration = true

[[messages]]
id = "reminder-day"
before_start = "{twice}s"

[[messages]]
id = "reminder-hour"
before_start = "{patience}s"

[[messages]]
id = "follow-up"
after_end = "1s"
"""


@pytest.mark.full  # a dozen seconds, most of them waiting; test_kill.py has a whole service in make test
@on_the_real_clock
async def test_a_webinar_from_the_first_registration_to_the_follow_up(
    tmp_path: Path, postgresql_url: str
) -> None:
    async with scene(tmp_path, postgresql_url) as here:
        await _live_through(here)


@pytest.mark.full  # a dozen seconds, most of them waiting
@on_the_real_clock
async def test_the_same_on_sqlite(tmp_path: Path) -> None:
    async with scene(tmp_path, f"sqlite:///{tmp_path}/webinar.db") as here:
        await _live_through(here)


async def _live_through(here: Scene) -> None:
    """Rows come by plain SQL while it runs; each mail comes once, on time, in TLS and signed in.

    On time is within two seconds, or as many as this machine needs to start the service.
    """
    here.relay.refusals = {GONE: f"550 5.1.1 <{GONE}>: Recipient address rejected: User unknown"}
    began = time.monotonic()
    service = await here.run()
    await service.ready()
    assert await service.get("/healthz") == (200, {"status": "ok"})
    patience = max(2, round(time.monotonic() - began))
    start = (datetime.now(UTC) + timedelta(seconds=3 * patience + 2)).replace(microsecond=0)
    end = start + timedelta(seconds=1)
    here.webinar(sequence=LIFE.format(patience=patience, twice=2 * patience), start=start, end=end)
    await until(lambda: here.sql("SELECT 1 FROM planned_webinar"), "the webinar taken in")
    early, late = people(8)[:6], people(8)[6:]
    registered = dict.fromkeys(early, datetime.now(UTC))
    here.sql.register([*early, GONE, "not an address"])
    assert "not an address" in await service.noted("the row is set aside")
    await service.ready()
    await until(lambda: len(here.relay.of("confirmation")) == len(early), "confirmations of the first")
    registered |= dict.fromkeys(late, datetime.now(UTC))
    here.sql.register(late)

    await until(
        lambda: here.sql.states() == {"sent": 32, "failed": 1, "skipped": 3}, "everything sent", within=60
    )

    due = {
        "reminder-day": start - timedelta(seconds=2 * patience),
        "reminder-hour": start - timedelta(seconds=patience),
        "follow-up": end + timedelta(seconds=1),
    }
    assert here.relay.counts() == {(to, kind): 1 for to in people(8) for kind in ("confirmation", *due)}
    for one in here.relay.arrivals:
        then = due.get(one.message, registered[one.to])
        assert then <= one.at <= then + timedelta(seconds=patience), one.message
        assert (one.secured, one.user) == (True, USER)
        assert one.to in one.mail["To"]
    for one in here.relay.of("confirmation"):
        wire = "%Y%m%dT%H%M%SZ"
        assert instants(one.mail) == [(start.strftime(wire), end.strftime(wire))] * 2
    service.terminate()
    assert await service.exited() == 0
    refusal = "rcpt: 550 5.1.1 <address>: Recipient address rejected: User unknown"
    assert [event["reply"] for event in service.events if event["event"] == "not sent"] == [refusal]


def instants(mail: EmailMessage) -> list[tuple[str, ...]]:
    """DTSTART and DTEND of the invitation and of its copy in the attachment, as they are written."""
    calendars = [part.get_payload(decode=True) for part in mail.walk()
                 if part.get_content_type() in ("text/calendar", "application/ics")]  # fmt: skip
    return [tuple(re.findall(r"(?m)^DT(?:START|END):(\S+)", bytes(one).decode())) for one in calendars]


@pytest.mark.full
@on_the_real_clock
async def test_two_replicas_share_the_work_and_nobody_is_written_to_twice(
    tmp_path: Path, postgresql_url: str
) -> None:
    """Though the database drops their connections, and one is killed: the other soon sends what it had leased."""
    async with scene(tmp_path, postgresql_url) as here:
        here.webinar()
        one, other = await here.run(), await here.run()
        await one.ready()
        await other.ready()
        here.sql.register(people(400))
        await here.relay.took(20)
        here.sql.drop_connections()
        await here.relay.took(50)
        await one.kill()
        await until(lambda: here.sql.states() == {"sent": 400}, "the rest")

        for process in (one, other):
            await until(lambda: any(one["event"] == "sent" for one in process.events), "it sent some")  # noqa: B023
        assert here.relay.counts().keys() == {(to, "confirmation") for to in people(400)}
        assert len(here.doubled()) <= 4, "no more than what was on the wire of the one that was killed"


@on_the_real_clock
async def test_a_second_service_on_one_sqlite_file_does_not_begin(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/webinar.db"
    first = Database(url)
    first.hold_for_service()
    async with scene(tmp_path, url) as here:
        second = await here.run()
        assert await second.exited() == 2
        assert second.stderr == (
            f"another service already runs on {tmp_path}/webinar.db: stop it first, or use PostgreSQL to run several\n"
        )
    first.close()


@pytest.mark.full  # a start of a whole service; tests/bad_input/test_environment.py has every variable
@on_the_real_clock
async def test_a_bad_environment_is_told_whole_and_nothing_is_touched(tmp_path: Path) -> None:
    async with scene(tmp_path, f"sqlite:///{tmp_path}/data/webinar.db") as here:
        service = await here.run(SMTP_PORT="70000", POLL_SECONDS="often", SMTP_USERNAME="", ONLY_TO="who.int")
        assert await service.exited() == 2
        for variable in ("SMTP_PORT", "POLL_SECONDS", "SMTP_PASSWORD", "ONLY_TO"):
            assert f"environment variable {variable}: " in service.stderr
        assert not (tmp_path / "data").exists()


@pytest.mark.full  # several seconds of waiting
@on_the_real_clock
async def test_with_only_to_nobody_else_is_written_to_until_it_is_lifted(tmp_path: Path) -> None:
    async with scene(tmp_path, f"sqlite:///{tmp_path}/webinar.db") as here:
        here.webinar()
        staging = await here.run(ONLY_TO="*@staging.people.test, 000@people.test")
        await staging.ready()
        here.sql.register([*people(2), "tester@staging.people.test"])
        await until(lambda: here.sql.states() == {"sent": 2, "held": 1}, "two sent, one held")
        staging.terminate()
        assert await staging.exited() == 0
        assert {one.to for one in here.relay.arrivals} == {"000@people.test", "tester@staging.people.test"}
        await here.run()
        await until(lambda: here.sql.states() == {"sent": 3}, "the third as well")
        assert len(here.relay.arrivals) == 3


@pytest.mark.full  # several seconds of waiting
@on_the_real_clock
async def test_a_relay_that_is_down_at_the_start_gets_the_mails_when_it_is_up(tmp_path: Path) -> None:
    async with scene(tmp_path, f"sqlite:///{tmp_path}/webinar.db", relay_is_up=False) as here:
        here.webinar()
        service = await here.run()
        await service.ready()
        here.sql.register(people(5))
        assert "the relay takes no mail: connect: " in await service.unready("the relay")
        assert (await service.get("/healthz"))[0] == 200
        async with here.relay:
            await until(lambda: here.sql.states() == {"sent": 5}, "everything sent after some seconds' pause")
            await service.ready()
        assert here.relay.counts() == {(to, "confirmation"): 1 for to in people(5)}
        assert here.sql("SELECT sum(attempts) FROM delivery") == [(5,)], (
            "the relay's trouble cost no mail a try"
        )


@pytest.mark.full  # several seconds of waiting
@on_the_real_clock
async def test_a_relay_that_refuses_the_password_fails_no_delivery(tmp_path: Path) -> None:
    """It is tried again after five minutes, or as soon as the operator restarts the service."""
    async with scene(tmp_path, f"sqlite:///{tmp_path}/webinar.db") as here:
        here.webinar()
        right, here.relay.users = here.relay.users, {USER: "another"}
        service = await here.run()
        await service.ready()
        here.sql.register(people(5))
        assert "the relay takes no mail: auth: 535" in await service.unready("the relay")
        assert here.sql.states() == {"pending": 5}
        assert here.relay.begun == 0
        service.terminate()
        assert await service.exited() == 0
        here.relay.users = right
        service = await here.run()
        await until(lambda: here.sql.states() == {"sent": 5}, "everything sent after the restart")
        await service.ready()
        assert here.relay.counts() == {(to, "confirmation"): 1 for to in people(5)}
