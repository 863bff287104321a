"""The editor's pages and their requests, below /templates."""

from __future__ import annotations

import asyncio
import gzip
import re
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any

import pytz
import structlog
from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from scheduler.aside import Hangs
from scheduler.faults import fault
from scheduler.governing import saving
from scheduler.governing.difference import Row, difference
from scheduler.governing.proposals import digest
from scheduler.mail.text.layout import Layout, text_path
from scheduler.mail.texts import Key
from scheduler.mail.words.variables import BLOCKS, LABELS, VARIABLES
from scheduler.mail.words.wording import language_name, right_to_left
from scheduler.mail.writing.specimen import as_test, marked, to_oneself
from scheduler.outbox import MOST_WITHIN, TooMany
from scheduler.problem import Problem, Problems
from scheduler.reports.previewing import NotRegistered
from scheduler.web.accounts import Editor
from scheduler.web.context import Desk, Sight
from scheduler.web.guard import Guard, is_ours
from scheduler.web.organizers.matrix import STATES, matrix_of, meanwhile, name_of
from scheduler.web.organizers.timeline import Timelines
from scheduler.web.organizers.trial import Busy, Trial, Tried, Trier
from scheduler.web.requests import form, question
from scheduler.web.sign_in import SignIn
from scheduler.webinar.model import Webinar
from scheduler.zones.wall import UnknownZone

log = structlog.get_logger()

_FILES = {
    "tokens.css": (files("scheduler.web.look") / "tokens.css", "text/css"),
    "editor.css": (files("scheduler.web.organizers") / "assets/editor.css", "text/css"),
    "editor.js": (files("scheduler.web.organizers") / "assets/editor.js", "text/javascript"),
}
"""The files of the pages with their types. `make editor` builds editor.js of what is in `editor/`."""
_LINE = re.compile(r", line (\d{1,9})")

COMPARED_SECONDS = 1.0  # for comparing the versions of a text, the newest first
TRIED_AT_ONCE = 3  # webinars with which a text is tried at a save
_VARIABLES = [
    {"name": name, "label": LABELS[name], "meaning": meaning, "block": name in BLOCKS}
    for name, meaning in [*BLOCKS.items(), *VARIABLES.items()]
]

Page = Callable[[Request, Editor], Awaitable[Response]]


