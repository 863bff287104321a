"""A registrant's place at the webinar for programs that read mails: schema.org's EventReservation.

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
    words = webinar.words(language)
    status = "Cancelled" if webinar.cancelled or withdrawn else "Confirmed"
    event: dict[str, object] = {
        "@type": "Event",
        "name": words.title,
        "startDate": webinar.start.isoformat().replace("+00:00", "Z"),
        "endDate": webinar.end.isoformat().replace("+00:00", "Z"),
        "eventAttendanceMode": "https://schema.org/OnlineEventAttendanceMode",
        "eventStatus": f"https://schema.org/Event{'Cancelled' if webinar.cancelled else 'Scheduled'}",
        "organizer": [{"@type": "Organization", "name": one} for one in words.organizers],
    }
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
    written = json.dumps(
        whole, ensure_ascii=False, indent=0
    )  # in short lines: those of a mail have at most 998 octets
    return Markup(written.translate(_NOT_IN_SCRIPTS))  # noqa: S704 (that is what makes it safe)
