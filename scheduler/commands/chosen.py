"""Arguments that `webinar timeline`, `preview` and `send-test` share: webinar, message, language, zone, instant."""

from __future__ import annotations

import os
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import click
import pytz
from pydantic_core import PydanticCustomError

from scheduler.commands.common import print_problems, webinar_file
from scheduler.governing.folder import webinar_files
from scheduler.governing.webinars import duplicate_ids
from scheduler.input.validation import shown
from scheduler.input.values import language as language_tag
from scheduler.problem import Problem, Problems, nearest
from scheduler.webinar.model import Webinar
from scheduler.zones.cldr import canonical
from scheduler.zones.wall import LAST_YEAR, UnknownZone, Zone, webinar_zone

# In a registrant's row these may be something else: an offset, perhaps London's; New York's or Denver's time.
_TZDATAS_OWN = {"GMT": "", "GMT+0": "", "GMT-0": "", "EST": "UTC-05:00", "MST": "UTC-07:00"}
AN_INSTANT = "an instant with its offset from UTC, such as 2025-06-12T07:05:00Z or 2025-06-12T09:05+02:00"


def config_dir() -> Path:
    return Path(os.environ.get("CONFIG_DIR") or "config")


def chosen_webinars(file: Path | None) -> tuple[dict[str, Webinar], bool]:
    """The webinar of `file`, or all of CONFIG_DIR, by path; and whether none had to be left out.

    What is wrong with the files that were left out is reported on stderr. Raises Problems where none is left.
    """
    folder = config_dir() / "webinars"
    if file is not None:
        file = _named(file, folder)
        return {str(file): webinar_file(file)[1]}, True
    files = webinar_files(folder)
    if not files:
        raise Problems([Problem(str(folder), "holds no webinar", "a folder with .toml files")])
    found: dict[str, Webinar] = {}
    problems: list[Problem] = []
    for path in files:
        try:
            found[str(path)] = webinar_file(path)[1]
        except Problems as error:
            problems += error.problems
    problems += duplicate_ids(found).values()
    if not found:
        raise Problems(problems)
    print_problems(problems)
    return found, not problems


def _named(file: Path, folder: Path) -> Path:
    """This file; if it does not exist and is the id of a webinar in the folder, that webinar's file."""
    if file.exists() or len(file.parts) > 1 or file.suffix:
        return file
    for path in webinar_files(folder):
        with suppress(Problems):
            if webinar_file(path)[1].id == str(file):
                return path
    return file


def the_webinar(file: Path | None, message: str | None = None) -> Webinar:
    """The webinar of `file`, or the only one of CONFIG_DIR, or the only one there that sends this message. Raises
    Problems where there are several."""
    found, _ = chosen_webinars(file)
    with_it = {path: one for path, one in found.items() if message in one.message_ids} or found
    if len(with_it) == 1:
        (path, webinar), *_ = with_it.items()
        if len(found) > 1:
            click.echo(f"Of {len(found)} webinars only {path} sends `{message}`.", err=True)
        return webinar
    sends = f" that send `{message}`" if message and len(with_it) < len(found) else ""
    problem = Problem(
        "--webinar", f"is not given, and there are {len(with_it)} webinars{sends}", ", ".join(with_it)
    )
    raise Problems([problem])


def asked(
    webinar: Webinar, message: str, language: str | None, zone: str | None
) -> tuple[str | None, Zone | None]:
    """The message, language and zone that MESSAGE, `--language` and `--zone` name. Raises Problems with all
    mistakes."""
    problems: list[Problem] = []
    tag, place = None, None
    if message not in (allowed := webinar.message_ids):
        found = Problem(
            "MESSAGE", f"`{message}` is none of {webinar.id}", ", ".join(allowed), nearest(message, allowed)
        )
        problems.append(found)
    try:
        tag = str(language_tag(language)) if language is not None else None
    except PydanticCustomError as error:
        said = error.context or {}
        tags = "a language tag (BCP 47) such as en, fr or pt-BR"
        problems.append(Problem("--language", str(said["found"]), tags, str(said["hint"])))
    try:
        place = zone_asked(zone) if zone is not None else None
    except Problems as error:
        problems += error.problems
    if problems:
        raise Problems(problems)
    return tag, place


def zone_asked(name: str) -> Zone:
    """The zone that `--zone` means: any name that a registrant may write. A name of the tz database stays what it is
    (US/Eastern, EST), for scripts that look for it. Raises Problems."""
    if name in _TZDATAS_OWN:
        if offset := _TZDATAS_OWN[name]:
            click.echo(f"--zone {name}: the tz database's, {offset} all year.", err=True)
        return pytz.timezone(name)
    try:
        zone = webinar_zone(name)
    except UnknownZone as unknown:
        problem = Problem("--zone", f"{shown(name)}, {unknown}", "a time zone such as Africa/Nairobi")
        raise Problems([problem]) from None
    same = name in pytz.all_timezones_set and canonical(name) == str(zone)
    return pytz.timezone(name) if same else zone


def instant_asked(text: str, option: str = "--registered-at") -> datetime:
    """The instant that an option names in ISO 8601. Raises Problems: a time without an offset from UTC is
    another instant for every reader."""
    try:
        instant = datetime.fromisoformat(text.strip())
    except ValueError:
        raise _no_instant(option, f"{shown(text)}, which is no time in ISO 8601") from None
    if instant.tzinfo is None:
        raise _no_instant(option, f"{shown(text)}, which does not say its offset from UTC")
    if not 1970 <= instant.year <= LAST_YEAR:
        raise _no_instant(
            option, f"{shown(text)}; the rules of time zones are known from 1970 to {LAST_YEAR}"
        )
    return instant


def _no_instant(option: str, found: str) -> Problems:
    return Problems([Problem(option, found, AN_INSTANT)])
