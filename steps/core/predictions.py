"""The stored answers and scores of an evaluation, row by row."""

import json
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from llm_models.errors import InputError
from llm_models.schema import ANSWERED
from steps.core.registry import Evidence
from steps.core.scores.scorer import SHARE
from steps.core.scores.scorer_total import Place, ScorerTotal
from steps.core.tables import PARQUET, prompt_of

Key = Place
_COLUMNS = ("id", "repeat", "status", "text", "prompt", "tags", "error", "latency_s", "cost_usd")
_RATIONALE = "/rationale"


@dataclass(frozen=True)
class Prediction:
    """One answer, or what came instead of one."""

    status: str
    text: str | None
    prompt: str
    tags: Mapping[str, str]
    error: str | None
    latency_s: float | None
    cost_usd: float | None
    scores: Mapping[str, float]  # only where the scorer gave one
    rationales: Mapping[str, str]
    failures: Mapping[str, str]  # scorers that apply and gave no score, and why

    @property
    def answered(self) -> bool:
        return self.status in ANSWERED

    def asks(self, inputs: Mapping[str, Any]) -> bool:
        """Whether it is the answer to these inputs."""
        return self.prompt == prompt_of(inputs)


@dataclass(frozen=True)
class Predictions:
    """All rows of one candidate's evaluation."""

    candidate: str
    rows: Mapping[Key, Prediction]

    @cached_property
    def scorers(self) -> frozenset[str]:
        """The scorers that applied to at least one row."""
        return frozenset(self.totals)

    @cached_property
    def totals(self) -> Mapping[str, ScorerTotal]:
        """What each scorer said; abstentions are not counted."""
        found: dict[str, ScorerTotal] = {}
        for key, row in self.rows.items():
            for name, value in row.scores.items():
                found.setdefault(name, ScorerTotal()).add(key, value)
            for name in row.failures:
                total = found.setdefault(name, ScorerTotal())
                (total.failed if row.answered else total.unanswered).append(key)
        for total in found.values():
            total.bounds = SHARE if all(0 <= value <= 1 for value in total.values) else None
        return found

    def chosen(self, scorers: Iterable[str]) -> dict[str, ScorerTotal]:
        """The totals of those scorers that applied."""
        return {name: self.totals[name] for name in scorers if name in self.totals}

    @property
    def tags(self) -> dict[str, Mapping[str, str]]:
        """By id of the row."""
        return {row_id: row.tags for (row_id, _), row in self.rows.items()}

    @property
    def repeats(self) -> int:
        return 1 + max((repeat for _, repeat in self.rows), default=0)


def read(client: MlflowClient, evidence: Evidence) -> Predictions:
    """The table of an evaluation run. Raises InputError where the run has none."""
    run_id = evidence.run.info.run_id
    with tempfile.TemporaryDirectory() as folder:
        try:
            path = client.download_artifacts(run_id, PARQUET, folder)
        except (MlflowException, OSError) as error:
            raise InputError(
                f"{evidence.candidate}: {PARQUET} of run {run_id} cannot be read ({error}). "
                "Run `mlflow run . -e evaluate` again with the same data and limit."
            ) from error
        return Predictions(evidence.candidate, _rows(Path(path)))


def _rows(path: Path) -> dict[Key, Prediction]:
    names = pq.read_schema(path).names
    scorers = [n.removesuffix(_RATIONALE) for n in names if n.endswith(_RATIONALE)]
    own = [f"{name}{part}" for name in scorers for part in ("", _RATIONALE, "/error")]
    table = pq.read_table(path, columns=[*_COLUMNS, *own])
    return {(row["id"], row["repeat"]): prediction(row, scorers) for row in table.to_pylist()}


def prediction(row: Mapping[str, Any], scorers: Iterable[str]) -> Prediction:
    """From a row of the table; a row that was not answered has no scores, whatever it holds."""
    everyone = list(scorers)
    names = everyone if row["status"] in ANSWERED else []
    return Prediction(
        status=row["status"],
        text=row["text"],
        prompt=row["prompt"],
        tags=json.loads(row["tags"]),
        error=row["error"],
        latency_s=row["latency_s"],
        cost_usd=row["cost_usd"],
        scores=_known(row, names, ""),
        rationales=_known(row, names, _RATIONALE),
        failures=_known(row, everyone, "/error"),
    )


def _known(row: Mapping[str, Any], names: list[str], part: str) -> dict[str, Any]:
    given = {name: row[f"{name}{part}"] for name in names}
    return {name: value for name, value in given.items() if value is not None}
