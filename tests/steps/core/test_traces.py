"""Traces hold what the row says, cost little, and none is lost: both ways, on SQLite and REST."""

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.entities import Trace
from mlflow.tracking._tracking_service.utils import _get_store
from sqlalchemy import event

from llm_models.schema import Completion, Usage
from steps.core.dataset import Row
from steps.core.environment import DEFAULTS
from steps.core.runner import Answer
from steps.core.scorers import Failure, Score
from steps.core.trace_batches import BATCH, TraceError, TraceWriter
from tests.steps.conftest import pointing_at

Writers = Callable[..., TraceWriter]
ASKED_AT = 1_790_000_000.25  # seconds since 1970
MODEL_ID = "m-" + "0" * 32
PRICE = {"input": 1.0, "output": 4.0}
GEMINI = {"supplier": "gemini", "model_name": "gemini-2.5-flash"}  # MLflow knows a price of it
SCORES = {
    "exact_match": Score(False, "expected: Paris"),
    "token_f1": Score(0.5),
    "rouge_l": None,
    "json_valid": Failure("KeyError: 'x'"),
    "correctness": Score(True, "it says so"),
}
EXPECTATIONS = {"expected_response": "Paris", "expected_facts": ["Paris", "1889"], "max_words": 9}
CHAT = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes?"}]}
ANSWERED = Completion(
    "ok",
    text="It is Paris.",
    usage=Usage(100, 20, 80, 10, 200),
    latency_s=0.5,
    retry_s=1.25,
    attempts=2,
    cost_usd=0.001,
)
TIMED_OUT = Completion("error", error="timed out", error_kind="timeout", latency_s=60.0)
ANSWERS = {
    "answered": {},
    "failed": {"completion": TIMED_OUT},
    "local": {"completion": Completion("ok", "Hi", usage=Usage(3, 4), cost_usd=0.0)},
    "unpriced": {"completion": Completion("ok", "Hi", usage=Usage(3, 4))},
    "uncounted": {"completion": Completion("truncated", '{"a":', hint="raise max_tokens")},
    "chat": {"inputs": CHAT, "tags": {"topic": "greetings", "mlflow.user": "nobody"}},
    "bare": {"expectations": {}, "reused": True, "repeat": 2},
}
# What the run says already, or is said elsewhere in the trace.
PUBLIC_ONLY = {"mlflow.user", "mlflow.traceInputs", "mlflow.traceOutputs"} | {
    f"mlflow.source.{name}"
    for name in ("name", "type", "git.commit", "git.branch", "git.repoURL", "git.dirty")
}


def answer(number: int = 0, text: str | None = None, **fields: Any) -> Answer:
    row = Row(
        f"row-{number}",
        fields.pop("inputs", {"prompt": "Which city?"}),
        fields.pop("expectations", EXPECTATIONS),
        fields.pop("tags", {"topic": "capitals"}),
    )
    given = {"completion": Completion("ok", text) if text else ANSWERED, "reused": False}
    return Answer(row, asked_at=ASKED_AT, **(given | fields))


@pytest.fixture
def writer(client: MlflowClient, experiment: str) -> Writers:
    """Makes writers, each of a run of its own."""

    def make(**fields: Any) -> TraceWriter:
        run_id = client.create_run(experiment).info.run_id
        about = {"experiment_id": experiment, "run_id": run_id, "model_id": MODEL_ID}
        return TraceWriter(**(about | GEMINI | {"price": PRICE} | fields))

    return make


