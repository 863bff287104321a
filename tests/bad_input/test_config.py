"""Problems reported for mistakes in a webinar's file; each case is one edit of a sound file."""

from __future__ import annotations

import pytest

from scheduler.problem import Problem
from scheduler.webinar.model import WebinarProblems, read_webinar

SOUND = """\
id = "health-products"
title = "Health products"
about = "How health products are bought."
how_to_join = "Open the link."
organizers = ["World Health Organization"]
host = "World Health Organization"
held_in = "en"
zone = "CET/Geneva time"
start = 2025-07-03T13:00:00
end = 2025-07-03T15:00:00
languages = ["en", "fr"]
join_url = "https://webinar.who.int/1"
sender = "Webinar <webinar@who.int>"
alert_to = "operators@who.int"

[translations.fr]
title = "Produits de santé"

[[messages]]
id = "confirmation"
on_registration = true

[[messages]]
id = "reminder"
days_before = 1
at = "09:00"

[[messages]]
id = "follow-up"
after_end = "90m"
"""
MESSAGES = SOUND[SOUND.index("[[messages]]") :]

KEYS = (
    "id, title, about, how_to_join, organizers, host, held_in, zone, start, end, "
    "languages, translations, join_url, join_link, doors_open, materials_url, sender, reply_to, alert_to, colour, "
    "logo, status, cancelled, on_broken, on_doubt, notice_after, keep_days, again, registration, capacity, consent, "
    "questions, source, messages"
)
MESSAGE_KEYS = (
    "id, on_registration, before_start, after_end, days_before, days_after, at, clock, "
    "also_for_registered, text, kind, invitation"
)
ONE_RULE = "exactly one of on_registration, before_start, after_end, days_before, days_after"
DURATION = (
    'a duration of days, hours, minutes and seconds such as "1h", "90m", "1h 30m" or '
    '"90s"; a day is exactly 24 hours here: for a time of day use days_after with at = '
    '"09:00"'
)
WALL_TIME = "a date and time on the clock in `zone`, such as 2025-07-03T13:00:00"
END = "a date and time on the clock in `zone`, after start by at most 31 days"
MAILBOX = '"Name <mailbox@domain>" or "mailbox@domain"'
ZONE = 'a time zone such as "Geneva time", "CET" or "Africa/Nairobi"'
TITLE = "text on one line, at most 200 characters"
LINK = "a link that begins with https://"


