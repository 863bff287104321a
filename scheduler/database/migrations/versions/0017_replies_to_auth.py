"""Of a relay's replies to AUTH, which may repeat the password, only the codes are kept, as new ones are stored: in
attempts, and where an alert or the refusal of a test mail quotes one. The same for what a token endpoint said."""

import re
from collections.abc import Callable

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

CODES = r"\d{3}(?: [245]\.\d{1,3}\.\d{1,3})?"
REFUSES = "the token endpoint refuses: "
KNOWN = (
    "invalid_request|invalid_client|invalid_grant|unauthorized_client|unsupported_grant_type|invalid_scope"
    "|access_denied|invalid_resource|interaction_required|consent_required|login_required|slow_down|expired_token"
    "|admin_policy_enforced|deleted_client|org_internal"
)


def upgrade() -> None:
    connection = op.get_bind()
    connection.exec_driver_sql(
        "UPDATE attempt SET reply = '' WHERE stage = 'auth' AND code <> 0 AND reply <> ''"
    )
    _rewrite("attempt", "reply", "stage = 'auth' AND code = 0", _own_words)
    _rewrite("outbox", "refusal", "refusal LIKE 'auth: %'", _quoting)
    for column in ("words", "told_words"):
        _rewrite("alert", column, f"key = 'relay' AND {column} LIKE '%auth: %'", _quoting)


def _rewrite(table: str, column: str, condition: str, rewritten: Callable[[str], str]) -> None:
    connection = op.get_bind()
    update = sa.text(f"UPDATE {table} SET {column} = :after WHERE {column} = :before AND {condition}")
    found = connection.execute(sa.text(f"SELECT DISTINCT {column} FROM {table} WHERE {condition}"))
    for before in found.scalars().all():
        if (after := rewritten(before)) != before:
            connection.execute(update, {"before": before, "after": after})


def _quoting(words: str) -> str:
    return re.sub(r"\bauth: ([^\n]*)", lambda found: f"auth: {_reply(found[1])}", words)


def _reply(words: str) -> str:
    codes = re.match(rf"{CODES}(?!\S)", words)
    return codes[0] if codes else _own_words(words)


def _own_words(words: str) -> str:
    """Why there was no reply, without what somebody else had said."""
    if words.startswith("not an SMTP reply"):
        return "not an SMTP reply"
    if re.match(r"the token endpoint does not answer: .*illegal", words):
        return "the token endpoint does not answer: what it says is not HTTP"
    if words.startswith(REFUSES):
        known = re.match(
            rf"(?:{KNOWN}|HTTP status \d+)(?!\w)(?: \(AADSTS\d{{1,9}}\))?", words[len(REFUSES) :]
        )
        return f"{REFUSES}{known[0] if known else 'a code that is not known'}"
    return words
