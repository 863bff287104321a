"""The organizer's TOML file as validated models: one webinar, its words and its sequence of messages.

Pure: takes the text of the file, returns a `Webinar` or raises every mistake of the file.
"""

from __future__ import annotations

import re
from datetime import datetime, time, timedelta
from functools import cached_property
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    Field,
    StrictBool,
    StrictInt,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from scheduler.input import values
from scheduler.input.colours import ENOUGH, contrast, is_colour
from scheduler.input.toml_lines import key_lines, line_of
from scheduler.input.toml_syntax import load_toml, syntax_problem
from scheduler.input.validation import Mistake, keys, mistake, mistakes, shown
from scheduler.input.values import Mailbox
from scheduler.problem import Problem, Problems, nearest, too_long
from scheduler.webinar.consistency import WORDS, doubtful_words, mistakes_together, placeholder_mistakes
from scheduler.webinar.questions import Question
from scheduler.webinar.source import Source
from scheduler.zones.wall import UnknownZone, WallTimeError, Zone, to_local, to_utc, webinar_zone, zone_place

Id = Annotated[str, BeforeValidator(values.identifier)]
Title = Annotated[str, BeforeValidator(values.title)]
Line = Annotated[str, BeforeValidator(values.line)]
Paragraph = Annotated[str, BeforeValidator(values.paragraph)]
Link = Annotated[str, BeforeValidator(values.link)]
Logo = Annotated[str, BeforeValidator(values.logo)]
Language = Annotated[str, BeforeValidator(values.language)]
Duration = Annotated[timedelta, BeforeValidator(values.duration)]
Wait = Annotated[timedelta, BeforeValidator(values.wait)]
ClockTime = Annotated[time, BeforeValidator(values.clock_time)]
WallTime = Annotated[datetime, BeforeValidator(values.wall_time)]
AnsweredMailbox = Annotated[Mailbox, BeforeValidator(values.answered_mailbox)]
Address = Annotated[str, BeforeValidator(values.address)]
Organizers = Annotated[tuple[Line, ...], BeforeValidator(values.in_brackets)]

# Built-in messages, sent to people whose last mail is no longer true: for everybody, or since they withdrew.
CHANGE = "change"
CANCELLATION = "cancellation"
WITHDRAWAL = "withdrawal"
NOTICES = (CHANGE, CANCELLATION, WITHDRAWAL)
LONGEST = timedelta(days=31)
USEFUL_AFTER = timedelta(days=30)  # how long after the end a follow-up is useful
KEEP_DAYS = 90  # after the end, unless the file says otherwise
MOST_PLACES = 1_000_000
LONGEST_KEPT = 3650  # days, ten years: nothing about a person is kept for ever
_DURATIONS = (
    'a duration of days, hours, minutes and seconds such as "1h", "90m", "1h 30m" or "90s"; '
    'a day is exactly 24 hours here: for a time of day use {} with at = "09:00"'
)
_DAYS = "a whole number of days on the calendar, {}, together with at"
_TEXT = "text on one line"
_ORGANIZERS = 'names in brackets, ["WHO", "WIPO"]'
BEHIND_LINKS = (
    "#f3f7fb"  # the layout's darkest background of links; white letters on the colour have more contrast
)


