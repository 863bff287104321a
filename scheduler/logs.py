"""Structured logs: one JSON object a line on stderr, UTC times, ids instead of people."""

from __future__ import annotations

import logging
import sys

import structlog


def set_up_logs(level: str) -> None:
    """Route our own logs and those of every library through one JSON renderer."""
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _where_it_failed,
                _without_reprs,
                structlog.processors.JSONRenderer(ensure_ascii=False),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    # It tells of every job, and warns of each that is left out as the last one still runs: the next does its work.
    logging.getLogger("apscheduler").setLevel(logging.ERROR)
    # These tell of every command and statement; some would quote addresses.
    for name in (
        "alembic",
        "uvicorn",
        "aiosmtplib",
        "sqlalchemy",
        "mail.log",
        "httpx",
        "httpcore",
    ):
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


def _where_it_failed(
    logger: object, method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """An exception as its type and place in the code: its text and locals may hold a registrant's data."""
    info = event.pop("exc_info", None)
    error = sys.exc_info()[1] if info is True else info[1] if isinstance(info, tuple) else info
    if isinstance(error, BaseException):
        at, frame = "", error.__traceback__
        while frame is not None:
            at = f"{frame.tb_frame.f_code.co_filename.rpartition('/')[2]}:{frame.tb_lineno}"
            frame = frame.tb_next
        event["exception"] = f"{type(error).__name__} at {at}"
    return event


def _without_reprs(
    logger: object, method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """asyncio tells of a failed task with the repr of its exception, below the first line."""
    if event.get("logger") == "asyncio":
        event["event"] = str(event["event"]).partition("\n")[0]
    return event
