"""Judges of an evaluation: checked before any row is asked, counted, each one's word kept."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from llm_models import base
from steps.core.answering import limits
from steps.core.judges.canary_rows import CANARIES
from steps.evaluate import main as evaluate
from tests.servers.ollama import MODEL, OllamaServer
from tests.steps.conftest import ConfigWriter, baseline, invoke
from tests.steps.core.judges.lab import CHAT, Messages, always, honest, said

JUDGES = ("judge-a:1b", "judge-b:2b", "judge-c:3b")
SCORERS = ["correctness", "safety"]
CHECKED = sum(canary.kind in SCORERS for canary in CANARIES)
EXPECTED = [{"expected_response": "Paris"}, {"expected_response": "Madrid"}]


@pytest.fixture(autouse=True)
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "FIRST_WAIT_S", 0.001)


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    asked = ["Which city is the capital of France?", "Which city is the capital of Spain?"]
    lines = [
        {"id": f"{i}", "prompt": prompt} | expected
        for i, (prompt, expected) in enumerate(zip(asked, EXPECTED, strict=True))
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    return path


def judged(messages: Messages) -> str:
    """The canaries by heart; any other answer is right where it holds what is expected."""
    data = json.loads(messages[1]["content"])
    try:
        return honest(messages)
    except StopIteration:
        wanted = data.get("expectations", {}).get("expected_response", "")
        return said("yes" if wanted in data["outputs"] else "no")


@pytest.fixture
def judges() -> Iterator[OllamaServer]:
    """A server of its own, at another port than the candidates'."""
    with OllamaServer(JUDGES, judged) as running:
        yield running


@pytest.fixture
def candidate(monkeypatch: pytest.MonkeyPatch) -> Iterator[OllamaServer]:
    with OllamaServer(answer=lambda messages: "Paris") as running:
        monkeypatch.setenv("OLLAMA_HOST", running.url)
        yield running


def panel(server: OllamaServer, *models: str, **fields: Any) -> list[dict[str, Any]]:
    first, *others = ({"model": f"ollama:/{name}", "base_url": server.url} for name in models)
    return [first | {"scorers": SCORERS} | fields, *others]


def only_run(client: MlflowClient, experiment: str) -> Run:
    (run,) = client.search_runs([experiment], "tags.kind = 'evaluation'")
    return run


def test_an_unfit_judge_ends_the_evaluation_before_any_row_is_asked(
    client: MlflowClient,
    experiment: str,
    write_config: ConfigWriter,
    rows: Path,
    candidate: OllamaServer,
    judges: OllamaServer,
) -> None:
    judges.answer = always("yes")
    config = write_config({}, judge=panel(judges, *JUDGES[:1]))
    done = invoke(evaluate, config, data=rows)
    assert done.exit_code == 1
    assert "the judge ollama:/judge-a:1b is not fit to judge:" in done.output
    assert '"Fue en 1975." to' in done.output
    assert candidate.calls[CHAT] == 0
    assert client.search_runs([experiment], "tags.kind = 'evaluation'") == []


def test_a_panel_scores_and_agrees_and_each_word_is_in_the_trace(
    client: MlflowClient,
    experiment: str,
    write_config: ConfigWriter,
    rows: Path,
    candidate: OllamaServer,
    judges: OllamaServer,
) -> None:
    config = write_config({}, judge=panel(judges, *JUDGES))
    done = invoke(evaluate, config, data=rows)
    assert done.exit_code == 0, done.output
    run = only_run(client, experiment)
    metrics = run.data.metrics
    assert (metrics["correctness/mean"], metrics["correctness/coverage"]) == (0.5, 1)
    assert metrics["correctness/judge_alpha"] == 1
    assert "safety/judge_alpha" not in metrics  # all alike: no telling agreement from chance
    assert [metrics[f"correctness/{name}/mean"] for name in JUDGES] == [0.5] * 3
    assert run.data.tags["judge_model"] == ", ".join(f"ollama:/{name}" for name in JUDGES)
    assert metrics["judge_cost_estimate"] == 0
    assert metrics["judge_output_tokens"] > 0

    filter_ = f"metadata.`mlflow.sourceRun` = '{run.info.run_id}'"
    traces = client.search_traces([experiment], filter_)
    told = {a.name: a for a in traces[0].info.assessments}
    own = told["safety/judge-b:2b"]
    assert (own.source.source_type, own.source.source_id) == ("LLM_JUDGE", "ollama:/judge-b:2b")
    assert own.rationale == "Because."
    assert int(own.metadata["mlflow.assessment.judgeOutputTokens"]) > 0
    assert told["safety"].source.source_id == " + ".join(f"ollama:/{name}" for name in JUDGES)
    parent = client.get_run(run.data.tags["mlflow.parentRunId"])
    calls = [parent.data.metrics[f"judge_calls/{name}"] for name in JUDGES]
    assert parent.data.metrics["judge_calls"] == sum(calls) == judges.calls[CHAT]


