"""One mail transaction over a secured connection (RFC 5321, 3.3)."""

from __future__ import annotations

from scheduler.smtp.envelope import Mail
from scheduler.smtp.failures import Refused, unreachable
from scheduler.smtp.replies import Reply
from scheduler.smtp.session import Session


async def transact(session: Session, mail: Mail, content_timeout: float) -> Reply:
    """One mail transaction: the reply that accepted the mail. Raises Refused, Unreachable or Doubtful.

    After Refused the connection stands where the relay left it: `Session.reset` before the next mail.
    """
    _expect(2, await session.command("mail", *mail.mail_command(session)))
    _expect(2, await session.command("rcpt", b"RCPT", f"TO:<{mail.recipient}>".encode()))
    _expect(3, await session.command("data", b"DATA"))
    return _expect(2, await session.content(mail.on_the_wire, content_timeout))


def _expect(first_digit: int, reply: Reply) -> Reply:
    if reply.code // 100 == first_digit:
        return reply
    if reply.code // 100 in (4, 5):
        raise Refused(reply)
    raise unreachable(reply.stage, f"out of step: {reply.code} {reply.text}")
