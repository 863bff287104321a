"""The table of states: as ARCHITECTURE.md has it, and as the ledger keeps to it, whatever happens and crashes."""

from __future__ import annotations

import re
import shutil
import tempfile
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlmodel import SQLModel

from scheduler.database.engine import Database
from scheduler.ledger import claims, outcomes, restored, settling
from scheduler.ledger.entries import Claimed, Outcome
from scheduler.ledger.refusals import MOST_GIVEN_UP
from scheduler.ledger.states import TRANSITIONS, State, Transition, Why
from scheduler.registrants.suppression import suppress
from tests.support import WRITTEN_BY_MIGRATIONS, Ledger, plan, start, utc, webinar

PEOPLE = ("a@x.org", "b@x.org", "c@x.org")
LATER: dict[str, Any] = {"start": datetime(2025, 7, 10, 13), "end": datetime(2025, 7, 10, 15)}
LONG_BEFORE: dict[str, Any] = {
    "sequence": '[[messages]]\nid = "reminder-day"\ndays_before = 20\nat = "09:00"\n'
}
STORIES = (
    "sent", "later", "doubt", "held", "fixed", "corrected", "unsure", "moved", "late", "too late", "deleted",
    "cancelled", "set back",
)  # fmt: skip
EDITS: tuple[dict[str, Any], ...] = (
    {},
    {"cancelled": True},
    {"on_doubt": "hold"},
    LATER,
    {"sequence": '[[messages]]\nid = "confirmation"\non_registration = true\n'},
    LONG_BEFORE,
)


def test_architecture_has_this_very_table() -> None:
    page = Path("ARCHITECTURE.md").read_text("utf-8")
    written = set()
    rows = re.findall(r"^\| (–|`[^|]*`) \| ([^|]*) \| `(\w+)` \|", page, re.MULTILINE)
    for befores, event, after in rows:
        for before in befores.replace("`", "").split(", "):
            written.add(Transition(None if before == "–" else State(before), event, State(after)))
    assert written == set(TRANSITIONS)


_MOVED = "CREATE TABLE IF NOT EXISTS moved (was TEXT, became TEXT)"
_NOTE = "INSERT INTO moved VALUES (OLD.state, NEW.state)"
_NOTE_NEW = "INSERT INTO moved VALUES (NULL, NEW.state)"
WATCH_SQLITE = (
    _MOVED,
    f"CREATE TRIGGER moved AFTER UPDATE ON delivery WHEN OLD.state <> NEW.state BEGIN {_NOTE}; END",
    f"CREATE TRIGGER planned AFTER INSERT ON delivery BEGIN {_NOTE_NEW}; END",
)
WATCH_POSTGRESQL = (
    _MOVED,
    f"CREATE OR REPLACE FUNCTION note_moved() RETURNS trigger LANGUAGE plpgsql AS"
    f" $$ BEGIN {_NOTE}; RETURN NULL; END $$",
    f"CREATE OR REPLACE FUNCTION note_new() RETURNS trigger LANGUAGE plpgsql AS"
    f" $$ BEGIN {_NOTE_NEW}; RETURN NULL; END $$",
    "CREATE OR REPLACE TRIGGER moved AFTER UPDATE ON delivery FOR EACH ROW"
    " WHEN (OLD.state <> NEW.state) EXECUTE FUNCTION note_moved()",
    "CREATE OR REPLACE TRIGGER planned AFTER INSERT ON delivery FOR EACH ROW EXECUTE FUNCTION note_new()",
)  # fmt: skip
ALLOWED = {(one.before, one.after) for one in TRANSITIONS}


