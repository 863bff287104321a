"""A change of `registrants` names its webinar, so that thousands of one keep nobody of another waiting.

What the triggers write is cut to what the index can take. Nothing in them may fail a statement of the table's owner,
who may have renamed the column, or the table.
"""

import re

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

SCHEMA = (
    "ALTER TABLE registrant_change ADD COLUMN webinar TEXT NOT NULL DEFAULT ''",
    "CREATE INDEX registrant_change_webinar ON registrant_change (webinar)",
)
# A blank line ends a statement: triggers have semicolons inside.
TRIGGERS = {
    "sqlite": """
CREATE TRIGGER registrants_inserted AFTER INSERT ON registrants
BEGIN INSERT INTO registrant_change (registrant_id, operation, webinar)
VALUES (NEW.id, 'I', coalesce(CAST(substr(NEW.webinar, 1, 64) AS TEXT), '')); END

CREATE TRIGGER registrants_replaced BEFORE INSERT ON registrants
BEGIN INSERT INTO registrant_change (registrant_id, operation, webinar)
SELECT id, 'R', coalesce(CAST(substr(webinar, 1, 64) AS TEXT), '') FROM registrants
WHERE id = NEW.id OR webinar = NEW.webinar AND lower(email) = lower(NEW.email); END

CREATE TRIGGER registrants_updated_over BEFORE UPDATE OF webinar, email ON registrants
BEGIN INSERT INTO registrant_change (registrant_id, operation, webinar)
SELECT id, 'R', coalesce(CAST(substr(webinar, 1, 64) AS TEXT), '') FROM registrants
WHERE id <> OLD.id AND webinar = NEW.webinar AND lower(email) = lower(NEW.email); END

CREATE TRIGGER registrants_updated AFTER UPDATE ON registrants WHEN OLD.id = NEW.id
BEGIN INSERT INTO registrant_change (registrant_id, operation, webinar)
VALUES (NEW.id, 'U', coalesce(CAST(substr(NEW.webinar, 1, 64) AS TEXT), '')); END

CREATE TRIGGER registrants_renumbered AFTER UPDATE OF id ON registrants WHEN OLD.id <> NEW.id
BEGIN INSERT INTO registrant_change (registrant_id, operation, webinar)
VALUES (OLD.id, 'D', coalesce(CAST(substr(OLD.webinar, 1, 64) AS TEXT), '')),
(NEW.id, 'I', coalesce(CAST(substr(NEW.webinar, 1, 64) AS TEXT), '')); END

CREATE TRIGGER registrants_deleted AFTER DELETE ON registrants
BEGIN INSERT INTO registrant_change (registrant_id, operation, webinar)
VALUES (OLD.id, 'D', coalesce(CAST(substr(OLD.webinar, 1, 64) AS TEXT), '')); END
""",
    "postgresql": """
CREATE OR REPLACE FUNCTION registrants_changed() RETURNS trigger LANGUAGE plpgsql
SET search_path FROM CURRENT AS $$
DECLARE
    concerned text := '';
BEGIN
    BEGIN
        IF TG_OP = 'DELETE' THEN
            concerned := coalesce(left(OLD.webinar::text, 64), '');
        ELSIF TG_OP <> 'TRUNCATE' THEN
            concerned := coalesce(left(NEW.webinar::text, 64), '');
        END IF;
    EXCEPTION WHEN OTHERS THEN
        concerned := '';
    END;
    IF TG_OP = 'TRUNCATE' THEN
        INSERT INTO registrant_change (registrant_id, operation) VALUES (NULL, 'T');
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO registrant_change (registrant_id, operation, webinar) VALUES (OLD.id, 'D', concerned);
    ELSIF TG_OP = 'UPDATE' AND OLD.id <> NEW.id THEN
        INSERT INTO registrant_change (registrant_id, operation, webinar)
        VALUES (OLD.id, 'D', concerned), (NEW.id, 'I', concerned);
    ELSE
        INSERT INTO registrant_change (registrant_id, operation, webinar)
        VALUES (NEW.id, left(TG_OP, 1), concerned);
    END IF;
    RETURN NULL;
END $$
""",
}
_SQLITE_TRIGGERS = re.compile(r"CREATE TRIGGER (\w+)")


_READS = {"id", "webinar", "email"}


def upgrade() -> None:
    connection = op.get_bind()
    dialect = connection.dialect.name
    for statement in SCHEMA:
        connection.exec_driver_sql(statement)
    if dialect == "sqlite":
        columns = connection.exec_driver_sql("SELECT name FROM pragma_table_info('registrants')").scalars()
        is_table = connection.exec_driver_sql(
            "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'registrants'"
        ).scalar()
        if not is_table or not set(columns) >= _READS:
            return  # the triggers of before go on working, if there are any; a service says what is wrong
        for name in _SQLITE_TRIGGERS.findall(TRIGGERS[dialect]):
            connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {name}")
    for statement in TRIGGERS[dialect].strip().split("\n\n"):
        connection.exec_driver_sql(statement)
