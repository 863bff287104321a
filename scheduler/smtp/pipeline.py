"""Pipelined mail transactions over a connection that `session` has opened (RFC 2920, RFC 3030).

A window of mails is sent in one of two modes. Over BDAT whole mails go out in one write, so that speed hardly depends
on the distance to the relay. Over DATA the content of a mail goes out after 354, together with the envelope of the next
mail: one round trip per mail, and at most one mail is in doubt when the connection breaks. Each reply belongs to the
oldest command without one. RSET precedes each MAIL, because a refused transaction stays open.

At most one window of mails is buffered, so a relay that does not read fills no memory: it ends by a timeout.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal, NoReturn, cast

from scheduler.smtp.answers import Answer, Answers, Broken, OutOfStep
from scheduler.smtp.envelope import Mail
from scheduler.smtp.failures import Doubtful, NotBegun, Refused, RelayFailure, unreachable
from scheduler.smtp.replies import Reply, Stage, read_reply
from scheduler.smtp.session import Session

Result = Reply | RelayFailure
More = Callable[[list[Result]], Awaitable[Sequence[Mail]]]
"""Takes results, in order; returns mails to send next."""

QUICK_ACK = getattr(socket, "TCP_QUICKACK", None)  # on Linux; the system may reset it at any time
_OfEnvelope = Literal["rset", "mail", "rcpt"]
_Awaited = Literal[_OfEnvelope, "data", "content"]
_GOOD = {"rset": (250,), "mail": (250,), "rcpt": (250, 251, 252)}
_BEHIND: dict[str, _Awaited] = {"rset": "mail", "mail": "rcpt", "rcpt": "data"}


@dataclass(slots=True, eq=False)
class _Transaction:
    """One mail and the progress of its transaction."""

    mail: Mail
    in_chunk: bool
    """By BDAT."""
    awaits: _Awaited = "rset"
    """The command whose reply comes next."""
    refused: Reply | None = None
    """The first reply that refuses it; a later reply to the content does not count."""
    recipient: Answer | None = None
    """The reply to RCPT."""
    is_out: bool = False
    """The end of its content was written."""
    result: Result | None = None

    def failure(self, why: str, *, lost_step: bool = False) -> RelayFailure:
        """Its result when the connection ends. `lost_step`: because its own replies did not match the commands."""
        if self.refused and (not lost_step or (self.is_out and not self.in_chunk)):
            return Refused(self.refused)
        if self.is_out:
            return Doubtful(read_reply("content", 0, why))
        stages: dict[str, Stage] = {"rset": "mail", "mail": "mail", "rcpt": "rcpt"}
        return unreachable(stages.get(self.awaits, "data"), why)


class Pipeline(asyncio.Protocol):
    """Replaces aiosmtplib's protocol on the connection of a session.

    The reply 354 to DATA proves that each reply until then was to its own command. BDAT has no such proof: if a relay
    sends one reply too many, every later reply is matched to the wrong command, and the one to RCPT could be taken for
    acceptance of the mail. So the first mail over a connection goes by DATA, which shows the words of this relay's
    reply to RCPT (`consent`; "": not known yet): in those words no BDAT is accepted. `indistinct`: it accepts mails in
    the same words, so BDAT can't be used.
    """

    def __init__(self, session: Session, patience: float) -> None:
        """`patience`: seconds to wait for the reply after the content, and over BDAT for every reply."""
        self.out_of_step = False
        self.consent = ""
        self.indistinct = False
        self.session, self._patience = session, patience
        self._incoming = Answers()
        self._begun: deque[_Transaction] = deque()  # with replies that are still to come
        self._queue: deque[_Transaction] = deque()  # not begun yet, over DATA
        self._command: asyncio.Future[Answer] | None = None
        self._ended = ""  # why the connection ended
        self._leaving = False  # the relay has replied 421
        self._fresh = True  # no transaction was begun
        self._awaited: _Transaction | None = None
        self._waiter: asyncio.Future[None] | None = None  # done once the awaited transaction has a result
        self._loop = asyncio.get_running_loop()
        self._deadline = 0.0  # for the next reply, on the loop's clock
        self._timer: asyncio.TimerHandle | None = None
        self._transport = cast(asyncio.Transport, session.transport)
        self._socket: socket.socket | None = self._transport.get_extra_info("socket")
        if not session.usable:
            self._end("Connection lost")
        self._transport.set_protocol(self)

    @property
    def is_open(self) -> bool:
        """Whether another mail may be sent."""
        return not (self._ended or self._transport.is_closing())

    @property
    def usable(self) -> bool:
        """Whether it is open and waits for no reply."""
        return self.is_open and not (self._begun or self._queue or self._command)

    @property
    def broken(self) -> bool:
        """Whether it ended without an announcement (421) of the relay."""
        return not (self.is_open or self._leaving)

    # Callbacks of asyncio

    def data_received(self, data: bytes) -> None:
        answer = None
        try:
            for answer in self._incoming.feed(data):
                if self._ended:
                    return
                self._leaving = self._leaving or answer.code == 421
                self._handle(answer)
        except OutOfStep as error:
            self.out_of_step = self.out_of_step or not self._leaving
            self._end(str(error))
            return
        written = self._next()
        self._write(written)
        if answer:
            self._expect_reply()
        if self._begun and not written:
            self._acknowledge()

    def _acknowledge(self) -> None:
        """Send the TCP acknowledgement now. A relay whose system waits for it before it sends its other replies (RFC
        896) would otherwise stall for 40 ms in each group."""
        if QUICK_ACK and self._socket:
            self._socket.setsockopt(socket.IPPROTO_TCP, QUICK_ACK, 1)

    def eof_received(self) -> None:
        self._end("Connection lost")

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(f"Connection lost: {exc}" if exc else "Connection lost")

    def _end(self, why: str) -> None:
        """Close at once and give every mail a result; buffered data is discarded, so a mail cut short stays cut
        short."""
        self._ended = self._ended or why
        self._transport.abort()
        for number, one in enumerate((*self._begun, *self._queue)):
            failed = one.is_out or one.refused or (number == 0 and self._begun and not self._leaving)
            self._set_result(one, one.result or (one.failure(self._ended) if failed else NotBegun()))
        self._begun.clear()
        self._queue.clear()
        if self._command and not self._command.done():
            self._command.set_exception(Broken(self._ended))
        if self._timer:
            self._timer.cancel()

    def _expect_reply(self) -> None:
        """Start the timeout of the oldest command."""
        if not self._begun:
            return
        oldest = self._begun[0]
        patient = (oldest.in_chunk or oldest.awaits == "content") and not self._leaving
        within = self._patience if patient else min(self.session.timeout, self._patience)
        self._deadline = self._loop.time() + within
        if self._timer is None:
            self._look_at_deadline()

    def _look_at_deadline(self) -> None:
        """End the connection after the deadline. One timer for all replies: it is not set again with each of them."""
        now, self._timer = self._loop.time(), None
        if self._begun and now >= self._deadline:
            self._end("no answer in time")
        elif self._begun:
            shortest = min(self.session.timeout, self._patience)
            self._timer = self._loop.call_at(min(self._deadline, now + shortest), self._look_at_deadline)

    def _write(self, data: bytes) -> None:
        if data and self.is_open:
            self._transport.write(data)

    # Commands

    async def command(self, stage: Stage, line: bytes, within: float) -> Reply:
        """Send one command and return its reply. `within`: seconds. Raises Unreachable without a reply."""
        self._command = self._loop.create_future()
        self._write(line + b"\r\n")
        try:
            if not self.is_open:
                raise Broken(self._ended or "Connection lost")
            async with asyncio.timeout(within):
                return (await self._command).to(stage)
        except (TimeoutError, Broken) as error:
            self._end(str(error) or "no answer in time")
            raise unreachable(stage, self._ended) from None
        except BaseException:
            self._end("cancelled")
            raise
        finally:
            self._command = None

    async def send(self, mails: Sequence[Mail], *, in_chunks: bool, more: More | None = None) -> list[Result]:
        """Send these mails over BDAT (`in_chunks`) or DATA; one result for each, in order.

        `more(results)`: called when half of the mails in flight have been answered; returns mails to send next, until
        it returns none. Results passed to it are not returned again.
        """
        in_flight = deque(self._start(mails, in_chunks))
        results: list[Result] = []
        while in_flight:
            await self._answered(
                list(islice(in_flight, (len(in_flight) + 1) // 2 if more else len(in_flight)))
            )
            while in_flight and (result := in_flight[0].result) is not None:
                results.append(result)
                in_flight.popleft()
            if more and self.is_open and not self._leaving:
                joining = await more(results)
                results = []
                in_flight.extend(self._start(joining, in_chunks))
                more = more if joining else None
        return results

    async def _answered(self, transactions: Sequence[_Transaction]) -> None:
        """Wait until all of these have results."""
        while left := [one for one in transactions if one.result is None]:
            self._awaited, self._waiter = left[-1], self._loop.create_future()
            await self._waiter

    def _set_result(self, one: _Transaction, result: Result) -> None:
        one.result = result
        if one is self._awaited and self._waiter and not self._waiter.done():
            self._waiter.set_result(None)

    def _start(self, mails: Sequence[Mail], in_chunks: bool) -> list[_Transaction]:
        """Write these mails over BDAT, or queue them for DATA and write the next envelope."""
        started = [_Transaction(mail, in_chunks) for mail in mails]
        idle = not self._begun
        if self._leaving or not self.is_open:
            for one in started:
                one.result = unreachable("mail", self._ended or "Connection lost")
        elif in_chunks:
            self._write(b"".join(map(self._whole_mail, started)))
        else:
            self._queue.extend(started)
            self._write(self._next())
        if idle:
            self._expect_reply()
        return started

    def _begin(self, one: _Transaction, then: bytes) -> bytes:
        """RSET, MAIL and RCPT of this mail, followed by `then`; b"" if it can't be sent, and then it has a result."""
        try:
            if self._leaving or not one.mail.may_go(False):
                raise NotBegun
            mail_command = one.mail.mail_command(self.session)
        except RelayFailure as failure:
            self._set_result(one, failure)
            return b""
        reset = b"" if self._fresh else b"RSET\r\n"
        one.awaits, self._fresh = "mail" if self._fresh else "rset", False
        self._begun.append(one)
        return b"%s%s\r\nRCPT TO:<%s>\r\n%s" % (reset, mail_command, one.mail.recipient.encode(), then)

    def _whole_mail(self, one: _Transaction) -> bytes:
        content = one.mail.content
        written = self._begin(one, b"BDAT %d LAST\r\n" % len(content))
        one.is_out = bool(written)
        return written + content if written else b""

    def _next(self) -> bytes:
        """The next bytes over DATA: the content that the relay waits for, and the next envelope."""
        content = envelope = b""
        if self._begun and (one := self._begun[0]).awaits == "content" and not one.is_out:
            if not (one.refused or one.mail.may_go(True)):
                one.result = NotBegun()
                self._end("stopped")  # after 354 only this sends nothing
                return b""
            one.is_out = True
            content = b".\r\n" if one.refused else one.mail.on_the_wire
        while self._queue and not envelope and (not self._begun or self._begun[-1].is_out):
            envelope = self._begin(self._queue.popleft(), b"DATA\r\n")
        return content + envelope

    # Replies

    def _handle(self, answer: Answer) -> None:
        """Match a reply to the oldest command without one. Raises OutOfStep."""
        if not self._begun:
            if self._command is None or self._command.done():
                raise OutOfStep(f"a reply to no command: {answer}")
            self._command.set_result(answer)
            return
        one = self._begun[0]
        if one.awaits == "content" and not one.is_out:  # a reply before the content was written
            raise OutOfStep(f"a reply to no command: {answer}")
        if one.awaits == "content":
            self._finish(one, self._content_result(one, answer))
        elif one.awaits == "data":
            self._handle_data(one, answer)
        else:
            self._handle_envelope(one, one.awaits, answer)

    def _handle_envelope(self, one: _Transaction, command: _OfEnvelope, answer: Answer) -> None:
        stage: Stage = "rcpt" if command == "rcpt" else "mail"
        # A 421 to RSET is like one to MAIL; after any other refusal of RSET no mail may be sent.
        if answer.code // 100 in (4, 5) and (command != "rset" or answer.code == 421):
            one.refused = one.refused or answer.to(stage)
        elif answer.code not in _GOOD[command]:
            self._lose_step(one, command.upper(), answer)
        one.recipient = answer
        one.awaits = _BEHIND[command]
        if one.awaits == "data" and one.in_chunk:
            one.awaits = "content"

    def _handle_data(self, one: _Transaction, answer: Answer) -> None:
        """Handle the reply to DATA. A relay may accept DATA though it refused the only recipient: then it gets an empty
        content, which it refuses (RFC 2920, 3.1)."""
        if answer.code // 100 == 2:
            self._lose_step(one, "DATA", answer)
        if answer.code // 100 == 3:
            one.awaits = "content"
        else:
            self._finish(one, Refused(one.refused or answer.to("data")))

    def _content_result(self, one: _Transaction, answer: Answer) -> Result:
        """The result by the reply to the content. If it accepts a mail that was refused before, replies and commands do
        not match."""
        reply = answer.to("content")
        if answer.code // 100 in (4, 5):
            return Refused(one.refused or reply)
        alike = one.in_chunk and _wording(reply, one.mail) == self.consent
        if one.refused or answer.code != 250 or alike:
            self._lose_step(one, "BDAT" if one.in_chunk else "the content", answer)
        return reply

    def _finish(self, one: _Transaction, result: Result) -> None:
        self._begun.popleft()
        self._set_result(one, result)
        if isinstance(result, Reply) and one.recipient and not self.consent:
            self.consent = _wording(one.recipient.to("rcpt"), one.mail)
            self.indistinct = self.consent == _wording(result, one.mail)

    def _lose_step(self, one: _Transaction, command: str, answer: Answer) -> NoReturn:
        self.out_of_step = True
        why = f"out of step: {command} was answered {answer}"
        one.result = one.failure(why, lost_step=True)
        raise OutOfStep(why)


def _wording(reply: Reply, mail: Mail) -> str:
    """The part of a reply that depends on its meaning: the enhanced code, or the words without the recipient."""
    return reply.enhanced or reply.text.replace(mail.recipient, "") or "-"
