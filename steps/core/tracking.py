"""The MLflow calls that have traps, in one place: store, runs, inputs, metrics."""

import fcntl
import gc
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Dataset as DatasetEntity
from mlflow.entities import DatasetInput, InputTag, LoggedModelInput, Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_LOGGED_ARTIFACTS

from steps.core.dataset import Dataset

MAX_PARAM = 6000  # characters; MLflow cuts longer ones without a word
DIGEST = 36  # characters MLflow keeps of a dataset's digest
SOURCE_TAGS = tuple(f"mlflow.{tag}" for tag in ("user", "source.name", "source.git.commit"))


def connect() -> MlflowClient:
    """A client of the configured store; a new SQLite store is created by one process alone."""
    with exclusive("store"):
        client = MlflowClient()
        client.search_experiments(max_results=1)  # creates and migrates the database
    gc.freeze()  # see environment.prepare
    gc.enable()
    return client


@contextmanager
def step_run(name: str, params: Mapping[str, Any]) -> Iterator[Run]:
    """The run of one step: the one `mlflow run` made, a child of the main job's, or a new one.

    MLproject's parameters are logged by `mlflow run` itself; ours are added where they are new.
    """
    with mlflow.start_run(run_name=name, nested=mlflow.active_run() is not None) as run:
        fresh = {k: str(v) for k, v in params.items() if k not in run.data.params}
        mlflow.log_params(fresh)
        mlflow.set_tag("step", name)
        try:
            yield run
        except KeyboardInterrupt:
            with suppress(MlflowException):  # a server that is away takes no status
                mlflow.end_run("KILLED")
            raise


def start_child(client: MlflowClient, parent: Run, name: str, tags: Mapping[str, str]) -> str:
    """Create a run below `parent` and return its id; no thread-local state is touched."""
    tags_of_parent = parent.data.tags
    inherited = {k: tags_of_parent[k] for k in SOURCE_TAGS if k in tags_of_parent}
    own = {"mlflow.parentRunId": parent.info.run_id, **inherited, **tags}
    return client.create_run(parent.info.experiment_id, run_name=name, tags=own).info.run_id


def log_dataset(client: MlflowClient, run_id: str, dataset: Dataset, model_id: str | None) -> None:
    """Name dataset and model as inputs of a run; the digest is ours, over the content."""
    source = f'{{"uri": "{dataset.name}"}}'  # the name alone: no path of this machine
    profile = f'{{"num_rows": {len(dataset.rows)}}}'
    entity = DatasetEntity(dataset.name, dataset.sha256[:DIGEST], "local", source, profile=profile)
    given = DatasetInput(entity, [InputTag("mlflow.data.context", "evaluation")])
    models = [LoggedModelInput(model_id)] if model_id else []
    with exclusive("dataset"):  # two runs that are first to name a dataset would collide
        client.log_inputs(run_id, datasets=[given], models=models)


def log_results(
    client: MlflowClient,
    run_id: str,
    dataset: Dataset,
    model_id: str,
    metrics: Mapping[str, float | None],
) -> None:
    """Metrics on the run and on its logged model; unknown values are left out."""
    now = int(time.time() * 1000)
    link = {
        "model_id": model_id,
        "dataset_name": dataset.name,
        "dataset_digest": dataset.sha256[:DIGEST],
        "run_id": run_id,
    }
    known = [Metric(k, float(v), now, 0, **link) for k, v in metrics.items() if v is not None]
    client.log_batch(run_id, metrics=known)


def log_metrics(
    client: MlflowClient, run_id: str, metrics: Mapping[str, float | None], step: int = 0
) -> None:
    """Metrics of a run alone, not of a model on a dataset; unknown values are left out."""
    now = int(time.time() * 1000)
    known = [Metric(k, float(v), now, step) for k, v in metrics.items() if v is not None]
    client.log_batch(run_id, metrics=known)


def log_params(client: MlflowClient, run_id: str, params: Mapping[str, Any]) -> None:
    """Params that are not None; longer ones are cut here, where it can be seen."""
    known = [Param(k, str(v)[:MAX_PARAM]) for k, v in params.items() if v is not None]
    client.log_batch(run_id, params=known)


def set_tags(client: MlflowClient, run_id: str, tags: Mapping[str, Any]) -> None:
    values = [RunTag(k, str(v)) for k, v in tags.items() if v is not None]
    client.log_batch(run_id, tags=values)


def log_tables(client: MlflowClient, run_id: str, folder: Path, names: list[str]) -> None:
    """Upload all files of `folder`; those of `names` are made known to `mlflow.load_table`."""
    client.log_artifacts(run_id, str(folder))
    tables = [{"path": name, "type": "table"} for name in names]
    client.set_tag(run_id, MLFLOW_LOGGED_ARTIFACTS, json.dumps(tables))


def count_traces(client: MlflowClient, run_id: str, experiment_id: str) -> int:
    """How many traces the store holds of a run."""
    wanted = f"metadata.`mlflow.sourceRun` = '{run_id}'"
    found, token = 0, None
    while True:
        page = client.search_traces(
            locations=[experiment_id],
            filter_string=wanted,
            max_results=500,
            page_token=token,
            include_spans=False,
        )
        found, token = found + len(page), page.token
        if not token:
            return found


@contextmanager
def exclusive(name: str) -> Iterator[None]:
    """Let one process of this machine at a time do what `name` names."""
    store = hashlib.sha256(mlflow.get_tracking_uri().encode()).hexdigest()[:16]
    with (lock_folder() / f"{name}-{store}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def lock_folder() -> Path:
    """This user's, on this machine."""
    folder = Path(tempfile.gettempdir()) / f"llmflowlab-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def experiment_id() -> str:
    """The experiment of the active run, else the configured one."""
    run = mlflow.active_run()
    if run is not None:
        return run.info.experiment_id
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME")
    if name and (found := mlflow.get_experiment_by_name(name)):
        return found.experiment_id
    return os.environ.get("MLFLOW_EXPERIMENT_ID", "0")
