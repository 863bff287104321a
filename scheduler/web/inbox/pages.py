"""The inbox of a rehearsal: every mail that every registrant got, and when, as files for a browser.

    index.html                  the registrants, and what became of the messages
    inbox.css
    mails.html                  every mail in time, with filters
    timeline.html               the rehearsal's timeline.svg: what goes out when, by message and zone
    people/NNNN.html            one registrant's messages in time; people/organizer.html: mails of no delivery
    views/NNNN.html             the mail mails/NNNN.eml: HTML, text, source, invitation
    views/NNNN.body.html        its HTML alone, for a sandboxed frame

It works by file:// as it does when served, without script too (then without the filter), and asks nobody else for
anything. What a registrant typed is escaped, and no page runs a script but our four, named by their hashes.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache, partial
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import pytz
from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from scheduler.mail.received import Received, read_invitation, read_mail
from scheduler.mail.words.wording import city_name, clock_time
from scheduler.reports.timeline import Clock
from scheduler.web.inbox.timeline import (
    Item,
    Moment,
    Person,
    common_start,
    counts,
    item,
    left,
    listed,
    mail_number,
    people,
    word,
)
from scheduler.webinar.model import Webinar
from scheduler.zones.wall import Zone

FILES = frozenset(
    {"index.html", "inbox.css", "deliveries.json", "mails.html", "timeline.html", "timeline.svg"}
)
FOLDERS = frozenset({"people", "views", "mails"})

_PAGES = files("scheduler.web.inbox") / "assets"
_SCRIPTS = {name: (_PAGES / f"{name}.js").read_text("utf-8") for name in ("index", "mails", "person", "view")}


def _hash(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


@cache
def _page_policy(*scripts: str) -> str:
    # file: is what 'self' means by file://, where there is no origin; over HTTP it matches nothing.
    allowed = " ".join(map(_hash, scripts)) or "'none'"
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'self' file:;"
        " img-src 'self' file: data:; frame-src 'self' file:; base-uri 'none'; form-action 'none'"
    )


PAGE_POLICY = _page_policy(*_SCRIPTS.values())
BODY_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
)

# A head of our own comes first: what the mail says of charset and policy can then only narrow it.
_BODY_HEAD = f"""<!DOCTYPE html>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{BODY_POLICY}">
<meta name="referrer" content="no-referrer">
"""
# Of an attribute that stands twice, the first one counts.
_LINK = re.compile(r"<(a|area)(?=[\s/>])", re.IGNORECASE)
_OPENS_OUTSIDE = r'<\1 target="_blank" rel="noopener noreferrer"'

# Each mail in a timeline has a frame that loads when it is shown. Browsers allow a page about a thousand; beyond
# these, a mail opens in the timeline's place.
_FRAMES_AT_MOST = 20

MANY = 1000  # mails, which take longer than other processes take to start
MOST_PROCESSES = 4


class Timeline(NamedTuple):
    """A timeline as a picture, whose file is in the inbox's folder, and as a list for phones."""

    picture: str
    clocks: Sequence[Clock]
    names: Mapping[str, str]
    """The name of each message, by its id."""


class _Owner(NamedTuple):
    """The owner of a mail's page, their clock, when the mail left, and where its text is edited ("" if unknown)."""

    page: str
    zone: Zone
    sent: Moment | None
    edited_at: str = ""


class _Head(NamedTuple):
    """What a page about many mails shows of each."""

    subject: str
    date: str
    to: str


_NOBODY = _Owner("organizer", pytz.utc, None)


def write_inbox(
    out: Path,
    title: str,
    deliveries: Sequence[Mapping[str, Any]],
    mails: Sequence[Path],
    timeline: Timeline | None = None,
    webinar: Webinar | None = None,
    *,
    rehearsed: bool = True,
) -> Path:
    """Write the inbox into `out`, beside its `mails/`; returns the path of index.html.

    `deliveries` are those of deliveries.json (times in ISO 8601; `eml` relative to `out`), `mails` the .eml files
    as received. Mails that no delivery names are shown under "Organizer". Pages of an earlier rehearsal in `out`
    are replaced. `webinar` is the one that all deliveries are of: its clock stands beside the readers', and its texts
    are linked where the editor is served beside the inbox. `rehearsed`: else the mails arrived at a test relay, where
    there is no editor. What is odd in a mail is shown as it is;
    OSError where the disk doesn't play along.
    """
    _clear(out)
    registrants = people(deliveries)
    owners = {
        mail_number(delivery): _Owner(
            f"{number:04d}", person.zone, left(delivery), _edited_at(delivery, webinar)
        )
        for number, person in enumerate(registrants, 1)
        for delivery in person.deliveries
    }
    paths = sorted(mails, key=lambda path: path.stem)
    heads = _write_views(out, paths, [owners.get(path.stem, _NOBODY) for path in paths])
    subjects = {path.stem: head.subject for path, head in zip(paths, heads, strict=True)}
    strays = [
        Item(title=head.subject or "(no subject)", mail=path.stem, sent=head.date, to=head.to)
        for path, head in zip(paths, heads, strict=True)
        if path.stem not in owners
    ]
    for number, person in enumerate(registrants, 1):
        _write_timeline(out, f"{number:04d}", person, map(item, person.deliveries), subjects)
    if strays:
        _write_timeline(out, "organizer", None, strays, subjects)
    _write_mails(out, title, deliveries, subjects, webinar, timeline, rehearsed=rehearsed)
    _write(out / "inbox.css", (_PAGES / "inbox.css").read_text("utf-8"))
    if timeline:
        policy = _page_policy(_SCRIPTS["mails"])
        _render(
            out / "timeline.html",
            "timeline",
            policy=policy,
            script=_SCRIPTS["mails"],
            title=title,
            timeline=timeline,
        )
    index = out / "index.html"
    _render(
        index,
        "index",
        policy=_page_policy(_SCRIPTS["index"]),
        script=_SCRIPTS["index"],
        title=title,
        people=registrants,
        counts=counts(deliveries),
        mails=len(subjects),
        strays=len(strays),
        starts=common_start(deliveries),
        has_timeline=timeline is not None,
        rehearsed=rehearsed,
    )
    return index


