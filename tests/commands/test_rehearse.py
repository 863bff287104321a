"""`webinar rehearse`: its ports, and what it refuses. tests/test_rehearsal.py has what it makes."""

from __future__ import annotations

from pathlib import Path

from scheduler.commands.rehearse import hold_port, number_of
from tests.rehearsed import rehearse
from tests.support import copy_texts


def test_two_rehearsals_at_once_have_ports_of_their_own_from_the_beginning() -> None:
    with hold_port(18026) as one, hold_port(number_of(one)) as other:
        assert number_of(one) < number_of(other) <= number_of(one) + 20


def test_an_end_that_is_no_time_is_refused_with_an_example(tmp_path: Path) -> None:
    for wrong in ("tomorrow", "2025-07-01T12:00Z"):
        done = rehearse("--until", wrong, out=tmp_path / "out")
        assert done.exit_code == 2
        assert f"--until: `{wrong}` is not a date and time on the webinar's clock" in done.stderr
        assert "such as 2025-07-03T13:00" in done.stderr
        assert not (tmp_path / "out").exists()


def test_what_is_wrong_with_a_text_is_printed_in_words_and_not_as_a_log(tmp_path: Path) -> None:
    people = tmp_path / "people.csv"
    people.write_text("email,name,timezone\nmaya@example.org,Maya,Asia/Kathmandu\n")
    templates = tmp_path / "templates"
    copy_texts(templates, "en", "fr", "es", "ar", "ru", "zh")
    broken = templates / "reminder-day/en.md"
    broken.write_text(broken.read_text() + "\n{{ nosuch }}\n")
    done = rehearse(
        "--registrants", people, out=tmp_path / "out", environment={"TEMPLATES_DIR": str(templates)}
    )
    assert "nosuch" in done.stderr
    assert '"level"' not in done.stderr
