"""Whom an address belongs to, and which rows of a webinar are set aside, found by an index."""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

# By the address first: of several indexes that begin with the webinar PostgreSQL takes any, where it believes that the
# table is empty.
SCHEMA = """
DROP INDEX registration_address;
CREATE INDEX registration_address ON registration (address_folded, webinar);
CREATE INDEX row_set_aside_webinar ON row_set_aside (webinar)"""


def upgrade() -> None:
    for statement in SCHEMA.split(";\n"):
        op.get_bind().exec_driver_sql(statement)
