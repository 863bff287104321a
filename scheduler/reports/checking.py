"""Checks of a webinar before it goes live: findings, each with place, reason and fix."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

import pytz
from sqlalchemy import Connection, case, func, select

from scheduler.database.engine import execute
from scheduler.database.models import Delivery, table
from scheduler.governing.notices import Notice, notices_if_saved
from scheduler.governing.revisions import LOOKING, Revisions, take_effect_now
from scheduler.governing.texts import doubtful_texts, how_to_begin, keys_of, sources_of
from scheduler.governing.webinars import propose_webinars
from scheduler.input.addresses import likely_domain
from scheduler.ledger.planning import Governing, absorb, plan_people
from scheduler.mail.text.front_matter import FrontMatter, read_front_matter
from scheduler.mail.text.layout import FILE as LAYOUT
from scheduler.mail.text.layout import LARGEST_PICTURE, text_path
from scheduler.mail.text.pictures import visible_share
from scheduler.mail.text.said_times import said_times, said_times_key, time_problems
from scheduler.mail.text.templates import parse_text, read_layout, too_large
from scheduler.mail.texts import CurrentText, Key
from scheduler.mail.words.phrases import missing_phrases, phrase_problems, phrases_file
from scheduler.mail.writing.sample import compose_sample, in_format, sample_reader
from scheduler.problem import Problem, Problems
from scheduler.pulling.reading import Access
from scheduler.readiness import Kind
from scheduler.registrants.forgotten import DOUBTFUL
from scheduler.registrants.rows import place_of
from scheduler.reports.reasons import rows_set_aside
from scheduler.webinar.model import NOTICES, WITHDRAWAL, Message, Webinar, doubts
from scheduler.webinar.timing import timings
from scheduler.zones.wall import to_local
from scheduler.zones.weekends import weekend

_ENOUGH_OF_LOGO = 0.05  # a dark rim, or a dark word beside a large light mark
_NEAR = timedelta(days=3)  # a day in any zone, and whatever a clock shows there at its begin and its end
Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Finding:
    """Something wrong, or possibly wrong."""

    severity: Severity
    problem: Problem

    def __str__(self) -> str:
        return f"{self.severity}: {self.problem}"


def error(problem: Problem) -> Finding:
    return Finding("error", problem)


def warning(problem: Problem) -> Finding:
    return Finding("warning", problem)


def note(problem: Problem) -> Finding:
    return Finding("note", problem)


# Texts


def text_findings(
    webinars: Sequence[Webinar],
    root: Path,
    files: Mapping[str, bytes],
    unsound: Mapping[Key, Sequence[Problem]],
) -> Iterator[Finding]:
    """Mistakes in the texts that these webinars use. `unsound`: results of their trial."""
    sources = sources_of(files)
    for message, language in sorted(keys_of(webinars)):
        place = str(text_path(root, message, language))
        if (message, language) in sources:
            source = sources[message, language]
            yield from map(error, unsound.get((message, language), ()))
            users = [webinar for webinar in webinars if message in webinar.text_names]
            yield from _written_times(source, place, language, users)
    yield from map(warning, _doubts(webinars, root, sources))
    yield from _not_reviewed(webinars, root, sources)
    yield from _missing_texts(webinars, root, sources)
    yield from _missing_phrases(webinars, root, sources)


def text_notes(
    webinars: Sequence[Webinar],
    root: Path,
    files: Mapping[str, bytes],
    unsound: Mapping[Key, Sequence[Problem]],
) -> Iterator[Finding]:
    """Notes on the files beside the texts in use, which keep no mail. `webinars`: all there are."""
    for path in doubtful_texts(files):
        found = "is taken for no text: its name is no language"
        yield note(Problem(str(root / path), found, "<language>.md, as in `en.md` or `pt-BR.md`"))
    for key in sorted(unsound.keys() - keys_of(webinars)):
        first = unsound[key][0]
        yield note(Problem(first.place, f"no webinar uses this text, and it is not sound: {first.found}"))


def _doubts(webinars: Sequence[Webinar], root: Path, sources: Mapping[Key, str]) -> Iterator[Problem]:
    """Passages that are likely not meant as they stand."""
    with suppress(Problems):  # which is reported as what keeps mails
        layout = read_layout(root)
        for key in sorted(keys_of(webinars) & sources.keys()):
            with suppress(Problems):
                yield from parse_text(sources[key], str(text_path(root, *key)), layout).doubts


def _missing_texts(webinars: Sequence[Webinar], root: Path, sources: Mapping[Key, str]) -> Iterator[Finding]:
    missing: dict[str, set[str]] = {}
    for webinar in webinars:
        for message, text in webinar.text_of.items():
            there = [language for language in webinar.languages if (text, language) in sources]
            if not there:
                severity = warning if message == WITHDRAWAL else error  # older folders lack it
                yield severity(
                    Problem(
                        str(text_path(root, text, webinar.languages[0])),
                        f"there is no text for the message `{message}` of {webinar.id}",
                        "a text in at least one of its languages",
                        f"until there is one, its mails are held; {how_to_begin(webinar, message, root, sources)}",
                    )
                )
            elif absent := set(webinar.languages) - set(there):
                missing.setdefault(text, set()).update(absent)
    for text, languages in sorted(missing.items()):
        yield warning(
            Problem(
                str(root / text),
                f"no text in {', '.join(sorted(languages))}",
                "a text in each of the webinar's languages",
                "the first language stands in",
            )
        )


def _missing_phrases(
    webinars: Sequence[Webinar], root: Path, sources: Mapping[Key, str]
) -> Iterator[Finding]:
    """Phrases of the layout that would be in English within a text in another language."""
    yield from map(error, phrase_problems())
    for language in sorted({language for _, language in keys_of(webinars) & sources.keys()}):
        if not (missing := missing_phrases(language)):
            continue
        file = phrases_file(language)
        found = f"what stands around texts in {language} (greeting, buttons, footer) is in English"
        if file.exists():
            named = ", ".join(missing[:_NAMED]) + (", …" if len(missing) > _NAMED else "")
            hint = f"{len(missing)} phrases are missing: {named}; translate their lines of {file.parent / 'en.toml'}"
        else:
            hint = f"copy {file.parent / 'en.toml'} to it, and translate what is in quotes ({len(missing)} phrases)"
        yield warning(Problem(str(file), found, "each phrase in the language of the texts", hint))


def _not_reviewed(webinars: Sequence[Webinar], root: Path, sources: Mapping[Key, str]) -> Iterator[Finding]:
    """One warning, however many texts it is about; and one for each copy of a text that says who reviewed that."""
    places: list[str] = []
    languages: Counter[str] = Counter()
    read = {key: _Words.of(source) for key, source in sources.items()}
    for message, language in sorted(keys_of(webinars) & sources.keys()):
        place = str(text_path(root, message, language))
        front, problems = read_front_matter(sources[message, language].replace("\r\n", "\n"), place)
        if problems:
            continue
        if original := _copied_from((message, language), read):
            yield warning(_copy(place, front, str(text_path(root, *original))))
        if not front.values.get("reviewed_by"):
            line = front.lines.get("reviewed_by")
            places.append(f"{place}, line {line}, reviewed_by" if line else f"{place}, reviewed_by")
            languages[language] += 1
    if len(places) == 1:
        yield warning(Problem(places[0], "nobody has reviewed this text", "the name of who did"))
    elif places:
        many = ", ".join(f"{number} in {language}" for language, number in sorted(languages.items()))
        found = f"nobody has reviewed {len(places)} texts: {many}"
        yield warning(Problem(str(root), found, "`reviewed_by` with the name of who did"))


_NAMED = 10  # phrases that are missing
_USUAL = ("confirmation", "reminder-day", "reminder-hour", "follow-up", *NOTICES)
_SHORTEST_LINE = 8  # characters without Jinja2: a shorter one says nothing
_SAME_WORDS, _SAME_LINES = 0.6, 3  # a copy has that share of the other's lines, and so many at least


@dataclass(frozen=True)
class _Words:
    """The lines of a text without those that every text has, and its reviewer."""

    lines: frozenset[str]
    reviewed_by: str

    @classmethod
    def of(cls, source: str) -> _Words:
        front, _ = read_front_matter(source.replace("\r\n", "\n"), "")
        lines = (" ".join(line.split()) for line in front.body.split("\n"))
        own = frozenset(line for line in lines if len(_JINJA.sub("", line)) >= _SHORTEST_LINE)
        return cls(own, front.values.get("reviewed_by", ""))

    def like(self, other: _Words) -> bool:
        longest = max(len(self.lines), len(other.lines))
        return len(self.lines & other.lines) >= max(_SAME_LINES, _SAME_WORDS * longest)


_JINJA = re.compile(r"\{[{%][^{}\n]{0,300}[%}]\}")


def _copied_from(key: Key, read: Mapping[Key, _Words]) -> Key | None:
    """The text that this one was copied from: in another folder by the same reviewer, or in another language."""
    text, language = key
    words = read[key]
    for other in sorted(read.keys() - {key}, key=lambda one: (not _is_first(one), one)):
        if other[1] == language and words.reviewed_by == read[other].reviewed_by != "":
            is_later = (not _is_first(key), text) > (not _is_first(other), other[0])
        else:
            is_later = other == (text, "en")
        if is_later and words.like(read[other]):
            return other
    return None


def _is_first(key: Key) -> bool:
    return key[0] in _USUAL


def _copy(place: str, front: FrontMatter, original: str) -> Problem:
    name = front.values.get("reviewed_by", "")
    line = front.lines.get("reviewed_by", 1)
    if not name or Path(place).name != Path(original).name:
        found = f"says what {original} says: a copy that nobody has translated"
        return Problem(f"{place}, line {front.body_line}", found, "the text in its language")
    found = f"`reviewed_by: {name}`, and the words, are those of {original}: a copy is not reviewed"
    hint = f"empty it; once somebody has read this one, add the date, as in `reviewed_by: {name}, 2027-03-01`"
    return Problem(f"{place}, line {line}, reviewed_by", found, hint=hint)


def _written_times(source: str, place: str, language: str, webinars: Iterable[Webinar]) -> Iterator[Finding]:
    seen = set()
    starts = [to_local(webinar.start, webinar.tz) for webinar in webinars]
    for start_local in {said_times_key(one): one for one in starts}.values():
        for wrong, problem in time_problems(source, place, language, start_local):
            found = error(problem) if wrong else warning(problem)
            if found not in seen:
                seen.add(found)
                yield found


def pages_findings(pages_url: str) -> Iterator[Finding]:
    """What registrants cannot do for themselves where there are no pages for them."""
    if not pages_url:
        yield note(
            Problem(
                "environment variable PAGES_URL",
                "is not set, so registrants have no page: to correct a time zone, withdraw or unsubscribe they"
                " write to a person, and mailbox providers see no one-click unsubscribe",
                "https:// and the name by which registrants reach their pages",
                "docs/operator.md says how to publish them",
            )
        )


def logo_findings(webinar: Webinar, place: str, root: Path) -> Iterator[Finding]:
    """A logo that mails should carry and that is missing from the folder of texts, or that nobody would see."""
    if webinar.logo and not webinar.logo.startswith("https://"):
        file = (root / LAYOUT).with_name(webinar.logo)
        if not file.is_file():
            found, fix = f"there is no {file}", "until there is, mails go without it"
            yield error(Problem(f"{place}, logo", found, "a picture that is there", fix))
        elif (share := _seen_of(file)) is not None and share < _ENOUGH_OF_LOGO:
            found = f"{share:.0%} of what {file} shows can be seen on the white ground behind it"
            yield warning(
                Problem(f"{place}, logo", found, "a logo for a light ground, or with its own ground")
            )


def _seen_of(logo: Path) -> float | None:
    return visible_share(logo.read_bytes()) if logo.stat().st_size <= LARGEST_PICTURE else None


def own_words_findings(webinar: Webinar, place: str) -> Iterator[Finding]:
    """Times written by hand into the webinar's own texts, and what likely is not meant as it stands."""
    for doubt in doubts(webinar):
        yield warning(doubt.below(f"{place}, "))
    start_local = to_local(webinar.start, webinar.tz)
    for language in webinar.languages:
        words = webinar.words(language)
        prefix = "" if language == webinar.languages[0] else f"translations.{language}."
        for key, text in (("title", words.title), ("about", words.about), ("how_to_join", words.how_to_join)):
            if prefix and getattr(webinar.translations.get(language), key, None) is None:
                continue
            for said in said_times(text, language, start_local):
                severity: Severity = "error" if said.wrong else "warning"
                found = f"`{said.words}`: {said.fault}"
                yield Finding(
                    severity, Problem(f"{place}, {prefix}{key}", found, hint="leave it out; mails say it")
                )


