"""What one run leaves to the next in STATE_DIR: nothing of it is applied twice, to another ledger, or half."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import json
import os
import subprocess
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from scheduler.access import this_user
from scheduler.database.engine import Database
from scheduler.delivery import handover, marks, spool
from scheduler.delivery.handover import HOLD, Handover
from scheduler.delivery.recorder import Known, Recorder
from scheduler.ledger import claims, outcomes, restored
from scheduler.ledger.entries import Claimed, Outcome
from scheduler.ledger.states import State
from scheduler.readiness import Kind, Reason
from scheduler.state_dir import RESERVE, StateDir
from tests.smtp_server import in_loop, pass_time
from tests.support import Ledger, start, until, utc, webinar
from tests.unprivileged import unprivileged

pytestmark = pytest.mark.engines("sqlite")

NOW = utc("2025-06-12 08:00")
LATER = NOW + timedelta(minutes=5)


class Desk:
    """A ledger with three confirmations on the wire, and runs of a service over it, one after the other."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database, self.ledger, self.state = database, Ledger(database), StateDir(folder / "state")
        self.ledger.govern(webinar())
        for name in "abc":
            self.ledger.register(f"{name}@people.test")
        self.ledger.plan(NOW)
        self.claimed = self.begin("token")
        self.next_run()

    def begin(self, token: str) -> list[Claimed]:
        with self.database.transaction() as conn:
            claimed = claims.claim(conn, NOW, token, 9, 9)
            outcomes.begin(conn, [start(one, NOW) for one in claimed])
        return sorted(claimed, key=lambda one: one.address)

    def next_run(self) -> None:
        self.recorder = Recorder(self.database)
        self.handover = Handover(self.state, self.database, self.recorder, 0)

    async def take(self) -> None:
        self.next_run()
        await self.handover.take_over(LATER)

    async def is_killed_while(self, monkeypatch: pytest.MonkeyPatch, where: Any, name: str) -> None:
        """Taking over, at this moment."""

        def dies(*given: Any, **more: Any) -> None:
            raise SystemExit

        with monkeypatch.context() as patched, suppress(SystemExit):
            patched.setattr(where, name, dies)
            await self.take()

    async def leave(self, *left: Outcome) -> None:
        await self.take()
        await self.handover.leave(left)

    def confirmation(self, name: str) -> str:
        return self.ledger.states(f"{name}@people.test")["confirmation"]

    def attempts(self) -> list[str]:
        """How each person's ended."""
        query = "SELECT address, outcome FROM attempt ORDER BY address"
        return [row.outcome for row in self.ledger.sql(query)]

    def files(self) -> list[str]:
        """Of spools, but for the time in their names."""
        return sorted(path.name[: path.name.index("0000")] for path in self.state.folder.glob("*spool-*"))

    @property
    def accepted(self) -> Outcome:
        return Outcome(
            self.claimed[0], State.SENT, NOW, "sent", code=250, reply="queued as A1 for a@people.test"
        )

    @property
    def refused(self) -> Outcome:
        return Outcome(self.claimed[1], State.FAILED, NOW, "refused", "refused: 550", code=550, stage="rcpt")

    @property
    def deferred(self) -> Outcome:
        again = NOW + timedelta(minutes=1)
        return Outcome(self.claimed[2], State.PENDING, NOW, "deferred", "", again, code=450, stage="rcpt")


@pytest.fixture
def desk(database: Database, tmp_path: Path) -> Desk:
    return Desk(database, tmp_path)


# The spool


@pytest.mark.engines("both")
@in_loop
async def test_each_outcome_is_recorded_at_the_next_start(desk: Desk) -> None:
    await desk.leave(desk.accepted, desk.refused, desk.deferred)
    assert desk.confirmation("a") == "sending"
    assert "people.test" not in "".join(path.read_text() for path in desk.state.folder.iterdir())

    await desk.take()
    assert [desk.confirmation(name) for name in "abc"] == ["sent", "failed: refused: 550", "pending"]
    assert desk.attempts() == ["sent", "refused", "deferred"]
    assert desk.files() == []
    assert desk.handover.notes == ()


