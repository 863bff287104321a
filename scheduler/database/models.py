"""All tables. `registrants` belongs to the systems that register people; all others belong to this program.

No foreign key refers to `registrants`: a DELETE there is never blocked and never cascades. Ids are never used twice
(AUTOINCREMENT on SQLite, identity columns on PostgreSQL).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BigInteger, DateTime, Dialect, Index, Integer, LargeBinary, String, Table, Text, text
from sqlalchemy.types import TypeDecorator, TypeEngine
from sqlmodel import Field, SQLModel


class Instant(TypeDecorator[datetime]):
    """An aware datetime in UTC: timestamptz on PostgreSQL, sortable ISO text on SQLite.

    Raises ValueError for a naive datetime, which might be a wall time.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("an instant needs a time zone")
        value = value.astimezone(UTC)
        return value if dialect.name == "postgresql" else value.replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def table(model: type[SQLModel]) -> Table:
    """The table of a model."""
    found: Table = model.__table__  # type: ignore[attr-defined]
    return found


Id: TypeEngine[int] = BigInteger().with_variant(Integer(), "sqlite")


def _id() -> Any:
    return Field(default=None, primary_key=True, sa_type=Id)


def _number(nullable: bool = False) -> Any:
    return Field(default=None, sa_type=Id, nullable=nullable)


def _instant(nullable: bool = False, **kwargs: Any) -> Any:
    return Field(default=None, sa_type=Instant, nullable=nullable, **kwargs)


def _text(default: str = "", **kwargs: Any) -> Any:
    return Field(default=default, sa_type=Text, sa_column_kwargs={"server_default": default}, **kwargs)


def _partial(name: str, *columns: str, where: str) -> Index:
    return Index(name, *columns, sqlite_where=text(where), postgresql_where=text(where))


FREE = "state = 'pending' AND lease_token IS NULL"
"""SQL condition: a delivery can be claimed once it is due. Partial indexes use it word for word."""

_AUTOINCREMENT: dict[str, Any] = {"sqlite_autoincrement": True}


class Registrant(SQLModel, table=True):
    """A registrant. Any registration system may INSERT, UPDATE or DELETE here with plain SQL.

    Read it column by column as text (`registrants.rows`), never as this class: one bad date in one row would make a
    whole query fail.
    """

    __tablename__ = "registrants"
    __table_args__ = (
        Index("registrants_one_address", "webinar", text("lower(email)"), unique=True),
        _AUTOINCREMENT,
    )

    id: int | None = _id()
    webinar: str = Field(sa_type=Text)
    email: str = Field(sa_type=Text)
    name: str | None = Field(default=None, sa_type=Text)
    language: str | None = Field(default=None, sa_type=Text)
    timezone: str | None = Field(default=None, sa_type=Text)
    country: str | None = Field(default=None, sa_type=Text)
    join_url: str | None = Field(default=None, sa_type=Text)
    registered_at: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))
    withdrawn_at: datetime | None = Field(
        default=None, sa_type=DateTime(timezone=True)
    )  # this program writes it


class RegistrantChange(SQLModel, table=True):
    """A change of `registrants`, written by triggers; deleted in the transaction that absorbs the row.

    webinar: the beginning of the row's value, or "" if it is not known. operation: I(nsert), U(pdate), D(elete), R
    (perhaps replaced by an INSERT or UPDATE), '' (not recorded), T (TRUNCATE on PostgreSQL; registrant_id is NULL and
    all rows must be checked).
    """

    __tablename__ = "registrant_change"
    __table_args__ = (Index("registrant_change_webinar", "webinar"), _AUTOINCREMENT)

    id: int | None = _id()
    registrant_id: int | None = _number(nullable=True)
    operation: str = Field(default="", sa_type=String(1), sa_column_kwargs={"server_default": ""})
    webinar: str = Field(default="", sa_type=Text, sa_column_kwargs={"server_default": ""})


