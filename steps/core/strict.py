"""Strict models, and what is wrong with a file in words: file, line, key and what was expected."""

import difflib
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from llm_models.errors import InputError, shorten

Place = tuple[int | str, ...]  # a path of keys and positions, such as ("candidates", 1, "model")
Problem = tuple[int, str]  # line from 1, message

_EXPECTED = {
    "string_type": "text",
    "path_type": "text",
    "float_type": "a number",
    "finite_number": "a finite number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "bool_type": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "keys with values",
    "model_type": "keys with values",
}
_BOUNDS = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}


class Strict(BaseModel):
    """A typo is an error, and so is a value of another type."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("is empty")
    return text


Text = Annotated[str, AfterValidator(_not_blank)]
Texts = Annotated[tuple[Text, ...], Field(strict=False)]  # a list in the file


def read_text(path: Path, remedy: str) -> str:
    """The UTF-8 text of a file, with or without a byte order mark. Raises InputError."""
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}; {remedy}") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise InputError(f"{path}:{line}: not UTF-8 text; save the file as UTF-8") from None


def refuse(path: Path, problems: Iterable[Problem], limit: int | None = None) -> None:
    """Raise one InputError with a line for each problem, the first `limit` in file order."""
    ordered = sorted(problems)
    lines = [f"{path}:{line}: {message}" for line, message in ordered[:limit]]
    if len(ordered) > len(lines):
        lines.append(f"… and {len(ordered) - len(lines)} more")
    if lines:
        raise InputError("\n".join(lines))


def problems_of(
    error: ValidationError, model: type[BaseModel], line_of: Callable[[Place], int]
) -> list[Problem]:
    """Everything a model found wrong, each at its line; keys that are not text come from YAML
    alone, which names them itself.
    """
    found = []
    for detail in error.errors(include_url=False):
        if detail["type"] == "invalid_key":
            continue
        place = tuple(part for part in detail["loc"] if part != "[key]")
        message = _words(detail, place, model)
        found.append((line_of(place), f"{spelled(place)}: {message}" if place else message))
    return found


def spelled(place: Place) -> str:
    """`candidates[1].model`; a key that is not a plain word stands in brackets and quotes."""
    text = ""
    for part in place:
        plain = isinstance(part, str) and part.replace("-", "_").isidentifier()
        text += f".{part}" if plain else f"[{part!r}]"
    return text.removeprefix(".")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A question in brackets, or nothing when no known name is near."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean '{near[0]}'?)" if near else ""


def _words(detail: Any, place: Place, model: type[BaseModel]) -> str:
    kind, value, context = detail["type"], detail["input"], detail.get("ctx", {})
    if kind == "extra_forbidden":
        return _unknown(str(place[-1]), _fields(model, place[:-1]))
    if kind == "value_error":
        return str(context["error"])
    expected = _expected(kind, context)
    if expected is None:
        return "missing" if kind == "missing" else str(detail["msg"])
    return f"{expected}, got {_shown(value)}{_quote(kind, value)}"


def _expected(kind: str, context: dict[str, Any]) -> str | None:
    if kind in _EXPECTED:
        return f"expected {_EXPECTED[kind]}"
    if kind == "literal_error":
        return f"must be {context['expected']}"
    bound = next((name for name in _BOUNDS if name in context), None)
    return f"must be {_BOUNDS[bound]} {context[bound]:g}" if bound else None


def _unknown(name: str, known: list[str]) -> str:
    hint = did_you_mean(name, known) or f" (known: {', '.join(known)})"
    return f"unknown key{hint}"


def _quote(kind: str, value: Any) -> str:
    scalar = isinstance(value, bool | int | float)
    return "; put it in quotes" if kind == "string_type" and scalar else ""


def _shown(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, dict | list | tuple):
        return "keys with values" if isinstance(value, dict) else "a list"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    shown = shorten(repr(value), 40)
    return {"True": "true", "False": "false"}.get(shown, shown)


def _fields(model: type[BaseModel], place: Place) -> list[str]:
    """The keys known at a place; positions and free keys lead no deeper into the model."""
    for part in place:
        field = model.model_fields.get(str(part))
        model = _model_in(field.annotation) or model if field else model
    return list(model.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_in, get_args(annotation))), None)
