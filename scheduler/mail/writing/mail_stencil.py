"""A mail for many readers: bytes for the `%` operator, with `%(html name)b` and the like for a reader's own values.

Its words come from the plain way with stand-ins, which are noncharacters (Unicode 16, 23.7) that neither a cleaned
name nor a link contains. So no value is mistaken for a stand-in. If an organizer's text contains a stand-in, filling
replaces it, the result differs from the plain mail of the first reader, and the stencil is rejected.
"""

from __future__ import annotations

import re
from base64 import encodebytes
from binascii import b2a_base64, b2a_qp
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import cached_property, lru_cache
from urllib.parse import quote

from markupsafe import escape

from scheduler.mail.text.jinja_use import use_of
from scheduler.mail.text.templates import Rendered
from scheduler.mail.words.reservation import bare, in_json, reservation
from scheduler.mail.words.variables import Facts, dear, variables
from scheduler.mail.writing.composing import compose, subject_line, wire_address
from scheduler.mail.writing.rendering import Sheet, Written
from scheduler.mail.writing.zone_words import MARK, ZoneWords, with_stand_ins

_NAME, _LINK, _JSON_NAME, _JSON_LINK, _LEFT, _PAGE = (
    "\ufdd0",
    "\ufdd1",
    "\ufdd2",
    "\ufdd3",
    "\ufdd4",
    "\ufdd6",
)
_VALUES = {
    _NAME: "name",
    _LINK: "link",
    quote(_LINK): "quoted link",
    _JSON_NAME: "json name",
    _JSON_LINK: "json link",
    _LEFT: "left",
    _PAGE: "page",
}
"""The name of the value for each stand-in. In an add-to-calendar link the reader's link is percent-encoded; in the
data for programs (`reservation`) name and link are JSON strings."""
_STAND_IN = re.compile(f"({'|'.join(_VALUES)}|{MARK}[0-9]{{1,3}}{MARK})")

_PERSONAL = re.compile(f"{_NAME}|{_LINK}|{quote(_LINK)}|{_PAGE}")
_EPOCH, _INVITATION = datetime(1990, 1, 1, tzinfo=UTC), b"qJzInvitation"
_MARKS = (
    _SUBJECT := b"Subject: qJzSubject\r\n",
    _TO := b"qJzTo@example.org",
    _ID := b"<qJzId@example.org>",
    _THREAD := b"<qJzThread@example.org>",
    _DATE := format_datetime(_EPOCH).encode(),
    _TEXT := b"qJzText",
    _HTML := b"qJzHtml",
    _CALENDAR := b2a_base64(_INVITATION, newline=False),
    _PAGE_MARK := b"qJzPage",
)
"""Marks in a frame for the parts that are inserted."""
_MARK = re.compile(b"|".join(map(re.escape, _MARKS)))

LONGEST_LINE = 998
"""Octets (RFC 5322, 2.1.1)."""
_LINE_END = re.compile("\r\n|\r|\n")
_QUOTED = re.compile(rb".{1,75}(?<!=)(?<!=.)")  # does not split an =XX
_DOT_LINE = re.compile(rb"(?:^|\r\n)(?:%\([a-z0-9 ]+\)b)*\.")
_LINE_OR_DOT = re.compile(rb"[\r\n]|(?:^|\0)\.")  # in values joined by NUL
_MULTIPART = re.compile(rb"^Content-Type: multipart/.*\n(?:[ \t].*\n)*", re.MULTILINE)


@dataclass(frozen=True)
class Personal:
    """The values in a mail's words that differ between readers."""

    name: str
    """The name as shown."""
    link: str
    """ "" if it is the webinar's link."""
    left: str
    """The value of `time_left`; "" if the text computes with it."""
    page: str
    """The address of the reader's page; "" if there are no pages."""
    zone: ZoneWords

    @property
    def values(self) -> dict[str, str]:
        """The values by the names in `_VALUES`."""
        values = {"name": self.name, "json name": in_json(bare(self.name)), "left": self.left}
        if self.page:
            values["page"] = self.page
        link = self.link
        return (
            values | {"link": link, "quoted link": quote(link), "json link": in_json(link)}
            if link
            else values
        )


