"""The traps of MLflow's own calls, held on a real store."""

import json
import threading
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from steps.core import tracking
from steps.core.dataset import Dataset, Row, content_hash
from tests.steps.conftest import pointing_at

ROWS = [Row("a", {"prompt": "p"}, {}, {}), Row("b", {"prompt": "q"}, {}, {})]
DATASET = Dataset(Path("/home/someone/capitals.jsonl"), "capitals", ROWS, content_hash(ROWS))


@pytest.fixture
def run_id(client: MlflowClient, experiment: str) -> str:
    return str(client.create_run(experiment).info.run_id)


def test_a_step_has_a_run_of_its_own(client: MlflowClient, experiment: str) -> None:
    with tracking.step_run("evaluate", {"data": "capitals", "limit": 3}) as run:
        assert tracking.experiment_id() == experiment
    stored = client.get_run(run.info.run_id)
    assert stored.data.params == {"data": "capitals", "limit": "3"}
    assert stored.data.tags["step"] == stored.info.run_name == "evaluate"
    assert (stored.info.experiment_id, stored.info.status) == (experiment, "FINISHED")


def test_a_step_within_a_step_is_its_child(client: MlflowClient, experiment: str) -> None:
    with tracking.step_run("main", {}) as parent, tracking.step_run("register", {}) as child:
        pass
    tags = client.get_run(child.info.run_id).data.tags
    assert tags["mlflow.parentRunId"] == parent.info.run_id


