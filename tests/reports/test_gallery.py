"""Every message in every language on a page, and as pictures where these are wanted."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path

import pytest

from scheduler.problem import Problems
from scheduler.reports.gallery import SCHEMES, SCREENS, gallery
from tests.mail.samples import TEMPLATES, png, shipped_sources, webinar
from tests.support import copy_texts


def test_it_needs_no_browser_for_the_pages_show_the_mails_themselves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    one = webinar(languages='["en", "fr"]')

    assert list(gallery(one, TEMPLATES, shipped_sources(), tmp_path)) == []

    index = (tmp_path / "index.html").read_text("utf-8")
    assert "<img" not in index
    for message in one.message_ids:
        for screen, scheme in product(SCREENS, SCHEMES):
            sheet = f"{message}.{screen.name}.{scheme}.html"
            assert f'href="{sheet}"' in index
            frames = re.findall(r'src="(mails/[^"]+)" lang="(\w+)"', (tmp_path / sheet).read_text("utf-8"))
            assert frames == [(f"mails/{message}.{one}.{scheme}.html", one) for one in ("en", "fr")]
            for mail, language in frames:
                assert f'src="{mail}" lang="{language}" width="{screen.width}"' in index
                assert f'lang="{language}"' in (tmp_path / mail).read_text("utf-8")


def test_its_mails_are_light_or_dark_whatever_the_browser_is(tmp_path: Path) -> None:
    list(gallery(webinar(), TEMPLATES, shipped_sources(), tmp_path))

    light, dark = ((tmp_path / f"mails/confirmation.en.{one}.html").read_text("utf-8") for one in SCHEMES)
    assert not re.search("prefers-color-scheme|light dark", light + dark)
    assert "@media not all {" in light
    assert "@media all {" in dark


def test_pictures_take_a_browser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(Problems, match="--pictures: no browser is on the PATH; allowed: one of chromium"):
        list(gallery(webinar(), TEMPLATES, shipped_sources(), tmp_path, pictures=True))


def test_the_notice_of_a_change_shows_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    list(gallery(webinar(), TEMPLATES, shipped_sources(), tmp_path))

    shown = {one.stem: one.read_text("utf-8").count("<del ") for one in (tmp_path / "mails").glob("*.html")}
    assert {stem: count for stem, count in shown.items() if count} == {
        f"change.{language}.{scheme}": 1 for language in ("en", "fr") for scheme in SCHEMES
    }


def test_a_logo_that_goes_along_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    copy_texts(tmp_path, "en")
    (tmp_path / "_layout" / "logo.png").write_bytes(png())
    one = webinar().model_copy(update={"logo": "logo.png"})
    list(gallery(one, tmp_path, shipped_sources(), tmp_path / "out"))

    shown = (tmp_path / "out/mails/confirmation.en.light.html").read_text("utf-8")
    assert 'src="data:image/png;base64,' in shown


@pytest.mark.full
def test_with_a_browser_there_is_a_picture_of_each_message_on_each_screen_in_light_and_dark(
    tmp_path: Path,
) -> None:
    one = webinar()
    confirmation = {key: source for key, source in shipped_sources().items() if key[0] == "confirmation"}

    pictures = list(gallery(one, TEMPLATES, confirmation, tmp_path, pictures=True))

    assert len(pictures) == len(one.message_ids) * len(SCREENS) * len(SCHEMES)
    shown = [picture.read_bytes() for picture in pictures if picture.name.startswith("confirmation.")]
    assert all(picture.startswith(b"\x89PNG") and len(picture) > 20_000 for picture in shown)
    assert len(set(shown)) == len(SCREENS) * len(SCHEMES), "light is not dark"
    index = (tmp_path / "index.html").read_text("utf-8")
    assert all(f'src="{picture.name}"' in index for picture in pictures)