@pytest.fixture(params=["directly", "publicly"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "publicly":
        monkeypatch.setattr(mlflow, "__version__", "3.18.0")
    return request.param


def stored(experiment: str, condition: str = "") -> list[Trace]:
    found = MlflowClient().search_traces(locations=[experiment], filter_string=condition)
    return sorted(found, key=lambda trace: trace.info.tags["row"])


def only(experiment: str) -> Trace:
    (trace,) = stored(experiment)
    return mlflow.get_trace(trace.info.trace_id)


def contents(trace: Trace) -> dict[str, Any]:
    """Everything in a trace but its ids, and the time at which its assessments were written."""
    (span,) = trace.data.to_dict()["spans"]
    assert len(trace.data.spans[0].span_id) == 16
    assert trace.info.trace_id == f"tr-{trace.data.spans[0]._trace_id}"
    del span["span_id"], span["trace_id"]
    info = json.loads(json.dumps(trace.info.to_dict()).replace(trace.info.trace_id, "<id>"))
    for assessment in info.get("assessments", []):
        for key in ("assessment_id", "create_time", "last_update_time"):
            assert assessment.pop(key)
    text = json.dumps(span).replace(trace.info.trace_id, "<id>")
    return {"info": info, "span": json.loads(text)}


def sizes(metadata: dict[str, str]) -> dict[str, int]:
    """Takes the sizes out of a trace's metadata."""
    return json.loads(metadata.pop("mlflow.trace.sizeStats")) | {
        "bytes": int(metadata.pop("mlflow.trace.sizeBytes"))
    }


@pytest.mark.parametrize("fields", ANSWERS.values(), ids=ANSWERS)
def test_both_ways_store_the_same(
    experiment: str,
    writer: Writers,
    monkeypatch: pytest.MonkeyPatch,
    fields: Mapping[str, Any],
) -> None:
    same_in_both_ways(experiment, writer, monkeypatch, answer(**fields))


def same_in_both_ways(
    experiment: str, writer: Writers, monkeypatch: pytest.MonkeyPatch, row: Answer
) -> None:
    run_id = MlflowClient().create_run(experiment).info.run_id
    kept = []
    for version in ("3.17.2", "3.18.0"):
        monkeypatch.setattr(mlflow, "__version__", version)
        with writer(run_id=run_id, judges=frozenset({"correctness"})) as traces:
            traces.add(row, SCORES)
        known = {trace.info.trace_id for trace in kept}
        kept += [t for t in stored(experiment) if t.info.trace_id not in known]
    direct, public = map(contents, kept)
    given, expected = direct["info"]["trace_metadata"], public["info"]["trace_metadata"]
    size, public_size = sizes(given), sizes(expected)
    assert size.pop("total_size_bytes") == size.pop("bytes") == size["max"]
    assert size.items() <= public_size.items()
    assert given.items() <= expected.items()
    assert expected.keys() - given.keys() <= PUBLIC_ONLY
    del direct["info"]["trace_metadata"], public["info"]["trace_metadata"]
    assert direct == public


def test_a_trace_says_what_was_asked_answered_and_scored(
    experiment: str, writer: Writers, way: str
) -> None:
    with writer(judges=frozenset({"correctness"})) as traces:
        traces.add(answer(), SCORES)

    trace = only(experiment)
    (span,) = trace.data.spans
    assert (span.inputs, span.outputs) == ({"prompt": "Which city?"}, "It is Paris.")
    assert span.start_time_ns == trace.info.request_time * 10**6 == int(ASKED_AT * 10**9)
    assert span.end_time_ns - span.start_time_ns == 1_750_000_000 == 10**6 * (
        trace.info.execution_duration
    )
    told = {a.name: (a.source.source_type, a.rationale) for a in trace.info.assessments}
    assert told == dict.fromkeys(EXPECTATIONS, ("HUMAN", None)) | {
        "exact_match": ("CODE", "expected: Paris"),
        "token_f1": ("CODE", None),
        "json_valid": ("CODE", None),
        "correctness": ("LLM_JUDGE", "it says so"),
    }
    values = {a.name: a.value for a in trace.info.assessments if a.feedback}
    assert values == {"exact_match": False, "token_f1": 0.5, "json_valid": None, "correctness": True}
    (failed,) = (a for a in trace.info.assessments if a.name == "json_valid")
    assert failed.error.error_message == "KeyError: 'x'"


def test_tokens_and_cost_are_the_providers_counts_and_our_prices(
    experiment: str, writer: Writers, way: str
) -> None:
    with writer() as traces:
        traces.add(answer(), {})

    trace = only(experiment)
    usage = {"input_tokens": 100, "output_tokens": 100, "total_tokens": 200}
    assert trace.info.token_usage == usage | {"cache_read_input_tokens": 10}
    cost = {"input_cost": 0.0002, "output_cost": 0.0008, "total_cost": 0.001}
    assert trace.info.cost == pytest.approx(cost)
    assert trace.data.spans[0].llm_cost == trace.info.cost


def test_an_unknown_cost_is_neither_guessed_nor_nothing(
    experiment: str, writer: Writers, way: str
) -> None:
    with writer(price=None) as traces:
        traces.add(answer(**ANSWERS["unpriced"]), {})

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
    client: MlflowClient, experiment: str, writer: Writers, way: str, condition: str
) -> None:
    run_id = client.create_run(experiment).info.run_id
    with writer(run_id=run_id) as traces:
        traces.add(answer(1), {"exact_match": Score(False)})
    with writer(model_id="m-" + "1" * 32) as others:
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
def test_no_text_loses_a_trace(
    experiment: str, writer: Writers, way: str, text: str, kept: str
) -> None:
    with writer() as traces:
        traces.add(answer(text=text, tags={"topic": text}), {"f": Score(1.0, text)})

    trace = only(experiment)
    assert trace.data.spans[0].outputs == kept
    assert trace.info.tags["topic"] == kept[:4096]
    assert {a.name: a.rationale for a in trace.info.assessments}["f"] == kept


def test_every_trace_is_stored_whole_when_close_returns(experiment: str, writer: Writers) -> None:
    traces = writer()
    for i in range(BATCH + 30):
        traces.add(answer(i), {"exact_match": Score(True)})

    assert traces.close() == BATCH + 30
    assert {len(trace.data.spans) for trace in stored(experiment)} == {1}
    assert len({trace.info.tags["row"] for trace in stored(experiment)}) == BATCH + 30


def test_long_answers_do_not_wait_for_a_full_batch(experiment: str, writer: Writers) -> None:
    with writer() as traces:
        for i in range(5):
            traces.add(answer(i, "x" * 1_000_000), {})
        assert [len(trace.data.spans) for trace in stored(experiment)] == [1] * 5


def test_writers_of_several_runs_work_side_by_side(experiment: str, writer: Writers) -> None:
    def write(number: int) -> int:
        with writer() as traces:
            for i in range(20):
                traces.add(answer(100 * number + i), SCORES)
        return traces.close()

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(write, range(4))) == [20] * 4
    rows = {trace.info.tags["row"] for trace in stored(experiment)}
    assert rows == {f"row-{100 * n + i}" for n in range(4) for i in range(20)}