def _edited_at(delivery: Mapping[str, Any], webinar: Webinar | None) -> str:
    """The path of the page on which the text of this delivery is edited."""
    text = webinar.text_of.get(word(delivery, "message"), "") if webinar else ""
    language = word(delivery, "text_language")
    return f"/templates/{text}/{language}" if text and language else ""


def _write_mails(
    out: Path,
    title: str,
    deliveries: Iterable[Mapping[str, Any]],
    subjects: Mapping[str, str],
    webinar: Webinar | None,
    timeline: Timeline | None,
    *,
    rehearsed: bool,
) -> None:
    """The page of all mails, those that went out first on top."""
    zone = webinar.tz if webinar else pytz.utc
    place = (webinar.place or city_name(zone, "en") if webinar else "") or "UTC"
    rows = [listed(delivery, zone) for delivery in deliveries]
    _render(
        out / "mails.html",
        "mails",
        policy=_page_policy(_SCRIPTS["mails"]),
        script=_SCRIPTS["mails"],
        title=title,
        rows=sorted(rows, key=lambda row: (row.at, row.email)),
        subjects=subjects,
        place=place,
        has_timeline=timeline is not None,
        rehearsed=rehearsed,
    )


def _write_timeline(
    out: Path, page: str, person: Person | None, items: Iterable[Item], subjects: Mapping[str, str]
) -> None:
    shown = list(items)
    first = next((entry for entry in shown if entry.mail in subjects), shown[0])
    _render(
        out / "people" / f"{page}.html",
        "person",
        policy=_page_policy(_SCRIPTS["person"]),
        script=_SCRIPTS["person"],
        person=person,
        items=shown,
        first=first,
        subjects=subjects,
        framed=len(shown) <= _FRAMES_AT_MOST,
    )


def _write_views(out: Path, mails: Sequence[Path], owners: Sequence[_Owner]) -> list[_Head]:
    """A page for each mail. Of very many, which have nothing to do with each other, each processor writes its part."""
    view = partial(_view_of, out)
    if len(mails) < MANY:
        return list(map(view, mails, owners))
    # Imported here: the service, which shows other pages, never needs them.
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    processes = min(os.cpu_count() or 1, MOST_PROCESSES)
    # Spawned, since this process has threads, whose locks a fork would copy as they are.
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        return list(pool.map(view, mails, owners, chunksize=100))


def _view_of(out: Path, path: Path, owner: _Owner) -> _Head:
    mail = read_mail(path.read_bytes())
    _write_view(out, path.stem, mail, owner)
    return _Head(mail.subject, mail.date, mail.to)


def _write_view(out: Path, number: str, mail: Received, owner: _Owner) -> None:
    invitation = read_invitation(mail.calendar) if mail.calendar else None
    clocks = []
    if invitation and invitation.start and invitation.end:
        zones = dict.fromkeys((owner.zone, pytz.utc))
        clocks = [clock_time(invitation.start, invitation.end, each, "en") for each in zones]
    _render(
        out / "views" / f"{number}.html",
        "view",
        policy=_page_policy(_SCRIPTS["view"]),
        script=_SCRIPTS["view"],
        number=number,
        mail=mail,
        page=owner.page,
        invitation=invitation,
        clocks=clocks,
        sent=owner.sent,
        edited_at=owner.edited_at,
    )
    if mail.html:
        body = _BODY_HEAD + _LINK.sub(_OPENS_OUTSIDE, mail.html)
        _write(out / "views" / f"{number}.body.html", body)


def _clear(out: Path) -> None:
    """Remove the files of an earlier rehearsal, by our own names only: `out` may be anybody's folder."""
    for folder in ("people", "views"):
        (out / folder).mkdir(parents=True, exist_ok=True)
        for page in (out / folder).glob("*.html"):
            if re.fullmatch(r"(\d+(\.body)?|organizer)\.html", page.name):
                page.unlink()


@cache
def _environment() -> Environment:
    return Environment(
        loader=ChoiceLoader(
            [PackageLoader("scheduler.web.inbox", "assets"), PackageLoader("scheduler.web.look", ".")]
        ),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _render(path: Path, template: str, **values: Any) -> None:
    _write(path, _environment().get_template(f"{template}.html").render(values))


def _write(path: Path, text: str) -> None:
    """Write a page whole: it may be served at this moment."""
    fresh = path.with_name(f".{path.name}")
    # A charset that Python knows can make half a surrogate pair, which no file can hold.
    fresh.write_bytes(text.encode("utf-8", "replace"))
    fresh.replace(path)
