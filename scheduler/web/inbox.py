"""The inbox of a rehearsal: every mail that every registrant got, and when, as files for a browser.

    index.html                  the registrants, and what became of the messages
    inbox.css
    people/NNNN.html            one registrant's messages in time; people/organizer.html: all mails of nobody's
    views/NNNN.html             the mail mails/NNNN.eml: HTML, text, source, invitation
    views/NNNN.body.html        its HTML alone, for a sandboxed frame

It works by file:// as it does when served, without script too (then without the filter), and asks nobody else for
anything. Whatever a registrant typed is escaped, and no page runs a script but our two, named by their hashes.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytz
from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from scheduler.mail.wording import ClockTime, clock_time, language_name, offset_text
from scheduler.timezones import Zone
from scheduler.web.received import Received, read_invitation, read_mail

FILES = frozenset({"index.html", "inbox.css", "deliveries.json"})
FOLDERS = frozenset({"people", "views", "mails"})

_PAGES = files("scheduler.web") / "inbox_pages"
_SCRIPTS = {name: (_PAGES / f"{name}.js").read_text("utf-8") for name in ("index", "view")}
_HASHES = {
    name: f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
    for name, script in _SCRIPTS.items()
}


def _page_policy(scripts: str) -> str:
    # file: is what 'self' means where there is no origin; over HTTP it matches nothing.
    return (
        f"default-src 'none'; script-src {scripts}; style-src 'self' file:; img-src data:; frame-src 'self' file:;"
        " base-uri 'none'; form-action 'none'"
    )


PAGE_POLICY = _page_policy(" ".join(_HASHES.values()))
BODY_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
)

# A head of our own comes first: what the mail says of its charset or policy can only add to it.
_BODY_HEAD = f"""<!DOCTYPE html><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{BODY_POLICY}">
<meta name="referrer" content="no-referrer">
"""
# Of an attribute that stands twice the first one counts.
_LINK = re.compile(r"<(a|area)(?=[\s/>])", re.IGNORECASE)
_OPENS_OUTSIDE = r'<\1 target="_blank" rel="noopener noreferrer"'

_FRAMED_AT_MOST = 60  # browsers refuse pages of very many frames; beyond, a mail opens in the place of the list

_KNOWN_BY = {
    "confirmed": "confirmed by the registrant",
    "timezone": "from the registration’s time zone",
    "country": "from the registration’s country",
    "assumed": "assumed: one of several in the country",
    "webinar": "not known: the webinar’s own",
}
_ATTENTION = ("failed", "held", "in_doubt", "expired")


@dataclass
class _Item:
    """One entry of a timeline."""

    title: str
    state: str
    reason: str
    due_local: str
    due_utc: str
    sent: str
    late: bool
    mail: str  # "0007", or "" where there is none to show
    subject: str = ""
    missing: str = ""


@dataclass
class _Person:
    name: str
    email: str
    zone: str
    known_by: str
    wanted: str
    deliveries: list[Mapping[str, Any]] = field(default_factory=list)
    page: str = ""

    @property
    def attention(self) -> list[str]:
        """The states that somebody should look at."""
        states = {_words(delivery, "state") for delivery in self.deliveries}
        return [state for state in _ATTENTION if state in states]


def write_inbox(out: Path, title: str, deliveries: Sequence[Mapping[str, Any]], mails: Sequence[Path]) -> Path:
    """Write the inbox into `out`, beside its `mails/`, and return the path of its index.html.

    `deliveries` are those of deliveries.json (times as ISO 8601; `eml` relative to `out`); `mails` are the .eml
    files as received. A mail that no delivery names is shown under "Organizer". Pages of an earlier rehearsal in
    `out` are replaced. Anything odd in a mail is shown as it is: only what the file system says is raised (OSError).
    """
    _clear(out)
    received: dict[str, Received] = {}
    people = _people(deliveries)
    owners = {Path(d["eml"]).stem: (p, d) for p in people for d in p.deliveries if d.get("eml")}
    strays: list[_Item] = []
    subjects: dict[str, str] = {}
    for path in sorted(mails):
        mail = read_mail(path.read_bytes())
        person, delivery = owners.get(path.stem, (None, None))
        _write_views(out, path, mail, person, delivery)
        subjects[path.stem] = mail.subject
        if person is None:
            strays.append(_stray(path.stem, mail))
    del received
    for person in people:
        items = [_item(delivery, subjects) for delivery in _in_time(person.deliveries)]
        _write_person(out, person, items)
    if strays:
        _write_organizer(out, strays)
    _write(out / "inbox.css", (_PAGES / "inbox.css").read_text("utf-8"))
    return _write_index(out, title, people, deliveries, len(mails), len(strays))
