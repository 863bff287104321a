"""The API's application: its routes, who may call them, and its errors as problem+json (RFC 9457)."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Annotated, Any, cast

import structlog
from fastapi import APIRouter, Depends, FastAPI, Path, Query, Request, Response, Security
from fastapi.exceptions import HTTPException, RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from fastapi.security.utils import get_authorization_scheme_param
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.convertors import Convertor, register_url_convertor
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.routing import Mount
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from scheduler.faults import fault
from scheduler.http.counts import Counts, count_key
from scheduler.input.addresses import why_no_address
from scheduler.input.validation import shown
from scheduler.problem import nearest
from scheduler.registrants import signups
from scheduler.registrants.signups import Outcome
from scheduler.registrants.zones import resolve
from scheduler.web.api import keys, people, shapes
from scheduler.web.api.keys import Key
from scheduler.web.api.people import Asked, Refused, judge
from scheduler.web.api.shapes import (
    MOST_ON_A_PAGE,
    MOST_ROWS,
    FieldError,
    Problem,
    Registered,
    Registrant,
    Rows,
)
from scheduler.web.pages.context import Pages
from scheduler.webinar.model import Webinar
from scheduler.zones.names import load_names

log = structlog.get_logger()

LARGEST = 8_000_000  # bytes of a body
PIECE = 100  # rows of a transaction: on SQLite a longer one would keep the service from sending
MOST_CALLS = 600  # of one key, in a minute
MOST_ERRORS, MOST_OF_ROW = 100, 10  # said in an answer, and of each of many rows
PROBLEM = "application/problem+json"
_KEY = "webinar.key"  # of a request's scope
_LARGEST_ID = 2**63 - 1
_WORDS = {
    400: "the body is no JSON",
    401: "no valid key: `Authorization: Bearer` with a key of `webinar key add`",
    403: "the key is for another webinar",
    409: "nobody can register: the webinar has ended, or does not govern yet",
    413: f"the body has more than {LARGEST:,} bytes",
    422: "a mistake in what is said",
    429: "too many calls",
    503: "the database is busy; nothing is lost by trying again",
}


class Api(Mount):
    """The API below /api, whatever follows."""

    def __init__(self, pages: Pages) -> None:
        super().__init__("/api", api_app(pages))
        self.path_regex = re.compile(r"/api/(?P<path>(?s:.*))")


def api_app(pages: Pages) -> FastAPI:
    """The application, which answers below the path at which it is mounted."""
    app = FastAPI(
        title="Registrants of a webinar",
        summary="Registers people, and says what became of their mails.",
        description="Calls are idempotent: what is said twice is true once. The operator makes a key for one webinar"
        " with `webinar key add`.",
        version="1",
        docs_url=None,  # its scripts would come from a third party
        redoc_url=None,
        exception_handlers={
            StarletteHTTPException: _refused,
            Refused: _refused_person,
            RequestValidationError: _not_valid,
            DBAPIError: _try_later,
            PoolTimeout: _try_later,
        },
    )
    app.state.calls = Calls(pages)
    app.include_router(router)
    app.add_middleware(BodyLimit)
    document = app.openapi
    app.openapi = lambda: _with_problems(document())  # type: ignore[method-assign]
    return app


class Calls:
    """What calls have in common: the parts they work with, and who may call."""

    def __init__(self, pages: Pages) -> None:
        self.pages, self.database = pages, pages.database
        self._counts = Counts(60.0)

    async def known(self, request: Request) -> Key:
        """The key in the head of a request, looked up once. Raises HTTPException 401."""
        if (looked_up := request.scope.get(_KEY)) is not None:
            return cast(Key, looked_up)
        scheme, given = get_authorization_scheme_param(request.headers.get("authorization"))
        bears = scheme.lower() == "bearer" and given
        key = await self.database.run_reading(keys.find, given) if bears else None
        if key is None:
            self.pages.limits.unknown_key(request)
            raise HTTPException(401, "A valid key is needed.", {"www-authenticate": "Bearer"})
        request.scope[_KEY] = key
        return key

    async def key(self, request: Request, webinar: str) -> Key:
        """The key of a call. Raises HTTPException: 401; 403 for a key of another webinar; 429."""
        key = await self.known(request)
        if self._counts.begin({count_key(key.name): MOST_CALLS}) is None:
            words = f"At most {MOST_CALLS} calls a minute; one call takes {MOST_ROWS:,} people."
            raise HTTPException(429, words, {"retry-after": "60"})
        if key.webinar != webinar:
            raise HTTPException(403, f"This key is for the webinar {key.webinar}.")
        return key

    async def governing(self, webinar: str) -> Webinar:
        """What governs. Raises HTTPException 409."""
        found = (await asyncio.to_thread(self.pages.webinars)).get(webinar)
        if found is None:
            raise HTTPException(
                409, "Nobody can register: the webinar has ended, or no sound file of it governs yet."
            )
        here, now = found.webinar, self.pages.clock.now()
        if here.cancelled or here.end <= now:
            why = "is cancelled" if here.cancelled else "is over"
            raise HTTPException(409, f"Nobody can register: the webinar {why}.")
        return here

    async def register(self, webinar: Webinar, asked: Sequence[Asked], key: Key) -> list[people.Result]:
        """Register these people, in short transactions."""
        await asyncio.to_thread(load_names)  # outside a transaction
        now, results = self.pages.clock.now(), list[people.Result]()
        for first in range(0, len(asked), PIECE):
            piece = asked[first : first + PIECE]
            results += await self.database.run(
                people.register, now, webinar, piece, f"api {key.name}", self.pages.url
            )
        return results

    async def read(self, webinar: str, address: str) -> Registered:
        """A person. Raises HTTPException 404."""
        found = await self.database.run_reading(people.read, webinar, address)
        if found is None:
            raise HTTPException(404, "Nobody with this address registered by the form or the API.")
        if not found.zone and (governing := await self.pages.governing(webinar)):
            # the service has not taken the person in yet
            zone = await asyncio.to_thread(
                resolve, governing.webinar, (webinar, found.timezone, found.country)
            )
            known = {"zone": zone["zone"], "zone_known_by": zone["known_by"], "zone_problem": zone["problem"]}
            found = found.model_copy(update=known)
        return found


def _calls(request: Request) -> Calls:
    calls: Calls = request.app.state.calls
    return calls


async def _caller(
    request: Request,
    webinar: Annotated[str, Path(description="the webinar's id")],
    _: Annotated[HTTPAuthorizationCredentials | None, Security(HTTPBearer(auto_error=False))],
) -> Key:
    return await _calls(request).key(request, webinar)


def _address(address: Annotated[str, Path(description="an e-mail address")]) -> str:
    if reason := why_no_address(address.strip()):
        raise Refused(
            [FieldError(at="email", found=f"{reason}: {shown(address)}", allowed=people.AN_ADDRESS)]
        )
    return address.strip()


def _says(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": Problem, "description": _WORDS[status]} for status in statuses}


class _Anything(Convertor[str]):
    """A part of a path with slashes and line breaks, as an address may have them by mistake."""

    regex = "(?s:.*)"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("anything", _Anything())
router = APIRouter(prefix="/webinars/{webinar}/registrants", responses=_says(401, 403, 422, 429, 503))
WithCalls = Annotated[Calls, Depends(_calls)]
Caller = Annotated[Key, Depends(_caller)]
Address = Annotated[str, Depends(_address)]
_NOBODY: dict[int | str, dict[str, Any]] = {
    404: {"model": Problem, "description": "nobody with this address registered by the form or the API"}
}


@router.put(
    "/{address:anything}",
    responses=_says(400, 409, 413) | {201: {"model": Registered, "description": "the person is new"}},
)
async def put_registrant(
    key: Caller, address: Address, said: Registrant, calls: WithCalls, response: Response
) -> Registered:
    """Register a person, or replace what is known of them: a value that is left out is empty then."""
    webinar = await calls.governing(key.webinar)
    asked = await asyncio.to_thread(judge, webinar, address, said)
    (result,) = await calls.register(webinar, [asked], key)
    if not isinstance(result, Outcome):
        raise Refused(result)
    response.status_code = HTTPStatus.CREATED if result.new else HTTPStatus.OK
    return await calls.read(webinar.id, address)


@router.get("/{address:anything}", responses=_NOBODY)
async def get_registrant(key: Caller, address: Address, calls: WithCalls) -> Registered:
    """A person who registered by the form or the API, with what became of each of their mails."""
    return await calls.read(key.webinar, address)


@router.delete("/{address:anything}", status_code=204)
async def delete_registrant(key: Caller, address: Address, calls: WithCalls) -> None:
    """Remove a person: what is still to be sent is cancelled. Nobody is told, unlike when people withdraw."""
    await calls.database.run(signups.remove, key.webinar, address)


@router.post("", responses=_says(400, 409, 413))
async def post_registrants(key: Caller, said: Rows, calls: WithCalls) -> shapes.Results:
    """Register up to 1,000 people. A row with a mistake is refused, and the others count."""
    webinar = await calls.governing(key.webinar)
    asked = await asyncio.to_thread(lambda: [judge(webinar, row.email, row) for row in said.registrants])
    last = {one.details.folded: number for number, one in enumerate(asked)}
    counting = sorted(last.values())
    results = dict(
        zip(counting, await calls.register(webinar, [asked[one] for one in counting], key), strict=True)
    )
    return shapes.Results(
        results=[
            _row_result(one, results[number])
            if number in results
            else _repeated(one, last[one.details.folded])
            for number, one in enumerate(asked)
        ]
    )


@router.get("")
async def list_registrants(
    key: Caller,
    calls: WithCalls,
    after: Annotated[int, Query(ge=0, le=_LARGEST_ID, description="`next` of the page before")] = 0,
    limit: Annotated[int, Query(ge=1, le=MOST_ON_A_PAGE)] = 100,
) -> shapes.Page:
    """All who registered by the form or the API, page by page, with what became of each of their mails."""
    return await calls.database.run_reading(people.read_page, key.webinar, after, limit)


def _row_result(asked: Asked, result: people.Result) -> shapes.Result:
    if not isinstance(result, Outcome):
        errors = _capped(result, MOST_OF_ROW)
        return shapes.Result(email=asked.details.address, result="refused", errors=errors)
    word = "new" if result.new else "changed" if result.changed else "unchanged"
    return shapes.Result(email=asked.details.address, result=word, state=result.state.value)


def _repeated(asked: Asked, last: int) -> shapes.Result:
    words = f"row {last + 1} has the same address, and counts"
    return shapes.Result(
        email=asked.details.address, result="repeated", errors=[FieldError(at="email", found=words)]
    )


class BodyLimit:
    """Reads no body without a valid key in the head, and refuses one that is too large before it is in memory."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        octets = 0

        async def limited() -> Message:
            nonlocal octets
            if not octets:
                await scope["app"].state.calls.known(Request(scope))
            message = await receive()
            octets += len(message.get("body", b""))
            if octets > LARGEST:
                raise HTTPException(413, f"At most {LARGEST:,} bytes are taken.")
            return message

        await self._app(scope, limited, send)


