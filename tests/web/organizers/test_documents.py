"""What the editor's page makes of a file, by its own code in Node: what it shows, and what it saves."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from scheduler.mail.text.front_matter import KEYS, read_front_matter
from tests.rehearsed import ROOT

pytestmark = pytest.mark.full

ASSETS = ROOT / "scheduler/web/organizers/assets"

LINES = (
    "# a comment", "", "subject: Starts {{ time_left }}", 'subject: "Quoted: yes"', "preheader:   blanks   ",
    "preheader:",
    "reviewed_by: Ana # not a comment", "reviewed_by:", "'subject': x", "Subject: x", " preheader: indented",
    "no colon",
    ": nothing before", "subject : blank before the colon", "unknown: 7", "subject: 'one'two'", 'preheader: "', "---x",
    "preheader: «Ваше время»: {{ your_time }}", "subject: 明天开始", "subject: تبدأ الندوة {{ time_left }}",
)  # fmt: skip
BODIES = (
    "{{ dear }}", "{{ times }}", "{%- if name -%} x {%- endif -%}", "{# a note #}", "{{ name|upper }}", "{{ broken",
    "{% for a in name %}{{ a }}{% endfor %}", "**bold** *it* \\* [x](https://who.int/{{ join_url }})", "Regards,\\",
    "- one", "\ttab", "trailing   ", "---", "\u2028odd", "\u200fRTL", "**", "# {{ webinar.title }}", "> q", "{{}}",
)  # fmt: skip
VALUES = ("", "New words", '"in quotes"', "'", "{{ time_left }}: x", "# no comment", "مرحبا", "a: b", '""')


@cache
def texts() -> list[Path]:
    return sorted((ROOT / "templates").glob("*/*.md"))


def written(chance: random.Random) -> str:
    """A text such as somebody, or another program, may have written."""
    if chance.random() < 0.3:
        text = chance.choice(texts()).read_text("utf-8")
    else:
        front = chance.choices(LINES, k=chance.randrange(6))
        body = chance.choices(BODIES, k=chance.randrange(8))
        opening, closing = chance.choice(
            [("---", "---"), ("---", "---"), ("--- ", " ---"), ("", "---"), ("---", "")]
        )
        text = "\n".join([opening, *front, closing, *body]) + chance.choice(["", "\n", "\n\n"])
    ends = chance.choice([["\n"], ["\n"], ["\r\n"], ["\r"], ["\n", "\r\n"], ["\n", "\r\n", "\r"]])
    return re.sub("\n", lambda _: chance.choice(ends), text)


@cache
def answers() -> list[tuple[dict[str, str], dict[str, Any]]]:
    chance = random.Random(1)
    asked = [
        {"source": written(chance), "key": chance.choice(KEYS), "value": chance.choice(VALUES)}
        for _ in range(1000)
    ]
    node = shutil.which("node")
    assert node, "Node is needed"
    ran = subprocess.run(
        [node, ROOT / "tests/node/editor.mjs"], input=json.dumps(asked), capture_output=True, encoding="utf-8",
        timeout=60, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    return list(zip(asked, json.loads(ran.stdout), strict=True))


def with_ends(source: str) -> list[str]:
    return re.findall(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+$", source)


def plain(source: str) -> str:
    return source.replace("\r\n", "\n").replace("\r", "\n")


def test_a_thousand_texts_that_are_opened_and_saved_are_the_same() -> None:
    assert len({asked["source"] for asked, _ in answers()}) > 700
    for asked, answer in answers():
        assert answer["unchanged"] == asked["source"]


def test_the_fields_say_what_the_service_reads() -> None:
    for asked, answer in answers():
        read, _ = read_front_matter(plain(asked["source"]), "")
        assert {key: answer["fields"][key] for key in KEYS if key in answer["fields"]} == read.values, asked[
            "source"
        ]


def test_a_field_that_changes_says_what_was_typed_and_no_other_line_changes() -> None:
    for asked, answer in answers():
        before, after = with_ends(asked["source"]), with_ends(answer["edited"])
        read, _ = read_front_matter(plain(answer["edited"]), "")
        assert read.values.get(asked["key"], "") == asked["value"], (asked, answer["edited"])
        if read_front_matter(plain(asked["source"]), "")[0].body_line == 1:  # there was none
            assert answer["edited"].endswith(asked["source"])
            continue
        same = [line for line in before if line in after]
        assert len(same) >= len(before) - 1, (asked, answer["edited"])
        assert len(after) in (len(before), len(before) + 1)


def test_the_text_that_is_shown_is_the_body_without_the_front_matter() -> None:
    for asked, answer in answers():
        read, _ = read_front_matter(plain(asked["source"]), "")
        if read.body:
            assert answer["shown"] == read.body.removeprefix("\n"), asked["source"]


def test_the_script_of_the_page_is_what_its_sources_become(tmp_path: Path) -> None:
    """`make editor` builds it, and what is built is committed."""
    npm = shutil.which("npm")
    assert npm, "npm is needed"
    environment = os.environ | {"OUT": str(tmp_path / "editor.js")}
    subprocess.run([npm, "run", "--silent", "editor"], cwd=ROOT, env=environment, check=True, timeout=120)
    assert (tmp_path / "editor.js").read_bytes() == (ASSETS / "editor.js").read_bytes(), "run `make editor`"


def test_chips_stand_for_whole_tags() -> None:
    found = {tuple(tag) for _, answer in answers() for tag in answer["tags"]}
    assert ("{{ times }}", "variable", "Times") in found
    assert ("{% endif %}", "statement", "end of “if”") in found
    assert ("{{ name|upper }}", "other", "") in found
    assert ("{# a note #}", "other", "") in found
    for source, _, _ in found:
        assert re.fullmatch(r"\{(\{.*\}|%.*%|#.*#)\}", source)
