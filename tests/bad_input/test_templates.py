"""Problems reported for texts that cannot go out: the place, what was found, what is allowed."""

from __future__ import annotations

import pytest

from scheduler.mail.text.layout import parse_layout
from scheduler.mail.text.templates import TextProblems, parse_text
from tests.mail.samples import TEMPLATES, layout

HEAD = "---\nsubject: Hello\npreheader: Soon\n---\n"
VARIABLES = (
    "dear, name, webinar.title, webinar.about, webinar.organizers, webinar.host, webinar.held_in, webinar.how_to_join, "
    "webinar.materials_url, join_url, your_time, webinar_time, time_left, what_changed, page_url"
)
FACTS = ", ".join(name for name in VARIABLES.split(", ") if name.startswith("webinar."))
ALL = f"{VARIABLES}, changes, times, join_button, calendar_links"
STATEMENTS = "allowed: {% … %} with if, elif, else, endif, for, endfor, set"
ADDRESSES = (
    "allowed: https://…, mailto:… or one of `{{ join_url }}`, `{{ page_url }}`, `{{ webinar.materials_url }}`"
)
HERE = "templates/reminder-day/fr.md"

CASES = {
    "no front matter": ("Hello", ["line 1: begins with `Hello`; allowed: a line `---`, then `subject: …`"]),
    "empty": ("", ["line 1: begins with ``; allowed: a line `---`, then `subject: …`"]),
    "front matter without an end": (
        "---\nsubject: Hello\n",
        ["line 1: the second line `---` is missing; allowed: one after `preheader: …`"],
    ),
    "two things missing": (
        "---\nsubject:\n---\nHi",
        [
            "line 2: `subject` is empty; allowed: `subject: …` in one line",
            "line 1: `preheader` is missing; allowed: `preheader: …` in one line",
        ],
    ),
    "a misspelled key": (
        "---\nsubjct: Hello\npreheader: Soon\n---\nHi",
        ["line 2: unknown key `subjct`; allowed: subject, preheader, reviewed_by; did you mean `subject`?"],
    ),
    "a key twice": (
        "---\nsubject: A\nsubject: B\npreheader: C\n---\nHi",
        ["line 3: `subject` a second time; allowed: once; the first is in line 2"],
    ),
    "a value over two lines": (
        "---\nsubject: A\n  and more\npreheader: C\n---\nHi",
        ["line 3: `and more`; allowed: `key: value`, each on one line"],
    ),
    "an endless subject": (
        f"---\nsubject: {'x' * 301}\npreheader: C\n---\nHi",
        ["line 2: `subject` has 301 characters; allowed: at most 300"],
    ),
    "no text": (HEAD + "\n  \n", ["line 5: there is no text; allowed: the mail's text below the second `---`"]),
    "an unknown variable": (
        HEAD + "Hi\n\n{{ firstname }}",
        ["line 7: unknown variable `firstname`; allowed: the variables in docs/variables.md; did you mean `name`?"],
    ),
    "a variable like no other": (
        HEAD + "{{ qqqq }}",
        [f"line 5: unknown variable `qqqq`; allowed: {ALL}"],
    ),
    "an unknown fact of the webinar": (
        HEAD + "{{ webinar.tittle }} {{ webinar['url'] }}",
        [
            "line 5: unknown variable `webinar.tittle`; allowed: the variables in docs/variables.md; "
            "did you mean `webinar.title`?",
            f"line 5: unknown variable `webinar.url`; allowed: {FACTS}",
        ],
    ),
    "a fact without its webinar": (
        HEAD + "{{ title }}",
        [
            "line 5: unknown variable `title`; allowed: the variables in docs/variables.md; "
            "did you mean `webinar.title`?"
        ],
    ),
    "the webinar as a whole": (
        HEAD + "{{ webinar }}",
        ["line 5: `webinar` alone; allowed: one of its attributes, as in `{{ webinar.title }}`"],
    ),
    "mistakes everywhere at once": (
        "---\nsubject: '{{ nam }}'\npreheader: '{{ jon_url }}'\n---\n\n{{ tims }}",
        [
            "line 2: unknown variable `nam`; allowed: the variables in docs/variables.md; did you mean `name`?",
            "line 3: unknown variable `jon_url`; allowed: the variables in docs/variables.md; did you mean `join_url`?",
            "line 6: unknown variable `tims`; allowed: the variables in docs/variables.md; did you mean `times`?",
        ],
    ),
    "braces that are not closed": (
        HEAD + "Hi\n{{ name",
        ["line 6: `{{` without an end; close it with `}}`, as in `{{ name }}`"],
    ),
    "a brace too few": (HEAD + "{{ name }", ["line 5: one brace where two belong; write `{{ name }}`"]),
    "an if without an end": (
        HEAD + "{% if name %}\nHi",
        [
            "line 5: `{% if … %}` without an end; close it with `{% endif %}`",
        ],
    ),
    "an end without its if": (
        HEAD + "Hi\n{% endif %}",
        [
            "line 6: `{% endif %}` without a beginning; remove it, or write the `{% if … %}` before it",
            "line 6: `{% endif %}` begins and ends in different paragraphs, list items or emphasis; allowed: both in"
            " one, or each alone on a line",
        ],
    ),
    "a statement that is not closed": (HEAD + "{% if name", ["line 5: `{%` without an end; close it with `%}`"]),
    "an unknown filter": (
        HEAD + "{{ name|uper }}",
        ["line 5: No filter named 'uper'; did you mean `upper`?"],
    ),
    "a block in the middle of a line": (
        HEAD + "It is at {{ times }}.",
        ["line 5: `{{ times }}` in the middle of a line; allowed: `{{ times }}` alone on a line"],
    ),
    "a block with a filter": (
        HEAD + "{{ join_button|upper }}",
        ["line 5: `{{ join_button|upper }}` in the middle of a line; allowed: `{{ join_button }}` alone on a line"],
    ),
    "a block in the subject": (
        "---\nsubject: '{{ times }}'\npreheader: B\n---\nHi",
        ["line 2: `times` in one line of text; allowed: alone on a line of the mail's text"],
    ),
    "HTML": (
        HEAD + "Hi\n\n<div>there</div>\n\nand <b>bold</b>",
        [
            "line 7: HTML: `<div>there</div>`; allowed: Markdown: **bold**, [text](address), lists",
            "line 9: HTML: `<b>`; allowed: Markdown: **bold**, [text](address), lists",
            "line 9: HTML: `</b>`; allowed: Markdown: **bold**, [text](address), lists",
        ],
    ),
    "an HTML comment": (
        HEAD + "<!-- note -->\n\nHi",
        [
            "line 5: HTML: `<!-- note -->`; allowed: Markdown: **bold**, [text](address), lists; "
            "a note to yourself is written `{# … #}`",
        ],
    ),
    "a picture": (
        HEAD + "Hi ![logo](https://who.int/logo.png)",
        ["line 5: a picture; allowed: text, which everybody can read, and links"],
    ),
    "another file": (
        HEAD + "{% include 'secret.md' %}",
        ["line 5: `{% include 'secret.md' %}`; " + STATEMENTS],
    ),
    "a loop in the subject": (
        "---\nsubject: '{% for x in name %}{{ x }}{% endfor %}'\npreheader: B\n---\nHi",
        [
            "line 2: `{% for x in name %}`; allowed: {% … %} with if, elif, else, endif",
            "line 2: `{% endfor %}`; allowed: {% … %} with if, elif, else, endif",
        ],
    ),
    "a link that is not https": (
        HEAD + "[a](http://who.int)\n[b](who.int)",
        ["line 5: a link to `http://who.int`; " + ADDRESSES, "line 6: a link to `who.int`; " + ADDRESSES],
    ),
    "a link that a registrant would choose": (
        HEAD + "[a]({{ name }}) [b](https://x.org/{{ name }})",
        [
            "line 5: a link to `{{ name }}`; " + ADDRESSES,
            "line 5: a link to `https://x.org/{{ name }}`; " + ADDRESSES,
        ],
    ),
    "a condition across paragraphs": (
        HEAD + "{% if name %}Dear {{ name }},\n\nwelcome{% endif %}",
        [
            "line 5: `{% if name %}` begins and ends in different paragraphs, list items or emphasis; "
            "allowed: both in one, or each alone on a line",
        ],
    ),
    "a condition half in bold": (
        HEAD + "Hi\n\n**Dear {% if name %}you**{% endif %}",
        [
            "line 7: `{% if name %}` begins and ends in different paragraphs, list items or emphasis; "
            "allowed: both in one, or each alone on a line",
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("source", "told"), CASES.values(), ids=CASES)
def test_a_broken_text(source: str, told: list[str]) -> None:
    with pytest.raises(TextProblems) as caught:
        parse_text(source, HERE, layout())

    assert [str(problem) for problem in caught.value.problems] == [f"{HERE}, {line}" for line in told]


def test_a_line_is_right_below_comments_and_long_statements() -> None:
    body = "{# a\nnote #}\n\nHi\n{% if name %}\nDear\n{% endif %}\n- [x](ftp://a)"

    with pytest.raises(TextProblems) as caught:
        parse_text(HEAD + body, HERE, layout())

    assert [problem.place for problem in caught.value.problems] == [f"{HERE}, line 12"]


LAYOUT = (TEMPLATES / "_layout" / "layout.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (LAYOUT.replace("{{ why }}", "{{ wy }}", 1), ["unknown variable `wy`"]),
        (LAYOUT.replace('<main id="body"></main>', ""),
         ['0 times `<main id="body"></main>`; allowed: once, where the text goes']),
        (LAYOUT.replace('<template id="times">', '<template id="tims">'),
         ['`<template id="times">` is missing; allowed: one for each block']),
        (LAYOUT.replace("{% else %}", "{% els %}", 1), ["Encountered unknown tag 'els'."]),
    ],
)  # fmt: skip
def test_a_broken_layout(source: str, told: list[str]) -> None:
    with pytest.raises(TextProblems) as caught:
        parse_layout(source, "layout.html")

    assert len(caught.value.problems) == len(told)
    for problem, expected in zip(caught.value.problems, told, strict=True):
        assert expected in str(problem)