# What the edit is, the text that it replaces, the new text, and what the organizer is told: place, what was
# found there, what is allowed, how to fix it.
# fmt: off
CASES = [
    ("text without quotes", 'title = "Health products"', "title = Health products",
     "line 2, column 9", "not valid TOML (invalid value)",
     "", 'put text in straight quotes: title = "My webinar"'),
    ("curly quotes", '"Health products"', "“Health products”",
     "line 2, column 9", "the character “ (U+201C, left double quotation mark)",
     'straight quotes ("), not those of a word processor', 'write title = "Health products"'),
    ("a quote that is not closed", '"Open the link."', '"Open the link.',
     "line 4, column 30", "a text that is not closed",
     "", 'close it with the quote (") that begins it'),
    ("an hour with one digit", 'at = "09:00"', "at = 9:00",
     "line 26, column 7", "not valid TOML (expected newline or end of document after a statement)",
     "", 'put a time of day in quotes: at = "09:00"'),
    ("a date and time with the zone", "13:00:00", "13:00 CEST",
     "line 9, column 19", "not valid TOML (expected newline or end of document after a statement)",
     "", "leave out CEST, which `zone` says: 2025-07-03T13:00:00"),
    ("a day that the calendar lacks", "2025-07-03T13", "2025-06-31T13",
     "line 9, column 9", "not valid TOML (invalid date or datetime)",
     "", "write a date that exists, as 2025-07-03T13:00:00"),
    ("True", "on_registration = true", "on_registration = True",
     "line 21, column 19", "not valid TOML (invalid value)",
     "", "write true or false, in small letters"),
    ("a key twice", 'title = "Health', 'id = "x"\ntitle = "Health',
     "line 2, column 9", "the same key a second time",
     "", "remove one of the two"),
    ("a list that is not closed", '["World Health Organization"]', '["World Health Organization"',
     "line 6, column 1", "a list that is not closed",
     "", "close it with ]"),
    ("a key that is missing", 'alert_to = "operators@who.int"\n', "",
     "alert_to", "is missing",
     'one address of somebody who can fix things, "mailbox@domain"', ""),
    ("a misspelt key", "alert_to", 'material_url = "https://who.int/m"\nalert_to',
     "line 14, material_url", "no such key",
     KEYS, "did you mean `materials_url`?"),
    ("a misspelt heading", '[[messages]]\nid = "follow-up"', '[[message]]\nid = "follow-up"',
     "line 28, message", "no such key",
     KEYS, "did you mean `messages`?"),
    ("a key of the webinar at the end", 'after_end = "90m"',
     'after_end = "90m"\nmaterials_url = "https://who.int/m"',
     "line 31, messages[3].materials_url", "no such key",
     MESSAGE_KEYS, "move `materials_url` up, above the first [heading] of the file"),
    ("a number for a text", '"Health products"', "2025",
     "line 2, title", "2025",
     TITLE, "put text in quotes"),
    ("an empty text", '"Health products"', '" "',
     "line 2, title", "is empty",
     TITLE, ""),
    ("a header in the title", '"Health products"', '"Health products\\r\\nBcc: a@b.org"',
     "line 2, title", 'a carriage return in "Health products\\r\\nBcc: a@b.org"',
     TITLE, ""),
    ("a line break in a sender's name", '"Webinar <', '"Web\\ninar <',
     "line 13, sender", 'a line break in "Web\\ninar <webinar@who.int>"',
     MAILBOX, ""),
    ("a NUL in an organizer's name", '["World Health', '["World\\u0000Health',
     "line 5, organizers[1]",
     'the character U+0000 (control character) in "World\\u0000Health Organization"',
     'names in brackets, ["WHO", "WIPO"]', ""),
    ("a text of several lines", '"How health products are bought."',
     '"""\nHow health products\nare bought."""',
     "line 3, about", 'a line break in "How health products\\nare bought."',
     "text on one line", 'a long text in """ may take several lines if each ends with a backslash'),
    ("a title of a page", '"Health products"', '"' + "x" * 201 + '"',
     "line 2, title", "201 characters",
     "at most 200 characters", ""),
    ("an id with capitals and blanks", '"health-products"', '"Health Products"',
     "line 1, id", '"Health Products"',
     "small letters, digits and hyphens, at most 64, such as trilateral-2025",
     "did you mean `health-products`?"),
    ("one organizer without brackets", '["World Health Organization"]', '"WHO"',
     "line 5, organizers", '"WHO"',
     'names in brackets, ["WHO", "WIPO"]', 'put it in brackets: ["WHO"]'),
    ("a language by its name", '"en", "fr"', '"en", "fr", "Spanish"',
     "line 11, languages[3]", '"Spanish"',
     'language tags (BCP 47) in brackets, the main one first: ["en", "fr"]', "did you mean `es`?"),
    ("a language twice", '"en", "fr"', '"en", "fr", "en"',
     "line 11, languages", '"en" twice',
     "each language once", ""),
    ("no languages", '["en", "fr"]', "[]",
     "line 11, languages", "an empty list",
     'language tags (BCP 47) in brackets, the main one first: ["en", "fr"]', ""),
    ("a translation into another language", "[translations.fr]", "[translations.es]",
     "line 16, translations.es", '"es" is not one of languages',
     "fr", "add it to languages, or remove its texts"),
    ("a translation into the first language", "[translations.fr]", "[translations.en]",
     "line 16, translations.en", '"en" is the first of languages: its texts belong at the top of the file',
     "fr", ""),
    ("a start with an offset", "start = 2025-07-03T13:00:00", "start = 2025-07-03T13:00:00+01:00",
     "line 9, start", "2025-07-03T13:00:00+01:00, a time with a UTC offset",
     WALL_TIME, "write the time on the clock in the place that `zone` names, without +01:00"),
    ("a start in UTC", "start = 2025-07-03T13:00:00", "start = 2025-07-03T11:00:00Z",
     "line 9, start", "2025-07-03T11:00:00+00:00, a time with a UTC offset",
     WALL_TIME, "write the time on the clock in the place that `zone` names, without Z"),
    ("a start as text", "2025-07-03T13:00:00", '"3 July 2025, 1 pm"',
     "line 9, start", 'text, "3 July 2025, 1 pm"',
     WALL_TIME, "write it without quotes"),
    ("a start without a time", "2025-07-03T13:00:00", "2025-07-03",
     "line 9, start", "2025-07-03, a date without a time",
     WALL_TIME, "write 2025-07-03T13:00:00 for 13:00"),
    ("a start that clocks skip", "start = 2025-07-03T13:00:00\nend = 2025-07-03T15",
     "start = 2025-03-30T02:30:00\nend = 2025-03-30T15",
     "line 9, start",
     "2025-03-30 02:30 does not exist in Europe/Zurich, as clocks are put forward then: write 03:30 "
     "(UTC+02:00, 01:30 UTC) or 01:30 (UTC+01:00, 00:30 UTC)",
     WALL_TIME, "choose a time that clocks show once"),
    ("a start that clocks show twice", "start = 2025-07-03T13:00:00\nend = 2025-07-03T15",
     "start = 2025-10-26T02:30:00\nend = 2025-10-26T15",
     "line 9, start",
     "2025-10-26 02:30 happens twice in Europe/Zurich, as clocks are put back then: 02:30 (UTC+02:00, "
     "00:30 UTC) and 02:30 (UTC+01:00, 01:30 UTC)",
     WALL_TIME, "choose a time that clocks show once"),
    ("a start beyond the rules of time zones", "start = 2025", "start = 2038",
     "line 9, start", "the year 2038",
     "a year from 1970 to 2037", ""),
    ("an end before the start", "03T15", "03T12",
     "line 10, end", "2025-07-03T12:00:00, not after the start at 2025-07-03T13:00:00",
     END, ""),
    ("an end a year later", "end = 2025", "end = 2026",
     "line 10, end", "2026-07-03T15:00:00, 365 days after the start",
     END, ""),
    ("an ambiguous zone", "CET/Geneva time", "IST",
     "line 8, zone",
     '"IST", the name of several time zones that do not agree; may be meant: Asia/Kolkata, Europe/Dublin, '
     'Asia/Jerusalem',
     ZONE, ""),
    ("a misspelt zone", "CET/Geneva time", "Genva",
     "line 8, zone", '"Genva", not the name of a time zone',
     ZONE, "did you mean `Geneva`?"),
    ("an offset for a zone", "CET/Geneva time", "UTC+1",
     "line 8, zone",
     '"UTC+1", an offset from UTC is not a time zone, as it does not say when summer time begins: name '
     'that of a city, as in Europe/Zurich',
     ZONE, ""),
    ("a fixed offset for a zone", "CET/Geneva time", "Etc/GMT-1",
     "line 8, zone", '"Etc/GMT-1", a fixed offset without summer time',
     ZONE, "name a place, such as Geneva"),
    ("a link without TLS", "https://webinar", "http://webinar",
     "line 12, join_url", '"http://webinar.who.int/1"',
     LINK, "did you mean `https://webinar.who.int/1`?"),
    ("a link without a scheme", "https://webinar", "webinar",
     "line 12, join_url", '"webinar.who.int/1"',
     LINK, "did you mean `https://webinar.who.int/1`?"),
    ("a link that is a script", "https://webinar.who.int/1", "javascript:alert(1)",
     "line 12, join_url", '"javascript:alert(1)"',
     LINK, ""),
    ("a link with a blank", "who.int/1", "who.int/my webinar",
     "line 12, join_url", 'a blank in "https://webinar.who.int/my webinar"',
     LINK, "copy it from the browser's address bar"),
    ("a link with a password", "https://webinar", "https://me:secret@webinar",
     "line 12, join_url", "a user name or password in the link",
     LINK, ""),
    ("an address without a domain", "operators@who.int", "operators",
     "line 14, alert_to", '"operators"',
     'one address of somebody who can fix things, "mailbox@domain"', "an email address must have an @-sign"),
    ("a sender that takes no answers", "webinar@who.int", "no-reply@who.int",
     "line 13, sender", '"no-reply@who.int"',
     MAILBOX, "people reply and calendars send acceptances: name a mailbox that is read"),
    ("a misspelt status", "alert_to", 'status = "Live"\nalert_to',
     "line 14, status", '"Live"',
     '"draft", "live" or "ended"', "did you mean `live`?"),
    ("yes for true", "alert_to", 'cancelled = "yes"\nalert_to',
     "line 14, cancelled", '"yes"',
     "true or false", ""),
    ("live with a placeholder", 'alert_to = "operators@who.int"',
     'status = "live"\nalert_to = "operators@example.org"',
     "line 15, alert_to", "the placeholder example.org",
     "the real value before it is live", ""),
    ("live without a link", 'join_url = "https://webinar.who.int/1"', 'status = "live"',
     "join_url", "is empty",
     "a link, as status is live", ""),
    ("no messages", MESSAGES, "",
     "messages", "is missing",
     "[[messages]], one for each mail, or messages = [] when nothing more is to be sent", ""),
    ("a reserved id", '"follow-up"', '"cancellation"',
     "line 29, messages[3].id", '"cancellation", the id of a built-in notice',
     "small letters, digits and hyphens, at most 64, also the name of its folder in templates/",
     "choose another id"),
    ("an id twice", '"follow-up"', '"reminder"',
     "line 29, messages[3].id", '"reminder", also the id of messages[2]',
     "an id of its own", ""),
    ("two rules", 'after_end = "90m"', 'after_end = "90m"\nbefore_start = "1h"',
     "line 28, messages[3]", "2 rules: before_start, after_end",
     ONE_RULE, ""),
    ("no rule", 'after_end = "90m"\n', "",
     "line 28, messages[3]", "no rule that says when it is due",
     ONE_RULE, ""),
    ("a day without a time", 'at = "09:00"\n', "",
     "line 23, messages[2].at", "is missing",
     'a time in 24-hour form with days_before, such as "09:00"', ""),
    ("a time beside a duration", 'after_end = "90m"', 'after_end = "90m"\nat = "09:00"',
     "line 31, messages[3].at", "is set with after_end",
     "only with days_before or days_after", ""),
    ("a time in the other form", '"09:00"', '"9:00 pm"',
     "line 26, messages[2].at", '"9:00 pm"',
     'a time in 24-hour form, "09:00" or "09:00:30"', "did you mean `21:00`?"),
    ("a time that no clock shows", '"09:00"', '"24:00"',
     "line 26, messages[2].at", '"24:00"',
     'a time in 24-hour form, "09:00" or "09:00:30"', ""),
    ("a duration in words", '"90m"', '"1 hour 30 minutes"',
     "line 30, messages[3].after_end", '"1 hour 30 minutes"',
     DURATION, "did you mean `1h 30m`?"),
    ("a duration without a unit", '"90m"', "90",
     "line 30, messages[3].after_end", "90",
     DURATION, 'write a text with units, such as "1h"'),
    ("a duration of nothing", '"90m"', '"0m"',
     "line 30, messages[3].after_end", '"0m", a duration of zero',
     DURATION, ""),
    ("a follow-up too late to be useful", '"90m"', '"45d"',
     "line 30, messages[3].after_end", "45 days after the end",
     "less than 30 days (720 hours)", ""),
    ("days in a fraction", "days_before = 1", "days_before = 1.5",
     "line 25, messages[2].days_before", "1.5",
     "a whole number of days on the calendar, 0 (the same day) to 366, together with at", ""),
    ("days before zero", "days_before = 1", "days_before = -1",
     "line 25, messages[2].days_before", "-1",
     "a whole number of days on the calendar, 0 (the same day) to 366, together with at", ""),
    ("a misspelt choice", 'at = "09:00"', 'at = "09:00"\nclock = "registrants"',
     "line 27, messages[2].clock", '"registrants"',
     'whose clock shows `at`: "registrant" or "webinar"', "did you mean `registrant`?"),
]
# fmt: on


