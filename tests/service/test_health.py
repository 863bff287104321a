"""What the health endpoint answers."""

from __future__ import annotations

import asyncio
import http.client
import json
from collections.abc import Callable

import pytest

from scheduler.http.server import WebServer
from scheduler.readiness import Kind, Readiness, Reason, reasons
from scheduler.service.health import health_app

_RELAY = (Reason(Kind.RELAY, "the relay refused our password"),)


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
    status, body = _ask("GET", "/healthz", lambda: Readiness(_RELAY))
    assert (status, json.loads(body)) == (200, {"status": "ok"})


def test_ready_when_the_next_mail_would_go_out() -> None:
    status, body = _ask("GET", "/readyz")
    assert (status, json.loads(body)) == (
        200,
        {"ready": True, "reasons": [], "notes": [], "details": [], "late": []},
    )


def test_not_ready_says_why() -> None:
    found = (*_RELAY, Reason(Kind.FILE, "config/webinars/a.toml has mistakes"))
    status, body = _ask("GET", "/readyz", lambda: Readiness(found))
    assert (status, json.loads(body)) == (
        503,
        {
            "ready": False,
            "reasons": ["the relay refused our password", "config/webinars/a.toml has mistakes"],
            "notes": [],
            "details": [
                {"kind": "relay", "words": "the relay refused our password"},
                {"kind": "file", "words": "config/webinars/a.toml has mistakes"},
            ],
            "late": [],
        },
    )


def test_notes_are_told_and_it_is_ready_all_the_same() -> None:
    words = ["registrants, row 7: email is empty; the row is set aside", "another note"]
    notes = (Reason(Kind.ROW, words[0]), Reason(Kind.WATCHING, words[1]))
    status, body = _ask("GET", "/readyz", lambda: Readiness(notes))
    said = json.loads(body)
    assert (status, said["ready"], said["reasons"], said["notes"]) == (200, True, [], words)
    assert [one["kind"] for one in said["details"]] == ["row", "watching"]
    status, body = _ask("GET", "/readyz", lambda: Readiness((*notes, *_RELAY)))
    said = json.loads(body)
    assert (status, said["reasons"], said["notes"]) == (503, ["the relay refused our password"], words)
    assert [one["kind"] for one in said["details"]] == ["relay", "row", "watching"]


@pytest.mark.parametrize("kind", Kind, ids=lambda kind: kind.id)
def test_what_stops_mails_is_503_and_a_note_is_not(kind: Kind) -> None:
    status, body = _ask("GET", "/readyz", lambda: Readiness(reasons(kind, ["in words", "in words", ""])))
    said = json.loads(body)
    assert status == (503 if kind.stops else 200)
    assert (said["reasons"], said["notes"]) == ((["in words"], []) if kind.stops else ([], ["in words"]))
    assert kind.fix


def test_a_check_that_fails_is_not_ready_and_tells_no_personal_data() -> None:
    def broken() -> Readiness:
        raise ValueError("anna@example.org")

    status, body = _ask("GET", "/readyz", broken)
    assert status == 503
    assert json.loads(body)["reasons"] == ["the check of readiness failed (ValueError)"]
    assert b"anna" not in body


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
    assert _ask("HEAD", path, lambda: Readiness(_RELAY)) == (status, b"")


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