class RowSetAside(SQLModel, table=True):
    """A row of `registrants` that can't be used, and why. The reason never quotes what the row holds."""

    __tablename__ = "row_set_aside"
    __table_args__ = (Index("row_set_aside_webinar", "webinar"),)

    registrant_id: int = Field(primary_key=True, sa_type=Id, sa_column_kwargs={"autoincrement": False})
    webinar: str = _text()
    reason: str = _text()
    seen_at: datetime = _instant()


class Registration(SQLModel, table=True):
    """A person of a webinar, derived from a registrant's row and kept through nightly reloads.

    registrant_id: the row of `registrants`, or of `signup` (`registrants.rows.HERE`). key: 40 hexadecimal digits, which
    name and prove the registration in the addresses of its pages: the first 8 find it, the other 32 (128 bits) are
    secret.
    plan: the plan of the webinar by which this person was last planned; 0 if something about the person changed since.
    Mails are sent only to people who are planned by the webinar's present plan.
    """

    __tablename__ = "registration"
    __table_args__ = (
        Index("registration_row", "registrant_id"),
        Index("registration_address", "address_folded", "webinar"),
        Index("registration_plan", "webinar", "plan"),
        _partial("registration_waits", "webinar", where="plan = 0"),
        _partial("registration_link", "link_until", where="link_until IS NOT NULL"),
        Index("registration_zone", "webinar", "zone"),
        Index("registration_key", text("substr(key, 1, 8)")),
        _AUTOINCREMENT,
    )

    id: int | None = _id()
    webinar: str = _text()
    registrant_id: int | None = _number(nullable=True)
    address: str = _text()
    address_folded: str = _text()
    uid: str = _text()  # the invitation's UID, kept for life; a new address gets a new one
    name: str = _text()
    language: str = _text()
    timezone: str = _text()
    country: str = _text()
    zone: str = _text()
    zone_known_by: str = _text()
    join_url: str = _text()
    first_seen_at: datetime = _instant()
    gone_at: datetime | None = _instant(nullable=True)
    plan: int = Field(default=0, sa_type=Id, sa_column_kwargs={"server_default": text("0")})
    link_since: datetime | None = _instant(nullable=True)  # when the person's own link began to change
    link_until: datetime | None = _instant(nullable=True)  # until when the notice of that waits
    key: str = _text()


class ZoneEvidence(SQLModel, table=True):
    """The zone resolved from one pair of timezone and country, as written, for one webinar."""

    __tablename__ = "zone_evidence"

    webinar: str = Field(primary_key=True, sa_type=Text)
    timezone: str = Field(primary_key=True, sa_type=Text)
    country: str = Field(primary_key=True, sa_type=Text)
    zone: str = _text()
    known_by: str = _text()
    problem: str = _text()


class DueTime(SQLModel, table=True):
    """When one message of one webinar is due in one zone. due_at NULL: at once, on registration."""

    __tablename__ = "due_time"

    webinar: str = Field(primary_key=True, sa_type=Text)
    message: str = Field(primary_key=True, sa_type=Text)
    zone: str = Field(primary_key=True, sa_type=Text)
    due_at: datetime | None = _instant(nullable=True)
    expires_at: datetime = _instant()
    never: str = _text()


class GoverningWebinar(SQLModel, table=True):
    """The revision of a webinar that governs, and the facts in it that people are told.

    status: draft, live, or ended. version: set to one more than the highest in the table with each write, so the
    highest version shows whether anything changed. forwards: join_url is the beginning of a link of ours, which the key
    of a registration completes and which forwards to the link of the moment. plan: number of changes that planning must
    follow; fingerprint: a hash of what planning reads; behind: whether people may be planned by an earlier plan.
    waiting_id: the revision that takes effect at takes_effect_at unless the edit is undone; waiting_since: the time of
    the first edit. keep_days: days for which personal data is kept after the end (`ledger.retention`).
    """

    __tablename__ = "webinar"
    __table_args__ = (
        Index("webinar_version", "version"),
        _partial("webinar_takes_effect", "takes_effect_at", where="takes_effect_at IS NOT NULL"),
        _partial("webinar_ends", "ends_at", where="status <> 'ended'"),
        _partial("webinar_live", "webinar", where="status = 'live'"),
        _partial("webinar_behind", "webinar", where="behind"),
    )

    webinar: str = Field(primary_key=True, sa_type=Text)
    revision_id: int = _number()
    plan: int = _number()
    fingerprint: str = _text()
    starts_at: datetime = _instant()
    ends_at: datetime = _instant()
    join_url: str = _text()
    forwards: bool = Field(default=False, sa_column_kwargs={"server_default": text("FALSE")})
    cancelled: bool = False
    status: str = _text()
    keep_days: int = Field(default=90, sa_column_kwargs={"server_default": text("90")})
    version: int = Field(default=0, sa_type=Id, sa_column_kwargs={"server_default": text("0")})
    behind: bool = Field(default=True, sa_column_kwargs={"server_default": text("TRUE")})
    waiting_id: int | None = _number(nullable=True)
    waiting_since: datetime | None = _instant(nullable=True)
    takes_effect_at: datetime | None = _instant(nullable=True)


