"""Which zone is meant by what people and systems write beside each other: a text, a country, a moment."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import pytz
from hypothesis import example, given
from hypothesis import strategies as st

from scheduler.zones import cldr
from scheduler.zones.names import read
from scheduler.zones.offsets import known_offsets, offset_at, same_clock, seasons
from scheduler.zones.wall import UnknownZone, knowledge_version, registrant_zone, tz_version, zone_of
from tests.support import utc
from tests.zones import judges, lists
from tests.zones.judges import JANUARY, JULY, NOBODYS

KNOWN, BY_COUNTRY, ASSUMED, NOTHING = "timezone", "country", "assumed", "webinar"
MOMENTS = (JULY, JANUARY, datetime(2027, 3, 20, 12, tzinfo=UTC), datetime(2027, 10, 28, 12, tzinfo=UTC))


@pytest.mark.parametrize(
    ("text", "country", "zone", "known_by"),
    [
        # a clock is that of the country
        ("Pacific Time (US & Canada)", None, "America/Los_Angeles", KNOWN),
        ("Pacific Time (US & Canada)", "US", "America/Los_Angeles", KNOWN),
        ("Pacific Time (US &amp; Canada)", "Canada", "America/Vancouver", KNOWN),
        ("Pacific Time", "MX", "America/Tijuana", KNOWN),
        ("Pacific", "US", "America/Los_Angeles", KNOWN),
        ("US Pacific", "US", "America/Los_Angeles", KNOWN),
        ("PT", "US", "America/Los_Angeles", KNOWN),
        ("PST/PDT", None, "America/Los_Angeles", KNOWN),
        ("PST (GMT-8)", None, "America/Los_Angeles", KNOWN),
        ("Pacific (PST/PDT)", "US", "America/Los_Angeles", KNOWN),
        ("Pacific Time Zone", "US", "America/Los_Angeles", KNOWN),
        ("Pacfic Time", "US", "America/Los_Angeles", ASSUMED),
        ("Eastern Time (US & Canada)", "CA", "America/Toronto", KNOWN),
        ("Eastern Standard Time", "PA", "America/Panama", KNOWN),
        ("Eastern Standard Time", "AU", "Australia/Sydney", KNOWN),  # agrees with Brisbane in July
        ("Central Standard Time", "CR", "America/Costa_Rica", KNOWN),
        # a clock that is named with its country is that of no other country
        ("Eastern Time (US & Canada)", "AU", "America/New_York", KNOWN),
        ("Central Time (US & Canada)", "AU", "America/Chicago", KNOWN),
        ("Central Time (Mexico)", "US", "America/Mexico_City", KNOWN),
        ("Eastern Time", "AU", "Australia/Sydney", KNOWN),
        ("Central", "AU", "Australia/Adelaide", KNOWN),
        ("Eastern", "ID", "Asia/Jayapura", KNOWN),
        # or with a state that has a clock of its own
        ("Mountain Time (Arizona)", None, "America/Phoenix", KNOWN),
        ("Mountain Time - Arizona", None, "America/Phoenix", KNOWN),
        ("MST - Arizona", None, "America/Phoenix", KNOWN),
        ("Central Time - Saskatchewan", None, "America/Regina", KNOWN),
        ("Mountain Time - Alberta", None, "America/Edmonton", KNOWN),
        ("Mountain Time (Hawaii)", None, "Antarctica/Troll", NOTHING),
        ("Central Time, Texas", None, "America/Chicago", KNOWN),
        ("Adak, Alaska", None, "America/Adak", KNOWN),
        # a place of that name in the country that stands beside it
        ("London", "Canada", "America/Toronto", KNOWN),
        ("London", None, "Europe/London", KNOWN),
        ("London, UK", "Canada", "Europe/London", KNOWN),
        ("Córdoba", "Spain", "Europe/Madrid", KNOWN),
        ("Santiago", "ES", "Europe/Madrid", KNOWN),
        ("Santiago, Chile", "ES", "America/Santiago", KNOWN),
        ("Victoria", "SC", "Indian/Mahe", KNOWN),
        ("Victoria", "CA", "America/Vancouver", KNOWN),
        ("Victoria", None, "Australia/Melbourne", ASSUMED),
        ("Tripoli", "LB", "Asia/Beirut", KNOWN),
        ("Tripoli", None, "Africa/Tripoli", KNOWN),
        ("Granada", "ES", "Europe/Madrid", KNOWN),
        ("Granada", "GD", "America/Grenada", KNOWN),
        ("Granada", None, "Europe/Madrid", ASSUMED),
        ("Perth", "GB", "Europe/London", KNOWN),
        ("Lagos", "PT", "Europe/Lisbon", KNOWN),
        ("San José", "US", "America/Los_Angeles", KNOWN),
        ("(UTC-06:00) Центральная Америка", None, "America/Chicago", ASSUMED),
        ("Центральная Америка", "GT", "America/Guatemala", KNOWN),
        # slashes as JSON, links and people write them
        (r"Europe\/Paris", None, "Europe/Paris", KNOWN),
        ("Europe%2FParis", None, "Europe/Paris", KNOWN),
        ("Europe / Paris", None, "Europe/Paris", KNOWN),
        ("北京时间", None, "Asia/Shanghai", KNOWN),
        ("Mountain Time", "US", "America/Denver", KNOWN),
        ("US Mountain", "US", "America/Denver", KNOWN),
        ("US Mountain Standard Time", "US", "America/Phoenix", KNOWN),
        ("Mountain Time (Canada)", None, "America/Edmonton", KNOWN),
        ("W. Europe Standard Time", "NL", "Europe/Amsterdam", KNOWN),
        ("W. Europe Standard Time", "TN", "Europe/Berlin", KNOWN),
        ("Romance Standard Time", "Spain", "Europe/Madrid", KNOWN),
        ("FLE Standard Time", "FI", "Europe/Helsinki", KNOWN),
        ("GMT Standard Time", "PT", "Europe/Lisbon", KNOWN),
        ("GMT Standard Time 1", None, "Europe/London", KNOWN),
        ("Central European Time", "CH", "Europe/Zurich", KNOWN),
        ("CEST", "PL", "Europe/Warsaw", KNOWN),
        ("Arabian Standard Time", "SA", "Asia/Riyadh", KNOWN),
        ("Arabian Standard Time", "AE", "Asia/Dubai", KNOWN),
        ("Arabian Standard Time", None, "Asia/Dubai", ASSUMED),
        ("East Africa Time", "UG", "Africa/Kampala", KNOWN),
        ("hora del Pacífico", "US", "America/Los_Angeles", KNOWN),
        ("北美太平洋时间", None, "America/Los_Angeles", KNOWN),
        ("heure normale d’Europe centrale", "FR", "Europe/Paris", KNOWN),
        ("Hawaii-Aleutian Standard Time", "US", "Pacific/Honolulu", KNOWN),
        ("Central", "MX", "America/Mexico_City", ASSUMED),  # at the border it is Chicago's
        ("Eastern Time", "BR", "America/New_York", KNOWN),
        ("Western Time", None, "Antarctica/Troll", NOTHING),
        ("Western Time", "AU", "Australia/Perth", KNOWN),
        ("MSK+2", "RU", "Europe/Moscow", ASSUMED),  # nothing of it is used: Yekaterinburg's
        ("MSK+3", None, "Antarctica/Troll", NOTHING),
        ("MSK (UTC+3)", "RU", "Europe/Moscow", KNOWN),
        # places
        ("Nairobi", None, "Africa/Nairobi", KNOWN),
        ("Nairobi time", None, "Africa/Nairobi", KNOWN),
        ("Nairobi, Kenya", None, "Africa/Nairobi", KNOWN),
        ("New York City", None, "America/New_York", KNOWN),
        ("Нью-Йорк", None, "America/New_York", KNOWN),
        ("Genf", None, "Europe/Zurich", KNOWN),
        ("Mumbai", None, "Asia/Kolkata", KNOWN),
        ("San Juan", "PR", "America/Puerto_Rico", KNOWN),
        ("La Paz", "MX", "America/Mazatlan", KNOWN),
        ("(UTC-04:00) Georgetown, La Paz, Manaus, San Juan", "PR", "America/Puerto_Rico", KNOWN),
        ("(UTC+02:00) Helsinki, Kyiv, Riga, Sofia, Tallinn, Vilnius", "EE", "Europe/Tallinn", KNOWN),
        ("Samoa", None, "Pacific/Apia", ASSUMED),
        ("Samoa", "AS", "Pacific/Pago_Pago", KNOWN),
        ("Georgia", "US", "America/New_York", KNOWN),
        ("(UTC+04:00) Georgia", None, "Asia/Tbilisi", KNOWN),
        ("Los Angeles, CA", None, "America/Los_Angeles", KNOWN),
        ("Denver, Colorado", "US", "America/Denver", KNOWN),
        ("Tbilisi, Georgia", None, "Asia/Tbilisi", KNOWN),
        ("Azores, Portugal", None, "Atlantic/Azores", KNOWN),
        ("Washington, D.C.", "US", "America/New_York", ASSUMED),  # no zone is called so
        ("Paris, Texas", "US", "America/New_York", ASSUMED),  # nothing of it is used
        ("London, Ontario", "CA", "America/Toronto", ASSUMED),
        ("Geneva/London", None, "Antarctica/Troll", NOTHING),
        # countries in the column of time zones
        ("India", None, "Asia/Kolkata", KNOWN),
        ("Kenya time", None, "Africa/Nairobi", KNOWN),
        ("Brazil", None, "America/Sao_Paulo", ASSUMED),
        ("PT", "PT", "Europe/Lisbon", ASSUMED),  # the country's code, not Pacific Time
        ("MT", "Malta", "Europe/Malta", BY_COUNTRY),
        # systems' ways
        ("(GMT-7:00) Pacific Time (US and Canada)", "US", "America/Los_Angeles", KNOWN),
        ("(GMT+02:00) Central European Summer Time (Europe/Amsterdam)", None, "Europe/Amsterdam", KNOWN),
        ("Asia/Kolkata (IST)", None, "Asia/Kolkata", KNOWN),
        ("(UTC+14:00) Kiritimati Island", None, "Pacific/Kiritimati", KNOWN),
        ("america_slash_los_angeles", None, "America/Los_Angeles", KNOWN),
        ("GMT-0700 (Pacific Daylight Time)", None, "America/Los_Angeles", KNOWN),
        ("(UTC+04:00) Moscow, St. Petersburg, Volgograd", None, "Europe/Moscow", KNOWN),  # of 2011
        # offsets
        ("UTC+5:30", "India", "Asia/Kolkata", KNOWN),
        ("UTC+5:30", None, "Asia/Kolkata", ASSUMED),
        ("GMT+1", "FR", "Europe/Paris", KNOWN),
        ("UTC+1/UTC+2", "FR", "Europe/Paris", KNOWN),
        ("UTC+2", "FR", "Europe/Paris", KNOWN),
        ("UTC-5", "US", "America/New_York", ASSUMED),
        ("UTC-8", "US", "America/Los_Angeles", ASSUMED),  # in winter, or Anchorage in July
        ("UTC-5", "PE", "America/Lima", KNOWN),
        ("UTC+9", "FR", "Europe/Paris", BY_COUNTRY),
        ("UTC", None, "Etc/UTC", KNOWN),
        ("GMT/UTC", None, "Etc/GMT", ASSUMED),
        ("Etc/GMT", "GB", "Europe/London", KNOWN),
        ("UTC", "FR", "Europe/Paris", BY_COUNTRY),
        ("UTC", "IS", "Atlantic/Reykjavik", KNOWN),
        ("(GMT+0:00) Greenwich Mean Time", "GB", "Europe/London", KNOWN),
        ("(UTC-11:00) Coordinated Universal Time-11", "NU", "Pacific/Niue", KNOWN),
        ("+41 79 123 45 67", "CH", "Europe/Zurich", BY_COUNTRY),
        # the sign of tzdata's Etc names
        ("Etc/GMT+1", "France", "Europe/Paris", BY_COUNTRY),
        ("Etc/GMT-1", "France", "Europe/Paris", KNOWN),
        ("Etc/GMT+5", "PE", "America/Lima", KNOWN),
        ("Etc/GMT-8", "US", "America/Los_Angeles", ASSUMED),
        ("Etc/GMT+1", None, "Etc/GMT+1", ASSUMED),
        # contradictions
        ("America/New_York", "DE", "America/New_York", KNOWN),
        ("Pacific Time", "DE", "America/Los_Angeles", KNOWN),
        ("(GMT-05:00) Pacific Time (US & Canada)", "US", "America/Los_Angeles", ASSUMED),
        ("(UTC+09:00) Amsterdam", None, "Antarctica/Troll", NOTHING),
        ("(UTC+09:00) Amsterdam", "NL", "Europe/Amsterdam", BY_COUNTRY),
        ("Pacific Time - New York", None, "Antarctica/Troll", NOTHING),
        # nothing
        ("Customized Time Zone", None, "Antarctica/Troll", NOTHING),
        ("(UTC) Nowhere", None, "Antarctica/Troll", NOTHING),
        ("PST", None, "Antarctica/Troll", NOTHING),
        ("2025-07-03", None, "Antarctica/Troll", NOTHING),
        ("5", "KE", "Africa/Nairobi", BY_COUNTRY),
        ("", "Korea, Republic of", "Asia/Seoul", BY_COUNTRY),
        ("", "Bouvet Island", "Antarctica/Troll", NOTHING),
    ],
)  # fmt: skip
def test_in_july(text: str, country: str | None, zone: str, known_by: str) -> None:
    found = zone_of(text, country, NOBODYS, JULY)
    assert (found.zone, found.known_by) == (zone, known_by)
    assert found.because


@pytest.mark.parametrize(
    ("text", "country", "zone", "known_by"),
    [
        ("UTC-5", "US", "America/New_York", KNOWN),
        ("UTC+1", "FR", "Europe/Paris", KNOWN),
        ("Eastern Standard Time", "AU", "Australia/Sydney", ASSUMED),  # Brisbane is an hour behind
        ("AEDT", "AU", "Australia/Sydney", KNOWN),
        ("GMT+10", "AU", "Australia/Sydney", ASSUMED),
        ("W. Europe Standard Time", "TN", "Africa/Tunis", KNOWN),
    ],
)
def test_in_january(text: str, country: str, zone: str, known_by: str) -> None:
    found = zone_of(text, country, NOBODYS, JANUARY)
    assert (found.zone, found.known_by) == (zone, known_by)


@pytest.mark.parametrize(
    ("text", "country", "words"),
    [
        (
            "America/New_York",
            "DE",
            "no clock in DE shows the time of America/New_York then; the time zone counts",
        ),
        ("UTC+9", "FR", "no clock in FR shows this offset from UTC; the country counts"),
        ("Etc/GMT+1", "FR", "Etc/GMT+1 is UTC+01:00 with the sign the other way round"),
        (
            "(GMT-05:00) Pacific Time",
            "US",
            "its name and its offset from UTC contradict each other; the name counts",
        ),
        ("PST", None, "may be meant: America/Los_Angeles, Asia/Manila"),
        ("UTC+5:30", None, "an offset from UTC is not a time zone"),
        (None, "Bouvet Island", "nobody lives in BV"),
    ],
)
def test_what_contradicts_or_cannot_be_used_is_reported(
    text: str | None, country: str | None, words: str
) -> None:
    assert words in zone_of(text, country, NOBODYS, JULY).problem


def test_zone_and_country_that_agree_then_are_no_contradiction() -> None:
    assert zone_of("Europe/Zurich", "DE", NOBODYS, JULY).problem == ""
    assert zone_of("Pacific Time (US & Canada)", "US", NOBODYS, JANUARY).problem == ""


@pytest.mark.parametrize("judge", judges.ZONES)
def test_no_list_of_a_system_leads_to_a_wrong_zone(judge: judges.Judge) -> None:
    for at in (JULY, JANUARY):
        figures = judge(at)
        assert figures.wrong == {}
        assert len(figures.asked) <= 0.06 * (figures.right + len(figures.asked)), str(figures)


ALL = sorted({
    *(name for names in lists.RAILS.values() for name in names.split("|")), *lists.WINDOWS, *lists.WINDOWS.values(),
    *lists.OLD_WINDOWS, *lists.ZOOM.values(), *lists.OTHERS, *pytz.all_timezones, *cldr.windows(),
})  # fmt: skip
COUNTRIES = sorted(pytz.country_timezones)


@example("(GMT -05:00) Eastern Time (US & Canada)", "AW", utc("2025-07-03 11:00"))
@given(st.sampled_from(ALL), st.sampled_from([None, *COUNTRIES]), st.sampled_from(MOMENTS))
def test_no_name_of_a_zone_leads_to_a_clock_that_contradicts_it(
    name: str, country: str | None, at: datetime
) -> None:
    """Whatever country stands beside it: what is known by a name is one of the zones that it means, or shows their time
    at that moment; and an offset in it is one that the zone has, or had."""
    found = zone_of(name, country, NOBODYS, at)
    if found.known_by != KNOWN:
        return
    meaning = read(name)
    if meaning.kind == "fixed":
        assert meaning.offsets[0] in seasons(found.zone, at)
        return
    assert any(
        same_clock(found.zone, zone) or offset_at(found.zone, at) == offset_at(zone, at)
        for zone in meaning.zones
    )
    assert set(meaning.offsets) <= known_offsets(found.zone)


@given(
    st.sampled_from(["Pacific Time", "Pacific Standard Time", "Pacific Time (US & Canada)", "US/Pacific", "PT", "PDT",
                     "(GMT-7:00) Pacific Time (US and Canada)", "(GMT-05:00) Pacific Time (US & Canada)", "PST8PDT",
                     "Pacific", "pacific tme", "Pacific (US)", "US Pacific Time", "Pacific Daylight Time (PDT)"]),
    st.sampled_from([None, "US", "USA", "United States", "Canada", "MX", "DE", "nowhere"]),
    st.sampled_from(MOMENTS),
)  # fmt: skip
def test_nobody_who_wrote_pacific_time_gets_new_yorks(name: str, country: str | None, at: datetime) -> None:
    found = zone_of(name, country, NOBODYS, at)
    assert not same_clock(found.zone, "America/New_York")
    assert offset_at(found.zone, at) in (timedelta(hours=-8), timedelta(hours=-7)) or found.known_by != KNOWN


@given(st.sampled_from(ALL), st.sampled_from(MOMENTS))
def test_html_blanks_dashes_and_case_change_nothing(name: str, at: datetime) -> None:
    disguised = name.replace("&", "&amp;").replace("-", "−").replace(" ", "\N{NO-BREAK SPACE} ")
    expected = zone_of(name, None, NOBODYS, at)
    for written in (disguised, f" \u202a{name}\u202c\n", f'"{name}"', name.upper()):
        found = zone_of(written, None, NOBODYS, at)
        assert (found.zone, found.known_by) == (expected.zone, expected.known_by)


@given(st.text(), st.text() | st.none())
def test_any_text_leads_to_some_zone(text: str, country: str | None) -> None:
    assert zone_of(text, country, NOBODYS, JULY).zone in pytz.all_timezones_set


@pytest.mark.parametrize(
    "text", ["+1:" * 3_000, "(" * 10_000, "Paris, " * 1_500, "a/" * 5_000, "&" * 10_000, "x" * 10_000]
)
def test_a_cell_of_10_kb_is_no_name_and_is_not_looked_at(text: str) -> None:
    before = read.cache_info()
    with pytest.raises(UnknownZone):
        registrant_zone(text)
    assert zone_of(text, text, NOBODYS, JULY).known_by == NOTHING
    assert read.cache_info().currsize == before.currsize, "nothing is kept of what is no name"


def test_a_newer_tz_database_is_newer_whatever_else_is_known() -> None:
    assert tz_version() < knowledge_version() < tz_version()[:-1] + chr(ord(tz_version()[-1]) + 1)