def test_what_went_wrong_elsewhere_is_told_and_its_traces_kept(
    experiment: str, writer: Writers
) -> None:
    with pytest.raises(KeyboardInterrupt), writer() as traces:  # noqa: PT012
        traces.add(answer(), {})
        raise KeyboardInterrupt

    assert len(only(experiment).data.spans) == 1


@contextmanager
def broken(trouble: str) -> Iterator[None]:
    """SQLite as it is on a full disk, a read-only one, or while another writes for too long."""
    engine = _get_store().engine
    pragma = {"full": "max_page_count = 1", "readonly": "query_only = 1"}.get(trouble)

    def trouble_ahead(connection: Any, *_: Any) -> None:
        if pragma:
            connection.execute(f"PRAGMA {pragma}")

    def hurry(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> tuple[str, Any]:
        return statement.replace("busy_timeout = 20000", "busy_timeout = 1"), parameters

    holder = sqlite3.connect(engine.url.database, isolation_level=None)
    if trouble == "locked":
        holder.execute("BEGIN EXCLUSIVE")
    event.listen(engine, "checkout", trouble_ahead)
    event.listen(engine, "before_cursor_execute", hurry, retval=True)
    try:
        yield
    finally:
        event.remove(engine, "checkout", trouble_ahead)
        event.remove(engine, "before_cursor_execute", hurry)
        holder.close()
        engine.dispose()  # its connections keep the pragma


@pytest.mark.parametrize("trouble", ["full", "readonly", "locked"])
def test_traces_that_cannot_be_stored_are_counted_and_tried_again(
    experiment: str, writer: Writers, trouble: str
) -> None:
    traces = writer()
    traces.add(answer(0), SCORES)
    with broken(trouble):
        with pytest.raises(TraceError, match=rf"2 of 2 traces of gemini.*{trouble}.*journal"):
            traces.add(answer(1), SCORES)
        with pytest.raises(TraceError, match="2 of 2 traces"):
            traces.close()

    assert traces.close() == 2
    assert [len(trace.data.spans) for trace in stored(experiment)] == [1, 1]


def test_a_trace_that_mlflow_drops_without_a_word_is_noticed(
    experiment: str, writer: Writers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mlflow, "__version__", "3.18.0")
    traces = writer()
    traces.add(answer(0), {})
    mlflow.tracing.disable()
    try:
        traces.add(answer(1), {})
    finally:
        mlflow.tracing.enable()

    with pytest.raises(TraceError, match="1 of 2 traces"):
        traces.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """The address of a tracking server on this machine."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    store = f"sqlite:///{tmp_path / 'mlflow.db'}"
    command = f"server --backend-store-uri {store} --host 127.0.0.1 --port {port} --workers 1"
    own = DEFAULTS | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    process = subprocess.Popen(
        [sys.executable, "-m", "mlflow", *command.split()],
        cwd=tmp_path,
        env=os.environ | own,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert any("startup complete" in line for line in process.stderr)
        Thread(target=process.stderr.read, daemon=True).start()
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_a_tracking_server_is_told_the_same_both_ways(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in DEFAULTS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pointing_at(server):
        experiment = MlflowClient().create_experiment("remote")
        for fields in ANSWERS.values():
            same_in_both_ways(experiment, TraceWriter, monkeypatch, answer(**fields))
