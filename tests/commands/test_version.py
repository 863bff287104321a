"""`webinar --version`: of the program, its schema and the tz database."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from scheduler.cli import main
from scheduler.database.engine import Database, execute, newest_revision
from scheduler.zones.wall import tz_version

VERSIONS = f"webinar 0.1.0, schema {newest_revision()}, tz database {tz_version()}\n"


def _version(**environment: str | None) -> Result:
    return CliRunner().invoke(main, ["--version"], env=environment)


def test_the_versions(database_url: str) -> None:
    result = _version(DATABASE_URL=database_url)
    assert (result.exit_code, result.stdout, result.stderr) == (0, VERSIONS, "")


@pytest.mark.parametrize("there", ["0006", "9999"])
def test_the_schema_of_a_database_of_an_earlier_or_newer_program(database: Database, there: str) -> None:
    with database.transaction() as conn:
        execute(conn, "UPDATE alembic_version SET version_num = :there", there=there)
    url = database.engine.url.render_as_string(hide_password=False)
    assert _version(DATABASE_URL=url).stdout == f"{VERSIONS}The database has schema {there}.\n"


@pytest.mark.parametrize(
    "url", ["sqlite:///{folder}/data/webinar.db", "postgresql://u:x@127.0.0.1:1/w", "nonsense"]
)
def test_without_a_database_that_can_be_read_it_still_answers_and_makes_none(
    tmp_path: Path, url: str
) -> None:
    result = _version(DATABASE_URL=url.format(folder=tmp_path))
    assert (result.exit_code, result.output) == (0, VERSIONS)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_database_is_none(tmp_path: Path) -> None:
    (tmp_path / "webinar.db").write_bytes(b"text" * 1000)
    assert _version(DATABASE_URL=f"sqlite:///{tmp_path}/webinar.db").output == VERSIONS