@pytest.mark.parametrize(
    ("where", "name"), [(spool, "read"), (spool, "put_away"), (spool, "kept_aside"), (restored, "identity")]
)
@in_loop
async def test_a_reader_that_dies_at_any_moment_leaves_it_to_the_next(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, where: Any, name: str
) -> None:
    await desk.leave(desk.accepted, desk.refused, desk.deferred)
    for _ in range(3):
        await desk.is_killed_while(monkeypatch, where, name)
    await desk.take()
    assert [desk.confirmation(one) for one in "abc"] == ["sent", "failed: refused: 550", "pending"]
    assert desk.attempts() == ["sent", "refused", "deferred"]
    attempts = desk.ledger.sql("SELECT attempts FROM delivery WHERE id = :id", id=desk.claimed[2].id)
    assert [row.attempts for row in attempts] == [1], "counted once"
    assert desk.files() == []


@in_loop
async def test_what_others_have_taken_over_meanwhile_stays_as_it_is(desk: Desk) -> None:
    """They thought that this service was gone, and sent the mail again."""
    await desk.leave(desk.deferred)
    with desk.database.transaction() as conn:
        claims.end_leases(conn, LATER)
    desk.ledger.sql("UPDATE delivery SET state = 'sent', reason = '' WHERE id = :id", id=desk.claimed[2].id)
    await desk.take()
    assert desk.confirmation("c") == "sent"
    assert desk.attempts()[2] == "in_doubt"
    assert desk.files() == []


@in_loop
async def test_a_mail_that_was_about_to_begin_is_no_doubt(desk: Desk) -> None:
    """Nobody knows whether its start was committed; it was not sent."""
    begun = start(desk.claimed[0], NOW)
    desk.recorder._next.starts.append(begun)
    await desk.leave(*desk.recorder.abandon())
    await desk.take()
    assert (desk.confirmation("a"), desk.attempts()[0]) == ("pending", "not_sent")


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE ledger SET identity = 'another'",
        "UPDATE ledger SET restorations = restorations + 1",
        "DELETE FROM attempt WHERE id < (SELECT max(id) FROM attempt)",
    ],
    ids=["another database", "set back since", "its attempts are lost"],
)
@in_loop
async def test_what_is_of_another_ledger_is_kept_aside_and_named(desk: Desk, change: str) -> None:
    await desk.leave(desk.accepted, desk.refused)
    desk.ledger.sql(change)
    desk.ledger.sql("UPDATE delivery SET lease_token = 'others'")
    marks.note_ledger(desk.state, "another")
    await desk.take()
    assert [desk.confirmation(name) for name in "ab"] == ["sending", "sending"]
    assert desk.files() == ["aside-spool-"]
    note = desk.handover.notes[-1]
    assert note.words.startswith("aside-spool-00000000-")
    await desk.take()
    assert desk.handover.notes[-1] == note, "until somebody has taken it away"


@pytest.mark.parametrize(
    ("damage", "read"),
    [
        (lambda content: content[:-20], ["sent", "sending"]),
        (lambda content: content[: content.rindex(b"\n", 0, -1) + 1], ["sent", "sending"]),
        (lambda content: content.replace(b'"failed"', b'"sent"'), ["sent", "sending"]),
        (lambda content: b"\x00" + content[1:], ["sending", "sending"]),
        (lambda content: b"", ["sending", "sending"]),
    ],
    ids=["cut off", "a line is missing", "changed", "its head", "empty"],
)
@in_loop
async def test_what_is_damaged_is_read_as_far_as_it_is_whole(
    desk: Desk, damage: Callable[[bytes], bytes], read: list[str]
) -> None:
    await desk.leave(desk.accepted, desk.refused)
    (path,) = desk.state.folder.glob("spool-*")
    path.write_bytes(damage(path.read_bytes()))
    await desk.take()
    assert [desk.confirmation(name) for name in "ab"] == read
    assert desk.files() == ["aside-spool-"]
    assert len(desk.handover.notes) == 1


