"""What somebody typed into the form of a registration page, and what is wrong with it. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from scheduler.input.addresses import likely_domain, why_no_address
from scheduler.mail.words.names import LONGEST, clean_name
from scheduler.web.pages.zone_search import Place, chosen_zone, search_zones
from scheduler.webinar.model import Webinar
from scheduler.webinar.questions import Answers, Question, checked
from scheduler.zones.countries import country_code
from scheduler.zones.wall import zone_of

TRAP = "comments"
"""The name of a field that people do not see. Programs that fill in every field are known by it."""
STAMP = "stamp"
KEPT = "kept"
"""The name of a field with an address that looks mistyped, and which a person has seen."""
LONGEST_LINE = 200  # characters
ANSWER = "answer-"
"""What the name of a question's field begins with."""
_LINK = re.compile("//|www[.]", re.IGNORECASE)
YES_NO = {"yes": True, "no": False}


@dataclass(frozen=True)
class Entry:
    """A form that can be taken in, or the reasons why not.

    `wrong`: by field, in the order of the form, the name of a phrase in the table [register]. `places`: what an unclear
    zone may mean. `slip`: the address that is likely meant, where the domain looks mistyped; "" for none.
    """

    name: str = ""
    address: str = ""
    language: str = ""
    zone: str = ""
    country: str = ""
    organization: str = ""
    answers: Answers = field(default_factory=dict)
    consent: str = ""
    wrong: Mapping[str, str] = field(default_factory=dict)
    places: tuple[Place, ...] = ()
    slip: str = ""


def read_entry(webinar: Webinar, language: str, typed: Mapping[str, str]) -> Entry:
    """The entry that was typed into the page in this language. The first look-up of a country or city takes a
    second."""
    said = {name: " ".join(value.split()) for name, value in typed.items()}
    wrong: dict[str, str] = {}
    name, address = said.get("name", ""), said.get("address", "")
    if not name:
        wrong["name"] = "name_missing"
    elif len(name) > LONGEST or _LINK.search(name) or not clean_name(name):
        wrong["name"] = "name_unusable"
    if why_no_address(address):
        wrong["address"] = "address_unusable" if address else "address_missing"
    country = country_code(said["country"]) if said.get("country") else ""
    if country is None:
        wrong["country"] = "country_unknown"
    zone, places = find_zone(
        webinar, language, said.get("zone-choice") or said.get("zone", ""), country or ""
    )
    if zone is None:
        wrong["zone"] = "zone_unclear" if places else "zone_unknown"
    organization = said.get("organization", "")
    if len(organization) > LONGEST_LINE:
        wrong["organization"] = "too_long"
    answers, mistakes = _answers(webinar.questions, said)
    consent = webinar.consent_in(language)
    if consent and not said.get("consent"):
        mistakes["consent"] = "consent_missing"
    chosen = said.get("language", "")
    return Entry(
        name=name,
        address=address,
        language=chosen if chosen in webinar.languages else webinar.languages[0],
        zone=zone or "",
        country=country or "",
        organization=organization,
        answers=answers,
        consent=consent,
        wrong=wrong | mistakes,
        places=places,
        slip=_meant(address),
    )


def _meant(address: str) -> str:
    name, _, domain = address.rpartition("@")
    meant = likely_domain(domain.lower())
    return f"{name}@{meant}" if meant else ""


def find_zone(
    webinar: Webinar, language: str, said: str, country: str = ""
) -> tuple[str | None, tuple[Place, ...]]:
    """The zone that is meant by a city, a country or a zone as people write it, and "" by nothing; None if it is
    unknown or unclear, with the places that may be meant."""
    if not said:
        return "", ()
    if zone := chosen_zone(said):  # as browsers say it
        return zone, ()
    found = zone_of(said, country, webinar.tz, webinar.start)
    if found.known_by in ("timezone", "country") and not found.problem:
        return found.zone, ()
    places = search_zones(said, language, webinar.start).places
    return (places[0].zone, ()) if len(places) == 1 else (None, places)


def _answers(questions: tuple[Question, ...], said: Mapping[str, str]) -> tuple[Answers, dict[str, str]]:
    """The answers, and what is wrong with others by field. An option is named by its number."""
    given: dict[str, object] = {}
    for question in questions:
        value = said.get(ANSWER + question.id, "")
        match question.kind:
            case "yes-no":
                given[question.id] = YES_NO.get(value)
            case "choice":
                options = dict(zip(map(str, range(len(question.options))), question.options, strict=False))
                given[question.id] = options.get(value, value)
            case "text":
                given[question.id] = value
    answers, problems = checked(questions, given)
    missing = {one.id for one in questions if one.required and said.get(ANSWER + one.id, "") == ""}
    return answers, {
        ANSWER + one.place: "answer_missing" if one.place in missing else "answer_unusable"
        for one in problems
    }
