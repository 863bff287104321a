"""The picture of the timeline in a rehearsal's inbox."""

from __future__ import annotations

import asyncio
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from scheduler.registrants.files.reading import read_rows
from scheduler.rehearsal import Play, rehearse
from scheduler.web.inbox.pages import write_inbox
from scheduler.webinar.model import read_webinar
from tests.support import toml
from tests.web.inbox.browser import Page
from tests.web.inbox.samples import TITLE, rehearsal

TEMPLATES = Path(__file__).parents[3] / "templates"
ROWS = b"email,timezone\na@example.org,Asia/Kathmandu\nb@example.org,Pacific/Kiritimati\nc@example.org,Asia/Kathmandu\n"


@pytest.mark.full  # a rehearsal of several seconds; tests/reports/test_timeline_svg.py has what is drawn
def test_a_rehearsal_draws_the_zones_of_its_registrants_and_the_index_leads_there(tmp_path: Path) -> None:
    source = toml()
    rows, _ = read_rows(ROWS, "people.csv")
    rehearsed = asyncio.run(
        rehearse(Play(read_webinar(source, "w.toml"), source, TEMPLATES, tmp_path), rows, place="people.csv")
    )
    text = " ".join("".join(ET.parse(tmp_path / "timeline.svg").getroot().itertext()).split())
    assert "Kathmandu" in text
    assert "Kiritimati" in text
    assert "2 clocks." in text
    assert "timeline.html" in Page(rehearsed.index).links()
    page = Page(tmp_path / "timeline.html")
    assert [image["src"] for image in page.all("img")] == ["timeline.svg"]
    assert page.policy().startswith("default-src 'none'; script-src 'sha256-")
    assert "Kathmandu 2 people" in page.text, "as a list, for phones"


def test_an_inbox_without_a_picture_leads_to_none(tmp_path: Path) -> None:
    made = rehearsal(tmp_path)
    index = write_inbox(tmp_path, TITLE, made.deliveries, made.mails)
    assert "timeline.html" not in Page(index).links()
    assert not (tmp_path / "timeline.html").exists()
