"""One MLflow trace per row, written after the fact with the call's true times.

Scores ride along: feedback that is logged while a trace is open is stored with it, which costs a
third of logging it afterwards.
"""

from collections.abc import Mapping
from typing import Any

import mlflow
from mlflow.entities import AssessmentSource, AssessmentSourceType, Feedback, LiveSpan, SpanType
from mlflow.entities.assessment_error import AssessmentError
from mlflow.tracing.constant import SpanAttributeKey, TraceMetadataKey
from mlflow.tracing.provider import safe_set_span_in_context

from steps.core.runner import Answer
from steps.core.scorers import Failure, Score

NANO = 1_000_000_000


def write_trace(
    answer: Answer,
    *,
    experiment_id: str,
    run_id: str,
    model_id: str,
    supplier: str,
    model_name: str,
    scores: Mapping[str, Score | Failure | None],
) -> str:
    """Store one row's call, answer and scores; return the trace id."""
    start = int(answer.asked_at * NANO)
    completion = answer.completion
    took = completion.retry_s + (completion.latency_s or 0.0)
    span = mlflow.start_span_no_context(
        name=model_name,
        span_type=SpanType.CHAT_MODEL,
        inputs=answer.row.inputs,
        attributes=_attributes(answer, supplier, model_name),
        tags={"row": answer.row.id, **answer.row.tags},
        metadata={TraceMetadataKey.SOURCE_RUN: run_id, TraceMetadataKey.MODEL_ID: model_id},
        experiment_id=experiment_id,
        start_time_ns=start,
    )
    with safe_set_span_in_context(span):  # only the active trace takes assessments in memory
        _log_assessments(span, answer, scores)
    outputs = completion.text if completion.answered else {"error": completion.error}
    status = "OK" if completion.answered else "ERROR"
    span.end(outputs=outputs, status=status, end_time_ns=start + int(took * NANO))
    return span.trace_id


def _attributes(answer: Answer, supplier: str, model_name: str) -> dict[str, Any]:
    completion, usage = answer.completion, answer.completion.usage
    told: dict[str, Any] = {
        SpanAttributeKey.MODEL: model_name,
        SpanAttributeKey.MODEL_PROVIDER: supplier,
        "status": completion.status,
        "reused": answer.reused,
        "attempts": completion.attempts,
        "error_kind": completion.error_kind,
        "hint": completion.hint,
    }
    if usage.input_tokens is not None:
        output = (usage.output_tokens or 0) + (usage.thinking_tokens or 0)
        told[SpanAttributeKey.CHAT_USAGE] = {
            "input_tokens": usage.input_tokens,
            "output_tokens": output,
            "total_tokens": usage.total_tokens or usage.input_tokens + output,
        }
    return {k: v for k, v in told.items() if v is not None}


def _log_assessments(
    span: LiveSpan, answer: Answer, scores: Mapping[str, Score | Failure | None]
) -> None:
    for name, value in answer.row.expectations.items():
        mlflow.log_expectation(
            trace_id=span.trace_id,
            name=name,
            value=value,
            source=AssessmentSource(AssessmentSourceType.HUMAN, "dataset"),
        )
    for name, score in scores.items():
        if score is not None:
            mlflow.log_assessment(span.trace_id, feedback(name, score))


def feedback(name: str, score: Score | Failure) -> Feedback:
    """MLflow's form of a score; a scorer that failed is an error, not a value."""
    source = AssessmentSource(AssessmentSourceType.CODE, name)
    if isinstance(score, Failure):
        error = AssessmentError("SCORER_ERROR", score.error)
        return Feedback(name=name, source=source, error=error)
    return Feedback(name=name, value=score.value, rationale=score.rationale, source=source)
