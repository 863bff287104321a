"""`webinar explain-reply`: what the service makes of a reply, for operators."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner, Result

from scheduler.cli import main


def explain(stage: str, reply: str, *more: str) -> Result:
    return CliRunner().invoke(main, ["explain-reply", stage, reply, *more], env={"DATABASE_URL": "nonsense"})


@pytest.mark.parametrize(
    ("stage", "reply", "verdict"),
    [
        ("rcpt", "550 5.1.1 User unknown", "fail-address"),
        ("mail", "553 5.7.1 Sender address rejected", "stop"),
        ("data", "451 4.3.0 Try again", "retry-mail"),
        ("content", "554 Message rejected: Address blacklisted", "fail-address"),
        ("rcpt", "450 Mail send limit exceeded", "pause-relay"),
        (
            "rcpt",
            "550-5.1.1 The email account that you tried\n550 5.1.1 to reach does not exist",
            "fail-address",
        ),
        (
            "rcpt",
            "550-5.1.1 The email account that you tried\r\n550 5.1.1 to reach does not exist\r\n",
            "fail-address",
        ),
        (
            "rcpt",
            "550-Domain example.org has exceeded\\n550 the max emails per hour (200/200)",
            "pause-relay",
        ),
        ("rcpt", "550", "retry-mail"),
        ("connect", "421", "pause-relay"),
    ],
)
def test_the_verdict_is_that_of_the_service(stage: str, reply: str, verdict: str) -> None:
    found = json.loads(explain(stage, reply, "--json").stdout)
    assert found.keys() == {"verdict", "because"}
    assert found["verdict"] == verdict
    assert found["because"]


def test_on_a_terminal_it_says_what_follows_and_why() -> None:
    result = explain("rcpt", "550 5.1.1 <ana@example.org>: undeliverable")
    assert result.exit_code == 0
    first, second = result.stdout.splitlines()
    assert first.startswith("fail-address: this recipient cannot be reached")
    assert second.startswith("because: RFC 3463")


def test_a_moment_that_it_names_is_among_the_reasons() -> None:
    assert "it says to wait for 300 s" in explain("rcpt", "450 4.7.1 Greylisted for 299 seconds").stdout


@pytest.mark.parametrize(
    ("reply", "wrong"),
    [
        ("250 2.0.0 Ok", "REPLY: 250 is no refusal; allowed: a code from 400 to 599"),
        ("User unknown", "REPLY: is no SMTP reply"),
        ("", "REPLY: is no SMTP reply"),
        ("550-5.1.1 one\n551 another", "REPLY: is no SMTP reply"),
        ("5500 no", "REPLY: is no SMTP reply"),
    ],
)
def test_what_is_no_refusal_is_said_so(reply: str, wrong: str) -> None:
    result = explain("rcpt", reply)
    assert (result.exit_code, result.stdout) == (2, "")
    assert wrong in result.stderr


def test_a_stage_that_is_none_is_named_with_those_that_are() -> None:
    result = explain("rctp", "550 no")
    assert result.exit_code == 2
    assert "'rcpt'" in result.stderr
    assert "explain-reply [OPTIONS] STAGE REPLY" in result.stderr
    assert (
        explain("RCPT", "550 5.1.1 no such user").stdout == explain("rcpt", "550 5.1.1 no such user").stdout
    )
