"""Stencils make the same mails as the plain way, for every reader and every name."""

from __future__ import annotations

import gc
import re
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any
from unittest.mock import patch

import pytest
import pytz
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.ledger.entries import Claimed, Version
from scheduler.mail.text.jinja_use import use_of
from scheduler.mail.text.layout import Layout, parse_layout
from scheduler.mail.text.templates import Text, parse_text
from scheduler.mail.texts import CurrentText
from scheduler.mail.words.names import clean_name
from scheduler.mail.writing import mail_stencil, stencil
from scheduler.mail.writing.rendering import RenderedMail, render
from scheduler.mail.writing.stencil import Stencils
from scheduler.webinar.model import Webinar
from scheduler.webinar.told import Told
from tests.mail import samples
from tests.support import SEQUENCE, utc, webinar

NOW = utc("2025-07-02 06:00")
START = utc("2025-07-03 11:00")
CLAIMED = Claimed(
    id=1,
    token="token",
    registration_id=1,
    webinar="w",
    message="confirmation",
    attempts=0,
    message_id="<0123456789abcdef0123456789abcdef@who.int>",
    due_at=NOW,
    expires_at=utc("2025-07-03 13:00"),
    address="amina@example.org",
    name="Amina",
    language="en",
    zone="Africa/Nairobi",
    zone_known_by="timezone",
    join_url="",
    uid="0123456789abcdef@who.int",
    first_seen_at=utc("2025-06-12 08:00"),
    revision_id=1,
    key="0123456789abcdef0123456789abcdef01234567",
)
PAGES = ["", "https://webinars.who.int", "http://127.0.0.1:8026"]
"""Where registrants reach their pages: nowhere, as in service, as in a rehearsal."""
OWN_LINK = "https://zoom.example.org/w/83?tk=aB3-_.=2a&pwd=x%3D,;'(100%)"
WEBINARS = [
    webinar(),
    webinar(cancelled=True),
    webinar(join_link="forward"),
    webinar(  # every way to carry an invitation, no link, and (below) words that mean something to what they go through
        SEQUENCE.replace(
            "on_registration = true", 'on_registration = true\ninvitation = "attachment"'
        ).replace('before_start = "1h"', 'before_start = "1h"\ninvitation = "request"'),
        join_url=None,
        status="draft",
        title="TITLE",
        about="Длинное описание, " * 30,
        sender="Секретариат (ВОЗ), <webinar@who.int>",
    ).model_copy(update={"title": "100% “Prix” & santé; a, b: %(to)s \\n"}),
]


def live(
    body: str, subject: str = "Hello", language: str = "en", layout: Layout | None = None
) -> CurrentText:
    source = f"---\nsubject: {subject}\npreheader: Soon\n---\n{body}"
    return CurrentText(parse_text(source, f"test/{language}.md", layout or samples.layout()), language, 1)


SHIPPED = {key: CurrentText(samples.shipped(*key), key[1], revision=7) for key in samples.shipped_sources()}
HEBREW = live(
    "{{ times }}\n\n{{ your_time }}", "{{ your_time }}: {{ time_left }}", "he"
)  # its zones have marks
ARABIC = live(
    "{{ name }}: {{ name }}\n\n{{ times }}\n\n{{ join_button }}", "{{ name }} {{ time_left }}", "ar"
)
EVERYWHERE = live(
    "{{ dear }}\n\n{{ name }}\n\n**{{ name }}**{{ join_url }}{{ dear }}{{ name }}\n\n{{ join_button }}\n\n"
    "{{ calendar_links }}\n\n"
    "{% if not name and join_url %}Who are you?{% else %}- {{ name }}{% endif %}\n\n{{ name }}\n\n"
    "{% if page_url %}[Your page]({{ page_url }}), {{ page_url }}{% endif %}",
    "{{ name }} {{ join_url }}.{% if page_url %} {{ page_url }}{% endif %}",
)
CHANGES = live(
    "{% if changes %}Look, {{ name }}:{% endif %}\n\n{{ changes }}\n\n{{ what_changed }}",
    "{{ name }}: {{ what_changed }}",
)
TEXTS = [
    *((message, live) for (message, _), live in SHIPPED.items()),
    *(
        (message, live)
        for live in (ARABIC, EVERYWHERE, HEBREW)
        for message in ("confirmation", "reminder-hour")
    ),
    ("change", CHANGES),
]

