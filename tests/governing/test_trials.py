"""Trials run in the background: what governs goes out in the meantime, and nothing is reported before it is known."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from scheduler.clock import VirtualClock
from scheduler.database.engine import Database, execute
from scheduler.mail.text.layout import Layout
from scheduler.mail.texts import Key
from scheduler.mail.trial.pairs import Pair
from scheduler.mail.trial.runner import KNOWN, Found
from scheduler.service.service import Service
from scheduler.settings import Settings
from tests.governing.trying import quick_trials
from tests.smtp_server import MailServer, in_loop
from tests.support import Ledger, copy_texts, toml, utc

NOW = utc("2025-06-20 08:00")


def is_broken(source: str, _: Layout, pair: Pair) -> bool:
    """With webinars whose title says so."""
    return pair.webinar is not None and "BREAKS TEXTS" in pair.webinar.title


class Room:
    """A service with live webinars, of which trials can be kept waiting."""

    def __init__(self, folder: Path, database: Database, server: MailServer) -> None:
        self.folder, self.database, self.ledger = folder, database, Ledger(database)
        self.server, self.clock = server, VirtualClock(NOW)
        self.tried: list[Pair] = []
        (folder / "webinars").mkdir()
        copy_texts(folder / "templates", "en")
        self.settings = Settings.model_validate(
            {
                "config_dir": folder,
                "templates_dir": folder / "templates",
                "smtp_host": server.host,
                "smtp_port": server.port,
                "smtp_tls": "none",
            }
        )

    def webinar(self, name: str = "w", **changed: Any) -> None:
        changed = {"id": name, "languages": ["en"], "alert_to": f"{name}@who.int"} | changed
        (self.folder / "webinars" / f"{name}.toml").write_text(toml(**changed), encoding="utf-8")

    async def start(self) -> Service:
        service = Service(self.settings, self.database, self.clock)
        await service.start()
        return service

    async def tick(self, service: Service, times: int = 3) -> None:
        """An edit counts after two ticks that find the same."""
        for _ in range(times):
            self.clock.move_to(self.clock.now() + timedelta(seconds=2))
            while await service.tick(self.clock.now()):
                pass
            await service.settled()

    def sent(self) -> list[str]:
        return sorted(one for mail in self.server.mails for one in mail.recipients)


class Stuck:
    """Trials that stop at the first pair that `at` says, until they may go on."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, at: Callable[[Pair], bool] = lambda pair: True
    ) -> None:
        from scheduler.governing import trials

        self.goes_on, self.came = threading.Event(), threading.Event()
        quick = trials.try_pairs

        def try_pairs(
            pairs: Sequence[Pair], sources: Mapping[Key, str], layout: Layout,
            record: Callable[[str, Found], None], enough: Callable[[], bool], **_: Any,
        ) -> None:  # fmt: skip
            for pair in pairs:
                while at(pair) and not self.goes_on.wait(0.02):
                    self.came.set()
                    if enough():
                        return
                quick([pair], sources, layout, record)

        monkeypatch.setattr(trials, "try_pairs", try_pairs)


@pytest.fixture
def trials(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Pair]]:
    with quick_trials(monkeypatch, is_broken) as tried:
        yield tried


