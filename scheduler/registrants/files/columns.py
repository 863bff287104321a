"""The meaning of each column of a table, by its header and its values. Pure.

A header can be wrong (`Email` above "anonymous" in every row), ambiguous (`Name` beside `First name`) or meaningless
(`Contact`), so the whole column is examined first.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from scheduler.input.validation import shown
from scheduler.problem import Problem, Problems, nearest
from scheduler.registrants.files.cells import clean_name_of, is_address, is_nothing, order_of, tidy
from scheduler.registrants.files.headers import (
    OURS,
    is_known,
    may_ask_for_the_country,
    may_ask_who_comes,
    meaning_of,
)
from scheduler.registrants.files.records import Record
from scheduler.registrants.files.statuses import (
    is_codes,
    is_flag,
    is_status,
    may_not_come,
    role_of,
    status_in,
)
from scheduler.registrants.files.words import folded, folded_words
from scheduler.zones.countries import country_code

NOT_NEEDED = "is not needed"
NOT_KNOWN = "no column of this name is known"
ROLES = ("host", "panelist", "attendee")
_DISTINCT = 30  # values of a column that are remembered
_SEEN = 500  # cells of a column that are examined only once
_MOST_NAMES = 10  # columns of names that are compared with each other
_PLAIN_STATUS = folded_words("ambiguous_status")
_WEAK = 1000  # ranks from here on are uncertain


@dataclass
class Held:
    """Statistics of a column's cells."""

    filled: int = 0
    addresses: int = 0
    day_first: int = 0
    month_first: int = 0
    values: set[str] = field(default_factory=set)
    more_values: bool = False
    answers: bool = False
    """Whether its header asks who attends, so that "нет" is an answer, not an empty cell."""
    plain: set[str] = field(default_factory=set)
    """Cells seen before that are neither an address nor a date, such as countries."""

    def see(self, cell: str) -> None:
        """Examine a cell that is neither empty nor in `plain`."""
        if not is_nothing(text := tidy(cell)) or (self.answers and status_in(cell)):
            self._look_at(text)
            plain = "@" not in text and "＠" not in text and not text[0].isdecimal()
            if plain and len(cell) <= 100 and len(self.plain) < _SEEN:
                self.plain.add(cell)

    def _look_at(self, cell: str) -> None:
        self.filled += 1
        if "@" in cell or "＠" in cell:
            self.addresses += is_address(cell)
        elif cell[0].isdecimal() and (order := order_of(cell)):
            self.day_first += order == "day first"
            self.month_first += order == "month first"
        if not self.more_values and cell not in self.values:
            self.more_values = len(self.values) == _DISTINCT
            if not self.more_values and len(cell) <= 100:
                self.values.add(cell)

    @property
    def is_addresses(self) -> bool:
        return self.addresses * 5 >= self.filled * 4 and self.addresses > 0


@dataclass(frozen=True)
class Column:
    """One column, what it is read as ("" if it is not read), and why."""

    index: int
    header: str
    read_as: str
    because: str
    hint: str = ""


@dataclass
class Survey:
    """Statistics of all columns of a table, over all its rows."""

    header: Record
    columns: list[Held] = field(default_factory=list)
    contained: dict[tuple[int, int], int] = field(default_factory=dict)
    """How often one column's cell is contained in another's: a first name in a full name."""
    rows: int = 0

    def __post_init__(self) -> None:
        self.named = [meaning_of(cell) for cell in self.header.cells]
        self.columns = [
            Held(answers=one.meaning == "status" if one else may_ask_who_comes(cell))
            for one, cell in zip(self.named, self.header.cells, strict=True)
        ]
        wholes = [at for at, one in enumerate(self.named) if one and one.whole_or_part]
        parts = [
            at for at, one in enumerate(self.named) if one and one.meaning in ("first_name", "last_name")
        ]
        self.contained = {(part, whole): 0 for part in parts[:_MOST_NAMES] for whole in wholes[:_MOST_NAMES]}

    def see(self, record: Record) -> None:
        self.rows += 1
        cells = record.cells
        for held, cell in zip(self.columns, cells, strict=False):
            if cell in held.plain:
                held.filled += 1
            elif cell:
                held.see(cell)
        for pair in self.contained:
            part, whole = (clean_name_of(cells[at]) if at < len(cells) else "" for at in pair)
            self.contained[pair] += bool(part) and folded(part) in folded(whole)