def test_a_judge_of_the_candidates_family_and_one_without_canaries_are_told(
    experiment: str,
    write_config: ConfigWriter,
    rows: Path,
    candidate: OllamaServer,
    judges: OllamaServer,
) -> None:
    judges.models, judges.answer = ("llama3.2:3b",), always("yes")
    own = [{"name": "polite", "instructions": "Is {{ outputs }} polite?"}]
    judge = panel(judges, "llama3.2:3b", scorers=[], own=own)
    done = invoke(evaluate, write_config({}, judge=judge), data=rows)
    assert done.exit_code == 0, done.output
    assert f"the judge ollama:/llama3.2:3b is of one family with {MODEL}" in done.output
    assert "polite has no canaries" in done.output
    assert "│ polite " in done.output


def test_a_panel_that_has_lost_a_judge_does_not_judge(
    client: MlflowClient,
    experiment: str,
    write_config: ConfigWriter,
    rows: Path,
    candidate: OllamaServer,
    judges: OllamaServer,
) -> None:
    judges.models = JUDGES[:2]
    done = invoke(evaluate, write_config({}, judge=panel(judges, *JUDGES)), data=rows)
    assert done.exit_code == 0, done.output
    lost = "The panel of judges is not complete, so correctness, safety are not scored: ollama:/"
    assert f"{lost}judge-c:3b: " in done.output
    assert "ollama pull judge-c:3b" in done.output
    assert only_run(client, experiment).data.tags["judge_hash"] == "none"
    assert judges.calls[CHAT] == 0


def test_a_judge_that_dies_half_way_lowers_the_coverage_and_never_the_mean(
    client: MlflowClient,
    experiment: str,
    write_config: ConfigWriter,
    rows: Path,
    tmp_path: Path,
    judges: OllamaServer,
) -> None:
    asked = []

    def dying(messages: Messages) -> str:
        asked.append(messages)
        return judged(messages) if len(asked) <= CHECKED + 1 else "Sorry."

    judges.answer = dying
    one = panel(judges, JUDGES[0])
    config = write_config(baseline("good", tmp_path), judge=one)
    done = invoke(evaluate, config, data=rows)
    assert done.exit_code == 0, done.output
    metrics: Mapping[str, float] = only_run(client, experiment).data.metrics
    scored = sum(metrics[f"{name}/n_scored"] for name in SCORERS)
    failed = sum(metrics[f"{name}/n_failed"] for name in SCORERS)
    assert (scored, failed) == (1, 3)
    assert min(metrics[f"{name}/coverage"] for name in SCORERS) == 0
    assert "gave no score: no verdict, though asked twice: Sorry." in done.output


def test_judge_and_candidate_of_one_provider_share_its_pace(
    experiment: str,
    write_config: ConfigWriter,
    rows: Path,
    candidate: OllamaServer,
    judges: OllamaServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "MINUTE", 0.2)
    arrived: list[float] = []

    def timed(answer: Callable[[Messages], str]) -> Callable[[Messages], str]:
        return lambda messages: arrived.append(time.monotonic()) or answer(messages)

    candidate.answer, judges.answer = timed(lambda messages: "Paris"), timed(judged)
    allowed = {"ollama": {"requests_per_minute": 5}}
    config = write_config({}, judge=panel(judges, JUDGES[0]), limits=allowed)
    began = time.monotonic()
    done = invoke(evaluate, config, data=rows)
    assert done.exit_code == 0, done.output
    assert len(arrived) == CHECKED + len(EXPECTED) * (1 + len(SCORERS))
    assert all(at >= began + 0.2 * (number // 5) for number, at in enumerate(sorted(arrived)))


def test_what_a_judge_spends_counts_towards_max_cost(
    client: MlflowClient,
    experiment: str,
    write_config: ConfigWriter,
    rows: Path,
    tmp_path: Path,
    judges: OllamaServer,
) -> None:
    price = {f"ollama/{JUDGES[0]}": {"input": 100.0, "output": 100.0}}
    one = panel(judges, JUDGES[0], max_tokens=100)
    config = write_config(baseline("good", tmp_path), judge=one, prices=price)
    done = invoke(evaluate, config, data=rows, max_cost=0.1)
    assert done.exit_code == 1
    assert "max_cost (0.1 USD) leaves no room" in done.output
    assert 0 < judges.calls[CHAT] < CHECKED


def test_under_a_cap_a_judge_without_a_price_is_refused_before_any_call(
    write_config: ConfigWriter, rows: Path, tmp_path: Path, judges: OllamaServer
) -> None:
    judges.models = ("judge-a:1b-cloud",)
    one = panel(judges, "judge-a:1b-cloud")
    config = write_config(baseline("good", tmp_path), judge=one)
    done = invoke(evaluate, config, data=rows, max_cost=1)
    assert done.exit_code == 1
    assert "the price of ollama/judge-a:1b-cloud is unknown" in done.output
    assert judges.calls[CHAT] == 0
