"""One revision of each text and of the layout goes out, whatever the services' folders hold."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from scheduler import alerts
from scheduler.database.engine import Database, execute
from scheduler.governing.governor import Governor
from scheduler.mail.text.layout import FILE, Layout
from scheduler.mail.text.templates import Rendered
from scheduler.mail.trial.pairs import Pair
from scheduler.reports.reasons import replica_notes
from scheduler.settings import Settings
from tests.governing.trying import quick_trials
from tests.mail.samples import TEMPLATES, facts, png
from tests.smtp_server import in_loop
from tests.support import toml, utc

pytestmark = pytest.mark.engines("sqlite")

NOW = utc("2025-06-12 08:00")
LAYOUT = (TEMPLATES / FILE).read_text("utf-8")
MESSAGES = ("confirmation", "reminder-day", "reminder-hour", "follow-up", "change", "cancellation")
OLD, NEW = "The old subject", "The new subject"


def is_broken(source: str, layout: Layout, _: Pair) -> bool:
    """A text that needs a piece of the layout is broken where the layout lacks it."""
    return "BROKEN" in source or ("WIDE" in source and "wide" not in layout.page)


class Replica:
    """One service with a folder of texts of its own. Others know it by another number after each start."""

    def __init__(self, house: House, number: int) -> None:
        self.house, self.holder = house, number
        self.root = house.root / f"templates-{number}"
        if not self.root.exists():
            self.fill()
        self.restart()

    def restart(self) -> None:
        self.holder += self.house.renumber
        settings = Settings.model_validate({"config_dir": self.house.root, "templates_dir": self.root})
        self.governor = Governor(settings, self.house.database, drafts_too=False, holder=self.holder)

    def fill(self) -> None:
        self.layout(LAYOUT)
        for message in MESSAGES:
            self.text(OLD, message)

    def empty(self) -> None:
        """As where a volume is not mounted."""
        shutil.rmtree(self.root)
        self.root.mkdir()

    def text(self, subject: str, message: str = "confirmation") -> None:
        path = self.root / message / "en.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"---\nsubject: {subject}\npreheader: Soon\n---\nHello\n", encoding="utf-8")

    def layout(self, source: str) -> None:
        (self.root / FILE).parent.mkdir(parents=True, exist_ok=True)
        (self.root / FILE).write_text(source, encoding="utf-8")

    def rendered(self) -> Rendered | None:
        """A confirmation as it goes out; None: it is held."""
        found = self.governor.texts.find(self.governor.catalogue.webinars["w"], "confirmation", "en")
        return None if found is None else found.text.render(facts())

    @property
    def subject(self) -> str | None:
        rendered = self.rendered()
        return rendered.subject if rendered else None

    @property
    def problems(self) -> list[str]:
        return [str(one).removeprefix(str(self.root)) for one in self.governor.problems()]


class House:
    """Services on one database; those in `present` are seen by the others."""

    def __init__(self, root: Path, database: Database) -> None:
        self.root, self.database, self.now = root, database, NOW
        self.renumber = 10
        self.present: set[int] = set()
        self.replicas: dict[int, Replica] = {}
        (root / "webinars").mkdir()
        self.webinar()

    def webinar(self, **changed: str) -> None:
        (self.root / "webinars/w.toml").write_text(toml(**changed), encoding="utf-8")

    async def start(self, number: int, before: Callable[[Replica], None] = lambda replica: None) -> Replica:
        """Start a service, or start it again, with what `before` makes of its folder."""
        replica = self.replicas.get(number) or Replica(self, number)
        before(replica)
        replica.restart()
        await replica.governor.start(self.now)
        await replica.governor.until_tried()
        await replica.governor.poll(self.now)
        self.replicas[number] = replica
        self.present.add(number)
        return replica

    def stop(self, number: int) -> None:
        self.present.remove(number)

    @property
    def holders(self) -> list[int]:
        return [self.replicas[number].holder for number in self.present]

    async def seconds(self, count: int) -> None:
        """Time passes, in which every service polls: each second at first, then each five seconds."""
        for step in [1] * min(count, 5) + [5] * ((count - 5) // 5):
            self.now += timedelta(seconds=step)
            for number in self.present:
                await self.replicas[number].governor.poll(self.now)
                await self.replicas[number].governor.until_tried()

    def subjects(self) -> list[str | None]:
        return [self.replicas[number].subject for number in sorted(self.present)]

    def told(self) -> dict[str, str]:
        """The mails to organizers: "wrong" or "right" and the key, with the words."""
        with self.database.transaction() as conn:
            telling = [one for one in alerts.due_mails(conn, self.now) if alerts.claim(conn, self.now, one)]
        return {f"{'right' if one.resolved else 'wrong'} {one.key}": one.words for one in telling}

    def notes(self) -> list[str]:
        with self.database.reading() as conn:
            return [one.words for one in replica_notes(conn, self.now)]


@pytest.fixture
def house(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    (tmp_path / "house").mkdir()
    house = House(tmp_path / "house", database)
    monkeypatch.setattr(type(database.dialect), "holders", lambda self, conn: house.holders)
    with quick_trials(monkeypatch, is_broken):
        yield house


# Texts


@pytest.mark.engines("both")
@in_loop
async def test_two_services_with_different_files_send_the_same_text(house: House) -> None:
    one, _ = await house.start(1), await house.start(2)
    one.text(NEW)
    await house.seconds(3)
    assert house.subjects() == [NEW, NEW]
    with house.database.reading() as conn:
        revisions = {
            one.governor.texts.current["confirmation", "en"].revision for one in house.replicas.values()
        }
        assert list(revisions) == execute(conn, "SELECT max(id) FROM text_revision").scalars().all()


@in_loop
async def test_the_older_file_of_a_replica_that_restarts_does_not_govern(house: House) -> None:
    one, _ = await house.start(1), await house.start(2)
    one.text(NEW)
    await house.seconds(3)
    await house.start(2)
    assert house.subjects() == [NEW, NEW]
    await house.seconds(120)
    assert house.subjects() == [NEW, NEW]


@in_loop
async def test_a_rollout_that_is_half_done_changes_nothing_until_it_is_given_up(house: House) -> None:
    await house.start(1)
    await house.start(2)
    await house.start(1, lambda one: one.text(NEW))
    await house.seconds(70)
    assert house.subjects() == [NEW, NEW], "new content governs, and the other service has seen it before"
    await house.start(1, lambda one: one.text(OLD))
    await house.seconds(55)
    assert house.subjects() == [NEW, NEW]
    await house.seconds(10)
    assert house.subjects() == [OLD, OLD], "a rollback on purpose: nobody has held the new one for a minute"


@in_loop
async def test_while_who_holds_what_governs_restarts_the_other_does_not_take_over(house: House) -> None:
    await house.start(1)
    await house.start(2)
    await house.start(1, lambda one: one.text(NEW))
    await house.seconds(70)
    house.stop(1)
    await house.seconds(50)
    assert house.subjects() == [NEW]
    await house.start(1)
    await house.seconds(120)
    assert house.subjects() == [NEW, NEW]
    house.stop(1)
    await house.seconds(65)
    assert house.subjects() == [OLD], "it did not come back"


@in_loop
async def test_a_change_seen_while_running_governs_at_once_also_back_to_an_older_content(
    house: House,
) -> None:
    one, _ = await house.start(1), await house.start(2)
    for subject in (NEW, OLD, NEW, OLD):
        one.text(subject)
        await house.seconds(3)
        assert house.subjects() == [subject, subject]


@in_loop
async def test_a_file_that_is_not_sound_is_told_of_its_service_and_what_governs_goes_out(
    house: House,
) -> None:
    one, other = await house.start(1), await house.start(2)
    other.text("BROKEN")
    await house.seconds(3)
    assert other.problems == ["/confirmation/en.md: broken"]
    assert one.problems == []
    assert list(house.told()) == ["wrong text confirmation/en"]
    one.text(NEW)
    await house.seconds(3)
    assert house.subjects() == [NEW, NEW]
    assert other.problems == ["/confirmation/en.md: broken"]
    assert house.told() == {}, "it is still so, and was told"
    await house.start(2)
    assert house.subjects() == [NEW, NEW]


@in_loop
async def test_one_service_that_starts_again_with_an_older_file_takes_it_for_meant_after_a_minute(
    house: House,
) -> None:
    house.renumber = 10 if house.database.dialect.takes_replicas else 0
    one = await house.start(1)
    one.text(NEW)
    await house.seconds(3)
    house.stop(1)
    await house.start(1, lambda one: one.text(OLD))
    await house.seconds(55)
    assert one.subject == NEW
    await house.seconds(10)
    assert one.subject == OLD


@pytest.mark.engines("both")
@in_loop
async def test_services_with_different_files_are_named_with_what_governs(house: House) -> None:
    one, _, _ = await house.start(1), await house.start(2), await house.start(3)
    one.text(NEW)
    await house.seconds(3)
    assert house.notes() == []
    await house.seconds(60)
    (note,) = house.notes()
    number = one.governor.texts.current["confirmation", "en"].revision
    assert note == (
        f"text confirmation/en: 3 services have different files of it; revision {number}, of 2025-06-12 08:00 UTC,"
        " governs for all and is the file of 1 of them"
    )
    house.replicas[2].text(NEW)
    house.replicas[3].text(NEW)
    await house.seconds(3)
    assert house.notes() == []


# The layout


@in_loop
async def test_the_layout_of_one_service_goes_around_the_texts_of_all(house: House) -> None:
    one, other = await house.start(1), await house.start(2)
    other.text("A WIDE subject")
    await house.seconds(3)
    assert other.problems == ["/confirmation/en.md: broken"]
    one.layout(LAYOUT.replace("<main", "<p>wide</p><main"))
    await house.seconds(4)
    for replica in (one, other):
        rendered = replica.rendered()
        assert rendered
        assert "wide</p>" in rendered.html
        assert rendered.subject == "A WIDE subject", "it is tried with the layout that governs"
    assert other.problems == []
    await house.start(2)
    await house.seconds(120)
    assert other.governor.templates.layout == one.governor.templates.layout
    assert [note.partition(":")[0] for note in house.notes()] == ["text confirmation/en", "the layout"]


@in_loop
async def test_the_last_sound_layout_goes_on_also_after_a_restart_with_its_pictures(house: House) -> None:
    one = await house.start(1, lambda one: (one.root / "_layout/logo.png").write_bytes(png()) and None)

    def broken(replica: Replica) -> None:
        replica.layout("<p>no place for the text</p>")
        (replica.root / "_layout/logo.png").unlink()

    await house.start(1, broken)
    found = one.governor.texts.find(one.governor.catalogue.webinars["w"], "confirmation", "en")
    assert found
    assert found.text.images == {"logo.png": png()}
    assert one.subject == OLD
    assert all("layout.html" in problem for problem in one.problems)
    told = house.told()
    assert list(told) == ["wrong layout"]
    assert told["wrong layout"].endswith("\n\nUntil then mails go out as before, in the last sound layout.")
    one.text(NEW)
    await house.seconds(3)
    assert one.subject == NEW, "texts are tried with the layout that goes on"
    one.layout(LAYOUT)
    await house.seconds(3)
    assert one.problems == []
    assert list(house.told()) == ["right layout"]


@in_loop
async def test_without_any_sound_layout_nothing_goes_out_and_that_is_reported(house: House) -> None:
    one = await house.start(1, lambda one: one.layout("<p>no place for the text</p>"))
    assert one.subject is None
    assert house.told()["wrong layout"].endswith("\n\nUntil then no mail goes out.")
    one.layout(LAYOUT)
    await house.seconds(3)
    assert one.subject == OLD


@in_loop
async def test_a_picture_that_is_too_large_leaves_the_layout_as_it_was(house: House) -> None:
    one = await house.start(1)
    (one.root / "_layout/logo.png").write_bytes(bytes(60_000))
    await house.seconds(3)
    assert one.problems == ["/_layout/logo.png: 60 kB; allowed: 50 kB, in every mail"]
    assert one.governor.templates.layout
    assert one.governor.templates.layout.images == {}


# A folder that is empty


@pytest.mark.parametrize("on_broken", ["last-sound", "hold"])
def test_an_empty_folder_holds_nothing_back_also_after_a_restart(house: House, on_broken: str) -> None:
    @in_loop
    async def test() -> None:
        house.webinar(on_broken=on_broken)
        one = await house.start(1)
        before = one.rendered()
        one.empty()
        await house.seconds(3)
        assert one.rendered() == before
        await house.start(1)
        assert one.rendered() == before
        assert one.problems == [": the folder is empty or cannot be read; allowed: the layout and the texts"]
        assert list(house.told()) == ["wrong layout"], "one mail, not one for each text"
        await house.seconds(120)
        assert one.rendered() == before
        one.fill()
        await house.seconds(3)
        assert one.rendered() == before
        assert one.problems == []
        assert list(house.told()) == ["right layout"]

    test()


@in_loop
async def test_a_folder_that_is_mounted_late_with_older_files_is_no_change(house: House) -> None:
    one = await house.start(1)
    one.text(NEW)
    await house.seconds(3)
    await house.start(2, lambda other: other.empty())
    assert house.subjects() == [NEW, NEW]
    house.replicas[2].fill()
    await house.seconds(100)
    assert house.subjects() == [NEW, NEW]


@pytest.mark.engines("both")
@in_loop
async def test_a_poll_with_nothing_new_stores_nothing_and_reads_no_text_again(house: House) -> None:
    one = await house.start(1)
    texts = one.governor.texts
    with house.database.reading() as conn:
        before = execute(conn, "SELECT * FROM file_seen ORDER BY kind, name").all()
    await house.seconds(10)
    assert one.governor.texts is texts
    with house.database.reading() as conn:
        assert execute(conn, "SELECT * FROM file_seen ORDER BY kind, name").all() == before
