"""`webinar user`: who may sign in to the editor."""

from __future__ import annotations

from pathlib import Path

from scheduler.web.accounts import hash_of, verify_password
from tests.commands.scene import Scene


def _file(scene: Scene, password: str) -> Path:
    file = scene.root / "password"
    file.write_text(f"{password}\nsecond line\n")
    return file


def test_an_account_is_made_changed_shown_and_taken_away(scene: Scene) -> None:
    file = _file(scene, "four words make one")
    added = scene.run("user", "add", "Ada@who.int", "--password-file", str(file))
    assert (added.exit_code, added.stdout) == (0, "Ada@who.int may edit the texts.\n")
    again = scene.run("user", "add", "ada@who.int", "--role", "view", "--password-file", str(file))
    assert again.stdout == "ada@who.int has a new password, and may view the texts.\n"
    assert scene.run("user", "list").stdout == "ada@who.int\tview\n"
    assert scene.run("user", "remove", "ADA@who.int").exit_code == 0
    gone = scene.run("user", "remove", "ada@who.int")
    assert (gone.exit_code, gone.stdout) == (1, "There is no account ada@who.int.\n")


def test_a_mistake_is_named_and_the_password_is_not(sqlite_scene: Scene) -> None:
    scene = sqlite_scene
    short = scene.run("user", "add", "ada@who.int", "--password-file", str(_file(scene, "secret7")))
    assert short.exit_code == 2
    assert "7 characters; allowed: 12 to 1000 characters" in short.stderr
    assert "secret7" not in short.output
    assert (
        scene.run("user", "add", "ada", "--password-file", str(_file(scene, "four words make one"))).exit_code
        == 2
    )
    assert "no terminal" in scene.run("user", "add", "ada@who.int").stderr
    missing = scene.run("user", "add", "ada@who.int", "--password-file", "nowhere")
    assert missing.exit_code == 2
    assert scene.run("user", "list").stdout == ""


def test_a_lost_password_is_replaced_by_one_that_is_shown_once(scene: Scene) -> None:
    file = _file(scene, "four words make one")
    scene.run("user", "add", "ada@who.int", "--role", "view", "--password-file", str(file))
    said = scene.run("user", "reset", "Ada@who.int")
    assert said.exit_code == 0
    password = said.stdout.split()[-1]
    with scene.database.reading() as conn:
        assert verify_password(password, hash_of(conn, "ada@who.int"))
        assert not verify_password("four words make one", hash_of(conn, "ada@who.int"))
    assert scene.run("user", "list").stdout == "ada@who.int\tview\n"
    nobody = scene.run("user", "reset", "bob@who.int")
    assert nobody.exit_code == 1
    assert "no account bob@who.int" in nobody.output
