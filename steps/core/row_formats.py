"""Rows out of a file, each with the line on which it starts: one reader for each format.

What is wrong with single rows goes into `problems`, so that all of it can be told at once.
"""

import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from llm_models.errors import InputError
from steps.core.strict import Problem, read_text
from steps.core.yaml_lines import parse

Rows = Iterator[tuple[int, Any]]  # line from 1, row as it stands in the file

SHAPE = 'expected a list of rows, or {"rows": [...]}'
MAX_CELL = 2**31 - 1  # characters; csv refuses cells above 131,072 by default
_START = re.compile(r'\s*(?:\{\s*"rows"\s*:\s*)?\[')
_BETWEEN = re.compile(r"[\s,]*")


def read_rows(path: Path, problems: list[Problem]) -> Rows:
    """Raises InputError for an unknown suffix, another encoding and broken YAML."""
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise InputError(f"{path}: unknown format; the name must end with {', '.join(READERS)}")
    return reader(read_text(path, "name an existing file"), path, problems)


def _jsonl(text: str, _: Path, problems: list[Problem]) -> Rows:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            yield number, _STRICT.decode(line.rstrip("\r"))
        except (ValueError, RecursionError) as error:
            problems.append((number, _cause(error)))


def _json(text: str, _: Path, problems: list[Problem]) -> Rows:
    start = _START.match(text)
    try:
        json.loads(text, parse_int=str, parse_float=str)
    except (ValueError, RecursionError) as error:
        problems.append((getattr(error, "lineno", 1), _cause(error)))
        return
    if start is None:
        problems.append((1, SHAPE))
        return
    line, counted, position = 1, 0, _next(text, start.end())
    while text[position] != "]":
        line, counted = line + text.count("\n", counted, position), position
        _, end = _LENIENT.raw_decode(text, position)
        try:
            yield line, _STRICT.decode(text[position:end])
        except (ValueError, RecursionError) as error:
            problems.append((line, _cause(error)))
        position = _next(text, end)
    if text[position + 1 :].strip() not in ("", "}"):
        problems.append((text.count("\n", 0, position) + 1, f"{SHAPE} and nothing beside it"))


def _yaml(text: str, path: Path, problems: list[Problem]) -> Rows:
    document = parse(text, path)
    problems += document.problems
    wrapped = isinstance(document.data, dict) and list(document.data) == ["rows"]
    rows = document.data["rows"] if wrapped else document.data
    if not isinstance(rows, list):
        problems.append((1, SHAPE))
        return
    for position, row in enumerate(rows):
        yield document.line(("rows", position) if wrapped else (position,)), row


def csv_lines(text: str, problems: list[Problem]) -> Iterator[tuple[int, list[str]]]:
    """(line on which they start, cells), empty lines left out."""
    csv.field_size_limit(MAX_CELL)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    line = 1
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:  # from here on, columns cannot be told apart
            problems.append((line, f"not valid CSV: {error}"))
            return
        if cells is None:
            return
        if cells:
            yield line, cells
        line = reader.line_num + 1


def _csv(text: str, _: Path, problems: list[Problem]) -> Rows:
    columns: list[str] = []
    for line, cells in csv_lines(text, problems):
        if columns:
            yield from _csv_row(line, columns, cells, problems)
            continue
        columns = cells
        flaws = [(line, flaw) for flaw in _column_problems(columns)]
        problems += flaws
        if flaws:
            return


def _column_problems(columns: list[str]) -> Iterator[str]:
    if "prompt" not in columns:
        yield f"no column 'prompt', only {', '.join(columns)}; commas must stand between columns"
    for name in dict.fromkeys(columns):
        if columns.count(name) > 1:
            yield f"column '{name}' is given twice"
        if not name.strip():
            yield "a column has no name"
        if name.startswith("expected_") and name not in EXPECTATION_COLUMNS:
            yield f"unknown column '{name}' (known: {', '.join(EXPECTATION_COLUMNS)})"


def _csv_row(line: int, columns: list[str], cells: list[str], problems: list[Problem]) -> Rows:
    """An empty cell is no value; a column of no other meaning is a tag."""
    if len(cells) != len(columns):
        problems.append((line, f"{len(cells)} cells under {len(columns)} columns"))
        return
    given = {name: cell for name, cell in zip(columns, cells, strict=True) if cell}
    row: dict[str, Any] = {"tags": {k: v for k, v in given.items() if k not in COLUMNS}}
    for name in [name for name in given if name in COLUMNS]:
        try:
            row[name] = EXPECTATION_COLUMNS.get(name, str)(given[name])
        except (ValueError, RecursionError) as error:
            problems.append((line, f"{name}: {_cause(error)}"))
            return
    yield line, row


def _listed(cell: str) -> list[str]:
    return [part.strip() for part in cell.split(";") if part.strip()]


def _whole(cell: str) -> int | str:
    return int(cell) if re.fullmatch(r"\d{1,9}", cell) else cell


def _flag(cell: str) -> bool | str:
    return {"true": True, "false": False}.get(cell.lower(), cell)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"key '{next(k for k in keys if keys.count(k) > 1)}' is given twice")
    return found


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON value")


def _next(text: str, position: int) -> int:
    between = _BETWEEN.match(text, position)
    return between.end() if between else position


def _cause(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"not valid JSON: {error.msg} (column {error.colno})"
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)


_STRICT = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)
_LENIENT = json.JSONDecoder(parse_int=str, parse_float=str)
READERS: dict[str, Callable[[str, Path, list[Problem]], Rows]] = {
    ".jsonl": _jsonl,
    ".json": _json,
    ".yaml": _yaml,
    ".yml": _yaml,
    ".csv": _csv,
}
EXPECTATION_COLUMNS: dict[str, Callable[[str], Any]] = {  # and how their cells are read
    "expected_response": str,
    "expected_facts": _listed,
    "expected_language": str,
    "json_schema": _STRICT.decode,
    "should_refuse": _flag,
    "max_words": _whole,
    "guidelines": _listed,
}
COLUMNS = {"id", "prompt", "system", *EXPECTATION_COLUMNS}
