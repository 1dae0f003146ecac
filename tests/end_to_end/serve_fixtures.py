"""A running `serve` for tests, with Ollama behind it: one for all of them."""

import re
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts

from tests.end_to_end.lab import Lab
from tests.end_to_end.served import CONFIG, NAME, TOLD, Served, serving
from tests.servers.ollama import OllamaServer
from tests.steps.conftest import pointing_at


@pytest.fixture(scope="session")
def serve_ollama() -> Iterator[OllamaServer]:
    with OllamaServer() as server:
        yield server


@pytest.fixture(scope="session")
def serve_lab(tmp_path_factory: pytest.TempPathFactory, serve_ollama: OllamaServer) -> Lab:
    """With a registered model, whose packed code says PACKED where the project's does not."""
    folder = tmp_path_factory.mktemp("serve")
    (folder / "config.yaml").write_text(CONFIG)
    lab = Lab(
        folder,
        {
            "OLLAMA_HOST": serve_ollama.url,
            "MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT": "3",
            "LLMFLOWLAB_MAX_BODY_BYTES": "10000",
        },
    )
    logged = lab.step("log_models")
    assert logged.returncode == 0, logged.stderr
    uri = re.findall(r"models:/m-\w+", logged.stdout)[0]
    with pointing_at(lab.store):
        packed = Path(download_artifacts(uri)) / "code" / "llm_models" / "errors.py"
        packed.write_text(packed.read_text().replace(TOLD, f"PACKED {TOLD}"))
        version = mlflow.register_model(uri, NAME).version
        MlflowClient().set_registered_model_alias(NAME, "staging", str(version))
    return lab


@pytest.fixture(scope="session")
def server(serve_lab: Lab, serve_ollama: OllamaServer) -> Iterator[Served]:
    with serving(serve_lab) as address:
        server = Served(address, serve_ollama)
        yield server
        server.ollama.__exit__()


@pytest.fixture
def served(server: Served) -> Iterator[Served]:
    """Without the faults of other tests."""
    server.ollama.left.clear()
    yield server
    server.ollama.forget_faults()