NAMES = [
    "Amina Wanjiru", "", "  ", "-", "محمد علي", "שרה O'Neil", "李小龙", "Zoë", "Zoe\u0308", "👩‍👩‍👧 Ana", "Ḿ̷̛͖a̶r̵",
    "a\u200db", 'Ann "Nan" O\'Neil', "Müller, Zoë (WHO)", "’’’", "𝒜𝓃𝓃", "=?utf-8?q?x?=", "=\r\n=41", "{{ 7 * 7 }}",
    "{% if %}", "%(to)b %s %%", "<b>&amp;", "evil.example", "W" * 300, "é" * 80, "م" * 200, "- " * 100 + "x", "a" * 75,
    "a" * 76, "\ufdd0", "\ufdd1 a", "%EF%B7%91", "qJzText", "qJzTo@example.org", "--===============1==", ".", "..a",
    "a\x00b\x85c\u2028d", "\udc80a", "From x",
]  # fmt: skip
ADDRESSES = [
    "amina@example.org", "a.b+c%d=e'f@sub-1.example.org", "amina@bücher.example", "amina@例え.jp", "zoë@example.org",
    '"john doe"@example.org', '"a,b"@example.org', "a..b@example.org", "-a@example.org", "a@b@example.org", "amina",
    "a@-.org", "x" * 64 + "@" + "d" * 60 + ".example.org", "a@example.org\r\nBcc: b@example.org", "qJzTo@example.org",
    "\udc80@example.org",
]  # fmt: skip
LINKS = [
    "", WEBINARS[0].join_url, OWN_LINK, "https://a.example/" + "x" * 900, "https://a.example/?a&b<c>'\"\\N\\n%%(to)b",
    "https://a.example/%EF%B7%91", "https://bücher.example/é", "https://a.example/\r\nX: y", "http://a.example",
    "--===============1==",
]  # fmt: skip
KEYS = ["", CLAIMED.key, "f" * 40, "\ufdd6", "x\r\nX: y", "%(to)b"]
MOMENTS = [NOW, START - timedelta(days=9), START - timedelta(minutes=40), START, START + timedelta(days=1)]
END = START + timedelta(hours=2)
TOLD = [
    None,
    Told(START - timedelta(hours=1), END - timedelta(hours=1), WEBINARS[0].join_url),
    Told(START - timedelta(days=180), END - timedelta(days=180), OWN_LINK),
    Told(START, END, ""),
    Told(None, None, "", cancelled=True),
    *(
        Told(START, END, link)
        for link in ("https://a.example/?a&b<c>'\"%(to)b", "\ufdd1", "%EF%B7%91", "x\r\nX: y")
    ),
]
ZONES = [
    "Africa/Nairobi",
    "Europe/Zurich",
    "Europe/Paris",
    "Pacific/Kiritimati",
    "America/Los_Angeles",
    "UTC",
]
zones = st.sampled_from(ZONES) | st.sampled_from(pytz.all_timezones)


# The same, part by part


def outcome(way: Callable[..., RenderedMail], *given: Any, **more: Any) -> RenderedMail | Exception:
    try:
        return way(*given, **more)
    except Exception as error:
        return error


def assert_same(
    plain: RenderedMail | Exception, fast: RenderedMail | Exception, eight_bit: bool = False
) -> None:
    """Whatever a relay, a mail program or the ledger can tell, but for the encoding of the words and the boundaries."""
    if isinstance(plain, Exception) or isinstance(fast, Exception):
        assert (type(fast), str(fast)) == (type(plain), str(plain))
        return
    assert fast.start == plain.start, "with the invitation, byte for byte"
    assert parts(fast.content) == parts(plain.content)
    raw = fast.content
    assert not re.search(rb"\r(?!\n)|(?<!\r)\n", raw)
    assert not (fast.written.plain_lines and re.search(rb"(\A|\n)\.|[^\n]\Z", raw))
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    assert eight_bit or raw.isascii() or not fast.start.claimed.address.rpartition("@")[0].isascii()


