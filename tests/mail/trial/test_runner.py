"""A text goes out only when it works for every kind of reader."""

from __future__ import annotations

import asyncio
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from scheduler.mail.text.templates import TextProblems
from scheduler.mail.texts import Key
from scheduler.mail.trial import runner
from scheduler.mail.trial.cases import cases
from scheduler.mail.trial.child import CPU_SECONDS
from scheduler.mail.trial.pairs import Verdicts, pairs_of
from scheduler.mail.trial.runner import Found, NotTried, check_texts
from scheduler.mail.words.names import LONGEST
from scheduler.problem import Problem
from scheduler.web.organizers import trial
from scheduler.webinar.model import Webinar
from tests.mail.samples import TEMPLATES, layout, shipped_sources, webinar
from tests.mail.trial.trying_here import without_a_child

HEAD = "---\nsubject: Hello\npreheader: Soon\n---\n"
WHOLE = "\n\n{{ times }}\n\n{{ join_button }}\n"


def check(*webinars: Webinar, in_child: bool = False, **bodies: str) -> dict[str, list[str]]:
    """The problems of texts given by message ("_" for "-") and body, without their place. They are filled in here, but
    for texts of which only the child's limits have the better."""
    sources = {(message.replace("_", "-"), "en"): HEAD + body for message, body in bodies.items()}
    with nullcontext() if in_child else without_a_child():
        found = check_texts(sources, webinars or [webinar()], TEMPLATES)
    assert not found.untried
    return {
        key[0]: [str(problem).removeprefix(str(TEMPLATES)) for problem in found.problems.get(key, ())]
        for key in sources
    }


def test_every_shipped_text_is_sound_and_that_is_known_soon() -> None:
    sources = shipped_sources()

    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    found = check_texts(sources, [webinar(), webinar(zone='"Asia/Kathmandu"', join_url='""')], TEMPLATES)

    assert found.problems == {}
    assert found.sound == set(sources)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime - before.ru_utime < 15  # 3 s; where others work beside it somewhat more


def test_no_texts_are_no_trouble() -> None:
    assert check_texts({}, [webinar()], TEMPLATES) == Verdicts()


def test_a_confirmation_a_reminder_and_a_change_need_link_and_times() -> None:
    found = check(
        confirmation="Hi",
        reminder_hour="{{ join_url }}",
        change="{{ your_time }}",
        follow_up="Hi",
        cancellation="Hi",
    )

    assert [line.partition(";")[0].partition(": ")[2] for line in found["confirmation"]] == [
        "the link to join is not in the HTML: `{{ join_button }}` or `{{ join_url }}` says it",
        "the reader's time is not in the HTML: `{{ times }}` or `{{ your_time }}` says it",
        "the webinar's time is not in the HTML: `{{ times }}` or `{{ webinar_time }}` says it",
    ]
    assert ["the reader's" in found["reminder-hour"][0], "the webinar's" in found["reminder-hour"][1]] == [
        True,
        True,
    ]
    assert len(found["reminder-hour"]) == 2
    assert ["the link" in found["change"][0], "the webinar's" in found["change"][1]] == [True, True]
    assert len(found["change"]) == 2
    assert found["follow-up"] == []
    assert found["cancellation"] == []


def test_link_and_times_count_only_where_they_are_seen_by_everybody() -> None:
    found = check(confirmation="{% if name %}\n{{ times }}\n\n{{ join_button }}\n{% else %}\nHi\n{% endif %}")

    assert len(found["confirmation"]) == 3
    assert "procurement, for a reader in Europe/Zurich, days before the start" in found["confirmation"][0]


def test_the_preheader_alone_is_not_enough() -> None:
    source = "---\nsubject: S\npreheader: '{{ your_time }} {{ webinar_time }} {{ join_url }}'\n---\nHi"

    with without_a_child():
        found = check_texts({("confirmation", "en"): source}, [webinar()], TEMPLATES)
    assert len(found.problems["confirmation", "en"]) == 3


def test_variables_in_one_line_do_as_well_as_blocks() -> None:
    assert check(confirmation="{{ your_time }}\n\n{{ webinar_time }}\n\n{{ join_url }}") == {
        "confirmation": []
    }


