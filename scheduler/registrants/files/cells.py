"""Cleans the text of a cell: an address, a name, an instant. Pure.

Cleaning removes characters that programs added and invisible ones. It never changes what a person typed.
"""

from __future__ import annotations

import html
import re
from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple

from scheduler.input.addresses import fold, why_no_address
from scheduler.input.placeholders import holds_placeholder
from scheduler.registrants.files.words import remembered, words_of
from scheduler.zones.wall import LAST_YEAR

_UNSEEN = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb]"
)
"""Invisible characters, except the joiners: they are part of the spelling of names."""
_BLANKS = re.compile(r"[\s\u00a0\u2000-\u200a\u202f\u205f\u3000]+")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f]")
_PLAIN = re.compile(r"[A-Za-z0-9._%+/?^`{|}~!#$&*-][A-Za-z0-9._%+'/=?^`{|}~!#$&*-]*@[A-Za-z0-9.-]+\w")
_FULL_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {
    0x3002: ".",
    0xFF61: ".",
    0xFE6B: "@",
}
_IN_BRACKETS = re.compile(r"([^<>]*)< ?(?:mailto:)?([^<>\s@]+@[^<>\s@]+) ?>[ ;,.]*", re.IGNORECASE)
_BETWEEN = re.compile(r"[\s<>()\[\],;:|\"“”„«»]+|/(?=[^/]*@)")
_WRAPPED = ' \t;,.<>()[]"“”„«»'
_ENTITY = re.compile(r"&(?:[a-z]{2,8}|#\d{1,5}|#x[0-9a-f]{1,5});", re.IGNORECASE)
_TEXT_FORMULA = re.compile(r'="(.*)"', re.DOTALL)
_TWICE_ENCODED = re.compile("[ÂÃÄÅÐÑØÙ][\u0080-\u00bf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ]")

_NOTHING = frozenset(words_of("nothing", "cell"))
_NOBODY = frozenset(words_of("nothing", "name"))


class Address(NamedTuple):
    """A cleaned address, the name beside it, and why it is not valid ("" if it is)."""

    address: str
    name: str = ""
    problem: str = ""
    cleaned: bool = False


def tidy(cell: str) -> str:
    """The text on one line, without invisible characters and outer blanks."""
    if cell.isascii() and cell.isprintable() and "  " not in cell:
        return cell.strip()
    return _BLANKS.sub(" ", _UNSEEN.sub("", cell)).strip()


def is_nothing(cell: str) -> bool:
    """Whether this stands for an empty cell: "", "N/A", "NULL", "--"."""
    return not cell or (len(cell) < 16 and cell.casefold() in _NOTHING)


@remembered(4096)  # most registrants share few countries and statuses
def clean_cell(cell: str) -> str:
    """A value as a person meant it; '' if it stands for an empty cell."""
    return cleaned(cell)


def cleaned(cell: str) -> str:
    """`clean_cell` without a cache, for values that differ from row to row."""
    text = unwrapped(tidy(cell))
    return "" if is_nothing(text) else text


def unwrapped(text: str) -> str:
    """Undo what spreadsheets and databases do to a text: ="Ana", 'Ana, Ana &amp; Bo, UTF-8 read as Latin-1."""
    if text[:1] == "=" and (formula := _TEXT_FORMULA.fullmatch(text)):
        text = formula[1].replace('""', '"')
    elif (
        text.startswith("'") and text.count("'") % 2 and not text[1:3].lower().startswith(("t ", "s ", "n "))
    ):
        text = text[1:]  # Excel's mark of a text; but 't Hooft is a name
    if "&" in text and _ENTITY.search(text):
        text = tidy(html.unescape(text))
    if not text.isascii() and _TWICE_ENCODED.search(text):
        text = _decoded_again(text)
    return text


def _decoded_again(text: str) -> str:
    for codec in ("cp1252", "latin-1"):
        try:
            return text.encode(codec).decode("utf-8")
        except UnicodeError:
            continue
    return text


def clean_address(cell: str) -> Address:
    """The address in a cell; two different ones are a problem."""
    if _PLAIN.fullmatch(cell):
        return Address(cell, problem=why_no_address(cell))
    text = tidy(_CONTROL.sub("", cell).translate(_FULL_WIDTH))
    if is_nothing(text):
        return Address("", problem="email is empty")
    name = ""
    if whole := _IN_BRACKETS.fullmatch(text):
        name, text = whole[1].strip(_WRAPPED + "'"), whole[2]
    text = unwrapped(text).strip("'")
    if text.lower().startswith("mailto:"):
        text = text[len("mailto:") :].partition("?")[0].replace("%40", "@")
    if problem := why_no_address(text):
        bare = text.strip(_WRAPPED).removesuffix("'")
        found = [one for one in _BETWEEN.split(bare) if "@" in one.strip("@")]
        if len({fold(one) for one in found}) > 1 and not any(map(why_no_address, found)):
            return Address(text, problem="holds two addresses")
        if found and not why_no_address(found[0]):
            if not name and text.startswith(found[0]) and text.endswith(")"):
                name = text[len(found[0]) :].strip(_WRAPPED)
            text, problem = found[0], ""
    return Address(text, clean_name_of(name) if name else "", problem, text != cell.strip(" "))


