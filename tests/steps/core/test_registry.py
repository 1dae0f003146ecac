"""One version for one piece of evidence, and an alias that only one version has."""

import json
import threading
from pathlib import Path

import pytest
from mlflow import MlflowClient

from steps.core import registry
from steps.core.dataset import Dataset, load
from steps.core.registry import EVIDENCE, Evidence, ensure_registered, latest_evidence
from tests.steps.conftest import CopyRun, versions_of


@pytest.fixture
def dataset(questions: Path) -> Dataset:
    return load(questions)


def test_the_same_evidence_twice_is_one_version(
    client: MlflowClient, copy_run: CopyRun, registered_name: str
) -> None:
    made = [ensure_registered(client, Evidence(copy_run("good"))) for _ in range(2)]
    assert [new for _, new in made] == [True, False]
    assert len(versions_of(client, registered_name)) == 1


def test_the_same_evidence_registered_at_once_is_one_version(
    client: MlflowClient, copy_run: CopyRun, registered_name: str
) -> None:
    evidence = Evidence(copy_run("good"))
    together = threading.Barrier(4)
    made: list[bool] = []

    def register() -> None:
        together.wait(20)
        made.append(ensure_registered(MlflowClient(), evidence)[1])

    threads = [threading.Thread(target=register) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(made) == [False, False, False, True]
    assert len(versions_of(client, registered_name)) == 1


@pytest.mark.parametrize("tag", EVIDENCE)
def test_evidence_that_differs_in_anything_is_another_version(
    client: MlflowClient, copy_run: CopyRun, registered_name: str, tag: str
) -> None:
    ensure_registered(client, Evidence(copy_run("good")))
    _, new = ensure_registered(client, Evidence(copy_run("good", {tag: "0" * 64})))
    assert new
    assert len(versions_of(client, registered_name)) == 2


def test_a_version_leads_back_to_run_model_and_dataset(
    client: MlflowClient, copy_run: CopyRun, dataset: Dataset
) -> None:
    run = copy_run("good")
    version, _ = ensure_registered(client, Evidence(run))
    stored = client.get_model_version(version.name, version.version)
    assert stored.run_id == stored.tags["run_id"] == run.info.run_id
    assert stored.source == f"models:/{run.data.tags['model_id']}"
    assert stored.tags["dataset_sha256"] == dataset.sha256
    assert stored.tags["candidate"] == "good"
    assert {name: run.data.tags[name] for name in EVIDENCE}.items() <= stored.tags.items()
    for part in ("bm25", "`good`", "`capitals` (2 rows)", run.info.run_id, "contains_facts/mean 1"):
        assert part in stored.description


def test_the_page_of_the_logged_model_leads_to_the_version(
    client: MlflowClient, copy_run: CopyRun, registered_name: str
) -> None:
    """MLflow's UI reads this tag; its tracking server sets it, a SQLite store does not."""
    run = copy_run("good")
    version, _ = ensure_registered(client, Evidence(run))
    tags = client.get_logged_model(run.data.tags["model_id"]).tags
    told = json.loads(tags.get("mlflow.modelVersions", "[]"))
    mine = [str(one["version"]) for one in told if one["name"] == registered_name]
    assert mine == [str(version.version)]


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


def test_an_alias_and_its_stage_move_to_one_version_at_a_time(
    client: MlflowClient, copy_run: CopyRun, registered_name: str
) -> None:
    old, _ = ensure_registered(client, Evidence(copy_run("good")))
    new, _ = ensure_registered(client, Evidence(copy_run("poor")))
    for version in (old, new):
        registry.move_alias(client, version, "staging")
        assert registry.holder(client, registered_name, "staging").version == version.version
    stages = {v.version: v.current_stage for v in versions_of(client, registered_name)}
    assert stages == {old.version: "Archived", new.version: "Staging"}
    registry.move_alias(client, old, "production")
    assert registry.holder(client, registered_name, "staging").version == new.version
    assert client.get_model_version(registered_name, old.version).current_stage == "Production"
