"""Edits while the service runs: absorbed when they are sound, reported when they are not, and never lost."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from scheduler import alerts
from scheduler.database.engine import Database, execute
from scheduler.governing import folder, saving, trials
from scheduler.governing.governor import Governor
from scheduler.governing.webinars import propose_webinars
from scheduler.mail.text.layout import Layout
from scheduler.mail.trial.pairs import Pair
from scheduler.mail.trial.runner import NotTried
from scheduler.readiness import Kind, Reason
from scheduler.settings import Settings
from tests.governing.trying import quick_trials
from tests.mail.samples import TEMPLATES
from tests.smtp_server import in_loop
from tests.support import Ledger, copy_texts, toml, utc, webinar

NOW = utc("2025-06-12 08:00")
FIRST, SECOND = "First subject", "Second subject"


def is_broken(source: str, layout: Layout, pair: Pair) -> bool:
    """With one webinar alone where the text names it."""
    with_one = pair.webinar is not None and f"FAILS WITH {pair.webinar.id} " in source
    return "BROKEN" in source or with_one


class Desk:
    """The two folders, and the service's reader of them."""

    def __init__(self, root: Path, database: Database) -> None:
        self.root, self.database, self.now = root, database, NOW
        (root / "webinars").mkdir()
        (root / "templates" / "_layout").mkdir(parents=True)
        shutil.copy(TEMPLATES / "_layout" / "layout.html", root / "templates" / "_layout")
        self.webinar(toml())
        for message in (
            "confirmation",
            "reminder-day",
            "reminder-hour",
            "follow-up",
            "change",
            "cancellation",
        ):
            self.text(FIRST, message)
        settings = Settings.model_validate({"config_dir": root, "templates_dir": root / "templates"})
        self.settings = settings
        self.governor = Governor(settings, database, drafts_too=False)
        self.tried: list[Pair] = []

    def webinar(self, source: str, name: str = "w") -> None:
        (self.root / "webinars" / f"{name}.toml").write_text(source, encoding="utf-8")

    def text(self, subject: str, message: str = "confirmation", language: str = "en") -> None:
        path = self.root / "templates" / message / f"{language}.md"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"---\nsubject: {subject}\npreheader: Soon\n---\nHello\n", encoding="utf-8")

    def layout(self, source: str) -> None:
        (self.root / "templates" / "_layout" / "layout.html").write_text(source, encoding="utf-8")

    async def settle(self) -> bool:
        """Two polls, for a change counts after two reads that agree; and one when its texts are tried."""
        self.now += timedelta(seconds=2)
        first = await self.governor.poll(self.now)
        second = await self.governor.poll(self.now)
        await self.governor.until_tried()
        return await self.governor.poll(self.now) or first or second

    def subject(self, message: str = "confirmation", wanted: str = "en") -> str | None:
        found = self.governor.texts.find(self.governor.catalogue.webinars["w"], message, wanted)
        return None if found is None else found.text.render(_facts()).subject

    def problems(self) -> str:
        return "\n".join(map(str, self.governor.problems()))

    def told(self) -> list[tuple[str, str]]:
        """What is wrong, and who gets a mail of it."""
        with self.database.transaction() as conn:
            telling = [one for one in alerts.due_mails(conn, self.now) if alerts.claim(conn, self.now, one)]
        return sorted((one.key, one.alert_to) for one in telling)

    def mails(self) -> list[tuple[str, str]]:
        with self.database.transaction() as conn:
            telling = [one for one in alerts.due_mails(conn, self.now) if alerts.claim(conn, self.now, one)]
        return sorted(("right" if one.resolved else "wrong", one.key) for one in telling)

    def words(self) -> list[str]:
        """What the next mails say."""
        with self.database.transaction() as conn:
            telling = [one for one in alerts.due_mails(conn, self.now) if alerts.claim(conn, self.now, one)]
        return [one.words for one in telling]


def _facts() -> Any:
    from tests.mail.samples import facts

    return facts()


