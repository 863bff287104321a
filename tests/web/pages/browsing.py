"""Somebody with a browser of their own, or with a keyboard alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page

_REFUSED = "the server responded with a status of"  # a page that says so itself
Visit = Callable[..., Page]
"""Opens the page of a path in a new context with these options of Playwright's."""


@contextmanager
def visiting(browser: Browser, url: str) -> Iterator[Visit]:
    """What a page complains about, or loads from elsewhere, fails the test."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def visit(path: str, **given: Any) -> Page:
        context = browser.new_context(**({"timezone_id": "Asia/Kathmandu", "locale": "en-GB"} | given))
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "console",
            lambda message: complaints.append(message.text) if _REFUSED not in message.text else None,
        )
        page.on(
            "request", lambda asked: complaints.append(asked.url) if not asked.url.startswith(url) else None
        )
        page.goto(url + path)
        return page

    yield visit
    for context in contexts:
        context.close()
    assert not complaints, complaints


def tab_to(page: Page, name: str) -> None:
    """Press the tabulator until what has this name, or text, is in focus, which must be seen."""
    for _ in range(60):
        page.keyboard.press("Tab")
        focused = page.evaluate(
            "(e => e.labels?.[0]?.innerText || e.innerText || '')(document.activeElement)"
        )
        if name in focused:
            assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
            return
    raise AssertionError(f"no way to {name} by keyboard")


def press_enter(page: Page) -> None:
    """Press Enter, and wait for the page that it leads to."""
    with page.expect_navigation():
        page.keyboard.press("Enter")
