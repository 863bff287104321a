"""Finds when to try again in the text of a reply: "in 5 minutes", "greylisted for 299 seconds", "after Sun, 23 Mar 2025
10:01:34 UTC". Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

LONGEST = timedelta(days=1)
"""The longest wait that a reply can ask for: limits of relays are per day at most."""
_MARGIN = timedelta(seconds=1)  # relays count whole seconds
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_NUMBER = r"(\d{1,6}) ?(s|m|h|d|secs?|mins?|hrs?|seconds?|minutes?|hours?|days?)\b"
_WAIT = r"\b(?:again|retry|retrying|wait|back|later|resend|gr[ea]y-?list(?:ed|ing)?|delayed|deferred|blocked|limited)\b"
_FOR = re.compile(
    rf"{_WAIT}[^0-9]{{0,60}}?{_NUMBER}|\b(?:in|after|for) {_NUMBER}[^0-9]{{0,40}}?\b(?:again|retry)\b",
    re.IGNORECASE,
)
_CLOCK = re.compile(rf"{_WAIT}[^0-9]{{0,20}}?\bin (\d{{1,2}}):(\d\d):(\d\d)\b", re.IGNORECASE)
_ZONE = r" ?(?:utc|gmt|z|[+-]\d\d:?\d\d)\b"
_UNTIL = r"\b(?:after|until|till|before|again at|retry at|again on)\b[^0-9]{0,20}?"
_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)"
_DATE = re.compile(
    rf"{_UNTIL}(\d{{1,2}} {_MONTH} \d{{4}} \d\d:\d\d(?::\d\d)?{_ZONE})", re.IGNORECASE
)  # RFC 5322, 3.3
_ISO = re.compile(
    rf"{_UNTIL}(\d{{4}}-\d\d-\d\d)[T ](\d\d:\d\d(?::\d\d)?)(?:\.\d{{1,9}})?({_ZONE})", re.IGNORECASE
)


def named_moment(text: str, now: datetime) -> datetime | None:
    """The last instant (UTC) that a reply names, at most `LONGEST` from `now`; None if it names none in the future. A
    time without its zone does not count."""
    ahead = [instant for instant in _instants(text, now) if instant > now]
    return min(max(ahead), now + LONGEST - _MARGIN) + _MARGIN if ahead else None


def _instants(text: str, now: datetime) -> Iterator[datetime]:
    for found in _FOR.finditer(text):
        number, unit = found[1] or found[3], found[2] or found[4]
        yield now + timedelta(seconds=min(int(number) * _UNITS[unit[0].lower()], LONGEST.total_seconds()))
    for found in _CLOCK.finditer(text):
        hours, minutes, seconds = map(int, found.groups())
        yield now + timedelta(hours=hours, minutes=minutes, seconds=seconds)
    with suppress(ValueError, OverflowError):
        for found in _DATE.finditer(text):
            yield parsedate_to_datetime(found[1].upper().replace("Z", "+0000")).astimezone(UTC)
    with suppress(ValueError, OverflowError):
        for found in _ISO.finditer(text):
            zone = found[3].strip().upper().replace("UTC", "Z").replace("GMT", "Z")
            yield datetime.fromisoformat(f"{found[1]}T{found[2]}{zone}").astimezone(UTC)
