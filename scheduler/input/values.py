"""Values of a webinar's file, converted from what people type: durations, times, addresses, links, languages.

Each function takes any value from TOML, and raises `mistake` with what it found and how to fix it.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import date, datetime, time, timedelta
from functools import cache
from typing import NamedTuple
from urllib.parse import urlsplit

from babel import Locale, UnknownLocaleError
from email_validator import EmailNotValidError, validate_email

from scheduler.input.validation import mistake, shown

LAST_YEAR = 2037  # the last for which pytz has daylight saving rules
_DURATION = re.compile(r"(?:(\d{1,6})d\s*)?(?:(\d{1,6})h\s*)?(?:(\d{1,6})m\s*)?(?:(\d{1,6})s)?")
_LOOSE_PART = re.compile(r"(?<!\d)(\d{1,6})\s*(d|h|m|s)[a-z]*\s*", re.IGNORECASE)
_CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?")
_LOOSE_CLOCK = re.compile(r"(\d{1,2})(?:[:.h](\d{2}))?(?::(\d{2}))?\s*([ap])?\.?m?\.?", re.IGNORECASE)
_MAILBOX = re.compile(r'"?(?P<name>[^<>"]*+)"?\s*<(?P<address>[^<>]*)>')
_NO_REPLY = re.compile(r"(no|do-?not)[-_.]?reply\b", re.IGNORECASE)


class Mailbox(NamedTuple):
    """A name and an address in ASCII, its domain in A-labels (RFC 5890)."""

    name: str
    address: str

    @property
    def domain(self) -> str:
        return self.address.rpartition("@")[2]


def line(value: object, *, longest: int = 4_000) -> str:
    """A text of one line, without blanks around it.

    Control characters are refused: a line break in a title or name would begin a new header in a mail.
    """
    if not isinstance(value, str):
        raise mistake(shown(value), hint="put text in quotes" if not isinstance(value, list | dict) else "")
    text = value.strip()
    if not text:
        raise mistake("is empty")
    for character in text:
        if unicodedata.category(character) in ("Cc", "Zl", "Zp"):
            raise mistake(f"{_character_name(character)} in {shown(text)}")
    if turns := _turns_direction(text):
        raise mistake(f"{_character_name(turns)} in {shown(text)}", hint="it reverses the text after it")
    if len(text) > longest:
        raise mistake(f"{len(text)} characters", allowed=f"at most {longest} characters")
    return text


_ENDS = {"\u202a": "\u202c", "\u202b": "\u202c", "\u2066": "\u2069", "\u2067": "\u2069", "\u2068": "\u2069"}


def _turns_direction(text: str) -> str:
    """A bidirectional control (UAX 9) that overrides the direction of letters, or that is not closed and so
    affects the text after it; "" if there is none."""
    open_ends: list[str] = []
    for character in text:
        if character in "\u202d\u202e":
            return character
        if end := _ENDS.get(character):
            open_ends.append(end)
        elif character in "\u202c\u2069" and (not open_ends or open_ends.pop() != character):
            return character
    return next(begin for begin, end in _ENDS.items() if end == open_ends[-1]) if open_ends else ""


def paragraph(value: object) -> str:
    """A line that may be long, and so is often typed over several lines."""
    if isinstance(value, str) and "\n" in value.strip():
        hint = 'a long text in """ may take several lines if each ends with a backslash'
        raise mistake(f"a line break in {shown(value.strip())}", hint=hint)
    return line(value)


def title(value: object) -> str:
    """A line short enough for a mail's subject."""
    return line(value, longest=200)


def identifier(value: object) -> str:
    """An id: small letters, digits and hyphens, at most 64."""
    text = line(value)
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,63}", text):
        plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
        likely = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:64]
        raise mistake(shown(text), hint=f"did you mean `{likely}`?" if likely else "")
    return text


def language(value: object) -> str:
    """A language tag for which Babel has data, in the form of BCP 47: `en`, `pt-BR`."""
    text = line(value)
    try:
        parsed = Locale.parse(text, sep="-")
    except (ValueError, UnknownLocaleError):
        code = _english_names().get(text.casefold(), "")
        raise mistake(shown(text), hint=f"did you mean `{code}`?" if code else "") from None
    return "-".join(part for part in (parsed.language, parsed.script, parsed.territory) if part)


@cache
def _english_names() -> dict[str, str]:
    return {name.casefold(): str(code) for code, name in Locale("en").languages.items()}


def wall_time(value: object) -> datetime:
    """A date and time on a wall clock: naive, in whole seconds."""
    if isinstance(value, str):
        raise mistake(f"text, {shown(value)}", hint="write it without quotes")
    if isinstance(value, date) and not isinstance(value, datetime):
        raise mistake(f"{shown(value)}, a date without a time", hint=f"write {value}T13:00:00 for 13:00")
    if not isinstance(value, datetime):
        raise mistake(shown(value))
    wall = value.replace(tzinfo=None, microsecond=0)
    if value.tzinfo is not None:
        offset = "Z" if value.isoformat().endswith("+00:00") else value.isoformat()[-6:]
        raise mistake(
            f"{shown(value)}, a time with a UTC offset",
            hint=f"write the time on the clock in the place that `zone` names, without {offset}",
        )
    if value.microsecond:
        raise mistake(f"{shown(value)}, a fraction of a second", hint=f"write {wall.isoformat()}")
    if not 1970 <= value.year <= LAST_YEAR:
        raise mistake(f"the year {value.year}", allowed=f"a year from 1970 to {LAST_YEAR}")
    return wall


