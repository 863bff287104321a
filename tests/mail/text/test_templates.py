"""Texts: an organizer's prose in, a mail's words out."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from html import unescape
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.mail.text.templates import Rendered, TextProblems
from scheduler.mail.words.phrases import missing_phrases
from scheduler.mail.words.variables import BLOCKS, LAYOUT_VARIABLES, VARIABLES, variables
from tests.mail.samples import JOIN, facts, layout, shipped, shipped_sources, text, webinar

SHIPPED = sorted(shipped_sources())
HOSTILE = '<img src=x onerror=alert(1)> {{ 7*7 }} [a](https://evil.com) www.evil.com "\r\nBcc: x@evil.com'


class Page(HTMLParser):
    """What a browser would make of a page: links, text that is seen, and whether every element is closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in {"meta", "br", "hr", "img"}:
            self.open.append(tag)
        self.links += [value or "" for key, value in attrs if key == "href"]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in {"style", "title"}:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def seen(rendered: Rendered) -> str:
    page = Page(rendered.html)
    assert not page.open
    return page.text


# What an organizer writes


def test_markdown_becomes_html_and_plain_text() -> None:
    rendered = text(
        "# Hello\n\nThis is **bold**,\nand *this* [a link](https://who.int/a?b=1&c=2).\n\n- one\n- two\n"
    ).render(facts())

    assert re.search(r"<h1[^>]*>Hello</h1>", rendered.html)
    assert re.search(r"<strong>bold</strong>", rendered.html)
    assert 'href="https://who.int/a?b=1&amp;c=2"' in rendered.html
    assert rendered.text.startswith(
        "Hello\n\nThis is bold, and this a link <https://who.int/a?b=1&c=2>.\n\n- one\n- two\n\n___\n"
    )


def test_lists_quotes_and_line_breaks_in_plain_text() -> None:
    rendered = text(
        "1. one\n2. two\n   - deep\n\n> said\n> so\n\nA\\\nB\n\n---\n\n`code` <https://who.int/>"
    ).render(facts())

    assert rendered.text.startswith(
        "1. one\n2. two\n   - deep\n\n> said so\n\nA\nB\n\n* * *\n\ncode https://who.int/\n\n___\n"
    )


def test_a_variable_in_a_links_address_is_filled_in_not_encoded() -> None:
    """odoo #13896."""
    rendered = text("[Join]({{ join_url }}) or [slides]({{webinar.materials_url}})").render(facts())

    assert JOIN in Page(rendered.html).links
    assert "https://www.example.org/slides" in Page(rendered.html).links
    assert f"Join <{JOIN}> or slides <https://www.example.org/slides>" in rendered.text


def test_a_bare_link_variable_is_a_link() -> None:
    rendered = text("Join at {{ join_url }}.").render(facts())

    assert JOIN in Page(rendered.html).links
    assert f"Join at {JOIN}." in rendered.text


@pytest.mark.parametrize("body", ["{% if name %}Dear {{ name }}{% else %}Hello{% endif %},",
                                  "{% if name %}\nDear {{ name }},\n{% else %}\nHello,\n{% endif %}"])  # fmt: skip
def test_conditions_in_a_line_and_around_paragraphs(body: str) -> None:
    with_name, without = text(body).render(facts()), text(body).render(facts(name=""))

    assert with_name.text.startswith("Dear Amina Wanjiru,\n\n___")
    assert without.text.startswith("Hello,\n\n___")
    assert "<p" in without.html
    assert not re.search(r"<p[^>]*>\s*</p>", without.html)


def test_conditions_in_a_list_and_a_loop() -> None:
    body = (
        "{% for word in ['a', 'b'] %}\n- {{ word }}\n{% endfor %}\n\n{% set x = 3 %}\n\n{# a note #}{{ x }}"
    )
    rendered = text(body).render(facts())

    assert rendered.text.startswith("- a\n\n- b\n\n3\n\n___")
    assert seen(rendered)


def test_what_looks_like_jinja_after_conversion_stays_text() -> None:
    rendered = text("`{{ '{{ join_url }}' }}` and \\{\\% if").render(facts())

    assert "{{ join_url }} and {% if" in rendered.text
    assert "{{ join_url }} and {% if" in seen(rendered)


