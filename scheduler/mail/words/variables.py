"""The facts of one mail, and the variables of texts that follow from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from scheduler.mail.words import links, wording
from scheduler.mail.words.names import clean_name, isolated
from scheduler.mail.words.own_words import own_words
from scheduler.mail.words.phrases import Phrases, phrases
from scheduler.mail.words.reservation import bare, reservation
from scheduler.mail.words.wording import (
    ClockTime,
    TimeChange,
    clock_time,
    language_name,
    listing,
    right_to_left,
    same_clock,
    time_change,
)
from scheduler.webinar.model import Webinar
from scheduler.webinar.told import Difference, Told, difference
from scheduler.zones.wall import Zone

STOP = "Unsubscribe"
"""The subject of a mail that unsubscribes, in every language: people and programs that read the mailbox must know
it, and percent-encoded letters in a header look like an unfilled template (SpamAssassin: UNRESOLVED_TEMPLATE)."""


@dataclass(frozen=True)
class Facts:
    """One registrant, one webinar, one moment. The language is that of the mail's text."""

    webinar: Webinar
    name: str
    """As the registrant typed it; `variables` cleans it."""
    zone: Zone
    zone_assumed: bool
    """The zone is a guess: one of several in a country, or the webinar's because nothing better is known."""
    now: datetime
    """The moment of this attempt, UTC."""
    join_url: str
    """The registrant's own link, or the webinar's; "" if it is not known yet."""
    invitation_attached: bool = True
    """Whether this mail carries the calendar entry, which `{{ calendar_links }}` mentions."""
    told: Told | None = None
    """The facts in this person's last mail; None if unknown."""
    page_url: str = ""
    """The address of the registrant's own page; "" if the service has no pages."""
    withdrawn: bool = False
    """The registrant does not take part."""

    @property
    def difference(self) -> Difference:
        """How the current facts differ from those in the last mail."""
        if self.told is None or self.webinar.cancelled:
            return Difference()
        return difference(self.told, self.webinar.start, self.webinar.end, self.join_url)

    @property
    def over(self) -> bool:
        """Whether there is nothing left to attend; mails then no longer ask for the reader's time zone."""
        return self.webinar.cancelled or self.withdrawn or self.now >= self.webinar.end

    @property
    def clock_url(self) -> str:
        """Where the page asks for the reader's time zone; "" if the service has no pages."""
        return f"{self.page_url}#clock" if self.page_url else ""

    @property
    def unsubscribe_url(self) -> str:
        """The page that unsubscribes; "" if the service has no pages."""
        return f"{self.page_url}/unsubscribe" if self.page_url else ""


VARIABLES: Mapping[str, str] = {
    "dear": "The greeting, with the registrant's name where it is known: “Dear Amina Wanjiru,”, “Dear participant,”",
    "name": "The registrant's name; empty when it is not known, so ask first: `{% if name %}`",
    "webinar.title": "The webinar's title in the reader's language",
    "webinar.about": "What it is about, in a sentence or two",
    "webinar.organizers": "Who organizes it, as a list: “WHO, WIPO and WTO”",
    "webinar.host": "Who hosts it",
    "webinar.held_in": "The language in which it is held: “English”, in French “anglais”",
    "webinar.how_to_join": "How to join, from the webinar's file",
    "webinar.materials_url": "The address of slides and recording; empty when there is none",
    "join_url": "The link to join: the registrant's own where there is one",
    "your_time": "The reader's date, time, city, zone and UTC offset in one line",
    "webinar_time": "The same on the webinar's clock (Geneva)",
    "time_left": "How far off it is for the reader: “tomorrow”, “in one hour”; keep the time itself beside it",
    "what_changed": "For the subject of a notice: “New time”, “New link”, “New time and link”, “Updated details”",
    "page_url": "The address of the registrant's own page; empty where the service has none",
}
"""Variables that may stand anywhere in a text, with their meaning."""

BLOCKS: Mapping[str, str] = {
    "changes": "What has changed since the reader's last mail, old beside new; nothing where that is not known",
    "times": "Calendar leaf, the reader's time, the webinar's time beside it",
    "join_button": "The button to join, and the link itself",
    "calendar_links": "The invitation in the mail, and links to add the entry by hand instead",
}
"""Variables that stand alone on a line and become a designed piece."""

