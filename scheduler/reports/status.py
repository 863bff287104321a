"""The content of `webinar status --json`, collected from the files, the ledger and the service."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, text

from scheduler import alerts
from scheduler.database.engine import Database, execute
from scheduler.database.models import Instant
from scheduler.delivery import marks, spool
from scheduler.delivery.marks import Mark, StateUnreadable
from scheduler.governing.folder import Folder
from scheduler.governing.governor import WEBINAR_FILES, uses
from scheduler.input.toml_syntax import load_toml
from scheduler.ledger.due_times import planned_webinars
from scheduler.ledger.lateness import Late, lateness
from scheduler.ledger.outlook import Outlook, changes_waiting, outlook
from scheduler.ledger.planning import Governing
from scheduler.ledger.restored import count as count_restored
from scheduler.ledger.restored import identity
from scheduler.ledger.states import State, Why
from scheduler.pulling.puller import pulled
from scheduler.readiness import Kind, Readiness, Reason, reasons
from scheduler.registrants.signups import places
from scheduler.registrants.sources import SourceState
from scheduler.registrants.sources import states as source_states
from scheduler.reports.asking import ask
from scheduler.reports.looking import Seen, look
from scheduler.reports.reasons import (
    never_run,
    no_service,
    older_than_known,
    replica_notes,
    row_notes,
    rows_set_aside,
    set_back,
)
from scheduler.reports.retention import coming
from scheduler.reports.retention import notes as retention_notes
from scheduler.settings import Settings
from scheduler.state_dir import StateDir
from scheduler.webinar.model import Webinar, explain_time
from scheduler.zones.wall import to_local, tz_version

Json = dict[str, Any]

HELD_FIXES = {
    Why.TEMPLATE: "fix the text; they go by themselves, if still useful",
    Why.DATA: "correct what these people's rows hold; they are planned again",
    Why.DOUBT: "`webinar show ADDRESS` has their Message-ID: the relay's log tells whether they went out",
    Why.RESTORED: "the database was set back: `webinar restored` decides, with the service's or the relay's log",
    Why.CONFIG: "ONLY_TO keeps them back; without it they go when the service starts again",
}


_ENDED = "SELECT webinar FROM webinar WHERE status = 'ended' ORDER BY ends_at DESC, webinar"


def collect(settings: Settings, database: Database, now: datetime) -> Json:
    """The whole status at `now` (UTC). Changes nothing."""
    seen = look(settings, database, now)
    known, unreadable, kept = _known(settings)
    with database.reading() as conn:
        planned = planned_webinars(conn)
        ended = list(execute(conn, _ENDED).scalars())
        late, sources = lateness(conn, now).late, source_states(conn)
        webinars = [
            _webinar(conn, now, one, seen, planned, [mail for mail in late if mail.webinar == name])
            | {"source": _source(one.webinar, sources.get(name))}
            for name, one in seen.catalogue.governing.items()
        ]
        standing = [
            vars(one)
            for one in alerts.open_alerts(conn)
            if alerts.kind_of(one.key) not in ("notice", "retention")
        ]
        rows, waiting = [one._asdict() for one in rows_set_aside(conn)], changes_waiting(conn)
        found = [*seen.reasons, *unreadable]
        if mark := marks.missing(conn, known):
            found.append(older_than_known(mark.at))
        elif other := marks.mismatch(StateDir(settings.state_dir), identity(conn).name, known):
            found.append(Reason(Kind.STATE_OF_ANOTHER, other))
        notes = [*reasons(Kind.NOTICE, [one.words for one in seen.notices]), *replica_notes(conn, now)]
        if mails := count_restored(conn):
            notes.insert(0, set_back(mails))
        notes += [*row_notes(conn), *retention_notes(coming(conn, now)), *kept]
        followed = pulled(seen.catalogue.governing, now)
        notes += [
            note for name in followed if name in sources for note in reasons(Kind.SOURCE, sources[name].words)
        ]
        removed = _removed(conn)
    service = ask(settings.health_host, settings.health_port)
    if service.answers is False and any(_matters(webinar) for webinar in webinars):
        found.insert(0, no_service(service.address))
    if not service.answers:  # what only a running service knows, as it last reported
        relay = [one["words"].partition("\n\n")[0] for one in standing if one["key"] == "relay"]
        found += [*reasons(Kind.RELAY, relay), *notes]
    now_known = Readiness((*service.found, *found))
    return {
        "at": now,
        "tz_database": tz_version(),
        "right": now_known.ready
        and not standing
        and not any(_held_by_mistake(settings, w) for w in webinars),
        "wrong": _as_json(now_known.stopping),
        "notes": _as_json(now_known.noted),
        "service": {"address": service.address, "answers": service.answers, "ready": service.ready},
        "webinars": webinars,
        "ended": ended,
        "removed": removed,
        "alerts": standing,
        "notices": [one.as_json() for one in seen.notices],
        "rows_set_aside": rows,
        "changes_not_planned": waiting,
    }


def before_the_first_run(settings: Settings, now: datetime, why: str) -> Json:
    """The status of the files where no service has run on the database yet."""
    folder = Folder(settings.config_dir, WEBINAR_FILES)
    live = sorted(filter(None, map(_live_id, folder.read().values())))
    problem = [str(folder.problem)] if folder.problem else []
    known = Readiness((never_run(why, live), *reasons(Kind.FOLDER, problem)))
    return {
        "at": now,
        "tz_database": tz_version(),
        "right": known.ready,
        "wrong": _as_json(known.stopping),
        "notes": _as_json(known.noted),
        "service": {"address": "", "answers": None, "ready": None},
        "webinars": [],
        "ended": [],
        "removed": [],
        "alerts": [],
        "notices": [],
        "rows_set_aside": [],
        "changes_not_planned": 0,
    }


def _as_json(found: Iterable[Reason]) -> list[Json]:
    return [{"kind": one.kind.id, "reason": one.words, "fix": one.kind.fix} for one in found]


def _live_id(raw: bytes) -> str:
    """The id of the webinar if this file says that it is live; "" otherwise, or if it can't be read."""
    try:
        webinar = load_toml(raw.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return ""
    return str(webinar.get("id", "?")) if webinar.get("status") == "live" else ""


def _webinar(
    conn: Connection,
    now: datetime,
    governing: Governing,
    seen: Seen,
    planned: Mapping[str, int],
    late: Sequence[Late],
) -> Json:
    webinar = governing.webinar
    counted = _counted(conn, webinar.id)
    ahead = outlook(conn, now, webinar.id)
    return {
        "id": webinar.id,
        "title": webinar.title,
        "status": webinar.status,
        "cancelled": webinar.cancelled,
        "past": now >= webinar.end,
        "starts_at": webinar.start.astimezone(UTC),
        "ends_at": webinar.end.astimezone(UTC),
        "time": explain_time(webinar),
        "governed_by": _governed_by(webinar, seen),
        "sound_since": seen.sound_since.get(webinar.id),
        "planned": _planned(planned.get(webinar.id), governing),
        "registrants": _registrants(conn, webinar.id),
        "places": found._asdict() if (found := places(conn, webinar)) else None,
        "counts": _by_message(counted, [message.id for message in webinar.messages]),
        "held": _by_reason(counted, State.HELD),
        "failed": _by_reason(counted, State.FAILED),
        "skipped": _by_reason(counted, State.SKIPPED),
        "in_doubt": sum(_by_reason(counted, State.IN_DOUBT).values()),
        "at_once": ahead.at_once,
        "later": ahead.later,
        "next": next_of(ahead, webinar),
        "late": [
            {
                "message": one.message,
                "due_at": one.due_at,
                "seconds": round((now - one.due_at).total_seconds()),
            }
            for one in late
        ],
        "texts": list(_texts_behind(webinar, seen)),
    }


def _source(webinar: Webinar, standing: SourceState | None) -> Json | None:
    """The source of a webinar's registrants, and when it was last read."""
    if webinar.source is None:
        return None
    return {
        "from": webinar.source.words,
        "every_seconds": round(webinar.source.every.total_seconds()),
        "read_at": standing and standing.read_at,
        "people": standing.people if standing else 0,
        "trouble": standing.trouble if standing else "",
        "trouble_since": standing and standing.trouble_since,
        "note": standing.note if standing else "",
    }


def _governed_by(webinar: Webinar, seen: Seen) -> str:
    if seen.catalogue.is_of_file(webinar.id):
        return "file"
    waits = any(one.webinar == webinar.id and one.revision_id for one in seen.notices)
    return "the revision before an edit that waits" if waits else "last sound revision"


def next_of(ahead: Outlook, webinar: Webinar) -> list[Json]:
    """The next mails, in UTC and on the webinar's own clock."""
    return [
        {
            "message": one.message,
            "due_at": one.at,
            "due_local": to_local(one.at, webinar.tz),
            "mails": one.mails,
        }
        for one in ahead.next
    ]


def stage(webinar: Mapping[str, Any]) -> str:
    """Draft or live, and whether it is past or cancelled, in a few words."""
    also = [word for word, is_so in (("cancelled", webinar["cancelled"]), ("past", webinar["past"])) if is_so]
    return ", ".join([webinar["status"], *also])


def _planned(plan: int | None, governing: Governing) -> str:
    if plan is None:
        return "not yet"
    return "yes" if plan == governing.plan else "by an earlier revision"


def _registrants(conn: Connection, webinar: str) -> int:
    query = "SELECT count(*) FROM registration WHERE webinar = :webinar AND gone_at IS NULL"
    return int(execute(conn, query, webinar=webinar).scalar_one())


Counted = dict[tuple[str, str, str], int]  # message, state, reason: how many


def _counted(conn: Connection, webinar: str) -> Counted:
    """The deliveries in the ledger, and the counts that were kept when others were removed."""
    found: Counted = {}
    for counted in (
        "SELECT message, state, reason, count(*) AS n FROM delivery WHERE webinar = :webinar"
        " GROUP BY message, state, reason",
        "SELECT message, state, reason, n FROM tally WHERE webinar = :webinar ORDER BY message",
    ):
        for row in execute(conn, counted, webinar=webinar):
            key = (row.message, row.state, row.reason)
            found[key] = found.get(key, 0) + row.n
    return found


def _known(settings: Settings) -> tuple[list[Mark], tuple[Reason, ...], tuple[Reason, ...]]:
    """What services have noted of the ledger, why that can't be read, and notes about STATE_DIR."""
    state = StateDir(settings.state_dir)
    try:
        found = marks.read(state)
        notes = reasons(Kind.STATE, (*found.notes, *spool.kept_aside(state)))
        return list(found.marks.values()), (), notes
    except StateUnreadable as error:
        return [], (Reason(Kind.STATE_UNREADABLE, str(error)),), ()


def _removed(conn: Connection) -> list[Json]:
    """Webinars whose people were removed, the latest first, with the counts of their mails."""
    query = (
        "SELECT p.webinar, p.purged_at, p.people FROM purge p JOIN webinar w ON w.webinar = p.webinar"
        " WHERE p.begun_at >= w.ends_at AND p.purged_at >= p.begun_at ORDER BY p.purged_at DESC, p.webinar"
    )
    typed = text(query).columns(purged_at=Instant())
    return [
        {"id": row.webinar, "removed_at": row.purged_at, "people": row.people,
         "counts": _by_message(_counted(conn, row.webinar), ())}
        for row in conn.execute(typed).all()
    ]  # fmt: skip


def _by_message(counted: Counted, order: Sequence[str]) -> dict[str, dict[str, int]]:
    """Messages in this order, then all others; states as the ledger has them."""
    others = sorted({message for message, _, _ in counted} - set(order))
    result: dict[str, dict[str, int]] = {message: {} for message in (*order, *others)}
    for state in State:
        for (message, its_state, _), many in counted.items():
            if its_state == state:
                result[message][state.value] = result[message].get(state.value, 0) + many
    return result


def _by_reason(counted: Counted, state: State) -> dict[str, int]:
    found: dict[str, int] = {}
    for (_, its_state, reason), many in sorted(counted.items()):
        if its_state == state:
            found[reason] = found.get(reason, 0) + many
    return found


def _texts_behind(webinar: Webinar, seen: Seen) -> Iterator[Json]:
    """The webinar's texts whose file is not sound: held, or behind, with the last sound revision going out."""
    for key in sorted(seen.texts.problems):
        if uses(webinar, key) and (problems := seen.texts.problems_with(webinar, key)):
            yield {
                "message": key[0],
                "language": key[1],
                "state": "held" if seen.texts.waits(webinar, key) else "behind",
                "place": problems[0].place,
            }


def _matters(webinar: Json) -> bool:
    """Whether a service must run: mails are to be sent, or registrants may come."""
    return webinar["status"] == "live" and (not webinar["past"] or webinar["at_once"] + webinar["later"] > 0)


def _held_by_mistake(settings: Settings, webinar: Json) -> bool:
    """Whether mails are held, other than by ONLY_TO on purpose."""
    return any(reason != Why.CONFIG or not settings.only_to for reason in webinar["held"])
