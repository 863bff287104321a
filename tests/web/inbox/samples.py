"""A small rehearsal: six registrants, their deliveries as deliveries.json has them, their mails as received."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path
from typing import Any

import pytz

START = datetime(2025, 7, 3, 11, tzinfo=UTC)
TITLE = "Public procurement of health products: driving innovation and access"
JOIN = "https://webinar.example.org/join"
HOSTILE = "<script>alert(1)</script>\"><img src=x onerror=alert(2)> & 'Bobby'"


def calendar(email: str, start: str = "DTSTART:20250703T110000Z") -> bytes:
    lines = (
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        "PRODID:-//example.org//webinar//EN",
        "METHOD:REQUEST",
        "BEGIN:VEVENT",
        "UID:4f1c2a@example.org",
        "SEQUENCE:0",
        "DTSTAMP:20250612T080000Z",
        start,
        "DTEND:20250703T130000Z",
        "SUMMARY:Public procurement of health products\\, innovation and access",
        f"LOCATION:{JOIN}",
        "ORGANIZER;CN=Trilateral Cooperation:mailto:webinar@example.org",
        f"ATTENDEE;PARTSTAT=NEEDS-ACTION;RSVP=TRUE:mailto:{email}",
        "STATUS:CONFIRMED",
        "BEGIN:VALARM",
        "ACTION:DISPLAY",
        "TRIGGER:-PT15M",
        "DESCRIPTION:Soon",
        "END:VALARM",
        "END:VEVENT",
        "END:VCALENDAR",
        "",
    )
    return "\r\n".join(lines).encode()


def mail(subject: str, to: str, text: str = "", html: str = "", invite: bytes = b"") -> bytes:
    """A mail with those parts that are not empty."""
    message = EmailMessage()
    message["From"] = "WHO-WIPO-WTO Trilateral Cooperation <webinar@example.org>"
    message["To"] = to
    message["Subject"] = subject
    message["Date"] = "Wed, 02 Jul 2025 07:00:00 +0000"
    message["Message-ID"] = "<1@example.org>"
    if text:
        message.set_content(text)
    if html:
        message.add_alternative(html, subtype="html")
    if invite:
        message.add_attachment(invite, "text", "calendar", params={"method": "REQUEST", "charset": "UTF-8"})
    return message.as_bytes(policy=SMTP)


def html_body(name: str, when: str) -> str:
    """`name` is HTML already."""
    return f"""<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">
