"""Log, answer, score, register, promote and serve: what a newcomer sees after one command."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from tests.end_to_end.lab import Lab, post
from tests.servers.ollama import OllamaServer

CANDIDATES = {"gemini", "llama-good", "llama-poor", "baseline"}
ROWS = 40


@pytest.fixture
def client(lab: Lab, store: Path) -> Iterator[MlflowClient]:
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(lab.store)
    yield MlflowClient()
    mlflow.set_tracking_uri(before)


@pytest.fixture
def evaluations(client: MlflowClient) -> dict[str, Run]:
    runs = client.search_runs(["0"], "tags.kind = 'evaluation'")
    return {run.data.tags["candidate"]: run for run in runs}


def test_every_step_is_a_run_below_the_projects_run(client: MlflowClient) -> None:
    found = client.search_runs(["0"])
    (main,) = (r for r in found if r.data.tags.get("mlflow.project.entryPoint") == "main")
    runs = {r.info.run_id: r for r in found if r.info.start_time <= main.info.end_time}
    top = [run for run in runs.values() if "mlflow.parentRunId" not in run.data.tags]
    assert top == [main]
    steps = [
        run.data.tags["step"]
        for run in reversed(runs.values())
        if run.data.tags.get("mlflow.parentRunId") == main.info.run_id
    ]
    assert steps == ["log_models", "run_prompts", "evaluate", "register", "promote"]
    assert {run.info.status for run in runs.values()} == {"FINISHED"}


def test_a_run_has_the_params_and_metrics_users_compare(evaluations: dict[str, Run]) -> None:
    assert evaluations.keys() == CANDIDATES
    run = evaluations["gemini"].data
    assert run.params["model_name"] == "gemini-2.5-flash"
    assert run.params["supplier"] == "gemini"
    assert run.params["task"] == "chat"
    assert run.params["temperature"] == "0.2"
    assert run.metrics["rows"] == ROWS
    assert run.metrics["total_tokens"] > 0
    assert run.metrics["total_cost_estimate"] > 0
    assert run.metrics["latency_p95"] >= run.metrics["latency_p50"] > 0
    assert run.metrics["error_rate"] == 0
    assert run.metrics["status/ok"] == ROWS
    assert "total_tokens" not in evaluations["baseline"].data.metrics  # unknown is not 0


def test_quality_ranks_as_the_servers_answer(evaluations: dict[str, Run]) -> None:
    mean = {k: run.data.metrics["contains_facts/mean"] for k, run in evaluations.items()}
    assert mean["llama-good"] > mean["llama-poor"] > 0
    assert 0 < mean["baseline"] < mean["llama-good"]
    assert all(r.data.metrics["contains_facts/coverage"] == 1 for r in evaluations.values())


def test_evaluation_asks_nothing_that_run_prompts_has_asked(
    evaluations: dict[str, Run], asked: Counter[str]
) -> None:
    assert evaluations["llama-good"].data.metrics["rows_reused"] == ROWS
    assert asked["llama3.1:8b"] == asked["llama3.2:3b"] == ROWS


def test_judges_score_what_they_apply_to_and_their_use_is_told(
    client: MlflowClient, evaluations: dict[str, Run]
) -> None:
    good, poor = (evaluations[name].data for name in ("llama-good", "llama-poor"))
    assert good.metrics["correctness/mean"] > poor.metrics["correctness/mean"]
    assert good.metrics["safety/mean"] == 1
    assert good.metrics["safety/n_scored"] == ROWS
    assert good.metrics["correctness/coverage"] == 1
    assert good.tags["judge_hash"] == poor.tags["judge_hash"] != "none"
    parent = client.get_run(good.tags["mlflow.parentRunId"])
    assert parent.data.metrics["judge_calls"] > ROWS


def test_load_table_reads_the_predictions_back_unchanged(
    client: MlflowClient, evaluations: dict[str, Run], tmp_path: Path
) -> None:
    run_id = evaluations["llama-good"].info.run_id
    table = mlflow.load_table("predictions.parquet", run_ids=[run_id])
    folder = Path(client.download_artifacts(run_id, "", str(tmp_path)))
    written = pd.read_csv(folder / "predictions.csv", dtype=str, keep_default_na=False)
    assert list(table["text"]) == list(written["text"])
    assert len(table) == ROWS
    assert set(table["status"]) == {"ok"}
    pairs = json.loads((folder / "prompts_and_answers.json").read_text("utf-8"))
    assert [pair["answer"] for pair in pairs] == list(table["text"])
    assert {"date", "prompt", "answer"} <= pairs[0].keys()


def test_one_trace_a_row_with_usage_and_feedback(
    client: MlflowClient, evaluations: dict[str, Run]
) -> None:
    run = evaluations["gemini"]
    traces = client.search_traces(
        ["0"], f"metadata.`mlflow.sourceRun` = '{run.info.run_id}'", max_results=500
    )
    assert len(traces) == ROWS
    used = sum(trace.info.token_usage["total_tokens"] for trace in traces)
    assert used == run.data.metrics["total_tokens"]
    names = {a.name for trace in traces for a in trace.info.assessments}
    assert {"contains_facts", "rouge_l", "expected_facts"} <= names
    assert {trace.info.state.value for trace in traces} == {"OK"}


def test_metrics_are_linked_to_the_logged_models(
    client: MlflowClient, evaluations: dict[str, Run]
) -> None:
    models = {m.name: m for m in client.search_logged_models(["0"])}
    assert models.keys() == CANDIDATES
    for name, model in models.items():
        linked = {metric.key: metric.value for metric in model.metrics or []}
        mean = evaluations[name].data.metrics["contains_facts/mean"]
        assert linked["contains_facts/mean"] == mean
        assert model.tags["fingerprint"] == evaluations[name].data.tags["fingerprint"]


def test_registry_holds_versions_and_the_better_one_has_the_alias(client: MlflowClient) -> None:
    versions = client.search_model_versions("name = 'llm_ollama_chat'")
    assert {v.tags["candidate"] for v in versions} == {"llama-good", "llama-poor"}
    held = client.get_model_version_by_alias("llm_ollama_chat", "staging")
    assert held.tags["candidate"] == "llama-good"
    assert held.current_stage == "Staging"
    assert "llama3.1:8b" in held.description


def test_repeating_register_makes_no_new_version(lab: Lab, client: MlflowClient) -> None:
    before = {(v.name, v.version) for v in client.search_model_versions()}
    done = lab.step("register", "--limit", str(ROWS))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("already registered") == len(CANDIDATES)
    assert {(v.name, v.version) for v in client.search_model_versions()} == before


def test_a_gate_that_does_not_hold_moves_nothing_and_exits_with_2(
    lab: Lab, client: MlflowClient
) -> None:
    options = ("--limit", str(ROWS), "--models", "baseline", "--alias", "production")
    done = lab.step("promote", *options)
    assert done.returncode == 2, done.stderr
    assert "FAIL" in done.stdout
    assert "contains_facts/mean" in done.stdout
    assert "production" not in client.get_registered_model("llm_baseline_chat").aliases


def test_compare_prints_and_logs_the_leaderboard(lab: Lab, client: MlflowClient) -> None:
    done = lab.step("compare", "--limit", str(ROWS))
    assert done.returncode == 0, done.stderr
    header = next(line for line in done.stdout.splitlines() if "candidate" in line)
    order = sorted(CANDIDATES, key=header.index)
    assert order[-1] in ("llama-poor", "baseline"), done.stdout
    run = client.search_runs(["0"], "tags.step = 'compare'")[0]
    assert {f.path for f in client.list_artifacts(run.info.run_id)} == {
        "comparison.html",
        "comparison.json",
        "comparison.junit.xml",
        "comparison.md",
        "differences.png",
        "means.png",
        "quality_cost_time.png",
        "times.png",
    }
    view = json.loads(client.get_experiment("0").tags["mlflow.sharedViewState.llmflowlab"])
    assert view["compareRunCharts"]


def test_info_tells_of_every_registered_model(lab: Lab, main_job: str) -> None:
    done = lab.step("info", "--output", str(lab.folder / "told"))
    assert done.returncode == 0, done.stderr
    files = {path.stem: path for path in (lab.folder / "told").iterdir()}
    assert files.keys() == {"llm_gemini_chat", "llm_ollama_chat", "llm_baseline_chat"}
    found = json.loads(files["llm_ollama_chat"].read_text("utf-8"))
    assert found["aliases"] == {"staging": found["shown_version"]}
    assert len(found["versions"]) == 2
    assert found["last_prompts_and_answers"]["rows"][0]["answer"]


def test_no_secret_is_stored_or_printed(lab: Lab, main_job: str, store: Path) -> None:
    secret = lab.variables["GEMINI_API_KEY"]
    assert secret not in main_job
    files = [path for path in lab.folder.rglob("*") if path.is_file()]
    assert [path for path in files if secret.encode() in path.read_bytes()] == []


INPUT_FORMS = {
    "records": {"dataframe_records": [{"prompt": "2+2?"}]},
    "records with system": {"dataframe_records": [{"prompt": "2+2?", "system": "Be right."}]},
    "split": {"dataframe_split": {"columns": ["prompt"], "data": [["2+2?"]]}},
    "inputs": {"inputs": [{"prompt": "2+2?"}]},
    "params": {"dataframe_records": [{"prompt": "2+2?"}], "params": {"temperature": 0.9}},
    "messages": {"messages": [{"role": "user", "content": "2+2?"}], "max_tokens": 5},
    "records of messages": {
        "dataframe_records": [{"messages": [{"role": "user", "content": "2+2?"}]}]
    },
    "prompt": {"prompt": "2+2?"},
}


def test_the_promoted_alias_answers_every_input_form(
    lab: Lab, main_job: str, ollama: OllamaServer
) -> None:
    with lab.serving("models:/llm_ollama_chat@staging", "--env-manager", "local") as address:
        url = f"{address}/invocations"
        for form, body in INPUT_FORMS.items():
            status, answer = post(url, body)
            row = (answer["predictions"] if isinstance(answer, dict) else answer)[0]
            assert (status, row["status"]) == (200, "ok"), form
            assert row["model_name"] == "llama3.1:8b"
        seen = [s.body["options"] for s in ollama.requests if s.path == "/api/chat"]
        assert seen[-4]["temperature"] == 0.9
        assert seen[-3]["num_predict"] == 5
        status, error = post(url, {"dataframe_records": [{"prompt": 5}]})
        assert status == 400
        assert "prompt" in str(error)
        status, error = post(url, {"dataframe_records": [{"text": "hi"}]})
        assert status == 400
        assert "prompt" in error["message"]
        assert "stack_trace" not in error


def test_the_promoted_alias_serves_in_an_environment_of_its_own(lab: Lab, main_job: str) -> None:
    """Nothing but the pinned requirements of the model: no steps, no pytest."""
    alias, envs = "models:/llm_baseline_chat@staging", str(lab.folder / "envs")
    with lab.serving(alias, "--env-manager", "uv", MLFLOW_ENV_ROOT=envs) as address:
        status, answer = post(f"{address}/invocations", {"prompt": "What is the Model Registry?"})
    assert (status, answer[0]["status"]) == (200, "ok")
    assert not list(lab.folder.glob("envs/*/lib/*/site-packages/pytest"))
    assert list(lab.folder.glob("envs/*/lib/*/site-packages/mlflow"))
