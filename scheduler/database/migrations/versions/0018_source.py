"""Where registrants are read from again and again, and what each of their rows said the last time."""

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

INSTANT = {"sqlite": "DATETIME", "postgresql": "TIMESTAMP WITH TIME ZONE"}

SCHEMA = """
CREATE TABLE source (
    webinar TEXT NOT NULL PRIMARY KEY,
    salt TEXT DEFAULT '' NOT NULL,
    run TEXT DEFAULT '' NOT NULL,
    attempted_at {instant} NOT NULL,
    read_at {instant},
    gone_through_at {instant},
    seen TEXT DEFAULT '' NOT NULL,
    followed TEXT DEFAULT '' NOT NULL,
    people BIGINT DEFAULT 0 NOT NULL,
    nobodys BIGINT DEFAULT 0 NOT NULL,
    note TEXT DEFAULT '' NOT NULL,
    trouble TEXT DEFAULT '' NOT NULL,
    trouble_since {instant},
    failures BIGINT DEFAULT 0 NOT NULL
);
CREATE TABLE source_row (
    webinar TEXT NOT NULL,
    person TEXT NOT NULL,
    said TEXT DEFAULT '' NOT NULL,
    filled INTEGER DEFAULT 0 NOT NULL,
    registrant_id BIGINT NOT NULL,
    inserted BOOLEAN DEFAULT TRUE NOT NULL,
    PRIMARY KEY (webinar, person)
)"""


def upgrade() -> None:
    connection = op.get_bind()
    for statement in SCHEMA.format(instant=INSTANT[connection.dialect.name]).split(";\n"):
        connection.exec_driver_sql(statement)
