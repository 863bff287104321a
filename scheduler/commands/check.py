"""`webinar check`: finds mistakes before a webinar goes live."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import click
from sqlalchemy import Connection

from scheduler.clock import SystemClock
from scheduler.commands.common import (
    EarlierDatabase,
    NoDatabase,
    existing_database,
    mistakes_reported,
    settings_of_environment,
)
from scheduler.database.scratch import scratch
from scheduler.governing.folder import Folder
from scheduler.governing.governor import TEXT_FILES, WEBINAR_FILES
from scheduler.governing.notices import Notice
from scheduler.governing.texts import sources_of
from scheduler.governing.webinars import duplicate_ids
from scheduler.input.toml_syntax import load_toml
from scheduler.mail.trial.runner import Found, check_texts
from scheduler.problem import Problem, Problems
from scheduler.pulling.reading import Access
from scheduler.registrants.rows import RegistrantsUnreadable
from scheduler.reports import checking
from scheduler.reports.checking import Effect, Finding, error, warning
from scheduler.reports.json_text import json_text
from scheduler.reports.looking import ask_verdicts, untried_texts
from scheduler.reports.retention import Coming, coming_if_saved
from scheduler.settings import Settings
from scheduler.smtp.pool import Pool, RelayFailure, RelaySettings
from scheduler.webinar.links import needs_pages, registration_page
from scheduler.webinar.model import Webinar, explain_time, placeholders, read_webinar


@click.command()
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--expect", type=click.IntRange(min=0), default=0, help="How many registrants there will be.")
@click.option("--json", "as_json", is_flag=True, help="Print findings as JSON.")
def check(file: Path | None, expect: int, as_json: bool) -> None:
    """Find what is wrong with one webinar, or all: files, texts, rules, registrants, the relay, an edit.

    Exit code 1 when there is an error; warnings alone leave it 0.
    """
    settings = settings_of_environment()
    with mistakes_reported():
        report = _Report.of(settings, file, expect)
    if as_json:
        click.echo(json_text(report.as_json()))
    else:
        report.print()
    sys.exit(1 if any(finding.severity == "error" for finding in report.findings) else 0)


class _Report:
    """Findings, in the order in which an organizer would fix them, and notes."""

    def __init__(self) -> None:
        self.times: dict[str, str] = {}
        self.pages: dict[str, str] = {}  # where people register, in words
        self.findings: list[Finding] = []
        self.well: list[str] = []  # what was tried, and is as it should be
        self.effects: dict[str, list[Effect]] = {}
        self.notices: list[Notice] = []
        self.removals: dict[str, Coming] = {}  # by path
        self.unknown = ""  # that nobody can say whom an edit would notify, and why
        self.sizes: Mapping[str, checking.Size] = {}  # of the mails, by the text's path

    @classmethod
    def of(cls, settings: Settings, file: Path | None, expect: int) -> _Report:
        report = cls()
        folder = Folder(settings.config_dir, WEBINAR_FILES)
        files = folder.read()
        report.findings += [error(folder.problem)] if folder.problem and file is None else []
        webinars = report._webinars(settings, file, files)
        report._texts(settings, list(webinars.values()), every=file is None)
        people = report._registrants(settings, webinars)
        for place, webinar in webinars.items():
            report._webinar(settings, place, webinar, people.get(place, {}), expect)
        asyncio.run(report._relays(settings))
        report.findings += checking.pages_findings(settings.pages_url)
        return report

    def _webinars(self, settings: Settings, file: Path | None, files: dict[str, bytes]) -> dict[str, Webinar]:
        """The sound webinars to check, by path. Finds what is wrong with the others, and ids that stand twice."""
        root = settings.config_dir
        sources = {str(root / name): raw for name, raw in files.items()}
        if file is not None:
            sources = _with(file, sources)
        webinars: dict[str, Webinar] = {}
        for path, raw in sources.items():
            wanted = file is None or _same(Path(path), file)
            try:
                webinars[path] = read_webinar(raw.decode("utf-8-sig"), path)
            except UnicodeDecodeError:
                self.findings += [error(Problem(path, "is not UTF-8", "UTF-8 text"))] if wanted else []
            except Problems as problems:
                self.findings += map(error, problems.problems) if wanted else []
        chosen = {path: one for path, one in webinars.items() if file is None or _same(Path(path), file)}
        if file is not None and not _is_in(
            root, files, file
        ):  # a copy of a webinar's file is checked as its edit
            edited = {one.id for one in chosen.values()}
            webinars = {path: one for path, one in webinars.items() if path in chosen or one.id not in edited}
        twice = duplicate_ids(webinars)
        self.findings += [error(twice[path]) for path in chosen if path in twice]
        for path, webinar in chosen.items():
            if missing := needs_pages(webinar, path, settings.pages_url):
                self.findings.append(error(missing))
        self.times = {path: explain_time(webinar) for path, webinar in chosen.items()}
        self.pages = {
            path: page for path, one in chosen.items() if (page := registration_page(one, settings.pages_url))
        }
        return chosen

    def _texts(self, settings: Settings, webinars: list[Webinar], *, every: bool) -> None:
        root = settings.templates_dir
        folder = Folder(root, TEXT_FILES)
        files = folder.read()
        self.findings += [error(folder.problem)] if folder.problem else []
        try:
            tried = check_texts(sources_of(files), webinars, root, ask=partial(_ask, settings))
        except Problems as layout:
            self.findings += map(error, layout.problems)
            return
        self.findings += checking.text_findings(webinars, root, files, tried.problems)
        if every:
            self.findings += checking.text_notes(webinars, root, files, tried.problems)
        self.findings += map(warning, untried_texts(root, tried))
        sound = {key: source for key, source in sources_of(files).items() if key in tried.sound}
        self.sizes = checking.mail_sizes(webinars, root, sound)
        self.findings += checking.cut_off_findings(self.sizes)

    def _registrants(self, settings: Settings, webinars: dict[str, Webinar]) -> dict[str, dict[str, int]]:
        """What the database has for each path: how many people by zone. Finds rows that are wrong, and what the
        files would change."""
        people: dict[str, dict[str, int]] = {}
        try:
            ids = [webinar.id for webinar in webinars.values()]
            with existing_database(settings) as database, scratch(database, ids) as conn:
                for place, webinar in webinars.items():
                    people[place] = checking.people_by_zone(conn, webinar.id)
                    self.findings += checking.row_findings(conn, webinar.id)
                    if removal := coming_if_saved(conn, SystemClock().now(), webinar):
                        self.removals[place] = removal
                effects, self.notices, refused = _effects(conn, settings, webinars)
                known = {one.problem for one in self.findings}
                self.findings += [error(one) for one in refused if one not in known]
                self.effects = {place: effects[webinar.id] for place, webinar in webinars.items()}
        except EarlierDatabase:
            not_checked = (
                "registrants, what these files would change, and whom they would notify, are not checked"
            )
            hint = f"until `webinar run` has brought it up to date, {not_checked}"
            earlier = Problem("the database", "is of an earlier version of this program", hint=hint)
            self.findings.append(warning(earlier))
        except RegistrantsUnreadable as reason:
            hint = "what these files would change, and whom they would notify, is not known until it is right"
            self.findings.append(error(Problem("the table registrants", str(reason), hint=hint)))
        except NoDatabase as reason:  # nobody has registered, then, or it is elsewhere
            self.unknown = (
                f"{reason} So whom an edit would notify is not known here; only the database of the service"
                " (DATABASE_URL) says who is registered, and what they know."
            )
        return people

    def _webinar(
        self, settings: Settings, place: str, webinar: Webinar, people: Mapping[str, int], expect: int
    ) -> None:
        self.findings += checking.own_words_findings(webinar, place)
        self.findings += checking.translation_findings(webinar, place)
        self.findings += checking.source_findings(webinar, place, Access.of(settings, os.environ))
        self.findings += checking.logo_findings(webinar, place, settings.templates_dir)
        if webinar.status == "draft":
            self.findings += [
                warning(Problem(f"{place}, {one.place}", one.found, one.allowed))
                for one in placeholders(webinar)
            ]
        self.findings += checking.rule_findings(webinar, place, people)
        self.findings += checking.weekend_findings(webinar, place, people)
        relay = settings.relay
        self.findings += checking.rate_findings(
            webinar, place, people, relay.per_minute, relay.per_day, expect
        )

    async def _relays(self, settings: Settings) -> None:
        """Whether each relay can be reached, secured and signed in to, and takes mails of these sizes. Not asked
        where none is set."""
        if "SMTP_HOST" not in os.environ:
            unset = Problem("environment variable SMTP_HOST", "is not set", hint="the relay is not checked")
            self.findings.append(warning(unset))
            return
        for relay in settings.relays:
            pool, place = Pool(relay), f"the relay {relay.host}:{relay.port}"
            try:
                async with pool.connection() as connection:
                    limit = connection.session.size_limit
                if limit is not None:
                    self.findings += checking.size_findings(place, limit, self.sizes)
                self.well.append(f"{place}: answers{_secured(relay)}, and takes mail")
            except RelayFailure as failure:
                self.findings.append(error(Problem(place, str(failure), hint=_fix(relay, str(failure)))))
            finally:
                await pool.close()

    def as_json(self) -> dict[str, Any]:
        return {
            "times": self.times,
            "findings": [
                {
                    "severity": finding.severity,
                    "place": finding.problem.place,
                    "found": finding.problem.found,
                    "allowed": finding.problem.allowed,
                    "fix": finding.problem.hint,
                }
                for finding in self.findings
            ],
            "notices": [one.as_json() for one in self.notices],
            "removals": {
                place: {"people": one.people, "from": one.at} for place, one in self.removals.items()
            },
            "edits": {
                place: [
                    {
                        "message": effect.message,
                        "pending_before": effect.pending_before,
                        "pending_after": effect.pending_after,
                        "at_once": effect.at_once,
                        "next_due": effect.next_due.isoformat() if effect.next_due else None,
                    }
                    for effect in effects
                ]
                for place, effects in self.effects.items()
            },
        }

    def print(self) -> None:
        for place, words in self.times.items():
            click.echo(f"{place}: {words}")
        for place, page in self.pages.items():
            click.echo(f"{place}: {page}")
        for place, effects in self.effects.items():
            for effect in effects:
                click.echo(f"{place}: {_effect_words(effect)}")
        for notice in self.notices:
            click.echo(f"Webinar {notice.webinar}: if saved now, {notice.who_and_when()} of {notice.what}")
        for place, removal in self.removals.items():
            click.echo(f"{place}: {removal.words}")
        if self.unknown:
            click.echo(self.unknown)
        for words in self.well:
            click.echo(words)
        for severity, colour in (("error", "red"), ("warning", "yellow"), ("note", "blue")):
            for problem in _joined(one.problem for one in self.findings if one.severity == severity):
                click.echo(f"{click.style(severity, fg=colour, bold=True)}: {problem}")
        errors = sum(finding.severity == "error" for finding in self.findings)
        warnings = sum(finding.severity == "warning" for finding in self.findings)
        click.echo(f"{_many(errors, 'error')}, {_many(warnings, 'warning')}")


def _ask(settings: Settings, digests: Sequence[str]) -> Mapping[str, Found]:
    """The stored verdicts of services, if there is a database."""
    with suppress(NoDatabase), existing_database(settings) as database:
        return ask_verdicts(database, digests)
    return {}


def _joined(problems: Iterable[Problem]) -> Iterator[Problem]:
    """Merge the same finding at several places into one line."""
    places: dict[tuple[str, str, str], list[str]] = {}
    for one in problems:
        places.setdefault((one.found, one.allowed, one.hint), []).append(one.place)
    for (found, allowed, hint), where in places.items():
        more = f" and {len(where) - 1} more places" if len(where) > 2 else ""
        yield Problem(f"{where[0]}{more}" if more else " and ".join(where), found, allowed, hint)


def _many(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _effect_words(effect: Effect) -> str:
    words = f"{effect.message}: {effect.pending_after} to be sent (before: {effect.pending_before})"
    if effect.at_once:
        words += f", {effect.at_once} of them at once"
    if effect.next_due:
        words += f", the next at {effect.next_due:%Y-%m-%d %H:%M} UTC"
    return words


def _with(file: Path, sources: dict[str, bytes]) -> dict[str, bytes]:
    """The folder's files, and `file`, wherever it is."""
    try:
        raw = file.read_bytes()
    except OSError as failure:
        raise Problems(
            [Problem(str(file), f"can't be read: {failure.strerror}", "a webinar's file")]
        ) from None
    others = {path: content for path, content in sources.items() if not _same(Path(path), file)}
    return {str(file): raw} | others


