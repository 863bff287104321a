"""One line of a webinar's file changes; every other character stays."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.input.toml_edit import NotEditable, with_status

REST = '\n[[messages]]\nid = "confirmation"\nstatus = "draft"\n'


@pytest.mark.parametrize(
    ("line", "edited"),
    [
        ('status = "draft"', 'status = "live"'),
        ('status="draft"# not yet', 'status="live"# not yet'),
        ("\tstatus\t=  'draft'   # 'not' \"yet\"", '\tstatus\t=  "live"   # \'not\' "yet"'),
        ('"status" = "draft"', '"status" = "live"'),
        ('status = ""', 'status = "live"'),
        ("status = true", 'status = "live"'),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("start", ["", "\ufeff", '# status = "draft"\nabout = """\nstatus = "draft"\n"""\n'])
def test_the_value_changes_and_nothing_else(start: str, line: str, edited: str, end: str) -> None:
    before, after = ((start + one + '\nid = "w"' + REST).replace("\n", end) for one in (line, edited))
    assert with_status(before, "live") == after


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_missing_line_comes_below_the_id(end: str) -> None:
    before, after = (
        ('# A\nid = "w" # B' + line + REST).replace("\n", end) for line in ("", '\nstatus = "live"')
    )
    assert with_status(before, "live") == after


def test_a_missing_line_at_the_end_of_a_file() -> None:
    assert with_status('messages = []\nid = "w"', "live") == 'messages = []\nid = "w"\nstatus = "live"'


@pytest.mark.parametrize("line", ['status = """\ndraft"""', 'status = "dr\\u0061ft"', "status = [\n'draft']"])
def test_what_only_a_person_should_touch(line: str) -> None:
    with pytest.raises(NotEditable, match='set status = "live" in it by hand'):
        with_status(f'id = "w"\n{line}\n', "live")


_BLOCKS = st.lists(
    st.sampled_from(
        [
            "",
            "# status = 'x'",
            'title = "# \\" status = 1"',
            'about = """\nstatus = "no"\n"""',
            "n = [\n  1, # one\n]",
        ]
    ),
    unique=True,
)


@given(_BLOCKS, _BLOCKS.map(lambda blocks: [block for block in blocks if block.startswith("#") or not block]))
def test_there_and_back_is_the_same_file(blocks: list[str], more: list[str]) -> None:
    source = "\n".join([*blocks, 'status = "draft"', *more, 'id = "w"']) + REST
    live = with_status(source, "live")
    assert tomllib.loads(live) == tomllib.loads(source) | {"status": "live"}
    assert with_status(live, "draft") == source
