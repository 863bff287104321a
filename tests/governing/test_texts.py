"""Which text goes out: the last sound revision of each, by message and language."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from scheduler.database.engine import Database
from scheduler.governing.governor import uses
from scheduler.governing.texts import propose_texts, read_governing_texts, sources_of
from scheduler.mail.text.templates import Text, parse_text
from scheduler.mail.texts import CurrentText, Key, Texts
from scheduler.mail.trial.pairs import Verdicts
from scheduler.problem import Problem
from scheduler.webinar.model import Webinar
from tests.mail.samples import facts, layout
from tests.support import utc, webinar

pytestmark = pytest.mark.engines("sqlite")

NOW = utc("2025-06-12 08:00")
ROOT = Path("templates")
EN, FR = ("confirmation", "en"), ("confirmation", "fr")
BROKEN = (Problem("templates/confirmation/en.md, line 5", "nonsense"),)


def _source(subject: str) -> str:
    return f"---\nsubject: {subject}\npreheader: Soon\n---\nHello\n"


def _text(subject: str) -> Text:
    return parse_text(_source(subject), "templates/confirmation/en.md", layout())


class Shelf:
    """Takes texts as the service does, and says what would go out."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.webinars: list[Webinar] = [webinar()]
        self.texts = Texts()
        self.now = NOW

    def take(self, subjects: Mapping[Key, str], **broken: tuple[Problem, ...]) -> None:
        sources = {key: _source(subject) for key, subject in subjects.items()}
        problems = {key: broken[key[1]] for key in sources if key[1] in broken}
        with self.database.transaction() as conn:
            sound = {key: source for key, source in sources.items() if key not in problems}
            propose_texts(conn, self.now, 0, sound)
            self.texts = read_governing_texts(
                conn, ROOT, layout(), sources, Verdicts(problems), self.webinars
            )

    def subject(self, wanted: str = "en", message: str = "confirmation") -> str | None:
        found = self.texts.find(self.webinars[0], message, wanted)
        return None if found is None else found.text.render(facts()).subject

    def wrong(self, key: Key) -> str:
        return " ".join(str(one) for one in self.texts.problems.get(key, ()))


@pytest.fixture
def shelf(database: Database) -> Shelf:
    return Shelf(database)


def test_held_mails_wait_for_a_fixed_text_until_it_governs() -> None:
    strict, lenient = webinar(id="strict", on_broken="hold"), webinar()
    key = ("confirmation", "en")
    current = {key: CurrentText(_text("from before the mistake"), "en", 1)}
    fixing = Texts(current, fixed_with={key: frozenset({"strict", lenient.id})})
    assert fixing.find(strict, *key) is None
    assert fixing.find(lenient, *key) == current[key]
    assert Texts(current).find(strict, *key) == current[key]


def test_the_texts_of_a_folder_are_its_markdown_files_by_message_and_language() -> None:
    files = {
        "confirmation/fr.md": "\ufeffBonjour".encode(),
        "confirmation/en.md": b"caf\xe9",
        "_layout/layout.html": b"<p>",
        "_layout/en.md": b"not a message",
        "notes.md": b"not in a folder",
        "confirmation/en.md~": b"an editor's copy",
    }
    assert sources_of(files) == {FR: "Bonjour", EN: "caf\ufffd"}


def test_a_sound_text_goes_out(shelf: Shelf) -> None:
    shelf.take({EN: "first"})
    assert shelf.subject() == "first"
    assert EN not in shelf.texts.problems
    shelf.take({EN: "second"})
    assert shelf.subject() == "second"


@pytest.mark.engines("both")
def test_while_a_text_is_broken_its_last_sound_revision_goes_out_until_it_is_fixed(shelf: Shelf) -> None:
    shelf.take({EN: "first"})
    shelf.take({EN: "broken"}, en=BROKEN)
    assert shelf.subject() == "first"
    assert "nonsense" in shelf.wrong(EN)
    shelf.take({EN: "fixed"})
    assert shelf.subject() == "fixed"
    assert shelf.wrong(EN) == ""


def test_the_last_sound_revision_survives_a_restart(shelf: Shelf) -> None:
    shelf.take({EN: "first"})
    restarted = Shelf(shelf.database)
    restarted.take({EN: "broken"}, en=BROKEN)
    assert restarted.subject() == "first"


@pytest.mark.engines("both")
def test_a_text_that_goes_back_to_an_older_wording_is_that_wording(shelf: Shelf) -> None:
    revisions = []
    for subject in ("first", "second", "first"):
        shelf.take({EN: subject})
        revisions.append(shelf.texts.current[EN].revision)
    assert shelf.subject() == "first"
    assert revisions == sorted(set(revisions)), (
        "an attempt tells which revision it sent, and when that was sound"
    )
    restarted = Shelf(shelf.database)
    restarted.take({EN: "broken"}, en=BROKEN)
    assert restarted.subject() == "first"


def test_reading_the_same_text_again_stores_nothing(shelf: Shelf) -> None:
    shelf.take({EN: "first"})
    before = shelf.texts.current[EN].revision
    shelf.take({EN: "first"})
    assert shelf.texts.current[EN].revision == before


