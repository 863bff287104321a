"""Zones of registrants: each distinct pair of timezone and country, as written, is resolved once for each webinar."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import Connection, delete, insert

from scheduler.database.engine import dialect, execute
from scheduler.database.models import ZoneEvidence, table
from scheduler.registrants.choices import CONFIRMED
from scheduler.webinar.model import Webinar
from scheduler.zones.wall import zone_of

Pair = tuple[str, str, str]  # webinar, timezone, country


def zones_of(
    conn: Connection, webinars: Mapping[str, Webinar], wanted: Collection[Pair]
) -> dict[Pair, dict[str, str]]:
    """The zone of each of these pairs, and how it is known. Pairs of webinars that do not govern are left out."""
    wanted = sorted({pair for pair in wanted if pair[0] in webinars})
    if not wanted:
        return {}
    engine = dialect(conn)
    given = engine.rows("pairs", {"webinar": "text", "timezone": "text", "country": "text"})
    stored = execute(
        conn,
        f"SELECT e.webinar, e.timezone, e.country, e.zone, e.known_by FROM {given} AS p"
        f" {engine.join_next} zone_evidence e"
        f" ON {engine.equal('e.webinar', 'p.webinar')} AND {engine.equal('e.timezone', 'p.timezone')}"
        f" AND {engine.equal('e.country', 'p.country')}",
        pairs=json.dumps(wanted),
    )
    zones = {
        (row.webinar, row.timezone, row.country): {"zone": row.zone, "zone_known_by": row.known_by}
        for row in stored
    }
    if missing := [pair for pair in wanted if pair not in zones]:
        evidence = [resolve(webinars[pair[0]], pair) for pair in missing]
        conn.execute(insert(table(ZoneEvidence)), evidence)
        zones |= {_pair(one): {"zone": one["zone"], "zone_known_by": one["known_by"]} for one in evidence}
    return zones


def resolve(webinar: Webinar, pair: Pair) -> dict[str, str]:
    """The row of zone_evidence for this pair, resolved for the instant of the webinar's start."""
    _, timezone, country = pair
    found = zone_of(timezone or None, country or None, webinar.tz, webinar.start)
    return {
        "webinar": webinar.id,
        "timezone": timezone,
        "country": country,
        "zone": found.zone,
        "known_by": found.known_by,
        "problem": found.problem,
    }


def resolve_again(conn: Connection, webinar: Webinar) -> None:
    """Resolve every pair of a webinar again, after its time, its zone or the time zone data changed. Zones that people
    chose stay."""
    evidence = table(ZoneEvidence)
    stored = execute(
        conn,
        "SELECT webinar, timezone, country FROM zone_evidence WHERE webinar = :webinar",
        webinar=webinar.id,
    ).all()
    if not stored:
        return
    conn.execute(delete(evidence).where(evidence.c.webinar == webinar.id))
    conn.execute(
        insert(evidence), [resolve(webinar, (row.webinar, row.timezone, row.country)) for row in stored]
    )
    execute(
        conn,
        "UPDATE registration SET zone = e.zone, zone_known_by = e.known_by,"
        " plan = CASE WHEN registration.zone <> e.zone THEN 0 ELSE registration.plan END FROM zone_evidence e"
        " WHERE e.webinar = registration.webinar AND e.timezone = registration.timezone"
        " AND e.country = registration.country AND registration.webinar = :webinar"
        " AND (registration.zone <> e.zone OR registration.zone_known_by <> e.known_by)"
        f" AND registration.zone_known_by <> '{CONFIRMED}'",
        webinar=webinar.id,
    )


def _pair(evidence: dict[str, Any]) -> Pair:
    return evidence["webinar"], evidence["timezone"], evidence["country"]
