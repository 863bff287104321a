"""Chooses the mode in which mails are sent to a relay: the fastest that it offers and that works."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from enum import IntEnum

import structlog

from scheduler.input.relay_settings import RelaySettings
from scheduler.smtp.failures import NotBegun, Refused, RelayFailure
from scheduler.smtp.pipeline import Pipeline
from scheduler.smtp.replies import Reply
from scheduler.smtp.session import Session

log = structlog.get_logger()

MOST_IN_FLIGHT = 8  # mails of one connection that are `sending`
PLAINER_SECONDS = 3600.0
_BREAKS = 2  # of connections in a row without an accepted mail, before the mode is reduced


class Mode(IntEnum):
    PLAIN = 0
    """Command by command, by aiosmtplib."""
    GROUPS = 1
    """PIPELINING: one mail's content and the next one's envelope in one write."""
    CHUNKS = 2
    """PIPELINING and CHUNKING: whole mails in one write."""


class Modes:
    """The mode and window for one relay, by the experience of all connections to it."""

    def __init__(self, settings: RelaySettings) -> None:
        self.window = MOST_IN_FLIGHT
        self._settings = settings
        self._best = Mode.CHUNKS
        self._until = 0.0  # when better modes are tried again, on the loop's clock
        self._breaks = 0
        self._broke_at = 0.0

    def of(self, session: Session) -> Mode:
        """The mode for this connection now."""
        if self._best < Mode.CHUNKS and asyncio.get_running_loop().time() > self._until:
            self._best = Mode.CHUNKS
        if not (self._settings.pipelining and session.offers("PIPELINING")):
            return Mode.PLAIN
        chunking = self._settings.chunking and session.offers("CHUNKING")
        return min(self._best, Mode.CHUNKS if chunking else Mode.GROUPS)

    def note(
        self, mode: Mode, pipeline: Pipeline, began: float, results: Sequence[Reply | RelayFailure]
    ) -> None:
        """Note the results of mails that a pipeline sent in this mode from `began` on (the loop's clock)."""
        accepted = any(isinstance(one, Reply) for one in results)
        if accepted:
            self._breaks = 0
        if pipeline.out_of_step or any(_is_not_understood(one) for one in results):
            self._shrink()
            self._go_plainer(mode, "its replies do not fit the commands")
        elif pipeline.broken:
            self._shrink()
            if not accepted and began > self._broke_at:  # connections that break together count once
                self._breaks, self._broke_at = self._breaks + 1, asyncio.get_running_loop().time()
            if self._breaks >= _BREAKS:
                self._go_plainer(mode, "connections break")
        elif pipeline.indistinct and self.of(pipeline.session) is Mode.CHUNKS:
            self._go_plainer(Mode.CHUNKS, "its replies to BDAT and RCPT are alike")
        elif any(isinstance(one, NotBegun) for one in results):  # they waited too long for earlier mails
            self._shrink()
        elif accepted:
            self.window = min(MOST_IN_FLIGHT, self.window + 1)

    def _shrink(self) -> None:
        self.window = max(1, self.window // 2)

    def _go_plainer(self, mode: Mode, why: str) -> None:
        if 0 < mode <= self._best:
            self._best, self._breaks = Mode(mode - 1), 0
            self._until = asyncio.get_running_loop().time() + PLAINER_SECONDS
            log.warning(
                "pipelining reduced for an hour",
                relay=self._settings.name,
                mode=self._best.name.lower(),
                reason=why,
            )


def _is_not_understood(result: Reply | RelayFailure) -> bool:
    """Whether the reply refuses a command, not this mail (RFC 5321, 4.2.4)."""
    if not isinstance(result, Refused):
        return False
    code, about_content = result.reply.code, result.reply.stage in ("data", "content")
    return code == 503 or (code in (500, 502, 504) and about_content)
