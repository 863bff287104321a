"""A database that was made by an earlier version ends as one that is made now, and keeps what it held."""

from __future__ import annotations

import pytest

from scheduler.database.engine import Database, execute
from tests.database.earlier import REVISIONS, made_by

pytestmark = pytest.mark.engines("sqlite")

SQLITE = "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' ORDER BY name"
POSTGRESQL = """
SELECT 'column', table_name || '.' || column_name,
    concat_ws(' ', data_type, is_nullable, column_default, is_identity, character_maximum_length)
FROM information_schema.columns WHERE table_schema = 'public'
UNION ALL SELECT 'index', indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'
UNION ALL SELECT 'trigger', tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
UNION ALL SELECT 'function', proname, prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace
UNION ALL SELECT 'setting', relname, array_to_string(reloptions, ' ') FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND reloptions IS NOT NULL
ORDER BY 1, 2, 3
"""


def schema(database: Database) -> list[tuple[str, ...]]:
    """Every column, index, trigger and function, as the engine reports them."""
    with database.transaction() as conn:
        rows = execute(conn, POSTGRESQL if database.dialect.takes_replicas else SQLITE)
        return [tuple(row) for row in rows]


BOTH = pytest.mark.engines("both")


@pytest.mark.parametrize(
    "revision",
    [
        pytest.param(
            one, marks=BOTH if one in (REVISIONS[0], REVISIONS[-1]) else pytest.mark.full if n % 4 else ()
        )
        for n, one in enumerate(REVISIONS)
    ],
)
def test_every_earlier_version_becomes_this_one_and_keeps_its_rows(database: Database, revision: str) -> None:
    now = schema(database)
    made_by(database, revision)
    with database.transaction() as conn:
        execute(conn, "INSERT INTO registrants (webinar, email) VALUES ('w', 'a@example.org')")

    database.migrate()

    assert schema(database) == now
    with database.transaction() as conn:
        assert execute(conn, "SELECT email FROM registrants").scalars().all() == ["a@example.org"]
        execute(conn, "UPDATE registrants SET name = 'A'")
        assert execute(conn, "SELECT count(*) FROM registrant_change").scalar_one() == 2


OWNERS = (
    "ALTER TABLE registrants RENAME COLUMN webinar TO event",
    "ALTER TABLE registrants RENAME COLUMN email TO mail",
)


@BOTH
@pytest.mark.parametrize("sql", OWNERS)
def test_an_upgrade_leaves_a_table_alone_whose_owner_has_renamed_a_column(
    database: Database, sql: str
) -> None:
    made_by(database, "0012")
    with database.transaction() as conn:
        execute(conn, sql)

    database.migrate()

    webinar, email = ("event", "email") if "event" in sql else ("webinar", "mail")
    with database.transaction() as conn:
        execute(conn, f"INSERT INTO registrants ({webinar}, {email}) VALUES ('w', 'a@example.org')")
        execute(conn, "UPDATE registrants SET name = 'A'")
        execute(conn, "DELETE FROM registrants")
        assert execute(conn, "SELECT count(*) FROM registrant_change").scalar_one() == 3


@BOTH
def test_an_upgrade_goes_on_where_the_table_of_registrants_is_gone(database: Database) -> None:
    made_by(database, "0012")
    with database.transaction() as conn:
        execute(conn, "ALTER TABLE registrants RENAME TO people")
        execute(conn, "CREATE VIEW registrants AS SELECT * FROM people")
    database.migrate()
