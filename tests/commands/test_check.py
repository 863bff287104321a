"""`webinar check` over a folder of broken webinars and texts: exactly what is wrong, and nothing in the sound ones."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from scheduler.cli import main
from scheduler.database.engine import Database
from scheduler.mail.trial import runner
from scheduler.mail.trial.runner import NotTried
from tests.commands.scene import Scene
from tests.smtp_server import MailServer
from tests.support import Ledger, copy_texts, toml, utc, webinar

MESSAGE = '\n[[messages]]\nid = "{id}"\non_registration = true\n'
TEXT = """\
---
subject: You are registered for {{ webinar.title }}
preheader: {{ your_time }}
reviewed_by: A. Reader
---
Dear {% if name %}{{ name }}{% else %}participant{% endif %},

{{ times }}

{{ join_button }}
"""
NOTICES = ("change", "cancellation")
PLACEHOLDER = {"join_url": "https://meet.example.org/x"}

Expected = list[tuple[str, str, str]]  # severity, part of the place, part of what was found

# What differs from a sound webinar's file (keys, messages), and exactly what is found.
FILES: dict[str, tuple[dict[str, Any], str, Expected]] = {
    "sound": ({}, "", []),
    "sound-winter": ({"start": datetime(2025, 12, 3, 13), "end": datetime(2025, 12, 3, 15)}, "", []),
    "no-title": ({"title": None}, "", [("error", "title", "is missing")]),
    "two-mistakes": (
        {"zone": "Genva", "alert_to": "nobody"},
        "",
        [("error", "zone", "Genva"), ("error", "alert_to", "nobody")],
    ),
    "ends-early": ({"end": datetime(2025, 7, 3, 12)}, "", [("error", "end", "not after the start")]),
    "skipped-hour": (
        {"start": datetime(2026, 3, 29, 2, 30), "end": datetime(2026, 3, 29, 4)},
        "",
        [("error", "start", "2026-03-29")],
    ),
    "doubled-hour": (
        {"start": datetime(2026, 10, 25, 2, 30), "end": datetime(2026, 10, 25, 4)},
        "",
        [("error", "start", "2026-10-25")],
    ),
    "ist": ({"zone": "IST"}, "", [("error", "zone", "IST")]),
    "live-placeholder": ({"status": "live"} | PLACEHOLDER, "", [("error", "join_url", "placeholder")]),
    "draft-placeholder": (PLACEHOLDER, "", [("warning", "join_url", "placeholder")]),
    "unknown-key": ({"titel": "x"}, "", [("error", "titel", "")]),
    "http-link": (
        {"join_url": "http://meet.who.int/x"},
        "",
        [("error", "join_url", "http://meet.who.int/x")],
    ),
    "no-reply": ({"sender": "no-reply@who.int"}, "", [("error", "sender", "no-reply")]),
    "cet-in-words": ({"how_to_join": "Join at noon CET."}, "", [("error", "how_to_join", "CEST")]),
    "hour-in-words": ({"about": "It begins at 13:00."}, "", [("warning", "about", "13:00")]),
    "wrong-weekday": ({"about": "On Friday, 3 July 2025, we meet."}, "", [("error", "about", "Thursday")]),
    "filled-in": ({"about": "Dear {{ name }}"}, "", [("error", "about", "`{{ name }}`, which would go out")]),
    "markdown": (
        {"about": "See **this**."},
        "",
        [("warning", "about", "`**this**`, which readers see as typed")],
    ),
    "two-rules": (
        {},
        '[[messages]]\nid = "same-day"\nbefore_start = "1h"\ndays_before = 1\nat = "09:00"\n',
        [("error", "messages[2]", "2 rules")],
    ),
    "late-rule": (
        {},
        '[[messages]]\nid = "same-day"\ndays_before = 0\nat = "09:00"\n',
        [("warning", "messages[2], same-day", "falls after the start")],
    ),
    "useless-rule": (
        {},
        '[[messages]]\nid = "same-day"\ndays_before = 0\nat = "23:00"\nclock = "webinar"\n',
        [("error", "messages[2], same-day", "falls after the start")],
    ),
}

# What replaces what in a sound text, and exactly what is found.
TEXTS: dict[str, tuple[str, str, Expected]] = {
    "t-not-reviewed": (
        "reviewed_by: A. Reader",
        "reviewed_by:",
        [("warning", "line 4, reviewed_by", "reviewed")],
    ),
    "t-variable": ("{{ name }}", "{{ nmae }}", [("error", "line 6", "nmae")]),
    "t-no-link": ("{{ join_button }}", "See you.", [("error", "", "link")]),
    "t-no-time": (
        "{{ times }}",
        "Soon.",
        [("error", "", "the reader's time"), ("error", "", "the webinar's time")],
    ),
    "t-unclosed": (
        "{% endif %}",
        "",
        [("error", "line 10", "without an end"), ("error", "line 6", "begins and ends")],
    ),
    "t-no-subject": ("subject: You are registered for {{ webinar.title }}\n", "", [("error", "", "subject")]),
    "t-html": ("{{ times }}", "<hr>\n\n{{ times }}", [("error", "line 8", "HTML: `<hr>`")]),
    "t-cet": ("{{ times }}", "At noon CET.\n\n{{ times }}", [("error", "line 8", "CEST")]),
    "t-hour": ("{{ times }}", "At 1 pm.\n\n{{ times }}", [("warning", "line 8", "1 pm")]),
    "t-weekday": (
        "{{ times }}",
        "On Friday, 3 July.\n\n{{ times }}",
        [("error", "line 8", "that day is a Thursday")],
    ),
    "t-endless": (
        "{{ times }}",
        "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}\n\n{{ times }}",
        [("error", "", "")],
    ),
    "t-merge-tag": (
        "Dear {% if name %}{{ name }}{% else %}participant{% endif %},",
        "Dear *|FNAME|*,",
        [("error", "line 6", "`*|FNAME|*`, a placeholder of another tool")],
    ),
    "t-brackets": (
        "{{ times }}",
        "See the [link].\n\n{{ times }}",
        [("warning", "line 8", "`[link]`, a placeholder of another tool")],
    ),
    "t-address-lines": (
        "{{ times }}",
        "WHO\nAvenue Appia 20\n\n{{ times }}",
        [("warning", "line 8", "a short line, which the mail joins with the next one")],
    ),
    "t-missing": ("", "", [("error", "", "there is no text")]),
}


def _write(folder: Path) -> None:
    (folder / "config/webinars").mkdir(parents=True)
    shutil.copytree("templates/_layout", folder / "templates/_layout")
    files = {name: (keys, "sound", messages) for name, (keys, messages, _) in FILES.items()}
    files |= {name: ({}, name, "") for name in TEXTS}
    for name, (differs, message, more) in files.items():
        keys = {"id": name, "languages": ["en"], "status": "draft"} | differs
        source = toml(MESSAGE.format(id=message) + more, **keys)
        (folder / f"config/webinars/{name}.toml").write_text(source, "utf-8")
    texts = dict.fromkeys(["sound", "same-day", *NOTICES], TEXT)
    for name, (old, new, _) in TEXTS.items():
        assert old in TEXT
        texts[name] = TEXT.replace(old, new)
    del texts["t-missing"]
    for message, text in texts.items():
        (folder / f"templates/{message}").mkdir()
        (folder / f"templates/{message}/en.md").write_text(text, "utf-8")


def _environment(folder: Path, **more: str) -> Mapping[str, str | None]:
    return {
        "CONFIG_DIR": str(folder / "config"),
        "TEMPLATES_DIR": str(folder / "templates"),
        "DATABASE_URL": f"sqlite:///{folder / 'webinar.db'}",
        "SMTP_HOST": None,
        **more,
    }


def _check(folder: Path, *arguments: str, **more: str) -> tuple[int, dict[str, Any]]:
    result = CliRunner().invoke(main, ["check", "--json", *arguments], env=_environment(folder, **more))
    assert isinstance(result.exception, SystemExit | None), result.exception
    found: dict[str, Any] = json.loads(result.stdout)
    return result.exit_code, found


@pytest.fixture(scope="module")
def findings(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, str]]:
    """One check over the whole folder."""
    folder = tmp_path_factory.mktemp("broken")
    _write(folder)
    exit_code, report = _check(folder)
    assert exit_code == 1
    return list(report["findings"])


def _about(findings: list[dict[str, str]], part: str) -> list[tuple[str, str, str]]:
    return [(one["severity"], one["place"], one["found"]) for one in findings if part in one["place"]]


def _matches(found: list[tuple[str, str, str]], expected: Expected) -> bool:
    return len(found) == len(expected) and all(
        severity == wanted and place_part in place and words in text
        for (severity, place, text), (wanted, place_part, words) in zip(found, expected, strict=True)
    )


@pytest.mark.parametrize("name", FILES)
def test_a_webinars_file(findings: list[dict[str, str]], name: str) -> None:
    found = _about(findings, f"/webinars/{name}.toml")
    assert _matches(found, FILES[name][2]), found


@pytest.mark.parametrize("name", TEXTS)
def test_a_text(findings: list[dict[str, str]], name: str) -> None:
    found = _about(findings, f"/templates/{name}/")
    assert _matches(found, TEXTS[name][2]), found
    assert _about(findings, f"/webinars/{name}.toml") == []


def test_sound_texts_have_no_findings(findings: list[dict[str, str]]) -> None:
    for message in ("sound", "same-day", *NOTICES):
        assert _about(findings, f"/templates/{message}/") == []


@pytest.mark.full  # in all its languages; a page's `webinar check`, in some of them: tests/test_docs.py
def test_the_shipped_webinar_has_no_errors(tmp_path: Path) -> None:
    shutil.copytree("config", tmp_path / "config")
    shutil.copytree("templates", tmp_path / "templates")
    exit_code, report = _check(tmp_path)
    assert exit_code == 0
    severities = [one["severity"] for one in report["findings"] if "PAGES_URL" not in one["place"]]
    assert {*severities} == {"warning"}
    (words,) = report["times"].values()
    assert "13:00 CEST in Geneva (UTC+02:00) = 11:00 UTC" in words


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One sound live webinar and its texts."""
    (tmp_path / "config/webinars").mkdir(parents=True)
    copy_texts(tmp_path / "templates", "en")
    (tmp_path / "config/webinars/w.toml").write_text(toml(languages=["en"]))
    return tmp_path


