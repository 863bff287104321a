"""Every command, configuration and statement of the pages in docs/ is run."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
from click.testing import CliRunner

from scheduler.cli import main
from scheduler.clock import SystemClock
from scheduler.database.engine import Database
from scheduler.input.smtp_settings import SmtpSettings
from scheduler.settings import FIRST, SECOND, SECRETS, VARIABLES, read_settings
from scheduler.webinar.model import Webinar, read_webinar
from tests.mail.trial.trying_here import without_a_child
from tests.support import Ledger, copy_texts, utc, webinar

DOCS = Path("docs")
PAGES = sorted(page.name for page in DOCS.glob("*.md"))


class Block(NamedTuple):
    """A fenced block: its line in the page, the words behind the fence, what it holds."""

    line: int
    words: list[str]
    text: str


def blocks(page: str, kind: str) -> list[Block]:
    source = (DOCS / page).read_text("utf-8")
    found = re.finditer(r"^```([^\n]*)\n(.*?)^```$", source, re.MULTILINE | re.DOTALL)
    every = [Block(source.count("\n", 0, one.start()) + 1, one[1].split(), one[2]) for one in found]
    return [block for block in every if block.words[:1] == [kind]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of what organizers edit, with the webinars of the pages and texts in their languages; commands run
    there."""
    shutil.copytree("config", tmp_path / "config")
    copy_texts(tmp_path / "templates", "en", "fr")
    for page in PAGES:
        for block in blocks(page, "toml"):
            for word in block.words:
                if word.startswith("webinar="):
                    target = tmp_path / f"config/webinars/{word.partition('=')[2]}.toml"
                    target.write_text(block.text, "utf-8")
    monkeypatch.chdir(tmp_path)
    with without_a_child():
        yield tmp_path


def commands() -> Iterator[tuple[str, int, str, int]]:
    for page in PAGES:
        for block in blocks(page, "sh"):
            if "person" in block.words:  # of somebody who must be there
                continue
            exit_code = next((int(word[5:]) for word in block.words if word.startswith("exit=")), 0)
            for offset, line in enumerate(block.text.splitlines(), 1):
                if line.strip():
                    yield page, block.line + offset, line, exit_code


def _rehearsals_in_full() -> Iterator[object]:
    """One is rehearsed in tests/test_rehearsal.py."""
    for one in commands():
        yield pytest.param(*one, marks=pytest.mark.full if one[2].startswith("webinar rehearse") else ())


@pytest.mark.parametrize(("page", "line", "command", "exit_code"), list(_rehearsals_in_full()))
def test_a_command_does_what_the_page_says(
    folder: Path, migrated_file: Path, page: str, line: int, command: str, exit_code: int
) -> None:
    (folder / "data").mkdir()
    shutil.copy(migrated_file, folder / "data/webinar.db")
    program, *arguments = shlex.split(command, comments=True)
    assert program == "webinar", f"{page}, line {line}"
    result = CliRunner().invoke(main, arguments, env={"SMTP_HOST": None})
    assert result.exit_code == exit_code, f"{page}, line {line}: {result.output}"
    assert "Traceback" not in result.output


TASKS = {
    "Forget a person": "Forgotten: 1 registration",
    "Give a person their data": '"address": "maya@example.org"',
    "How long data is kept": "the personal data of 1 person is removed from",
    "What registrants do themselves": "It is written to again: 1 registration",
}
"""Of tasks about one person: what one of their commands prints."""
OF_ORGANIZERS = {"What registrants do themselves"}


def commands_of(section: str) -> list[str]:
    page = (DOCS / f"{'organizer' if section in OF_ORGANIZERS else 'operator'}.md").read_text("utf-8")
    here = page[page.index(f"\n## {section}\n") + 1 :].partition("\n## ")[0]
    found = re.findall(r"^```sh person\n(.*?)^```$", here, re.MULTILINE | re.DOTALL)
    return "".join(found).splitlines()


@pytest.mark.parametrize(
    ("section", "task"), [(section, commands_of(section)) for section in TASKS], ids=TASKS
)
def test_a_task_about_a_person_goes_as_the_page_says(
    folder: Path, migrated_file: Path, monkeypatch: pytest.MonkeyPatch, section: str, task: list[str]
) -> None:
    (folder / "data").mkdir()
    shutil.copy(migrated_file, folder / "data/webinar.db")
    database = Database(f"sqlite:///{folder / 'data/webinar.db'}")
    ledger = Ledger(database)
    source = (folder / "config/webinars/trilateral-2025.toml").read_text("utf-8")
    ledger.govern(read_webinar(source, "trilateral-2025.toml"))
    ledger.register("maya@example.org", "trilateral-2025", name="Maya")
    ledger.plan(utc("2025-06-20 08:00"))
    database.close()
    monkeypatch.setattr(SystemClock, "now", lambda self: utc("2025-09-28 08:00"))
    printed = ""
    for command in task:
        result = CliRunner().invoke(
            main, shlex.split(command)[1:], env={"SMTP_HOST": None, "HEALTH_PORT": "0"}
        )
        assert result.exit_code == 0, f"{command}: {result.output}"
        printed += result.output
    assert TASKS[section] in printed
    if section.startswith("Give"):
        assert (folder / "maya.json").read_text("utf-8") in printed


