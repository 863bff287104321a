"""The lines of keys, against the standard library's parser."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.input.toml_lines import key_lines, line_of

SHIPPED = sorted((Path(__file__).parents[2] / "config" / "webinars").glob("*.toml"))


def test_keys_tables_and_the_nth_of_an_array() -> None:
    source = 'a = 1\n\n[t]\nb = 2\nx.y = 3\n[[m]]\nid = "p"\n[[m]]\n# id = "no"\nid = "q"\n[m.sub]\nc = 1\n'

    assert key_lines(source) == {
        ("a",): 1,
        ("t",): 3,
        ("t", "b"): 4,
        ("t", "x"): 5,
        ("t", "x", "y"): 5,
        ("m",): 6,
        ("m", 0): 6,
        ("m", 0, "id"): 7,
        ("m", 1): 8,
        ("m", 1, "id"): 10,
        ("m", 1, "sub"): 11,
        ("m", 1, "sub", "c"): 12,
    }


@pytest.mark.parametrize(
    "value",
    [
        '"""\nb = 2\n[t]\n"""',
        "'''\nb = 2\n'''",
        '"""\n\\"""\nb = 2 """',
        '"""quotes at the end""""',
        "'''b = \"'''",
        '["x", # b = 2 ]\n  "]",\n]',
        '{ b = "}" }',
        '"# b = 2"',
        '"\\"" # "',
        "2025-07-03 13:00:00",
    ],
)
def test_what_looks_like_a_key_within_a_value_is_none(value: str) -> None:
    source = f"a = {value}\nc = 1\n"

    assert key_lines(source) == {("a",): 1, ("c",): source.count("\n")}
    assert set(tomllib.loads(source)) == {"a", "c"}


def test_windows_line_ends_count_once() -> None:
    assert key_lines("a = 1\r\n\r\nb = 2\r\n") == {("a",): 1, ("b",): 3}


def test_a_missing_key_has_the_line_of_its_nearest_parent() -> None:
    lines = key_lines("a = 1\n[[m]]\nid = 1\n")

    assert line_of(("m", 0, "at"), lines) == 2
    assert line_of(("a", 3, "x"), lines) == 1
    assert line_of(("b",), lines) is None


@pytest.mark.parametrize("source", ["a = ", "a = [1\nb", "[", "[[m]\na = 1", "= 1", 'a = "x', "\0"])
def test_invalid_toml_ends_the_search(source: str) -> None:
    assert set(key_lines(source)) <= {("a",)}


KEY = st.text("ab1_-", min_size=1, max_size=4) | st.sampled_from(['"a b"', "'c.d'"])
VALUE = st.sampled_from(
    [
        "1",
        '"x"',
        '"=["',
        "'#'",
        '"""\nz = 1\n"""',
        "[\n1, # ]\n2]",
        "{ q = 1 }",
        "true",
        "13:00:00",
        "'''\n'''",
    ]
)
STATEMENTS = st.lists(
    st.tuples(KEY, VALUE).map(lambda pair: f"{pair[0]} = {pair[1]} # x")
    | KEY.map(lambda key: f"[{key}]")
    | KEY.map(lambda key: f"[[ {key} ]]")
    | st.sampled_from(["", "# a = 1", "  "]),
    max_size=12,
)


@given(STATEMENTS)
def test_every_key_that_the_parser_finds_has_the_line_on_which_it_stands(statements: list[str]) -> None:
    source = "\n".join(statements)
    try:
        parsed = tomllib.loads(source)
    except tomllib.TOMLDecodeError:
        return

    lines = key_lines(source)

    assert set(lines) == set(_paths(parsed))
    for path, line in lines.items():
        if isinstance(path[-1], str):
            assert path[-1] in source.split("\n")[line - 1]


def _paths(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    if isinstance(value, dict) and value != {"q": 1}:
        inner = [_paths(item, (*path, key)) for key, item in value.items()]
    elif isinstance(value, list) and value != [1, 2]:
        inner = [_paths(item, (*path, index)) for index, item in enumerate(value)]
    else:
        inner = []
    return [*([path] if path else []), *(one for some in inner for one in some)]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_key_of_a_shipped_file_is_found(path: Path) -> None:
    source = path.read_text("utf-8")
    lines = key_lines(source)

    for key in tomllib.loads(source):
        assert source.split("\n")[lines[(key,)] - 1].lstrip("[").startswith(key)
