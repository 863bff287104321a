"""When mails that are due count as stalled, and rows as waiting; what is in the metrics, and what is not."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Connection

from scheduler import metrics
from scheduler.clock import SteadyClock
from scheduler.database.engine import Database
from scheduler.delivery.pace import Pace
from scheduler.delivery.relay import Relay
from scheduler.input.relay_settings import RelaySettings
from scheduler.ledger.lateness import Accepted, Lateness
from scheduler.readiness import Kind, Reason
from scheduler.service import monitor
from scheduler.service.monitor import Intake, Monitor, Progress
from scheduler.settings import Settings
from scheduler.smtp.pool import Pool
from tests.monitoring.rules import Samples, samples
from tests.smtp_server import in_loop, pass_time
from tests.support import Ledger, utc, webinar

NOW = utc("2026-05-01 08:00")


def _seen(waiting: int = 0, put_off: int = 0, accepted: int = 0) -> Lateness:
    return Lateness((), waiting, put_off, Accepted(NOW, accepted, accepted))


def _stalled(*looks: Lateness, allowed: bool = True, every: float = 10.0) -> float:
    progress, at = Progress(), 0.0
    for number, seen in enumerate(looks):
        at = number * every
        progress.note(at, seen, allowed)
    return progress.stalled(at)


# Stalled


def test_mails_that_are_due_and_none_accepted_since_the_first_look_that_saw_it() -> None:
    assert _stalled(_seen(), _seen(1), _seen(1), _seen(1)) == 20


def test_a_burst_that_goes_out_is_not_stalled_however_long_it_takes() -> None:
    assert _stalled(*(_seen(100_000, accepted=number) for number in range(100))) == 0


def test_a_mail_that_any_service_had_accepted_begins_it_again() -> None:
    assert _stalled(_seen(5), _seen(5), _seen(5, accepted=1), _seen(5, accepted=1)) == 10


def test_with_nothing_due_any_more_it_is_over() -> None:
    assert _stalled(_seen(1), _seen(1), _seen()) == 0


def test_one_mail_that_is_put_off_again_and_again_is_no_stall() -> None:
    assert _stalled(*[_seen(put_off=1)] * 9) == 0


def test_a_relay_that_puts_off_all_is_one() -> None:
    assert _stalled(*[_seen(put_off=2)] * 9) == 80


def test_a_day_that_is_full_explains_it() -> None:
    assert _stalled(*[_seen(1)] * 9, allowed=False) == 0


# Rows that wait


def _lag(*looks: tuple[tuple[int, int] | None, tuple[str, ...]]) -> tuple[float, float]:
    """Lag and how long nothing was taken in, at the last of looks ten seconds apart."""
    intake, at = Intake(), 0.0
    for number, (changes, webinars) in enumerate(looks):
        at = number * 10.0
        intake.note(at, changes, webinars)
    return intake.lag(at), intake.stuck(at)


def test_no_rows_no_lag() -> None:
    assert _lag((None, ())) == (0, 0)


def test_the_oldest_row_counts_since_it_came() -> None:
    assert _lag(((1, 1), ()), ((1, 5), ()), ((1, 9), ())) == (20, 20)
    assert _lag(((1, 1), ()), ((1, 5), ()), ((5, 9), ())) == (10, 0), "it came by the second look"
    assert _lag(((1, 1), ()), ((1, 5), ()), ((6, 9), ())) == (0, 0)


def test_a_webinar_that_waits_to_be_planned() -> None:
    assert _lag((None, ("w",)), (None, ("w", "v")), (None, ("w", "v"))) == (20, 0)
    assert _lag((None, ("w",)), (None, ()), (None, ("w",))) == (0, 0)


def test_rows_that_come_for_days_take_no_memory() -> None:
    intake = Intake()
    for number in range(5000):
        intake.note(float(number), (1, number + 1), ())
    assert len(intake._newest) <= 1000
    assert intake.stuck(4999.0) == 4999


# In the metrics


@pytest.fixture
def ledger(database: Database) -> Iterator[Ledger]:
    yield Ledger(database)
    for table in (metrics.DELIVERIES, metrics.HELD, metrics.OLDEST_DUE, metrics.ALERTS):
        table.replace({})


def _monitor(database: Database, **more: Any) -> Monitor:
    url = database.engine.url.render_as_string(hide_password=False)
    settings = Settings.model_validate({"database_url": url, "smtp_host": "relay.test"})
    relay = Relay("relay.test:25", Pool(RelaySettings("relay.test", 25, tls="none")), Pace(**more), 4)
    return Monitor(settings, database, SteadyClock(lambda: NOW), [relay])


async def _exported(one: Monitor) -> Samples:
    await one.look()
    await one.count()
    return samples((await one.exposition(True)).decode())


def _of(there: Samples, name: str) -> dict[tuple[str, ...], float]:
    """By the values of the labels, in the order of their names."""
    return {
        tuple(value for _, value in sorted(labels)): value
        for (its_name, labels), value in there.items()
        if its_name == name
    }


@in_loop
async def test_deliveries_of_live_webinars_by_message_and_state(ledger: Ledger) -> None:
    live = webinar(
        start=utc("2026-05-03 08:00").replace(tzinfo=None), end=utc("2026-05-03 10:00").replace(tzinfo=None)
    )
    ledger.govern(live, webinar(id="draft", status="draft"))
    for name in ("w", "draft"):
        ledger.register("anna@x.org", name)
    ledger.plan(NOW - timedelta(minutes=3))
    ledger.sql("UPDATE delivery SET state = 'held', reason = 'data' WHERE message = 'reminder-day'")
    there = await _exported(_monitor(ledger.database))
    assert _of(there, "webinar_deliveries") == {
        ("confirmation", "pending", "w"): 1, ("reminder-day", "held", "w"): 1,
        ("reminder-hour", "pending", "w"): 1, ("follow-up", "pending", "w"): 1,
    }  # fmt: skip
    assert _of(there, "webinar_held") == {("data", "w"): 1}
    assert _of(there, "webinar_oldest_due_seconds") == {("confirmation", "w"): 180}


@in_loop
async def test_an_ended_webinar_leaves_and_of_very_many_the_nearest_are_there(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitor, "MOST_WEBINARS", 3)
    for number in range(5):
        ledger.govern(webinar(id=f"w{number}"))
        ledger.sql(
            "UPDATE webinar SET ends_at = :end WHERE webinar = :id",
            end=NOW + timedelta(days=number),
            id=f"w{number}",
        )
        ledger.register("anna@x.org", f"w{number}")
    ledger.plan(utc("2025-06-20 08:00"))
    one = _monitor(ledger.database)
    assert {labels[-1] for labels in _of(await _exported(one), "webinar_deliveries")} == {"w0", "w1", "w2"}
    ledger.sql("UPDATE webinar SET status = 'ended' WHERE webinar = 'w0'")
    one._until = 0.0
    assert {labels[-1] for labels in _of(await _exported(one), "webinar_deliveries")} == {"w1", "w2", "w3"}
    assert one._counted.keys() == {"w1", "w2", "w3"}, "nothing of others is kept"


@in_loop
async def test_a_webinar_whose_deliveries_take_long_to_count_is_counted_less_often(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both: a minute apart at least, and a hundred times as long as it took."""
    ledger.govern(webinar())
    one, counted, now, takes = _monitor(ledger.database), list[str](), 1000.0, 0.0

    def counts(conn: Connection, webinar: str) -> dict[tuple[str, str], int]:
        nonlocal now
        now += takes
        counted.append(webinar)
        return {}

    monkeypatch.setattr(monitor, "count_deliveries", counts)
    monkeypatch.setattr(monitor, "time", SimpleNamespace(monotonic=lambda: now))
    for later, takes, many in ((0, 0, 1), (59, 0, 1), (1, 2, 2), (199, 0, 2), (1, 0, 3)):  # noqa: B007
        now += later
        await one.count()
        assert len(counted) == many


