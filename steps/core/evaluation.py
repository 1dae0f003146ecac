"""One candidate over one dataset: answers, scores, traces, tables and metrics in one MLflow run."""

import json
import tempfile
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Run as MlflowRun

from llm_models.errors import LabError
from llm_models.schema import OUTPUT_COLUMNS, ModelConfig
from steps.core import tokens, tracking
from steps.core.answering.candidates import Ready
from steps.core.answering.runner import Answer, Run, in_order
from steps.core.cli import Trace
from steps.core.dataset import Dataset, Row
from steps.core.human_file import answer_hash
from steps.core.judges.panel import Panels, Verdicts
from steps.core.language import detect
from steps.core.logged_models import model_tags, run_params
from steps.core.results import Results, results
from steps.core.scores.scorer import Failure, Score
from steps.core.statistics.rows import Bounds
from steps.core.summary import Summary
from steps.core.tables import PARQUET, PredictionTables
from steps.core.tracing.trace_writer import TraceWriter
from steps.core.tracing.traced import Traced

NOT_ANSWERED = Failure("not answered")
Scores = Mapping[str, Score | Failure | None]


class CountError(LabError):
    """Fewer rows, or traces, were stored than were asked."""


@dataclass(frozen=True)
class Scoring:
    """The scorers of a run, and how many rows they may look at side by side."""

    names: tuple[str, ...] = ()
    score: Callable[[Answer], Scores] = lambda answer: {}
    applicable: Callable[[Row, int], list[str]] = lambda row, repeat: []
    concurrency: int = 1
    tags: Mapping[str, str] = field(default_factory=lambda: {"kind": "answers"})
    judges: Mapping[str, str] = field(default_factory=dict)  # scorer -> the model it asks
    panels: Panels = field(default_factory=dict)
    bounds: Mapping[str, Bounds | None] = field(default_factory=dict)  # of scores, by name
    min_coverage: float = 0.0  # below it a mean is no result
    headline: str | None = None  # the scorer whose slices are metrics too


@dataclass(frozen=True)
class Place:
    """Where a run's rows are stored."""

    client: MlflowClient
    experiment_id: str
    run_id: str
    model_id: str


@dataclass(frozen=True)
class Result:
    """What became of one candidate."""

    ready: Ready
    run_id: str
    model_id: str
    metrics: Mapping[str, float | None]
    failure: str | None  # why the run counts as failed
    hints: Mapping[str, int]  # what is wrong with rows or would mend them, and with how many
    min_coverage: float = 0.0


def record(
    client: MlflowClient,
    parent: MlflowRun,
    run: Run,
    *,
    model_id: str,
    dataset: Dataset,
    scoring: Scoring,
    trace: Trace,
    progress: Callable[[Answer], None],
) -> Result:
    """Consume a started run: score, trace and store every row, then close its MLflow run."""
    ready = run.ready
    tags = model_tags(ready) | {
        "dataset": dataset.name,
        "dataset_sha256": dataset.sha256,
        "model_id": model_id,
    }
    run_id = tracking.start_child(client, parent, ready.candidate.name, tags | dict(scoring.tags))
    place = Place(client, parent.info.experiment_id, run_id, model_id)
    status = "FAILED"
    try:
        tracking.log_dataset(client, run_id, dataset, model_id)
        if ready.prompt:
            client.link_prompt_version_to_run(run_id, ready.prompt.uri)
        summary, found = _store_rows(run, place, scoring, Traced(trace, run.total), progress)
        metrics = dict(found.metrics) | {"model_load_time": run.load_s}
        tracking.log_results(client, run_id, dataset, model_id, metrics)
        tracking.log_params(client, run_id, run_params(ready))
        failure = _failure(run, summary)
        hints = dict(summary.hints) | summary.complaints()
        told = json.dumps(hints, ensure_ascii=False) if hints else None
        tracking.set_tags(client, run_id, {"failure": failure, "hints": told} | dict(found.tags))
        tracking.set_tags(client, run_id, {"answers_sha256": summary.answers.hexdigest()})
        status = _status(run, failure)
    finally:
        client.set_terminated(run_id, status)
    return Result(ready, run_id, model_id, metrics, failure, hints, scoring.min_coverage)


