"""`webinar key`: which systems may register people over the API."""

from __future__ import annotations

import re

from scheduler.web.api import keys
from tests.commands.scene import Scene


def test_a_key_is_made_shown_once_and_taken_away(scene: Scene) -> None:
    scene.write()
    name = "w"
    made = scene.run("key", "add", "crm", "--webinar", name)
    assert made.exit_code == 0
    assert re.fullmatch(r"wsk_[\w-]{43}\n", made.stdout)
    with scene.database.reading() as conn:
        assert keys.find(conn, made.stdout.strip()) == keys.all_keys(conn)[0]
    listed = scene.run("key", "list").stdout
    assert re.fullmatch(rf"crm\t{name}\t\d{{4}}-\d\d-\d\d \d\d:\d\d UTC\n", listed)
    assert scene.run("key", "remove", "crm").stdout == "The key crm works no longer.\n"
    gone = scene.run("key", "remove", "crm")
    assert (gone.exit_code, gone.stdout) == (1, "There is no key crm.\n")
    with scene.database.reading() as conn:
        assert keys.find(conn, made.stdout.strip()) is None


def test_a_mistake_is_named(scene: Scene) -> None:
    scene.write(id="trilateral")
    name = "trilateral"
    unknown = scene.run("key", "add", "crm", "--webinar", f"{name}x")
    assert unknown.exit_code == 2
    assert f"did you mean `{name}`?" in unknown.stderr
    assert "small letters" in scene.run("key", "add", "Our CRM", "--webinar", name).stderr
    scene.run("key", "add", "crm", "--webinar", name)
    again = scene.run("key", "add", "crm", "--webinar", name)
    assert again.exit_code == 2
    assert "there is a key" in again.stderr
    assert again.stdout == ""


def test_it_says_what_the_api_needs(scene: Scene) -> None:
    scene.write()
    assert "PAGES_URL" in scene.run("key", "add", "crm", "--webinar", "w").stderr
