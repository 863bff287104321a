"""Reasons of deliveries in plainer words (planning compares stored ones with those of today); what alerts last said."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

REWORDED = {
    "the webinar is called off": "the webinar is cancelled",
    "no longer of use": "no longer useful",  # also at the beginning of longer reasons
    "what the person was told is true": "what the person last read is still true",
}


def upgrade() -> None:
    statement = sa.text(
        "UPDATE delivery SET reason = replace(reason, :before, :after)"
        " WHERE state IN ('skipped', 'cancelled', 'expired') AND reason LIKE :before || '%'"
    )
    for before, after in REWORDED.items():
        op.get_bind().execute(statement, {"before": before, "after": after})
    op.get_bind().exec_driver_sql("ALTER TABLE alert ADD COLUMN told_words TEXT")
