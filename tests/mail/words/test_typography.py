"""Blanks as each language sets them, in texts, in phrases and in what the webinar's file says: input and result."""

from __future__ import annotations

import re

import pytest
import pytz

from scheduler.mail.words.phrases import phrases
from scheduler.mail.words.typography import typeset
from scheduler.mail.words.variables import variables
from scheduler.mail.words.wording import city_name, clock_time, listing, place_name
from tests.mail.samples import facts, shipped, shipped_sources, text, webinar
from tests.mail.test_times_read_back import WEBINAR
from tests.received import Page

LANGUAGES = ("en", "fr", "es", "ar", "zh", "ru")

# "~" is a blank at which no line breaks.
TYPED = [
    ("fr", "Marchés publics de produits de santé : stimuler", "Marchés publics de produits de santé~: stimuler"),
    ("fr", "Vraiment ? Oui ! Non ; peut-être : bon", "Vraiment~? Oui~! Non~; peut-être~: bon"),
    ("fr", "« Oui » ou « Accepter »", "«~Oui~» ou «~Accepter~»"),
    ("fr", "« Une seule santé » : le dialogue", "«~Une seule santé~»~: le dialogue"),
    ("fr", "Quoi ?!", "Quoi~?!"),
    ("fr", "10 % des pays, 5 € par dose", "10~% des pays, 5~€ par dose"),
    ("fr", "13 h 30, 5 min, 3 km, 20 ans", "13~h 30, 5~min, 3~km, 20~ans"),
    ("fr", "n° 5 et N° 6", "n°~5 et N° 6"),
    ("fr", "déjà\u202f: fait, déjà\u00a0: fait", "déjà\u202f: fait, déjà~: fait"),
    ("fr", "santé: sans blanc", "santé: sans blanc"),
    ("fr", "https://a.example/x?y:z", "https://a.example/x?y:z"),
    ("fr", "- un : deux", "- un~: deux"),
    ("fr", "{% if name %}Oui{% else %}Non{% endif %} !", "{% if name %}Oui{% else %}Non{% endif %}~!"),
    ("fr", "{% if 3 %}x{% endif %}", "{% if 3 %}x{% endif %}"),
    ("fr-CA", "Santé : accès", "Santé~: accès"),
    ("FR", "Santé : accès", "Santé~: accès"),
    ("en", "Health : access", "Health : access"),
    ("es", "Salud : acceso", "Salud : acceso"),
    ("ru", "Ссылка для входа — в этом письме", "Ссылка для входа~— в этом письме"),
    ("ru", "13:00–15:00, а–б", "13:00–15:00, а–б"),
    ("ru", "приказ № 5", "приказ №~5"),
    ("ru", "— Да", "— Да"),
    ("zh", "添加： Google 日历、 Outlook.com", "添加：Google 日历、Outlook.com"),
    ("zh", "您好， 李伟！ 谢谢。 再见", "您好，李伟！谢谢。再见"),
    ("zh", "推动创新 ，促进可及", "推动创新，促进可及"),
    ("zh", "世卫组织 （WHO） 主办", "世卫组织（WHO）主办"),
    ("zh", "使用 Zoom 参会", "使用 Zoom 参会"),
    ("zh", "- （一）", "- （一）"),
    ("zh", "第一行。  \n第二行", "第一行。  \n第二行"),
    ("zh-Hant", "您好， 謝謝", "您好，謝謝"),
    ("ja", "こんにちは、 世界。 次", "こんにちは、世界。次"),
    ("ko", "안녕하세요, 세계. 다음", "안녕하세요, 세계. 다음"),
    ("ar", "مرحبًا، كيف", "مرحبًا، كيف"),
]  # fmt: skip


@pytest.mark.parametrize(("language", "typed", "set_right"), TYPED)
def test_blanks_are_those_of_the_language(language: str, typed: str, set_right: str) -> None:
    found = typeset(typed, language)

    assert found == set_right.replace("~", "\u00a0")
    assert typeset(found, language) == found, "once is enough"
    assert re.sub(r"\s", "", found) == re.sub(r"\s", "", typed), "only blanks change"