LABELS: Mapping[str, str] = {
    "dear": "Greeting",
    "name": "Reader’s name",
    "webinar.title": "Webinar’s title",
    "webinar.about": "What it is about",
    "webinar.organizers": "Organizers",
    "webinar.host": "Host",
    "webinar.held_in": "Language of the webinar",
    "webinar.how_to_join": "How to join",
    "webinar.materials_url": "Link to slides and recording",
    "join_url": "Link to join",
    "page_url": "Link to the reader’s page",
    "your_time": "Reader’s time",
    "webinar_time": "Webinar’s time",
    "time_left": "Time left",
    "what_changed": "What changed, in two words",
    "changes": "What has changed",
    "times": "Times",
    "join_button": "Join button",
    "calendar_links": "Calendar links",
}
"""What the editor calls each variable and block."""

LAYOUT_VARIABLES = frozenset(
    {*VARIABLES, "subject", "preheader", "times", "changes", "calendar", "invitation_attached", "phrases"}
    | {"language", "direction", "sender", "from_whom", "why", "held_in", "over", "declining", "correct_url",
       "correct_by_mail", "stop_url", "stop_mailto", "stop_by_mail", "reply_to", "colour", "logo", "reservation"}
)  # fmt: skip
"""Variables that the layout may use: those of texts, and how a mail is signed, explained and stopped."""


@dataclass(frozen=True)
class WebinarWords:
    """`webinar` in a text: the words of the webinar's file in the reader's language."""

    title: str
    about: str
    organizers: str
    host: str
    held_in: str
    how_to_join: str
    materials_url: str


@dataclass(frozen=True)
class Times:
    """The block of times: the reader's clock, and the webinar's unless it shows the same."""

    yours: ClockTime
    theirs: ClockTime
    same: bool
    heading: str
    their_heading: str
    other_date: str
    """A sentence if the reader's date is not the webinar's; else ""."""
    assumed: str
    """A sentence if the zone is a guess; else ""."""


@dataclass(frozen=True)
class Changes:
    """The block of changes since the reader's last mail. It holds no personal values."""

    what: str
    """A few words, as for a subject: "New time"."""
    time: TimeChange | None
    link: bool
    """The reader's link is new (`join_url`; "" if it is not known yet)."""
    replaces_link: bool
    """It replaces a link that they had."""
    restored: bool
    """Their last mail was the cancellation, and the webinar takes place after all."""


@dataclass(frozen=True)
class CalendarLinks:
    google: str
    outlook: str
    microsoft: str


def variables(facts: Facts, language: str) -> dict[str, Any]:
    """Every variable for one mail in `language`: those of texts (VARIABLES, BLOCKS) and the layout's."""
    webinar, words = facts.webinar, phrases(language)
    own = own_words(webinar, language)
    organizers = listing(own.organizers, language)
    held_in = language_name(webinar.held_in, language)
    reply_to = webinar.reply_to.address
    name = shown_name(facts.name, language)
    stop, correct = _about(STOP, facts), _about(words.correct_subject, facts)
    can_decline = facts.invitation_attached and not facts.over
    is_embedded = webinar.logo and not webinar.logo.startswith("https://")
    return zone_variables(facts, language) | {
        "name": name,
        "dear": dear(name, language),
        "webinar": WebinarWords(
            title=own.title,
            about=own.about,
            organizers=organizers,
            host=own.host,
            held_in=held_in,
            how_to_join=own.how_to_join,
            materials_url=webinar.materials_url,
        ),
        "join_url": facts.join_url,
        "calendar": _calendar_links(facts, language),
        "invitation_attached": facts.invitation_attached,
        "phrases": words,
        "language": language,
        "direction": "rtl" if right_to_left(language) else "ltr",
        "why": words.why.format(title=own.title),
        "from_whom": words.from_whom.format(sender=own.sender_name or organizers),
        "held_in": "" if facts.over else words.held_in.format(language=held_in),
        "over": facts.over,
        "declining": words.declining.format(stop=words.stop) if can_decline else "",
        "page_url": facts.page_url,
        "correct_url": facts.clock_url or links.mailto(reply_to, correct, words.correct_body),
        "correct_by_mail": _by_mail(reply_to, correct, language),
        "stop_url": facts.unsubscribe_url or links.mailto(reply_to, stop),
        "stop_mailto": links.mailto(reply_to, stop),
        "stop_by_mail": _by_mail(reply_to, stop, language),
        "reply_to": reply_to,
        "colour": webinar.colour,
        "reservation": _reservation(facts, language),
        "logo": f"cid:{webinar.logo}" if is_embedded else webinar.logo,
        "sender": own.sender_name or organizers,
    }


