"""A running `serve` for tests, with Ollama behind it: one for all of them."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.lab import Lab
from tests.end_to_end.served import CONFIG, PACKED, REGISTER, TOLD, Served, serving
from tests.servers.ollama import OllamaServer


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
    where = lab.run(sys.executable, "-c", PACKED, uri)
    packed = Path(where.stdout.strip()) / "code" / "llm_models" / "errors.py"
    packed.write_text(packed.read_text().replace(TOLD, f"PACKED {TOLD}"))
    registered = lab.run(sys.executable, "-c", REGISTER, uri)
    assert registered.returncode == 0, registered.stderr
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
