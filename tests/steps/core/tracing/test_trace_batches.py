"""Batches say what the public way says, on SQLite and on a server, and lose no trace."""

import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping
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
from steps.core.answering.runner import Answer
from steps.core.environment import DEFAULTS
from steps.core.prompts import Prompt
from steps.core.scores.scorers import Score
from steps.core.tracing import trace_batches
from steps.core.tracing.trace_batches import BATCH
from steps.core.tracing.trace_writer import COMPARED, TraceError
from steps.core.tracking import count_traces
from tests.steps.conftest import pointing_at
from tests.steps.core.trace_rows import SCORES, answer, only, stored, writer

CHAT = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes?"}]}
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
PROMPT = Prompt("concise", 3, "Be brief.")
# What the run says already, or is said elsewhere in the trace.
PUBLIC_ONLY = {"mlflow.user", "mlflow.traceInputs", "mlflow.traceOutputs"} | {
    f"mlflow.source.{name}"
    for name in ("name", "type", "git.commit", "git.branch", "git.repoURL", "git.dirty")
}


def contents(trace: Trace) -> tuple[dict[str, Any], dict[str, Any]]:
    """Everything in a trace but its ids and the time when its assessments were written."""
    (span,) = trace.data.spans
    assert trace.info.trace_id == f"tr-{span._trace_id}"
    assert (len(span._trace_id), len(span.span_id)) == (32, 16)
    told = trace.to_dict()
    del told["data"]["spans"][0]["span_id"], told["data"]["spans"][0]["trace_id"]
    for assessment in told["info"].get("assessments", []):
        for key in ("assessment_id", "create_time", "last_update_time"):
            assert assessment.pop(key)
    text = json.dumps(told).replace(trace.info.trace_id, "<trace>")
    told = json.loads(text.replace(trace.info.trace_metadata["mlflow.sourceRun"], "<run>"))
    return told, told["info"].pop("trace_metadata")


def sizes(metadata: dict[str, str]) -> dict[str, int]:
    """Takes the sizes out of a trace's metadata."""
    return json.loads(metadata.pop("mlflow.trace.sizeStats")) | {
        "bytes": int(metadata.pop("mlflow.trace.sizeBytes"))
    }


def test_the_installed_version_is_the_one_compared_here() -> None:
    assert mlflow.__version__ == COMPARED


@pytest.mark.parametrize("fields", ANSWERS.values(), ids=ANSWERS)
def test_both_ways_store_the_same(
    experiment: str, monkeypatch: pytest.MonkeyPatch, fields: Mapping[str, Any]
) -> None:
    same_in_both_ways(experiment, monkeypatch, answer(**fields))


def test_both_ways_lead_from_a_prompt_to_its_traces(
    experiment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    same_in_both_ways(experiment, monkeypatch, answer(), prompt=PROMPT)
    assert len(stored(experiment, 'prompt = "concise/3"')) == 2


def same_in_both_ways(
    experiment: str, monkeypatch: pytest.MonkeyPatch, row: Answer, **about: Any
) -> None:
    kept: list[Trace] = []
    for version in (COMPARED, "3.18.0"):
        monkeypatch.setattr(mlflow, "__version__", version)
        run_id = MlflowClient().create_run(experiment).info.run_id
        about |= {"run_id": run_id, "judges": {"correctness": "ollama:/judge"}}
        with writer(experiment, **about) as traces:
            traces.add(row, SCORES)
        kept += stored(experiment, f"metadata.`mlflow.sourceRun` = '{run_id}'")
    (direct, given), (public, expected) = map(contents, kept)
    assert direct == public
    size, public_size = sizes(given), sizes(expected)
    assert size.pop("total_size_bytes") == size.pop("bytes") == size["max"]
    assert size.items() <= public_size.items()
    assert given.items() <= expected.items()
    assert expected.keys() - given.keys() <= PUBLIC_ONLY


@pytest.fixture
def server(empty_store: Path, tmp_path: Path) -> Iterator[str]:
    """The address of a tracking server on this machine."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    store = f"sqlite:///{shutil.copy(empty_store, tmp_path / 'mlflow.db')}"
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
            same_in_both_ways(experiment, monkeypatch, answer(**fields))
        same_in_both_ways(experiment, monkeypatch, answer(), prompt=PROMPT)
        assert len(stored(experiment, 'prompt = "concise/3"')) == 2


def test_every_trace_is_stored_whole_when_close_returns(
    client: MlflowClient, experiment: str
) -> None:
    run_id = client.create_run(experiment).info.run_id
    traces = writer(experiment, run_id=run_id)
    for i in range(BATCH + 10):
        traces.add(answer(i), {"exact_match": Score(True)})

    assert traces.close() == count_traces(client, run_id, experiment) == BATCH + 10
    found = stored(experiment)
    assert {(len(t.data.spans), len(t.info.assessments)) for t in found} == {(1, 4)}


@pytest.mark.parametrize(("text", "wait_s"), [("x" * 1_000_000, 60.0), ("short", 0.0)])
def test_traces_do_not_wait_for_a_full_batch_when_they_are_long_or_late(
    experiment: str,
    monkeypatch: pytest.MonkeyPatch,
    text: str,
    wait_s: float,
) -> None:
    monkeypatch.setattr(trace_batches, "MAX_WAIT_S", wait_s)
    with writer(experiment) as traces:
        for i in range(4):
            traces.add(answer(i, text), {})
        assert [len(trace.data.spans) for trace in stored(experiment)] == [1] * 4


def test_writers_of_several_runs_work_side_by_side(experiment: str) -> None:
    def write(number: int) -> int:
        with writer(experiment) as traces:
            for i in range(20):
                traces.add(answer(100 * number + i), SCORES)
        return traces.close()

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(write, range(4))) == [20] * 4
    rows = {trace.info.tags["row"] for trace in stored(experiment)}
    assert rows == {f"row-{100 * n + i}" for n in range(4) for i in range(20)}


def test_what_went_wrong_elsewhere_is_told_and_its_traces_kept(experiment: str) -> None:
    with pytest.raises(KeyboardInterrupt), writer(experiment) as traces:
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
    if trouble == "full":
        holder.execute("VACUUM")  # no free page is left for what still comes
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
    experiment: str, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    monkeypatch.setattr(trace_batches, "BATCH", 2)
    traces = writer(experiment)
    long = "It is Paris. " * 5_000  # more than the room left on any page
    traces.add(answer(0, long), SCORES)
    with broken(trouble):
        with pytest.raises(TraceError, match=rf"2 of 2 traces of gemini.*{trouble}.*journal"):
            traces.add(answer(1, long), SCORES)
        with pytest.raises(TraceError, match="2 of 2 traces"):
            traces.close()

    assert traces.close() == 2
    assert [len(trace.data.spans) for trace in stored(experiment)] == [1, 1]


def test_a_trace_that_mlflow_drops_without_a_word_is_noticed(
    experiment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mlflow, "__version__", "3.18.0")
    traces = writer(experiment)
    traces.add(answer(0), {})
    mlflow.tracing.disable()
    try:
        traces.add(answer(1), {})
    finally:
        mlflow.tracing.enable()

    with pytest.raises(TraceError, match="1 of 2 traces"):
        traces.close()