def is_address(cell: str) -> bool:
    """Whether a cell holds one address or two."""
    return bool(_PLAIN.fullmatch(cell)) or (
        "@" in cell.translate(_FULL_WIDTH) and clean_address(cell).problem in ("", "holds two addresses")
    )


# Names

_LONGEST_NAME = 200
_AFFILIATED = frozenset(words_of("affiliation", "word"))
_AFFILIATED_PARTS = tuple(words_of("affiliation", "part"))
_ACRONYM = re.compile(r"[A-Z][A-Z0-9&/.-]{1,15}(?: [A-Z][A-Z0-9&/.-]{0,15}){0,4}")  # (WHO), (UN OCHA)
_OPENING = "(（["
_CLOSING = (")", "）", "]")
_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af々]+")
_OF_PROGRAMS = frozenset(("null", "NULL", "undefined", "NaN", "nan", "(null)"))
_ONE_WORD = re.compile(r"[^\W\d_ÂÃÄÅÐÑØÙ][^\W_ÂÃÄÅÐÑØÙ]*(?:-[^\W_ÂÃÄÅÐÑØÙ]+)*")
"""Words that need no cleaning: a shortcut, as most names are such words."""
_ALSO_NAMES = frozenset(("Null", "Nil"))  # real names, too


def clean_name_of(text: str, beside: str = "") -> str:
    """A name as it was typed, or a part of one `beside` another part; '' if it is no name."""
    if not text:
        return ""
    if (name := _name_in(text)) or not beside:
        return name
    also = _as_typed(text)
    return also if also in _ALSO_NAMES and clean_name_of(beside) else ""


@remembered(1024)  # many people share few first names
def _name_in(text: str) -> str:
    if _ONE_WORD.fullmatch(text) and text not in _ALSO_NAMES and text not in _OF_PROGRAMS:
        low = text.casefold()
        return "" if low in _NOTHING or low in _NOBODY else text
    name = _as_typed(text)
    return "" if _is_nobody(name) else " ".join(word for word in name.split() if word not in _OF_PROGRAMS)


def _as_typed(text: str) -> str:
    return unwrapped(tidy(text if text.isprintable() else _CONTROL.sub(" ", text)))


def _is_nobody(name: str) -> bool:
    """Whether this stands for a missing name, or is another tool's unfilled placeholder."""
    return (
        is_nothing(name)
        or name.casefold() in _NOBODY
        or all(is_nothing(word) or word.casefold() in _NOBODY for word in name.split())
        or holds_placeholder(name[:_LONGEST_NAME])
    )


def without_affiliation(name: str, *, displayed: bool = False) -> str:
    """The name without an affiliation in brackets behind it. `displayed`: the column holds display names, where the
    system added any bracket."""
    begin = max(map(name.rfind, _OPENING)) if name.endswith(_CLOSING) else 0
    if begin < 1:
        return name
    inside = name[begin + 1 : -1]
    return (name[:begin].rstrip() or name) if displayed or _is_affiliation(inside) else name


def _is_affiliation(text: str) -> bool:
    words = text.casefold().replace(",", " ").split()
    return (
        any(word in _AFFILIATED for word in words)
        or any(part in text for part in _AFFILIATED_PARTS)
        or bool(_ACRONYM.fullmatch(text))
    )


def joined(first: str, middle: str, last: str) -> str:
    """The full name from its parts. Chinese, Japanese and Korean names begin with the family name. A whole name that
    was typed into both fields is used once."""
    if first == last and " " in first:
        return first
    if first and last and _CJK.fullmatch(first) and _CJK.fullmatch(last):
        return last + first
    return " ".join(filter(None, (first, middle, last)))


# Instants

