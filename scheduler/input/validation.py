"""Pydantic's errors in plain words.

A field's `description` is the only place that says what is allowed; the error for a wrong value quotes it. Validators
raise `mistake(...)` with what they found.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import date, datetime, time
from typing import Any, NamedTuple, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticCustomError

from scheduler.problem import nearest

Location = tuple[str | int, ...]


class Mistake(NamedTuple):
    """A mistake at a location inside the input, such as `("messages", 1, "at")`, counted from 0."""

    loc: Location
    found: str
    allowed: str = ""
    hint: str = ""


def mistake(found: str, *, allowed: str = "", hint: str = "") -> PydanticCustomError:
    """The error for a validator to raise. An empty `allowed` stands for the field's description."""
    return PydanticCustomError("mistake", "{found}", {"found": found, "allowed": allowed, "hint": hint})


def shown(value: object) -> str:
    """A value as its author would recognise it, on one line of limited length."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return _shortened(json.dumps(value, ensure_ascii=False))
        case datetime() | date() | time():
            return value.isoformat()
        case dict():
            return "a table"
        case list() | tuple():
            return "an empty list" if not value else "a list"
        case _:
            return _shortened(str(value))


def mistakes(error: ValidationError, model: type[BaseModel]) -> Iterator[Mistake]:
    """All mistakes that pydantic found in an input of `model`."""
    for details in error.errors(include_url=False):
        if not _follows_from_another(details):
            yield _mistake(details, model)


def keys(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """A model's fields by the names that people write."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _follows_from_another(details: ErrorDetails) -> bool:
    """Whether this error only follows from another: a default that needs a wrong field, or a list that is too
    short without its wrong items."""
    kind = details["type"]
    return kind == "default_factory_not_called" or (kind == "too_short" and bool(details["input"]))


def _mistake(details: ErrorDetails, model: type[BaseModel]) -> Mistake:
    loc = tuple(step for step in details["loc"] if step != "[key]")
    context: dict[str, Any] = details.get("ctx", {})
    owner, field = _owner_and_field(model, loc)
    allowed = (field.description if field else None) or ""
    match details["type"]:
        case "mistake":
            return Mistake(loc, context["found"], context["allowed"] or allowed, context["hint"])
        case "missing":
            return Mistake(loc, "is missing", allowed)
        case "extra_forbidden":
            return Mistake(loc, "no such key", ", ".join(keys(owner)), nearest(str(loc[-1]), keys(owner)))
        case "literal_error":
            options = re.findall(r"'([^']*)'", context["expected"])
            return Mistake(loc, shown(details["input"]), allowed, nearest(str(details["input"]), options))
        case _:
            return Mistake(loc, shown(details["input"]), allowed)


def _owner_and_field(model: type[BaseModel], loc: Location) -> tuple[type[BaseModel], FieldInfo | None]:
    """The model in which the last step of `loc` is a key, and the innermost known field on the way to it."""
    owner, field = model, None
    inner: type[BaseModel] | None = model
    for step in loc:
        if inner is not None and isinstance(step, str) and step in keys(inner):
            owner, field = inner, keys(inner)[step]
            inner = _model_in(field.annotation)
        elif inner is not None:
            owner = inner
    return owner, field


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part))), None)


def _shortened(text: str, limit: int = 80) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