def source_findings(webinar: Webinar, place: str, access: Access) -> Iterator[Finding]:
    """Settings that a source still needs on this machine. The source itself is not read."""
    if webinar.source and (why := access.why_not(webinar.source)):
        hint = f"`webinar pull {webinar.id} --dry-run` reads it, where the service runs"
        yield warning(Problem(f"{place}, source", why, hint=hint))


def translation_findings(webinar: Webinar, place: str) -> Iterator[Finding]:
    """Parts of mails that would be in the webinar's first language in a mail of another one."""
    first, *others = webinar.languages
    for language in others:
        there = webinar.translations.get(language)
        missing = [key for key in ("title", "about", "how_to_join") if getattr(there, key, None) is None]
        if missing:
            found = f"no {' and no '.join(missing)} in {language}"
            hint = f"readers of {language} get these words in {first}"
            yield warning(Problem(f"{place}, translations.{language}", found, hint=hint))


# Rules


def rule_findings(webinar: Webinar, place: str, people: Mapping[str, int]) -> Iterator[Finding]:
    """Messages that nobody in some zones gets. `people`: registrants by zone; empty: all zones."""
    zones = list(people) or list(pytz.common_timezones)
    never: dict[tuple[str, str], list[str]] = {}
    for same in _alike(webinar, zones):
        for timing in timings(webinar, pytz.timezone(same[0])):
            if timing.never:
                never.setdefault((timing.message, timing.never), []).extend(same)
    order = {zone: number for number, zone in enumerate(zones)}
    for (message, reason), unsorted in never.items():
        where = sorted(unsorted, key=order.__getitem__)
        if people:
            many = sum(people[zone] for zone in where)
            said = f"{reason} for {many} of {sum(people.values())} registrants, in {_some(where)}"
        else:
            said = f"{reason} in {len(where)} of {len(zones)} zones, such as {_some(where)}"
        everywhere = len(where) == len(zones)
        number = [one.id for one in webinar.messages].index(message) + 1
        fix = "nobody ever gets it" if everywhere else "these people do not get it"
        finding = Problem(f"{place}, messages[{number}], {message}", said, hint=fix)
        yield error(finding) if everywhere else warning(finding)


