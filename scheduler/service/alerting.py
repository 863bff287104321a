"""Mails to organizers: one when something is wrong, one when it is resolved."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, make_msgid

import structlog

from scheduler import alerts
from scheduler.alerts import AlertMail
from scheduler.database.engine import Database
from scheduler.delivery.relay import Relay, ask_again, send_one
from scheduler.webinar.model import Webinar

log = structlog.get_logger()

AGAIN_AFTER = timedelta(minutes=1)  # after the relay refused one
RELAY = "relay"  # the key of the alert that the relay takes no mail

WRONG = """\
Something needs your attention:

{words}

You will get one more mail when this is resolved.
"""
NOTICE = """\
An edit waits, because it notifies people:

{words}

Until then, confirmations still go out as before the edit, and reminders wait.
"""
RETENTION = """\
{first}. {words}

Names, addresses, links and the relay's replies go; how many mails were sent stays, and so do suppressions. The rows of
the table registrants are their owner's, and stay. To keep the data longer, set keep_days in the webinar's file before
then.
"""
RIGHT = """\
This problem is resolved. For your records:

{words}
"""


class Notifier:
    """Sends pending mails to organizers. A mail that the relay refuses is retried."""

    def __init__(
        self,
        database: Database,
        relays: Sequence[Relay],
        may_write_to: Callable[[str], bool],
        stands: Callable[[str], bool] = lambda key: True,
    ) -> None:
        """`relays`: in order of preference. `stands`: whether what is wrong by this key still is, as far as is known
        here."""
        self._database, self._relays = database, relays
        self._may_write_to, self._stands = may_write_to, stands
        self._not_before: datetime | None = None

    async def notify(self, now: datetime, webinars: Iterable[Webinar]) -> None:
        """Try each pending mail once. Never raises because of a relay."""
        if self._not_before and now < self._not_before:
            return
        senders = {webinar.alert_to: webinar.sender.address for webinar in webinars}
        for telling in await self._database.run(alerts.due_mails, now):
            sender = senders.get(telling.alert_to, telling.alert_to)
            if not self._may_write_to(telling.alert_to) or not await self._is_true(now, telling, sender):
                continue
            if await self._database.run(alerts.claim, now, telling):
                await self._send(now, telling, sender)

    async def _is_true(self, now: datetime, telling: AlertMail, sender: str) -> bool:
        """Whether the alert still holds. A relay that refused everybody is asked again first: if it would take the
        mail that says so, the alert is no longer true."""
        if telling.key != RELAY or telling.resolved:
            return True
        await ask_again(self._relays, sender)
        if not self._stands(telling.key):
            return False
        if all(relay.standing.refuses_everybody for relay in self._relays):
            self._not_before = now + AGAIN_AFTER
            return False
        return True

    async def _send(self, now: datetime, telling: AlertMail, sender: str) -> None:
        """Send one mail. A refused address does not keep mails from the others."""
        sent = False
        try:
            failed = await send_one(self._relays, sender, telling.alert_to, _mail(telling, sender, now))
            sent = failed is None
            if failed is None:
                log.info("organizer notified", about=telling.key, resolved=telling.resolved)
            else:
                log.warning("organizer not notified yet", about=telling.key, reply=failed.words)
                self._not_before = now + AGAIN_AFTER
        finally:
            if not sent:
                await self._database.run(alerts.release, now, telling)


def _mail(telling: AlertMail, sender: str, now: datetime) -> bytes:
    message = EmailMessage(policy=SMTP)
    subject, body = _words(telling)
    message["Subject"] = " ".join(subject.split())  # a file's name may hold a line end
    message["From"], message["To"], message["Date"] = sender, telling.alert_to, format_datetime(now)
    message["Message-ID"] = make_msgid(domain=sender.rpartition("@")[2])
    message["Auto-Submitted"] = "auto-generated"
    message["X-Auto-Response-Suppress"] = "All"
    message.set_content(body, cte="quoted-printable")
    return message.as_bytes()


def _words(telling: AlertMail) -> tuple[str, str]:
    """The subject and the body."""
    first, _, rest = telling.words.partition("\n\n")
    kind = alerts.kind_of(telling.key)
    if kind == "notice":
        return f"Action needed? {first}", NOTICE.format(words=rest)
    if kind == "retention":
        return first, RETENTION.format(first=first, words=rest)
    if telling.resolved:  # the second paragraph, on what goes out meanwhile, is outdated
        return f"Resolved: {telling.key}", RIGHT.format(words=first)
    return f"Action needed: {telling.key}", WRONG.format(words=telling.words)
