"""The webinar that an organizer's file describes, first of all the shipped one."""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.problem import Problem
from scheduler.webinar.model import (
    Message,
    Webinar,
    WebinarProblems,
    doubts,
    explain_time,
    placeholders,
    read_webinar,
)

TRILATERAL = Path(__file__).parents[2] / "config" / "webinars" / "trilateral-2025.toml"
SHORTEST = """\
id = "w"
title = "A webinar"
about = "About it."
how_to_join = "Open the link."
organizers = ["WHO"]
host = "WHO"
held_in = "en"
zone = "CET/Geneva time"
start = 2025-07-03T13:00:00
end = 2025-07-03T15:00:00
languages = ["en", "pt", "pt-BR"]
sender = "Webinar <webinar@who.int>"
alert_to = "operators@who.int"

[[messages]]
id = "confirmation"
on_registration = true
"""


def _read(*edits: tuple[str, str]) -> Webinar:
    source = SHORTEST
    for old, new in edits:
        assert old in source
        source = source.replace(old, new, 1)
    return read_webinar(source, "w.toml")


def _message(rule: str) -> Message:
    return _read(("on_registration = true", rule)).messages[0]


@pytest.fixture(scope="module")
def trilateral() -> Webinar:
    return read_webinar(TRILATERAL.read_text("utf-8"), str(TRILATERAL))


def test_the_trilateral_webinar_is_from_11_to_13_utc(trilateral: Webinar) -> None:
    assert trilateral.start == datetime(2025, 7, 3, 11, tzinfo=UTC)
    assert trilateral.end == datetime(2025, 7, 3, 13, tzinfo=UTC)
    assert trilateral.start.utcoffset() == timedelta(0)
    assert trilateral.place == "Geneva"


def test_the_trilateral_webinar_explains_its_time(trilateral: Webinar) -> None:
    assert explain_time(trilateral) == (
        "13:00 CEST in Geneva (UTC+02:00) = 11:00 UTC; what was announced as CET is CEST on 3 July 2025"
    )


def test_the_trilateral_webinar_has_the_facts_of_its_announcement(trilateral: Webinar) -> None:
    assert trilateral.id == "trilateral-2025"
    assert trilateral.organizers == (
        "World Health Organization (WHO)",
        "World Intellectual Property Organization (WIPO)",
        "World Trade Organization (WTO)",
    )
    assert trilateral.host == "World Health Organization (WHO)"
    assert trilateral.held_in == "en"
    assert trilateral.languages == ("en", "fr", "es", "ar", "zh", "ru")


def test_the_trilateral_webinar_has_all_its_texts_in_each_language(trilateral: Webinar) -> None:
    words = [trilateral.words(language) for language in trilateral.languages]

    for texts in zip(*((one.title, one.about, one.how_to_join) for one in words), strict=True):
        assert len(set(texts)) == len(trilateral.languages)
        assert not any("  " in text or "\\" in text for text in texts)


def test_the_sequence_of_the_trilateral_webinar(trilateral: Webinar) -> None:
    assert [(one.id, one.kind, one.invitation) for one in trilateral.messages] == [
        ("confirmation", "confirmation", "request"),
        ("reminder-day", "reminder", "none"),
        ("reminder-hour", "reminder", "none"),
        ("follow-up", "follow-up", "none"),
    ]
    confirmation, day, hour, follow_up = trilateral.messages
    assert confirmation.on_registration
    assert (day.days_before, day.at, day.clock) == (1, time(9), "registrant")
    assert hour.before_start == timedelta(hours=1)
    assert (follow_up.days_after, follow_up.at, follow_up.clock) == (1, time(10), "registrant")


def test_the_trilateral_webinar_is_a_draft_until_its_placeholders_are_replaced(trilateral: Webinar) -> None:
    assert trilateral.status == "draft"
    assert {problem.place for problem in placeholders(trilateral)} == {
        "join_url",
        "materials_url",
        "sender",
        "reply_to",
        "alert_to",
    }

    source = TRILATERAL.read_text("utf-8")
    with pytest.raises(WebinarProblems) as error:
        read_webinar(source.replace('status = "draft"', 'status = "live"'), "t.toml")
    keys = [problem.place.rpartition(", ")[2] for problem in error.value.problems]
    assert keys == ["join_url", "materials_url", "sender", "reply_to", "alert_to"]

    read_webinar(re.sub(r"example\.org", "who.int", source).replace('"draft"', '"live"', 2), "t.toml")


