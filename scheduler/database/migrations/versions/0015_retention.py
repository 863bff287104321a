"""How long personal data is kept, who was forgotten, and what remains of mails whose persons are not known any more.

What there is now is not removed within 30 days of this upgrade, so that organizers hear of it before.
"""

from datetime import UTC, datetime, timedelta
from secrets import token_hex

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

INSTANT = {"sqlite": "DATETIME", "postgresql": "TIMESTAMP WITH TIME ZONE"}
NOT_WITHIN = timedelta(days=30)

SCHEMA = """
ALTER TABLE webinar ADD COLUMN keep_days INTEGER DEFAULT 90 NOT NULL;
CREATE TABLE secret (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT DEFAULT '' NOT NULL
);
CREATE TABLE forgotten (
    digest TEXT NOT NULL PRIMARY KEY,
    since {instant} NOT NULL,
    suppressed BOOLEAN DEFAULT FALSE NOT NULL,
    returned_at {instant}
);
CREATE TABLE former_uid (
    uid TEXT NOT NULL PRIMARY KEY,
    registration_id BIGINT NOT NULL
);
CREATE INDEX former_uid_registration ON former_uid (registration_id);
CREATE TABLE purge (
    webinar TEXT NOT NULL PRIMARY KEY,
    not_before {instant},
    announced_at {instant},
    purge_at {instant},
    begun_at {instant},
    purged_at {instant},
    people BIGINT DEFAULT 0 NOT NULL
);
CREATE TABLE tally (
    webinar TEXT NOT NULL,
    message TEXT NOT NULL,
    state TEXT NOT NULL,
    reason TEXT NOT NULL,
    n BIGINT DEFAULT 0 NOT NULL,
    PRIMARY KEY (webinar, message, state, reason)
);
INSERT INTO former_uid (uid, registration_id)
    SELECT i.uid, min(i.registration_id) FROM invitation i JOIN registration r ON r.id = i.registration_id
    WHERE i.uid <> r.uid GROUP BY i.uid;
INSERT INTO former_uid (uid, registration_id)
    SELECT t.uid, min(r.id) FROM told t JOIN delivery d ON d.id = t.delivery_id
    JOIN registration r ON r.id = d.registration_id
    WHERE t.uid <> r.uid AND t.uid NOT IN (SELECT uid FROM former_uid) GROUP BY t.uid"""


def upgrade() -> None:
    connection = op.get_bind()
    for statement in SCHEMA.format(instant=INSTANT[connection.dialect.name]).split(";\n"):
        connection.exec_driver_sql(statement)
    connection.execute(
        sa.text("INSERT INTO secret (name, value) VALUES ('forgotten', :key)"), {"key": token_hex(32)}
    )
    not_before = datetime.now(UTC) + NOT_WITHIN
    if connection.dialect.name == "sqlite":
        not_before = not_before.replace(tzinfo=None)
    insert = (
        "INSERT INTO purge (webinar, not_before) SELECT webinar, :not_before FROM webinar w"
        " WHERE EXISTS (SELECT 1 FROM registration r WHERE r.webinar = w.webinar)"
        " OR EXISTS (SELECT 1 FROM confirmed_elsewhere c WHERE c.webinar = w.webinar)"
    )
    typed = sa.bindparam("not_before", type_=sa.DateTime(timezone=True))
    connection.execute(sa.text(insert).bindparams(typed), {"not_before": not_before})
