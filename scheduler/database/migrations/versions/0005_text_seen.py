"""Which texts each replica has read."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

INSTANT = {"sqlite": "DATETIME", "postgresql": "TIMESTAMP WITH TIME ZONE"}


def upgrade() -> None:
    connection = op.get_bind()
    connection.exec_driver_sql(f"""
CREATE TABLE text_seen (
    holder BIGINT NOT NULL,
    message TEXT NOT NULL,
    language TEXT NOT NULL,
    sha256 TEXT DEFAULT '' NOT NULL,
    since {INSTANT[connection.dialect.name]} NOT NULL,
    PRIMARY KEY (holder, message, language)
)
""")