def duration(value: object) -> timedelta:
    """A length of time above zero, such as "1h 30m"; a day is exactly 24 hours."""
    if not (length := wait(value)):
        raise mistake(f"{shown(value)}, a duration of zero")
    return length


def wait(value: object) -> timedelta:
    """A length of time such as "10m", or "0s"; a day is exactly 24 hours."""
    if not isinstance(value, str):
        raise mistake(shown(value), hint='write a text with units, such as "1h"')
    text = value.strip()
    exact = _DURATION.fullmatch(text)
    if not text or not exact:
        raise mistake(shown(value), hint=_likely_duration(text))
    days, hours, minutes, seconds = (int(part or 0) for part in exact.groups())
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)


def clock_time(value: object) -> time:
    """A time of day in 24-hour form, from a TOML local time or "HH:MM" or "HH:MM:SS"."""
    if isinstance(value, time):
        if value.microsecond:
            raise mistake(f"{shown(value)}, a fraction of a second")
        return value
    if not isinstance(value, str):
        raise mistake(shown(value), hint='write it in quotes, such as "09:00"')
    exact = _CLOCK.fullmatch(value.strip())
    if not exact:
        raise mistake(shown(value), hint=_likely_clock(value.strip()))
    hour, minute, second = (int(part or 0) for part in exact.groups())
    return time(hour, minute, second)


def logo(value: object) -> str:
    """The file name of a picture, or a link to one."""
    name = line(value)
    if name.startswith("https://"):
        return link(value)
    if not re.fullmatch(r"[\w-][\w.-]*\.(png|jpg|jpeg|gif)", name, re.IGNORECASE | re.ASCII):
        raise mistake(shown(name))
    return name


def link(value: object) -> str:
    """An https address of ASCII characters with a host; "" for none."""
    if value == "":
        return ""
    text = line(value)
    if not re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", text) and re.match(r"[\w-]+(\.[\w-]+)+(/|$)", text):
        raise mistake(shown(text), hint=f"did you mean `https://{text}`?")
    if odd := re.search(r'[^!-~]|[<>"\\^`{|}]', text):
        raise mistake(
            f"{_character_name(odd[0])} in {shown(text)}", hint="copy it from the browser's address bar"
        )
    try:
        parts = urlsplit(text)
        host, _port = parts.hostname or "", parts.port
    except ValueError:
        raise mistake(shown(text)) from None
    if parts.scheme == "http":
        raise mistake(shown(text), hint=f"did you mean `https{text[4:]}`?")
    if parts.scheme != "https" or not (":" in host or re.fullmatch(r"localhost|[^.]+(\.[^.]+)+", host)):
        raise mistake(shown(text))
    if parts.username is not None:
        raise mistake("a user name or password in the link")
    return text


def mailbox(value: object) -> Mailbox:
    """`Name <a@b>` or `a@b`, checked by email-validator without a DNS lookup."""
    text = line(value)
    named = _MAILBOX.fullmatch(text)
    name, typed = (named["name"].strip(), named["address"]) if named else ("", text)
    try:
        # test_environment allows domains under .test, which nobody can register.
        checked = validate_email(
            typed, check_deliverability=False, test_environment=True, allow_smtputf8=False
        )
    except EmailNotValidError as error:
        raise mistake(shown(text), hint=_first_down(str(error))) from None
    return Mailbox(name, checked.ascii_email or checked.normalized)


def answered_mailbox(value: object) -> Mailbox:
    """A mailbox that accepts replies: its name is not like "no-reply"."""
    box = mailbox(value)
    if _NO_REPLY.match(box.address):
        raise mistake(
            shown(box.address),
            hint="people reply and calendars send acceptances: name a mailbox that is read",
        )
    return box


def address(value: object) -> str:
    """An address without a name."""
    return mailbox(value).address


def _likely_duration(text: str) -> str:
    if re.fullmatch(r"\d+", text):
        return f'name the unit: "{text}m" is {text} minutes'
    parts = [(number, unit.lower()) for number, unit in _LOOSE_PART.findall(text)]
    if parts and not _LOOSE_PART.sub("", text).strip():
        ordered = sorted(parts, key=lambda part: "dhms".index(part[1]))
        likely = " ".join(f"{int(number)}{unit}" for number, unit in ordered)
        if likely != text and _DURATION.fullmatch(likely):
            return f"did you mean `{likely}`?"
    if decimal := re.fullmatch(r"(\d+)[.,]5\s*h\w*", text):
        return f"did you mean `{decimal[1]}h 30m`?"
    return ""


def _likely_clock(text: str) -> str:
    loose = _LOOSE_CLOCK.fullmatch(text)
    if not loose:
        return ""
    hour, half = int(loose[1]), (loose[4] or "").lower()
    if half and 1 <= hour <= 12:
        hour = hour % 12 + (12 if half == "p" else 0)
    likely = f"{hour:02}:{loose[2] or '00'}" + (f":{loose[3]}" if loose[3] else "")
    return f"did you mean `{likely}`?" if _CLOCK.fullmatch(likely) else ""


def _character_name(character: str) -> str:
    names = {"\n": "a line break", "\r": "a carriage return", "\t": "a tab", " ": "a blank"}
    name = unicodedata.name(character, "control character").lower()
    return names.get(character, f"the character U+{ord(character):04X} ({name})")


def _first_down(sentence: str) -> str:
    return (sentence[:1].lower() + sentence[1:]).rstrip(".")


def in_brackets(listed: object) -> object:
    """Refuse a single text in place of a list. Raises the mistake that says how to write it."""
    if isinstance(listed, str):
        raise mistake(shown(listed), hint=f"put it in brackets: [{shown(listed)}]")
    return listed
