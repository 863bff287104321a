"""Each alert brought about by what it is for: by what the service exports it fires, and ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from scheduler import metrics
from scheduler.clock import SteadyClock
from scheduler.database.engine import Database
from scheduler.delivery import relay as standing
from scheduler.delivery import results
from scheduler.pulling import puller
from scheduler.service import monitor
from tests.endtoend.support import CONFIRMATION_ONLY, Relay, free_port, on_the_real_clock
from tests.monitoring.rules import rules
from tests.monitoring.watched import Watched, until_async, watched
from tests.smtp.scripted import Deed, ScriptedServer
from tests.smtp_server import (
    HOST,
    MailServer,
    authority,
    in_loop,
    pass_time,
    server_context,
)
from tests.support import copy_texts
from tests.token_server import TokenServer, token

pytestmark = pytest.mark.full  # each waits for a whole service; rules are compared with metrics in test_names

NOT_HERE = {"WebinarServiceDown", "WebinarWebDown"}
"""What Prometheus itself sees (test_prometheus), and a process of its own (tests/web/test_child)."""


@pytest.fixture
def database(sqlite_url: str) -> Iterator[Database]:
    database = Database(sqlite_url)
    yield database
    database.close()


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Looks follow each other soon, and no test sees what another one's service exported."""
    monkeypatch.setattr(monitor, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(monitor, "COUNT_SECONDS", 0.05)
    monkeypatch.setattr(monitor, "COUNT_AGAIN_SECONDS", 0.05)
    monkeypatch.setattr(monitor, "SHARE", 1.0)
    monkeypatch.setattr(monitor, "FRESH_SECONDS", 0.0)
    yield
    for one in (metrics.RELAY_UP, metrics.RELAY_STOPPED, metrics.CERTIFICATE_EXPIRY, metrics.TOKEN_FAILED,
                metrics.DISK_FREE, metrics.DISK_FREE_RATIO):  # fmt: skip
        one.clear()
    metrics._certificates_seen_at.clear()
    metrics._tokens_failed_at.clear()
    for table in (metrics.DELIVERIES, metrics.HELD, metrics.OLDEST_DUE, metrics.ALERTS):
        table.replace({})
    metrics.CLOCK_OFFSET.set(0)


async def _took(server: MailServer | ScriptedServer, mails: int) -> bool:
    return len(server.mails) >= mails


def test_each_rule_has_a_test_here() -> None:
    here = Path(__file__).read_text("utf-8")
    assert [alert for alert in rules().keys() - NOT_HERE if f'"{alert}"' not in here] == []


@on_the_real_clock
async def test_a_relay_that_hangs_after_the_content_stalls_and_makes_late(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitor, "STALLED_SECONDS", 0.3)
    async with (
        Relay() as relay,
        watched(tmp_path, database, relay, smtp_tls="starttls", smtp_username="webinar@relay.test",
                smtp_password="Wo7-relay-secret") as here,
    ):  # fmt: skip
        relay.answering.clear()
        here.ledger.register("anna@x.org")
        await here.alerted("WebinarStalled")
        status, said = await here.readyz()
        assert status == 503
        (reason,) = [one for one in said["reasons"] if one.startswith("no mail was accepted for ")]
        assert ", and mails are due: the oldest is confirmation of w, due for " in reason
        assert [(one["webinar"], one["message"]) for one in said["late"]] == [("w", "confirmation")]
        long_ago = datetime.now(UTC) - timedelta(hours=1)
        here.ledger.sql("UPDATE delivery SET due_at = :then", then=long_ago)
        await here.alerted("WebinarLate")
        relay.answering.set()
        await here.is_over("WebinarStalled")
        await here.is_over("WebinarLate")
        await here.ready()


@on_the_real_clock
async def test_a_relay_that_greylists_everybody(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitor, "STALLED_SECONDS", 0.3)
    monkeypatch.setattr(results, "backoff", lambda attempt, jitter: timedelta(seconds=2))
    async with (
        ScriptedServer({"rcpt": "450 4.7.1 Greylisted, try again later"}) as server,
        watched(tmp_path, database, server) as here,
    ):
        for name in ("anna", "lea", "maya"):
            here.ledger.register(f"{name}@x.org")
        await here.alerted("WebinarStalled")
        server.script.clear()
        await here.is_over("WebinarStalled")
        await here.ready()


@on_the_real_clock
async def test_a_mail_in_doubt_and_then_held_for_a_live_webinar(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "backoff", lambda attempt, jitter: timedelta(seconds=0.1))
    async with (
        ScriptedServer({"content": [Deed.CLOSE]}) as server,
        watched(tmp_path, database, server) as here,
    ):
        here.edit(on_doubt="hold")
        await here.ready()
        here.ledger.register("anna@x.org")
        await here.alerted("WebinarInDoubt")
        await here.alerted("WebinarHeld")
        here.edit(on_doubt="resend")
        await here.is_over("WebinarHeld")
        await until_async(lambda: _took(server, 2), "the mail again")
        monkeypatch.setattr(monitor, "RECENT", timedelta())
        await here.is_over("WebinarInDoubt")


@on_the_real_clock
async def test_a_text_that_is_missing_holds_mails_of_a_live_webinar(
    tmp_path: Path, database: Database
) -> None:
    def without(folder: Path) -> None:
        (folder / "templates" / "confirmation" / "en.md").unlink()

    async with MailServer() as server, watched(tmp_path, database, server, prepare=without) as here:
        here.ledger.register("anna@x.org")
        await here.alerted("WebinarHeld")
        held = ("webinar_held", frozenset({"webinar": "w", "reason": "template"}.items()))
        assert (await here.metrics())[held] == 1
        copy_texts(tmp_path / "templates", "en")
        await here.is_over("WebinarHeld")
        await until_async(lambda: _took(server, 1), "the mail")


@on_the_real_clock
async def test_what_only_to_keeps_back_is_held_and_alerts_nobody(tmp_path: Path, database: Database) -> None:
    async with MailServer() as server, watched(tmp_path, database, server, only_to="*@who.int") as here:
        here.ledger.register("anna@x.org")
        await here.shows("webinar_held", webinar="w", reason="config")
        await here.is_over("WebinarHeld")
        assert (await here.readyz())[1]["late"] == []


@on_the_real_clock
async def test_a_relay_that_refuses_all_mail(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standing, "STOP_PAUSE", timedelta(seconds=0.2))
    users = {"webinar": "another password"}
    async with (
        MailServer(tls="starttls", users=users) as server,
        watched(
            tmp_path, database, server, smtp_tls="starttls", smtp_username="webinar", smtp_password="x"
        ) as here,
    ):
        here.ledger.register("anna@x.org")
        await here.alerted("WebinarRelayRefuses")
        await here.alerted("WebinarNotReady")
        users["webinar"] = "x"
        await here.is_over("WebinarRelayRefuses")
        await here.is_over("WebinarNotReady")


@on_the_real_clock
async def test_a_relay_that_is_down(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standing, "wait", lambda attempt: timedelta(seconds=0.2))
    port = free_port()
    async with watched(tmp_path, database, port) as here:
        here.ledger.register("anna@x.org")
        await here.alerted("WebinarRelayDown")
        relay = Relay(port)
        relay.tls, relay.context, relay.users = "none", None, {}
        async with relay:
            await here.is_over("WebinarRelayDown")


@on_the_real_clock
async def test_a_certificate_that_is_about_to_end(tmp_path: Path, database: Database) -> None:
    async with (
        MailServer(tls="starttls") as server,
        watched(tmp_path, database, server, smtp_tls="starttls", smtp_mails_per_connection=1) as here,
    ):
        good = server.context
        certificate = authority().issue_cert(HOST, not_after=datetime.now(UTC) + timedelta(days=3))
        server.context = server_context.__wrapped__(HOST)
        certificate.configure_cert(server.context)
        here.ledger.register("anna@x.org")
        await here.alerted("WebinarCertificateEnds")
        server.context = good
        here.ledger.register("lea@x.org")
        await here.is_over("WebinarCertificateEnds")
        await until_async(lambda: _took(server, 2), "both mails")


@on_the_real_clock
async def test_a_certificate_that_nobody_has_seen_for_a_week_is_no_reason_to_alert(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        MailServer(tls="starttls") as server,
        watched(tmp_path, database, server, smtp_tls="starttls") as here,
    ):
        server.context = server_context.__wrapped__(HOST)
        end = datetime.now(UTC) + timedelta(days=3)
        authority().issue_cert(HOST, not_after=end).configure_cert(server.context)
        here.ledger.register("anna@x.org")
        await here.alerted("WebinarCertificateEnds")
        clock, days = time.monotonic, 6
        monkeypatch.setattr(metrics, "monotonic", lambda: clock() + days * 86400)
        await here.alerted("WebinarCertificateEnds")
        days = 8
        await here.is_over("WebinarCertificateEnds")


@asynccontextmanager
async def without_a_token(
    folder: Path, database: Database
) -> AsyncIterator[tuple[Watched, TokenServer, ScriptedServer]]:
    """A service whose relay wants a token, which it is refused; and that was alerted."""
    async with TokenServer((400, {"error": "invalid_client"})) as tokens, ScriptedServer(
        tls="starttls", extensions=["AUTH XOAUTH2"]
    ) as server, watched(
        folder, database, server, smtp_tls="starttls", smtp_auth="xoauth2", smtp_username="w@x.org",
        smtp_oauth_token_url=tokens.url, smtp_oauth_client_id="c", smtp_oauth_client_secret="s",
    ) as here:  # fmt: skip
        here.ledger.register("anna@x.org")
        await here.alerted("WebinarTokenFails")
        yield here, tokens, server


@on_the_real_clock
async def test_a_token_that_is_not_to_be_had(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standing, "wait", lambda attempt: timedelta(seconds=0.2))
    monkeypatch.setattr(standing, "STOP_PAUSE", timedelta(seconds=0.2))
    async with without_a_token(tmp_path, database) as (here, tokens, server):
        tokens.answers = [token("fresh")]
        await here.is_over("WebinarTokenFails")
        relay = frozenset({"relay": f"{HOST}:{server.port}"}.items())
        ends = (await here.metrics())["webinar_relay_token_expiry_timestamp_seconds", relay]
        assert abs(ends - time.time() - 3600) < 60


@on_the_real_clock
async def test_a_token_that_nobody_has_tried_to_get_for_an_hour_is_no_reason_to_alert(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The relay is not needed any more: the first one works again, or nothing is due."""
    async with without_a_token(tmp_path, database) as (here, *_):
        clock, minutes = time.monotonic, 59
        monkeypatch.setattr(metrics, "monotonic", lambda: clock() + minutes * 60)
        await here.alerted("WebinarTokenFails")
        minutes = 61
        await here.is_over("WebinarTokenFails")


@in_loop
async def test_rows_that_wait_to_be_planned(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with MailServer() as server, watched(tmp_path, database, server) as here:
        await here.ready()
        here.ledger.sql("ALTER TABLE registrants RENAME COLUMN email TO address")  # nothing can be taken in
        here.ledger.sql("INSERT INTO registrants (webinar, address) VALUES ('w', 'anna@x.org')")
        await asyncio.sleep(0.2)
        pass_time(200)
        await here.alerted("WebinarPlanningLagging")
        reasons = (await here.readyz())[1]["reasons"]
        assert any(
            one.startswith("rows of registrants wait to be planned, the same one first for ")
            for one in reasons
        )
        here.ledger.sql("ALTER TABLE registrants RENAME COLUMN address TO email")
        await here.is_over("WebinarPlanningLagging")
        await here.ready()


@on_the_real_clock
async def test_looks_that_fail(tmp_path: Path, database: Database) -> None:
    async with MailServer() as server, watched(tmp_path, database, server) as here:
        await here.ready()
        here.ledger.sql("ALTER TABLE webinar RENAME COLUMN waiting_id TO waits")

        async def noted() -> bool:
            return any(one.startswith("looking what is late: ") for one in (await here.readyz())[1]["notes"])

        await until_async(noted, "a note of looks that fail")
        await here.alerted("WebinarReplicaBlind", later=120)
        here.ledger.sql("ALTER TABLE webinar RENAME COLUMN waits TO waiting_id")
        await here.is_over("WebinarReplicaBlind", later=90)
        await here.ready()


@on_the_real_clock
async def test_a_replica_that_rests_for_its_clock(
    tmp_path: Path, postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scheduler.clock.LASTS", timedelta(seconds=0.2))
    off = timedelta(seconds=10)
    clock = SteadyClock(lambda: datetime.now(UTC) + off)
    database = Database(postgresql_url)
    async with MailServer() as server, watched(tmp_path, database, server, clock) as here:
        await here.alerted("WebinarClockOff")
        shifted = time.monotonic
        monkeypatch.setattr(metrics, "monotonic", lambda: shifted() + 61)
        await here.alerted("WebinarReplicaLagging")
        off = timedelta()
        await here.is_over("WebinarClockOff")
        await here.is_over("WebinarReplicaLagging")
        await here.ready()
    database.close()


@on_the_real_clock
async def test_a_clock_that_is_set(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    off = timedelta()
    clock = SteadyClock(lambda: datetime.now(UTC) + off)
    async with MailServer() as server, watched(tmp_path, database, server, clock) as here:
        await here.is_over("WebinarClockSet")
        off = timedelta(hours=1)
        await here.alerted("WebinarClockSet")
        off = timedelta()
        await here.is_over("WebinarClockSet")


@on_the_real_clock
async def test_a_disk_without_room(tmp_path: Path, database: Database) -> None:
    async with MailServer() as server, watched(tmp_path, database, server) as here:
        folders = here.runner._monitor._folders
        assert folders["database"] == Path(str(database.engine.url.database)).parent
        await here.is_over("WebinarDiskNearlyFull")
        there = folders["database"]
        folders["database"] = Path("/proc")  # a file system with no free block
        await here.alerted("WebinarDiskNearlyFull")
        folders["database"] = there
        await here.is_over("WebinarDiskNearlyFull")


@on_the_real_clock
async def test_alerts_of_organizers_by_kind(tmp_path: Path, database: Database) -> None:
    async with MailServer() as server, watched(tmp_path, database, server) as here:
        await here.ready()
        here.edit(zone="Nowhere/Nowhere")
        await here.shows("webinar_alerts_standing", kind="webinar file")
        here.edit()
        await here.shows("webinar_alerts_standing", 0, kind="webinar file")


@on_the_real_clock
async def test_a_source_that_is_not_there(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(puller, "LOOK_EVERY", timedelta(0))
    async with MailServer() as server, watched(tmp_path, database, server) as here:
        here.edit(sequence=f'{CONFIRMATION_ONLY}\n[source]\npath = "people.csv"\n')
        await until_async(lambda: _tried(here), "the first try")
        long_ago = datetime.now(UTC) - timedelta(hours=1)
        here.ledger.sql("UPDATE source SET trouble_since = :then", then=long_ago)
        await here.alerted("WebinarSourceLate")
        here.edit()
        await here.is_over("WebinarSourceLate")


async def _tried(here: Watched) -> bool:
    return here.ledger.sql("SELECT count(*) FROM source WHERE failures > 0")[0][0] == 1