class Message(BaseModel, frozen=True, extra="forbid"):
    """A kind of mail in the sequence, with exactly one rule for when it is due."""

    id: Id = Field(
        description="small letters, digits and hyphens, at most 64, also the name of its folder in templates/"
    )
    on_registration: StrictBool = Field(default=False, description="true or false")
    before_start: Duration | None = Field(default=None, description=_DURATIONS.format("days_before"))
    after_end: Duration | None = Field(default=None, description=_DURATIONS.format("days_after"))
    days_before: StrictInt | None = Field(
        default=None, ge=0, le=366, description=_DAYS.format("0 (the same day) to 366")
    )
    days_after: StrictInt | None = Field(
        default=None, ge=0, lt=USEFUL_AFTER.days, description=_DAYS.format("0 (the same day) to 29")
    )
    at: ClockTime | None = Field(default=None, description='a time in 24-hour form, "09:00" or "09:00:30"')
    clock: Literal["registrant", "webinar"] = Field(
        default="registrant", description='whose clock shows `at`: "registrant" or "webinar"'
    )
    also_for_registered: StrictBool = Field(default=False, description="true or false")
    text: Id | None = Field(
        default=None,
        description="the name of the folder in templates/ with its text, where that is not its id",
    )
    declared: Literal["note"] | None = Field(
        default=None,
        alias="kind",
        description='"note" for a short message that need not say the times and the link, or left out',
    )
    invitation: Literal["request", "attachment", "none"] = Field(
        default_factory=lambda data: "request" if data.get("on_registration") else "none",
        description='"request", "attachment" or "none"',
    )

    @field_validator("id", "text")
    @classmethod
    def _not_reserved(cls, name: str | None, info: ValidationInfo) -> str | None:
        if name in NOTICES:
            raise mistake(
                f"{shown(name)}, the id of a built-in notice", hint=f"choose another {info.field_name}"
            )
        return name

    @field_validator("after_end")
    @classmethod
    def _still_useful(cls, length: timedelta | None) -> timedelta | None:
        if length is not None and length >= USEFUL_AFTER:
            raise mistake(f"{length.days} days after the end", allowed="less than 30 days (720 hours)")
        return length

    @property
    def text_name(self) -> str:
        """The name of the folder in templates/ that has its text."""
        return self.text or self.id

    @property
    def kind(self) -> Literal["confirmation", "reminder", "follow-up"]:
        """The purpose of this message for its reader, which follows from its rule."""
        if self.on_registration:
            return "confirmation"
        return "reminder" if self.before_start is not None or self.days_before is not None else "follow-up"


class Wording(BaseModel, frozen=True):
    """The webinar's own words in one language."""

    title: str
    about: str
    how_to_join: str
    organizers: tuple[str, ...]
    host: str
    sender_name: str


class Translation(BaseModel, frozen=True, extra="forbid"):
    """The translated words of the webinar; the others stay in its first language."""

    title: Title | None = Field(default=None, description=f"{_TEXT}, at most 200 characters")
    about: Paragraph | None = Field(default=None, description=_TEXT)
    how_to_join: Paragraph | None = Field(default=None, description=_TEXT)
    organizers: Organizers | None = Field(default=None, min_length=1, description=_ORGANIZERS)
    host: Line | None = Field(default=None, description=_TEXT)
    sender_name: Title | None = Field(default=None, description="the sender's name, without the address")
    consent: Paragraph | None = Field(default=None, description=_TEXT)