def _store_rows(
    run: Run,
    place: Place,
    scoring: Scoring,
    traced: Traced,
    progress: Callable[[Answer], None],
) -> tuple[Summary, Results]:
    verdicts = Verdicts(scoring.panels)
    summary = Summary(scoring.bounds, run.policy.repeats, verdicts)
    seen = set[tuple[str, int]]()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        traces = _writer(run, place, scoring)
        with PredictionTables(folder, scoring.names) as tables, traces:
            answers = in_order(run, run.rows, run.policy.repeats)
            for answer, scores in scored(answers, scoring):
                extra = describe(answer, run.ready.candidate.name)
                missed = dict.fromkeys(_missed(answer, scoring), NOT_ANSWERED)
                summary.add(answer, scores, missed, extra["language"])
                tables.add(
                    answer, output_row(answer, run.ready.config), extra, {**scores, **missed}
                )
                seen.add(answer.place)
                if traced.wants(answer):
                    traces.add(answer, scores)
                progress(answer)
        _add_never_asked(summary, run, scoring, seen)
        candidate = run.ready.candidate.name
        found = results(candidate, summary, scoring.min_coverage, scoring.headline)
        tracking.log_tables(place.client, place.run_id, folder, [PARQUET, *found.write(folder)])
    _check_counts(run, summary.rows, traced.count, traces.close())
    return summary, found


def _add_never_asked(
    summary: Summary, run: Run, scoring: Scoring, seen: Collection[tuple[str, int]]
) -> None:
    """A run that was stopped owes these: a mean of its first ten rows is not that of a thousand."""
    for row in run.rows:
        for repeat in range(run.policy.repeats):
            if (row.id, repeat) not in seen:
                summary.miss(row, repeat, scoring.applicable(row, repeat))


def _writer(run: Run, place: Place, scoring: Scoring) -> TraceWriter:
    config = run.ready.config
    return TraceWriter(
        experiment_id=place.experiment_id,
        run_id=place.run_id,
        model_id=place.model_id,
        supplier=config.provider,
        model_name=config.model,
        price=config.price,
        judges=scoring.judges,
        prompt=run.ready.prompt,
    )


def scored(answers: Iterable[Answer], scoring: Scoring) -> Iterator[tuple[Answer, Scores]]:
    """Each answer with its scores, in the same order; a failed call is not scored."""
    if scoring.concurrency == 1:  # nothing to wait for: a thread would only cost
        yield from ((a, scoring.score(a) if a.completion.answered else {}) for a in answers)
        return
    with ThreadPoolExecutor(scoring.concurrency, thread_name_prefix="scoring") as pool:
        window: deque[tuple[Answer, Future[Scores] | None]] = deque()
        for answer in answers:
            judged = answer.completion.answered
            window.append((answer, pool.submit(scoring.score, answer) if judged else None))
            if len(window) > 2 * scoring.concurrency:
                yield _settled(*window.popleft())
        yield from (_settled(*item) for item in window)


def _missed(answer: Answer, scoring: Scoring) -> list[str]:
    """The scorers that would have scored this row, had it been answered."""
    return [] if answer.completion.answered else scoring.applicable(answer.row, answer.repeat)


def _settled(answer: Answer, future: Future[Scores] | None) -> tuple[Answer, Scores]:
    return answer, future.result() if future else {}


def output_row(answer: Answer, config: ModelConfig) -> dict[str, Any]:
    """The columns that a served model would answer with."""
    known = {"supplier": config.provider, "model_name": config.model}
    record = answer.completion.record() | known
    return {name: record[name] for name in OUTPUT_COLUMNS}


def describe(answer: Answer, candidate: str) -> dict[str, Any]:
    """What the table has beside the output; None where there is no answer to describe."""
    text = answer.completion.text
    if text is None:
        return {"candidate": candidate, "language": None}
    return {
        "candidate": candidate,
        "answer_sha256": answer_hash(text),
        "language": detect(text).code,
        "neutral_output_tokens": tokens.count(text),
    }


def _status(run: Run, failure: str | None) -> str:
    if run.stopped is not None and run.stopped.killed:
        return "KILLED"
    return "FAILED" if failure else "FINISHED"


def _failure(run: Run, summary: Summary) -> str | None:
    if run.stopped is not None:
        return f"{run.stopped.reason}; {run.not_asked} of {run.total} rows have no outcome"
    if not summary.answered:
        return "no row was answered"
    if summary.failed > run.policy.max_error_rate * run.total:
        return f"{summary.failed} of {run.total} rows failed (see max_error_rate)"
    return None


def _check_counts(run: Run, rows: int, traced: int, kept: int) -> None:
    """Every row that was delivered is recorded, and every trace written is kept."""
    complete = run.stopped is not None or rows == run.total
    if rows != run.delivered or kept != traced or not complete:
        raise CountError(
            f"{run.ready.candidate.name}: of {run.total} rows {run.delivered} came back, {rows} "
            f"were recorded, and {kept} of {traced} traces are kept. The answers are in the "
            "journal: run the same command again."
        )