def test_what_a_file_leaves_out() -> None:
    webinar = _read()

    assert (webinar.status, webinar.cancelled) == ("draft", False)
    assert (webinar.on_broken, webinar.on_doubt) == ("last-sound", "resend")
    assert (webinar.join_url, webinar.materials_url) == ("", "")
    assert webinar.reply_to == webinar.sender
    assert webinar.sender.name == "Webinar"
    assert webinar.sender.address == "webinar@who.int"
    assert not webinar.messages[0].also_for_registered


@pytest.mark.parametrize(
    ("rule", "kind"),
    [
        ("on_registration = true", "confirmation"),
        ('before_start = "90s"', "reminder"),
        ('days_before = 0\nat = "07:00"', "reminder"),
        ('after_end = "90m"', "follow-up"),
        ("days_after = 1\nat = 10:00:00", "follow-up"),
    ],
)
def test_the_kind_of_a_message_comes_from_its_rule(rule: str, kind: str) -> None:
    assert _message(rule).kind == kind


def test_an_organizer_chooses_another_invitation() -> None:
    assert _message('on_registration = true\ninvitation = "none"').invitation == "none"
    assert _message('before_start = "1h"\ninvitation = "attachment"').invitation == "attachment"


def test_the_webinars_own_clock() -> None:
    assert _message('days_before = 1\nat = "09:00"\nclock = "webinar"').clock == "webinar"


def test_a_rule_that_is_false_is_no_rule() -> None:
    assert _message('on_registration = false\nbefore_start = "1h"').kind == "reminder"


def test_words_fall_back_key_by_key() -> None:
    webinar = _read(
        (
            "\n[[messages]]",
            '\n[translations.pt]\ntitle = "T"\nabout = "A"\n[translations.pt-br]\ntitle = "B"\n[[messages]]',
        )
    )

    assert webinar.words("pt-BR").model_dump() == {
        "title": "B",
        "about": "A",
        "how_to_join": "Open the link.",
        "organizers": ("WHO",),
        "host": "WHO",
        "sender_name": "Webinar",
    }
    assert webinar.words("pt").title == "T"
    assert webinar.words("en").title == webinar.words("ja").title == "A webinar"


@pytest.mark.parametrize(
    ("zone", "start", "said"),
    [
        ("Geneva time", "2025-07-03T13", "13:00 CEST in Geneva (UTC+02:00) = 11:00 UTC"),
        ("CET", "2025-01-15T13", "13:00 CET in Geneva (UTC+01:00) = 12:00 UTC"),
        ("CEST", "2025-01-15T13", "13:00 CET in Geneva (UTC+01:00) = 12:00 UTC; "
                                  "what was announced as CEST is CET on 15 January 2025"),
        ("CEST", "2025-07-03T13", "13:00 CEST in Geneva (UTC+02:00) = 11:00 UTC"),
        ("Asia/Kathmandu", "2025-07-03T03", "03:00 in Kathmandu (UTC+05:45) = 21:15 UTC on 2 July 2025"),
        ("America/New_York", "2025-07-03T13", "13:00 EDT in New York (UTC-04:00) = 17:00 UTC"),
    ],
)  # fmt: skip
def test_a_time_is_explained_in_one_line(zone: str, start: str, said: str) -> None:
    webinar = _read(
        ("CET/Geneva time", zone),
        ("start = 2025-07-03T13", f"start = {start}"),
        ("end = 2025-07-03", f"end = {start[:10]}"),
    )

    assert explain_time(webinar) == said


def test_a_webinar_through_the_night_of_a_change_is_as_long_as_it_is() -> None:
    webinar = _read(("2025-07-03T13", "2025-03-30T01"), ("2025-07-03T15", "2025-03-30T03"))

    assert webinar.end - webinar.start == timedelta(hours=1)


def test_an_end_before_the_start_on_the_clock_may_be_after_it_in_truth() -> None:
    """Clocks go back at 03:00; 03:00 itself is there once."""
    webinar = _read(("2025-07-03T13:00", "2025-10-26T01:30"), ("2025-07-03T15", "2025-10-26T03"))

    assert webinar.end - webinar.start == timedelta(hours=2, minutes=30)