@dataclass(frozen=True)
class MailStencil:
    """A mail for many readers."""

    mail: bytes
    subject: str
    """The subject with stand-ins; "" if it is the same for all."""
    eight_bit: bool

    def fill(self, sheet: Sheet, own: Personal) -> Written | None:
        """The mail to one reader; None if it is 8-bit and a line would be too long."""
        values = {
            b"to": wire_address(sheet.to).encode(),
            b"id": sheet.message_id.encode(),
            b"thread": sheet.thread.encode(),
            b"date": _date(int(sheet.facts.now.timestamp())),
        }
        if own.page:
            values[b"page"] = own.page.encode()
        encode, text = encoding(self.eight_bit), own.values
        for what, value in text.items():
            values[b"text " + what.encode()] = encode(value)
        for what, value in _in_html(text).items():
            values[b"html " + what.encode()] = encode(value)
        plain = self._has_plain_lines and not _LINE_OR_DOT.search(b"\0".join(values.values()))
        longest, holes = self._longest_line
        widest = max(own.zone.widest, *map(len, values.values()))
        surely_fits = longest + holes * widest <= LONGEST_LINE
        values |= own.zone.encoded
        if self.subject:
            fold = subject_line if _PERSONAL.search(self.subject) else _folded
            values[b"subject"] = fold(_filled(self.subject, {**text, **own.zone.words}))
        if sheet.calendar is not None:
            values[b"calendar"] = _base64(sheet.calendar)
        mail = self.mail % values
        return Written(mail, plain) if surely_fits or not self.eight_bit or lines_fit(mail) else None

    @cached_property
    def _has_plain_lines(self) -> bool:
        """Whether `Written.plain_lines` holds if no value has a line end or begins with a dot, even for empty
        values."""
        ends = self.mail.count(b"\r\n")
        ended = ends == self.mail.count(b"\r") == self.mail.count(b"\n") and self.mail.endswith(b"\r\n")
        return ended and not _DOT_LINE.search(self.mail)

    @cached_property
    def _longest_line(self) -> tuple[int, int]:
        """The octets of the longest line without values, and the most holes in any line."""
        lines = self.mail.split(b"\r\n")
        return max(map(len, lines)), max(line.count(b"%(") for line in lines)


def cut_words(sheet: Sheet, own: Personal) -> Rendered | None:
    """The words of such mails, with stand-ins; None if they differ from the plain way's once this reader's values
    are filled in. Raises what the plain way raises."""
    facts, text, name, use = sheet.facts, sheet.current.text, own.name, use_of(sheet.current.text.jinja)
    plain = text.render(facts)
    without = _without_own_link(facts) if own.link else facts
    without = replace(without, page_url=own.page and _PAGE)
    language = sheet.current.language
    filling = variables(without, language) | {"name": name and _NAME, "dear": dear(name and _NAME, language)}
    filling |= with_stand_ins(filling, use, own.zone.words) | ({"time_left": _LEFT} if own.left else {})
    if filling["reservation"]:
        link = _JSON_LINK if own.link else facts.join_url
        filling["reservation"] = reservation(
            facts.webinar, language, name and _JSON_NAME, link, withdrawn=facts.withdrawn
        )
    words = text.fill(filling)
    values = {**own.values, **own.zone.words}
    filled = replace(
        words,
        subject=_filled(words.subject, values),
        preheader=plain.preheader,  # compared as a part of the HTML
        html=_filled(words.html, _in_html(values)),
        text=_filled(words.text, values),
        stop_url=_filled(words.stop_url, values),
    )
    return words if filled == plain else None


def _without_own_link(facts: Facts) -> Facts:
    """The facts with a stand-in for this reader's link, also in `told` if they had the same one before."""
    told = facts.told
    if told and told.join_url == facts.join_url:
        told = replace(told, join_url=_LINK)
    return replace(facts, join_url=_LINK, told=told)


