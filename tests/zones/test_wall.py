"""Wall time and UTC, and whose clock is meant."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
import pytz
from hypothesis import assume, given
from hypothesis import strategies as st

from scheduler.zones.wall import (
    AmbiguousTime,
    BeyondTheRules,
    NonexistentTime,
    UnknownZone,
    WallTimeError,
    Zone,
    computed_to_utc,
    registrant_zone,
    to_local,
    to_utc,
    tz_version,
    webinar_zone,
    zone_of,
    zone_place,
)

ZURICH = pytz.timezone("Europe/Zurich")
DUBLIN = pytz.timezone("Europe/Dublin")
START = datetime(2025, 7, 3, 11, 0, tzinfo=UTC)
JANUARY = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)


def utc(year: int, month: int, day: int, hour: int = 0, minute: int = 0) -> datetime:
    return datetime(year, month, day, hour, minute, tzinfo=UTC)


def wall_time(year: int, month: int, day: int, hour: int = 0, minute: int = 0) -> datetime:
    return utc(year, month, day, hour, minute).replace(tzinfo=None)


def transitions(zone: Zone, first_year: int, last_year: int) -> list[datetime]:
    """The instants (UTC) at which the clocks of a zone are put forward or back."""
    times = [t.replace(tzinfo=UTC) for t in getattr(zone, "_utc_transition_times", [])]
    return [t for t in times if first_year <= t.year <= last_year]


def readings(wall: datetime, zone: Zone) -> list[datetime]:
    """The instants at which clocks show a wall time, found by trying every offset of the days around it."""
    around = [wall.replace(tzinfo=UTC) + timedelta(hours=h) for h in range(-48, 49)]
    offsets = {instant.astimezone(zone).utcoffset() or timedelta(0) for instant in around}
    instants = {(wall - offset).replace(tzinfo=UTC) for offset in offsets}
    return sorted(i for i in instants if i.astimezone(zone).replace(tzinfo=None) == wall)


def strict_or_first_reading(wall: datetime, zone: Zone) -> datetime:
    """What strictness gives, or the first of the readings that its error names."""
    try:
        return to_utc(wall, zone)
    except (AmbiguousTime, NonexistentTime) as error:
        return error.readings[0]


# Instants of 2000-2037 in every zone, half of them within hours of a change of its clocks.
@st.composite
def zones_and_instants(draw: st.DrawFn) -> tuple[Zone, datetime]:
    zone = pytz.timezone(draw(st.sampled_from(pytz.all_timezones)))
    changes = transitions(zone, 2000, 2037)
    near_a_change: bool = draw(st.booleans())
    if changes and near_a_change:
        return zone, draw(st.sampled_from(changes)) + timedelta(minutes=draw(st.integers(-300, 300)))
    return zone, utc(2000, 1, 2) + timedelta(seconds=draw(st.integers(0, 38 * 365 * 86400 - 2 * 86400)))


class TestWallTimeToUtc:
    def test_the_trilateral_webinar_is_from_11_to_13_utc(self) -> None:
        zone = webinar_zone("CET/Geneva time")
        assert to_utc(wall_time(2025, 7, 3, 13, 0), zone) == utc(2025, 7, 3, 11, 0)
        assert to_utc(wall_time(2025, 7, 3, 15, 0), zone) == utc(2025, 7, 3, 13, 0)

    def test_instants_are_in_utc_and_of_pythons_own_class(self) -> None:
        assert to_utc(wall_time(2025, 7, 3, 13, 0), ZURICH).tzinfo is UTC
        assert computed_to_utc(wall_time(2025, 7, 3, 13, 0), ZURICH).tzinfo is UTC

    def test_a_time_that_clocks_skip_is_an_error_that_names_two_readings(self) -> None:
        with pytest.raises(NonexistentTime) as error:
            to_utc(wall_time(2026, 3, 29, 2, 30), ZURICH)
        assert error.value.readings == (utc(2026, 3, 29, 1, 30), utc(2026, 3, 29, 0, 30))
        assert str(error.value) == (
            "2026-03-29 02:30 does not exist in Europe/Zurich, as clocks are put forward then: "
            "write 03:30 (UTC+02:00, 01:30 UTC) or 01:30 (UTC+01:00, 00:30 UTC)"
        )

    def test_a_time_that_clocks_show_twice_is_an_error_that_names_two_readings(self) -> None:
        with pytest.raises(AmbiguousTime) as error:
            to_utc(wall_time(2026, 10, 25, 2, 30), ZURICH)
        assert error.value.readings == (utc(2026, 10, 25, 0, 30), utc(2026, 10, 25, 1, 30))
        assert str(error.value) == (
            "2026-10-25 02:30 happens twice in Europe/Zurich, as clocks are put back then: "
            "02:30 (UTC+02:00, 00:30 UTC) and 02:30 (UTC+01:00, 01:30 UTC)"
        )

    def test_after_2037_there_are_no_rules(self) -> None:
        assert to_utc(wall_time(2037, 7, 3, 13, 0), ZURICH) == utc(2037, 7, 3, 11, 0)
        with pytest.raises(BeyondTheRules, match="up to 2037"):
            to_utc(wall_time(2040, 7, 3, 13, 0), ZURICH)

    @pytest.mark.parametrize("error", [NonexistentTime, AmbiguousTime, BeyondTheRules])
    def test_one_class_catches_all_three(self, error: type[Exception]) -> None:
        assert issubclass(error, WallTimeError)

    @pytest.mark.parametrize("convert", [to_utc, computed_to_utc])
    def test_an_aware_wall_time_is_refused(self, convert: object) -> None:
        with pytest.raises(TypeError):
            convert(START, ZURICH)  # type: ignore[operator]

    def test_a_naive_instant_is_refused_as_python_would_take_the_machines_zone(self) -> None:
        with pytest.raises(TypeError):
            to_local(wall_time(2025, 7, 3, 11, 0), ZURICH)

    def test_it_is_not_the_local_mean_time_of_1894(self) -> None:
        assert to_local(START, ZURICH).utcoffset() == timedelta(hours=2)
        assert to_utc(wall_time(2025, 7, 3, 13, 0), ZURICH) != datetime(2025, 7, 3, 13, 0, tzinfo=ZURICH)

    def test_the_tz_database_is_pytzs(self) -> None:
        assert tz_version() == pytz.OLSON_VERSION  # type: ignore[attr-defined]

    @pytest.mark.parametrize("machine", ["Pacific/Kiritimati", "America/Los_Angeles", "UTC"])
    def test_the_zone_of_the_process_does_not_matter(self, machine: str) -> None:
        program = (
            "import pytz; from datetime import *; from scheduler.zones.wall import *; z = webinar_zone('CET');"
            "i = to_utc(datetime(2025, 7, 3, 13), z);"
            "print(i.isoformat(), computed_to_utc(datetime(2025, 7, 3, 13), z).isoformat(), to_local(i, z))"
        )
        out = subprocess.run(
            [sys.executable, "-c", program], env={"TZ": machine}, capture_output=True, check=True
        )
        assert out.stdout.decode().split() == [
            *["2025-07-03T11:00:00+00:00"] * 2, "2025-07-03", "13:00:00+02:00"
        ]  # fmt: skip


class TestComputedTimes:
    @pytest.mark.parametrize(
        ("zone", "wall", "instant", "why"),
        [
            (
                "Europe/Dublin",
                (2026, 10, 25, 1, 30),
                (2026, 10, 25, 0, 30),
                "doubled: the first, in summer time",
            ),
            ("Europe/Dublin", (2026, 3, 29, 1, 30), (2026, 3, 29, 1, 30), "gap: the offset before it"),
            ("Europe/Zurich", (2026, 10, 25, 2, 30), (2026, 10, 25, 0, 30), "doubled: the first"),
            ("Europe/Zurich", (2026, 3, 29, 2, 30), (2026, 3, 29, 1, 30), "gap: the offset before it"),
            ("Africa/Casablanca", (2025, 2, 23, 2, 30), (2025, 2, 23, 1, 30), "doubled: the first"),
            ("Africa/Casablanca", (2025, 4, 6, 2, 30), (2025, 4, 6, 2, 30), "gap: the offset before it"),
            ("Australia/Lord_Howe", (2026, 4, 5, 1, 45), (2026, 4, 4, 14, 45), "doubled by half an hour"),
            ("Australia/Lord_Howe", (2025, 10, 5, 2, 15), (2025, 10, 4, 15, 45), "a gap of half an hour"),
            ("Pacific/Apia", (2011, 12, 30, 12, 0), (2011, 12, 30, 22, 0), "a day that never was"),
            ("Asia/Kathmandu", (2025, 7, 2, 9, 0), (2025, 7, 2, 3, 15), "UTC+05:45"),
        ],
    )
    def test_they_never_fail(
        self, zone: str, wall: tuple[int, ...], instant: tuple[int, ...], why: str
    ) -> None:
        assert computed_to_utc(wall_time(*wall), pytz.timezone(zone)) == utc(*instant), why

    def test_every_change_of_every_zone(self) -> None:
        """For a minute in the middle of every gap and every doubled hour of 2000-2037."""
        gaps = doubled = 0
        for name in pytz.all_timezones:
            zone = pytz.timezone(name)
            for change in transitions(zone, 2000, 2037):
                before = to_local(change - timedelta(seconds=1), zone).utcoffset()
                after = to_local(change, zone).utcoffset()
                assert before is not None
                assert after is not None
                wall = (change + (before + after) / 2).replace(tzinfo=None)
                if after > before:
                    gaps += 1
                    assert computed_to_utc(wall, zone) == (wall - before).replace(tzinfo=UTC)
                elif after < before:
                    doubled += 1
                    assert computed_to_utc(wall, zone) == (wall - before).replace(tzinfo=UTC)
        assert gaps > 5000
        assert doubled > 5000


# To people these are abbreviations of other zones, and the offset of London in winter.
NO_PLACES = {name for name in pytz.all_timezones if name.upper().removeprefix("ETC/") in
             ("EST", "MST", "GMT", "GMT+0", "GMT-0", "GMT0", "GREENWICH")}  # fmt: skip


class TestEveryZone:
    @given(zones_and_instants())
    def test_an_instant_comes_back_from_the_wall(self, case: tuple[Zone, datetime]) -> None:
        zone, instant = case
        wall = to_local(instant, zone).replace(tzinfo=None)
        assume(wall.year <= 2037)
        instants = readings(wall, zone)
        assert instant in instants
        if len(instants) == 1:
            assert to_utc(wall, zone) == instant
        else:
            with pytest.raises(AmbiguousTime) as error:
                to_utc(wall, zone)
            assert list(error.value.readings) == instants

    @given(zones_and_instants())
    def test_a_computed_time_is_the_first_reading_and_the_only_one_where_strictness_finds_one(
        self, case: tuple[Zone, datetime]
    ) -> None:
        zone, about = case
        wall = about.replace(tzinfo=None)  # any wall time near a change
        instants, computed = readings(wall, zone), computed_to_utc(wall, zone)
        if instants:
            assert computed == instants[0]
        else:  # the clocks went forward over it: it shows as much later as they went
            assert to_local(computed, zone).replace(tzinfo=None) > wall
            assert to_local(computed - timedelta(days=1), zone).utcoffset() == wall - computed.replace(
                tzinfo=None
            )
        assert computed == strict_or_first_reading(wall, zone)

    @given(zones_and_instants())
    def test_strictness_is_that_of_pytz(self, case: tuple[Zone, datetime]) -> None:
        zone, about = case
        wall = about.replace(tzinfo=None)
        try:
            expected = zone.localize(wall, is_dst=None)
        except pytz.NonExistentTimeError:
            with pytest.raises(NonexistentTime):
                to_utc(wall, zone)
        except pytz.AmbiguousTimeError:
            with pytest.raises(AmbiguousTime):
                to_utc(wall, zone)
        else:
            assert to_utc(wall, zone) == expected

    def test_its_name_is_understood_in_any_case_and_keeps_its_time(self) -> None:
        for name in sorted({*pytz.all_timezones} - NO_PLACES):
            zone, named = registrant_zone(name), pytz.timezone(name)
            assert registrant_zone(f"  {name.replace('_', ' ').lower()} ") is zone, name
            assert registrant_zone(str(zone)) is zone, name
            for change in (utc(2024, 1, 1), *transitions(zone, 2024, 2037), *transitions(named, 2024, 2037)):
                for instant in (change - timedelta(seconds=1), change):
                    offset = to_local(instant, named).utcoffset()
                    assert to_local(instant, zone).utcoffset() == offset, (name, instant)


class TestTheWebinarsZone:
    @pytest.mark.parametrize(
        "name",
        ["CET", "CEST", "MET", "cet", "Geneva", "Geneva time", "GENEVA TIME", "Genève", "CET/Geneva time",
         "CET / Geneva time", "Geneva time (CET)", "Geneva, CEST", "Geneva, Switzerland", " CET  "],
    )  # fmt: skip
    def test_cet_and_geneva_mean_the_clock_on_a_wall_in_geneva(self, name: str) -> None:
        assert webinar_zone(name) is ZURICH
        assert zone_place(name) == "Geneva"

    @pytest.mark.parametrize(
        ("name", "zone"),
        [("Europe/Zurich", "Europe/Zurich"), ("W. Europe Standard Time", "Europe/Berlin"),
         ("Asia/Calcutta", "Asia/Kolkata"), ("UTC", "Etc/UTC"), ("America/New_York", "America/New_York")],
    )  # fmt: skip
    def test_other_names_mean_what_they_say(self, name: str, zone: str) -> None:
        assert str(webinar_zone(name)) == zone
        assert zone_place(name) is None

    @pytest.mark.parametrize(
        "name", ["UTC", "Etc/UTC", "Etc/GMT", "etc/gmt", "Etc/GMT0", "Etc/GMT-0", "Etc/Greenwich", "Zulu"]
    )
    def test_greenwich_all_year_is_utc(self, name: str) -> None:
        assert str(webinar_zone(name)) == "Etc/UTC"

    @pytest.mark.parametrize("name", ["GMT", "gmt", "Greenwich", "Greenwich Mean Time"])
    def test_gmt_is_asked_about_as_london_shows_another_time_in_july(self, name: str) -> None:
        with pytest.raises(UnknownZone, match="London") as error:
            webinar_zone(name)
        assert error.value.candidates == ("Europe/London", "UTC")

    @pytest.mark.parametrize("name", ["+01:00", "UTC+1", "GMT+1", "GMT+0"])
    def test_an_offset_is_refused_as_it_would_be_an_hour_wrong_in_july(self, name: str) -> None:
        with pytest.raises(UnknownZone, match="name that of a city"):
            webinar_zone(name)

    @pytest.mark.parametrize(
        ("name", "candidates"),
        [
            ("IST", ("Asia/Kolkata", "Europe/Dublin", "Asia/Jerusalem")),
            ("CST", ("America/Chicago", "Asia/Shanghai", "America/Havana")),
            ("bst", ("Europe/London", "Asia/Dhaka", "Pacific/Bougainville")),
            ("EST", ("America/New_York", "America/Panama")),
        ],
    )
    def test_an_ambiguous_abbreviation_is_refused_with_its_candidates(
        self, name: str, candidates: tuple[str, ...]
    ) -> None:
        for read in (webinar_zone, registrant_zone):
            with pytest.raises(UnknownZone, match="several time zones") as error:
                read(name)
            assert error.value.candidates == candidates
            assert candidates[0] in str(error.value)

    @pytest.mark.parametrize(
        ("name", "nearest"),
        [("Europe/Zurih", "Europe/Zurich"), ("Zurrich", "Europe/Zurich"), ("new yrok", "America/New_York")],
    )
    def test_a_wrong_name_is_refused_with_the_nearest_right_one(self, name: str, nearest: str) -> None:
        with pytest.raises(UnknownZone, match=nearest) as error:
            webinar_zone(name)
        assert error.value.candidates[0] == nearest
        assert error.value.name == name

    @pytest.mark.parametrize(
        "name", ["", "   ", "Europe/CET", "CET/EST", "Geneva/London", "Mars/Olympus", "/"]
    )
    def test_what_means_no_zone_is_refused(self, name: str) -> None:
        with pytest.raises(UnknownZone):
            webinar_zone(name)
        assert zone_place(name) is None

    def test_an_error_never_repeats_the_typed_text(self) -> None:
        with pytest.raises(UnknownZone) as error:
            registrant_zone("ana@example.org")
        assert "ana" not in str(error.value)


class TestNamesOfZones:
    @pytest.mark.parametrize(
        ("name", "zone"),
        [
            ("Eastern Standard Time", "America/New_York"),
            ("w. europe standard time", "Europe/Berlin"),
            ("India Standard Time", "Asia/Kolkata"),
            ("GMT Standard Time", "Europe/London"),
            ("(UTC+01:00) Amsterdam, Berlin, Bern, Rome, Stockholm, Vienna", "Europe/Berlin"),
            ("(UTC-05:00) Eastern Time (US & Canada)", "America/New_York"),
            ("(GMT-08:00) Pacific Time (US & Canada)", "America/Los_Angeles"),
            ("(UTC+05:30) Chennai, Kolkata, Mumbai, New Delhi", "Asia/Kolkata"),
            (
                "(UTC-04:00) Georgetown, La Paz, Manaus, San Juan",
                "America/La_Paz",
            ),  # not San Juan in Argentina
            ("(UTC+08:00) Beijing, Chongqing, Hong Kong, Urumqi", "Asia/Shanghai"),  # Urumqi is at +06:00
            ("(UTC+01:00) Casablanca", "Africa/Casablanca"),
            ("(UTC) Coordinated Universal Time", "Etc/UTC"),
            ("CET", "Europe/Zurich"),
            ("EDT", "America/New_York"),
            ("SAST", "Africa/Johannesburg"),
            ("America/New York", "America/New_York"),
            ("US/Eastern", "America/New_York"),
            ("Europe/Kiev", "Europe/Kyiv"),
            ("America/Buenos_Aires", "America/Argentina/Buenos_Aires"),
            ("UTC", "Etc/UTC"),
            ("Etc/GMT-5", "Etc/GMT-5"),
        ],
    )
    def test_what_registration_systems_write_is_understood(self, name: str, zone: str) -> None:
        assert str(registrant_zone(name)) == zone

    def test_every_windows_name_that_is_no_offset_is_understood(self) -> None:
        from icalendar.timezone.windows_to_olson import WINDOWS_TO_OLSON

        refused = []
        for name, zone in WINDOWS_TO_OLSON.items():
            try:
                assert START.astimezone(registrant_zone(name)).utcoffset() == (
                    START.astimezone(pytz.timezone(zone)).utcoffset()
                )
            except UnknownZone:
                refused.append(name)
        offsets = ["UTC+12", "UTC+13", "UTC-02", "UTC-08", "UTC-09", "UTC-11"]
        assert sorted(refused) == ["Arabian Standard Time", *offsets], "in CLDR's English that is Riyadh's"

    def test_tzdatas_sign_is_turned(self) -> None:
        assert to_local(START, registrant_zone("Etc/GMT-5")).hour == 16

    @pytest.mark.parametrize(
        "name",
        ["UTC+5:30", "+05:30", "+0530", "GMT+5", "UTC -3", "UTC−3", "-3", "(UTC+01:00) Nowhere",
         "(UTC+09:00) Amsterdam", "(UTC-08:00) Eastern Time (US & Canada)", "+25:00", "5", "None",
         "x" * 9999],
    )  # fmt: skip
    def test_the_rest_is_refused(self, name: str) -> None:
        with pytest.raises(UnknownZone):
            registrant_zone(name)


def evidence(
    timezone: str | None = None,
    country: str | None = None,
    *,
    confirmed: str | None = None,
    at: datetime = START,
) -> tuple[str, str]:
    """Zone and how it is known, for a webinar in Geneva."""
    found = zone_of(timezone, country, ZURICH, at, confirmed)
    return found.zone, found.known_by


class TestARegistrantsZone:
    def test_what_they_confirmed_is_the_best_evidence(self) -> None:
        assert evidence("Asia/Tokyo", "KE", confirmed="Africa/Nairobi") == ("Africa/Nairobi", "confirmed")

    def test_then_the_time_zone_that_they_gave(self) -> None:
        assert evidence("Asia/Calcutta", "KE") == ("Asia/Kolkata", "timezone")
        assert evidence("Pacific Standard Time", "US") == ("America/Los_Angeles", "timezone")

    def test_then_the_only_zone_of_their_country(self) -> None:
        assert evidence(country="KE") == ("Africa/Nairobi", "country")
        assert evidence("", " ke ") == ("Africa/Nairobi", "country")

    @pytest.mark.parametrize(
        ("country", "zone"),
        [("DE", "Europe/Berlin"), ("AR", "America/Argentina/Buenos_Aires"), ("CY", "Asia/Nicosia")],
    )
    def test_zones_that_agree_at_that_moment_count_as_one(self, country: str, zone: str) -> None:
        assert evidence(country=country) == (zone, "country")

    def test_it_is_the_moment_of_the_webinar_that_counts(self) -> None:
        # Simferopol has Moscow's time, which is Kyiv's in July only.
        assert evidence(country="UA") == ("Europe/Kyiv", "country")
        assert evidence(country="UA", at=JANUARY) == ("Europe/Kyiv", "assumed")

    @pytest.mark.parametrize(
        ("country", "zone"),
        [("AU", "Australia/Sydney"), ("BR", "America/Sao_Paulo"), ("US", "America/New_York"),
         ("CA", "America/Toronto"), ("RU", "Europe/Moscow"), ("ID", "Asia/Jakarta"), ("ES", "Europe/Madrid"),
         ("CN", "Asia/Shanghai"), ("MX", "America/Mexico_City"), ("PT", "Europe/Lisbon")],
    )  # fmt: skip
    def test_then_an_assumption_by_population(self, country: str, zone: str) -> None:
        assert evidence(country=country) == (zone, "assumed")

    def test_else_the_webinars(self) -> None:
        assert evidence() == ("Europe/Zurich", "webinar")
        assert evidence("  ", "") == ("Europe/Zurich", "webinar")

    def test_what_cannot_be_used_is_told_without_repeating_it_and_the_next_evidence_counts(self) -> None:
        found = zone_of("ana@example.org", "BR", ZURICH, START)
        assert (found.zone, found.known_by) == ("America/Sao_Paulo", "assumed")
        assert found.problem == "time zone: not the name of a time zone"
        found = zone_of("Mars/Olympus", "Atlantis", ZURICH, START, confirmed="nonsense")
        assert (found.zone, found.known_by) == ("Europe/Zurich", "webinar")
        assert "country: neither a code (ISO 3166) nor the name of a country" in found.problem
        assert found.problem.count("time zone: ") == 2
        for typed in ("Mars", "Atlantis", "nonsense"):
            assert typed not in found.problem

    def test_what_could_be_used_is_no_problem(self) -> None:
        assert zone_of("Asia/Tokyo", "JP", ZURICH, START).problem == ""
        assert zone_of(None, None, ZURICH, START).problem == ""

    @pytest.mark.parametrize(
        ("abbreviation", "country", "expected"),
        [
            ("IST", "IN", ("Asia/Kolkata", "timezone")),
            ("IST", "IE", ("Europe/Dublin", "timezone")),
            ("IST", "Israel", ("Asia/Jerusalem", "timezone")),
            ("CST", "US", ("America/Chicago", "timezone")),
            ("CST", "CN", ("Asia/Shanghai", "timezone")),
            ("BST", "UK", ("Europe/London", "timezone")),
            ("EST", "US", ("America/New_York", "timezone")),
            ("GMT", "GB", ("Europe/London", "timezone")),
            ("CET", "DE", ("Europe/Berlin", "timezone")),
            ("CET", "TN", ("Africa/Tunis", "timezone")),  # which has no summer time
            ("CET", None, ("Europe/Zurich", "timezone")),
            ("CET", "US", ("Europe/Zurich", "timezone")),
            ("MST", "US", ("America/Denver", "assumed")),  # Phoenix has no summer time
            ("IST", None, ("Europe/Zurich", "webinar")),
            ("IST", "KE", ("Africa/Nairobi", "country")),
        ],
    )
    def test_an_abbreviation_is_read_with_the_country(
        self, abbreviation: str, country: str | None, expected: tuple[str, str]
    ) -> None:
        assert evidence(abbreviation, country) == expected

    def test_an_ambiguous_abbreviation_alone_is_told_with_its_candidates(self) -> None:
        assert "Asia/Kolkata, Europe/Dublin, Asia/Jerusalem" in zone_of("IST", None, ZURICH, START).problem

    @pytest.mark.parametrize(
        ("offset", "country", "expected"),
        [
            ("+05:30", "IN", ("Asia/Kolkata", "timezone")),
            ("UTC+1", "CH", ("Europe/Zurich", "timezone")),  # as lists of offsets have it
            ("UTC+2", "CH", ("Europe/Zurich", "timezone")),  # as the clock shows in July
            ("UTC-5", "US", ("America/New_York", "assumed")),  # in winter; Chicago shows it in July
            ("UTC-7", "US", ("America/Denver", "assumed")),
            ("GMT+10", "AU", ("Australia/Sydney", "timezone")),  # agrees with Brisbane in July
            ("+09:00", "CH", ("Europe/Zurich", "country")),
            ("UTC+5", None, ("Etc/GMT-5", "assumed")),
            ("GMT-3", "", ("Etc/GMT+3", "assumed")),
            ("+00:00", None, ("Etc/GMT", "assumed")),
            ("UTC+5:30", None, ("Asia/Kolkata", "assumed")),
            ("+0545", None, ("Asia/Kathmandu", "assumed")),
            ("UTC-9:30", None, ("Pacific/Marquesas", "assumed")),
            ("+14:00", None, ("Etc/GMT-14", "assumed")),
            ("+07:20", None, ("Europe/Zurich", "webinar")),
            ("+99:00", None, ("Europe/Zurich", "webinar")),
        ],
    )
    def test_an_offset_is_weak_evidence(
        self, offset: str, country: str | None, expected: tuple[str, str]
    ) -> None:
        """It does not say when summer time begins: with a country it chooses among its zones, alone it is
        an assumption that the mail says is one."""
        assert evidence(offset, country) == expected

    def test_gmt_plus_five_is_east_of_greenwich(self) -> None:
        zone = pytz.timezone(zone_of("GMT+5", None, ZURICH, START).zone)
        assert to_local(START, zone).hour == 16

    @given(st.text() | st.none(), st.text() | st.none(), st.text() | st.none())
    def test_it_never_fails(self, timezone: str | None, country: str | None, confirmed: str | None) -> None:
        assert zone_of(timezone, country, ZURICH, START, confirmed).zone in pytz.all_timezones_set

    @given(st.sampled_from(sorted(pytz.country_timezones)), zones_and_instants())
    def test_a_country_alone_gives_one_of_its_zones(self, country: str, case: tuple[Zone, datetime]) -> None:
        at = case[1]
        found = zone_of(None, country, ZURICH, at)
        zones = pytz.country_timezones[country]
        assert found.zone in zones
        agree = len({to_local(at, pytz.timezone(zone)).utcoffset() for zone in zones}) == 1
        assert found.known_by == ("country" if agree else "assumed")
