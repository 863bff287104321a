"""Logs: one JSON object a line, UTC, ids instead of people."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
import structlog

from scheduler.logs import Repeats, set_up_logs

ADDRESS = "amina@example.org"


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def _lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def _fails_for(address: str) -> None:
    raise ValueError(f"no mail to {address}")


def test_a_line_is_one_json_object_with_level_name_and_utc_time(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logs("INFO")
    structlog.get_logger("service").info("sent", delivery=17, about="zone “Geneva”\nnext line")
    (line,) = _lines(capsys)
    assert (line["event"], line["delivery"], line["level"]) == ("sent", 17, "info")
    assert line["about"] == "zone “Geneva”\nnext line"
    assert datetime.fromisoformat(line["timestamp"]).utcoffset() == timedelta(0)


def test_an_exception_is_its_type_and_place_for_its_text_may_quote_an_address(
    capsys: pytest.CaptureFixture[str],
) -> None:
    set_up_logs("INFO")
    try:
        _fails_for(ADDRESS)
    except ValueError:
        structlog.get_logger().exception("delivery held")
    printed = capsys.readouterr().err
    assert ADDRESS not in printed
    assert json.loads(printed)["exception"].startswith("ValueError at test_logs.py:")


@pytest.mark.parametrize("exc_info", [True, "instance"])
def test_the_same_for_the_logs_of_libraries(capsys: pytest.CaptureFixture[str], exc_info: object) -> None:
    set_up_logs("INFO")
    try:
        _fails_for(ADDRESS)
    except ValueError as error:
        logging.getLogger("uvicorn.error").error("failed", exc_info=error if exc_info == "instance" else True)
    printed = capsys.readouterr().err
    assert ADDRESS not in printed
    assert json.loads(printed)["exception"].startswith("ValueError at test_logs.py:")
    assert json.loads(printed)["logger"] == "uvicorn.error"


def test_a_task_that_failed_unseen_is_told_without_the_text_of_its_exception(
    capsys: pytest.CaptureFixture[str],
) -> None:
    set_up_logs("INFO")

    async def main() -> None:
        async def fails() -> None:
            _fails_for(ADDRESS)

        task = asyncio.create_task(fails())
        await asyncio.wait([task])
        del task

    asyncio.run(main())
    printed = capsys.readouterr().err
    assert "Task exception was never retrieved" in printed
    assert "ValueError at test_logs.py:" in printed
    assert ADDRESS not in printed


@pytest.mark.parametrize("name", ["aiosmtplib", "sqlalchemy.engine", "mail.log"])
def test_libraries_that_would_quote_people_or_tell_of_every_step_are_quiet(
    capsys: pytest.CaptureFixture[str], name: str
) -> None:
    set_up_logs("DEBUG")
    logging.getLogger(name).info("RCPT TO:<%s>", ADDRESS)
    assert _lines(capsys) == []
    logging.getLogger(name).warning("trouble")
    assert [line["event"] for line in _lines(capsys)] == ["trouble"]


def test_a_tick_left_out_as_the_last_one_still_runs_is_no_news(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logs("INFO")
    logging.getLogger("apscheduler.scheduler").warning("skipped: maximum number of running instances reached")
    assert _lines(capsys) == []
    logging.getLogger("apscheduler.executors.default").error("a job failed")
    assert [line["event"] for line in _lines(capsys)] == ["a job failed"]


def test_the_level_holds_for_everybody(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logs("ERROR")
    structlog.get_logger().warning("quiet")
    logging.getLogger("aiosmtplib").warning("quiet")
    assert _lines(capsys) == []


def test_the_same_warning_is_written_once_a_minute_with_how_many_there_were(
    capsys: pytest.CaptureFixture[str],
) -> None:
    at = 0.0
    set_up_logs("INFO")
    (handler,) = logging.getLogger().handlers
    handler.filters = [Repeats(lambda: at)]
    log = structlog.get_logger("service")
    for at in (0.0, 1.0, 59.0, 61.0):
        log.warning("connection not accepted", error="EMFILE")
        logging.getLogger("asyncio").error("out of %s\nin a loop at %s", "descriptors", at)
        log.info("sent", delivery=17)
    log.warning("connection not accepted", error="ENOMEM")
    said = [(line["event"], line.get("error"), line.get("repeated")) for line in _lines(capsys)]
    assert said.count(("sent", None, None)) == 4, "what is no warning is always written"
    assert [one for one in said if one[0] != "sent"] == [
        ("connection not accepted", "EMFILE", None),
        ("out of descriptors", None, None),
        ("connection not accepted", "EMFILE", 2),
        ("out of descriptors", None, None),
        ("connection not accepted", "ENOMEM", None),
    ]


def test_many_different_warnings_fill_no_memory() -> None:
    at = 0.0
    repeats = Repeats(lambda: at)
    for number in range(10_000):
        at = float(number)
        repeats.filter(logging.LogRecord("x", logging.WARNING, "", 0, f"warning {number}", None, None))
    assert len(repeats._known) <= 1001


def test_a_line_costs_the_same_however_many_differ() -> None:
    """A relay that refuses twenty thousand recipients brings as many lines."""
    repeats = Repeats(lambda: 0.0)
    for number in range(20_000):
        assert repeats.filter(logging.LogRecord("x", logging.WARNING, "", 0, f"warning {number}", None, None))
    assert len(repeats._known) <= 1001