def test_the_organizers_webinar_is_sound_and_every_key_is_in_the_table() -> None:
    (block,) = [block for block in blocks("organizer.md", "toml") if "webinar=clinical-trials" in block.words]
    read_webinar(block.text, "organizer.md")
    page = (DOCS / "organizer.md").read_text("utf-8")
    keys = {field.alias or name for name, field in Webinar.model_fields.items()}
    assert {key for key in keys if f"`{key}`" not in page and f"[{key}" not in page} == set()


def test_the_sample_webinar_explains_every_key() -> None:
    sample = Path("config/webinars/trilateral-2025.toml").read_text("utf-8")
    keys = {field.alias or name for name, field in Webinar.model_fields.items()}
    assert {
        key for key in keys if not re.search(rf"^(# )?(\[+{key}\b|{key} = )", sample, re.MULTILINE)
    } == set()


def test_the_rules_of_messages_are_sound() -> None:
    (block,) = [block for block in blocks("organizer.md", "toml") if "messages" in block.words]
    assert [one.id for one in webinar(block.text).messages][-1] == "thank-you"


@pytest.mark.parametrize("block", blocks("operator.md", "env"), ids=lambda block: f"line-{block.line}")
def test_the_operators_settings_are_sound(block: Block, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hush\n")
    environ = dict(line.split("=", 1) for line in block.text.splitlines())
    for name in environ:
        if name.endswith("_FILE"):
            environ[name] = str(secret)
    environ.pop("SMTP_CA_FILE", None)
    settings = read_settings(environ)
    assert settings.smtp_host == environ["SMTP_HOST"]


def test_every_setting_is_in_the_readme() -> None:
    readme = Path("README.md").read_text("utf-8")
    assert [name for name in VARIABLES if f"`{name}`" not in readme] == []


def test_every_setting_can_be_given_to_the_container() -> None:
    """Secrets as files: `docker inspect` shows the others to everybody."""
    given = dict(
        re.findall(
            r"^      ([A-Z0-9_]+): ([^#\n]*?) *(?:#.*)?$",
            Path("compose.yaml").read_text("utf-8"),
            re.MULTILINE,
        )
    )
    second = (name.upper().replace(FIRST, SECOND) for name in SmtpSettings.model_fields)
    settings = {f"{name}_FILE" if name in SECRETS else name for name in (*VARIABLES, *second)}
    assert given.keys() == settings
    fixed = {"CONFIG_DIR", "TEMPLATES_DIR", "STATE_DIR", "HEALTH_HOST", "HEALTH_PORT", "DRAIN_SECONDS"}
    passed = {name for name, value in given.items() if re.fullmatch(rf"\$\{{{name}(:?[-?].*)?\}}", value)}
    assert settings - passed == fixed, "from the variable of the same name"


def test_every_container_has_limits() -> None:
    seen = []
    for file in ("compose.yaml", "compose.postgresql.yaml"):
        for name, block in re.findall(
            r"^  (\w+):\n((?:(?:    .*)?\n)+)", Path(file).read_text("utf-8"), re.MULTILINE
        ):
            if "\n    image: " in f"\n{block}":
                seen.append(name)
                for limit in ("mem_limit", "cpus", "pids_limit"):
                    assert f"\n    {limit}: " in block, (file, name)
    assert seen == ["webinar", "postgresql"]


def test_make_image_passes_what_the_labels_say() -> None:
    made = subprocess.run(
        ["make", "--silent", "image", "ENGINE=echo"], capture_output=True, text=True, check=True
    ).stdout
    project = tomllib.loads(Path("pyproject.toml").read_text("utf-8"))["project"]
    dockerfile = Path("Dockerfile").read_text("utf-8")
    assert f"--build-arg VERSION={project['version']} " in made
    assert re.search(r"--build-arg REVISION=([0-9a-f]{40}(-dirty)?) ", made)
    assert f"\nARG VERSION={project['version']}\n" in dockerfile, "where nobody passes any"
    for name, label in (("VERSION", "version"), ("REVISION", "revision")):
        assert f'org.opencontainers.image.{label}="${{{name}}}"' in dockerfile


def test_the_statements_for_registration_systems_run(database: Database) -> None:
    ledger = Ledger(database)
    ledger.govern(webinar(id="clinical-trials"))
    engine = "postgresql" if database.dialect.takes_replicas else "sqlite"
    now = utc("2025-06-12 08:00")
    for block in blocks("registration-systems.md", "sql"):
        if block.words[1:] not in ([], [engine]):
            continue
        raw = database.engine.raw_connection()
        try:
            for statement in block.text.split(";\n"):
                if statement.strip():
                    raw.cursor().execute(statement.strip().removesuffix(";"))
            raw.commit()
        finally:
            raw.close()
        now += timedelta(minutes=1)
        ledger.plan(now)
    confirmed = [one for one in ledger.deliveries() if one["message"] == "confirmation"]
    assert {one["address"] for one in confirmed} == {
        "maya.shrestha@example.org",
        "a@example.org",
        "b@example.org",
    }
    assert {one["address"]: one["state"] for one in confirmed}["maya.shrestha@example.org"] == "cancelled"
    assert len(confirmed) == 3
