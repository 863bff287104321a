"""A real browser: Chromium, headless, that talks to nobody but the pages of a test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

from tests.rehearsed import ROOT

ARGUMENTS = ("--no-sandbox", "--disable-background-networking", "--disable-component-update")


@contextmanager
def chromium() -> Iterator[Browser]:
    """Without a Chromium on the PATH, the one that `playwright install` brought."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield browser
        browser.close()


def axe() -> str:
    """The script of axe-core, which judges whether people with a disability can use a page."""
    return (ROOT / "node_modules/axe-core/axe.min.js").read_text("utf-8")
