"""Reads received mails as their readers do: the date, the hours and the offset that they see, the entry in their
calendar. Nothing here comes from the scheduler, so what it writes wrongly is not read back as right.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from datetime import time as wall_time
from email import message_from_bytes
from email.message import EmailMessage, MIMEPart
from email.policy import default
from functools import cached_property
from html.parser import HTMLParser
from pathlib import Path

WEEKDAYS = {
    "en": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    "fr": ("lundi", "mardi", "mercredi", "jeudi", "vendredi", "samedi", "dimanche"),
    "es": ("lunes", "martes", "miércoles", "jueves", "viernes", "sábado", "domingo"),
    "ar": ("الاثنين", "الثلاثاء", "الأربعاء", "الخميس", "الجمعة", "السبت", "الأحد"),
    "zh": ("星期一", "星期二", "星期三", "星期四", "星期五", "星期六", "星期日"),
    "ru": ("понедельник", "вторник", "среда", "четверг", "пятница", "суббота", "воскресенье"),
}
MONTHS = {
    "en": ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
           "November", "December"),
    "fr": ("janvier", "février", "mars", "avril", "mai", "juin", "juillet", "août", "septembre", "octobre",
           "novembre", "décembre"),
    "es": ("enero", "febrero", "marzo", "abril", "mayo", "junio", "julio", "agosto", "septiembre", "octubre",
           "noviembre", "diciembre"),
    "ar": ("كانون الثاني/يناير", "شباط/فبراير", "آذار/مارس", "نيسان/أبريل", "أيار/مايو", "حزيران/يونيو", "تموز/يوليو",
           "آب/أغسطس", "أيلول/سبتمبر", "تشرين الأول/أكتوبر", "تشرين الثاني/نوفمبر", "كانون الأول/ديسمبر"),
    "zh": ("1月", "2月", "3月", "4月", "5月", "6月", "7月", "8月", "9月", "10月", "11月", "12月"),
    "ru": ("января", "февраля", "марта", "апреля", "мая", "июня", "июля", "августа", "сентября", "октября",
           "ноября", "декабря"),
}  # fmt: skip
WAS = {
    "en": "was",
    "fr": "auparavant",
    "es": "antes",
    "ar": "وكان الموعد السابق",
    "zh": "原定",
    "ru": "ранее",
}
"""What stands before a time that is no longer so."""


@dataclass(frozen=True)
class Clock:
    """One stretch of time as a mail shows it on one clock."""

    heading: str  # what stands before it on its line or on the line above
    weekdays: tuple[str, ...]
    start: datetime  # as shown, so naive
    end: datetime
    offset: timedelta
    zone: str  # what stands before the offset: "Nairobi, East Africa Time"
    former: bool = False  # it is said to be no longer so

    @property
    def instants(self) -> tuple[datetime, datetime]:
        """What that is in UTC."""
        return (self.start - self.offset).replace(tzinfo=UTC), (self.end - self.offset).replace(tzinfo=UTC)

    @property
    def days(self) -> tuple[date, date]:
        return self.start.date(), self.end.date()


def clocks(text: str, language: str) -> list[Clock]:
    """Every stretch of time in a text. Each has one or two dates and two times; its offset from UTC follows it, or the
    stretch beside it, as a former time's does. A former time may leave out a date that is the same.

    AssertionError where something stands out of place, such as a time without an offset.
    """
    token = re.compile(
        _date(language) + r"|(?<![\d:])(?P<time>\d{1,2}:\d{2})(?![\d:])"
        r"|UTC(?P<offset>[+-]\d{1,2}(?::\d{2})?)?"
    )
    found: list[Clock] = []
    shown: list[re.Match[str]] = []  # since the last offset
    for match in token.finditer(text):
        if match["day"] or match["time"]:
            shown.append(match)
        else:
            assert match["offset"], "UTC without an offset"
            zone = text[shown[-1].end() : match.start()].strip(" \n(,،，（\u2068").removeprefix("г.")
            dates: list[re.Match[str]] = []
            for stretch in _stretches(shown):
                dates = [one for one in stretch if one["day"]] or dates
                times = [wall_time.fromisoformat(one["time"].zfill(5)) for one in stretch if one["time"]]
                days = [_day(one, language) for one in (dates[0], dates[-1])]
                start, end = map(datetime.combine, days, times)
                before = text[: stretch[0].start()]
                found.append(
                    Clock(
                        heading=_last_line(before),
                        weekdays=tuple(str(one["day"]) for one in dates),
                        start=start,
                        end=end,
                        offset=_offset(match["offset"]),
                        zone=zone,
                        former=bool(re.search(rf"{WAS[language]}[ :]*(من )?$", before)),
                    )
                )
            shown = []
    assert not shown, "a date or time without an offset"
    return found


def _stretches(shown: list[re.Match[str]]) -> Iterator[list[re.Match[str]]]:
    """Dates (D) and times (T) by the stretch that they are of."""
    kinds = "".join("D" if one["day"] else "T" for one in shown)
    assert re.fullmatch(r"TTD|TDTD|(DTDT|DTT(TT)?)+", kinds), f"dates and times before an offset: {kinds}"
    for match in re.finditer("DTDT|TDTD|DTT|TTD|TT", kinds):
        yield shown[match.start() : match.end()]


def _day(shown: re.Match[str], language: str) -> date:
    return date(int(shown["year"]), MONTHS[language].index(shown["month"]) + 1, int(shown["date"]))


def _date(language: str) -> str:
    """A date with weekday and year, as it is written in that language."""
    day, month = "|".join(WEEKDAYS[language]), "|".join(reversed(MONTHS[language]))
    if language == "zh":
        return rf"(?P<year>\d{{4}})年(?P<month>{month})(?P<date>\d{{1,2}})日(?P<day>{day})"
    return rf"(?P<day>{day})[,،]? (?P<date>\d{{1,2}}) (?:de )?(?P<month>{month}) (?:de )?(?P<year>\d{{4}})"


def _last_line(text: str) -> str:
    return text.rstrip().rpartition("\n")[2].strip(" :：")


def _offset(text: str) -> timedelta:
    hours, _, minutes = text[1:].partition(":")
    size = timedelta(hours=int(hours), minutes=int(minutes or 0))
    return -size if text[0] == "-" else size


class Page(HTMLParser):
    """An HTML mail as text, block by block: what is seen, what is hidden (the preheader), and where links go."""

    BLOCKS = frozenset("address article blockquote br div h1 h2 h3 hr li p table td th tr ul ol".split())  # noqa: SIM905
    VOID = frozenset("br hr img input link meta".split())  # noqa: SIM905

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.links: list[str] = []
        self.language = ""
        self._open: list[tuple[str, bool]] = []  # tag, and whether what is in it is hidden
        self._seen: list[str] = []
        self._hidden: list[str] = []
        self.feed(source)
        self.close()

    @property
    def text(self) -> str:
        return _tidy("".join(self._seen))

    @property
    def preheader(self) -> str:
        """What an inbox shows behind the subject, without what only fills its line."""
        return _tidy("".join(self._hidden).translate({0x034F: None, 0x2007: None}))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "html":
            self.language = given.get("lang", "")
        if "href" in given:
            self.links.append(given["href"])
        if tag in self.BLOCKS:
            self._seen.append("\n")
        if tag not in self.VOID:
            hides = "display:none" in given.get("style", "").replace(" ", "")
            self._open.append((tag, hides or bool(self._open and self._open[-1][1])))

    def handle_endtag(self, tag: str) -> None:
        if tag in self.BLOCKS:
            self._seen.append("\n")
        if tag in (name for name, _ in self._open):
            while self._open.pop()[0] != tag:
                pass

    def handle_data(self, data: str) -> None:
        if {name for name, _ in self._open} & {"head", "style", "script"}:
            return
        (self._hidden if self._open and self._open[-1][1] else self._seen).append(
            " ".join(re.split(r"\s", data))
        )


def _tidy(text: str) -> str:
    lines = (" ".join(line.split()) for line in text.split("\n"))
    return "\n".join(line for line in lines if line)


class Entry:
    """An invitation, read from its bytes (RFC 5545)."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        unfolded = re.sub(rb"\r\n[ \t]", b"", raw).decode("utf-8")
        assert "\n" not in unfolded.replace("\r\n", ""), "a line that ends with a bare LF"
        self.lines = unfolded.split("\r\n")

    def all(self, name: str) -> list[str]:
        """The values of a property, from the event or its alarm, their escapes undone."""
        pattern = re.compile(rf'{name}(?:;(?:[^":]|"[^"]*")*)?:(.*)')
        values = (match[1] for line in self.lines if (match := pattern.fullmatch(line)))
        return [re.sub(r"\\(.)", lambda m: "\n" if m[1] in "nN" else m[1], value) for value in values]

    def one(self, name: str) -> str:
        values = self.all(name)
        assert len(values) == 1, f"{len(values)} of {name}"
        return values[0]

    def instant(self, name: str) -> datetime:
        """A time in UTC (RFC 5545, 3.3.5, form 2), which must have neither a TZID nor be floating."""
        (value,) = (
            match[1] for line in self.lines if (match := re.fullmatch(rf"{name}:(\d{{8}}T\d{{6}})Z", line))
        )
        return datetime.strptime(value, "%Y%m%dT%H%M%S").replace(tzinfo=UTC)

    @property
    def description(self) -> str:
        """The event's, not its alarm's."""
        return self.all("DESCRIPTION")[0]


