"""The contents of several services' folders, and when one of them governs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from scheduler.database.engine import Database
from scheduler.database.sqlite import SQLite
from scheduler.governing import proposals
from scheduler.governing.proposals import (
    Decision,
    Held,
    decide,
    differing_folders,
    holding,
    publish,
    running_services,
)
from tests.support import utc

pytestmark = pytest.mark.engines("sqlite")

NOW = utc("2025-06-20 08:00")
NOTHING, OURS, DROP = Decision.NOTHING, Decision.OURS, Decision.DROP
LONG = timedelta(hours=1)


def held(content: str, seconds: float = 3600, until: float | None = None) -> Held:
    """For so many seconds, until so many seconds ago."""
    return Held(
        content,
        NOW - timedelta(seconds=seconds),
        None if until is None else NOW - timedelta(seconds=until),
    )


# One decision: service 1 decides about "ours"; "old" was stored before, "new" was not.


@pytest.mark.parametrize(
    ("governing", "waiting", "folders", "expected"),
    [
        pytest.param(None, None, {1: held("old", 0)}, OURS, id="nothing governs yet"),
        pytest.param("g", None, {1: held("new", 0)}, OURS, id="new content governs"),
        pytest.param("g", "w", {1: held("new", 0)}, OURS, id="new content takes the place of what waits"),
        pytest.param(
            "g", None, {1: held("new", 0), 2: held("g")}, OURS, id="new content, whatever others hold"
        ),
        pytest.param("g", None, {1: held("g")}, NOTHING, id="ours governs"),
        pytest.param("g", "w", {1: held("w"), 2: held("w")}, NOTHING, id="ours waits"),
        pytest.param("g", None, {}, NOTHING, id="our file is gone, or was never sound"),
        pytest.param("g", None, {1: held("old", 90, until=10)}, NOTHING, id="our file is no longer sound"),
        pytest.param("g", None, {1: held("old"), 2: held("g")}, NOTHING, id="a lagging replica"),
        pytest.param(
            "g", "w", {1: held("old"), 2: held("w")}, NOTHING, id="a lagging replica while one waits"
        ),
        pytest.param("g", None, {1: held("old", 59)}, NOTHING, id="a rollback, for less than a minute"),
        pytest.param("g", None, {1: held("old", 60)}, OURS, id="a rollback, for a minute"),
        pytest.param(
            "g", None, {1: held("old", 60), 2: held("other", 60)}, OURS, id="nobody holds what governs"
        ),
        pytest.param(
            "g", None, {1: held("old"), 2: held("g", until=59)}, NOTHING, id="who holds it restarts"
        ),
        pytest.param("g", None, {1: held("old"), 2: held("g", until=60)}, OURS, id="who held it has left"),
        pytest.param("g", "w", {1: held("g"), 2: held("w")}, NOTHING, id="somebody still holds what waits"),
        pytest.param("g", "w", {1: held("g"), 2: held("g")}, DROP, id="nobody holds what waits any more"),
        pytest.param("g", "w", {1: held("g"), 2: held("old", 59)}, NOTHING, id="for less than a minute"),
        pytest.param("g", "w", {1: held("g"), 2: held("w", until=59)}, NOTHING, id="who held it restarts"),
        pytest.param("g", "w", {1: held("g")}, NOTHING, id="a service that has not read its files yet"),
        pytest.param("g", "w", {1: held("g"), 2: held("g", until=0)}, NOTHING, id="its file is not sound"),
        pytest.param("g", "w", {2: held("g")}, NOTHING, id="ours is not sound"),
    ],
)
def test_what_follows_from_what_folders_hold(
    governing: str | None, waiting: str | None, folders: dict[int, Held], expected: Decision
) -> None:
    new = 1 in folders and folders[1].sha256 == "new"
    decided = decide(NOW, 1, {1, 2}, folders, new=new, changed=False, governing=governing, waiting=waiting)
    assert decided is expected


@pytest.mark.parametrize(
    ("governing", "waiting", "content", "expected"),
    [
        ("g", None, "old", OURS),
        ("g", "w", "old", OURS),
        ("g", None, "g", NOTHING),
        ("g", "w", "w", NOTHING),
        pytest.param("g", "w", "g", DROP, id="an edit that waited is undone"),
    ],
)
def test_a_change_seen_while_running_counts_at_once(
    governing: str, waiting: str | None, content: str, expected: Decision
) -> None:
    folders = {1: held(content, 0), 2: held(governing)}
    decided = decide(NOW, 1, {1, 2}, folders, new=False, changed=True, governing=governing, waiting=waiting)
    assert decided is expected


# What a service records


@pytest.fixture
def conn(database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[Connection]:
    """Of a database that the services 1 and 2 are at."""
    monkeypatch.setattr(type(database.dialect), "holders", lambda self, conn: [1, 2])
    with database.transaction() as conn:
        yield conn


@pytest.mark.engines("both")
def test_a_service_records_what_its_folder_holds_and_since_when(conn: Connection) -> None:
    assert publish(conn, NOW, 1, "text", {"a": "x", "b": "y"}) == set()
    assert publish(conn, NOW + LONG, 1, "text", {"a": "x", "b": "z"}) == {"b"}
    assert publish(conn, NOW + LONG, 2, "text", {"a": "v"}) == set()
    assert publish(conn, NOW + LONG, 2, "layout", {"": "l"}) == set()
    assert holding(conn, "text") == {
        "a": {1: Held("x", NOW), 2: Held("v", NOW + LONG)},
        "b": {1: Held("z", NOW + LONG)},
    }


def test_a_content_that_is_gone_and_comes_back_was_not_changed(conn: Connection) -> None:
    publish(conn, NOW, 1, "text", {"a": "x"})
    assert publish(conn, NOW + LONG, 1, "text", {}) == set()
    assert holding(conn, "text")["a"][1] == Held("x", NOW, until=NOW + LONG)
    assert publish(conn, NOW + 2 * LONG, 1, "text", {"a": "x"}) == set()
    assert holding(conn, "text")["a"][1] == Held("x", NOW + 2 * LONG)
    publish(conn, NOW + 3 * LONG, 1, "text", {})
    assert publish(conn, NOW + 4 * LONG, 1, "text", {"a": "other"}) == {"a"}


@pytest.mark.engines("both")
def test_a_service_that_is_gone_holds_nothing_more(conn: Connection) -> None:
    publish(conn, NOW, 3, "text", {"a": "x"})
    publish(conn, NOW + LONG, 1, "text", {})
    assert holding(conn, "text")["a"][3] == Held("x", NOW, until=NOW + LONG)
    publish(conn, NOW + LONG + timedelta(days=1, seconds=1), 1, "text", {})
    assert holding(conn, "text") == {}


def test_a_service_that_others_miss_for_a_moment_still_holds_what_it_holds(
    conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(conn, NOW, 3, "text", {"a": "x"})
    publish(conn, NOW, 1, "text", {})
    assert holding(conn, "text")["a"][3].until == NOW
    proposals.mark_running(conn, 3)
    assert holding(conn, "text")["a"][3] == Held("x", NOW)


def test_what_an_earlier_service_of_the_same_number_held_is_no_change(conn: Connection) -> None:
    publish(conn, NOW, 1, "text", {"a": "x"})
    proposals.reset_holder(conn, 1)
    assert publish(conn, NOW + LONG, 1, "text", {"a": "other"}) == set()


def test_contents_that_differ_for_a_minute_are_named(conn: Connection) -> None:
    publish(conn, NOW, 1, "text", {"a": "x", "b": "y", "c": "z"})
    publish(conn, NOW, 2, "text", {"a": "v", "b": "y"})
    publish(conn, NOW, 3, "text", {"b": "of one that is gone"})
    assert differing_folders(conn, NOW + timedelta(seconds=59)) == {}
    assert differing_folders(conn, NOW + timedelta(seconds=60)) == {("text", "a"): ["x", "v"]}
    publish(conn, NOW + LONG, 2, "text", {"a": "x"})
    assert differing_folders(conn, NOW + 2 * LONG) == {}


def test_where_services_are_not_known_only_oneself_is_live(sqlite_url: str) -> None:
    database = Database(sqlite_url)
    with database.transaction() as conn:
        publish(conn, NOW, 0, "text", {"a": "x"})
        assert running_services(conn, 0) == {0}
        assert differing_folders(conn, NOW + LONG) == {}
    database.close()


# Any history


CONTENTS = ("a", "b", "c")
STEPS = st.one_of(
    st.tuples(st.just("edit"), st.sampled_from((1, 2, 3)), st.sampled_from((*CONTENTS, None))),
    st.tuples(st.just("restart"), st.sampled_from((1, 2, 3)), st.sampled_from((*CONTENTS, None))),
    st.tuples(st.just("stop"), st.sampled_from((1, 2, 3)), st.none()),
    st.tuples(st.just("unseen"), st.sampled_from((1, 2, 3)), st.none()),
    st.tuples(st.just("seen"), st.sampled_from((1, 2, 3)), st.none()),
    st.tuples(st.just("poll"), st.sampled_from((1, 2, 3)), st.none()),
    st.tuples(st.just("time"), st.sampled_from((1, 10, 60, 70)), st.none()),
)


LAGGING = (("restart", 1, "a"), ("time", 10, None), ("restart", 2, "b"), ("time", 70, None))
"""Service 1 holds what was stored before, service 2 what governs or waits."""


class Services:
    """Services that come, go, edit and poll on one database; what they propose waits where `waits` says so."""

    def __init__(self, database: Database, waits: bool) -> None:
        self.database, self.waits, self.now = database, waits, NOW
        self.folder: dict[int, str | None] = {}
        self.starts = 0
        self.number: dict[int, int] = {}  # another one after each start
        self.unseen: set[int] = set()  # they run, but their session is broken
        self.read: dict[int, str] = {}  # what each found sound at its last poll, in this process
        self.stored: set[str] = set()
        self.governing: str | None = None
        self.waiting: str | None = None
        self.last_held = dict.fromkeys(CONTENTS, NOW - LONG)  # when a live service's folder last held it

    @property
    def seen(self) -> set[int]:
        return {self.number[service] for service in self.folder.keys() - self.unseen}

    def step(self, what: str, which: int, content: str | None) -> None:
        if what == "time":
            for _ in range(0, which, 10):
                self.now += timedelta(seconds=min(which, 10))
                for service in sorted(self.folder):
                    self.poll(service)
        elif what == "edit" and which in self.folder:
            self.folder[which] = content
        elif what == "restart":
            self.folder[which] = content
            self.read.pop(which, None)
            self.starts += 1
            self.number[which] = self.starts
        elif what == "stop":
            self.folder.pop(which, None)
            self.read.pop(which, None)
        elif what == "unseen":
            self.unseen.add(which)
        elif what == "seen":
            self.unseen.discard(which)
        elif what == "poll" and which in self.folder:
            self.poll(which)

    def poll(self, service: int) -> None:
        content, before, number = self.folder[service], (self.governing, self.waiting), self.number[service]
        edited = content is not None and self.read.get(service, content) != content
        new = content is not None and content not in self.stored
        with self.database.transaction() as conn:
            changed = publish(conn, self.now, number, "text", {"n": content} if content else {})
            decided = decide(
                self.now, number, running_services(conn, number), holding(conn, "text").get("n", {}),
                new=new, changed="n" in changed, governing=self.governing, waiting=self.waiting,
            )  # fmt: skip
        self.apply(decided, content)
        if content is not None:
            self.read[service] = content
        if new or edited:
            assert content == (self.waiting or self.governing), "at once, also back"
        elif content is not None and content not in before and None not in before[:1]:
            minute_ago = self.now - timedelta(minutes=1)
            recently = any(one and self.last_held[one] > minute_ago for one in before)
            if recently:
                assert (self.governing, self.waiting) == before, "somebody held it less than a minute ago"
        for one in self.read.values():
            self.last_held[one] = self.now

    def apply(self, decided: Decision, content: str | None) -> None:
        if decided is OURS:
            assert content is not None
            self.stored.add(content)
            if self.waits and self.governing is not None:
                self.waiting = content
            else:
                self.governing, self.waiting = content, None
        elif decided is DROP:
            self.waiting = None


@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize("examples", [10, pytest.param(25, marks=pytest.mark.full)])
def test_after_any_history_what_all_folders_hold_governs(
    sqlite_url: str, examples: int, waits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(sqlite_url)

    @settings(max_examples=examples, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.lists(STEPS, max_size=25), st.sampled_from(CONTENTS))
    def holds(steps: list[tuple[str, int, str | None]], last: str) -> None:
        services = Services(database, waits)
        monkeypatch.setattr(SQLite, "holders", lambda self, conn: sorted(services.seen))
        with database.transaction() as conn:
            conn.exec_driver_sql("DELETE FROM file_seen")
        for step in (*LAGGING, *steps):
            services.step(*step)
        for service in services.folder:
            services.folder[service] = last
        if not services.folder:
            services.step("restart", 1, last)
        services.step("time", 90, None)
        if waits:
            assert last in (services.governing, services.waiting)
            assert services.waiting in (None, last)
        else:
            assert (services.governing, services.waiting) == (last, None)

    holds()
    database.close()