class PlannedWebinar(SQLModel, table=True):
    """The plan for which due times and zones of a webinar are up to date, and the facts they were computed from."""

    __tablename__ = "planned_webinar"

    webinar: str = Field(primary_key=True, sa_type=Text)
    plan: int = Field(default=0, sa_type=Id, sa_column_kwargs={"server_default": text("0")})
    tz_version: str = _text()
    zone: str = _text()
    starts_at: datetime = _instant()
    ends_at: datetime = _instant()


class PlannedMessage(SQLModel, table=True):
    """A message that is, or was, in a webinar's sequence.

    on_registration: it is, or once was, due on registration, for people first seen from only_seen_from on.
    """

    __tablename__ = "planned_message"

    webinar: str = Field(primary_key=True, sa_type=Text)
    message: str = Field(primary_key=True, sa_type=Text)
    only_seen_from: datetime | None = _instant(nullable=True)
    on_registration: bool = False
    in_sequence: bool = True


class Delivery(SQLModel, table=True):
    """The ledger: one message for one registration, in one edition."""

    __tablename__ = "delivery"
    __table_args__ = (
        Index("delivery_once", "registration_id", "message", "edition", unique=True),
        _partial("delivery_pending", "webinar", "urgency", "next_attempt_at", where=FREE),
        _partial("delivery_due", "urgency", "next_attempt_at", where=FREE),
        _partial("delivery_expiring", "expires_at", where="state IN ('pending', 'held')"),
        _partial("delivery_leased", "lease_token", where="lease_token IS NOT NULL"),
        _partial("delivery_unsettled", "state", where="state IN ('sending', 'in_doubt', 'held')"),
        Index("delivery_message", "webinar", "message"),
        _AUTOINCREMENT,
    )

    id: int | None = _id()
    registration_id: int = _number()
    webinar: str = _text()
    message: str = _text()
    edition: int = 0
    state: str = Field(sa_type=String(10))
    reason: str = _text()
    urgency: int = 1
    due_at: datetime = _instant()
    expires_at: datetime = _instant()
    next_attempt_at: datetime = _instant()
    attempts: int = 0
    lease_token: str | None = Field(default=None, sa_type=String(32))
    message_id: str = _text()  # for life, so that a receiver can drop a second copy
    sent_at: datetime | None = _instant(nullable=True)
    planned_at: datetime = _instant()
    for_start: datetime | None = _instant(nullable=True)  # the webinar's start when it was planned or sent
    for_end: datetime | None = _instant(nullable=True)  # change notices only: the end and link that they tell
    for_link: str = _text()
    asked_by: str = _text()  # registrant or organizer: the edition was asked for deliberately


class LedgerIdentity(SQLModel, table=True):
    """The identity of this ledger, the same in all its backups. One row.

    restorations: how often a set-back to an earlier state was noticed. hold_planned: whether deliveries due once
    everybody is planned are to be held, too (`ledger.restored`).
    """

    __tablename__ = "ledger"

    identity: str = Field(primary_key=True, sa_type=Text)
    restorations: int = Field(default=0, sa_type=Id, sa_column_kwargs={"server_default": text("0")})
    hold_planned: bool = Field(default=False, sa_column_kwargs={"server_default": text("FALSE")})