Order = Literal["day first", "month first", ""]
_NUMBERS = re.compile(
    r"(\d{1,4})[./-](\d{1,2})[./-](\d{1,4})(?:(?:, |[, T])(\d{1,2})[:.h](\d{2})(?:[:.](\d{2}))?(?:\.\d{1,9})?)?"
    r" ?([ap])?\.?m?\.? ?(z|utc|gmt)?",
    re.IGNORECASE,
)
_WORDED = re.compile(
    r"(?:[a-z]{3,9},? )?"
    r"(?:([a-z]{3,9})\.? (\d{1,2})(?:st|nd|rd|th)?,? (\d{4})"
    r"|(\d{1,2})(?:st|nd|rd|th)?\.?[ -]([a-z]{3,9})\.?,?[ -](\d{4}))"
    r"(?:,? (?:at )?(\d{1,2}):(\d{2})(?::(\d{2}))?)? ?([ap])?\.?m?\.? ?(z|utc|gmt)?",
    re.IGNORECASE,
)
_ZONED = re.compile(  # behind the time, as Google Forms writes it
    r" (?:(?:utc|gmt)([+-])(0?\d|1[0-4])(?::?(\d{2}))?|(wet|west|cet|mez|cest|mesz|eet|oez|eest|oesz|jst))\Z",
    re.IGNORECASE,
)
_HOURS = {"wet": 0, "west": 1, "cet": 1, "mez": 1, "cest": 2, "mesz": 2, "eet": 2, "oez": 2, "eest": 3, "oesz": 3,
          "jst": 9}  # fmt: skip
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


def instant(value: str, order: Order = "") -> datetime | None:
    """The instant (UTC) that a cell names, or None. A time without an offset is read as UTC. `order`: the order of day
    and month in the column, if known."""
    found: datetime | None
    try:
        found = _in_utc(datetime.fromisoformat(value))  # the usual format: no pattern is needed
    except (ValueError, OverflowError):
        found = _other_instant(value, order)
    return found if found and 1970 <= found.year <= LAST_YEAR else None


def _other_instant(value: str, order: Order) -> datetime | None:
    try:
        value, ahead = _without_zone(value)
        said = _iso(value) or _numbered(value, order) or _worded(value)
        if said is None or (ahead and said.tzinfo not in (None, UTC)):
            return None
        return _in_utc(said) - ahead
    except (ValueError, OverflowError):
        return None


def _in_utc(said: datetime) -> datetime:
    return said.astimezone(UTC) if said.tzinfo else said.replace(tzinfo=UTC)


def _without_zone(value: str) -> tuple[str, timedelta]:
    """The time alone, and how far its zone is ahead of UTC."""
    found = _ZONED.search(value)
    if not found:
        return value, timedelta(0)
    if found[4]:
        ahead = timedelta(hours=_HOURS[found[4].lower()])
    else:
        ahead = timedelta(hours=int(found[2]), minutes=int(found[3] or 0)) * (-1 if found[1] == "-" else 1)
    return value[: found.start()], ahead


def order_of(value: str) -> Order:
    """The only possible order of day and month in this value, or ""."""
    value = value.strip()
    if value[:4].isdecimal():  # the year, or no date
        return ""
    found = _NUMBERS.fullmatch(value)
    if not found or len(found[1]) == 4:
        return ""
    first, second = int(found[1]), int(found[2])
    if first > 12 >= second:
        return "day first"
    return "month first" if second > 12 >= first else ""


def _iso(value: str) -> datetime | None:
    try:
        return datetime.fromisoformat(value.removesuffix(" UTC"))
    except ValueError:
        return None


def _numbered(value: str, order: Order) -> datetime | None:
    found = _NUMBERS.fullmatch(value.strip())
    if not found:
        return None
    a, b, c = int(found[1]), int(found[2]), int(found[3])
    if len(found[1]) == 4:
        year, month, day = a, b, c
    else:
        order = (
            order_of(value)
            or ("day first" if "." in value.split(maxsplit=1)[0] else order)
            or ("day first" if a == b else "")
        )
        if not order:
            return None
        (day, month), year = ((a, b) if order == "day first" else (b, a)), c
    hour, minute, second = (int(part or 0) for part in found.groups()[3:6])
    return datetime(year, month, day, _hour(hour, found[7]), minute, second, tzinfo=UTC)


def _worded(value: str) -> datetime | None:
    found = _WORDED.fullmatch(value.strip())
    if not found:
        return None
    name, day, year = (found[1], found[2], found[3]) if found[1] else (found[5], found[4], found[6])
    if name[:3].lower() not in _MONTHS:
        return None
    hour, minute, second = (int(part or 0) for part in found.groups()[6:9])
    month = _MONTHS.index(name[:3].lower()) + 1
    return datetime(int(year), month, int(day), _hour(hour, found[10]), minute, second, tzinfo=UTC)


def _hour(hour: int, half: str | None) -> int:
    if not half:
        return hour
    return hour % 12 + (12 if half.lower() == "p" else 0)
