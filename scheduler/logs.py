"""Structured logs: one JSON object a line on stderr, UTC times, ids instead of people."""

from __future__ import annotations

import logging
import sys
import time
from collections import OrderedDict
from collections.abc import Callable

import structlog

REPEATED_AFTER = 60.0
"""Seconds after which the same warning or error is written again, with how many there were meanwhile."""
_MOST_KNOWN = 1000


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
    handler.addFilter(Repeats())
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


class Repeats(logging.Filter):
    """Lets a repeated warning or error through once a minute: a failure in each turn of a loop, or on each of a
    thousand connections, must not fill a disk."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        # When it was written last, and how often it came since; the first was written longest ago.
        self._known: OrderedDict[str, list[float]] = OrderedDict()

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return True
        now, said = self._clock(), _said(record)
        known = self._known.setdefault(said, [float("-inf"), 0])
        if now - known[0] < REPEATED_AFTER:
            known[1] += 1
            return False
        if known[1] and isinstance(record.msg, dict):
            record.msg["repeated"] = int(known[1])
        known[:] = [now, 0]
        self._known.move_to_end(said)
        if len(self._known) > _MOST_KNOWN:
            self._known.popitem(last=False)
        return True


def _said(record: logging.LogRecord) -> str:
    """The content of a record without its time: the key by which repeats are found."""
    if isinstance(record.msg, dict):
        return repr(
            sorted(
                (key, str(value)) for key, value in record.msg.items() if key not in ("timestamp", "exc_info")
            )
        )
    first, _, _ = record.getMessage().partition("\n")  # asyncio adds what differs below
    return f"{record.name} {first}"


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
    """Drops the repr of the exception that asyncio adds, below the first line, to errors of tasks."""
    if event.get("logger") == "asyncio":
        event["event"] = str(event["event"]).partition("\n")[0]
    return event