def weekend_findings(webinar: Webinar, place: str, people: Mapping[str, int]) -> Iterator[Finding]:
    """Follow-ups that reach people at their weekend, which differs by territory. `people` as in `rule_findings`;
    where they are not known, only what falls on the weekend of most zones counts."""
    many = people or dict.fromkeys(pytz.common_timezones, 1)
    resting: dict[str, Counter[date]] = {}
    for same in _alike(webinar, many):
        for timing in timings(webinar, pytz.timezone(same[0])):
            if timing.due_at and timing.due_at >= webinar.end and not timing.never:
                for zone in same:
                    day = to_local(timing.due_at, pytz.timezone(zone)).date()
                    if day.weekday() in weekend(zone):
                        resting.setdefault(timing.message, Counter())[day] += many[zone]
    total = sum(many.values())
    for number, message in enumerate(webinar.messages, 1):
        days = resting.get(message.id, Counter())
        most = 2 * days.total() >= total
        if not days or not (most or people):
            continue
        day = days.most_common(1)[0][0]
        whose = f"{days.total()} of {total} registrants" if people else f"{days.total()} of {total} zones"
        found = f"falls on {day:%A}, {day.day} {day:%B %Y}: the weekend of {whose}"
        hint = _next_working_day(message, day, many) if message.days_after is not None else ""
        problem = Problem(f"{place}, messages[{number}], {message.id}", found, hint=hint)
        yield warning(problem) if most else note(problem)