def zone_variables(facts: Facts, language: str) -> dict[str, Any]:
    """The variables that depend on the reader's time zone."""
    times = _times(facts, language)
    changes = _changes(facts, times.yours, language)
    return {
        "your_time": str(times.yours),
        "webinar_time": str(times.theirs),
        "time_left": time_left(facts, language),
        "what_changed": changes.what if changes else phrases(language).updated,
        "times": times,
        "changes": changes,
    }


def time_left(facts: Facts, language: str) -> str:
    """The time until the webinar, in words."""
    return wording.time_left(facts.now, facts.webinar.start, facts.webinar.end, facts.zone, language)


def shown_name(name: str, language: str) -> str:
    """`name`, as the registrant typed it, in the form that a mail in `language` shows; "" if there is none."""
    return isolated(clean_name(name), right_to_left(language))


def dear(name: str, language: str) -> str:
    """The greeting of a person whose name shows as `name`."""
    words = phrases(language)
    return words.dear.format(name=name) if name else words.dear_anybody


def _by_mail(address: str, subject: str, language: str) -> str:
    """The words for readers who cannot click the link: "write to team@who.int, subject “Unsubscribe (id)”"."""
    rtl = right_to_left(language)
    return phrases(language).write_to.format(address=isolated(address, rtl), subject=isolated(subject, rtl))


def _times(facts: Facts, language: str) -> Times:
    webinar, words = facts.webinar, phrases(language)
    theirs = clock_time(webinar.start, webinar.end, webinar.tz, language, webinar.place)
    yours = _your_clock(facts, webinar.start, webinar.end, language)
    same = same_clock(webinar.start, webinar.end, facts.zone, webinar.tz)
    place = theirs.place
    return Times(
        yours=yours,
        theirs=theirs,
        same=same,
        heading=_heading(words, yours, place, same),
        their_heading=words.place_time.format(place=place),
        other_date="" if yours.first_day == theirs.first_day else words.other_date.format(place=place),
        assumed=_assumed(facts, words, place),
    )


def _your_clock(facts: Facts, start: datetime, end: datetime, language: str) -> ClockTime:
    """`start` to `end` on the reader's clock. In the webinar's zone it names the webinar's place."""
    at_home = str(facts.zone) == str(facts.webinar.tz)
    return clock_time(start, end, facts.zone, language, facts.webinar.place if at_home else None)


def _changes(facts: Facts, yours: ClockTime, language: str) -> Changes | None:
    """None if nothing that a mail shows has changed: no clock in mails has seconds."""
    found, words = facts.difference, phrases(language)
    former = found.former_time and _your_clock(facts, *found.former_time, language)
    time = time_change(yours, former) if former and str(former) != str(yours) else None
    if not (time or found.link or found.restored):
        return None
    if found.restored:
        what = words.restored
    elif time and found.link:
        what = words.new_time_and_link
    else:
        what = words.new_time if time else words.new_link
    return Changes(what, time, found.link, found.had_link and bool(facts.join_url), found.restored)


def _heading(words: Phrases, yours: ClockTime, place: str, same: bool) -> str:
    if same and yours.city in ("", place):
        return words.place_time.format(place=place)
    if same:
        return words.same_time.format(city=yours.city, place=place)
    return words.your_time


def _assumed(facts: Facts, words: Phrases, place: str) -> str:
    if not facts.zone_assumed or facts.over:
        return ""
    is_the_webinars = str(facts.zone) == str(facts.webinar.tz)
    return words.unknown_zone.format(place=place) if is_the_webinars else words.assumed


def _reservation(facts: Facts, language: str) -> str:
    if not facts.invitation_attached:
        return ""
    name = bare(shown_name(facts.name, language))
    return reservation(facts.webinar, language, name, facts.join_url, withdrawn=facts.withdrawn)


def _calendar_links(facts: Facts, language: str) -> CalendarLinks:
    webinar = facts.webinar
    # Only the title: percent-encoded Russian is six times as long, and a line has 998 octets.
    entry = (webinar.words(language).title, webinar.start, webinar.end, facts.join_url, facts.join_url)
    return CalendarLinks(
        google=links.google_calendar(*entry),
        outlook=links.outlook_calendar(*entry, host="outlook.live.com"),
        microsoft=links.outlook_calendar(*entry, host="outlook.office.com"),
    )


def _about(subject: str, facts: Facts) -> str:
    """`subject` with the webinar's id: replies must identify the registration among several webinars."""
    return f"{subject} ({facts.webinar.id})"
