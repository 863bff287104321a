"""`webinar run` as a process of its own on the real clock, on both databases, through a relay with TLS and AUTH."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path

from tests.endtoend.support import USER, on_the_real_clock, people, scene, until

LIFE = """
[[messages]]
id = "confirmation"
on_registration = true

[[messages]]
id = "reminder-day"
before_start = "5s"

[[messages]]
id = "reminder-hour"
before_start = "3s"

[[messages]]
id = "follow-up"
after_end = "1s"
"""


@on_the_real_clock
async def test_a_webinar_from_the_first_registration_to_the_follow_up(tmp_path: Path, database_url: str) -> None:
    """Rows come by plain SQL while it runs; each mail comes once, on time, in TLS and signed in."""
    async with scene(tmp_path, database_url) as here:
        start = (datetime.now(UTC) + timedelta(seconds=12)).replace(microsecond=0)
        end = start + timedelta(seconds=1)
        here.webinar(sequence=LIFE, start=start, end=end)
        service = await here.run()
        await service.ready()
        assert await service.get("/healthz") == (200, {"status": "ok"})
        registered = [datetime.now(UTC), datetime.now(UTC)]
        here.sql.register(people(6))
        here.sql.register(["not an address"])
        await until(lambda: len(here.relay.of("confirmation")) == 6, "confirmations of the first")
        registered[1] = datetime.now(UTC)
        here.sql.register(people(8)[6:])
        assert "not an address" in await service.unready("the row is set aside")

        await until(lambda: here.sql.states() == {"sent": 32}, "everything sent", within=30)

        due = {
            "reminder-day": start - timedelta(seconds=5),
            "reminder-hour": start - timedelta(seconds=3),
            "follow-up": end + timedelta(seconds=1),
        }
        assert here.relay.counts() == {(to, kind): 1 for to in people(8) for kind in ("confirmation", *due)}
        for one in here.relay.arrivals:
            then = due.get(one.message, registered[one.to in people(8)[6:]])
            assert then <= one.at <= then + timedelta(seconds=2), one.message
            assert (one.secured, one.user) == (True, USER)
            assert one.to in one.mail["To"]
        for one in here.relay.of("confirmation"):
            wire = "%Y%m%dT%H%M%SZ"
            assert instants(one.mail) == [(start.strftime(wire), end.strftime(wire))] * 2
        service.terminate()
        assert await service.exited() == 0


def instants(mail: EmailMessage) -> list[tuple[str, ...]]:
    """DTSTART and DTEND of the invitation and of its copy in the attachment, as they are written."""
    calendars = [part.get_payload(decode=True) for part in mail.walk()
                 if part.get_content_type() in ("text/calendar", "application/ics")]  # fmt: skip
    return [tuple(re.findall(r"(?m)^DT(?:START|END):(\S+)", bytes(one).decode())) for one in calendars]
