"""Models whose answers and scores a test chooses, compared without a store."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from steps.core.comparing.comparison import Comparison, compared
from steps.core.comparing.leaderboard import Board, Line
from steps.core.dataset import Dataset
from steps.core.predictions import Predictions, prediction

Given = float | bool | str | None  # a score; text is the error of a scorer; None: not answered
ABSTAINED = "abstained"
DATASET = Dataset(Path("questions.jsonl"), "questions", [], "f" * 64)


def row(score: Given, scorer: str = "correctness", **fields: Any) -> dict[str, Any]:
    """A row of predictions.parquet."""
    status = "error" if score is None else "ok"
    told = {"status": status, "text": f"answer {score}", "prompt": "Why?", "tags": "{}"}
    told |= {"error": None, "latency_s": 0.5, "cost_usd": 0.001}
    number = float(score) if isinstance(score, (bool, int, float)) else None
    broken = score if isinstance(score, str) and score != ABSTAINED else None
    broken = "not answered" if score is None else broken
    own = {scorer: number, f"{scorer}/rationale": None, f"{scorer}/error": broken}
    return told | own | fields


def model(
    name: str, rows: Sequence[dict[str, Any] | Given], scorer: str = "correctness", repeats: int = 1
) -> Predictions:
    """Rows in the order of their ids; with `repeats`, each so many times in sequence."""
    told = [one if isinstance(one, dict) else row(one, scorer) for one in rows]
    keys = [(f"row-{i // repeats:04d}", i % repeats) for i in range(len(told))]
    scorers = {key.removesuffix("/rationale") for one in told for key in one if "/rat" in key}
    return Predictions(
        name, {key: prediction(one, scorers) for key, one in zip(keys, told, strict=True)}
    )


def line(one: Predictions, **metrics: float) -> Line:
    """The model's place on the board, with the means of its scores."""
    means = {}
    for scorer, total in one.totals.items():
        if total.values:
            means[f"{scorer}/mean"] = sum(total.values) / len(total.values)
    return Line(
        one.candidate, "m", f"run-{one.candidate}", {"rows": len(one.rows)} | means | metrics
    )


def board_of(models: Sequence[Predictions], **metrics: Mapping[str, float]) -> Board:
    """The models in the order given; keywords are more metrics of a model."""
    return Board("Leaderboard", [line(one, **metrics.get(one.candidate, {})) for one in models])


def compare(
    models: Sequence[Predictions],
    baseline: str = "",
    board: Board | None = None,
    max_loss: float = 0.1,
) -> Comparison:
    board = board or board_of(models)
    return compared(DATASET, board, models, "correctness/mean", baseline, max_loss=max_loss)


def tagged(**tags: str) -> str:
    return json.dumps(tags)