# Errors


def _problem(
    status: int, detail: str, errors: Sequence[FieldError] = (), headers: Mapping[str, str] | None = None
) -> Response:
    said = Problem(title=HTTPStatus(status).phrase, status=status, detail=detail, errors=list(errors))
    return JSONResponse(said.model_dump(), status, headers, PROBLEM)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, StarletteHTTPException)  # noqa: S101 (by its registration)
    return _problem(error.status_code, str(error.detail), headers=error.headers)


async def _refused_person(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)  # noqa: S101 (by its registration)
    errors = error.errors
    return _problem(422, _in_words(errors[:_SAID], len(errors)), _capped(errors, MOST_ERRORS))


async def _not_valid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 (by its registration)
    shape, example = (Rows, _ROWS) if request.method == "POST" else (Registrant, _PERSON)
    found = error.errors()
    errors = [_mistake(one, example, [*shape.model_fields]) for one in found[:MOST_ERRORS]]
    if more := len(found) - len(errors):
        errors.append(_and_more(more))
    return _problem(422, _in_words(errors[:_SAID], len(found)), errors)


_PERSON = 'a JSON object: {"name": "Maya Okafor", "language": "fr", "timezone": "Africa/Lagos"}'
_ROWS = 'a JSON object: {"registrants": [{"email": "maya.okafor@who.int", "name": "Maya Okafor"}]}'
_FOUND = {
    "missing": "is missing", "extra_forbidden": "is no field", "json_invalid": "is no JSON",
    "string_type": "is not text", "list_type": "is not a list", "model_type": "is not a JSON object",
    "model_attributes_type": "is not a JSON object", "dict_type": "is not a JSON object",
}  # fmt: skip
"""What is wrong with a value, by pydantic's type of an error."""


