"""Mail transactions in a pipeline, over a connection that `session` has opened (RFC 2920, RFC 3030).

Two ways, each for a window of mails. Over BDAT whole mails go out in one write, so that speed hardly depends on the
distance to the relay. Over DATA the content of a mail goes out when the relay says 354, and the envelope of the next
mail with it: one round trip a mail, and no more than one of them can be in doubt when the connection breaks. Each
reply belongs to the oldest command that has none. RSET stands before each MAIL, for a refused transaction stays open.

No more is ever on its way than the mails of one window, so a relay that does not read fills no memory: it ends by a
timeout.
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
"""Told results, in order, it gives mails that are to follow."""

QUICK_ACK = getattr(
    socket, "TCP_QUICKACK", None
)  # Linux has it; it lasts until the system thinks better of it
_Awaited = Literal["rset", "mail", "rcpt", "data", "content"]
_GOOD = {"rset": (250,), "mail": (250,), "rcpt": (250, 251, 252)}
_BEHIND: dict[str, _Awaited] = {"rset": "mail", "mail": "rcpt", "rcpt": "data"}


@dataclass(slots=True, eq=False)
class _Transaction:
    """One mail, and how far it has come."""

    mail: Mail
    in_chunk: bool
    """By BDAT."""
    awaits: _Awaited = "rset"
    """The command whose reply comes next."""
    refused: Reply | None = None
    """The first reply that refuses it; what is then said to the content is of no account."""
    recipient: Answer | None = None
    """The reply to RCPT."""
    is_out: bool = False
    """The end of its content was written."""
    result: Result | None = None

    def fate(self, why: str, *, lost_step: bool = False) -> RelayFailure:
        """Its result, as the connection ends while it has the turn, or its content is out. `lost_step`: since its own
        replies did not fit the commands."""
        if self.refused and (not lost_step or (self.is_out and not self.in_chunk)):
            return Refused(self.refused)
        if self.is_out:
            return Doubtful(read_reply("content", 0, why))
        stages: dict[str, Stage] = {"rset": "mail", "mail": "mail", "rcpt": "rcpt"}
        return unreachable(stages.get(self.awaits, "data"), why)


class Pipeline(asyncio.Protocol):
    """Takes the place of aiosmtplib's protocol on the connection of a session.

    After DATA comes 354, which proves that each reply until then was to its own command. After BDAT nothing does: if
    a relay sends one reply too many, every later reply is matched to the wrong command, and the one to RCPT could be
    taken for acceptance of the mail. So the first mail over a connection goes by DATA, and from it we know how this
    relay agrees to a recipient (`consent`; "": not yet): no BDAT is accepted in those words. `indistinct`: it accepts
    mails in the same words, so that one can't tell.
    """

    def __init__(self, session: Session, patience: float) -> None:
        """`patience`: seconds for the reply after the content, and over BDAT for each: less makes doubles."""
        self.out_of_step = False
        self.consent = ""
        self.indistinct = False
        self.session, self._patience = session, patience
        self._incoming = Answers()
        self._begun: deque[_Transaction] = deque()  # not all of their replies have come
        self._queue: deque[_Transaction] = deque()  # to be begun over DATA
        self._command: asyncio.Future[Answer] | None = None
        self._ended = ""  # why nothing more comes
        self._leaving = False  # it said 421
        self._fresh = True  # no transaction was begun on it
        self._awaited: _Transaction | None = None
        self._waiter: asyncio.Future[None] | None = None  # done with the result of that one
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
        """Whether the next mail may go here."""
        return not (self._ended or self._transport.is_closing())

    @property
    def usable(self) -> bool:
        """Whether anybody may use it: open, and no reply or mail is still to come."""
        return self.is_open and not (self._begun or self._queue or self._command)

    @property
    def broken(self) -> bool:
        """Whether it ended though the relay had not said that it would."""
        return not (self.is_open or self._leaving)

    # asyncio's side

    def data_received(self, data: bytes) -> None:
        answer = None
        try:
            for answer in self._incoming.feed(data):
                if self._ended:
                    return
                self._leaving = self._leaving or answer.code == 421
                self._hear(answer)
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
        """Now. A relay whose system waits for it (RFC 896) before it sends what else there is to say would otherwise
        stand still for 40 ms in each group: we have nothing to say ourselves meanwhile."""
        if QUICK_ACK and self._socket:
            self._socket.setsockopt(socket.IPPROTO_TCP, QUICK_ACK, 1)

    def eof_received(self) -> None:
        self._end("Connection lost")

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(f"Connection lost: {exc}" if exc else "Connection lost")

    def _end(self, why: str) -> None:
        """At once: what is still in our buffers never leaves, so a mail cut short stays cut short."""
        self._ended = self._ended or why
        self._transport.abort()
        for number, one in enumerate((*self._begun, *self._queue)):
            met_it = one.is_out or one.refused or (number == 0 and self._begun and not self._leaving)
            self._settle(one, one.result or (one.fate(self._ended) if met_it else NotBegun()))
        self._begun.clear()
        self._queue.clear()
        if self._command and not self._command.done():
            self._command.set_exception(Broken(self._ended))
        if self._timer:
            self._timer.cancel()

    def _expect_reply(self) -> None:
        """From now on the oldest command has its time."""
        if not self._begun:
            return
        oldest = self._begun[0]
        patient = (oldest.in_chunk or oldest.awaits == "content") and not self._leaving
        within = self._patience if patient else min(self.session.timeout, self._patience)
        self._deadline = self._loop.time() + within
        if self._timer is None:
            self._look_at_deadline()

    def _look_at_deadline(self) -> None:
        """One timer for all replies, which looks again rather than being set again with each of them."""
        now, self._timer = self._loop.time(), None
        if self._begun and now >= self._deadline:
            self._end("no answer in time")
        elif self._begun:
            shortest = min(self.session.timeout, self._patience)
            self._timer = self._loop.call_at(min(self._deadline, now + shortest), self._look_at_deadline)

    def _write(self, data: bytes) -> None:
        if data and self.is_open:
            self._transport.write(data)

    # SMTP's side

    async def command(self, stage: Stage, line: bytes, within: float) -> Reply:
        """One command and the reply to it. Raises Unreachable when there is none."""
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
            self._end("given up")
            raise
        finally:
            self._command = None

    async def send(self, mails: Sequence[Mail], *, in_chunks: bool, more: More | None = None) -> list[Result]:
        """Send these, over BDAT (`in_chunks`) or DATA: one result for each, in order.

        `more(results)` is called whenever half of the mails in flight have been answered, and returns mails that
        follow them, until it returns none. Results passed to it are not returned again.
        """
        flying = deque(self._launch(mails, in_chunks))
        results: list[Result] = []
        while flying:
            await self._landed(list(islice(flying, (len(flying) + 1) // 2 if more else len(flying))))
            while flying and flying[0].result is not None:
                results.append(flying.popleft().result)  # type: ignore[arg-type]
            if more and self.is_open and not self._leaving:
                joining = await more(results)
                results = []
                flying.extend(self._launch(joining, in_chunks))
                more = more if joining else None
        return results

    async def _landed(self, flying: Sequence[_Transaction]) -> None:
        while left := [one for one in flying if one.result is None]:
            self._awaited, self._waiter = left[-1], self._loop.create_future()
            await self._waiter

    def _settle(self, one: _Transaction, result: Result) -> None:
        one.result = result
        if one is self._awaited and self._waiter and not self._waiter.done():
            self._waiter.set_result(None)

    def _launch(self, mails: Sequence[Mail], in_chunks: bool) -> list[_Transaction]:
        """Write these mails, or begin to."""
        launched = [_Transaction(mail, in_chunks) for mail in mails]
        idle = not self._begun
        if self._leaving or not self.is_open:
            for one in launched:
                one.result = unreachable("mail", self._ended or "Connection lost")
        elif in_chunks:
            self._write(b"".join(map(self._whole, launched)))
        else:
            self._queue.extend(launched)
            self._write(self._next())
        if idle:
            self._expect_reply()
        return launched

    def _begin(self, one: _Transaction, then: bytes) -> bytes:
        """RSET, MAIL and RCPT of this mail and what follows them, to be written; b"" where it can't go, as its result
        says."""
        try:
            if self._leaving or not one.mail.may_go(False):
                raise NotBegun
            mail_command = one.mail.mail_command(self.session)
        except RelayFailure as failure:
            self._settle(one, failure)
            return b""
        reset = b"" if self._fresh else b"RSET\r\n"
        one.awaits, self._fresh = "mail" if self._fresh else "rset", False
        self._begun.append(one)
        return b"%s%s\r\nRCPT TO:<%s>\r\n%s" % (reset, mail_command, one.mail.recipient.encode(), then)

    def _whole(self, one: _Transaction) -> bytes:
        content = one.mail.content
        written = self._begin(one, b"BDAT %d LAST\r\n" % len(content))
        one.is_out = bool(written)
        return written + content if written else b""

    def _next(self) -> bytes:
        """What is to be written next over DATA: the content that the relay waits for, and an envelope behind it."""
        content = envelope = b""
        if self._begun and (one := self._begun[0]).awaits == "content" and not one.is_out:
            if not (one.refused or one.mail.may_go(True)):
                one.result = NotBegun()
                self._end("stopped")  # there is no other way out that sends nothing
                return b""
            one.is_out = True
            content = b".\r\n" if one.refused else one.mail.on_the_wire
        while self._queue and not envelope and (not self._begun or self._begun[-1].is_out):
            envelope = self._begin(self._queue.popleft(), b"DATA\r\n")
        return content + envelope

    # Replies

    def _hear(self, answer: Answer) -> None:
        """A reply to the oldest command that has none. Raises OutOfStep."""
        if not self._begun:
            if self._command is None or self._command.done():
                raise OutOfStep(f"a reply to no command: {answer}")
            self._command.set_result(answer)
            return
        one = self._begun[0]
        if one.awaits == "content" and not one.is_out:  # it was not written before this came
            raise OutOfStep(f"a reply to no command: {answer}")
        if one.awaits == "content":
            self._land(one, self._judged(one, answer))
        elif one.awaits == "data":
            self._hear_of_data(one, answer)
        else:
            self._hear_of_envelope(one, one.awaits, answer)

    def _hear_of_envelope(
        self, one: _Transaction, command: Literal["rset", "mail", "rcpt"], answer: Answer
    ) -> None:
        stage: Stage = "rcpt" if command == "rcpt" else "mail"
        # A 421 to RSET is as one to MAIL; whoever refuses to forget a mail must not get another.
        if answer.code // 100 in (4, 5) and (command != "rset" or answer.code == 421):
            one.refused = one.refused or answer.to(stage)
        elif answer.code not in _GOOD[command]:
            self._lose_step(one, command.upper(), answer)
        one.recipient = answer
        one.awaits = _BEHIND[command]
        if one.awaits == "data" and one.in_chunk:
            one.awaits = "content"

    def _hear_of_data(self, one: _Transaction, answer: Answer) -> None:
        """The relay may wait for the content though it refused the only recipient: then it is told the end alone, and
        refuses that (RFC 2920, 3.1)."""
        if answer.code // 100 == 2:
            self._lose_step(one, "DATA", answer)
        if answer.code // 100 == 3:
            one.awaits = "content"
        else:
            self._land(one, Refused(one.refused or answer.to("data")))

    def _judged(self, one: _Transaction, answer: Answer) -> Result:
        """What the reply to the content says. What was refused before can't be accepted now: then it is not known which
        reply was to what."""
        reply = answer.to("content")
        if answer.code // 100 in (4, 5):
            return Refused(one.refused or reply)
        alike = one.in_chunk and _wording(reply, one.mail) == self.consent
        if one.refused or answer.code != 250 or alike:
            self._lose_step(one, "BDAT" if one.in_chunk else "the content", answer)
        return reply

    def _land(self, one: _Transaction, result: Result) -> None:
        self._begun.popleft()
        self._settle(one, result)
        if isinstance(result, Reply) and one.recipient and not self.consent:
            self.consent = _wording(one.recipient.to("rcpt"), one.mail)
            self.indistinct = self.consent == _wording(result, one.mail)

    def _lose_step(self, one: _Transaction, command: str, answer: Answer) -> NoReturn:
        self.out_of_step = True
        why = f"out of step: {command} was answered {answer}"
        one.result = one.fate(why, lost_step=True)
        raise OutOfStep(why)


def _wording(reply: Reply, mail: Mail) -> str:
    """What tells replies of different meaning apart: the enhanced code, or the words without the recipient."""
    return reply.enhanced or reply.text.replace(mail.recipient, "") or "-"