def _lines(report: dict[str, Any]) -> list[str]:
    return [f"{one['place']}: {one['found']}" for one in report["findings"] if "reviewed" not in one["found"]]


def test_what_keeps_no_mail_is_a_note(folder: Path) -> None:
    for path in ("confirmation/en (1).md", "invented/en.md", "confirmation/._en.md"):
        (folder / "templates" / path).parent.mkdir(exist_ok=True)
        (folder / "templates" / path).write_text("---\nsubject: {{ nmae }}\npreheader: Soon\n---\nHello\n")
    code, report = _check(folder)
    notes = [one for one in report["findings"] if one["severity"] == "note"]
    assert [one["place"].rpartition("templates/")[2].partition(",")[0] for one in notes] == [
        "confirmation/en (1).md",
        "invented/en.md",
        "environment variable PAGES_URL",
    ]
    assert "its name is no language" in notes[0]["found"]
    assert "no webinar uses this text, and it is not sound" in notes[1]["found"]
    assert code == 0


def test_without_pages_a_note_says_what_registrants_cannot_do(folder: Path) -> None:
    _, report = _check(folder)
    (found,) = [one for one in report["findings"] if "PAGES_URL" in one["place"]]
    assert found["severity"] == "note"
    assert "no one-click unsubscribe" in found["found"]
    published = {"PAGES_URL": "https://webinars.who.int", "TRUSTED_PROXIES": "10.0.0.7"}
    result = CliRunner().invoke(main, ["check", "--json"], env=_environment(folder) | published)
    assert "PAGES_URL" not in result.stdout


