"""The interface to what differs between SQLite and PostgreSQL; implemented in `sqlite` and `postgresql`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import URL, Connection, Engine
from sqlalchemy.engine.default import DefaultDialect


class DatabaseInUse(RuntimeError):
    """Another service already runs on this database, which takes only one."""


class Dialect(ABC):
    """One of the two engines. All other SQL is understood by both."""

    takes_replicas: ClassVar[bool]
    """Whether several services may share one database. If not, all leases end when a service starts, and only then."""
    skip_locked: ClassVar[str]
    """Locking clause of a SELECT, so that no two replicas claim the same rows ('{}' is the table)."""
    update_skipping: ClassVar[str]
    """Locking clause of a SELECT that locks its rows for changes and skips those that another transaction locked."""
    share_skipping: ClassVar[str]
    """Locking clause of a SELECT that keeps its rows unchanged and skips those that another transaction locked; ""
    where there is one writer at a time."""
    join_next: ClassVar[str]
    """JOIN with a fixed order: the table before it is the outer one."""
    named: ClassVar[DefaultDialect]
    """SQLAlchemy's dialect that compiles statements with named parameters for the driver."""
    reading: ClassVar[Mapping[str, Any]]
    """Execution options of a read-only transaction on one snapshot."""

    guest_pause: ClassVar[float]
    """Seconds between two writing transactions of a process beside the service."""

    @abstractmethod
    def engine(self, url: str, *, guest: bool = False) -> Engine:
        """Create the SQLAlchemy engine for `url`; no connection is opened. `guest`: for a process beside the service.
        Raises OSError, in words for the operator."""

    def unusable(self, url: URL, code: str) -> str:
        """The meaning of an error code and what to do, for the operator; "" where the engine's message is as good."""
        return ""

    @abstractmethod
    def may_plan(self, conn: Connection, what: str) -> bool:
        """Try to lock `what` (a webinar, or "intake") against planning by other services, until the end of the
        transaction. Returns False, at once, if another one holds the lock."""

    @abstractmethod
    def wait_to_plan(self, conn: Connection, what: str) -> None:
        """Acquire the lock of `may_plan`, waiting for other services."""

    @abstractmethod
    def lift_limits(self, conn: Connection) -> None:
        """Let this transaction run without time limits."""

    @abstractmethod
    def one_proposer(self, conn: Connection) -> None:
        """Acquire the lock on decisions about what governs, until the end of the transaction."""

    @abstractmethod
    def one_migration(self, conn: Connection) -> None:
        """Acquire the lock on migrations of the schema, until the end of the transaction."""

    @abstractmethod
    def analyze_grown(self, conn: Connection, *tables: str) -> None:
        """Update the query planner's statistics of those of these tables that have grown much."""

    @abstractmethod
    def clock(self, conn: Connection) -> float:
        """Seconds since 1970 on the clock that all services share: the server's, or this machine's."""

    @abstractmethod
    def holders(self, conn: Connection) -> list[int] | None:
        """The numbers of the services that hold a presence lock (`Presence`); None if that can't be known."""

    @abstractmethod
    def rows(self, parameter: str, columns: Mapping[str, str]) -> str:
        """SQL for a table made from one bound parameter, a JSON array of arrays. `columns` maps names to PostgreSQL
        types, in order; bytea is given as UTF-8 text. Joining it changes hundreds of rows in one statement."""

    @abstractmethod
    def numbers(self, parameter: str) -> str:
        """SQL for a table of one column, `number`, made from a bound parameter by `as_numbers`."""

    @abstractmethod
    def as_numbers(self, numbers: Iterable[int]) -> str:
        """Encode numbers as one parameter for `numbers` and `among`."""

    @abstractmethod
    def shadow(self, conn: Connection, table: str) -> str:
        """Shadow a table by an empty temporary one of the same structure, until the end of the transaction. Returns a
        name for the original table."""

    @abstractmethod
    def indexed_by(self, index: str) -> str:
        """Index hint after the name of a table, for an engine that would not choose this index; else ""."""

    @abstractmethod
    def written(self, instant: datetime) -> str:
        """Encode an aware instant as the column stores it, for JSON or a parameter."""

    @abstractmethod
    def skip_ids(self, conn: Connection, table: str, numbers: int) -> None:
        """Never assign the next `numbers` ids of a table."""

    @abstractmethod
    def by_index(self, conn: Connection) -> AbstractContextManager[None]:
        """A block in which rows are looked up by index: for small batches and large tables whose statistics may call
        them empty. Statements mark the lookups with `among` and `equal`."""

    @abstractmethod
    def among(self, column: str, parameter: str) -> str:
        """SQL condition: the column has one of the numbers in a bound parameter by `as_numbers`."""

    @abstractmethod
    def equal(self, column: str, value: str) -> str:
        """SQL condition: the column of a large table, looked up by its index, equals the value from a small one."""

    @abstractmethod
    def column_types(self, conn: Connection, table: str) -> dict[str, str]:
        """The type of each column by name, "" where the engine takes values of any type; empty if there is no table."""

    @abstractmethod
    def triggers(self, conn: Connection, table: str) -> dict[str, bool]:
        """The triggers of a table by name, and whether each is enabled."""

    @abstractmethod
    def limit_lock_wait(self, conn: Connection) -> None:
        """Let this transaction wait for a lock half a second at most."""

    @abstractmethod
    def index_definitions(self, conn: Connection, table: str) -> list[str]:
        """The unique indexes of a table, as SQL in lower case without quotation marks."""

    @abstractmethod
    def not_visible_ascii(self, column: str) -> str:
        """SQL condition: a text holds characters other than visible ASCII."""

    @abstractmethod
    def beginning(self, column: str, characters: int) -> str:
        """SQL for the beginning of a value as text: at least one character more than `characters` if it is longer."""