def _next_working_day(message: Message, day: date, many: Mapping[str, int]) -> str:
    """The rule for the first day after `day` on which at least half of these people work."""
    for later in range(1, 7):
        next_day = day + timedelta(days=later)
        resting = sum(number for zone, number in many.items() if next_day.weekday() in weekend(zone))
        if 2 * resting < sum(many.values()):
            return f"days_after = {(message.days_after or 0) + later} is {next_day:%A}"
    return ""


def _alike(webinar: Webinar, zones: Iterable[str]) -> Iterable[list[str]]:
    """Groups of zones whose clocks agree around all days that the webinar's rules name."""
    first, last = webinar.start.date(), webinar.end.date()
    rules = webinar.messages
    days = {first, last}
    days |= {first - timedelta(days=one.days_before) for one in rules if one.days_before is not None}
    days |= {last + timedelta(days=one.days_after) for one in rules if one.days_after is not None}
    groups: dict[tuple[object, ...], list[str]] = {}
    for zone in zones:
        around = tuple((_offset(zone, day - _NEAR), _offset(zone, day + _NEAR)) for day in sorted(days))
        changes = any(
            before != after for before, after in around
        )  # when on that day is the zone's own matter
        groups.setdefault((around, zone if changes else ""), []).append(zone)
    return groups.values()


