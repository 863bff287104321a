"""A mail is in one language and one locale throughout, judged by CLDR (Babel) where it can judge; also in a language
that has a text and no phrases of ours."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta

import pytest
import pytz
from babel import Locale
from babel.dates import format_date, format_timedelta, get_month_names
from babel.lists import format_list

from scheduler.mail.text.said_times import said_times
from scheduler.mail.words import wording
from scheduler.mail.words.variables import variables
from tests.mail.samples import facts, text
from tests.received import MONTHS, WEEKDAYS

SIX = ("en", "fr", "es", "ar", "zh", "ru")
OTHERS = ("de", "pt", "pt-BR", "pt-PT", "it", "nl", "pl", "tr", "ja", "ko", "he", "fa", "ur", "hi", "bn", "th", "vi",
          "id", "sw", "uk", "el", "cs", "hu", "sv", "fi", "ro", "zh-Hant", "en-US", "fr-CA", "es-MX",
          "ar-MA")  # fmt: skip
START, END = datetime(2027, 9, 2, 11, tzinfo=UTC), datetime(2027, 9, 2, 13, tzinfo=UTC)


def cldr(language: str) -> Locale:
    return Locale.parse({"en": "en_GB"}.get(language, language.replace("-", "_")))


@pytest.mark.parametrize("language", [*SIX, *OTHERS])
def test_dates_zones_lists_and_what_is_left_are_of_one_locale(language: str) -> None:
    locale = cldr(language)
    zone = pytz.timezone("America/Sao_Paulo")
    shown = wording.clock_time(START, END, zone, language)

    if language != "ar":  # which has both names of the month
        assert shown.first_day == format_date(date(2027, 9, 2), "full", locale=locale)
    assert shown.leaf.month == format_date(date(2027, 9, 2), "LLL", locale=locale).rstrip(".")
    assert shown.leaf.weekday == format_date(date(2027, 9, 2), "ccc", locale=locale).rstrip(".")
    assert shown.city == locale.time_zones.get("America/Sao_Paulo", {}).get("city", "Sao Paulo")
    assert shown.zone_name == str(locale.meta_zones["Brasilia"]["long"]["standard"])
    assert wording.language_name("en", language) == locale.languages["en"]
    assert wording.listing(["A", "B", "C"], language) == format_list(["A", "B", "C"], locale=locale)
    in_days = format_timedelta(timedelta(days=5), "day", threshold=99, add_direction=True, locale=locale)
    left = wording.time_left(START - timedelta(days=5), START, END, pytz.utc, language)
    assert left == in_days.replace("خلال", "بعد")


GERMAN = [
    (timedelta(days=7), "in 7 Tagen"),
    (timedelta(days=1), "in 1 Tag"),
    (timedelta(hours=13), "in 13 Stunden"),  # today: CLDR's word for it is not in Babel
    (timedelta(hours=1), "in 1 Stunde"),
    (timedelta(minutes=40), "in 40 Minuten"),
    (timedelta(0), "in 0 Minuten"),
    (timedelta(days=-3), "vor 2 Tagen"),
]


@pytest.mark.parametrize(("before", "said"), GERMAN)
def test_the_time_left_is_given_in_a_language_without_phrases(before: timedelta, said: str) -> None:
    zone = pytz.timezone("Pacific/Auckland")  # where it starts at 23:00

    assert wording.time_left(START - before, START, END, zone, "de") == said


@pytest.mark.parametrize("language", OTHERS)
def test_no_date_is_english_beside_zones_in_another_language(language: str) -> None:
    rendered = text("{{ your_time }} {{ webinar_time }} {{ time_left }}", language=language).render(facts())
    said = rendered.text.partition("\n")[0]

    if not language.startswith("en"):
        assert not re.search("Thursday|July|tomorrow|Central European|East Africa Time", said)


# All months and weekdays


@pytest.mark.parametrize("language", SIX)
def test_each_month_and_weekday_is_as_cldr_has_it(language: str) -> None:
    levant, egypt = (get_month_names("wide", locale=Locale("ar", where)) for where in ("LB", "EG"))
    for number in range(1, 13):
        for day in range(1, 8):
            one = date(2027, number, day)
            said, judge = wording.full_date(one, language), format_date(one, "full", locale=cldr(language))
            if language == "ar":
                judge = judge.replace(egypt[number], f"{levant[number]}/{egypt[number]}")
            assert said == judge
            assert MONTHS[language][number - 1] in said
            assert WEEKDAYS[language][one.weekday()] in said


def test_months_have_both_their_names_in_arabic_as_the_united_nations_write_them() -> None:
    said = [wording.full_date(date(2027, month, 1), "ar").split("، ")[1] for month in range(1, 13)]

    assert said == [f"1 {month} 2027" for month in MONTHS["ar"]]
    assert wording.full_date(date(2027, 7, 1), "ar-MA") == "الخميس، 1 يوليوز 2027", (
        "where they have names of their own"
    )


@pytest.mark.parametrize("month", ["تموز", "يوليو"])
def test_a_wrong_weekday_is_found_by_either_name(month: str) -> None:
    start = pytz.timezone("Europe/Zurich").localize(datetime(2025, 7, 3, 13))

    assert [one.wrong for one in said_times(f"الجمعة، 3 {month} 2025", "ar", start)] == [True]
    assert not list(said_times(f"الخميس، 3 {month} 2025", "ar", start))


# Plurals: the category by CLDR's rules, the noun by this table

NOUNS = {
    "ru": {
        "day": {"one": "день", "few": "дня", "many": "дней"},
        "hour": {"one": "час", "few": "часа", "many": "часов"},
        "minute": {"one": "минуту", "few": "минуты", "many": "минут"},
    },
    "ar": {
        "day": {"one": "يوم واحد", "two": "يومين", "few": "أيام", "many": "يومًا", "other": "يوم"},
        "hour": {"one": "ساعة واحدة", "two": "ساعتين", "few": "ساعات", "many": "ساعة", "other": "ساعة"},
        "minute": {"one": "دقيقة واحدة", "two": "دقيقتين", "few": "دقائق", "many": "دقيقة", "other": "دقيقة"},
    },
    "en": {
        "day": {"one": "day", "other": "days"},
        "hour": {"one": "hour", "other": "hours"},
        "minute": {"one": "minute", "other": "minutes"},
    },
    "fr": {
        "day": {"one": "jour", "other": "jours"},
        "hour": {"one": "heure", "other": "heures"},
        "minute": {"one": "minute", "other": "minutes"},
    },
    "es": {
        "day": {"one": "día", "other": "días"},
        "hour": {"one": "hora", "other": "horas"},
        "minute": {"one": "minuto", "other": "minutos"},
    },
    "zh": {"day": {"other": "天"}, "hour": {"other": "小时"}, "minute": {"other": "分钟"}},
}
BEFORE = {"ru": "через ", "ar": "بعد ", "en": "in ", "fr": "dans ", "es": "dentro de ", "zh": ""}
STEPS = {
    "day": [timedelta(days=days) for days in range(2, 120)],
    "hour": [timedelta(hours=hours) for hours in range(2, 12)],
    "minute": [timedelta(minutes=minutes) for minutes in (*range(1, 11), *range(15, 60, 5))],
}


@pytest.mark.parametrize("language", SIX)
@pytest.mark.parametrize("unit", STEPS)
def test_the_time_left_has_the_plural_of_its_number(unit: str, language: str) -> None:
    for step in STEPS[unit]:
        count = step // timedelta(**{f"{unit}s": 1})
        category = cldr(language).plural_form(count)
        noun = NOUNS[language][unit][category]
        number = "" if language == "ar" and category in ("one", "two") else str(count)
        said = wording.time_left(START - step, START, END, pytz.utc, language)

        gap = "" if language == "zh" or not number else " "
        assert said == f"{BEFORE[language]}{number}{gap}{noun}" + ("后" if language == "zh" else ""), count


def test_every_phrase_of_time_is_one_of_the_language() -> None:
    for language in SIX:
        values = variables(facts(), language)
        assert values["time_left"] == {
            "en": "tomorrow", "fr": "demain", "es": "mañana", "ar": "غدًا", "zh": "明天", "ru": "завтра"
        }[language]  # fmt: skip
