"""Rules, their tests and the dashboard name what the service exports, and nothing else."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from scheduler import metrics
from tests.monitoring.rules import FOLDER, METRIC, rules

HISTOGRAM = ("_bucket", "_sum", "_count")


def exported() -> set[str]:
    names = set[str]()
    for family in metrics.REGISTRY.collect():
        suffixes = {"histogram": HISTOGRAM, "counter": ("_total",)}.get(family.type, ("",))
        names |= {family.name + suffix for suffix in suffixes}
    return names


def expressions() -> list[str]:
    """Of the dashboard."""
    panels: list[dict[str, Any]] = json.loads((FOLDER / "dashboard.json").read_text("utf-8"))["panels"]
    return [target["expr"] for panel in panels for target in panel.get("targets", ())]


def named(expression: str) -> set[str]:
    return set(METRIC.findall(expression))


@pytest.mark.parametrize("alert", rules())
def test_a_rule_names_what_is_exported(alert: str) -> None:
    assert named(rules()[alert]) <= exported()
    assert named(rules()[alert]) or alert == "WebinarServiceDown"


def test_the_dashboard_names_what_is_exported_and_leaves_nothing_out() -> None:
    shown = {name for expression in expressions() for name in named(expression)}
    assert shown <= exported()
    histograms = {
        name.removesuffix(suffix) for name in exported() for suffix in HISTOGRAM if name.endswith(suffix)
    }
    left = {name for name in exported() - shown if not name.endswith(HISTOGRAM)}
    left |= {name for name in histograms if f"{name}_bucket" not in shown}
    beside = {"virtual_memory_bytes", "start_time_seconds", "cpu_seconds_total", "max_fds"}
    assert left == {f"webinar_process_{name}" for name in beside}


def test_each_rule_has_a_test_of_its_own_that_sees_it_fire_and_not() -> None:
    tests = (Path(__file__).parent / "alerts_test.yml").read_text("utf-8")
    assert set(re.findall(r"alertname: (\w+)", tests)) == rules().keys()
    for alert in rules():
        assert re.search(rf"alertname: {alert}\n +eval_time: \w+\n +exp_alerts:\n", tests), f"{alert} fires"
        assert re.search(rf"alertname: {alert}, eval_time: \w+, exp_alerts: \[\]", tests), f"{alert} does not"


def test_each_alert_and_each_metric_is_in_the_operators_guide() -> None:
    guide = Path("docs/operator.md").read_text("utf-8")
    assert [alert for alert in rules() if f"`{alert}`" not in guide] == []
    histograms = {re.sub("_(bucket|sum|count)$", "", name) for name in exported()}
    ours = {name for name in histograms if not name.startswith("webinar_process_")}
    assert sorted(name for name in ours if f"`{name}`" not in guide and f"`{name}{{" not in guide) == []