class Attempt(SQLModel, table=True):
    """One attempt of a delivery at a relay, with the relay's reply. outcome is '' while it is under way."""

    __tablename__ = "attempt"
    __table_args__ = (
        Index("attempt_delivery", "delivery_id"),
        _AUTOINCREMENT,
    )

    id: int | None = _id()
    delivery_id: int = _number()
    lease_token: str = _text()
    relay: str = _text()
    address: str = _text()
    language: str = _text()
    text_revision: int = _number()
    started_at: datetime = _instant()
    ended_at: datetime | None = _instant(nullable=True)
    outcome: str = _text()
    stage: str = _text()
    code: int = 0
    enhanced: str = _text()
    reply: str = _text()


class Invitation(SQLModel, table=True):
    """One version of a registration's calendar entry. A retry sends the same bytes."""

    __tablename__ = "invitation"
    __table_args__ = (Index("invitation_version", "uid", "sequence", unique=True), _AUTOINCREMENT)

    id: int | None = _id()
    registration_id: int = _number()
    uid: str = _text()
    sequence: int = 0
    method: str = _text()
    dtstamp: datetime = _instant()
    says: str = _text()  # hash of the entry's facts; an equal hash needs no new version
    calendar: bytes = Field(sa_type=LargeBinary)


class Told(SQLModel, table=True):
    """The facts that the holder of a UID was told: by the last mail that a relay accepted (the last with an invitation,
    if there was one), and by later mails under way or in doubt. starts_at NULL: cancelled, or not known."""

    __tablename__ = "told"
    __table_args__ = (Index("told_uid", "uid"), _AUTOINCREMENT)

    id: int | None = _id()
    uid: str = _text()
    delivery_id: int = _number()
    lease_token: str = _text()
    starts_at: datetime | None = _instant(nullable=True)
    ends_at: datetime | None = _instant(nullable=True)
    join_url: str = _text()
    cancelled: bool = False
    invited: bool = False  # the mail carried an invitation
    accepted: bool = False  # by a relay; until then the mail is under way or in doubt


class WebinarRevision(SQLModel, table=True):
    """A sound revision of a webinar's file; table `webinar` says which one governs."""

    __tablename__ = "webinar_revision"
    __table_args__ = (Index("webinar_revision_newest", "webinar", "id"), _AUTOINCREMENT)

    id: int | None = _id()
    webinar: str = _text()
    file: str = _text()
    sha256: str = _text()
    source: str = _text()
    sound_since: datetime = _instant()


class TextRevision(SQLModel, table=True):
    """A revision of a text that governs or governed. The newest of a message and language goes out."""

    __tablename__ = "text_revision"
    __table_args__ = (Index("text_revision_newest", "message", "language", "id"), _AUTOINCREMENT)

    id: int | None = _id()
    message: str = _text()
    language: str = _text()
    sha256: str = _text()
    source: str = _text()
    sound_since: datetime = _instant()


class Verdict(SQLModel, table=True):
    """The result of a text's trial, by a digest of its inputs. problems: a JSON array; "[]" means sound."""

    __tablename__ = "verdict"

    digest: str = Field(primary_key=True, sa_type=Text)
    problems: str = _text()
    tried_at: datetime = _instant()


class TextEdit(SQLModel, table=True):
    """A text as saved in the editor, sound or not: who, when and why. Only the files count."""

    __tablename__ = "text_edit"
    __table_args__ = (Index("text_edit_newest", "message", "language", "id"), _AUTOINCREMENT)

    id: int | None = _id()
    message: str = _text()
    language: str = _text()
    sha256: str = _text()
    source: str = _text()
    saved_by: str = _text()
    saved_at: datetime = _instant()
    note: str = _text()