class World(RuleBasedStateMachine):
    """One service's transactions in any order, and what others do meanwhile. A crash forgets all that is in memory."""

    template: ClassVar[Path]
    url: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        url = self.url or f"sqlite:///{self._folder.name}/webinar.db"
        if not self.url:
            shutil.copy(self.template, f"{self._folder.name}/webinar.db")
        self.database = Database(url)
        self.ledger = Ledger(self.database)
        self.now = utc("2025-06-20 08:00")
        self.claimed: list[Claimed] = []  # leased, by the service that is alive
        self.on_the_wire: list[Claimed] = []
        self.zombies: list[Claimed] = []  # of services that were killed, or lost their leases
        self.sent: set[int] = set()
        self.tokens = 0
        self.seen: set[tuple[State | None, State]] = set()

    @initialize()
    def watch(self) -> None:
        """Every change of a state is noted by the database itself."""
        for statement in WATCH_POSTGRESQL if self.url else WATCH_SQLITE:
            self.ledger.sql(statement)
        self.states: dict[int, str] = {}
        self.ledger.govern(webinar())
        for who in PEOPLE[:2]:
            self.register(who, "")
        self.tick()

    def teardown(self) -> None:
        if self.url:
            tables = ", ".join(
                table for table in SQLModel.metadata.tables if table not in WRITTEN_BY_MIGRATIONS
            )
            self.ledger.sql(f"TRUNCATE {tables}, moved CASCADE")
        self.database.close()
        self._folder.cleanup()

    def _states(self) -> dict[int, str]:
        return {row.id: row.state for row in self.ledger.sql("SELECT id, state FROM delivery")}

    def _step(self, function: Any, *args: Any) -> Any:
        """One transaction, whose changes of states are compared with the table."""
        with self.database.transaction() as conn:
            result = function(conn, *args)
        moved = {
            (row.was and State(row.was), State(row.became))
            for row in self.ledger.sql("DELETE FROM moved RETURNING *")
        }
        assert moved <= ALLOWED
        self.seen |= moved
        before, self.states = self.states, self._states()
        assert before.keys() <= self.states.keys(), "a delivery is gone"
        return result

    # Writes of others

    @rule(who=st.sampled_from(PEOPLE), zone=st.sampled_from(["", "Asia/Tokyo", "Pacific/Kiritimati"]))
    def register(self, who: str, zone: str) -> None:
        self.ledger.sql(
            "INSERT INTO registrants (webinar, email, timezone) VALUES ('w', :who, :zone) ON CONFLICT DO NOTHING",
            who=who, zone=zone,
        )  # fmt: skip

    @rule(who=st.sampled_from(PEOPLE), zone=st.sampled_from(["America/Lima", "Pacific/Pago_Pago"]))
    def move(self, who: str, zone: str) -> None:
        self.ledger.sql("UPDATE registrants SET timezone = :zone WHERE email = :who", who=who, zone=zone)

    @rule(who=st.sampled_from(PEOPLE))
    def correct(self, who: str) -> None:
        self.ledger.sql(
            "UPDATE registrants SET email = :new WHERE email = :who"
            " AND NOT EXISTS (SELECT 1 FROM registrants WHERE email = :new)",
            who=who,
            new=f"new-{who}",
        )

    @rule(who=st.sampled_from(PEOPLE))
    def delete(self, who: str) -> None:
        self.ledger.sql("DELETE FROM registrants WHERE email IN (:who, :new)", who=who, new=f"new-{who}")

    @rule(who=st.sampled_from(PEOPLE[:1]))
    def suppress(self, who: str) -> None:
        self._step(suppress, self.now, who)

    @rule(edit=st.sampled_from(EDITS))
    def edit(self, edit: dict[str, Any]) -> None:
        self.ledger.govern(webinar(**edit))

    @rule(hours=st.sampled_from([0.1, 1, 24, 24 * 8]))
    def time_passes(self, hours: float) -> None:
        self.now += timedelta(hours=hours)

    @rule()
    def the_next_moment_comes(self) -> None:
        """At which something is due, or its use is over."""
        with self.database.transaction() as conn:
            self.now = claims.next_wake(conn, self.now) or self.now

    # Steps of the service, a transaction each

    @rule()
    def tick(self) -> None:
        def settle_and_plan(conn: Any) -> bool:
            governing = self.ledger.revisions.governing(conn)
            settling.resolve_doubts(conn, self.now, {name: one.webinar for name, one in governing.items()})
            settling.expire(conn, self.now)
            return plan(conn, self.now, governing, timedelta(hours=24))

        while self._step(settle_and_plan):
            pass

    @rule(many=st.integers(1, 4))
    def claim(self, many: int) -> None:
        self.tokens += 1
        found = self._step(claims.claim, self.now, f"t{self.tokens}", many, many)
        assert all(self.states[one.id] == "pending" for one in found)
        assert not {one.id for one in found} & self.sent
        self.claimed += found

    @precondition(lambda self: self.claimed)
    @rule(data=st.data())
    def begin(self, data: st.DataObject) -> None:
        chosen = data.draw(st.lists(st.sampled_from(self.claimed), min_size=1, unique_by=lambda one: one.id))
        starts = [start(one, self.now) for one in chosen]
        begun = self._step(outcomes.begin, starts)
        assert not begun & self.sent, "what was sent is sent again"
        rows = {row["id"]: row for row in self.ledger.deliveries()}
        for one in begun:
            assert rows[one]["state"] == "sending"
            assert rows[one]["expires_at"] > self.now, "it is of no use any more"
        self.claimed = [one for one in self.claimed if one not in chosen]
        self.on_the_wire += [one for one in chosen if one.id in begun]

    @precondition(lambda self: self.on_the_wire)
    @rule(data=st.data(), what=st.sampled_from(["sent", "refused", "later", "trouble", "doubt"]))
    def conclude(self, data: st.DataObject, what: str) -> None:
        one = data.draw(st.sampled_from(self.on_the_wire))
        self.on_the_wire.remove(one)
        self._step(outcomes.conclude, [self._outcome(one, what)])
        if self.states[one.id] == "sent":
            self.sent.add(one.id)

    def _outcome(self, one: Claimed, what: str) -> Outcome:
        later = self.now + timedelta(minutes=5)
        return {
            "sent": Outcome(one, State.SENT, self.now, "sent"),
            "refused": Outcome(one, State.FAILED, self.now, "refused", "no such user"),
            "unknown": Outcome(
                one, State.FAILED, self.now, "refused", "refused: 550 5.1.1", None, True, "rcpt", 550, "5.1.1"
            ),
            "later": Outcome(one, State.PENDING, self.now, "deferred", "", later),
            "trouble": Outcome(one, State.PENDING, self.now, "deferred", "", later, counts=False),
            "doubt": Outcome(one, State.IN_DOUBT, self.now, "in_doubt", "lost", later),
            "held": Outcome(one, State.HELD, self.now, "not_sent", Why.TEMPLATE, counts=False),
        }[what]

    @precondition(lambda self: self.claimed)
    @rule(data=st.data())
    def hold(self, data: st.DataObject) -> None:
        one = data.draw(st.sampled_from(self.claimed))
        self.claimed.remove(one)
        self._step(outcomes.conclude, [self._outcome(one, "held")])

    @rule(what=st.sampled_from(["sent", "refused", "later", "doubt", "held"]))
    def all_that_is_due_meets_the_same(self, what: str) -> None:
        self.claim(12)
        for one in self.claimed:
            if what != "held":
                self._step(outcomes.begin, [start(one, self.now)])
            self._step(outcomes.conclude, [self._outcome(one, what)])
            if self.states[one.id] == "sent":
                self.sent.add(one.id)
        self.claimed = []

    @rule()
    def fix(self) -> None:
        self._step(
            settling.release_held,
            self.now,
            ["w"],
            ["confirmation", "reminder-day", "reminder-hour", "change"],
        )

    @rule(story=st.sampled_from(STORIES))
    def a_story(self, story: str) -> None:
        """A sequence that chance alone would seldom produce."""
        self.register(PEOPLE[1], "")
        self.tick()
        match story:
            case "sent" | "later" | "doubt" | "held":
                self.all_that_is_due_meets_the_same(story)
            case "fixed":
                self.all_that_is_due_meets_the_same("held")
                self.fix()
            case "corrected":
                self.all_that_is_due_meets_the_same("refused")
                self.the_next_moment_comes()
                self.all_that_is_due_meets_the_same("refused")
                for who in PEOPLE:
                    self.correct(who)
            case "unsure":
                self.edit({"on_doubt": "hold"})
                self.all_that_is_due_meets_the_same("doubt")
            case "moved":
                self.now = max(self.now, utc("2025-07-04 12:00"))
                self.tick()
                self.edit(LATER)
            case "late":
                self.now = max(self.now, utc("2025-07-03 08:00"))
                self.register(PEOPLE[2], "")
                self.tick()
                self.edit(LATER)
                self.tick()
                self.edit(LONG_BEFORE)
            case "too late":
                self.edit(LATER)
                self.tick()
                self.now = max(self.now, utc("2025-07-09 12:00"))
                self.all_that_is_due_meets_the_same("held")
                self.edit(LONG_BEFORE)
            case "deleted":
                self.all_that_is_due_meets_the_same("held")
                self.delete(PEOPLE[1])
                self.tick()
                self.register(PEOPLE[1], "")
            case "set back":
                self.all_that_is_due_meets_the_same("doubt")
                self.register(PEOPLE[2], "Asia/Tokyo")
                self.tick()
                self.claim(4)
                for one in self.claimed[:1]:
                    self._step(outcomes.begin, [start(one, self.now)])
                self.the_database_is_set_back()
                self.an_operator_decides(sent=True)
            case "cancelled":
                self.edit({"cancelled": True})
                self.tick()
                self.now = max(self.now, utc("2025-06-25 12:00"))
                self.edit(LONG_BEFORE)
        self.tick()

    @rule(strangers=st.sampled_from([0, MOST_GIVEN_UP + 1]))
    def no_address_is_known(self, strangers: int) -> None:
        """And nobody's, where there are many of several domains: then it is not about them."""
        for number in range(strangers):
            self.register(f"{number}@domain-{number}.org", "")
        self.tick()
        self.all_that_is_due_meets_the_same("unknown")
        self.tick()
        self.correct(PEOPLE[1])
        self.tick()

    # Failures

    @rule()
    def crash(self) -> None:
        """The process is killed, and another one starts."""
        sending = {one.id for one in self.on_the_wire if self.states.get(one.id) == "sending"}
        self.zombies += [*self.claimed, *self.on_the_wire]
        self.claimed, self.on_the_wire = [], []
        self._step(claims.end_leases, self.now)
        assert all(self.states[one] == "in_doubt" for one in sending), "what was on the wire is in doubt"
        assert "sending" not in self.states.values(), "and nothing else is"

    @rule()
    def the_database_is_set_back(self) -> None:
        """Other transactions are lost; mails that may have gone out are held."""
        self._step(restored.hold, self.now)
        self.zombies += [*self.claimed, *self.on_the_wire]
        self.claimed, self.on_the_wire = [], []
        assert "sending" not in self.states.values()

    @rule(sent=st.booleans())
    def an_operator_decides(self, sent: bool) -> None:
        """About what is held because the database was set back."""
        with self.database.transaction() as conn:
            held = list(restored.planned_at(conn))
            governing = self.ledger.revisions.governing(conn)
        if sent:
            self._step(restored.record_sent, dict.fromkeys(held), Why.SENT_BY_WORD, governing)
            self.sent |= set(held)
        else:
            self._step(restored.send, self.now, held)

    @precondition(lambda self: self.zombies)
    @rule(data=st.data(), what=st.sampled_from(["sent", "refused", "later", "doubt", "held"]))
    def a_late_word(self, data: st.DataObject, what: str) -> None:
        """From a service that was thought dead: the outcome of a lost lease never changes the state."""
        one = data.draw(st.sampled_from(self.zombies))
        state, lost = self.states[one.id], self._token(one.id) != one.token
        begun = self._step(outcomes.begin, [start(one, self.now)])
        if lost:
            self._step(outcomes.conclude, [self._outcome(one, what)])
            assert not begun
            assert self.states[one.id] == state
        elif begun:  # nobody had missed it
            self.zombies.remove(one)
            self.on_the_wire.append(one)

    def _token(self, delivery: int) -> str | None:
        return next(row["lease_token"] for row in self.ledger.deliveries() if row["id"] == delivery)

    @invariant()
    def what_is_sent_stays_sent(self) -> None:
        assert all(self.states[one] == "sent" for one in self.sent)