@pytest.mark.parametrize("with_database", [False, True])
def test_a_webinar_that_forwards_needs_pages(folder: Path, with_database: bool) -> None:
    if with_database:
        Database(_environment(folder)["DATABASE_URL"]).migrate()
    (folder / "config/webinars/w.toml").write_text(toml(languages=["en"], join_link="forward"))
    code, report = _check(folder)
    (found,) = [one for one in report["findings"] if one["severity"] == "error"]
    assert found["place"].endswith("w.toml, join_link")
    assert found["found"] == '"forward", but PAGES_URL is not set'
    assert "docs/operator.md" in found["fix"]
    assert code == 1
    published = {"PAGES_URL": "https://webinars.who.int", "TRUSTED_PROXIES": "10.0.0.7"}
    result = CliRunner().invoke(main, ["check", "--json"], env=_environment(folder) | published)
    assert "join_link" not in result.stdout


def test_a_folder_of_before_has_no_text_about_a_withdrawal(folder: Path) -> None:
    shutil.rmtree(folder / "templates/withdrawal")
    code, report = _check(folder)
    (found,) = [one for one in report["findings"] if "withdrawal" in one["place"]]
    assert found["severity"] == "warning"
    assert "there is no text for the message `withdrawal`" in found["found"]
    assert code == 0


