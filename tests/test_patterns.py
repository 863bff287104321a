"""Every regular expression of the package takes time in proportion to its input, whatever that is.

A quadratic one holds a service up for minutes on one line of 100,000 letters. So each must be known when its module is
imported: a constant, or made of constants of its module; but for words that are escaped.
"""

from __future__ import annotations

import ast
import importlib
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from re import _parser as parser  # type: ignore[attr-defined]
from types import ModuleType
from typing import Any

import pytest

import scheduler
from scheduler.settings import _glob
from tests.hostile import hostile

ROOT = Path(scheduler.__file__).parent
CALLS = {"compile", "match", "fullmatch", "search", "sub", "subn", "split", "findall", "finditer"}
USES = CALLS - {"compile"}
ANYHOW = frozenset({"fullmatch", "finditer"})  # where nobody sees how it is used
LENGTHS = (20, 24, 28, 35, 100, 1_000, 4_000)
FEW_LENGTHS = (20, 28, 35, 200, 4_000)
PER_CHARACTER = 1e-6  # seconds: ten times what a linear pattern needs
SLOW = 3e-3  # seconds, below which nothing is compared
Pattern = re.Pattern[str] | re.Pattern[bytes]
MADE = {
    ("scheduler/settings.py", "_glob"): [_glob("*@*.example.org"), _glob("a*b*a*b*c@*.*.org"), _glob("*")],
}
"""Functions that make an expression of what they are given, what they make, which only ever has to match as a whole."""


@dataclass(frozen=True)
class Used:
    """One expression, where it stands, and by which methods it is used there. `pattern`: None where it is made at run
    time, from something else than escaped words."""

    place: str
    pattern: Pattern | None
    uses: frozenset[str]


@cache
def _trees() -> dict[Path, ast.Module]:
    """The modules that make a pattern or use one."""
    files = sorted(path for path in ROOT.rglob("*.py") if "migrations" not in path.parts)
    texts = {path: path.read_text("utf-8") for path in files}
    return {
        path: ast.parse(text) for path, text in texts.items() if any(f".{call}" in text for call in CALLS)
    }


@cache
def _methods() -> dict[str, frozenset[str]]:
    """By name, the methods that are called on it anywhere, as on `HOLE` in `HOLE.sub(…)` or `holes.HOLE.sub(…)`, or
    passed on without a call."""
    found: dict[str, set[str]] = {}
    for tree in _trees().values():
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and node.attr in USES:
                owner = node.value
                name = owner.id if isinstance(owner, ast.Name) else getattr(owner, "attr", None)
                if name:
                    found.setdefault(name, set()).add(node.attr)
    return {name: frozenset(methods) for name, methods in found.items()}


def _expressions() -> Iterator[Used]:
    for path, tree in _trees().items():
        calls = [node for node in ast.walk(tree) if _is_of_re(node)]
        if not calls:
            continue
        place = path.relative_to(ROOT.parent)
        module = importlib.import_module(".".join(place.with_suffix("").parts).removesuffix(".__init__"))
        names = {id(node.value): target.id for node in tree.body for target in _targets(node)}  # type: ignore[attr-defined]
        functions, has_tables = _functions(tree), False
        for call in calls:
            assert isinstance(call, ast.Call)
            assert isinstance(call.func, ast.Attribute)
            name, function = names.get(id(call)), functions.get(id(call))
            if name:
                yield Used(f"{place} {name}", getattr(module, name), _methods().get(name, ANYHOW))
                continue
            uses = ANYHOW if call.func.attr == "compile" else frozenset({call.func.attr})
            pattern = _compiled(call, module)
            if pattern is None and function is None:  # for a table of the module
                has_tables = True
            elif pattern is None and (place.as_posix(), function) in MADE:
                for pattern in MADE[place.as_posix(), function]:
                    yield Used(f"{place} {function}", pattern, frozenset({"fullmatch"}))
            else:
                yield Used(f"{place}:{call.lineno}", pattern, uses)
        for pattern in _in_tables(module) if has_tables else ():
            yield Used(f"{place} {pattern.pattern!r:.40}", pattern, frozenset({"search"}))


