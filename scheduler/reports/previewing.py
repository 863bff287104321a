"""Previews one person's mail with the service's own code. Nothing is stored or sent."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import Connection, select

from scheduler.database.models import Delivery, Registration, table
from scheduler.input.addresses import fold
from scheduler.ledger.outcomes import last_versions
from scheduler.mail.writing.sample import Reader, sample_reader
from scheduler.registrants.rows import Registrants, RegistrantsUnreadable, place_of, why_unusable
from scheduler.webinar.model import Webinar
from scheduler.zones.wall import zone_of

_R = table(Registration)
_D = table(Delivery)


class NotRegistered(LookupError):
    """Nobody with that address is registered for the webinar, or their row can't be used."""


def registered(conn: Connection, webinar: Webinar, address: str) -> Reader:
    """The person who is registered with this address, planned already or not. Raises NotRegistered."""
    query = select(_R).where(_R.c.webinar == webinar.id, _R.c.address_folded == fold(address))
    row = conn.execute(query.order_by(_R.c.gone_at.is_(None).desc(), _R.c.id.desc())).mappings().first()
    if row is None:
        return _not_planned_yet(conn, webinar, address)
    deliveries = conn.execute(
        select(_D).where(_D.c.registration_id == row["id"]).order_by(_D.c.edition)
    ).mappings()
    known = ("id", "address", "name", "language", "zone", "zone_known_by", "join_url", "uid", "first_seen_at")
    return Reader(
        **{name: row[name] for name in known},
        last=last_versions(conn, [row["uid"]]).get(row["uid"]),
        deliveries={one["message"]: dict(one) for one in deliveries},
    )


def _not_planned_yet(conn: Connection, webinar: Webinar, address: str) -> Reader:
    try:
        registrants, person = Registrants(conn), (webinar.id, fold(address))
        number = registrants.find_anywhere([(webinar.id, address)]).get(person) or registrants.odd(
            webinar.id
        ).get(person)
        rows = [] if number is None else registrants.read([number])
    except RegistrantsUnreadable as reason:
        raise NotRegistered(str(reason)) from None
    if not rows:
        raise NotRegistered(f"nobody with that address is registered for {webinar.id}")
    (row,) = rows
    if why := why_unusable(row, [webinar.id]):
        raise NotRegistered(f"{place_of(row.id)} can't be used: {why}")
    zone = zone_of(row.timezone or None, row.country or None, webinar.tz, webinar.start)
    return replace(
        sample_reader(webinar),
        address=row.email,
        name=row.name,
        language=row.language,
        zone=zone.zone,
        zone_known_by=zone.known_by,
        join_url=row.join_url,
    )
