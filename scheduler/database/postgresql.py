"""PostgreSQL, for several replicas. Only `presence` needs a session of its own; all else works through a pooler in
transaction mode."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

from scheduler.database.dialect import Dialect

PRESENCE = "hashtext('webinar-scheduler presence')"  # the first key of a service's advisory lock
HOLDERS = (
    "SELECT objid::bigint FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2"
    f" AND classid::bigint = ({PRESENCE}::bigint + 4294967296) % 4294967296"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)
KEEPALIVE = {
    "connect_timeout": 10, "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 4,
    "tcp_user_timeout": 30_000,
}  # fmt: skip
"""libpq parameters: a dead network is noticed within half a minute."""
LIMITS = {
    "lock_timeout": 5, "statement_timeout": 30, "idle_in_transaction_session_timeout": 10,
}  # fmt: skip
"""Seconds, set in each transaction so that they also hold behind a pooler. They bound how long others wait for a
service that is suspended or lost without a FIN, or for another program's lock on a table."""


class PostgreSQL(Dialect):
    takes_replicas = True
    join_next = "JOIN"
    skip_locked = "FOR UPDATE OF {} SKIP LOCKED"
    update_skipping = "FOR UPDATE SKIP LOCKED"
    share_skipping = "FOR SHARE SKIP LOCKED"
    named = PGDialect_psycopg()  # type: ignore[no-untyped-call]
    reading = {"isolation_level": "REPEATABLE READ"}  # noqa: RUF012 (as the base says)
    guest_pause = 0.0

    def engine(self, url: str, *, guest: bool = False) -> Engine:
        # No prepared statements: behind a pooler the next transaction may be another session's.
        arguments = KEEPALIVE | {"prepare_threshold": None}
        engine = create_engine(url, pool_pre_ping=True, pool_size=2, connect_args=arguments)
        event.listen(engine, "begin", _limit)
        return engine

    def may_plan(self, conn: Connection, what: str) -> bool:
        lock = f"SELECT pg_try_advisory_xact_lock({_PLANNING})"
        return bool(conn.execute(text(lock), {"what": what}).scalar_one())

    def wait_to_plan(self, conn: Connection, what: str) -> None:
        conn.execute(text(f"SELECT pg_advisory_xact_lock({_PLANNING})"), {"what": what})

    def lift_limits(self, conn: Connection) -> None:
        conn.exec_driver_sql(
            "SELECT set_config('lock_timeout', '0', true), set_config('statement_timeout', '0', true)"
        )

    def one_proposer(self, conn: Connection) -> None:
        conn.execute(text("SELECT pg_advisory_xact_lock(hashtext('webinar-scheduler proposals'))"))

    def one_migration(self, conn: Connection) -> None:
        conn.execute(text("SELECT pg_advisory_xact_lock(hashtext('webinar-scheduler migrations'))"))

    def analyze_grown(self, conn: Connection, *tables: str) -> None:
        # Only tables that have grown by half: analyzing all after each batch took a third of the time of a burst.
        grown = conn.execute(
            text(
                "SELECT relname FROM pg_class WHERE oid = ANY(CAST(:tables AS regclass[]))"
                " AND pg_relation_size(oid) > 1.5 * relpages * current_setting('block_size')::int"
            ),
            {"tables": list(tables)},
        ).scalars()
        if names := ", ".join(grown):
            conn.execute(text(f"ANALYZE {names}"))

    def clock(self, conn: Connection) -> float:
        return float(conn.execute(text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one())

    def holders(self, conn: Connection) -> list[int] | None:
        return list(conn.execute(text(HOLDERS)).scalars())

    def rows(self, parameter: str, columns: Mapping[str, str]) -> str:
        cells = ", ".join(
            f"{_cell(number, kind)} AS {name}" for number, (name, kind) in enumerate(columns.items())
        )
        array = f"CAST(:{parameter} AS jsonb)"
        # The LIMIT tells the query planner the number of rows, for which it would assume 100 and avoid indexes.
        return f"(SELECT {cells} FROM jsonb_array_elements({array}) LIMIT jsonb_array_length({array}))"

    def numbers(self, parameter: str) -> str:
        # An array, not JSON: PostgreSQL cannot estimate the number of rows in a JSON document.
        return f"(SELECT unnest(CAST(:{parameter} AS bigint[])) AS number)"

    def as_numbers(self, numbers: Iterable[int]) -> str:
        return "{" + ",".join(map(str, numbers)) + "}"

    def shadow(self, conn: Connection, table: str) -> str:
        schema = conn.execute(text(_SCHEMA), {"table": table}).scalar_one()  # quoted, where it must be
        conn.exec_driver_sql(_TEMPORARY_FIRST)
        make = f"LIKE {schema}.{table} INCLUDING ALL"
        conn.exec_driver_sql(f"CREATE TEMPORARY TABLE {table} ({make}) ON COMMIT DROP")
        for column in conn.execute(text(_NUMBERED), {"table": f"pg_temp.{table}"}).scalars().all():
            restart = f"ALTER COLUMN {column} RESTART WITH {_BEYOND}"
            conn.exec_driver_sql(f"ALTER TABLE pg_temp.{table} {restart}")
        return f"{schema}.{table}"

    def indexed_by(self, index: str) -> str:
        return ""

    def written(self, instant: datetime) -> str:
        return instant.astimezone(UTC).isoformat()

    def skip_ids(self, conn: Connection, table: str, numbers: int) -> None:
        conn.execute(text(_SKIP_IDS), {"table": table, "numbers": numbers})

    @contextmanager
    def by_index(self, conn: Connection) -> Iterator[None]:
        off = ", ".join(f"set_config('{name}', 'off', true)" for name in _SCANS)
        conn.exec_driver_sql(f"SELECT {off}")
        yield
        conn.exec_driver_sql("; ".join(f"SET LOCAL {name} TO DEFAULT" for name in _SCANS))

    def among(self, column: str, parameter: str) -> str:
        return f"{column} = ANY(CAST(:{parameter} AS bigint[]))"

    def equal(self, column: str, value: str) -> str:
        # With a plain equality the query planner may read the whole index for a merge join.
        return f"{column} = ANY(ARRAY[{value}])"

    def column_types(self, conn: Connection, table: str) -> dict[str, str]:
        query = (
            "SELECT a.attname, coalesce(b.typname, t.typname) FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid"
            " LEFT JOIN pg_type b ON b.oid = nullif(t.typbasetype, 0)"  # the base type of a domain
            " WHERE a.attrelid = to_regclass(:table) AND a.attnum > 0 AND NOT a.attisdropped"
        )
        return {row[0]: row[1] for row in conn.execute(text(query), {"table": table})}

    def triggers(self, conn: Connection, table: str) -> dict[str, bool]:
        # A trigger with tgenabled 'R' fires only in replication.
        query = (
            "SELECT tgname, tgenabled IN ('O', 'A') FROM pg_trigger"
            " WHERE tgrelid = to_regclass(:table) AND NOT tgisinternal"
        )
        return {row[0]: row[1] for row in conn.execute(text(query), {"table": table})}

    def limit_lock_wait(self, conn: Connection) -> None:
        conn.exec_driver_sql("SET LOCAL lock_timeout = '500ms'")

    def index_definitions(self, conn: Connection, table: str) -> list[str]:
        query = (
            "SELECT lower(pg_get_indexdef(indexrelid)) FROM pg_index"
            " WHERE indrelid = to_regclass(:table) AND indisunique AND indisvalid"
        )
        return [one.replace('"', "") for one in conn.execute(text(query), {"table": table}).scalars()]

    def not_visible_ascii(self, column: str) -> str:
        return rf"CAST({column} AS text) ~ '[^\x21-\x7e]'"

    def beginning(self, column: str, characters: int) -> str:
        return f"substr(CAST({column} AS text), 1, {characters + 1})"


_SCHEMA = "SELECT relnamespace::regnamespace::text FROM pg_class WHERE oid = CAST(:table AS regclass)"
_NUMBERED = "SELECT attname FROM pg_attribute WHERE attrelid = CAST(:table AS regclass) AND attidentity <> ''"
_SKIP_IDS = """
SELECT setval(sequence, nextval(sequence) + :numbers)
FROM (SELECT CAST(pg_get_serial_sequence(:table, 'id') AS regclass) AS sequence) AS s
WHERE has_sequence_privilege(sequence, 'UPDATE')"""  # without the privilege, deliveries are still held
_BEYOND = 10**12  # first id in a shadow table, which no row of the original has
_TEMPORARY_FIRST = (
    "SELECT set_config('search_path', 'pg_temp, ' || current_setting('search_path'), true)"
    " WHERE current_setting('search_path') NOT LIKE 'pg_temp, %%'"
)
_SCANS = ("enable_seqscan", "enable_hashjoin", "enable_mergejoin", "jit")

_PLANNING = "hashtext('webinar-scheduler planning'), hashtext(:what)"


def _limit(conn: Connection) -> None:
    limits = ", ".join(f"set_config('{name}', '{seconds}s', true)" for name, seconds in LIMITS.items())
    conn.exec_driver_sql(f"SELECT {limits}")


def _cell(number: int, kind: str) -> str:
    text = f"value ->> {number}"
    return f"convert_to({text}, 'UTF8')" if kind == "bytea" else f"CAST({text} AS {kind})"