@in_loop
async def test_an_edited_title_delays_no_mail_and_says_nothing_to_organizers(
    tmp_path: Path, sqlite_url: str, trials: list[Pair], monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(sqlite_url)
    async with MailServer() as server:
        room = Room(tmp_path, database, server)
        room.webinar()
        service = await room.start()
        stuck = Stuck(monkeypatch)
        room.webinar(title="Another title")
        await room.tick(service)
        assert await asyncio.to_thread(stuck.came.wait, 20), "its texts are being tried"
        room.ledger.register("late@people.test", "w")
        await room.tick(service, 1)
        assert room.sent() == ["late@people.test"]
        assert b"Another title" in server.mails[0].content
        assert service.readiness().ready
        assert service.readiness().notes == ()
        stuck.goes_on.set()
        await service.governor.until_tried()
        await room.tick(service)
        assert room.sent() == ["late@people.test"]
        await service.stop()
    database.close()


@pytest.mark.parametrize("many", [5, pytest.param(75, marks=pytest.mark.full)])
def test_at_a_first_start_mails_of_many_webinars_go_out_before_all_are_tried(
    tmp_path: Path, sqlite_url: str, trials: list[Pair], monkeypatch: pytest.MonkeyPatch, many: int
) -> None:
    """From 75 webinars on, a first start held everything."""

    async def test(server: MailServer) -> None:
        room = Room(tmp_path, database, server)
        for number in range(many):
            room.webinar(f"w{number:02}")
            room.ledger.register(f"a{number:02}@people.test", f"w{number:02}")
        stuck = Stuck(monkeypatch, lambda pair: pair.concerns > "w01")
        service = await room.start()
        await room.tick(service, 2)
        assert await asyncio.to_thread(stuck.came.wait, 20)
        assert not stuck.goes_on.is_set()
        assert room.sent() == [f"a{number:02}@people.test" for number in range(many)]
        with database.reading() as conn:
            assert execute(conn, "SELECT count(*) FROM text_revision").scalar_one() == 0, (
                "none is known to be sound"
            )
        stuck.goes_on.set()
        await service.governor.until_tried()
        await room.tick(service, 2)
        with database.reading() as conn:
            assert execute(conn, "SELECT count(*) FROM text_revision").scalar_one() == 7
        await service.stop()

    async def main() -> None:
        async with MailServer() as server:
            await test(server)

    database = Database(sqlite_url)
    asyncio.run(main())  # for as long as it takes
    database.close()


@in_loop
async def test_what_was_tried_is_not_tried_again_after_a_restart_nor_for_another_rule(
    tmp_path: Path, database: Database, trials: list[Pair]
) -> None:
    async with MailServer() as server:
        room = Room(tmp_path, database, server)
        room.webinar("v")
        room.webinar("w")
        service = await room.start()
        await service.governor.until_tried()
        await room.tick(service)
        assert len(trials) == len({pair.digest for pair in trials}) == 7 * 3
        await service.stop()

        KNOWN.clear()  # as another process
        service = await room.start()
        room.webinar("w", on_doubt="hold", alert_to="others@who.int", notice_after="1h")
        await room.tick(service)
        await service.governor.until_tried()
        assert len(trials) == 7 * 3

        room.webinar("w", title="Another title")
        await room.tick(service)
        await service.governor.until_tried()
        assert [pair.concerns for pair in trials[7 * 3 :]] == ["w"] * 7
        await service.stop()


@in_loop
async def test_a_text_that_is_unsound_with_one_webinar_stops_no_other(
    tmp_path: Path, sqlite_url: str, trials: list[Pair]
) -> None:
    database = Database(sqlite_url)
    async with MailServer() as server:
        room = Room(tmp_path, database, server)
        room.webinar("bad", title="It BREAKS TEXTS", on_broken="hold")
        room.webinar("good", on_broken="hold")
        for name in ("bad", "good"):
            room.ledger.register(f"{name}@people.test", name)
        service = await room.start()
        await service.governor.until_tried()
        await room.tick(service)
        assert room.sent() == ["bad@who.int"] * 7 + ["good@people.test"], "who is concerned is told"
        assert room.ledger.states("bad@people.test")["confirmation"] == "held: template"
        room.webinar("bad", on_broken="hold")
        await room.tick(service)
        await service.governor.until_tried()
        await room.tick(service)
        assert "bad@people.test" in room.sent()
        await service.stop()
    database.close()


@in_loop
async def test_what_was_wrong_is_not_said_to_be_right_while_it_is_tried_again(
    tmp_path: Path, sqlite_url: str, trials: list[Pair], monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(sqlite_url)
    async with MailServer() as server:
        room = Room(tmp_path, database, server)
        room.webinar()
        service = await room.start()
        room.webinar(title="It BREAKS TEXTS")
        for _ in range(2):
            await room.tick(service)
            await service.governor.until_tried()
        assert room.sent() == ["w@who.int"] * 7
        stuck = Stuck(monkeypatch)
        room.webinar(title="It BREAKS TEXTS as well")
        await room.tick(service)
        assert await asyncio.to_thread(stuck.came.wait, 20)
        await service.stop()
        service = await room.start()
        await room.tick(service)
        assert room.sent() == ["w@who.int"] * 7, "neither by an edit nor by a restart"
        stuck.goes_on.set()
        await service.governor.until_tried()
        await room.tick(service)
        assert room.sent() == ["w@who.int"] * 7
        room.webinar(title="A title")
        for _ in range(2):
            await room.tick(service)
            await service.governor.until_tried()
        assert room.sent() == ["w@who.int"] * 14
        await service.stop()
    database.close()