def test_a_mistake_that_only_filling_in_shows_is_told_with_its_line() -> None:
    found = check(confirmation="Hi\n\n{{ name + 1 }}" + WHOLE)

    assert len(found["confirmation"]) == 1
    assert found["confirmation"][0].startswith("/confirmation/en.md, line 7: cannot be filled in: ")


def test_a_text_that_is_empty_for_some_is_not_sound() -> None:
    found = check(follow_up="{% if name %}Hi{% endif %}")

    assert found["follow-up"] == [
        "/follow-up/en.md: the text is empty after it is filled in; "
        "procurement, for a reader in Europe/Zurich, days before the start"
    ]


RUNAWAY = "{% for a in 'x' * 9999 %}{% for b in 'x' * 9999 %}{% set c = a %}{% endfor %}{% endfor %}"
GREEDY = "{{ ('x' * 1000000000)|length }}"


def test_a_text_must_work_whatever_changed_and_where_nothing_did() -> None:
    found = check(
        change="{% if changes and changes.time %}{{ 1 // 0 }}{% endif %}" + WHOLE, follow_up="{{ changes }}"
    )

    assert found["change"] == [
        "/change/en.md, line 5: cannot be filled in: integer division or modulo by zero; "
        "procurement, for a reader in Europe/Zurich, an hour before the start, after a new time"
    ]
    assert [line.partition(";")[0] for line in found["follow-up"]] == [
        "/follow-up/en.md: the text is empty after it is filled in"
    ]


def test_the_time_that_changed_does_not_do_for_the_time() -> None:
    found = check(change="{{ changes }}\n\n{{ webinar_time }}\n\n{{ join_url }}")

    assert len(found["change"]) == 1
    assert "the reader's time is not in the HTML" in found["change"][0]


def test_a_runaway_is_ended_and_marks_no_other_text() -> None:
    began = time.process_time()
    found = check(
        in_child=True,
        confirmation="Hi" + WHOLE,
        follow_up=RUNAWAY,
        reminder_hour=GREEDY + WHOLE,
        change="{{ nme }}" + WHOLE,
    )

    assert found["confirmation"] == []
    assert found["follow-up"] == [
        "/follow-up/en.md: filling it in took too much processor time; allowed: 1 s of processor time and 256 MB"
    ]
    assert found["reminder-hour"] == [
        "/reminder-hour/en.md: filling it in took too much memory; allowed: 256 MB"
    ]
    assert "unknown variable `nme`" in found["change"][0]
    assert time.process_time() - began < 2  # the work is the children's


def test_what_says_nothing_to_a_reader_is_not_sound() -> None:
    words = {
        "en": "{{ webinar.title.format }}",
        "fr": "{{ self }}",
        "ru": "{% set words = webinar.title.split() %}{{ words }}",
        "es": "{{ webinar.title.upper() }}",
    }
    sources = {("follow-up", language): f"{HEAD}Hi {said}" for language, said in words.items()}

    with without_a_child():
        found = check_texts(sources, [webinar()], TEMPLATES)

    assert {key[1]: problems[0].found for key, problems in found.problems.items()} == {
        "en": "cannot be filled in: `{{ … }}` prints an internal object (function), not words",
        "fr": "cannot be filled in: `{{ … }}` prints an internal object (TemplateReference), not words",
        "ru": "cannot be filled in: `{{ … }}` prints an internal object (list), not words",
    }
    assert found.sound == {("follow-up", "es")}


def test_a_child_that_cannot_begin_condemns_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner.sys, "executable", "/bin/false")
    sources = {("confirmation", "en"): HEAD + "Hi, of whom nothing is known" + WHOLE}

    found = check_texts(sources, [webinar()], TEMPLATES)

    assert found.problems == {}
    assert found.untried == set(sources)
    assert found.why_untried == "the child process for trials could not start: exit 1: "


