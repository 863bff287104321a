"""Two answers for whoever watches the service: does it run, and would the next mail go out?"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from scheduler.metrics import CONTENT_TYPE

_MOST_LATE = 20  # in the answer
_NO_STORE = {"Cache-Control": "no-store"}


@dataclass(frozen=True)
class Readiness:
    """Why the next mail would not go out, in words without personal data; no reason means that it would."""

    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    """What somebody should know, though mails go out; in such words, too."""
    late: tuple[tuple[str, str, float], ...] = ()
    """Webinar, message, and the age in seconds of its oldest mail that is due, the oldest first."""

    @property
    def ready(self) -> bool:
        return not self.reasons


def health_app(
    readiness: Callable[[], Readiness], metrics: Callable[[], Awaitable[bytes]] | None = None
) -> Starlette:
    """GET and HEAD of three paths:

    - `/healthz`: 200 `{"status": "ok"}` as long as the process answers at all;
    - `/readyz`: `{"ready": true, "reasons": [], "notes": [], "late": []}` with 200, or the reasons with 503. Notes, and
      what is `late`, change neither: the oldest due mail of each message, as `webinar`, `message`, `seconds`;
    - `/metrics`: what `metrics` returns, in Prometheus' text format.

    `readiness` is called in the event loop for each request, so it only looks at what is known already. If it
    raises, the answer is 503 with the kind of the error, never its text: that might name a person.
    """

    async def healthz(request: Request) -> JSONResponse:
        return JSONResponse({"status": "ok"}, headers=_NO_STORE)

    async def readyz(request: Request) -> JSONResponse:
        try:
            now = readiness()
        except Exception as error:
            now = Readiness((f"the check of readiness failed ({type(error).__name__})",))
        late = [
            dict(zip(("webinar", "message", "seconds"), one, strict=True)) for one in now.late[:_MOST_LATE]
        ]
        body = {"ready": now.ready, "reasons": now.reasons, "notes": now.notes, "late": late}
        return JSONResponse(body, status_code=200 if now.ready else 503, headers=_NO_STORE)

    async def exposition(request: Request) -> Response:
        body = await metrics() if metrics else b""
        return Response(body, headers=_NO_STORE | {"Content-Type": CONTENT_TYPE})

    return Starlette(
        routes=[Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", exposition)]
    )
