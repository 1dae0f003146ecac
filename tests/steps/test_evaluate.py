"""`evaluate` as a command: what the run may claim, what it must not, and what stands beside it."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from steps.compare import main as compare
from steps.core.repeated import ONCE
from steps.core.verdict import Verdict
from steps.evaluate import main as evaluate
from steps.promote import main as promote
from steps.register import main as register
from tests.servers.ollama import OllamaServer, Reply
from tests.steps.conftest import ConfigWriter, baseline, invoke

OVERFLOW = Reply(400, {"error": "the input length exceeds the context length"})
RIGHT = {
    "Which city is the capital of France?": "Paris",
    "Which city is the capital of Spain?": "Madrid",
}
GATE = {"staging": [{"metric": "contains_facts/mean", "min": 0.1}]}
RESULTS = ("mean", "ci_low", "ci_high")


@pytest.fixture
def server(experiment: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[OllamaServer]:
    with OllamaServer(answer=RIGHT) as server:
        monkeypatch.setenv("OLLAMA_HOST", server.url)
        yield server


@pytest.fixture
def config(server: OllamaServer, write_config: ConfigWriter, tmp_path: Path) -> Path:
    """Two candidates: `asked` the loopback Ollama one row at a time, `good` the baseline."""
    return write_config(
        {"name": "asked", "concurrency": 1},
        baseline("good", tmp_path),
        max_error_rate=1.0,
        gates=GATE,
    )


def done(step: click.Command, config: Path, code: int = 0, **options: object) -> str:
    """What a step prints that is expected to end with `code`."""
    result = invoke(step, config, models="all", **options)
    assert result.exit_code == code, result.output
    return result.output


def evaluated(client: MlflowClient, experiment: str, candidate: str = "asked") -> Run:
    """The newest evaluation of a candidate."""
    wanted = f"tags.kind = 'evaluation' AND tags.candidate = '{candidate}'"
    return client.search_runs([experiment], wanted, order_by=["start_time DESC"])[0]


def artifact(client: MlflowClient, experiment: str, step: str, name: str, folder: Path) -> str:
    """A file of the newest run of a step."""
    (run, *_) = client.search_runs([experiment], f"tags.step = '{step}'")
    return Path(client.download_artifacts(run.info.run_id, name, str(folder))).read_text("utf-8")


def raised(config: Path, **settings: Any) -> Path:
    """The same config with other settings."""
    held = json.loads(config.read_text("utf-8"))
    config.write_text(json.dumps(held | settings), "utf-8")
    return config


def shown_everywhere(
    client: MlflowClient, experiment: str, folder: Path, compared: str
) -> Mapping[str, str]:
    names = ("comparison.md", "comparison.html", "comparison.json")
    files = {name: artifact(client, experiment, "compare", name, folder) for name in names}
    return files | {"terminal": compared}


def test_below_the_floor_a_mean_is_told_nowhere(
    client: MlflowClient,
    experiment: str,
    server: OllamaServer,
    config: Path,
    questions: Path,
    tmp_path: Path,
) -> None:
    server.fault(OVERFLOW)
    printed = done(evaluate, config, data=questions)
    assert "coverage 0.50 < 0.8" in printed
    run = evaluated(client, experiment)
    kept = {k.partition("/")[2]: v for k, v in run.data.metrics.items() if "contains_facts/" in k}
    assert not kept.keys() & set(RESULTS)
    assert (kept["worst_case"], kept["best_case"], kept["coverage"]) == (0.5, 1.0, 0.5)
    assert (kept["n_attempted"], kept["n_unanswered"]) == (2, 1)
    assert "contains_facts: coverage 0.50 < 0.8" in run.data.tags["low_coverage"]
    (model,) = [m for m in client.search_logged_models([experiment]) if m.name == "asked"]
    linked = {metric.key for metric in model.metrics or []}
    assert "contains_facts/worst_case" in linked
    assert not linked & {f"contains_facts/{name}" for name in RESULTS}
    for name in ("leaderboard.md", "leaderboard.html"):
        told = artifact(client, experiment, "evaluate", name, tmp_path)
        assert "coverage 0.50 &lt; 0.8" in told
    compared = done(
        compare, config, Verdict.NOT_ENOUGH_EVIDENCE.exit_code, data=questions, baseline="good"
    )
    for name, told in shown_everywhere(client, experiment, tmp_path, compared).items():
        assert "coverage 0.50 < 0.8" in told.replace("&lt;", "<"), name
    comparison = json.loads(artifact(client, experiment, "compare", "comparison.json", tmp_path))
    (verdict,) = [d for d in comparison["differences"] if d["scorer"] == "contains_facts"]
    assert (verdict["verdict"], verdict["paired"]) == ("not enough coverage", None)
    (line,) = [line for line in comparison["models"] if line["candidate"] == "asked"]
    assert not line["metrics"].keys() & {f"contains_facts/{name}" for name in RESULTS}
    done(register, config, data=questions)
    gated = invoke(promote, config, data=questions, models="asked")
    assert gated.exit_code != 0
    assert "not measured" in gated.output


def test_a_floor_that_was_raised_since_holds_for_what_was_logged(
    client: MlflowClient, experiment: str, server: OllamaServer, config: Path, questions: Path
) -> None:
    server.fault(OVERFLOW)
    printed = done(evaluate, raised(config, min_coverage=0.5), data=questions)
    assert "50% scored" in printed
    assert evaluated(client, experiment).data.metrics["contains_facts/mean"] == 1.0
    done(register, config, data=questions)
    raised(config, min_coverage=0.9)
    assert "coverage 0.50 < 0.9" in done(compare, config, data=questions)
    gated = invoke(promote, config, data=questions, models="asked")
    assert gated.exit_code != 0
    assert "not measured" in gated.output


def test_a_run_that_was_stopped_owes_the_rows_it_never_asked(
    client: MlflowClient, experiment: str, server: OllamaServer, config: Path, questions: Path
) -> None:
    server.fault(Reply(401, {"error": "unauthorized"}))
    result = invoke(evaluate, config, data=questions, models="asked")
    assert result.exit_code == 1
    told = evaluated(client, experiment).data.metrics
    assert told["contains_facts/n_attempted"] == 2
    assert "contains_facts/mean" not in told


def test_repeats_tell_who_may_try_again_and_who_must_never_fail(
    client: MlflowClient,
    experiment: str,
    server: OllamaServer,
    config: Path,
    questions: Path,
    tmp_path: Path,
) -> None:
    """The first time both answers are right, the second time that about Spain is not."""
    asked: list[str] = []

    def answer(messages: list[dict[str, Any]]) -> str:
        asked.append(messages[-1]["content"])
        spain_again = len(asked) > 2 and "Spain" in asked[-1]
        return "No idea." if spain_again else RIGHT[asked[-1]]

    server.answer = answer
    printed = done(evaluate, config, data=questions, repeats=2)
    assert ONCE not in printed
    told = evaluated(client, experiment).data.metrics
    names = ("pass_at_2", "pass_hat_2", "spread", "repeats_coverage", "mean", "n_attempted")
    values = [told[f"contains_facts/{name}"] for name in names]
    assert values == [1.0, 0.5, pytest.approx(0.25 * 2**0.5), 1.0, 0.75, 4]
    assert told["repeats"] == 2
    compared = done(compare, config, data=questions)
    for name, shown in shown_everywhere(client, experiment, tmp_path, compared).items():
        if name != "comparison.json":
            assert "run-to-run spread" in shown.lower(), name
            assert "1 of 2" in shown, name
    comparison = json.loads(artifact(client, experiment, "compare", "comparison.json", tmp_path))
    (again,) = [
        one["found"]
        for one in comparison["repeats"]
        if (one["scorer"], one["candidate"]) == ("contains_facts", "asked")
    ]
    assert (again["pass_at_k"]["mean"], again["pass_hat_k"]["mean"]) == (1.0, 0.5)


def test_with_one_repeat_the_report_says_what_is_not_measured(
    client: MlflowClient, experiment: str, config: Path, questions: Path, tmp_path: Path
) -> None:
    assert ONCE in done(evaluate, config, data=questions)
    compared = done(compare, config, data=questions)
    shown = shown_everywhere(client, experiment, tmp_path, compared)
    assert all(ONCE in told for name, told in shown.items() if name != "comparison.json")
    told = evaluated(client, experiment).data.metrics
    assert told["repeats"] == 1
    assert not any("pass_" in name or "spread" in name for name in told)


def test_results_by_tag_are_a_table_of_the_run_and_the_headline_is_metrics(
    client: MlflowClient, experiment: str, config: Path, tmp_path: Path
) -> None:
    rows = [
        {"prompt": prompt, "expected_facts": [fact], "tags": {"region": region}}
        for (prompt, fact), region in zip(RIGHT.items(), ("north", "south"), strict=True)
    ]
    data = tmp_path / "tagged.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    printed = done(evaluate, config, data=data)
    run = evaluated(client, experiment)
    table = mlflow.load_table("slices.json", run_ids=[run.info.run_id])
    facts = table[table["scorer"] == "contains_facts"]
    assert list(facts["slice"]) == ["region=north", "region=south"]
    assert list(facts["n"]) == [1, 1]
    by_tag = {name for name in run.data.metrics if "region" in name}
    assert by_tag == {f"contains_facts/mean/region:{side}" for side in ("north", "south")}
    assert "region" not in printed
    compared = done(compare, config, data=data)
    assert "region: north" in compared
    assert "1.00 [0.21, 1.00], n = 1" in compared
