"""One version for one piece of evidence, and a page that tells what it rests on."""

import json
import threading
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion

from steps.core.dataset import load
from steps.core.registry import EVIDENCE, Evidence
from steps.core.releases.versions import ensure_registered
from tests.steps.conftest import CopyRun, versions_of


def registered(client: MlflowClient, run: Run) -> ModelVersion:
    """The version made from a run, as it is stored."""
    made, _ = ensure_registered(client, Evidence(run))
    return client.get_model_version(made.name, made.version)


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
    client: MlflowClient, copy_run: CopyRun, questions: Path
) -> None:
    run = copy_run("good")
    stored = registered(client, run)
    assert stored.run_id == stored.tags["run_id"] == run.info.run_id
    assert stored.source == f"models:/{run.data.tags['model_id']}"
    assert stored.tags["dataset_sha256"] == load(questions).sha256
    assert stored.tags["candidate"] == "good"
    assert {name: run.data.tags[name] for name in EVIDENCE}.items() <= stored.tags.items()


def test_a_version_tells_who_answers_by_which_code_and_how_well(
    client: MlflowClient, copy_run: CopyRun
) -> None:
    run = copy_run("good", {"mlflow.source.git.commit": "c0ffee"})
    tags = registered(client, run).tags
    identity = run.data.params["identity.knowledge_sha256"]
    assert (tags["model_name"], tags["identity.knowledge_sha256"]) == ("bm25", identity)
    assert tags["git_commit"] == "c0ffee"
    low, high = (run.data.metrics[f"contains_facts/ci_{end}"] for end in ("low", "high"))
    assert tags["contains_facts/mean"] == f"1.00 [{low:.2f}, {high:.2f}]"
    assert tags["error_rate"] == "0.0%"


def test_the_description_is_for_people(client: MlflowClient, copy_run: CopyRun) -> None:
    run = copy_run("good", {"judge_model": "ollama:/judge:8b"})
    told = registered(client, run).description
    for part in ("**bm25** by baseline", "`good`", "`capitals` (2 rows)", "`ollama:/judge:8b`"):
        assert part in told
    assert f"run `{run.info.run_id}`" in told
    assert "| contains facts" in told
    assert f"- price: `{run.data.tags['price_hash']}`" in told
    assert len(told) < 5000  # what the database keeps of it


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
