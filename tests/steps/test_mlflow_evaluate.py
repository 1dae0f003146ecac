"""What we log is MLflow's: its own evaluations take our models and our scorers, offline."""

from collections.abc import Iterator, Mapping
from typing import Any

import mlflow
import pandas as pd
import pytest
from mlflow.entities import Run

from steps.core import tokens
from steps.core.scores import scorers
from tests.steps.conftest import ROWS

FIRST, SECOND = "Paris is the capital of France.", "Madrid is the capital of Spain."


@pytest.fixture
def model(experiment: str, originals: Mapping[str, Run]) -> Iterator[str]:
    """The address of a logged baseline model; MLflow forgets again that it was active."""
    yield f"models:/{originals['good'].data.tags['model_id']}"
    mlflow.clear_active_model()


@pytest.mark.filterwarnings("ignore::FutureWarning")  # that evaluate's metrics are deprecated
def test_classic_evaluate_scores_the_text_of_a_logged_model(
    model: str, experiment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tokens.VOCABULARY.parent))  # else: a download
    prompts = [row["prompt"] for row in ROWS]
    data = pd.DataFrame({"prompt": prompts, "expected": [FIRST, "Toledo is."]})
    with mlflow.start_run(experiment_id=experiment):
        result = mlflow.models.evaluate(
            model=model,
            data=data,
            targets="expected",
            predictions="text",
            model_type="question-answering",
        )
    table = result.tables["eval_results_table"]
    assert list(table["text"]) == [FIRST, SECOND]
    assert list(table["token_count"]) == [tokens.count(text) for text in (FIRST, SECOND)]
    assert result.metrics["exact_match/v1"] == 0.5
    assert result.metrics["flesch_kincaid_grade_level/v1/mean"] > 0


def test_genai_evaluate_finds_the_means_that_our_run_has_logged(
    model: str, experiment: str, originals: Mapping[str, Run]
) -> None:
    loaded = mlflow.pyfunc.load_model(model)

    def answer(prompt: str) -> dict[str, Any]:
        return dict(loaded.predict(pd.DataFrame({"prompt": [prompt]})).iloc[0])

    data = [
        {"inputs": {"prompt": row["prompt"]}, "expectations": _expectations(row)} for row in ROWS
    ]
    listed = [scorers.as_mlflow(scorers.find(name)) for name in scorers.chosen(None)]
    with mlflow.start_run(experiment_id=experiment):
        result = mlflow.genai.evaluate(data=data, predict_fn=answer, scorers=listed)
    ours = originals["good"].data.metrics
    theirs = {name: value for name, value in result.metrics.items() if name.endswith("/mean")}
    assert theirs == pytest.approx({name: v for name, v in ours.items() if name in theirs})
    assert theirs.keys() == {name for name in ours if name.endswith("/mean")}


def _expectations(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in ("id", "prompt")}
