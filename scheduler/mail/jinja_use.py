"""How a text uses what each reader brings: whether it prints it as it is, or does something else with it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from jinja2 import nodes

from scheduler.mail.sandbox import HTML

_PRINTED = frozenset({"name", "dear", "join_url", "subject", "preheader"})
_OWN = _PRINTED | {"calendar"}
"""What differs from reader to reader of one zone, or may contain it: the links of `calendar` hold the join link."""


@dataclass(frozen=True)
class Use:
    prints_only: bool
    """A reader's own values are only printed (`{{ name }}`), or asked for being there (`{% if name %}`)."""
    says_time_left: bool
    says_changes: bool


@lru_cache(maxsize=256)
def use_of(jinja: str) -> Use:
    """What `jinja`, all the Jinja2 of a text with its layout (`Text.jinja`), does with its variables."""
    tree = HTML.parse(jinja)
    chance = any(one.name == "random" for one in tree.find_all(nodes.Filter))
    names = {one.name for one in tree.find_all(nodes.Name)}
    changes = not names.isdisjoint({"changes", "what_changed"})
    return Use(_prints_only(tree) and not chance, "time_left" in names, changes)


def _prints_only(node: nodes.Node) -> bool:
    match node:
        case nodes.Output():
            return all(_is_printed(one) or not _uses_own(one) for one in node.nodes)
        case nodes.Template():
            return all(map(_prints_only, node.body))
        case nodes.If():
            return _asks_only(node.test) and all(map(_prints_only, [*node.body, *node.elif_, *node.else_]))
        case nodes.For():
            heads = [node.target, node.iter, *([node.test] if node.test else [])]
            return not any(map(_uses_own, heads)) and all(map(_prints_only, [*node.body, *node.else_]))
    return not _uses_own(node)


def _is_printed(node: nodes.Node) -> bool:
    if isinstance(node, nodes.Getattr):
        return isinstance(node.node, nodes.Name) and node.node.name == "calendar"
    return isinstance(node, nodes.Name) and node.name in _PRINTED


def _asks_only(test: nodes.Node) -> bool:
    match test:
        case nodes.Name():
            return True
        case nodes.Not():
            return _asks_only(test.node)
        case nodes.And() | nodes.Or():
            return _asks_only(test.left) and _asks_only(test.right)
    return not _uses_own(test)


def _uses_own(node: nodes.Node) -> bool:
    return any(one.name in _OWN for one in [node, *node.find_all(nodes.Name)] if isinstance(one, nodes.Name))
