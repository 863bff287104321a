"""What strangers type into a registration form, shown harmless in every part of a mail: one table, each row a name, an
address or a link that somebody could try."""

from __future__ import annotations

import re
import resource
from dataclasses import dataclass, replace
from email import message_from_bytes, policy
from email.message import EmailMessage
from html.parser import HTMLParser
from typing import cast

import pytest
from icalendar import Calendar

from scheduler.input.addresses import why_no_address
from scheduler.mail.texts import CurrentText
from scheduler.mail.trial.runner import check_texts
from scheduler.mail.words.names import LONGEST
from scheduler.mail.writing.rendering import render
from scheduler.mail.writing.stencil import Stencils
from scheduler.registrants.rows import why_no_link
from tests.mail.samples import TEMPLATES, shipped
from tests.mail.writing.test_rendering import CLAIMED, NOW
from tests.support import webinar

NAMES = {
    "jinja expression": "{{ 7 * 7 }}",
    "jinja reaching for classes": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "jinja statement": "{% for x in (1,) * 99999999 %}x{% endfor %}",
    "jinja comment": "{# hidden",
    "jinja end": "}} {{ join_url }}",
    "format string": "{0.__class__} %s %(id)s %n",
    "dollar template": "${7*7} #{7*7} <%= 7*7 %>",
    "markdown link": "[Win a prize](https://evil.example)",
    "markdown picture": "![x](https://evil.example/t.png)",
    "markdown autolink": "<https://evil.example>",
    "markdown reference": "[x]: https://evil.example",
    "markdown bold": "**Amina** __Wanjiru__",
    "markdown heading": "# Amina",
    "markdown fence": "```\nAmina\n```",
    "markdown table": "| a | b |\n|---|---|",
    "script": "<script>alert(1)</script>",
    "picture with handler": "<img src=x onerror=alert(1)>",
    "end of attribute": "\" onmouseover=\"alert(1)",
    "end of attribute, single": "' onmouseover='alert(1)",
    "style": "</style><style>*{display:none}",
    "comment": "--><!-- Amina",
    "conditional comment": "<!--[if mso]>x<![endif]-->",
    "CDATA": "<![CDATA[x]]>",
    "entity": "&lt;b&gt;&#60;b&#62;&nbsp;",
    "svg": "<svg/onload=alert(1)>",
    "html end": "</td></tr></table></body></html>",
    "CRLF and Bcc": "Amina\r\nBcc: victim@example.org",
    "LF and header": "Amina\nX-Evil: 1",
    "CR alone": "Amina\rBcc: victim@example.org",
    "blank line and body": "Amina\r\n\r\n<html>evil",
    "vertical tab, form feed": "Amina\x0bBcc:\x0cvictim@example.org",
    "NEL and line separators": "Amina\x85Bcc: x\u2028Cc: y\u2029To: z",
    "NUL": "Ami\x00na",
    "escape sequence": "\x1b[31mAmina\x1b]0;evil\x07",
    "encoded word": "=?utf-8?q?evil=0ABcc:_x@y.example?=",
    "MIME boundary": "--===============0==--",
    "dot alone": ".\r\n.\r\nRSET",
    "calendar property": "Amina\nATTENDEE:mailto:victim@example.org",
    "calendar parameter": 'Amina";CN="Evil',
    "calendar end": "END:VEVENT\r\nBEGIN:VEVENT",
    "calendar separators": "a;b:c,d\\n^n",
    "bidi override": "\u202eanimA\u202c",
    "bidi embedding left open": "\u202bAmina\u202a",
    "isolate left open": "\u2067Amina \u2066x",
    "isolate closed too often": "Amina\u2069\u2069\u2069",
    "marks of direction": "\u200fAmina\u200e\u061c",
    "zero width": "A\u200bm\u2060i\ufeffn\u00ada",
    "joiners": "\u200d\u200dAmina\u200c\u200c",
    "tags": "Amina\U000e0041\U000e007f",
    "link": "https://evil.example/login",
    "link without scheme": "evil.example/login",
    "www": "www.evil.example",
    "bare domain": "evil.com",
    "domain with an ideographic stop": "evil。com",
    "domain with a full width stop": "evil．com",
    "mailto": "mailto:evil@evil.example",
    "address": "evil@evil.example",
    "full width address": "evil＠evil.example",
    "javascript": "javascript:alert(1)",
    "data": "data:text/html;base64,PHNjcmlwdD4=",
    "telephone link": "tel:+41227910000",
    "10 kB": "A" * 10_240,
    "10 kB of words": "Amina " * 1_700,
    "10 kB of right to left": "م" * 5_120,
    "emoji": "👩🏽‍⚕️ Amina 🇨🇭",
    "flags only": "🏴󠁧󠁢󠁥󠁮󠁧󠁿",
    "tower of marks": "A" + "\u0301" * 500,
    "marks that enclose": "A\u20dd\u20e3\u0488",
    "mark first": "\u0301Amina",
    "lone high surrogate": "Ami\ud800na",
    "lone low surrogate": "\udfffAmina",
    "noncharacters": "\ufdd0Amina\ufdd1\uffff",
    "private use": "\ue000Amina\U00100000",
    "stand-ins of a stencil": "qJzE0Z qJzName <!--qJzS0Z-->",
    "blanks of every kind": "\u00a0\u2003Amina\u3000\u1680",
    "blanks only": " \t\u200b ",
    "digits only": "12345",
    "formula": "=HYPERLINK(\"https://evil.example\")",
    "formula with a sign": "+cmd|' /C calc'!A0",
    "SQL": "Robert'); DROP TABLE registrants;--",
    "path": "../../etc/passwd\x00.md",
    "arabic with latin": "محمد evil.com (admin)",
    "quotes": "O'Brien \"Bob\" «x» “y”",
}  # fmt: skip
LANGUAGES = ("en", "ar")
WEBINAR, STENCILS = webinar(), Stencils()
LIVE = {
    language: CurrentText(shipped("confirmation", language), language, revision=1) for language in LANGUAGES
}


