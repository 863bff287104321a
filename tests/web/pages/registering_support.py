"""A registration page and its form, as a browser sends it."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import httpx

from tests.support import SEQUENCE, webinar
from tests.web.pages.support import Site

QUESTIONS = """
[[questions]]
id = "role"
kind = "choice"
words = "What is your role?"
options = ["Procurement", "Ministry"]
required = true

[questions.translations.fr]
words = "Quelle est votre fonction ?"
options = ["Achats", "Ministère"]

[[questions]]
id = "first"
kind = "yes-no"
words = "Is this your first webinar?"

[[questions]]
id = "ask"
words = "What would you like to ask?"
"""
ANA = {
    "name": "Ana Ruiz",
    "address": "ana@who.int",
    "zone": "Africa/Nairobi",
    "country": "Kenya",
    "language": "fr",
}
A_MINUTE = timedelta(minutes=1)


class Form:
    """The form of the page of one webinar, and the seconds for which a person fills it in."""

    def __init__(self, site: Site, name: str = "w") -> None:
        self.site, self.path = site, f"/w/{name}"

    def stamp(self) -> str:
        found = re.search('name="stamp" value="([^"]*)"', self.site.get(self.path).text)
        assert found
        return found[1]

    def send(
        self, *, after: timedelta = A_MINUTE, computer: str = "192.0.2.1", **typed: Any
    ) -> httpx.Response:
        """What is typed into the form that was shown a minute ago, as Ana would but for these fields."""
        stamp = self.stamp()
        self.site.clock.at += after
        return self.site.post(self.path, {**ANA, "stamp": stamp, **typed}, computer=computer)


def open_page(site: Site, sequence: str = SEQUENCE, registration: str = "open", **changed: Any) -> Form:
    """A webinar for which people register by its page."""
    one = webinar(sequence, registration=registration, **changed)
    site.ledger.govern(one)
    return Form(site, one.id)
