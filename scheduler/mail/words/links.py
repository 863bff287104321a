"""Links in mails: mails to the organizers' secretariat with a prepared subject, and pages that add to a calendar."""

from __future__ import annotations

from datetime import datetime
from urllib.parse import quote

_UTC = "%Y%m%dT%H%M%SZ"
_WALL = "%Y%m%dT%H%M%S"
_LOCAL_PART = (
    "!$'*+-_.~"  # RFC 6068: all other punctuation of a local part is percent-encoded in a mailto link
)


def mailto_address(address: str) -> str:
    """A mailto link to `address`, without a subject (RFC 6068)."""
    local, _, domain = address.rpartition("@")
    return f"mailto:{quote(local, safe=_LOCAL_PART)}@{quote(domain, safe='.-:[]')}"


def mailto(address: str, subject: str, body: str = "") -> str:
    """A link that opens a mail to `address`. Blanks are %20: "+" would stay a plus (RFC 6068)."""
    link = f"{mailto_address(address)}?subject={quote(subject, safe='')}"
    return f"{link}&body={quote(body, safe='')}" if body else link


def google_calendar(title: str, start: datetime, end: datetime, details: str, location: str) -> str:
    """A link to Google Calendar's page with the entry filled in; `start` and `end` in UTC."""
    return "https://calendar.google.com/calendar/render?" + _query(
        action="TEMPLATE",
        text=title,
        dates=f"{start.strftime(_UTC)}/{end.strftime(_UTC)}",
        details=details,
        location=location,
    )


def outlook_calendar(
    title: str, start: datetime, end: datetime, details: str, location: str, *, host: str
) -> str:
    """A link to Outlook's page with the entry filled in, at `host` (outlook.live.com, outlook.office.com). UTC."""
    return f"https://{host}/calendar/0/action/compose?" + _query(
        rru="addevent",
        subject=title,
        startdt=start.strftime("%Y-%m-%dT%H:%M:%SZ"),
        enddt=end.strftime("%Y-%m-%dT%H:%M:%SZ"),
        body=details,
        location=location,
    )


def yahoo_calendar(title: str, start: datetime, end: datetime, details: str, location: str) -> str:
    """A link to Yahoo's page with the entry filled in. `start` and `end` are on the reader's clock: Yahoo takes any
    time as one on its user's clock, even a time in UTC."""
    return "https://calendar.yahoo.com/?" + _query(
        v="60",
        title=title,
        st=start.strftime(_WALL),
        et=end.strftime(_WALL),
        desc=details,
        in_loc=location,
    )


def _query(**fields: str) -> str:
    return "&".join(f"{key}={quote(value, safe='/')}" for key, value in fields.items() if value)
