"""The addresses in a person's mails: of their own page, and of where they join. Pure.

`pages_url`: where registrants reach their pages ("https://webinars.who.int"); "" if the service has none.
"""

from __future__ import annotations

from scheduler.problem import Problem
from scheduler.webinar.model import Webinar


def page_of(key: str, pages_url: str) -> str:
    """The page of the registration with this key; "" without pages."""
    return f"{pages_url}/r/{key}" if pages_url and key else ""


def registration_page(webinar: Webinar, pages_url: str) -> str:
    """The address of the page on which people register, and whether it is open, in words; "" if there is none."""
    if webinar.registration == "closed" or not pages_url:
        return ""
    opens = " (opens when the webinar is live)" if webinar.status == "draft" else ""
    return f"People register at {pages_url}/w/{webinar.id}{opens}"


def forwards(webinar: Webinar, pages_url: str) -> bool:
    """Whether mails and calendars hold a link of ours, which leads to the link of the moment."""
    return webinar.join_link == "forward" and bool(pages_url)


def shared_link(webinar: Webinar, pages_url: str) -> str:
    """The link to join of everybody without one of their own; of a webinar that forwards, the part of everybody's link
    before their key."""
    return f"{pages_url}/j/" if forwards(webinar, pages_url) else webinar.join_url


def told_link(webinar: Webinar, own: str, key: str, pages_url: str) -> str:
    """The link to join that a person is told, whose own link is `own` ("" if there is none)."""
    shared = shared_link(webinar, pages_url)
    return f"{shared}{key}" if forwards(webinar, pages_url) else own or shared


def needs_pages(webinar: Webinar, place: str, pages_url: str) -> Problem | None:
    """The problem of a webinar, in the file `place`, that forwards where there are no pages."""
    if webinar.join_link == "direct" or pages_url:
        return None
    return Problem(
        f"{place}, join_link",
        '"forward", but PAGES_URL is not set',
        '"direct", or a service with PAGES_URL',
        "the link that never changes is one of the registrants' pages; docs/operator.md says how to publish them",
    )