@pytest.mark.parametrize(
    "escaped", ["&#123;&#123; join_url }}", "\\{\\{ join_url \\}\\}", "｛｛ join_url ｝｝"]
)
def test_what_would_be_filled_in_and_is_escaped_is_refused(escaped: str) -> None:
    with pytest.raises(TextProblems):
        text(escaped)


def test_blanks_of_a_word_processor_between_braces_are_blanks() -> None:
    assert text("Dear {{\u00a0name\u202f}}").render(facts()).text.startswith("Dear Amina Wanjiru")
    assert (
        text("{% if\u00a0name != 'x' %}Oui{% endif %}", language="fr").render(facts()).text.startswith("Oui")
    )


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("{{first name}}", "`{{first name}}`, a placeholder of another tool; write `{{ name }}`"),
        ("{{{name}}}", "`{{{name}}}`, a placeholder of another tool; write `{{ name }}`"),
        (
            "{{${first_name}}}",
            "`{{${first_name}}}`, a placeholder of another tool; write `{{ name }}`",
        ),
        ("{{name|default:'you'}}", "a placeholder of another tool; write `{{ name }}`"),
        ("{{data:firstname:''}}", "a placeholder of another tool; write `{{ name }}`"),
        ("{{lead.First Name:default=x}}", "a placeholder of another tool; write `{{ name }}`"),
        ("{{ $json.name }}", "a placeholder of another tool; write `{{ name }}`"),
        ("{{#if name}}", "a placeholder of another tool; write `{{ name }}`"),
        ("{{ contact.FIRSTNAME }}", "write `{{ name }}`"),
        ("{{ Recipient.FirstName }}", "write `{{ name }}`"),
        ("{{ registrant.join_url }}", "write `{{ join_url }}`"),
        ("{{ event.title }}", "write `{{ webinar.title }}`"),
        ("{{ unsubscribe }}", "leave it out: every mail ends with how to unsubscribe"),
        ("{{field:abc}}", "docs/variables.md says what may be between braces"),
        ("{{ name", "close it with `}}`, as in `{{ name }}`"),
        ("{{ name }", "one brace where two belong; write `{{ name }}`"),
        (
            "{% if name == “x” %}a{% endif %}",
            "the character “ in place of a straight quote",
        ),
    ],
)
def test_what_another_tool_would_understand_between_braces_has_its_fix(written: str, found: str) -> None:
    with pytest.raises(TextProblems) as refused:
        text(f"Hello\n\n{written}")
    assert found in str(refused.value)
    assert "templates/test/en.md, line 7: " in str(refused.value)


def test_markdown_and_html_in_a_subject_are_doubtful() -> None:
    found = text(
        "Hello", subject="**Soon** &amp; {{ webinar.title }}", preheader="See [it](https://who.int)"
    ).doubts
    assert [(one.place, one.found.partition(",")[0]) for one in found] == [
        ("templates/test/en.md, line 2", "`**Soon**`"),
        ("templates/test/en.md, line 2", "`&amp;`"),
        ("templates/test/en.md, line 3", "`[it](https://who.int)`"),
    ]


def test_a_placeholder_in_the_subject_is_refused() -> None:
    with pytest.raises(TextProblems, match=r"line 2: `\*\|FNAME\|\*`"):
        text("Hello", subject="*|FNAME|*, see you soon")


def test_windows_line_ends_and_a_byte_order_mark_change_nothing() -> None:
    body = "Hello\n\n{{ times }}\n\nBye"

    assert text(body.replace("\n", "\r\n")).render(facts()) == text(body).render(facts())


def test_subject_and_preheader_are_plain_single_lines() -> None:
    """Indico #6725: a subject that reads "Lee&#39;s Fest"."""
    rendered = text("Hi", subject="{{ webinar.title }}: {{ name }}", preheader="'{{ your_time }}'").render(
        facts(name="Seán O'Brien")
    )

    assert rendered.subject == "Buying medicines: Q&A: Seán O'Brien"
    assert rendered.preheader.startswith("Thursday, 3 July 2025, 14:00–16:00")
    assert "<title>Buying medicines: Q&amp;A: Seán O&#39;Brien</title>" in rendered.html


