"""The page that the mail to somebody who waits for a place leads to: its button takes them off the waiting list."""

from __future__ import annotations

from sqlalchemy import Connection
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from scheduler import mailed_links
from scheduler.mailed_links import MailedTo, Purpose
from scheduler.registrants import signups
from scheduler.registrants.signups import State
from scheduler.web.pages.context import Pages
from scheduler.web.pages.showing import browser_language, show


def routes(pages: Pages) -> list[Route]:
    """The routes of the page and its button."""
    leaving = _Leaving(pages)
    return [
        Route("/l/{token}", leaving.page, methods=["GET"]),
        Route("/l/{token}", leaving.press, methods=["POST"]),
    ]


class _Leaving:
    def __init__(self, pages: Pages) -> None:
        self._pages = pages

    async def page(self, request: Request) -> Response:
        """Whether somebody waits, and the button. Changes nothing."""
        _, state = await self._found(request)
        waits, has_place = state is State.WAITING, state is State.REGISTERED
        language = browser_language(request)
        return show("leaving.html", language, path=request.url.path, waits=waits, has_place=has_place)

    async def press(self, request: Request) -> Response:
        """Take somebody off the list. Whoever has a place by now keeps it."""
        to, _ = await self._found(request)
        self._pages.limits.form_of(request.path_params["token"])
        await self._pages.database.run(signups.stop_waiting, [to.subject_id])
        return RedirectResponse(request.url.path, 303)

    async def _found(self, request: Request) -> tuple[MailedTo, State | None]:
        """What a link leads to. Raises HTTPException: 404 for a token that is unknown or expired; 429 for too many of
        those."""
        now, token = self._pages.clock.now(), request.path_params["token"]

        def look(conn: Connection) -> tuple[MailedTo, State | None] | None:
            to = mailed_links.find(conn, now, Purpose.WAITING, token)
            return (to, signups.state_of(conn, *to)) if to else None

        found = await self._pages.database.run_reading(look)
        if found is None:
            self._pages.limits.unknown_key(request)
            raise HTTPException(404)
        return found
