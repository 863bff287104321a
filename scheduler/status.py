"""What `webinar status` tells, as its `--json` has it: collected from the files, the ledger and the service."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, func, select

from scheduler import alerts
from scheduler.database.engine import Database, run
from scheduler.database.models import Delivery
from scheduler.ledger.edits import planned_revisions
from scheduler.ledger.outlook import Outlook, changes_waiting, outlook
from scheduler.ledger.planning import Governing
from scheduler.ledger.states import State, Why
from scheduler.looking import Seen, look
from scheduler.reasons import mend_of, no_service, reasons, row_reasons, rows_set_aside
from scheduler.settings import Settings
from scheduler.sources import uses
from scheduler.timezones import to_local, tz_version
from scheduler.webinar import Webinar, explain_time

Json = dict[str, Any]

PATIENCE = 3.0  # seconds for the service to answer
HELD_MENDS = {
    Why.TEMPLATE: "mend the text; they go by themselves, if still of use",
    Why.DATA: "correct what these people's rows hold; they are planned anew",
    Why.DOUBT: "`webinar show ADDRESS` has their Message-ID: the relay's log tells whether they went out",
    Why.CONFIG: "ONLY_TO keeps them back; without it they go when the service starts again",
}


def collect(settings: Settings, database: Database, now: datetime) -> Json:
    """The whole status at `now` (UTC). Changes nothing."""
    seen = look(settings, database, now)
    with database.reading() as conn:
        webinars = [
            _webinar(conn, now, one, seen, planned_revisions(conn))
            for one in seen.catalogue.governing.values()
        ]
        standing = [vars(one) for one in alerts.standing(conn)]
        rows, waiting = [one._asdict() for one in rows_set_aside(conn)], changes_waiting(conn)
        found = list(reasons("", seen.problems, row_reasons(conn)))
    service = _ask(settings)
    found = list(dict.fromkeys([*service.pop("reasons"), *found]))
    if service["answers"] is None and any(_matters(webinar) for webinar in webinars):
        found.insert(0, no_service(service["address"]))
    if not service["answers"]:  # what only a running service knows, as it last told
        found += [one["words"] for one in standing if one["key"] == "relay"]
    wrong = [{"reason": one, "mend": mend_of(one)} for one in found]
    return {
        "at": now,
        "tz_database": tz_version(),
        "right": not wrong and not standing and not any(_held_by_mistake(settings, w) for w in webinars),
        "wrong": wrong,
        "service": service,
        "webinars": webinars,
        "alerts": standing,
        "rows_set_aside": rows,
        "changes_not_planned": waiting,
    }