@pytest.mark.parametrize(
    ("body", "subject", "found"),
    [("{% if false %}Hi{% endif %}", "Hello", "text"), ("Hi", "{% if false %}x{% endif %}", "subject")],
)
def test_a_text_that_says_nothing_is_not_sent(body: str, subject: str, found: str) -> None:
    with pytest.raises(TextProblems, match=f"the {found} is empty after it is filled in"):
        text(body, subject=subject).render(facts())


def test_a_failure_shows_nothing_that_a_registrant_typed() -> None:
    broken = text("{{ webinar[name] }}")

    with pytest.raises(TextProblems) as caught:
        broken.render(facts(name="Secret Person"))

    assert str(caught.value) == "templates/test/en.md: cannot be filled in (UndefinedError)"
    assert caught.value.__suppress_context__


def test_the_sandbox_keeps_a_text_to_the_facts() -> None:
    for escape in ("{{ ''.__class__ }}", "{{ name.__init__.__globals__ }}", "{{ webinar.__class__ }}"):
        with pytest.raises(TextProblems):
            text(escape).render(facts())


def test_french_punctuation_stays_with_its_word() -> None:
    rendered = text(
        "Choisissez « Oui » : {{ name }} !\n\n- a : b", subject="Merci : oui", language="fr"
    ).render(facts())

    assert rendered.text.startswith(
        "Choisissez «\u00a0Oui\u00a0»\u00a0: Amina Wanjiru\u00a0!\n\n- a\u00a0: b\n"
    )
    assert rendered.subject == "Merci\u00a0: oui"
    assert text("Yes : no").render(facts()).text.startswith("Yes : no")


# What a registrant typed


@pytest.mark.parametrize(("message", "language"), SHIPPED)
def test_a_hostile_name_is_neither_markup_nor_link_nor_header(message: str, language: str) -> None:
    usual, hostile = (shipped(message, language).render(facts(name=name)) for name in ("Amina", HOSTILE))
    there, here = Page(usual.html), Page(hostile.html)

    assert here.links == there.links
    assert re.sub(r"[^<>]*(<[^>]*>)[^<>]*", r"\1", usual.html) == re.sub(
        r"[^<>]*(<[^>]*>)[^<>]*", r"\1", hostile.html
    )
    for part in (hostile.subject, hostile.preheader, hostile.text, here.text):
        assert "evil.com" not in part
        assert "{{" not in part
        assert "49" not in part
    assert "\n" not in hostile.subject + hostile.preheader
    assert "\r" not in hostile.text


@settings(max_examples=10)
@given(st.text(max_size=60))
def test_no_name_changes_the_structure_of_a_mail(name: str) -> None:
    greeting = text("Dear {{ name }}x,\n\n{{ times }}", subject="For {{ name }}!", preheader="{{ name }}.")
    rendered = greeting.render(facts(name=name))

    assert len(Page(rendered.html).links) == len(Page(greeting.render(facts()).html).links)
    assert len(rendered.subject.splitlines()) == 1


# What a reader gets


@pytest.mark.parametrize(("message", "language"), [key for key in SHIPPED if key[1] in {"en", "fr"}])
@pytest.mark.parametrize(
    ("zone", "date", "hours", "offset"),
    [
        ("Pacific/Kiritimati", (4, "Friday", "vendredi"), "01:00–03:00", "UTC+14"),
        ("Pacific/Pago_Pago", (3, "Thursday", "jeudi"), "00:00–02:00", "UTC-11"),
        ("Asia/Kathmandu", (3, "Thursday", "jeudi"), "16:45–18:45", "UTC+5:45"),
        ("America/Sao_Paulo", (3, "Thursday", "jeudi"), "08:00–10:00", "UTC-3"),
    ],
)
def test_every_text_that_names_the_time_gives_the_readers_and_genevas(
    message: str, language: str, zone: str, date: tuple[int, str, str], hours: str, offset: str
) -> None:
    day, english, french = date
    theirs = f"{english}, {day} July 2025" if language == "en" else f"{french} {day} juillet 2025"
    geneva = "Thursday, 3 July 2025" if language == "en" else "jeudi 3 juillet 2025"
    rendered = shipped(message, language).render(facts(zone))

    for part in (seen(rendered), rendered.text):
        assert all(word in part for word in (theirs, hours, offset, geneva, "13:00–15:00", "UTC+2"))
        assert ("Geneva" if language == "en" else "Genève") in part