PARAGRAPHS = [
    ("zh", "政府如何采购，\n影响着产品。\n下一句", "政府如何采购，影响着产品。下一句"),
    ("zh", "**政府**如何\n**采购**", "政府如何采购"),
    ("zh", "请使用\nZoom", "请使用 Zoom"),
    ("zh", "在此处：\n{{ webinar.materials_url }}", "在此处： https://www.example.org/slides"),
    ("ja", "こんにちは。\nまた明日", "こんにちは。また明日"),
    ("ko", "안녕하세요.\n또 만나요", "안녕하세요. 또 만나요"),
    ("en", "one\ntwo", "one two"),
    ("ru", "раз\nдва", "раз два"),
]


@pytest.mark.parametrize(("language", "typed", "read"), PARAGRAPHS)
def test_a_line_break_between_wide_characters_is_no_blank(language: str, typed: str, read: str) -> None:
    rendered = text(typed, language=language).render(facts())

    assert rendered.text.startswith(f"{read}\n\n___")
    assert f"\n{read}\n" in Page(rendered.html).text


# What the webinar's file says

TITLES = [
    "Santé : accès",
    "« Une seule santé » : le dialogue",
    'Le "prix" juste ? Oui !',
    "Questions & réponses ; suite",
    "Vaccins <et> commerce : 10 %",
]


@pytest.mark.parametrize("title", TITLES)
def test_no_line_of_a_french_mail_begins_with_a_mark_of_a_title(title: str) -> None:
    french = webinar().translations["fr"].model_copy(update={"title": title})
    governing = webinar().model_copy(update={"translations": {"fr": french}})
    rendered = shipped("confirmation", "fr").render(facts(webinar=governing))

    for part in (rendered.subject, rendered.text, Page(rendered.html).text):
        assert typeset(title, "fr").replace("\u00a0", " ") in part.replace("\u00a0", " ")
    for part in (rendered.subject, rendered.preheader, rendered.text, rendered.html.partition("<body")[2]):
        assert not re.search(r"\w [:;?!»]|« ", part)


RUNNING = [
    ("ar", "Buying medicines: Q&A (WHO)", True),
    ("ar", "100% “prices”?", True),
    ("he", "Buying medicines", True),
    ("fr", "Buying medicines", False),
    ("zh", "Buying medicines", False),
]


@pytest.mark.parametrize(("language", "title", "apart"), RUNNING)
def test_words_that_run_the_other_way_for_want_of_a_translation_stand_apart(
    language: str, title: str, apart: bool
) -> None:
    governing = webinar(title=f'"{title}"').model_copy(update={"translations": {}})
    rendered = text("({{ webinar.title }})", "{{ webinar.title }}!", language=language).render(
        facts(webinar=governing)
    )
    shown = f"\u2068{title}\u2069" if apart else title

    assert rendered.subject == f"{shown}!"
    assert rendered.text.startswith(f"({shown})\n")


def test_arabic_words_in_an_english_mail_stand_apart_and_in_their_own_do_not() -> None:
    governing = webinar(title='"المشتريات العامة (WHO)"').model_copy(
        update={"translations": {}, "languages": ("ar", "en")}
    )

    for language, shown in (("en", "\u2068المشتريات العامة (WHO)\u2069"), ("ar", "المشتريات العامة (WHO)")):
        rendered = text("{{ webinar.title }}", language=language).render(facts(webinar=governing))
        assert rendered.text.startswith(f"{shown}\n")