def parts(raw: bytes) -> list[tuple[list[tuple[str, str]], Any]]:
    """Each part's headers, folded as they are, and its content as it is read."""
    for number, boundary in enumerate(dict.fromkeys(re.findall(rb'boundary="([^"]+)"', raw))):
        raw = raw.replace(boundary, b"boundary-%d" % number)
    return [
        ([header for header in part.raw_items() if header[0] != "Content-Transfer-Encoding"], content(part))
        for part in read(raw).walk()
    ]


def read(raw: bytes) -> EmailMessage:
    mail = message_from_bytes(raw, policy=policy.default)
    assert isinstance(mail, EmailMessage)
    return mail


def content(part: Any) -> Any:
    assert not part.defects
    return part.get_content_type() if part.is_multipart() else part.get_payload(decode=True)


STENCILS = Stencils()
"""Common to all examples, so that nearly all are filled into a stencil that another reader's mail had been cut for."""

texts = st.sampled_from(TEXTS)
governing_ones = st.sampled_from(WEBINARS)
names = st.sampled_from(NAMES) | st.text()
moments = st.sampled_from(MOMENTS)


def prepare(
    reader: Claimed,
    *given: Any,
    eight_bit: bool,
    told: Told | None,
    pages_url: str,
    zone: str = "Africa/Nairobi",
) -> None:
    """Have the stencil cut for somebody else, in this zone."""
    first = replace(
        reader,
        name=reader.name and "Amina",
        address=CLAIMED.address,
        join_url=reader.join_url and OWN_LINK,
        zone=zone,
        key=CLAIMED.key,
    )
    STENCILS.render(first, *given, eight_bit=eight_bit, told=told, pages_url=pages_url)


@pytest.mark.parametrize("examples", [30, pytest.param(100, marks=pytest.mark.full)])
def test_both_ways_make_the_same_mail(examples: int) -> None:
    @settings(max_examples=examples)
    @given(
        text=texts,
        governing=governing_ones,
        name=names,
        address=st.sampled_from(ADDRESSES) | st.from_regex(r"\A[a-z0-9!#$%&'*+/=?^_`{|}~.-]+@example\.org\Z"),
        join_url=st.sampled_from(LINKS) | st.from_regex(r"\Ahttps://[!-~]{1,90}\Z"),
        zone=zones,
        first_zone=zones,
        known_by=st.sampled_from(["timezone", "assumed", "webinar"]),
        now=moments,
        invited_before=st.sampled_from([None, "", OWN_LINK]),
        told=st.sampled_from(TOLD),
        pages_url=st.sampled_from(PAGES),
        key=st.sampled_from(KEYS) | st.from_regex(r"\A[0-9a-f]{40}\Z"),
        eight_bit=st.booleans(),
    )
    def holds(
        text: tuple[str, CurrentText],
        governing: Webinar,
        name: str,
        address: str,
        join_url: str,
        zone: str,
        first_zone: str,
        known_by: str,
        now: datetime,
        invited_before: str | None,
        told: Told | None,
        pages_url: str,
        key: str,
        eight_bit: bool,
    ) -> None:
        message, live = text
        last = None if invited_before is None else stored_version(governing, invited_before)
        reader = replace(
            CLAIMED,
            message=message,
            name=name,
            address=address,
            join_url=join_url,
            zone=zone,
            zone_known_by=known_by,
            key=key,
        )
        given = (governing, live, last, now, "relay:587")
        told_and_pages: dict[str, Any] = {"told": told, "pages_url": pages_url}
        prepare(reader, *given, eight_bit=eight_bit, zone=first_zone, **told_and_pages)
        plain = outcome(render, reader, *given, **told_and_pages)
        fast = outcome(STENCILS.render, reader, *given, eight_bit=eight_bit, **told_and_pages)
        assert_same(plain, fast, eight_bit)

    holds()


