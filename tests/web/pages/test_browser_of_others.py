"""The join link, calendar links and one's own data in a real browser."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from scheduler.web.pages.words import LANGUAGES, page_words
from tests.browsing import axe
from tests.support import utc
from tests.web.pages.browsing import tab_to
from tests.web.pages.support import NOW, Site
from tests.web.pages.test_browser import browser, press, site, url, visitor
from tests.web.pages.test_own_data import mailed

__all__ = ["browser", "site", "url", "visitor"]
pytestmark = pytest.mark.full

START, END = utc("2025-07-03 11:00"), utc("2025-07-03 13:00")
JOIN, DATA, MINE = page_words("en").join, page_words("en").data, page_words("en").mine


def test_the_countdown_runs_and_says_when_the_doors_open(
    site: Site,
    visitor: Callable[..., Page],
) -> None:
    key = site.register()
    site.clock.at = START - timedelta(minutes=15, seconds=3)
    page = visitor(f"/j/{key}")
    timer = page.get_by_role("timer")
    expect(timer).to_have_text(re.compile("15:0[0-3]"))
    expect(page.get_by_text("From then on")).to_be_visible()
    expect(page.get_by_role("status")).to_have_text(JOIN.doors_open)
    expect(page.get_by_text("From then on")).to_be_hidden()
    expect(timer).to_have_text(re.compile("14:5[0-9]"))


def test_without_javascript_it_says_how_long_it_is_and_the_button_asks_again(
    site: Site,
    visitor: Callable[..., Page],
) -> None:
    key = site.register(timezone="Asia/Kathmandu")
    site.clock.at = START - timedelta(minutes=40)
    page = visitor(f"/j/{key}", java_script_enabled=False)
    expect(page.locator("body")).to_contain_text("in 40 minutes")
    expect(page.locator(".hours")).to_have_text("16:45–18:45")
    expect(page.get_by_role("timer")).to_be_hidden()
    page.get_by_role("link", name="Join the webinar").click()
    expect(page).to_have_url(re.compile(f"/j/{key}$"))


def test_one_s_own_data_by_keyboard_alone(site: Site, visitor: Callable[..., Page]) -> None:
    key = site.register(name="Maya Shrestha")
    page = visitor(f"/r/{key}")
    tab_to(page, DATA.ask_button)
    press(page, "Enter")
    expect(page.get_by_role("status")).to_contain_text("on its way to")
    token = mailed(site, key)
    page = visitor(f"/d/{token}")
    expect(page.locator("body")).to_contain_text("Maya Shrestha")
    tab_to(page, DATA.complete)
    press(page, "Enter")
    expect(page.locator("pre")).to_contain_text('"calendar_uids"')
    tab_to(page, DATA.forget_title)
    press(page, "Enter")
    expect(page.get_by_role("heading")).to_have_text(DATA.sure.format(address="maya@who.int"))
    tab_to(page, DATA.forget_button)
    press(page, "Enter")
    expect(page.get_by_role("heading")).to_have_text(DATA.forgotten_title)
    assert site.ledger.sql("SELECT 1 FROM registration") == []


def test_the_file_of_one_s_own_data_is_json_and_of_the_calendar_a_calendar(
    site: Site,
    visitor: Callable[..., Page],
) -> None:
    key = site.register()
    token = mailed(site, key)
    page = visitor(f"/d/{token}", accept_downloads=True)
    with page.expect_download() as downloading:
        page.get_by_role("link", name=DATA.download).click()
    assert json.loads(Path(downloading.value.path()).read_text("utf-8"))["address"] == "maya@who.int"
    page.goto(page.url.replace(f"/d/{token}", f"/r/{key}"))
    with page.expect_download() as downloading:
        page.get_by_role("link", name=page_words("en").calendar.file).click()
    assert downloading.value.suggested_filename == "w.ics"


def places(site: Site, language: str) -> dict[str, str]:
    """Every kind of page, by its path, with the moment to look at it."""
    key = site.register(language=language, country="KE")
    token = mailed(site, key)
    return {f"/j/{key}": "early", f"/j/{key}?": "over", f"/d/{token}": "", f"/d/{token}/forget": "",
            f"/forgotten?language={language}": ""}  # fmt: skip


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("language", LANGUAGES)
def test_nobody_is_kept_out_by_a_disability_or_a_small_phone(
    site: Site,
    visitor: Callable[..., Page],
    language: str,
    scheme: str,
) -> None:
    paths = places(site, language)
    phone = {"viewport": {"width": 320, "height": 568}, "has_touch": True, "is_mobile": True}
    page = visitor("/r/nobody", color_scheme=scheme, bypass_csp=True, **phone)
    origin = page.url.removesuffix("/r/nobody")
    for path, when in paths.items():
        site.clock.at = {"early": START - timedelta(hours=1), "over": END, "": NOW}[when]
        page.goto(origin + path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 320, path
        for pressed in page.locator("button:visible, .button:visible, summary:visible").all():
            box = pressed.bounding_box()
            assert box
            assert box["height"] >= 44, pressed.inner_text()
        page.add_script_tag(content=axe())
        found = page.evaluate("axe.run()")
        assert [(one["id"], one["nodes"][0]["html"]) for one in found["violations"]] == [], path


def test_pages_that_are_opened_and_not_pressed_change_nothing(
    site: Site,
    visitor: Callable[..., Page],
) -> None:
    paths = places(site, "en")
    before = site.dump()
    for path in paths:
        visitor(path).wait_for_load_state("networkidle")
    assert site.dump() == before