def cut_frame(sheet: Sheet, words: Rendered, eight_bit: bool) -> bytes | None:
    """The headers and MIME structure of such mails, ready for `%`, with marks for the other parts; None if an
    organizer's words contain a mark.

    All mails share its boundaries. No value can form a boundary line: those begin with hyphens and contain "=", which
    a name never does, and a link begins with "https".
    """
    webinar = sheet.facts.webinar
    mail = compose(
        rendered=Rendered("qJzSubject", "", _HTML.decode(), _TEXT.decode(), "", ""),
        language=sheet.current.language,
        sender=webinar.sender_in(sheet.current.language),
        reply_to=webinar.reply_to_in(sheet.current.language),
        to=_TO.decode(),
        logo=sheet.logo,
        message_id=_ID.decode(),
        thread=_THREAD.decode(),
        feedback_id=sheet.feedback_id,
        unsubscribe=[link.replace(_PAGE, _PAGE_MARK.decode()) for link in sheet.unsubscribe_links(words)],
        one_click=sheet.one_click,
        date=_EPOCH,
        calendar=_INVITATION,
        calendar_as=sheet.calendar_as,
        method=sheet.method,
    )
    wanted = Counter([_SUBJECT, _TO, _ID, _THREAD, _DATE, _TEXT, _HTML])
    wanted[_PAGE_MARK] = int(sheet.one_click)
    wanted[_CALENDAR] = {"request": 2, "attachment": 1, "none": 0}[sheet.calendar_as]
    if Counter(_MARK.findall(mail)) != wanted:
        return None
    if eight_bit:  # the parts, and therefore the multiparts around them (RFC 2045, 6.4)
        encoding = b"\nContent-Transfer-Encoding: "
        mail = mail.replace(encoding + b"quoted-printable", encoding + b"8bit")
        mail = _MULTIPART.sub(rb"\g<0>Content-Transfer-Encoding: 8bit\r\n", mail)
    return _literal(mail)


def cut_mail(words: Rendered, frame: bytes, *, eight_bit: bool) -> MailStencil:
    """The stencil for mails with these words in this frame."""
    encode, joint = encoding(eight_bit), b"" if eight_bit else b"=\r\n"

    def encoded(text: str, where: str) -> bytes:
        """`text` with holes. In quoted-printable each is between soft line breaks (RFC 2045, 6.7), so that its value
        can be encoded independently of the text around it."""
        parts = _STAND_IN.split(text.removesuffix("\n"))
        return joint.join(
            f"%({where} {_value_of(part)})b".encode() if number % 2 else _literal(encode(part))
            for number, part in enumerate(parts)
        )

    subject = words.subject if _STAND_IN.search(words.subject) else ""
    inside = {
        _SUBJECT: b"%(subject)b" if subject else _literal(subject_line(words.subject)),
        _TO: b"%(to)b",
        _ID: b"%(id)b",
        _THREAD: b"%(thread)b",
        _DATE: b"%(date)b",
        _TEXT: encoded(words.text, "text"),
        _HTML: encoded(words.html, "html"),
        _CALENDAR: b"%(calendar)b",
        _PAGE_MARK: b"%(page)b",
    }
    return MailStencil(_MARK.sub(lambda mark: inside[mark[0]], frame), subject, eight_bit)


def lines_fit(mail: bytes) -> bool:
    """Whether no line is longer than LONGEST_LINE."""
    return max(map(len, mail.split(b"\r\n"))) <= LONGEST_LINE


def _in_html(values: Mapping[str, str]) -> dict[str, str]:
    """The values escaped for HTML, except those of JSON: a script element has no character references."""
    return {what: value if what.startswith("json ") else str(escape(value)) for what, value in values.items()}


def _value_of(stand_in: str) -> str:
    return _VALUES.get(stand_in) or stand_in.strip(MARK)


def _filled(words: str, values: Mapping[str, str]) -> str:
    return _STAND_IN.sub(lambda found: values.get(_value_of(found[0]), ""), words)


@lru_cache(maxsize=16)
def _date(seconds: int) -> bytes:
    return format_datetime(datetime.fromtimestamp(seconds, UTC)).encode()


_folded = lru_cache(maxsize=500)(subject_line)  # only for subjects without personal values


def _literal(coded: bytes) -> bytes:
    return coded.replace(b"%", b"%%")


def encoding(eight_bit: bool) -> Callable[[str], bytes]:
    return _as_they_are if eight_bit else _quoted_printable


def _quoted_printable(words: str) -> bytes:
    """`words` encoded in lines that leave room for the "=" of a soft line break."""
    return b"\r\n".join(map(_quoted_line, _LINE_END.split(words)))


def _quoted_line(line: str) -> bytes:
    coded = b2a_qp(line.encode()).replace(b"=\n", b"")
    return coded if len(coded) <= 75 else b"=\r\n".join(_QUOTED.findall(coded))


def _as_they_are(words: str) -> bytes:
    return "\r\n".join(_LINE_END.split(words)).encode()


def _base64(content: bytes) -> bytes:
    return encodebytes(content).rstrip(b"\n").replace(b"\n", b"\r\n")
