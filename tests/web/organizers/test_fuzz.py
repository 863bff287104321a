"""Whatever is sent to any route of the editor, by whoever is signed in: an answer, and never a fault of ours."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import quote

import httpx
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from scheduler.web import accounts
from tests.web.organizers.conftest import HOST, PASSWORD, Room

ANYTHING = st.text(max_size=40) | st.sampled_from(
    [
        "confirmation",
        "en",
        "fr",
        "try",
        "save",
        "send",
        "history",
        "..",
        "%00",
        "%2e%2e",
        "\0",
        "\ud800",
        "w",
        "-1",
        "1",
    ]
)
PATHS = st.one_of(
    st.just(["templates"]),
    st.tuples(st.just("templates"), ANYTHING).map(list),
    st.tuples(st.just("templates"), st.just("confirmation"), st.sampled_from(["en", "fr", "de"])).map(list),
    st.tuples(st.just("templates"), st.just("confirmation"), st.just("en"), ANYTHING).map(list),
    st.lists(ANYTHING, max_size=5),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=100),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=10,
)
QUESTIONS = st.dictionaries(
    st.sampled_from(
        ["source", "began_with", "note", "zone", "name", "registrant", "assumed", "dark", "whole", "webinar"]
    ),
    st.text(max_size=200) | JSON,
)
BODIES = (
    st.binary(max_size=200)
    | JSON.map(lambda value: json.dumps(value).encode())
    | QUESTIONS.map(lambda value: json.dumps(value).encode())
    | st.dictionaries(st.text(max_size=10), st.text(max_size=50), max_size=3).map(
        lambda form: (
            "&".join(f"{quote(a, safe='')}={quote(b, safe='')}" for a, b in form.items()).encode()
            if all(map(_is_text, [*form, *form.values()]))
            else b""
        )
    )
)
HEADERS = st.dictionaries(
    st.sampled_from(["Origin", "X-CSRF", "Cookie", "Content-Type", "X-Forwarded-For", "Accept", "Range"]),
    st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=60),
    max_size=3,
)


def _is_text(words: str) -> bool:
    return not any("\ud800" <= one <= "\udfff" for one in words)


def _path(parts: list[str]) -> str:
    return "/" + "/".join(quote(part.encode("utf-8", "surrogatepass"), safe="%") for part in parts)


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    method=st.sampled_from(["GET", "POST", "HEAD", "PUT", "OPTIONS", "DELETE"]),
    parts=PATHS,
    query=st.dictionaries(st.sampled_from(["revision", "x"]), st.text(max_size=30), max_size=2),
    headers=HEADERS,
    body=BODIES,
    signed_in=st.booleans(),
)
@example("POST", ["templates", "confirmation", "en", "try"], {}, {}, b"[" * 50_000, True)
@example("GET", ["templates", "confirmation", "en"], {"revision": "9" * 5000}, {}, b"", True)
def test_an_answer_and_no_fault(
    room: Room,
    loop: asyncio.Runner,
    method: str,
    parts: list[str],
    query: dict[str, str],
    headers: dict[str, str],
    body: bytes,
    signed_in: bool,
) -> None:
    async def ask() -> httpx.Response:
        async with _browser(room, signed_in=signed_in) as client:
            csrf = {"X-CSRF": room.csrf(client)} if signed_in else {}
            known = {name: value for name, value in query.items() if _is_text(value)}
            return await client.request(
                method, _path(parts), params=known, headers=csrf | headers, content=body
            )

    answer = loop.run(ask())
    assert answer.status_code < 500 or answer.status_code == 503, answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"


def _browser(room: Room, *, signed_in: bool) -> Any:
    client = httpx.AsyncClient(transport=httpx.ASGITransport(room.editor.app), base_url=f"http://{HOST}")
    if signed_in:
        client.cookies.set("session", _session(room), domain="127.0.0.1")
    return client


def _session(room: Room) -> str:
    with room.database.transaction() as conn:
        if not accounts.all_accounts(conn):  # hashing takes its time
            accounts.save_account(conn, room.clock.at, "ada@who.int", PASSWORD, "edit")
        return accounts.begin_session(conn, room.clock.at, "ada@who.int")
