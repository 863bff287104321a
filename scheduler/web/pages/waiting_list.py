"""The mails to somebody who waits for a place: that they wait, and that the webinar is cancelled.

Nobody who waits is registered, so these are no messages of the sequence: their words are ours, and they go by the
outbox. Once they have a place, they get the confirmation like anybody else.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta

import pytz
from sqlalchemy import Connection

from scheduler import mailed_links, outbox
from scheduler.mail.words.own_words import own_words
from scheduler.mail.words.phrases import phrases
from scheduler.mail.words.variables import dear, shown_name
from scheduler.mail.words.wording import ClockTime, clock_time
from scheduler.mail.writing.composing import wire_address
from scheduler.mail.writing.plain import plain_mail
from scheduler.mailed_links import MailedTo, Purpose, TooManyLinks
from scheduler.outbox import TooMany
from scheduler.registrants import signups
from scheduler.registrants.languages import language_tag
from scheduler.registrants.signups import Details, Outcome, State, details_of
from scheduler.web.pages.words import page_language, page_words
from scheduler.webinar.model import Webinar
from scheduler.zones.wall import zone_of

AN_HOUR = timedelta(hours=1)
MOST_LINKS = 20  # for one row of `signup`
MOST_TOLD = 100  # in one transaction


def tell_who_waits(
    conn: Connection, now: datetime, webinar: Webinar, outcome: Outcome, pages_url: str
) -> None:
    """Put a mail into the outbox for somebody who waits from now on, with a link by which they leave the list. The
    names of zones must be loaded, or this takes a second (`zones.names.load_names`)."""
    if outcome.state is State.WAITING and outcome.begun:
        person, to_the_end = details_of(conn, outcome.id), max(webinar.end - now, AN_HOUR)
        to = MailedTo(outcome.id, person.folded)
        with suppress(TooMany, TooManyLinks, ValueError):  # ValueError: an address that no mail can carry
            token = mailed_links.make(conn, now, Purpose.WAITING, to, valid_for=to_the_end, most=MOST_LINKS)
            mail = waiting_mail(webinar, person, now, f"{pages_url}/l/{token}")
            outbox.put(conn, now, webinar.sender.address, wire_address(person.address), mail, patient=True)


def end_waiting(conn: Connection, now: datetime, webinar: Webinar) -> int:
    """Take some people off the waiting list of a webinar that is over or cancelled, and tell them if it is cancelled.
    Returns their number."""
    numbers = signups.waiting(conn, webinar.id, MOST_TOLD)
    if webinar.cancelled and now < webinar.end:
        for number in numbers:
            person = details_of(conn, number)
            with suppress(TooMany, ValueError):
                mail = cancelled_mail(webinar, person, now)
                outbox.put(
                    conn, now, webinar.sender.address, wire_address(person.address), mail, patient=True
                )
    signups.stop_waiting(conn, numbers)
    return len(numbers)


def cancelled_mail(webinar: Webinar, person: Details, now: datetime) -> bytes:
    """The mail that says that the webinar is cancelled, in the person's language. Raises ValueError."""
    language = _language(webinar, person)
    own, words, phrase = own_words(webinar, language), page_words(language).waiting, phrases(language)
    paragraphs = (
        dear(shown_name(person.name, language), language),
        words.cancelled.format(title=own.title),
        phrase.from_whom.format(sender=own.sender_name or own.host),
    )
    subject = words.cancelled_subject.format(title=own.title)
    return plain_mail(webinar, language, person.address, subject, paragraphs, now)


def _language(webinar: Webinar, person: Details) -> str:
    return page_language(language_tag(person.language), *webinar.languages)


def waiting_mail(webinar: Webinar, person: Details, now: datetime, leave_url: str) -> bytes:
    """The mail, in the person's language and with the time on their clock. Raises ValueError."""
    language = _language(webinar, person)
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
        f"{words.leave}\n{leave_url}",
        words.not_you,
        phrase.from_whom.format(sender=own.sender_name or own.host),
    )
    return plain_mail(
        webinar, language, person.address, words.subject.format(title=own.title), paragraphs, now
    )


def _said(time: ClockTime) -> str:
    return time.words.brackets.format(when=time.when, zone=time.zone)
