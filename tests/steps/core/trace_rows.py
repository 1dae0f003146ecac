"""Answers to trace, writers of runs of their own, and what the store then holds."""

from typing import Any

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Trace

from llm_models.schema import Completion, Usage
from steps.core.answering.runner import Answer
from steps.core.dataset import Row
from steps.core.scores.scorers import Failure, Score
from steps.core.tracing.trace_writer import TraceWriter

ASKED_AT = 1_790_000_000.25  # seconds since 1970
MODEL_ID = "m-" + "0" * 32
ABOUT = {
    "model_id": MODEL_ID,
    "supplier": "gemini",
    "model_name": "gemini-2.5-flash",  # MLflow has a price of its own for it
    "price": {"input": 1.0, "output": 4.0},
}
SCORES = {
    "exact_match": Score(False, "expected: Paris"),
    "token_f1": Score(0.5),
    "rouge_l": None,
    "json_valid": Failure("KeyError: 'x'"),
    "correctness": Score(True, "it says so"),
}
EXPECTATIONS = {"expected_response": "Paris", "expected_facts": ["Paris", "1889"], "max_words": 9}
ANSWERED = Completion(
    "ok",
    text="It is Paris.",
    usage=Usage(100, 20, 80, 10, 200),
    latency_s=0.5,
    retry_s=1.25,
    attempts=2,
    cost_usd=0.001,
)


def answer(number: int = 0, text: str | None = None, **fields: Any) -> Answer:
    row = Row(
        f"row-{number}",
        fields.pop("inputs", {"prompt": "Which city?"}),
        fields.pop("expectations", EXPECTATIONS),
        fields.pop("tags", {"topic": "capitals"}),
    )
    given = {"completion": Completion("ok", text) if text else ANSWERED, "reused": False}
    return Answer(row, asked_at=ASKED_AT, **(given | fields))


def writer(experiment: str, **fields: Any) -> TraceWriter:
    """Of a new run; keywords are its other arguments."""
    run_id = MlflowClient().create_run(experiment).info.run_id
    return TraceWriter(**(ABOUT | {"experiment_id": experiment, "run_id": run_id} | fields))


def stored(experiment: str, condition: str = "") -> list[Trace]:
    found = MlflowClient().search_traces(locations=[experiment], filter_string=condition)
    return sorted(found, key=lambda trace: trace.info.tags["row"])


def only(experiment: str) -> Trace:
    (trace,) = stored(experiment)
    return mlflow.get_trace(trace.info.trace_id)
