"""The newest evidence counts, and nobody holds an alias that was never given."""

from pathlib import Path

import pytest
from mlflow import MlflowClient

from steps.core import registry
from steps.core.dataset import Dataset, load
from steps.core.registry import Evidence, latest_evidence
from steps.core.releases.versions import ensure_registered
from tests.steps.conftest import CopyRun


@pytest.fixture
def dataset(questions: Path) -> Dataset:
    return load(questions)


def test_the_newest_finished_evaluation_on_this_dataset_counts(
    client: MlflowClient, experiment: str, copy_run: CopyRun, dataset: Dataset
) -> None:
    copy_run("good", recall=0.1)
    newest = copy_run("good", recall=0.2)
    copy_run("good", {"dataset_sha256": "f" * 64}, recall=0.3)
    copy_run("good", {"kind": "answers"}, recall=0.4)
    client.set_terminated(copy_run("good", recall=0.5).info.run_id, "FAILED")
    found = latest_evidence(client, experiment, dataset, ["good", "poor", "absent"])
    assert [one.run.info.run_id for one in found] == [newest.info.run_id]
    assert (found[0].candidate, found[0].metrics["recall"]) == ("good", 0.2)


def test_evidence_of_the_first_rows_is_not_evidence_of_all(
    client: MlflowClient, experiment: str, copy_run: CopyRun, questions: Path
) -> None:
    first = load(questions, limit=1)
    copy_run("good")
    assert latest_evidence(client, experiment, first, ["good"]) == []
    copy_run("good", {"dataset_sha256": first.sha256}, rows=1)
    (found,) = latest_evidence(client, experiment, first, ["good"])
    assert found.metrics["rows"] == 1


def test_nobody_holds_an_alias_that_was_never_given(
    client: MlflowClient, copy_run: CopyRun, registered_name: str
) -> None:
    assert registry.holder(client, registered_name, "staging") is None
    ensure_registered(client, Evidence(copy_run("good")))
    assert registry.holder(client, registered_name, "staging") is None
