"""`evaluate` as a command: what the run may claim, what it must not, and what stands beside it."""

import csv
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
from steps.core.scores.coverage import NOTE
from steps.core.scores.repeated import ONCE
from steps.core.verdict import Verdict
from steps.evaluate import main as evaluate
from steps.main import main
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
    assert NOTE in printed
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


def judged_file(
    client: MlflowClient, experiment: str, folder: Path, scores: Mapping[tuple[str, str], str]
) -> Path:
    """The tables of both candidates in one, with a column `score`, as a person would make it."""
    lines = []
    for candidate in ("asked", "good"):
        run_id = evaluated(client, experiment, candidate).info.run_id
        path = client.download_artifacts(run_id, "predictions.csv", str(folder))
        with Path(path).open(encoding="utf-8", newline="") as file:
            lines += list(csv.DictReader(file))
    for line in lines:
        line["score"] = scores.get((line["candidate"], line["id"]), "")
        line["rater"] = "Ann"
    judged = folder / "judged.csv"
    with judged.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)
    return judged


def test_the_table_that_people_have_filled_in_becomes_a_scorer(
    client: MlflowClient,
    experiment: str,
    server: OllamaServer,
    config: Path,
    questions: Path,
    tmp_path: Path,
) -> None:
    done(evaluate, config, data=questions)
    scores = {("asked", "fr"): "yes", ("asked", "es"): "no", ("good", "fr"): "yes"}
    judged = judged_file(client, experiment, tmp_path, scores)
    printed = done(evaluate, config, data=questions, human=judged)
    assert "human: 3 of 3 scores count\n" in printed
    told = evaluated(client, experiment).data.metrics
    assert (told["human/mean"], told["human/coverage"], told["human/n_attempted"]) == (0.5, 1, 2)
    assert told["contains_facts/human_n"] == 2
    assert told["contains_facts/human_agreement"] == 0.5
    good = evaluated(client, experiment, "good")
    assert good.data.metrics["human/n_scored"] == good.data.metrics["human/n_abstained"] == 1
    traces = client.search_traces(
        [experiment], f"metadata.`mlflow.sourceRun` = '{good.info.run_id}'"
    )
    given = [a for t in traces for a in t.info.assessments if a.name == "human"]
    assert [(a.source.source_type, a.source.source_id, a.feedback.value) for a in given] == [
        ("HUMAN", "Ann", True)
    ]
    table = mlflow.load_table("predictions.parquet", run_ids=[good.info.run_id])
    assert list(table.set_index("id").loc[["fr", "es"], "human"].fillna(-1)) == [1.0, -1.0]
    compared = done(compare, config, data=questions)
    for name, shown in shown_everywhere(client, experiment, tmp_path, compared).items():
        if name != "comparison.json":
            assert "Agreement with people" in shown, name


def test_an_answer_that_changed_since_it_was_judged_lacks_its_score(
    client: MlflowClient,
    experiment: str,
    server: OllamaServer,
    config: Path,
    questions: Path,
    tmp_path: Path,
) -> None:
    done(evaluate, config, data=questions)
    scores = dict.fromkeys([("asked", "fr"), ("asked", "es")], "yes")
    judged = judged_file(client, experiment, tmp_path, scores)
    server.answer = {**RIGHT, "Which city is the capital of Spain?": "It is Madrid."}
    printed = done(evaluate, config, data=questions, human=judged, cache="refresh")
    left = "1 left out, of answers that no candidate gave this time"
    assert f"human: 1 of 2 scores count; {left}" in printed
    told = evaluated(client, experiment).data.metrics
    assert (told["human/coverage"], told["human/n_failed"]) == (0.5, 1)
    assert "human/mean" not in told
    refused = invoke(compare, config, data=questions, models="all")
    assert refused.exit_code == 0, refused.output
    assert "coverage 0.50 < 0.8" in refused.output


def test_a_file_of_scores_that_is_wrong_is_refused_before_any_call(
    server: OllamaServer, config: Path, questions: Path, tmp_path: Path
) -> None:
    judged = tmp_path / "judged.csv"
    judged.write_text("id,candidate,score\nfr,asked,yes\nfrr,asked,yes\n", "utf-8")
    for step in (evaluate, main):
        result = invoke(step, config, data=questions, human=judged)
        assert result.exit_code == 1
        assert f"{judged}:3: id: the data has no row 'frr' (did you mean 'fr'?)" in result.output
    assert server.requests == []


def test_runs_that_people_judged_by_different_files_are_not_compared(
    experiment: str, server: OllamaServer, config: Path, questions: Path, tmp_path: Path
) -> None:
    judged = tmp_path / "judged.csv"
    judged.write_text("id,candidate,score\nfr,asked,yes\n", "utf-8")
    done(evaluate, config, data=questions)
    assert invoke(evaluate, config, data=questions, models="asked", human=judged).exit_code == 0
    refused = invoke(compare, config, data=questions, models="all")
    assert refused.exit_code == 1
    assert "the scores of people: " in refused.output
