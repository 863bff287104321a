"""Mistakes in Jinja2 that can be found without rendering it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from difflib import get_close_matches

from jinja2 import TemplateSyntaxError, meta, nodes

from scheduler.input.placeholders import equivalent
from scheduler.mail.text.sandbox import HTML
from scheduler.mail.words.variables import BLOCKS
from scheduler.problem import Problem, nearest


def check_jinja(
    source: str, place: str, allowed: Collection[str], first_line: int = 1, *, blocks: bool = False
) -> list[Problem]:
    """Check syntax, filters and variables of `source`, which begins at line `first_line` of the file `place`.

    `allowed`: names such as "join_url" and "webinar.title"; `blocks`: whether objects may be used as a whole, as in
    the layout.
    """
    try:
        tree = HTML.parse(source)
        HTML.compile(tree)
    except TemplateSyntaxError as error:
        return [_syntax_problem(error, source, place, first_line)]
    except RecursionError:
        return [Problem(place, "Jinja is nested too deeply", "a few levels")]
    problems = [
        *_unknown(tree, place, allowed, first_line),
        *([] if blocks else _bare(tree, place, first_line)),
    ]
    return sorted(dict.fromkeys(problems), key=lambda problem: int(problem.place.rpartition(" ")[2]))


def _unknown(
    tree: nodes.Template, place: str, allowed: Collection[str], first_line: int
) -> Iterator[Problem]:
    roots = {name.partition(".")[0] for name in allowed}
    undeclared = meta.find_undeclared_variables(tree)
    wholes = {id(one.node): f"{one.node.name}.{_attribute(one)}" for one in _attributes(tree)
              if isinstance(one.node, nodes.Name)}  # fmt: skip
    for name in tree.find_all(nodes.Name):
        if name.ctx != "load" or name.name not in undeclared:
            continue
        if name.name in BLOCKS and name.name not in roots:
            where = f"{place}, line {first_line + name.lineno - 1}"
            yield Problem(where, f"`{name.name}` in one line of text", "alone on a line of the mail's text")
        elif name.name not in roots:
            whole = wholes.get(id(name), name.name)
            yield _unknown_name(name.name, place, first_line + name.lineno - 1, allowed, equivalent(whole))
    for attribute in _attributes(tree):
        owner, wanted = attribute.node, _attribute(attribute)
        if isinstance(owner, nodes.Name) and owner.name in undeclared and wanted is not None:
            members = [name for name in allowed if name.startswith(f"{owner.name}.")]
            whole = f"{owner.name}.{wanted}"
            if members and whole not in members:
                yield _unknown_name(whole, place, first_line + attribute.lineno - 1, allowed)


def _bare(tree: nodes.Template, place: str, first_line: int) -> Iterator[Problem]:
    """Problems of `{{ webinar }}` alone, which would print an object."""
    owned = {id(attribute.node) for attribute in _attributes(tree)}
    for name in tree.find_all(nodes.Name):
        if name.name == "webinar" and name.ctx == "load" and id(name) not in owned:
            where = f"{place}, line {first_line + name.lineno - 1}"
            yield Problem(where, "`webinar` alone", "one of its attributes, as in `{{ webinar.title }}`")


def _attributes(tree: nodes.Template) -> Iterator[nodes.Getattr | nodes.Getitem]:
    yield from tree.find_all(nodes.Getattr)
    yield from tree.find_all(nodes.Getitem)


def _attribute(node: nodes.Getattr | nodes.Getitem) -> str | None:
    if isinstance(node, nodes.Getattr):
        return node.attr
    return str(node.arg.value) if isinstance(node.arg, nodes.Const) else None


def _unknown_name(name: str, place: str, line: int, allowed: Collection[str], fix: str = "") -> Problem:
    """The problem of an unknown name, with the nearest known one: "title" and "webinar.tittle" both mean
    `webinar.title`. `fix`: the variable here that matches another tool's field."""
    owner, dot, last = name.rpartition(".")
    full = {known.rpartition(".")[2]: known for known in allowed if known.startswith(owner + dot)}
    near = full.get(last) or next((full[key] for key in get_close_matches(last, full, n=1)), "")
    where, found = f"{place}, line {line}", f"unknown variable `{name}`"
    if near:
        listed, hint = "the variables in docs/variables.md", f"did you mean `{near}`?"
        return Problem(where, found, listed, hint, old=name, new=near)
    return Problem(where, found, ", ".join(full.values()), fix)


# Jinja's messages, with what was found in plain words and how to fix it.
_PLAIN = (
    (re.compile(r"Unexpected end of template.*innermost block that needs to be closed is '(\w+)'", re.DOTALL),
     r"`{% \1 … %}` without an end", r"close it with `{% end\1 %}`"),
    (re.compile(r"unexpected end of template, expected 'end of print statement'"), "`{{` without an end",
     "close it with `}}`, as in `{{ name }}`"),
    (re.compile(r"unexpected end of template, expected 'end of statement block'"), "`{%` without an end",
     "close it with `%}`"),
    (re.compile(r"unexpected '}'"), "one brace where two belong", "write `{{ name }}`"),
    (re.compile(r"Encountered unknown tag '(end\w+|else|elif)'"), r"`{% \1 %}` without a beginning",
     "remove it, or write the `{% if … %}` before it"),
    (re.compile(r"unexpected char '([“”„«»‘’‚])'"), r"the character \1 in place of a straight quote",
     "write straight quotes, as in `{% if name == \"Ana\" %}`"),
)  # fmt: skip


_OTHERS = re.compile(r"\{\{[$#/]?\{?([^{}\n]{0,80})\}{2,3}")
"""A variable, perhaps in another tool's notation: `{{first name}}`, `{{{name}}}`, `{{${first_name}}}`."""


def _syntax_problem(error: TemplateSyntaxError, source: str, place: str, first_line: int) -> Problem:
    message = (error.message or "Jinja cannot read this").rstrip(".")
    where = f"{place}, line {first_line + error.lineno - 1}"
    for kind, known in (("filter", HTML.filters), ("test", HTML.tests)):
        if message.startswith(f"No {kind} named"):
            return Problem(where, message, hint=nearest(message.split("'")[1], known))
    lines = source.split("\n")
    for one in _OTHERS.finditer(lines[error.lineno - 1] if error.lineno <= len(lines) else ""):
        if not _can_be_read(one[0]) and (means := equivalent(one[1])):
            return Problem(where, f"`{one[0]}`, a placeholder of another tool", hint=means)
    for pattern, found, fix in _PLAIN:
        if match := pattern.match(message):
            return Problem(where, match.expand(found), hint=match.expand(fix))
    return Problem(where, message, hint="docs/variables.md says what may be between braces")


def _can_be_read(variable: str) -> bool:
    try:
        HTML.compile(HTML.parse(variable))
    except TemplateSyntaxError:
        return False
    return True