def _same(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve()


def _effects(
    conn: Connection, settings: Settings, webinars: dict[str, Webinar]
) -> tuple[dict[str, list[Effect]], list[Notice], list[Problem]]:
    """The effects of these files if the service read them now, by webinar id: whom it would notify, and why it would
    refuse an edit."""
    now, root = SystemClock().now(), settings.config_dir
    files = Folder(root, WEBINAR_FILES).read()
    there = {(root / name).resolve(): name for name in files}
    for place, webinar in webinars.items():
        if Path(place).resolve() in there:
            replaced = [there[Path(place).resolve()]]
        else:  # a file outside the folder, as if it were there
            replaced = [name for name, raw in files.items() if _id_of(raw) == webinar.id]
        for name in replaced:
            del files[name]
        files[os.path.relpath(place, root)] = Path(place).read_bytes()
    ids = [webinar.id for webinar in webinars.values()]
    governing, waiting, problems = checking.propose_files(
        conn, now, root, files, settings.return_within, settings.pages_url
    )
    ours = {str(root / os.path.relpath(place, root)): place for place in webinars}
    refused = [
        replace(one, place=one.place.replace(path, ours[path], 1))
        for path, found in problems.items()
        if path in ours
        for one in found
    ]
    effects = checking.edit_effects(conn, now, governing, ids, settings.return_within)
    return effects, [notice for name, notice in waiting.items() if name in ids], refused


def _is_in(root: Path, files: Iterable[str], file: Path) -> bool:
    return any(_same(root / name, file) for name in files)


def _id_of(raw: bytes) -> str:
    """The id in a webinar's file, or ""."""
    try:
        return str(load_toml(raw.decode("utf-8-sig")).get("id", ""))
    except (ValueError, RecursionError):
        return ""


def _secured(relay: RelaySettings) -> str:
    tls = ", in the clear" if relay.tls == "none" else ", in TLS"
    return f"{tls}, signed in" if relay.username else tls


def _fix(relay: RelaySettings, words: str) -> str:
    """The setting or place for an operator to look at first."""
    if "STARTTLS" in words:
        return "it may want SMTP_TLS=implicit and port 465, or, on this very machine, SMTP_TLS=none"
    if words.startswith("auth"):
        return "is the user name, the password or the token right, and of this relay?"
    if words.startswith("connect"):
        return (
            f"is it up, are SMTP_HOST and SMTP_PORT ({relay.port}) right, and does a firewall let mail out?"
        )
    return "until it answers, no mail goes out"
