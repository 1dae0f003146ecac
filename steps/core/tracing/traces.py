"""What one row's trace says, and the public way to store it (trace_batches has a cheaper one).

A trace is written after the fact, with the call's true times. Tokens and cost are told so that
MLflow's views show what the provider counted and our prices make of it, not an estimate.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import mlflow
from mlflow import MlflowClient
from mlflow.entities import (
    Assessment,
    AssessmentSource,
    AssessmentSourceType,
    Expectation,
    Feedback,
    SpanType,
)
from mlflow.entities.assessment_error import AssessmentError
from mlflow.entities.model_registry import PromptVersion
from mlflow.tracing.constant import (
    AssessmentMetadataKey,
    SpanAttributeKey,
    TraceMetadataKey,
    TraceTagKey,
)

from llm_models.cost import input_share
from llm_models.schema import Completion, Usage
from steps.core.answering.runner import Answer
from steps.core.prompts import Prompt
from steps.core.scores.scorer import Failure, Score

NO_JUDGES: Mapping[str, str] = MappingProxyType({})
USED = {
    "cost_usd": AssessmentMetadataKey.JUDGE_COST,
    "input_tokens": AssessmentMetadataKey.JUDGE_INPUT_TOKENS,
    "output_tokens": AssessmentMetadataKey.JUDGE_OUTPUT_TOKENS,
}
MAX_TAG = 4096  # characters every MLflow store holds of a tag
Scores = Mapping[str, Score | Failure | None]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the traces of a run belong, and what answered."""

    experiment_id: str
    run_id: str
    model_id: str
    supplier: str
    model_name: str
    price: dict[str, Any] | None = None  # see llm_models/cost.py; divides a cost, never makes one
    judges: Mapping[str, str] = field(default_factory=dict)  # scorer -> the model it asked
    prompt: Prompt | None = None  # a registered one, to which the traces are linked
    session: str | None = None  # the conversation whose turns they are


@dataclass(frozen=True, slots=True)
class RowTrace:
    """What one row's trace says, however it is stored; times in ns since 1970."""

    start_ns: int
    end_ns: int
    status: str  # "OK" or "ERROR"
    inputs: dict[str, Any]
    outputs: Any
    attributes: dict[str, Any]
    tags: dict[str, str]
    metadata: dict[str, str]
    assessments: list[Assessment]


def row_trace(answer: Answer, scores: Scores, origin: Origin) -> RowTrace:
    """One row's call, answer, expectations and scores."""
    completion = answer.completion
    start = _nanoseconds(answer.asked_at)
    took = completion.retry_s + (completion.latency_s or 0.0)
    return RowTrace(
        start_ns=start,
        end_ns=start + _nanoseconds(took),
        status="OK" if completion.answered else "ERROR",
        inputs=answer.row.inputs,
        outputs=_outputs(completion),
        attributes=_attributes(answer, origin),
        tags=_tags(answer, origin.prompt),
        metadata=_metadata(origin),
        assessments=[
            *(expectation(name, value) for name, value in answer.row.expectations.items()),
            *(feedback(name, s, origin.judges) for name, s in scores.items() if s is not None),
        ],
    )


def write_publicly(trace: RowTrace, origin: Origin) -> str:
    """Store one trace by public functions alone; return its id.

    Raises MlflowException where an assessment finds no trace. MLflow only logs a trace that it
    could not store, so count them afterwards, and keep MLFLOW_ENABLE_ASYNC_TRACE_LOGGING off.
    """
    span = mlflow.start_span_no_context(
        name=origin.model_name,
        span_type=SpanType.CHAT_MODEL,
        inputs=trace.inputs,
        attributes=trace.attributes,
        tags=trace.tags,
        metadata=trace.metadata,
        experiment_id=origin.experiment_id,
        start_time_ns=trace.start_ns,
    )
    span.end(outputs=trace.outputs, status=trace.status, end_time_ns=trace.end_ns)
    for assessment in trace.assessments:
        mlflow.log_assessment(span.trace_id, assessment)
    if origin.prompt:
        MlflowClient().link_prompt_versions_to_trace([version_of(origin.prompt)], span.trace_id)
    return span.trace_id


def version_of(prompt: Prompt) -> PromptVersion:
    """MLflow's form of it."""
    return PromptVersion(prompt.name, prompt.version, prompt.text)  # type: ignore[abstract]


