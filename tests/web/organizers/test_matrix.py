"""The list of texts: rows in the order in which messages leave, named as people say it, and what each cell says."""

from __future__ import annotations

from scheduler.governing.saving import ListedText
from scheduler.problem import Problem
from scheduler.web.organizers.matrix import Matrix, matrix_of
from scheduler.webinar.model import Message
from tests.support import webinar


def _text(message: str, language: str = "en", state: str = "sound", **more: object) -> ListedText:
    values = {"problems": (), "older": False, "edited_at": None, "edited_by": "", "waiting": 0} | more
    return ListedText(message, language, state, **values)  # type: ignore[arg-type]


def _message(name: str, **rule: object) -> Message:
    return Message.model_validate({"id": name, **rule})


def _matrix(*texts: ListedText) -> Matrix:
    sequence = (
        _message("thanks", days_after=1, at="10:00"),
        _message("soon", before_start="1h"),
        _message("early", days_before=1, at="09:00"),
        _message("welcome", on_registration=True),
    )
    one = webinar().model_copy(update={"messages": sequence})
    other = one.model_copy(update={"id": "v", "title": "Another"})
    return matrix_of([one, other], texts)


def test_messages_stand_in_the_order_in_which_they_leave_then_notices_then_the_rest() -> None:
    names = ("a-draft", "cancellation", "change", "early", "soon", "thanks", "welcome")
    rows = _matrix(*map(_text, names)).rows
    assert [one.text for one in rows] == [
        "welcome", "early", "soon", "thanks", "cancellation", "change", "a-draft",
    ]  # fmt: skip


def test_a_row_is_named_as_people_say_it_with_the_webinars_that_use_it() -> None:
    by_text = {
        one.text: one for one in _matrix(*map(_text, ("early", "soon", "welcome", "change", "spare"))).rows
    }
    assert by_text["early"].name == "Reminder, 1 day before at 09:00 on the reader’s clock"
    assert by_text["soon"].name == "Reminder, 1 hour before the start"
    assert by_text["welcome"].name == "Confirmation"
    assert by_text["change"].name == "Notice of a change"
    assert by_text["spare"].name == "Spare"
    assert by_text["early"].used_by == (webinar().title, "Another")
    assert by_text["spare"].used_by == ()


def test_a_text_that_webinars_send_by_different_rules_is_named_without_them() -> None:
    one = webinar().model_copy(update={"messages": (_message("early", days_before=1, at="09:00"),)})
    other = one.model_copy(update={"messages": (_message("early", before_start="2h"),)})
    (row,) = (row for row in matrix_of([one, other], [_text("early")]).rows if row.text == "early")
    assert row.name == "Reminder"


def test_languages_are_columns_english_first_and_a_text_that_nobody_needs_has_no_cell() -> None:
    matrix = _matrix(_text("early", "fr"), _text("early"), _text("soon", "ar"))
    assert matrix.languages == ("en", "ar", "fr")
    by_text = {one.text: one for one in matrix.rows}
    assert [one and one.language for one in by_text["early"].cells] == ["en", None, "fr"]


def test_a_cell_says_what_the_text_is() -> None:
    wrong = (Problem("x", "unknown variable"), Problem("y", "a second one"))
    texts = {
        "reviewed": _text("a", reviewed_by="Ada"),
        "not reviewed": _text("b"),
        "older than English": _text("c", "fr", older=True, reviewed_by="Ada"),
        "draft": _text("d", state="draft", problems=wrong),
        "broken": _text("e", state="held", problems=wrong[:1], waiting=7),
        "missing": _text("f", "fr", state="missing"),
    }
    cells = {cell.state: cell for row in matrix_of([], texts.values()).rows for cell in row.cells if cell}
    assert cells.keys() == texts.keys()
    assert cells["draft"].details == ("unknown variable", "and 1 more", "the last sound version goes out")
    assert cells["broken"].details == (
        "unknown variable",
        "its mails wait until it is fixed",
        "waiting now: 7",
    )
    assert cells["missing"].details == ("another language stands in",)
    assert [cells[one].look for one in ("reviewed", "not reviewed", "draft")] == ["sent", "wait", "bad"]


def test_in_a_rehearsal_no_version_before_stands_in() -> None:
    wrong = (Problem("x", "unknown variable"),)
    texts = [_text("a", state="draft", problems=wrong), _text("b", state="held", problems=wrong)]
    cells = [cell for row in matrix_of([], texts, rehearsed=True).rows for cell in row.cells if cell]
    assert [one.details[-1] for one in cells] == ["the next rehearsal keeps its mails back"] * 2


def test_a_message_before_a_confirmation_by_weeks_still_stands_after_it() -> None:
    long_before = _message("far", days_before=300, at="09:00")
    one = webinar().model_copy(update={"messages": (long_before, _message("welcome", on_registration=True))})
    rows = matrix_of([one], [_text("far"), _text("welcome")]).rows
    assert [row.text for row in rows][:2] == ["welcome", "far"]