class EditorApp:
    """`app` serves; `stop` ends the child that tries texts."""

    def __init__(self, desk: Desk, hosts: Collection[str], trier: Trier | None = None) -> None:
        """`hosts`: the names under which browsers may reach it, with their ports (`answer_to`)."""
        self._hosts = set(hosts)
        self._desk, self._trier = desk, trier or Trier()
        self._signing = SignIn(desk, self._page)
        self._timelines = Timelines(desk, self._page)
        self._saving = asyncio.Lock()
        self._pages = Environment(
            loader=ChoiceLoader(
                [
                    PackageLoader("scheduler.web.organizers", "assets"),
                    PackageLoader("scheduler.web.look", "."),
                ]
            ),
            autoescape=True,
            undefined=StrictUndefined,
        )
        get, post = ["GET"], ["POST"]
        text = "/templates/{message}/{language}"
        self.app = Starlette(
            routes=[
                Route("/", lambda request: RedirectResponse("/templates")),
                Route("/templates", self._seen_by(self._list), methods=get),
                Route("/templates/timeline", self._seen_by(self._timelines.page), methods=get),
                Route(
                    "/templates/timeline/{webinar}.svg", self._seen_by(self._timelines.picture), methods=get
                ),
                Route("/templates/sign-in", self._signing.page, methods=["GET", "POST"]),
                Route("/templates/sign-out", self._changed_by(self._signing.out), methods=post),
                Route("/templates/files/{name}", self._file, methods=get),
                Route("/templates/shown/{number}", self._seen_by(self._shown), methods=get),
                Route(text, self._seen_by(self._edit), methods=get),
                Route(f"{text}/history", self._seen_by(self._history), methods=get),
                Route(f"{text}/try", self._changed_by(self._try), methods=post),
                Route(f"{text}/save", self._changed_by(self._save), methods=post),
                Route(f"{text}/send", self._changed_by(self._send), methods=post),
            ],
            middleware=[Middleware(Guard, hosts=self._hosts, https=lambda: desk.https)],
            exception_handlers={
                Hangs: _try_later,
                Busy: _try_later,
                PoolTimeout: _try_later,
                DBAPIError: _try_later,
            },
        )

    def answer_to(self, port: int) -> None:
        """Answer to the names of this machine, at that port."""
        self._hosts |= {f"{host}:{port}" for host in ("127.0.0.1", "localhost", "[::1]")}

    async def stop(self) -> None:
        await self._trier.stop()
        self._signing.stop()

    # Authorization

    def _seen_by(self, page: Page) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            editor = await self._signing.who(request)
            return await page(request, editor) if editor else RedirectResponse("/templates/sign-in", 303)

        return answer

    def _changed_by(self, page: Page) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            editor = await self._signing.who(request)
            if editor is None:
                return JSONResponse({"error": "You are not signed in any more."}, 401)
            token = request.headers.get("x-csrf") or (await form(request)).get("csrf", "")
            if not is_ours(request, editor, token):
                return JSONResponse({"error": "This request did not come from a page of the editor."}, 403)
            return await page(request, editor)

        return answer

    # Pages

    def _page(self, file: str, status: int = 200, **words: Any) -> HTMLResponse:
        page = self._pages.get_template(file).render(rehearsed=self._desk.rehearsed, **words)
        return HTMLResponse(page, status)

    async def _file(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in _FILES:
            raise HTTPException(404)
        content, packed = _content(name)
        media_type = _FILES[name][1]
        if "gzip" not in request.headers.get("accept-encoding", ""):
            return Response(content, media_type=media_type)
        return Response(
            packed, media_type=media_type, headers={"content-encoding": "gzip", "vary": "accept-encoding"}
        )

    async def _list(self, request: Request, editor: Editor) -> Response:
        desk, sight = self._desk, await self._desk.sight()
        problems = await desk.files.run(lambda: desk.problems(sight))
        webinars = list(sight.webinars.values())
        entries = await desk.database.run_reading(
            saving.list_texts, webinars, sight.sources, problems, sight.current
        )
        return self._page(
            "list.html", editor=editor, matrix=matrix_of(webinars, entries, rehearsed=desk.rehearsed),
            webinars=webinars, why=await self._why_not(editor),
            called=lambda tag: language_name(tag, "en"), signs_in=not desk.everybody,
        )  # fmt: skip

    async def _why_not(self, editor: Editor) -> str:
        if not editor.may_edit:
            return "Your account may look at the texts, not change them."
        if not await self._desk.files.run(lambda: saving.writable(self._desk.root)):
            return f"The folder {self._desk.root} can't be written here, so the texts can be looked at, not changed."
        return ""

    async def _key(self, request: Request) -> tuple[Key, Sight]:
        key, sight = (
            (request.path_params["message"], request.path_params["language"]),
            await self._desk.sight(),
        )
        if key not in sight.openable():
            raise HTTPException(404, "There is no such text.")
        return key, sight

    async def _edit(self, request: Request, editor: Editor) -> Response:
        (message, language), sight = await self._key(request)
        now = sight.sources.get((message, language), "")
        source, restored = now or sight.sources.get((message, "en"), ""), ""
        if wanted := request.query_params.get("revision"):
            saved = await self._desk.database.run_reading(saving.history, message, language)
            for one in saved:
                if str(one.id) == wanted:
                    source, restored = (
                        one.source,
                        f"{one.saved_at:%Y-%m-%d %H:%M} UTC, {one.saved_by or 'in the folder'}",
                    )
        why = await self._why_not(editor)
        state = saving.state_with_mistakes((message, language), list(sight.webinars.values()), sight.current)
        given = {"source": source, "variables": _VARIABLES, "language": language, "direction": _direction(language),
                 "readOnly": bool(why), "zones": pytz.common_timezones}  # fmt: skip
        versions = [
            {
                "name": language_name(tag, "en"),
                "url": f"/templates/{message}/{tag}",
                "direction": _direction(tag),
            }
            for text, tag in sorted(sight.sources, key=lambda key: (key[1] != "en", key[1]))
            if text == message
        ]
        return self._page(
            "edit.html", editor=editor, message=message, language=language, given=given, began_with=digest(now),
            name=name_of(message, list(sight.webinars.values())), called=language_name(language, "en"),
            direction=_direction(language), webinars=sight.users_of(message), why=why, restored=restored,
            missing=not now, if_mistaken=STATES[state], meanwhile=meanwhile(state, rehearsed=self._desk.rehearsed),
            source=source, sends=self._desk.send is not None and editor.may_edit,
            versions=versions, signs_in=not self._desk.everybody,
        )  # fmt: skip

    async def _history(self, request: Request, editor: Editor) -> Response:
        (message, language), sight = await self._key(request)
        now = sight.sources.get((message, language), "")
        saved = await self._desk.database.run_reading(saving.history, message, language)
        rows, elsewhere = await asyncio.to_thread(_differences, saved, now)
        return self._page(
            "history.html", editor=editor, message=message, language=language, rows=rows, elsewhere=elsewhere,
            name=name_of(message, list(sight.webinars.values())), direction=_direction(language),
            called=language_name(language, "en"), signs_in=not self._desk.everybody,
        )  # fmt: skip

    async def _shown(self, request: Request, editor: Editor) -> Response:
        html = self._desk.shown.get(request.path_params["number"])
        return HTMLResponse(html) if html else PlainTextResponse("This mail is not kept any more.", 404)

    # Requests of a page as somebody types

    async def _asked(self, request: Request) -> _Asked:
        """Raises HTTPException."""
        key, sight = await self._key(request)
        said = await question(request)
        source = said["source"] if "source" in said else sight.sources.get(key, "")
        if len(source) > saving.LARGEST:
            raise HTTPException(413, f"A text has at most {saving.LARGEST:,} characters.")
        webinars = {one.id: one for one in sight.users_of(key[0])}
        if not webinars:
            raise HTTPException(409, "There is no webinar to show this text for.")
        webinar = webinars.get(said.get("webinar", "")) or next(iter(webinars.values()))
        return _Asked(key, said, source, webinar, sight)

    async def _tried(self, asked: _Asked, editor: Editor, *, send_to: str = "") -> Tried:
        """The result of a trial. Raises Problems, Busy."""
        key, said, webinar = asked.key, asked.said, asked.webinar
        try:
            reader = await self._desk.reader(webinar, key[1], said)
        except (NotRegistered, UnknownZone) as reason:
            raise Problems([Problem("who reads it", str(reason))]) from None
        if send_to:
            reader, webinar = to_oneself(reader, webinar, send_to), as_test(webinar)
        place = str(text_path(self._desk.root, *key))
        whole, dark, raw = (bool(said.get(name)) for name in ("whole", "dark", "raw"))
        return await self._trier.try_(
            Trial(
                asked.source.replace("\r\n", "\n").replace("\r", "\n"),
                place,
                webinar.message_with(key[0]),
                _layout(asked.sight),
                webinar,
                reader,
                whole,
                dark,
                raw,
                self._desk.pages_url,
            ),
            editor.address,
        )

    async def _try(self, request: Request, editor: Editor) -> Response:
        try:
            tried = await self._tried(await self._asked(request), editor)
        except Problems as error:
            return JSONResponse(
                {
                    "problems": [_problem_as_json(True, one, stops=True) for one in error.problems],
                    "mail": None,
                }
            )
        shown = dict(tried.shown)
        if shown:
            shown["frame"] = f"/templates/shown/{self._desk.show(shown.pop('html'))}"
        problems = [_problem_as_json(True, one, stops=True) for one in tried.problems]
        problems += [_problem_as_json(*one) for one in tried.advice]
        return JSONResponse(
            {
                "problems": problems,
                "values": tried.values,
                "mail": shown or None,
            }
        )

    async def _save(self, request: Request, editor: Editor) -> Response:
        asked = await self._asked(request)
        if why := await self._why_not(editor):
            return JSONResponse({"error": why}, 403)
        desk, key, source, began_with = self._desk, asked.key, asked.source, asked.said.get("began_with", "")
        async with self._saving:
            try:
                before = await desk.files.run(lambda: saving.write(desk.root, *key, source, began_with))
            except saving.Conflict as conflict:
                return await _conflict(conflict.theirs, source)
            except Hangs:
                raise
            except OSError as error:
                return JSONResponse({"error": f"The file can't be written: {error.strerror}."}, 500)
            note = asked.said.get("note", "").strip()[:500]
            try:
                await desk.database.run(
                    saving.record_save, desk.clock.now(), key, before, source, editor.address, note
                )
            except (DBAPIError, PoolTimeout) as error:  # the file counts, and is written
                log.warning("editor: a save is not on record", error=fault(error))
        unsound = await self._unsound(asked, editor)
        sound = None if unsound is None else not unsound
        log.info("text saved", message=key[0], language=key[1], sound=sound)
        return JSONResponse(
            {
                "began_with": digest(source), "sound": sound,
                "problems": [_problem_as_json(True, one, stops=True) for one in unsound or ()],
                "difference": await asyncio.to_thread(difference, before, source),
            }
        )  # fmt: skip

    async def _unsound(self, asked: _Asked, editor: Editor) -> list[Problem] | None:
        """The mistakes that keep a text from going out, for any reader of the next webinars that use it; the service
        tries it with all of them. None: it can't be tried now."""
        found: dict[Problem, None] = {}
        for webinar in asked.sight.users_of(asked.key[0])[:TRIED_AT_ONCE]:
            one = replace(asked, said={"whole": "yes"}, webinar=webinar)
            try:
                found |= dict.fromkeys((await self._tried(one, editor)).problems)
            except Problems as error:
                return list(error.problems)
            except Busy:
                return None
        return list(found)

    async def _send(self, request: Request, editor: Editor) -> Response:
        asked, send = await self._asked(request), self._desk.send
        if send is None:
            return JSONResponse({"error": "No mail leaves from here."}, 409)
        if not editor.may_edit:
            return JSONResponse({"error": "Your account may look at the texts, not send them."}, 403)
        try:
            tried = await self._tried(asked, editor, send_to=editor.address)
            if not tried.mail:
                raise Problems(tried.problems)
            failed = await send(asked.webinar, editor.address, marked(tried.mail, tried.shown["subject"]))
        except Problems as error:
            return JSONResponse({"error": f"There is no mail to send: {error}"}, 422)
        except TooMany:
            words = f"At most {MOST_WITHIN} test mails are sent to one person in an hour. Try again later."
            return JSONResponse({"error": words}, 429)
        if failed:
            return JSONResponse({"error": f"It was not sent: {failed}"}, 502)
        return JSONResponse({"sent_to": editor.address})


@dataclass(frozen=True)
class _Asked:
    """A request about a text: its key, the other fields, its source (the file's where none is given), and the webinar
    it is shown for."""

    key: Key
    said: Mapping[str, str]
    source: str
    webinar: Webinar
    sight: Sight


@cache
def _content(name: str) -> tuple[bytes, bytes]:
    """A file of the pages, as it is and compressed."""
    content = _FILES[name][0].read_bytes()
    return content, gzip.compress(content, mtime=0)


def _direction(language: str) -> str:
    return "rtl" if right_to_left(language) else "ltr"


def _layout(sight: Sight) -> Layout:
    """The layout. Raises Problems without a line number, which would seem to be one of the text."""
    if sight.layout is None:
        raise Problems([Problem("the layout", str(one)) for one in sight.layout_problems])
    return sight.layout


def _differences(saved: Sequence[saving.SavedText], now: str) -> tuple[list[Any], list[Row]]:
    """Each earlier version with what it changed and whether it is the present one; and what was changed elsewhere
    since."""
    before = [*(one.source for one in saved), ""][1:]
    end = time.monotonic() + COMPARED_SECONDS
    rows = [
        (one, difference(old, one.source) if old and time.monotonic() < end else [], one.source == now)
        for one, old in zip(saved, before, strict=True)
    ]
    return rows, difference(saved[0].source, now) if saved and saved[0].source != now else []


async def _conflict(theirs: str, ours: str) -> JSONResponse:
    return JSONResponse(
        {
            "error": "Somebody else has changed this text since you opened it. Nothing was saved.",
            "theirs": theirs, "theirs_began_with": digest(theirs),
            "difference": await asyncio.to_thread(difference, theirs, ours),
        },
        409,
    )  # fmt: skip


def _try_later(request: Request, error: Exception) -> Response:
    """503: the database, the folder or the trials do not answer now."""
    words = {
        Hangs: "The folder of texts does not answer. Try again.",
        Busy: "Many texts are being tried. Try again in a moment.",
    }.get(type(error), "The database does not answer. Try again.")
    log.warning("editor: try later", error=fault(error))
    answer: Response = PlainTextResponse(words, 503)
    if request.method == "POST":
        answer = JSONResponse({"error": words}, 503)
    answer.headers["retry-after"] = "5"
    return answer


def _problem_as_json(wrong: bool, problem: Problem, *, stops: bool = False) -> dict[str, Any]:
    """`stops`: whether it keeps the text from going out."""
    line = _LINE.search(problem.place)
    hint = "; ".join(filter(None, (problem.allowed and f"allowed: {problem.allowed}", problem.hint)))
    fix = {"old": problem.old, "new": problem.new} if problem.new else None
    return {
        "line": int(line[1]) if line else 0,
        "found": problem.found,
        "hint": hint,
        "wrong": wrong,
        "stops": stops,
        "fix": fix,
    }