def test_a_file_from_windows_reads_like_any_other() -> None:
    assert read_webinar("\ufeff" + SHORTEST.replace("\n", "\r\n"), "w.toml") == _read()


def test_a_webinar_does_not_change_and_can_be_written_as_json() -> None:
    webinar = _read()
    with pytest.raises(ValueError, match="frozen"):
        webinar.title = "Another"  # type: ignore[misc]
    assert '"start":"2025-07-03T13:00:00"' in webinar.model_dump_json(by_alias=True)


@pytest.mark.parametrize(
    "text",
    [
        "https://example.org/x",
        "https://www.example.com",
        "https://example.net",
        "https://webinar.example/x",
        "https://localhost/x",
        "https://localhost:8443/x",
        "https://127.0.0.1/x",
        "https://[::1]/x",
        "https://WWW.EXAMPLE.ORG",
        "https://webinar.invalid/",
    ],
)
def test_a_placeholder_for_a_link_may_not_go_live(text: str) -> None:
    webinar = _read(("sender", f'join_url = "{text}"\nsender'))

    assert [problem.place for problem in placeholders(webinar)] == ["join_url"]


@pytest.mark.parametrize(
    "text",
    ["https://who.int/example.organization", "https://notexample.org/", "https://example.org.who.int/",
     "https://webinar.test/x", "https://localhost.who.int/", "https://my-example.com"],
)  # fmt: skip
def test_what_only_resembles_a_placeholder_may(text: str) -> None:
    assert placeholders(_read(("sender", f'join_url = "{text}"\nsender'))) == []


def test_a_placeholder_in_a_text_is_named_by_language() -> None:
    webinar = _read(
        ("sender", 'join_url = "https://who.int/"\nsender'),
        ("\n[[messages]]", '\n[translations.pt]\nhow_to_join = "Veja example.org."\n[[messages]]'),
    )

    assert placeholders(webinar) == [
        Problem(
            "translations.pt.how_to_join", "the placeholder example.org", "the real value before it is live"
        )
    ]


@given(st.text(max_size=300))
def test_any_file_is_a_webinar_or_a_list_of_mistakes(source: str) -> None:
    with pytest.raises(WebinarProblems) as error:
        read_webinar(source, "w.toml")
    assert all(problem.place.startswith("w.toml") for problem in error.value.problems)


VALUES = st.sampled_from(
    ["1", "-1", "true", '""', '"x"', "[]", "[1]", "[[1]]", "{}", '{ en = "x" }', "[{}]", "1.5", "nan", "13:00:00",
     "2025-07-03", "2025-07-03T13:00:00", "2025-07-03T13:00:00Z", '["en", {}]', "{ fr = { title = 1 } }"]
)  # fmt: skip


@given(st.sampled_from(sorted(Webinar.model_json_schema()["properties"])), VALUES)
def test_any_value_for_any_key_is_taken_or_a_mistake_of_that_key(key: str, value: str) -> None:
    """Nothing but WebinarProblems comes out, and each problem says where."""
    kept = [line for line in SHORTEST.split("\n") if not line.startswith(f"{key} =")]
    if key == "messages":
        kept = kept[: kept.index("[[messages]]")]
    problems: tuple[Problem, ...] = ()
    try:
        read_webinar("\n".join([f"{key} = {value}", *kept]), "w.toml")
    except WebinarProblems as error:
        problems = error.problems

    for problem in problems:
        assert re.match(r"w\.toml, line \d+, \w", problem.place)


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("a = 1\n" + ".".join("a" * 100_000) + " = 1", "line 2: a key of more than 100 parts"),
        ("[" + ".".join("a" * 100_000) + "]", "line 1: a key of more than 100 parts"),
        ("#" * 256_001, "more than 256,000 characters"),
    ],
)
def test_what_nobody_writes_by_hand_is_refused_at_once(source: str, found: str) -> None:
    """Each would take minutes to be read."""
    with pytest.raises(WebinarProblems, match=found):
        read_webinar(source, "w.toml")


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("Dear {{ name }}", "`{{ name }}`, which would go out as it is"),
        ("{% if name %}x{% endif %}", "`{% if name %}`, which would go out as it is"),
        ("A talk for *|FNAME|*", "`*|FNAME|*`, which would go out as it is"),
        ("Dear [name], welcome", "`[name]`, which would go out as it is"),
        ("{title} of {{ webinar.title }}", "`{{ webinar.title }}`, which would go out as it is"),
    ],
)
@pytest.mark.parametrize("key", ["title", "about", "how_to_join"])
def test_nothing_is_filled_in_into_the_words_of_the_file(key: str, words: str, found: str) -> None:
    old = {"title": "A webinar", "about": "About it.", "how_to_join": "Open the link."}[key]
    with pytest.raises(WebinarProblems) as refused:
        _read((f'{key} = "{old}"', f'{key} = "{words}"'))
    problem = refused.value.problems[0]
    line = SHORTEST.split("\n").index(f'{key} = "{old}"') + 1
    assert (problem.place, problem.found) == (f"w.toml, line {line}, {key}", found)


