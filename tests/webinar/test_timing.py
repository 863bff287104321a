"""When each message is due in a zone, and until when it is useful."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest
import pytz
from hypothesis import given
from hypothesis import strategies as st

from scheduler.webinar.model import Message, Webinar
from scheduler.webinar.timing import Timing, timings
from scheduler.zones.wall import to_local

START = datetime(2025, 7, 3, 13, tzinfo=UTC)  # what the clock shows in Geneva


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type, misc]


def rule(id: str, **about: Any) -> Message:
    return Message.model_construct(id=id, **about)


def webinar(
    *messages: Message, start: datetime = START, hours: float = 2, zone: str = "CET/Geneva time"
) -> Webinar:
    """A webinar that begins when the clock in `zone` shows `start` (whose own zone is left aside)."""
    begin = start.replace(tzinfo=None)
    end = begin + timedelta(hours=hours)
    about: dict[str, Any] = {"zone": zone, "start_wall": begin, "end_wall": end, "messages": messages}
    return Webinar.model_construct(**about)


CONFIRMATION = rule("confirmation", on_registration=True)
DAY = rule("reminder-day", days_before=1, at=time(9))
HOUR = rule("reminder-hour", before_start=timedelta(hours=1))
FOLLOW_UP = rule("follow-up", days_after=1, at=time(10))
TRILATERAL = (CONFIRMATION, DAY, HOUR, FOLLOW_UP)


def timing(message: Message, zone: str, /, *others: Message, **about: Any) -> Timing:
    """The timing of one message in a zone, in a sequence with the others behind it."""
    return timings(webinar(message, *others, **about), pytz.timezone(zone))[0]


def due(message: Message, zone: str, /, **about: Any) -> datetime | None:
    return timing(message, zone, **about).due_at


class TestTheTrilateralWebinar:
    @pytest.mark.parametrize(
        ("zone", "day_before", "follow_up"),
        [
            ("Europe/Zurich", utc(2025, 7, 2, 7), utc(2025, 7, 4, 8)),
            ("Africa/Nairobi", utc(2025, 7, 2, 6), utc(2025, 7, 4, 7)),
            ("America/New_York", utc(2025, 7, 2, 13), utc(2025, 7, 4, 14)),
            ("Asia/Kathmandu", utc(2025, 7, 2, 3, 15), utc(2025, 7, 4, 4, 15)),
            ("Pacific/Pago_Pago", utc(2025, 7, 2, 20), utc(2025, 7, 4, 21)),
            # From 4 July 01:00 to 03:00 in Kiritimati: the day before is the third.
            ("Pacific/Kiritimati", utc(2025, 7, 2, 19), utc(2025, 7, 4, 20)),
            # From 3 July 23:00 to 4 July 01:00 in Auckland: the day after its end is the fifth.
            ("Pacific/Auckland", utc(2025, 7, 1, 21), utc(2025, 7, 4, 22)),
            # From 22:00 to midnight in Noumea: it ends on the third.
            ("Pacific/Noumea", utc(2025, 7, 1, 22), utc(2025, 7, 3, 23)),
        ],
    )
    def test_each_message_is_due_at_the_right_hour_for_its_reader(
        self, zone: str, day_before: datetime, follow_up: datetime
    ) -> None:
        start, end = utc(2025, 7, 3, 11), utc(2025, 7, 3, 13)
        an_hour_before = utc(2025, 7, 3, 10)
        assert timings(webinar(*TRILATERAL), pytz.timezone(zone)) == [
            Timing("confirmation", None, end),
            Timing("reminder-day", day_before, an_hour_before),
            Timing("reminder-hour", an_hour_before, start),
            Timing("follow-up", follow_up, end + timedelta(days=30)),
        ]

    def test_everybody_gets_every_message_and_at_nine_and_ten_on_their_own_clock(self) -> None:
        trilateral = webinar(*TRILATERAL)
        for zone in pytz.all_timezones:
            tz = pytz.timezone(zone)
            _, day, hour, follow_up = timings(trilateral, tz)
            assert not day.never + hour.never + follow_up.never, zone
            assert day.due_at is not None, zone
            assert follow_up.due_at is not None, zone
            begins = to_local(utc(2025, 7, 3, 11), tz)
            assert to_local(day.due_at, tz).time() == time(9), zone
            assert to_local(day.due_at, tz).date() == begins.date() - timedelta(days=1), zone
            assert to_local(follow_up.due_at, tz).time() == time(10), zone
            assert hour.due_at == utc(2025, 7, 3, 10), zone


class TestDaysAndHours:
    """The clocks of Zurich are put back on 26 October 2025, and forward on 30 March 2025."""

    def test_one_day_before_is_the_same_wall_time_over_a_change(self) -> None:
        day_before = rule("m", days_before=1, at=time(13))
        assert due(day_before, "Europe/Zurich", start=utc(2025, 10, 26, 13)) == utc(2025, 10, 25, 11)
        assert due(day_before, "Europe/Zurich", start=utc(2025, 3, 30, 13)) == utc(2025, 3, 29, 12)

    def test_a_day_without_an_hour_is_at_the_hour_of_the_webinar(self) -> None:
        assert due(rule("m", days_before=1), "Asia/Tokyo") == utc(2025, 7, 2, 11)
        assert due(rule("m", days_after=1), "Asia/Tokyo") == utc(2025, 7, 4, 13)

    def test_24_hours_before_is_exact(self) -> None:
        exact = rule("m", before_start=timedelta(hours=24))
        assert due(exact, "Europe/Zurich", start=utc(2025, 10, 26, 13)) == utc(2025, 10, 25, 12)

    def test_durations_are_the_same_instant_in_every_zone_down_to_seconds(self) -> None:
        seconds = rule("m", before_start=timedelta(seconds=90))
        after = rule("n", after_end=timedelta(seconds=90))
        for zone in ("Pacific/Kiritimati", "Pacific/Pago_Pago", "Europe/Zurich"):
            assert due(seconds, zone) == utc(2025, 7, 3, 10, 58, 30)
            assert due(after, zone) == utc(2025, 7, 3, 13, 1, 30)

    def test_the_webinars_clock_is_one_instant_for_everybody(self) -> None:
        noon = rule("m", days_before=1, at=time(9), clock="webinar")
        for zone in ("Pacific/Kiritimati", "Pacific/Pago_Pago", "Europe/Zurich"):
            assert due(noon, zone) == utc(2025, 7, 2, 7)

    def test_a_due_time_in_a_gap_or_a_doubled_hour_never_fails(self) -> None:
        half_past_one = rule("m", days_before=1, at=time(1, 30))
        assert due(half_past_one, "Europe/Dublin", start=utc(2026, 10, 26, 13)) == utc(2026, 10, 25, 0, 30)
        assert due(half_past_one, "Europe/Dublin", start=utc(2026, 3, 30, 13)) == utc(2026, 3, 29, 1, 30)

    def test_days_after_count_from_the_day_of_the_end(self) -> None:
        next_day = rule("m", days_after=1, at=time(10))
        over_midnight = {"start": utc(2025, 7, 3, 23), "zone": "Pacific/Auckland"}
        assert due(next_day, "Pacific/Auckland", **over_midnight) == utc(2025, 7, 4, 22)
        until_midnight = {"start": utc(2025, 7, 3, 22), "zone": "Pacific/Auckland"}
        assert due(next_day, "Pacific/Auckland", **until_midnight) == utc(2025, 7, 3, 22)


class TestUntilWhenItIsOfUse:
    def test_a_reminder_until_the_start(self) -> None:
        assert timing(HOUR, "Europe/Zurich").expires_at == utc(2025, 7, 3, 11)

    def test_or_until_the_next_one_takes_over(self) -> None:
        assert timing(DAY, "Europe/Zurich", HOUR).expires_at == utc(2025, 7, 3, 10)

    def test_the_next_one_by_time_in_whatever_order_they_are_written(self) -> None:
        week = rule("reminder-week", days_before=7, at=time(9))
        hour, found_week, day = timings(webinar(HOUR, week, DAY), pytz.timezone("Asia/Tokyo"))
        assert (found_week.expires_at, day.expires_at, hour.expires_at) == (
            day.due_at, hour.due_at, utc(2025, 7, 3, 11)
        )  # fmt: skip

    def test_one_that_nobody_here_gets_takes_nothing_over(self) -> None:
        same_day = rule("same-day", days_before=0, at=time(9))  # 00:00 UTC in Tokyo, 13:00 in New York
        assert timing(DAY, "Asia/Tokyo", same_day).expires_at == utc(2025, 7, 3, 0)
        assert timing(DAY, "America/New_York", same_day).expires_at == utc(2025, 7, 3, 11)

    def test_of_two_that_fall_together_only_the_later_in_the_sequence_goes_out(self) -> None:
        noon = rule("noon", days_before=0, at=time(12))
        first, second = timings(webinar(noon, HOUR), pytz.timezone("Europe/Zurich"))
        assert first.never == "falls together with reminder-hour"
        assert second == Timing("reminder-hour", utc(2025, 7, 3, 10), utc(2025, 7, 3, 11))
        assert not timings(webinar(noon, HOUR), pytz.timezone("Africa/Nairobi"))[0].never

    def test_a_confirmation_until_the_end(self) -> None:
        assert timing(CONFIRMATION, "Asia/Tokyo") == Timing("confirmation", None, utc(2025, 7, 3, 13))

    def test_a_follow_up_for_30_days(self) -> None:
        assert timing(FOLLOW_UP, "Asia/Tokyo").expires_at == utc(2025, 8, 2, 13)


class TestNever:
    def test_the_same_day_at_nine_falls_after_the_start_in_many_zones(self) -> None:
        same_day = rule("m", days_before=0, at=time(9))
        never = {zone for zone in pytz.common_timezones if timing(same_day, zone).never}
        assert {"America/New_York", "America/Sao_Paulo", "Pacific/Kiritimati"} <= never
        assert not {"Europe/Zurich", "Asia/Tokyo", "Africa/Abidjan"} & never
        assert len(never) == 175
        assert len(pytz.common_timezones) == 433
        assert {timing(same_day, zone).never for zone in never} == {"falls after the start"}

    def test_a_reminder_at_the_very_start_comes_too_late(self) -> None:
        start = rule("m", days_before=0, at=time(13))
        assert timing(start, "Europe/Zurich").never == "falls after the start"

    def test_a_follow_up_before_the_end_comes_too_early(self) -> None:
        evening = rule("m", days_after=0, at=time(15))
        assert timing(evening, "Europe/Zurich").never == ""  # at the very end
        assert timing(evening, "Africa/Abidjan").never == ""
        assert timing(evening, "Asia/Tokyo").never == "falls before the end"

    def test_a_follow_up_after_30_days_is_of_no_use(self) -> None:
        late = Message(
            id="m", days_after=29, at=time(23)
        )  # 2 August 06:00 UTC in California, 09:00 in Hawaii
        assert timing(late, "Europe/Zurich").never == ""
        late = rule("m", days_after=30, at=time(16))
        assert timing(late, "Europe/Zurich").never == "falls more than 30 days after the end"


RULES = st.one_of(
    st.builds(lambda d: {"before_start": d}, st.timedeltas(timedelta(seconds=1), timedelta(days=20))),
    st.builds(lambda d: {"after_end": d}, st.timedeltas(timedelta(0), timedelta(days=29))),
    st.builds(
        lambda key, days, at, clock: {key: days, "at": at, "clock": clock},
        st.sampled_from(["days_before", "days_after"]),
        st.integers(0, 29),
        st.times().map(lambda at: at.replace(second=0, microsecond=0)),
        st.sampled_from(["registrant", "webinar"]),
    ),
    st.just({"on_registration": True}),
)


class TestEverySequenceInEveryZone:
    @given(
        st.lists(RULES, min_size=1, max_size=6),
        st.sampled_from(pytz.all_timezones),
        st.datetimes(datetime.fromisoformat("2024-01-01"), datetime.fromisoformat("2036-12-31")),
        st.floats(0.5, 30),
    )
    def test_its_times_are_in_order(self, about: list[Any], zone: str, start: datetime, hours: float) -> None:
        messages = [rule(f"m{index}", **each) for index, each in enumerate(about)]
        event = webinar(*messages, start=start.replace(second=0, microsecond=0), hours=hours, zone="UTC")
        found = timings(event, pytz.timezone(zone))
        assert [timing.message for timing in found] == [message.id for message in messages]
        goes_out = []
        for message, each in zip(messages, found, strict=True):
            if message.kind == "reminder":
                assert each.expires_at <= event.start
                goes_out += [(each.due_at, each.expires_at)] if not each.never else []
            if message.kind == "follow-up" and not each.never:
                assert each.due_at is not None
                assert each.due_at >= event.end
            if each.due_at is None:
                assert message.on_registration
                assert not each.never
            else:
                assert each.never or each.due_at < each.expires_at
        # Each reminder ends where the next one begins, so that only the latest of several is ever due.
        goes_out.sort()
        assert [end for _, end in goes_out] == [
            *(begin for begin, _ in goes_out[1:]),
            *([event.start] * bool(goes_out)),
        ]