@pytest.fixture
def desk(sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    (tmp_path / "desk").mkdir()
    database = Database(sqlite_url)
    monkeypatch.setattr("scheduler.governing.templates.NICENESS", 0)  # however busy the machine is
    desk = Desk(tmp_path / "desk", database)
    with quick_trials(monkeypatch, is_broken) as desk.tried:
        yield desk
    database.close()


@in_loop
async def test_a_start_reads_everything_at_once(desk: Desk) -> None:
    await desk.governor.start(NOW)
    assert desk.governor.live == ["w"]
    assert desk.subject() == FIRST
    assert desk.problems() == ""
    assert not await desk.settle(), "nothing was edited since"


@in_loop
async def test_an_edited_text_goes_out_once_it_has_settled(desk: Desk) -> None:
    await desk.governor.start(NOW)
    desk.text(SECOND)
    assert not await desk.governor.poll(NOW)
    assert desk.subject() == FIRST
    assert await desk.governor.poll(NOW)
    await desk.governor.until_tried()
    assert await desk.governor.poll(NOW)
    assert desk.subject() == SECOND


@in_loop
async def test_broken_and_fixed_the_organizer_has_two_mails(desk: Desk) -> None:
    await desk.governor.start(NOW)
    desk.text("BROKEN")
    await desk.settle()
    assert desk.subject() == FIRST
    assert "confirmation/en.md: broken" in desk.problems()
    assert desk.mails() == [("wrong", "text confirmation/en")]
    desk.text("BROKEN in another way")
    await desk.settle()
    assert desk.mails() == []
    desk.text(SECOND)
    await desk.settle()
    assert desk.subject() == SECOND
    assert desk.problems() == ""
    assert desk.mails() == [("right", "text confirmation/en")]


@in_loop
async def test_the_person_who_saved_a_broken_text_in_the_editor_is_notified_too(
    desk: Desk,
) -> None:
    await desk.governor.start(NOW)
    desk.text("BROKEN")
    source = (desk.root / "templates/confirmation/en.md").read_text("utf-8")
    with desk.database.transaction() as conn:
        saving.record_save(conn, NOW, ("confirmation", "en"), "", source, "ada@who.int", "")
        saving.record_save(
            conn, NOW, ("follow-up", "en"), "", "something else than the file", "bob@who.int", ""
        )
    desk.text("BROKEN", "follow-up")
    await desk.settle()
    assert desk.told() == [
        ("text confirmation/en", "ada@who.int"),
        ("text confirmation/en", "organizer@who.int"),
        ("text follow-up/en", "organizer@who.int"),
    ]
    desk.text(SECOND)
    await desk.settle()
    assert ("right", "text confirmation/en") in desk.mails()


@in_loop
async def test_the_same_of_a_webinars_file(desk: Desk) -> None:
    await desk.governor.start(NOW)
    desk.webinar(toml(start="nonsense"))
    await desk.settle()
    assert desk.governor.live == ["w"]
    assert not desk.governor.catalogue.is_of_file("w")
    assert [kind for kind, _ in desk.mails()] == ["wrong"]
    desk.webinar(toml(title="Fixed"))
    await desk.settle()
    assert desk.governor.catalogue.is_of_file("w")
    assert [kind for kind, _ in desk.mails()] == ["right"]
    assert desk.problems() == ""


@in_loop
async def test_another_mistake_in_a_broken_file_is_reported_with_the_mails_that_still_go_out(
    desk: Desk,
) -> None:
    await desk.governor.start(NOW)
    desk.webinar(toml(start="nonsense"))
    await desk.settle()
    (first,) = desk.words()
    assert "w.toml, line" in first
    assert first.endswith("Until then its last sound revision governs, if there is one.")
    desk.webinar(toml(start="nonsense", zone="Genva"))
    await desk.settle()
    assert desk.words() == []
    desk.now += alerts.AGAIN_AFTER
    await desk.settle()
    (second,) = desk.words()
    assert "nonsense" in second
    assert "Genva" in second
    desk.now += alerts.AGAIN_AFTER
    desk.webinar(toml(id="v", alert_to="v@wto.org"), "v")
    await desk.settle()
    assert desk.words() == [], "its mistakes are the same"


@in_loop
async def test_only_those_are_told_of_a_broken_text_who_use_it(desk: Desk) -> None:
    only = '[[messages]]\nid = "hello"\non_registration = true\n'
    desk.webinar(toml(only, id="v", alert_to="v@wto.org"), "v")
    desk.webinar(toml(id="u", alert_to="draft@wto.org", status="draft"), "u")
    desk.text(FIRST, "hello")
    await desk.governor.start(NOW)
    desk.text("BROKEN", "hello")
    desk.text("BROKEN", "reminder-day")
    await desk.settle()
    with desk.database.transaction() as conn:
        told = {(one.key, one.alert_to) for one in alerts.due_mails(conn, desk.now)}
    assert told == {("text hello/en", "v@wto.org"), ("text reminder-day/en", "organizer@who.int")}


@in_loop
async def test_a_text_that_no_webinar_uses_is_no_trouble_whatever_it_says(desk: Desk) -> None:
    """Nor is a file whose name is no language, or one that an editor left behind."""
    desk.text("BROKEN", "invented")
    desk.text("BROKEN", "confirmation", "de")
    for name in ("en (1)", "._en", "en.md"):
        desk.text("BROKEN", "confirmation", name)
    await desk.governor.start(NOW)
    await desk.settle()
    assert desk.problems() == ""
    assert desk.told() == []
    assert desk.subject() == FIRST


@in_loop
async def test_a_draft_that_goes_live_and_back(desk: Desk) -> None:
    desk.webinar(toml(status="draft"))
    await desk.governor.start(NOW)
    assert desk.governor.live == []
    desk.webinar(toml())
    await desk.settle()
    assert desk.governor.live == ["w"]
    desk.webinar(toml(status="draft"))
    await desk.settle()
    assert desk.governor.live == []


@in_loop
async def test_a_rehearsal_sends_drafts_too(desk: Desk) -> None:
    desk.webinar(toml(status="draft"))
    settings = Settings.model_validate({"config_dir": desk.root, "templates_dir": desk.root / "templates"})
    sources = Governor(settings, desk.database, drafts_too=True)
    await sources.start(NOW)
    assert sources.live == ["w"]


@in_loop
async def test_an_edit_whose_transaction_is_rolled_back_does_not_govern_here_alone(desk: Desk) -> None:
    await desk.governor.start(NOW)
    answering = desk.database.run

    async def rolled_back(function: Any, *given: Any) -> Any:
        if function is not propose_webinars:
            return await answering(function, *given)
        with desk.database.engine.connect() as conn:  # no commit
            function(conn, *given)
        raise OperationalError("COMMIT", {}, OSError())

    with pytest.MonkeyPatch.context() as broken:
        broken.setattr(desk.database, "run", rolled_back)
        desk.webinar(toml(title="Another title"))
        with pytest.raises(OperationalError):
            await desk.settle()
    governing = await answering(desk.governor.revisions.governing)
    assert governing["w"].webinar.title == "Buying health products"
    await desk.settle()
    governing = await answering(desk.governor.revisions.governing)
    assert governing["w"].webinar.title == "Another title"


@in_loop
async def test_an_edit_at_a_moment_when_the_database_does_not_answer_is_not_lost(desk: Desk) -> None:
    await desk.governor.start(NOW)
    desk.text(SECOND)
    desk.webinar(toml(title="Another title"))
    await desk.governor.poll(NOW)
    answering = desk.database.run

    async def down(*_: object, **__: object) -> None:
        raise OperationalError("SELECT 1", {}, Exception("down"))

    desk.database.run = down  # type: ignore[method-assign,assignment]
    for _ in range(3):
        with pytest.raises(OperationalError):
            await desk.governor.poll(NOW)
    desk.database.run = answering  # type: ignore[method-assign]
    assert desk.subject() == FIRST
    assert await desk.settle()
    assert desk.subject() == SECOND
    assert desk.governor.catalogue.webinars["w"].title == "Another title"


@in_loop
async def test_texts_that_cannot_be_tried_are_no_mistake_and_wait_while_what_governed_goes_on(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await desk.governor.start(NOW)
    monkeypatch.setattr(trials, "FIRST_RETRY_SECONDS", 0.01)

    def fails(*_: object, **__: object) -> None:
        raise NotTried("the machine is busy")

    with monkeypatch.context() as patched:
        patched.setattr(trials, "try_pairs", fails)
        desk.text(SECOND)
        await desk.settle()
        waits = "texts cannot be tried, so new ones wait: the machine is busy"
        assert desk.governor.reasons == (Reason(Kind.NOT_TRIED, waits),)
        assert desk.subject() == FIRST
        assert desk.problems() == ""
        assert desk.mails() == []
        patched.undo()
        async with asyncio.timeout(20):
            while desk.subject() != SECOND:  # by itself
                await asyncio.sleep(0.02)
                await desk.governor.poll(desk.now)
    assert desk.governor.reasons == ()


@in_loop
async def test_a_fault_of_ours_in_front_of_a_file_is_told_and_what_governed_goes_on(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await desk.governor.start(NOW)

    def fails(*_: object) -> None:
        raise RuntimeError("a bug of this program")

    with monkeypatch.context() as patched:
        patched.setattr("scheduler.governing.templates.pairs_of", fails)
        desk.text(SECOND)
        assert await desk.settle()
        assert not await desk.settle(), "it is not read again and again"
        assert desk.subject() == FIRST
        assert "reading them failed: RuntimeError" in desk.problems()
    desk.text(SECOND + " edited")
    await desk.settle()
    assert desk.problems() == ""
    assert desk.subject() == SECOND + " edited"


# The layout


@in_loop
async def test_a_broken_layout_leaves_the_texts_as_they_are_and_is_reported(desk: Desk) -> None:
    await desk.governor.start(NOW)
    sound = (TEMPLATES / "_layout" / "layout.html").read_text("utf-8")
    desk.layout("<p>no place for the text</p>")
    await desk.settle()
    assert desk.subject() == FIRST
    assert "layout.html" in desk.problems()
    assert desk.mails() == [("wrong", "layout")]
    desk.layout(sound)
    await desk.settle()
    assert desk.problems() == ""
    assert desk.mails() == [("right", "layout")]


# What was held


async def _held(desk: Desk, message: str = "confirmation", reason: str = "template") -> Ledger:
    ledger = Ledger(desk.database)
    ledger.govern(webinar())
    ledger.register("a@example.org")
    ledger.plan(NOW)
    ledger.sql(
        "UPDATE delivery SET state = 'held', reason = :reason WHERE message = :message",
        message=message,
        reason=reason,
    )
    return ledger


@pytest.mark.parametrize("reason", ["template", "data"])
def test_what_was_held_goes_when_its_text_is_fixed(desk: Desk, reason: str) -> None:
    @in_loop
    async def test() -> None:
        desk.text("BROKEN")
        await desk.governor.start(NOW)
        ledger = await _held(desk, reason=reason)
        desk.text("BROKEN still")
        await desk.settle()
        assert ledger.states()["confirmation"] == f"held: {reason}"
        desk.text(FIRST)
        await desk.settle()
        assert ledger.states()["confirmation"] == "pending"

    test()


@pytest.mark.parametrize("reason", ["doubt", "config"])
def test_what_was_held_for_another_reason_stays(desk: Desk, reason: str) -> None:
    @in_loop
    async def test() -> None:
        await desk.governor.start(NOW)
        ledger = await _held(desk, reason=reason)
        desk.text(SECOND)
        await desk.settle()
        assert ledger.states()["confirmation"] == f"held: {reason}"

    test()


@in_loop
async def test_what_was_held_goes_when_the_webinar_no_longer_wants_it_held(desk: Desk) -> None:
    desk.webinar(toml(on_broken="hold"))
    await desk.governor.start(NOW)
    desk.text("BROKEN")
    await desk.settle()
    ledger = await _held(desk)
    desk.webinar(toml(on_broken="hold", title="Another title"))
    await desk.settle()
    assert desk.subject() is None
    assert ledger.states()["confirmation"] == "held: template"
    desk.webinar(toml(on_broken="last-sound"))
    await desk.settle()
    assert desk.subject() == FIRST
    assert ledger.states()["confirmation"] == "pending"


@in_loop
async def test_a_mail_that_is_no_longer_useful_stays_held(desk: Desk) -> None:
    desk.text("BROKEN")
    await desk.governor.start(NOW)
    ledger = await _held(desk)
    with desk.database.transaction() as conn:
        execute(conn, "UPDATE delivery SET expires_at = :now", now=NOW)
    desk.text(FIRST)
    await desk.settle()
    assert ledger.states()["confirmation"] == "held: template"


# With the real check


@in_loop
async def test_a_webinar_that_is_long_over_costs_the_check_of_texts_nothing(desk: Desk) -> None:
    over = {"start": datetime(2024, 7, 3, 13), "end": datetime(2024, 7, 3, 15)}
    desk.webinar(toml(id="past", **over), "past")
    await desk.governor.start(NOW)
    assert {pair.webinar.id for pair in desk.tried if pair.webinar} == {"w"}


def test_the_shipped_texts_and_an_unknown_variable_in_one_of_them(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        monkeypatch.undo()  # the real trials, in a child process
        copy_texts(desk.root / "templates", "en")
        await desk.governor.start(NOW)
        assert desk.problems() == ""
        shipped = desk.subject()
        path = desk.root / "templates" / "confirmation" / "en.md"
        path.write_text(path.read_text("utf-8") + "\n{{ join_ulr }}\n", encoding="utf-8")
        await desk.settle()
        assert "join_url" in desk.problems()
        assert desk.subject() == shipped
        assert desk.mails() == [("wrong", "text confirmation/en")]

    asyncio.run(test())  # for as long as it takes


@in_loop
async def test_folders_that_hang_keep_nothing_from_going_by_what_governs(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network folder that does not answer, for a service that runs and for one that starts."""
    await desk.governor.start(NOW)
    answers, read = threading.Event(), folder._read

    def hang(path: Path) -> bytes:
        assert answers.wait(60)
        return read(path)

    monkeypatch.setattr(folder, "_read", hang)
    monkeypatch.setattr(folder, "PATIENCE", 0.01)
    monkeypatch.setattr(folder, "HANGS_AFTER", 0.01)
    desk.text(SECOND)
    assert not await desk.governor.poll(NOW)
    assert desk.subject() == FIRST
    restarted = Governor(desk.settings, desk.database, drafts_too=False)
    await restarted.start(NOW)
    governing = await desk.database.run(restarted.revisions.governing)
    restarted.adopt(governing)
    assert restarted.live == ["w"]
    assert restarted.texts.find(restarted.catalogue.webinars["w"], "confirmation", "en")
    assert restarted.problems() == []
    assert {one.kind for one in restarted.reasons} == {Kind.FOLDER_SLOW}
    assert "does not answer" in restarted.reasons[0].words
    answers.set()
    monkeypatch.setattr(folder, "PATIENCE", 60.0)
    await desk.settle()
    await desk.settle()
    assert desk.subject() == SECOND


@in_loop
async def test_files_that_are_too_large_are_named(desk: Desk) -> None:
    await desk.governor.start(NOW)
    desk.webinar("# " + "x" * 2_000_000, "large")
    desk.text("x" * 200_001)
    await desk.settle()
    assert "large.toml: more than 256,000 characters; allowed: at most 256,000" in desk.problems()
    assert desk.subject() == FIRST
