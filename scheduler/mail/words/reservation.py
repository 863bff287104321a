"""The webinar, and a registrant's place at it, for programs that read pages and mails: schema.org's Event and
EventReservation.

JSON-LD in the HTML's head, for assistants such as Gmail's (https://schema.org/EventReservation). People do not see
it; calendars read the invitation instead.
"""

from __future__ import annotations

import json

from markupsafe import Markup

from scheduler.webinar.model import Webinar

_NOT_IN_SCRIPTS = {ord(one): f"\\u{ord(one):04x}" for one in "<>&\u2028\u2029"}
"""Escapes with which no value can end its script element (HTML, 4.12.1.3)."""
_ISOLATES = "\u2068\u2069"


def in_json(value: str) -> str:
    """`value` escaped for a JSON string inside a script element, without its quotes."""
    return json.dumps(value, ensure_ascii=False)[1:-1].translate(_NOT_IN_SCRIPTS)


def bare(name: str) -> str:
    """`name` as a mail shows it, without the isolates for running text."""
    return name.strip(_ISOLATES)


def reservation(webinar: Webinar, language: str, name: str, link: str, *, withdrawn: bool = False) -> Markup:
    """The content of the script element for a registrant with this name and link, either of which may be "".

    `withdrawn`: the registrant does not take part.
    """
    status = "Cancelled" if webinar.cancelled or withdrawn else "Confirmed"
    event = _event(webinar, language)
    whole: dict[str, object] = {
        "@context": "https://schema.org",
        "@type": "EventReservation",
        "reservationNumber": webinar.id,
        "reservationStatus": f"https://schema.org/Reservation{status}",
        "reservationFor": event,
    }
    if name:
        whole["underName"] = {"@type": "Person", "name": name}
    if link:
        event["location"] = {"@type": "VirtualLocation", "url": link}
    return _in_script(whole)


def event_data(webinar: Webinar, language: str, page: str, picture: str) -> Markup:
    """The content of the script element of a page where people register: `page` is its address, `picture` that of its
    picture."""
    words = webinar.words(language)
    return _in_script(
        {
            "@context": "https://schema.org",
            **_event(webinar, language),
            "description": words.about,
            "inLanguage": webinar.held_in,
            "url": page,
            "image": picture,
            "location": {"@type": "VirtualLocation", "url": page},
        }
    )


def _event(webinar: Webinar, language: str) -> dict[str, object]:
    words = webinar.words(language)
    return {
        "@type": "Event",
        "name": words.title,
        "startDate": webinar.start.isoformat().replace("+00:00", "Z"),
        "endDate": webinar.end.isoformat().replace("+00:00", "Z"),
        "eventAttendanceMode": "https://schema.org/OnlineEventAttendanceMode",
        "eventStatus": f"https://schema.org/Event{'Cancelled' if webinar.cancelled else 'Scheduled'}",
        "organizer": [{"@type": "Organization", "name": one} for one in words.organizers],
    }


def _in_script(data: dict[str, object]) -> Markup:
    # In short lines: those of a mail have at most 998 octets.
    written = json.dumps(data, ensure_ascii=False, indent=0)
    return Markup(written.translate(_NOT_IN_SCRIPTS))  # noqa: S704 (that is what makes it safe)
