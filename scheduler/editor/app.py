"""The editor's pages and what they ask for, below /templates."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Collection
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qsl

import pytz
import structlog
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from scheduler.editor import accounts, shelf
from scheduler.editor.accounts import LONGEST_PASSWORD, SESSION, Editor
from scheduler.editor.advice import advice
from scheduler.editor.desk import Desk
from scheduler.editor.guard import Guard, Tries, is_from_here, is_ours
from scheduler.editor.test_mail import as_test, marked, to_oneself
from scheduler.editor.trial import Trial, Tried, Trier
from scheduler.input.addresses import fold
from scheduler.mail.facts import BLOCKS, VARIABLES
from scheduler.mail.layout import Layout, text_path
from scheduler.mail.pairs import Key
from scheduler.mail.wording import language_name, right_to_left
from scheduler.organizers.texts import digest
from scheduler.problem import Problem, Problems
from scheduler.reports.previewing import NotRegistered
from scheduler.timezones import UnknownZone
from scheduler.web.received import Received, read_invitation, read_mail
from scheduler.webinar import Webinar

log = structlog.get_logger()

_FILES = {"editor.css": "text/css", "editor.js": "text/javascript"}
_LINE = re.compile(r", line (\d+)")
_WHERE_DARK = re.compile(r"@media[^{]*prefers-color-scheme:\s*dark[^{]*\{")

LARGEST_FORM = 10_000  # bytes
LARGEST_QUESTION = 4 * shelf.LARGEST + 10_000

Page = Callable[[Request, Editor], Awaitable[Response]]


class EditorApp:
    """`app` serves; `stop` ends the child that tries texts."""

    def __init__(self, desk: Desk, hosts: Collection[str], trier: Trier | None = None) -> None:
        """`hosts`: the names by which browsers may ask for it, with their ports (`answer_to`)."""
        self._hosts = set(hosts)
        self._desk, self._trier, self._tries = desk, trier or Trier(), Tries()
        self._saving = asyncio.Lock()
        self._pages = Environment(
            loader=PackageLoader("scheduler.editor", "pages"), autoescape=True, undefined=StrictUndefined
        )
        get, post = ["GET"], ["POST"]
        text = "/templates/{message}/{language}"
        self.app = Starlette(
            routes=[
                Route("/", lambda request: RedirectResponse("/templates")),
                Route("/templates", self._seen_by(self._list), methods=get),
                Route("/templates/sign-in", self._sign_in, methods=["GET", "POST"]),
                Route("/templates/sign-out", self._changed_by(self._sign_out), methods=post),
                Route("/templates/files/{name}", self._file, methods=get),
                Route("/templates/shown/{number}", self._seen_by(self._shown), methods=get),
                Route(text, self._seen_by(self._edit), methods=get),
                Route(f"{text}/history", self._seen_by(self._history), methods=get),
                Route(f"{text}/try", self._changed_by(self._try), methods=post),
                Route(f"{text}/save", self._changed_by(self._save), methods=post),
                Route(f"{text}/send", self._changed_by(self._send), methods=post),
            ],
            middleware=[Middleware(Guard, hosts=self._hosts)],
        )

    def answer_to(self, port: int) -> None:
        """Answer to the names of this machine, at that port."""
        self._hosts |= {f"{host}:{port}" for host in ("127.0.0.1", "localhost", "[::1]")}

    async def stop(self) -> None:
        await self._trier.stop()

    # Who asks

    @property
    def _cookie(self) -> str:
        return "__Host-session" if self._desk.https else "session"

    async def _who(self, request: Request) -> Editor | None:
        if self._desk.everybody:
            return self._desk.everybody
        token = request.cookies.get(self._cookie, "")
        now = self._desk.clock.now()
        return await self._desk.database.run(accounts.signed_in, now, token) if token else None

    def _seen_by(self, page: Page) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            editor = await self._who(request)
            return await page(request, editor) if editor else RedirectResponse("/templates/sign-in", 303)

        return answer

    def _changed_by(self, page: Page) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            editor = await self._who(request)
            if editor is None:
                return JSONResponse({"error": "You are not signed in any more."}, 401)
            token = request.headers.get("x-csrf") or (await _form(request)).get("csrf", "")
            if not is_ours(request, editor, token):
                return JSONResponse({"error": "This did not come from a page of the editor."}, 403)
            return await page(request, editor)

        return answer

    async def _sign_in(self, request: Request) -> Response:
        if await self._who(request):
            return RedirectResponse("/templates", 303)
        if request.method == "GET":
            return self._page("sign_in.html", wrong="")
        if not is_from_here(request):  # or somebody is signed in as somebody else, and does not see it
            return self._page("sign_in.html", 403, wrong="This did not come from a page of the editor.")
        form = await _form(request)
        address, password = fold(form.get("address", "")[:320]), form.get("password", "")[:LONGEST_PASSWORD]
        computer = request.client.host if request.client else ""
        if self._tries.too_many(address, computer):
            return self._page("sign_in.html", 429, wrong="Too many wrong passwords. Try again in 15 minutes.")
        known = await self._desk.database.run(accounts.hash_of, address)
        if not await asyncio.to_thread(accounts.fits, password, known):
            self._tries.failed(address, computer)
            log.warning("editor: a wrong password")
            return self._page("sign_in.html", 403, wrong="The address or the password is wrong.")
        token = await self._desk.database.run(accounts.begin, self._desk.clock.now(), address)
        answer = RedirectResponse("/templates", 303)
        answer.set_cookie(
            self._cookie, token, max_age=int(SESSION.total_seconds()), httponly=True, samesite="strict",
            secure=self._desk.https, path="/",
        )  # fmt: skip
        return answer

    async def _sign_out(self, request: Request, editor: Editor) -> Response:
        await self._desk.database.run(accounts.end, editor.token)
        answer = RedirectResponse("/templates/sign-in", 303)
        answer.delete_cookie(
            self._cookie, path="/", secure=self._desk.https, httponly=True, samesite="strict"
        )
        return answer

    # Pages

    def _page(self, file: str, status: int = 200, **words: Any) -> HTMLResponse:
        return HTMLResponse(self._pages.get_template(file).render(**words), status)

    async def _file(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in _FILES:
            raise HTTPException(404)
        content = (files("scheduler.editor") / "pages" / name).read_text("utf-8")
        return PlainTextResponse(content, media_type=_FILES[name])

    async def _list(self, request: Request, editor: Editor) -> Response:
        sources = await asyncio.to_thread(self._desk.sources)
        webinars = list(self._desk.webinars().values())
        problems = await asyncio.to_thread(self._desk.problems)
        entries = await self._desk.database.run(shelf.shelf, webinars, sources, problems, self._desk.live())
        by_message: dict[str, list[shelf.Entry]] = {}
        for entry in entries:
            by_message.setdefault(entry.message, []).append(entry)
        return self._page(
            "list.html", editor=editor, messages=by_message, why=self._why_not(editor),
            called=lambda tag: language_name(tag, "en"), signs_in=not self._desk.everybody,
        )  # fmt: skip

    def _why_not(self, editor: Editor) -> str:
        if not editor.may_edit:
            return "Your account may look at the texts, not change them."
        if not shelf.writable(self._desk.root):
            return f"The folder {self._desk.root} can't be written here, so the texts can be looked at, not changed."
        return ""

    def _key(self, request: Request) -> Key:
        key = request.path_params["message"], request.path_params["language"]
        if key not in self._desk.openable():
            raise HTTPException(404, "There is no such text.")
        return key

    async def _edit(self, request: Request, editor: Editor) -> Response:
        message, language = self._key(request)
        now = shelf.read(self._desk.root, message, language)
        source = now or shelf.read(self._desk.root, message, "en")
        began_with, restored = digest(now), ""
        if wanted := request.query_params.get("revision"):
            saved = await self._desk.database.run(shelf.history, message, language)
            for one in saved:
                if str(one.id) == wanted:
                    source, restored = (
                        one.source,
                        f"{one.saved_at:%Y-%m-%d %H:%M} UTC, {one.saved_by or 'in the folder'}",
                    )
        return self._page(
            "edit.html", editor=editor, message=message, language=language, source=source, began_with=began_with,
            called=language_name(language, "en"), direction="rtl" if right_to_left(language) else "ltr",
            webinars=self._desk.users_of(message), why=self._why_not(editor), restored=restored, missing=not now,
            variables=VARIABLES, blocks=BLOCKS, sends=self._desk.send is not None,
            zones=pytz.common_timezones, signs_in=not self._desk.everybody,
        )  # fmt: skip

    async def _history(self, request: Request, editor: Editor) -> Response:
        message, language = self._key(request)
        saved = await self._desk.database.run(shelf.history, message, language)
        now = shelf.read(self._desk.root, message, language)
        before = [*(one.source for one in saved), ""][1:]
        rows = [
            (one, shelf.difference(old, one.source) if old else [], one.source == now)
            for one, old in zip(saved, before, strict=True)
        ]
        elsewhere = shelf.difference(saved[0].source, now) if saved and saved[0].source != now else []
        return self._page(
            "history.html", editor=editor, message=message, language=language, rows=rows, elsewhere=elsewhere,
            called=language_name(language, "en"), signs_in=not self._desk.everybody,
        )  # fmt: skip

    async def _shown(self, request: Request, editor: Editor) -> Response:
        html = self._desk.shown.get(request.path_params["number"])
        return HTMLResponse(html) if html else PlainTextResponse("This mail is not kept any more.", 404)

    # What a page asks for as somebody types

    async def _asked(self, request: Request) -> tuple[Key, dict[str, str], str, Webinar]:
        """Which text, what else was said, its words as they would be in a file, and for which webinar. Raises
        HTTPException."""
        key = self._key(request)
        try:
            said = {
                name: str(value) for name, value in json.loads(await _body(request, LARGEST_QUESTION)).items()
            }
        except (ValueError, AttributeError):
            raise HTTPException(400, "This is no question that the editor's page asks.") from None
        source = said.get("source", "").replace("\r\n", "\n").replace("\r", "\n")
        if len(source) > shelf.LARGEST:
            raise HTTPException(413, f"A text has at most {shelf.LARGEST:,} characters.")
        webinars = {one.id: one for one in self._desk.users_of(key[0])}
        if not webinars:
            raise HTTPException(409, "There is no webinar to show this text for.")
        return key, said, source, webinars.get(said.get("webinar", "")) or next(iter(webinars.values()))

    async def _tried(
        self, key: Key, said: dict[str, str], source: str, webinar: Webinar, send_to: str = ""
    ) -> tuple[Tried, Received, list[tuple[bool, Problem]], str]:
        """What came of it, the mail as it is read, what there is to say of both, and the reader's zone. Raises
        Problems."""
        place = str(text_path(self._desk.root, *key))
        try:
            reader = await self._desk.reader(webinar, key[1], said)
        except (NotRegistered, UnknownZone) as reason:
            raise Problems([Problem("who reads it", str(reason))]) from None
        if send_to:
            reader, webinar = to_oneself(reader, webinar, send_to), as_test(webinar)
        layout = await self._layout()
        trial = Trial(source, place, key[0], layout, webinar, reader, whole=bool(said.get("whole")))
        tried = await self._trier.try_(trial)
        mail = read_mail(tried.mail)
        found = [(True, problem) for problem in tried.problems]
        found += advice(source, place, key[1], webinar, tried.subject, mail.html)
        return tried, mail, found, reader.zone

    async def _layout(self) -> Layout:
        """Raises Problems that name no line, for it would not be one of the text."""
        try:
            return await asyncio.to_thread(self._desk.layout)
        except Problems as error:
            raise Problems([Problem("the layout", str(one)) for one in error.problems]) from None

    async def _try(self, request: Request, editor: Editor) -> Response:
        key, said, source, webinar = await self._asked(request)
        try:
            tried, mail, found, zone = await self._tried(key, said, source, webinar)
        except Problems as error:
            return JSONResponse({"problems": [_told(True, one) for one in error.problems], "mail": None})
        answer: dict[str, Any] = {
            "problems": [_told(*one) for one in found],
            "values": tried.values,
            "mail": None,
        }
        if tried.mail:
            html = _WHERE_DARK.sub("@media all {" if said.get("dark") else "@media not all {", mail.html)
            invitation = read_invitation(mail.calendar) if mail.calendar else None
            answer["mail"] = {
                "subject": tried.subject, "preheader": tried.preheader, "from": mail.sender, "date": mail.date,
                "text": mail.text, "bytes": len(tried.mail),
                "frame": f"/templates/shown/{self._desk.show(html)}",
                "invitation": invitation and {
                    "title": invitation.summary, "where": invitation.location,
                    "start": invitation.start and invitation.start.isoformat(),
                    "end": invitation.end and invitation.end.isoformat(),
                    "zone": zone,
                },
            }  # fmt: skip
        return JSONResponse(answer)

    async def _save(self, request: Request, editor: Editor) -> Response:
        key, said, source, _ = await self._asked(request)
        if why := self._why_not(editor):
            return JSONResponse({"error": why}, 403)
        async with self._saving:
            try:
                before = await asyncio.to_thread(
                    shelf.write, self._desk.root, *key, source, said.get("began_with", "")
                )
            except shelf.Conflict as conflict:
                return JSONResponse(
                    {
                        "error": "Somebody else has changed this text since you opened it. Nothing was saved.",
                        "theirs": conflict.theirs, "theirs_began_with": digest(conflict.theirs),
                        "difference": shelf.difference(conflict.theirs, source),
                    },
                    409,
                )  # fmt: skip
            except OSError as error:
                return JSONResponse({"error": f"The file can't be written: {error.strerror}."}, 500)
            note = said.get("note", "").strip()[:500]
            now = self._desk.clock.now()
            await self._desk.database.run(shelf.note_saved, now, key, before, source, editor.address, note)
        unsound = await self._unsound(key, source)
        log.info("text saved", message=key[0], language=key[1], sound=not unsound)
        return JSONResponse(
            {
                "began_with": digest(source), "sound": not unsound,
                "problems": [_told(True, one) for one in unsound],
                "difference": shelf.difference(before, source),
            }
        )  # fmt: skip

    async def _unsound(self, key: Key, source: str) -> list[Problem]:
        """What keeps a text from going out, for any reader of any webinar that uses it."""
        place = str(text_path(self._desk.root, *key))
        try:
            layout = await self._layout()
        except Problems as error:
            return list(error.problems)
        found: dict[Problem, None] = {}
        for webinar in self._desk.users_of(key[0]):
            reader = await self._desk.reader(webinar, key[1], {})
            trial = Trial(source, place, key[0], layout, webinar, reader, whole=True)
            found |= dict.fromkeys((await self._trier.try_(trial)).problems)
        return list(found)

    async def _send(self, request: Request, editor: Editor) -> Response:
        key, said, source, webinar = await self._asked(request)
        if self._desk.send is None:
            return JSONResponse({"error": "No mail leaves from here."}, 409)
        try:
            tried, _, found, _ = await self._tried(key, said, source, webinar, editor.address)
        except Problems as error:
            return JSONResponse({"error": str(error)}, 422)
        if not tried.mail:
            return JSONResponse({"error": f"There is no mail to send: {found[0][1]}"}, 422)
        failed = await self._desk.send(webinar, editor.address, marked(tried.mail, tried.subject))
        if failed:
            return JSONResponse({"error": f"The relay did not take it: {failed}"}, 502)
        return JSONResponse({"sent_to": editor.address})


async def _form(request: Request) -> dict[str, str]:
    """The fields of a small form."""
    return dict(parse_qsl((await _body(request, LARGEST_FORM)).decode("utf-8", "replace")))


async def _body(request: Request, most: int) -> bytes:
    """What was sent. Raises HTTPException before more than `most` bytes are kept."""
    body = b""
    async for some in request.stream():
        body += some
        if len(body) > most:
            raise HTTPException(413, f"At most {most:,} bytes are taken.")
    return body


def _told(wrong: bool, problem: Problem) -> dict[str, Any]:
    line = _LINE.search(problem.place)
    fix = "; ".join(filter(None, (problem.allowed and f"allowed: {problem.allowed}", problem.hint)))
    return {"line": int(line[1]) if line else 0, "found": problem.found, "fix": fix, "wrong": wrong}