def _functions(tree: ast.Module) -> dict[int, str]:
    """The name of the function that each node is part of, by id."""
    return {
        id(node): function.name
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
    }


def _in_tables(module: ModuleType) -> list[Pattern]:
    found: dict[Any, Pattern] = {}

    def look(value: object) -> None:
        if isinstance(value, re.Pattern):
            found[value.pattern, value.flags] = value
        elif isinstance(value, dict):
            look(tuple(value.values()))
        elif isinstance(value, tuple | list):
            for one in value:
                look(one)

    tables = (value for name, value in vars(module).items() if not name.startswith("__"))
    look(tuple(value for value in tables if not isinstance(value, re.Pattern)))
    return list(found.values())


def _is_of_re(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "re"
        and node.func.attr in CALLS
    )


def _targets(node: ast.stmt) -> list[ast.Name]:
    if isinstance(node, ast.Assign):
        return [one for one in node.targets if isinstance(one, ast.Name)]
    return [node.target] if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) else []


def _compiled(call: ast.Call, module: ModuleType) -> Pattern | None:
    """The pattern of a call, with escaped words as "word", by what its module knows of itself."""
    flags = next((one.value for one in call.keywords if one.arg == "flags"), None)
    position = {"compile": 1, "sub": 4, "subn": 4, "split": 3}.get(call.func.attr, 2)  # type: ignore[attr-defined]
    if flags is None and len(call.args) > position:
        flags = call.args[position]
    try:
        source = _value(_Escaped().visit(call.args[0]), module)
        return re.compile(source, _value(flags, module) if flags is not None else 0)
    except NameError:
        return None