def stored_version(governing: Webinar, join_url: str) -> Version | None:
    """What this reader was told days ago, with this link."""
    told = replace(CLAIMED, message="change", join_url=join_url)
    version = render(told, governing, SHIPPED["change", "en"], None, MOMENTS[1], "").start.invitation
    return version and replace(version, stored=True)


@contextmanager
def only_the_fast_way() -> Iterator[None]:
    unwanted = AssertionError("the plain way")
    with (
        patch.object(stencil, "write", side_effect=unwanted),
        patch.object(stencil, "invitation", side_effect=unwanted),
        patch.object(Text, "fill", side_effect=unwanted),
    ):
        yield


@pytest.mark.parametrize("examples", [25, pytest.param(80, marks=pytest.mark.full)])
def test_only_the_first_of_many_readers_takes_the_plain_way(examples: int) -> None:
    @settings(max_examples=examples)
    @given(
        text=texts,
        governing=governing_ones,
        name=names,
        own_link=st.booleans(),
        told=st.sampled_from(
            [one for one in TOLD if not one or one.join_url != "\ufdd1"]
        ),  # a stand-in itself
        pages_url=st.sampled_from(PAGES),
        eight_bit=st.booleans(),
    )
    def holds(
        text: tuple[str, CurrentText],
        governing: Webinar,
        name: str,
        own_link: bool,
        told: Told | None,
        pages_url: str,
        eight_bit: bool,
    ) -> None:
        message, live = text
        link = OWN_LINK if own_link else ""
        reader = replace(CLAIMED, message=message, name=name, join_url=link, key="f" * 40)
        given = (governing, live, None, NOW, "relay:587")
        nameless = replace(reader, name="")
        for first in (reader, nameless):
            prepare(first, *given, eight_bit=eight_bit, told=told, pages_url=pages_url)
        with only_the_fast_way():
            ready = STENCILS.render(reader, *given, eight_bit=eight_bit, told=told, pages_url=pages_url)
        mail = read(ready.content)
        assert ready.written.plain_lines or ready.content.isascii() or clean_name(name).startswith("."), (
            "nobody looks again"
        )

        for part in mail.walk():
            if part["Content-Transfer-Encoding"] == "quoted-printable":
                assert max(map(len, str(part.get_payload()).splitlines())) <= 76, "RFC 2045, 6.7"

    holds()


# 8BITMIME


def test_eight_bit_words_go_as_they_are_and_the_mail_says_so() -> None:
    reader = replace(CLAIMED, message="reminder-day", name="Zoë")
    ready = Stencils().render(
        reader, WEBINARS[0], SHIPPED["reminder-day", "en"], None, NOW, "", eight_bit=True
    )

    assert "Dear Zoë,\r\n".encode() in ready.content
    assert [part["Content-Transfer-Encoding"] for part in read(ready.content).walk()] == ["8bit"] * 3


def test_what_they_are_in_is_eight_bit_too_but_not_the_invitation() -> None:
    reader = replace(CLAIMED, name="Zoë")
    ready = Stencils().render(reader, WEBINARS[0], live("{{ name }}"), None, NOW, "", eight_bit=True)

    assert [part["Content-Transfer-Encoding"] for part in read(ready.content).walk()] == [
        *["8bit"] * 4,
        *["base64"] * 2,
    ]


@pytest.mark.parametrize("readers", [["x" * 1000], ["short", "x" * 1000], ["x" * 1000, "short"]])
def test_words_with_a_line_too_long_for_it_do_not(readers: list[str]) -> None:
    stencils = Stencils()
    for path in readers:
        reader = replace(CLAIMED, message="reminder-day", join_url=f"https://a.example/{path}")
        given = (reader, WEBINARS[0], SHIPPED["reminder-day", "en"], None, NOW, "")
        assert_same(render(*given), stencils.render(*given, eight_bit=True), eight_bit=True)