@dataclass(frozen=True)
class Mail:
    """One .eml, as a mail program has it."""

    raw: bytes

    @classmethod
    def of(cls, path: Path) -> Mail:
        return cls(path.read_bytes())

    @cached_property
    def message(self) -> EmailMessage:
        message = message_from_bytes(self.raw, policy=default)
        assert isinstance(message, EmailMessage)
        assert not [*message.defects, *(defect for part in message.walk() for defect in part.defects)]
        return message

    def header(self, name: str) -> str:
        """A header that there must be exactly once, unfolded and decoded."""
        (value,) = self.message.get_all(name, [])
        return str(value).strip()

    def _part(self, kind: str) -> EmailMessage | None:
        parts = [part for part in self.message.walk() if part.get_content_type() == kind]
        assert len(parts) <= 1, f"{len(parts)} parts of {kind}"
        assert all(isinstance(part, EmailMessage) for part in parts)
        return parts[0] if parts else None

    @cached_property
    def text(self) -> str:
        part = self._part("text/plain")
        assert part is not None
        return _plain(part.get_content())

    @cached_property
    def page(self) -> Page:
        part = self._part("text/html")
        assert part is not None
        return Page(_plain(part.get_content()))

    @cached_property
    def entry(self) -> Entry | None:
        part = self._part("text/calendar")
        return Entry(bytes(part.get_payload(decode=True))) if part else None

    @property
    def tree(self) -> str:
        """ "multipart/mixed(text/plain, text/html)"."""
        return _tree(self.message)

    def everything(self) -> Iterator[str]:
        """Every header and every part, decoded: where an address could hide."""
        for part in self.message.walk():
            yield from (f"{name}: {value}" for name, value in part.items())
            if not part.is_multipart():
                yield bytes(part.get_payload(decode=True)).decode("utf-8", "replace")


def _plain(text: str) -> str:
    """With blanks that a reader can't tell from others: French has unbreakable ones before its colons."""
    return text.replace("\u00a0", " ").replace("\u202f", " ").replace("\r\n", "\n")


def _tree(part: MIMEPart) -> str:
    kind = part.get_content_type()
    return (
        f"{kind}({', '.join(_tree(child) for child in part.iter_parts())})" if part.is_multipart() else kind
    )
