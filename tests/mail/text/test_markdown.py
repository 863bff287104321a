"""Markdown as organizers mean it: accidental markup stays as typed, and what would look broken is reported."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scheduler.mail.text.holes import Holes
from scheduler.mail.text.prose import Prose, convert
from scheduler.problem import Problem
from tests.mail.samples import shipped, shipped_sources


def converted(source: str, language: str = "en") -> tuple[Prose, list[Problem]]:
    holes = Holes()
    prose, problems = convert(source, 1, f"{language}.md", holes)
    filled = {"html": holes.put_back(prose.html), "text": holes.put_back(prose.text)}
    return Prose(**filled, doubts=prose.doubts), problems


def seen(html: str) -> str:
    """The words and line breaks that a reader of the HTML sees."""
    broken = re.sub(
        r"<br />\n?|</p>\n*|</li>\n*|<hr />\n*", "\n", html.replace("\n", " ").replace("<br /> ", "<br />")
    )
    words = re.sub(r"<[^>]*>", "", broken).replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    return "\n".join(" ".join(line.split()) for line in words.strip().split("\n"))


@pytest.mark.parametrize(
    ("language", "source"),
    [
        ("de", "18. September: Teil 1\n2. Oktober: Teil 2"),
        ("de", "Termine:\n18. September: Teil 1\n2. Oktober: Teil 2"),
        ("de", "1. März: Beginn"),
        ("de", "1. Januar: a\n2. Februar: b"),
        ("de", "3.Oktober"),
        ("de", "17. 07. 2025"),
        ("cs", "4. 4. 2027 v 15:00"),
        ("cs", "1. 5. 2027"),
        ("pl", "18. września: część 1\n2. października: część 2"),
        ("fi", "18. syyskuuta: osa 1"),
        ("nb", "18. september: del 1\n2. oktober: del 2"),
        ("hu", "2027. 10. 14."),
        ("ru", "18. сентября\n2. октября"),
        ("fr", "1. janvier : ouverture"),
        ("en", "14) October\n2) November"),
        ("en", "Room 4*5*6"),
        ("en", "2*3*4 = 24, and 2**10 is 1024"),
        ("en", "a*b*c and file*name*x"),
        ("en", "4111 **** **** 1111"),
        ("en", "snake_case_name and __"),
        ("en", "10:00 - 11:00\n--\nOpening"),
        ("en", "Kind regards,\n--\nThe team"),
        ("en", "+ 41 22 791 21 11"),
        ("en", "> 100 people came"),
        ("en", ">5 years of experience"),
        ("en", "Price 5* and 6*\n* without VAT"),
        ("en", "\\\\server\\share"),
        ("en", "[Room]: B12"),
        ("en", "[Zoom]: https://example.org/x"),
        ("en", "https://example.org/_a_/b*c*d, and https://example.org/?a=1&b=2."),
        ("en", "(see https://example.org/x_(y))"),
        ("en", "10:00 Opening\n11:00 Panel\n12:00 End"),
        ("en", "Programme:\n2027-10-14 Opening\n2027-10-15 End"),
        ("en", "    Room A\n    Building B"),
        ("en", "\tA paragraph with a tab before it"),
        ("en", "x < y and y > z; -> and <- and <="),
        ("en", "AT&T, R&D; Q&A"),
        ("en", "-5 °C and – 3 °C"),
        ("en", "#hashtag"),
        ("en", "100 % of 5 % costs 3 $ or £4"),
        ("en", "1.5 million"),
        ("en", "C:\\Users\\ana"),
        ("zh", "４*５*６"),
        ("ar", "١. أولا"),
    ],
)
def test_accidental_markup_stays_as_typed(language: str, source: str) -> None:
    prose, problems = converted(source, language)
    typed = "\n".join(line.strip() for line in source.split("\n"))
    assert problems == []
    assert seen(prose.html) == typed
    assert prose.text.strip() == typed


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("from 10:00\n- 11:00", "from 10:00 - 11:00"),
        ("- 4. 4. is a date", "- 4. 4. is a date"),
        ("1. One\n2. Two\n4. Four", "1. One\n2. Two\n4. Four"),
        ("3. Three\n9. Nine\n22. Last", "3. Three\n9. Nine\n22. Last"),
        ("1. One\n2. Two\n\nA line between.\n\n3. Three", "1. One\n2. Two\n\nA line between.\n\n3. Three"),
        ("0. None\n1. One", "0. None\n1. One"),
        ("1986. What a year", "1986. What a year"),
        ("1) one\n2) two", "1) one\n2) two"),
        ("第一行\n第二行", "第一行第二行"),
        ("한국어\n문장", "한국어 문장"),
    ],
)
def test_numbers_and_lines_stay_as_they_are(source: str, text: str) -> None:
    prose, problems = converted(source)
    assert problems == []
    assert prose.text.strip() == text


def test_numbers_that_jump_are_those_of_the_html_too() -> None:
    html = converted("1. One\n2. Two\n4. Four")[0].html
    assert html == '<ol>\n<li>One</li>\n<li>Two</li>\n<li value="4">Four</li>\n</ol>\n'


@pytest.mark.parametrize(
    ("source", "html"),
    [
        ("- one\n- two", "<ul>\n<li>one</li>\n<li>two</li>\n</ul>\n"),
        ("* one\n* two", "<ul>\n<li>one</li>\n<li>two</li>\n</ul>\n"),
        ("1. one\n1. two", "<ol>\n<li>one</li>\n<li>two</li>\n</ol>\n"),
        ("1. May we ask?\n2. Could you?", "<ol>\n<li>May we ask?</li>\n<li>Could you?</li>\n</ol>\n"),
        ("**b** *i* _i_ __b__", "<p><strong>b</strong> <em>i</em> <em>i</em> <strong>b</strong></p>\n"),
        ("un**believ**able", "<p>un<strong>believ</strong>able</p>\n"),
        ("و**الندوة** مهمة", "<p>و<strong>الندوة</strong> مهمة</p>\n"),
        ("含**「重点」**内容", "<p>含<strong>「重点」</strong>内容</p>\n"),
        ("**历经10年发展，**年", "<p><strong>历经10年发展，</strong>年</p>\n"),
        ("**Note:**text", "<p><strong>Note:</strong>text</p>\n"),
        ("**마크다운(Markdown)**을", "<p><strong>마크다운(Markdown)</strong>을</p>\n"),
        ("# Title", "<h1>Title</h1>\n"),
        ("Programme\n=========", "<h1>Programme</h1>\n"),
        ("Programme\n---------", "<h2>Programme</h2>\n"),
        ("10:00 - 11:00\n---", "<p>10:00 - 11:00</p>\n<hr />\n"),
        ("above\n\n---\n\nbelow", "<p>above</p>\n<hr />\n<p>below</p>\n"),
        ("> quoted\n> 5 of them", "<blockquote>\n<p>quoted\n5 of them</p>\n</blockquote>\n"),
        ("a\\\nb", "<p>a<br />\nb</p>\n"),
        ("see [text][1]\n\n[1]: https://example.org/", '<p>see <a href="https://example.org/">text</a></p>\n'),
        ("```\n{\"a\": {b}, 18. x}\n```", "<pre><code>{&quot;a&quot;: {b}, 18. x}\n</code></pre>\n"),
        ("`4*5*6` and `{name}`", "<p><code>4*5*6</code> and <code>{name}</code></p>\n"),
        ("[https://example.org](https://example.org)", '<p><a href="https://example.org">https://example.org</a></p>\n'),
        ("    {{ join_url }}", '<p><a href="{{ join_url }}" dir="ltr">{{ join_url }}</a></p>\n'),
    ],
)  # fmt: skip
def test_markdown_on_purpose_is_markdown(source: str, html: str) -> None:
    prose, problems = converted(source)
    assert problems == []
    assert prose.html == html


@pytest.mark.parametrize(
    ("source", "line", "found"),
    [
        ("x\n\n`{{ join_url }}`", 3, "`{{ join_url }}` in backticks, which cannot be clicked"),
        ("```\n{{ join_url }}\n```", 2, "a link in code, which cannot be clicked"),
        ("this is ** bold **", 1, "`** bold **` is not bold"),
        ("x\nthis is **bold **text", 2, "`**bold **` is not bold"),
        ("[text] (https://example.org)", 1, "`] (https://example.org` is not a link"),
        ("[text](https://exa mple.org)", 1, "`](https://exa` is not a link"),
        ("[文字]（https://example.org）", 1, "`]（https://example.org` is not a link"),
        ("[text] ({{ join_url }})", 1, "`] ({{ join_url }}` is not a link"),
        ("(text)[https://example.org]", 1, "`)[https://example.org]` is not a link"),
        ("[text](example.org)", 1, "a link to `example.org`"),
        ("[text](http://example.org)", 1, "a link to `http://example.org`"),
        ("| Time | Topic |\n|---|---|\n| 1 | 2 |", 2, "`|---|---|`: a table"),
        ("Dear {first_name},", 1, "`{first_name}`, a placeholder of another tool"),
        ("a\n\nDear \\{\\{ name \\}\\},", 3, "`{{ name }}`, escaped so that it is not filled in"),
        ("[Join](https://example.org/{id_x})", 1, "`{id_x}`, a placeholder of another tool"),
        ("<Name>, hello", 1, "`<Name>`, a placeholder of another tool"),
        ("<b>bold</b>", 1, "HTML: `<b>`"),
    ],
)
def test_what_would_look_broken_is_refused(source: str, line: int, found: str) -> None:
    problems = converted(source)[1]
    assert (f"en.md, line {line}", found) in [(one.place, one.found) for one in problems]


@pytest.mark.parametrize(
    ("source", "line", "found"),
    [
        ("a **bold text without an end", 1, "`**`: readers see the asterisks"),
        (
            "Regards,\\\nWHO\nAvenue Appia 20\n1211 Geneva",
            2,
            "a short line, which the mail joins with the next one",
        ),
        (
            "x\n\n`https://example.org/j`",
            3,
            "`https://example.org/j` in backticks, which cannot be clicked",
        ),
        ("See the [link] below", 1, "`[link]`, a placeholder of another tool"),
    ],
)
def test_what_may_be_meant_is_doubtful(source: str, line: int, found: str) -> None:
    prose, problems = converted(source)
    assert problems == []
    assert [(one.place, one.found) for one in prose.doubts] == [(f"en.md, line {line}", found)]


@pytest.mark.parametrize(
    "source",
    ["*" * 9_000, "**a " * 3_000, "[" * 3_000, "1. " * 300, "> " * 300, "https://a" * 2_000, "\t" * 9_000, "` " * 4_000,
     "a\n--\n" * 900, "".join(f"{{ n{number} }}" for number in range(3_000)), "| - |\n" * 900, "18. May\n" * 900],
)  # fmt: skip
def test_no_text_takes_long(source: str) -> None:
    """Each would take minutes where one place is compared with all that follow."""
    converted(source)


@pytest.mark.parametrize("language", ["en", "fr", "es", "ar", "zh", "ru"])
def test_ordinary_prose_raises_no_alarm(language: str) -> None:
    """With prices, percentages, JSON, file names, dates, quotes and lists, as people write them in each language."""
    source = (Path(__file__).parent / "prose" / f"{language}.md").read_text("utf-8")
    prose, problems = converted(source, language)
    assert problems == []
    assert prose.doubts == ()
    assert "**" not in prose.html
    assert prose.html.count("<br />") >= 1  # each line of the programme is one


def test_the_shipped_texts_raise_no_alarm() -> None:
    found = {key: shipped(*key).doubts for key in shipped_sources()}
    assert {key: doubts for key, doubts in found.items() if doubts} == {}