def test_where_the_text_itself_has_such_a_line_that_is_known_from_then_on() -> None:
    stencils = Stencils()
    given = (CLAIMED, WEBINARS[0], live("{{ name }}\n\n" + "word " * 250), None, NOW, "")
    assert_same(render(*given), stencils.render(*given, eight_bit=True), eight_bit=True)
    with only_the_fast_way(), patch.object(mail_stencil, "lines_fit", side_effect=AssertionError):
        stencils.render(*given, eight_bit=True)


# Texts that do more with what is a reader's own than print it


PLAIN_WAY = [
    "{{ name|upper }}",
    "{{ dear|upper }}",
    "{% if dear == 'Dear Amina,' %}It is you{% endif %}",
    "{{ name[0] }}",
    "{{ name.upper() }}",
    "{{ name ~ '!' }}",
    "{{ name if name else 'you' }}",
    "{{ (name, 1) }}",
    "{% if name == 'Amina' %}It is you{% endif %}",
    "{% if name|length > 5 %}A long name{% endif %}",
    "{% if name in 'Amina' %}Short{% elif 'A' in name %}A{% endif %}",
    "{% if not (webinar.title and name < 'B') %}After A{% endif %}",
    "{% if join_url is string and join_url.endswith('x') %}x{% endif %}",
    "{% set who = name %}{{ who }}",
    "{% set name = 'Nobody' %}{{ name }}",
    "{% for letter in name %}{{ letter }}-{% endfor %}",
    "{% for name in ['Nobody'] %}{{ name }}{% endfor %}",
    "{% for one in [1, 2] if name == 'Amina' %}{{ one }}{% endfor %}",
    "{{ join_url|replace('https', 'http') }}",
    "{{ page_url[8:] }}",
]
LAYOUT_S_PLAIN_WAY = [  # what only a layout may have
    "{% set who %}{{ name }}{% endset %}{{ who|upper }}",
    "{% filter upper %}{{ name }}{% endfilter %}",
    "{% autoescape false %}{{ name }}{% endautoescape %}",
    "{% block one %}{{ name }}{% endblock %}{{ self.one() }}",
    "{{ subject|upper }}",
    "{{ preheader[:9] }}",
    "{{ calendar }}",
    "{{ calendar['google'] }}",
    "{{ calendar.google|e }}",
    "{{ stop_url|e }}",
    "{{ correct_url[:9] }}",
]
FAST_WAY = [
    "{{ name }}",
    "{{ dear }}",
    "{% if page_url %}{{ page_url }}{% else %}no page{% endif %}",
    "{% if dear %}{{ dear }}{% endif %}",
    "{%- if name -%} {{- name -}} {%- endif %}",
    "{% if name and webinar.title|length > 3 or not join_url %}{{ name }}{% else %}you{% endif %}",
    "{% for one in [1, 2] %}{{ one }} {{ name }}{% else %}{{ name }}{% endfor %}",
    "{% set title = webinar.title|upper %}{{ title }} {{ name }}",
    "{{ '%s %(name)s' }} {{ name }}",
]


def _every_fourth(cases: Iterable[Any]) -> list[Any]:
    return [pytest.param(*one, marks=pytest.mark.full if n % 4 else ()) for n, one in enumerate(cases)]


@pytest.mark.parametrize("body", _every_fourth((body,) for body in (*PLAIN_WAY, *FAST_WAY)))
def test_every_text_is_rendered_right_for_each_reader(body: str) -> None:
    given = (WEBINARS[0], live(body + "\n\nBye"), None, NOW, "")
    stencils = Stencils()
    for name in ("Amina", "bob", "Zoë & Ana", "", "AMINA WANJIRU"):
        reader = replace(CLAIMED, name=name, join_url=OWN_LINK)
        assert_same(outcome(render, reader, *given), outcome(stencils.render, reader, *given))


