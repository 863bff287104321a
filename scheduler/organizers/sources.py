"""What organizers wrote, as it governs now: reads the folders, keeps what is sound, says what is not."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime

import structlog
from sqlalchemy.exc import DBAPIError

from scheduler.database.engine import Database
from scheduler.ledger import settling
from scheduler.ledger.planning import Governing
from scheduler.organizers import alerts, proposals
from scheduler.organizers.alerts import Wrong
from scheduler.organizers.catalogue import Catalogue, take_webinars
from scheduler.organizers.folder import Folder
from scheduler.organizers.governing import Revisions
from scheduler.organizers.templates import Templates
from scheduler.organizers.texts import Key, Texts, authors_of
from scheduler.problem import Problem
from scheduler.settings import Settings
from scheduler.webinar import Webinar

log = structlog.get_logger()

WEBINAR_FILES, TEXT_FILES = "webinars/*.toml", "*/*"  # below CONFIG_DIR and TEMPLATES_DIR


class Sources:
    """The webinars and texts that govern; `poll` takes in what was edited since."""

    def __init__(self, settings: Settings, database: Database, *, drafts_too: bool, holder: int = 0) -> None:
        """`holder`: the number of this service among replicas; 0: there are none."""
        self._holder = holder
        self.catalogue = Catalogue()
        self.revisions = Revisions()
        self.templates = Templates(settings.templates_dir, database, holder)
        self._failure: tuple[Problem, ...] = ()
        self._untried = False  # another revision governs than the texts were tried with
        self._noted: dict[str, dict[Wrong, str]] = {}
        self._settings, self._database, self._drafts_too = settings, database, drafts_too
        self._webinars = Folder(settings.config_dir, WEBINAR_FILES)
        self._texts = Folder(settings.templates_dir, TEXT_FILES)

    @property
    def texts(self) -> Texts:
        """The texts that go out."""
        return self.templates.texts

    @property
    def live(self) -> list[str]:
        """The webinars whose mails go out."""
        return self.catalogue.live(drafts_too=self._drafts_too)

    def problems(self) -> list[Problem]:
        """All that is wrong with the files now."""
        layout = self.templates.layout_problems
        return [*file_problems(self.catalogue, self.texts, layout), *self._failure]

    async def start(self, now: datetime) -> None:
        """Read everything, without waiting for a second read."""
        await self._database.run(proposals.begin, self._holder)
        await self._take(now, self._webinars.settle(), self._texts.settle())

    def adopt(self, governing: Mapping[str, Governing]) -> set[str]:
        """Go by what governs now, whoever proposed it. Returns the webinars that send what no text was tried for."""
        before, self.catalogue = self.catalogue, replace(self.catalogue, governing=governing)
        self._untried |= before.revisions != self.catalogue.revisions
        known = {name: (one.message_ids, one.languages) for name, one in before.webinars.items()}
        return {
            name
            for name, one in self.catalogue.webinars.items()
            if known.get(name) != (one.message_ids, one.languages)
        }

    async def try_again(self, now: datetime) -> bool:
        """Try the texts where another revision governs than they were tried with. True when they were."""
        if not self._untried:
            return False
        await self._take(now, None, self._texts.settled)
        self._untried = False
        return True

    async def poll(self, now: datetime) -> bool:
        """Take in what was edited, here or at another service. True when something was. A failure loses no edit: the
        next poll has it again."""
        webinars = await asyncio.to_thread(self._webinars.poll)
        texts = await asyncio.to_thread(self._texts.poll)
        if webinars is None and texts is None and not await self.templates.moved(now):
            return False
        try:
            await self._take(now, webinars, self._texts.settled)
        except BaseException:
            self._webinars.again()
            self._texts.again()
            raise
        return True

    async def _take(
        self, now: datetime, webinars: Mapping[str, bytes] | None, texts: Mapping[str, bytes]
    ) -> None:
        """Raises DBAPIError. Any other failure is a fault of ours in front of some file: it is told, and what
        governed before goes on, for a service that fails at each tick would plan nothing at all."""
        try:
            if webinars is not None:
                await self._take_webinars(now, webinars)
            await self._take_texts(now, texts)
        except DBAPIError:
            raise
        except Exception as error:
            log.exception("files not taken in")
            folders = f"{self._settings.config_dir} and {self._settings.templates_dir}"
            found = f"reading them fails: {type(error).__name__}"
            self._failure = (Problem(folders, found, hint="see the service's log; fix what was edited last"),)
        else:
            self._failure = ()

    async def _take_webinars(self, now: datetime, files: Mapping[str, bytes]) -> None:
        catalogue = await self._database.run(
            take_webinars, now, self._settings.config_dir, files, self.revisions, self._holder,
            self._settings.return_within,
        )  # fmt: skip
        for path, problems in catalogue.problems.items():
            log.error("webinar file is not sound", file=path, problems=_lines(problems))
        wrong = {
            Wrong(f"webinar file {path}", address): "\n".join(_lines(mistakes))
            + f"\n\nUntil then {catalogue.meanwhile.get(path, 'its last sound revision governs, if there is one')}."
            for path, mistakes in catalogue.mistakes.items()
            for address in catalogue.concerned[path]
        }
        await self._note(now, wrong, "webinar file ")
        self.catalogue = catalogue

    async def _take_texts(self, now: datetime, files: Mapping[str, bytes]) -> None:
        await self.templates.take(now, files, list(self.catalogue.webinars.values()))
        if problems := self.templates.layout_problems:
            log.error("layout is not sound", problems=_lines(problems))
        await self._note_layout(now)
        if self.templates.layout is None:
            return
        for (message, language), problems in self.texts.problems.items():
            log.error("text is not sound", message=message, language=language, problems=_lines(problems))
        await self._database.run(settling.free_held, now, self._sendable())
        sources = self.templates.sources
        authors = await self._database.run(authors_of, sources, self.texts.problems)
        if files:
            await self._note(now, self._wrong_texts(authors), "text ")

    def _sendable(self) -> set[str]:
        """The messages for which some reader of some webinar can be written to now."""
        return {
            message
            for webinar in self.catalogue.webinars.values()
            for message in webinar.message_ids
            if any(self.texts.find(webinar, message, language) for language in webinar.languages)
        }

    async def _note_layout(self, now: datetime) -> None:
        problems = self.templates.layout_problems
        until = "Until then no mail goes out."
        if self.templates.layout is not None:
            until = "Until then mails go out as before, in the last sound layout."
        wrong = {
            Wrong("layout", self.catalogue.webinars[name].alert_to): "\n".join(_lines(problems))
            + f"\n\n{until}"
            for name in self.live
            if problems
        }
        await self._note(now, wrong, "layout")

    async def _note(self, now: datetime, wrong: dict[Wrong, str], prefix: str) -> None:
        """What has changed here alone: of its own folder another service may have reported something else."""
        if self._noted.get(prefix) != wrong:
            await self._database.run(alerts.note, now, wrong, prefix)
            self._noted[prefix] = wrong

    def _wrong_texts(self, authors: Mapping[Key, str]) -> dict[Wrong, str]:
        """What is wrong with texts, for the organizers of the live webinars that use them, and for who saved them."""
        return {
            Wrong(f"text {key[0]}/{key[1]}", told): "\n".join(_lines(problems))
            + f"\n\n{self._until(webinar, key)}"
            for key, problems in self.texts.problems.items()
            for name, webinar in self.catalogue.webinars.items()
            if name in self.live and uses(webinar, key)
            for told in {webinar.alert_to, authors.get(key, webinar.alert_to)}
        }

    def _until(self, webinar: Webinar, key: Key) -> str:
        """What becomes of its mails until it is fixed."""
        if webinar.on_broken == "hold" or key not in self.texts.live:
            return f"Until then its mails of {webinar.id} wait."
        return f"Until then the last sound version of it goes out, for {webinar.id}."


def file_problems(catalogue: Catalogue, texts: Texts, layout: Iterable[Problem]) -> list[Problem]:
    """All that is wrong with these files."""
    both = (*catalogue.problems.values(), *texts.problems.values())
    return [*(one for problems in both for one in problems), *layout]


def uses(webinar: Webinar, key: Key) -> bool:
    """Whether the webinar sends this text to anybody."""
    message, language = key
    return language in webinar.languages and message in webinar.message_ids


def _lines(problems: tuple[Problem, ...]) -> list[str]:
    return [str(one) for one in problems]
