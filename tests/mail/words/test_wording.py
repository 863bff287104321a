"""Times, zones and lists in words."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
import pytz
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.mail.words import wording
from scheduler.mail.words.phrases import missing_phrases, phrase_problems, phrases, phrases_file, read_phrases

START = datetime(2025, 7, 3, 11, tzinfo=UTC)
END = datetime(2025, 7, 3, 13, tzinfo=UTC)


def clock(zone: str, language: str = "en", place: str | None = None) -> wording.ClockTime:
    return wording.clock_time(START, END, pytz.timezone(zone), language, place)


@pytest.mark.parametrize(
    ("zone", "english", "french"),
    [
        ("Africa/Nairobi", "Nairobi, East Africa Time, UTC+3", "Nairobi, heure normale d’Afrique de l’Est, UTC+3"),
        ("Asia/Kolkata", "Kolkata, India Standard Time, UTC+5:30", "Calcutta, heure de l’Inde, UTC+5:30"),
        ("Asia/Calcutta", "Kolkata, India Standard Time, UTC+5:30", "Calcutta, heure de l’Inde, UTC+5:30"),
        ("Asia/Kathmandu", "Kathmandu, Nepal Time, UTC+5:45", "Katmandou, heure du Népal, UTC+5:45"),
        ("US/Eastern", "New York, Eastern Daylight Time, UTC-4",
         "New York, heure d’été de l’Est nord-américain, UTC-4"),
        ("America/Argentina/Buenos_Aires", "Buenos Aires, Argentina Standard Time, UTC-3",
         "Buenos Aires, heure normale d’Argentine, UTC-3"),
        ("Europe/Dublin", "Dublin, Irish Standard Time, UTC+1", "Dublin, heure d’été irlandaise, UTC+1"),
        ("Europe/London", "London, British Summer Time, UTC+1", "Londres, heure d’été britannique, UTC+1"),
        ("Africa/Casablanca", "Casablanca, UTC+1", "Casablanca, UTC+1"),
        ("America/St_Johns", "St John’s, Newfoundland Daylight Time, UTC-2:30",
         "Saint-Jean de Terre-Neuve, heure d’été de Terre-Neuve, UTC-2:30"),
        ("Etc/UTC", "Coordinated Universal Time, UTC+0", "temps universel coordonné, UTC+0"),
        ("Etc/GMT-3", "UTC+3", "UTC+3"),
    ],
)  # fmt: skip
def test_a_zone_is_its_city_its_name_and_its_offset(zone: str, english: str, french: str) -> None:
    assert clock(zone).zone == english
    assert clock(zone, "fr").zone == french


def test_no_zone_is_shown_by_an_abbreviation_of_tzdata_or_without_its_offset() -> None:
    for name in pytz.common_timezones:
        shown = clock(name)
        assert shown.offset.startswith("UTC"), name
        assert shown.zone_name not in {START.astimezone(pytz.timezone(name)).tzname(), "GMT"}, name
        assert shown.city or shown.zone_name, name
        assert "_" not in shown.zone, name


@pytest.mark.parametrize(
    ("language", "city"),
    [
        ("en", "Geneva"),
        ("fr", "Genève"),
        ("es", "Ginebra"),
        ("ar", "جنيف"),
        ("zh", "日内瓦"),
        ("ru", "Женева"),
        ("de", "Geneva"),
    ],
)
def test_geneva_has_its_name_in_each_language(language: str, city: str) -> None:
    assert clock("Europe/Zurich", language, "Geneva").city == city


def test_the_webinar_in_geneva() -> None:
    shown = clock("Europe/Zurich", "en", "Geneva")

    assert str(shown) == "Thursday, 3 July 2025, 13:00–15:00 (Geneva, Central European Summer Time, UTC+2)"
    assert (shown.leaf.month, shown.leaf.day, shown.leaf.weekday) == ("Jul", "3", "Thu")


def test_a_range_that_crosses_midnight_shows_both_dates() -> None:
    shown = clock("Pacific/Auckland")

    assert shown.crosses_midnight
    assert shown.when == "Thursday, 3 July 2025, 23:00 – Friday, 4 July 2025, 01:00"


def test_a_range_over_a_clock_change_shows_both_offsets() -> None:
    start = datetime(2025, 10, 26, 0, 30, tzinfo=UTC)
    shown = wording.clock_time(start, start + timedelta(hours=2), pytz.timezone("Europe/Zurich"), "en")

    assert (shown.hours, shown.offset) == ("02:30–03:30", "UTC+2/UTC+1")


@pytest.mark.parametrize(
    ("language", "auckland", "geneva"),
    [
        (
            "es",
            "jueves, 3 de julio de 2025, 23:00 – viernes, 4 de julio de 2025, 01:00"
            " (Auckland, hora estándar de Nueva Zelanda, UTC+12)",
            "jueves, 3 de julio de 2025, 13:00–15:00 (Ginebra, hora de verano de Europa central, UTC+2)",
        ),
        (
            "ar",
            "من الخميس، 3 تموز/يوليو 2025، 23:00 إلى الجمعة، 4 تموز/يوليو 2025، 01:00"
            " (أوكلاند، توقيت نيوزيلندا الرسمي، \u2068UTC+12\u2069)",
            "الخميس، 3 تموز/يوليو 2025، من\u00a013:00 إلى\u00a015:00"
            " (جنيف، توقيت وسط أوروبا الصيفي، \u2068UTC+2\u2069)",
        ),
        (
            "zh",
            "2025年7月3日星期四23:00至2025年7月4日星期五01:00（奥克兰，新西兰标准时间，UTC+12）",
            "2025年7月3日星期四，13:00–15:00（日内瓦，中欧夏令时间，UTC+2）",
        ),
        (
            "ru",
            "четверг, 3 июля 2025\u202fг., 23:00 – пятница, 4 июля 2025\u202fг., 01:00"
            " (Окленд, Новая Зеландия, стандартное время, UTC+12)",
            "четверг, 3 июля 2025\u202fг., 13:00–15:00 (Женева, Центральная Европа, летнее время, UTC+2)",
        ),
    ],
)
def test_each_language_has_its_own_marks_and_order(language: str, auckland: str, geneva: str) -> None:
    assert str(clock("Pacific/Auckland", language)) == auckland
    assert str(clock("Europe/Zurich", language, "Geneva")) == geneva


@pytest.mark.parametrize(
    ("language", "days", "said"),
    [
        ("ar", 2, "بعد يومين"),
        ("ar", 3, "بعد 3 أيام"),
        ("ar", 11, "بعد 11 يومًا"),
        ("ru", 3, "через 3 дня"),
        ("ru", 5, "через 5 дней"),
        ("ru", 21, "через 21 день"),
        ("zh", 3, "3天后"),
        ("es", 3, "dentro de 3 días"),
    ],
)
def test_plurals_are_each_languages_own(language: str, days: int, said: str) -> None:
    assert wording.time_left(START - timedelta(days=days), START, END, pytz.utc, language) == said


def test_times_are_in_24_hours_and_french_dates_in_french() -> None:
    assert clock("Pacific/Kiritimati", "fr").when == "vendredi 4 juillet 2025, 01:00–03:00"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [("Africa/Kigali", "Europe/Zurich", True), ("Africa/Nairobi", "Europe/Zurich", False)],
)
def test_two_zones_can_show_the_same_time(one: str, other: str, same: bool) -> None:
    assert wording.same_clock(START, END, pytz.timezone(one), pytz.timezone(other)) is same


@pytest.mark.parametrize(
    ("zone", "before", "english", "french"),
    [
        ("Europe/Zurich", timedelta(days=3), "in 3 days", "dans 3 jours"),
        ("Europe/Zurich", timedelta(days=8), "in 8 days", "dans 8 jours"),
        ("Europe/Zurich", timedelta(hours=28), "tomorrow", "demain"),
        ("Europe/Zurich", timedelta(hours=13), "today", "aujourd’hui"),
        (
            "Pacific/Kiritimati",
            timedelta(hours=16),
            "tomorrow",
            "demain",
        ),  # 3 July 09:00 there, it is on the 4th
        (
            "Pacific/Kiritimati",
            timedelta(hours=3),
            "in 3 hours",
            "dans 3 heures",
        ),  # though the date is another
        ("Europe/Zurich", timedelta(hours=1), "in one hour", "dans une heure"),
        ("Europe/Zurich", timedelta(minutes=59, seconds=40), "in one hour", "dans une heure"),
        ("Europe/Zurich", timedelta(minutes=41), "in 40 minutes", "dans 40 minutes"),
        ("Europe/Zurich", timedelta(minutes=7), "in 7 minutes", "dans 7 minutes"),
        ("Europe/Zurich", timedelta(seconds=20), "in 1 minute", "dans 1 minute"),
        ("Europe/Zurich", timedelta(hours=2), "in 2 hours", "dans 2 heures"),
        ("Europe/Zurich", timedelta(0), "now", "maintenant"),
        ("Europe/Zurich", timedelta(hours=-1), "now", "maintenant"),
        ("Europe/Zurich", timedelta(hours=-24), "yesterday", "hier"),
        ("Europe/Zurich", timedelta(hours=-74), "3 days ago", "il y a 3 jours"),
    ],
)
def test_the_time_left_is_counted_on_the_readers_calendar(
    zone: str, before: timedelta, english: str, french: str
) -> None:
    now = START - before

    assert wording.time_left(now, START, END, pytz.timezone(zone), "en") == english
    assert wording.time_left(now, START, END, pytz.timezone(zone), "fr") == french


@settings(deadline=None)
@given(st.timedeltas(timedelta(seconds=1), timedelta(days=60)), st.sampled_from(pytz.common_timezones))
def test_a_webinar_ahead_is_never_said_to_be_now_or_past(left: timedelta, zone: str) -> None:
    said = wording.time_left(START - left, START, END, pytz.timezone(zone), "en")

    assert said in {"today", "tomorrow"} or said.startswith("in ")
    assert (said == "tomorrow") <= (timedelta(hours=12) <= left < timedelta(hours=48))


@pytest.mark.parametrize(
    ("offset", "text"),
    [(0, "UTC+0"), (120, "UTC+2"), (-210, "UTC-3:30"), (345, "UTC+5:45"), (840, "UTC+14"), (-660, "UTC-11")],
)
def test_offsets(offset: int, text: str) -> None:
    assert wording.offset_text(timedelta(minutes=offset)) == text


@pytest.mark.parametrize(
    ("wanted", "available", "first", "gets"),
    [
        ("fr", ["en", "fr"], "en", "fr"),
        ("fr-CH", ["en", "fr"], "en", "fr"),
        ("FR_ch", ["en", "fr"], "en", "fr"),
        ("pt-BR", ["pt", "pt-BR"], "pt", "pt-BR"),
        ("pt-BR", ["en", "pt"], "en", "pt"),
        ("pt", ["en", "pt-BR"], "en", "pt-BR"),
        ("pt-BR", ["en", "pt-PT", "es"], "en", "pt-PT"),
        ("zh-Hant", ["en", "zh"], "en", "zh"),
        ("zh-Hant-HK", ["zh", "zh-Hant"], "en", "zh-Hant"),
        ("zh-Hant", ["zh", "zh-TW"], "en", "zh-TW"),
        ("zh-HK", ["zh", "zh-Hant"], "en", "zh-Hant"),
        ("zh_CN", ["zh", "zh-Hant"], "en", "zh"),
        ("sr-Latn", ["sr", "sr-Latn-RS"], "en", "sr-Latn-RS"),
        ("not a tag", ["en", "fr"], "fr", "fr"),
        ("ar", ["en", "fr"], "fr", "fr"),
        ("ar", ["en", "fr"], "es", "en"),
        (None, ["en", "fr"], "fr", "fr"),
        ("ar", ["ru"], "es", "ru"),
    ],
)
def test_the_language_that_stands_in(wanted: str | None, available: list[str], first: str, gets: str) -> None:
    assert wording.text_language(wanted, available, first) == gets


def test_without_any_text_there_is_no_language() -> None:
    with pytest.raises(ValueError, match="no text in any language"):
        wording.text_language("en", [], "en")


def test_lists_languages_and_dates() -> None:
    assert wording.listing(["WHO", "WIPO", "WTO"], "en") == "WHO, WIPO and WTO"
    assert wording.listing(["OMS", "OMPI", "OMC"], "fr") == "OMS, OMPI et OMC"
    assert wording.listing(["А", "Б", "В"], "ru") == "А, Б и В"
    assert wording.listing(["世卫组织", "产权组织", "世贸组织"], "zh") == "世卫组织、产权组织和世贸组织"
    assert wording.listing(["أ", "ب", "ج"], "ar") == "أ وب وج"
    assert wording.language_name("en", "fr") == "anglais"
    assert wording.language_name("pt-BR", "en") == "Portuguese"
    assert wording.full_date(date(2025, 7, 3), "fr") == "jeudi 3 juillet 2025"


@pytest.mark.parametrize("language", ["xx", "not a tag"])
def test_a_language_that_nobody_knows_works_in_english(language: str) -> None:
    assert wording.time_left(START - timedelta(hours=1), START, END, pytz.utc, language) == "in 1 hour"
    assert wording.full_date(date(2025, 7, 3), language) == "Thursday, 3 July 2025"


def test_what_a_language_lacks_is_known() -> None:
    assert missing_phrases("fr-CH") == ()
    assert {"join", "your_time", "dear"} < set(missing_phrases("pt"))
    assert phrases("pt").join == phrases("en").join, "English stands in"
    assert phrases("pt").tomorrow == "", "and CLDR where it can"
    assert "tomorrow" not in missing_phrases("pt")


ENGLISH = phrases_file("en").read_text("utf-8")


@pytest.mark.parametrize(
    ("found", "written", "problem"),
    [
        ('dear = "Dear {name},"', 'dear = "Olá {nome},"', 'line 16, dear: "Olá {nome},"; allowed: text with {name}'),
        ('dear = "Dear {name},"', 'dear = "Olá,"', 'line 16, dear: "Olá,"; allowed: text with {name}'),
        ('dear = "Dear {name},"', 'dear = "Olá {name,"', 'line 16, dear: "Olá {name,"; allowed: text with {name}'),
        ("join = \"Join the webinar\"", "join = \"{}\"", 'line 30, join: "{}"; allowed: text without { and }'),
        ('join = "Join the webinar"', "join = 1", "line 30, join: 1; allowed: text in quotes"),
        ('stop = "Un', 'stopp = "Un', "line 48, stopp: unknown phrase; allowed: the names in en.toml;"
         " did you mean `stop`?"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_file_of_a_language_is_named_and_costs_one_phrase(
    found: str, written: str, problem: str
) -> None:
    said, problems = read_phrases(ENGLISH.replace(found, written), "pt.toml")
    assert [str(one) for one in problems] == [f"pt.toml, {problem}"]
    assert len(said) == len(read_phrases(ENGLISH, "en.toml")[0]) - 1


def test_a_file_of_a_language_with_word_s_quotes_is_named_and_no_mail_fails() -> None:
    said, problems = read_phrases("dear = “Olá {name}”", "pt.toml")
    assert said == {}
    assert "U+201C" in str(problems[0])


def test_the_shipped_languages_are_right() -> None:
    assert phrase_problems() == ()
