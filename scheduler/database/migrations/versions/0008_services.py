"""Each service has a counter of its own, and leases have no end that a clock could reach."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

INSTANT = {"sqlite": "DATETIME", "postgresql": "TIMESTAMP WITH TIME ZONE"}


def upgrade() -> None:
    connection = op.get_bind()
    connection.exec_driver_sql(f"""
CREATE TABLE service (
    holder BIGINT NOT NULL,
    counter BIGINT NOT NULL,
    tz_version TEXT DEFAULT '' NOT NULL,
    started_at {INSTANT[connection.dialect.name]} NOT NULL,
    PRIMARY KEY (holder)
)
""")
    connection.exec_driver_sql("ALTER TABLE delivery DROP COLUMN lease_until")
