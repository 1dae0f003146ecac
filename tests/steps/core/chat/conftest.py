"""Candidates as logged models, and a server that two of them share."""

from collections.abc import Callable, Iterator
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient

from steps.core.answering.candidates import resolve
from steps.core.config import load
from steps.core.logged_models import ensure_logged
from tests.servers.ollama import OllamaServer
from tests.steps.conftest import ConfigWriter

Log = Callable[[str], str]
MODELS = ("llama3.1:8b", "llama3.2:3b")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[OllamaServer]:
    with OllamaServer(MODELS) as server:
        monkeypatch.setenv("OLLAMA_HOST", server.url)
        yield server


@pytest.fixture
def config(write_config: ConfigWriter) -> Path:
    """Two candidates of one server: `one` and `two`."""
    return write_config({"system": "Be brief."}, {"name": "two", "model": MODELS[1]})


@pytest.fixture
def log(
    server: OllamaServer,
    config: Path,
    client: MlflowClient,
    experiment: str,
    store: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Log:
    """Logs a candidate of the config in the test's experiment; gives its model id."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)  # for processes of one's own

    def log(name: str) -> str:
        settings = load(config)
        (candidate,) = (one for one in settings.candidates if one.name == name)
        return ensure_logged(client, resolve(candidate, settings), experiment)[0]

    return log


def packed_code(model_id: str) -> Path:
    """Where the code of a logged model lies."""
    folder = mlflow.artifacts.download_artifacts(f"models:/{model_id}")
    return Path(folder) / "code" / "llm_models"