class Outbox(SQLModel, table=True):
    """A mail that is not a delivery, such as a test of a text, until it is sent.

    next_try_at: before that it is not tried; NULL: it is tried once.
    """

    __table_args__ = (
        _partial("outbox_waiting", "id", where="taken_at IS NULL"),
        Index("outbox_recipient", "recipient", "asked_at"),
        _AUTOINCREMENT,
    )

    id: int | None = _id()
    recipient: str = _text()
    sender: str = _text()
    content: str = _text()
    asked_at: datetime = _instant()
    useful_until: datetime | None = _instant(nullable=True)  # never NULL; SQLite adds no such column
    next_try_at: datetime | None = _instant(nullable=True)
    taken_at: datetime | None = _instant(nullable=True)
    done_at: datetime | None = _instant(nullable=True)
    refusal: str = _text()


class Account(SQLModel, table=True):
    """Somebody who may sign in to the editor; `role` is edit or view."""

    __tablename__ = "account"

    address: str = Field(primary_key=True, sa_type=Text)
    password_hash: str = _text()
    role: str = _text()
    since: datetime = _instant()


class WebSession(SQLModel, table=True):
    """A browser that is signed in. Its token is in its cookie alone; here is the token's hash."""

    __tablename__ = "web_session"
    __table_args__ = (Index("web_session_address", "address"),)

    token_sha256: str = Field(primary_key=True, sa_type=Text)
    address: str = _text()
    until: datetime = _instant()


class Suppression(SQLModel, table=True):
    """An address to which nothing is sent any more (webinar ''), or nothing of one webinar but the notice that it is
    moved or cancelled. For a forgotten person, table `forgotten` has this instead.

    source: organizer, page (the registrant's own), or one-click (RFC 8058).
    """

    __tablename__ = "suppression"

    address_folded: str = Field(primary_key=True, sa_type=Text)
    webinar: str = Field(primary_key=True, sa_type=Text, sa_column_kwargs={"server_default": ""})
    source: str = _text()
    since: datetime = _instant()


class Choice(SQLModel, table=True):
    """What a registrant chose on their page. It outlives reloads of `registrants`.

    zone, language: '' where nothing was chosen. zone_over, language_over: the value of the row's column at that moment;
    the choice outranks the column until the row's value differs. withdrawn_at: since when they do not come, NULL if
    they do.
    """

    __tablename__ = "choice"

    webinar: str = Field(primary_key=True, sa_type=Text)
    address_folded: str = Field(primary_key=True, sa_type=Text)
    zone: str = _text()
    zone_over: str = _text()
    language: str = _text()
    language_over: str = _text()
    withdrawn_at: datetime | None = _instant(nullable=True)
    changed_at: datetime = _instant()


class Unwanted(SQLModel, table=True):
    """A message of a webinar's sequence that a registrant does not want."""

    __tablename__ = "unwanted"

    webinar: str = Field(primary_key=True, sa_type=Text)
    address_folded: str = Field(primary_key=True, sa_type=Text)
    message: str = Field(primary_key=True, sa_type=Text)


class Signup(SQLModel, table=True):
    """A person who registered by our form or API: as a row of `registrants`, but nobody else writes here.

    source: form, or api and the name of the key. state: unconfirmed (the address does not count yet), waiting (for a
    place) or registered. answers: a JSON object, by the question's id. consent: the words that they agreed to.
    """

    __tablename__ = "signup"
    __table_args__ = (
        Index("signup_one_address", "webinar", "address_folded", unique=True),
        Index("signup_address", "address_folded"),
        Index("signup_order", "webinar", "id"),
        _partial("signup_waiting", "webinar", "id", where="state = 'waiting'"),
        _partial("signup_unconfirmed", "updated_at", where="state = 'unconfirmed'"),
        _AUTOINCREMENT,
    )

    id: int | None = _id()
    webinar: str = _text()
    address: str = _text()
    address_folded: str = _text()
    name: str = _text()
    language: str = _text()
    timezone: str = _text()
    country: str = _text()
    organization: str = _text()
    join_url: str = _text()
    answers: str = _text("{}")
    consent: str = _text()
    source: str = _text()
    state: str = _text("registered")
    created_at: datetime = _instant()
    updated_at: datetime = _instant()


