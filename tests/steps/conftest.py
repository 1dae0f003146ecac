"""A real MLflow store in a temporary folder, and one real evaluation whose runs tests copy."""

import json
import shutil
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import mlflow
import pytest
from click.testing import CliRunner, Result
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion

from steps.core import tracking
from steps.core.environment import DEFAULTS
from steps.evaluate import main as evaluate

if TYPE_CHECKING:
    from tests.steps.releases import Desk

ConfigWriter = Callable[..., Path]
CopyRun = Callable[..., Run]
KNOWLEDGE = {
    "good": "Paris is the capital of France.\n\nMadrid is the capital of Spain.\n",
    "poor": "France has a capital.\n\nMadrid is the capital of Spain.\n",
}
ROWS = [
    {"id": "fr", "prompt": "Which city is the capital of France?", "expected_facts": ["Paris"]},
    {"id": "es", "prompt": "Which city is the capital of Spain?", "expected_facts": ["Madrid"]},
]


@contextmanager
def pointing_at(uri: str) -> Iterator[None]:
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(before)


def invoke(step: click.Command, config: Path, **options: object) -> Result:
    """What a command line does, in this process; `exit_code` and `output` say what came of it."""
    handler = signal.getsignal(signal.SIGTERM)  # a step takes it for its own
    given = [f"--{name}={value}" for name, value in ({"config": config} | options).items()]
    try:
        return CliRunner().invoke(step, given)
    finally:
        signal.signal(signal.SIGTERM, handler)


def versions_of(client: MlflowClient, name: str) -> list[ModelVersion]:
    """The versions of a registered model, oldest first."""
    found = client.search_model_versions(f"name = '{name}'")
    return sorted(found, key=lambda version: int(version.version))


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite store that stays empty, to be copied; to create one takes a second."""
    folder = tmp_path_factory.mktemp("store")
    with chdir(folder), pointing_at(f"sqlite:///{folder / 'empty.db'}"):
        tracking.connect()
    return folder / "empty.db"


@pytest.fixture(scope="session")
def store(empty_store: Path) -> str:
    """The address of a store that tests share, each in an experiment of its own."""
    return f"sqlite:///{shutil.copy(empty_store, empty_store.with_name('mlflow.db'))}"


@pytest.fixture
def experiment(
    store: str, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """The id of an experiment of the test's own, in which all it does takes place."""
    for name, value in DEFAULTS.items():
        monkeypatch.setenv(name, value)
    with pointing_at(store):
        artifacts = tmp_path_factory.mktemp("artifacts")
        made = MlflowClient().create_experiment(artifacts.name, artifacts.as_uri())
        monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", made)
        yield made


@pytest.fixture
def client(experiment: str) -> MlflowClient:
    return MlflowClient()


@pytest.fixture
def own_store(empty_store: Path, tmp_path: Path) -> Iterator[MlflowClient]:
    """A store that holds nothing but what the test puts there."""
    with pointing_at(f"sqlite:///{shutil.copy(empty_store, tmp_path / 'own.db')}"):
        yield MlflowClient()


@pytest.fixture
def write_config(tmp_path: Path) -> ConfigWriter:
    """Writes a config of candidates, filled in where needed; keywords are its other keys."""

    def write(*candidates: Mapping[str, Any], **rest: Any) -> Path:
        return config_in(tmp_path, *candidates, **rest)

    return write


def config_in(folder: Path, *candidates: Mapping[str, Any], **rest: Any) -> Path:
    least = {"provider": "ollama", "model": "llama3.1:8b", "registered_name": "llm_test"}
    listed = [least | {"name": "one"} | dict(candidate) for candidate in candidates]
    path = folder / "config.yaml"
    path.write_text(json.dumps({"candidates": listed} | rest), "utf-8")  # JSON is YAML
    return path


def baseline(name: str, folder: Path, **fields: Any) -> dict[str, Any]:
    """A baseline candidate that quotes KNOWLEDGE[name]."""
    knowledge = folder / f"{name}.md"
    knowledge.write_text(KNOWLEDGE[name], "utf-8")
    own = {"name": name, "provider": "baseline", "model": "bm25"}
    return own | {"options": {"knowledge": str(knowledge)}} | fields


@pytest.fixture(scope="session")
def questions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "capitals.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS), "utf-8")
    return path


@pytest.fixture(scope="session")
def originals(
    store: str, questions: Path, tmp_path_factory: pytest.TempPathFactory
) -> Mapping[str, Run]:
    """The evaluation runs of a good and a poor candidate, as `evaluate` leaves them."""
    folder = tmp_path_factory.mktemp("evaluated")
    config = config_in(folder, *(baseline(name, folder) for name in KNOWLEDGE))
    with pytest.MonkeyPatch.context() as patch, pointing_at(store):
        for name, value in DEFAULTS.items():
            patch.setenv(name, value)
        client = MlflowClient()
        experiment = client.create_experiment("originals", (folder / "artifacts").as_uri())
        patch.setenv("MLFLOW_EXPERIMENT_ID", experiment)
        patch.delenv("MLFLOW_RUN_ID", raising=False)
        done = invoke(evaluate, config, data=questions, models="all")
        assert done.exit_code == 0, done.output
        runs = client.search_runs([experiment], "tags.kind = 'evaluation'")
    return {run.data.tags["candidate"]: run for run in runs}


@pytest.fixture
def registered_name(experiment: str) -> str:
    """A name in the registry that no other test uses."""
    return f"llm_test_{experiment}"


@pytest.fixture
def copy_run(
    client: MlflowClient, experiment: str, registered_name: str, originals: Mapping[str, Run]
) -> CopyRun:
    """Stores a candidate's evaluation in the test's experiment, with other tags and metrics."""

    def copy(candidate: str, tags: Mapping[str, str] | None = None, **metrics: float) -> Run:
        data = originals[candidate].data
        kept = {k: v for k, v in data.tags.items() if not k.startswith("mlflow.")}
        kept |= {"registered_name": registered_name} | dict(tags or {})
        run_id = client.create_run(experiment, tags=kept).info.run_id
        tracking.log_params(client, run_id, data.params)
        tracking.log_metrics(client, run_id, data.metrics | metrics)
        client.set_terminated(run_id)
        return client.get_run(run_id)

    return copy


@pytest.fixture
def desk(
    client: MlflowClient,
    registered_name: str,
    write_config: ConfigWriter,
    questions: Path,
    tmp_path: Path,
) -> "Desk":
    """Who releases what `copy_run` has evaluated."""
    from tests.steps.releases import Desk  # which needs this file

    return Desk(client, registered_name, write_config, questions, tmp_path)
