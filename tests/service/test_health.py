"""What the health endpoint answers."""

from __future__ import annotations

import asyncio
import http.client
import json
from collections.abc import Callable

import pytest

from scheduler.http.server import WebServer
from scheduler.service.health import Readiness, health_app


def _ask(method: str, path: str, readiness: Callable[[], Readiness] = Readiness) -> tuple[int, bytes]:
    async def run() -> tuple[int, bytes]:
        server = WebServer(health_app(readiness), "127.0.0.1", 0)
        await server.start()
        try:
            return await asyncio.to_thread(_request, server.port, method, path)
        finally:
            await server.stop()

    return asyncio.run(run())


def _request(port: int, method: str, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def test_a_process_that_answers_is_alive_even_when_not_ready() -> None:
    status, body = _ask("GET", "/healthz", lambda: Readiness(("the relay refused our password",)))
    assert (status, json.loads(body)) == (200, {"status": "ok"})


def test_ready_when_the_next_mail_would_go_out() -> None:
    status, body = _ask("GET", "/readyz")
    assert (status, json.loads(body)) == (200, {"ready": True, "reasons": [], "notes": [], "late": []})


def test_not_ready_says_why() -> None:
    reasons = ("the relay refused our password", "config/webinars/a.toml has mistakes")
    status, body = _ask("GET", "/readyz", lambda: Readiness(reasons))
    assert (status, json.loads(body)) == (
        503,
        {"ready": False, "reasons": list(reasons), "notes": [], "late": []},
    )


def test_notes_are_told_and_it_is_ready_all_the_same() -> None:
    notes = ("registrants, row 7: email is empty; the row is set aside", "another note")
    status, body = _ask("GET", "/readyz", lambda: Readiness(notes=notes))
    assert (status, json.loads(body)) == (
        200,
        {"ready": True, "reasons": [], "notes": list(notes), "late": []},
    )
    status, body = _ask("GET", "/readyz", lambda: Readiness(("the relay is down",), notes))
    assert (status, json.loads(body)["notes"]) == (503, list(notes))


def test_a_check_that_fails_is_not_ready_and_tells_no_personal_data() -> None:
    def broken() -> Readiness:
        raise ValueError("anna@example.org")

    status, body = _ask("GET", "/readyz", broken)
    assert status == 503
    reasons = ["the check of readiness failed (ValueError)"]
    assert json.loads(body) == {"ready": False, "reasons": reasons, "notes": [], "late": []}


def test_metrics_are_what_was_prepared_in_the_format_of_prometheus() -> None:
    async def prepared() -> bytes:
        return b"webinar_ready 1\n"

    async def run() -> tuple[int, str | None, bytes]:
        server = WebServer(health_app(Readiness, prepared), "127.0.0.1", 0)
        await server.start()
        try:
            return await asyncio.to_thread(_typed, server.port)
        finally:
            await server.stop()

    assert asyncio.run(run()) == (200, "text/plain; version=0.0.4; charset=utf-8", b"webinar_ready 1\n")


def _typed(port: int) -> tuple[int, str | None, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/metrics")
        response = connection.getresponse()
        return response.status, response.getheader("content-type"), response.read()
    finally:
        connection.close()


@pytest.mark.parametrize(("path", "status"), [("/healthz", 200), ("/readyz", 503)])
def test_head_answers_as_get_does_without_a_body(path: str, status: int) -> None:
    assert _ask("HEAD", path, lambda: Readiness(("x",))) == (status, b"")


@pytest.mark.parametrize(("method", "path", "status"), [("POST", "/healthz", 405), ("GET", "/other", 404)])
def test_anything_else_is_refused(method: str, path: str, status: int) -> None:
    assert _ask(method, path)[0] == status


def test_what_is_late_is_listed_and_changes_neither_answer() -> None:
    late = (("w", "reminder-day", 75.5), ("v", "confirmation", 3.0))
    status, body = _ask("GET", "/readyz", lambda: Readiness(late=late))
    assert status == 200
    assert json.loads(body)["late"] == [
        {"webinar": "w", "message": "reminder-day", "seconds": 75.5},
        {"webinar": "v", "message": "confirmation", "seconds": 3.0},
    ]


def test_of_a_thousand_messages_that_are_late_the_oldest_are_listed() -> None:
    late = tuple((f"w{number}", "x", 1000.0 - number) for number in range(1000))
    _, body = _ask("GET", "/readyz", lambda: Readiness(late=late))
    assert [one["webinar"] for one in json.loads(body)["late"]] == [f"w{number}" for number in range(20)]
