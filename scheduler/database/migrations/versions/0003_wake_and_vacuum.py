"""PostgreSQL: rows that were written wake the service, and the ledger is vacuumed as often as it changes."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# One notification a transaction at most: PostgreSQL drops those that are alike. Rows of `delivery` change state three
# times in a burst: the partial indexes stay small only if dead rows go soon.
POSTGRESQL = """
CREATE FUNCTION registrants_notify() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NOTIFY registrants_changed;
    RETURN NULL;
END $$

CREATE TRIGGER registrants_notify AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON registrants
FOR EACH STATEMENT EXECUTE FUNCTION registrants_notify()

ALTER TABLE delivery SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0, fillfactor = 80)

ALTER TABLE registrant_change SET (autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 1000)
"""


def upgrade() -> None:
    connection = op.get_bind()
    if connection.dialect.name == "postgresql":
        # A blank line ends a statement: the function has semicolons inside.
        for statement in POSTGRESQL.split("\n\n"):
            connection.exec_driver_sql(statement.strip())