def test_two_files_with_one_id_are_an_error_of_both(folder: Path) -> None:
    (folder / "config/webinars/v.toml").write_text(toml(languages=["en"]))
    exit_code, report = _check(folder, str(folder / "config/webinars/w.toml"))
    assert exit_code == 1
    assert any("w.toml, id" in line and "v.toml" in line for line in _lines(report))


def test_mails_that_cannot_leave_in_time(folder: Path) -> None:
    exit_code, report = _check(folder, "--expect", "10000", SMTP_PER_MINUTE="30")
    assert exit_code == 1
    (line,) = [line for line in _lines(report) if "reminder-hour" in line]
    # 10,000 at 30 a minute take 5 h 33 min; the day's reminders are out long before.
    assert "10000 mails at 30 a minute: the last one would leave at 15:33 UTC on 03 July 2025" in line


def test_mails_that_cannot_leave_in_time_by_the_day(folder: Path) -> None:
    _, report = _check(folder, "--expect", "10000", SMTP_PER_MINUTE="3000", SMTP_PER_DAY="2000")
    (line,) = [line for line in _lines(report) if "reminder-hour" in line]
    assert "10000 mails at 2000 a day: the last one would leave at" in line


def test_both_relays_are_asked_and_what_is_well_is_said(folder: Path) -> None:
    async def against_it() -> Any:
        async with MailServer(tls="none") as server:
            first = {"SMTP_HOST": "localhost", "SMTP_PORT": str(server.port), "SMTP_TLS": "none"}
            second = {"SMTP2_HOST": "127.0.0.1", "SMTP2_PORT": "9", "SMTP2_TLS": "none"}
            env = _environment(folder) | first | second
            return await asyncio.to_thread(CliRunner().invoke, main, ["check"], env=env)

    result = asyncio.run(against_it())
    assert result.exit_code == 1
    assert re.search(r"^the relay localhost:\d+: answers, in the clear, and takes mail$", result.output, re.M)
    assert re.search(r"^error: the relay 127.0.0.1:9: connect: .*; is it up, ", result.output, re.M)
    assert result.output.splitlines()[-1].startswith("1 error, ")


def test_what_is_wrong_alike_in_many_texts_is_one_line(folder: Path) -> None:
    for text in (folder / "templates").glob("*/en.md"):
        text.write_text(text.read_text().replace("reviewed_by: A. Reader", "reviewed_by:"))
    output = CliRunner().invoke(main, ["check"], env=_environment(folder)).output
    (line,) = [line for line in output.splitlines() if "nobody has reviewed" in line]
    assert re.search(r"templates: nobody has reviewed 7 texts: 7 in en; allowed: `reviewed_by`", line)


def test_texts_that_nobody_has_reviewed_are_one_warning_by_language(folder: Path) -> None:
    copy_texts(folder / "templates", "fr")
    (folder / "config/webinars/w.toml").write_text(toml(languages=["en", "fr"]))
    for text in (folder / "templates").glob("*/??.md"):
        text.write_text(text.read_text().replace("reviewed_by: A. Reader", "reviewed_by:"))
    (folder / "templates" / "confirmation" / "en.md").write_text("not even a text")
    warnings = [one for one in _check(folder)[1]["findings"] if "reviewed" in one["found"]]
    assert [one["found"] for one in warnings] == ["nobody has reviewed 13 texts: 6 in en, 7 in fr"]


def test_words_that_are_not_translated_are_named(folder: Path) -> None:
    here = toml(languages=["en", "fr"]) + '\n[translations.fr]\ntitle = "Acheter"\n'
    (folder / "config/webinars/w.toml").write_text(here)
    _, report = _check(folder)
    assert any(
        "translations.fr: no about and no how_to_join in fr" in line
        for line in (f"{one['place']}: {one['found']}" for one in report["findings"])
    )