@pytest.mark.parametrize(
    ("organizers", "said"),
    [
        (["OMS", "Instituto Pasteur"], "OMS e Instituto Pasteur"),
        (["OMS", "Hidrología", "Índice"], "OMS, Hidrología e Índice"),
        (["OMS", "Hiato"], "OMS y Hiato"),
        (["OMS", "Hielo"], "OMS y Hielo"),
        (["OMS", "Yate"], "OMS y Yate"),
        (["y", "y", "i"], "y, y e i"),
        (["Instituto"], "Instituto"),
        (["OMS", "OMPI", "OMC"], "OMS, OMPI y OMC"),
    ],
)
def test_a_list_in_spanish_has_e_before_the_sound_of_i(organizers: list[str], said: str) -> None:
    assert listing(organizers, "es") == said


# Cities

ZONES = sorted({*pytz.common_timezones})


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_city_of_any_zone_stands_where_its_name_never_changes(language: str) -> None:
    """All cities of CLDR: in Russian none is behind a word that would decline it, in French none behind "de" or "à",
    which become "d’", "du" and "au" before some (Abidjan, Le Caire)."""
    words, wrong = phrases(language), []
    before = {"fr": r"\b(de|à|d’|qu’à|en) $", "ru": r"\b(в городе|городе|в|из|от|чем) $"}.get(
        language, r"\n$"
    )
    for zone in ZONES:
        city = city_name(pytz.timezone(zone), language) or "UTC"
        for phrase in (words.place_time, words.same_time, words.other_date, words.unknown_zone):
            said = phrase.format(city=city, place=city)
            for match in re.finditer(re.escape(city), said):
                stood = said[: match.start()]
                bracketed = stood.endswith("(") and said[match.end() :].startswith(")")
                if re.search(before, stood) or (language in ("fr", "ru") and not bracketed):
                    wrong.append(said)
    assert len(ZONES) > 400
    assert wrong == []


@pytest.mark.parametrize(
    ("language", "zone", "heading"),
    [
        ("fr", "Africa/Cairo", "Heure du webinaire (Le Caire)"),
        ("fr", "Africa/Abidjan", "Heure du webinaire (Abidjan)"),
        ("ru", "Europe/Moscow", "Время вебинара (Москва)"),
        ("es", "Africa/Cairo", "Hora de El Cairo"),
        ("en", "Africa/Cairo", "Cairo time"),
        ("zh", "Africa/Cairo", "开罗时间"),
        ("ar", "Africa/Cairo", "توقيت القاهرة"),
        ("en", "UTC", "UTC time"),
        ("fr", "UTC", "Heure du webinaire (UTC)"),
    ],
)
def test_the_webinars_time_is_called_by_its_place(language: str, zone: str, heading: str) -> None:
    said = variables(facts(webinar=webinar(zone=f'"{zone}"')), language)["times"].their_heading

    assert said == heading


def test_the_marks_around_a_chinese_list_of_calendars_have_no_blanks() -> None:
    page = Page(shipped("confirmation", "zh").render(facts()).html).text

    assert "自行添加：Google 日历、Outlook.com 或 Microsoft 365。" in page


@pytest.mark.parametrize(("message", "language"), [key for key in shipped_sources() if key[1] == "zh"])
def test_no_chinese_mail_has_a_blank_beside_a_full_width_mark(message: str, language: str) -> None:
    own = {
        "title": "采购：问答",
        "about": "政府如何采购。",
        "how_to_join": "请提前打开链接。",
        "languages": ("zh", "fr"),
    }
    chinese = webinar(held_in='"zh"', sender='"世卫组织 <webinar@example.org>"').model_copy(update=own)
    rendered = shipped(message, language).render(facts("Pacific/Auckland", webinar=chinese, name="李伟"))

    for part in (rendered.subject, rendered.preheader, rendered.text, Page(rendered.html).text):
        assert not re.search(r"[、。，：；！？（）] +\S|\S +[、。，：；！？（）]", part)


def test_geneva_and_what_is_no_city() -> None:
    assert place_name("Geneva", "ru") == "Женева"
    clock = clock_time(*WEBINAR, pytz.utc, "fr")
    assert (clock.city, clock.offset) == ("", "UTC+0")