def expectation(name: str, value: Any) -> Expectation:
    """MLflow's form of what a row expects."""
    source = AssessmentSource(AssessmentSourceType.HUMAN, "dataset")
    return Expectation(name=name, value=value, source=source)


def feedback(name: str, score: Score | Failure, judges: Mapping[str, str] = NO_JUDGES) -> Feedback:
    """MLflow's form of a score; a scorer that failed is an error, not a value."""
    kind = AssessmentSourceType.LLM_JUDGE if name in judges else AssessmentSourceType.CODE
    source = AssessmentSource(kind, judges.get(name, name))
    if isinstance(score, Score) and score.rater:
        source = AssessmentSource(AssessmentSourceType.HUMAN, plain(score.rater))
    if isinstance(score, Failure):
        error = AssessmentError("SCORER_ERROR", plain(score.error))
        return Feedback(name=name, source=source, error=error)
    rationale, used = score.rationale and plain(score.rationale), _used(score.details or {})
    return Feedback(name=name, value=score.value, rationale=rationale, source=source, metadata=used)


def _used(details: Mapping[str, Any]) -> dict[str, str] | None:
    """What a judge's call took, by MLflow's names; None where nothing is known of one."""
    return {
        name: str(details[key]) for key, name in USED.items() if details.get(key) is not None
    } or None


def plain(text: str) -> str:
    """`text` as every store takes it: NUL and halves of surrogate pairs become U+FFFD.

    MLflow drops a trace that holds such a half, and PostgreSQL refuses NUL. Two halves that
    belong together become their character.
    """
    whole = text.replace("\0", "\ufffd").encode("utf-16", "surrogatepass")
    return whole.decode("utf-16", "replace")


def _outputs(completion: Completion) -> str | dict[str, str]:
    if completion.answered:
        return plain(completion.text or "")
    told = {"error": plain(completion.error or "")}
    return told | ({"partial": plain(completion.partial)} if completion.partial else {})


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1e6) * 1000  # a float of seconds since 1970 holds no finer steps


def _metadata(origin: Origin) -> dict[str, str]:
    told = {
        TraceMetadataKey.SOURCE_RUN: origin.run_id,
        TraceMetadataKey.MODEL_ID: origin.model_id,
    }
    return told | ({TraceMetadataKey.TRACE_SESSION: origin.session} if origin.session else {})


def _tags(answer: Answer, prompt: Prompt | None) -> dict[str, str]:
    """The row's own tags and its id; MLflow's names are left to MLflow."""
    own = {k: plain(v)[:MAX_TAG] for k, v in answer.row.tags.items() if not k.startswith("mlflow.")}
    if prompt:
        linked = [{"name": prompt.name, "version": str(prompt.version)}]
        own[TraceTagKey.LINKED_PROMPTS] = json.dumps(linked)
    return own | {"row": answer.row.id}


def _attributes(answer: Answer, origin: Origin) -> dict[str, Any]:
    completion = answer.completion
    told: dict[str, Any] = {
        SpanAttributeKey.MODEL: origin.model_name,
        SpanAttributeKey.MODEL_PROVIDER: origin.supplier,
        SpanAttributeKey.CHAT_USAGE: _usage(completion.usage),
        SpanAttributeKey.LLM_COST: _cost(completion, origin.price),
        "status": completion.status,
        "reused": answer.reused,
        "attempts": completion.attempts,
        "repeat": answer.repeat,
        "error_kind": completion.error_kind,
        "hint": completion.hint,
    }
    if completion.cost_usd is None:  # named, MLflow would price it from a catalogue of its own
        del told[SpanAttributeKey.MODEL]
    return {k: v for k, v in told.items() if v is not None}


def _usage(usage: Usage) -> dict[str, int] | None:
    """MLflow's token counts; its output holds the thinking, as the bill does."""
    if usage.input_tokens is None:
        return None
    output = (usage.output_tokens or 0) + (usage.thinking_tokens or 0)
    counts = {
        "input_tokens": usage.input_tokens,
        "output_tokens": output,
        "total_tokens": usage.total_tokens or usage.input_tokens + output,
    }
    if usage.cached_tokens is not None:
        counts["cache_read_input_tokens"] = usage.cached_tokens
    return counts


def _cost(completion: Completion, price: dict[str, Any] | None) -> dict[str, float] | None:
    """MLflow's three costs, in USD; all attempts are divided as the last one was."""
    total = completion.cost_usd
    if total is None:
        return None
    spent = total * input_share(price, completion.usage)
    return {"input_cost": spent, "output_cost": total - spent, "total_cost": total}
