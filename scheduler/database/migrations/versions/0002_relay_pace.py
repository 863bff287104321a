"""What a relay takes: shared by replicas, kept over restarts."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

FLOAT = {"sqlite": "FLOAT", "postgresql": "DOUBLE PRECISION"}


def upgrade() -> None:
    connection = op.get_bind()
    number = FLOAT[connection.dialect.name]
    connection.exec_driver_sql(f"""
CREATE TABLE relay_pace (
    relay TEXT NOT NULL,
    next_turn {number} NOT NULL,
    slowed_to {number},
    climbs_to {number} NOT NULL,
    recent {number} NOT NULL,
    recent_at {number} NOT NULL,
    changed_at {number} NOT NULL,
    hours TEXT NOT NULL,
    PRIMARY KEY (relay)
)
""")
