"""Where in a database something stands: every column of every table, whatever tables there are."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from sqlalchemy import inspect, text

from scheduler.database.engine import Database


def everywhere(database: Database, words: Collection[str], besides: Collection[str] = ()) -> list[str]:
    """The columns that hold any of these, in whatever case, as `table.column`; but for the tables `besides`. What a
    calendar folds over two lines is found, too."""
    return sorted(
        {
            f"{table}.{column}"
            for table, column, value in _cells(database)
            if table not in besides and any(word.lower() in value for word in words)
        }
    )


def _cells(database: Database) -> Iterator[tuple[str, str, str]]:
    with database.reading() as conn:
        for table in inspect(conn).get_table_names():
            for row in conn.execute(text(f'SELECT * FROM "{table}"')).mappings():
                for column, value in row.items():
                    raw = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
                    yield table, column, raw.replace("\r\n ", "").lower()