@pytest.mark.parametrize("jinja", [*PLAIN_WAY, *LAYOUT_S_PLAIN_WAY, "{{ [1, 2]|random }}"])
def test_texts_that_do_more_than_print(jinja: str) -> None:
    assert not use_of("{{ name }}" + jinja).prints_only


@pytest.mark.parametrize("jinja", [*FAST_WAY, "{{ subject }} {{ preheader }} {{ calendar.google }}"])
def test_texts_that_only_print(jinja: str) -> None:
    assert use_of(jinja).prints_only


def test_chance_strikes_for_each_mail_again() -> None:
    given = (CLAIMED, WEBINARS[0], live("{{ [1, 2, 3, 4]|random }}"), None, NOW, "")
    stencils = Stencils()
    assert len({str(parts(stencils.render(*given).content)) for _ in range(50)}) > 1


COMPUTED = {  # what a layout may do with what a zone says, and which of it is then part of a stencil's key
    "{% if times.yours.city == 'Nairobi' %}Jambo{% endif %}": {"times.yours.city"},
    "{{ times.yours.city }} {% if 'x' in times.yours.city %}x{% endif %}": {"times.yours.city"},
    "{{ times.yours.city|upper }} {{ times.yours.zone }}": {"times.yours.city"},
    "{{ times.yours.city.upper() }} {{ times.yours.city }}": {"times.yours.city.upper", "times.yours.city"},
    "{{ times.yours.starts[:2]|int + 1 }}": {"times.yours.starts"},
    "{{ times['yours'].city }} {{ times.yours.zone }}": {"times", "times.yours.zone"},
    "{% set t = times %}{{ t.yours.city }}": {"times"},
    "{% set your_time = 'noon' %}{{ your_time }}": {"your_time"},
    "{% for one in times.yours.city %}{{ one }}-{% endfor %}": {"times.yours.city"},
    "{% filter upper %}{{ times.yours.city }}{% endfilter %}": {"times.yours.city"},
    "{% if changes == none %}{{ changes }}{% endif %}": {"changes"},
    "{{ times.yours|string|length }}": {"times.yours"},
    "{% if times.yours == times.theirs %}the same{% endif %}": {"times.yours"},
}
PRINTED = [
    "{{ times.yours }} {{ times.yours.city }} {{ your_time }} {{ what_changed }} {{ times.yours.place }}",
    "{% if times.yours.zone_name and not times.same %}{{ times.yours.zone_name }}{% else %}none{% endif %}",
    "{% if times.yours.crosses_midnight %}{{ times.yours.last_day }}{% endif %}",
    "{% if changes and changes.time %}{{ changes.time }} {{ changes.what }}{% endif %}",
    "{% if times.yours.city %}{{ times.yours.city }}{% endif %}{{ times.theirs.city|upper }}",
]


LAYOUTS = [*COMPUTED.items(), *((one, set[str]()) for one in PRINTED)]


@pytest.mark.parametrize(("jinja", "computed"), _every_fourth(LAYOUTS))
def test_a_layout_may_compute_with_what_a_zone_says(jinja: str, computed: set[str]) -> None:
    source = (samples.TEMPLATES / "_layout/layout.html").read_text("utf-8")
    line = '<div class="zone">{{ times.yours.zone }}</div>\n'
    layout = parse_layout(source.replace(line, f"<p>{jinja}</p>\n", 1), "layout.html")
    text = live("{{ dear }}\n\n{{ times }}", "{{ your_time }}", layout=layout)
    assert jinja in layout.pieces["times"]
    assert use_of(jinja).computed == computed

    stencils = Stencils()
    for zone in [*ZONES, "Africa/Kampala", "Asia/Tokyo", "Etc/GMT+5"]:
        for told in TOLD[:2]:
            given = (replace(CLAIMED, zone=zone), WEBINARS[0], text, None, NOW, "")
            plain, fast = (outcome(way, *given, told=told) for way in (render, stencils.render))
            assert_same(plain, fast)
            assert isinstance(plain, RenderedMail) or "{{ changes }}" in jinja


