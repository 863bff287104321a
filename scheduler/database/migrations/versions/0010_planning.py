"""What is due, who waits to be planned and which webinars have work, each found by an index; verdicts on texts."""

import tomllib

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

INSTANT = {"sqlite": "DATETIME", "postgresql": "TIMESTAMP WITH TIME ZONE"}

SCHEMA = """
ALTER TABLE webinar ADD COLUMN status TEXT DEFAULT '' NOT NULL;
ALTER TABLE webinar ADD COLUMN version BIGINT DEFAULT 0 NOT NULL;
ALTER TABLE webinar ADD COLUMN behind BOOLEAN DEFAULT TRUE NOT NULL;
CREATE INDEX webinar_version ON webinar (version);
CREATE INDEX webinar_takes_effect ON webinar (takes_effect_at) WHERE takes_effect_at IS NOT NULL;
CREATE INDEX webinar_ends ON webinar (ends_at) WHERE status <> 'ended';
CREATE INDEX webinar_live ON webinar (webinar) WHERE status = 'live';
CREATE INDEX webinar_behind ON webinar (webinar) WHERE behind;
CREATE INDEX registration_waits ON registration (webinar) WHERE plan = 0;
DROP INDEX registration_link;
CREATE INDEX registration_link ON registration (link_until) WHERE link_until IS NOT NULL;
DROP INDEX delivery_pending;
CREATE INDEX delivery_pending ON delivery (webinar, urgency, next_attempt_at)
    WHERE state = 'pending' AND lease_token IS NULL;
CREATE INDEX delivery_due ON delivery (urgency, next_attempt_at) WHERE state = 'pending' AND lease_token IS NULL;
CREATE TABLE verdict (
    digest TEXT NOT NULL PRIMARY KEY,
    problems TEXT DEFAULT '' NOT NULL,
    tried_at {instant} NOT NULL
)"""


def upgrade() -> None:
    connection = op.get_bind()
    for statement in SCHEMA.format(instant=INSTANT[connection.dialect.name]).split(";\n"):
        connection.exec_driver_sql(statement)
    _note_status(connection)


def _note_status(connection: sa.Connection) -> None:
    """What each revision that governs says of its status; from now on the service writes it."""
    rows = connection.execute(
        sa.text(
            "SELECT w.webinar, r.source FROM webinar w JOIN webinar_revision r ON r.id = w.revision_id"
            " ORDER BY w.webinar"
        )
    )
    for version, (webinar, source) in enumerate(rows.all(), start=1):
        status = "live" if tomllib.loads(source).get("status") == "live" else "draft"
        connection.execute(
            sa.text("UPDATE webinar SET status = :status, version = :version WHERE webinar = :webinar"),
            {"status": status, "version": version, "webinar": webinar},
        )
