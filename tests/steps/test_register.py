"""`register` as a command: what was evaluated gets a version, once."""

from pathlib import Path

import pytest
from mlflow import MlflowClient

from steps.register import main as register
from tests.steps.conftest import KNOWLEDGE, ConfigWriter, CopyRun, baseline, invoke, versions_of


@pytest.fixture
def config(write_config: ConfigWriter, tmp_path: Path) -> Path:
    return write_config(*(baseline(name, tmp_path) for name in KNOWLEDGE))


def test_it_registers_each_candidate_once(
    client: MlflowClient, copy_run: CopyRun, registered_name: str, config: Path, questions: Path
) -> None:
    for name in KNOWLEDGE:
        copy_run(name)
    first = invoke(register, config, data=questions)
    again = invoke(register, config, data=questions)
    assert first.exit_code == again.exit_code == 0, first.output + again.output
    for version, name in enumerate(KNOWLEDGE, start=1):
        assert f"{name}: registered as {registered_name} version {version}" in first.output
        assert f"{name}: already registered as {registered_name} version {version}" in again.output
    assert len(versions_of(client, registered_name)) == 2


def test_it_registers_what_was_evaluated_where_not_all_was_available(
    client: MlflowClient, copy_run: CopyRun, registered_name: str, config: Path, questions: Path
) -> None:
    copy_run("good")
    done = invoke(register, config, data=questions)
    assert done.exit_code == 0, done.output
    (version,) = versions_of(client, registered_name)
    assert version.tags["candidate"] == "good"


@pytest.mark.parametrize(
    ("models", "missing"), [("all", "poor"), ("good,poor", "poor"), ("poor", "poor")]
)
def test_a_candidate_asked_for_by_name_must_have_been_evaluated(
    client: MlflowClient,
    copy_run: CopyRun,
    registered_name: str,
    config: Path,
    questions: Path,
    models: str,
    missing: str,
) -> None:
    copy_run("good")
    done = invoke(register, config, data=questions, models=models)
    assert done.exit_code == 1
    assert f"not evaluated on capitals: {missing}." in done.output
    assert "-e evaluate" in done.output
    assert versions_of(client, registered_name) == []


def test_an_evaluation_of_other_rows_is_not_taken(
    client: MlflowClient, copy_run: CopyRun, registered_name: str, config: Path, questions: Path
) -> None:
    copy_run("good")
    done = invoke(register, config, data=questions, limit=1)
    assert done.exit_code == 1
    assert "same data and limit" in done.output
    assert versions_of(client, registered_name) == []


def test_a_model_that_was_deleted_must_be_evaluated_again(
    client: MlflowClient, experiment: str, copy_run: CopyRun, config: Path, questions: Path
) -> None:
    made = client.create_logged_model(experiment)
    copy_run("good", {"model_id": made.model_id})
    client.delete_logged_model(made.model_id)
    done = invoke(register, config, data=questions)
    assert done.exit_code == 1
    assert (
        f"Error: good: the model that was evaluated is gone (Logged model with ID '{made.model_id}'"
        in done.output
    )
    assert "Run `mlflow run . -e evaluate` for it first." in done.output