@pytest.mark.parametrize(
    ("jinja", "left"),
    [("{{ time_left }}", "printed"), ("{{ time_left|upper }}", "computed"), ("{{ your_time }}", "")],
)
def test_the_time_that_is_left_is_a_reader_s_own(jinja: str, left: str) -> None:
    assert use_of(jinja).left == left
    stencils = Stencils()
    for minutes in (3000, 1500, 61, 60, 59, 30, 0, -30):
        given = (CLAIMED, WEBINARS[0], live(jinja, jinja), None, START - timedelta(minutes=minutes), "")
        assert_same(render(*given), stencils.render(*given))


@pytest.mark.parametrize(("message", "language"), [("reminder-day", "en"), ("confirmation", "ar")])
def test_a_dozen_stencils_serve_the_whole_world(message: str, language: str) -> None:
    stencils, made = Stencils(), []
    cut = stencil.cut_mail
    with patch.object(
        stencil, "cut_mail", side_effect=lambda *given, **more: made.append(1) or cut(*given, **more)
    ):
        for zone in pytz.common_timezones:
            reader = replace(CLAIMED, message=message, zone=zone)
            stencils.render(reader, WEBINARS[0], SHIPPED[message, language], None, NOW, "")
    assert len(made) <= 12


def test_a_layout_that_does_more_with_the_subject_goes_the_plain_way() -> None:
    source = (samples.TEMPLATES / "_layout/layout.html").read_text("utf-8")
    shouting = parse_layout(
        source.replace("<title>{{ subject }}", "<title>{{ subject|upper }}"), "layout.html"
    )
    given = (WEBINARS[0], live("Hello", "To {{ name }}", layout=shouting), None, NOW, "")
    stencils = Stencils()
    for name in ("Amina", "Zoë"):
        assert_same(
            render(replace(CLAIMED, name=name), *given), stencils.render(replace(CLAIMED, name=name), *given)
        )


@pytest.mark.parametrize("words", ["\ufdd0", "a \ufdd1 b", "%EF%B7%91", "\ufdd6"])
@pytest.mark.parametrize("join_url", ["", OWN_LINK])
@pytest.mark.parametrize(
    ("in_title", "in_text", "in_subject"), [(True, False, False), (False, True, False), (False, False, True)]
)
def test_words_that_are_like_a_stand_in_stay(
    words: str, join_url: str, in_title: bool, in_text: bool, in_subject: bool
) -> None:
    governing = webinar(title=f"Title {words}" if in_title else "Title")
    text = live("{{ name }}" + words * in_text, "{{ name }}" + words * in_subject)
    stencils = Stencils()
    for name in ("Amina", "Zoë"):
        given = (replace(CLAIMED, name=name, join_url=join_url), governing, text, None, NOW, "")
        for pages_url in PAGES[:2]:
            plain = render(*given, pages_url=pages_url)
            assert_same(plain, stencils.render(*given, pages_url=pages_url))


@pytest.mark.parametrize(
    "words", ["qJzText", "qJzHtml", "cUp6SW52aXRhdGlvbg==", "qJzTo@example.org", "qJzPage"]
)
def test_words_that_are_like_a_mark_stay(words: str) -> None:
    governing = webinar(title=f"Title {words}", sender=f"{words} <webinar@who.int>", status="draft")
    stencils = Stencils()
    for name in ("Amina", "Zoë"):
        given = (
            replace(CLAIMED, name=name),
            governing,
            live(f"{{{{ name }}}} {words}", words),
            None,
            NOW,
            "",
        )
        for pages_url in PAGES[:2]:
            plain = render(*given, pages_url=pages_url)
            assert_same(plain, stencils.render(*given, pages_url=pages_url))