<meta name="color-scheme" content="light dark"><style>
body {{ margin: 0; background: #eef1f5; font: 16px/25px sans-serif; color: #1f2a37; }}
.sheet {{ max-width: 600px; margin: 32px auto; padding: 36px 40px; background: #fff; border-radius: 14px; }}
.button {{ display: inline-block; padding: 14px 30px; background: #0b5a9d; color: #fff; border-radius: 9px; }}
@media (max-width: 520px) {{ .sheet {{ padding: 24px 20px; margin: 16px 8px; }} }}
@media (prefers-color-scheme: dark) {{ body {{ background: #10151b; color: #dfe6ee; }}
.sheet {{ background: #1a212a; }} .button {{ background: #86c1f5; color: #0a1b2c; }} }}
</style></head><body><div class="sheet"><h1>You are registered</h1><p>Dear {name},</p>
<p>The webinar starts on <b>{when}</b>, on your clock.</p><p><a class="button" href="{JOIN}">Join the webinar</a></p>
<p>If the button does not work, open {JOIN}.</p></div></body></html>"""


@dataclass
class Rehearsal:
    """A folder with mails/ in it, and what `write_inbox` is given."""

    out: Path
    deliveries: list[Mapping[str, Any]] = field(default_factory=list)
    mails: list[Path] = field(default_factory=list)

    def receive(self, raw: bytes) -> str:
        """Keep a mail as received; its path relative to the folder."""
        path = self.out / "mails" / f"{len(self.mails) + 1:04d}.eml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(raw)
        self.mails.append(path)
        return path.relative_to(self.out).as_posix()

    def deliver(self, **known: Any) -> dict[str, Any]:
        """One more delivery; what isn't said is that of a reminder in Geneva that was skipped."""
        zone = pytz.timezone(known.get("zone", "Europe/Zurich"))
        due = known.pop("due", START - timedelta(hours=1))
        delivery = {
            "webinar": "trilateral-2025",
            "email": "anna@example.org",
            "name": "Anna Müller",
            "message": "reminder-hour",
            "edition": 0,
            "language": "en",
            "text_language": "en",
            "zone": zone.zone,
            "zone_known_by": "timezone",
            "due_at": f"{due:%Y-%m-%dT%H:%M:%SZ}",
            "due_local": due.astimezone(zone).isoformat(),
            "sent_at": None,
            "state": "skipped",
            "reason": "due before it was planned",
            "message_id": None,
            "eml": None,
            "start_local": START.astimezone(zone).isoformat(),
            **known,
        }
        self.deliveries.append(delivery)
        return delivery

    def sent(self, raw: bytes, due: datetime, late: timedelta = timedelta(0), **known: Any) -> dict[str, Any]:
        return self.deliver(
            due=due,
            state="sent",
            reason="",
            sent_at=f"{due + late:%Y-%m-%dT%H:%M:%SZ}",
            message_id="<1@example.org>",
            eml=self.receive(raw),
            **known,
        )


PEOPLE: Sequence[dict[str, str]] = (
    {"name": "Anna Müller", "email": "anna@example.org"},
    {
        "name": "Tekoaua Ioane",
        "email": "tekoaua@example.net",
        "zone": "Pacific/Kiritimati",
        "zone_known_by": "country",
    },
    {"name": "ليلى حداد", "email": "layla@example.com", "zone": "Africa/Cairo", "language": "ar"},
    {"name": "李 明", "email": "liming@example.org", "zone": "Asia/Shanghai", "language": "zh"},
    {
        "name": "",
        "email": "nobody@example.org",
        "zone_known_by": "webinar",
        "language": "fr",
        "text_language": "fr",
    },
    {"name": HOSTILE, "email": "bobby@example.org", "zone": "America/New_York", "zone_known_by": "assumed"},
)


def rehearsal(out: Path) -> Rehearsal:
    """Six registrants with four messages each, one alert to the organizer."""
    made = Rehearsal(out)
    for number, person in enumerate(PEOPLE):
        _write_to(made, person, datetime(2025, 6, 12 + number, 8, 30, 5, tzinfo=UTC), skip=number == 2)
    made.receive(
        mail("A text is broken: reminder-day/fr", "alerts@example.org", "Line 8: `nmae` is unknown.")
    )
    return made


def _write_to(made: Rehearsal, person: dict[str, str], registered: datetime, skip: bool) -> None:
    zone, email = pytz.timezone(person.get("zone", "Europe/Zurich")), person["email"]
    local = START.astimezone(zone)
    when = f"{local:%A} {local.day} {local:%B} {local.year}, {local:%H:%M}"
    escaped = (person["name"] or "colleague").replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")

    def letter(subject: str, invite: bytes = b"") -> bytes:
        plain = f"Dear {person['name'] or 'colleague'},\n\nThe webinar starts on {when}.\n\nJoin: {JOIN}\n"
        return mail(subject, email, plain, html_body(escaped, when), invite)

    made.sent(
        letter(f"You are registered: {local:%A} {local.day} {local:%B}, {local:%H:%M}", calendar(email)),
        registered,
        message="confirmation",
        **person,
    )
    day_before = zone.localize(datetime(local.year, local.month, local.day - 1, 9)).astimezone(UTC)
    if skip:
        made.deliver(message="reminder-day", due=day_before, **person)
    else:
        made.sent(letter(f"Tomorrow, {local:%H:%M}: {TITLE}"), day_before, message="reminder-day", **person)
    made.sent(letter(f"In one hour: {TITLE}"), START - timedelta(hours=1), message="reminder-hour", **person)
    after = START + timedelta(hours=4)
    if person["email"] == "liming@example.org":
        made.deliver(message="follow-up", due=after, state="held", reason="template", **person)
    else:
        made.sent(letter("Thank you: slides"), after, timedelta(minutes=7), message="follow-up", **person)
