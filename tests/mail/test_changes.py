"""The changes in a notice: old beside new, on the reader's own clock, in the subject and in the mail."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy

import pytest
import pytz

from scheduler.mail.text.layout import parse_layout
from scheduler.mail.text.templates import Rendered, TextProblems, parse_text
from scheduler.mail.texts import CurrentText
from scheduler.mail.words.own_words import own_words
from scheduler.mail.words.variables import variables
from scheduler.mail.writing.rendering import render
from scheduler.webinar.told import Told
from tests.mail.samples import JOIN, TEMPLATES, facts, shipped, text, webinar
from tests.mail.text.test_templates import Page as Structure
from tests.mail.writing.test_rendering import CLAIMED, NOW
from tests.received import MONTHS, WEEKDAYS, Clock, Page, clocks

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
START, END = datetime(2025, 7, 3, 11, tzinfo=UTC), datetime(2025, 7, 3, 13, tzinfo=UTC)
LANGUAGES = ("en", "fr", "es", "ar", "zh", "ru")
FORMER_LINK = "https://webinar.example.org/former?tk=1"
LATER = Told(START - HOUR, END - HOUR, JOIN)
MOVED = Told(START - DAY, END - DAY, JOIN)
INTO_SUMMER = Told(START - 150 * DAY, END - 150 * DAY, JOIN)
RELINKED = Told(START, END, FORMER_LINK)
BOTH = Told(START - HOUR, END - HOUR, FORMER_LINK)
RESTORED = Told(None, None, "", cancelled=True)
ALL = {
    "later": LATER,
    "moved": MOVED,
    "into summer": INTO_SUMMER,
    "relinked": RELINKED,
    "both": BOTH,
    "restored": RESTORED,
}


def block(
    told: Told | None, zone: str = "Africa/Nairobi", language: str = "en", **changes: object
) -> Rendered:
    """A mail of nothing but the block; and a word, as it may be empty."""
    return text("{{ changes }}\n\nBye", language=language).render(facts(zone, told=told, **changes))


def lines(rendered: Rendered) -> list[str]:
    """The block in plain text, with blanks that nobody can tell from others."""
    return rendered.text.replace("\u00a0", " ").replace("\u202f", " ").partition("\n\nBye")[0].split("\n")


def seen(rendered: Rendered) -> list[str]:
    """The block in the HTML: the lines below the masthead."""
    whole = Page(rendered.html).text.split("\n")
    return whole[1 : whole.index("Bye")]


# The new time, and the one that it replaces


IN_SIX_LANGUAGES = {
    "en": "New time: Thursday, 3 July 2025, 14:00–16:00, was 13:00–15:00 (Nairobi, East Africa Time, UTC+3)",
    "fr": "Nouvel horaire : jeudi 3 juillet 2025, 14:00–16:00, auparavant : 13:00–15:00 (Nairobi, heure normale"
          " d’Afrique de l’Est, UTC+3)",
    "es": "Nuevo horario: jueves, 3 de julio de 2025, 14:00–16:00, antes: 13:00–15:00 (Nairobi, hora de África"
          " oriental, UTC+3)",
    "ar": "موعد جديد للندوة: الخميس، 3 تموز/يوليو 2025، من 14:00 إلى 16:00، وكان الموعد السابق: من 13:00 إلى 15:00 "
          "(نيروبي، توقيت شرق أفريقيا، \u2068UTC+3\u2069)",
    "zh": "时间变更：2025年7月3日星期四，14:00–16:00，原定13:00–15:00（内罗毕，东部非洲时间，UTC+3）",
    "ru": "Новое время вебинара: четверг, 3 июля 2025 г., 14:00–16:00, ранее: 13:00–15:00 (Найроби, Восточная Африка,"
          " UTC+3)",
}  # fmt: skip
STRUCK = dict.fromkeys(LANGUAGES, "13:00–15:00") | {"ar": "من\u00a013:00 إلى\u00a015:00"}


@pytest.mark.parametrize("language", LANGUAGES)
def test_old_and_new_on_the_readers_clock_in_words_and_the_old_one_struck_through(language: str) -> None:
    rendered = block(LATER, language=language)

    assert lines(rendered) == [IN_SIX_LANGUAGES[language]]
    struck = re.findall("<del [^>]*line-through[^>]*>(.*?)</del>", rendered.html)
    assert struck == [STRUCK[language]], "and the word before it is for those who do not see that"
    label, time, zone = seen(rendered)
    colon = {"fr": " : ", "zh": "："}.get(language, ": ")
    left, right = ("（", "）") if language == "zh" else (" (", ")")
    assert f"{label}{colon}{time}{left}{zone}{right}" == IN_SIX_LANGUAGES[language]


def test_the_other_date_is_said_with_its_weekday() -> None:
    assert lines(block(MOVED)) == [
        "New time: Thursday, 3 July 2025, 14:00–16:00, was Wednesday, 2 July 2025, 14:00–16:00 (Nairobi, East Africa"
        " Time, UTC+3)"
    ]


def test_only_the_end_may_differ() -> None:
    assert "14:00–16:00, was 14:00–15:00 (" in lines(block(Told(START, END - HOUR, JOIN)))[0]


def test_each_has_its_own_offset_where_summer_time_lies_between_them() -> None:
    rendered = block(INTO_SUMMER, "Europe/Paris")

    assert lines(rendered) == [
        "New time: Thursday, 3 July 2025, 13:00–15:00 (Paris, Central European Summer Time, UTC+2), "
        "was Monday, 3 February 2025, 12:00–14:00 (Paris, Central European Standard Time, UTC+1)"
    ]
    assert seen(rendered) == ["New time", lines(rendered)[0].removeprefix("New time: ")]
    assert "UTC+3" in lines(block(INTO_SUMMER))[0].rpartition("(")[2], "where there is none it is said once"


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (Told(START - 3 * HOUR, END - 3 * HOUR, JOIN),  # the new one crosses midnight
         "Thursday, 3 July 2025, 23:00 – Friday, 4 July 2025, 01:00, was Thursday, 3 July 2025, 20:00–22:00 ("),
        (Told(START + 2 * HOUR, END + 2 * HOUR, JOIN),  # another day, from midnight on
         "Thursday, 3 July 2025, 23:00 – Friday, 4 July 2025, 01:00, was Friday, 4 July 2025, 01:00–03:00 ("),
        (Told(START - HOUR / 2, END - HOUR / 2, JOIN),  # both do
         "Thursday, 3 July 2025, 23:00 – Friday, 4 July 2025, 01:00, was Thursday, 3 July 2025, 22:30 – Friday, 4 July"
         " 2025, 00:30 ("),
    ],
)  # fmt: skip
def test_a_range_across_midnight_has_both_dates(told: Told, said: str) -> None:
    assert said in lines(block(told, "Pacific/Auckland"))[0]


def test_the_webinars_own_clock_is_called_by_its_place() -> None:
    assert "13:00–15:00, was 12:00–14:00 (Geneva, " in lines(block(LATER, "Europe/Zurich"))[0]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("told", [LATER, MOVED, INTO_SUMMER], ids=["later", "moved", "into summer"])
def test_in_the_zones_of_the_world_the_old_and_the_new_instants_are_read_back(
    told: Told, language: str
) -> None:
    zones = [
        "Pacific/Kiritimati",
        "Pacific/Pago_Pago",
        "Asia/Kathmandu",
        "America/St_Johns",
        "Europe/Dublin",
        "UTC",
    ]
    assert_read_back(told, zones, language)


@pytest.mark.full
@pytest.mark.parametrize("language", LANGUAGES)
def test_in_every_zone_the_old_and_the_new_instants_are_read_back(language: str) -> None:
    for told in (LATER, INTO_SUMMER):
        assert_read_back(told, pytz.common_timezones, language)


def assert_read_back(told: Told, zones: list[str], language: str) -> None:
    one = text("{{ changes }}", language=language)
    for zone in zones:
        rendered = one.fill(variables(facts(zone, told=told), language))
        for part in (rendered.text, Page(rendered.html).text):
            new, old = read(part, language)
            assert (new.instants, old.instants) == ((START, END), (told.start, told.end)), zone
            assert (new.former, old.former) == (False, True), zone


def read(part: str, language: str) -> list[Clock]:
    """Every time in the words of a mail, each date with the weekday that it has."""
    found = clocks(part.replace("\u00a0", " ").replace("\u202f", " "), language)
    for clock in found:
        named = [WEEKDAYS[language][day.weekday()] for day in dict.fromkeys(clock.days)]
        assert list(dict.fromkeys(clock.weekdays)) == named
    return found


@pytest.mark.parametrize("language", MONTHS)
def test_the_shipped_notice_says_old_and_new_once_above_the_time_that_counts(language: str) -> None:
    rendered = shipped("change", language).render(facts("Asia/Tokyo", told=MOVED))

    for part in (rendered.text, Page(rendered.html).text):
        found = read(part, language)
        assert [(clock.instants, clock.former) for clock in found] == [
            ((START, END), False),
            ((START - DAY, END - DAY), True),
            ((START, END), False),
            ((START, END), False),
        ]


# The new link


def test_a_new_link_is_shown_and_the_one_that_it_replaces_is_nowhere() -> None:
    """Not struck through either: mail programs make a link of whatever looks like one."""
    rendered = shipped("change", "en").render(facts(told=RELINKED))

    assert lines(block(RELINKED)) == ["New link:", JOIN, "It replaces the link that we sent you before."]
    assert seen(block(RELINKED)) == ["New link", JOIN, "It replaces the link that we sent you before."]
    assert "former" not in rendered.subject + rendered.text + Page(rendered.html).text
    assert not [link for link in Page(rendered.html).links if "former" in link]
    assert Page(rendered.html).links.count(JOIN) == 3, "beside the button and the link below it"


def test_the_first_link_replaces_none() -> None:
    assert lines(block(Told(START, END, ""))) == ["New link:", JOIN]


def test_a_link_that_was_taken_back_will_follow() -> None:
    assert lines(block(RELINKED, join_url="")) == ["New link:", "The link to join will follow."]


def test_time_and_link_stand_below_each_other() -> None:
    assert [line.partition(":")[0] for line in lines(block(BOTH))][:2] == ["New time", "New link"]


HOSTILE = [
    "https://a.example/?a&b<c>\"d'e",
    "https://a.example/%(to)b{{ 7*7 }}{% if %}",
    "https://a.example/</del></td><script>alert(1)</script>",
    "https://a.example/" + "x" * 900,
    "https://a.example/*b*_c_[d](https://evil.example)",
]


@pytest.mark.parametrize("link", HOSTILE)
@pytest.mark.parametrize("language", ["en", "ar"])
def test_whatever_is_in_a_link_stays_in_it(link: str, language: str) -> None:
    for told in (RELINKED, Told(START - HOUR, END, link + "x")):
        usual, hostile = (block(told, language=language, join_url=one) for one in (JOIN, link))

        assert Page(hostile.html).links.count(link) == 1
        assert link in lines(hostile)
        assert re.findall("<[a-z]+", usual.html) == re.findall("<[a-z]+", hostile.html)
        assert not Structure(hostile.html).open


# Not cancelled after all


def test_after_a_cancellation_nothing_counts_but_that_it_takes_place() -> None:
    told = Told(START - HOUR, END, FORMER_LINK, cancelled=True)
    said = "The webinar takes place after all. Please disregard our notice of cancellation."

    for one in (RESTORED, told):
        assert lines(block(one)) == [said] == seen(block(one))


# Nothing to say


@pytest.mark.parametrize(
    "message_body", ["Dear you,\n\n{}\n\n{{{{ times }}}}", "{}\n\nHello", "Hello\n\n{}", "Hello\n{}\nBye"]
)
@pytest.mark.parametrize(
    "told",
    [None, Told(START, END, JOIN), Told(START, END + timedelta(seconds=30), JOIN), Told(None, None, JOIN)],
    ids=["not known", "all is as it was", "seconds, which no mail shows", "no time"],
)
def test_where_nothing_changed_the_block_leaves_no_trace(message_body: str, told: Told | None) -> None:
    with_it, without = (
        text(message_body.format(one)).render(facts(told=told)) for one in ("{{ changes }}", "{# nothing #}")
    )

    assert with_it.text == text(message_body.format("\n")).render(facts()).text
    assert re.sub(r"\n+", "\n", with_it.html) == re.sub(r"\n+", "\n", without.html)
    assert variables(facts(told=told), "en")["what_changed"] == "Updated details"


def test_a_cancelled_webinar_has_no_new_time() -> None:
    cancelled = webinar().model_copy(update={"cancelled": True})

    assert block(BOTH, webinar=cancelled).text.startswith("Bye")
    assert variables(facts(webinar=cancelled, told=BOTH), "en")["what_changed"] == "Updated details"


def test_a_text_that_does_not_use_it_is_as_it_was() -> None:
    old = text("Hello {{ name }}\n\n{{ times }}\n\n{{ join_button }}", "Updated: {{ webinar.title }}")

    assert old.render(facts(told=BOTH)) == old.render(facts())


def test_a_text_may_ask_for_it() -> None:
    asking = text("{% if changes %}\nThis is new:\n\n{{ changes }}\n{% else %}\nHello\n{% endif %}")

    assert asking.render(facts(told=LATER)).text.startswith("This is new:\n\nNew time: ")
    assert asking.render(facts()).text.startswith("Hello\n\n___")


# In the subject


SUBJECTS = {
    "en": ("New time", "New link", "New time and link", "Takes place after all", "Updated details"),
    "fr": ("Nouvel horaire", "Nouveau lien", "Nouvel horaire et nouveau lien", "Webinaire maintenu",
           "Informations modifiées"),
    "es": ("Nuevo horario", "Nuevo enlace", "Nuevo horario y nuevo enlace", "El seminario web sí se celebrará",
           "Información actualizada"),
    "ar": ("موعد جديد للندوة", "رابط جديد للانضمام", "موعد جديد للندوة ورابط جديد للانضمام", "الندوة ستُعقد",
           "معلومات محدَّثة"),
    "zh": ("网络研讨会时间变更", "网络研讨会参会链接变更", "网络研讨会时间和参会链接变更", "网络研讨会恢复举行",
           "网络研讨会信息更新"),
    "ru": ("Новое время вебинара", "Новая ссылка для входа", "Новые время и ссылка для входа",
           "Вебинар всё же состоится", "Обновлённые сведения о вебинаре"),
}  # fmt: skip


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_subject_says_what_changed(language: str) -> None:
    notice, title = shipped("change", language), own_words(webinar(), language).title
    colon = {"fr": "\u00a0: ", "zh": "："}.get(language, ": ")

    subjects = [notice.render(facts(told=told)).subject for told in (LATER, RELINKED, BOTH, RESTORED, None)]

    assert subjects == [f"{what}{colon}{title}" for what in SUBJECTS[language]]
    assert notice.render(facts(told=MOVED)).subject == subjects[0]
    assert max(len(subject.removesuffix(title)) for subject in subjects) <= 40, "telephones show no more"


def test_the_mail_to_one_person_has_it_as_their_facts_say() -> None:
    live = CurrentText(shipped("change", "en"), "en", revision=1)
    told = Told(START - HOUR, END - HOUR, "https://meet.who.int/w")

    ready = render(CLAIMED, webinar(), live, None, NOW, "", told=told)

    subject = str(message_from_bytes(ready.content, policy=policy.default)["Subject"])
    assert subject == "New time and link: Buying medicines: Q&A"


# From right to left


@pytest.mark.parametrize("told", ALL.values(), ids=ALL)
def test_latin_text_among_arabic_words_keeps_its_order(told: Told) -> None:
    rendered = block(told, "Pacific/Auckland", language="ar")

    for part in (rendered.text, rendered.html):
        assert part.count("\u2068") == part.count("\u2069")
        assert part.count("\u2068UTC") == part.count("UTC")
        assert not re.search(r"\d–\d", part), "a range is said in words"
    assert all(
        'dir="ltr"' in link
        for link in re.findall(f"<a [^>]*{re.escape(JOIN.partition('?')[0])}[^>]*>", rendered.html)
    )
    assert JOIN not in rendered.text or JOIN in lines(rendered), "a line of its own has the link's direction"


# A layout of one's own


OLDER = re.sub(
    r'<template id="changes(\.txt)?">.*?</template>\n',
    "",
    (TEMPLATES / "_layout/layout.html").read_text("utf-8"),
    flags=re.S,
)
HEAD = "---\nsubject: Hello\npreheader: Soon\n---\n"


def test_a_layout_that_is_older_than_the_block_serves_texts_without_it() -> None:
    layout = parse_layout(OLDER, "layout.html")

    assert (
        parse_text(HEAD + "Hello\n\n{{ times }}", "en.md", layout)
        .render(facts(told=BOTH))
        .text.startswith("Hello")
    )
    with pytest.raises(TextProblems) as caught:
        parse_text(HEAD + "Hello\n\n{{ changes }}", "en.md", layout)
    assert str(caught.value) == (
        "en.md, line 7: `{{ changes }}`, for which the layout has no piece; allowed: "
        '`<template id="changes">` and `<template id="changes.txt">` in the layout'
    )
