"""A tick, and the loops around it, when something fails: told in readiness, tried again, and nothing dies silently."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from scheduler.clock import SteadyClock, VirtualClock
from scheduler.database.engine import Database
from scheduler.delivery import recorder
from scheduler.delivery.recorder import LedgerTrouble
from scheduler.ledger import loading, restored
from scheduler.service.alerting import Notifier
from scheduler.service.process import SOON, Runner
from scheduler.service.service import MustRest, Service
from scheduler.settings import Settings
from tests.smtp_server import MailServer, in_loop, pass_time
from tests.support import Ledger, copy_texts, toml, until, utc

pytestmark = pytest.mark.engines("sqlite")

NOW = utc("2025-06-20 08:00")


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "SECONDS", 0.0)
    monkeypatch.setattr(recorder, "FIRST_RETRY_SECONDS", 0.02)
    monkeypatch.setattr(recorder, "LAST_RETRY_SECONDS", 0.1)


def settings(folder: Path, database: Database, server: MailServer, sequence: str | None = None) -> Settings:
    """Of a service with one live webinar."""
    (folder / "webinars").mkdir()
    (folder / "webinars" / "w.toml").write_text(toml(languages=["en"]), encoding="utf-8")
    copy_texts(folder / "templates", "en")
    return Settings.model_validate(
        {
            "database_url": database.engine.url.render_as_string(hide_password=False),
            "config_dir": folder,
            "templates_dir": folder / "templates",
            "state_dir": folder / "state",
            "smtp_host": server.host,
            "smtp_port": server.port,
            "smtp_tls": "none",
            "health_host": "127.0.0.1",
            "health_port": 0,
            "editor": "off",
            "poll_seconds": 0.1,
        }
    )


@in_loop
async def test_outcomes_that_wait_are_written_before_anything_is_planned(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger, conclude, away = Ledger(database), recorder.conclude, True

    def fails(*given: Any) -> Any:
        if away and given[1]:
            raise OperationalError("UPDATE delivery", {}, OSError())
        return conclude(*given)

    monkeypatch.setattr(recorder, "conclude", fails)
    async with MailServer() as server:
        service = Service(settings(tmp_path, database, server), database, VirtualClock(NOW))
        await service.start()
        ledger.register("a@people.test")
        await service.tick(NOW)
        await until(lambda: service.dispatcher.recorder.trouble)
        ledger.register("b@people.test")
        with pytest.raises(LedgerTrouble, match="the ledger can't be written: OSError"):
            await service.tick(NOW)
        assert not service.readiness().ready
        assert ledger.states("b@people.test") == {}
        away = False
        await until(lambda: not service.dispatcher.recorder.trouble)
        await service.tick(NOW)
        await service.settled()
        assert ledger.states("a@people.test")["confirmation"] == "sent"
        assert ledger.states("b@people.test")["confirmation"] == "sent"
        assert service.readiness().ready
        await service.stop()


@in_loop
async def test_with_an_older_tz_database_than_another_service_it_neither_plans_nor_sends(
    tmp_path: Path, postgresql_url: str
) -> None:
    ledger = Ledger(database := Database(postgresql_url))
    async with MailServer() as server:
        service = Service(settings(tmp_path, database, server), database, VirtualClock(NOW), holder=1)
        await service.start()
        joins = "INSERT INTO service (holder, counter, tz_version, started_at) VALUES (:holder, 0, :version, :now)"
        ledger.sql(joins, holder=2, version="1999a", now=NOW)
        ledger.register("a@people.test")
        await service.tick(NOW)
        await service.settled()
        assert len(server.mails) == 1, "an older one is no reason"
        ledger.sql(joins, holder=3, version="2999a", now=NOW)
        ledger.register("b@people.test")
        with pytest.raises(MustRest, match="another one 2999a: it neither plans nor sends"):
            await service.tick(NOW)
        assert ledger.states("b@people.test") == {}
        await service.stop()
    database.close()


@pytest.mark.engines("both")
@in_loop
async def test_what_is_held_for_a_database_that_was_set_back_is_told_until_somebody_has_decided(
    tmp_path: Path, database: Database
) -> None:
    ledger = Ledger(database)
    async with MailServer() as server:
        service = Service(settings(tmp_path, database, server), database, VirtualClock(NOW))
        await service.start()
        ledger.register("a@people.test")
        service.dispatcher.recorder.is_set_back = True
        await service.tick(NOW)
        await service.settled()
        assert ledger.states("a@people.test")["confirmation"] == "held: restored", "perhaps it went out"
        assert service.readiness().ready, "the next mail goes out"
        (note,) = service.readiness().notes
        assert note.startswith("the database was set back to an earlier state")
        ((words,),) = ledger.sql("SELECT words FROM alert WHERE key = 'ledger restored'")
        assert words == note
        ledger.sql("UPDATE delivery SET state = 'sent', reason = '' WHERE reason = 'restored'")
        await service.tick(NOW)
        await service.settled()
        assert service.readiness().notes == ()
        assert [mail.recipients for mail in server.mails] == [("organizer@who.int",)] * 2, (
            "wrong, and right again"
        )
        await service.stop()
        with database.transaction() as conn:
            assert restored.count(conn) == 0


@in_loop
async def test_for_a_minute_after_it_was_set_back_whoever_is_loaded_is_held_and_nothing_goes_out(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """People whose registration was lost: nobody can tell them from others, and they had their confirmation."""
    monkeypatch.setattr(loading, "SECONDS", 60.0)
    ledger = Ledger(database)
    async with MailServer() as server:
        service = Service(settings(tmp_path, database, server), database, VirtualClock(NOW))
        await service.start()
        service.dispatcher.recorder.is_set_back = True
        for seconds, name in ((0, "a"), (59, "b")):
            pass_time(seconds)
            ledger.register(f"{name}@people.test")
            await service.tick(NOW)
            await service.settled()
            (reason,) = service.readiness().reasons
            assert reason.endswith(
                "for 60 seconds people who were lost can be loaded again, and nothing goes out"
            )
        pass_time(2)
        await service.tick(NOW)
        ledger.register("c@people.test")
        await service.tick(NOW)
        await service.settled()
        states = [ledger.states(f"{name}@people.test")["confirmation"] for name in "abc"]
        assert states == ["held: restored", "held: restored", "sent"]
        assert service.readiness().ready
        await service.stop()


@in_loop
async def test_whom_a_waiting_edit_notifies_is_counted_again_once_a_minute(
    tmp_path: Path, database: Database
) -> None:
    ledger, clock = Ledger(database), VirtualClock(NOW)
    async with MailServer() as server:
        service = Service(settings(tmp_path, database, server), database, clock)
        await service.start()

        async def notes_after(seconds: int) -> str:
            clock.move_to(NOW + timedelta(seconds=seconds))
            for _ in range(2):  # a file counts after two reads that agree
                await service.tick(clock.now())
                await service.settled()
            return "".join(service.readiness().notes)

        ledger.register("a@people.test")
        assert await notes_after(0) == ""
        moved = toml(languages=["en"], start=datetime(2025, 7, 3, 12))
        (tmp_path / "webinars" / "w.toml").write_text(moved, encoding="utf-8")
        assert "1 person will be notified" in await notes_after(5)
        ledger.register("b@people.test")
        assert "1 person will be notified" in await notes_after(30)
        assert ledger.states("b@people.test")["confirmation"] == "sent", "with the old time"
        assert "2 people will be notified" in await notes_after(66)
        assert "2 people will be notified" in await notes_after(70)
        await service.stop()


@in_loop
async def test_organizers_that_cannot_be_told_are_a_reason_until_they_can(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*given: Any) -> None:
        raise KeyError("a bug")

    async with MailServer() as server:
        service = Service(settings(tmp_path, database, server), database, VirtualClock(NOW))
        await service.start()
        with monkeypatch.context() as broken:
            broken.setattr(Notifier, "notify", fails)
            await service.tick(NOW)
            await service.settled()
            assert service.readiness().reasons == ("writing to organizers: KeyError",)
        await service.tick(NOW)
        await service.settled()
        assert service.readiness().ready
        await service.stop()


@in_loop
async def test_a_loop_of_the_process_that_fails_says_so_and_goes_on(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*given: Any) -> None:
        raise KeyError("a bug")

    async with MailServer() as server:
        runner = Runner(settings(tmp_path, database, server), database, SteadyClock())
        stop = asyncio.Event()
        running = asyncio.create_task(runner.run(stop))
        await until(lambda: runner.readiness().ready)
        with monkeypatch.context() as broken:
            broken.setattr(runner._scheduler, "get_job", fails)
            await until(lambda: runner.readiness().reasons == ("waking up: KeyError",))
        await until(lambda: runner.readiness().ready)
        with monkeypatch.context() as broken:
            broken.setattr(Service, "_note_troubles", fails)
            await until(lambda: runner.readiness().reasons == ("the service fails: KeyError",))
        await until(lambda: runner.readiness().ready)
        with monkeypatch.context() as broken:
            broken.setattr(Service, "next_wake", fails)
            await until(lambda: runner.readiness().reasons == ("looking for what is due: KeyError",))
        await until(lambda: runner.readiness().ready)
        stop.set()
        await running


@in_loop
async def test_a_stop_in_the_middle_of_a_tick_is_no_error(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def waits(*given: Any) -> None:
        ticking.set()
        await asyncio.Event().wait()

    async with MailServer() as server:
        runner = Runner(settings(tmp_path, database, server), database, SteadyClock())
        stop, ticking = asyncio.Event(), asyncio.Event()
        running = asyncio.create_task(runner.run(stop))
        await until(lambda: runner.readiness().ready)
        monkeypatch.setattr(Service, "_note_troubles", waits)
        await ticking.wait()
        stop.set()
        await running
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == []


@pytest.mark.parametrize("webinars", [1, 8])
@in_loop
async def test_an_idle_tick_asks_the_database_the_same_few_things_however_many_webinars_there_are(
    tmp_path: Path, database: Database, webinars: int
) -> None:
    async with MailServer() as server:
        surroundings = settings(tmp_path, database, server)
        for number in range(1, webinars):
            file = tmp_path / "webinars" / f"w{number}.toml"
            file.write_text(toml(id=f"w{number}", languages=["en"]), encoding="utf-8")
        service = Service(surroundings, database, VirtualClock(NOW))
        await service.start()
        Ledger(database).register("a@people.test")
        await service.tick(NOW)
        await service.settled()
        await service.tick(NOW)
        statements: list[str] = []
        event.listen(database.engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
        await service.tick(NOW)
        await service.settled()
        limit = 61 if database.dialect.takes_replicas else 51
        assert len(statements) <= limit, "\n".join(statements)
        await service.stop()


@pytest.mark.engines("both")
@in_loop
async def test_while_it_starts_sighup_plans_and_claims_nothing(tmp_path: Path, database: Database) -> None:
    """What an earlier run left is taken over first, and leases of that run are ended."""
    async with MailServer() as server:
        runner = Runner(settings(tmp_path, database, server), database, SteadyClock())
        runner.reload()
        await asyncio.sleep(3 * SOON)
        assert runner._last_tick is None
        assert server.mails == []


@pytest.mark.parametrize("gone", ["webinars", "templates"])
@in_loop
async def test_a_folder_that_goes_away_is_a_reason_with_its_whole_path_until_it_is_back(
    tmp_path: Path, database: Database, gone: str
) -> None:
    async with MailServer() as server:
        service = Service(settings(tmp_path, database, server), database, VirtualClock(NOW))
        await service.start()
        (tmp_path / gone).rename(tmp_path / "elsewhere")
        await service.tick(NOW)
        reason = f"the folder {tmp_path / gone}: is not there; it was looked for from {Path.cwd()}"
        assert reason in service.readiness().reasons
        (tmp_path / "elsewhere").rename(tmp_path / gone)
        await service.tick(NOW)
        assert reason not in service.readiness().reasons
        await service.stop()
