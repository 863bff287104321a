"""The endpoints that monitoring asks: whether the service runs, and whether the next mail would go out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from scheduler.metrics import CONTENT_TYPE
from scheduler.readiness import Kind, Readiness, Reason

_MOST_LATE = 20  # in the answer
_NO_STORE = {"Cache-Control": "no-store"}


def health_app(
    readiness: Callable[[], Readiness], metrics: Callable[[], Awaitable[bytes]] | None = None
) -> Starlette:
    """GET and HEAD of three paths:

    - `/healthz`: 200 `{"status": "ok"}` as long as the process answers at all;
    - `/readyz`: `{"ready": true, "reasons": [], "notes": [], "details": [], "late": []}` with 200; with `reasons` 503.
      Notes change neither, nor does `late`: the oldest due mail of each message, as `webinar`, `message`, `seconds`.
      `details` has the reasons, then the notes, each as `kind` and `words`;
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
            words = f"the check of readiness failed ({type(error).__name__})"
            now = Readiness((Reason(Kind.FAILURE, words),))
        late = [
            dict(zip(("webinar", "message", "seconds"), one, strict=True)) for one in now.late[:_MOST_LATE]
        ]
        found = (*now.stopping, *now.noted)
        body = {
            "ready": now.ready,
            "reasons": now.reasons,
            "notes": now.notes,
            "details": [{"kind": one.kind.id, "words": one.words} for one in found],
            "late": late,
        }
        return JSONResponse(body, status_code=200 if now.ready else 503, headers=_NO_STORE)

    async def exposition(request: Request) -> Response:
        body = await metrics() if metrics else b""
        return Response(body, headers=_NO_STORE | {"Content-Type": CONTENT_TYPE})

    return Starlette(
        routes=[Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", exposition)]
    )
