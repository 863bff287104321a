"""The mail to somebody who waits for a place.

Nobody who waits is registered, so it is no message of the sequence: its words are ours, and it goes by the outbox. Once
they have a place, they get the confirmation like anybody else.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime

import pytz
from sqlalchemy import Connection

from scheduler import outbox
from scheduler.mail.words.own_words import own_words
from scheduler.mail.words.phrases import phrases
from scheduler.mail.words.variables import dear, shown_name
from scheduler.mail.words.wording import ClockTime, clock_time
from scheduler.mail.writing.composing import wire_address
from scheduler.mail.writing.plain import plain_mail
from scheduler.outbox import TooMany
from scheduler.registrants.languages import language_tag
from scheduler.registrants.signups import Details, Outcome, State, details_of
from scheduler.web.pages.words import page_language, page_words
from scheduler.webinar.model import Webinar
from scheduler.zones.wall import zone_of


def tell_who_waits(conn: Connection, now: datetime, webinar: Webinar, outcome: Outcome) -> None:
    """Put a mail into the outbox for somebody who waits from now on. The names of zones must be loaded, or this takes a
    second (`zones.names.load_names`)."""
    if outcome.state is State.WAITING and outcome.begun:
        person = details_of(conn, outcome.id)
        with suppress(TooMany, ValueError):  # ValueError: an address that no mail can carry
            mail = waiting_mail(webinar, person, now)
            outbox.put(conn, now, webinar.sender.address, wire_address(person.address), mail, patient=True)


def waiting_mail(webinar: Webinar, person: Details, now: datetime) -> bytes:
    """The mail, in the person's language and with the time on their clock. Raises ValueError."""
    language = page_language(language_tag(person.language), *webinar.languages)
    own, words, phrase = own_words(webinar, language), page_words(language).waiting, phrases(language)
    zone = pytz.timezone(
        zone_of(person.timezone or None, person.country or None, webinar.tz, webinar.start).zone
    )
    yours = clock_time(webinar.start, webinar.end, zone, language)
    theirs = clock_time(webinar.start, webinar.end, webinar.tz, language, webinar.place)
    times = [f"{phrase.your_time}{phrase.colon}{_said(yours)}"]
    if (yours.when, yours.offset) != (theirs.when, theirs.offset):
        times.append(f"{phrase.place_time.format(place=theirs.place)}{phrase.colon}{_said(theirs)}")
    paragraphs = (
        dear(shown_name(person.name, language), language),
        words.listed.format(title=own.title),
        "\n".join(times),
        words.moves_up,
        words.not_you,
        phrase.from_whom.format(sender=own.sender_name or own.host),
    )
    return plain_mail(
        webinar, language, person.address, words.subject.format(title=own.title), paragraphs, now
    )


def _said(time: ClockTime) -> str:
    return time.words.brackets.format(when=time.when, zone=time.zone)
