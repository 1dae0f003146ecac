"""What a trace says of its row, whichever way it was stored."""

import sys
from dataclasses import replace
from typing import Any

import mlflow
import pytest
from mlflow import MlflowClient

from llm_models.schema import Completion, Usage
from steps.core.scores.scorers import Score
from steps.core.tracing.traces import Origin, row_trace
from tests.steps.core.trace_rows import (
    ANSWERED,
    EXPECTATIONS,
    MODEL_ID,
    SCORES,
    answer,
    only,
    stored,
    writer,
)


@pytest.fixture(params=["directly", "publicly"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "publicly":
        monkeypatch.setattr(mlflow, "__version__", "3.18.0")
        monkeypatch.setitem(sys.modules, "steps.core.tracing.trace_batches", None)  # not to be had
    return request.param


def test_a_trace_says_what_was_asked_answered_and_scored(experiment: str, way: str) -> None:
    with writer(experiment, judges={"correctness": "ollama:/judge"}) as traces:
        traces.add(answer(), SCORES)

    trace = only(experiment)
    (span,) = trace.data.spans
    assert (span.inputs, span.outputs) == ({"prompt": "Which city?"}, "It is Paris.")
    assert span.start_time_ns == trace.info.request_time * 10**6 == 1_790_000_000_250_000_000
    assert trace.info.execution_duration == 1750
    assert span.end_time_ns - span.start_time_ns == 1_750_000_000
    told = {a.name: (a.source.source_type, a.rationale) for a in trace.info.assessments}
    assert told == dict.fromkeys(EXPECTATIONS, ("HUMAN", None)) | {
        "exact_match": ("CODE", "expected: Paris"),
        "token_f1": ("CODE", None),
        "json_valid": ("CODE", None),
        "correctness": ("LLM_JUDGE", "it says so"),
    }
    values = {a.name: a.value for a in trace.info.assessments if a.feedback}
    assert values == {
        "exact_match": False,
        "token_f1": 0.5,
        "json_valid": None,
        "correctness": True,
    }
    (failed,) = (a for a in trace.info.assessments if a.name == "json_valid")
    assert failed.error.error_message == "KeyError: 'x'"


def test_tokens_and_cost_are_the_providers_counts_and_our_prices(experiment: str, way: str) -> None:
    with writer(experiment) as traces:
        traces.add(answer(), {})

    trace = only(experiment)
    usage = {"input_tokens": 100, "output_tokens": 100, "total_tokens": 200}
    assert trace.info.token_usage == usage | {"cache_read_input_tokens": 10}
    cost = {"input_cost": 0.0002, "output_cost": 0.0008, "total_cost": 0.001}
    assert trace.info.cost == pytest.approx(cost)
    assert trace.data.spans[0].llm_cost == trace.info.cost


@pytest.mark.parametrize(
    ("price", "spent", "input_cost"),
    [
        ({"input": 1.0, "output": 4.0}, 0.001, 0.0002),
        ({"input": 1.0, "output": 4.0}, 0.002, 0.0004),  # an earlier attempt was billed too
        ({"input": 2.0, "output": 1.0, "cached_input": 0.0}, 0.001, 0.001 * 180 / 280),
        ({"input": 0, "output": 0, "long_context": {"above": 99, "input": 1}}, 0.001, 0.001),
        ({"input": 0.0, "output": 0.0}, 0.0, 0.0),
        ({"per_hour": 3.6}, 0.001, 0.0),
        ({"free": True}, 0.0, 0.0),
        (None, 0.001, 0.0),
    ],
)
def test_a_cost_is_divided_as_its_price_says(
    price: dict[str, Any] | None, spent: float, input_cost: float
) -> None:
    origin = Origin("1", "r", "m", "gemini", "gemini-2.5-flash", price)
    trace = row_trace(answer(completion=replace(ANSWERED, cost_usd=spent)), {}, origin)

    divided = {"input_cost": input_cost, "output_cost": spent - input_cost, "total_cost": spent}
    assert trace.attributes["mlflow.llm.cost"] == pytest.approx(divided)


def test_an_unknown_cost_is_neither_guessed_nor_nothing(experiment: str, way: str) -> None:
    with writer(experiment, price=None) as traces:
        traces.add(answer(completion=Completion("ok", "Hi", usage=Usage(3, 4))), {})

    trace = only(experiment)
    assert trace.info.token_usage["output_tokens"] == 4
    assert (trace.info.cost, trace.data.spans[0].llm_cost) == (None, None)


@pytest.mark.parametrize(
    "condition",
    [
        "metadata.`mlflow.sourceRun` = '{run_id}'",
        f"metadata.`mlflow.modelId` = '{MODEL_ID}' AND tags.topic = 'capitals'",
        "tags.row = 'row-1'",
        "feedback.exact_match = 'false'",
    ],
)
def test_traces_are_found_by_run_model_row_and_score(
    client: MlflowClient, experiment: str, way: str, condition: str
) -> None:
    run_id = client.create_run(experiment).info.run_id
    with writer(experiment, run_id=run_id) as traces:
        traces.add(answer(1), {"exact_match": Score(False)})
    with writer(experiment, model_id="m-" + "1" * 32) as others:
        others.add(answer(2, tags={"topic": "rivers"}), {"exact_match": Score(True)})

    (trace,) = stored(experiment, condition.format(run_id=run_id))

    assert trace.info.tags["row"] == "row-1"


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("a\0b", "a\ufffdb"),
        ("half \ud83d", "half \ufffd"),
        ("both \ud83d\ude00", "both \U0001f600"),
        ("\U0001f600 é 中 \u2028", "\U0001f600 é 中 \u2028"),
        ("x" * 1_000_000, "x" * 1_000_000),
    ],
    ids=["NUL", "lone surrogate", "surrogate pair", "unicode", "1 MB"],
)
def test_no_text_loses_a_trace(experiment: str, way: str, text: str, kept: str) -> None:
    with writer(experiment) as traces:
        traces.add(answer(text=text, tags={"topic": text}), {"f": Score(1.0, text)})

    trace = only(experiment)
    assert trace.data.spans[0].outputs == kept
    assert trace.info.tags["topic"] == kept[:4096]
    assert {a.name: a.rationale for a in trace.info.assessments}["f"] == kept


def test_turns_of_a_conversation_are_one_session(experiment: str, way: str) -> None:
    with writer(experiment, session="a talk") as traces:
        for number in range(2):
            traces.add(answer(number), {})
            assert traces.close() == number + 1  # every turn is stored before the next
    with writer(experiment) as traces:
        traces.add(answer(), {})

    together = stored(experiment, "metadata.`mlflow.trace.session` = 'a talk'")
    assert [trace.info.tags["row"] for trace in together] == ["row-0", "row-1"]


def test_what_came_of_a_failed_answer_is_told_beside_the_error(experiment: str, way: str) -> None:
    failed = Completion("incomplete", partial="It is Pa\0", error="the line broke")
    with writer(experiment) as traces:
        traces.add(answer(completion=failed), {})

    (span,) = only(experiment).data.spans
    assert span.outputs == {"error": "the line broke", "partial": "It is Pa\ufffd"}
    assert span.status.status_code == "ERROR"
