"""What we use of libraries that is not theirs to promise: a version without it fails here, not at the relay."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import aiosmtplib
import pytest

from scheduler.smtp.failures import Unreachable
from scheduler.smtp.pool import RelaySettings
from scheduler.smtp.replies import Stage
from scheduler.smtp.session import Session
from tests.smtp.scripted import Deed, ScriptedServer
from tests.smtp_server import in_loop

PACKAGE = Path(__file__).parents[2] / "scheduler"


@in_loop
async def test_the_buffer_of_aiosmtplib_holds_what_a_relay_said_too_much() -> None:
    """`Session` looks into it: what is there would pass for the reply to the next command."""
    async with ScriptedServer({"noop": [Deed.TWICE]}) as server:
        client = aiosmtplib.SMTP(hostname=server.host, port=server.port, start_tls=False, timeout=5)
        await client.connect()
        assert client.protocol
        assert bytes(client.protocol._buffer) == b""
        assert (await client.noop()).code == 250
        assert bytes(client.protocol._buffer) == b"250 2.0.0 ok\r\n"
        client.close()


@pytest.mark.parametrize("stage", ["mail", "rcpt", "data"])
@in_loop
async def test_a_session_is_given_up_where_a_relay_said_too_much(stage: Stage) -> None:
    async with ScriptedServer({"noop": [Deed.TWICE]}) as server:
        session = Session(RelaySettings(server.host, server.port, tls="none", timeout=5), None)
        await session.open("client.test")
        assert session.usable
        with pytest.raises(Unreachable, match="not one SMTP reply"):
            await session.command(stage, b"NOOP")
        assert not session.usable


@pytest.mark.full  # seconds
def test_nothing_else_of_libraries_that_is_private_is_used() -> None:
    """Whoever adds something adds a test of it above."""
    trees = {path: ast.parse(path.read_text("utf-8")) for path in PACKAGE.rglob("*.py")}
    ours = {name for tree in trees.values() for name in defined(tree)}
    used = {
        (path.relative_to(PACKAGE).as_posix(), node.attr)
        for path, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and is_private(node.attr) and node.attr not in ours
    }
    imported = {
        (path.relative_to(PACKAGE).as_posix(), alias.name)
        for path, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and not (node.module or "").startswith("scheduler")
        for alias in node.names
        if is_private(alias.name) or any(is_private(part) for part in (node.module or "").split("."))
    }
    assert used == {("smtp/session.py", "_buffer")}
    assert {one for one in imported if one[1] != "annotations"} == set()


def is_private(name: str) -> bool:
    documented = (
        "_asdict",
        "_replace",
        "_fields",
        "_make",
        "_exit",
        "_mapping",
    )  # of named tuples and SQLAlchemy's rows; os
    return name.startswith("_") and not name.startswith("__") and name not in documented


def defined(tree: ast.Module) -> Iterator[str]:
    """Names of functions, classes, attributes and variables."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr
