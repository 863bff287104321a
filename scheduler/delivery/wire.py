"""Mail transactions in a pipeline, over a connection that `session` has opened (RFC 2920, RFC 3030).

Two ways. Over BDAT several whole mails go out in one write, so that speed hardly depends on the distance to the relay.
Over DATA the end of one mail's content and the envelope of the next go out together: one round trip a mail. Each
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
from typing import NoReturn, cast

from scheduler.delivery.answers import Answer, Answers, Broken, OutOfStep
from scheduler.delivery.replies import Reply, Stage, read_reply
from scheduler.delivery.session import Doubtful, Refused, RelayFailure, Session, unreachable
from scheduler.delivery.transaction import Mail

Result = Reply | RelayFailure
More = Callable[[list[Result]], Awaitable[Sequence[Mail]]]
"""Told results, in order, it gives mails that are to follow."""

QUICK_ACK = getattr(
    socket, "TCP_QUICKACK", None
)  # Linux has it; it lasts until the system thinks better of it
_ENVELOPE: tuple[tuple[Stage, tuple[int, ...]], ...] = (("mail", (250,)), ("rcpt", (250, 251, 252)))


@dataclass(slots=True)
class _Envelope:
    """RSET, MAIL and RCPT of one mail: what to say, and how far its replies are read."""

    commands: bytes
    reset: bool = False
    stage: Stage = "mail"
    refused: Reply | None = None
    """The first reply that refuses it; what is then said to the content is of no account."""
    recipient: Answer | None = None
    """The reply to RCPT."""


class Wire(asyncio.Protocol):
    """Takes the place of aiosmtplib's protocol on the connection of a session.

    After DATA comes 354, which proves that each reply until then was to its own command. After BDAT nothing does: if
    a relay sends one reply too many, every later reply is matched to the wrong command, and the one to RCPT could be
    taken for acceptance of the mail. So the first mail over a connection goes by DATA, and from it we know how this
    relay agrees to a recipient (`consent`; "": not yet): no BDAT is accepted in those words. `indistinct`: it accepts
    mails in the same words, so that one can't tell.
    """

    def __init__(self, session: Session) -> None:
        self.out_of_step = False
        self.consent = ""
        self.indistinct = False
        self._session = session
        self._incoming = Answers()
        self._answers: deque[Answer] = deque()
        self._owed = 0  # replies
        self._out: list[bytes] = []  # to be written together
        self._ended = ""  # why nothing more comes
        self._leaving = False  # it said 421
        self._waiter: asyncio.Future[None] | None = None
        self._fresh = True  # no transaction was begun on it
        self._ahead: _Envelope | None = None  # it is out, with DATA behind it, and its replies are not read
        self._transport = cast(asyncio.Transport, session.transport)
        if not session.usable:
            self._end("Connection lost")
        self._transport.set_protocol(self)
        session.wire = self

    @property
    def is_open(self) -> bool:
        """Whether the next mail may go here."""
        return not (self._ended or self._transport.is_closing())

    @property
    def usable(self) -> bool:
        """Whether anybody may use it: open, and no reply or mail is still to come."""
        return self.is_open and not (self._owed or self._answers or self._ahead)

    @property
    def takes_chunks(self) -> bool:
        """Whether BDAT may come next."""
        return bool(self.consent) and self._ahead is None

    @property
    def broken(self) -> bool:
        """Whether it ended though the relay had not said that it would."""
        return not (self.is_open or self._leaving)

    # asyncio's side

    def data_received(self, data: bytes) -> None:
        if self._ended:
            return
        try:
            for answer in self._incoming.feed(data):
                self._leaving = self._leaving or answer.code == 421
                if not self._owed:
                    raise OutOfStep(f"a reply to no command: {answer}")
                self._owed -= 1
                self._answers.append(answer)
        except OutOfStep as error:
            self.out_of_step = not self._leaving
            self._end(str(error))
        if self._owed:
            self._acknowledge()
        if self._answers:
            self._wake()

    def _acknowledge(self) -> None:
        """Now. A relay whose system waits for it (RFC 896) before it sends what else there is to say would otherwise
        stand still for 40 ms in each group: we have nothing to say ourselves meanwhile."""
        if QUICK_ACK and (connection := self._transport.get_extra_info("socket")):
            connection.setsockopt(socket.IPPROTO_TCP, QUICK_ACK, 1)

    def eof_received(self) -> None:
        self._end("Connection lost")

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(f"Connection lost: {exc}" if exc else "Connection lost")

    def _end(self, why: str) -> None:
        """At once: what is still in our buffers never leaves, so a mail cut short stays cut short."""
        self._ended = self._ended or why
        self._transport.abort()
        self._wake()

    def _wake(self) -> None:
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(None)

    # SMTP's side

    def _say(self, data: bytes, replies: int) -> None:
        """Goes out with `_flush`, or when a reply is waited for."""
        self._out.append(data)
        self._owed += replies

    def _flush(self) -> None:
        if self._out and self.is_open:
            self._transport.write(b"".join(self._out))
        self._out.clear()

    async def _answer(self, within: float) -> Answer:
        """The reply to the oldest command that has none. Raises Broken."""
        self._flush()
        while not self._answers:
            if self._ended:
                raise Broken(self._ended)
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                async with asyncio.timeout(min(within, self._session.timeout) if self._leaving else within):
                    await self._waiter
            except TimeoutError:
                self._end("no answer in time")
        return self._answers.popleft()

    def _lose_step(self, command: str, answer: Answer) -> NoReturn:
        self.out_of_step = True
        self._answers.clear()  # who knows to what
        self._end(f"out of step: {command} was answered {answer}")
        raise OutOfStep(self._ended)

    async def command(self, stage: Stage, line: bytes, within: float) -> Reply:
        """One command and the reply to it. Raises Unreachable when there is none."""
        self._say(line + b"\r\n", 1)
        try:
            return (await self._answer(within)).to(stage)
        except Broken as broken:
            raise unreachable(stage, str(broken)) from None

    def _envelope(self, mail: Mail) -> _Envelope:
        """Raises Refused where the relay offers too little for this mail."""
        words = b" ".join(mail.mail_command(self._session))
        return _Envelope(b"%s\r\nRCPT TO:<%s>\r\n" % (words, mail.recipient.encode()))

    def _open(self, envelope: _Envelope, then: bytes) -> None:
        envelope.reset, self._fresh = not self._fresh, False
        reset = b"RSET\r\n" if envelope.reset else b""
        self._say(reset + envelope.commands + then, 3 + envelope.reset)

    async def _read(self, envelope: _Envelope, within: float) -> None:
        """The replies to an envelope. Raises Broken."""
        if envelope.reset:
            answer = await self._answer(within)
            if answer.code == 421:  # as if to MAIL
                envelope.refused = answer.to("mail")
            elif answer.code != 250:
                self._lose_step("RSET", answer)
        for envelope.stage, good in _ENVELOPE:
            answer = await self._answer(within)
            if answer.code // 100 in (4, 5):
                envelope.refused = envelope.refused or answer.to(envelope.stage)
            elif answer.code not in good:
                self._lose_step(envelope.stage.upper(), answer)
        envelope.recipient = answer

    # BDAT

    async def send_chunks(
        self, mails: Sequence[Mail], patience: float, more: More | None = None
    ) -> list[Result]:
        """Whole mails in one write, each with BDAT … LAST (RFC 3030, 2): one result for each, in order.

        `patience`: seconds for each reply; all of them come when content has gone out, so that less makes doubles.
        `more(results)` is called whenever half of the mails in flight have been answered, and returns mails that
        follow them, until it returns none. Results passed to it are not returned again.
        """
        flying = deque(self._launch(mails))
        results: list[Result] = []
        while flying:
            results.append(await self._land(*flying.popleft(), patience))
            if more and 2 * len(results) >= len(mails) and self.is_open and not self._leaving:
                joining = await more(results)
                results = []
                flying.extend(self._launch(joining))
                more = more if joining else None
        return results

    def _launch(self, mails: Sequence[Mail]) -> list[tuple[Mail, _Envelope | RelayFailure]]:
        """Write these mails; with each what its replies belong to, or why it was not written."""
        launched: list[tuple[Mail, _Envelope | RelayFailure]] = []
        for mail in mails:
            try:
                if self._leaving or not self.is_open:
                    raise unreachable("mail", self._ended or "Connection lost")
                envelope = self._envelope(mail)
            except RelayFailure as failure:
                launched.append((mail, failure))
                continue
            self._open(envelope, b"BDAT %d LAST\r\n" % len(mail.content))
            self._say(mail.content, 0)
            launched.append((mail, envelope))
        self._flush()
        return launched

    async def _land(self, mail: Mail, envelope: _Envelope | RelayFailure, patience: float) -> Result:
        return envelope if isinstance(envelope, RelayFailure) else await self._chunk(envelope, mail, patience)

    async def _chunk(self, envelope: _Envelope, mail: Mail, patience: float) -> Result:
        """What became of a mail that has gone out whole."""
        try:
            await self._read(envelope, patience)
            answer = await self._answer(patience)
            reply = answer.to("content")
            if reply.code // 100 in (4, 5):
                return Refused(envelope.refused or reply)
            # What was refused can't be accepted now: then it is not known which reply was to what.
            if envelope.refused or reply.code != 250 or _wording(reply, mail) == self.consent:
                self._lose_step("BDAT", answer)
        except OutOfStep as broken:
            return _in_doubt(broken)
        except Broken as broken:
            return Refused(envelope.refused) if envelope.refused else _in_doubt(broken)
        return reply

    # DATA

    async def send_data(self, mail: Mail, ahead: Mail | None, patience: float) -> Result:
        """One mail with DATA. The envelope of the one `ahead` goes out with the end of its content (RFC 2920, 3.1).

        `patience`: seconds for the reply after the content.
        """
        try:
            envelope = self._envelope(mail)
        except Refused as refusal:
            return refusal
        before, self._ahead = self._ahead, None
        if before is None:
            self._open(envelope, b"DATA\r\n")
        elif before.commands == envelope.commands:
            envelope = before
        else:
            self._end("another mail was to come")  # after DATA there is no other way out that sends nothing
            return unreachable("mail", self._ended)
        try:
            goes = await self._goes(envelope)
        except OutOfStep as broken:
            return unreachable(envelope.stage, str(broken))
        except Broken as broken:
            return Refused(envelope.refused) if envelope.refused else unreachable(envelope.stage, str(broken))
        if goes:
            self._say(b".\r\n" if envelope.refused else mail.on_the_wire, 1)
        if ahead:
            self._announce(ahead)
        self._flush()
        if not goes:
            return Refused(cast(Reply, envelope.refused))
        result = await self._content(envelope.refused, patience)
        if isinstance(result, Reply) and envelope.recipient and not self.consent:
            self.consent = _wording(envelope.recipient.to("rcpt"), mail)
            self.indistinct = self.consent == _wording(result, mail)
        return result

    async def _goes(self, envelope: _Envelope) -> bool:
        """Whether the relay waits for the content. It may do so though it refused the only recipient: then it is told
        the end alone, and refuses that (RFC 2920, 3.1). Raises Broken."""
        within = self._session.timeout
        await self._read(envelope, within)
        envelope.stage = "data"
        answer = await self._answer(within)
        if answer.code // 100 == 2:
            self._lose_step("DATA", answer)
        if answer.code // 100 == 3:
            if self._ended:
                raise Broken(self._ended)
            return True
        envelope.refused = envelope.refused or answer.to("data")
        return False

    def _announce(self, ahead: Mail) -> None:
        try:
            self._ahead = self._envelope(ahead)
        except Refused:  # told when its turn comes
            return
        self._open(self._ahead, b"DATA\r\n")

    async def _content(self, refused: Reply | None, patience: float) -> Result:
        try:
            answer = await self._answer(patience)
            if answer.code != 250 and answer.code // 100 not in (4, 5):
                self._lose_step("the content", answer)
            if refused and answer.code == 250:
                self._lose_step("a dot alone", answer)
        except Broken as broken:
            return Refused(refused) if refused else _in_doubt(broken)
        if refused or answer.code != 250:
            return Refused(refused or answer.to("content"))
        return answer.to("content")


def _wording(reply: Reply, mail: Mail) -> str:
    """What tells replies of different meaning apart: the enhanced code, or the words without the recipient."""
    return reply.enhanced or reply.text.replace(mail.recipient, "") or "-"


def _in_doubt(broken: Broken) -> Doubtful:
    return Doubtful(read_reply("content", 0, str(broken)))
