"""Whatever happens: when all is quiet, everybody was last told what is true, and nobody was bothered without need."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from contextlib import suppress as suppress_error
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlmodel import SQLModel

from scheduler.database.engine import Database, execute
from scheduler.database.postgresql import PostgreSQL
from scheduler.database.sqlite import SQLite
from scheduler.ledger import requests
from scheduler.ledger.entries import Start
from scheduler.ledger.requests import CannotSendAgain
from scheduler.registrants.suppression import suppress
from scheduler.webinar.model import NOTICES
from scheduler.webinar.told import Told, facts_of
from tests.histories import Got, History, Replica
from tests.support import WRITTEN_BY_MIGRATIONS, toml

PEOPLE = ("a@x.org", "b@x.org", "c@x.org", "refuses@x.org")
MOVED: dict[str, Any] = {"start": datetime(2025, 7, 10, 13), "end": datetime(2025, 7, 10, 15)}
EDITS: tuple[dict[str, Any], ...] = (
    {}, MOVED, {"join_url": "https://meet.who.int/new"}, {"cancelled": True}, {"title": "Other words"},
    {"notice_after": "0s"}, {"notice_after": "0s"} | MOVED, {"status": "draft"}, {"on_doubt": "hold"},
    {"start": datetime(2025, 6, 30, 9)}, {"start": "nonsense"},
)  # fmt: skip
LINKS = (None, "https://meet.who.int/own", "https://meet.who.int/other")


class World(RuleBasedStateMachine):
    """Two services, whose folders may differ, over one database; what people have read is kept beside it."""

    template: ClassVar[Path]
    url: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        if not self.url:
            shutil.copy(self.template, f"{self._folder.name}/webinar.db")
        self.database = Database(self.url or f"sqlite:///{self._folder.name}/webinar.db")
        self.history = History(self.database)
        self.wire: list[Start] = []
        self.believed: dict[str, set[Told]] = {}  # by UID: what its holder may take for true
        self.doubtful: Counter[int] = Counter()  # by delivery: how often its answer was lost
        self.arrived: Counter[tuple[object, ...]] = Counter()
        self.live: set[int] = set()
        self._patched = pytest.MonkeyPatch()
        for engine in (SQLite, PostgreSQL):  # who runs is what the test says
            self._patched.setattr(engine, "holders", lambda _, conn: sorted(self.live))

    def teardown(self) -> None:
        try:
            self.quiet()
        finally:
            self._patched.undo()
            if self.url:
                tables = ", ".join(
                    table for table in SQLModel.metadata.tables if table not in WRITTEN_BY_MIGRATIONS
                )
                with self.database.transaction() as conn:
                    execute(conn, f"TRUNCATE {tables} CASCADE")
            self.database.close()
            self._folder.cleanup()

    @initialize()
    def begins(self) -> None:
        for _ in range(2):
            self.live.add(self.history.start().holder)
        self.history.register(*PEOPLE)
        for replica in self.history.replicas:
            self.history.tick(replica)
        self.sends_all()

    # Edits of rows and files

    @rule(who=st.sampled_from(PEOPLE))
    def registers(self, who: str) -> None:
        self.history.sql(
            "INSERT INTO registrants (webinar, email) VALUES ('w', :who) ON CONFLICT DO NOTHING", who=who
        )

    @rule(who=st.sampled_from(PEOPLE))
    def leaves(self, who: str) -> None:
        self.history.sql("DELETE FROM registrants WHERE email = :who", who=who)

    @rule(who=st.sampled_from(PEOPLE), link=st.sampled_from(LINKS))
    def gets_a_link(self, who: str, link: str | None) -> None:
        self.history.sql("UPDATE registrants SET join_url = :link WHERE email = :who", who=who, link=link)

    @rule(who=st.sampled_from(PEOPLE[:3]))
    def corrects_the_address(self, who: str) -> None:
        self.history.sql(
            "UPDATE registrants SET email = :new WHERE email = :who"
            " AND NOT EXISTS (SELECT 1 FROM registrants WHERE email = :new)",
            who=who, new=f"new-{who}",
        )  # fmt: skip

    @rule()
    def suppresses(self) -> None:
        with self.database.transaction() as conn:
            suppress(conn, self.history.now, PEOPLE[2])

    # What people ask for on their pages

    @rule(who=st.sampled_from(PEOPLE))
    def withdraws(self, who: str) -> None:
        self.history.ask(requests.withdraw, who)

    @rule(who=st.sampled_from(PEOPLE))
    def comes_back(self, who: str) -> None:
        self.history.ask(requests.come_back, who)

    @rule(who=st.sampled_from(PEOPLE))
    def withdraws_and_comes_back_at_once(self, who: str) -> None:
        self.withdraws(who)
        self.comes_back(who)

    @rule(who=st.sampled_from(PEOPLE[:2]))
    def unsubscribes(self, who: str) -> None:
        self.history.ask(requests.unsubscribe, who, everything=False, source="one-click")

    @rule(who=st.sampled_from(PEOPLE[:2]))
    def subscribes(self, who: str) -> None:
        self.history.ask(requests.subscribe, who)

    @rule(who=st.sampled_from(PEOPLE), zone=st.sampled_from(["America/Lima", "Asia/Tokyo", ""]))
    def chooses_a_zone(self, who: str, zone: str) -> None:
        self.history.ask(requests.choose_zone, who, zone)

    @rule(who=st.sampled_from(PEOPLE), unwanted=st.sampled_from([["reminder-day"], []]))
    def chooses_messages(self, who: str, unwanted: list[str]) -> None:
        self.history.ask(requests.choose_messages, who, unwanted)

    @rule(who=st.sampled_from(PEOPLE), message=st.sampled_from(["confirmation", "reminder-day"]))
    def asks_again(self, who: str, message: str) -> None:
        with suppress_error(CannotSendAgain):
            self.history.ask(requests.send_again, who, message, "registrant")

    @rule(edit=st.sampled_from(EDITS), which=st.sampled_from([0, 1]))
    def edits(self, edit: dict[str, Any], which: int) -> None:
        self.history.edit(self.history.replicas[which], **edit)

    @rule(which=st.sampled_from([0, 1]))
    def copies_the_folder(self, which: int) -> None:
        self.history.replicas[1 - which].files = dict(self.history.replicas[which].files)

    # Steps of the services

    @rule(which=st.sampled_from([0, 1]))
    def ticks(self, which: int) -> None:
        replica = self.history.replicas[which]
        if replica.holder in self.live:
            self.history.tick(replica)

    @rule(which=st.sampled_from([0, 1]))
    def restarts(self, which: int) -> None:
        """With a number of its own, and what its folder holds now."""
        old = self.history.replicas[which]
        self.live.discard(old.holder)
        new = Replica(100 + len(self.live) + old.holder * 2, dict(old.files))
        self.history.replicas[which] = new
        self.live.add(new.holder)
        self.history.tick(new)

    @rule(many=st.integers(1, 8))
    def begins_mails(self, many: int) -> None:
        self.wire += self.history.begin(self.history.claim(many))

    @precondition(lambda self: self.wire)
    @rule(data=st.data(), how=st.sampled_from(["sent", "sent", "lost", "deferred"]))
    def hears_of_a_mail(self, data: st.DataObject, how: str) -> None:
        one = data.draw(st.sampled_from(self.wire))
        self.wire.remove(one)
        self._concludes(one, how)

    @rule()
    def sends_all(self) -> None:
        for start in self.history.begin(self.history.claim()):
            self._concludes(start, "sent")

    def _concludes(self, start: Start, how: str) -> None:
        if start.claimed.address == "refuses@x.org":
            how = "refused"
        if how == "lost":
            self.doubtful[start.claimed.id] += 1
        if how in ("sent", "lost"):
            self._reads(Got(self.history.now, start.claimed, start.told), certain=how == "sent")
        self.history.conclude([start], how)

    @rule(reached=st.booleans())
    def crashes(self, reached: bool) -> None:
        """Both services are killed; mails on the wire may have reached their readers."""
        for start in self.wire:
            self.doubtful[start.claimed.id] += 1
            self._reads(Got(self.history.now, start.claimed, start.told), certain=False, arrives=reached)
        self.wire = []
        self.history.crash()

    @rule(minutes=st.sampled_from([0.5, 2, 11, 60, 60 * 25]))
    def time_passes(self, minutes: float) -> None:
        self.history.wait(minutes=minutes)

    # Invariants

    def _reads(self, got: Got, *, certain: bool, arrives: bool = True) -> None:
        known = self.believed.setdefault(got.claimed.uid, set())
        if got.message in NOTICES and arrives:
            assert known - {got.says}, "a notice that tells nothing new"
        if certain:
            known.clear()
        known.add(got.says)
        if not arrives:
            return
        one = got.claimed
        if self._asked_for(one.id):
            return
        same = (one.registration_id, one.message, one.uid)
        if one.message == "confirmation":
            self._arrives((*same, "at this address"), one.id)
        elif one.message not in NOTICES:
            self._arrives((*same, got.says.start), one.id)

    def _asked_for(self, delivery: int) -> bool:
        return bool(self.history.sql("SELECT asked_by FROM delivery WHERE id = :id", id=delivery)[0].asked_by)

    def _arrives(self, mail: tuple[object, ...], delivery: int) -> None:
        self.arrived[mail] += 1
        assert self.arrived[mail] <= 1 + self.doubtful[delivery], "a message twice, and nothing was in doubt"

    def quiet(self) -> None:
        """The folders agree, everything runs, and the relay answers."""
        if not self.history.replicas:
            return
        for start in self.wire:
            self._concludes(start, "sent")
        self.wire = []
        for replica in self.history.replicas:
            replica.files = {"webinars/w.toml": toml(title="The end")}
            self.live.add(replica.holder)
        end = self.history.now + timedelta(hours=2)
        while self.history.now < end:
            for replica in self.history.replicas:
                self.history.tick(replica)
            self.sends_all()
            self.history.wait(minutes=10)
        self._everybody_knows_what_is_true()

    def _everybody_knows_what_is_true(self) -> None:
        with self.database.transaction() as conn:
            governing = self.history.replicas[0].revisions.governing(conn)["w"].webinar
            assert governing.title == "The end", "the files agree, so they govern"
            if governing.end <= self.history.now:
                return
            people = execute(
                conn,
                "SELECT r.uid, r.address, r.join_url, EXISTS (SELECT 1 FROM choice c WHERE c.webinar = r.webinar AND"
                " c.address_folded = r.address_folded AND c.withdrawn_at IS NOT NULL) AS withdrawn, EXISTS (SELECT 1"
                " FROM suppression s WHERE s.address_folded = r.address_folded AND s.webinar = 'w') AS unsubscribed"
                " FROM registration r WHERE r.gone_at IS NULL AND NOT EXISTS (SELECT 1 FROM suppression s"
                " WHERE s.address_folded = r.address_folded AND s.webinar = '')",
            ).all()
        for one in people:
            if one.address == "refuses@x.org":
                continue
            link, believed = one.join_url or governing.join_url, self.believed.get(one.uid, set())
            true = facts_of(governing, link, withdrawn=bool(one.withdrawn))
            if one.unsubscribed:  # a link alone is not told
                believed = {replace(told, join_url=true.join_url) for told in believed}
            if believed or not (one.withdrawn or one.unsubscribed):
                assert believed == {true}, "somebody was last told what is not true"


def _walk(world: type[World], examples: int, steps: int = 40) -> None:
    run_state_machine_as_test(
        world,
        settings=settings(
            max_examples=examples, stateful_step_count=steps, deadline=None, derandomize=True,
            suppress_health_check=list(HealthCheck), database=None,
        ),
    )  # fmt: skip


def test_everybody_was_last_told_current_facts(migrated_file: Path) -> None:
    _walk(type("OnSQLite", (World,), {"template": migrated_file, "url": ""}), 4)


@pytest.mark.full
def test_for_longer(migrated_file: Path) -> None:
    _walk(type("OnSQLite", (World,), {"template": migrated_file, "url": ""}), 100, 60)


@pytest.mark.full
def test_on_postgresql(postgresql_url: str) -> None:
    _walk(type("OnPostgreSQL", (World,), {"url": postgresql_url}), 40)
