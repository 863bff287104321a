"""Replies to AUTH that earlier versions stored read as they do now (0017): they could repeat the password."""

from __future__ import annotations

import pytest

from scheduler.database.engine import Database, execute
from scheduler.smtp.replies import read_reply
from tests.database.earlier import made_by
from tests.support import utc

NOW = utc("2025-06-12 08:00")
SECRET = "c0rrect-h0rse"
REFUSES, SILENT = "the token endpoint refuses: ", "the token endpoint does not answer: "
REPLIES = [
    # stage, code, enhanced code, reply as it was, and as it is
    ("auth", 535, "5.7.8", f"Error: AGNvcnJlY3Q= {SECRET}", ""),
    ("auth", 454, "", f"4.7.0. {SECRET}", ""),
    ("auth", 535, "5.7.8", "", ""),
    ("auth", 0, "", f"not an SMTP reply: {SECRET}", "not an SMTP reply"),
    ("auth", 0, "", f"{REFUSES}correct_horse", f"{REFUSES}a code that is not known"),
    ("auth", 0, "", f"{REFUSES}invalid_grant (AADSTS700082)", f"{REFUSES}invalid_grant (AADSTS700082)"),
    ("auth", 0, "", f"{REFUSES}HTTP status 404", f"{REFUSES}HTTP status 404"),
    ("auth", 0, "", f"{SILENT}illegal status line: bytearray(b'{SECRET}')", f"{SILENT}what it says is not HTTP"),
    ("auth", 0, "", f"{SILENT}All connection attempts failed", f"{SILENT}All connection attempts failed"),
    ("auth", 0, "", "the relay does not offer AUTH PLAIN", "the relay does not offer AUTH PLAIN"),
    ("rcpt", 550, "5.1.1", "no such user", "no such user"),
    ("content", 250, "2.0.0", "Ok: queued as A1", "Ok: queued as A1"),
    ("connect", 0, "", "not an SMTP reply: hello", "not an SMTP reply: hello"),
    ("", 0, "", "", ""),
]  # fmt: skip

STOP = "The relay refuses all mail, and only its operator can change that: "
GOES_ON = "\n\nUntil then no mail to registrants goes out. It is tried again by itself."
WORDS = [
    (f"{STOP}auth: 535 5.7.8 Error: {SECRET}{GOES_ON}", f"{STOP}auth: 535 5.7.8{GOES_ON}"),
    (f"{STOP}auth: 535 Error: {SECRET}{GOES_ON}", f"{STOP}auth: 535{GOES_ON}"),
    (f"{STOP}auth: not an SMTP reply: {SECRET}{GOES_ON}", f"{STOP}auth: not an SMTP reply{GOES_ON}"),
    (f"{STOP}mail: 550 5.7.1 not allowed{GOES_ON}", f"{STOP}mail: 550 5.7.1 not allowed{GOES_ON}"),
]
REFUSALS = [
    (f"auth: 535 5.7.8 Error: {SECRET}", "auth: 535 5.7.8"),
    ("auth: no answer in time", "auth: no answer in time"),
    ("rcpt: 550 5.1.1 auth: no such user", "rcpt: 550 5.1.1 auth: no such user"),
    ("", ""),
]


@pytest.fixture
def migrated(database: Database) -> Database:
    made_by(database, "0016")
    with database.transaction() as conn:
        for number, (stage, code, enhanced, before, _) in enumerate(REPLIES):
            execute(
                conn,
                "INSERT INTO attempt (delivery_id, lease_token, relay, address, language, text_revision, started_at,"
                " outcome, stage, code, enhanced, reply)"
                " VALUES (:id, 't', 'r', 'a', 'en', 1, :now, 'deferred', :stage, :code, :enhanced, :reply)",
                id=number, now=NOW, stage=stage, code=code, enhanced=enhanced, reply=before,
            )  # fmt: skip
        for number, (before, _) in enumerate(WORDS):
            execute(
                conn,
                "INSERT INTO alert (key, alert_to, words, raised_at, told_at, told_words)"
                " VALUES ('relay', :to, :words, :now, :now, :words)",
                to=str(number), words=before, now=NOW,
            )  # fmt: skip
        for before, _ in REFUSALS:
            execute(
                conn,
                "INSERT INTO outbox (recipient, sender, content, asked_at, refusal)"
                " VALUES ('a', 'b', '', :now, :words)",
                words=before, now=NOW,
            )  # fmt: skip
    database.migrate()
    return database


def test_of_a_reply_to_auth_only_its_codes_are_left(migrated: Database) -> None:
    with migrated.reading() as conn:
        rows = execute(conn, "SELECT stage, code, enhanced, reply FROM attempt ORDER BY delivery_id").all()
    assert [tuple(row) for row in rows] == [(*one[:3], one[4]) for one in REPLIES]
    for row in rows:
        if row.stage == "auth" and row.code:
            now = read_reply("auth", row.code, f"{row.enhanced} {SECRET}")
            assert (now.enhanced, now.text) == (row.enhanced, row.reply), "as new ones are stored"


def test_alerts_and_test_mails_that_quote_one_have_its_codes_alone(migrated: Database) -> None:
    with migrated.reading() as conn:
        alerts = execute(conn, "SELECT words, told_words FROM alert ORDER BY alert_to").all()
        refusals = execute(conn, "SELECT refusal FROM outbox ORDER BY id").scalars().all()
    assert [tuple(row) for row in alerts] == [(after, after) for _, after in WORDS]
    assert refusals == [after for _, after in REFUSALS]