class Webinar(BaseModel, frozen=True, extra="forbid"):
    """A webinar as its organizer wrote it. Wall times are stored; `start` and `end` (UTC) are derived."""

    id: Id = Field(description="small letters, digits and hyphens, at most 64, such as trilateral-2025")
    title: Title = Field(description=f"{_TEXT}, at most 200 characters")
    about: Paragraph = Field(description=_TEXT)
    how_to_join: Paragraph = Field(description=_TEXT)
    organizers: Organizers = Field(min_length=1, description=_ORGANIZERS)
    host: Line = Field(description=_TEXT)
    held_in: Language = Field(description='a language tag (BCP 47) such as "en", "fr" or "pt-BR"')
    zone: Line = Field(description='a time zone such as "Geneva time", "CET" or "Africa/Nairobi"')
    start_wall: WallTime = Field(
        alias="start", description="a date and time on the clock in `zone`, such as 2025-07-03T13:00:00"
    )
    end_wall: WallTime = Field(
        alias="end", description="a date and time on the clock in `zone`, after start by at most 31 days"
    )
    languages: Annotated[tuple[Language, ...], BeforeValidator(values.in_brackets)] = Field(
        min_length=1, description='language tags (BCP 47) in brackets, the main one first: ["en", "fr"]'
    )
    translations: dict[Language, Translation] = Field(
        default={},
        description="[translations.fr] with title, about, how_to_join, organizers, host, sender_name and consent, for"
        " each of languages",
    )
    join_url: Link = Field(default="", description="a link that begins with https://")
    join_link: Literal["direct", "forward"] = Field(
        default="direct", description='the link that mails and calendars hold, "direct" or "forward"'
    )
    doors_open: Wait = Field(
        default=timedelta(minutes=15),
        description="how long before the start the join link of a registrant's page leads to the webinar, a duration"
        ' such as "15m"; "0s" for at the start',
    )
    materials_url: Link = Field(default="", description="a link that begins with https://")
    sender: AnsweredMailbox = Field(description='"Name <mailbox@domain>" or "mailbox@domain"')
    reply_to: AnsweredMailbox = Field(
        default_factory=lambda data: data.get("sender"),
        description='"Name <mailbox@domain>" or "mailbox@domain"',
    )
    alert_to: Address = Field(description='one address of somebody who can fix things, "mailbox@domain"')
    colour: Line = Field(
        default="#0b5a9d", description='a dark colour for buttons and links, such as "#0b5a9d"'
    )
    logo: Logo = Field(
        default="",
        description='"logo.png", a picture in templates/_layout, or a link that begins with https://',
    )
    status: Literal["draft", "live", "ended"] = Field(
        default="draft", description='"draft", "live" or "ended"'
    )
    cancelled: StrictBool = Field(default=False, description="true or false")
    on_broken: Literal["last-sound", "hold"] = Field(
        default="last-sound", description='"last-sound" or "hold"'
    )
    on_doubt: Literal["resend", "hold"] = Field(default="resend", description='"resend" or "hold"')
    notice_after: Wait = Field(
        default=timedelta(minutes=10),
        description='how long an edit that notifies people waits, a duration such as "10m"; "0s" for no wait',
    )
    keep_days: StrictInt = Field(
        default=KEEP_DAYS, ge=1, le=LONGEST_KEPT, description=f"a whole number of days, 1 to {LONGEST_KEPT}"
    )
    again: StrictBool = Field(default=False, description="true or false")
    registration: Literal["closed", "open", "confirm"] = Field(
        default="closed", description='"closed", "open" or "confirm"'
    )
    capacity: StrictInt | None = Field(
        default=None, ge=1, le=MOST_PLACES, description=f"a whole number of places, 1 to {MOST_PLACES:,}"
    )
    consent: Paragraph = Field(default="", description=_TEXT)
    questions: tuple[Question, ...] = Field(
        default=(), description="[[questions]], at most 10, each with id, kind and words"
    )
    source: Source | None = Field(
        default=None, description="[source] with from, path or url: where registrants are read from"
    )
    messages: tuple[Message, ...] = Field(
        description="[[messages]], one for each mail, or messages = [] when nothing more is to be sent"
    )

    @field_validator("zone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        if re.fullmatch(r"Etc/GMT[+-]0*[1-9]\d*", name, re.IGNORECASE):
            raise mistake(
                f"{shown(name)}, a fixed offset without summer time",
                hint="name a place, such as Geneva",
            )
        try:
            webinar_zone(name)
        except UnknownZone as unknown:
            hint = "" if unknown.candidates else nearest(name, ("CET", "Geneva", "Geneva time"), 0.8)
            raise mistake(f"{shown(name)}, {unknown}", hint=hint) from None
        return name

    @field_validator("colour")
    @classmethod
    def _readable(cls, colour: str) -> str:
        if not is_colour(colour):
            raise mistake(shown(colour))
        if (found := contrast(colour, BEHIND_LINKS)) < ENOUGH:
            raise mistake(
                f"{shown(colour)}, on which white letters have a contrast of {found:.1f}",
                allowed=f"a darker colour, with a contrast of {ENOUGH:g} or more",
            )
        return colour.lower()

    @field_validator("start_wall", "end_wall")
    @classmethod
    def _means_one_instant(cls, wall: datetime, info: ValidationInfo) -> datetime:
        if "zone" in info.data:
            try:
                to_utc(wall, webinar_zone(info.data["zone"]))
            except WallTimeError as error:
                raise mistake(str(error), hint="choose a time that clocks show once") from None
        return wall

    @field_validator("end_wall")
    @classmethod
    def _after_start(cls, wall: datetime, info: ValidationInfo) -> datetime:
        if "start_wall" not in info.data:
            return wall
        start = info.data["start_wall"]
        length = wall - start
        if "zone" in info.data:  # a change of the clocks skips or repeats an hour
            zone = webinar_zone(info.data["zone"])
            length = to_utc(wall, zone) - to_utc(start, zone)
        if length <= timedelta(0):
            raise mistake(f"{shown(wall)}, not after the start at {shown(start)}")
        if length > LONGEST:
            raise mistake(f"{shown(wall)}, {length.days} days after the start")
        return wall

    @cached_property
    def tz(self) -> Zone:
        """The zone that `zone` means."""
        return webinar_zone(self.zone)

    @cached_property
    def start(self) -> datetime:
        """The instant at which the webinar begins, UTC."""
        return to_utc(self.start_wall, self.tz)

    @cached_property
    def end(self) -> datetime:
        """The instant at which the webinar ends, UTC."""
        return to_utc(self.end_wall, self.tz)

    @cached_property
    def place(self) -> str | None:
        """The city to name if it is not the one in the zone's tzdata name: "Geneva" for Europe/Zurich."""
        return zone_place(self.zone)

    @property
    def message_ids(self) -> list[str]:
        """The ids of all messages that may go out: the sequence and the built-in notices."""
        return [*(message.id for message in self.messages), *NOTICES]

    @cached_property
    def text_of(self) -> dict[str, str]:
        """The text's name of every message that may go out, by the message's id."""
        return {message.id: message.text_name for message in self.messages} | {one: one for one in NOTICES}

    @property
    def text_names(self) -> list[str]:
        """The names of the texts of all messages, without duplicates."""
        return list(dict.fromkeys(self.text_of.values()))

    def message_with(self, text: str) -> str:
        """The id of the first message that has this text, or the text's own name if no message has it."""
        return next((message for message, name in self.text_of.items() if name == text), text)

    def demands_of(self, text: str) -> tuple[str, ...]:
        """The purposes of the messages with this text, which decide what it must say: "confirmation", "reminder",
        "follow-up", "note", or a notice's id."""
        if text in NOTICES:
            return (text,)
        return tuple(
            dict.fromkeys(one.declared or one.kind for one in self.messages if one.text_name == text)
        )

    def words(self, language: str) -> Wording:
        """The webinar's words in a language; missing ones from "pt" for "pt-BR", then from the first language."""
        empty = Translation()
        exact = self.translations.get(language, empty)
        wider = self.translations.get(language.partition("-")[0], empty)
        return Wording(
            title=exact.title or wider.title or self.title,
            about=exact.about or wider.about or self.about,
            how_to_join=exact.how_to_join or wider.how_to_join or self.how_to_join,
            organizers=exact.organizers or wider.organizers or self.organizers,
            host=exact.host or wider.host or self.host,
            sender_name=exact.sender_name or wider.sender_name or self.sender.name,
        )

    def consent_in(self, language: str) -> str:
        """The words that registrants agree to, in a language; "" if nothing is asked of them."""
        translated = self.translations.get(self.language_of("consent", language))
        return (translated and translated.consent) or self.consent

    def sender_in(self, language: str) -> Mailbox:
        """The sender of mails in this language: the name may be translated, the address never changes."""
        return self.sender._replace(name=self.words(language).sender_name)

    def reply_to_in(self, language: str) -> Mailbox:
        """The mailbox that receives replies: `reply_to`, or the sender."""
        return self.sender_in(language) if self.reply_to == self.sender else self.reply_to

    def language_of(self, key: str, language: str) -> str:
        """The language in which `words(language)` has this key: the first language if it is not translated."""
        for tag in (language, language.partition("-")[0]):
            if getattr(self.translations.get(tag), key, None):
                return tag
        return self.languages[0]


LARGEST_FILE = 256_000  # characters of a webinar's file
DEEPEST_KEY = 100  # dots in a key


class WebinarProblems(Problems):
    """All mistakes of one webinar's file."""


def _deep_key(source: str, place: str) -> Problem | None:
    """The problem of a key with too many dots: TOML's parser takes quadratic time for them."""
    for number, line in enumerate(source.split("\n"), 1):
        if line.partition("=")[0].count(".") > DEEPEST_KEY:
            return Problem(
                f"{place}, line {number}", f"a key of more than {DEEPEST_KEY} parts", "a key, =, a value"
            )
    return None


def read_webinar(source: str, place: str) -> Webinar:
    """The webinar that a TOML file describes; `place` is the path that its problems name.

    Raises WebinarProblems with all mistakes, each with its line and key ("a.toml, line 12, messages[2].at", where
    messages are counted from 1).
    """
    source = source.removeprefix("\ufeff")  # a byte order mark, which Notepad writes
    if large := too_long(source, place, LARGEST_FILE):
        raise WebinarProblems([large])
    if deep := _deep_key(source, place):
        raise WebinarProblems([deep])
    try:
        raw = load_toml(source)
    except (ValueError, RecursionError) as error:
        raise WebinarProblems([syntax_problem(source, place, error)]) from None
    webinar, found = None, list(mistakes_together(raw))
    try:
        webinar = Webinar.model_validate(raw)
    except ValidationError as error:
        found += [_moved_key(one) for one in mistakes(error, Webinar)]
    if webinar is not None and not found:
        return webinar
    lines = key_lines(source)
    by_line = sorted(found, key=lambda one: line_of(one.loc, lines) or 0)
    raise WebinarProblems(_problem(one, place, line_of(one.loc, lines)) for one in by_line)


def placeholders(webinar: Webinar) -> list[Problem]:
    """Reasons why the webinar may not go live: content that still is a placeholder. The place of each is its key."""
    texts = webinar.model_dump(include={"title", "about", "how_to_join", "join_url", "materials_url"})
    texts |= {"alert_to": webinar.alert_to, "sender": webinar.sender.address}
    if webinar.reply_to != webinar.sender:
        texts["reply_to"] = webinar.reply_to.address
    texts["translations"] = {tag: words.model_dump() for tag, words in webinar.translations.items()}
    return [_problem(one, "") for one in placeholder_mistakes(texts)]


def doubts(webinar: Webinar) -> list[Problem]:
    """Likely mistakes in the webinar's own words. The place of each is its key."""
    words = webinar.model_dump(include={*WORDS, "translations"})
    return [_problem(one, "") for one in doubtful_words(words)]


def explain_time(webinar: Webinar) -> str:
    """The start in one line: "13:00 CEST in Geneva (UTC+02:00) = 11:00 UTC"."""
    local = to_local(webinar.start, webinar.tz)
    abbreviation = local.tzname() or ""
    city = webinar.place or str(webinar.tz).rpartition("/")[2].replace("_", " ")
    named = f" {abbreviation}" if abbreviation.isalpha() else ""
    date = "" if webinar.start.date() == local.date() else f" on {_day(webinar.start)}"
    line = f"{local:%H:%M}{named} in {city} (UTC{local.isoformat()[-6:]}) = {webinar.start:%H:%M} UTC{date}"
    for announced, other in (("CET", "CEST"), ("CEST", "CET")):
        if re.search(rf"\b{re.escape(announced)}\b", webinar.zone, re.IGNORECASE) and abbreviation == other:
            line += f"; what was announced as {announced} is {other} on {_day(local)}"
    return line


def _moved_key(one: Mistake) -> Mistake:
    """Add a hint to a webinar's key that stands below a heading, to which it then belongs in TOML: a common slip."""
    if one.found == "no such key" and len(one.loc) > 1 and one.loc[-1] in keys(Webinar):
        return one._replace(hint=f"move `{one.loc[-1]}` up, above the first [heading] of the file")
    return one


def _problem(one: Mistake, place: str, line: int | None = None) -> Problem:
    path = ""
    for step in one.loc:
        path += f"[{step + 1}]" if isinstance(step, int) else f".{step}" if path else step
    at = (place, f"line {line}" if line else "", path)
    return Problem(", ".join(part for part in at if part), one.found, one.allowed, one.hint)


def _day(moment: datetime) -> str:
    return f"{moment.day} {moment:%B %Y}"
