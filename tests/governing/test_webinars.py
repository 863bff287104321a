"""Which webinars govern: the last sound revision of each file, and who is notified of mistakes."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from scheduler.database.engine import Database
from scheduler.governing.proposals import reset_holder
from scheduler.governing.revisions import Revisions
from scheduler.governing.webinars import Catalogue, propose_webinars
from tests.support import toml, utc

pytestmark = pytest.mark.engines("sqlite")

NOW = utc("2025-06-12 08:00")
ROOT = Path("config")
BROKEN = toml(start="3 July, 1 pm")


class Desk:
    """Takes files as the service does."""

    def __init__(self, database: Database, holder: int = 1) -> None:
        self.database, self.holder = database, holder
        self.catalogue, self.read = Catalogue(), Revisions()
        with database.transaction() as conn:
            reset_holder(conn, holder)

    def take(self, now: datetime = NOW, **files: str | bytes) -> None:
        raw = {
            f"webinars/{name}.toml": content if isinstance(content, bytes) else content.encode()
            for name, content in files.items()
        }
        with self.database.transaction() as conn:
            self.catalogue = propose_webinars(
                conn, now, ROOT, raw, self.read, self.holder, timedelta(hours=24)
            )

    def title(self, webinar: str = "w") -> str:
        return self.catalogue.webinars[webinar].title

    def by_file(self, webinar: str = "w") -> bool:
        """Whether what governs is what the folder holds."""
        assert webinar in self.catalogue.governing
        return self.catalogue.is_of_file(webinar)

    def wrong(self) -> dict[str, str]:
        return {
            path.removeprefix("config/webinars/"): " ".join(map(str, problems))
            for path, problems in self.catalogue.problems.items()
        }

    def told(self, name: str) -> set[str]:
        return set(self.catalogue.concerned[f"config/webinars/{name}.toml"])

    def revisions(self) -> int:
        with self.database.transaction() as conn:
            return int(conn.exec_driver_sql("SELECT count(*) FROM webinar_revision").scalar_one())


@pytest.fixture
def desk(database: Database) -> Desk:
    return Desk(database)


@pytest.mark.engines("both")
def test_sound_files_govern(desk: Desk) -> None:
    desk.take(a=toml(title="One"), b=toml(id="v", title="Two"))
    assert (desk.title("w"), desk.title("v")) == ("One", "Two")
    assert desk.by_file("w")
    assert desk.wrong() == {}


def test_a_broken_file_leaves_its_last_sound_revision_in_force_and_the_others_alone(desk: Desk) -> None:
    desk.take(a=toml(title="One"), b=toml(id="v", title="Two"))
    desk.take(a=BROKEN, b=toml(id="v", title="Two, edited"))
    assert (desk.title("w"), desk.by_file("w")) == ("One", False)
    assert (desk.title("v"), desk.by_file("v")) == ("Two, edited", True)
    assert desk.wrong().keys() == {"a.toml"}
    assert "start" in desk.wrong()["a.toml"]
    desk.take(a=toml(title="Fixed"), b=toml(id="v", title="Two, edited"))
    assert (desk.title("w"), desk.by_file("w")) == ("Fixed", True)
    assert desk.wrong() == {}


@pytest.mark.engines("both")
def test_the_last_sound_revision_survives_a_restart(desk: Desk) -> None:
    desk.take(a=toml(title="One"))
    restarted = Desk(desk.database, holder=2)
    restarted.take(a=BROKEN)
    assert (restarted.title(), restarted.by_file()) == ("One", False)


def test_a_file_that_never_was_sound_governs_nothing(desk: Desk) -> None:
    desk.take(a=BROKEN)
    assert desk.catalogue.governing == {}
    assert desk.wrong().keys() == {"a.toml"}


def test_two_files_with_one_id_are_an_error_of_both_and_the_last_sound_revision_governs(desk: Desk) -> None:
    desk.take(a=toml(title="One"))
    desk.take(a=toml(title="One, edited"), copy=toml(title="A copy"))
    assert (desk.title(), desk.by_file()) == ("One", False)
    assert "`w` is also the id of config/webinars/copy.toml" in desk.wrong()["a.toml"]
    assert "`w` is also the id of config/webinars/a.toml" in desk.wrong()["copy.toml"]
    desk.take(a=toml(title="One, edited"))
    assert (desk.title(), desk.by_file()) == ("One, edited", True)
    assert desk.wrong() == {}


def test_a_renamed_file_is_the_same_webinar(desk: Desk) -> None:
    desk.take(a=toml(title="One"))
    before = desk.catalogue.governing
    desk.take(renamed=toml(title="One"))
    assert desk.catalogue.governing == before
    assert desk.wrong() == {}
    desk.take(renamed=BROKEN)
    assert desk.wrong().keys() == {"renamed.toml"}, "the old name is forgotten"


def test_a_file_that_is_gone_is_told_and_back_it_governs_again(desk: Desk) -> None:
    desk.take(a=toml(title="One"))
    desk.take()
    assert (desk.title(), desk.by_file()) == ("One", False)
    assert "the file is gone" in desk.wrong()["a.toml"]
    desk.take(a=toml(title="One"))
    assert desk.by_file()
    assert desk.wrong() == {}


def test_a_month_after_the_end_nobody_misses_the_file(desk: Desk) -> None:
    desk.take(a=toml())
    desk.take(utc("2025-08-03 12:59"))
    assert desk.wrong().keys() == {"a.toml"}
    desk.take(utc("2025-08-03 13:00"))
    assert desk.wrong() == {}
    assert desk.catalogue.governing == {}, "it has ended"


def test_an_id_that_is_changed_in_its_file_is_told_as_that(desk: Desk) -> None:
    desk.take(a=toml())
    desk.take(a=toml(id="v"))
    assert "was `w` and is now `v`" in desk.wrong()["a.toml"]
    assert (desk.by_file("w"), desk.by_file("v")) == (False, True)


def test_a_revision_that_a_newer_program_finds_unsound_is_reported(desk: Desk) -> None:
    desk.take(a=toml())
    with desk.database.transaction() as conn:
        conn.exec_driver_sql("UPDATE webinar_revision SET source = 'id = 1'")
    desk.read = Revisions()
    desk.take(utc("2025-07-10 00:00"))
    assert desk.catalogue.governing == {}
    assert desk.wrong().keys() == {"a.toml"}


def test_an_edit_back_to_an_older_wording_governs_at_once(desk: Desk) -> None:
    for title in ("One", "Two", "One", "One"):
        desk.take(a=toml(title=title))
        assert desk.title() == title
    assert desk.revisions() == 2, "a wording is stored once"
    desk.take(a=BROKEN)
    assert desk.title() == "One"


def test_a_byte_order_mark_changes_nothing(desk: Desk) -> None:
    desk.take(a=toml())
    before = desk.catalogue.governing["w"].revision_id
    desk.take(a=b"\xef\xbb\xbf" + toml().encode())
    assert desk.catalogue.governing["w"].revision_id == before


@pytest.mark.engines("both")
@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"title = 'caf\xe9'\n", "line 1: the file is not UTF-8"),
        (b"\n\ntitle = 'caf\xe9'\n", "line 3: the file is not UTF-8"),
        ("title = 'é'".encode("utf-16"), "line 1: the file is not UTF-8"),
        (b"", "a.toml"),
        (b"\x00" * 40, "a.toml"),
        (b"alert_to = " + b"[" * 5000, "a.toml"),
        (b"a = 1\n" * 3, "a.toml"),
    ],
)
def test_whatever_a_file_holds_the_others_go_on(desk: Desk, content: bytes, found: str) -> None:
    desk.take(a=content, b=toml())
    assert desk.catalogue.governing.keys() == {"w"}
    assert found in " ".join(f"{name}: {words}" for name, words in desk.wrong().items())


# Drafts


def test_only_live_webinars_send_unless_it_is_a_rehearsal(desk: Desk) -> None:
    desk.take(a=toml(), b=toml(id="v", status="draft"))
    assert desk.catalogue.live() == ["w"]
    assert desk.catalogue.live(drafts_too=True) == ["v", "w"]


def test_a_broken_edit_of_a_draft_cannot_make_it_live(desk: Desk) -> None:
    desk.take(a=toml(status="draft"))
    desk.take(a=toml(status="live", join_url="https://meet.example.org/w"))
    assert desk.catalogue.live() == []
    assert "placeholder" in desk.wrong()["a.toml"]


# Who is told


def test_the_organizer_of_a_live_webinar_is_told_of_its_broken_file(desk: Desk) -> None:
    desk.take(a=toml(alert_to="a@who.int"))
    desk.take(a=toml(alert_to="new@who.int", start="nonsense"))
    assert desk.told("a") == {"a@who.int", "new@who.int"}


def test_a_file_too_broken_to_read_is_told_to_whom_it_named_before(desk: Desk) -> None:
    desk.take(a=toml(alert_to="a@who.int"))
    desk.take(a="[" + toml())
    assert desk.told("a") == {"a@who.int"}


def test_nobody_is_mailed_about_a_draft(desk: Desk) -> None:
    desk.take(a=toml(status="draft"))
    desk.take(a=toml(status="draft", start="nonsense"))
    assert desk.told("a") == set()


def test_an_address_that_is_none_is_not_written_to(desk: Desk) -> None:
    desk.take(a=toml(alert_to="organizer", start="nonsense"))
    assert desk.told("a") == set()


def test_both_organizers_are_told_of_a_copied_id(desk: Desk) -> None:
    desk.take(a=toml(alert_to="a@who.int"))
    desk.take(a=toml(alert_to="a@who.int"), copy=toml(alert_to="b@wto.org"))
    assert (desk.told("a"), desk.told("copy")) == ({"a@who.int"}, {"b@wto.org"})
