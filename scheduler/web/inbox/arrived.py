"""Mails that arrived at a test relay, as deliveries of an inbox: what their headers say. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC
from email.message import Message
from email.parser import BytesHeaderParser
from email.utils import parseaddr, parsedate_to_datetime
from pathlib import Path
from typing import Any

from scheduler.mail.received import header_words

OTHER = "other-mail"
"""The message of a mail that belongs to no webinar."""


def arrived_deliveries(mails: Iterable[tuple[Path, bytes]]) -> list[dict[str, Any]]:
    """A delivery, as in deliveries.json, for each mail with a recipient: a file in `mails/`, and its bytes. Those of no
    webinar (alerts, tests of texts) are called other mails. What a mail does not say is empty; times are in UTC."""
    found = (_delivery(path, _headers(content)) for path, content in mails)
    return [one for one in found if one["email"]]


def _headers(content: bytes) -> Message:
    return BytesHeaderParser().parsebytes(content.partition(b"\r\n\r\n")[0] + b"\r\n\r\n")


def _delivery(path: Path, headers: Message) -> dict[str, Any]:
    message, _, language, *_ = [*str(headers["Feedback-ID"] or OTHER).strip().split(":"), "", "", ""]
    sent = _date(str(headers["Date"]))
    name, email = parseaddr(str(headers["To"] or ""))
    return {
        "webinar": "",  # so that a recipient has one page for all webinars
        "email": email,
        "name": header_words(name),
        "message": message,
        "edition": 0,
        "language": language,
        "text_language": language,
        "zone": "UTC",
        "zone_known_by": "",
        "due_at": sent,
        "due_local": sent,
        "start_local": None,
        "sent_at": sent,
        "state": "sent",
        "reason": "",
        "message_id": str(headers["Message-ID"]).strip(),
        "eml": f"mails/{path.name}",
    }


def _date(written: str) -> str:
    """The header's date in ISO 8601; "" if it is none."""
    try:
        return parsedate_to_datetime(written).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (TypeError, ValueError, OverflowError):
        return ""
