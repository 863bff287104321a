"""The large statements of the ledger: files in `sql/`, one text for both engines, with what differs filled in.

`python -m scheduler.ledger.statements sqlite|postgresql [NAME]` prints them with sample values of their parameters, to
be run by hand in sqlite3 or psql.
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
from scheduler.database.engine import DIALECTS, as_list, dialect, first_line, is_the_statements, run
from scheduler.ledger.states import Why
from scheduler.webinar import CANCELLATION, CHANGE, NOTICES

FOLDER = Path(__file__).parent / "sql"
FRAGMENTS = ("conditions", "rows")  # what statements are made of


def execute(conn: Connection, name: str, **values: Any) -> CursorResult[Any]:
    """Execute the statement in `sql/NAME.sql`."""
    return run(conn, statement(name, dialect(conn)), **values)


@cache
def statement(name: str, engine: Dialect) -> str:
    """The text of a statement for this engine."""
    return _files(engine).get_template(f"{name}.sql").render()


def names() -> list[str]:
    return sorted(file.stem for file in FOLDER.glob("*.sql") if file.stem not in FRAGMENTS)


@cache
def _files(engine: Dialect) -> Environment:
    files = Environment(  # noqa: S701 (no HTML, and every value in it is a constant of ours)
        loader=FileSystemLoader(FOLDER), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    files.globals |= {
        "numbers": engine.numbers,
        "rows": engine.rows,
        "join_next": engine.join_next,
        "by_index": engine.indexed_by,
        "skip_locked": engine.skip_locked,
        "share_skipping": engine.share_skipping,
        "update_skipping": engine.update_skipping,
        "why": SimpleNamespace(**{why.name.lower(): _literal(why.value) for why in Why}),
        "notices": f"({', '.join(map(_literal, NOTICES))})",
        "change": _literal(CHANGE),
        "cancellation": _literal(CANCELLATION),
    }
    return files


def _literal(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


class StatementFails(RuntimeError):
    """The database does not have what a statement needs, or does not let this service use it."""


def check(conn: Connection) -> None:
    """Have the database plan every statement, and execute none. Raises StatementFails."""
    for name in names():
        sql = statement(name, dialect(conn))
        values = {one: value for one, value in _samples(conn).items() if re.search(rf"(?<!:):{one}\b", sql)}
        try:
            run(conn, f"EXPLAIN {sql}", **values)
        except DBAPIError as error:
            if not is_the_statements(error):
                raise
            raise StatementFails(
                f"the database can't run {name}.sql, one of this program's statements: {first_line(error)}."
                " Has somebody changed its tables, or what this user may do?"
            ) from error


def _samples(conn: Connection) -> dict[str, Any]:
    """A value for each parameter."""
    samples: dict[str, Any] = dict.fromkeys(
        ("now", "start", "end", "gone_since"), datetime(2025, 7, 3, tzinfo=UTC)
    )
    samples |= dict.fromkeys(("ids", "known"), as_list(conn, []))
    samples |= dict.fromkeys(("starts", "outcomes", "versions", "mails", "tellings"), "[]")
    samples |= dict.fromkeys(("plan", "most", "many", "limit", "urgency", "version"), 1)
    samples |= dict.fromkeys(("everybody", "drafts_too", "cancelled"), False)
    return samples | {"webinar": "w", "link": "", "holders": "00000000"}


_BY_HAND = {
    "postgresql": ("\\set {name} {value}", {"ids": "'{1,2}'", "known": "'{}'"}),
    "sqlite": (
        ".parameter set :{name} {value}",
        {"ids": "'[1, 2]'", "known": "'[]'"},
    ),
}
"""How a parameter is set by hand, and the values that only one engine takes; instants as the engine compares them."""


def parameters(engine: str) -> dict[str, str]:
    """A value of each parameter as one writes it in SQL, to be replaced."""
    suffix, cast = ("+00", "CAST('{}' AS timestamptz)") if engine == "postgresql" else (".000000", "'{}'")
    instants = dict.fromkeys(
        ("now", "start", "end", "gone_since"), cast.format(f"2025-07-03 11:00:00{suffix}")
    )
    rows = dict.fromkeys(("starts", "outcomes", "versions", "mails", "tellings"), "'[]'")
    numbers = dict.fromkeys(("plan", "most", "many", "limit", "urgency", "version"), "1")
    yes_or_no = dict.fromkeys(("everybody", "drafts_too", "cancelled"), "FALSE")
    return (
        instants
        | rows
        | numbers
        | yes_or_no
        | {"webinar": "'w'", "link": "''", "holders": "'00000001'"}
        | _BY_HAND[engine][1]
    )


def _set(engine: str, name: str, value: str) -> str:
    quoted = "'" + value.replace("'", "''") + "'" if engine == "postgresql" else f'"{value}"'
    return _BY_HAND[engine][0].format(name=name, value=quoted)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("engine", choices=sorted(DIALECTS))
    parser.add_argument("names", nargs="*", metavar="name", help=f"all, unless named: {', '.join(names())}")
    chosen = parser.parse_args()
    if unknown := set(chosen.names) - set(names()):
        parser.error(f"no statement is called {', '.join(sorted(unknown))}; there are {', '.join(names())}")
    values = parameters(chosen.engine)
    for name in chosen.names or names():
        sql = statement(name, DIALECTS[chosen.engine])
        needed = [one for one in values if re.search(rf"(?<!:):{one}\b", sql)]
        print(f"-- {name}", *(_set(chosen.engine, one, values[one]) for one in needed), f"{sql};\n", sep="\n")


if __name__ == "__main__":
    main()