def _walk(world: type[World], examples: int) -> None:
    run_state_machine_as_test(
        world,
        settings=settings(
            max_examples=examples, stateful_step_count=40, deadline=None, derandomize=True,
            suppress_health_check=list(HealthCheck), database=None,
        ),
    )  # fmt: skip


def test_nothing_stands_in_the_table_that_never_happens(migrated_file: Path) -> None:
    world = type("OnSQLite", (World,), {"template": migrated_file, "url": ""})
    seen = set()
    stories = [partial(World.a_story, story=story) for story in STORIES]
    for story in (*stories, *(partial(World.no_address_is_known, strangers=many) for many in (0, 6))):
        here = world()
        here.watch()
        story(here)
        here.time_passes(24 * 365)
        here.tick()
        here.teardown()
        seen |= here.seen
    assert ALLOWED - seen == set()


def test_whatever_happens_and_crashes_every_change_is_one_of_the_table(migrated_file: Path) -> None:
    _walk(type("OnSQLite", (World,), {"template": migrated_file, "url": ""}), 8)


@pytest.mark.full
def test_for_longer(migrated_file: Path) -> None:
    _walk(type("OnSQLite", (World,), {"template": migrated_file, "url": ""}), 300)


@pytest.mark.full
def test_on_postgresql(postgresql_url: str) -> None:
    _walk(type("OnPostgreSQL", (World,), {"url": postgresql_url}), 40)