def test_a_language_without_phrases_says_which_file_to_write(folder: Path) -> None:
    (folder / "config/webinars/w.toml").write_text(toml(languages=["en", "de"]))
    text = (folder / "templates/confirmation/en.md").read_text("utf-8")
    (folder / "templates/confirmation/de.md").write_text(text)
    _, report = _check(folder)
    (found,) = (one for one in report["findings"] if "greeting, buttons, footer" in one["found"])
    assert found["severity"] == "warning"
    assert found["place"].endswith("scheduler/mail/words/languages/de.toml")
    assert found["found"] == "what stands around texts in de (greeting, buttons, footer) is in English"
    assert re.search(r"copy .*languages/en\.toml to it, and translate what is in quotes", found["fix"])


def test_a_relay_that_does_not_answer_is_an_error(folder: Path) -> None:
    exit_code, report = _check(folder, SMTP_HOST="127.0.0.1", SMTP_PORT="9", SMTP_TLS="none")
    assert exit_code == 1
    assert any("the relay 127.0.0.1:9" in line for line in _lines(report))


def _with_limit(folder: Path, limit: int) -> tuple[int, list[str]]:
    """A check against a relay that takes mails of so many bytes."""

    async def against_it() -> tuple[int, dict[str, Any]]:
        async with MailServer(tls="none", size_limit=limit) as server:
            relay = {"SMTP_HOST": "localhost", "SMTP_PORT": str(server.port), "SMTP_TLS": "none"}
            return await asyncio.to_thread(_check, folder, **relay)

    exit_code, report = asyncio.run(against_it())
    return exit_code, [line for line in _lines(report) if "bytes" in line]


@pytest.mark.parametrize(
    ("limit", "severity"), [(5_000, "error"), (30_000, "warning"), (0, None), (10**7, None)]
)
def test_mails_larger_than_the_relay_takes(folder: Path, limit: int, severity: str | None) -> None:
    exit_code, lines = _with_limit(folder, limit)
    assert exit_code == (1 if severity == "error" else 0)
    assert bool(lines) == bool(severity)
    assert all(f"takes {limit}" in line and "templates/" in line for line in lines)


def test_what_an_edit_would_do_and_whose_rows_are_wrong(folder: Path) -> None:
    database = Database(f"sqlite:///{folder / 'webinar.db'}")
    database.migrate()
    ledger = Ledger(database)
    ledger.govern(webinar(languages=["en"]))
    slip = ledger.register("a@gmial.com")
    bad = ledger.register("nonsense")
    ledger.register("c@example.org", timezone="Asia/Tokyo")
    ledger.plan(utc("2025-06-12 08:00"))
    ledger.set("confirmation", "sent")
    before = ledger.deliveries()
    moved = {"start": datetime(2036, 7, 2, 13), "end": datetime(2036, 7, 2, 15)}
    (folder / "config/webinars/w.toml").write_text(toml(languages=["en"], again=True, **moved))
    exit_code, report = _check(folder)
    assert exit_code == 0
    assert ledger.deliveries() == before, "a check writes nothing"
    database.close()
    (effects,) = report["edits"].values()
    assert {one["message"]: (one["pending_after"], one["at_once"]) for one in effects}["change"] == (2, 2)
    assert f"registrants, row {slip}: the address's domain looks mistyped" in _lines(report)
    assert f"registrants, row {bad}: email is not an address" in _lines(report)
    assert "gmial" not in json.dumps(report)