class MailedLink(SQLModel, table=True):
    """A link that was mailed to an address, so that whoever opens it reads there. Its token is in the mail alone.

    purpose: data (what is held about the address, and forgetting), or confirm or waiting (a row of `signup`, to let it
    count or to leave the waiting list). subject_id: the registration or row, which may have another address by now.
    """

    __tablename__ = "mailed_link"
    __table_args__ = (
        Index("mailed_link_subject", "subject_id", "purpose"),
        Index("mailed_link_until", "until"),
        Index("mailed_link_address", "address_folded"),
    )

    token_sha256: str = Field(primary_key=True, sa_type=Text)
    purpose: str = _text()
    subject_id: int = _number()
    address_folded: str = _text()
    until: datetime = _instant()


class ApiKey(SQLModel, table=True):
    """A key of a system that registers people of one webinar over the API. The system alone has its token."""

    __tablename__ = "api_key"

    name: str = Field(primary_key=True, sa_type=Text)
    webinar: str = _text()
    token_sha256: str = _text()
    since: datetime = _instant()


class ConfirmedElsewhere(SQLModel, table=True):
    """A person whom another system has already confirmed (`webinar import --already-confirmed`)."""

    __tablename__ = "confirmed_elsewhere"

    webinar: str = Field(primary_key=True, sa_type=Text)
    address_folded: str = Field(primary_key=True, sa_type=Text)


class Secret(SQLModel, table=True):
    """A secret of this database. "forgotten": the key of the digests in table `forgotten`; "form": the key by which
    registration forms are stamped."""

    __tablename__ = "secret"

    name: str = Field(primary_key=True, sa_type=Text)
    value: str = _text()


class Forgotten(SQLModel, table=True):
    """A keyed digest of a forgotten person, or of one of their webinars (`registrants.forgotten`), by which their rows
    in `registrants` are recognized and passed over.

    suppressed: whether the address stays suppressed, whatever it registers for. returned_at: since when the person is
    known to have registered for this webinar again.
    """

    __tablename__ = "forgotten"

    digest: str = Field(primary_key=True, sa_type=Text)
    since: datetime = _instant()
    suppressed: bool = Field(default=False, sa_column_kwargs={"server_default": text("FALSE")})
    returned_at: datetime | None = _instant(nullable=True)


class FormerUid(SQLModel, table=True):
    """A UID that a registration had before its address was corrected: the key of its rows in invitation and told."""

    __tablename__ = "former_uid"
    __table_args__ = (Index("former_uid_registration", "registration_id"),)

    uid: str = Field(primary_key=True, sa_type=Text)
    registration_id: int = _number()


class Purge(SQLModel, table=True):
    """The removal of a webinar's personal data (`ledger.retention`).

    not_before: the earliest removal after an upgrade. announced_at, purge_at: when organizers were notified, and the
    time announced; NULL until then. begun_at, purged_at: when the removal began and ended. people: the number of
    registrations removed.
    """

    __tablename__ = "purge"

    webinar: str = Field(primary_key=True, sa_type=Text)
    not_before: datetime | None = _instant(nullable=True)
    announced_at: datetime | None = _instant(nullable=True)
    purge_at: datetime | None = _instant(nullable=True)
    begun_at: datetime | None = _instant(nullable=True)
    purged_at: datetime | None = _instant(nullable=True)
    people: int = Field(default=0, sa_type=Id, sa_column_kwargs={"server_default": text("0")})


class PulledSource(SQLModel, table=True):
    """The state of a webinar's [source] (`registrants.sources`).

    salt: salt of the digests in source_row. run: the pull that may write; attempted_at: when it began. read_at: when
    the source was last read and followed; gone_through_at: when it was last compared row by row. seen, followed:
    digests of the content read last, and of the content followed completely. people: the number of people when nothing
    was doubtful. nobodys: the number of known rows that name nobody. note: further information; trouble: why it is not
    followed now, since when, and for how many reads in a row.
    """

    __tablename__ = "source"

    webinar: str = Field(primary_key=True, sa_type=Text)
    salt: str = _text()
    run: str = _text()
    attempted_at: datetime = _instant()
    read_at: datetime | None = _instant(nullable=True)
    gone_through_at: datetime | None = _instant(nullable=True)
    seen: str = _text()
    followed: str = _text()
    people: int = Field(default=0, sa_type=Id, sa_column_kwargs={"server_default": text("0")})
    nobodys: int = Field(default=0, sa_type=Id, sa_column_kwargs={"server_default": text("0")})
    note: str = _text()
    trouble: str = _text()
    trouble_since: datetime | None = _instant(nullable=True)
    failures: int = Field(default=0, sa_type=Id, sa_column_kwargs={"server_default": text("0")})


