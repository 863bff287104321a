"""Mails that arrived at a test relay, as deliveries of an inbox: what their headers say. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC
from email.message import Message
from email.parser import BytesHeaderParser
from email.utils import parseaddr, parsedate_to_datetime
from pathlib import Path
from typing import Any


def arrived_deliveries(mails: Iterable[tuple[Path, bytes]]) -> list[dict[str, Any]]:
    """A delivery, as in deliveries.json, for each mail of a webinar: a file in `mails/`, and its bytes. Other mails
    (alerts, tests of texts) are left out. What a mail does not say is empty; times are in UTC."""
    found = ((path, _headers(content)) for path, content in mails)
    return [_delivery(path, headers) for path, headers in found if headers["Feedback-ID"]]


def _headers(content: bytes) -> Message:
    return BytesHeaderParser().parsebytes(content.partition(b"\r\n\r\n")[0] + b"\r\n\r\n")


def _delivery(path: Path, headers: Message) -> dict[str, Any]:
    message, webinar, language, *_ = [*str(headers["Feedback-ID"]).strip().split(":"), "", "", ""]
    sent = _date(str(headers["Date"]))
    return {
        "webinar": webinar,
        "email": parseaddr(str(headers["To"]))[1],
        "name": "",
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
