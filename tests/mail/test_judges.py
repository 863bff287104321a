"""Every shipped mail judged by programs of others: SpamAssassin, html-validate, caniemail."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import pytz

from scheduler.mail.texts import CurrentText
from scheduler.mail.writing.sample import compose_sample, in_format, sample_reader
from scheduler.webinar.model import read_webinar
from tests.browsing import axe, chromium
from tests.mail.samples import shipped, shipped_sources
from tests.rehearsed import ROOT

pytestmark = pytest.mark.full

ZONE = "Pacific/Auckland"
COUNTS_LETTERS = {("ru", "MIXED_ES")}
"""Fires on any Russian mail with more than 20 Latin letters e, as every link has some, beside Cyrillic ones."""

DEGRADES = {
    "@media": "the desktop's measures and the light colours stay",
    "<style> element": "all but @media is inlined",
    "<body> element": "its attributes go; the div inside has lang and dir",
    "border-radius": "corners are square",
    "aria-hidden attribute": "the leaf of the calendar is read, too",
    "aria-label attribute": "the mail is called by its subject",
    "role attribute": "tables are announced as such",
    "display:none": "the preheader shows on top, in small letters",
    "overflow": "of the preheader, which is hidden by mso-hide there",
    "height property": "of the preheader",
    "word-break": "a long link is wider than the screen",
    "text-decoration": "the client's own style of links",
}
"""Features of the layout that some client lacks, and what its reader gets instead."""


OF_WHOLE_PAGES = {"landmark-one-main": {"enabled": False}, "region": {"enabled": False}}
"""Landmarks are the mail client's, in whose page a mail is shown as an article."""


@pytest.fixture(scope="module", params=["", "https://webinars.who.int"], ids=["alone", "with pages"])
def mails(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[tuple[str, str], Path]:
    """Every shipped text as a mail to somebody in an assumed zone, whose webinar crosses midnight; with and without
    pages of its reader."""
    folder = tmp_path_factory.mktemp("mails")
    webinar = read_webinar(
        (ROOT / "config/webinars/trilateral-2025.toml").read_text("utf-8"), "trilateral-2025.toml"
    )
    found = {}
    for message, language in sorted(shipped_sources()):
        reader = replace(
            sample_reader(webinar),
            language=language,
            zone=ZONE,
            zone_known_by="assumed",
            uid=f"{'a' * 32}@who.int",
        )
        live = CurrentText(shipped(message, language), language, revision=0)
        mail = compose_sample(webinar, message, reader, pytz.timezone(ZONE), live, request.param)
        path = found[message, language] = folder / f"{message}.{language}.eml"
        path.write_bytes(mail)
        path.with_suffix(".html").write_bytes(in_format(mail, "html"))
    return found


def test_spamassassin_counts_nothing_against_any_mail(mails: dict[tuple[str, str], Path]) -> None:
    program = shutil.which("spamassassin")
    assert program, "SpamAssassin is needed (Debian's package spamassassin)"

    def rules(path: Path) -> dict[str, float]:
        done = subprocess.run(
            [program, "-t", "-L"], input=path.read_bytes(), capture_output=True, check=True, timeout=60
        )
        report = done.stdout.decode("utf-8", "replace").rpartition("Content analysis details:")[2]
        assert report, "no report"
        return {
            rule: float(points)
            for points, rule in re.findall(r"^ *(-?\d+\.\d) ([A-Z][A-Z0-9_]+) ", report, re.M)
        }

    with ThreadPoolExecutor(2) as pool:
        found = dict(zip(mails, pool.map(rules, mails.values()), strict=True))
    assert all(found.values()), "NO_RELAYS, at least, is in every report"
    totals = {
        (*key, rule): points
        for key, points_of in found.items()
        for rule, points in points_of.items()
        if points > 0 and (key[1], rule) not in COUNTS_LETTERS
    }
    assert totals == {}


def test_html_validate_finds_no_error(mails: dict[tuple[str, str], Path], tmp_path: Path) -> None:
    config = tmp_path / "html-validate.json"
    # Outlook's Word engine heeds the attributes that HTML has given up (width, bgcolor, cellspacing).
    rules = {"no-deprecated-attr": "off"}
    config.write_text(
        json.dumps({"root": True, "extends": ["html-validate:standard"], "rules": rules}), "utf-8"
    )
    program = ROOT / "node_modules/.bin/html-validate"
    pages = [path.with_suffix(".html") for path in mails.values()]
    done = subprocess.run(
        [program, "--config", config, "-f", "text", *pages],
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=120,
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_what_a_client_lacks_is_known_and_leaves_the_mail_readable(
    mails: dict[tuple[str, str], Path],
) -> None:
    """By the data of caniemail.com: Gmail, Apple Mail, Outlook (the Word engine too), Yahoo, Samsung, Proton."""
    node = shutil.which("node")
    assert node, "Node is needed"
    pages = [path.with_suffix(".html") for path in mails.values()]
    done = subprocess.run(
        [node, ROOT / "tests/node/mail_features.mjs", *pages],
        capture_output=True,
        encoding="utf-8",
        check=True,
        timeout=120,
    )
    lacking = json.loads(done.stdout)
    assert {feature for features in lacking.values() for feature in features} == set(DEGRADES)
    assert not {client for client in lacking if client.startswith("apple-mail")}


def test_axe_finds_nothing_in_any_mail_light_on_a_phone_and_dark_on_a_desktop(
    mails: dict[tuple[str, str], Path],
) -> None:
    found: dict[tuple[str, ...], object] = {}
    with chromium() as browser:
        for scheme, width in (("light", 390), ("dark", 1000)):
            page = browser.new_page(color_scheme=scheme, viewport={"width": width, "height": 900})  # type: ignore[arg-type]
            for key, path in mails.items():
                page.set_content(in_format(path.read_bytes(), "html").decode("utf-8"))
                page.evaluate(axe())
                said = page.evaluate("(rules) => axe.run(document, {rules})", OF_WHOLE_PAGES)
                if said["violations"]:
                    told = [(one["id"], one["nodes"][0]["html"][:200]) for one in said["violations"]]
                    found[*key, scheme, str(width)] = told
            page.close()
    assert found == {}