def test_a_text_that_never_was_sound_goes_to_nobody(shelf: Shelf) -> None:
    shelf.take({EN: "broken"}, en=BROKEN)
    assert shelf.subject() is None


def test_a_broken_text_of_one_language_leaves_the_others_alone(shelf: Shelf) -> None:
    shelf.take({EN: "Hello", FR: "Bonjour"})
    shelf.take({EN: "Hello again", FR: "broken"}, fr=BROKEN)
    assert (shelf.subject("en"), shelf.subject("fr")) == ("Hello again", "Bonjour")


def test_on_broken_hold_keeps_a_text_back_until_it_is_fixed(shelf: Shelf) -> None:
    shelf.webinars = [webinar(on_broken="hold")]
    shelf.take({EN: "Hello", FR: "Bonjour"})
    shelf.take({EN: "Hello", FR: "broken"}, fr=BROKEN)
    assert (shelf.subject("en"), shelf.subject("fr")) == ("Hello", None)


@pytest.mark.parametrize(
    ("wanted", "subject"),
    [
        ("en", "Hello"),
        ("fr", "Bonjour"),
        ("fr-CA", "Bonjour"),
        ("FR", "Bonjour"),
        ("ar", "Hello"),
        ("", "Hello"),
    ],
)
def test_where_a_language_has_no_text_the_webinars_first_language_stands_in(
    wanted: str, subject: str
) -> None:
    live = {key: CurrentText(_text(words), key[1], 1) for key, words in ((EN, "Hello"), (FR, "Bonjour"))}
    found = Texts(live).find(webinar(), "confirmation", wanted)
    assert found is not None
    assert found.text.render(facts()).subject == subject


def test_a_text_in_a_language_that_the_webinar_does_not_offer_is_not_used(shelf: Shelf) -> None:
    shelf.take({EN: "Hello", ("confirmation", "de"): "Hallo"})
    assert shelf.subject("de") == "Hello"


def test_a_file_that_is_gone_is_told_and_its_last_sound_revision_goes_out(shelf: Shelf) -> None:
    shelf.take({EN: "Hello", FR: "Bonjour"})
    shelf.take({EN: "Hello"})
    assert shelf.subject("fr") == "Bonjour"
    assert shelf.wrong(FR).startswith("templates/confirmation/fr.md: the file is gone")
    shelf.take({EN: "Hello", FR: "Bonjour"})
    assert shelf.wrong(FR) == ""


def test_a_text_that_nobody_uses_any_more_may_go(shelf: Shelf) -> None:
    shelf.take({EN: "Hello", ("old", "en"): "Old", ("confirmation", "de"): "Hallo"})
    shelf.take({EN: "Hello"})
    assert ("old", "en") not in shelf.texts.problems
    assert ("confirmation", "de") not in shelf.texts.problems


def test_a_message_without_any_text_is_told_in_the_webinars_first_language(shelf: Shelf) -> None:
    shelf.take({EN: "Hello"})
    assert "there is no text for this message" in shelf.wrong(("reminder-day", "en"))
    assert "there is no text for this message" in shelf.wrong(("cancellation", "en"))
    assert shelf.subject(message="reminder-day") is None
    shelf.take({EN: "Hello", ("reminder-day", "fr"): "Demain"})
    assert shelf.wrong(("reminder-day", "en")) == ""
    assert shelf.subject(message="reminder-day") == "Demain"


def test_a_revision_that_a_newer_program_finds_unsound_is_left_out(shelf: Shelf) -> None:
    shelf.take({EN: "Hello", FR: "Bonjour"})
    with shelf.database.transaction() as conn:
        conn.exec_driver_sql("UPDATE text_revision SET source = 'no front matter' WHERE language = 'fr'")
    shelf.take({EN: "Hello", FR: "broken"}, fr=BROKEN)
    assert (shelf.subject("en"), shelf.subject("fr")) == ("Hello", None)


def test_two_messages_may_send_one_text(shelf: Shelf) -> None:
    shared = {"id": "week", "text": "confirmation"}
    (first, *others) = shelf.webinars[0].messages
    week = first.model_copy(update=shared)
    shelf.webinars = [shelf.webinars[0].model_copy(update={"messages": (first, week, *others)})]
    shelf.take({EN: "for both"})
    assert [shelf.subject(message=message) for message in ("confirmation", "week")] == [
        "for both",
        "for both",
    ]
    assert shelf.wrong(("week", "en")) == ""
    assert uses(shelf.webinars[0], EN)
    assert not uses(shelf.webinars[0], ("week", "en"))


@pytest.mark.engines("both")
def test_a_text_that_is_missing_has_the_command_that_copies_the_most_similar_one(shelf: Shelf) -> None:
    reminder = next(one for one in shelf.webinars[0].messages if one.id == "reminder-day")
    week = reminder.model_copy(update={"id": "reminder-week"})
    shelf.webinars = [shelf.webinars[0].model_copy(update={"messages": (reminder, week)})]
    shelf.take({("reminder-day", "en"): "x", EN: "y"})
    assert "cp -r templates/reminder-day templates/reminder-week" in shelf.wrong(("reminder-week", "en"))
    assert "docs/variables.md says how" in shelf.wrong(("change", "en"))