def test_texts_that_cannot_be_tried_now_are_a_warning_and_no_mistake(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = folder / "templates/confirmation/en.md"
    text.write_text(text.read_text("utf-8") + "\nNobody has tried this.\n", "utf-8")

    def fails(*_: object) -> None:
        raise NotTried("the machine is busy")

    monkeypatch.setattr(runner, "try_pairs", fails)
    exit_code, report = _check(folder)
    assert exit_code == 0
    assert [one["found"] for one in report["findings"] if "tried" in one["found"]] == [
        "not tried with every webinar: the machine is busy"
    ]


def test_a_check_makes_no_database(folder: Path) -> None:
    _check(folder)
    assert not (folder / "webinar.db").exists()


def test_a_file_that_is_not_there_is_told_plainly(folder: Path) -> None:
    result = CliRunner().invoke(main, ["check", "nowhere.toml"], env=_environment(folder))
    assert result.exit_code == 2
    assert "nowhere.toml: can't be read: No such file" in result.stderr


def test_a_table_of_registrants_that_cannot_be_read_is_an_error_and_the_files_are_checked(
    scene: Scene,
) -> None:
    scene.write()
    scene.register("a@example.org")
    scene.plan(utc("2025-06-12 08:00"))
    scene.sql("UPDATE registrants SET name = 'A'")
    scene.sql("ALTER TABLE registrants RENAME COLUMN email TO mail")
    result = scene.run("check")
    assert result.exit_code == 1
    assert "registrants has no column email" in result.output
    assert "13:00 CEST" in result.output


def _found(folder: Path) -> list[tuple[str, str, str]]:
    findings = _check(folder)[1]["findings"]
    return [(one["place"].partition("templates/")[2], one["found"], one["fix"]) for one in findings]


def test_a_copy_of_a_text_is_not_reviewed(folder: Path) -> None:
    templates = folder / "templates"
    for text in templates.glob("*/en.md"):
        text.write_text(re.sub("(?m)^reviewed_by:.*", "reviewed_by: A. Reader", text.read_text()))
    shutil.copytree(templates / "reminder-day", templates / "week")
    week = '\n[[messages]]\nid = "week"\nbefore_start = "7d"\n'
    (folder / "config/webinars/w.toml").write_text(toml(languages=["en"]) + week)
    copied = [one for one in _found(folder) if "a copy is not reviewed" in one[1]]
    assert [one[0] for one in copied] == ["week/en.md, line 4, reviewed_by"]
    assert copied[0][1].startswith("`reviewed_by: A. Reader`, and the words, are those of ")
    assert copied[0][2].endswith("add the date, as in `reviewed_by: A. Reader, 2027-03-01`")

    text = templates / "week" / "en.md"
    edited = text.read_text().replace("A short reminder", "In a week")
    text.write_text(edited)
    assert [one[0] for one in _found(folder) if "a copy is" in one[1]] == ["week/en.md, line 4, reviewed_by"]
    text.write_text(edited.replace("A. Reader", "A. Reader, 2027-03-01"))
    assert [one for one in _found(folder) if "a copy is" in one[1]] == []


def test_a_copy_in_another_language_is_not_translated(folder: Path) -> None:
    (folder / "config/webinars/w.toml").write_text(toml(languages=["en", "fr"]))
    shutil.copy(folder / "templates/change/en.md", folder / "templates/change/fr.md")
    copied = [one for one in _found(folder) if "a copy that nobody has translated" in one[1]]
    assert [one[0] for one in copied] == ["change/fr.md, line 6"]


def test_a_text_that_is_missing_has_its_command_with_the_values_of_this_webinar(folder: Path) -> None:
    added = (
        '\n[[messages]]\nid = "reminder-week"\ndays_before = 7\nat = "09:00"\n'
        '\n[[messages]]\nid = "survey"\nafter_end = "2d"\n'
    )
    (folder / "config/webinars/w.toml").write_text(toml(languages=["en"]) + added)
    fixes = {one[0].partition("/")[0]: one[2] for one in _found(folder) if "there is no text" in one[1]}
    templates = folder / "templates"
    assert fixes["reminder-week"].endswith(
        f"copy one and edit it: cp -r {templates}/reminder-day {templates}/reminder-week"
        ' (or send that one: text = "reminder-day" below id = "reminder-week")'
    )
    assert f"cp -r {templates}/follow-up {templates}/survey" in fixes["survey"]


def test_a_mail_of_which_gmail_shows_the_beginning_only_is_named(folder: Path) -> None:
    text = folder / "templates" / "confirmation" / "en.md"
    text.write_text(text.read_text() + "\n\n" + "A long paragraph about everything. " * 2_700)
    (found,) = [one for one in _found(folder) if "the HTML of its mail" in one[1]]
    assert found[0] == "confirmation/en.md"
    assert "Gmail cuts a mail off at 102 kB" in found[2]
