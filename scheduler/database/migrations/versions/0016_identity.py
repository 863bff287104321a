"""The ledger knows itself: who it is, how often it was set back, and whether what is planned next is to be held.

A backup that an earlier version made is the same ledger again once it is restored and brought up to date: the identity
follows from the first registration.
"""

import hashlib
import secrets

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

TABLE = """
CREATE TABLE ledger (
    identity TEXT NOT NULL PRIMARY KEY,
    restorations BIGINT NOT NULL DEFAULT 0,
    hold_planned BOOLEAN NOT NULL DEFAULT FALSE
)
"""


def upgrade() -> None:
    connection = op.get_bind()
    connection.exec_driver_sql(TABLE.replace("BIGINT", "INTEGER") if _is_sqlite() else TABLE)
    first = connection.exec_driver_sql("SELECT uid FROM registration ORDER BY id LIMIT 1").scalar()
    seed = str(first) if first else secrets.token_hex(32)
    identity = hashlib.sha256(f"ledger {seed}".encode()).hexdigest()[:32]
    connection.exec_driver_sql(f"INSERT INTO ledger (identity) VALUES ('{identity}')")


def _is_sqlite() -> bool:
    return bool(op.get_bind().dialect.name == "sqlite")