@in_loop
async def test_who_asks_within_a_second_gets_the_same_answer(ledger: Ledger) -> None:
    one = _monitor(ledger.database)
    first, *others = await asyncio.gather(*(one.exposition(True) for _ in range(20)))
    assert all(other is first for other in others)
    pass_time(1.0)
    assert await one.exposition(True) is not first


@in_loop
async def test_where_the_pace_lets_a_mail_begin_each_minute_three_are_waited(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitor, "lateness", lambda *given: _seen(1))
    slow, fast = _monitor(ledger.database, per_minute=1), _monitor(ledger.database)
    for seconds, stalled in ((0, (False, False)), (61, (False, True)), (121, (True, True))):
        pass_time(seconds)
        for one in (slow, fast):
            await one.look()
        loop = asyncio.get_running_loop()
        assert tuple(one._stalled(loop.time()) > 0 for one in (slow, fast)) == stalled, seconds


@in_loop
async def test_relays_and_versions(ledger: Ledger) -> None:
    there = await _exported(_monitor(ledger.database, per_minute=30))
    assert _of(there, "webinar_relay_up")["relay.test:25",] == 1
    assert _of(there, "webinar_relay_pace_per_second")["relay.test:25",] == 0.5
    assert len(_of(there, "webinar_attempts_total")) >= 5, "they begin at 0"
    assert list(_of(there, "webinar_build_info").values()) == [1]
    assert list(_of(there, "webinar_tz_database_info").values()) == [1]


