"""`compare` as a command: its verdict is the exit code, a tag of the run and the last line."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from mlflow import MlflowClient

from steps.compare import main as compare
from steps.evaluate import main as evaluate
from tests.steps.conftest import KNOWLEDGE, ROWS, ConfigWriter, baseline, invoke

FILES = {
    "comparison.html",
    "comparison.json",
    "comparison.junit.xml",
    "comparison.md",
    "differences.png",
    "means.png",
    "quality_cost_time.png",
    "times.png",
}
Compare = Callable[..., Result]


@pytest.fixture
def run_compare(experiment: str, write_config: ConfigWriter, tmp_path: Path) -> Compare:
    """Evaluates two good candidates and a poor one on so many rows, and compares them."""

    def run(rows: int = 40, **options: object) -> Result:
        candidates = [baseline(name, tmp_path) for name in KNOWLEDGE]
        candidates.append(candidates[0] | {"name": "twin", "system": "Be brief."})
        config = write_config(*candidates, rank_by="contains_facts/mean")
        data = tmp_path / "rows.jsonl"
        asked = [ROWS[i % 2] | {"id": f"row-{i}"} for i in range(rows)]
        data.write_text("".join(json.dumps(row) + "\n" for row in asked), "utf-8")
        done = invoke(evaluate, config, data=data, trace="none")
        assert done.exit_code == 0, done.output
        return invoke(compare, config, data=data, **options)

    return run


@pytest.mark.parametrize(
    ("rows", "options", "code", "verdict"),
    [
        (40, {"baseline": "good", "models": "good,twin"}, 0, "pass"),
        (40, {"baseline": "good"}, 2, "fail"),
        (4, {"baseline": "good"}, 3, "not enough evidence"),
        (40, {"baseline": "good", "models": "good,twin", "max_loss": 0.01}, 3, None),
        (40, {}, 0, "pass"),
    ],
    ids=["as good", "one is worse", "few rows", "small max_loss", "no baseline named"],
)
def test_the_verdict_is_exit_code_tag_and_last_line(
    client: MlflowClient,
    experiment: str,
    run_compare: Compare,
    rows: int,
    options: dict[str, object],
    code: int,
    verdict: str | None,
) -> None:
    verdict = verdict or "not enough evidence"
    done = run_compare(rows, **options)
    assert done.exit_code == code, done.output
    assert done.output.splitlines()[-1] == f"verdict: {verdict}"
    (run,) = client.search_runs([experiment], "tags.step = 'compare'")
    assert (run.data.tags["verdict"], run.info.status) == (verdict, "FINISHED")


def test_the_files_are_artifacts_and_stand_in_the_folder_that_was_named(
    client: MlflowClient, experiment: str, run_compare: Compare, tmp_path: Path
) -> None:
    folder = tmp_path / "new" / "out"
    done = run_compare(output=folder)
    assert done.exit_code == 0, done.output
    (run,) = client.search_runs([experiment], "tags.step = 'compare'")
    assert {path.name for path in folder.iterdir()} == FILES
    assert {found.path for found in client.list_artifacts(run.info.run_id)} == FILES
    for path in folder.iterdir():
        logged = client.download_artifacts(run.info.run_id, path.name, str(tmp_path))
        assert Path(logged).read_bytes() == path.read_bytes()


def test_a_candidate_without_a_finished_evaluation_is_named(
    experiment: str, write_config: ConfigWriter, questions: Path, tmp_path: Path
) -> None:
    both = [baseline(name, tmp_path) for name in KNOWLEDGE]
    config = write_config(*both)
    done = invoke(evaluate, config, data=questions, models="good")
    assert done.exit_code == 0, done.output
    done = invoke(compare, config, data=questions, baseline="good", output=tmp_path / "out")
    absence = "Not here, for want of a finished evaluation: poor."
    assert absence in done.output
    assert absence in (tmp_path / "out" / "comparison.md").read_text("utf-8")
    assert absence in (tmp_path / "out" / "comparison.html").read_text("utf-8")


def test_a_candidate_that_changed_since_it_was_evaluated_is_named(
    experiment: str, write_config: ConfigWriter, questions: Path, tmp_path: Path
) -> None:
    good, poor = (baseline(name, tmp_path) for name in KNOWLEDGE)
    done = invoke(evaluate, write_config(good, poor), data=questions)
    assert done.exit_code == 0, done.output
    told = "Evaluated before its prompt, options, model or code changed:"
    assert told not in invoke(compare, write_config(good, poor), data=questions).output
    edited = write_config(good, poor | {"system": "Be brief."})
    assert f"{told} poor." in invoke(compare, edited, data=questions).output


def test_a_folder_that_cannot_be_made_is_told_before_a_run_is(
    client: MlflowClient, experiment: str, write_config: ConfigWriter, tmp_path: Path
) -> None:
    (tmp_path / "taken").touch()
    done = invoke(compare, write_config({}), output=tmp_path / "taken")
    assert done.exit_code == 1
    assert "File exists" in done.output
    assert client.search_runs([experiment]) == []


def test_a_metric_that_cannot_decide_is_refused(write_config: ConfigWriter) -> None:
    done = invoke(compare, write_config({}, rank_by="error_rate"), baseline="one")
    assert done.exit_code == 1
    assert "rank_by: error_rate cannot decide" in done.output


@pytest.mark.parametrize("text", ["0", "-1", "little", "inf"])
def test_a_max_loss_that_is_no_number_above_0_is_refused(
    write_config: ConfigWriter, text: str
) -> None:
    done = invoke(compare, write_config({}), baseline="one", max_loss=text)
    assert done.exit_code == 1
    assert f"max_loss: '{text}' is not a number above 0" in done.output