def test_a_limit_of_memory_that_an_operator_set_stays_as_it_is() -> None:
    limit = 8 * 2**30
    script = (
        f"import resource; resource.setrlimit(resource.RLIMIT_AS, ({limit}, {limit}))\n"
        "from scheduler.mail.trial.child import limit_memory; limit_memory()\n"
        "print(*resource.getrlimit(resource.RLIMIT_AS))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    soft, hard = map(int, done.stdout.split())
    assert soft < hard == limit


def test_no_secret_of_the_service_is_in_the_environment_of_what_fills_in_a_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\nenv > {tmp_path}/seen\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    for name in ("SMTP_PASSWORD", "DATABASE_URL", "SMTP_OAUTH_CLIENT_SECRET"):
        monkeypatch.setenv(name, "sw0rdfish")

    check_texts({("confirmation", "en"): HEAD + "Hi, whoever you are" + WHOLE}, [webinar()], TEMPLATES)
    checked = (tmp_path / "seen").read_text()
    asyncio.run(_try_one())

    for seen in (checked, (tmp_path / "seen").read_text()):
        assert "PATH=" in seen
        assert "sw0rdfish" not in seen


async def _try_one() -> None:
    """As the editor does it."""
    child = await trial._new_child()
    await child.wait()


def try_all(sources: dict[Key, str], *webinars: Webinar) -> tuple[dict[str, Found], str]:
    """What is found of the texts with these webinars, by language; and why not all could be tried."""
    found: dict[str, Found] = {}
    pairs = pairs_of(sources, webinars or [webinar()], layout())
    languages = {pair.digest: pair.key[1] for pair in pairs}

    def told(digest: str, problems: Found) -> None:
        found[languages[digest]] = (*found.get(languages[digest], ()), *problems)

    try:
        runner.try_pairs(pairs, sources, layout(), told)
    except NotTried as reason:
        return found, str(reason)
    return found, ""


class Stopped(subprocess.Popen[bytes]):
    """A child that is stopped as soon as it is there."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.send_signal(signal.SIGSTOP)


def test_a_child_that_the_machine_keeps_waiting_says_nothing_about_the_texts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runner.subprocess, "Popen", Stopped)
    monkeypatch.setattr(runner, "PATIENCE", 0.5)

    found, why = try_all({("follow-up", "en"): HEAD + "Hi"})

    assert found == {}
    assert why == "the child process for trials printed nothing for 0.5 s"


class Ending(subprocess.Popen[bytes]):
    """A child that ends where a text says so: by itself, or as where the kernel has no memory left."""

    def __init__(self, _: Sequence[str], **keywords: Any) -> None:
        script = """if True:
            import os, signal
            from scheduler.mail.trial import child
            problems_of = child.problems_of
            def ends(source, *rest):
                if "CRASHES" in source:
                    os.abort()
                if "KILLED" in source:
                    os.kill(os.getpid(), signal.SIGKILL)
                return problems_of(source, *rest)
            child.problems_of = ends
            child.main()
            """
        super().__init__([sys.executable, "-c", script], **keywords)


def test_a_child_that_is_ended_from_outside_says_nothing_about_the_text(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runner.subprocess, "Popen", Ending)

    found, why = try_all({("follow-up", "en"): HEAD + "KILLED", ("follow-up", "fr"): HEAD + "Bonjour"})

    assert found == {"fr": ()}
    assert why == "the child process for trials was killed from outside"


def test_a_text_at_which_the_child_crashes_twice_is_unsound_and_the_others_are_tried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runner.subprocess, "Popen", Ending)

    found, why = try_all({("follow-up", "en"): HEAD + "CRASHES", ("follow-up", "fr"): HEAD + "Bonjour"})

    assert why == ""
    assert found["fr"] == ()
    assert [str(one) for one in found["en"]] == [
        "follow-up/en.md: filling it in crashed its process: signal 6; allowed: 1 s of processor time and 256 MB"
    ]


@pytest.mark.full  # seconds of computing
def test_a_text_has_its_second_with_each_webinar() -> None:
    """From 45 webinars on, sound texts ran out of the one second that there was for all of them."""
    slow = HEAD + "{% for a in 'x' * 700 %}{% for b in 'x' * 100 %}{% set c = a %}{% endfor %}{% endfor %}Hi"
    many = [webinar(id=f'"w{number}"') for number in range(7)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)

    found, why = try_all({("follow-up", "en"): slow}, *many)

    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert (found, why) == ({"en": ()}, "")
    assert after.ru_utime - before.ru_utime > CPU_SECONDS, "it is as slow as it is meant to be"


def test_while_somebody_waits_a_few_are_tried_and_more_for_a_few_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runner, "FEW_PAIRS", 4)
    sources = {("follow-up", language): HEAD + f"Hi, {language}" for language in ("en", "fr", "ru")}

    found = check_texts(sources, [webinar()], TEMPLATES, seconds=0)

    assert found.untried
    assert found.untried | found.sound == set(sources)
    assert found.why_untried == "it takes long; `webinar run` tries them"
    assert check_texts(sources, [webinar()], TEMPLATES).sound == set(sources)


def test_a_known_pair_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    sources = {("follow-up", "en"): HEAD + "Hi, of whom something is known"}
    assert check_texts(sources, [webinar()], TEMPLATES).sound == set(sources)
    monkeypatch.setattr(runner.sys, "executable", "/bin/false")

    edited = webinar().model_copy(update={"status": "live", "alert_to": "others@example.org"})
    assert check_texts(sources, [edited], TEMPLATES).sound == set(sources)
    assert check_texts(sources, [webinar(title='"Another"')], TEMPLATES).untried == set(sources)


def test_a_broken_layout_is_told_as_such(tmp_path) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(TextProblems) as caught:
        check_texts({}, [], tmp_path)

    where = str(tmp_path / "_layout" / "layout.html")
    assert caught.value.problems == (
        Problem(where, "cannot be read: No such file or directory", "a file in UTF-8"),
    )


@pytest.mark.parametrize(
    "zone", ["Geneva time", "Asia/Kathmandu", "Pacific/Kiritimati", "America/Los_Angeles"]
)
def test_the_matrix_has_every_kind_of_reader(zone: str) -> None:
    there = list(cases(webinar(zone=f'"{zone}"'), "en"))
    times = [case.times for case in there]

    assert any(one.same for one in times)
    assert any(one.other_date for one in times)
    assert any(one.yours.crosses_midnight for one in times)
    assert any(one.yours.starts[3:] != one.theirs.starts[3:] for one in times)
    assert any(one.assumed for one in times)
    assert any(not one.assumed for one in times)
    assert {len(case.filling["name"]) for case in there} >= {0, LONGEST}
    assert len({case.filling["what_changed"] for case in there}) == 5
    assert {"now", "in one hour", "in 3 days"} <= {case.filling["time_left"] for case in there}


def test_every_webinar_counts() -> None:
    other = webinar(id='"other"', materials_url='""')
    assert other.end - other.start == timedelta(hours=2)

    found = check(webinar(), other, follow_up="{% if webinar.materials_url %}Slides{% endif %}")

    assert "other, for a reader" in found["follow-up"][0]


def test_a_note_need_not_say_the_times_or_the_link() -> None:
    told = webinar(**{})
    (reminder,) = [one for one in told.messages if one.id == "reminder-hour"]
    note = reminder.model_copy(update={"declared": "note"})
    noted = told.model_copy(update={"messages": (note,)})
    assert check(noted, reminder_hour="We begin in ten minutes.")["reminder-hour"] == []
    assert len(check(told, reminder_hour="We begin in ten minutes.")["reminder-hour"]) == 3


def test_a_text_of_two_messages_must_do_for_both() -> None:
    told = webinar()
    (follow_up,) = [one for one in told.messages if one.id == "follow-up"]
    both = told.model_copy(
        update={
            "messages": (*told.messages, follow_up.model_copy(update={"id": "x", "text": "reminder-hour"}))
        }
    )
    assert len(check(both, reminder_hour="Hi")["reminder-hour"]) == 3


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("`{{ join_url }}`\n\n{{ times }}", "`{{ join_url }}` in backticks, which cannot be clicked"),
        ("{{ 'See ' ~ join_url }}\n\n{{ times }}", "the link to join cannot be clicked"),
        ("    {{ join_url }}\n\n{{ times }}", ""),
        ("[Join]({{ join_url }}) – {{ times }}".replace(" – ", "\n\n"), ""),
        ("Join: {{ join_url }}\n\n{{ times }}", ""),
    ],
)
def test_the_link_to_join_must_be_one_that_can_be_pressed(body: str, found: str) -> None:
    problems = check(confirmation=body)["confirmation"]
    assert [found in one for one in problems] == ([True] if found else [])
