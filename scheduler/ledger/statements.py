"""The large statements of the ledger: Jinja2 templates in `sql/`, rendered for SQLite or PostgreSQL.

`python -m scheduler.ledger.statements sqlite|postgresql [NAME]` prints them with sample parameters, to be run by hand
in sqlite3 or psql.
"""

from __future__ import annotations

import argparse
import re
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from sqlalchemy import Connection, CursorResult
from sqlalchemy.exc import DBAPIError

from scheduler.database.dialect import Dialect
from scheduler.database.engine import DIALECTS, dialect, execute
from scheduler.faults import first_line, is_statement_error
from scheduler.ledger.states import REFUSED, THEN_CORRECTED, UNKNOWN, State, Why
from scheduler.webinar.model import CANCELLATION, CHANGE, NOTICES, WITHDRAWAL

FOLDER = Path(__file__).parent / "sql"
FRAGMENTS = ("conditions", "rows")  # macros that statements import


def execute_named(conn: Connection, name: str, **values: Any) -> CursorResult[Any]:
    """Execute the statement in `sql/NAME.sql`."""
    return execute(conn, statement(name, dialect(conn)), **values)


@cache
def statement(name: str, engine: Dialect) -> str:
    """The text of a statement for this engine."""
    return _environment(engine).get_template(f"{name}.sql").render()


def names() -> list[str]:
    """The names of all statements, in alphabetical order."""
    return sorted(file.stem for file in FOLDER.glob("*.sql") if file.stem not in FRAGMENTS)


@cache
def _environment(engine: Dialect) -> Environment:
    environment = Environment(  # noqa: S701 (no HTML, and every value in it is a constant of ours)
        loader=FileSystemLoader(FOLDER), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals |= {
        "numbers": engine.numbers,
        "rows": engine.rows,
        "join_next": engine.join_next,
        "indexed_by": engine.indexed_by,
        "skip_locked": engine.skip_locked,
        "update_skipping": engine.update_skipping,
        "states": [state.value for state in State],
        "why": SimpleNamespace(**{why.name.lower(): _literal(why.value) for why in Why}),
        "refused_as_unknown_reasons": [_literal(f"{REFUSED}%{how}") for how in UNKNOWN],
        "then_corrected": _literal(THEN_CORRECTED),
        "notices": f"({', '.join(map(_literal, NOTICES))})",
        "change": _literal(CHANGE),
        "cancellation": _literal(CANCELLATION),
        "withdrawal": _literal(WITHDRAWAL),
    }
    return environment


def _literal(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


class StatementFails(RuntimeError):
    """A statement cannot run: the database lacks a table or column, or the user lacks a privilege."""


def check(conn: Connection) -> None:
    """EXPLAIN every statement without executing it. Raises StatementFails."""
    engine = dialect(conn)
    for name in names():
        sql = statement(name, engine)
        try:
            execute(conn, f"EXPLAIN {sql}", **_samples(sql, engine))
        except DBAPIError as error:
            if not is_statement_error(error):
                raise
            raise StatementFails(
                f"the database cannot run {name}.sql, one of this program's statements: {first_line(error)}."
                " Were its tables or this user's privileges changed?"
            ) from error


def _samples(sql: str, engine: Dialect) -> dict[str, Any]:
    """A sample value for each parameter of a statement."""
    samples: dict[str, Any] = dict.fromkeys(
        ("now", "start", "end", "gone_since", "since", "again_at", "later"),
        datetime(2025, 7, 3, 11, tzinfo=UTC),
    )
    samples |= dict.fromkeys(("ids", "known"), engine.as_numbers([1, 2]))
    samples |= dict.fromkeys(("starts", "outcomes", "versions", "mails", "facts"), "[]")
    samples |= dict.fromkeys(("plan", "most", "many", "limit", "urgency", "version"), 1)
    samples |= dict.fromkeys(("everybody", "drafts_too", "cancelled", "forwards"), False)
    samples |= {"webinar": "w", "link": "", "holders": "00000001", "message": "", "asked_by": ""}
    return {name: value for name, value in samples.items() if re.search(rf"(?<!:):{re.escape(name)}\b", sql)}


def _in_psql(name: str, value: Any) -> str:
    sql = f"CAST({_literal(str(value))} AS timestamptz)" if isinstance(value, datetime) else _in_sql(value)
    return f"\\set {name} {_literal(sql)}"


def _in_sqlite3(name: str, value: Any) -> str:
    sql = _in_sql(DIALECTS["sqlite"].written(value) if isinstance(value, datetime) else value)
    return f'.parameter set :{name} "{sql}"'


def _in_sql(value: Any) -> str:
    return _literal(value) if isinstance(value, str) else str(value).upper()


_SHELLS = {"postgresql": _in_psql, "sqlite": _in_sqlite3}
"""How to set a parameter in each engine's shell."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("engine", choices=sorted(DIALECTS))
    parser.add_argument("names", nargs="*", metavar="name", help=f"all, unless named: {', '.join(names())}")
    chosen = parser.parse_args()
    if unknown := set(chosen.names) - set(names()):
        parser.error(f"unknown statement: {', '.join(sorted(unknown))}; choose from {', '.join(names())}")
    engine = DIALECTS[chosen.engine]
    for name in chosen.names or names():
        sql = statement(name, engine)
        given = [_SHELLS[chosen.engine](*sample) for sample in _samples(sql, engine).items()]
        print(f"-- {name}", *given, f"{sql};\n", sep="\n")


if __name__ == "__main__":
    main()
