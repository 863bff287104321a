"""The timeline of a webinar, with the number of people in each zone: a picture, and a list for phones."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import pytz
from sqlalchemy import Connection
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from scheduler.database.engine import execute
from scheduler.reports.timeline import Clock, Entry, clocks, default_zones, message_name, timeline
from scheduler.reports.timeline_svg import timeline_svg
from scheduler.web.accounts import Editor
from scheduler.web.context import Desk
from scheduler.webinar.model import Webinar


class Timelines:
    """The page with its choice of webinars, and the picture of each."""

    def __init__(self, desk: Desk, page: Callable[..., HTMLResponse]) -> None:
        """`page`: renders a page of the editor, given its file and variables."""
        self._desk, self._page = desk, page

    async def page(self, request: Request, editor: Editor) -> Response:
        webinars = await self._webinars()
        wanted = request.query_params.get("webinar") or next(iter(webinars), "")
        if webinars and wanted not in webinars:
            raise HTTPException(404, "There is no such webinar.")
        webinar = webinars.get(wanted)
        return self._page(
            "timelines.html", editor=editor, signs_in=not self._desk.everybody, webinars=webinars.values(),
            webinar=webinar, clocks=await self._clocks(webinar) if webinar else [],
            names={one.id: message_name(one) for one in webinar.messages} if webinar else {},
        )  # fmt: skip

    async def picture(self, request: Request, editor: Editor) -> Response:
        webinar = (await self._webinars()).get(request.path_params["webinar"])
        if webinar is None:
            raise HTTPException(404, "There is no such webinar.")
        people = await self._people(webinar)
        drawn = await asyncio.to_thread(lambda: timeline_svg(webinar, _entries(webinar, people), people))
        return Response(drawn, media_type="image/svg+xml")

    async def _webinars(self) -> Mapping[str, Webinar]:
        """The webinars by id, the next to begin first."""
        found = (await self._desk.sight()).webinars.values()
        return {one.id: one for one in sorted(found, key=lambda one: (one.start, one.id))}

    async def _clocks(self, webinar: Webinar) -> list[Clock]:
        people = await self._people(webinar)
        return await asyncio.to_thread(lambda: clocks(webinar, _entries(webinar, people), people))

    async def _people(self, webinar: Webinar) -> Mapping[str, int]:
        return await self._desk.database.run_reading(_people_by_zone, webinar.id)


def _entries(webinar: Webinar, people: Mapping[str, int]) -> list[Entry]:
    """The timeline in the zones of these people."""
    return timeline(webinar, [pytz.timezone(name) for name in people] or default_zones(webinar))


def _people_by_zone(conn: Connection, webinar: str) -> dict[str, int]:
    """The number of registered people by zone, where that is known."""
    query = (
        "SELECT zone, count(*) AS n FROM registration WHERE webinar = :webinar AND gone_at IS NULL AND zone <> ''"
        " GROUP BY zone ORDER BY zone"
    )
    rows: list[Any] = list(execute(conn, query, webinar=webinar))
    return {row.zone: row.n for row in rows if row.zone in pytz.all_timezones_set}
