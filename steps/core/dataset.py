"""Evaluation data: rows in MLflow's words, from JSONL, JSON, YAML or CSV, and their hash."""

import hashlib
import importlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, ValidationError, model_validator

from llm_models.errors import InputError
from steps.core.hashing import canonical, sha256_of
from steps.core.row_formats import READERS, read_rows
from steps.core.strict import Problem, Strict, Text, Texts, did_you_mean, problems_of, refuse

EVAL_DATA = Path(__file__).parents[2] / "eval_data"
MAX_PROBLEMS = 20
ID_LENGTH = 12  # hex digits of the inputs' sha256, for a row without an id


@dataclass(frozen=True, slots=True)
class Row:
    id: str
    inputs: dict[str, Any]  # prompt or messages, system
    expectations: dict[str, Any]
    tags: dict[str, str]


@dataclass(frozen=True, slots=True)
class Dataset:
    path: Path
    name: str
    rows: list[Row]
    sha256: str  # of the rows alone: the format and the order of the file change nothing


def load(path: Path | str, limit: int | None = None) -> Dataset:
    """Read and check a whole file, and keep the first `limit` rows.

    A bare name, with or without suffix, is also looked up in eval_data. Raises one InputError
    with up to 20 problems, each with file, line and field.
    """
    if limit is not None and limit < 1:
        raise InputError(f"limit: must be at least 1, got {limit}")
    file = _find(Path(path))
    problems: list[Problem] = []
    rows = list(_rows(file, problems))
    refuse(file, problems, MAX_PROBLEMS)
    if not rows:
        raise InputError(f"{file}:1: the file has no rows; give at least one prompt")
    kept = rows[:limit]
    return Dataset(file, file.stem, kept, content_hash(kept))


def content_hash(rows: Iterable[Row]) -> str:
    """Hex sha256 over the rows sorted by id, one line of canonical JSON each."""
    digest = hashlib.sha256()
    for row in sorted(rows, key=lambda row: row.id):
        digest.update(canonical(asdict(row)).encode() + b"\n")
    return digest.hexdigest()


def _language(code: str) -> str:
    if not (code.isalpha() and code.islower() and len(code) in (2, 3)):
        raise ValueError("expected a language code such as 'en'")
    return code


def _schema(schema: dict[str, Any]) -> dict[str, Any]:
    try:
        flaw = _schema_flaw(json.dumps(schema, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"not JSON: {error}") from None
    if flaw:
        raise ValueError(f"not a valid JSON schema: {flaw}")
    return schema


@lru_cache(maxsize=256)  # many rows share one schema
def _schema_flaw(schema: str) -> str | None:
    jsonschema = importlib.import_module("jsonschema")  # slow to import, and few need it
    try:
        jsonschema.validators.validator_for(json.loads(schema)).check_schema(json.loads(schema))
    except jsonschema.SchemaError as error:
        return f"{error.json_path}: {error.message}"
    return None


class _Message(Strict):
    role: Literal["user", "assistant", "system"]
    content: Text


class _Inputs(Strict):
    prompt: Text | None = None
    messages: Annotated[tuple[_Message, ...], Field(strict=False)] | None = None
    system: Text | None = None

    @model_validator(mode="after")
    def _one_question(self) -> Self:
        if self.prompt is not None and self.messages is not None:
            raise ValueError("give 'prompt' or 'messages', not both")
        if self.prompt is None and self.messages is None:
            raise ValueError("'prompt' is missing (or 'messages')")
        if self.messages is not None and all(m.role != "user" for m in self.messages):
            raise ValueError("'messages' has no user message")
        return self


class _Expectations(Strict):
    expected_response: Text | None = None
    expected_facts: Texts | None = None
    expected_language: Annotated[str, AfterValidator(_language)] | None = None
    json_schema: Annotated[dict[str, Any], AfterValidator(_schema)] | None = None
    should_refuse: bool | None = None
    max_words: int | None = Field(default=None, ge=1)
    guidelines: Texts | None = None


class _Row(Strict):
    id: Text | None = None
    inputs: _Inputs
    expectations: _Expectations = _Expectations()
    tags: dict[Text, Text] = Field(default_factory=dict)


def _rows(file: Path, problems: list[Problem]) -> Iterator[Row]:
    lines: dict[str, int] = {}
    for line, raw in read_rows(file, problems):
        row = _row(line, _grouped(raw), problems)
        if row is None:
            continue
        if row.id in lines:
            named = f"id: '{row.id}' is taken,"
            what = named if raw.get("id") else "the same inputs, and no id of its own, as"
            problems.append((line, f"{what} on line {lines[row.id]}"))
        lines.setdefault(row.id, line)
        yield row


def _row(line: int, raw: Any, problems: list[Problem]) -> Row | None:
    try:
        _Row.model_validate(raw)
        canonical(raw).encode()
    except UnicodeEncodeError:
        problems.append((line, "holds half of a surrogate pair, which is no text"))
        return None
    except ValidationError as error:
        problems += problems_of(error, _Row, lambda _: line)
        return None
    row_id = raw.get("id") or sha256_of(raw["inputs"])[:ID_LENGTH]
    return Row(row_id, raw["inputs"], raw.get("expectations", {}), raw.get("tags", {}))


def _grouped(raw: Any) -> Any:
    """The full form of a row whose prompt and expectations stand at its top; null is absent."""
    if not isinstance(raw, dict):
        return raw
    row = _given(raw)
    if "inputs" not in row:
        row["inputs"] = _taken(row, lambda key: not _is_expectation(key))
        if "expectations" not in row:
            row["expectations"] = _taken(row, _is_expectation)
    return {key: _given(value) if isinstance(value, dict) else value for key, value in row.items()}


def _taken(row: dict[str, Any], wanted: Callable[[str], bool]) -> dict[str, Any]:
    loose = [key for key in row if key not in _Row.model_fields and wanted(key)]
    return {key: row.pop(key) for key in loose}


@lru_cache(maxsize=256)  # every row of a file has the same keys
def _is_expectation(key: str) -> bool:
    """Misspelt ones too, so that the message can say what was meant."""
    return bool(did_you_mean(key, _Expectations.model_fields))


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def _find(path: Path) -> Path:
    for spot in (path, EVAL_DATA / path, *(EVAL_DATA / f"{path}{suffix}" for suffix in READERS)):
        if spot.is_file():
            return spot
    present = ", ".join(sorted(p.name for p in EVAL_DATA.glob("*") if p.suffix in READERS))
    raise InputError(f"{path}: no such file, and none in eval_data, which has {present or 'none'}")
