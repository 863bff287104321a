"""How a text uses the values that differ between readers: whether it only prints them or computes with them.

Values are named by their paths: "name", "times.yours.city".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple

from jinja2 import nodes

from scheduler.mail.text.sandbox import HTML

_OWN = frozenset(
    {"name", "dear", "join_url", "page_url", "stop_url", "correct_url"}
    | {"subject", "preheader", "calendar", "reservation"}
)
"""Variables with a reader's own values; the links of `calendar` contain the join link."""
OF_ZONE = frozenset({"times", "your_time", "changes", "what_changed"})
"""Variables that are the same for all readers in one time zone, and differ between zones."""
_LEFT = "time_left"
_OF_WEBINAR = ("times.theirs", "times.their_heading")
"""Paths in OF_ZONE below which values are the same for everybody."""


@dataclass(frozen=True)
class Use:
    """How a text uses its variables. A value is *printed* if it is only printed or tested for being non-empty."""

    prints_only: bool
    """A reader's own values are only printed (`{{ name }}`) or tested (`{% if name %}`)."""
    printed: tuple[str, ...]
    """Paths below OF_ZONE that are only printed or tested."""
    computed: frozenset[str]
    """Paths below OF_ZONE that are used in any other way, as in `{% if times.yours.city == "Nairobi" %}`."""
    says_changes: bool
    left: Literal["", "printed", "computed"]
    """The use of `time_left`, which changes from minute to minute."""


class _Used(NamedTuple):
    path: str
    only_printed: bool


@lru_cache(maxsize=256)
def use_of(jinja: str) -> Use:
    """How `jinja`, all the Jinja2 of a text with its layout (`Text.jinja`), uses its variables."""
    tree = HTML.parse(jinja)
    is_random = any(one.name == "random" for one in tree.find_all(nodes.Filter))
    used = dict.fromkeys(_uses(tree))
    of_zone = [one for one in used if _root(one.path) in OF_ZONE and not _is_below(one.path, _OF_WEBINAR)]
    other = {one.path for one in of_zone if not one.only_printed}
    computed = {one.path for one in of_zone if _is_below(one.path, other) or _has_below(one.path, other)}
    left = {one for one in used if _root(one.path) == _LEFT}
    return Use(
        prints_only=not is_random and all(map(_is_printed, used)),
        printed=tuple(one.path for one in of_zone if one.path not in computed),
        computed=frozenset(computed),
        says_changes=any(_root(one.path) in ("changes", "what_changed") for one in of_zone),
        left="" if not left else "printed" if left == {_Used(_LEFT, True)} else "computed",
    )


def _uses(node: nodes.Node) -> Iterator[_Used]:
    """Each use of a variable below `node`."""
    match node:
        case nodes.Output():
            for printed in node.nodes:
                yield from _tested(printed) if _path(printed) else _computed(printed)
        case nodes.Template():
            for one in node.body:
                yield from _uses(one)
        case nodes.If():
            yield from _tested(node.test)
            for one in [*node.body, *node.elif_, *node.else_]:
                yield from _uses(one)
        case nodes.For():
            for head in [node.target, node.iter, *([node.test] if node.test else [])]:
                yield from _computed(head)
            for one in [*node.body, *node.else_]:
                yield from _uses(one)
        case _:
            yield from _computed(node)


def _tested(test: nodes.Node) -> Iterator[_Used]:
    if path := _path(test):
        yield _Used(path, True)
    elif isinstance(test, nodes.Not):
        yield from _tested(test.node)
    elif isinstance(test, nodes.And | nodes.Or):
        yield from _tested(test.left)
        yield from _tested(test.right)
    else:
        yield from _computed(test)


def _computed(node: nodes.Node) -> Iterator[_Used]:
    if path := _path(node):
        yield _Used(path, False)
        return
    for child in node.iter_child_nodes():
        yield from _computed(child)


def _path(node: nodes.Node) -> str:
    """ "times.yours.city" for such a node; "" for any other."""
    if isinstance(node, nodes.Getattr):
        above = _path(node.node)
        return above and f"{above}.{node.attr}"
    return node.name if isinstance(node, nodes.Name) else ""


def _is_printed(used: _Used) -> bool:
    """Whether this use leaves a reader's own values as they are."""
    root, _, attribute = used.path.partition(".")
    fits = bool(attribute) and "." not in attribute if root == "calendar" else not attribute
    return root not in _OWN or (used.only_printed and fits)


def _root(path: str) -> str:
    return path.partition(".")[0]


def _is_below(path: str, others: Iterable[str]) -> bool:
    return any(f"{path}.".startswith(f"{one}.") for one in others)


def _has_below(path: str, others: Iterable[str]) -> bool:
    return any(f"{one}.".startswith(f"{path}.") for one in others)