class SourceRow(SQLModel, table=True):
    """A person in a webinar's source, as salted digests of the address and of the values.

    filled: a bit for each value that is not empty. registrant_id: the row of `registrants`; inserted: whether the
    source inserted that row, and so may delete it.
    """

    __tablename__ = "source_row"

    webinar: str = Field(primary_key=True, sa_type=Text)
    person: str = Field(primary_key=True, sa_type=Text)
    said: str = _text()
    filled: int = Field(default=0, sa_column_kwargs={"server_default": text("0")})
    registrant_id: int = _number()
    inserted: bool = Field(default=True, sa_column_kwargs={"server_default": text("TRUE")})


class Tally(SQLModel, table=True):
    """The number of deleted deliveries of a webinar by message, state and reason."""

    __tablename__ = "tally"

    webinar: str = Field(primary_key=True, sa_type=Text)
    message: str = Field(primary_key=True, sa_type=Text)
    state: str = Field(primary_key=True, sa_type=Text)
    reason: str = Field(primary_key=True, sa_type=Text)
    n: int = Field(default=0, sa_type=Id, sa_column_kwargs={"server_default": text("0")})


class Alert(SQLModel, table=True):
    """A problem that a person must fix. Mails report when it begins, when it changes, and when it is resolved."""

    __tablename__ = "alert"

    key: str = Field(primary_key=True, sa_type=Text)
    alert_to: str = Field(primary_key=True, sa_type=Text)
    words: str = _text()
    raised_at: datetime = _instant()
    told_at: datetime | None = _instant(nullable=True)
    told_words: str | None = Field(default=None, sa_type=Text)  # None: by an earlier version
    cleared_at: datetime | None = _instant(nullable=True)


class RelayPace(SQLModel, table=True):
    """When the next mail may begin at one relay, for all replicas (`delivery.rate`). Times are seconds since 1970 by
    the server's clock, rates are mails a second; hours is a JSON object of the number of mails by hour since 1970."""

    __tablename__ = "relay_pace"

    relay: str = Field(primary_key=True, sa_type=Text)  # and account
    next_turn: float
    slowed_to: float | None = None
    climbs_to: float
    recent: float
    recent_at: float
    changed_at: float
    hours: str = Field(sa_type=Text)


class FileSeen(SQLModel, table=True):
    """Sound content that a service's folder holds since `since`, or held until `until` (`governing.proposals`).

    gone: since when other services have not found this one.
    """

    __tablename__ = "file_seen"

    holder: int = Field(primary_key=True, sa_type=BigInteger)
    kind: str = Field(primary_key=True, sa_type=Text)  # webinar, text or layout
    name: str = Field(primary_key=True, sa_type=Text)
    sha256: str = _text()
    since: datetime = _instant()
    until: datetime | None = _instant(nullable=True)
    gone: datetime | None = _instant(nullable=True)


class LayoutRevision(SQLModel, table=True):
    """A sound revision of the layout with its pictures. The newest governs."""

    __tablename__ = "layout_revision"
    __table_args__ = (_AUTOINCREMENT,)

    id: int | None = _id()
    sha256: str = _text()
    source: str = _text()  # JSON: each file's content in base64, by its name
    sound_since: datetime = _instant()


class Service(SQLModel, table=True):
    """A service among several on PostgreSQL, from its start until another one has found that it is gone."""

    __tablename__ = "service"

    holder: int = Field(primary_key=True, sa_type=BigInteger)  # tokens of its leases begin with this number
    counter: int = Field(
        default=0, sa_type=BigInteger
    )  # incremented every few seconds, only by the service itself
    tz_version: str = _text()
    started_at: datetime = _instant()