def test_the_shipped_texts_are_all_there_and_their_subjects_differ() -> None:
    """anymail #37: Gmail groups mails with one subject and hides what repeats."""
    messages = {"confirmation", "reminder-day", "reminder-hour", "follow-up", "change", "cancellation",
                "withdrawal"}  # fmt: skip
    languages = ("en", "fr", "es", "ar", "zh", "ru")
    assert set(SHIPPED) == {(message, language) for message in messages for language in languages}
    for language in languages:
        subjects = {shipped(message, language).render(facts()).subject for message in messages}
        assert len(subjects) == len(messages)


ENGLISH_IN = {
    "en": "English",
    "fr": "anglais",
    "es": "inglés",
    "ar": "الإنجليزية",
    "zh": "英语",
    "ru": "английский",
}


@pytest.mark.parametrize(("message", "language"), SHIPPED)
def test_every_mail_says_who_why_and_how_to_stop(message: str, language: str) -> None:
    rendered = shipped(message, language).render(facts())
    links = Page(rendered.html).links

    for part in (seen(rendered), rendered.text):
        assert "Trilateral, Cooperation (WHO)" in part
        assert webinar().words(language).title in part
        assert ENGLISH_IN[language] in part
    assert rendered.stop_url.startswith("mailto:team@example.org?subject=")
    assert rendered.stop_url.endswith("%28procurement%29")
    assert rendered.stop_url in links
    assert "Unsubscribe (procurement)" in rendered.text
    assert "mailto:" not in rendered.text
    assert "%" not in rendered.text
    assert all(link.startswith(("https://", "mailto:")) for link in links)
    assert "localhost" not in rendered.html + rendered.text
    assert f'lang="{language}"' in rendered.html


def test_where_the_clock_shows_genevas_time_it_is_said_once() -> None:
    for zone, heading in (
        ("Europe/Zurich", "Geneva time:"),
        ("Africa/Kigali", "Your time in Kigali – the same as in Geneva:"),
    ):
        rendered = text("{{ times }}").render(facts(zone))
        assert rendered.text.count("13:00–15:00") == 1
        assert rendered.text.startswith(heading)
        assert seen(rendered).count("13:00–15:00") == 1


def test_another_date_than_genevas_is_marked() -> None:
    note = "the date is not the same as in Geneva"

    for part in ("Pacific/Kiritimati", True), ("Pacific/Auckland", False), ("Africa/Nairobi", False):
        rendered = text("{{ times }}").render(facts(part[0]))
        assert (note in rendered.text) is part[1]
        assert (note in seen(rendered)) is part[1]


def test_an_assumed_zone_is_said_to_be_assumed_with_a_way_to_correct_it() -> None:
    assumed = text("{{ times }}").render(facts("America/Sao_Paulo", zone_assumed=True))
    unknown = text("{{ times }}").render(facts("Europe/Zurich", zone_assumed=True))

    assert "We assumed this time zone." in seen(assumed)
    assert "tell us where you are: team@example.org" in assumed.text
    assert "We do not know your time zone." in seen(unknown)
    assert sum("My%20time%20zone" in link for link in Page(assumed.html).links) == 2
    assert "assumed" not in text("{{ times }}").render(facts()).text


def test_the_join_button_shows_the_link_too_and_says_when_there_is_none() -> None:
    rendered = text("{{ join_button }}").render(facts())

    assert Page(rendered.html).links.count(JOIN) == 2
    assert JOIN in seen(rendered)
    assert f"Join the webinar:\n{JOIN}" in rendered.text
    assert "The link to join will follow." in text("{{ join_button }}").render(facts(join_url="")).text


def test_calendar_links_are_an_alternative_to_the_invitation() -> None:
    attached = text("{{ calendar_links }}").render(facts())
    alone = text("{{ calendar_links }}").render(facts(invitation_attached=False))
    links = Page(attached.html).links

    assert "Or add it yourself instead:" in seen(attached)
    assert "invitation" not in seen(alone)
    assert any("dates=20250703T110000Z/20250703T130000Z" in link for link in links)
    assert (
        sum("startdt=2025-07-03T11%3A00%3A00Z&enddt=2025-07-03T13%3A00%3A00Z" in link for link in links) == 2
    )
    assert all("+" not in link for link in links)
    assert "https://calendar.google.com/" in alone.text