class _Escaped(ast.NodeTransformer):
    """`re.escape(word)` as "word", and `map(re.escape, words)` as ["word"]."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        text = ast.unparse(node)
        if text.startswith("re.escape("):
            return ast.copy_location(ast.Constant("word"), node)
        if text.startswith("map(re.escape, "):
            words: list[ast.expr] = [ast.Constant("word"), ast.Constant("wort")]
            return ast.fix_missing_locations(ast.copy_location(ast.List(words, ast.Load()), node))
        return self.generic_visit(node)


def _value(expression: Any, module: ModuleType) -> Any:
    whole = ast.fix_missing_locations(ast.Expression(expression))
    return eval(compile(whole, "pattern", "eval"), vars(module))


def _take(method: str, pattern: Pattern, text: str | bytes) -> None:
    call: Callable[..., Any] = getattr(pattern, method)
    if method in ("sub", "subn"):
        call("" if isinstance(text, str) else b"", text)
    elif method == "finditer":
        for _ in call(text):
            pass
    else:
        call(text)


def _seconds(method: str, pattern: Pattern, text: str | bytes) -> float:
    """Of the processor. Less than SLOW may have others' in it: a look at the wall's clock costs nothing."""
    begun = time.perf_counter()
    _take(method, pattern, text)
    if (took := time.perf_counter() - begun) < SLOW:
        return took
    begun = time.process_time()
    _take(method, pattern, text)
    return time.process_time() - begun


def _grows(method: str, pattern: Pattern, number: int) -> str:
    """Why the time that the pattern takes on its hostile input of this number grows faster than the input; or ""."""

    def text(length: int) -> str | bytes:
        text = list(hostile(pattern, length))[number]
        return text if isinstance(pattern.pattern, str) else text.encode("latin-1", "replace")

    short, long = text(1_000), text(4_000)
    if len(long) < 2 * len(short):
        return ""
    before = min(_seconds(method, pattern, short) for _ in range(3))
    after = min(_seconds(method, pattern, long) for _ in range(2))
    if after / max(before, 1e-6) < 2 * len(long) / len(short):
        return ""
    took = f"{before * 1e3:.0f} ms, of four times as much {after * 1e3:.0f} ms"
    return f"{method} of {short[:30]!r}…{short[-5:]!r}: {took}"


def why_slow(pattern: Pattern, uses: frozenset[str], *, few: bool = False) -> str:
    """On what hostile input a pattern is slow; or "". `few`: of fewer lengths, and of the greatest only what takes most
    at the length before."""
    took_before: dict[int, float] = {}
    lengths = FEW_LENGTHS if few else LENGTHS
    for length in lengths:
        limit, numbers = max(SLOW, PER_CHARACTER * length), set(took_before)
        if few and length == lengths[-1]:
            numbers = set(sorted(took_before, key=took_before.__getitem__)[-8:])
        took_before = {}
        for number, text in enumerate(hostile(pattern, length)):
            if length == lengths[-1] and number not in numbers:
                continue
            subject = text if isinstance(pattern.pattern, str) else text.encode("latin-1", "replace")
            for method in sorted(uses):
                took = _seconds(method, pattern, subject)
                took_before[number] = max(took, took_before.get(number, 0.0))
                if took < limit:
                    continue
                if length < lengths[-1]:  # once more: the machine may have been busy
                    if _seconds(method, pattern, subject) > 4 * limit:
                        return f"{method} of {text[:30]!r}…, {len(text)} characters"
                elif grown := _grows(method, pattern, number):
                    return grown
                else:
                    limit = max(limit, 1.5 * took)  # linear, though slow: that is known now
    return ""


@cache
def every() -> tuple[Used, ...]:
    return tuple(_expressions())


@pytest.mark.parametrize("few", [True, pytest.param(False, id="all", marks=pytest.mark.full)])
def test_no_pattern_takes_more_than_linear_time(few: bool) -> None:
    unknown = [used.place for used in every() if not used.pattern]
    assert unknown == [], "compile them at module level, from constants or escaped words"
    slow = {used.place: why_slow(used.pattern, used.uses, few=few) for used in every() if used.pattern}
    assert {place: why for place, why in slow.items() if why} == {}


def test_nothing_possessive_is_repeated() -> None:
    """Python before 3.11.5, as Debian 12 has it, does not match that (CPython issue 106052)."""
    trees = {
        one.place: parser.parse(one.pattern.pattern, one.pattern.flags) for one in every() if one.pattern
    }
    assert [place for place, tree in trees.items() if _repeats_possessive(tree)] == []


def _repeats_possessive(tree: Any, repeated: bool = False) -> bool:
    for op, value in tree:
        possessive = op in (parser.POSSESSIVE_REPEAT, parser.ATOMIC_GROUP)
        within = repeated or op in (parser.MAX_REPEAT, parser.MIN_REPEAT, parser.POSSESSIVE_REPEAT)
        if possessive and repeated:
            return True
        if any(_repeats_possessive(one, within) for one in _inner(value)):
            return True
    return False


def _inner(value: Any) -> Iterator[Any]:
    if isinstance(value, parser.SubPattern):
        yield value
    elif isinstance(value, (tuple, list)):
        for one in value:
            yield from _inner(one)


def test_what_is_possessive_and_repeated_is_found() -> None:
    assert _repeats_possessive(parser.parse(r"(?:<[^<]*+)*+x"))
    assert not _repeats_possessive(parser.parse(r"<[^<]*+x"))


@pytest.mark.parametrize(
    ("pattern", "method"),
    [
        (r"[^\W\d_]+\s+\d", "search"), (r"\{\{.*?\}\}", "sub"), (r"(a+)+b", "match"), (r"\s+$", "sub"),
        (r"(?s)<b>(.*?)</b>", "finditer"), (r"(a|aa)+$", "fullmatch"), (r"\d*-\d*-\d*x", "search"),
    ],
)  # fmt: skip
def test_patterns_that_are_slow_are_found(pattern: str, method: str) -> None:
    assert why_slow(re.compile(pattern), frozenset({method}), few=True)
