"""The alert rules as Prometheus has them, and whether one would fire by what the service exports at a moment."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

FOLDER = Path(__file__).parents[2] / "monitoring"
METRIC = re.compile(r"\bwebinar_\w+")
_SELECTED = re.compile(r'(webinar_\w+)(?:\{(\w+)(!?=)"(\w+)"\})?')

_RULE = re.compile(r"- alert: (\w+)\n +expr: (?:>-\n)?(.+?)\n +(?:for|labels):", re.DOTALL)

Samples = Mapping[tuple[str, frozenset[tuple[str, str]]], float]


@cache
def rules() -> dict[str, str]:
    """The expression of each alert."""
    found = _RULE.findall((FOLDER / "alerts.yml").read_text("utf-8"))
    return {alert: " ".join(expression.split()) for alert, expression in found}


def samples(exposition: str) -> Samples:
    """The values of a scrape, by name and labels."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(exposition)
        for sample in family.samples
    }


def crosses(alert: str, there: Samples, later: float = 0.0) -> bool:
    """Whether the alert's expression holds for any series, `later` seconds from now. Of what a rule excuses (`unless`),
    and for how long it must hold, promtool's tests are the judge."""
    now = time.time() + later
    ways = rules()[alert].partition(" unless ")[0].split(" or ")
    return any(all(_holds(part, there, now) for part in way.split(" and ")) for way in ways)


def _holds(comparison: str, there: Samples, now: float) -> bool:
    found = _SELECTED.search(comparison)
    assert found, comparison
    name, label, operator, wanted = found.groups()
    plain = re.sub(r"\b(max|min|sum)\b( by \([\w, ]+\))?", "", comparison.replace(found[0], "value"))
    return any(
        eval(plain, {"time": lambda: now, "abs": abs, "value": value})
        for (its_name, labels), value in there.items()
        if its_name == name and (not label or (dict(labels)[label] == wanted) == (operator == "="))
    )