@lru_cache(maxsize=2**17)
def _offset(zone: str, day: date) -> timedelta | None:
    """The UTC offset of a zone when a day begins in UTC."""
    return to_local(datetime(day.year, day.month, day.day, tzinfo=UTC), pytz.timezone(zone)).utcoffset()


def _some(zones: Sequence[str]) -> str:
    more = f" and {len(zones) - 3} more" if len(zones) > 3 else ""
    return ", ".join(zones[:3]) + more


# Registrants


def row_findings(conn: Connection, webinar: str) -> Iterator[Finding]:
    """Rows of registrants that were set aside, and addresses whose big domain is likely misspelled. Never quoted."""
    for aside in rows_set_aside(conn, webinar=webinar):
        fix = Kind.FORGOTTEN.fix if aside.reason == DOUBTFUL else "correct the row; it is planned then"
        yield warning(Problem(place_of(aside.row), aside.reason, hint=fix))
    query = (
        "SELECT registrant_id, address_folded FROM registration WHERE webinar = :webinar AND gone_at IS NULL"
    )
    for row in execute(conn, query, webinar=webinar):
        if meant := likely_domain(row.address_folded.rpartition("@")[2]):
            found = "the address's domain looks mistyped"
            yield warning(Problem(place_of(row.registrant_id), found, hint=f"is `{meant}` meant?"))


