"""Mail transactions command by command, by aiosmtplib (RFC 5321, 3.3)."""

from __future__ import annotations

from scheduler.smtp.envelope import Mail
from scheduler.smtp.failures import NotBegun, Refused, RelayFailure, unreachable
from scheduler.smtp.replies import Reply, Stage
from scheduler.smtp.session import Session


class Plain:
    """Sends mails over a session one command at a time."""

    def __init__(self, session: Session, patience: float) -> None:
        """`patience`: seconds to wait for the reply after the content."""
        self._session, self._patience = session, patience

    @property
    def usable(self) -> bool:
        """Whether another mail may be sent: the connection is open, and every reply is matched to its command."""
        return self._session.usable

    async def command(self, stage: Stage, line: bytes, within: float) -> Reply:
        """Send one command and return its reply. `within`: seconds. Raises Unreachable without a reply."""
        return await self._session.command(stage, line, within)

    async def send(self, mail: Mail) -> Reply | RelayFailure:
        """Perform one mail transaction and return its result; after a refused mail the session is reset."""
        if not mail.may_go(False):
            return NotBegun()
        try:
            return await self._transact(mail)
        except Refused as refusal:
            if refusal.reply.code != 421:
                await self._session.reset()
            return refusal
        except RelayFailure as failure:
            return failure

    async def _transact(self, mail: Mail) -> Reply:
        """Return the reply that accepted the mail. Raises Refused, Unreachable or Doubtful."""
        _expect(2, await self._session.command("mail", mail.mail_command(self._session)))
        _expect(2, await self._session.command("rcpt", f"RCPT TO:<{mail.recipient}>".encode()))
        _expect(3, await self._session.command("data", b"DATA"))
        return _expect(2, await self._session.content(mail.on_the_wire, self._patience))


def _expect(first_digit: int, reply: Reply) -> Reply:
    if reply.code // 100 == first_digit:
        return reply
    if reply.code // 100 in (4, 5):
        raise Refused(reply)
    raise unreachable(reply.stage, f"out of step: {reply.code} {reply.text}")