@dataclass(frozen=True)
class Seen:
    """One mail, as a mail program has it."""

    raw: bytes
    mail: EmailMessage
    html: str
    text: str
    calendar: bytes

    @property
    def structure(self) -> list[tuple[str, tuple[str, ...]]]:
        """Every tag with its links: what a name must not change."""
        return _Structure(self.html).found


class _Structure(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str, tuple[str, ...]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append(
            (tag, tuple(name + (value or "" if name in {"href", "src"} else "") for name, value in attrs))
        )


def seen(name: str, language: str, *, stencil: bool = False, link: str = "") -> Seen:
    claimed = replace(CLAIMED, name=name, join_url=link)
    make = STENCILS.render if stencil else render
    raw = make(claimed, WEBINAR, LIVE[language], None, NOW, "relay").content
    mail = cast(EmailMessage, message_from_bytes(raw, policy=policy.default))
    html, plain = mail.get_body(("html",)), mail.get_body(("plain",))
    assert html is not None
    assert plain is not None
    (calendar, *_) = [part for part in mail.walk() if part.get_content_type() == "text/calendar"]
    return Seen(raw, mail, html.get_content(), plain.get_content(), bytes(calendar.get_payload(decode=True)))


HARMLESS = {language: seen("Amina", language) for language in LANGUAGES}
NAMELESS = {language: seen("", language) for language in LANGUAGES}


@pytest.mark.parametrize(
    ("name", "language", "stencil"),
    [
        pytest.param(name, *way, id=f"{kind}-{'stencil' if way[1] else 'plain way'}", marks=marks)
        for n, (kind, name) in enumerate(NAMES.items())
        # Both ways are compared in test_stencil.py, with names of any kind.
        for way, marks in ((("en", False), ()), (("ar", True), pytest.mark.full if n % 4 else ()))
    ],
)
def test_a_name_is_only_ever_a_name(name: str, language: str, stencil: bool) -> None:
    one, like = seen(name, language, stencil=stencil), HARMLESS[language]

    # Headers: the same ones, ASCII, with the same values but for what is new in each mail.
    assert list(one.mail.keys()) == list(like.mail.keys())
    assert one.raw.partition(b"\r\n\r\n")[0].isascii()
    assert not {*one.mail.keys()} & {"Bcc", "Cc", "X-Evil"}
    assert {key: one.mail[key] for key in ("To", "Subject", "From", "Reply-To", "List-Unsubscribe")} == {
        key: like.mail[key] for key in ("To", "Subject", "From", "Reply-To", "List-Unsubscribe")
    }
    assert not one.mail.defects
    assert max(map(len, one.raw.split(b"\r\n"))) <= 998
    assert b"\r" not in one.raw.replace(b"\r\n", b"")
    assert b"\n" not in one.raw.replace(b"\r\n", b"")

    # HTML: no tag, attribute or link more, wherever the name is shown or left out.
    assert one.structure in (like.structure, NAMELESS[language].structure)
    # Text: nothing that a mail program could make a link or a command of.
    greeting = next(line for line in one.text.splitlines() if line.endswith((",", "،")))
    for part in (greeting, one.html):
        assert not re.search(
            r"evil\.(?:com|example)|victim@|://evil|\{\{|\{%|49|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", part
        )
        assert not re.search("[\u200b\u200e\u200f\u202a-\u202e\u2060\u2066\u2067\ufeff\ud800-\udfff]", part)
        assert part.count("\u2068") == part.count("\u2069")
    assert len(greeting) < LONGEST + 50
    assert not re.search(r"[\u0300-\u036f]{5}", greeting)

    # The entry in the calendar: one attendee, one event, the same lines but for its name.
    entry = Calendar.from_ical(one.calendar)
    (event,) = cast(Calendar, entry).walk("VEVENT")
    assert event["ATTENDEE"] == "mailto:amina@example.org"
    unfolded = one.calendar.replace(b"\r\n ", b"").split(b"\r\n")
    usual = HARMLESS[language].calendar.replace(b"\r\n ", b"").split(b"\r\n")
    assert [line for line in unfolded if not line.startswith(b"ATTENDEE")] == [
        line for line in usual if not line.startswith(b"ATTENDEE")
    ]


ADDRESSES = {
    "CRLF": "a@example.org\r\nBcc: victim@example.org",
    "LF": "a@example.org\nRCPT TO:<victim@example.org>",
    "NUL": "a\x00@example.org",
    "two": "a@example.org, victim@example.org",
    "two by semicolon": "a@example.org;victim@example.org",
    "name and address": "Amina <a@example.org>",
    "end of path": "a@example.org> RCPT TO:<victim@example.org",
    "blank": "a b@example.org",
    "none": "",
    "no domain": "a@",
    "no local part": "@example.org",
    "no at": "example.org",
    "jinja": "{{ 7 }}@example.org",
    "tag": "<script>@example.org",
    "lone surrogate": "a\ud800@example.org",
    "bidi": "a\u202e@example.org",
    "zero width": "a\u200b@example.org",
    "10 kB": "a" * 10_240 + "@example.org",
    "source route": "@relay.example:a@example.org",
    "percent hack of two": "a%victim@example.org@relay.example",
}


@pytest.mark.parametrize("address", ADDRESSES.values(), ids=ADDRESSES)
def test_an_address_that_is_none_is_set_aside_without_being_quoted(address: str) -> None:
    why = why_no_address(address)

    assert why.startswith("email ")
    assert "victim" not in why


LINKS = {
    "javascript": "javascript:alert(1)",
    "data": "data:text/html,x",
    "no scheme": "evil.example/x",
    "http": "http://webinar.example.org/x",
    "CRLF": "https://webinar.example.org/\r\nX-Evil: 1",
    "blank": "https://webinar.example.org/ x",
    "quote": 'https://webinar.example.org/"onclick="x',
    "tag": "https://webinar.example.org/<script>",
    "no host": "https:///x",
    "bidi": "https://webinar.example.org/\u202ex",
    "10 kB": "https://webinar.example.org/" + "a" * 10_240,
    "jinja": "{{ join_url }}",
}


@pytest.mark.parametrize("link", LINKS.values(), ids=LINKS)
def test_a_link_of_ones_own_that_is_none_is_set_aside_or_stays_within_its_attribute(link: str) -> None:
    if why_no_link(link):
        return
    one = seen("Amina", "en", link=link)
    assert [tag for tag, _ in one.structure] == [tag for tag, _ in HARMLESS["en"].structure]
    assert [tag for tag, attributes in one.structure if any(one.startswith("on") for one in attributes)] == []


RUNAWAYS = {
    "a loop of loops": "{% for a in webinar.title %}" * 9 + "x" + "{% endfor %}" * 9,
    "a long power": "{{ 9 ** (9 ** 9) }}",
    "much memory": "{{ 'a' * 10 ** 9 }}",
    "much memory, then doubled": "{% set a = 'a' * 10 ** 7 %}{% set b = a * 100 %}{{ b }}",
    "a wide format": "{{ '%1000000000d' % 1 }}",
    "a list of lists": "{{ ([0] * 10 ** 9) | length }}",
    "a class": "{{ ''.__class__.__mro__ }}",
    "a function's globals": "{{ webinar.title.upper.__globals__ }}",
    "an attribute by filter": "{{ ''|attr('__class__') }}",
    "a format string": "{{ '{0.__class__}'.format(name) }}",
    "the environment": "{{ self.__init__.__globals__ }}",
    "an import": "{% import 'os' as os %}",
    "an include": "{% include '/etc/passwd' %}",
    "a macro that calls itself": "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
}
FRONT = "---\nsubject: Hello\npreheader: Soon\n---\n"


@pytest.mark.full  # several seconds of computing; tests/mail/trial/test_runner.py has one of each limit
def test_texts_that_leave_the_sandbox_loop_or_eat_memory_are_stopped_each_within_a_second_of_computing() -> (
    None
):
    """The service stays as it was: they are tried in a child, which the kernel stops."""
    sources = {("follow-up", f"x{number}"): FRONT + body for number, body in enumerate(RUNAWAYS.values())}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    found = check_texts({**sources, ("follow-up", "en"): FRONT + "Hello"}, [webinar()], TEMPLATES)

    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert [name for name, key in zip(RUNAWAYS, sources, strict=True) if not found.problems.get(key)] == []
    assert found.sound == {("follow-up", "en")}, "the others go on"
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 2 * len(RUNAWAYS)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 64 * 1024  # kB
