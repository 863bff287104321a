"""Addresses are folded in another way, so what was stored folded is folded again.

Until now by casefold: x@straße.de and x@strasse.de were one, x@ｗｈｏ.int and x@who.int two. With `_fold` it is the
other way round. Only addresses beyond ASCII are concerned. No registration, delivery, attempt, UID or SEQUENCE is lost.

Registrations of one webinar that coincide: each that was written to goes on, for it has had its confirmation and stands
in somebody's calendar. The others, of which nobody has heard, give way to those, or to the first where nobody was
written to: they are gone since 1970, so that no row becomes them again and their confirmation never goes out. Their
rows of `registrants` are looked at again, and set aside for sharing an address while the other row is there.

Rows that part: every row set aside is looked at again, so the one that shared another's address becomes a registration.

Suppressions: of two that coincide the earlier one counts. Where one parts, nobody can tell which address was meant: all
that we know of are suppressed. `confirmed_elsewhere` likewise.

Accounts of editors: of two that coincide the one that was set last stays. Browsers of those concerned are signed out.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from string import ascii_lowercase, ascii_uppercase
from typing import Any

import idna
from alembic import op
from sqlalchemy import Connection, Row, text

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

BATCH = 5000
BEYOND_ASCII = {
    "sqlite": "length(CAST({0} AS BLOB)) <> length(CAST({0} AS TEXT))",
    "postgresql": "octet_length({0}) <> char_length({0})",
}
LONG_AGO = {
    "sqlite": "'1970-01-01 00:00:00.000000'",
    "postgresql": "TIMESTAMP WITH TIME ZONE '1970-01-01 00:00:00+00'",
}
WRITTEN_TO = """EXISTS (
    SELECT 1 FROM delivery d LEFT JOIN attempt a ON a.delivery_id = d.id WHERE d.registration_id = r.id
    AND (d.state IN ('sending', 'sent', 'in_doubt') OR d.state = 'held' AND d.reason = 'doubt'
         OR a.outcome IN ('', 'sent', 'in_doubt'))
)"""


def upgrade() -> None:
    conn = op.get_bind()
    if conn.dialect.name == "postgresql":  # nobody plans meanwhile
        conn.exec_driver_sql("SELECT pg_advisory_xact_lock(hashtext('webinar-scheduler planning'))")
    before = _fold_registrations(conn)
    _let_coinciding_ones_give_way(conn, before)
    _fold_suppressions(conn)
    _fold_confirmed_elsewhere(conn)
    _fold_accounts(conn)
    _look_again(conn)


def _fold(address: str) -> str:
    """As `scheduler.input.addresses.fold` was when this migration was written: a migration never changes."""
    local, at, domain = address.strip().rpartition("@")
    return f"{local.lower()}{at}{_folded_domain(domain)}"


@lru_cache(maxsize=4096)
def _folded_domain(domain: str) -> str:
    if not domain.isascii() and len(domain) <= 254:
        try:
            return idna.encode(domain, uts46=True).decode("ascii")
        except UnicodeError:
            pass
    return domain.translate(str.maketrans(ascii_uppercase, ascii_lowercase))


def _folded_before(address: str) -> str:
    return address.strip().casefold()


def _fold_registrations(conn: Connection) -> dict[int, str]:
    """Returns the folded form that each registration had, if it has another one now."""
    before: dict[int, str] = {}
    for rows in _beyond_ascii(conn, "registration", "address", "address_folded"):
        folded = {row.id: _fold(row.address) for row in rows}
        moved = {row.id: row.address_folded for row in rows if row.address_folded != folded[row.id]}
        before |= moved
        _execute(
            conn,
            "UPDATE registration SET address_folded = :folded, replan = TRUE WHERE id = :id",
            [{"id": moved_id, "folded": folded[moved_id]} for moved_id in moved],
        )
    return before


def _let_coinciding_ones_give_way(conn: Connection, before: dict[int, str]) -> None:
    beyond = BEYOND_ASCII[conn.dialect.name].format("address")
    shared = conn.execute(
        text(
            "SELECT webinar, address_folded FROM registration GROUP BY webinar, address_folded"
            f" HAVING count(*) > 1 AND sum(CASE WHEN {beyond} THEN 1 ELSE 0 END) > 0"
        )
    ).all()
    members = text(
        f"SELECT id, registrant_id, address_folded, gone_at, {WRITTEN_TO} AS written_to FROM registration r"
        " WHERE webinar = :webinar AND address_folded = :address_folded ORDER BY id"
    )
    give_way: list[dict[str, Any]] = []
    for one in shared:
        people = conn.execute(members, one._asdict()).all()
        if len({before.get(person.id, person.address_folded) for person in people}) > 1:
            give_way += [{"id": person.id, "row": person.registrant_id} for person in _who_gives_way(people)]
    rows = [one for one in give_way if one["row"] is not None]
    _execute(conn, "INSERT INTO registrant_change (registrant_id) VALUES (:row)", rows)
    _execute(
        conn,
        f"UPDATE registration SET registrant_id = NULL, gone_at = {LONG_AGO[conn.dialect.name]}, replan = TRUE"
        " WHERE id = :id",
        give_way,
    )


def _who_gives_way(people: Sequence[Row[Any]]) -> list[Row[Any]]:
    here = [person for person in people if person.gone_at is None] or people
    stay = [person for person in people if person.written_to] or here[:1]
    return [person for person in people if person not in stay]


def _fold_suppressions(conn: Connection) -> None:
    before = conn.execute(text("SELECT address_folded, since FROM suppression"))
    since = {row.address_folded: row.since for row in before}
    meant = {folded: {_fold(folded)} for folded in since}
    for table, column in (("registration", "address"), ("registrants", "email"), ("attempt", "address")):
        for rows in _beyond_ascii(conn, table, column) if meant else ():
            for row in rows:
                if (folded := _folded_before(row.address)) in meant:
                    meant[folded].add(_fold(row.address))
    now: dict[str, Any] = {}
    for folded, forms in meant.items():
        now |= {form: min(since[folded], now.get(form, since[folded])) for form in forms}
    _execute(
        conn,
        "DELETE FROM suppression WHERE address_folded = :folded",
        [{"folded": folded} for folded in since if now.get(folded) != since[folded]],
    )
    new = [{"folded": folded, "since": when} for folded, when in now.items() if since.get(folded) != when]
    _execute(conn, "INSERT INTO suppression (address_folded, since) VALUES (:folded, :since)", new)
    _plan_again(conn, [one["folded"] for one in new])


def _fold_confirmed_elsewhere(conn: Connection) -> None:
    rows = conn.execute(text("SELECT webinar, address_folded FROM confirmed_elsewhere"))
    before = {(row.webinar, row.address_folded) for row in rows}
    now = {(webinar, _fold(folded)) for webinar, folded in before}
    for table, column in (("registration", "address"), ("registrants", "email")):
        for batch in _beyond_ascii(conn, table, column, "webinar") if before else ():
            now |= {
                (webinar, _fold(row.address))
                for row in batch
                if ((webinar := str(row.webinar).strip()), _folded_before(row.address)) in before
            }
    delete = "DELETE FROM confirmed_elsewhere WHERE webinar = :webinar AND address_folded = :folded"
    add = "INSERT INTO confirmed_elsewhere (webinar, address_folded) VALUES (:webinar, :folded)"
    for sql, keys in ((delete, before - now), (add, now - before)):
        _execute(conn, sql, [{"webinar": webinar, "folded": folded} for webinar, folded in keys])
    _plan_again(conn, sorted({folded for _, folded in now - before}))


def _fold_accounts(conn: Connection) -> None:
    addresses = conn.execute(text("SELECT address FROM account ORDER BY since")).scalars().all()
    last = {_fold(address): address for address in addresses}
    lost = [{"address": address} for address in addresses if last[_fold(address)] != address]
    moved = [{"address": old, "folded": new} for new, old in last.items() if new != old]
    _execute(conn, "DELETE FROM web_session WHERE address = :address", [*lost, *moved])
    _execute(conn, "DELETE FROM account WHERE address = :address", lost)
    _execute(conn, "UPDATE account SET address = :folded WHERE address = :address", moved)


def _look_again(conn: Connection) -> None:
    """At rows set aside, and at those with quotation marks in their address, which may be set aside now."""
    for rows in ("row_set_aside", "registration WHERE registrant_id IS NOT NULL AND address LIKE '\"%'"):
        conn.execute(text(f"INSERT INTO registrant_change (registrant_id) SELECT registrant_id FROM {rows}"))


def _beyond_ascii(conn: Connection, table: str, column: str, *others: str) -> Iterator[Sequence[Row[Any]]]:
    """The rows whose address is not ASCII, in batches: id, address and other columns."""
    names = ", ".join(("id", f"CAST({column} AS TEXT) AS address", *others))
    query = text(
        f"SELECT {names} FROM {table} WHERE id > :last AND {BEYOND_ASCII[conn.dialect.name].format(column)}"
        f" ORDER BY id LIMIT {BATCH}"
    )
    last = -(2**63)
    while rows := conn.execute(query, {"last": last}).all():
        yield rows
        last = rows[-1].id


def _plan_again(conn: Connection, folded: Sequence[str]) -> None:
    """Whoever has these addresses, as what was just written about them may concern what is planned."""
    for first in range(0, len(folded), BATCH):
        chosen = {f"a{number}": one for number, one in enumerate(folded[first : first + BATCH])}
        names = ", ".join(f":{name}" for name in chosen)
        conn.execute(text(f"UPDATE registration SET replan = TRUE WHERE address_folded IN ({names})"), chosen)


def _execute(conn: Connection, sql: str, rows: Iterable[dict[str, Any]]) -> None:
    if rows := list(rows):
        conn.execute(text(sql), rows)
