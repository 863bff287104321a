"""`[source]` in a webinar's file: allowed values, and the problems of others."""

from __future__ import annotations

from datetime import timedelta

import pytest

from scheduler.webinar.model import WebinarProblems, read_webinar
from scheduler.webinar.source import Source
from tests.support import SEQUENCE, toml


def read(words: str) -> Source:
    source = read_webinar(toml(f"{SEQUENCE}\n[source]\n{words}\n"), "w.toml").source
    assert source
    return source


def test_a_database_by_its_name() -> None:
    source = read('from = "crm-2027"\ntable = "public.attendees"\nevery = "1h 30m"\ncounting = ["Maybe"]')
    assert (source.variable, source.table) == ("SOURCE_CRM_2027", "public.attendees")
    assert (source.every, source.counting) == (timedelta(minutes=90), ("Maybe",))


def test_it_is_read_every_five_minutes_unless_it_says_otherwise() -> None:
    assert read('path = "2027/people.xlsx"').every == timedelta(minutes=5)


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ('path = "a/people.csv"', "a/people.csv"),
        ('from = "crm"\ntable = "t"', "SOURCE_CRM"),
        ('url = "https://files.test:8443/x.csv?token=hush"', "files.test:8443"),
    ],
)
def test_what_it_is_called_holds_no_secret(words: str, shown: str) -> None:
    assert read(words).words == shown


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 1", "select mail from t", "WITH x AS (SELECT 1) SELECT * FROM x", "SELECT *\\n\\tFROM t;",
        "SELECT 'a' -- what for\\n", "SELECT * FROM t WHERE a = :b AND c LIKE '%d'",
    ],
)  # fmt: skip
def test_a_query_is_one_select(query: str) -> None:
    assert read(f'from = "crm"\nquery = "{query}"').query


WRONG = {
    'every = "5m"': "does not say from where to read; allowed: exactly one of from, path, url",
    'path = "a.csv"\nurl = "https://files.test/a"': "2 of them: path, url; allowed: exactly one",
    'from = "crm"\ntable = "t"\nquery = "SELECT 1"': "source.query: is set with table; allowed: only one",
    'path = "a.csv"\nquery = "SELECT 1"': "source.query: is set with path; allowed: only with from",
    'from = "CRM"': "did you mean `crm`?",
    'from = "postgresql://user:hush@db/crm"': "source.from",
    'database = "crm"': "source.database: no such key",
    'path = "/etc/passwd"': 'source.path: "/etc/passwd"; allowed: the path of a CSV',
    'path = "../people.csv"': "source.path",
    'path = "a/../../b.csv"': "source.path",
    'path = "a\\\\b.csv"': "source.path",
    'path = ""': "source.path: is empty",
    'path = "."': "source.path",
    'url = ""': "source.url",
    'url = "http://files.test/a.csv"': "did you mean `https://files.test/a.csv`?",
    'url = "https://user:hush@files.test/a.csv"': "a user name or password in the link",
    'url = "file:///etc/passwd"': "source.url",
    'path = "a.csv"\nevery = "30s"': 'source.every: "30s"; allowed: how often it is read, "1m" to "1d"',
    'path = "a.csv"\nevery = "2d"': "source.every",
    'path = "a.csv"\nevery = "5 min"': "did you mean `5m`?",
    'path = "a.csv"\nevery = 5': "source.every: 5",
    'path = "a.csv"\ncounting = "Maybe"': 'put it in brackets: ["Maybe"]',
    'from = "crm"\nquery = "DELETE FROM t"': "source.query",
    'from = "crm"\nquery = "SELECT 1; DROP TABLE t"': "a semicolon in",
    'from = "crm"\nquery = "-- x\\nDELETE FROM t"': "source.query",
    'from = "crm"\nquery = "SELECTED"': "source.query",
    'from = "crm"\nquery = 7': "put it in quotes",
    'from = "crm"\ntable = 7': "source.table: 7",
}


@pytest.mark.parametrize(("words", "found"), WRONG.items(), ids=range(len(WRONG)))
def test_a_mistake_is_named_with_its_line(words: str, found: str) -> None:
    with pytest.raises(WebinarProblems) as problems:
        read(words)
    said = "\n".join(map(str, problems.value.problems))
    assert found in said
    assert said.startswith("w.toml, line ")


def test_a_source_that_is_no_table() -> None:
    with pytest.raises(WebinarProblems) as problems:
        read_webinar(toml(f'source = "people.csv"\n{SEQUENCE}'), "w.toml")
    assert "[source] with from, path or url" in str(problems.value)


def test_where_people_are_read_from_is_no_placeholder() -> None:
    assert read('url = "https://files.example.org/people.csv"')
