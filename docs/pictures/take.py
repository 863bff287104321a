"""Takes the README's pictures of a rehearsal: `make pictures` (needs Chromium)."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

HERE = Path(__file__).parent
REHEARSAL = HERE.parents[1] / "rehearsal"
SCALE = 2  # for sharp screens


def take(browser: Browser, url: str, picture: str, width: int, height: int, *, whole: bool = False) -> None:
    page = browser.new_page(viewport={"width": width, "height": height}, device_scale_factor=SCALE)
    page.goto(url, wait_until="networkidle")
    page.screenshot(path=HERE / picture, full_page=whole)
    page.close()


def main() -> None:
    deliveries = json.loads((REHEARSAL / "deliveries.json").read_text("utf-8"))
    mail = next(
        Path(one["eml"]).stem
        for one in deliveries
        if one["zone"] == "Pacific/Kiritimati" and one["message"] == "reminder-day"
    )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox", "--disable-background-networking", "--disable-component-update"],
        )
        take(browser, (REHEARSAL / "index.html").as_uri(), "inbox.png", 1280, 800)
        take(browser, (REHEARSAL / f"views/{mail}.body.html").as_uri(), "mail.png", 390, 780)
        browser.close()


if __name__ == "__main__":
    main()
