"""When a reply says to try again."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.smtp.moments import LONGEST, named_moment
from tests.support import utc

NOW = utc("2025-03-23 10:00")
SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("try again after Sun, 23 Mar 2025 10:01:34 UTC", 94),
        ("Please try again after Sun, 23 Mar 2025 11:01:34 +0100", 94),
        ("not before 2025-03-23T10:05:00Z", 300),
        ("blocked until 2025-03-23 10:05:00 UTC", 300),
        ("again at 2025-03-23T12:05:00.123+02:00", 300),
        ("try again in 15 seconds.", 15),
        ("Please retry in 5 minutes", 300),
        ("retry after 300 seconds", 300),
        ("<address>: Recipient address rejected: Greylisted for 299 seconds", 299),
        ("Greylisted, see http://postgrey.example.org/help/p.html, wait 5 min", 300),
        ("Greylisting in action, please come back in 00:05:00", 300),
        ("Ratelimit exceeded, try again in 1 hour", 3600),
        ("In 10 minutes you may try again", 600),
        ("deferred for 300s", 300),
        ("retry in 1h", 3600),
        ("wait 2 minutes, or retry in 4 minutes", 240),
    ],
)
def test_a_moment_is_understood(text: str, seconds: int) -> None:
    assert named_moment(text, NOW) == NOW + timedelta(seconds=seconds) + SECOND


@pytest.mark.parametrize(
    "text",
    [
        "Try again later",
        "try again after Sun, 23 Mar 2025 09:59:00 UTC",  # past
        "try again after Sun, 23 Mar 2025 10:01:34",  # on which clock?
        "try again after 2025-03-23 10:05:00",
        "try again after Sun, 99 Mar 2025 10:01:34 UTC",
        "try again after 2025-13-45T10:05:00Z",
        "Domain has exceeded the max emails per hour (200/200)",
        "too many mails: 100 in 60 minutes",
        "the connection lasted for 300 seconds",
        "again 12345678 seconds",
        "retry in 0 seconds",
        "",
    ],
)
def test_what_names_no_moment_ahead_names_none(text: str) -> None:
    assert named_moment(text, NOW) is None


@pytest.mark.parametrize(
    "text",
    [
        "try again after Mon, 23 Mar 2026 10:01:34 UTC",
        "try again after 9999-12-31T23:59:59Z",
        "retry after 999999 days",
        "wait 48 hours",
        "come back in 99:59:59",
    ],
)
def test_no_reply_keeps_us_away_for_longer_than_a_day(text: str) -> None:
    assert named_moment(text, NOW) == NOW + LONGEST


@given(st.text(alphabet=st.sampled_from("0123456789 retryagnminuteshdUTCMar:-+TZ,after"), max_size=120))
def test_whatever_it_says_the_moment_is_ahead_and_near(text: str) -> None:
    moment = named_moment(text, NOW)
    assert moment is None or NOW < moment <= NOW + LONGEST
