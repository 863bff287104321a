"""Built-in words of mails: the greeting, how to unsubscribe, which questions are asked when, and each of them
once."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta

import pytest

from scheduler.input.colours import contrast
from scheduler.mail.text.layout import parse_layout
from scheduler.mail.text.pictures import GROUND, SEEN, visible_share
from scheduler.mail.text.templates import Rendered, parse_text
from scheduler.mail.words.phrases import phrases
from scheduler.mail.words.variables import dear, shown_name
from tests.mail.samples import TEMPLATES, facts, layout, png, rgba, shipped, shipped_sources, text, webinar
from tests.mail.text.test_templates import ENGLISH_IN
from tests.mail.text.test_templates import Page as Structure
from tests.received import Page

LANGUAGES = ("en", "fr", "es", "ar", "zh", "ru")
EVERY = sorted(shipped_sources())
AFTER = {"follow-up", "cancellation", "withdrawal"}


def sent(message: str, language: str, **changes: object) -> Rendered:
    """The mail when it goes out: a follow-up the day after, a cancellation of a cancelled webinar, and so on."""
    about = facts(zone_assumed=True, **changes)
    if message == "follow-up":
        about = replace(about, now=about.webinar.end + timedelta(days=1), invitation_attached=False)
    if message == "cancellation":
        about = replace(about, webinar=about.webinar.model_copy(update={"cancelled": True}))
    if message == "withdrawal":
        about = replace(about, withdrawn=True)
    if message.startswith("reminder"):
        about = replace(about, invitation_attached=False)
    return shipped(message, language).render(about)


def parts(rendered: Rendered) -> tuple[str, str]:
    return rendered.text, Page(rendered.html).text


# {{ dear }}

GREETINGS = [
    ("en", "Amina Wanjiru", "Dear Amina Wanjiru,"),
    ("en", "", "Dear participant,"),
    ("fr", "Amina Wanjiru", "Bonjour Amina Wanjiru,"),
    ("fr", "", "Bonjour,"),
    ("es", "Amina Wanjiru", "Hola, Amina Wanjiru:"),
    ("es", "", "Hola:"),
    ("ar", "أمل", "حضرة أمل، تحية طيبة وبعد،"),
    ("ar", "", "تحية طيبة وبعد،"),
    ("zh", "李伟", "李伟，您好！"),
    ("zh", "", "尊敬的参会者，您好！"),
    ("ru", "Анна", "Здравствуйте, Анна!"),
    ("ru", "", "Здравствуйте!"),
    ("fr-CA", "Anna", "Bonjour Anna,"),
    ("de", "Anna", "Dear Anna,"),  # until there are phrases; `check` says so
    ("en", "{name} {0} %s", "Dear {name} {0} %s,"),
]


@pytest.mark.parametrize(("language", "name", "greeting"), GREETINGS)
def test_the_greeting_is_by_language_with_or_without_a_name(language: str, name: str, greeting: str) -> None:
    assert dear(name, language) == greeting


@pytest.mark.parametrize(("message", "language"), EVERY)
def test_every_shipped_text_begins_with_it(message: str, language: str) -> None:
    source = shipped_sources()[message, language]

    assert "{{ dear }}" in source
    assert "{{ name }}" not in source
    for name in ("Amina", ""):
        greeting = dear(shown_name(name, language), language)
        assert f"\n{greeting}\n" in sent(message, language, name=name).text


def test_a_name_against_the_direction_is_isolated_in_it() -> None:
    assert text("{{ dear }}").render(facts(name="محمد")).text.startswith("Dear \u2068محمد\u2069,")


# After the event


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("message", sorted(AFTER))
def test_after_the_event_nobody_is_asked_for_a_time_zone(message: str, language: str) -> None:
    words, rendered = phrases(language), sent(message, language)

    for part in parts(rendered):
        for asked in (words.assumed, words.correct, words.correct_link, words.correct_subject):
            assert asked not in part
        assert words.stop in part
    assert not any(
        "zon" in link or "fuseau" in link for link in Structure(rendered.html).links if "mailto" in link
    )


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("message", ["confirmation", "reminder-day", "reminder-hour", "change"])
def test_before_it_they_are(message: str, language: str) -> None:
    words = phrases(language)

    for part in parts(sent(message, language)):
        assert words.assumed in part
        assert words.correct_link in part


CAME = {
    "en": "good to have you|joining us|taking part|attending",
    "fr": "été des nôtres|votre participation|participants",
    "es": "acompañado|participación|asistencia",
    "ar": "أن تكونوا معنا|مشاركتكم|حضوركم",
    "zh": "感谢您的参与|参加",
    "ru": "за участие|вашему участию",
}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("materials", ['"https://www.example.org/slides"', '""'])
def test_a_follow_up_thanks_nobody_for_coming(language: str, materials: str) -> None:
    rendered = sent("follow-up", language, webinar=webinar(materials_url=materials))

    for part in (rendered.subject, rendered.preheader, rendered.text.partition("___")[0]):
        assert not re.search(CAME[language], part)


# Once


@pytest.mark.parametrize(("message", "language"), EVERY)
def test_the_language_in_which_it_is_held_is_said_once_while_that_counts(message: str, language: str) -> None:
    for part in parts(sent(message, language)):
        assert part.count(ENGLISH_IN[language]) == (0 if message in AFTER else 1)


@pytest.mark.parametrize("body", ["Hello", "Held in {{ webinar.held_in }}.", "Hello {# webinar.held_in #}"])
def test_the_footer_says_it_where_the_text_does_not(body: str) -> None:
    for part in parts(text(body).render(facts())):
        assert part.count("eld in English.") == 1


@pytest.mark.parametrize(("message", "language"), EVERY)
def test_plain_text_has_no_link_that_is_for_programs(message: str, language: str) -> None:
    rendered = sent(message, language)

    assert not re.search(r"mailto:|%[0-9A-F]{2}", rendered.text)
    assert "team@example.org" in rendered.text.partition("___")[2]
    assert "Unsubscribe (procurement)" in rendered.text
    assert max(map(len, rendered.text.partition("___")[2].split("\n"))) < 200


@pytest.mark.parametrize(
    ("link", "plain"),
    [
        (
            "[Write to us](mailto:team@who.int?subject=%D0%9C%D0%BE%D0%B9&body=x)",
            "Write to us <team@who.int>",
        ),
        ("[team@who.int](mailto:team@who.int?subject=Hello%20you)", "team@who.int"),
        ("[us](mailto:o%27neil@who.int)", "us <o'neil@who.int>"),
        ("[page](https://a.example/%D0%9C?x=%20)", "page <https://a.example/%D0%9C?x=%20>"),
    ],
)
def test_an_organizers_own_link_to_a_mailbox_shows_its_address(link: str, plain: str) -> None:
    assert text(link).render(facts()).text.startswith(f"{plain}\n")


# Declining


@pytest.mark.parametrize(("message", "language"), EVERY)
def test_a_mail_with_an_invitation_says_once_that_declining_it_does_not_stop_the_mails(
    message: str, language: str
) -> None:
    words = phrases(language)
    said = words.declining.format(stop=words.stop)

    for part in parts(sent(message, language)):
        assert part.replace("\u00a0", " ").count(said.replace("\u00a0", " ")) == (
            message in {"confirmation", "change"}
        )


# Midnight


@pytest.mark.parametrize("language", LANGUAGES)
def test_across_midnight_each_end_stands_above_its_day(language: str) -> None:
    rendered = text("{{ times }}", language=language).render(facts("Pacific/Auckland"))
    lines = Page(rendered.html).text.split("\n")
    start = lines.index("23:00")

    assert lines[start + 2] == "– 01:00"
    assert "3" in lines[start + 1]
    assert "4" in lines[start + 3]
    assert "23:00–01:00" not in rendered.html + rendered.text


def test_within_a_day_the_hours_are_one_line() -> None:
    lines = Page(text("{{ times }}").render(facts()).html).text.split("\n")

    assert lines[lines.index("14:00–16:00") + 1] == "Thursday, 3 July 2025"


# A layout of one's own that is older


OLDER = (TEMPLATES / "_layout/layout.html").read_text("utf-8")
for newer, older in {
    "{% if declining %}<p>{{ declining }}</p>{% endif %}\n": "",
    "{% if declining %}{{ declining }}\n{% endif %}": "",
    "{% if page_url %}{{ stop_url }}{% else %}{{ stop_by_mail }}{% endif %}": "{{ stop_url }}",
    "{% if page_url %}{{ correct_url }}{% else %}{{ correct_by_mail }}{% endif %}{% endif %}": "{{ correct_url }}",
    "{% if page_url %}{{ correct_url }}{% else %}{{ reply_to }}{% endif %}": "{{ reply_to }}",
    "{% if page_url %}{{ phrases.my_registration }}{{ phrases.colon }}{{ page_url }}\n{% endif %}": "",
    '{% if page_url %}<a href="{{ page_url }}">{{ phrases.my_registration }}</a> &nbsp;·&nbsp; {% endif %}': "",
    "{% if not over %}": "",
    " &nbsp;·&nbsp; {% endif %}": " &nbsp;·&nbsp; ",
}.items():
    OLDER = OLDER.replace(newer, older)


def test_an_older_layout_goes_on_working() -> None:
    for name in ("declining", "by_mail", "over %", "page_url"):
        assert name not in OLDER
    old = parse_text("---\nsubject: Hi\npreheader: Hi\n---\n{{ dear }}\n\n{{ times }}", "en.md",
                     parse_layout(OLDER, "layout.html"))  # fmt: skip

    for about in (facts(), replace(facts(), now=webinar().end)):
        assert f"Unsubscribe: {old.render(about).stop_url}" in old.render(about).text
    with_page = old.render(facts(page_url=MINE))
    assert f"Unsubscribe: {MINE}/unsubscribe\nCorrect my time zone: {MINE}#clock" in with_page.text


# The reader's own page

MINE = "https://webinars.who.int/r/0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(("message", "language"), EVERY)
def test_every_mail_leads_to_the_readers_page(message: str, language: str) -> None:
    rendered, words = sent(message, language, page_url=MINE), phrases(language)
    offered = {words.my_registration: MINE, words.stop: f"{MINE}/unsubscribe"}
    if message not in {"follow-up", "cancellation", "withdrawal"}:
        offered[words.correct_link] = f"{MINE}#clock"

    for name, url in offered.items():
        assert f'<a href="{url}"' in rendered.html
        assert name in Page(rendered.html).text
        assert f"{name}{words.colon}{url}\n" in rendered.text
    assert rendered.stop_url == f"{MINE}/unsubscribe"
    assert "mailto:" not in rendered.html
    assert "team@example.org" not in rendered.text, "nobody has to write to a person"


@pytest.mark.parametrize(("message", "language"), EVERY)
def test_without_pages_there_is_no_word_of_one(message: str, language: str) -> None:
    rendered = sent(message, language)

    for part in (rendered.html, rendered.text):
        assert phrases(language).my_registration not in part
        assert "/r/" not in part


def test_an_assumed_time_zone_is_corrected_on_the_page() -> None:
    rendered = text("{{ times }}").render(facts("America/Sao_Paulo", zone_assumed=True, page_url=MINE))

    assert f'<a href="{MINE}#clock">tell us where you are</a>' in re.sub(r' style="[^"]*"', "", rendered.html)
    assert f"If it is not yours, tell us where you are: {MINE}#clock" in rendered.text


@pytest.mark.parametrize("language", LANGUAGES)
def test_who_withdrew_finds_the_way_back(language: str) -> None:
    with_page, without = (sent("withdrawal", language, page_url=url) for url in (MINE, ""))

    assert f"<{MINE}>" in with_page.text.partition("___")[0]
    assert f'<a href="{MINE}"' in with_page.html.partition('role="contentinfo"')[0]
    assert MINE not in without.text
    assert '"reservationStatus": "https://schema.org/ReservationCancelled"' in with_page.html
    assert '"eventStatus": "https://schema.org/EventScheduled"' in with_page.html


# The logo


def _style(selector: str) -> str:
    found = re.search(rf"^  {re.escape(selector)} {{(.*)}}$", layout().page, re.M)
    assert found
    return found[1]


def test_a_logo_stands_on_a_light_ground_in_light_and_in_dark() -> None:
    assert f"background-color: {GROUND};" in _style(".logo")
    dark = layout().page.partition("prefers-color-scheme: dark")[2]
    assert ".logo" not in dark
    (page,) = re.findall(r"body, \.page { background-color: (#\w+)", dark)
    for logo in ("#000000", "#10233b", "#0b5a9d", "#8a4b00"):
        assert contrast(logo, GROUND) >= SEEN
    assert contrast("#10233b", page) < SEEN, "where it stood before"


@pytest.mark.parametrize(
    ("colours", "share"),
    [
        ([(0, 0, 0, 255)] * 4, 1.0),
        ([(255, 255, 255, 255)] * 4, 0.0),
        ([(255, 255, 255, 255)] * 3 + [(16, 35, 59, 255)], 0.25),
        ([(255, 255, 0, 255), (0, 0, 0, 10), (250, 250, 250, 255), (0, 90, 157, 200)], 1 / 3),
        ([(0, 0, 0, 0)] * 4, None),
    ],
)
@pytest.mark.parametrize("how", range(5))
def test_what_of_a_logo_can_be_seen_on_it_is_counted(
    colours: list[tuple[int, int, int, int]], share: float | None, how: int
) -> None:
    found = visible_share(rgba(colours, 2, how))

    assert found == (share if share is None else pytest.approx(share))


@pytest.mark.parametrize(
    "picture",
    [
        b"",
        b"GIF89a",
        b"\x89PNG\r\n\x1a\n",
        png(),
        png()[:40],
        rgba([(0, 0, 0, 255)] * 4, 2, 0)[:-30],
        b"\x89PNG\r\n\x1a\nxx",
    ],
)
def test_of_a_picture_with_its_own_ground_or_a_broken_one_nothing_is_said(picture: bytes) -> None:
    assert visible_share(picture) is None