def test_the_time_left_is_computed_for_each_attempt() -> None:
    start = datetime(2025, 7, 3, 11, tzinfo=UTC)
    reminder = shipped("reminder-hour", "en")

    assert reminder.render(facts(now=start - timedelta(hours=1))).subject.startswith("We start in one hour:")
    assert reminder.render(facts(now=start - timedelta(minutes=40))).subject.startswith(
        "We start in 40 minutes:"
    )


def test_a_name_in_arabic_is_isolated_in_an_english_line() -> None:
    assert text("Dear {{ name }},").render(facts(name="محمد")).text.startswith("Dear \u2068محمد\u2069,")


def test_a_long_link_survives_in_both_parts() -> None:
    """vaultwarden #7401."""
    link = "https://zoom.example.org/w/83?tk=" + "aB3-_.=2a" * 60 + "&pwd=x%3D%3D"
    rendered = text("{{ join_button }}").render(facts(join_url=link))

    assert link in rendered.text.split("\n")
    assert link in Page(rendered.html).links


def test_markup_in_the_webinars_own_words_is_text() -> None:
    rendered = text("{{ webinar.title }}").render(
        facts(webinar=webinar(title='"A <b>bold</b> & [x](y) title"'))
    )

    assert "A <b>bold</b> & [x](y) title" in seen(rendered)
    assert rendered.text.startswith("A <b>bold</b> & [x](y) title")


def test_the_styles_are_inlined_and_the_dark_ones_kept() -> None:
    html = text("Hi").render(facts()).html

    assert re.search(r'<p style="[^"]*margin', html)
    assert "@media (prefers-color-scheme: dark)" in html
    assert '<meta name="color-scheme" content="light dark">' in html
    assert "<link" not in html
    assert re.findall("<script[^>]*>", html) == ['<script type="application/ld+json">'], "data, no program"
    assert "<template" not in html
    assert "qJz" not in html


# The variables


@pytest.mark.parametrize("variable", sorted(VARIABLES))
def test_every_variable_can_be_used_and_stands_in_the_documents(variable: str) -> None:
    page = "https://webinars.who.int/r/0123456789abcdef"
    rendered = text(f"x {{{{ {variable} }}}} y").render(facts(page_url=page))

    assert re.match(r"x \S.* y\n", rendered.text)
    assert f"`{{{{ {variable} }}}}`" in documents()


@pytest.mark.parametrize("block", sorted(BLOCKS))
def test_every_block_can_be_used_and_stands_in_the_documents(block: str) -> None:
    assert seen(text(f"Before\n{{{{ {block} }}}}\nafter").render(facts())).count("Before") == 1
    assert f"`{{{{ {block} }}}}`" in documents()


def documents() -> str:
    from tests.mail.samples import TEMPLATES

    return (TEMPLATES.parent / "docs" / "variables.md").read_text("utf-8")


def test_what_the_layout_may_use_is_what_there_is() -> None:
    top = set(variables(facts(), "en")) | {"subject", "preheader"}

    assert {name.partition(".")[0] for name in LAYOUT_VARIABLES} == top


def test_every_language_with_a_text_has_its_own_phrases() -> None:
    assert not any(missing_phrases(language) for _, language in SHIPPED)


def test_the_layout_is_read_once_and_has_every_piece() -> None:
    assert {name for name in layout().pieces if not name.endswith(".txt")} == set(BLOCKS)
    assert unescape(layout().page).count("<main") == 1


def test_a_text_from_another_tool_is_told_with_all_its_mistakes_at_once() -> None:
    body = (
        "Dear {first_name},\n\n{{ “name” }} and *|LNAME|*\n\n{% if name == “x” %}a{% endif %}\n\n"
        "{{ contact.firstname }} {{ times | upper_case }}\n\n«First_Name» ${name}\n"
    )
    with pytest.raises(TextProblems) as told:
        text(body)
    found = [str(one) for one in told.value.problems]
    for words in (
        "{first_name}", "“name”", "*|LNAME|*", "straight quote", "`contact`", "upper_case", "«First_Name»", "${name}",
    ):  # fmt: skip
        assert any(words in one for one in found), words
    assert len(found) == len(set(found))
