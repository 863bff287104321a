"""What organizers wrote, as it governs now: reads the folders, keeps what is sound, says what is not."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime

import structlog
from sqlalchemy.exc import DBAPIError

from scheduler import alerts
from scheduler.alerts import Wrong
from scheduler.database.engine import Database
from scheduler.governing import proposals
from scheduler.governing.folder import Folder, Watch
from scheduler.governing.revisions import Revisions
from scheduler.governing.templates import Templates
from scheduler.governing.texts import authors_of
from scheduler.governing.webinars import Catalogue, take_webinars
from scheduler.ledger import settling
from scheduler.ledger.planning import Governing
from scheduler.mail.texts import Key, Texts
from scheduler.problem import Problem
from scheduler.readiness import Kind, Reason, reasons
from scheduler.settings import Settings
from scheduler.webinar.model import Webinar

log = structlog.get_logger()

WEBINAR_FILES, TEXT_FILES = "webinars/*.toml", "*/*"  # below CONFIG_DIR and TEMPLATES_DIR


class Sources:
    """The webinars and texts that govern; `poll` takes in what was edited since."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        *,
        drafts_too: bool,
        holder: int = 0,
        waits: bool = False,
    ) -> None:
        """`holder`: the number of this service among replicas; 0: there are none. `waits`: until texts are tried."""
        self._holder = holder
        self.catalogue = Catalogue()
        self.revisions = Revisions()
        self.templates = Templates(settings.templates_dir, database, holder, waits=waits)
        self._failure: tuple[Problem, ...] = ()
        self._moved = False  # another revision governs than texts were wanted for
        self._noted: dict[str, dict[Wrong, str]] = {}
        self._owed: dict[
            str, frozenset[str]
        ] = {}  # by prefix, what was undecided at the first note, and still is
        self._settings, self._database, self._drafts_too = settings, database, drafts_too
        self._webinars = Watch(Folder(settings.config_dir, WEBINAR_FILES))
        self._texts = Watch(Folder(settings.templates_dir, TEXT_FILES))

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
        """Read everything, without waiting for a second read. A folder that does not answer is read later."""
        await self._database.run(proposals.begin, self._holder)
        webinars, texts = await asyncio.gather(self._webinars.settle(), self._texts.settle())
        for watch in (self._webinars, self._texts):
            if watch.folder.problem:
                log.error("a folder of files can't be read", problem=str(watch.folder.problem))
        await self._take(now, webinars, texts)
        await self.templates.first(now)
        if self.templates.trials.news:
            await self._take(now, None, self._texts.folder.settled)

    def adopt(self, governing: Mapping[str, Governing]) -> None:
        """Go by what governs now, whoever proposed it. With the texts that govern: the next poll has them tried with
        it."""
        before, self.catalogue = self.catalogue, replace(self.catalogue, governing=governing)
        self._moved |= before.revisions != self.catalogue.revisions

    async def poll(self, now: datetime) -> bool:
        """Take in what was edited, here or at another service, and what trials of texts have found. True when something
        was. A failure loses no edit: the next poll has it again."""
        webinars, texts = await asyncio.gather(self._webinars.poll(), self._texts.poll())
        edited = webinars is not None or texts is not None or self._moved
        if not edited and not await self.templates.moved(now):
            return False
        try:
            await self._take(now, webinars, self._texts.folder.settled)
        except BaseException:
            self.again()
            raise
        self._moved = False
        return True

    def again(self) -> None:
        """Read the folders again at the next poll, and take in what is there, as if all of it had been edited."""
        self._webinars.folder.again()
        self._texts.folder.again()

    async def tried(self) -> None:
        """Wait until all texts are tried, or can't be: the next poll takes in what was found."""
        await self.templates.trials.done()

    async def stop(self) -> None:
        """Try nothing more."""
        await self.templates.trials.stop()

    async def _take(
        self, now: datetime, webinars: Mapping[str, bytes] | None, texts: Mapping[str, bytes] | None
    ) -> None:
        """None: nothing was edited, or the folder has not answered yet.

        Raises DBAPIError. Any other failure is a fault of ours in front of some file: it is told, and what governed
        before goes on, for a service that fails at each tick would plan nothing at all."""
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
        try:
            catalogue = await self._database.run(
                take_webinars, now, self._settings.config_dir, files, self.revisions, self._holder,
                self._settings.return_within,
            )  # fmt: skip
        except BaseException:
            self.revisions.forget()  # what was read in a transaction that was rolled back
            raise
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

    async def _take_texts(self, now: datetime, files: Mapping[str, bytes] | None) -> None:
        await self.templates.take(now, files, list(self.catalogue.webinars.values()))
        if problems := self.templates.layout_problems:
            log.error("layout is not sound", problems=_lines(problems))
        await self._note_layout(now)
        if self.templates.layout is None:
            return
        for (message, language), problems in self.texts.problems.items():
            log.error("text is not sound", message=message, language=language, problems=_lines(problems))
        for messages, webinars_with_them in self._sendable().items():
            await self._database.run(settling.free_held, now, webinars_with_them, messages)
        sources = self.templates.sources
        authors = await self._database.run(authors_of, sources, self.texts.problems)
        if files:
            undecided = frozenset(_alert(key) for key in self.templates.verdicts.untried)
            await self._note(now, self._wrong_texts(authors), "text ", undecided)

    def _sendable(self) -> dict[tuple[str, ...], list[str]]:
        """The webinars of which some reader can be written to now, by the messages for which that is so."""
        same: dict[tuple[str, ...], list[str]] = {}
        for webinar in self.catalogue.webinars.values():
            messages = tuple(
                message
                for message in webinar.message_ids
                if any(self.texts.find(webinar, message, language) for language in webinar.languages)
            )
            same.setdefault(messages, []).append(webinar.id)
        return same

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

    async def _note(
        self, now: datetime, wrong: dict[Wrong, str], prefix: str, undecided: frozenset[str] = frozenset()
    ) -> None:
        """What has changed here alone: of its own folder another service may have reported something else. `undecided`:
        of what is to be tried again nobody says that it is right again."""
        owed = self._owed.get(prefix, undecided)
        if self._noted.get(prefix) != wrong or owed - undecided:
            await self._database.run(alerts.note, now, wrong, prefix, undecided=undecided)
            self._noted[prefix], self._owed[prefix] = wrong, owed & undecided

    def _wrong_texts(self, authors: Mapping[Key, str]) -> dict[Wrong, str]:
        """What is wrong with texts, for the organizers of the live webinars with which it is, and who saved them."""
        webinars, live = self.catalogue.webinars, frozenset(self.live)
        return {
            Wrong(_alert(key), told): "\n".join(_lines(problems)) + f"\n\n{self._until(webinar, key)}"
            for key in self.texts.problems
            for name, webinar in webinars.items()
            if name in live and uses(webinar, key) and (problems := self.texts.problems_with(webinar, key))
            for told in {webinar.alert_to, authors.get(key, webinar.alert_to)}
        }

    def _until(self, webinar: Webinar, key: Key) -> str:
        """What becomes of its mails until it is fixed."""
        if self.texts.waits(webinar, key):
            return f"Until then its mails of {webinar.id} wait."
        return f"Until then the last sound version of it goes out, for {webinar.id}."


def _alert(key: Key) -> str:
    """The key of the alert about a text."""
    return f"text {key[0]}/{key[1]}"


def file_problems(catalogue: Catalogue, texts: Texts, layout: Iterable[Problem]) -> list[Problem]:
    """All that is wrong with these files. A text that no webinar uses keeps no mail: `webinar check` has a note."""
    webinars = catalogue.webinars.values()
    used = (texts.problems[key] for key in texts.problems if any(uses(one, key) for one in webinars))
    both = (*catalogue.problems.values(), *used)
    return [*(one for problems in both for one in problems), *layout]


def uses(webinar: Webinar, key: Key) -> bool:
    """Whether the webinar sends this text to anybody."""
    text, language = key
    return language in webinar.languages and text in webinar.text_names


def _lines(problems: tuple[Problem, ...]) -> list[str]:
    return [str(one) for one in problems]
