"""Verdicts are stored by digest: a pair that one service has tried is not tried again."""

from __future__ import annotations

from datetime import timedelta

from scheduler.database.engine import Database, execute
from scheduler.governing.verdicts import UNUSED_FOR, prune_verdicts, read_verdicts, store_verdicts
from scheduler.problem import Problem
from tests.support import utc

NOW = utc("2025-06-12 08:00")
WRONG = (Problem("confirmation/en.md, line 5", "unknown variable `nme`", "`name`", "did you mean `name`?"),)


def test_a_verdict_is_read_as_it_was_kept_and_the_first_one_stays(database: Database) -> None:
    with database.transaction() as conn:
        store_verdicts(conn, NOW, {"a": (), "b": WRONG})
        store_verdicts(conn, NOW, {"a": WRONG})
        assert read_verdicts(conn, ["a", "b", "c"]) == {"a": (), "b": WRONG}
        assert read_verdicts(conn, [*map(str, range(20_000)), "b"]) == {"b": WRONG}


def test_a_verdict_that_nobody_has_used_for_long_is_forgotten_and_one_that_is_used_is_not(
    database: Database,
) -> None:
    with database.transaction() as conn:
        store_verdicts(conn, NOW, {"used": (), "unused": WRONG})
        for days in range(0, 200, 20):
            prune_verdicts(conn, NOW + timedelta(days=days), ["used"])
            if days < UNUSED_FOR.days:
                assert set(read_verdicts(conn, ["used", "unused"])) == {"used", "unused"}
        assert execute(conn, "SELECT digest FROM verdict").scalars().all() == ["used"]