@dataclass(frozen=True)
class Columns:
    """Where each of our columns is in a table. `emails`: in each row the first one that holds an address counts.
    `same_name`: they have the same header, so two addresses in a row are an error."""

    read: tuple[Column, ...]
    emails: tuple[int, ...] = ()
    same_name: bool = False
    at: dict[str, int] = field(default_factory=dict)
    displayed: bool = False
    statuses: tuple[int, ...] = ()
    cancelled: tuple[int, ...] = ()
    doubted: tuple[tuple[int, str], ...] = ()
    """Columns that may say that somebody does not attend, with the header's meaning: such rows are asked about."""
    codes: bool = False
    day_first: bool | None = None


def columns_of(survey: Survey, webinars: Collection[str], place: str) -> Columns:
    """The columns of a table. Raises Problems if no column holds addresses, or it is unclear which one does."""
    return _Choice(survey, webinars, place).columns()


class _Choice:
    def __init__(self, survey: Survey, webinars: Collection[str], place: str) -> None:
        self._survey, self._webinars, self._place = survey, webinars, place
        self._header = survey.header
        self._held, self._named = survey.columns, survey.named
        self._why: dict[int, tuple[str, str]] = {}
        self._buyers = False

    def columns(self) -> Columns:
        emails = self._emails()
        at = self._names()
        displayed = "name" in at and self._rank(at["name"]) >= _WEAK
        statuses, cancelled = self._statuses(), self._flags()
        at |= self._others()
        doubted = self._doubted()
        same = len({folded(self._header.cells[index]) for index in emails}) == 1 < len(emails)
        return Columns(
            tuple(map(self._column, range(len(self._header.cells)))),
            emails,
            same,
            at,
            displayed,
            statuses,
            cancelled,
            doubted,
            any(is_codes(frozenset(self._held[index].values)) for index in statuses),
            self._day_first(at.get("registered_at")),
        )

    # Addresses

    def _emails(self) -> tuple[int, ...]:
        named = [index for index in self._of("email") if self._whose(index) != "other"]
        usable = [index for index in named if self._held[index].addresses]
        for whose in ("attendee", "", "buyer"):
            if pool := [index for index in usable if self._whose(index) == whose]:
                return self._chosen_emails(named, pool, buyer=whose == "buyer")
        holding = [
            index
            for index, held in enumerate(self._held)
            if held.is_addresses and index not in named and self._whose(index) != "other"
        ]
        if len(holding) == 1:
            for index in named:
                self._why[index] = ("", f"holds no address; column {holding[0] + 1} does")
            self._why[holding[0]] = ("email", "it is the only column that holds addresses")
            return (holding[0],)
        if named:
            best = min(named, key=self._rank)
            self._why[best] = (
                "email",
                f"{shown(self._header.cells[best])} names an address, though the column holds none",
            )
            return (best,)
        raise Problems([self._no_email(holding)])

    def _chosen_emails(self, named: Sequence[int], pool: list[int], *, buyer: bool) -> tuple[int, ...]:
        self._buyers = buyer
        mostly = [
            index for index in pool if self._held[index].addresses * 2 >= self._held[index].filled
        ] or pool
        pool = sorted(mostly, key=lambda index: (self._rank(index), index)) + [
            index for index in pool if index not in mostly
        ]
        first = pool[0]
        for index in named:
            self._why[index] = ("", self._why_no_email(index, first))
        because = f"{shown(self._header.cells[first])} is an address"
        if rest := [index for index in named if index not in pool and not self._held[index].addresses]:
            because += f", and column {rest[0] + 1} holds none"
        self._why[first] = (
            "email",
            because + (", of the buyer; no column has the attendee's" if buyer else ""),
        )
        for index in pool[1:]:
            self._why[index] = ("email", f"for rows where column {first + 1} holds no address")
        return tuple(pool)

    def _why_no_email(self, index: int, chosen: int) -> str:
        if not self._held[index].addresses:
            return f"holds no address; column {chosen + 1} is the email"
        if self._whose(index) == "buyer":
            return f"is the buyer's; column {chosen + 1} is the attendee's email"
        whose = "the attendee's" if self._whose(chosen) == "attendee" else "the"
        return f"column {chosen + 1} is {whose} email"

    def _no_email(self, holding: Sequence[int]) -> Problem:
        here = f"{self._place}, line {self._header.line}"
        if holding:
            columns = " and ".join(f"column {index + 1}" for index in holding)
            return Problem(
                here, f"{columns} hold addresses, and no header says whose", "one column named `email`"
            )
        hints = [
            f"column {index + 1}: {hint}"
            for index, cell in enumerate(self._header.cells)
            if not is_address(cell) and "`email`" in (hint := nearest(folded(cell), OURS))
        ]
        return Problem(here, "no column for the address", "a header with `email`", "; ".join(hints))

    # Names

    def _names(self) -> dict[str, int]:
        first, last = self._best("first_name"), self._best("last_name")
        wholes = [index for index in self._usable("name") if not self._held[index].is_addresses]
        parts = {"first_name": first, "last_name": last}
        if (first is None) != (last is None):
            other = first if first is not None else last or 0
            for index in filter(self._is_part, wholes):
                if not self._contains(index, other):
                    missing = "first_name" if first is None else "last_name"
                    words = "first" if first is None else "last"
                    parts[missing] = index
                    self._why[index] = (missing, f"beside column {other + 1} it is the {words} name")
                    wholes = [one for one in wholes if one != index]
                    break
        at = {name: index for name, index in parts.items() if index is not None}
        if (middle := self._best("middle_name")) is not None and len(at) == 2:
            at["middle_name"] = middle
        if wholes:
            whole = min(wholes, key=lambda index: (not self._held[index].filled, self._rank(index), index))
            at["name"] = whole
            weak = self._rank(whole) >= _WEAK and "first_name" in at
            self._why[whole] = (
                "name",
                "where the parts of the name are empty" if weak else self._says(whole, "the name"),
            )
            for index in wholes:
                if index != whole:
                    self._why[index] = ("", f"column {whole + 1} is the name")
        what = {"first_name": "the first name", "last_name": "the last name", "middle_name": "a middle name"}
        for meaning, said in what.items():
            if meaning in at and at[meaning] not in self._why:
                self._why[at[meaning]] = (meaning, self._says(at[meaning], said))
        return at

    def _is_part(self, index: int) -> bool:
        named = self._named[index]
        return bool(named and named.whole_or_part)

    def _contains(self, whole: int, part: int) -> bool:
        both = min(self._held[whole].filled, self._held[part].filled)
        return bool(both) and self._survey.contained.get((part, whole), 0) * 2 >= both

    # Status, role, cancellation

    def _statuses(self) -> tuple[int, ...]:
        found = []
        for index in self._of("status"):
            held = self._held[index]
            known = {value for value in held.values if is_status(value)}
            codes = is_codes(frozenset(value.lower() for value in held.values))
            if not held.filled:
                self._why[index] = ("", "is empty")
            elif (
                folded(self._header.cells[index]) in _PLAIN_STATUS
                and not codes
                and not (known and known == held.values and not held.more_values)
            ):
                self._why[index] = ("", "holds values that are not registration statuses")
            else:
                self._why[index] = ("status", self._says(index, "who attends"))
                found.append(index)
        return tuple(found)

    def _flags(self) -> tuple[int, ...]:
        found = []
        for index in self._of("cancelled"):
            held = self._held[index]
            if held.filled and all(map(is_flag, held.values)):
                self._why[index] = ("cancelled", self._says(index, "who has cancelled"))
                found.append(index)
            else:
                self._why[index] = (
                    "",
                    "holds values other than yes, no or a time" if held.filled else "is empty",
                )
        return tuple(found)

    def _doubted(self) -> tuple[tuple[int, str], ...]:
        """Columns not read otherwise that may say that somebody does not attend."""
        found = []
        for index, held in enumerate(self._held):
            named = self._named[index]
            meaning = named.meaning if named and named.meaning in ("status", "cancelled") else ""
            if not named and may_ask_who_comes(self._header.cells[index]):
                meaning = "status"
            read = self._why.get(index, ("", ""))[0]
            if not read and any(may_not_come(value, meaning) for value in held.values):
                found.append((index, meaning))
                self._why[index] = ("status", "it may say who does not attend: these rows are asked about")
        return tuple(found)

    # The others

    def _others(self) -> dict[str, int]:
        at: dict[str, int] = {}
        tests: dict[str, tuple[Callable[[int], bool], str]] = {
            "webinar": (self._names_webinars, "holds no id of a webinar of this folder"),
            "role": (self._has_roles, "holds no role such as host, panelist or attendee"),
        }
        for meaning in ("language", "timezone", "country", "join_url", "registered_at", "webinar", "role"):
            sound, why = tests.get(meaning, (lambda index: True, ""))
            candidates = self._usable(meaning)
            for index in [one for one in self._of(meaning) if one not in candidates]:
                self._why.setdefault(index, ("", "is about somebody else"))
            for index in [one for one in candidates if not sound(one)]:
                self._why[index] = ("", why)
            if not (left := [one for one in candidates if one not in self._why]):
                continue
            best = min(left, key=lambda index: (not self._held[index].filled, self._rank(index), index))
            at[meaning] = best
            for index in left:
                self._why[index] = ("", f"column {best + 1} is the {meaning}")
            self._why[best] = (meaning, self._says(best, _SAID[meaning]))
        if "country" not in at and (asked := self._asks_for_the_country()) is not None:
            at["country"] = asked
            self._why[asked] = ("country", self._says(asked, "the country, as its values are countries"))
        return at

    def _asks_for_the_country(self) -> int | None:
        """The only column whose header is a form's question and whose cells are countries."""
        found = [
            index
            for index, named in enumerate(self._named)
            if not named
            and may_ask_for_the_country(self._header.cells[index])
            and self._holds_countries(index)
        ]
        return found[0] if len(found) == 1 else None

    def _holds_countries(self, index: int) -> bool:
        values = self._held[index].values
        return sum(map(bool, map(country_code, values))) * 10 >= len(values) * 9 > 0

    def _names_webinars(self, index: int) -> bool:
        held = self._held[index]
        if any(value in self._webinars for value in held.values):
            return True
        ours = folded(self._header.cells[index]) == "webinar"
        return ours and bool(held.filled) and not held.more_values and all(map(_is_id, held.values))

    def _has_roles(self, index: int) -> bool:
        return any(role_of(value) in ROLES for value in self._held[index].values)

    def _day_first(self, index: int | None) -> bool | None:
        if index is None or bool(self._held[index].day_first) == bool(self._held[index].month_first):
            return None
        return bool(self._held[index].day_first)

    # What headers say

    def _of(self, meaning: str) -> list[int]:
        return [index for index, named in enumerate(self._named) if named and named.meaning == meaning]

    def _usable(self, meaning: str) -> list[int]:
        """Columns about the person whose address is read: the attendee's, if such a column exists."""
        mine = ("buyer", "") if self._buyers else ("attendee", "")
        found = [index for index in self._of(meaning) if self._whose(index) in mine]
        sure = [index for index in found if self._whose(index) == mine[0] and self._held[index].filled]
        return sure or found

    def _best(self, meaning: str) -> int | None:
        found = [index for index in self._usable(meaning) if not self._held[index].is_addresses]
        return min(
            found, key=lambda index: (not self._held[index].filled, self._rank(index), index), default=None
        )

    def _rank(self, index: int) -> int:
        named = self._named[index]
        return named.rank if named else _WEAK

    def _whose(self, index: int) -> str:
        named = self._named[index]
        return named.whose if named else ""

    def _says(self, index: int, what: str) -> str:
        return f"{shown(self._header.cells[index].strip())} is {what}"

    def _column(self, index: int) -> Column:
        header = self._header.cells[index].strip()
        if index in self._why:
            return Column(index, header, *self._why[index])
        if not header:
            return Column(index, "", "", "it has no header")
        if self._named[index] or is_known(header):
            return Column(index, header, "", NOT_NEEDED)
        return Column(index, header, "", NOT_KNOWN, nearest(folded(header), OURS))


_SAID = {
    "language": "the language",
    "timezone": "the time zone",
    "country": "the country",
    "join_url": "a join link",
    "registered_at": "when they registered",
    "webinar": "the webinar",
    "role": "the role",
}


def _is_id(value: str) -> bool:
    return (
        value.isascii()
        and all(letter.isalnum() or letter in "-_." for letter in value)
        and not value.isdecimal()
    )
