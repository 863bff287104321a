"""Every message in every language on a page, with pictures where there is a browser."""

from __future__ import annotations

from pathlib import Path

import pytest

from scheduler.reports.gallery import SCHEMES, SCREENS, gallery
from tests.mail.samples import TEMPLATES, png, shipped_sources, webinar
from tests.support import copy_texts


def test_without_a_browser_the_pages_show_the_mails_themselves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    one = webinar(languages='["en", "fr"]')

    assert list(gallery(one, TEMPLATES, shipped_sources(), tmp_path)) == []

    index = (tmp_path / "index.html").read_text("utf-8")
    assert "<img" not in index
    for message in one.message_ids:
        for screen in SCREENS:
            sheet = f"{message}.{screen.name}.html"
            assert f'href="{sheet}"' in index
            assert (tmp_path / sheet).read_text("utf-8").count("<iframe") == 2
        for language in one.languages:
            assert f'lang="{language}"' in (tmp_path / f"mails/{message}.{language}.html").read_text("utf-8")


def test_the_notice_of_a_change_shows_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    list(gallery(webinar(), TEMPLATES, shipped_sources(), tmp_path))

    shown = {one.stem: one.read_text("utf-8").count("<del ") for one in (tmp_path / "mails").glob("*.html")}
    assert {stem: count for stem, count in shown.items() if count} == {"change.en": 1, "change.fr": 1}


def test_a_logo_that_goes_along_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    copy_texts(tmp_path, "en")
    (tmp_path / "_layout" / "logo.png").write_bytes(png())
    one = webinar().model_copy(update={"logo": "logo.png"})
    list(gallery(one, tmp_path, shipped_sources(), tmp_path / "out"))

    shown = (tmp_path / "out/mails/confirmation.en.html").read_text("utf-8")
    assert 'src="data:image/png;base64,' in shown


@pytest.mark.full
def test_with_a_browser_there_is_a_picture_of_each_message_on_each_screen_in_light_and_dark(
    tmp_path: Path,
) -> None:
    one = webinar()
    confirmation = {key: source for key, source in shipped_sources().items() if key[0] == "confirmation"}

    pictures = list(gallery(one, TEMPLATES, confirmation, tmp_path))

    assert len(pictures) == len(one.message_ids) * len(SCREENS) * len(SCHEMES)
    shown = [picture.read_bytes() for picture in pictures if picture.name.startswith("confirmation.")]
    assert all(picture.startswith(b"\x89PNG") and len(picture) > 20_000 for picture in shown)
    assert len(set(shown)) == len(SCREENS) * len(SCHEMES), "light is not dark"
    index = (tmp_path / "index.html").read_text("utf-8")
    assert all(f'src="{picture.name}"' in index for picture in pictures)