def test_who_knows_the_boundary_can_end_no_part() -> None:
    stencils = Stencils()
    given = (WEBINARS[0], live("{{ name }}\n\n{{ join_url }}"), None, NOW, "")
    known = stencils.render(replace(CLAIMED, join_url=OWN_LINK), *given, eight_bit=True).content
    for boundary in re.findall(rb'boundary="([^"]+)"', known):
        line = f"--{boundary.decode()}--"
        for reader in (replace(CLAIMED, name=line, join_url=OWN_LINK), replace(CLAIMED, join_url=line)):
            assert_same(
                render(reader, *given), stencils.render(reader, *given, eight_bit=True), eight_bit=True
            )


# Stencils kept


def test_the_time_left_is_always_true() -> None:
    stencils = Stencils()
    for minutes in (90, 61, 60, 58, 30, 1, 0, -30, -3000):
        given = (CLAIMED, WEBINARS[0], ARABIC, None, START - timedelta(minutes=minutes), "")
        assert_same(render(*given), stencils.render(*given))


def test_one_stencil_serves_all_whose_own_link_changed_at_the_same_time() -> None:
    stencils = Stencils()
    given = (WEBINARS[0], SHIPPED["change", "en"], None, NOW, "")
    for number in range(4):
        reader = replace(CLAIMED, message="change", join_url=f"{OWN_LINK}&n={number}")
        told = Told(START - timedelta(hours=1), END, f"https://zoom.example.org/old/{number}")
        if number:
            with only_the_fast_way():
                stencils.render(reader, *given, told=told)
        assert_same(render(reader, *given, told=told), stencils.render(reader, *given, told=told))


@pytest.mark.parametrize("join_url", ["", OWN_LINK])
def test_who_was_told_something_else_gets_another_mail(join_url: str) -> None:
    stencils = Stencils()
    reader = replace(CLAIMED, message="change", join_url=join_url)
    given = (reader, WEBINARS[0], SHIPPED["change", "en"], None, NOW, "")
    for told in [*TOLD, Told(START, END, join_url or WEBINARS[0].join_url), *TOLD]:
        assert_same(render(*given, told=told), stencils.render(*given, told=told))


def test_an_edit_counts_at_once() -> None:
    stencils = Stencils()
    for title in ("One", "Two", "Three"):
        for body in ("Hello {{ name }}", "Dear {{ name }}"):
            given = (CLAIMED, webinar(title=title), live(body), None, NOW, "")
            assert_same(render(*given), stencils.render(*given))


def test_no_new_text_can_take_the_place_in_memory_of_one_that_a_stencil_was_cut_of() -> None:
    stencils = Stencils(most=1)
    text = live("Hello")
    stencils.render(CLAIMED, WEBINARS[0], text, None, NOW, "")
    known = weakref.ref(text)
    del text
    gc.collect()
    assert known() is not None

    stencils.render(CLAIMED, WEBINARS[0], live("Dear {{ name }}"), None, NOW, "")
    gc.collect()
    assert known() is None, "gone with its stencil"


def test_one_that_was_dropped_is_cut_again() -> None:
    stencils = Stencils(most=2)
    for zone in [*ZONES, *ZONES]:
        given = (replace(CLAIMED, zone=zone), WEBINARS[0], SHIPPED["confirmation", "fr"], None, NOW, "")
        assert_same(render(*given), stencils.render(*given))


def test_a_broken_text_raises_the_same() -> None:
    given = (WEBINARS[0], live("{% if name %}{{ 1 // 0 }}{% endif %}Hello {{ name }}"), None, NOW, "")
    stencils = Stencils()
    for name in ("", "Amina", "", "Amina"):
        reader = replace(CLAIMED, name=name)
        assert_same(outcome(render, reader, *given), outcome(stencils.render, reader, *given))


def test_a_first_mail_gets_a_message_id_of_its_own() -> None:
    stencils = Stencils()
    given = (replace(CLAIMED, message_id=""), WEBINARS[0], SHIPPED["confirmation", "en"], None, NOW, "")
    ids = [stencils.render(*given).start.message_id for _ in range(3)]

    assert len(set(ids)) == 3
    assert all(re.fullmatch(r"<[0-9a-f]{32}@who\.int>", one) for one in ids)
