"""Scores that people gave, from a CSV such as predictions.csv with a column `score` filled in.

Columns: id and score (yes, no or a number; empty where nobody judged); text or answer_sha256,
which bind a score to the answer it was given for; candidate, repeat (from 0), rater, rationale.
Others are let be.
"""

import hashlib
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self, cast

from pydantic import (
    BeforeValidator,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from llm_models.errors import InputError
from steps.core.hashing import sha256_of
from steps.core.row_formats import csv_lines
from steps.core.strict import Problem, Strict, Text, did_you_mean, problems_of, read_text, refuse

MAX_PROBLEMS = 20
WORDS = {"yes": True, "true": True, "no": False, "false": False}
REMEDY = "name a CSV file with the columns id and score"
BIND = "add a column text (the answer) or answer_sha256, as predictions.csv has them"


@dataclass(frozen=True)
class Known:
    """What the rows of the file may name, and whether they must say which of several."""

    ids: Collection[str]  # of the whole dataset
    candidates: Collection[str]  # of the config
    several_candidates: bool  # are asked now
    several_repeats: bool


def answer_hash(text: str) -> str:
    """Hex sha256 of an answer's UTF-8 with all white space folded into single blanks.

    Spreadsheets change line ends and cut blanks; to a reader the answer stays the same.
    """
    return hashlib.sha256(" ".join(text.split()).encode("utf-8", "surrogatepass")).hexdigest()


def _score(cell: object) -> object:
    if not isinstance(cell, str):
        return cell
    if cell.lower() in WORDS:
        return WORDS[cell.lower()]
    try:
        number = float(cell)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"expected yes, no or a number such as 0.5, got '{cell}'")
    return number


def _repeat(cell: object) -> object:
    if isinstance(cell, str) and not cell.isdecimal():
        raise ValueError(f"expected a whole number from 0, got '{cell}'")
    return int(cell) if isinstance(cell, str) else cell


class Rating(Strict):
    """What one person said of one answer; None where the file does not say."""

    id: Text
    score: Annotated[bool | float | None, BeforeValidator(_score)] = None
    candidate: Text | None = None
    repeat: Annotated[int | None, BeforeValidator(_repeat)] = None
    answer_sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$")
    rater: Text | None = None
    rationale: Text | None = None

    @field_validator("id")
    @classmethod
    def _in_dataset(cls, row: str, info: ValidationInfo) -> str:
        known = _known(info).ids
        if row not in known:
            raise ValueError(f"the data has no row '{row}'{did_you_mean(row, known)}")
        return row

    @field_validator("candidate")
    @classmethod
    def _in_config(cls, name: str, info: ValidationInfo) -> str:
        known = _known(info).candidates
        if name not in known:
            raise ValueError(f"the config has no candidate '{name}'{did_you_mean(name, known)}")
        return name

    @model_validator(mode="after")
    def _of_one_answer(self, info: ValidationInfo) -> Self:
        known = _known(info)
        if self.score is None or self.answer_sha256 is not None:
            return self
        if self.candidate is None and known.several_candidates:
            raise ValueError(f"whose answer was judged? Name the candidate, or {BIND}")
        if self.repeat is None and known.several_repeats:
            raise ValueError(f"which of its answers was judged? Name the repeat, or {BIND}")
        return self


def read_ratings(path: Path, known: Known) -> list[Rating]:
    """Raises one InputError that names file, line and column of up to 20 problems."""
    problems: list[Problem] = []
    found: list[tuple[int, Rating]] = []
    for line, row in _rows(path, problems):
        try:
            found.append((line, Rating.model_validate(row, context=known)))
        except ValidationError as error:
            told = problems_of(error, Rating, lambda _: 0)
            problems += [(line, message) for _, message in told]
    problems += [*_twice(found), *_two_scales(found)]
    refuse(path, problems, MAX_PROBLEMS)
    if all(rating.score is None for _, rating in found):
        raise InputError(f"{path}:1: nobody judged anything: the column score is empty")
    return [rating for _, rating in found]


def content_hash(ratings: Sequence[Rating]) -> str:
    """Hex sha256, whatever the order of the rows."""
    return sha256_of(sorted(sha256_of(rating.model_dump()) for rating in ratings))


def _rows(path: Path, problems: list[Problem]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Our columns; an empty cell is no value."""
    columns: list[str] = []
    for line, cells in csv_lines(read_text(path, REMEDY), problems):
        if not columns:
            columns = cells
            refuse(path, [(line, flaw) for flaw in _column_flaws(columns)])
        elif len(cells) != len(columns):
            problems.append((line, f"{len(cells)} cells under {len(columns)} columns"))
        else:
            row = {name: cell for name, cell in zip(columns, cells, strict=True) if cell.strip()}
            if "text" in columns and "score" in row and "text" not in row:
                problems.append((line, "score: there is no answer to judge: leave the cell empty"))
            else:
                yield line, _bound(row)


def _column_flaws(columns: Sequence[str]) -> Iterator[str]:
    for name in ("id", "score"):
        if name not in columns:
            told = ", ".join(columns)
            yield f"no column '{name}', only {told}; commas must stand between columns"
    for name in (*Rating.model_fields, "text"):
        if columns.count(name) > 1:
            yield f"column '{name}' is given twice"


def _bound(row: Mapping[str, str]) -> dict[str, str]:
    kept = {name: row[name] for name in Rating.model_fields if name in row}
    return {"answer_sha256": answer_hash(row["text"])} | kept if "text" in row else kept


def _twice(found: Sequence[tuple[int, Rating]]) -> Iterator[Problem]:
    first: dict[Rating, int] = {}
    for line, rating in found:
        if rating.score is None:
            continue
        what = rating.model_copy(update={"score": None, "rationale": None})
        if what in first:
            yield line, f"judged already on line {first[what]}: tell people apart in a column rater"
        first.setdefault(what, line)


def _two_scales(found: Sequence[tuple[int, Rating]]) -> Iterator[Problem]:
    """Yes and no are 1 and 0; on a scale to 5 they would be the two worst."""
    scores = [(line, rating.score) for line, rating in found if rating.score is not None]
    if any(isinstance(score, bool) for _, score in scores):
        for line, score in scores:
            if score not in (0, 1):
                yield line, f"score: {score:g} among yes and no; use one scale in the whole file"


def _known(info: ValidationInfo) -> Known:
    return cast(Known, info.context)