def test_every_name_has_the_prefix_and_nothing_says_who_somebody_is() -> None:
    families = list(metrics.REGISTRY.collect())
    assert [one.name for one in families if not one.name.startswith("webinar_")] == []
    labels = {name for one in families for sample in one.samples for name in sample.labels}
    known = {
        "webinar",
        "message",
        "state",
        "reason",
        "kind",
        "relay",
        "verdict",
        "of",
        "version",
        "schema",
        "le",
    }
    assert labels <= known


def test_histograms_reach_from_a_tenth_of_a_second_to_six_hours() -> None:
    for one in (metrics.LATENESS, metrics.RELAY):
        assert (one._upper_bounds[0], one._upper_bounds[-2]) == (0.1, 21600)


def test_the_file_of_sqlite_tells_where_the_disk_must_not_be_full(tmp_path: Path) -> None:
    settings = Settings.model_validate({"database_url": f"sqlite:///{tmp_path}/webinar.db"})
    assert monitor.folders(settings)["database"] == tmp_path
    settings = Settings.model_validate({"database_url": "postgresql://u:x@h/w"})
    assert "database" not in monitor.folders(settings)


@in_loop
async def test_a_disk_that_hangs_keeps_nothing_from_being_counted_nor_the_other_from_being_measured(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, begun, released = asyncio.get_running_loop(), asyncio.Event(), threading.Event()
    answers = os.statvfs
    one = _monitor(ledger.database)
    await one.measure_disks()

    def hangs(path: Path) -> os.statvfs_result:
        if path == Path("data"):
            loop.call_soon_threadsafe(begun.set)
            released.wait(20)
        return answers(tmp_path)

    def noting(work: Callable[[], Awaitable[None]], done: asyncio.Event) -> Callable[[], Awaitable[None]]:
        async def noted() -> None:
            try:
                await work()
            finally:
                done.set()

        return noted

    counted, measured = asyncio.Event(), asyncio.Event()
    monkeypatch.setattr(os, "statvfs", hangs)
    monkeypatch.setattr(one, "count", noting(one.count, counted))
    monkeypatch.setattr(one, "measure_disks", noting(one.measure_disks, measured))
    metrics.COUNTED.set(0)
    one.start()
    await asyncio.gather(begun.wait(), counted.wait())
    assert _of(samples((await one.exposition(True)).decode()), "webinar_counted_timestamp_seconds")[()] > 0
    pass_time(monitor.DISK_SECONDS + 1)
    await measured.wait()
    assert one.reasons == (Reason(Kind.WATCHING, "the disk of the state does not answer"),)
    there = _of(samples(metrics.exposition().decode()), "webinar_disk_free_bytes")
    assert ("state",) not in there
    assert ("database",) in there or ledger.database.dialect.takes_replicas
    await one.stop()
    released.set()
