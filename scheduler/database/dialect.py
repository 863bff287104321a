"""What differs between SQLite and PostgreSQL: described here, done in `sqlite` and `postgresql`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import URL, Connection, Engine
from sqlalchemy.engine.default import DefaultDialect


class DatabaseInUse(RuntimeError):
    """A second service on a database that takes one."""


class Dialect(ABC):
    """One of the two engines. All else is SQL that both understand."""

    takes_replicas: ClassVar[bool]
    """Whether several services may work on one database. If not, all leases end when a service starts, and no other."""
    skip_locked: ClassVar[str]
    """The end of a SELECT by which two replicas never claim the same rows ('{}' is the table)."""
    update_skipping: ClassVar[str]
    """The end of a SELECT by which its rows are ours to change, less those that another transaction holds."""
    share_skipping: ClassVar[str]
    """What a SELECT ends with so that its rows stay as they are, less those that another transaction holds; "" where
    there is one writer at a time."""
    join_next: ClassVar[str]
    """JOIN, such that the table before it is gone through first."""
    named: ClassVar[DefaultDialect]
    """Writes a statement as the driver takes it with parameters by name."""
    reading: ClassVar[Mapping[str, Any]]
    """Execution options of a transaction that sees one moment and changes nothing."""

    guest_pause: ClassVar[float]
    """Seconds between two writing transactions of a process beside the service."""

    @abstractmethod
    def engine(self, url: str, *, guest: bool = False) -> Engine:
        """The SQLAlchemy engine for `url`. Opens no connection. `guest`: for a process beside the service. Raises
        OSError, in words for the operator."""

    def unusable(self, url: URL, code: str) -> str:
        """What an error of this code says about the database, and what to do, for the operator; "" where the engine's
        own words say it as well."""
        return ""

    @abstractmethod
    def may_plan(self, conn: Connection, what: str) -> bool:
        """Keep every other service from planning this until the end of the transaction; False where another one
        does."""

    @abstractmethod
    def wait_to_plan(self, conn: Connection, what: str) -> None:
        """The same, waiting for whoever does."""

    @abstractmethod
    def take_time(self, conn: Connection) -> None:
        """Let this transaction last as long as it likes."""

    @abstractmethod
    def one_proposer(self, conn: Connection) -> None:
        """Let one replica decide what governs at a time, until the end of the transaction."""

    @abstractmethod
    def one_migration(self, conn: Connection) -> None:
        """Let one replica bring the schema up to date at a time, until the end of the transaction."""

    @abstractmethod
    def many_rows_came(self, conn: Connection, *tables: str) -> None:
        """Let the engine's planner of queries know: it would go by what these tables were before."""

    @abstractmethod
    def clock(self, conn: Connection) -> float:
        """Seconds since 1970 on the clock that all services share: the server's, or this machine's."""

    @abstractmethod
    def holders(self, conn: Connection) -> list[int] | None:
        """The services that are there (`Presence`), or None where that can't be known."""

    @abstractmethod
    def rows(self, parameter: str, columns: Mapping[str, str]) -> str:
        """SQL for a table out of one bound parameter, a JSON array of arrays in the order of `columns` (name: type
        in PostgreSQL's words; text in UTF-8 where it is bytea). Hundreds of rows of a ledger change in one statement by
        joining it."""

    @abstractmethod
    def numbers(self, parameter: str) -> str:
        """SQL for a table of one column, `number`, out of one bound parameter that `as_numbers` made."""

    @abstractmethod
    def as_numbers(self, numbers: Iterable[int]) -> str:
        """These numbers as one parameter."""

    @abstractmethod
    def shadow(self, conn: Connection, table: str) -> str:
        """Put an empty temporary table of the same make before a table, until the end of the transaction. Returns the
        name by which the table itself is still known."""

    @abstractmethod
    def indexed_by(self, index: str) -> str:
        """What follows the name of a table that is to be read by this index, where the engine would not find it."""

    @abstractmethod
    def written(self, instant: datetime) -> str:
        """An instant (aware) in JSON or as a parameter, as the column that takes it holds it."""

    @abstractmethod
    def leave_out(self, conn: Connection, table: str, numbers: int) -> None:
        """Never give the next so many ids of a table to a row."""

    @abstractmethod
    def by_index(self, conn: Connection) -> AbstractContextManager[None]:
        """Meanwhile rows are looked up by indexes: for small batches beside large tables, of which the statistics may
        say that they are empty. The statements say what by with `among` and `equal`."""

    @abstractmethod
    def among(self, column: str, parameter: str) -> str:
        """SQL: whether a column has one of the numbers in a bound parameter that `as_numbers` made."""

    @abstractmethod
    def equal(self, column: str, value: str) -> str:
        """SQL: whether a column of a large table, looked up by its index, has this value of a small one."""

    @abstractmethod
    def column_types(self, conn: Connection, table: str) -> dict[str, str]:
        """The type of each column, by its name; "" where the engine takes values of any type. Empty: no such table."""

    @abstractmethod
    def triggers(self, conn: Connection, table: str) -> dict[str, bool]:
        """The triggers of a table, and whether each is enabled."""

    @abstractmethod
    def wait_briefly(self, conn: Connection) -> None:
        """Let this transaction give up a lock that it does not get within half a second."""

    @abstractmethod
    def index_definitions(self, conn: Connection, table: str) -> list[str]:
        """The unique indexes of a table, as SQL in small letters without quotation marks."""

    @abstractmethod
    def not_visible_ascii(self, column: str) -> str:
        """SQL: whether a text holds anything else than visible ASCII characters."""

    @abstractmethod
    def beginning(self, column: str, characters: int) -> str:
        """SQL for a value as text, of which no more than about so many characters reach us; more where it is longer."""