def test_a_step_goes_on_in_the_run_that_mlflow_run_made(
    client: MlflowClient, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.log_param(run_id, "data", "as given on the command line")
    monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
    with tracking.step_run("promote", {"data": "resolved", "models": "all"}) as run:
        assert run.info.run_id == run_id
    params = client.get_run(run_id).data.params
    assert params == {"data": "as given on the command line", "models": "all"}


@pytest.mark.parametrize(
    ("error", "status"), [(ValueError, "FAILED"), (KeyboardInterrupt, "KILLED")]
)
def test_a_step_that_breaks_leaves_a_run_that_says_so(
    client: MlflowClient, experiment: str, error: type[BaseException], status: str
) -> None:
    with pytest.raises(error), tracking.step_run("main", {}) as run:
        raise error
    assert client.get_run(run.info.run_id).info.status == status


def test_an_interrupt_is_told_as_one_though_the_server_is_away(
    experiment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    here = pointing_at(mlflow.get_tracking_uri())
    with pytest.raises(KeyboardInterrupt), here, tracking.step_run("main", {}):
        mlflow.set_tracking_uri("http://127.0.0.1:9")
        raise KeyboardInterrupt
    assert mlflow.active_run() is None


def test_a_child_names_its_parent_and_leaves_the_active_run_alone(
    client: MlflowClient, experiment: str
) -> None:
    with tracking.step_run("evaluate", {}) as parent:
        child = tracking.start_child(client, parent, "one", {"kind": "evaluation"})
        assert mlflow.active_run().info.run_id == parent.info.run_id
    stored = client.get_run(child)
    tags, of_parent = stored.data.tags, parent.data.tags
    assert stored.info.run_name == "one"
    assert (tags["mlflow.parentRunId"], tags["kind"]) == (parent.info.run_id, "evaluation")
    assert tags["mlflow.source.name"] == of_parent["mlflow.source.name"]


def test_a_dataset_is_known_by_its_content_and_holds_no_path(
    client: MlflowClient, run_id: str
) -> None:
    tracking.log_dataset(client, run_id, DATASET, None)
    (given,) = client.get_run(run_id).inputs.dataset_inputs
    assert given.dataset.name == "capitals"
    assert DATASET.sha256.startswith(given.dataset.digest)
    assert len(given.dataset.digest) == 36
    assert json.loads(given.dataset.profile) == {"num_rows": 2}
    assert "someone" not in str(given.to_dictionary())


def test_many_runs_may_be_first_to_name_a_dataset(client: MlflowClient, experiment: str) -> None:
    runs = [client.create_run(experiment).info.run_id for _ in range(4)]
    together = threading.Barrier(len(runs))

    def name_it(run_id: str) -> None:
        together.wait(20)
        tracking.log_dataset(client, run_id, DATASET, None)

    threads = [threading.Thread(target=name_it, args=(run_id,)) for run_id in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [len(client.get_run(r).inputs.dataset_inputs) for r in runs] == [1] * 4


def test_results_are_of_the_run_and_its_model_and_unknown_ones_are_absent(
    client: MlflowClient, experiment: str, run_id: str
) -> None:
    model = client.create_logged_model(experiment, name="one")
    tracking.log_dataset(client, run_id, DATASET, model.model_id)
    metrics = {"recall": 0.5, "errors": 0, "total_tokens": None, "language/es": 2}
    tracking.log_results(client, run_id, DATASET, model.model_id, metrics)
    run = client.get_run(run_id)
    assert run.data.metrics == {"recall": 0.5, "errors": 0.0, "language/es": 2.0}
    assert [given.model_id for given in run.inputs.model_inputs] == [model.model_id]
    linked = {m.key: m for m in client.get_logged_model(model.model_id).metrics}
    assert linked["recall"].value == 0.5
    assert linked["recall"].run_id == run_id
    assert linked["recall"].dataset_name == "capitals"


def test_a_long_param_is_cut_and_an_unknown_one_absent(client: MlflowClient, run_id: str) -> None:
    given = {"system_prompt": "x" * 7000, "seed": None, "top_k": 3, "stop": ("a", "b")}
    tracking.log_params(client, run_id, given)
    params = client.get_run(run_id).data.params
    assert params == {"system_prompt": "x" * 6000, "top_k": "3", "stop": "('a', 'b')"}


def test_unknown_tags_are_absent(client: MlflowClient, run_id: str) -> None:
    tracking.set_tags(client, run_id, {"failure": None, "rows": 3})
    tags = client.get_run(run_id).data.tags
    assert "failure" not in tags
    assert tags["rows"] == "3"


def test_a_table_that_was_uploaded_is_found_by_load_table(
    client: MlflowClient, experiment: str, run_id: str, tmp_path: Path
) -> None:
    texts = ["007", "1e5", "null", "2026-01-02"]
    pd.DataFrame({"text": texts}).to_parquet(tmp_path / "t.parquet")
    (tmp_path / "t.csv").write_text("text\n")
    tracking.log_tables(client, run_id, tmp_path, ["t.parquet"])
    assert list(mlflow.load_table("t.parquet", run_ids=[run_id])["text"]) == texts
    assert {file.path for file in client.list_artifacts(run_id)} == {"t.parquet", "t.csv"}
    with pytest.raises(MlflowException):
        mlflow.load_table("t.csv", run_ids=[run_id])


def test_traces_are_counted_by_run(client: MlflowClient, experiment: str) -> None:
    with tracking.step_run("one", {}) as one:
        for _ in range(3):
            with mlflow.start_span("row"):
                pass
    with tracking.step_run("two", {}) as two:
        pass
    counts = [tracking.count_traces(client, run.info.run_id, experiment) for run in (one, two)]
    assert counts == [3, 0]


def test_what_is_exclusive_waits_until_it_is_free(experiment: str) -> None:
    entered = threading.Event()

    def enter() -> None:
        with tracking.exclusive("test"):
            entered.set()

    with tracking.exclusive("test"):
        threading.Thread(target=enter).start()
        assert not entered.wait(0.2)
    assert entered.wait(20)


def test_what_is_exclusive_is_so_by_name_and_ends_with_an_error(experiment: str) -> None:
    with pytest.raises(ValueError, match="broken"), tracking.exclusive("test"):
        raise ValueError("broken")
    entered = []
    with tracking.exclusive("test"), tracking.exclusive("another"):
        entered.append("both")
    assert entered == ["both"]