@in_loop
async def test_outcomes_are_named_in_the_log_where_the_folder_cannot_be_written(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await desk.take()
    monkeypatch.setattr(StateDir, "write", _not_permitted)
    with capture_logs() as logged:
        await desk.handover.leave([desk.accepted])
    (entry,) = [one for one in logged if "outcomes are lost" in one["event"]]
    assert entry["sent"] == [desk.accepted.claimed.id]


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """Mounted there, if this user may (mount(8)); else a folder like any other."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], capture_output=True, check=False
    )
    try:
        yield
    finally:
        if mounted.returncode == 0:
            subprocess.run(["umount", "-l", folder], check=True)


def fill(state: StateDir, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing more can be written there."""
    if not state.folder.is_mount():
        monkeypatch.setattr(StateDir, "write", _no_room)
        return
    with suppress(OSError), (state.folder / "filling").open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass
    with pytest.raises(OSError, match="No space left"):
        state.write("more", b"x")


def _no_room(state: StateDir, name: str, content: bytes) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@in_loop
async def test_on_a_full_disk_there_is_room_for_it_all_the_same(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The very disk whose being full kept the ledger from being written."""
    with small_disk(desk.state.folder):
        await desk.take()
        await until(lambda: desk.state.has(RESERVE))
        fill(desk.state, monkeypatch)
        await desk.handover.leave([desk.accepted, desk.refused, desk.deferred])
        assert desk.files() == ["spool-"]
        monkeypatch.undo()
        await desk.take()
        assert [desk.confirmation(name) for name in "abc"] == ["sent", "failed: refused: 550", "pending"]
        assert desk.files() == []
        (desk.state.folder / "filling").unlink(missing_ok=True)
        await until(lambda: desk.state.has(RESERVE))
        await desk.handover.leave([])


@in_loop
async def test_of_two_services_that_need_the_room_at_once_neither_writes_into_the_others_file(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.state.reserve()
    with desk.state.path(RESERVE).open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(BlockingIOError):
            desk.state.write_in_reserve("spool-x", b"content")
    desk.state.write_in_reserve("spool-x", b"content")
    assert desk.state.read("spool-x") == b"content"
    with pytest.raises(FileNotFoundError):
        desk.state.write_in_reserve("spool-y", b"content")


@in_loop
async def test_what_was_given_twice_is_named_once(desk: Desk) -> None:
    """By who was cancelled while it was written, and wrote again."""
    desk.recorder._next.outcomes += [desk.accepted, desk.accepted]
    assert desk.recorder.abandon() == [desk.accepted]


@in_loop
async def test_a_start_removes_what_a_kill_left_of_a_write(desk: Desk) -> None:
    desk.state.folder.mkdir()
    left = desk.state.folder / ".spool-00000000-20250612T080000000001.ab_d3f9h"
    left.touch(mode=0o600)
    os.utime(left, (0, 0))
    await desk.take()
    assert not left.exists()
    assert desk.handover.notes == ()


# The spool of one of several services that share the folder


class Other:
    """A service that runs on while the desk's ends."""

    def __init__(self, desk: Desk) -> None:
        self.recorder = Recorder(desk.database)
        self.handover = Handover(desk.state, desk.database, self.recorder, 1)


@in_loop
async def test_a_service_that_runs_on_records_it(desk: Desk) -> None:
    other = Other(desk)
    await other.handover.take_over(NOW)
    assert await other.handover.took_over()
    await desk.leave(desk.accepted, desk.refused, desk.deferred)
    assert await other.handover.took_over()
    with desk.database.transaction() as conn:
        assert claims.end_leases(conn, LATER) == 0, "nothing is in doubt"
    assert [desk.confirmation(name) for name in "abc"] == ["sent", "failed: refused: 550", "pending"]
    assert (desk.files(), other.handover.notes) == ([], ())


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@in_loop
async def test_it_is_looked_for_again_and_again(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A third one, which does not share the folder, could end the leases."""
    monkeypatch.setattr(handover, "LOOK_SECONDS", 0.01)
    put_away, there = asyncio.Event(), spool.kept_aside
    loop = asyncio.get_running_loop()

    def kept_aside(state: StateDir) -> tuple[str, ...]:
        loop.call_soon_threadsafe(put_away.set)
        return there(state)

    other = Other(desk)
    await other.handover.take_over(NOW)
    await desk.leave(desk.accepted)
    monkeypatch.setattr(spool, "kept_aside", kept_aside)
    await put_away.wait()
    other.handover.stop_looking()
    assert (desk.confirmation("a"), desk.files()) == ("sent", [])


@pytest.mark.engines("both")
@in_loop
async def test_several_that_find_it_at_once_record_it_once(desk: Desk) -> None:
    others = [Other(desk) for _ in range(4)]
    for other in others:
        await other.handover.take_over(NOW)
    await desk.leave(desk.accepted, desk.deferred)
    assert all(await asyncio.gather(*(other.handover.took_over() for other in others)))
    assert [desk.confirmation(name) for name in "ac"] == ["sent", "pending"]
    assert desk.attempts() == ["sent", "", "deferred"]
    attempts = desk.ledger.sql("SELECT attempts FROM delivery WHERE id = :id", id=desk.claimed[2].id)
    assert [row.attempts for row in attempts] == [1], "counted once"
    assert desk.files() == []
    assert [other.handover.notes for other in others] == [()] * 4


@pytest.mark.parametrize("rest", ["", "aside-"])
@in_loop
async def test_another_one_may_put_it_away_meanwhile(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, rest: str
) -> None:
    other = Other(desk)
    await other.handover.take_over(NOW)
    await desk.leave(desk.accepted, desk.refused)
    (path,) = desk.state.folder.glob("spool-*")
    if rest:
        path.write_bytes(path.read_bytes()[:-20])
    put_away = spool.put_away

    def twice(*given: Any) -> None:
        put_away(*given)
        put_away(*given)

    monkeypatch.setattr(spool, "put_away", twice)
    assert await other.handover.took_over()
    assert desk.files() == [f"{rest}spool-"] * bool(rest)
    assert len(other.handover.notes) == bool(rest)


@in_loop
async def test_one_that_is_gone_when_it_is_opened_was_recorded_by_another(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Other(desk)
    await other.handover.take_over(NOW)
    await desk.leave(desk.accepted)
    monkeypatch.setattr(StateDir, "read", lambda state, name, longest=0: None)
    assert await other.handover.took_over()
    assert desk.files() == ["spool-"], "and not kept aside"


@in_loop
async def test_one_that_is_being_written_is_read_when_it_is_whole(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Other(desk)
    await other.handover.take_over(NOW)
    found: list[list[str]] = []
    writes = os.fsync

    def looks(descriptor: int) -> None:
        writes(descriptor)
        found.append(list(spool.read(desk.state)))

    monkeypatch.setattr(os, "fsync", looks)
    spool.write(desk.state, 0, restored.Identity("one", 0, False), [desk.accepted])
    assert found[0] == []
    assert len(found[-1]) == 1


@pytest.mark.parametrize("change", ["UPDATE ledger SET identity = 'another'", "DELETE FROM attempt"])
@in_loop
async def test_what_does_not_fit_is_left_to_a_start(desk: Desk, change: str) -> None:
    """Of a service on another database that keeps its state in the same folder, and comes back."""
    other = Other(desk)
    await other.handover.take_over(NOW)
    await desk.leave(desk.accepted, desk.refused)
    desk.ledger.sql(change)
    desk.ledger.sql("UPDATE delivery SET lease_token = 'others'")
    assert await other.handover.took_over()
    assert (desk.files(), other.handover.notes) == (["spool-"], ())


@in_loop
async def test_while_the_folder_hangs_leases_are_not_ended_for_a_minute(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Other(desk)
    await other.handover.take_over(NOW)
    begun, released, loop = asyncio.Event(), threading.Event(), asyncio.get_running_loop()

    def hangs(*_: object) -> list[Path]:
        loop.call_soon_threadsafe(begun.set)
        released.wait(20)
        return []

    with monkeypatch.context() as patched:
        patched.setattr(Path, "glob", hangs)
        looking = asyncio.create_task(other.handover.took_over())
        await begun.wait()
        pass_time(5)
        assert not await looking
        assert other.handover.notes == (Reason(Kind.STATE, "reading STATE_DIR: Hangs"),)
        pass_time(60)
        assert await other.handover.took_over(), "nobody waits for ever"
    released.set()


@in_loop
async def test_what_was_recorded_and_cannot_be_removed_is_recorded_once(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, written = Other(desk), 0
    await other.handover.take_over(NOW)
    await desk.leave(desk.accepted)
    write = other.recorder.write

    async def counted(outcomes: Iterable[Outcome]) -> set[int]:
        nonlocal written
        written += 1
        return await write(outcomes)

    monkeypatch.setattr(other.recorder, "write", counted)
    with monkeypatch.context() as patched:
        patched.setattr(StateDir, "remove", _not_permitted)
        for _ in range(3):
            assert not await other.handover.took_over()
        assert other.handover.notes == (Reason(Kind.STATE, "reading STATE_DIR: PermissionError"),)
    assert await other.handover.took_over()
    assert (written, desk.files(), other.handover.notes) == (1, [], ())


# What the ledger confirmed last


async def has_sent(desk: Desk) -> None:
    """A run that had its outcomes recorded, and ended."""
    await desk.take()
    await desk.recorder.write([desk.accepted])
    await desk.handover.leave([])


@in_loop
async def test_a_ledger_that_has_what_it_confirmed_is_not_touched(desk: Desk) -> None:
    await has_sent(desk)
    with desk.database.transaction() as conn:
        assert marks.missing(conn, marks.read(desk.state).marks.values()) is None
    await desk.take()
    assert [desk.confirmation(name) for name in "abc"] == ["sent", "sending", "sending"]


@pytest.mark.engines("both")
@pytest.mark.parametrize("lost", ["the attempt", "its outcome"])
@in_loop
async def test_a_ledger_that_lacks_it_was_set_back_and_holds_what_was_due_once(desk: Desk, lost: str) -> None:
    await has_sent(desk)
    desk.ledger.sql("UPDATE delivery SET state = 'pending' WHERE id = :id", id=desk.claimed[0].id)
    desk.ledger.sql(
        "DELETE FROM attempt WHERE delivery_id = :id"
        if lost == "the attempt"
        else "UPDATE attempt SET outcome = '' WHERE delivery_id = :id",
        id=desk.claimed[0].id,
    )
    with desk.database.transaction() as conn:
        assert marks.missing(conn, marks.read(desk.state).marks.values())
    await desk.take()
    assert {desk.confirmation(name) for name in "abc"} == {"held: restored"}
    with desk.database.transaction() as conn:
        assert restored.identity(conn).hold_planned, "those whose registration was lost, too"
        assert restored.send(conn, NOW, [one.id for one in desk.claimed]) == 3
    await desk.take()
    assert {desk.confirmation(name) for name in "abc"} == {"pending"}, "somebody has decided"


@in_loop
async def test_a_service_that_has_sent_nothing_since_its_start_notices_too(desk: Desk) -> None:
    """It was started again, and then the database was set back under it."""
    held: list[object] = []
    await has_sent(desk)
    desk.recorder = Recorder(desk.database, held.append)
    desk.handover = Handover(desk.state, desk.database, desk.recorder, 0)
    await desk.handover.take_over(LATER)
    await desk.recorder.until_recorded()
    assert not held
    desk.ledger.sql("DELETE FROM attempt")
    await desk.recorder.until_recorded()
    assert held
    await desk.handover.leave([])


@pytest.mark.engines("both")
@in_loop
async def test_a_folder_of_another_database_ends_the_start_and_keeps_what_it_knows(desk: Desk) -> None:
    """Somebody mistyped DATABASE_URL, and all that is empty now looks right; or the other service comes back."""
    await has_sent(desk)
    ((identity,),) = desk.ledger.sql("SELECT identity FROM ledger")
    desk.ledger.sql("UPDATE ledger SET identity = 'another'")
    for _ in range(2):
        with pytest.raises(
            marks.StateOfAnother, match=r"^STATE_DIR \(.*/state\) is another database's: that one"
        ):
            await desk.take()
    desk.ledger.sql("UPDATE ledger SET identity = :identity", identity=identity)
    await desk.take()
    assert desk.handover.notes == ()


@in_loop
async def test_two_databases_that_are_meant_to_share_a_folder_have_marks_side_by_side(desk: Desk) -> None:
    await has_sent(desk)
    ((identity,),) = desk.ledger.sql("SELECT identity FROM ledger")
    marks.note_ledger(desk.state, "another")
    for name in ("another", identity, "another"):
        desk.ledger.sql("UPDATE ledger SET identity = :name", name=name)
        await desk.take()
        await desk.handover.leave([])
        assert desk.handover.notes == ()
    assert {mark.ledger for mark in marks.read(desk.state).marks.values()} == {"another", identity}


@in_loop
async def test_a_database_with_which_nothing_was_sent_yet_is_known_when_it_comes_back(desk: Desk) -> None:
    """Both were started with this folder; only the other one has sent."""
    desk.ledger.sql("DELETE FROM attempt")
    await desk.take()
    await desk.handover.leave([])
    other = marks.Mark("another", Known(1, "t", "w", NOW, has_outcome=True, restorations=0), NOW)
    desk.state.write("ledger-0000000a", marks._content(other))
    await desk.take()
    assert desk.handover.notes == ()


@pytest.mark.parametrize(
    ("mode", "words"), [(0o500, "let that user read and write"), (0o300, "Without it we cannot know")]
)
@in_loop
async def test_a_folder_that_this_user_may_not_use_is_named_with_what_to_do(
    desk: Desk, mode: int, words: str
) -> None:
    """What can't be written costs no mail; what can't be read may."""
    desk.state.folder.mkdir(mode=mode)
    with unprivileged():
        if mode == 0o300:
            with pytest.raises(marks.StateUnreadable, match=words):
                await desk.take()
            return
        await desk.take()
        await until(lambda: desk.handover.notes)
    (note,) = desk.handover.notes
    assert note.words.startswith(
        f"STATE_DIR: {desk.state.folder} can't be used by the user {this_user()} (permission denied)"
    )
    assert words in note.words
    assert note.kind is Kind.STATE


@in_loop
async def test_an_operator_may_have_said_so_before_the_start(desk: Desk) -> None:
    desk.state.write(HOLD, b"")
    await desk.take()
    assert {desk.confirmation(name) for name in "abc"} == {"held: restored"}
    assert desk.state.read(HOLD) is None


@in_loop
async def test_who_wrote_that_word_may_be_somebody_whose_files_the_service_cannot_read(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`webinar restored --hold`, as root."""
    desk.state.write(HOLD, b"")
    monkeypatch.setattr(StateDir, "read", _not_permitted)
    await desk.take()
    assert {desk.confirmation(name) for name in "abc"} == {"held: restored"}
    assert not desk.state.path(HOLD).exists(), "once is enough"


@in_loop
async def test_a_mark_that_cannot_be_read_ends_the_start_and_names_the_file(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await has_sent(desk)
    monkeypatch.setattr(StateDir, "read", _not_permitted)
    with pytest.raises(marks.StateUnreadable, match=r"state/ledger-[\w-]+ can't be read \(not permitted\)"):
        await desk.take()


def _not_permitted(state: StateDir, name: str, longest: object = 0) -> bytes:
    raise PermissionError(13, "Not permitted")


@in_loop
async def test_another_ledger_is_not_judged_by_it(desk: Desk) -> None:
    await has_sent(desk)
    desk.ledger.sql("UPDATE ledger SET identity = 'another'")
    desk.ledger.sql("DELETE FROM attempt")
    marks.note_ledger(desk.state, "another")
    await desk.take()
    assert desk.confirmation("a") == "sent"


def _mark(**changed: Any) -> bytes:
    known = {
        "delivery": 1,
        "token": "t",
        "webinar": "w",
        "due_at": NOW.isoformat(),
        "has_outcome": True,
        "restorations": 0,
    }
    return json.dumps({"ledger": "LEDGER", "at": NOW.isoformat(), "known": known | changed}).encode()


NO_MARKS = [
    b"\xff[", b'{"ledger": 1}', b"null", b"[" * 200_000, b"[]", b'{"ledger": "LEDGER", "known": []}',
    b"x" * 17 * 2**10, b"", _mark(delivery=float("inf")), _mark(delivery=float("nan")), _mark(delivery=10**30),
    _mark(token="\0"), _mark(webinar="\ud800"), _mark(due_at="2025-06-12T08:00:00"), _mark(due_at=3),
]  # fmt: skip


@pytest.mark.parametrize("content", NO_MARKS, ids=range(len(NO_MARKS)))
@in_loop
async def test_a_file_that_is_no_mark_says_nothing_and_is_named(desk: Desk, content: bytes) -> None:
    with desk.database.reading() as conn:
        ledger = restored.identity(conn).name.encode()
    desk.state.write("ledger-0000000a", content.replace(b"LEDGER", ledger))
    await desk.take()
    assert desk.confirmation("a") == "sending"
    (note,) = desk.handover.notes
    assert note.words.startswith("ledger-0000000a in STATE_DIR is damaged")


def _of_size(path: Path) -> None:
    with path.open("wb") as opened:
        opened.truncate(17 * 2**20)


def _linked(path: Path) -> None:
    path.symlink_to("/dev/zero")


OTHERS = ["ledger-backup.db", "ledger-2025", "ledger-0000000A", "spool-x", "spool-00000000-20250612.bak"]


@pytest.mark.parametrize("make", [_of_size, Path.mkdir, os.mkfifo, _linked])
@in_loop
async def test_what_others_keep_there_is_left_alone(desk: Desk, make: Callable[[Path], None]) -> None:
    desk.state.folder.mkdir()
    names = OTHERS if make is _of_size else [*OTHERS, HOLD]
    for name in names:
        make(desk.state.path(name))
    await desk.take()
    assert desk.confirmation("a") == "sending"
    there = [
        path.name for path in desk.state.folder.iterdir() if not path.name.startswith((marks.KNOWN, RESERVE))
    ]
    assert sorted(there) == sorted(names)
    assert desk.handover.notes == ()


@pytest.mark.parametrize("make", [_of_size, Path.mkdir, os.mkfifo, _linked])
@in_loop
async def test_no_file_of_our_own_names_keeps_a_service_from_starting(
    desk: Desk, make: Callable[[Path], None]
) -> None:
    desk.state.folder.mkdir()
    make(desk.state.path("ledger-0000000a"))
    make(desk.state.path("spool-0000000a-20250612T080000000001"))
    await desk.take()
    assert desk.confirmation("a") == "sending"
    mark, spooled = desk.handover.notes
    assert mark.words.startswith("ledger-0000000a in STATE_DIR is damaged")
    assert spooled.words.startswith("aside-spool-0000000a-20250612T080000000001")


@in_loop
async def test_a_spool_of_another_version_is_kept_aside(desk: Desk) -> None:
    text = b'{"ledger": "one"}'
    desk.state.write(
        "spool-0000000a-20250612T080000000001", f"{zlib.crc32(text):08x} ".encode() + text + b"\n"
    )
    await desk.take()
    assert desk.files() == ["aside-spool-"]


@pytest.mark.parametrize("where", ["marks", "spools", "the operator's word"])
@in_loop
async def test_a_folder_that_hangs_ends_the_start_and_keeps_no_thread_of_the_database(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    loop, begun, released = asyncio.get_running_loop(), asyncio.Event(), threading.Event()
    threads = list[str]()

    def hangs(*_: object) -> None:
        threads.append(threading.current_thread().name)
        loop.call_soon_threadsafe(begun.set)
        released.wait(20)

    module, name = {
        "marks": (marks, "read"),
        "spools": (spool, "read"),
        "the operator's word": (StateDir, "has"),
    }[where]
    monkeypatch.setattr(module, name, hangs)
    taking = asyncio.create_task(desk.take())
    await begun.wait()
    pass_time(31)
    with pytest.raises(marks.StateUnreadable, match=r"^STATE_DIR \(.*state\) does not answer for 30 seconds"):
        await taking
    assert threads == ["STATE_DIR"]
    released.set()


@in_loop
async def test_marks_of_services_that_are_gone_are_removed_but_for_the_newest(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(marks, "KEPT_SECONDS", -1.0)
    await has_sent(desk)
    (file,) = desk.state.folder.glob("ledger-*")
    first = file.read_bytes()
    for holder in (1, 2):
        desk.state.write(f"ledger-{holder:08x}", first)
    await desk.take()
    assert len(list(desk.state.folder.glob("ledger-*"))) == 1


def test_spools_of_the_same_moment_have_names_of_their_own(desk: Desk) -> None:
    ledger = restored.Identity("one", 0, False)
    first = spool.write(desk.state, 0, ledger, [desk.accepted])
    assert spool.write(desk.state, 0, ledger, [replace(desk.accepted, reply="")]) != first