def test_the_file_is_sound_before_the_edits() -> None:
    assert read_webinar(SOUND, "w.toml").id == "health-products"


@pytest.mark.parametrize(
    ("sound", "edited", "told"), [(*case[1:3], case[3:]) for case in CASES], ids=[case[0] for case in CASES]
)
def test_the_problem_says_what_to_fix(sound: str, edited: str, told: tuple[str, ...]) -> None:
    source = SOUND.replace(sound, edited, 1)
    assert source != SOUND

    with pytest.raises(WebinarProblems) as error:
        read_webinar(source, "w.toml")

    place, found, allowed, hint = told
    assert error.value.problems == (Problem(f"w.toml, {place}", found, allowed, hint),)


def test_a_problem_reads_as_one_line() -> None:
    with pytest.raises(WebinarProblems) as told:
        read_webinar(SOUND.replace('at = "09:00"', 'at = "9:00 am"'), "config/webinars/w.toml")

    assert str(told.value) == (
        'config/webinars/w.toml, line 26, messages[2].at: "9:00 am"; '
        'allowed: a time in 24-hour form, "09:00" or "09:00:30"; did you mean `09:00`?'
    )


def test_all_mistakes_of_a_file_are_told_at_once_in_the_order_of_its_lines() -> None:
    source = (
        SOUND.replace('"Health products"', '""')
        .replace("15:00:00", "12:00:00")
        .replace('"https://', '"http://')
        .replace("operators@who.int", "operators")
        .replace('at = "09:00"', 'at = "9"\nclok = "webinar"')
        .replace('"follow-up"', '"reminder"')
        .replace('after_end = "90m"', "")
    )

    with pytest.raises(WebinarProblems) as told:
        read_webinar(source, "w.toml")

    assert [problem.place for problem in told.value.problems] == [
        "w.toml, line 2, title",
        "w.toml, line 10, end",
        "w.toml, line 12, join_url",
        "w.toml, line 14, alert_to",
        "w.toml, line 26, messages[2].at",
        "w.toml, line 27, messages[2].clok",
        "w.toml, line 29, messages[3]",
        "w.toml, line 30, messages[3].id",
    ]


@pytest.mark.parametrize(
    ("source", "found"),
    [
        pytest.param("a = " + "[" * 100_000, "lists or tables are nested too deeply", id="depth"),
        pytest.param("a = " + "9" * 5_000, "a huge number", id="a number of 5,000 digits"),
    ],
)
def test_a_hostile_file_is_only_a_mistake(source: str, found: str) -> None:
    with pytest.raises(WebinarProblems) as told:
        read_webinar(source, "w.toml")

    assert told.value.problems == (Problem("w.toml", found, "a file in TOML"),)


def test_an_empty_file_lacks_every_key_that_is_needed() -> None:
    with pytest.raises(WebinarProblems) as told:
        read_webinar("", "w.toml")

    assert [problem.place.removeprefix("w.toml, ") for problem in told.value.problems] == [
        "id", "title", "about", "how_to_join", "organizers", "host", "held_in", "zone", "start", "end", "languages",
        "sender", "alert_to", "messages",
    ]  # fmt: skip