def test_translations_and_the_senders_name_are_looked_at_too() -> None:
    with pytest.raises(WebinarProblems) as refused:
        _read(
            ("Webinar <webinar@who.int>", "{name} <webinar@who.int>"),
            ("[[messages]]", '[translations.pt]\nabout = "Caro {nome}"\n\n[[messages]]'),
        )
    assert [one.place for one in refused.value.problems] == [
        "w.toml, line 12, sender",
        "w.toml, line 16, translations.pt.about",
    ]


def test_what_may_be_meant_in_the_words_of_the_file_is_doubtful() -> None:
    webinar = _read(
        ("About it.", "See **here**, [this](https://who.int) &amp; <b>that</b>, [link to come], 5 % [1]")
    )
    assert [one.found.partition(":")[0].partition(",")[0] for one in doubts(webinar)] == [
        "`[link to come]`",
        "`**here**`",
        "`[this](https",
        "`&amp;`",
        "`<b>`",
        "`</b>`",
    ]


def test_a_message_may_send_the_text_of_another() -> None:
    webinar = _read(
        (
            "on_registration = true",
            'on_registration = true\n\n[[messages]]\nid = "week"\ntext = "reminder-day"\nbefore_start = "7d"\n\n'
            '[[messages]]\nid = "reminder-day"\nbefore_start = "1d"\n\n'
            '[[messages]]\nid = "thanks"\ntext = "reminder-day"\nafter_end = "1h"\n',
        )
    )
    notices = ["change", "cancellation", "withdrawal"]
    assert webinar.message_ids == ["confirmation", "week", "reminder-day", "thanks", *notices]
    assert webinar.text_names == ["confirmation", "reminder-day", *notices]
    assert webinar.text_of["week"] == "reminder-day"
    assert webinar.message_with("reminder-day") == "week"
    assert webinar.demands_of("reminder-day") == ("reminder", "follow-up")
    assert webinar.demands_of("change") == ("change",)


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ('text = "change"', '"change", the id of a built-in notice'),
        ('text = "Reminder Day"', '"Reminder Day"'),
        ('kind = "reminder"', '"reminder"'),
    ],
)
def test_a_text_or_kind_that_is_none_is_refused(line: str, found: str) -> None:
    with pytest.raises(WebinarProblems) as refused:
        _message(f"on_registration = true\n{line}")
    assert refused.value.problems[0].found == found


def test_a_note_is_one_whatever_its_rule_says() -> None:
    message = _message('before_start = "10m"\nkind = "note"')
    assert (message.kind, message.declared) == ("reminder", "note")


def test_the_senders_name_is_that_of_the_language_and_the_address_always_the_same() -> None:
    webinar = _read(("[[messages]]", '[translations.pt]\nsender_name = "OMS, webinários"\n\n[[messages]]'))
    assert [webinar.sender_in(tag) for tag in ("en", "pt", "pt-BR")] == [
        ("Webinar", "webinar@who.int"),
        ("OMS, webinários", "webinar@who.int"),
        ("OMS, webinários", "webinar@who.int"),
    ]
    assert webinar.reply_to_in("pt") == ("OMS, webinários", "webinar@who.int")
    answered = _read(("alert_to", 'reply_to = "Team <team@who.int>"\nalert_to'))
    assert answered.reply_to_in("pt") == ("Team", "team@who.int")