def _mistake(error: Any, example: str, fields: Sequence[str]) -> FieldError:
    """An error in the shape of a body or a query, in words."""
    where, *steps = (str(step) for step in error["loc"])
    kind = error["type"]
    at = where if kind == "json_invalid" else ".".join(steps) or where
    allowed = hint = ""
    if at == "body":
        allowed = example
    elif kind == "extra_forbidden":
        names = [*shapes.Row.model_fields] if len(steps) > 1 else fields
        allowed, hint = ", ".join(names), nearest(steps[-1], names)
    return FieldError(
        at=at[:_LONGEST_PLACE], found=_FOUND.get(kind, error["msg"]), allowed=allowed, hint=hint
    )


_LONGEST_PLACE = 100  # characters: names of fields come from outside


def _capped(errors: Sequence[FieldError], most: int) -> list[FieldError]:
    """The first errors, and how many more there are."""
    more = len(errors) - most
    return [*errors[:most], _and_more(more)] if more > 0 else list(errors)


def _and_more(number: int) -> FieldError:
    return FieldError(at="", found=f"and {number:,} more")


def _in_words(errors: Sequence[FieldError], total: int) -> str:
    """The first of all errors in one sentence, each with its place."""
    said = [one.found if one.found.startswith(one.at) else f"{one.at} {one.found}" for one in errors]
    return "; ".join(said) + (f"; and {total - len(said):,} more" if total > len(said) else "")


_SAID = 5  # errors in the words of a problem


async def _try_later(request: Request, error: Exception) -> Response:
    log.warning("a call of the API failed", reason=fault(error) if isinstance(error, DBAPIError) else "busy")
    return _problem(503, "Please try again in a moment.", headers={"retry-after": "5"})


def _with_problems(document: dict[str, Any]) -> dict[str, Any]:
    """The OpenAPI document with the media type that errors have."""
    for path in document["paths"].values():
        for operation in path.values():
            for status, answer in operation["responses"].items():
                if status >= "400" and "application/json" in (content := answer.get("content", {})):
                    content[PROBLEM] = content.pop("application/json")
    return document
