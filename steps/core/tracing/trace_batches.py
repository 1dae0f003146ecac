"""Traces that cost little: written straight to MLflow's store, in batches.

The one place that goes below MLflow's public surface. What such a trace lacks of a public one:
user, source and git commit (the run it names has them) and the doubled previews
`mlflow.traceInputs` and `mlflow.traceOutputs`; its size is that of the span alone. MLflow's
sampling, span processors and switch for tracing have no say in it.
"""

import json
import time
import uuid
from typing import Any

from mlflow.entities import Assessment, Span, SpanLogLevel, SpanType, TraceData, TraceInfo
from mlflow.entities.trace_location import TraceLocation
from mlflow.entities.trace_state import TraceState
from mlflow.store.tracking.sqlalchemy_store import (
    PROMOTED_TRACE_METADATA_KEYS,
    EntityAssociationType,
    SqlAlchemyStore,
    SqlAssessments,
    SqlEntityAssociation,
    SqlTraceInfo,
    SqlTraceMetadata,
    SqlTraceTag,
    analytics_columns_from_metadata,
    rollups_enabled,
    validate_trace_name,
)
from mlflow.tracing.constant import (
    TRACE_SCHEMA_VERSION,
    TRACE_SCHEMA_VERSION_KEY,
    SpanAttributeKey,
    TraceMetadataKey,
    TraceTagKey,
)
from mlflow.tracing.utils.truncation import set_request_response_preview
from mlflow.tracking._tracking_service.utils import _get_store
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import SpanContext, Status, StatusCode

from steps.core.prompts import Prompt
from steps.core.tracing.traces import Origin, RowTrace, version_of

BATCH = 50  # traces in one write; more save little and make the run end later
MAX_SIZE = 4_000_000  # bytes of traces that may wait
MAX_WAIT_S = 5.0  # seconds a trace may wait for others, as long as others come
MILLI = 1_000_000  # nanoseconds
IDS = RandomIdGenerator()
NO_RESOURCE = Resource.get_empty()
dump = json.JSONEncoder(ensure_ascii=False).encode  # the form of a span's attributes


class Batches:
    """Traces of one run on their way to the store; what could not be written is tried again.

    Spans come after their traces: the store then has half as much to look up and to merge.
    `add` and `finish` raise MlflowException, or NotImplementedError from servers before 3.4.
    """

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self.store = _get_store()
        self.infos: list[TraceInfo] = []  # not in the store
        self.spans: list[Span] = []  # not in the store
        self.size = 0  # of these spans, in bytes
        self.since = 0.0  # when the first of them came
        self.stored = 0

    def add(self, trace: RowTrace) -> None:
        span = span_of(trace, self.origin)
        size = len(dump(span.to_dict()).encode())
        if not self.spans:
            self.since = time.monotonic()
        self.infos.append(info_of(trace, span, size, self.origin))
        self.spans.append(span)
        self.size += size
        late = time.monotonic() - self.since >= MAX_WAIT_S
        if len(self.spans) >= BATCH or self.size >= MAX_SIZE or late:
            self.finish()

    def finish(self) -> None:
        if type(self.store) is SqlAlchemyStore and not rollups_enabled():
            start_together(self.store, self.infos, self.origin.prompt)
            self.infos = []
        while self.infos:
            self.store.start_trace(self.infos[0])
            if prompt := self.origin.prompt:
                self.store.link_prompts_to_trace(self.infos[0].trace_id, [version_of(prompt)])
            del self.infos[0]
        self.store.log_spans(self.origin.experiment_id, self.spans)
        self.stored += len(self.spans)
        self.spans, self.size = [], 0


def start_together(store: SqlAlchemyStore, infos: list[TraceInfo], prompt: Prompt | None) -> None:
    """What SqlAlchemyStore.start_trace and link_prompts_to_trace write, in one transaction."""
    if not infos:
        return
    experiment = store.get_experiment(infos[0].experiment_id)
    with store.ManagedSessionMaker(read_only=False) as session:
        session.bulk_save_objects([_trace_row(info) for info in infos])
        session.bulk_save_objects([tag for i in infos for tag in _tags(store, experiment, i)])
        session.bulk_save_objects([kept for info in infos for kept in _metadata(info)])
        session.bulk_save_objects(
            [_assessment(a, info) for info in infos for a in info.assessments]
        )
        if prompt:
            session.bulk_save_objects([_prompt_link(info, prompt) for info in infos])


