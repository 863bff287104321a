"""Signing in and out, and the editor of a request."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import structlog
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from scheduler.input.addresses import fold
from scheduler.web import accounts
from scheduler.web.accounts import KNOWN_FOR, LONGEST_PASSWORD, SESSION, Editor
from scheduler.web.context import Desk
from scheduler.web.guard import WITHIN, Attempts, Hashing, is_same_origin
from scheduler.web.requests import form

log = structlog.get_logger()


class SignIn:
    """Signs browsers in by password and identifies them by cookies."""

    def __init__(self, desk: Desk, page: Callable[..., HTMLResponse]) -> None:
        """`page`: renders a page of the editor, given its file, status and variables."""
        self._desk, self._page = desk, page
        self._tries, self._hashing = Attempts(), Hashing()

    def stop(self) -> None:
        """Compare no more passwords."""
        self._hashing.stop()

    @property
    def _cookie(self) -> str:
        return "__Host-session" if self._desk.https else "session"

    @property
    def _known_cookie(self) -> str:
        return "__Host-known" if self._desk.https else "known"

    async def who(self, request: Request) -> Editor | None:
        """The editor whose browser sent this request."""
        if self._desk.everybody:
            return self._desk.everybody
        token = request.cookies.get(self._cookie, "")
        now = self._desk.clock.now()
        return await self._desk.database.run_reading(accounts.signed_in, now, token) if token else None

    async def page(self, request: Request) -> Response:
        """The sign-in form, and the answer to it."""
        if await self.who(request):
            return RedirectResponse("/templates", 303)
        if request.method == "GET":
            return self._page("sign_in.html", wrong="")
        if not is_same_origin(request):  # login CSRF: somebody would be signed in as somebody else unawares
            return self._page(
                "sign_in.html", 403, wrong="This request did not come from a page of the editor."
            )
        return await self._try(request)

    async def _try(self, request: Request) -> Response:
        given = await form(request)
        address, password = fold(given.get("address", "")[:320]), given.get("password", "")[:LONGEST_PASSWORD]
        known = await self._desk.database.run_reading(accounts.hash_of, address)
        browser = accounts.browser_of(request.cookies.get(self._known_cookie, ""), known)
        tried = self._tries.begin(address, request.client.host if request.client else "", browser)
        if tried is None:
            return self._too_many(f"{WITHIN / 60:.0f} minutes", int(WITHIN))
        fits = await self._hashing.fits(password, known, known=bool(browser))
        if fits is not False:
            tried.discard()
        if fits is None:
            return self._too_many("a moment", 5)
        if not fits:
            log.warning("editor: a wrong password")
            return self._page("sign_in.html", 403, wrong="The address or the password is wrong.")
        token = await self._desk.database.run(accounts.begin_session, self._desk.clock.now(), address)
        answer = RedirectResponse("/templates", 303)
        self._set_cookie(answer, self._cookie, token, SESSION)
        self._set_cookie(answer, self._known_cookie, accounts.known_browser(known), KNOWN_FOR)
        return answer

    def _too_many(self, when: str, seconds: int) -> Response:
        log.warning("editor: too many password attempts")
        words = f"Too many password attempts. Try again in {when}."
        answer = self._page("sign_in.html", 429, wrong=words)
        answer.headers["retry-after"] = str(seconds)
        return answer

    def _set_cookie(self, answer: Response, name: str, value: str, lasts: timedelta) -> None:
        answer.set_cookie(
            name, value, max_age=int(lasts.total_seconds()), httponly=True, samesite="strict",
            secure=self._desk.https, path="/",
        )  # fmt: skip

    async def out(self, request: Request, editor: Editor) -> Response:
        """Sign this browser out."""
        await self._desk.database.run(accounts.end_session, editor.token)
        answer = RedirectResponse("/templates/sign-in", 303)
        answer.delete_cookie(
            self._cookie, path="/", secure=self._desk.https, httponly=True, samesite="strict"
        )
        return answer
