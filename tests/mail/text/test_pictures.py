"""A logo above the mail: an embedded picture, or a link to one."""

from __future__ import annotations

from dataclasses import replace
from email import message_from_bytes, policy
from pathlib import Path

import pytest
import pytz

from scheduler.mail.received import read_mail
from scheduler.mail.text.layout import LARGEST_PICTURE, TextProblems, read_layout
from scheduler.mail.text.templates import parse_text
from scheduler.mail.texts import CurrentText
from scheduler.mail.writing.sample import compose_sample, sample_reader
from scheduler.mail.writing.stencil import Stencils
from scheduler.problem import Problems
from scheduler.reports.checking import logo_findings
from scheduler.webinar.model import Webinar, read_webinar
from tests.mail.samples import png, rgba
from tests.mail.writing.test_stencil import CLAIMED
from tests.support import copy_texts, toml, utc, webinar


@pytest.fixture
def root(tmp_path: Path) -> Path:
    copy_texts(tmp_path, "en", "ar")
    (tmp_path / "_layout" / "logo.png").write_bytes(png())
    return tmp_path


def _live(root: Path, message: str = "confirmation", language: str = "en") -> CurrentText:
    path = root / message / f"{language}.md"
    return CurrentText(parse_text(path.read_text("utf-8"), str(path), read_layout(root)), language, 1)


def _mail(root: Path, governing: Webinar, language: str = "en") -> bytes:
    reader = replace(sample_reader(governing), language=language)
    return compose_sample(governing, "confirmation", reader, pytz.utc, _live(root, language=language))


@pytest.mark.parametrize("language", ["en", "ar"])
def test_a_picture_goes_along_beside_the_html_that_names_it(root: Path, language: str) -> None:
    mail = message_from_bytes(_mail(root, webinar(logo="logo.png"), language), policy=policy.default)
    (picture,) = [part for part in mail.walk() if part.get_content_maintype() == "image"]
    assert picture["Content-ID"] == "<logo.png>"
    assert picture.get_content_disposition() == "inline"
    assert picture.get_content() == png()
    body = mail.get_body(("html",))
    assert body
    assert 'src="cid:logo.png"' in body.get_content()
    kinds = [part.get_content_type() for part in mail.walk()]
    beside = kinds.index("multipart/related")
    assert kinds[beside : beside + 3] == ["multipart/related", "text/html", "image/png"]
    assert 'src="data:image/png;base64,' in read_mail(mail.as_bytes()).html, "a page shows it, too"


def test_a_link_is_only_named(root: Path) -> None:
    raw = _mail(root, webinar(logo="https://www.who.int/logo.png"))
    assert b"image/png" not in raw
    assert 'src="https://www.who.int/logo.png"' in read_mail(raw).html


def test_without_one_and_with_one_that_is_not_there_nothing_is_shown(root: Path) -> None:
    for governing in (webinar(), webinar(logo="other.png")):
        raw = _mail(root, governing)
        assert "<img" not in read_mail(raw).html
        assert b"image/" not in raw
    (found,) = logo_findings(webinar(logo="other.png"), "w.toml", root)
    assert found.severity == "error"
    assert "other.png" in str(found)
    assert list(logo_findings(webinar(logo="logo.png"), "w.toml", root)) == []


@pytest.mark.parametrize(
    ("letters", "found"),
    [((255, 255, 255, 255), "0% of what"), ((255, 240, 180, 255), "0% of what"), ((16, 35, 59, 255), "")],
)
def test_one_that_nobody_would_see_on_white_is_found(
    root: Path, letters: tuple[int, int, int, int], found: str
) -> None:
    (root / "_layout" / "logo.png").write_bytes(rgba([letters, (0, 0, 0, 0)] * 8, 4, 4))
    findings = list(logo_findings(webinar(logo="logo.png"), "w.toml", root))

    assert [one.severity for one in findings] == (["warning"] if found else [])
    assert all(found in str(one) and "white ground" in str(one) for one in findings)


@pytest.mark.parametrize("eight_bit", [False, True])
def test_the_fast_way_brings_it_along(root: Path, eight_bit: bool) -> None:
    governing, stencils, live = webinar(logo="logo.png"), Stencils(), _live(root)
    for name in ("Amina", "李伟"):
        ready = stencils.render(
            replace(CLAIMED, name=name),
            governing,
            live,
            None,
            utc("2025-06-20 08:00"),
            "",
            eight_bit=eight_bit,
        )
        mail = message_from_bytes(ready.content, policy=policy.default)
        (picture,) = [part for part in mail.walk() if part.get_content_maintype() == "image"]
        assert picture.get_content() == png()
        assert name in str(mail.get_body(("html",)).get_content())  # type: ignore[union-attr]
    assert any(made for made, _ in stencils._mails._made.values()), "by a stencil"


@pytest.mark.parametrize(
    "name", ["logo", "../logo.png", "logo.svg", "http://who.int/logo.png", "a b.png", "/logo.png"]
)
def test_what_can_be_no_logo_is_refused(name: str) -> None:
    with pytest.raises(Problems) as raised:
        read_webinar(toml(logo=name), "w.toml")
    (problem,) = raised.value.problems
    assert "logo" in problem.place
    assert "https://" in problem.allowed


def test_a_picture_that_makes_mails_too_large_is_refused(root: Path) -> None:
    (root / "_layout" / "logo.png").write_bytes(b"x" * (LARGEST_PICTURE + 1))
    with pytest.raises(TextProblems, match=r"logo\.png: 50 kB"):
        read_layout(root)
