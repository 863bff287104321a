"""The operator's tasks, done as docs/operator.md says: its own commands, with services that run and mails that arrive.

`full`: needs bash, curl and sqlite3's shell, and dozens of seconds.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.endtoend.support import HASTY, Process, Scene, Sql, on_the_real_clock, people, scene, until

pytestmark = pytest.mark.full

PROJECT = Path(__file__).parents[2]
MIGRATION = '''
"""What a later version needs."""
from alembic import op

revision, down_revision, branch_labels, depends_on = "{revision}", "{before}", None, None


def upgrade() -> None:
    op.execute("CREATE TABLE later (id BIGINT)")
'''


async def as_the_page_says(task: str, folder: Path, environ: Mapping[str, str] | None = None) -> None:
    """Run the page's commands of that task in a shell."""
    page = (PROJECT / "docs/operator.md").read_text("utf-8")
    (block,) = re.findall(rf"^( *)```bash {task}\n(.*?)^ *```$", page, re.MULTILINE | re.DOTALL)
    programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    given = {"PATH": programs, "PYTHONPATH": os.environ.get("PYTHONPATH", "")} | dict(environ or {})
    shell = await asyncio.create_subprocess_exec(
        "bash", "-euo", "pipefail", "-c", block[1], cwd=folder, env=given,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said = (await shell.communicate())[0].decode()
    assert shell.returncode == 0, said


@pytest.fixture
def sqlite(tmp_path: Path) -> str:
    """Where the page has it."""
    (tmp_path / "data").mkdir()
    return f"sqlite:///{tmp_path}/data/webinar.db"


async def stopped(service: Process) -> None:
    service.terminate()
    assert await service.exited() == 0, service.stderr


@on_the_real_clock
async def test_roll_forward_and_back(tmp_path: Path, sqlite: str) -> None:
    """The later version has a migration that this one does not know."""
    async with scene(tmp_path, sqlite) as here:
        here.webinar()
        service = await here.run()
        await service.ready()
        here.sql.register(people(1))
        await here.relay.took(1)
        await stopped(service)
        await as_the_page_says("roll-forward", tmp_path)

        later = await here.run(PYTHONPATH=later_version(tmp_path))
        await later.ready()
        assert here.sql("SELECT * FROM later") == []
        await stopped(later)

        await refuses_and_leaves_it_alone(here)
        await as_the_page_says("roll-back", tmp_path)
        service = await here.run()
        await service.ready()
        here.sql.register(["next@people.test"])
        await until(lambda: here.relay.to("next@people.test"), "it goes on")
        await stopped(service)
        assert set(here.relay.counts().values()) == {1}
        assert here.sql.states() == {"sent": 2}


def later_version(folder: Path) -> str:
    """This program, with one more migration."""
    copy = folder / "later"
    shutil.copytree(PROJECT / "scheduler", copy / "scheduler", ignore=shutil.ignore_patterns("__pycache__"))
    versions = copy / "scheduler/database/migrations/versions"
    newest = max(file.name for file in versions.glob("[0-9]*.py"))[:4]
    revision = f"{int(newest) + 1:04}"
    (versions / f"{revision}_later.py").write_text(MIGRATION.format(revision=revision, before=newest))
    return os.pathsep.join([str(copy), HASTY])


async def refuses_and_leaves_it_alone(here: Scene) -> None:
    before = here.sql("SELECT * FROM alembic_version"), here.sql.states()
    older = await here.run()
    assert await older.exited() == 2
    assert "of a newer version of this program" in older.stderr
    assert before == (here.sql("SELECT * FROM alembic_version"), here.sql.states())


@on_the_real_clock
async def test_move_to_postgresql(tmp_path: Path, sqlite: str, postgresql_url: str) -> None:
    """In the middle of a burst: what was sent is not sent again, and what was not goes out."""
    everybody = people(60)
    async with scene(tmp_path, sqlite) as here:
        here.webinar()
        service = await here.run(SMTP_CONNECTIONS="1", SMTP_PER_MINUTE="600")
        await service.ready()
        here.sql.register(everybody)
        await here.relay.took(10)
        await stopped(service)
        assert len(here.relay.arrivals) < len(everybody), "stopped in the middle"
        before = here.sql.states()

        await as_the_page_says("move-to-postgresql", tmp_path, {"DATABASE_URL": postgresql_url})
        assert not (tmp_path / "data/webinar.db").exists()
        here.sql = Sql(postgresql_url)
        assert here.sql.states() == before
        service = await here.run()
        await service.ready()
        everybody.append("next@people.test")
        here.sql.register(everybody[-1:])
        await until(lambda: here.sql.states() == {"sent": len(everybody)}, "all of them", within=60)
        assert here.relay.counts() == {(address, "confirmation"): 1 for address in everybody}
        await stopped(service)


@on_the_real_clock
async def test_replace_a_replica(tmp_path: Path, postgresql_url: str) -> None:
    everybody = people(80)
    async with scene(tmp_path, postgresql_url) as here:
        here.webinar()
        old = await here.run(SMTP_PER_MINUTE="1200")
        await old.ready()
        here.sql.register(everybody)
        await here.relay.took(5)
        new = await here.run(SMTP_PER_MINUTE="1200")
        replica = {"NEW": f"127.0.0.1:{new.port}", "OLD": str(old.pid)}
        await as_the_page_says("replace-a-replica", tmp_path, replica)
        assert await old.exited() == 0
        await until(lambda: here.sql.states() == {"sent": len(everybody)}, "all of them", within=60)
        assert here.relay.counts() == {(address, "confirmation"): 1 for address in everybody}
        here.sql.register(["next@people.test"])
        await until(lambda: here.relay.to("next@people.test"), "the new one sends")