def people_by_zone(conn: Connection, webinar: str) -> dict[str, int]:
    query = (
        "SELECT zone, count(*) AS people FROM registration"
        " WHERE webinar = :webinar AND gone_at IS NULL GROUP BY zone ORDER BY count(*) DESC, zone"
    )
    return {row.zone: row.people for row in execute(conn, query, webinar=webinar)}


# The relay

SIZE_NEAR = 0.5  # of the relay's limit: a name, a link of one's own and what relays add make mails larger


class Size(NamedTuple):
    """The size of a mail in bytes: the whole as sent, and its HTML."""

    mail: int
    html: int


def mail_sizes(webinars: Iterable[Webinar], root: Path, sound: Mapping[Key, str]) -> dict[str, Size]:
    """The size of the largest mail of each text, by the text's path, for an invented reader."""
    layout = read_layout(root)
    sizes: dict[str, Size] = {}
    for key, webinar in _wordiest(webinars, sound):
        place = str(text_path(root, *key))
        current = CurrentText(parse_text(sound[key], place, layout), key[1], revision=0)
        reader = replace(sample_reader(webinar), language=key[1])
        mail = compose_sample(webinar, webinar.message_with(key[0]), reader, webinar.tz, current)
        size = Size(len(mail), len(in_format(mail, "html")))
        sizes[place] = max(size, sizes.get(place, size))
    return sizes


def cut_off_findings(sizes: Mapping[str, Size]) -> Iterator[Finding]:
    """Mails of which mail programs show only the beginning."""
    problems = (too_large(place, size.html) for place, size in sizes.items())
    yield from map(warning, filter(None, problems))


def _wordiest(webinars: Iterable[Webinar], sound: Mapping[Key, str]) -> Iterator[tuple[Key, Webinar]]:
    """For each text and logo the webinar with the most words: its mail is the largest, or nearly so."""
    found: dict[tuple[Key, str], tuple[int, Webinar]] = {}
    for webinar in webinars:
        length = len(webinar.model_dump_json().encode())
        for key in sorted(keys_of([webinar]) & sound.keys()):
            if length > found.get((key, webinar.logo), (0,))[0]:
                found[key, webinar.logo] = length, webinar
    for (key, _), (_, webinar) in found.items():
        yield key, webinar


def size_findings(relay: str, limit: int, sizes: Mapping[str, Size]) -> Iterator[Finding]:
    """Mails larger than the relay takes, or near it. `limit` in bytes (RFC 1870)."""
    for place, (size, _) in sizes.items():
        if size < limit * SIZE_NEAR:
            continue
        found = f"its mail has {size} bytes, and {relay} takes {limit}"
        if size > limit:
            yield error(
                Problem(place, found, hint="shorten it, or ask for a higher limit: it would be refused")
            )
        else:
            yield warning(Problem(place, found, hint="names and links of people's own make it larger still"))


def rate_findings(
    webinar: Webinar,
    place: str,
    people: Mapping[str, int],
    per_minute: int | None,
    per_day: int | None,
    expected: int,
) -> Iterator[Finding]:
    """Messages that can't all leave while they are useful, at this many mails a minute and a day (None: no limit).
    `expected` people who are not registered yet are counted in the webinar's own zone."""
    rates = [(per_minute, "a minute", 1.0), (per_day, "a day", 1440.0)]
    slowest = min(((mails / minutes, mails, unit) for mails, unit, minutes in rates if mails), default=None)
    if not slowest:
        return
    rate, mails, unit = slowest
    zones = Counter(people)
    zones[str(webinar.tz)] += max(0, expected - sum(people.values()))
    due: dict[tuple[str, datetime, datetime], int] = {}
    for zone, many in zones.items():
        for timing in timings(webinar, pytz.timezone(zone)):
            if timing.due_at and not timing.never:
                key = (timing.message, timing.due_at, timing.expires_at)
                due[key] = due.get(key, 0) + many
    free_at: datetime | None = None
    worst: dict[str, tuple[datetime, datetime, int]] = {}
    for (message, due_at, expires_at), many in sorted(due.items(), key=lambda item: item[0][1]):
        begins = max(due_at, free_at) if free_at else due_at
        free_at = begins + timedelta(minutes=many / rate)
        if free_at > expires_at and (message not in worst or free_at > worst[message][0]):
            worst[message] = (free_at, expires_at, many)
    for message, (last, expires_at, many) in worst.items():
        found = (
            f"{many} mails at {mails} {unit}: the last one would leave at {last:%H:%M UTC on %d %B %Y},"
            f" when it is no longer useful (until {expires_at:%H:%M UTC})"
        )
        yield error(Problem(f"{place}, {message}", found, hint="a faster relay, or an earlier message"))


