"""The predictions of one run as Parquet, CSV and prompts-and-answers JSON, written in pieces."""

import csv
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from llm_models.schema import OUTPUT_COLUMNS
from steps.core.answering.runner import Answer
from steps.core.scores.scorer import Failure, Score

PIECE = 500  # rows held in memory
PARQUET, CSV, JSON = "predictions.parquet", "predictions.csv", "prompts_and_answers.json"
_TYPES = {"string": pa.string(), "long": pa.int64(), "double": pa.float64()}
_INPUTS = {"id": "string", "asked_at": "string", "prompt": "string", "system": "string"}
_EXTRA = {
    "candidate": "string",
    "answer_sha256": "string",
    "neutral_output_tokens": "long",
    "language": "string",
    "repeat": "long",
    "waited_s": "double",
}
_EXPECTED = {"expectations": "string", "tags": "string"}


class PredictionTables:
    """Writes the three files side by side into `folder`; use as a context manager.

    Text stays text in all three: MLflow's own JSON tables would turn "007" into 7.0.
    """

    def __init__(self, folder: Path, scorers: Sequence[str]) -> None:
        self.rows = 0
        self._scorers = scorers
        fields = _INPUTS | _EXPECTED | OUTPUT_COLUMNS | _EXTRA
        columns = [pa.field(name, _TYPES[kind]) for name, kind in fields.items()]
        columns.append(pa.field("reused", pa.bool_()))
        for name in scorers:
            columns += [pa.field(name, pa.float64()), pa.field(f"{name}/rationale", pa.string())]
            columns.append(pa.field(f"{name}/error", pa.string()))
        self._schema = pa.schema(columns)
        self._piece: list[dict[str, Any]] = []
        self._parquet = pq.ParquetWriter(folder / PARQUET, self._schema)
        self._csv_file = (folder / CSV).open("w", encoding="utf-8", newline="")
        self._csv = csv.DictWriter(self._csv_file, self._schema.names)
        self._csv.writeheader()
        self._json = (folder / JSON).open("w", encoding="utf-8")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self._flush()
        self._parquet.close()
        self._csv_file.close()
        self._json.write("\n]\n" if self.rows else "[]\n")
        self._json.close()

    def add(
        self,
        answer: Answer,
        output: Mapping[str, Any],
        extra: Mapping[str, Any],
        scores: Mapping[str, Score | Failure | None],
    ) -> None:
        """Add one row; `output` has OUTPUT_COLUMNS, `extra` language and token count."""
        row = _inputs(answer) | dict(output) | dict(extra)
        row |= {"reused": answer.reused, "repeat": answer.repeat, "waited_s": answer.waited_s}
        for name in self._scorers:
            row |= _score_cells(name, scores.get(name))
        self._write_json(answer, row, scores)
        self._piece.append(row)
        self.rows += 1
        if len(self._piece) >= PIECE:
            self._flush()

    def _flush(self) -> None:
        if self._piece:
            self._parquet.write_table(pa.Table.from_pylist(self._piece, self._schema))
            self._csv.writerows(self._piece)
            self._piece = []

    def _write_json(
        self, answer: Answer, row: Mapping[str, Any], scores: Mapping[str, Score | Failure | None]
    ) -> None:
        entry = {
            "date": row["asked_at"],
            "prompt": row["prompt"],
            "answer": row["text"],
            "id": row["id"],
            "repeat": row["repeat"],
            "model": row["model_name"],
            "status": row["status"],
            "error": row["error"],
            "partial": row["partial"],
            "latency_s": row["latency_s"],
            "total_tokens": row["total_tokens"],
            "cost_usd": row["cost_usd"],
            "scores": {k: s.value for k, s in scores.items() if isinstance(s, Score)},
        }
        self._json.write(",\n" if self.rows else "[\n")
        json.dump(entry, self._json, ensure_ascii=False)


def prompt_of(inputs: Mapping[str, Any]) -> str:
    """The column `prompt`; a conversation is JSON."""
    prompt = inputs.get("prompt")
    return json.dumps(inputs["messages"], ensure_ascii=False) if prompt is None else str(prompt)


def _inputs(answer: Answer) -> dict[str, Any]:
    inputs = answer.row.inputs
    return {
        "id": answer.row.id,
        "asked_at": datetime.fromtimestamp(answer.asked_at, UTC).isoformat(timespec="seconds"),
        "prompt": prompt_of(inputs),
        "system": inputs.get("system"),
        "expectations": json.dumps(answer.row.expectations, ensure_ascii=False),
        "tags": json.dumps(answer.row.tags, ensure_ascii=False),
    }


def _score_cells(name: str, score: Score | Failure | None) -> dict[str, Any]:
    if isinstance(score, Failure):
        return {f"{name}/error": score.error}
    if score is None:
        return {}
    return {name: float(score.value), f"{name}/rationale": score.rationale}