def _trace_row(info: TraceInfo) -> SqlTraceInfo:
    return SqlTraceInfo(
        request_id=info.trace_id,
        experiment_id=info.experiment_id,
        timestamp_ms=info.request_time,
        execution_time_ms=info.execution_duration,
        status=info.state.value,
        request_preview=info.request_preview,
        response_preview=info.response_preview,
        trace_name=validate_trace_name(info.tags.get(TraceTagKey.TRACE_NAME)),
        **analytics_columns_from_metadata(dict(info.trace_metadata)),
    )


def _tags(store: SqlAlchemyStore, experiment: Any, info: TraceInfo) -> list[SqlTraceTag]:
    trace_id = info.trace_id
    own = {key: value for key, value in info.tags.items() if key != TraceTagKey.TRACE_NAME}
    tags = [SqlTraceTag(request_id=trace_id, key=k, value=v) for k, v in own.items()]
    return [*tags, store._get_trace_artifact_location_tag(experiment, trace_id)]


def _metadata(info: TraceInfo) -> list[SqlTraceMetadata]:
    told = info.trace_metadata.items()
    kept = {key: value for key, value in told if key not in PROMOTED_TRACE_METADATA_KEYS}
    kept[TraceMetadataKey.TRACE_INFO_FINALIZED] = "true"
    return [SqlTraceMetadata(request_id=info.trace_id, key=k, value=v) for k, v in kept.items()]


def _assessment(assessment: Assessment, info: TraceInfo) -> SqlAssessments:
    row = SqlAssessments.from_mlflow_entity(assessment)
    row.trace_id = info.trace_id
    row.experiment_id = int(str(info.experiment_id))
    row.trace_timestamp_ms = info.request_time
    return row


def _prompt_link(info: TraceInfo, prompt: Prompt) -> SqlEntityAssociation:
    return SqlEntityAssociation(
        association_id=uuid.uuid4().hex,
        source_type=EntityAssociationType.TRACE,
        source_id=info.trace_id,
        destination_type=EntityAssociationType.PROMPT_VERSION,
        destination_id=f"{prompt.name}/{prompt.version}",
    )


def span_of(trace: RowTrace, origin: Origin) -> Span:
    """The finished span of a trace, made without a tracer."""
    trace_id = IDS.generate_trace_id()
    attributes = {
        SpanAttributeKey.REQUEST_ID: f"tr-{trace_id:032x}",
        SpanAttributeKey.EXPERIMENT_ID: origin.experiment_id,
        SpanAttributeKey.START_TIME_NS: trace.start_ns,
        SpanAttributeKey.SPAN_TYPE: SpanType.CHAT_MODEL,
        SpanAttributeKey.LOG_LEVEL: int(SpanLogLevel.INFO),
        SpanAttributeKey.INPUTS: trace.inputs,
        SpanAttributeKey.OUTPUTS: trace.outputs,
    }
    return Span(
        ReadableSpan(
            origin.model_name,
            SpanContext(trace_id, IDS.generate_span_id(), is_remote=False),
            resource=NO_RESOURCE,
            attributes={k: dump(v) for k, v in (attributes | trace.attributes).items()},
            status=Status(StatusCode[trace.status]),
            start_time=trace.start_ns,
            end_time=trace.end_ns,
        )
    )


def info_of(trace: RowTrace, span: Span, size: int, origin: Origin) -> TraceInfo:
    """Everything of a trace but its span, which takes `size` bytes."""
    sizes = {"total_size_bytes": size, "num_spans": 1, "max": size}
    metadata = {
        TRACE_SCHEMA_VERSION_KEY: str(TRACE_SCHEMA_VERSION),
        TraceMetadataKey.SIZE_STATS: dump(sizes | dict.fromkeys(("p25", "p50", "p75"), size)),
        TraceMetadataKey.SIZE_BYTES: str(size),
    }
    told = {  # or the store would work them out from the span, one update for each trace
        TraceMetadataKey.TOKEN_USAGE: trace.attributes.get(SpanAttributeKey.CHAT_USAGE),
        TraceMetadataKey.COST: trace.attributes.get(SpanAttributeKey.LLM_COST),
    }
    info = TraceInfo(
        trace_id=span.trace_id,
        trace_location=TraceLocation.from_experiment_id(origin.experiment_id),
        request_time=trace.start_ns // MILLI,
        execution_duration=(trace.end_ns - trace.start_ns) // MILLI,
        state=TraceState(trace.status),
        trace_metadata=trace.metadata | metadata | {k: dump(v) for k, v in told.items() if v},
        tags={TraceTagKey.TRACE_NAME: origin.model_name} | trace.tags,
        assessments=trace.assessments,
    )
    set_request_response_preview(info, TraceData([span]))
    return info