# What an edit would do


@dataclass(frozen=True)
class Effect:
    """What planning this file would change, for one message."""

    message: str
    pending_before: int
    pending_after: int
    at_once: int
    next_due: datetime | None


def edit_effects(
    conn: Connection,
    now: datetime,
    governing: Mapping[str, Governing],
    webinars: Iterable[str],
    return_within: timedelta,
) -> dict[str, list[Effect]]:
    """Plan these webinars on a `scratch` copy of them, and say what that changed for each."""
    before = _pending(conn, now)
    while absorb(conn, now, governing, return_within, after=None).more:
        pass
    for name in execute(conn, "SELECT DISTINCT webinar FROM registration").scalars().all():
        while name in governing and plan_people(conn, now, governing[name]):
            pass
    after = _pending(conn, now)
    ended = before.keys() - governing.keys()
    return {
        name: _changes(before.get(name, {}), {} if name in ended else after.get(name, {}))
        for name in webinars
    }


_Pending = dict[str, tuple[int, int, datetime | None]]  # message: how many, how many at once, when the next


def _changes(before: _Pending, after: _Pending) -> list[Effect]:
    return [
        Effect(message, before.get(message, (0, 0, None))[0], *after.get(message, (0, 0, None)))
        for message in sorted(before.keys() | after.keys())
        if before.get(message) != after.get(message)
    ]


def _pending(conn: Connection, now: datetime) -> dict[str, _Pending]:
    """Pending deliveries by webinar."""
    deliveries = table(Delivery)
    rows = conn.execute(
        select(
            deliveries.c.webinar,
            deliveries.c.message,
            func.count(),
            func.sum(case((deliveries.c.due_at <= now, 1), else_=0)),
            func.min(case((deliveries.c.due_at > now, deliveries.c.due_at))),
        )
        .where(deliveries.c.state.in_(["pending", "held"]))
        .group_by(deliveries.c.webinar, deliveries.c.message)
    )
    found: dict[str, _Pending] = {}
    for webinar, message, many, at_once, next_due in rows:
        found.setdefault(webinar, {})[message] = (many, int(at_once or 0), next_due)
    return found


def propose_files(
    conn: Connection,
    now: datetime,
    root: Path,
    files: Mapping[str, bytes],
    return_within: timedelta,
    pages_url: str,
) -> tuple[Mapping[str, Governing], dict[str, Notice], Mapping[str, tuple[Problem, ...]]]:
    """Let these files govern within a `scratch` transaction, as if edited now. Returns what governs then, the notice
    that each edit sends, by webinar, and the mistakes of each file, by path."""
    revisions = Revisions(pages_url)
    before = revisions.governing(conn)
    problems = propose_webinars(
        conn, now, root, files, revisions, LOOKING, return_within, edited=True
    ).problems
    take_effect_now(conn, now, revisions, execute(conn, "SELECT webinar FROM webinar").scalars().all())
    after = revisions.governing(conn)
    found = {
        name: notice
        for name, one in after.items()
        if name in before and before[name].revision_id != one.revision_id
        for notice in notices_if_saved(conn, now, before[name].webinar, one.webinar, return_within, pages_url)
    }
    return after, found, problems
