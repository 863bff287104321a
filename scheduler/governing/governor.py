"""Keeps what governs up to date with the folders of webinars and texts, and reports what is wrong with their files."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime

import structlog
from sqlalchemy.exc import DBAPIError

from scheduler import alerts
from scheduler.alerts import AlertKey
from scheduler.database.engine import Database
from scheduler.governing import proposals
from scheduler.governing.folder import Folder, Watch
from scheduler.governing.revisions import Revisions
from scheduler.governing.templates import Templates
from scheduler.governing.texts import authors_of
from scheduler.governing.webinars import Catalogue, propose_webinars
from scheduler.ledger import settling
from scheduler.ledger.planning import Governing
from scheduler.mail.texts import Key, Texts
from scheduler.problem import Problem
from scheduler.readiness import Kind, Reason, reasons
from scheduler.settings import Settings
from scheduler.webinar.model import Webinar

log = structlog.get_logger()

WEBINAR_FILES, TEXT_FILES = "webinars/*.toml", "*/*"  # below CONFIG_DIR and TEMPLATES_DIR


class Governor:
    """The webinars and texts that govern; `poll` reads what was edited since."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        *,
        drafts_too: bool,
        holder: int = 0,
        waits: bool = False,
    ) -> None:
        """`holder`: this service's number among the replicas, or 0. `waits`: `poll` waits until texts are tried."""
        self._holder = holder
        self.catalogue = Catalogue()
        self.revisions = Revisions(settings.pages_url)
        self.templates = Templates(settings.templates_dir, database, holder, waits=waits)
        self._failure: tuple[Problem, ...] = ()
        self._revisions_changed = False  # since the texts were tried with the webinars that govern
        self._reported: dict[str, dict[AlertKey, str]] = {}  # by prefix of the alerts' keys
        self._undecided: dict[str, frozenset[str]] = {}  # by prefix: keys never decided since the start
        self._settings, self._database, self._drafts_too = settings, database, drafts_too
        self._webinars = Watch(Folder(settings.config_dir, WEBINAR_FILES))
        self._texts = Watch(Folder(settings.templates_dir, TEXT_FILES))

    @property
    def texts(self) -> Texts:
        """The texts that go out."""
        return self.templates.texts

    @property
    def live(self) -> list[str]:
        """The ids of the webinars whose mails go out."""
        return self.catalogue.live(drafts_too=self._drafts_too)

    def problems(self) -> list[Problem]:
        """All that is wrong with the files now."""
        return [*file_problems(self.catalogue, self.texts, self.templates.layout_problems), *self._failure]

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """What is wrong with the folders, the files, or the trials of texts."""
        folders = [self._webinars.folder, self._texts.folder]
        return (
            *reasons(Kind.FOLDER, [str(one.problem) for one in folders if one.problem]),
            *reasons(Kind.FILE, map(str, self.problems())),
            *reasons(Kind.NOT_TRIED, [self.templates.trials.trouble]),
            *reasons(Kind.FOLDER_SLOW, [self._webinars.note, self._texts.note]),
        )

    async def start(self, now: datetime) -> None:
        """Read everything once, without a second read that agrees. A folder that does not answer is read later."""
        await self._database.run(proposals.reset_holder, self._holder)
        webinars, texts = await asyncio.gather(self._webinars.read_once(), self._texts.read_once())
        for watch in (self._webinars, self._texts):
            if watch.folder.problem:
                log.error("a folder of files cannot be read", problem=str(watch.folder.problem))
        await self._absorb(now, webinars, texts)
        await self.templates.until_any()
        if self.templates.trials.news:
            await self._absorb(now, None, self._texts.folder.returned)

    def adopt(self, governing: Mapping[str, Governing]) -> None:
        """Use the revisions that govern now, whoever proposed them. The next `poll` has the texts tried with them."""
        before, self.catalogue = self.catalogue, replace(self.catalogue, governing=governing)
        self._revisions_changed |= before.revisions != self.catalogue.revisions

    async def poll(self, now: datetime) -> bool:
        """Absorb what was edited here or at another service, and the results of trials. Returns whether there was
        anything. If it raises, the next call absorbs the same again."""
        webinars, texts = await asyncio.gather(self._webinars.poll(), self._texts.poll())
        edited = webinars is not None or texts is not None or self._revisions_changed
        if not edited and not await self.templates.changed(now):
            return False
        try:
            await self._absorb(now, webinars, self._texts.folder.returned)
        except BaseException:
            self.read_again()
            raise
        self._revisions_changed = False
        return True

    def read_again(self) -> None:
        """Have the next `poll` absorb all files as if they had just been edited."""
        self._webinars.folder.return_again()
        self._texts.folder.return_again()

    async def until_tried(self) -> None:
        """Wait until all texts are tried, or cannot be. The next `poll` absorbs the results."""
        await self.templates.trials.until_idle()

    async def stop(self) -> None:
        """Stop trying texts."""
        await self.templates.trials.stop()

    async def _absorb(
        self, now: datetime, webinars: Mapping[str, bytes] | None, texts: Mapping[str, bytes] | None
    ) -> None:
        """Absorb edited files; None: nothing was edited, or the folder has not answered yet. Raises DBAPIError. Any
        other exception is a bug that some file triggers: it is reported, and what governed before stays in force, since
        a service that fails at each tick would plan nothing at all."""
        try:
            if webinars is not None:
                await self._absorb_webinars(now, webinars)
            await self._absorb_texts(now, texts)
        except DBAPIError:
            raise
        except Exception as error:
            log.exception("files could not be absorbed")
            folders = f"{self._settings.config_dir} and {self._settings.templates_dir}"
            found = f"reading them failed: {type(error).__name__}"
            self._failure = (Problem(folders, found, hint="see the service's log; fix the last edit"),)
        else:
            self._failure = ()

    async def _absorb_webinars(self, now: datetime, files: Mapping[str, bytes]) -> None:
        try:
            catalogue = await self._database.run(
                propose_webinars, now, self._settings.config_dir, files, self.revisions, self._holder,
                self._settings.return_within,
            )  # fmt: skip
        except BaseException:
            self.revisions.forget()  # it may have read rows of the transaction that was rolled back
            raise
        for path, problems in catalogue.problems.items():
            log.error("webinar file is not sound", file=path, problems=_lines(problems))
        wrong = {
            AlertKey(f"webinar file {path}", address): "\n".join(_lines(mistakes))
            + f"\n\nUntil then {catalogue.meanwhile.get(path, 'its last sound revision governs, if there is one')}."
            for path, mistakes in catalogue.mistakes.items()
            for address in catalogue.concerned[path]
        }
        await self._report(now, wrong, "webinar file ")
        self.catalogue = catalogue

    async def _absorb_texts(self, now: datetime, files: Mapping[str, bytes] | None) -> None:
        await self.templates.absorb(now, files, list(self.catalogue.webinars.values()))
        if problems := self.templates.layout_problems:
            log.error("layout is not sound", problems=_lines(problems))
        await self._report_layout(now)
        if self.templates.layout is None:
            return
        for (message, language), problems in self.texts.problems.items():
            log.error("text is not sound", message=message, language=language, problems=_lines(problems))
        for messages, webinars_with_them in self._sendable().items():
            await self._database.run(settling.release_held, now, webinars_with_them, messages)
        sources = self.templates.sources
        authors = await self._database.run(authors_of, sources, self.texts.problems)
        if files:
            undecided = frozenset(_alert(key) for key in self.templates.verdicts.untried)
            await self._report(now, self._wrong_texts(authors), "text ", undecided)

    def _sendable(self) -> dict[tuple[str, ...], list[str]]:
        """The ids of the webinars, grouped by their messages that have a text to send in any of their languages."""
        same: dict[tuple[str, ...], list[str]] = {}
        for webinar in self.catalogue.webinars.values():
            messages = tuple(
                message
                for message in webinar.message_ids
                if any(self.texts.find(webinar, message, language) for language in webinar.languages)
            )
            same.setdefault(messages, []).append(webinar.id)
        return same

    async def _report_layout(self, now: datetime) -> None:
        problems = self.templates.layout_problems
        until = "Until then no mail goes out."
        if self.templates.layout is not None:
            until = "Until then mails go out as before, in the last sound layout."
        wrong = {
            AlertKey("layout", self.catalogue.webinars[name].alert_to): "\n".join(_lines(problems))
            + f"\n\n{until}"
            for name in self.live
            if problems
        }
        await self._report(now, wrong, "layout")

    async def _report(
        self, now: datetime, wrong: dict[AlertKey, str], prefix: str, undecided: frozenset[str] = frozenset()
    ) -> None:
        """Reconcile the alerts with this prefix if something changed here: another service may have reported other
        problems of its own folder. `undecided`: keys of texts to be tried again, which must not be reported as
        resolved."""
        before = self._undecided.get(prefix, undecided)
        if self._reported.get(prefix) != wrong or before - undecided:
            await self._database.run(alerts.reconcile, now, wrong, prefix, undecided=undecided)
            self._reported[prefix], self._undecided[prefix] = wrong, before & undecided

    def _wrong_texts(self, authors: Mapping[Key, str]) -> dict[AlertKey, str]:
        """The alerts about texts, for the organizers of the live webinars with problems and for who saved the texts."""
        webinars, live = self.catalogue.webinars, frozenset(self.live)
        return {
            AlertKey(_alert(key), address): "\n".join(_lines(problems)) + f"\n\n{self._until(webinar, key)}"
            for key in self.texts.problems
            for name, webinar in webinars.items()
            if name in live and uses(webinar, key) and (problems := self.texts.problems_with(webinar, key))
            for address in {webinar.alert_to, authors.get(key, webinar.alert_to)}
        }

    def _until(self, webinar: Webinar, key: Key) -> str:
        """Which mails go out until the text is fixed."""
        if self.texts.waits(webinar, key):
            return f"Until then mails of webinar {webinar.id} with this text wait."
        return f"Until then mails of webinar {webinar.id} have its last sound version."


def _alert(key: Key) -> str:
    """The key of the alert about a text."""
    return f"text {key[0]}/{key[1]}"


def file_problems(catalogue: Catalogue, texts: Texts, layout: Iterable[Problem]) -> list[Problem]:
    """Everything that is wrong with these files, except texts that no webinar uses: `webinar check` notes those."""
    webinars = catalogue.webinars.values()
    used = (texts.problems[key] for key in texts.problems if any(uses(one, key) for one in webinars))
    both = (*catalogue.problems.values(), *used)
    return [*(one for problems in both for one in problems), *layout]


def uses(webinar: Webinar, key: Key) -> bool:
    """Whether the webinar sends this text."""
    text, language = key
    return language in webinar.languages and text in webinar.text_names


def _lines(problems: tuple[Problem, ...]) -> list[str]:
    return [str(one) for one in problems]
