"""The API: idempotent calls by a key of one webinar, in the words of the import, and what became of each person."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from scheduler.ledger import forgetting
from scheduler.web.api import app as api
from scheduler.web.api import keys
from tests.support import utc, webinar
from tests.web.api.support import MAYA, PEOPLE, Api, key_of
from tests.web.pages.support import NOW, Site

pytestmark = pytest.mark.engines("sqlite")

QUESTIONS = """
[[questions]]
id = "role"
kind = "choice"
words = "What do you do?"
options = ["Nurse", "Other"]
required = true
"""


@pytest.fixture
def system(site: Site) -> Api:
    return Api(site)


# Registering a person


def test_a_person_is_registered_and_written_to(site: Site, system: Api) -> None:
    answer = system.put(name="Maya Okafor", timezone="Lagos", language="fr", country="NG", organization="WHO")
    said = answer.json()
    assert (answer.status_code, said["state"], said["source"]) == (201, "registered", "api crm")
    assert (said["zone"], said["zone_known_by"], said["deliveries"]) == ("Africa/Lagos", "timezone", [])
    site.ledger.plan(NOW)
    said = system.get().json()
    assert [one["message"] for one in said["deliveries"] if one["state"] == "pending"] == [
        "confirmation", "reminder-day", "reminder-hour", "follow-up",
    ]  # fmt: skip
    assert said["deliveries"][1]["due_at"] == "2025-07-02T08:00:00Z"


def test_the_same_call_twice_changes_nothing(site: Site, system: Api) -> None:
    system.put(name="Maya")
    site.ledger.plan(NOW)
    before = site.dump()
    answer = system.put(name="Maya")
    site.ledger.plan(NOW)
    assert answer.status_code == 200
    assert site.dump() == before


def test_a_value_that_is_left_out_is_empty_then(system: Api) -> None:
    system.put(name="Maya", timezone="Lagos")
    assert system.put(name="Maya").json()["timezone"] == ""


def test_a_zone_that_is_not_understood_is_said(system: Api) -> None:
    said = system.put(timezone="Atlantis").json()
    assert said["zone"] == "Europe/Zurich"
    assert said["zone_problem"] == "time zone: not the name of a time zone"


def test_an_address_with_a_slash_is_an_address(system: Api) -> None:
    assert system.put(f"{PEOPLE}/a%2Fb@who.int").json()["email"] == "a/b@who.int"


@pytest.mark.parametrize(
    ("address", "said", "at", "found"),
    [
        ("maya", {}, "email", 'email is not an address: "maya"'),
        ("maya%00@who.int", {}, "email", 'email has a control character: "maya\\u0000@who.int"'),
        ("maya@who.int", {"join_url": "http://x.org"}, "join_url", 'join_url is not an https link: "http://x.org"'),
        ("maya@who.int", {"country": "x" * 201}, "country", f'country is longer than 200 characters: "{"x" * 78}…'),
        ("maya@who.int", {"answers": {"age": "7"}}, "answers.age", "no such question"),
    ],
)  # fmt: skip
def test_a_mistake_is_said_in_the_words_of_the_import(
    system: Api, address: str, said: dict[str, Any], at: str, found: str
) -> None:
    answer = system.put(f"{PEOPLE}/{address}", **said)
    problem = answer.json()
    assert answer.status_code == problem["status"] == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["errors"][0]["at"] == at
    assert problem["errors"][0]["found"].startswith(found)


def test_answers_are_checked_and_kept(site: Site, system: Api) -> None:
    site.ledger.govern(webinar(QUESTIONS + "\n[[messages]]\nid='c'\non_registration=true\n"))
    answer = system.put(answers={"role": "Doctor"})
    assert answer.json()["errors"] == [
        {
            "at": "answers.role",
            "found": "no answer to this question",
            "allowed": '"Nurse", "Other"',
            "hint": "",
        }
    ]
    assert system.put().json()["errors"][0]["found"] == "is missing"
    assert system.put(answers={"role": "Nurse"}).json()["answers"] == {"role": "Nurse"}


@pytest.mark.parametrize(
    "body", ['{"name": 5}', '{"nickname": "M"}', "[]", "{", '{"name": "\\ud800"}', '{"registered_at": "today"}']
)  # fmt: skip
def test_what_the_document_does_not_describe_is_refused(site: Site, system: Api, body: str) -> None:
    answer = site.ask(
        "PUT", MAYA, content=body,
        headers={"authorization": f"Bearer {system.key}", "content-type": "application/json"},
    )  # fmt: skip
    assert answer.status_code == 422
    assert answer.json()["errors"]


def test_a_nul_reaches_no_database(system: Api) -> None:
    assert system.put(name="Ma\0ya").json()["name"] == "Ma\ufffdya"


def test_a_body_that_is_too_large_is_refused(system: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "LARGEST", 1000)
    answer = system.put(name="x" * 1000)
    assert answer.status_code == 413
    assert answer.json()["title"]


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"cancelled": True}, "is cancelled"),
        ({"start": datetime(2025, 6, 2, 13), "end": datetime(2025, 6, 2, 15)}, "is over"),
    ],
)
def test_nobody_registers_for_a_webinar_that_is_cancelled_or_over(
    site: Site, system: Api, changed: dict[str, Any], why: str
) -> None:
    site.ledger.govern(webinar(**changed))
    answer = system.put()
    assert answer.status_code == 409
    assert why in answer.json()["detail"]
    assert system.post({"email": "maya@who.int"}).status_code == 409


def test_no_body_is_read_without_a_valid_key(site: Site, system: Api) -> None:
    read = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal read
        for _ in range(100):
            read += 1
            yield b"x" * 10_000

    for method, path in (("POST", PEOPLE), ("PUT", MAYA)):
        answer = site.ask(method, path, content=body(), headers={"authorization": "Bearer wsk_wrong"})
        assert answer.status_code == 401
        assert site.ask(method, path, content=body()).status_code == 401
    assert read == 0


@pytest.mark.parametrize(
    ("body", "detail", "allowed"),
    [
        ("[]", "body is not a JSON object", '{"registrants": ['),
        ("{", "body is no JSON", '{"registrants": ['),
        ("{}", "registrants is missing", ""),
        ('{"registrants": [{"name": "Maya"}]}', "registrants.0.email is missing", ""),
        (
            '{"registrants": [{"email": "a@b.org", "nam": 1}]}',
            "registrants.0.nam is no field",
            "name, language",
        ),
    ],
)
def test_a_body_of_the_wrong_shape_is_said_with_its_place(
    site: Site, system: Api, body: str, detail: str, allowed: str
) -> None:
    headers = {"authorization": f"Bearer {system.key}", "content-type": "application/json"}
    answer = site.ask("POST", PEOPLE, content=body, headers=headers).json()
    assert answer["detail"] == detail
    assert allowed in answer["errors"][0]["allowed"]


def test_an_answer_names_a_hundred_mistakes_at_most(system: Api) -> None:
    said = system.post(*({"mail": "x"} for _ in range(500))).json()
    assert len(said["errors"]) == 101
    assert said["errors"][-1]["found"] == "and 900 more"
    said = system.put(answers={f"q{number}": "x" for number in range(1000)}).json()
    assert len(said["errors"]) == 101
    row = {"email": "a@who.int", "answers": {f"q{number}": "x" for number in range(1000)}}
    assert len(system.post(row).json()["results"][0]["errors"]) == 11


def test_what_is_allowed_is_said(system: Api) -> None:
    assert (
        system.put(f"{PEOPLE}/maya").json()["errors"][0]["allowed"] == "an address as in maya.okafor@who.int"
    )
    assert "https link" in system.put(join_url="http://x.org").json()["errors"][0]["allowed"]
    (result,) = system.post({"email": "maya"}).json()["results"]
    assert result["errors"][0]["allowed"] == "an address as in maya.okafor@who.int"


def test_the_zone_is_known_before_the_service_has_taken_the_person_in(system: Api) -> None:
    system.put(timezone="Lagos")
    assert system.get().json()["zone"] == "Africa/Lagos"


def test_nobody_registers_for_a_webinar_that_has_ended(site: Site, system: Api) -> None:
    site.ledger.govern(webinar(status="ended"))
    assert system.put().status_code == 409


# Removing a person


def test_a_person_is_removed_and_removed_again(site: Site, system: Api) -> None:
    system.put()
    site.ledger.plan(NOW)
    assert [system.call("DELETE").status_code for _ in range(2)] == [204, 204]
    site.ledger.plan(NOW)
    assert system.get().status_code == 404
    assert set(site.ledger.states("maya@who.int").values()) == {"cancelled: the registrant's row was deleted"}


def test_a_row_of_others_is_no_business_of_the_api(site: Site, system: Api) -> None:
    site.register("maya@who.int")
    assert system.call("DELETE").status_code == 204
    site.ledger.plan(NOW)
    assert site.ledger.states("maya@who.int")["confirmation"] == "pending"


# Many people


def test_each_row_of_a_call_has_its_result(site: Site, system: Api) -> None:
    system.put(name="Maya")
    rows = [{"email": "ben@who.int"}, {"email": "nobody"}, {"email": "maya@who.int", "name": "Maya"},
            {"email": "eva@who.int"}, {"email": "EVA@who.int", "name": "Eva"}]  # fmt: skip
    results = system.post(*rows).json()["results"]
    assert [one["result"] for one in results] == ["new", "refused", "unchanged", "repeated", "new"]
    assert results[1]["errors"][0]["found"] == 'email is not an address: "nobody"'
    assert results[3]["errors"][0]["found"] == "row 5 has the same address, and counts"
    assert [one["email"] for one in system.get(PEOPLE).json()["registrants"]] == [
        "maya@who.int", "ben@who.int", "EVA@who.int",
    ]  # fmt: skip


def test_a_thousand_rows_are_one_call_and_no_more_are_taken(site: Site, system: Api) -> None:
    rows = [{"email": f"{number}@who.int"} for number in range(1001)]
    assert {one["result"] for one in system.post(*rows[:1000]).json()["results"]} == {"new"}
    assert system.post(*rows).status_code == 422
    site.ledger.plan(NOW)
    assert len(site.ledger.sql("SELECT 1 FROM registration")) == 1000


def test_pages_follow_each_other(system: Api) -> None:
    system.post(*({"email": f"{number}@who.int"} for number in range(5)))
    found, after = [], 0
    while after is not None:
        page = system.get(f"{PEOPLE}?limit=2&after={after}").json()
        found += [one["email"] for one in page["registrants"]]
        after = page["next"]
    assert found == [f"{number}@who.int" for number in range(5)]


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "after=-1", f"after={2**63}", "after=x"])
def test_a_page_that_does_not_exist(system: Api, query: str) -> None:
    assert system.get(f"{PEOPLE}?{query}").status_code == 422


# Places


def test_whoever_finds_no_place_waits(site: Site, system: Api) -> None:
    site.ledger.govern(webinar(capacity=1))
    results = system.post({"email": "ben@who.int"}, {"email": "maya@who.int"}).json()["results"]
    assert [one["state"] for one in results] == ["registered", "waiting"]
    assert system.get().json()["state"] == "waiting"


# Forgotten people


def test_a_sync_does_not_bring_back_whoever_was_forgotten(site: Site, system: Api) -> None:
    system.put()
    site.ledger.plan(NOW)
    with site.database.transaction() as conn:
        forgetting.forget(conn, NOW, "maya@who.int", forgetting.find(conn, "maya@who.int"))
    site.clock.at = NOW + timedelta(days=1)
    for registered_at in (None, "2025-06-20T07:59:00Z", "2026-06-20T07:59:00Z"):
        answer = system.put(registered_at=registered_at)
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["allowed"] == "registered_at, after the person was forgotten"
    results = system.post({"email": "maya@who.int"}, {"email": "b@who.int"}).json()["results"]
    assert [one["result"] for one in results] == ["refused", "new"]
    assert system.put(registered_at="2025-06-20T08:01:00Z").status_code == 201
    site.ledger.plan(site.clock.at)
    assert system.get().json()["deliveries"]


# Keys


def test_without_a_key_nothing_is_said(site: Site, system: Api) -> None:
    for key in ("", "wsk_guessed", "é"):
        answer = site.ask("GET", MAYA, headers={"authorization": f"Bearer {key}".encode()} if key else {})
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"


def test_a_key_is_for_one_webinar(site: Site, system: Api) -> None:
    site.ledger.govern(webinar(id="v"))
    assert system.put("/api/webinars/v/registrants/maya@who.int").status_code == 403
    assert system.put("/api/webinars/unknown/registrants/maya@who.int").status_code == 403


def test_a_key_that_was_removed_works_no_longer(site: Site, system: Api) -> None:
    with site.database.transaction() as conn:
        assert keys.remove(conn, "crm")
        assert not keys.remove(conn, "crm")
    assert system.put().status_code == 401


def test_the_database_knows_no_key(site: Site, system: Api) -> None:
    assert system.key not in json.dumps(site.dump(), default=str)


def test_whoever_guesses_keys_is_slowed_down(site: Site) -> None:
    answers = [site.ask("GET", MAYA, headers={"authorization": "Bearer no"}).status_code for _ in range(101)]
    assert answers == [401] * 100 + [429]


def test_a_key_may_call_so_often(site: Site, system: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "MOST_CALLS", 3)
    answers = [system.get(PEOPLE) for _ in range(4)]
    assert [one.status_code for one in answers] == [200, 200, 200, 429]
    assert answers[3].headers["retry-after"] == "60"
    other = Api(site, key_of(site, name="other"))
    assert other.get(PEOPLE).status_code == 200


# The document


def test_the_document_says_that_errors_are_problems(site: Site) -> None:
    document = site.get("/api/openapi.json").json()
    assert document["servers"] == [{"url": "/api"}]
    for path in document["paths"].values():
        for operation in path.values():
            assert operation["security"]
            assert operation["description"]
            for status, answer in operation["responses"].items():
                assert list(answer.get("content", {})) == (
                    []
                    if status == "204"
                    else ["application/problem+json" if status >= "400" else "application/json"]
                )


def test_no_page_loads_a_program_from_elsewhere(site: Site) -> None:
    assert [site.get(f"/api{path}").status_code for path in ("/docs", "/redoc")] == [404, 404]


def test_looking_changes_nothing(site: Site, system: Api) -> None:
    system.put()
    site.ledger.plan(utc("2025-06-21 08:00"))
    before = site.dump()
    for method in ("GET", "HEAD", "OPTIONS"):
        for path in (MAYA, PEOPLE, "/api/openapi.json"):
            system.call(method, path)
    assert site.dump() == before
